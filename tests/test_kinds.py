"""The table of contract kinds, and what is refused where a kind does not fit."""

from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from contracts import kinds
from contracts.compiled import Compiled
from contracts.contract import ContractKind, UsedDataset, custodians
from contracts.dataset import Dataset, Tier
from contracts.decide import Ask, Data, Reason, Terms, decide, decide_job, public
from contracts.errors import DocumentInvalid, KindRefused
from contracts.lifecycle import Stage
from protocols.errors import FormatError

GERMAN = Path(__file__).parent.parent / "examples/german-credit"
TERMS = Terms(
    contract=bytes(32),
    contract_id="turnover",
    purpose="loan",
    banks=("bank-a",),
    datasets=(Data("tax", Tier.T1),),
    millibits=1_000,
    limit_millibits=12_000,
    stage=Stage.ACTIVE,
)


def german() -> tuple[Compiled, dict[str, Dataset]]:
    """Compile the German card, as everybody who meets it does."""
    datasets = {
        path.stem: Dataset.from_yaml(path.read_text(), path.name)
        for path in (GERMAN / "datasets").glob("*.yaml")
    }
    text = (GERMAN / "contract.yaml").read_text()
    found = kinds.read(text, "contract.yaml").admit(datasets)
    return kinds.require(found, ContractKind.SCORE), datasets


def test_every_kind_has_one_row() -> None:
    """Kinds, and the formats of their canonical bytes, are told apart."""
    assert [row.kind for row in kinds.ROWS] == list(ContractKind)
    assert all(row.versions for row in kinds.ROWS)
    assert len({(row.written, row.member) for row in kinds.ROWS}) == len(kinds.ROWS)


def test_canonical_bytes_find_their_kind() -> None:
    """Whoever reads a contract knows from its bytes what it answers."""
    compiled, _ = german()
    assert kinds.parse(compiled.to_bytes()) == compiled


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (b'{"v":"safehouse/dice/1"}', "`safehouse/dice/1` is no format of a contract"),
        (b"{}", "expected a JSON object with a version `v`"),
        (b"[", "not JSON"),
        (b"[1]", "expected a JSON object with a version `v`"),
        (b'{"v":1}', "expected a JSON object with a version `v`"),
        (b"\xff", "not JSON"),
    ],
)
def test_bytes_of_no_kind_are_refused(data: bytes, told: str) -> None:
    """An unknown kind is refused by its name."""
    with pytest.raises(FormatError) as caught:
        kinds.parse(data)
    assert str(caught.value) == told


def test_a_document_of_no_kind_is_refused() -> None:
    """A dataset is not a contract."""
    path = GERMAN / "datasets/credit-bureau.yaml"
    with pytest.raises(DocumentInvalid) as caught:
        kinds.read(path.read_text(), "bureau.yaml")
    assert str(caught.value) == "bureau.yaml: a `Dataset` is not a contract"


def test_another_kind_is_refused_by_name() -> None:
    """Who asks a contract what it does not answer is told what it does."""

    @dataclass(frozen=True, slots=True)
    class Other(Compiled):
        """Integers that say they are of another kind."""

        @property
        def kind(self) -> ContractKind:
            return "dice"  # type: ignore[return-value]

    compiled, _ = german()
    names = set(Compiled.__dataclass_fields__) - {"hash"}
    other = Other(**{name: getattr(compiled, name) for name in names})
    with pytest.raises(KindRefused) as caught:
        kinds.require(compiled, "dice")  # type: ignore[arg-type]
    assert str(caught.value) == "contract `german-card` answers `score`, not `dice`"
    assert caught.value.hint == "ask it with `safehouse score`"
    assert kinds.require(compiled, ContractKind.SCORE) is compiled
    with pytest.raises(KeyError):
        kinds.plan(other, {})


def test_a_call_of_another_kind_is_denied() -> None:
    """The method says which kind was asked; the contract must be of that kind."""
    ask = Ask("bank-a", "loan", b"p", "c-1", 0, kind="dice")
    findings = decide(ask, TERMS, None, None, 0).reasons
    assert [finding.reason for finding in findings] == [
        Reason.NO_CONSENT,
        Reason.CONTRACT_KIND,
    ]
    told = public(findings[1:])
    assert str(told) == "CONTRACT_KIND: contract `turnover` answers `score`, not `dice`"


def test_a_job_asks_for_scores() -> None:
    """A contract of another kind is denied before any subject is looked up."""
    other = replace(TERMS, kind="dice")  # type: ignore[arg-type]
    (finding,) = decide_job("bank-a", "loan", other).reasons
    assert finding.reason is Reason.CONTRACT_KIND
    assert decide_job("bank-a", "loan", TERMS).allow


def test_every_custodian_must_approve() -> None:
    """Once each, sorted, whatever the kind."""
    used = [
        UsedDataset(name, bytes(32), Tier.T1, f"c-{name[0]}")
        for name in ("b1", "a", "b2")
    ]
    assert custodians(used) == ("c-a", "c-b")
