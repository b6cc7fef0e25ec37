"""Calls in an export that two auditors compute again (`contracts.transcript`).

>>> from node.transcript import find_cases, sample                 # doctest: +SKIP
>>> calls = sample(directory, trust, 20, seed)                     # doctest: +SKIP
>>> transcripts = Transcripts(trust.paillier)                      # doctest: +SKIP
>>> for case in find_cases(directory, trust, calls):               # doctest: +SKIP
...     shares = [auditor.seed_share(case) for auditor in both]
...     print(transcripts.replay(case, shares, both[0].blocks(case)))
house entry 1204, call 9f3ac0217be01d44: identical

*Which calls* is for nobody to know beforehand: a house that knew the sample could
compute the others as it likes.  So the seed of a sample is drawn after the export,
and every call's place follows from it and the call's own hash.
"""

import heapq
from collections.abc import Collection, Iterator
from contextlib import suppress
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

from contracts import (
    aggregate_bodies,
    audit_bodies,
    bodies,
    job_bodies,
    private_bodies,
    psi_bodies,
)
from contracts.aggregate_transcript import AggregateCase, AggregateCases
from contracts.holdings import Holdings, Version
from contracts.job_transcript import JobCase, JobCases
from contracts.private_transcript import PrivateCase, PrivateCases
from contracts.psi_transcript import PsiCase, PsiCases
from contracts.transcript import Case, Cases
from node.domain import Role, TrustDomain
from node.errors import ExportInvalid, NotFound
from node.export import read_export
from node.progress import Progress, silent
from node.verify import TOLD_EVERY, pins
from protocols.aggregate_call import AggregateTicket, aggregate_ticket_hash
from protocols.audit_call import AuditRequest
from protocols.call import Ticket, ticket_hash
from protocols.canon import Tag
from protocols.entry import Entry, Kind
from protocols.errors import ProtocolError
from protocols.private_call import PrivateTicket
from protocols.psi_call import PsiTicket


def find_cases(
    directory: Path,
    trust: TrustDomain,
    calls: Collection[bytes],
    progress: Progress = silent,
) -> tuple[Case, ...]:
    """Find calls by their request hashes, in the order asked for.

    Raises `NotFound` for one that the house did not begin to compute, or that
    repeats an earlier answer, and `ExportInvalid`.
    """
    cases = Cases(calls, pins(trust))
    for index, entry in _entries(directory, trust, progress):
        try:
            cases.feed(index, entry)
        except ProtocolError as error:
            raise ExportInvalid(f"house entry {index}: {error}", index=index) from None
    return tuple(_case(cases, call) for call in calls)


def _case(cases: Cases, call: bytes) -> Case:
    case = cases.found.get(call)
    if case is None:
        raise NotFound(
            f"no intent of call {call.hex()} in the house's journal",
            "a denied call computes nothing; is the export new enough?",
        )
    if case.ticket.repeat_of:
        raise NotFound(
            f"call {call.hex()} computed nothing: it repeats an earlier answer",
            f"replay the call of ticket {case.ticket.repeat_of.hex()}",
        )
    return case


def find_aggregates(
    directory: Path,
    trust: TrustDomain,
    calls: Collection[bytes],
    progress: Progress = silent,
) -> tuple[AggregateCase, ...]:
    """Find statistics by their request hashes, as `find_cases` does calls."""
    cases = AggregateCases(calls, pins(trust))
    for index, entry in _entries(directory, trust, progress):
        try:
            cases.feed(index, entry)
        except ProtocolError as error:
            raise ExportInvalid(f"house entry {index}: {error}", index=index) from None
    found = []
    for call in calls:
        case = cases.found.get(call)
        if case is None or case.ticket.repeat_of:
            raise NotFound(f"no statistic was computed for call {call.hex()}")
        found.append(case)
    return tuple(found)


