r"""Verify an export without trusting anybody, off-line: `safehouse audit verify`.

An export is a folder that `node.auditor` writes and anybody may have edited::

    <folder>/
      domain.json   the trust-domain file, for the reader's convenience
      house/        the journal of the house (`node.export`)
      authority/    the journal of the authority

Beside each journal may lie `cosigned.note`, the newest checkpoint that witnesses saw.

Nothing in it is believed but what keys of the trust domain signed, and the trust
domain is the caller's own.  In this order:

 1. *Structure*, of each journal: every leaf, every tile, every checkpoint's
    signature and root; and the checkpoints that banks kept, that witnesses co-signed
    and that the caller has from elsewhere are of this history.
 2. *Decisions*: every permit and denial follows from the entries before it, and
    every document in them is signed by a party that may sign it
    (`contracts.replay`).
 3. *Cross-check*: house, authority and the banks' receipts tell one story
    (`contracts.cross_check`), where 1 holds for both journals.
 4. Request and consent are about one subject, as far as `openings` are given.

What is wrong is a `Finding`, and reading goes on; `Report.check` raises the
gravest one as the error a command ends with.
"""

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from contracts import cross_check, replay
from contracts.answered import Answered
from contracts.cross_check import Unfinished
from contracts.rebuild import Pins
from contracts.replay import Discrepancy, Replay
from node import evidence
from node.domain import Role, TrustDomain
from node.errors import ExportInvalid, ForkFound, NodeError
from node.evidence import COSIGNED
from node.export import Export, read_export
from node.progress import Progress, silent
from node.report import (
    BEYOND_EXPORT,
    COSIGNATURE_INVALID,
    DOMAIN_DIFFERS,
    EXPORT_INVALID,
    FORK,
    RECEIPT_INVALID,
    Cosigned,
    Finding,
    Report,
)
from protocols.call import Opening
from protocols.canon import Tag
from protocols.cosign import cosignatures
from protocols.entry import Entry, Kind
from protocols.errors import FormatError, ProtocolError
from protocols.note import Checkpoint

DOMAIN_FILE: Final = "domain.json"
JOURNALS: Final = (Role.HOUSE, Role.AUTHORITY)
TOLD_EVERY: Final = 1_000  # entries

# Who may sign what.  A house that signed consents would be found here.
SIGNERS: Final[Mapping[Tag, tuple[Role, ...]]] = {
    Tag.ACTIVATION: (Role.BANK, Role.CUSTODIAN),
    Tag.APPROVAL: (Role.CUSTODIAN,),
    Tag.COMMIT_RESULT: (Role.BANK,),
    Tag.CONSENT: (Role.REGISTRAR,),
    Tag.CONSENT_APPROVAL: (Role.REGISTRAR,),
    Tag.CONSENT_BATCH: (Role.REGISTRAR,),
    Tag.CONSENT_EVENT: (Role.REGISTRAR,),
    Tag.CONTRACT_SUBMISSION: (Role.BANK, Role.CUSTODIAN),
    Tag.DATASET_REGISTRATION: (Role.CUSTODIAN,),
    Tag.DENIAL: (Role.HOUSE, Role.AUTHORITY),
    Tag.JOB: (Role.BANK,),
    Tag.JOB_CANCEL: (Role.BANK,),
    Tag.JOB_DENIALS: (Role.HOUSE, Role.AUTHORITY),
    Tag.JOB_RECEIPT: (Role.AUTHORITY,),
    Tag.JOB_RESULT: (Role.BANK,),
    Tag.JOB_TICKET: (Role.HOUSE,),
    Tag.MANIFEST: (Role.CUSTODIAN,),
    Tag.MAP: (Role.CUSTODIAN,),
    Tag.ATTRIBUTES: (Role.CUSTODIAN,),
    Tag.AUDIT_REQUEST: (Role.AUDITOR,),
    Tag.AUDIT_SECOND: (Role.AUDITOR,),
    Tag.AGGREGATE_RECEIPT: (Role.AUTHORITY,),
    Tag.AGGREGATE_REQUEST: (Role.BANK,),
    Tag.AGGREGATE_TICKET: (Role.HOUSE,),
    Tag.FEEDBACK: (Role.BANK,),
    Tag.FEEDBACK_DESK: (Role.CUSTODIAN,),
    Tag.OBJECTION: (Role.REGISTRAR,),
    Tag.OBJECTION_ANSWER: (Role.CUSTODIAN,),
    Tag.PRIVATE_REQUEST: (Role.BANK,),
    Tag.PRIVATE_SEALED: (Role.AUTHORITY,),
    Tag.PRIVATE_TICKET: (Role.HOUSE,),
    Tag.PSI_COUNT: (Role.AUTHORITY,),
    Tag.PSI_LIST: (Role.CUSTODIAN,),
    Tag.PSI_RECEIPT: (Role.AUTHORITY,),
    Tag.PSI_REQUEST: (Role.BANK,),
    Tag.PSI_RESULT: (Role.BANK,),
    Tag.PSI_RETURN: (Role.BANK,),
    Tag.PSI_TICKET: (Role.HOUSE,),
    Tag.RATING_REQUEST: (Role.BANK,),
    Tag.RATING_REVOCATION: (Role.BANK,),
    Tag.RECEIPT: (Role.AUTHORITY,),
    Tag.REPEAT_RECEIPT: (Role.AUTHORITY,),
    Tag.REQUEST: (Role.BANK,),
    Tag.RETIREMENT: (Role.BANK, Role.CUSTODIAN),
    Tag.TICKET: (Role.HOUSE,),
}


