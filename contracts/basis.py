"""Legal bases 合法性基础: on what grounds data of which tier may be asked about.

=============  =====================================================================
`self`         the subject's own word, online or on paper (`contracts.consent`)
`statutory`    an order 法定, by its number and two operators (`contracts.consent_batch`)
`aggregate`    nobody's word: a statistic, which leaves out who objects
`public`       nobody's word: a list that is public by law
=============  =====================================================================

Which of them a trust domain accepts, for data of which tiers and categories, is written
in its signed file (`node.domain`), and changes with its serial.  What is not written is
not accepted.  A file that says nothing means `STRICT`, 宜兴's rule: an authorisation of
the subject comes before every use, but for what is public by law, which is tier T0.

A node journals the rule (`admin.bases`) when it starts with another than it had, and
decides by the newest such entry, so that a replay decides by the rule of its time.

No rule makes public what is not, or a statistic of T3: those two rows have bounds.  That
a consent for T3 is a separate one is asked whatever its basis.

>>> STRICT.accepts(Basis.SELF, Tier.T2, "税务"), STRICT.accepts(Basis.STATUTORY, Tier.T1, "")
(True, False)
>>> rule = STRICT.with_rows([Accepted(Basis.STATUTORY, (Tier.T1,), ("税务",))])
>>> [rule.accepts(Basis.STATUTORY, Tier.T1, word) for word in ("税务", "社会保险")]
[True, False]
>>> Accepted.from_json({"basis": "blanket", "categories": [], "tiers": ["T1"]})
Traceback (most recent call last):
    ...
protocols.errors.FormatError: member `bases`: unknown basis `blanket`
"""  # noqa: E501

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from contracts.consent import Evidence
from contracts.dataset import Tier
from protocols.canon import Json
from protocols.errors import FormatError


class Basis(StrEnum):
    """On what grounds."""

    SELF = "self"
    STATUTORY = "statutory"
    AGGREGATE = "aggregate"
    PUBLIC = "public"


_MOST: Final = {
    Basis.SELF: tuple(Tier),
    Basis.STATUTORY: tuple(Tier),
    Basis.AGGREGATE: (Tier.T0, Tier.T1, Tier.T2),
    Basis.PUBLIC: (Tier.T0,),
}


@dataclass(frozen=True, slots=True)
class Accepted:
    """A basis, and the data that it is accepted for."""

    basis: Basis
    tiers: tuple[Tier, ...]  # in order, each once; none: it is not accepted
    categories: tuple[str, ...] = ()  # 信息类别, in order; empty: all

    def __post_init__(self) -> None:
        if list(self.tiers) != sorted(set(self.tiers)):
            raise FormatError(f"basis `{self.basis}`: tiers are in order, each once")
        if list(self.categories) != sorted(set(self.categories)):
            raise FormatError(f"basis `{self.basis}`: categories are in order, once")
        for tier in self.tiers:
            if tier not in _MOST[self.basis]:
                raise FormatError(f"basis `{self.basis}` is never one for tier {tier}")

    def to_json(self) -> dict[str, Json]:
        """Write for the trust domain and the journal."""
        return {
            "basis": self.basis.value,
            "tiers": [tier.value for tier in self.tiers],
            "categories": self.categories,
        }

    @classmethod
    def from_json(cls, item: Json) -> "Accepted":
        """Read what `to_json` wrote; raises `FormatError`."""
        match item:
            case {
                "basis": str(name),
                "tiers": [*tiers],
                "categories": [*words],
                **rest,
            } if not rest:
                if name not in set(Basis):
                    raise FormatError(f"member `bases`: unknown basis `{name}`")
                for tier in tiers:
                    if tier not in set(Tier):
                        raise FormatError(f"member `bases`: unknown tier `{tier}`")
                if all(isinstance(word, str) and word for word in words):
                    return cls(
                        Basis(name),
                        tuple(Tier(str(tier)) for tier in tiers),
                        tuple(map(str, words)),
                    )
        raise FormatError("member `bases`: expected a basis, its tiers and categories")


@dataclass(frozen=True, slots=True)
class Bases:
    """Which bases are accepted, by name; what is not there is not."""

    rows: tuple[Accepted, ...]

    def __post_init__(self) -> None:
        names = [row.basis for row in self.rows]
        if names != sorted(set(names)):
            raise FormatError("bases are in order, each once")

    def accepts(self, basis: Basis, tier: Tier, category: str) -> bool:
        """Tell whether data may be asked about on a basis."""
        return any(
            row.basis is basis
            and tier in row.tiers
            and (not row.categories or category in row.categories)
            for row in self.rows
        )

    def with_rows(self, rows: Iterable[Accepted]) -> "Bases":
        """Put rows in the place of those of the same bases."""
        found = {row.basis: row for row in self.rows}
        found |= {row.basis: row for row in rows}
        return Bases(tuple(found[name] for name in sorted(found)))


STRICT: Final = Bases(
    (Accepted(Basis.PUBLIC, (Tier.T0,)), Accepted(Basis.SELF, tuple(Tier)))
)


def basis_of(evidence: Evidence) -> Basis:
    """Return the basis that a consent's evidence is one of."""
    return Basis.STATUTORY if evidence is Evidence.STATUTORY else Basis.SELF