def find_private(
    directory: Path,
    trust: TrustDomain,
    calls: Collection[bytes],
    progress: Progress = silent,
) -> tuple[PrivateCase, ...]:
    """Find private calls by their request hashes, as `find_cases` does calls."""
    cases = PrivateCases(calls, pins(trust))
    for index, entry in _entries(directory, trust, progress):
        try:
            cases.feed(index, entry)
        except ProtocolError as error:
            raise ExportInvalid(f"house entry {index}: {error}", index=index) from None
    missing = [call for call in calls if call not in cases.found]
    if missing:
        raise NotFound(f"nothing was computed for private call {missing[0].hex()}")
    return tuple(cases.found[call] for call in calls)


def find_audits(
    directory: Path,
    trust: TrustDomain,
    names: Collection[bytes],
    progress: Progress = silent,
) -> tuple[Case, ...]:
    """Find calls that were computed for auditors, by the hashes of their requests.

    Each is its call's case under the ticket of then: what was newest before the call
    is what it must rest on.
    """
    found: dict[bytes, tuple[int, audit_bodies.Intent]] = {}
    for index, entry in _entries(directory, trust, progress):
        if entry.kind is Kind.AUDIT_INTENT:
            with suppress(ProtocolError):  # decision replay tells
                body = audit_bodies.Intent.parse(entry.body)
                # What the authority refused may have been asked again.
                found[bytes.fromhex(entry.call)] = index, body
    missing = [name for name in names if name not in found]
    if missing:
        raise NotFound(f"nothing was computed for an auditor under {missing[0].hex()}")
    asked = [AuditRequest.parse(found[name][1].request.payload) for name in names]
    calls = [request.call for request in asked]
    cases = find_cases(directory, trust, calls, progress)
    return tuple(
        _again(case, name, *found[name], trust)
        for case, name in zip(cases, names, strict=True)
    )


def _again(
    case: Case, name: bytes, index: int, body: audit_bodies.Intent, trust: TrustDomain
) -> Case:
    ticket, flaws = Ticket.parse(body.ticket.payload), [*case.flaws]
    try:
        pins(trust).verify(Tag.TICKET, body.ticket)
    except ProtocolError as error:
        flaws.append(str(error))
    told = ticket.request, ticket.contract
    if told != (name, case.ticket.contract):
        flaws.append("the ticket is for another request or contract")
    if not same_data(ticket, case.ticket):
        flaws.append("the ticket is on other data than the call's")
    return replace(case, call=name, index=index, ticket=ticket, flaws=tuple(flaws))


def same_data(one: Ticket, other: Ticket) -> bool:
    """Tell whether two tickets are about one slot, on the same versions."""
    return (one.block, one.slot, one.inputs) == (other.block, other.slot, other.inputs)


def find_sessions(
    directory: Path,
    trust: TrustDomain,
    calls: Collection[bytes],
    progress: Progress = silent,
) -> tuple[PsiCase, ...]:
    """Find intersections by their request hashes, in both journals.

    Raises `NotFound` for one that the house did not begin, and `ExportInvalid`.
    """
    cases = PsiCases(calls, pins(trust))
    for role in (Role.HOUSE, Role.AUTHORITY):
        for index, entry in entries(directory, trust, role, progress):
            try:
                if role is Role.HOUSE:
                    cases.feed(index, entry)
                else:
                    cases.feed_authority(entry)
            except ProtocolError as error:
                where = f"{role} entry {index}"
                raise ExportInvalid(f"{where}: {error}", index=index) from None
    found = []
    for call in calls:
        case = cases.find(call)
        if case is None:
            raise NotFound(f"no session {call.hex()} was begun")
        found.append(case)
    return tuple(found)


def find_messages(
    directory: Path,
    trust: TrustDomain,
    names: Collection[bytes],
    progress: Progress = silent,
) -> tuple[JobCase, ...]:
    """Find messages of jobs, by the hashes of their tickets; by a job's hash, all.

    Raises `NotFound` where the house began to compute none, and `ExportInvalid`.
    """
    cases = JobCases(names, pins(trust))
    for index, entry in _entries(directory, trust, progress):
        try:
            cases.feed(index, entry)
        except ProtocolError as error:
            raise ExportInvalid(f"house entry {index}: {error}", index=index) from None
    missing = set(names).difference(*({one.call, one.name} for one in cases.found))
    if missing:
        name = min(missing).hex()
        raise NotFound(f"no message of a job was computed under {name}")
    return tuple(cases.found)


