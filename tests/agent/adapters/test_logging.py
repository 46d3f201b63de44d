"""Changed configuration of logging: as a fresh process would have it, and back again, with no handler closed."""

# ruff: noqa: E501 - the rows of a table
from __future__ import annotations

import sys
from typing import TYPE_CHECKING, NamedTuple

import pytest
from support.engine_world import World

if TYPE_CHECKING:
    from pathlib import Path

ABOUT = """
import logging

def about():
    def told(handler):
        where = getattr(handler, "baseFilename", None) or getattr(getattr(handler, "stream", None), "name", "")
        return [type(handler).__name__, str(where).rpartition("/")[2], handler.level, handler.name,
                getattr(handler.formatter, "_fmt", None), len(handler.filters)]
    found = {}
    for name, logger in [("root", logging.root), *sorted(logging.Logger.manager.loggerDict.items())]:
        if isinstance(logger, logging.Logger) and (name == "root" or name.startswith("shop")):
            found[name] = [logger.level, logger.propagate, logger.disabled, [told(each) for each in logger.handlers],
                           len(logger.filters)]
    return {**found, "disable": logging.root.manager.disable}
"""
#: A change of shop.logs; everything else stays. What must come out is what a fresh process has.
CASE = (
    ABOUT
    + """
import shop.logs, shop.other
early = [logging.getLogger(name) for name in ("shop", "shop.other", "shop.a", "shop.b")]
handlers = lambda: [each for logger in [logging.root, *early] for each in logger.handlers]
objects = lambda: [[*map(id, logger.handlers)] for logger in [logging.root, *early]]
enabled = lambda: [logger.isEnabledFor(level) for logger in early for level in (10, 20, 30)]
text = open("shop/logs.py").read()
new = json.loads(open("new.json").read())
old_about, old_handlers, old_objects, old_enabled = about(), handlers(), objects(), enabled()

def to(source, **options):
    module = {"name": "shop.logs", "source": source, "digest": "sha256:" + "0" * 64,
              "filename": os.path.abspath("shop/logs.py")}
    return change({"reimport": {"name": "shop.logs", "mode": "REIMPORT_MODE_PATCH", "modules": [module]}}, **options)

def closed(found):
    return [each for each in found if getattr(each, "_closed", False) or getattr(each, "stream", 1) is None
            or getattr(getattr(each, "stream", None), "closed", False)]

def is_as_before():
    assert about() == old_about, (old_about, about())
    assert objects() == old_objects and enabled() == old_enabled and not closed(old_handlers)

assert to(new, dry_run=True)["outcome"] == "OUTCOME_PLANNED"
is_as_before()
failed_result = to(new + "\\nraise RuntimeError('late')\\n")
assert failed_result["outcome"] == "OUTCOME_FAILED", failed_result
is_as_before()
result = to(new)
assert result["outcome"] == "OUTCOME_APPLIED", result
fresh = json.loads(open("fresh.json").read())
assert about() == fresh, (fresh, about())
assert enabled() != old_enabled or about() != old_about
assert not closed(handlers()) and not closed(old_handlers)
logging.getLogger("shop.a").critical("one")
back = applied(undo())
is_as_before()
logging.getLogger("shop.a").critical("two")
again = applied(undo(back["revision"]))
assert about() == fresh, (fresh, about())
applied(undo(again["revision"]))
is_as_before()
"""
)
FRESH = (
    ABOUT
    + """
import shop.logs, shop.other
open("fresh.json", "w").write(json.dumps(about()))
"""
)
#: Each row twice, in processes forked from this one: the new version as a fresh process has it, and the change.
ROWS = """
import traceback

def fork(code):
    child = os.fork()
    if child == 0:
        try:
            exec(compile(NAMES + code, "<row>", "exec"), dict(globals()))
        except BaseException:
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    return os.waitpid(child, 0)[1]

bad = []
for number, (what, old, new) in enumerate(TABLE):
    os.makedirs(f"{number}/shop")
    os.chdir(str(number))
    sys.path[0] = os.getcwd()
    for path, source in {**FILES, "shop/logs.py": new, "new.json": json.dumps(new)}.items():
        write(path, source)
    status = fork(FRESH)
    write("shop/logs.py", old)
    os.utime("shop/logs.py", (1, 1))
    importlib.invalidate_caches()
    if status or fork(CASE):
        print("failed:", what, file=sys.stderr)
        bad.append(what)
    os.chdir("..")
assert not bad, bad
print("rows:", len(TABLE))
"""
OTHER = "import logging\nlog = logging.getLogger('shop.other')\nlog.addHandler(logging.NullHandler())\n"
CONFIG = """import logging.config

CONFIG = {{
    "version": 1, "disable_existing_loggers": {disable},
    "formatters": {{"plain": {{"format": "{format}"}}}},
    "filters": {{"only": {{"name": "shop"}}}},
    "handlers": {{
        "file": {{"class": "logging.FileHandler", "filename": "{file}", "formatter": "plain", "filters": [{filters}]}},
        "console": {{"class": "logging.StreamHandler", "level": "ERROR"}},
    }},
    "loggers": {{"shop": {{"level": "{level}", "handlers": ["file"], "propagate": {propagate}}}{more}}},
    "root": {{"level": "WARNING", "handlers": ["console"]}},
}}
logging.config.dictConfig(CONFIG)
"""


