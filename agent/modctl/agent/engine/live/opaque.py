"""Calls into live objects whose insides nobody can put back: refused before they happen.

A changed `@app.route("/new")` or `registry.register(f)` changes an instance that the ledger cannot see into: if a
later statement failed, all-or-nothing would be broken (Flask had added the rule to its map before it raised).
Unless an adapter knows the type, or the operator accepts that, such a statement does not run.
"""

from __future__ import annotations

import gc
from typing import TYPE_CHECKING, Any, Protocol

from modctl.agent.engine.live.failures import RefusedError
from modctl.agent.engine.live.values import CONTAINERS, MISSING, is_class, is_opaque, type_name
from modctl.source.statements import COMPOUND, EXPRESSION, IMPORT
from modctl.source.tuples import NamedTuple

if TYPE_CHECKING:
    from modctl.agent.engine.live.running import Runner
    from modctl.agent.engine.live.world import StagedModule, World
    from modctl.source.names import Chain
    from modctl.source.statements import Statement

#: A module's own list of names that keep their live value.
KEEP = "__modctl_keep__"
#: Types whose methods leave nothing behind that would matter, module-qualified.
HARMLESS = frozenset({
    "logging.Logger", "logging.RootLogger", "re.Pattern", "typing.TypeVar", "typing.ParamSpec", "typing.NewType",
    "operator.itemgetter", "operator.attrgetter", "operator.methodcaller", "_contextvars.ContextVar",
    "contextvars.ContextVar",
    "string.Template", "_struct.Struct", "types.GenericAlias", "types.MappingProxyType", "types.UnionType",
})  # fmt: skip
#: What a service holds that must not be made twice.
_SERVICES = frozenset({
    "threading.Thread", "_thread.lock", "_thread.RLock", "threading.Condition", "threading.Event", "socket.socket",
    "_io.BufferedWriter", "_io.BufferedReader", "_io.TextIOWrapper", "_io.FileIO", "subprocess.Popen",
})  # fmt: skip


class Adapter(Protocol):
    """Knows how to make calls into objects of some type transactional."""

    def knows(self, value: object) -> bool:
        """Whether it is responsible for this object."""


class Policy(NamedTuple):
    """What a change may do."""

    #: Changed statements may call into live opaque objects: what they do there cannot be taken back.
    not_transactional: bool = False
    #: What to do with side effects that cannot be taken back: `warn` or `refuse`.
    side_effects: str = "warn"
    #: Whether unchanged statements that would build a new live service may run: `rerun`, `keep` or `refuse`.
    services: str = "refuse"
    keep_removed: bool = False
    adapters: tuple[Adapter, ...] = ()
    timeout_s: float = 30.0


def receiver_of(world: World, staged: StagedModule, chain: Chain) -> Any:
    """The object that an access of a chain's last name goes to; MISSING where it cannot be found."""
    value = staged.namespace.get(chain[0], MISSING)
    for name in chain[1:-1]:
        module = world.staged_for(value)
        if module is not None:
            value = module.namespace.get(name, MISSING)
        elif value is MISSING:
            return MISSING
        else:
            value = getattr(value, name, MISSING)
    return value


def check_statement(runner: Runner, staged: StagedModule, statement: Statement, *, changed: bool) -> bool:
    """Whether a statement may run; False where what is there stays as it is.

    Raises:
        RefusedError: it changed and would call into a live opaque object.
    """
    if changed and _is_to_be_kept(runner, staged, statement):
        return False
    problem = _opaque_call(runner, staged, statement) or _foreign_store(runner, staged, statement)
    if problem is not None and not runner.policy.not_transactional:
        if changed:
            raise RefusedError(
                staged.name,
                "OPAQUE_CALL",
                f"line {statement.first_line} {problem}, a live object that cannot be put back if the change fails",
                "Restart to take it, or accept that with --not-transactional",
            )
        runner.merger.kept.append((f"{staged.name}:{statement.first_line}", f"{problem}; it is not run again"))
        return False
    return changed or _service_may_be_made_again(runner, staged, statement)


