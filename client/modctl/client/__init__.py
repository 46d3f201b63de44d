"""The operator's side of modctl: an SDK for any number of running processes, and the `modctl` command on top of it.

    from modctl.client import Fleet, TLS

    with Fleet.connect("svc[01-20]:50051", tls=TLS(ca="ca.pem")) as fleet:
        for process, modules in fleet.list("billing.*"):
            print(process, modules.names())

Layout: commands → fleet → channel. Only channel.py imports grpc; only printers know about terminals; protobuf stays
in convert.py, requests.py and listing.py. Importing this package alone imports none of them: `modctl --help` is quick.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from modctl.client.credentials import TLS, Token
    from modctl.client.errors import (
        AmbiguousProcessError,
        ChangeSetError,
        ClientError,
        CredentialsError,
        DeadlineError,
        DeclinedError,
        DeniedError,
        NoTargetError,
        ProcessFailedError,
        RefusedError,
        SourceError,
        TargetSyntaxError,
        UncertainError,
        UnreachableError,
        UsageError,
    )
    from modctl.client.facts import (
        ChangeResult,
        Module,
        ModuleChange,
        ModuleDetail,
        ModuleEvent,
        Process,
        Revision,
    )
    from modctl.client.fleet import AsyncFleet
    from modctl.client.listing import Modules
    from modctl.client.operations import ChangeOptions, Evict, Import, Inject, Operation, Reimport
    from modctl.client.results import Failure, FleetResult, Row
    from modctl.client.settings import Settings, Survey
    from modctl.client.sync import Client, Fleet
    from modctl.client.targets import Target

_HOME = {
    "credentials": ("TLS", "Token"),
    "errors": (
        "AmbiguousProcessError",
        "ChangeSetError",
        "ClientError",
        "CredentialsError",
        "DeadlineError",
        "DeclinedError",
        "DeniedError",
        "NoTargetError",
        "ProcessFailedError",
        "RefusedError",
        "SourceError",
        "TargetSyntaxError",
        "UncertainError",
        "UnreachableError",
        "UsageError",
    ),
    "facts": (
        "ChangeResult",
        "Module",
        "ModuleChange",
        "ModuleDetail",
        "ModuleEvent",
        "Process",
        "Revision",
    ),
    "fleet": ("AsyncFleet",),
    "listing": ("Modules",),
    "operations": ("ChangeOptions", "Evict", "Import", "Inject", "Operation", "Reimport"),
    "results": ("Failure", "FleetResult", "Row"),
    "settings": ("Settings", "Survey"),
    "sync": ("Client", "Fleet"),
    "targets": ("Target",),
}
_FILE_OF = {name: file for file, names in _HOME.items() for name in names}

__all__ = [
    "TLS",
    "AmbiguousProcessError",
    "AsyncFleet",
    "ChangeOptions",
    "ChangeResult",
    "ChangeSetError",
    "Client",
    "ClientError",
    "CredentialsError",
    "DeadlineError",
    "DeclinedError",
    "DeniedError",
    "Evict",
    "Failure",
    "Fleet",
    "FleetResult",
    "Import",
    "Inject",
    "Module",
    "ModuleChange",
    "ModuleDetail",
    "ModuleEvent",
    "Modules",
    "NoTargetError",
    "Operation",
    "Process",
    "ProcessFailedError",
    "RefusedError",
    "Reimport",
    "Revision",
    "Row",
    "Settings",
    "SourceError",
    "Survey",
    "Target",
    "TargetSyntaxError",
    "Token",
    "UncertainError",
    "UnreachableError",
    "UsageError",
]


def __getattr__(name: str) -> object:
    if name not in _FILE_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import importlib

    value = getattr(importlib.import_module(f"{__name__}.{_FILE_OF[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
