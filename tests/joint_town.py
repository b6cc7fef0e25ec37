"""A town whose bank adds points of its own to the German scorecard.

`JointTown` is `tests.german.German` with two contracts, which share columns and bands:
`german-joint` counts in points and has flat tables, `german-fine` in thousandths and
has the threshold gate.
"""

import csv
import re
import secrets
from collections.abc import Mapping
from fractions import Fraction

from contracts.bank_model import BankModel
from contracts.compile import evaluate
from contracts.compiled import Compiled
from node import clock
from node.client import BankClient, number_of
from node.remote import ask
from node.status import to_wire
from node.wire.v1 import common_pb2, scoring_pb2
from protocols import sharing
from protocols.call import Opening, Request, Shared
from protocols.canon import Tag
from protocols.sharing import Private, box_digest
from tests.german import FOLDER, German, commitment
from tests.hostile import DEADLINE_S, Question
from tests.simulator import World

LEAST, MOST = -60, 90
MODEL_HASH = bytes(range(32))


def source(name: str = "german-joint", version: int = 1, step: str = "") -> str:
    """Write the German contract as a joint one, in grades only."""
    text = (FOLDER / "contract.yaml").read_text()
    for old, new in (
        ("name: german-card", f"name: {name}"),
        ("version: 1", f"version: {version}"),
        (
            "  base: 447",
            f"{step}  joint: {{least: {LEAST}, most: {MOST}}}\n  base: 447",
        ),
        ("most_outcomes: 33", "most_outcomes: 8"),
        ("bits_per_90_days: 6", "bits_per_90_days: 20"),
        ("    - given:", "    - bank: 0\n      given:"),
    ):
        assert old in text
        text = text.replace(old, new)
    text = re.sub(r"\n    # Fen.*\n.*\n", "\n", text)
    text = re.sub(r", limit: \d+", "", text)
    waiver = "{rule: input-bits, reason: tests, signed_by: credit-bureau}"
    return text.replace("  waivers:\n", f"  waivers:\n    - {waiver}\n")


def model_source(contract: str = "german-joint", version: int = 1) -> str:
    """Write the bank's model: 10 points a year with the bank, 45 off for arrears."""
    return f"""
apiVersion: safehouse/v1
kind: BankModel
metadata: {{name: card, version: {version}, title: 行内行为}}
spec:
  contract: {contract}
  columns:
    - name: years
      from: 开户年数
      integer: {{min: 0, max: 9, scale: 100, cap: true}}
    - {{name: arrears, from: 逾期, flag: {{}}}}
  points:
    - {{column: years, per_unit: 10}}
    - {{column: arrears, points: -45.5}}
"""


def model(contract: str = "german-joint", version: int = 1) -> BankModel:
    """Read the bank's model."""
    return BankModel.from_yaml(model_source(contract, version), "model.yaml")


class JointTown(German):
    """The town, and its two joint contracts."""

    def __init__(self, world: World, subjects: int) -> None:
        super().__init__(world, subjects)
        self.flat = self.submit(source(), self.datasets)
        step = "  step: 0.001\n"
        self.fine = self.submit(source("german-fine", step=step), self.datasets)
        self.cells = self._cells()

    def _cells(self) -> dict[str, dict[str, dict[str, str | None]]]:

        cells: dict[str, dict[str, dict[str, str | None]]] = {n: {} for n in self.ids}
        for dataset in self.datasets.values():
            with (FOLDER / f"data/{dataset.name}.csv").open() as file:
                for row in csv.DictReader(file):
                    if row["subject_id"] in cells:
                        cells[row["subject_id"]][dataset.name] = dataset.texts(row)
        return cells

    def consent(self, subject: str, consent_id: str = "") -> str:
        """Register a consent for both contracts and the plain one; return its id."""
        names = ("german-joint", "german-fine", "german-card")
        scope = tuple(f"contract:{name}" for name in names)
        return self.grant(subject, consent_id, scope=scope).consent_id

    def plain(self, compiled: Compiled, subject: str, added: int) -> str:
        """Answer in plain: the grade, the reason of a veto, or what is missing."""
        code = evaluate(compiled, self.datasets, self.cells[subject], added).code
        told = compiled.explain(code)
        return told.reason or dict(told.outcome).get("grade", "") or str(told)  # type: ignore[return-value]

    def ask(
        self, bank: BankClient, contract: str, subject: str, row: Mapping[str, object]
    ) -> str:
        """Ask as the bank does; answer as `plain` does."""
        outcome = bank.joint(
            contract, subject, model(contract), row, consent=f"c-{subject}"
        )
        grade = outcome.fields.get("grade", "")
        return outcome.reason or str(grade) or outcome.kind.value

    def added(self, compiled: Compiled, row: Mapping[str, object]) -> int:
        """Return the bank's number for a row, and hold it to the formula."""
        years = Fraction(str(row["开户年数"]))
        points = 10 * min(years, Fraction(9)) - Fraction("45.5") * int(str(row["逾期"]))
        number = number_of(compiled, model(compiled.id), row)
        assert abs(number - (points - LEAST) * compiled.scale) <= Fraction(1, 2)
        return number

    @staticmethod
    def send(bank: BankClient, asked: Question) -> scoring_pb2.ScoreResponse:
        """Send a question over the bank's channel; nothing of the reply is checked."""
        assert asked.private is not None
        message = scoring_pb2.JointRequest(
            request=to_wire(asked.signed),
            opening=common_pb2.SubjectOpening(
                subject_ref=asked.opening.subject_ref, salt=asked.opening.salt
            ),
            share=asked.private.share.to_bytes(),
            sealed_share=asked.private.box,
        )
        response: scoring_pb2.JointResponse = ask(
            bank._scoring.Joint, message, DEADLINE_S
        )
        return response.answer

    def joint(
        self,
        subject: str,
        number: int,
        *,
        contract: Compiled | None = None,
        **changes: object,
    ) -> Question:
        """Sign a request with any number at all."""
        compiled = contract or self.flat
        ref, salt, jti = self.refs[subject], bytes(32), secrets.token_bytes(16)
        mine, theirs = sharing.split(
            number, compiled.card.m, secrets.token_bytes(32), secrets.token_bytes(16)
        )
        key = self.world.domain.authority.hpke[0]
        box = sharing.seal(key, theirs, jti, compiled.hash)
        fields: dict[str, object] = {
            "contract": compiled.hash,
            "subject": commitment(ref, salt),
            "purpose": "loan-precheck",
            "consent": f"c-{subject}",
            "jti": jti,
            "iat_ms": clock.now_ms(),
            "bank": "jnrcb",
            "kind": "joint",
            "shared": Shared(mine.commitment(), box_digest(box), MODEL_HASH),
        }
        request = Request(**{**fields, **changes})  # type: ignore[arg-type]
        signed = self.sign("jnrcb", Tag.REQUEST, request.to_bytes())
        return Question(signed, Opening(ref, salt), Private(mine, box))
