"""Logging: loggers, handlers, and what configures them.

While a change is staged the modules `logging` and `logging.config` are staged too, with doubles of the loggers in
them: a changed `dictConfig(…)`, `basicConfig(…)` or `log.addHandler(…)` works on those, and the difference is part of
the commit and of its undo. A handler is never closed: it may be in use, and the undo brings it back.

What a fresh process would have is the measure. So what the old version of a statement had configured goes first, and
`basicConfig` finds the root logger without its own handlers; and loggers that no configuration names stay as they are:
in a fresh process most are made after it, so `disable_existing_loggers` is not for them.
"""

from __future__ import annotations

import logging
import os
import weakref
from typing import TYPE_CHECKING, Any, Final

from modctl.agent.engine.live.adapters.base import Adapter
from modctl.agent.engine.live.adapters.calls import UNKNOWN
from modctl.agent.engine.live.values import class_dict, instance_dict, mro

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from modctl.agent.engine.live.adapters.base import Put
    from modctl.agent.engine.live.adapters.calls import Call
    from modctl.agent.engine.live.adapters.doubles import Doubles

_internal: Final[Any] = logging
#: Handlers that have a name. Weak: they come and go.
_by_name: Final[Any] = _internal._handlers
#: What a logger's configuration is.
_STATE: Final = ("level", "propagate", "disabled", "handlers", "filters")


class LoggerAdapter(Adapter):
    """A logger."""

    module = "logging"

    def __init__(self) -> None:
        super().__init__(["logging.Logger"], ["handlers", "filters"], own={"manager": None})

    def double(self, live: Any, doubles: Doubles) -> Any:
        """A logger with the same handlers."""
        made = super().double(live, doubles)
        made.__dict__.pop("manager", None)  # its class has one; that of the root logger's double gives it another
        return made

    def retract(self, double: Any, call: Call, doubles: Doubles) -> None:
        """Takes back what a method call of the old version did."""
        first = call.argument(0, "level")
        if call.method == "setLevel":
            if first is not UNKNOWN and double.level == _level(first):
                double.level = _default_level(double)
        elif call.method == "addHandler" and 0 in call.made:
            found = next((handler for handler in double.handlers if _made_by(handler, call.made[0])), None)
            if found is not None:
                double.handlers.remove(found)
        elif call.method in ("addHandler", "addFilter") and call.argument(0, "hdlr") is UNKNOWN:
            doubles.notes.append(f"what logger {double.name!r} was given by {call.method}() cannot be told: it stays")
        else:
            super().retract(double, call, doubles)

    def unset(self, double: Any, name: str) -> None:
        """`log.propagate = False` is no more."""
        if name in ("propagate", "disabled"):
            double.__dict__[name] = name == "propagate"

    def afterwards(self, live: Any) -> None:
        """Loggers remember which levels are enabled."""
        live.manager._clear_cache()


class HandlerAdapter(Adapter):
    """A handler: its level, formatter and filters."""

    module = "logging"

    def __init__(self) -> None:
        super().__init__(["logging.Handler"], ["filters"])

    def double(self, live: Any, doubles: Doubles) -> Any:
        """A handler that shares the stream; None of one that would close it when the double goes."""
        if instance_dict(live) is None or any("__del__" in class_dict(cls) for cls in mro(type(live))):
            return None
        return super().double(live, doubles)

    def retract(self, double: Any, call: Call, doubles: Doubles) -> None:
        """Takes back what a method call of the old version did."""
        if call.method == "setFormatter":
            double.formatter = None
        elif call.method == "setLevel":
            double.level = logging.NOTSET
        else:
            super().retract(double, call, doubles)


class ManagerAdapter(Adapter):
    """The loggers by name, and what logging.disable() sets."""

    def __init__(self) -> None:
        super().__init__(["logging.Manager"], own={"loggerDict": None, "root": None})

    def double(self, live: Any, doubles: Doubles) -> Any:
        """Knows the doubles of all loggers."""
        made = super().double(live, doubles)
        made.root = doubles.of(live.root)
        made.root.__dict__["manager"] = made
        made.loggerDict = {
            name: doubles.of(each) if isinstance(each, logging.Logger) else each
            for name, each in live.loggerDict.copy().items()
        }
        return made

    def afterwards(self, live: Any) -> None:
        """Loggers remember which levels are enabled."""
        live._clear_cache()


