"""More packages of the index upgraded in place, with what they need: run where MODCTL_TEST_PACKAGES=1.

What is made before and what must hold is that of packages/smokes.py.
"""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from typing import Any

from upgrades import Upgrade


def _smokes() -> dict[str, Any]:
    path = Path(__file__).parents[1] / "packages" / "smokes.py"
    spec = importlib.util.spec_from_file_location("smokes", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["smokes"] = module
    spec.loader.exec_module(module)
    return {each.distribution: each for each in module.SMOKES}


#: distribution, old, new; a third requirement holds back what the old version does not fit.
_VERSIONS = [
    ("pydantic", "2.10.4", "2.10.6"),
    ("sqlalchemy", "2.0.40", "2.0.41"),
    ("django", "5.1.4", "5.1.5"),
    ("httpx", "0.27.2", "0.28.0"),
    ("fastapi", "0.115.5", "0.115.6"),
    ("celery", "5.4.0", "5.5.0"),
    ("boto3", "1.35.80", "1.35.99"),
    ("redis", "5.2.0", "5.2.1"),
    ("tornado", "6.4.1", "6.4.2"),
    ("aiohttp", "3.11.10", "3.11.11"),
    ("structlog", "24.4.0", "25.1.0"),
    ("prometheus_client", "0.21.0", "0.21.1"),
    ("sympy", "1.13.2", "1.13.3"),
    ("protobuf", "5.29.1", "5.29.2"),
    ("pillow", "11.0.0", "11.1.0"),
]
_SMOKES = _smokes()
#: `*` before a requirement: installed with all that it needs, behind the old version.
MORE = [
    Upgrade(
        name, old, new, _SMOKES[name].package, (f"*{name}=={old}",), _SMOKES[name].use, _SMOKES[name].check
    )
    for name, old, new in _VERSIONS
]  # fmt: skip
