"""Asks the worker to greet somebody: `python send.py anna@example.org`."""

from __future__ import annotations

import sys

from tasks import welcome

for address in sys.argv[1:]:
    welcome.delay(address)
