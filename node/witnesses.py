"""What a node asks its witnesses (`node.witness`): to co-sign, and at start, to check.

* At start every witness is shown the newest checkpoint with a proof from the one that
  the witness has seen last.  A journal that is shorter than that, or another history,
  does not open: it was rewound, or restored from a backup, and going on would make
  proof against this node of every receipt given since.
* While the node runs, a thread has new checkpoints co-signed.  The newest one with all
  lines it got is kept beside the journal, for auditors and banks.

A witness that does not answer keeps nothing from working: whoever could cut it off
could else stop the node.  The log says so, and how old the last cosignature is shows in
what auditors export.
"""

import http.client
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Final

from node import durable, log
from node.domain import Role, TrustDomain
from node.errors import LedgerDamaged, ReplyRefused, Unreachable
from node.ledger import Head, Ledger
from node.witness import ADD
from protocols.cosign import (
    AddCheckpoint,
    Cosigner,
    cosignatures,
    parse_lines,
    with_cosignatures,
)
from protocols.errors import ProtocolError
from protocols.note import MAX_SIZE

EVERY_S: Final = 5.0
DEADLINE_S: Final = 5.0
MOST_BYTES: Final = 1 << 16  # of a reply
STEPS: Final = 3  # what we think it has; what it says it has; once more, if it grew
COSIGNED: Final = "cosigned.note"


@dataclass(frozen=True, slots=True)
class Address:
    """A witness's key, and where it answers."""

    cosigner: Cosigner
    address: str  # host:port


class Behind(LedgerDamaged):
    """A witness has seen a longer journal, or another one."""


class Witnesses:
    """The witnesses of one node's journal; thread-safe."""

    def __init__(
        self,
        domain: TrustDomain,
        addresses: Sequence[tuple[str, str]],
        ledger: Ledger,
        folder: Path,
    ) -> None:
        self._ledger = ledger
        self._path = folder / COSIGNED
        self._witnesses = [
            Address(domain.cosigner(party), address) for party, address in addresses
        ]
        self._seen: dict[str, int] = {}  # size, by the witness's name
        self._size = -1  # of the newest that all co-signed
        self._ended = threading.Event()
        self._thread: threading.Thread | None = None

    def check(self) -> None:
        """Show every witness the newest checkpoint; raises `Behind`."""
        for witness in self._witnesses:
            try:
                self._cosign(witness, self._ledger.head)
            except (Unreachable, ReplyRefused) as error:
                name = type(error).__name__
                log.get().error("witness not asked", error=name)

    def start(self) -> None:
        """Have checkpoints co-signed from now on."""
        if self._witnesses:
            self._thread = threading.Thread(
                target=self._follow, name="witnesses", daemon=True
            )
            self._thread.start()

    def close(self) -> None:
        """Stop asking."""
        self._ended.set()
        if self._thread is not None:
            self._thread.join(2 * DEADLINE_S)

    @property
    def note(self) -> str:
        """The newest co-signed checkpoint, with its lines; "" before the first."""
        try:
            return self._path.read_text("utf-8")
        except FileNotFoundError:
            return ""

    def round(self) -> None:
        """Have the newest checkpoint co-signed by whoever answers, and keep it."""
        head = self._ledger.head
        if not head.size or head.size == self._size:
            return
        lines, missing = list[str](), 0
        for witness in self._witnesses:
            try:
                lines += self._cosign(witness, head)
            except Behind:  # a node that starts refuses to, with the witness's note
                missing += 1
                log.get().error("a witness has another journal")
            except (Unreachable, ReplyRefused, LedgerDamaged) as error:
                missing += 1
                log.get().error("not co-signed", error=type(error).__name__)
        if lines:
            note = with_cosignatures(head.note, lines)
            durable.replace(self._path, note.encode())
        if not missing:
            self._size = head.size

    def _follow(self) -> None:
        while not self._ended.wait(EVERY_S):
            try:
                self.round()
            except OSError as error:  # of the disk; the journal will say so itself
                log.get().error("not co-signed", error=type(error).__name__)

    def _cosign(self, witness: Address, head: Head) -> tuple[str, ...]:
        """Get a witness's lines for `head`; raises `Behind`, `Unreachable`.

        Raises `ReplyRefused` for a witness that does not keep to the protocol.
        """
        name = witness.cosigner.name
        old = self._seen.get(name, 0)
        for _ in range(STEPS):
            if old > head.size:
                raise Behind(
                    f"witness `{name}` has seen {old} entries, here are {head.size}",
                    "an older copy must not go on: find the newest one",
                )
            proof = self._ledger.consistency(old, head.size) if old else []
            asked = AddCheckpoint(old, tuple(proof), head.note)
            status, body = _post(witness.address, asked.to_bytes())
            if status == HTTPStatus.OK:
                self._seen[name] = head.size
                return self._lines(witness, head, body)
            if status == HTTPStatus.CONFLICT and _size(body) != old:
                old = _size(body)
                continue
            if status in (HTTPStatus.CONFLICT, HTTPStatus.UNPROCESSABLE_ENTITY):
                raise Behind(
                    f"witness `{name}` has seen another history up to entry {old}",
                    "stop, and compare this journal with the last export",
                )
            raise ReplyRefused(f"witness `{name}` answers {status}")
        raise ReplyRefused(f"witness `{name}` contradicts itself")

    def _lines(self, witness: Address, head: Head, body: bytes) -> tuple[str, ...]:
        try:
            lines = parse_lines(body)
            note = with_cosignatures(head.note, lines)
            if not cosignatures(note, [witness.cosigner]):
                raise ReplyRefused("a cosignature by nobody we know")
        except ProtocolError as error:
            raise ReplyRefused(f"a cosignature that proves nothing: {error}") from None
        return lines


def fetch(address: str, role: Role) -> str:
    """Ask a witness for the newest checkpoint it has; raises `Unreachable`."""
    status, body = _ask(address, "GET", f"/{role.value}/checkpoint", None)
    if status != HTTPStatus.OK:
        raise Unreachable(f"the witness at `{address}` has no checkpoint of the {role}")
    return body.decode("utf-8", "replace")


def _post(address: str, body: bytes) -> tuple[int, bytes]:
    return _ask(address, "POST", ADD, body)


def _ask(address: str, verb: str, path: str, body: bytes | None) -> tuple[int, bytes]:
    host, _, port = address.rpartition(":")
    link = http.client.HTTPConnection(host.strip("[]"), int(port), timeout=DEADLINE_S)
    try:
        link.request(verb, path, body)
        response = link.getresponse()
        return response.status, response.read(MOST_BYTES)
    except (OSError, http.client.HTTPException) as error:
        name = type(error).__name__
        raise Unreachable(
            f"no answer from the witness at `{address}`: {name}"
        ) from None
    finally:
        link.close()


_DIGITS: Final = len(str(MAX_SIZE))


def _size(body: bytes) -> int:
    text = body.decode("ascii", "replace").strip()
    if not (text.isascii() and text.isdigit() and len(text) <= _DIGITS):
        raise ReplyRefused("a witness names no size")
    size = int(text)
    if size > MAX_SIZE:
        raise ReplyRefused("a witness names no size")
    return size
