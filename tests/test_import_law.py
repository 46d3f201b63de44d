"""Who may import whom. The law is this table; the tests read every file of the product and hold it against the table.

modctl.v1       <- nothing of ours
modctl.local    <- the standard library
modctl.source   <- the standard library
modctl.agent    <- the standard library, source, local: it lives in somebody else's process
modctl.gateway  <- v1, source, local, grpc: it has a process of its own; never agent or client
modctl.client   <- v1, local, grpc in one file; never agent or gateway
"""

from __future__ import annotations

import ast
import subprocess
import sys
import textwrap
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).resolve().parent.parent
SOURCE_ROOTS = ("proto", "agent", "client")
#: Of every Python that we run on: tomllib came with 3.11, and the code asks before it imports it.
STANDARD = sys.stdlib_module_names | {"tomllib"}
#: Python's own startup file, which runs before there is an agent and hands its name back to the one that it hides.
STARTUP_HOOK = ROOT / "agent" / "modctl" / "agent" / "hook" / "sitecustomize.py"


@dataclass(frozen=True)
class Law:
    """What a package may import besides the standard library and itself."""

    ours: frozenset[str] = frozenset()
    foreign: frozenset[str] = frozenset()
    #: What an install may lack: imported in the function that needs it, never at the top of a file.
    optional: frozenset[str] = frozenset()


LAWS = {
    "v1": Law(foreign=frozenset({"google", "grpc"})),
    "local": Law(),
    "source": Law(),
    "agent": Law(ours=frozenset({"source", "local"})),
    "gateway": Law(
        ours=frozenset({"v1", "source", "local"}),
        foreign=frozenset({"grpc", "google"}),
        optional=frozenset(
            {"grpc_health", "grpc_reflection", "nats", "cryptography", "prometheus_client", "opentelemetry", "tomli"}
        ),
    ),
    "client": Law(
        ours=frozenset({"v1", "local"}),
        foreign=frozenset({"grpc", "google", "click", "rich"}),
        optional=frozenset({"yaml", "tomli", "nats", "cryptography", "watchfiles"}),
    ),
}


@dataclass(frozen=True)
class Import:
    """One import statement's module, made absolute."""

    file: Path
    line: int
    module: str
    #: Only type checkers see it.
    for_types: bool = False
    #: In a function: done when that runs.
    late: bool = False

    def __str__(self) -> str:
        return f"{self.file.relative_to(ROOT)}:{self.line} imports {self.module}"


def package_folders() -> dict[str, Path]:
    """Every folder of the namespace: package to where it is."""
    return {
        folder.name: folder
        for root in SOURCE_ROOTS
        for folder in (ROOT / root / "modctl").iterdir()
        if folder.is_dir() and folder.name != "__pycache__"
    }


def is_module(name: str) -> bool:
    """Whether a dotted name of ours is a file or folder of the tree."""
    return any((ROOT / root / name.replace(".", "/")).with_suffix(".py").is_file() for root in SOURCE_ROOTS)


def files_of(package: str) -> list[Path]:
    return sorted(package_folders()[package].rglob("*.py"))


def imports_of(file: Path) -> Iterator[Import]:
    """All of a file's imports, those inside functions and under TYPE_CHECKING too."""
    yield from imports_in(file.read_text(), file)


def imports_in(source: str, file: Path) -> Iterator[Import]:
    package_root = next(ROOT / root for root in SOURCE_ROOTS if file.is_relative_to(ROOT / root))
    parts = file.relative_to(package_root).with_suffix("").parts
    package = parts[:-1]  # the same for __init__.py and for a plain file
    tree = ast.parse(source, str(file))
    unseen = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)
        for statement in node.body
        for inner in ast.walk(statement)
    }
    late = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))
        for inner in ast.walk(node)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield Import(file, node.lineno, alias.name, id(node) in unseen, id(node) in late)
        elif isinstance(node, ast.ImportFrom):
            base = ".".join(package[: len(package) - node.level + 1]) if node.level else ""
            module = ".".join(filter(None, [base, node.module]))
            # What `from modctl.local import frames` imports is modctl.local.frames.
            for alias in node.names:
                whole = f"{module}.{alias.name}"
                found = whole if module == "modctl" or is_module(whole) else module
                yield Import(file, node.lineno, found, id(node) in unseen, id(node) in late)


def breaks(law: Law, package: str, found: Import) -> bool:
    top, _, rest = found.module.partition(".")
    if top == "modctl":
        return rest.partition(".")[0] not in law.ours | {package}
    if found.for_types and top == "typing_extensions":
        return False  # type checkers bring it along
    if top in law.optional:
        return not (found.late or found.for_types)
    return top not in STANDARD and top not in law.foreign


