"""New tax code for every shop, one canary first: python examples/rollout.py NEW_TAX.py 'svc[01-20]:50051'

Without a target: every agent of this user on this machine.
"""

import asyncio
import sys
from pathlib import Path

from modctl.client import AsyncFleet, Reimport
from modctl.client.rollout import Limit, RolloutSpec, roll_out


async def main(source: bytes, *hosts: str) -> int:
    change = [Reimport("billing.tax", "fresh", source=source)]
    checks = ("health", "expr:billing.tax.with_tax(10_000) == 12_100")
    spec = RolloutSpec(canary=Limit(1), soak_s=0.5, checks=checks, on_failure="undo", reason="VAT 21 %")
    async with AsyncFleet.connect(*hosts) as fleet:
        state = await roll_out(fleet, change, spec)
    for entry in state.failures:
        print(f"{entry.process}: {entry.failure}")
    print(f"{state.status}: {state.message}")
    return state.exit_code


if __name__ == "__main__":
    sys.exit(asyncio.run(main(Path(sys.argv[1]).read_bytes(), *sys.argv[2:])))
