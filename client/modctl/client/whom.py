"""Whom a fleet is made of: what was named, found and left out, looked up once."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from modctl.client.targets import Target


class Whom:
    """The targets of a fleet. The set is frozen by the first look that finds any: who joins later is told of apart.

    Args:
        named: by the operator; with nothing discovered either, nobody named means every agent of this user here.
        exclude: whom to leave out.
        discover: where further targets are found.
        pick: only so many, by chance; 0 is all.
        found: whether `named` was looked up before, and is what there is, even where it is nobody.
    """

    def __init__(
        self,
        named: Sequence[Target],
        exclude: Sequence[Target] = (),
        discover: Sequence[str] = (),
        pick: int = 0,
        *,
        found: bool = False,
    ) -> None:
        self._named = tuple(named)
        self._exclude = tuple(exclude)
        self._discover = tuple(discover)
        self._pick = pick
        self._found: list[Target] | None = list(named) if found else None

    async def targets(self) -> list[Target]:
        """The targets, looked up at the first call.

        Raises:
            NoTargetError: a source of targets gives none.
            UsageError: it gives what are none.
        """
        if self._found is None:
            found = await self._look_up()
            if not found and not self._named and not self._discover:
                return found  # nobody is here yet, or a gateway is just being replaced: no set to freeze
            self._found = found
        return self._found

    def forget(self) -> None:
        """The next call looks again."""
        self._found = None

    async def _look_up(self) -> list[Target]:
        named = [*self._named, *await self._discovered()]
        if named and not self._exclude and not self._pick and not any(target.is_name for target in named):
            return named
        from modctl.client import discover

        loop = asyncio.get_running_loop()
        found = await discover.resolve(named, loop) if named else discover.local_targets()
        left_out = {target.address for target in await discover.resolve(self._exclude, loop)}
        left_out |= {target.address for target in self._exclude}
        kept = [target for target in found if target.address not in left_out]
        if not 0 < self._pick < len(kept):
            return kept
        import random

        chosen = set(random.sample(range(len(kept)), self._pick))
        return [target for index, target in enumerate(kept) if index in chosen]

    async def _discovered(self) -> list[Target]:
        if not self._discover:
            return []
        from modctl.client.finding.find import find

        return [target for found in await asyncio.gather(*map(find, self._discover)) for target in found]
