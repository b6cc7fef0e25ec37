"""Crime: a bank shows its auditor another model than the one it asked with.

A model that was refused, or that weighs what it must not, asks; a fair one of the same
name is shown.  Requests name the model by a commitment that only its bank can make, so
the calls are left without a model.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from contracts.bank_model import BankModel, commitment, read_shown, write_shown
from node.cli import audit as desk
from node.errors import FindingsFound
from node.keys import BankKeys, CustodianKeys
from node.models import Named, Use, named_models
from protocols.canon import Tag
from protocols.errors import FormatError, SignatureInvalid
from protocols.sign import Signed, sign
from tests.joint_town import JointTown, model, model_source
from tests.simulator import World

ROW = {"开户年数": 3, "逾期": 0}
UNFAIR = BankModel.from_yaml(
    model_source().replace("points: -45.5", "points: -44.5"), "model.yaml"
)
LATER = model(version=2)


@dataclass
class Audit:
    """What an auditor has: the export, and what two banks could show."""

    folder: Path
    world: World
    calls: dict[str, str]  # by who asked with what
    signed: dict[str, Signed]

    def named(self, *shown: str) -> Named:
        """Look for the calls of the models that are shown."""
        found = named_models(
            self.folder, self.world.domain, [self.signed[name] for name in shown]
        )
        assert all(use.contract == "german-joint" for use in found.uses)
        return found


@pytest.fixture(scope="module")
def audit(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Audit]:
    """Ask with three models of one bank and one of another; export."""
    folder = tmp_path_factory.mktemp("exchanged")
    with World(folder / "world") as world:
        town = JointTown(world, 3)
        asked = {"fair": model(), "unfair": UNFAIR, "later": LATER}
        calls, signed = {}, {}
        with town.bank() as bank, town.bank("lsbank") as other:
            for subject, (name, own) in zip(town.ids, asked.items(), strict=True):
                town.consent(subject)
                outcome = bank.joint(
                    "german-joint", subject, own, ROW, consent=f"c-{subject}"
                )
                calls[name] = outcome.request.hex()
                signed[name] = bank.signed_model(own)
            subject = town.ids[0]
            outcome = other.joint(
                "german-joint", subject, model(), ROW, consent=f"c-{subject}"
            )
            calls["other"] = outcome.request.hex()
            signed["other"] = other.signed_model(model())
            named, subject = bank.model_commitment(model()), town.ids[1]
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(other, "model_commitment", lambda _: named)
                outcome = other.joint(
                    "german-joint", subject, UNFAIR, ROW, consent=f"c-{subject}"
                )
            calls["borrowed"] = outcome.request.hex()
            bank.score("german-card", subject, consent=f"c-{subject}")
        with world.auditor() as auditor:
            auditor.export(folder / "export")
        yield Audit(folder / "export", world, calls, signed)


def test_every_call_has_its_model(audit: Audit) -> None:
    """If a bank shows them all; plain scores have none, and are not looked for."""
    calls = audit.calls
    assert audit.named("fair", "unfair", "later") == Named(
        (
            Use("jnrcb", "card", 1, "german-joint", (calls["fair"],)),
            Use("jnrcb", "card", 1, "german-joint", (calls["unfair"],)),
            Use("jnrcb", "card", 2, "german-joint", (calls["later"],)),
        ),
        (),
    )


def test_a_model_that_was_kept_back_leaves_its_calls(audit: Audit) -> None:
    """One figure differs, and nothing else: same bank, name, version, contract."""
    found = audit.named("fair", "later")
    assert found.unshown == (("jnrcb", audit.calls["unfair"]),)
    assert [use.calls for use in found.uses] == [
        (audit.calls["fair"],),
        (audit.calls["later"],),
    ]


def test_one_bank_s_model_accounts_for_no_call_of_another(audit: Audit) -> None:
    """Neither the same model under the other's name, nor under a borrowed one."""
    calls = audit.calls
    names = {commitment(audit.signed[who]) for who in ("fair", "other")}
    assert len(names) == 2  # or a name would tell who has the same model
    found = audit.named("other", "fair", "unfair", "later")
    assert [use.calls for use in found.uses[:2]] == [
        (calls["other"],),
        (calls["fair"],),
    ]
    assert found.unshown == (("lsbank", calls["borrowed"]),)


def test_a_model_that_its_bank_did_not_sign_is_refused(audit: Audit) -> None:
    """Edited, signed for another purpose, or by somebody who is no bank."""
    fair, world = audit.signed["fair"], audit.world
    edited = fair.payload.replace(b'"version":1', b'"version":2')
    assert edited != fair.payload
    held = world.keys("jnrcb", BankKeys), world.keys("credit-bureau", CustodianKeys)
    for crime in (
        replace(fair, payload=edited),
        replace(fair, signature=audit.signed["later"].signature),
        replace(fair, key_id=audit.signed["other"].key_id),
        sign(Tag.REQUEST, fair.payload, held[0].sign),
        sign(Tag.BANK_MODEL, fair.payload, held[1].sign),
    ):
        with pytest.raises(SignatureInvalid):
            named_models(audit.folder, world.domain, [crime])


def test_the_command_ends_with_the_finding(
    audit: Audit,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As text and as JSON; what a bank wrote is read strictly."""
    monkeypatch.setattr(desk, "_trust", lambda _: audit.world.domain)
    fair, later = (tmp_path / name for name in ("fair", "later"))
    for path in (fair, later):
        path.write_bytes(write_shown(audit.signed[path.name]))
    assert read_shown(fair.read_bytes()) == audit.signed["fair"]
    with pytest.raises(FindingsFound, match="1 call under a model that was not shown"):
        desk.model(audit.folder, [fair, later])
    assert capsys.readouterr().out == (
        "jnrcb: card version 1, for german-joint: 1 call\n"
        "jnrcb: card version 2, for german-joint: 1 call\n"
        f"jnrcb: call {audit.calls['unfair']} names a model that was not shown\n"
    )
    with pytest.raises(FindingsFound):
        desk.model(audit.folder, [fair, later], as_json=True)
    document = json.loads(capsys.readouterr().out)
    assert document["unshown"] == [{"bank": "jnrcb", "call": audit.calls["unfair"]}]
    later.write_bytes(later.read_bytes().replace(b'"v"', b'"w"'))
    with pytest.raises(FormatError, match="expected"):
        desk.model(audit.folder, [later])
