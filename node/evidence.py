r"""What banks and registrars hand to an auditor: files of one JSON line each.

*Receipts* (`write_receipts`, by a bank): every answered call, as the bank can
prove it (`contracts.answered`), one a line; what a repeat released again has a line
of its own.

*Openings* (`write_openings`, by banks for their requests and by registrars for
their consents)::

    {"v": "safehouse/opening/1", "subject_ref": hex, "salt": hex}

They name people to whoever holds the pepper, and join what one subject was asked
about, so the file is 0600 and for the auditor's eyes only.

*Salts* (`write_salts`, by a bank, of the calls that an auditor names)::

    {"v": "safehouse/result-salt/1", "call", "ticket", "salt": hex}

A salt opens the bank's commitment to an outcome: there are few outcomes, so whoever has
the salt and the journal knows which one it was.

>>> opening = Opening(bytes(32), b"s" * 32)
>>> read_opening(opening_line(opening)).commitment() == opening.commitment()
True
"""

import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeVar

from contracts import answered as answers
from contracts import cross_check
from contracts.answered import Answered, Pinned
from node import clock
from node.domain import Role, TrustDomain
from node.errors import ConfigInvalid, NotFound
from node.receipts import Kept
from node.status import from_wire
from protocols.call import (
    HASH_BYTES,
    SALT_BYTES,
    Opening,
    request_hash,
    ticket_hash,
)
from protocols.canon import Reader, dumps, loads
from protocols.errors import FormatError, ProtocolError

OPENING: Final = "safehouse/opening/1"
RESULT_SALT: Final = "safehouse/result-salt/1"
MAX_LINE: Final = 1 << 20

T = TypeVar("T")

COSIGNED: Final = "cosigned.note"  # beside an exported journal


@dataclass(frozen=True, slots=True)
class Proven:
    """An answered call whose documents fit, and the notes it was proven under."""

    kept: cross_check.Kept
    notes: dict[Role, str]  # signed checkpoints of the two journals


def answered(kept: Kept) -> Answered | None:
    """Take what a bank keeps of a call; None for one that was not answered."""
    if kept.reply is None:
        return None
    reply = kept.reply
    this = reply.repeat if reply.HasField("repeat") else reply.answer
    return Answered(
        kept.request,
        from_wire(this.ticket),
        from_wire(this.receipt),
        this.permit.proof,
        reply.outcome.proof,
    )


def pinned(trust: TrustDomain, now_ms: int) -> Pinned:
    """Return what of a trust domain proves an answer, and what it says now."""
    return Pinned(
        trust.name,
        trust.house.id,
        trust.house.sign,
        trust.authority.sign,
        {bank.id: bank.sign for bank in trust.of_role(Role.BANK)},
        trust.verifiers(Role.HOUSE),
        trust.verifiers(Role.AUTHORITY),
        trust.house.signing(now_ms),
        trust.live_verifiers(Role.HOUSE, now_ms),
    )


def prove(shown: Answered, trust: TrustDomain) -> Proven:
    """Verify what a bank shows, without any journal; raises `ProtocolError`."""
    proven = answers.prove(shown, pinned(trust, clock.now_ms()))
    outcome, permit = proven.outcome, proven.permit
    return Proven(
        cross_check.Kept(proven.name, proven.receipt, outcome.index, permit.index),
        {Role.AUTHORITY: permit.checkpoint, Role.HOUSE: outcome.checkpoint},
    )


# Files


def write_receipts(kept: Iterable[Kept], path: Path) -> int:
    """Write a bank's answered calls for an auditor; return how many."""
    shown = filter(None, map(answered, kept))
    return _write(path, (item.to_bytes() for item in shown))


def read_receipts(path: Path) -> list[Answered]:
    """Read what banks wrote; raises `FormatError` with the line."""
    return list(_read(path, Answered.parse))


def openings_of(kept: Iterable[Kept]) -> Iterator[Opening]:
    """Return the openings of a bank's requests."""
    for item in kept:
        yield Opening(item.subject_ref, item.salt)


def write_openings(openings: Iterable[Opening], path: Path) -> int:
    """Write openings for an auditor; return how many."""
    return _write(path, map(opening_line, openings))


def read_openings(path: Path) -> list[Opening]:
    """Read what banks and registrars wrote; raises `FormatError` with the line."""
    return list(_read(path, read_opening))


@dataclass(frozen=True, slots=True, repr=False)
class ResultSalt:
    """What opens a bank's commitment to an outcome."""

    call: bytes  # request hash
    ticket: bytes  # hash of the ticket that was committed for
    salt: bytes

    def to_bytes(self) -> bytes:
        """Write canonical JSON."""
        return dumps(
            {
                "v": RESULT_SALT,
                "call": self.call.hex(),
                "ticket": self.ticket.hex(),
                "salt": self.salt.hex(),
            }
        )

    @classmethod
    def parse(cls, data: bytes) -> "ResultSalt":
        """Read strictly; raises `FormatError`."""
        reader = Reader(loads(data, RESULT_SALT))
        opened = cls(
            reader.hex("call", HASH_BYTES),
            reader.hex("ticket", HASH_BYTES),
            reader.hex("salt", SALT_BYTES),
        )
        reader.close()
        return opened


def salt_of(kept: Kept) -> ResultSalt:
    """Take what opens the commitment to a call; raises `NotFound` without an answer."""
    call = request_hash(kept.request.payload)
    shown = answered(kept)
    if shown is None or kept.result_salt is None:
        raise NotFound(f"call {call.hex()} was not answered")
    return ResultSalt(call, ticket_hash(shown.ticket.payload), kept.result_salt)


def write_salts(salts: Iterable[ResultSalt], path: Path) -> int:
    """Write what opens a bank's commitments, for an auditor; return how many."""
    return _write(path, (item.to_bytes() for item in salts))


def read_salts(path: Path) -> list[ResultSalt]:
    """Read what a bank wrote; raises `FormatError` with the line."""
    return list(_read(path, ResultSalt.parse))


def opening_line(opening: Opening) -> bytes:
    """Write one opening."""
    return dumps(
        {
            "v": OPENING,
            "subject_ref": opening.subject_ref.hex(),
            "salt": opening.salt.hex(),
        }
    )


def read_opening(data: bytes) -> Opening:
    """Read one opening strictly; raises `FormatError`."""
    reader = Reader(loads(data, OPENING))
    opening = Opening(
        reader.hex("subject_ref", HASH_BYTES), reader.hex("salt", SALT_BYTES)
    )
    reader.close()
    return opening


def _write(path: Path, lines: Iterable[bytes]) -> int:
    """Write a new file, mode 0600: an existing one is not replaced."""
    count = 0
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except OSError as error:
        raise ConfigInvalid(
            f"cannot write `{path}`: {error.strerror}", "name a new file"
        ) from None
    with os.fdopen(descriptor, "wb") as file:
        for line in lines:
            file.write(line + b"\n")
            count += 1
        file.flush()
        os.fsync(descriptor)
    return count


def _read(path: Path, parse: Callable[[bytes], T]) -> Iterator[T]:
    try:
        file = path.open("rb")
    except OSError as error:
        raise ConfigInvalid(f"cannot read `{path}`: {error.strerror}") from None
    with file:
        number = 0
        while line := file.readline(MAX_LINE):
            number += 1
            try:
                if not line.endswith(b"\n"):
                    raise FormatError("no end of line")
                yield parse(line[:-1])
            except ProtocolError as error:
                raise FormatError(f"{path}:{number}: {error}") from None