class StagedLogging:
    """The modules `logging` and `logging.config` in the staged world.

    Args:
        doubles: of this change.
        staged: names of the two modules to their staged namespaces; none where no text of the change configures
            logging.
        builtins: of the staged world.
    """

    def __init__(self, doubles: Doubles, staged: Mapping[str, dict[str, Any]], builtins: dict[str, Any]) -> None:
        self._doubles = doubles
        self._names = dict(_by_name)
        self._named: dict[str, Any] = {}
        #: Kept alive, so that their ids stay theirs.
        self._handlers = [each for reference in [*_internal._handlerList] if (each := reference()) is not None]
        self._states = {id(each): (each, _state(each)) for each in _loggers()}
        if "logging" not in staged:
            return
        self._manager = doubles.of(logging.Logger.manager)
        namespace = staged["logging"]
        self._basic_config: Callable[..., None] = namespace["basicConfig"]
        by_name = {name: doubles.of(each) or each for name, each in self._names.items()}
        namespace.update(root=self._manager.root, _handlers=by_name, _handlerList=[])
        self._put(namespace, "getLogger", self._get_logger)
        self._put(namespace, "basicConfig", self._configure_basically)
        if "logging.config" in staged:
            self._copy = _copy_of_config(builtins)
            for name in ("dictConfig", "fileConfig"):
                self._put(staged["logging.config"], name, getattr(self, f"_{name}"))

    def _put(self, namespace: dict[str, Any], name: str, function: Callable[..., Any]) -> None:
        self._doubles.replace(namespace[name], function)

    # -- what stands for functions of logging

    def _get_logger(self, name: str | None = None) -> Any:
        live = logging.getLogger(name)
        double = self._doubles.of(live)
        if live is not logging.root:
            self._manager.loggerDict.setdefault(name, double)
        return double

    def _configure_basically(self, **kwargs: Any) -> None:
        if kwargs.get("force"):
            self._manager.root.handlers[:] = []  # without closing them
        self._basic_config(**{**kwargs, "force": False})

    def _dictConfig(self, config: Any) -> None:  # noqa: N802 - named after what it stands for
        import logging.config as live

        if live.dictConfigClass is not live.DictConfigurator:
            live.dictConfig(config)  # somebody's own: what it does is moved to the doubles afterwards
            return
        named = set(config.get("loggers") or ())
        self._keeping(lambda: self._copy["dictConfig"](config), named, _STATE)

    def _fileConfig(self, *args: Any, **kwargs: Any) -> None:  # noqa: N802 - named after what it stands for
        self._keeping(lambda: self._copy["fileConfig"](*args, **kwargs), set(), ("disabled",))

    def _keeping(self, configure: Callable[[], None], named: set[str], attributes: tuple[str, ...]) -> None:
        """Configures; loggers that are not named keep what they have."""
        others = [each for name, each in self._manager.loggerDict.items() if name not in named]
        before = [(each, _state(each)) for each in others if isinstance(each, logging.Logger)]
        configure()
        for double, state in before:
            double.__dict__.update({key: state[key] for key in attributes})

    # -- what the old version had configured

    def retract(self, call: Call) -> None:
        """A call of a function of logging by the old version."""
        if call.method == "basicConfig":
            self._retract_basic(call.kwargs)
        elif call.method == "dictConfig" and type(config := call.argument(0, "config")) is dict:
            self._retract_dict(config)
        elif call.method == "disable":
            self._doubles.of(logging.Logger.manager).disable = logging.NOTSET

    def _retract_basic(self, given: dict[str, Any]) -> None:
        root = self._doubles.of(logging.root)
        style = given.get("style", "%")
        wanted = given.get("format", logging._STYLES[style][1] if style in logging._STYLES else "")
        handlers, filename = given.get("handlers"), given.get("filename")
        for handler in [*root.handlers]:
            if isinstance(handlers, (list, tuple)):
                its = any(handler is each for each in handlers)
            elif getattr(handler.formatter, "_fmt", None) != wanted:
                its = False  # the root logger was configured by others before
            elif filename is not None:
                its = isinstance(handler, logging.FileHandler) and (
                    filename is UNKNOWN or handler.baseFilename == os.path.abspath(filename)
                )
            else:
                its = handlers is UNKNOWN or type(handler) is logging.StreamHandler
            if its:
                root.handlers.remove(handler)
        if "level" in given:
            root.level = logging.WARNING

    def _retract_dict(self, config: dict[str, Any]) -> None:
        if config.get("incremental"):
            return
        names = {*(config.get("handlers") or {})}
        sections = {None: config.get("root") or {}, **(config.get("loggers") or {})}
        for name, section in sections.items():
            live = logging.root if name is None else logging.Logger.manager.loggerDict.get(name)
            if not isinstance(live, logging.Logger) or type(section) is not dict:
                continue
            double = self._doubles.of(live)
            double.handlers[:] = [each for each in double.handlers if each.name not in names]
            double.filters[:] = [] if section.get("filters") else double.filters
            if "level" in section and double.level == _level(section["level"]):
                double.level = _default_level(double)
            if "propagate" in section and name is not None:
                double.propagate = True

    # -- what came of it

    def settle(self) -> None:
        """What functions of other modules have done to live loggers is moved to their doubles."""
        for live, state in [*self._states.values()]:
            now = _state(live)
            if now == state:
                continue
            live.__dict__.update({key: state[key] for key in ("level", "propagate", "disabled")})
            live.handlers[:], live.filters[:] = state["handlers"], state["filters"]
            double = self._doubles.of(live, forced=True)
            double.__dict__.update({key: now[key] for key in _STATE if now[key] != state[key]})
            _internal.Logger.manager._clear_cache()

    def restore(self) -> None:
        """Staging is over, whatever became of it: live loggers are as they were, and so are names of handlers."""
        self.settle()
        now = dict(_by_name)
        self._named = {name: each for name, each in now.items() if self._names.get(name) is not each}
        for name in self._named:
            held = self._names.get(name)
            if held is None:
                _by_name.pop(name, None)
            else:
                _by_name[name] = held

    def abandon(self) -> None:
        """The change failed: closes the handlers that were made for it."""
        known = {id(each) for each in self._handlers}
        for double in self._doubles.made(LoggerAdapter):
            for handler in double.handlers:
                if id(handler) not in known and not self._doubles.knows(handler):
                    _close(handler)

    def assign(self, put: Put) -> None:
        """The names of new handlers. They are set in the dict inside: one step, that runs no Python."""
        for name, handler in self._named.items():
            reference = weakref.KeyedRef(handler, _by_name._remove, name)
            put("item", _by_name.data, name, reference, f"logging._handlers[{name!r}]")


