"""What a source text says must be loaded if it is what is loaded: its code, the names that it binds, its constants.

Made from the text, by a gateway or by the agent; held against the live module by the agent, see
`modctl.agent.engine.live.baselines`.
"""

from __future__ import annotations

import marshal
from typing import TYPE_CHECKING, Final

from .bases import Base, base_of
from .comparison import bound
from .statements import ASSIGN, COMPOUND
from .tuples import NamedTuple

if TYPE_CHECKING:
    from types import CodeType

    from .plan import Text

#: Of the format.
VERSION: Final = 1


class Proof(NamedTuple):
    """What must be there.

    Attributes:
        filename: what the code carries.
        code: the module's.
        names: what it binds for good, whichever way its conditions go.
        constants: names that nothing else touches, with how to work out what they were bound to.
    """

    filename: str
    code: CodeType
    names: tuple[str, ...]
    constants: dict[str, Base]


def proof_of(text: Text) -> Proof:
    """What must be there if the text is what is loaded."""
    last = bound(text.statements)
    state = {name for statement in text.statements for name in statement.global_writes}
    touched: dict[str, int] = {}
    for statement in text.statements:
        for name in statement.touches:
            touched[name] = touched.get(name, 0) + 1
    constants: dict[str, Base] = {}
    for name, index in last.items():
        statement = text.statements[index]
        if statement.kind != ASSIGN or statement.label != name or name in state or touched.get(name, 0) > 1:
            continue
        base = base_of(text.tree.body[index])
        if base is not None and not base.display and not base.names:
            constants[name] = base
    names = tuple(name for name, index in last.items() if text.statements[index].kind != COMPOUND)
    return Proof(text.filename, text.code, names, constants)


def pack(proof: Proof) -> bytes:
    """A proof as bytes, for the same version of Python."""
    constants = {name: tuple(base) for name, base in proof.constants.items()}
    return marshal.dumps((VERSION, proof.filename, proof.code, proof.names, constants))


def unpack(packed: bytes | memoryview) -> Proof:
    """The proof that pack() wrote.

    Raises:
        ValueError, EOFError, TypeError: it is none, or of another version.
    """
    told = marshal.loads(packed)  # noqa: S302 - it comes from the gateway, as compiled code does
    if told[0] != VERSION:
        raise ValueError(f"a proof has version {told[0]}, not {VERSION}")
    _, filename, code, names, constants = told
    return Proof(filename, code, names, {name: Base(*base) for name, base in constants.items()})
