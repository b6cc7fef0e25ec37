"""Which of its own models a bank named in which joint score, from an export.

>>> from node.models import named_models                            # doctest: +SKIP
>>> shown = [read_shown(Path("card-behaviour.signed").read_bytes())]  # doctest: +SKIP
>>> for use in named_models(directory, trust, shown).uses:          # doctest: +SKIP
...     print(use.bank, use.name, use.version, len(use.calls))
jnrcb card-behaviour 3 1204

Every request for a joint score names the bank's model by a commitment that only its
bank can make (`contracts.bank_model`).  A bank that has shown an auditor its signed
models has shown all that it used, if

 1. a bank of the trust domain signed each of them;
 2. each of its joint scores that the authority permitted named one of them.

A model that was exchanged after the calls, by a figure or by a name, has another
commitment, and the calls are left without one.

It does not say that the number a bank added came out of the model it named: neither
node saw the number, and no file here has the features.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from contracts import bank_model, bodies
from contracts.contract import ContractKind
from node.domain import Role, TrustDomain
from node.errors import ExportInvalid
from node.export import read_export
from protocols.call import Request
from protocols.canon import Reader, Tag, loads
from protocols.entry import Entry, Kind
from protocols.errors import ProtocolError, SignatureInvalid
from protocols.sign import Signed, verify


@dataclass(frozen=True, slots=True)
class Use:
    """A model that a bank has shown, and the joint scores that named it."""

    bank: str
    name: str
    version: int
    contract: str  # id
    calls: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Named:
    """What all models were used in, and the calls that named none of them."""

    uses: tuple[Use, ...]
    unshown: tuple[tuple[str, str], ...]  # bank, call


def named_models(directory: Path, trust: TrustDomain, shown: Iterable[Signed]) -> Named:
    """Find the joint scores of every bank that has shown a model.

    Raises `ProtocolError` for a model that no bank of this domain signed, and
    `ExportInvalid`.
    """
    models = {
        (_signer(trust, signed), bank_model.commitment(signed)): signed
        for signed in shown
    }  # 1
    banks = {bank for bank, _ in models}
    found: dict[tuple[str, bytes], list[str]] = {key: [] for key in models}
    unshown = []
    for call, request in _joint_scores(directory, trust):  # 2
        if request.bank not in banks or request.shared is None:
            continue
        calls = found.get((request.bank, request.shared.model))
        if calls is None:
            unshown.append((request.bank, call))
        else:
            calls.append(call)
    uses = tuple(
        _use(bank, signed, found[bank, name]) for (bank, name), signed in models.items()
    )
    return Named(uses, tuple(unshown))


def _signer(trust: TrustDomain, signed: Signed) -> str:
    """Return the bank that signed a model."""
    for party in trust.of_role(Role.BANK):
        try:
            verify(Tag.BANK_MODEL, signed, party.sign)
        except SignatureInvalid:
            continue
        return party.id
    raise SignatureInvalid("a model that no bank of this trust domain has signed")


def _use(bank: str, signed: Signed, calls: list[str]) -> Use:
    reader = Reader(loads(signed.payload, bank_model.VERSION))
    named = reader.text("name"), reader.integer("version"), reader.text("contract")
    return Use(bank, *named, tuple(calls))


def _joint_scores(directory: Path, trust: TrustDomain) -> Iterable[tuple[str, Request]]:
    """Read the joint scores that the authority permitted."""
    role = Role.AUTHORITY
    export = read_export(directory / role.value, trust.verifiers(role))
    for index, data in enumerate(export.entries()):
        try:
            entry = Entry.parse(data)
            if entry.kind is not Kind.CALL_PERMIT:
                continue
            signed = bodies.Permit.parse(entry.body).request
            request = Request.parse(signed.payload)
            if request.kind == ContractKind.JOINT.value:
                verify(Tag.REQUEST, signed, trust.party(request.bank, Role.BANK).sign)
                yield entry.call, request
        except ProtocolError as error:
            name = f"{role.value} entry {index}"
            raise ExportInvalid(f"{name}: {error}", index=index) from None
