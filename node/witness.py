"""A witness: it co-signs checkpoints of journals that only grow (C2SP tlog-witness).

Anybody in the trust domain may run one, a bank or a regulator: it needs no data, sees
sizes and roots only, and keeps one checkpoint of each journal.  Over HTTP, as C2SP has
it, so that witnesses of other logs can be asked too::

    POST /add-checkpoint     `protocols.cosign.AddCheckpoint`
        200  the cosignature line
        400  not such a request, or `old` beyond the checkpoint
        403  not signed by the journal's key        404  another log
        409  `old` is not what this witness has; the body is the size it has
        422  the proof does not hold
    GET /house/checkpoint    the newest checkpoint seen, co-signed; and so /authority/

Checkpoint and cosignature are public and signed, so there is nothing to keep secret on
the way.  What was co-signed is on the disk before the cosignature leaves.  Two roots
under one size are evidence by themselves: both notes are kept, in `split-...`.
"""

import sys
import threading
from collections.abc import Callable
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from node import durable, log
from node.domain import JOURNALS, TrustDomain
from node.errors import ConfigInvalid
from protocols.cosign import MOST_BYTES, AddCheckpoint, cosign, with_cosignatures
from protocols.errors import FormatError, ProofInvalid, SignatureInvalid
from protocols.note import Checkpoint, unverified_text
from protocols.tlog import verify_consistency

ADD: Final = "/add-checkpoint"
SIZE_TYPE: Final = "text/x.tlog.size"
TEXT_TYPE: Final = "text/plain; charset=utf-8"
WAIT_S: Final = 10.0  # for a slow caller
_DIGITS: Final = len(str(MOST_BYTES))


class Refusal(Exception):
    """Why a checkpoint is not co-signed, as HTTP says it."""

    def __init__(
        self, status: HTTPStatus, body: str = "", kind: str = TEXT_TYPE
    ) -> None:
        super().__init__(body or status.phrase)
        self.status, self.body, self.kind = status, body or status.phrase, kind


