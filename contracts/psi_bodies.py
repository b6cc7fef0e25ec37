r"""What the bodies of the journal entries of intersections hold (`contracts.bodies`).

`Entry.call` is the hash of the bank's request for all `psi.*` entries but those of
lists, where it is empty.  `dropped` are runs of entries of the list, in its order,
that did not take part for want of a consent: [first, count].

A list's consents stand in the authority's journal, in as many entries as it takes,
right behind its `psi.list`: which entry of a list is whose nobody reads from them, for
the points are blinded.  Nothing else of a session is there than hashes, roots and runs:
no point, no count, no name.

>>> body = Permit.parse(
...     Permit(Signed(b"{}", "k", b"s"), bytes(32), bytes(32), (Run(4, 2),)).to_body()
... )
>>> body.runs
((4, 2),)
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from contracts.bodies import Body
from contracts.decide import Finding, Reason
from protocols.canon import Json
from protocols.errors import FormatError
from protocols.psi import Runs
from protocols.sign import Signed

MOST_BYTES: Final = 60_000  # of a page of consents; an entry has 65,535 at most
BESIDE: Final = 3  # bytes of a consent's quotes and comma


@dataclass(frozen=True, slots=True)
class Run:
    """Some entries of a list, one behind the other."""

    first: int
    count: int

    def to_json(self) -> Json:
        """Write for a body."""
        return [self.first, self.count]

    @classmethod
    def from_json(cls, item: Json) -> "Run":
        """Read what `to_json` wrote; raises `FormatError`."""
        match item:
            case [first, count] if type(first) is type(count) is int and first >= 0:
                return cls(first, count)
            case _:
                raise FormatError("member `dropped`: expected runs of two integers")


@dataclass(frozen=True, slots=True)
class List(Body):
    """psi.list: a version of a list."""

    signed: Signed  # ListManifest


@dataclass(frozen=True, slots=True)
class Consents(Body):
    """psi.consents (authority): the consents of some entries, in their order."""

    list: bytes  # hash of the manifest
    first: int
    consents: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Deny(Body):
    """psi.deny: refused here, with every reason."""

    request: Signed
    reasons: tuple[Finding, ...]
    public: Reason
    salt: bytes
    denial: Signed


@dataclass(frozen=True, slots=True)
class Intent(Body):
    """psi.intent (house): allowed here, about to ask the authority."""

    request: Signed  # PsiRequest
    ticket: Signed  # PsiTicket


@dataclass(frozen=True, slots=True)
class Permit(Body):
    """psi.permit (authority): allowed, and counted."""

    request: Signed
    ticket: bytes
    list: bytes  # hash of the manifest
    dropped: tuple[Run, ...]

    @property
    def runs(self) -> Runs:
        """The entries that do not take part."""
        return tuple((run.first, run.count) for run in self.dropped)


@dataclass(frozen=True, slots=True)
class Denied(Body):
    """psi.denied (house): the authority refused."""

    ticket: bytes
    denial: Signed


@dataclass(frozen=True, slots=True)
class Done(Body):
    """psi.done (authority): everything is multiplied."""

    ticket: bytes
    receipt: Signed  # PsiReceipt


@dataclass(frozen=True, slots=True)
class Outcome(Body):
    """psi.outcome (house): what is about to be released."""

    ticket: bytes
    receipt: bytes  # digest
    replies: bytes  # root over the pieces of Z; in a count, of U
    served: bytes  # root over the pieces of Y


@dataclass(frozen=True, slots=True)
class Return(Body):
    """psi.return (house): the bank's second word, about to be counted."""

    ticket: bytes
    returned: Signed  # PsiReturn


@dataclass(frozen=True, slots=True)
class Count(Body):
    """psi.count (authority): counted; never a second time."""

    ticket: bytes
    receipt: Signed  # PsiCount


@dataclass(frozen=True, slots=True)
class Counted(Body):
    """psi.counted (house): the count is about to be released, sealed."""

    ticket: bytes
    receipt: bytes  # digest


@dataclass(frozen=True, slots=True)
class Result(Body):
    """psi.result (house): the bank's commitment to what it learned."""

    ticket: bytes
    result: Signed  # PsiResult


def consent_pages(manifest: bytes, consents: Sequence[str]) -> Iterator[Consents]:
    """Cut a list's consents into entries."""
    page: list[str] = []
    first = size = 0
    for number, consent in enumerate(consents):
        own = len(consent.encode()) + BESIDE
        if page and size + own > MOST_BYTES:
            yield Consents(manifest, first, tuple(page))
            page, first, size = [], number, 0
        page.append(consent)
        size += own
    if page:
        yield Consents(manifest, first, tuple(page))