def find_version(
    directory: Path,
    trust: TrustDomain,
    dataset: str,
    version: int = 0,
    progress: Progress = silent,
) -> Version:
    """Find a version of a dataset that was pushed, or, for 0, the newest.

    Raises `NotFound` and `ExportInvalid`.
    """
    versions = Holdings(pins(trust))
    for _, entry in _entries(directory, trust, progress):
        versions.feed(entry)
    found = versions.find(dataset, version)
    if found is None:
        what = f"version {version} of dataset" if version else "dataset"
        raise NotFound(
            f"{what} `{dataset}` was never pushed", "is the export new enough?"
        )
    return found


def sample(
    directory: Path,
    trust: TrustDomain,
    count: int,
    seed: bytes,
    progress: Progress = silent,
) -> tuple[bytes, ...]:
    """Choose calls and messages of jobs that were released; fewer, if there are.

    The same export and seed give the same calls.  Raises `ExportInvalid`.
    """
    released = _released(directory, trust, progress)
    return tuple(
        heapq.nsmallest(count, released, key=lambda call: sha256(seed + call).digest())
    )


def _released(
    directory: Path, trust: TrustDomain, progress: Progress
) -> Iterator[bytes]:
    begun: dict[bytes, bytes] = {}  # call by ticket
    for index, entry in _entries(directory, trust, progress):
        try:
            ticket = _computed(entry)
            if ticket is not None:
                begun[ticket] = bytes.fromhex(entry.call)
            elif entry.kind is Kind.JOB_OUTCOME:
                yield job_bodies.Outcome.parse(entry.body).ticket
            elif entry.kind is Kind.PSI_OUTCOME:
                session = psi_bodies.Outcome.parse(entry.body)
                yield from filter(None, [begun.pop(session.ticket, None)])
            elif entry.kind is Kind.PRIVATE_OUTCOME:
                body = private_bodies.Outcome.parse(entry.body)
                yield from filter(None, [begun.pop(body.ticket, None)])
            elif entry.kind in (Kind.CALL_OUTCOME, Kind.AGGREGATE_OUTCOME):
                yield from filter(
                    None, [begun.pop(bodies.Outcome.parse(entry.body).ticket, None)]
                )
        except (ProtocolError, ValueError) as error:
            raise ExportInvalid(f"house entry {index}: {error}", index=index) from None


def _computed(entry: Entry) -> bytes | None:
    """Name the ticket of an intent by which something was computed."""
    if entry.kind is Kind.CALL_INTENT:
        signed = bodies.Intent.parse(entry.body).ticket
        repeats = Ticket.parse(signed.payload).repeat_of
        return None if repeats else ticket_hash(signed.payload)
    if entry.kind is Kind.AGGREGATE_INTENT:
        signed = aggregate_bodies.Intent.parse(entry.body).ticket
        repeats = AggregateTicket.parse(signed.payload).repeat_of
        return None if repeats else aggregate_ticket_hash(signed.payload)
    if entry.kind is Kind.PRIVATE_INTENT:
        signed = private_bodies.Intent.parse(entry.body).ticket
        return PrivateTicket.parse(signed.payload).hash
    if entry.kind is Kind.PSI_INTENT:
        signed = psi_bodies.Intent.parse(entry.body).ticket
        return PsiTicket.parse(signed.payload).hash
    return None


def _entries(
    directory: Path, trust: TrustDomain, progress: Progress
) -> Iterator[tuple[int, Entry]]:
    return entries(directory, trust, Role.HOUSE, progress)


def entries(
    directory: Path, trust: TrustDomain, role: Role, progress: Progress = silent
) -> Iterator[tuple[int, Entry]]:
    """Read an exported journal, proven; raises `ExportInvalid`."""
    export = read_export(directory / role.value, trust.verifiers(role))
    total = export.checkpoint.size
    for index, data in enumerate(export.entries()):
        if index % TOLD_EVERY == 0:
            progress(index, total)
        try:
            yield index, Entry.parse(data)
        except ProtocolError as error:
            raise ExportInvalid(f"{role} entry {index}: {error}", index=index) from None
    progress(total, total)
