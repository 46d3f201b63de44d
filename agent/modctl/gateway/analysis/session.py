"""What one process has said about a change in place, and the plans that follow from it."""

from __future__ import annotations

import base64
import json
import os
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from modctl.gateway.analysis.plans import Made, Wanted
from modctl.gateway.changes import read_file
from modctl.gateway.sources import MAGIC, OPTIMIZE
from modctl.local.frames import ATTACHED
from modctl.source.following import Words
from modctl.source.wire import VERSION

if TYPE_CHECKING:
    from modctl.gateway.analysis.plans import Plans
    from modctl.gateway.analysis.texts import Bounded, Texts

#: So many names a plan may bring into doubt before it is simpler to say "any".
_MANY: Final = 2_000
#: Plans of more text than this, compressed, are sent once the process has said that it needs no others: whatever it
#: asks for before, they would be packed, sent and read in vain.
_LARGE_BYTES: Final = 16 * 1024
_LOOKS: Final = 2


class Facts(NamedTuple):
    """What a process says of one of its modules.

    Attributes:
        filename: what its code carries.
        package: whether it is one.
        origin: where its source is found.
        digest: of what is loaded.
        proven_by: the stat of the file that was read for it; None where the process knows the digest.
        unproven: whether the process has yet to hold it against what is loaded.
    """

    filename: str
    package: bool
    origin: str
    digest: str
    proven_by: tuple[int, ...] | None
    unproven: bool


class Known:
    """What is remembered of a process from one change to the next."""

    def __init__(self) -> None:
        self.facts: dict[str, Facts] = {}
        #: Of each module that changed, who was seen to hold something of it.
        self.holders: dict[str, set[str]] = {}
        #: Modules that hold what many hold: their files.
        self.unsure: dict[str, str] = {}

    def digest(self) -> tuple[object, ...]:
        """All of it: the same offer suits processes of which the same is known."""
        holders = tuple((name, frozenset(others)) for name, others in tuple(self.holders.items()))
        return tuple(self.facts.items()), holders, tuple(self.unsure.items())


class GivenUpError(Exception):
    """The process had better plan by itself."""


