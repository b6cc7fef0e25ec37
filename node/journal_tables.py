r"""Exported journals as tables: `safehouse audit sql` (DuckDB), one Parquet file each.

An export (`node.export`) is proven first, leaf by leaf, and what is proven is kept as
`tables/<journal>.<size>.parquet` in its folder: nothing enters a table that no
checkpoint covers, and a journal that grew gets a new file.  Columns::

    idx     entry, from 0            kind    `call.permit`, ...
    time    UTC                      actor   party
    call    request or job hash      body    the entry's body, JSON

Over these lie views, for the questions that auditors ask most:

    journal   both journals, with a column `node`
    calls     a row a call: when, bank, contract, consent, what house and authority
              decided, the first reason, milliseconds from intent to outcome
    consents  a row a consent: registrar, grantees, period, last event, whether it
              `waits` for a second operator or is `approved`, permitted single calls
    jobs      a row a job: bank, entries, permitted, denied, released, state
    asked     questions of every kind, counted: kind, bank, contract, `decision`, the
              first reason, and of a job the public attributes it was narrowed by

Queries run in memory with nothing but these tables in reach: no file, no network.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Final, Self

import duckdb

from node import durable
from node.domain import Role, TrustDomain
from node.errors import ExportInvalid, QueryRefused
from node.export import read_export
from node.progress import Progress, silent
from protocols.canon import Tag
from protocols.entry import Entry
from protocols.errors import FormatError

FOLDER: Final = "tables"
JOURNALS: Final = (Role.HOUSE, Role.AUTHORITY)
BATCH: Final = 10_000
MOST_ROWS: Final = 100_000  # of an answer

_ENTRIES: Final = (
    "CREATE TABLE entries(idx BIGINT, kind VARCHAR, time TIMESTAMP_MS, actor VARCHAR,"
    " call VARCHAR, body VARCHAR)"
)
_INSERT: Final = (
    "INSERT INTO entries SELECT idx, kind, make_timestamp_ms(ms), actor, call, body"
    " FROM (SELECT unnest(?::BIGINT[]) AS idx, unnest(?::VARCHAR[]) AS kind,"
    " unnest(?::BIGINT[]) AS ms, unnest(?::VARCHAR[]) AS actor,"
    " unnest(?::VARCHAR[]) AS call, unnest(?::VARCHAR[]) AS body)"
)
_VIEWS: Final = (
    """CREATE VIEW journal AS SELECT 'house' AS node, * FROM house
       UNION ALL SELECT 'authority' AS node, * FROM authority""",
    """CREATE VIEW requests AS
       SELECT call, min(time) AS time,
         any_value(json_extract_string(body, '$.request.payload')) AS request
       FROM house WHERE kind IN ('call.intent', 'call.deny') GROUP BY call""",
    """CREATE VIEW calls AS
       SELECT r.call, r.time,
         json_extract_string(r.request, '$.bank') AS bank,
         json_extract_string(r.request, '$.contract') AS contract,
         json_extract_string(r.request, '$.consent') AS consent,
         json_extract_string(r.request, '$.purpose') AS purpose,
         coalesce(h.decided, 'permit') AS house,
         a.decided AS authority,
         coalesce(h.reason, a.reason) AS reason,
         a.millibits,
         epoch_ms(o.time) - epoch_ms(i.time) AS ms
       FROM requests r
       LEFT JOIN (SELECT call, 'deny' AS decided,
           any_value(json_extract_string(body, '$.public')) AS reason
         FROM house WHERE kind = 'call.deny' GROUP BY call) h USING(call)
       LEFT JOIN (SELECT call,
           CASE WHEN bool_or(kind = 'call.permit') THEN 'permit' ELSE 'deny' END
             AS decided,
           any_value(json_extract_string(body, '$.public')) AS reason,
           any_value(json_extract(body, '$.millibits')::BIGINT) AS millibits
         FROM authority WHERE kind IN ('call.permit', 'call.deny') GROUP BY call) a
         USING(call)
       LEFT JOIN (SELECT call, min(time) AS time FROM house
         WHERE kind = 'call.intent' GROUP BY call) i USING(call)
       LEFT JOIN (SELECT call, min(time) AS time FROM house
         WHERE kind = 'call.outcome' GROUP BY call) o USING(call)""",
    f"""CREATE VIEW batches AS
       SELECT idx, time, batch,
         CASE WHEN json_extract_string(batch, '$.approver') IS NULL THEN ''
           WHEN a.name IS NULL THEN 'waits' ELSE 'approved' END AS approval
       FROM (SELECT idx, time, json_extract_string(body, '$.signed.payload') AS batch
         FROM authority WHERE kind = 'consent.batch')
       LEFT JOIN (SELECT DISTINCT json_extract_string(
           json_extract_string(body, '$.signed.payload'), '$.batch') AS name
         FROM authority WHERE kind = 'consent.approval') a
         ON a.name = sha256(unhex('{Tag.CONSENT_BATCH.prefix.hex()}')
           || unhex(printf('%016x', octet_length(encode(batch)))) || encode(batch))""",  # noqa: S608  a constant
    """CREATE VIEW grants AS
       SELECT idx, time, json_extract_string(body, '$.signed.payload') AS consent,
         '' AS approval
       FROM authority WHERE kind = 'consent.grant'
       UNION ALL
       SELECT idx, time, json_object(
         'consent_id', split_part(own, ',', 1),
         'registrar', json_extract(alike, '$.registrar'),
         'grantees', json_extract(alike, '$.grantees'),
         'not_before_ms', split_part(own, ',', 4)::BIGINT,
         'not_after_ms', split_part(own, ',', 5)::BIGINT)::VARCHAR, approval
       FROM (SELECT idx, time, approval, json_extract(batch, '$.alike') AS alike,
           unnest(json_extract_string(batch, '$.consents[*]')) AS own
         FROM batches)""",
    """CREATE VIEW events AS
       SELECT idx, time,
         json_extract_string(e, '$.consent_id') AS consent,
         json_extract_string(e, '$.event') AS event
       FROM (SELECT idx, time, json_extract_string(body, '$.signed.payload') AS e
         FROM authority WHERE kind = 'consent.event')
       UNION ALL
       SELECT idx, time, json_extract_string(consent, '$.supersedes'), 'supersede'
       FROM grants
       WHERE nullif(json_extract_string(consent, '$.supersedes'), '') IS NOT NULL""",
    """CREATE VIEW consents AS
       SELECT g.id AS consent, g.time AS granted, g.registrar, g.grantees,
         g.not_before, g.not_after,
         coalesce(e.event, 'grant') AS last_event, g.approval,
         coalesce(u.calls, 0) AS calls
       FROM (SELECT time, approval, json_extract_string(consent, '$.consent_id') AS id,
           json_extract_string(consent, '$.registrar') AS registrar,
           json_extract(consent, '$.grantees')::VARCHAR AS grantees,
           make_timestamp_ms(json_extract(consent, '$.not_before_ms')::BIGINT)
             AS not_before,
           make_timestamp_ms(json_extract(consent, '$.not_after_ms')::BIGINT)
             AS not_after
         FROM grants) g
       LEFT JOIN (SELECT consent, arg_max(event, idx) AS event FROM events
         GROUP BY consent) e ON e.consent = g.id
       LEFT JOIN (SELECT json_extract_string(body, '$.consent') AS consent,
           count(*) AS calls FROM authority WHERE kind = 'call.permit' GROUP BY 1) u
         ON u.consent = g.id""",
    """CREATE VIEW jobs AS
       SELECT s.call AS job, s.time AS submitted,
         json_extract_string(s.job, '$.bank') AS bank,
         json_extract_string(s.job, '$.contract') AS contract,
         json_extract(s.job, '$.entries')::BIGINT AS entries,
         e.state, e.permitted, e.denied, e.released
       FROM (SELECT call, time, json_extract_string(body, '$.job.payload') AS job
         FROM house WHERE kind = 'job.submit') s
       LEFT JOIN (SELECT call, json_extract_string(body, '$.state') AS state,
           json_extract(body, '$.permitted')::BIGINT AS permitted,
           json_extract(body, '$.denied')::BIGINT AS denied,
           json_extract(body, '$.released')::BIGINT AS released
         FROM house WHERE kind = 'job.end') e USING(call)""",
    # What a house journals in `*.denied` is the authority's refusal: its public reason.
    """CREATE VIEW named AS
       SELECT DISTINCT json_extract_string(body, '$.hash') AS contract,
         json_extract_string(compiled, '$.id') AS id,
         json_extract(compiled, '$.version')::BIGINT AS version
       FROM (SELECT body, json_extract_string(body, '$.compiled') AS compiled
         FROM journal WHERE kind = 'contract.submit')""",
    """CREATE VIEW refusals AS
       SELECT node, idx, kind, call, coalesce(
           json_extract_string(body, '$.reasons[0].reason'),
           json_extract_string(body, '$.public'),
           json_extract_string(
             json_extract_string(body, '$.denial.payload'), '$.reason')) AS reason
       FROM journal WHERE split_part(kind, '.', 1) IN
           ('call', 'private', 'aggregate', 'psi')
         AND split_part(kind, '.', 2) IN ('deny', 'refuse', 'denied')""",
    """CREATE VIEW singles AS
       SELECT call, min(time) AS time, split_part(min(kind), '.', 1) AS room,
         any_value(json_extract_string(body, '$.request.payload')) AS request,
         bool_or(split_part(kind, '.', 2) IN ('permit', 'outcome')) AS permitted
       FROM journal WHERE split_part(kind, '.', 1) IN
           ('call', 'private', 'aggregate', 'psi')
         AND call <> '' GROUP BY call""",
    """CREATE VIEW seated AS
       SELECT job, decision, reason, sum(count)::BIGINT AS count FROM (
         SELECT call AS job, 'permitted' AS decision, NULL AS reason,
           json_extract(body, '$.permitted')::BIGINT AS count
         FROM house WHERE kind = 'job.end'
         UNION ALL
         SELECT call, 'denied', json_extract_string(item, '$[3][0][0]'), 1
         FROM (SELECT call, unnest(json_extract(body, '$.refused[*]')) AS item
           FROM journal WHERE kind = 'job.deny')
         UNION ALL
         SELECT call, 'denied', json_extract_string(body, '$.reasons[0].reason'), 0
         FROM journal WHERE kind = 'job.refuse')
       GROUP BY ALL""",
    """CREATE VIEW asked AS
       SELECT time, kind, bank, contract, coalesce(id, contract) AS product,
         decision, reason, narrowed, count
       FROM (
         SELECT s.time, s.room || coalesce(
             ' ' || json_extract_string(request, '$.kind'), '') AS kind,
           json_extract_string(request, '$.bank') AS bank,
           json_extract_string(request, '$.contract') AS contract,
           CASE WHEN r.reason IS NOT NULL THEN 'denied'
             WHEN permitted THEN 'permitted' ELSE 'under way' END AS decision,
           r.reason, NULL AS narrowed, 1::BIGINT AS count
         FROM singles s LEFT JOIN (SELECT call,
             arg_min(reason, (kind LIKE '%.denied')::INTEGER) AS reason
           FROM refusals GROUP BY call) r USING(call)
         WHERE request IS NOT NULL
         UNION ALL
         SELECT j.time, 'job', json_extract_string(j.job, '$.bank'),
           json_extract_string(j.job, '$.contract'), d.decision, d.reason,
           json_extract(j.job, '$.where')::VARCHAR, d.count
         FROM (SELECT call, min(time) AS time,
             any_value(json_extract_string(body, '$.job.payload')) AS job
           FROM journal WHERE kind = 'job.submit' GROUP BY call) j
         JOIN seated d ON d.job = j.call
       ) LEFT JOIN named USING(contract)""",
)


@dataclass(frozen=True, slots=True)
class Answer:
    """What a query returned."""

    columns: tuple[str, ...]
    rows: Sequence[tuple[Any, ...]]


class JournalTables:
    """Both journals of an export, to be queried; context-managed."""

    def __init__(self, connection: duckdb.DuckDBPyConnection) -> None:
        self._connection = connection

    @classmethod
    def open(
        cls, directory: Path, trust: TrustDomain, progress: Progress = silent
    ) -> "JournalTables":
        """Read an export's tables; those that are missing are made, proven first.

        Raises `ExportInvalid` for a journal that is not what was signed.
        """
        files = {role: _table(directory, role, trust, progress) for role in JOURNALS}
        connection = duckdb.connect(":memory:", config=_CONFIG)
        for role, path in files.items():
            source = str(path.absolute())
            connection.execute(
                f"CREATE TABLE {role.value} AS SELECT * FROM read_parquet(?)",  # noqa: S608  one of two words
                [source],
            )
        for view in _VIEWS:
            connection.execute(view)
        connection.execute("SET enable_external_access = false")
        connection.execute("SET lock_configuration = true")
        return cls(connection)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()

    def query(self, sql: str, values: Sequence[object] = ()) -> Answer:
        """Answer one query; raises `QueryRefused` for what DuckDB cannot answer."""
        try:
            result = self._connection.execute(sql, list(values))
            columns = tuple(name for name, *_ in result.description or ())
            rows = result.fetchmany(MOST_ROWS + 1)
        except duckdb.Error as error:
            first, *_ = str(error).splitlines()
            raise QueryRefused(
                f"the query cannot be answered: {first}",
                "tables: house, authority; views: journal, calls, consents, jobs,"
                " asked",
            ) from None
        if len(rows) > MOST_ROWS:
            raise QueryRefused(
                f"expected at most {MOST_ROWS} rows", "narrow it, or add a LIMIT"
            )
        return Answer(columns, rows)


_CONFIG: Final[dict[str, str | bool | int | float | list[str]]] = {
    "autoinstall_known_extensions": "false",
    "autoload_known_extensions": "false",
    "temp_directory": "",
}


def _table(directory: Path, role: Role, trust: TrustDomain, progress: Progress) -> Path:
    """Find a journal's Parquet file, or make it of entries that were proven."""
    export = read_export(directory / role.value, trust.verifiers(role))
    size = export.checkpoint.size
    root = export.checkpoint.root.hex()[:16]
    path = directory / FOLDER / f"{role.value}.{size}.{root}.parquet"
    if path.exists():
        return path
    path.parent.mkdir(exist_ok=True)
    made = path.with_suffix(durable.TEMPORARY)
    connection = duckdb.connect(":memory:", config=_CONFIG)
    try:
        connection.execute(_ENTRIES)
        done = 0
        rows = _rows(export.entries())
        while batch := list(islice(rows, BATCH)):
            columns = [list(column) for column in zip(*batch, strict=True)]
            connection.execute(_INSERT, columns)
            done += len(batch)
            progress(done, size)
        ordered = connection.sql("SELECT * FROM entries ORDER BY idx")
        ordered.write_parquet(str(made), compression="zstd")
    finally:
        connection.close()
    durable.settle(made, path)
    return path


def _rows(entries: Iterator[bytes]) -> Iterator[tuple[object, ...]]:
    for index, data in enumerate(entries):
        try:
            entry = Entry.parse(data)
        except FormatError as error:
            raise ExportInvalid(f"entry {index}: {error}", index=index) from None
        body = json.dumps(entry.body, ensure_ascii=False, separators=(",", ":"))
        yield index, entry.kind.value, entry.time_ms, entry.actor, entry.call, body