def verify(  # noqa: PLR0913  each is a kind of evidence
    directory: Path,
    trust: TrustDomain,
    *,
    receipts: Iterable[Answered] = (),
    openings: Iterable[Opening] | None = None,
    checkpoints: Iterable[str] = (),
    signatures: bool = True,
    progress: Progress = silent,
) -> Report:
    """Verify an export under `trust`; never raises for what is wrong with it.

    `receipts` are banks' (`node.evidence`), `openings` banks' and registrars';
    `checkpoints` are signed notes of either journal, from whomever.
    Without `signatures` the documents in the journals are believed: ten times
    faster, for one who has verified this export before.
    """
    desk = _Desk(directory, trust, progress)
    desk.compare_domain()
    desk.open()
    kept, notes, shown = desk.receipts(receipts)
    desk.checkpoints_of_others(checkpoints, notes)
    cosigned = {role.value: desk.cosigned(role, notes) for role in JOURNALS}
    replays = _replays(trust, openings, signatures=signatures)
    house, authority = (
        desk.read(role, replays[role], notes.get(role, ())) for role in JOURNALS
    )
    discrepancies, unfinished = cross_check.cross_check(
        house, authority, kept, trust.standing
    )
    whole = not desk.broken  # 3 compares whole journals
    if whole:
        desk.add(discrepancies)
    counts = [replays[role].counts for role in JOURNALS]
    return Report(
        heads={role.value: export.checkpoint for role, export in desk.exports.items()},
        entries=sum(count.entries for count in counts),
        checkpoints=desk.checkpoints,
        calls=desk.kinds[Role.HOUSE, Kind.CALL_INTENT]
        + desk.kinds[Role.HOUSE, Kind.CALL_DENY],
        permits=desk.kinds[Role.AUTHORITY, Kind.CALL_PERMIT],
        denials=dict(sorted(desk.denials.items())),
        decisions_replayed=sum(count.permits + count.denials for count in counts),
        beyond={
            reason.value: number
            for reason, number in sorted((counts[0].beyond + counts[1].beyond).items())
        },
        unopened=sum(count.unopened for count in counts),
        unfinished=unfinished if whole else Unfinished(),
        receipts=shown,
        findings=tuple(sorted(desk.findings, key=_place)),
        notes=tuple(desk.notes),
        cosigned=cosigned,
    )


def pinned(trust: TrustDomain) -> dict[str, Sequence[Ed25519PublicKey]]:
    """Return the signing keys of every party."""
    return {party.id: party.sign for party in trust.parties}