class Session:
    """One change of one process. Used by one thread at a time.

    Args:
        known: of the process.
        texts, plans: of the host.
        sent: sources that come with the request, by name.
        words: of files, by path and stat.
    """

    def __init__(
        self,
        known: Known,
        texts: Texts,
        plans: Plans,
        sent: dict[str, bytes],
        words: Bounded[Words],
        expected: list[str],
    ) -> None:
        self._known = known
        self._texts = texts
        self._plans = plans
        self._sent = {name: texts.add(content) for name, content in sent.items()}
        self._words = words
        #: Modules that are to change.
        self._own = {name for name in expected if name in known.facts}
        self._ask_texts: list[str] = []
        self._ask_baselines: list[str] = []
        #: Modules of which it was asked what is loaded, and whose texts were asked for since the last ones came. What
        #: is not told then is not asked for again.
        self._asked: set[str] = set()
        self._asked_texts: set[str] = set()
        #: Modules of which the process cannot tell what is loaded.
        self._unprovable: set[str] = set()
        #: Modules whose texts were looked at.
        self._looked: set[str] = set()
        self._reads: dict[str, tuple[str, list[int]]] = {}
        #: Words of files, as they are while one offer is made.
        self._read_words: dict[str, Words | None] = {}
        #: Whether large plans go along; nothing says that the first offer lacks anything.
        self._whole = True
        #: How often they were left out: who holds something of a changed module is told at the first look, who does of
        #: those that follow at the second, and there is seldom a third.
        self._left_out = 0
        self._attached: list[bytes] = []
        self.told: dict[str, tuple[str, str]] = {}
        self._has_proven = False

    def twin(self, known: Known) -> Session:
        """The same for another process of which the same is known, once this one has made an offer to be shared."""
        made = Session.__new__(Session)
        made.__dict__.update(self.__dict__)
        made._known = known
        made._own, made._unprovable, made._looked = set(self._own), set(self._unprovable), set(self._looked)
        made._ask_texts, made._ask_baselines = [], []
        made._reads, made.told = dict(self._reads), dict(self.told)
        made._asked, made._asked_texts, made._read_words = set(self._asked), set(self._asked_texts), {}
        return made

    @property
    def is_shared(self) -> bool:
        """Whether what was offered suits every process of which the same is known: it asks for nothing, and has told
        nothing that changes what is known.
        """
        return bool(self.told) and not (self._asks or self._asked or self._has_proven)

    def offer(self) -> bytes:
        """What is to go with the request: JSON, ATTACHED, and what that refers to.

        Raises:
            GivenUpError: the process had better plan by itself. SyntaxError, ValueError: a source is no Python.
        """
        told: dict[str, Any] = {"v": VERSION, "magic": MAGIC, "optimize": OPTIMIZE}
        made, settled = ({}, {}) if self._asks else self._follow()
        if self._asks:  # plans before that would leave out who has to follow
            told |= {"texts": self._ask_texts, "baselines": self._ask_baselines}
            self._asked.update(self._ask_baselines)
            self._asked_texts.update(self._ask_texts)
            self._ask_texts, self._ask_baselines = [], []
        else:
            whole = self._whole or sum(len(self._texts.packed(each.new)) for each, _ in made.values()) < _LARGE_BYTES
            self._left_out += not whole
            told["plans"] = [self._entry(wanted, each, whole=whole) for wanted, each in made.values()]
            told["settled"] = settled
            told["looked"] = {
                other: self._loaded(other) for others in settled.values() for other in others if other not in made
            }
            told["unsure"] = list(self._known.unsure)
            told["unprovable"] = sorted(self._unprovable)
            told["proofs"] = self._proofs(made.keys() | self._looked)
            self.told = {wanted.name: (wanted.old, wanted.new) for wanted, _ in made.values()}
        attached, self._attached = self._attached, []
        return b"".join([json.dumps(told, separators=(",", ":")).encode(), ATTACHED, *attached])

    def take(self, needs: dict[str, Any]) -> None:
        """What the process has answered instead of making the change.

        Raises:
            GivenUpError: it cannot be had.
        """
        self._whole = bool(needs.get("plans")) or self._left_out >= _LOOKS
        for told in needs.get("texts") or ():
            digest = str(told.get("digest") or "")
            if not digest or bool(told.get("is_bytes")) == digest.startswith("text:"):
                raise GivenUpError(f"the source of {told.get('name')} came in another form than its digest")
            self._texts.add_packed(digest, base64.b64decode(told["packed"]))
            self._asked_texts.clear()
        for told in needs.get("modules") or ():
            self._own.add(told["name"])
            self._take_facts(told)
        for told in needs.get("followers") or ():
            self._take_facts(told)
            for of in told["of"]:
                self._known.holders.setdefault(of, set()).add(told["name"])
        for told in needs.get("unprovable") or ():
            self._unprovable.add(told["name"])
            self._known.facts.pop(told["name"], None)
        for told in needs.get("unsure") or ():
            self._known.unsure[told["name"]] = told["file"]

    def done(self) -> None:
        """The change was made: what was new is loaded now."""
        for name in self._own & self.told.keys():
            facts, new = self._known.facts[name], self.told[name][1]
            self._known.facts[name] = facts._replace(digest=new, proven_by=None)

    # -- inside

    @property
    def _asks(self) -> bool:
        return bool(self._ask_texts or self._ask_baselines)

    def _attach(self, data: bytes) -> list[int]:
        """Where it is to be found in what is attached: offset and length."""
        offset = sum(map(len, self._attached))
        self._attached.append(data)
        return [offset, len(data)]

    def _take_facts(self, told: dict[str, Any]) -> None:
        name = told["name"]
        digest, stat = told.get("digest"), told.get("stat")
        if stat is not None:
            read = read_file(told["file"])
            if read is None or read[1] != stat:
                raise GivenUpError(f"the file of {name} cannot be read as the process had loaded it")
            digest = self._texts.add(read[0])
        if not isinstance(digest, str):
            raise GivenUpError(f"it is not known what is loaded of {name}")
        if not self._texts.knows(digest):
            self._ask_texts.append(name)
        proven_by = None if stat is None else tuple(stat)
        unproven = bool(told.get("unproven"))
        self._known.facts[name] = Facts(told["filename"], told["package"], told["origin"], digest, proven_by, unproven)

    def _new_of(self, name: str) -> str:
        """The digest of what a module is to become."""
        if name in self._sent:
            return self._sent[name]
        if name not in self._reads:
            read = read_file(self._known.facts[name].origin)
            if read is None:
                raise GivenUpError(f"the file of {name} cannot be read")
            self._reads[name] = self._texts.add(read[0]), read[1]
        return self._reads[name][0]

    def _wanted(self, name: str, seeds: frozenset[str]) -> Wanted:
        facts = self._known.facts[name]
        new = self._new_of(name) if name in self._own else facts.digest
        return Wanted(name, facts.filename, facts.package, facts.digest, new, seeds)

    def _follow(self) -> tuple[dict[str, tuple[Wanted, Made]], dict[str, list[str]]]:
        """Plans of what changes and of all that has names from it, and whom was looked at for each."""
        nothing: frozenset[str] = frozenset()
        made: dict[str, tuple[Wanted, Made]] = {}
        settled: dict[str, list[str]] = {}
        self._looked = set()
        self._read_words = {}
        todo = sorted(self._own)
        seeds: dict[str, frozenset[str]] = {}
        while todo:
            name = todo.pop(0)
            wanted = self._wanted(name, seeds.get(name, nothing))
            if not self._texts.knows(wanted.old):
                raise GivenUpError(f"the source of {name} is not kept any more")
            if self._known.facts[name].unproven:
                self._plans.proof(wanted.old, wanted.filename)  # while its tree is there: the plan lets go of it
            each = self._plans.make(wanted)
            made[name] = wanted, each
            others = {other for other in self._known.holders.get(name, ()) if other in self._known.facts}
            settled[name] = sorted(others)
            others |= self._mentioning(name, each.names)
            for other in sorted(others):
                follower = self._wanted(other, nothing)
                if not self._texts.knows(follower.new):
                    self._ask_for_text(other)
                    continue
                self._looked.add(other)
                found = self._plans.imported(follower, name, each.names)
                if found - seeds.get(other, nothing) or (found and other not in made):
                    seeds[other] = seeds.get(other, nothing) | found
                    if other not in todo:
                        todo.append(other)
        whole = {name: each for name, (_, each) in made.items()}
        for name, (wanted, each) in made.items():
            made[name] = wanted._replace(independent=self._plans.is_independent(wanted, whole)), each
        return made, settled

    def _mentioning(self, name: str, names: frozenset[str]) -> set[str]:
        """Of the modules that hold what many hold, those whose text has it from this module."""
        found: set[str] = set()
        for other, file in self._known.unsure.items():
            if other == name or not self._says(other, file, name, names):
                continue
            if other in self._known.facts:
                found.add(other)
            elif other not in self._unprovable and other not in self._asked and other not in self._ask_baselines:
                self._ask_baselines.append(other)
        return found

    def _ask_for_text(self, name: str) -> None:
        if name in self._asked_texts:
            raise GivenUpError(f"the process does not tell the source of {name}")
        if name not in self._ask_texts:
            self._ask_texts.append(name)

    def _says(self, other: str, file: str, name: str, names: frozenset[str]) -> bool:
        if not file.endswith(".py"):
            return False  # it has no source that imports anything
        words = self._words_of(file)
        return words is None or "*" in names or words.mention(other, name, names)

    def _words_of(self, file: str) -> Words | None:
        if file not in self._read_words:
            self._read_words[file] = self._words_now(file)
        return self._read_words[file]

    def _words_now(self, file: str) -> Words | None:
        try:
            found = os.stat(file)
        except OSError:
            return None
        key = file, found.st_mtime_ns, found.st_size, found.st_ino
        words = self._words.get(key)
        if words is None:
            read = read_file(file)
            if read is None:
                return None
            words = self._words.put(key, Words(read[0]))
        return words

    def _loaded(self, name: str) -> dict[str, Any]:
        """What was taken to be loaded."""
        facts = self._known.facts[name]
        found: dict[str, Any] = {"old": facts.digest}
        if facts.proven_by is not None:
            found["old_stat"] = list(facts.proven_by)
        return found

    def _proofs(self, names: set[str]) -> list[dict[str, Any]]:
        """Of modules whose source the process has yet to hold against what is loaded: what must be there."""
        told: list[dict[str, Any]] = []
        for name in sorted(names):
            facts = self._known.facts[name]
            if not facts.unproven:
                continue
            proof = self._plans.proof(facts.digest, facts.filename)
            each: dict[str, Any] = {"name": name, "proof": self._attach(proof), **self._loaded(name)}
            if facts.proven_by is not None:
                each["packed"] = self._attach(self._texts.packed(facts.digest))
            told.append(each)
            self._has_proven = True
            # Whatever it answers, it knows then, and says so where this is not what is loaded.
            self._known.facts[name] = facts._replace(unproven=False)
        return told

    def _entry(self, wanted: Wanted, made: Made, *, whole: bool) -> dict[str, Any]:
        """A plan as it is sent; where it is not to be whole, what it comes to."""
        name = wanted.name
        facts = self._known.facts[name]
        told: dict[str, Any] = {"name": name, "new": wanted.new, **self._loaded(name)}
        if whole:
            told["plan"] = self._attach(self._plans.packed(wanted))
        told["filename"] = wanted.filename
        told["names"] = sorted(made.names) if len(made.names) < _MANY else ["*"]
        if wanted.new == wanted.old and name not in self._own:
            told["follows"] = True
            return told
        told["concerns_others"] = made.concerns_others
        if whole:
            told["packed"] = self._attach(self._texts.packed(wanted.new))
        if whole and facts.proven_by is not None:
            told["old_packed"] = self._attach(self._texts.packed(wanted.old))
        if name in self._reads:
            told["stat"] = self._reads[name][1]
        return told
