r"""What a custodian sent to the house, and the house's receipts for it.

One file a push or map, `receipts/<kind>/<name>.<version>.json`, canonical JSON::

    {"v": "safehouse/sent/1", "signed": {"payload", "key", "signature"},
     "values": hex, "rows": int, "proof": text}

It is on the disk before anything is sent, without a `proof`; the reply brings
that: a C2SP tlog-proof that the document stands in the house's journal.  So
after a lost reply the custodian knows what it asked for, and asks for the same
and not for one version more.

`values` is a digest, keyed by the custodian's seed, of all values of a push, and
`rows` the length of the map it was packed by: with them a source table is known
again, for openings.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from node import durable
from node.errors import ReplyRefused
from node.wire.v1 import common_pb2
from protocols.canon import Reader, dumps, loads
from protocols.entry import Entry
from protocols.errors import FormatError, ProtocolError
from protocols.note import LogProof, VerifierKey
from protocols.sign import Signed

VERSION: Final = "safehouse/sent/1"
FOLDER: Final = "receipts"
SUFFIX: Final = ".json"


@dataclass(frozen=True, slots=True)
class Sent:
    """One document that was sent, with the house's receipt once it is there."""

    signed: Signed
    values: bytes = b""  # of a push: 32 bytes
    rows: int = 0  # of the map
    proof: str = ""

    def to_bytes(self) -> bytes:
        """Write canonical JSON."""
        return dumps(
            {
                "v": VERSION,
                "signed": self.signed.to_json(),
                "values": self.values.hex(),
                "rows": self.rows,
                "proof": self.proof,
            }
        )

    @classmethod
    def parse(cls, data: bytes) -> "Sent":
        """Read strictly; raises `FormatError`."""
        reader = Reader(loads(data, VERSION))
        sent = cls(
            Signed.from_json(reader.reader("signed")),
            reader.hex("values"),
            reader.integer("rows"),
            reader.text("proof"),
        )
        reader.close()
        return sent


class SentFolder:
    """The receipts of one kind, below a party's data folder."""

    def __init__(self, data: Path, kind: str) -> None:
        self._data = data
        self._folder = data / FOLDER / kind

    def path(self, name: str, version: int) -> Path:
        """Say where a version's file is."""
        return self._folder / f"{name}.{version}{SUFFIX}"

    def keep(self, name: str, version: int, sent: Sent) -> Path:
        """Write a version's file, durably, in a folder that is its owner's."""
        self._data.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._folder.parent.mkdir(mode=0o700, exist_ok=True)
        self._folder.mkdir(mode=0o700, exist_ok=True)
        path = self.path(name, version)
        durable.replace(path, sent.to_bytes())
        return path

    def find(self, name: str, version: int) -> Sent | None:
        """Read a version's file, if there is one; raises `FormatError`."""
        path = self.path(name, version)
        try:
            data = path.read_bytes()
        except FileNotFoundError:
            return None
        try:
            return Sent.parse(data)
        except FormatError as error:
            raise FormatError(f"`{path}`: {error}") from None

    def newest(self, name: str) -> int:
        """Return the newest version there is a file of; 0 for none."""
        names = (path.name for path in self._folder.glob(f"{name}.*{SUFFIX}"))
        versions = (text.split(".")[1] for text in names)
        return max((int(text) for text in versions if text.isdecimal()), default=0)


def entry_of(
    logged: common_pb2.Logged, keys: Iterable[VerifierKey]
) -> tuple[LogProof, Entry]:
    """Read an entry once it is proven to stand in the journal signed by `keys`.

    Raises `ReplyRefused` for a proof that does not hold.
    """
    try:
        proof = LogProof.parse(logged.proof)
        proof.verify(proof.extra, tuple(keys))
        return proof, Entry.parse(proof.extra)
    except ProtocolError as error:
        raise ReplyRefused(f"the receipt proves nothing: {error}") from None