def _is_to_be_kept(runner: Runner, staged: StagedModule, statement: Statement) -> bool:
    """Whether the module says `__modctl_keep__ = (…)` of all that a statement binds, and has it."""
    if not statement.writes or KEEP in statement.writes:
        return False
    named: set[object] = set()
    for namespace in (staged.home, staged.namespace):
        listed: Any = namespace.get(KEEP)
        if type(listed) in (tuple, list, set, frozenset):
            named.update(each for each in listed if type(each) is str)
    if not all(name in named and name in staged.home for name in statement.writes):
        return False
    runner.merger.kept += [(f"{staged.name}.{name}", f"{KEEP} names it") for name in statement.writes]
    return True


def _opaque_call(runner: Runner, staged: StagedModule, statement: Statement) -> str | None:
    for chain in statement.calls:
        if runner.made_here(staged, statement, chain[0]):
            continue
        value = _static_receiver(staged, chain)
        if value is MISSING or not is_opaque(value) or type_name(value) in HARMLESS:
            continue
        if _made_by_classes(value) or any(adapter.knows(value) for adapter in runner.policy.adapters):
            continue
        return f"calls {'.'.join(chain)}() of an instance of {type_name(value)}"
    return None


def _made_by_classes(value: Any) -> bool:
    """typing's own instances: their calls make types and change nothing."""
    return type(value).__module__ in ("typing", "typing_extensions", "enum")


def _static_receiver(staged: StagedModule, chain: Chain) -> Any:
    """The first object of a called chain that is no module; nothing of it is looked up."""
    value = staged.namespace.get(chain[0], MISSING)
    for name in chain[1:]:
        namespace = getattr(value, "__dict__", None) if type(value).__name__ == "module" else None
        if namespace is None:
            return value
        value = namespace.get(name, MISSING)
    return value


def _foreign_store(runner: Runner, staged: StagedModule, statement: Statement) -> str | None:
    if statement.attribute_store:
        return None
    for name in statement.stores_into:
        value = staged.namespace.get(name, MISSING)
        if value is MISSING or type(value) in CONTAINERS or runner.made_here(staged, statement, name):
            continue
        if any(adapter.knows(value) for adapter in runner.policy.adapters):
            continue
        if runner.world.staged_for(value) is not None or type(value).__name__ in ("module", "function"):
            continue
        if is_class(value) or is_opaque(value):
            return f"stores into {name}, {'a class' if is_class(value) else 'an instance of ' + type_name(value)}"
    return None


def _service_may_be_made_again(runner: Runner, staged: StagedModule, statement: Statement) -> bool:
    """An unchanged statement that reads what changed would replace a live object: not one that owns threads or
    sockets.
    """
    if statement.kind in (IMPORT, COMPOUND, EXPRESSION):
        return True
    for name in statement.writes:
        value = staged.home.get(name, MISSING)
        if value is MISSING or not is_opaque(value):
            continue
        owned = _services_in(value)
        if owned and runner.policy.services == "refuse":
            raise RefusedError(
                staged.name,
                "LIVE_SERVICE",
                f"line {statement.first_line} reads what changes and would make {name} again, which owns {owned}",
                "Restart to take it, or choose whether it is to be kept or made again",
            )
        if owned and runner.policy.services == "keep":
            runner.merger.kept.append((f"{staged.name}.{name}", f"owns {owned}"))
            return False
    return True


def _services_in(value: Any) -> str | None:
    """A thread, socket, lock or file that an object holds, a few steps deep; found without running anybody's code."""
    todo, seen = [(value, 0)], {id(value)}
    while todo:
        here, depth = todo.pop()
        name = type_name(here)
        if name in _SERVICES:
            return f"a {name}"
        if depth >= 3 or is_class(here) or type(here).__name__ in ("module", "function") or len(seen) > 2000:
            continue
        for inner in gc.get_referents(here):
            if id(inner) not in seen and inner is not type(here):
                seen.add(id(inner))
                todo.append((inner, depth + 1))
    return None
