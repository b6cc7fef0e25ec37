"""A town whose tax bureau shares turnover, and the queries about it.

`Town` is `tests.german.German` with one more dataset, one integer column in fen up to
2^37, and a range and a verify contract over it.
"""

import secrets

import numpy as np

from contracts.compiled import Compiled
from node import clock
from node.client import BankClient
from protocols import sharing
from protocols.call import Opening, Request, Shared
from protocols.canon import Tag
from protocols.sharing import Private, box_digest
from tests.german import German, commitment
from tests.hostile import Question
from tests.simulator import World

MOST = 1 << 37
THRESHOLD = 5_000_000
TOLERANCE = 1_000

DATASET = f"""
apiVersion: safehouse/v1
kind: Dataset
metadata: {{name: tax, version: 1, title: 纳税申报}}
spec:
  custodian: credit-bureau
  unit: 市税务局
  category: 纳税信息
  cycle: monthly
  tier: T1
  subject: opaque
  columns:
    - {{name: turnover, integer: {{min: 0, max: {MOST}}}}}
    - {{name: staff, integer: {{min: 0, max: 5000}}}}
    - {{name: grade_a, flag: {{}}}}
"""

_HEAD = """
apiVersion: safehouse/v1
kind: QueryContract
metadata: {{name: {name}, version: {version}, title: 营业收入}}
spec:
  purpose: loan-precheck
  subject: opaque
  author: jnrcb
  banks: [jnrcb, lsbank]
  bits_per_90_days: 20
"""


def range_source(
    name: str = "turnover-floor", at_least: object = THRESHOLD, version: int = 1
) -> str:
    """Write a range contract."""
    return (
        _HEAD.format(name=name, version=version)
        + f"""
  range: {{column: tax.turnover, at_least: {at_least}}}
  examples:
    - {{given: {{tax.turnover: "{at_least}"}}, expect: at_least}}
    - {{given: {{}}, insufficient_data: true}}
"""
    )


def verify_source(
    name: str = "turnover-check", tolerance: object = TOLERANCE, version: int = 1
) -> str:
    """Write a verify contract."""
    return (
        _HEAD.format(name=name, version=version)
        + f"""
  verify: {{column: tax.turnover, tolerance: {tolerance}}}
  examples:
    - {{given: {{tax.turnover: "1234500"}}, claim: "1234500", expect: match}}
    - {{given: {{tax.turnover: "0"}}, claim: "{MOST}", expect: mismatch}}
    - {{given: {{}}, claim: "5", insufficient_data: true}}
"""
    )


RULES = (
    "indicators",
    "categories",
    "custodians",
    "share",
    "narrowest-band",
    "input-bits",
)


def wide_source(name: str, column: str, start: int) -> str:
    """Write a score that is a column, and 10 more."""
    waivers = "".join(
        f"\n    - {{rule: {rule}, reason: a test, signed_by: credit-bureau}}"
        for rule in RULES
    )
    return f"""
apiVersion: safehouse/v1
kind: ScoringContract
metadata: {{name: {name}, version: 1}}
spec:
  purpose: loan-precheck
  subject: opaque
  author: jnrcb
  banks: [jnrcb, lsbank]
  base: 10
  groups:
    - name: tax
      indicators: [{{column: tax.{column}, per_unit: 1}}]
  outcome:
    grade: {{bands: [{{value: C}}, {{from: {start}, value: B}}]}}
  release: {{most_outcomes: 2, narrowest_band: 1, bits_per_90_days: 40}}
  waivers:{waivers}
  examples: [{{given: {{}}, insufficient_data: true}}]
"""


class Town(German):
    """The town; `values` are turnovers by subject, None where the bureau has none."""

    def __init__(self, world: World, values: list[int | None]) -> None:
        super().__init__(world, len(values))
        tax = self.register_one(DATASET)
        self.turnover = dict(zip(self.ids, values, strict=True))
        cells = np.zeros(
            (-(-len(values) // world.slots), len(tax.encrypted), world.slots), np.int64
        )
        self.staff = {subject: 37 * n for n, subject in enumerate(self.ids)}
        for subject, value in self.turnover.items():
            block, slot = divmod(self.number(subject), world.slots)
            if value is not None:
                cells[block, :, slot] = (value, self.staff[subject], 1, 1)
        self._tax, self._pushes = (tax, cells), 0
        self.push_again()
        self.all_datasets = {**self.datasets, "tax": tax}
        self.floor = self.query(range_source())
        self.check = self.query(verify_source())

    def push_again(self) -> None:
        """Push the same turnovers, as another version under fresh randomness."""
        self._pushes += 1
        self.push(*self._tax, self._pushes)

    def query(self, source: str) -> Compiled:
        """Put a query in force."""
        return self.submit(source, self.all_datasets)

    def consent(self, subject: str, *names: str, consent_id: str = "") -> str:
        """Register a consent for queries; return its id."""
        scope = tuple(f"contract:{name}" for name in names) or ("dataset:tax",)
        return self.grant(subject, consent_id, scope=scope).consent_id

    def claim(
        self,
        subject: str,
        value: int,
        *,
        contract: Compiled | None = None,
        added: int | None = None,
        **changes: object,
    ) -> Question:
        """Sign a claim as the bank does; `added` makes it what no claim is."""
        compiled = contract or self.check
        ref, salt, jti = self.refs[subject], bytes(32), secrets.token_bytes(16)
        assert compiled.claim is not None
        number = compiled.claim.limit - value if added is None else added
        mine, theirs = sharing.split(
            number, compiled.card.m, secrets.token_bytes(32), secrets.token_bytes(16)
        )
        box = sharing.seal(
            self.world.domain.authority.hpke[0], theirs, jti, compiled.hash
        )
        fields: dict[str, object] = {
            "contract": compiled.hash,
            "subject": commitment(ref, salt),
            "purpose": "loan-precheck",
            "consent": f"c-{subject}",
            "jti": jti,
            "iat_ms": clock.now_ms(),
            "bank": "jnrcb",
            "kind": "verify",
            "shared": Shared(mine.commitment(), box_digest(box)),
        }
        request = Request(**{**fields, **changes})  # type: ignore[arg-type]
        signed = self.sign("jnrcb", Tag.REQUEST, request.to_bytes())
        return Question(signed, Opening(ref, salt), Private(mine, box))


def answer(bank: BankClient, subject: str, claim: int) -> str:
    """Verify a claim, and return the answer."""
    return bank.verify("turnover-check", subject, claim, consent=f"c-{subject}").answer
