"""Connections to targets: one each, made when they are needed, with the credentials that fit."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any

from modctl.client.channel import CallFailed, Channel, Security, tls_credentials

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from modctl.client.results import Failure
    from modctl.client.settings import Settings
    from modctl.client.targets import Target


class Dialer:
    """The connections of one fleet.

    Args:
        settings: of the fleet.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._channels: dict[Target, Channel] = {}
        self._held: dict[Target, int] = {}
        self._credentials: Any = None

    def channel(self, target: Target) -> Channel:
        """The connection to a target, made where there is none.

        Raises:
            CredentialsError: certificates or keys that cannot be used.
        """
        kept = self._channels.get(target)
        if kept is None:
            kept = self._channels[target] = Channel(target, self._security(target), self._settings.connect_timeout_s)
        return kept

    @contextlib.asynccontextmanager
    async def held(self, target: Target, keep: bool) -> AsyncIterator[None]:
        """For the time of a call with all its attempts: nobody hangs up on the target meanwhile, which would cancel it.

        Args:
            target: whom.
            keep: whether the connection stays; otherwise whoever is the last to speak hangs up.
        """
        self._held[target] = self._held.get(target, 0) + 1
        try:
            yield
        finally:
            self._held[target] -= 1
            if not self._held[target]:
                del self._held[target]
                channel = None if keep else self._channels.pop(target, None)
                if channel is not None:
                    await channel.close()

    async def close_unheld(self) -> None:
        """Hangs up on whom nobody is speaking to."""
        unheld = [target for target in self._channels if target not in self._held]
        await asyncio.gather(*(self._channels.pop(target).close() for target in unheld))

    async def close(self) -> None:
        """Hangs up on all."""
        channels, self._channels = list(self._channels.values()), {}
        await asyncio.gather(*(channel.close() for channel in channels))

    def failure(self, failed: CallFailed, target: Target) -> Failure:
        """What a failed call means: the target's own words where it has some."""
        from modctl.client import explain, wire

        told = wire.failure_from_bytes(failed.detail)
        if told is not None:
            return told
        secure = self._is_secure(target)
        if failed.code == "UNAVAILABLE" and not failed.sent:
            tls = self._settings.tls
            with_certificate = tls is not None and tls.cert is not None
            return explain.connection_failure(failed.details, target, secure, with_certificate)
        return explain.call_failure(failed.code, failed.details, secure)

    def _is_secure(self, target: Target) -> bool:
        settings = self._settings
        return not (target.path or settings.plaintext or (settings.tls is None and target.is_loopback))

    def _security(self, target: Target) -> Security:
        """Plain text where nobody else can listen or the operator said so, TLS to everybody else."""
        settings = self._settings
        token = settings.token.value if settings.token is not None and not target.path else None
        if not self._is_secure(target):
            if token is None and target.is_loopback and not target.path:
                from modctl.client import discover

                token = discover.local_token(target.port)
            return Security(None, token, "")
        from modctl.client.credentials import TLS

        tls = settings.tls or TLS()
        if self._credentials is None:
            self._credentials = tls_credentials(tls)
        return Security(self._credentials, token, tls.server_name or "")