def config(**given: str) -> str:
    return CONFIG.format(
        **{"disable": "False", "format": "%(message)s", "file": "a.log", "filters": "", "level": "INFO",
           "propagate": "True", "more": "", **given}
    )  # fmt: skip


class Row(NamedTuple):
    """One change of shop.logs."""

    what: str
    old: str
    new: str


MANY = ', "shop.b": {"level": "DEBUG", "handlers": ["console"]}'
HANDLER = "import logging\nlog = logging.getLogger('shop')\nhandler = logging.FileHandler('a.log')\nhandler.setFormatter(logging.Formatter('a %(message)s'))\nlog.addHandler(handler)\nlog.setLevel('INFO')\n"
TABLE = [
    Row("dictConfig: level", config(), config(level="DEBUG")),
    Row("dictConfig: handler's file", config(), config(file="b.log")),
    Row("dictConfig: format", config(), config(format="b %(message)s")),
    Row("dictConfig: filter", config(), config(filters='"only"')),
    Row("dictConfig: propagate", config(), config(propagate="False")),
    Row("dictConfig: one more logger", config(), config(more=MANY)),
    Row("dictConfig: one logger less", config(more=MANY), config()),
    Row("dictConfig: existing loggers are disabled", config(), config(disable="True", level="DEBUG").replace("import logging.config", "import logging.config\n# the others were made before")),
    Row("dictConfig: where nobody had loaded it", "import logging\nX = 1\n", config()),
    Row("dictConfig: taken away", config(), "import logging.config\n"),
    Row("dictConfig: imported by name", config().replace("import logging.config", "from logging.config import dictConfig").replace("logging.config.dict", "dict"), config(level="ERROR").replace("import logging.config", "from logging.config import dictConfig").replace("logging.config.dict", "dict")),
    Row("basicConfig: level", "import logging\nlogging.basicConfig(level='INFO')\n", "import logging\nlogging.basicConfig(level='DEBUG')\n"),
    Row("basicConfig: format", "import logging\nlogging.basicConfig(format='a %(message)s')\n", "import logging\nlogging.basicConfig(format='b %(message)s')\n"),
    Row("basicConfig: to a file", "import logging\nlogging.basicConfig()\n", "import logging\nlogging.basicConfig(filename='b.log')\n"),
    Row("basicConfig: forced", "import logging\nlogging.basicConfig(filename='a.log')\n", "import logging\nlogging.basicConfig(filename='b.log', force=True)\n"),
    Row("basicConfig: taken away", "import logging\nlogging.basicConfig(level=10)\nX = 1\n", "import logging\nX = 2\n"),
    Row("addHandler: another handler", HANDLER, HANDLER.replace("a.log", "b.log")),
    Row("addHandler: one more", HANDLER, HANDLER + "log.addHandler(logging.StreamHandler())\n"),
    Row("addHandler: to another logger", HANDLER, HANDLER.replace("log.addHandler", "logging.getLogger('shop.a').addHandler")),
    Row("addHandler: taken away", HANDLER, HANDLER.replace("log.addHandler(handler)\n", "")),
    Row("addHandler: made in place", "import logging\nlogging.getLogger('shop').addHandler(logging.FileHandler('a.log'))\n", "import logging\nlogging.getLogger('shop').addHandler(logging.FileHandler('b.log'))\n"),
    Row("setLevel of a logger", HANDLER, HANDLER.replace("'INFO'", "'ERROR'")),
    Row("setLevel taken away", HANDLER, HANDLER.replace("log.setLevel('INFO')\n", "")),
    Row("setLevel of a handler", HANDLER, HANDLER + "handler.setLevel(40)\n"),
    Row("another formatter", HANDLER, HANDLER.replace("'a %", "'b %")),
    Row("a filter", HANDLER, HANDLER + "log.addFilter(logging.Filter('shop'))\n"),
    Row("propagate", HANDLER, HANDLER + "log.propagate = False\n"),
    Row("propagate taken away", HANDLER + "log.propagate = False\n", HANDLER),
    Row("logging.disable", HANDLER, HANDLER + "logging.disable(logging.INFO)\n"),
    Row("by a function of another module", "import shop.setup\nshop.setup.begin('INFO')\n", "import shop.setup\nshop.setup.begin('DEBUG')\n"),
]  # fmt: skip
SETUP = "import logging\n\ndef begin(level):\n    logging.getLogger('shop').setLevel(level)\n    logging.getLogger('shop.a').propagate = level == 'INFO'\n"


