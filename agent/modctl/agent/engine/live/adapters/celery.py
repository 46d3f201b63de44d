"""Celery: applications and their registry of tasks. Workers that run already learn of new tasks."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, Final

from modctl.agent.engine.live.adapters.base import Adapter, stands_for
from modctl.agent.engine.live.values import MISSING, type_name

if TYPE_CHECKING:
    from modctl.agent.engine.live.adapters.base import Put
    from modctl.agent.engine.live.adapters.doubles import Doubles
    from modctl.agent.engine.live.rehome import Rehomer

_CONSUMERS: Final = ("celery.worker.consumer.consumer.Consumer",)
#: Of a registry's double: the names that there were when it was made.
_BEFORE: Final = "_modctl_before"
_PROXIES: Final = frozenset({"celery.local.PromiseProxy", "celery.local.Proxy"})


class RegistryAdapter(Adapter):
    """A TaskRegistry: a dict of tasks by name."""

    def __init__(self) -> None:
        super().__init__(["celery.app.registry.TaskRegistry"])

    def double(self, live: Any, doubles: Doubles) -> Any:  # noqa: ARG002 - as the base has it
        """A registry of its own."""
        made = dict.__new__(type(live))
        dict.update(made, live)
        made.__dict__[_BEFORE] = frozenset(live)
        return made

    def forget(self, double: Any, values: list[Any], doubles: Doubles) -> None:  # noqa: ARG002 - as the base has it
        """A task goes with its function, or as what a name is bound to: a task, or the promise of one."""
        found = [each._get_current_object() if type_name(each) in _PROXIES else each for each in values]
        for name, task in list(dict.items(double)):
            if stands_for(task, found) or stands_for(getattr(task, "run", None), found):
                dict.pop(double, name)

    def settle(self, double: Any, live: Any, doubles: Doubles) -> None:
        """Makes what runs a task, which else only the start of a worker makes."""
        for name, task in dict.items(double):
            if dict.get(live, name) is not task:
                task.__trace__ = _tracer(name, task, doubles.canonical(task.app))

    def assign(self, double: Any, live: Any, put: Put, rehome: Rehomer, what: str) -> None:
        """Task by task, here and in the workers of this process."""
        new = {name: task for name, task in dict.items(double) if dict.get(live, name) is not task}
        gone = [name for name in double.__dict__[_BEFORE] if name not in double and name in live]
        for name, task in new.items():
            rehome(type(task))
            rehome(task)
            put("config", live, name, task, f"{what}[{name!r}]")
        for name in gone:
            put("config", live, name, MISSING, f"{what}[{name!r}]")
        if not (new or gone):
            return
        from modctl.agent.engine.live.adapters.doubles import Doubles as Found

        for consumer in Found.alive(_CONSUMERS):
            if consumer.app.tasks is not live:
                continue
            for name, task in new.items():
                strategy = task.start_strategy(consumer.app, consumer)
                put("item", consumer.strategies, name, strategy, f"{what} of a worker: {name}")
            for name in gone:
                put("item", consumer.strategies, name, MISSING, f"{what} of a worker: {name}")


def _tracer(name: str, task: Any, application: Any) -> Any:
    trace = sys.modules.get("celery.app.trace") or __import__("celery.app.trace", fromlist=["build_tracer"])
    localized = getattr(trace, "_localized", None)  # what a pool's process knows of its worker
    hostname = localized[2] if localized else None
    return trace.build_tracer(name, task, application.loader, hostname, app=application)


ADAPTERS: Final = (
    Adapter(["celery.app.base.Celery"], ["_duplicate_task_names_warned"], ["_tasks", "tasks"]),
    RegistryAdapter(),
)
