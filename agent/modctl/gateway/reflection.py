"""grpc reflection, where grpcio-reflection is installed: then grpcurl needs no .proto files."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    import grpc.aio

_log = logging.getLogger(__name__)


def add(services: Iterable[str], server: grpc.aio.Server) -> None:
    """Adds the service, or nothing."""
    try:
        from grpc_reflection.v1alpha import reflection
    except ImportError:
        return
    except Exception as error:  # noqa: BLE001 - one that does not fit our protobuf raises what it likes
        _log.warning("grpcio-reflection is installed but cannot be used: %r", error)
        return
    reflection.enable_server_reflection([*services, reflection.SERVICE_NAME], server)