def signers(trust: TrustDomain) -> dict[Tag, frozenset[str]]:
    """Return the parties that may sign each kind of document."""
    return {
        tag: frozenset(party.id for party in trust.parties if party.role in roles)
        for tag, roles in SIGNERS.items()
    }


def pins(trust: TrustDomain) -> Pins:
    """Pin keys, who may sign what, and who is in charge of which map."""
    return Pins(pinned(trust), signers(trust), trust.standing)


def _replays(
    trust: TrustDomain, openings: Iterable[Opening] | None, *, signatures: bool
) -> dict[Role, Replay]:
    keys, may_sign = (pinned(trust), signers(trust)) if signatures else (None, None)
    opened = None if openings is None else list(openings)
    return {
        role: Replay(
            replay.Role(role.value),
            keys=keys,
            signers=may_sign,
            standing=trust.standing,
            openings=opened,
        )
        for role in JOURNALS
    }


@dataclass(slots=True)
class _Desk:
    """Where an export is read, and findings are collected."""

    directory: Path
    trust: TrustDomain
    progress: Progress
    exports: dict[Role, Export] = field(default_factory=dict)
    findings: list[Finding] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    broken: set[Role] = field(default_factory=set)
    kinds: Counter[tuple[Role, Kind]] = field(default_factory=Counter)
    denials: Counter[str] = field(default_factory=Counter)
    known: set[tuple[str, int | None, str]] = field(default_factory=set)
    checkpoints: int = 0
    done: int = 0

    def compare_domain(self) -> None:
        """Compare the folder's trust domain with the pinned one.

        Its signature is verified by whoever takes the domain from there.
        """
        path = self.directory / DOMAIN_FILE
        try:
            content = json.loads(path.read_bytes())
            found = content["domain"] if isinstance(content, dict) else None
        except FileNotFoundError:
            return
        except (OSError, ValueError, KeyError, RecursionError) as error:
            told = f"cannot be read: {error}"
            self.note(DOMAIN_FILE, DOMAIN_DIFFERS, told)
            return
        if found != json.loads(self.trust.to_bytes()):
            told = f"is not the trust domain that is pinned, `{self.trust.name}`"
            self.note(DOMAIN_FILE, DOMAIN_DIFFERS, f"{told} serial {self.trust.serial}")

    def open(self) -> None:
        """Open both journals, as far as they can be."""
        for role in JOURNALS:
            try:
                export = read_export(
                    self.directory / role.value, self.trust.verifiers(role)
                )
                self.checkpoints += export.checkpoints()
                self.exports[role] = export
            except ExportInvalid as error:
                self._break(role, error)

    def receipts(
        self, receipts: Iterable[Answered]
    ) -> tuple[list[cross_check.Kept], dict[Role, list[str]], int]:
        """Verify what banks show; return it, and the notes it is proven under."""
        kept, notes = [], {role: list[str]() for role in JOURNALS}
        shown = 0
        for answered in receipts:
            shown += 1
            try:
                proven = evidence.prove(answered, self.trust)
            except (ProtocolError, NodeError) as error:
                told = f"a bank's receipt proves nothing: {error}"
                self.note("receipts", RECEIPT_INVALID, told, call=answered.call)
                continue
            kept.append(proven.kept)
            for role, note in proven.notes.items():
                notes[role].append(note)
                self._check_reach(role, answered, proven)
        return kept, notes, shown

    def checkpoints_of_others(
        self, checkpoints: Iterable[str], notes: dict[Role, list[str]]
    ) -> None:
        """Take notes of either journal that somebody kept."""
        for note in checkpoints:
            for role in JOURNALS:
                try:
                    checkpoint = Checkpoint.open(note, self.trust.verifiers(role))
                except ProtocolError:
                    continue
                notes[role].append(note)
                self._check_size(role, checkpoint.size, "somebody")
                break
            else:
                told = "a checkpoint that no journal of this trust domain signed"
                self.note("checkpoints", COSIGNATURE_INVALID, told)

    def cosigned(
        self, role: Role, notes: dict[Role, list[str]]
    ) -> tuple[Cosigned, ...]:
        """Verify what witnesses co-signed, if there is anything."""
        try:
            note = (self.directory / role.value / COSIGNED).read_text("utf-8")
            size = Checkpoint.open(note, self.trust.verifiers(role)).size
            found = cosignatures(note, self.trust.cosigners())
        except FileNotFoundError:
            return ()
        except (OSError, UnicodeDecodeError, ProtocolError) as error:
            told = f"what witnesses co-signed proves nothing: {error}"
            self.note(role.value, COSIGNATURE_INVALID, told)
            return ()
        notes[role].append(note)
        self._check_size(role, size, "a witness")
        return tuple(Cosigned(each.witness, size, each.time_s) for each in found)

    def _check_size(self, role: Role, size: int, who: str) -> None:
        export = self.exports.get(role)
        if export is not None and size > export.checkpoint.size:
            self.note(
                role.value,
                BEYOND_EXPORT,
                f"{who} holds a checkpoint of {size} entries, the export ends at"
                f" {export.checkpoint.size}: if a new export does too,"
                " the journal was cut",
            )

    def _check_reach(
        self, role: Role, answered: Answered, proven: evidence.Proven
    ) -> None:
        export = self.exports.get(role)
        own = self.trust.verifiers(role)
        size = Checkpoint.open(proven.notes[role], own).size
        if export is None or size <= export.checkpoint.size:
            return
        kept = proven.kept
        self.note(
            role.value,
            BEYOND_EXPORT,
            f"a bank holds a checkpoint of {size} entries, the export ends at"
            f" {export.checkpoint.size}: if a new export does too, the journal was cut",
            kept.outcome if role is Role.HOUSE else kept.permit,
            answered.call,
        )

    def read(
        self, role: Role, replayed: Replay, witnesses: Sequence[str]
    ) -> Iterator[Entry]:
        """Read and replay a journal; ends early where it is not what was signed."""
        export = self.exports.get(role)
        if export is None:
            return
        total = sum(export.checkpoint.size for export in self.exports.values())
        index = -1
        try:
            for index, data in enumerate(export.entries(witnesses)):
                if (self.done + index) % TOLD_EVERY == 0:
                    self.progress(self.done + index, total)
                yield self._entry(role, index, data, replayed)
        except ExportInvalid as error:
            self._break(role, error)
        self.done += index + 1
        self.progress(self.done, total)

    def _entry(self, role: Role, index: int, data: bytes, replayed: Replay) -> Entry:
        try:
            entry = Entry.parse(data)
        except FormatError as error:
            self.note(role.value, replay.Mark.MALFORMED, str(error), index)
            # In its place one from which nothing follows.
            return Entry(Kind.NODE_STOP, 0, "", "", {})
        self.kinds[role, entry.kind] += 1
        if entry.kind is Kind.CALL_DENY:
            self.denials[str(entry.body.get("public"))] += 1
        self.add(replayed.feed(index, entry))
        return entry

    def add(self, discrepancies: Iterable[Discrepancy]) -> None:
        """Take what replay or cross-check found; what both found, once."""
        for found in discrepancies:
            index = None if found.index < 0 else found.index
            name = found.role, index, found.message
            if name not in self.known:
                self.known.add(name)
                self.note(
                    found.role.value, found.mark, found.message, index, found.call
                )

    def _break(self, role: Role, error: ExportInvalid) -> None:
        self.broken.add(role)
        mark = EXPORT_INVALID
        if isinstance(error, ForkFound):
            mark = FORK
            self.notes += error.notes
        self.note(role.value, mark, str(error), error.index)

    def note(
        self,
        journal: str,
        mark: str,
        sentence: str,
        index: int | None = None,
        call: str = "",
    ) -> None:
        """Note a finding."""
        self.findings.append(Finding(journal, index, call, mark, sentence))


def _place(finding: Finding) -> tuple[bool, str, int]:
    """Order findings: what breaks a journal first, then by place."""
    grave = finding.mark in (FORK, EXPORT_INVALID)
    index = -1 if finding.index is None else finding.index
    return not grave, finding.journal, index