@pytest.mark.parametrize("start", range(0, len(TABLE), 8))
def test_a_changed_configuration_is_what_a_fresh_process_has_and_goes_back(start: int, tmp_path: Path) -> None:
    rows = TABLE[start : start + 8]
    files = {"shop/__init__.py": "", "shop/other.py": OTHER, "shop/setup.py": SETUP}
    names = "import logging\n[logging.getLogger(name) for name in ('shop', 'shop.a', 'shop.b')]\n"
    given = {"TABLE": [list(row) for row in rows], "FILES": files, "NAMES": names, "FRESH": FRESH, "CASE": CASE}
    told = World(tmp_path, sys.executable).run(f"globals().update({given!r})\n{ROWS}")
    assert f"rows: {len(rows)}" in told


def test_the_module_that_configures_is_not_loaded_for_who_does_without(tmp_path: Path) -> None:
    World(tmp_path, sys.executable).run(
        f"""
import logging
write("logs.py", {HANDLER!r})
import logs
source = {HANDLER!r}.replace("INFO", "ERROR")
applied({{"reimport": {{"name": "logs", "mode": "REIMPORT_MODE_PATCH", "modules": [{{"name": "logs", "source": source}}]}}}})
assert logs.log.level == logging.ERROR
assert "logging.config" not in sys.modules
"""
    )


def test_a_handler_in_use_gets_every_record_while_the_configuration_changes(tmp_path: Path) -> None:
    World(tmp_path, sys.executable).run(
        """
import logging, shop.logs
text = open("shop/logs.py").read()
log, stop, told = logging.getLogger("shop"), threading.Event(), [0]

def work():
    while not stop.is_set():
        told[0] += 1
        log.info("record %d", told[0])

threads = [threading.Thread(target=work)]
[thread.start() for thread in threads]
for number in range(40):
    source = text.replace("%(message)s", f"{number} %(message)s") if number % 2 == 0 else text
    module = {"name": "shop.logs", "source": source}
    applied({"reimport": {"name": "shop.logs", "mode": "REIMPORT_MODE_PATCH", "modules": [module]}})
    time.sleep(0.002)
stop.set()
[thread.join() for thread in threads]
logging.shutdown()
written = [line.split()[-1] for line in open("a.log")]
wrong = [(one, number) for number, one in enumerate(written, 1) if one != str(number)]
assert len(written) == told[0] and not wrong, (len(written), told, wrong[:9])
assert len(log.handlers) == 1 and told[0] > 50
""",
        {"shop/__init__.py": "", "shop/logs.py": config(propagate="False")},
    )
