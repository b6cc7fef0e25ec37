r"""What the bodies of the journal entries of jobs hold (`contracts.bodies`).

A job names very many subjects, so they are written block by block::

    seats     [block, runs, subjects, consents]
    refused   [entry, subject, consent, [[reason, detail], ...]]
    dropped   [block, slots, reason]

`runs` say which slots hold which entries of the bank's list (`protocols.job`).
`subjects` are the node's pseudonyms, 64 hexadecimal digits each, one after the
other, in the order of the slots, as are `consents`.  How often each was used is not
written, for the reason of `contracts.bodies.Permit`.

A block's permits stand in one entry; an entry may hold several blocks, up to
`MOST_BYTES`.  `Entry.call` is the hash of the job for all `job.*` entries.

>>> seats = Seats(7, (0, 1), (4, 5), (bytes(32), bytes(32)), ("c-1", "c-2"))
>>> body = Ask(bytes(32), (seats,)).to_body()
>>> Ask.parse(body).seats == (seats,)
True
>>> Ask.parse({**body, "seats": [[7, [[0, 4, 2]], "00" * 32, ["c-1", "c-2"]]]})
Traceback (most recent call last):
    ...
protocols.errors.FormatError: block 7: expected a subject for each slot
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final, TypeVar

from contracts.bodies import Body
from contracts.decide import Finding, Reason
from protocols.call import HASH_BYTES
from protocols.canon import Json, Tag, digest, dumps
from protocols.errors import FormatError
from protocols.job import Numbers, cut, join, natural, read_runs
from protocols.sign import Signed

MOST_BYTES: Final = 60_000  # of an entry's lists; an entry has 65,535 at most
SEATS_BYTES: Final = 40  # of a block's seats, besides the seats
# Of a seat besides its consent: a run of its own, a subject, quotes.
SEAT_BYTES: Final = 22 + 64 + 3
MOST_DETAIL: Final = 1_000  # characters that a refused entry's journal keeps of each

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Seats:
    """Entries of a job in one block, in the order of their slots."""

    block: int
    slots: Numbers
    entries: Numbers
    subjects: tuple[bytes, ...]  # the node's pseudonyms
    consents: tuple[str, ...]

    @property
    def most_bytes(self) -> int:
        """Bytes that these seats take in an entry, at most."""
        words = sum(len(consent.encode()) for consent in self.consents)
        return SEATS_BYTES + words + SEAT_BYTES * len(self.slots)

    def to_json(self) -> Json:
        """Write for a body."""
        return [
            self.block,
            [list(run) for run in join(zip(self.slots, self.entries, strict=True))],
            b"".join(self.subjects).hex(),
            list(self.consents),
        ]

    @classmethod
    def from_json(cls, item: Json) -> "Seats":
        """Read what `to_json` wrote; raises `FormatError`."""
        match item:
            case [block, list(runs), str(subjects), list(consents)]:
                number = natural("seats", block)
                slots, entries = cut(read_runs("seats", runs))
            case _:
                raise FormatError("member `seats`: not the seats of a block")
        names = _hashes(subjects)
        if len(names) != len(slots):
            raise FormatError(f"block {number}: expected a subject for each slot")
        if len(consents) != len(slots) or not all(type(c) is str for c in consents):
            raise FormatError(f"block {number}: expected a consent for each slot")
        return cls(number, slots, entries, names, tuple(map(str, consents)))


@dataclass(frozen=True, slots=True)
class RefusedEntry:
    """One entry that is refused here, with every reason."""

    entry: int
    subject: bytes  # the node's pseudonym
    consent: str
    findings: tuple[Finding, ...]  # in order

    def to_json(self) -> Json:
        """Write for a body."""
        findings = [[f.reason.value, f.detail[:MOST_DETAIL]] for f in self.findings]
        return [self.entry, self.subject.hex(), self.consent, findings]

    @classmethod
    def from_json(cls, item: Json) -> "RefusedEntry":
        """Read what `to_json` wrote; raises `FormatError`."""
        match item:
            case [entry, str(subject), str(consent), [_, *_] as findings]:
                (name,) = _hashes(subject) or (b"",)
                found = tuple(_finding(finding) for finding in findings)
                return cls(natural("refused", entry), name, consent, found)
            case _:
                raise FormatError("member `refused`: not an entry with its reasons")


@dataclass(frozen=True, slots=True)
class Dropped:
    """Permitted slots that are not decrypted: their consents stand no more."""

    block: int
    slots: Numbers
    reason: Reason

    def to_json(self) -> Json:
        """Write for a body."""
        return [self.block, list(self.slots), self.reason.value]

    @classmethod
    def from_json(cls, item: Json) -> "Dropped":
        """Read what `to_json` wrote; raises `FormatError`."""
        match item:
            case [block, [_, *_] as slots, str(reason)]:
                numbers = tuple(natural("dropped", slot) for slot in slots)
                return cls(natural("dropped", block), numbers, _reason(reason))
            case _:
                raise FormatError("member `dropped`: not slots with a reason")


@dataclass(frozen=True, slots=True)
class Submit(Body):
    """job.submit: a bank's job, as this node first saw it."""

    job: Signed