def _copy_of_config(builtins: dict[str, Any]) -> dict[str, Any]:
    """logging.config once more, in the staged world: its classes reach for the staged `logging`."""
    import logging.config as live

    spec = live.__spec__
    assert spec is not None
    code = spec.loader.get_code(live.__name__)  # type: ignore[union-attr]  # the standard library's loaders have it
    namespace = {"__name__": live.__name__, "__package__": "logging", "__spec__": spec, "__builtins__": builtins}
    exec(code, namespace)  # noqa: S102 - the standard library's
    return namespace


def _loggers() -> list[logging.Logger]:
    found = [logging.root, *logging.Logger.manager.loggerDict.copy().values()]
    return [each for each in found if isinstance(each, logging.Logger)]


def _state(logger: Any) -> dict[str, Any]:
    own = logger.__dict__
    return {key: [*own[key]] if key in ("handlers", "filters") else own.get(key) for key in _STATE}


def _level(value: Any) -> int | None:
    found = logging.getLevelName(value) if isinstance(value, str) else value
    return found if isinstance(found, int) else None


def _default_level(logger: Any) -> int:
    return logging.WARNING if isinstance(logger, logging.RootLogger) else logging.NOTSET


def _made_by(handler: Any, made: Call) -> bool:
    """Whether a handler may be what a call of its class has made."""
    if type(handler) is not made.receiver:
        return False
    filename = made.argument(0, "filename") if isinstance(handler, logging.FileHandler) else UNKNOWN
    stream = made.argument(0, "stream") if type(handler) is logging.StreamHandler else UNKNOWN
    if filename is not UNKNOWN:
        return bool(handler.baseFilename == os.path.abspath(filename))
    return stream is UNKNOWN or stream is None or handler.stream is stream


def _close(handler: Any) -> None:
    try:
        handler.close()
    except Exception:  # somebody's handler may raise anything, and the change has failed already
        logging.getLogger("modctl.agent").debug("a handler cannot be closed", exc_info=True)


ADAPTERS: Final = (LoggerAdapter(), HandlerAdapter(), ManagerAdapter())
