"""`python -m modctl.agent [options] app.py …`: see run.py."""

import sys

from modctl.agent.run import module_main

sys.exit(module_main())