@dataclass(frozen=True, slots=True)
class Refuse(Body):
    """job.refuse: the whole job, or all that is left of it, refused here."""

    job: Signed
    reasons: tuple[Finding, ...]
    public: Reason
    salt: bytes
    denial: Signed  # call.Denial


@dataclass(frozen=True, slots=True)
class Ask(Body):
    """job.ask (house): allowed here, about to ask the authority for permits."""

    job: bytes
    seats: tuple[Seats, ...]


@dataclass(frozen=True, slots=True)
class Permit(Body):
    """job.permit (authority): allowed, uses and bits counted."""

    job: bytes
    millibits: int  # of each slot
    seats: tuple[Seats, ...]


@dataclass(frozen=True, slots=True)
class Deny(Body):
    """job.deny: entries refused here."""

    job: bytes
    refused: tuple[RefusedEntry, ...]
    salt: bytes
    denials: Signed  # job.JobDenials


@dataclass(frozen=True, slots=True)
class Intent(Body):
    """job.intent (house): about to have some blocks decrypted."""

    ticket: Signed  # job.JobTicket


@dataclass(frozen=True, slots=True)
class Decrypt(Body):
    """job.decrypt (authority): about to decrypt these blocks, once."""

    ticket: bytes
    blocks: tuple[int, ...]
    dropped: tuple[Dropped, ...]


@dataclass(frozen=True, slots=True)
class Done(Body):
    """job.done (authority): decrypted, reply stored."""

    ticket: bytes
    receipt: Signed  # job.JobReceipt


@dataclass(frozen=True, slots=True)
class Outcome(Body):
    """job.outcome (house): reply stored, about to be released."""

    ticket: bytes
    receipt: bytes


@dataclass(frozen=True, slots=True)
class Result(Body):
    """job.result (house): the bank's commitment to what it read."""

    ticket: bytes
    result: Signed  # job.JobResult


@dataclass(frozen=True, slots=True)
class Cancel(Body):
    """job.cancel (house): the bank wants no more of it."""

    cancel: Signed  # job.JobCancel


@dataclass(frozen=True, slots=True)
class End(Body):
    """job.end (house): nothing more comes of it."""

    job: bytes
    state: str  # finished, cancelled, denied, failed
    denied: int  # entries, by house and authority
    permitted: int
    released: int  # slots in outcomes


def reasons_digest(salt: bytes, refused: Sequence[RefusedEntry]) -> bytes:
    """Commit to every reason of every refused entry, as `JobDenials` carries it."""
    texts = [item.to_json() for item in refused]
    return digest(Tag.DENIAL_REASONS, salt, dumps({"v": "1", "refused": texts}))


def pages(items: Iterable[tuple[int, T]]) -> Iterator[list[T]]:
    """Cut (bytes, item) pairs into lists that fit an entry each, in order."""
    page: list[T] = []
    taken = 0
    for size, item in items:
        if page and taken + size > MOST_BYTES:
            yield page
            page, taken = [], 0
        page.append(item)
        taken += size
    if page:
        yield page


def _hashes(text: str) -> tuple[bytes, ...]:
    try:
        data = bytes.fromhex(text)
    except ValueError:
        data = b"\0"
    if len(data) % HASH_BYTES or data.hex() != text:
        raise FormatError("expected hexadecimal of whole hashes")
    return tuple(data[at : at + HASH_BYTES] for at in range(0, len(data), HASH_BYTES))


def _finding(item: Json) -> Finding:
    match item:
        case [str(reason), str(detail)]:
            return Finding(_reason(reason), detail)
        case _:
            raise FormatError("member `refused`: expected reason and detail")


def _reason(text: str) -> Reason:
    try:
        return Reason(text)
    except ValueError:
        raise FormatError(f"unknown reason `{text}`") from None
