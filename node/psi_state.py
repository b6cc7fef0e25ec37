"""What a bank must remember of a session until it ends, sealed under its own key.

`psi/<about>.state`, a wrapped record (`protocols.seal`) of canonical JSON::

    {"v": "safehouse/psi-state/1", "scalar", "markers", "padding", "purpose",
     "request", "boxes"}

`about` is a digest of contract, list version, purpose and customers: the same question
finds its session again.  With the scalar whoever saw the bank's points could try
identifiers on them, so it is erased when the session ends.
"""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from node import durable
from protocols.canon import Reader, dumps, loads
from protocols.errors import FormatError, SealBroken
from protocols.seal import unwrap, wrap

VERSION: Final = "safehouse/psi-state/1"
FOLDER: Final = "psi"
SUFFIX: Final = ".state"


@dataclass(frozen=True, slots=True, repr=False)
class State:
    """A session of a bank."""

    about: bytes
    scalar: bytes
    markers: int  # of the list among the points, in a count
    padding: bytes  # seed: of the points that are nobody, and of the result's salt
    purpose: str
    request: bytes = b""  # as it is signed; signing it again gives the same bytes
    boxes: tuple[bytes, ...] = ()  # of a count, sealed to the authority

    def to_bytes(self) -> bytes:
        """Write canonical JSON."""
        return dumps(
            {
                "v": VERSION,
                "scalar": self.scalar.hex(),
                "markers": self.markers,
                "padding": self.padding.hex(),
                "purpose": self.purpose,
                "request": self.request.decode(),
                "boxes": [box.hex() for box in self.boxes],
            }
        )

    @classmethod
    def parse(cls, about: bytes, data: bytes) -> "State":
        """Read strictly; raises `FormatError`."""
        reader = Reader(loads(data, VERSION))
        state = cls(
            about,
            reader.hex("scalar"),
            reader.integer("markers"),
            reader.hex("padding"),
            reader.text("purpose"),
            reader.text("request").encode(),
            tuple(bytes.fromhex(box) for box in reader.texts("boxes")),
        )
        reader.close()
        return state


class StateFolder:
    """The sessions of one bank that have not ended."""

    def __init__(self, data: Path, keys: Sequence[bytes]) -> None:
        """Take the key that wraps, then those that wrapped before it."""
        self._data = data
        self._folder = data / FOLDER
        self._keys = keys

    def keep(self, state: State) -> None:
        """Write a session's state, durably, in a folder that is its owner's."""
        self._data.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._folder.mkdir(mode=0o700, exist_ok=True)
        sealed = wrap(self._keys[0], state.about, state.to_bytes())
        durable.replace(self._path(state.about), sealed)

    def find(self, about: bytes) -> State | None:
        """Read a session's state; one that does not open is none."""
        try:
            data = self._path(about).read_bytes()
        except FileNotFoundError:
            return None
        for key in self._keys:
            with suppress(SealBroken, FormatError, ValueError):
                return State.parse(about, unwrap(key, about, data))
        return None

    def erase(self, state: State) -> None:
        """Forget a session that has ended."""
        self._path(state.about).unlink(missing_ok=True)

    def _path(self, about: bytes) -> Path:
        return self._folder / f"{about.hex()}{SUFFIX}"
