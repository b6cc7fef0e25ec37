"""What a bank keeps of its jobs: lists before they are sent, and every release.

One SQLite file, a row a job and a row a release.  Job and list are on the disk
before they are sent, so that after any crash the same job, under the same jti, can
be sent again and spends nothing twice.  A release's documents are the bank's
evidence; outcomes are read from them whenever they are asked for, and are not kept
a second time.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import apsw
import numpy as np
from numpy.typing import NDArray

from node.errors import DiskFull
from node.job_list import Entries
from node.records import open_records
from node.wire.v1 import job_pb2
from protocols.sign import Signed

VERSION: Final = 1
PAGE: Final = 8  # releases read at a time
SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS job(
    id BLOB PRIMARY KEY, number INTEGER NOT NULL, payload BLOB NOT NULL,
    key_id TEXT NOT NULL, signature BLOB NOT NULL, refs BLOB NOT NULL,
    salts BLOB NOT NULL, consents TEXT NOT NULL, subjects TEXT NOT NULL,
    rows BLOB NOT NULL, sent INTEGER NOT NULL DEFAULT 0) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS release(
    job BLOB, number INTEGER, data BLOB NOT NULL, salt BLOB,
    result BLOB, result_key_id TEXT, result_signature BLOB,
    committed INTEGER NOT NULL DEFAULT 0, PRIMARY KEY(job, number));
"""


@dataclass(frozen=True, slots=True, repr=False)
class Listed:
    """A bank's list: its entries, and whom the bank calls what."""

    entries: Entries  # in the order of the references
    subjects: Sequence[str]  # as the bank names them, in that order
    rows: NDArray[np.uint32]  # where each stood in what the bank handed in


class JobRecords:
    """The bank's file; one connection, used by one thread at a time.

    What writes raises `DiskFull`, and then nothing of it is kept.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._db = open_records(path, VERSION, (SCHEMA,))

    def asked(self, job: bytes, signed: Signed, listed: Listed) -> None:
        """Keep a job before it is sent."""
        entries = listed.entries
        self._write(
            "INSERT OR IGNORE INTO job(id, number, payload, key_id, signature, refs,"
            " salts, consents, subjects, rows) VALUES(?, (SELECT count(*) FROM job),"
            " ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                job,
                signed.payload,
                signed.key_id,
                signed.signature,
                bytes(entries.refs),
                bytes(entries.salts),
                "\n".join(entries.consents),
                "\n".join(listed.subjects),
                listed.rows.astype("<u4").tobytes(),
            ),
        )

    def sent(self, job: bytes) -> None:
        """Note that the house has a job, or has said that it takes it never."""
        self._write("UPDATE job SET sent = 1 WHERE id = ?", (job,))

    def unsent(self) -> list[bytes]:
        """List the jobs of which nobody knows whether the house has them."""
        rows: Any = self._db.execute(
            "SELECT id FROM job WHERE NOT sent ORDER BY number"
        )
        return [bytes(job) for (job,) in rows]

    def all(self) -> list[bytes]:
        """List every job."""
        rows: Any = self._db.execute("SELECT id FROM job ORDER BY number")
        return [bytes(job) for (job,) in rows]

    def signed(self, job: bytes) -> Signed | None:
        """Find a job."""
        row: Any = self._db.execute(
            "SELECT payload, key_id, signature FROM job WHERE id = ?", (job,)
        ).fetchone()
        return None if row is None else Signed(*row)

    def listed(self, job: bytes) -> Listed:
        """Read a job's list."""
        refs, salts, consents, subjects, rows = self._need(
            "SELECT refs, salts, consents, subjects, rows FROM job WHERE id = ?", job
        )
        entries = Entries()
        entries.add(refs, salts, consents.split("\n"))
        places = np.frombuffer(rows, "<u4").astype(np.uint32)
        return Listed(entries, subjects.split("\n"), places)

    def released(
        self,
        job: bytes,
        release: job_pb2.FetchJobResponse,
        salt: bytes | None,
        result: Signed | None,
    ) -> None:
        """Keep a release that was checked, and the commitment to what it said."""
        document = (
            (None, None, None)
            if result is None
            else (result.payload, result.key_id, result.signature)
        )
        self._write(
            "INSERT OR IGNORE INTO release(job, number, data, salt, result,"
            " result_key_id, result_signature) VALUES(?, ?, ?, ?, ?, ?, ?)",
            (
                job,
                release.number,
                release.SerializeToString(deterministic=True),
                salt,
                *document,
            ),
        )

    def fetched(self, job: bytes) -> int:
        """Return the number of the release that comes next."""
        (number,) = self._need(
            "SELECT coalesce(max(number) + 1, 0) FROM release WHERE job = ?", job
        )
        return int(number)

    def releases(
        self, job: bytes
    ) -> Iterator[tuple[job_pb2.FetchJobResponse, bytes | None]]:
        """Read every release of a job, with the salt of its commitment."""
        number = 0
        while True:
            page: Any = self._db.execute(
                "SELECT number, data, salt FROM release WHERE job = ? AND number >= ?"
                " ORDER BY number LIMIT ?",
                (job, number, PAGE),
            ).fetchall()
            if not page:
                return
            for _, data, salt in page:
                yield job_pb2.FetchJobResponse.FromString(data), salt
            number = page[-1][0] + 1

    def uncommitted(self, job: bytes) -> list[tuple[int, Signed]]:
        """List the commitments that have not arrived."""
        rows: Any = self._db.execute(
            "SELECT number, result, result_key_id, result_signature FROM release"
            " WHERE job = ? AND result IS NOT NULL AND NOT committed ORDER BY number",
            (job,),
        )
        return [(row[0], Signed(*row[1:])) for row in rows]

    def committed(self, job: bytes, number: int) -> None:
        """Note that the house has a commitment."""
        self._write(
            "UPDATE release SET committed = 1 WHERE job = ? AND number = ?",
            (job, number),
        )

    def close(self) -> None:
        """Close the file."""
        self._db.close()

    def _write(self, statement: str, values: tuple[Any, ...]) -> None:
        try:
            self._db.execute(statement, values)
        except apsw.FullError:
            raise DiskFull(
                f"`{self._path}` cannot grow: the disk is full",
                "make room, and run the same command again: what was kept stands",
            ) from None

    def _need(self, query: str, job: bytes) -> Any:  # noqa: ANN401  a row
        row = self._db.execute(query, (job,)).fetchone()
        if row is None:
            raise AssertionError("a job that was not kept")
        return row