def fresh_python(code: str) -> str:
    """Output of code in an isolated interpreter of this environment."""
    done = subprocess.run([sys.executable, "-Ic", code], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def loaded_by(*modules: str) -> set[str]:
    """What importing these adds to what an interpreter of this environment has loaded anyway."""
    imports = "\n".join(f"import {module}" for module in modules)
    code = f"import sys\nbefore = set(sys.modules)\n{imports}\nprint(*(sys.modules.keys() - before))"
    return set(fresh_python(code).split())


def modules_of(package: str) -> list[str]:
    root = package_folders()[package].parent.parent
    files = [file for file in files_of(package) if file != STARTUP_HOOK]
    names = (".".join(file.relative_to(root).with_suffix("").parts) for file in files)
    return [name.removesuffix(".__init__") for name in names if not name.endswith("__main__")]


def test_every_package_of_the_namespace_has_a_law() -> None:
    assert set(package_folders()) <= set(LAWS), "a new package needs a line in the table above"


@pytest.mark.parametrize("root", SOURCE_ROOTS)
def test_no_source_root_makes_modctl_a_regular_package(root: str) -> None:
    # One __init__.py here would hide the other two roots from everybody.
    assert not (ROOT / root / "modctl" / "__init__.py").exists()


@pytest.mark.parametrize("package", sorted(package_folders()))
def test_a_package_imports_only_what_the_law_allows(package: str) -> None:
    offences = [
        str(found)
        for file in files_of(package)
        if not file.name.endswith(("_pb2.py", "_pb2_grpc.py"))
        for found in imports_of(file)
        if breaks(LAWS[package], package, found)
    ]
    assert offences == []


def test_the_law_sees_imports_inside_functions_and_relative_ones() -> None:
    # The test of the test: a law that cannot be broken proves nothing.
    file = ROOT / "agent" / "modctl" / "agent" / "probe.py"
    source = """
        import socket
        from modctl import client
        from ..gateway.main import main
        from .errors import AgentError
        from modctl.local import frames
        def late():
            import grpc.aio
    """
    found = {one.module: breaks(LAWS["agent"], "agent", one) for one in imports_in(textwrap.dedent(source), file)}
    assert found == {
        "socket": False,
        "modctl.client": True,
        "modctl.gateway.main": True,
        "modctl.agent.errors": False,
        "modctl.local.frames": False,
        "grpc.aio": True,
    }


def test_only_the_channel_of_the_client_knows_grpc() -> None:
    knows = {
        found.file.relative_to(ROOT).as_posix()
        for file in files_of("client")
        for found in imports_of(file)
        if found.module.split(".")[0] == "grpc"
    }
    assert knows <= {"client/modctl/client/channel.py"}


def test_only_one_file_of_the_agent_speaks_frames() -> None:
    # Its constants are anybody's; who takes bytes apart or puts them together is one file.
    speech = {"encode", "Decoder", "HEADER"}

    def speaks(file: Path) -> bool:
        tree = ast.parse(file.read_text())
        through_module = {
            node.attr
            for node in ast.walk(tree)
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "frames"
        }
        by_name = {
            alias.name
            for node in ast.walk(tree)
            if isinstance(node, ast.ImportFrom) and node.module == "modctl.local.frames"
            for alias in node.names
        }
        return bool((through_module | by_name) & speech)

    speakers = {file.relative_to(ROOT).as_posix() for file in files_of("agent") if speaks(file)}
    assert len(speakers) <= 1, speakers


def test_the_engine_knows_no_sockets() -> None:
    sockets = {"socket", "_socket", "select", "selectors", "asyncio", "ssl", "subprocess", "http", "urllib"}
    offences = [
        str(found)
        for file in files_of("agent")
        if "engine" in file.parts
        for found in imports_of(file)
        if found.module.split(".")[0] in sockets
    ]
    assert offences == []


MUTATORS = {"pop", "popitem", "clear", "update", "setdefault", "__setitem__", "__delitem__"}


def _is_sys_modules(node: ast.AST, aliases: set[str]) -> bool:
    """sys.modules, the engine's table.modules() which is the same, or a name for either."""
    if isinstance(node, ast.Call):
        return isinstance(node.func, ast.Attribute) and ast.unparse(node.func) == "table.modules"
    if isinstance(node, ast.Attribute):
        return ast.unparse(node) in {"sys.modules", "_sys.modules"}
    return isinstance(node, ast.Name) and node.id in aliases


def _aliases_of_sys_modules(tree: ast.AST) -> set[str]:
    assigned = {
        target.id
        for node in ast.walk(tree)
        if isinstance(node, ast.Assign) and _is_sys_modules(node.value, set())
        for target in node.targets
        if isinstance(target, ast.Name)
    }
    imported = {
        alias.asname or alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and node.module == "sys"
        for alias in node.names
        if alias.name == "modules"
    }
    return assigned | imported


def writes_of_sys_modules(tree: ast.AST) -> list[int]:
    """Lines that write sys.modules: its items, its mutating methods, the attribute itself; aliases are seen through."""
    aliases = _aliases_of_sys_modules(tree)

    def writes(node: ast.AST) -> bool:
        stored = isinstance(getattr(node, "ctx", None), (ast.Store, ast.Del))
        if isinstance(node, ast.Subscript):
            return stored and _is_sys_modules(node.value, aliases)
        if isinstance(node, ast.Call):  # dict.pop(sys.modules, …)
            function = ast.unparse(node.func)
            by_type = function.startswith("dict.") and function.removeprefix("dict.") in MUTATORS
            return by_type and bool(node.args) and _is_sys_modules(node.args[0], aliases)
        if isinstance(node, ast.Attribute):
            mutates = node.attr in MUTATORS and _is_sys_modules(node.value, aliases)
            return mutates or (stored and _is_sys_modules(node, set()))
        return False

    kinds = (ast.Subscript, ast.Attribute, ast.Call)
    return [node.lineno for node in ast.walk(tree) if isinstance(node, kinds) and writes(node)]


@pytest.mark.parametrize(
    ("source", "lines"),
    [
        ("import sys\nsys.modules['a'] = None", [2]),
        ("import sys\ndel sys.modules['a']", [2]),
        ("import sys\nsys.modules.pop('a', None)", [2]),
        ("import sys\ntable = sys.modules\ntable['a'] = None", [3]),
        ("from sys import modules\nmodules.update({})", [2]),
        ("import sys\nsys.modules = {}", [2]),
        ("import sys\ndict.pop(sys.modules, 'a', None)", [2]),
        ("from x import table\ntable.modules()['a'] = None", [2]),
        ("from x import table\ndict.__setitem__(table.modules(), 'a', None)", [2]),
        ("import sys\nx = sys.modules.get('a')\ny = dict(sys.modules)\ny['a'] = 1", []),
    ],
)
def test_a_write_of_sys_modules_is_seen_however_it_is_spelled(source: str, lines: list[int]) -> None:
    assert writes_of_sys_modules(ast.parse(source)) == lines


def test_only_one_file_of_the_agent_writes_sys_modules() -> None:
    writers = {
        file.relative_to(ROOT).as_posix(): lines
        for file in files_of("agent")
        if file != STARTUP_HOOK and (lines := writes_of_sys_modules(ast.parse(file.read_text())))
    }
    assert list(writers) == ["agent/modctl/agent/engine/commit.py"], writers


@pytest.mark.parametrize("package", sorted(set(package_folders()) - {"agent"}))
def test_nobody_but_the_agent_writes_sys_modules(package: str) -> None:
    assert [file for file in files_of(package) if writes_of_sys_modules(ast.parse(file.read_text()))] == []


def test_only_one_file_of_the_agent_touches_the_import_systems_private_half() -> None:
    private = {
        "_frozen_importlib",
        "_frozen_importlib_external",
        "_imp",
        "importlib._bootstrap",
        "importlib._bootstrap_external",
    }

    def touches(file: Path) -> bool:
        tree = ast.parse(file.read_text())
        attributes = {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
        named = {found.module for found in imports_of(file)}
        return bool(attributes & {"_bootstrap", "_bootstrap_external"} or named & private)

    assert len([file for file in files_of("agent") if touches(file)]) <= 1


def test_importing_the_agent_loads_the_standard_library_and_nothing_else() -> None:
    loaded = loaded_by("modctl.agent")
    strangers = {name for name in loaded if name.split(".")[0] not in sys.stdlib_module_names | {"modctl"}}
    assert strangers == set()
    assert {name.split(".")[1] for name in loaded if name.startswith("modctl.")} <= {"agent", "source", "local"}
    assert "asyncio" not in loaded
    assert "subprocess" not in loaded


def test_everything_in_the_agent_needs_nothing_but_the_standard_library() -> None:
    loaded = loaded_by(*modules_of("agent"))
    strangers = {name for name in loaded if name.split(".")[0] not in sys.stdlib_module_names | {"modctl"}}
    assert strangers == set()
    assert {name.split(".")[1] for name in loaded if name.startswith("modctl.")} <= {"agent", "source", "local"}


@pytest.mark.skipif("gateway" not in package_folders(), reason="there is no gateway in this tree")
def test_everything_in_the_gateway_loads_no_agent_and_no_client() -> None:
    loaded = loaded_by(*modules_of("gateway"))
    assert not {name for name in loaded if name.startswith(("modctl.agent", "modctl.client"))}


@pytest.mark.skipif("client" not in package_folders(), reason="there is no client in this tree")
def test_everything_in_the_client_loads_no_agent_and_no_gateway() -> None:
    loaded = loaded_by(*modules_of("client"))
    assert not {name for name in loaded if name.startswith(("modctl.agent", "modctl.gateway"))}
