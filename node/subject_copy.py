"""A subject's own copy 个人信息副本 of what is known about it: portable, JSON and CSV.

What both journals say of it (`node.historian`), its consents and demands as they were
signed at this registrar, each with the salt that opens its commitment, and the nodes'
proofs that they stand in the journals.  With these anybody can check the copy against
a checkpoint.  A proof shows its whole entry, so those of imports, which hold other
subjects' consents too, are left out; an import's consents are in the copy all the same.

Values and outcomes are not in it: no node has them.  The custodians' agents show the
values (`safehouse subject show`), and each bank what it was answered.

The copy names the subject: it is its own, and to be handed to nobody else.
"""

import csv
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from contracts import bodies
from contracts.subject import SubjectType, canonical_id, subject_ref
from node import durable
from node.config import Config
from node.consent_store import ConsentStore, HeldConsent, HeldDemand
from node.domain import Role, TrustDomain
from node.errors import ConfigInvalid
from node.historian import Historian, Line
from node.keys import RegistrarKeys
from protocols.entry import Entry, Kind
from protocols.note import LogProof

VERSION: Final = "safehouse/subject-copy/1"
FILES: Final = ("subject.json", "history.csv", "consents.csv", "demands.csv")


@dataclass(frozen=True, slots=True, repr=False)
class SubjectCopy:
    """Everything that one registrar can hand a subject."""

    subject_type: SubjectType
    subject_id: str
    made_ms: int
    history: Sequence[Line]
    consents: Sequence[Mapping[str, str]]
    demands: Sequence[Mapping[str, str]]
    receipts: Sequence[str]  # C2SP tlog-proofs

    def to_json(self) -> bytes:
        """Write all of it."""
        document = {
            "v": VERSION,
            "subject_type": self.subject_type.value,
            "subject_id": self.subject_id,
            "made_ms": self.made_ms,
            "history": [asdict(line) for line in self.history],
            "consents": self.consents,
            "demands": self.demands,
            "receipts": self.receipts,
        }
        return json.dumps(document, ensure_ascii=False, indent=2).encode() + b"\n"

    def write(self, folder: Path) -> None:
        """Write it to a new folder: `FILES`, readable for their owner only."""
        try:
            folder.mkdir(mode=0o700, parents=True)
        except FileExistsError:
            raise ConfigInvalid(
                f"`{folder}` is there already", "name a new folder"
            ) from (None)
        tables = ([asdict(line) for line in self.history], self.consents, self.demands)
        contents = (self.to_json(), *map(_table, tables))
        for name, data in zip(FILES, contents, strict=True):
            durable.replace(folder / name, data)


class Copyist:
    """A registrar's desk for copies; context-managed by its historian."""

    def __init__(
        self, settings: Config, held: RegistrarKeys, trust: TrustDomain
    ) -> None:
        self._settings = settings
        self._keys = held
        self._domain = trust

    def copy(self, kind: SubjectType, subject_id: str, now_ms: int) -> SubjectCopy:
        """Collect it; the nodes journal that they were read.

        Raises what `Historian.read` raises.
        """
        canonical = canonical_id(kind, subject_id)
        ref = subject_ref(self._keys.pepper, kind, canonical)
        with Historian(self._settings, self._keys, self._domain) as historian:
            history = historian.read(kind, subject_id)
        store = ConsentStore(self._settings.data)
        try:
            consents, demands = store.consents_of(ref), store.demands(ref)
            receipts = [*_receipts(store, consents)]
            stands = {held.ids[0]: store.status(held.ids[0]).value for held in consents}
        finally:
            store.close()
        return SubjectCopy(
            kind,
            canonical,
            now_ms,
            history,
            [_consent(held, stands[held.ids[0]]) for held in consents],
            [_demand(held) for held in demands],
            receipts,
        )


def _receipts(store: ConsentStore, consents: Sequence[HeldConsent]) -> list[str]:
    """Find the proofs of entries that are about these consents and nothing else."""
    own = {held.signed.payload for held in consents if not held.batch}
    own |= {signed.payload for held in consents for signed in store.events(held.ids[0])}
    found = []
    for role in (Role.HOUSE, Role.AUTHORITY):
        for text in store.receipts(role):
            entry = Entry.parse(LogProof.parse(text).extra)
            body: type[bodies.Grant | bodies.Event]
            if entry.kind is Kind.CONSENT_GRANT:
                body = bodies.Grant
            elif entry.kind is Kind.CONSENT_EVENT:
                body = bodies.Event
            else:
                continue
            if body.parse(entry.body).signed.payload in own:
                found.append(text)
    return found


def _consent(held: HeldConsent, status: str) -> dict[str, str]:
    consent = held.consent
    return {
        "consent": consent.consent_id,
        "status": status,
        "grantees": "; ".join(consent.grantees),
        "purposes": "; ".join(consent.purposes),
        "scope": "; ".join(consent.scope),
        "not_before_ms": str(consent.not_before_ms),
        "not_after_ms": str(consent.not_after_ms),
        "granted_at_ms": str(consent.granted_at_ms),
        "document": held.signed.payload.decode() if not held.batch else "",
        "commitment": consent.subject.hex(),
        "salt": held.opening.salt.hex(),
    }


def _demand(held: HeldDemand) -> dict[str, str]:
    objection = held.objection
    return {
        "id": objection.objection_id,
        "demand": objection.demand.value,
        "stands": str(objection.stands).lower(),
        "dataset": objection.dataset,
        "column": objection.column,
        "at_ms": str(objection.at_ms),
        "document": held.signed.payload.decode(),
        "commitment": objection.subject.hex(),
        "salt": held.opening.salt.hex(),
    }


def _table(rows: Sequence[Mapping[str, object]]) -> bytes:
    """Write rows as CSV; a table without rows is empty."""
    text = io.StringIO(newline="")
    if rows:
        writer = csv.DictWriter(text, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return text.getvalue().encode()