class Witness:
    """One party's memory of the journals of its trust domain; thread-safe."""

    def __init__(
        self,
        domain: TrustDomain,
        party: str,
        key: Ed25519PrivateKey,
        folder: Path,
        now_ms: Callable[[], int],
    ) -> None:
        self._roles = {domain.origin(r): r for r in JOURNALS}
        self._domain = domain
        self._files = {domain.origin(r): folder / f"{r.value}.note" for r in JOURNALS}
        self._name = domain.witness_name(party)
        self._key = key
        self._now_ms = now_ms
        self._lock = threading.Lock()
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._newest = {origin: self._load(origin) for origin in self._roles}

    def add(self, data: bytes) -> str:
        """Co-sign a checkpoint that extends the one before; raises `Refusal`.

        1. It is a checkpoint of a journal of this trust domain, signed by it.
        2. `old` is not larger than it, and is the size of the one before.
        3. Of two of one size the roots are the same.
        4. The proof leads from the one before to this one.
        5. It is on the disk before it is co-signed.
        """
        asked, checkpoint = self._open(data)  # 1
        with self._lock:
            before, note = self._newest[checkpoint.origin]
            if asked.old > checkpoint.size:  # 2
                raise Refusal(HTTPStatus.BAD_REQUEST, "`old` is beyond the checkpoint")
            if checkpoint.size == before.size and checkpoint.root != before.root:  # 3
                self._keep_split(checkpoint, note, asked.note)
                raise Refusal(HTTPStatus.CONFLICT, f"{before.size}\n", SIZE_TYPE)
            if asked.old != before.size:  # 2
                raise Refusal(HTTPStatus.CONFLICT, f"{before.size}\n", SIZE_TYPE)
            if before.size:  # 4; any tree extends the empty one
                try:
                    verify_consistency(
                        before.size,
                        checkpoint.size,
                        asked.proof,
                        before.root,
                        checkpoint.root,
                    )
                except ProofInvalid as error:
                    log.get().error("checkpoint refused", error=type(error).__name__)
                    raise Refusal(HTTPStatus.UNPROCESSABLE_ENTITY, str(error)) from None
            line = cosign(asked.note, self._name, self._key, self._now_ms() // 1000)
            cosigned = with_cosignatures(asked.note, [line])
            durable.replace(self._files[checkpoint.origin], cosigned.encode())  # 5
            self._newest[checkpoint.origin] = checkpoint, cosigned
        return line

    def newest(self, role: str) -> str:
        """Return the newest checkpoint of a journal, co-signed; "" before the first."""
        for origin, (checkpoint, note) in self._newest.items():
            if origin.rpartition("/")[2] == role and checkpoint.size:
                return note
        return ""

    def _open(self, data: bytes) -> tuple[AddCheckpoint, Checkpoint]:
        try:
            asked = AddCheckpoint.parse(data)
            origin = Checkpoint.parse(unverified_text(asked.note)).origin
            if origin not in self._roles:
                raise Refusal(HTTPStatus.NOT_FOUND, "another log than those known here")
            role, now_ms = self._roles[origin], self._now_ms()
            keys = self._domain.live_verifiers(role, now_ms)
            return asked, Checkpoint.open(asked.note, keys)
        except FormatError as error:
            raise Refusal(HTTPStatus.BAD_REQUEST, str(error)) from None
        except SignatureInvalid as error:
            raise Refusal(HTTPStatus.FORBIDDEN, str(error)) from None

    def _load(self, origin: str) -> tuple[Checkpoint, str]:
        path = self._files[origin]
        try:
            note = path.read_text("utf-8")
            keys = self._domain.verifiers(self._roles[origin])
            return Checkpoint.open(note, keys), note
        except FileNotFoundError:
            return Checkpoint(origin, 0, b""), ""
        except (FormatError, SignatureInvalid, ProofInvalid, UnicodeDecodeError):
            raise ConfigInvalid(
                f"`{path}` is not a checkpoint that this witness has seen",
                "put the right one back: without it a fork could not be told",
            ) from None

    def _keep_split(self, checkpoint: Checkpoint, first: str, second: str) -> None:
        role = checkpoint.origin.rpartition("/")[2]
        name = f"split-{role}-{checkpoint.size}.txt"
        evidence = f"{first}\n{second}".encode()
        durable.replace(self._files[checkpoint.origin].with_name(name), evidence)
        log.get().error("split view", journal=role)


class WitnessServer:
    """Serves a witness on `host:port` until `close`; port 0 takes a free one."""

    def __init__(self, witness: Witness, address: str) -> None:
        host, _, port = address.rpartition(":")
        try:
            self._server = _Server(
                (host.strip("[]"), int(port)),
                type("Handler", (_Handler,), {"witness": witness}),
            )
        except OSError as error:
            raise ConfigInvalid(
                f"cannot listen on `{address}`: {error.strerror}",
                "is another witness running there?",
            ) from None
        self.address = f"{host}:{self._server.server_address[1]}"

    def serve(self) -> None:
        """Answer until `close` is called from another thread."""
        self._server.serve_forever()

    def close(self) -> None:
        """Stop answering."""
        self._server.shutdown()
        self._server.server_close()


class _Server(ThreadingHTTPServer):
    def handle_error(self, request: object, client_address: object) -> None:  # noqa: ARG002
        """Say what went wrong, and not with whom: a caller hung up, most likely."""
        log.get().error("call failed", error=type(sys.exc_info()[1]).__name__)


class _Handler(BaseHTTPRequestHandler):
    witness: Witness  # of the server, set by a subclass of its own

    timeout = WAIT_S
    server_version = "safehouse-witness/1"
    sys_version = ""

    def do_POST(self) -> None:
        try:
            self._answer(HTTPStatus.OK, self.witness.add(self._body()))
        except Refusal as refusal:
            self._answer(refusal.status, refusal.body, refusal.kind)

    def do_GET(self) -> None:
        _, _, rest = self.path.partition("/")
        role, _, what = rest.partition("/")
        note = self.witness.newest(role) if what == "checkpoint" else ""
        status = HTTPStatus.OK if note else HTTPStatus.NOT_FOUND
        self._answer(status, note or "no such checkpoint was seen here\n")

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Say nothing: callers' addresses belong in no log of ours."""

    def _body(self) -> bytes:
        length = self.headers.get("Content-Length", "")
        if self.path != ADD:
            raise Refusal(HTTPStatus.NOT_FOUND)
        if not length.isascii() or not length.isdigit():
            raise Refusal(HTTPStatus.LENGTH_REQUIRED)
        if len(length) > _DIGITS or int(length) > MOST_BYTES:
            raise Refusal(HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
        return self.rfile.read(int(length))

    def _answer(self, status: int, text: str, kind: str = TEXT_TYPE) -> None:
        body = text.encode()
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
