"""What all queries have in common, whatever they ask.

A YAML document (`contracts.source`) of kind `QueryContract` has one member in its
`spec` that says what is asked (`contracts.kinds` has them all), and beside it::

    metadata: {name: turnover-check, version: 1, title: 纳税申报收入核验}
    spec:
      purpose: loan-approval            # one word of PURPOSES
      subject: cn-uscc
      author: jnrcb                     # party id; activates and retires it
      banks: [jnrcb]                    # who may call it
      bits_per_90_days: 3               # of one subject to one bank; 3 if left out
      waivers:
        - {rule: values, reason: a pilot, signed_by: tax-bureau}
      examples: [...]                   # golden: a contract is not active before
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from contracts.scoring import (
    MAX_BITS,
    MAX_VERSION,
    PURPOSES,
    Waiver,
    read_parties,
    read_waivers,
)
from contracts.source import Document, Node, Place
from contracts.subject import SubjectType

KIND: Final = "QueryContract"
DEFAULT_BITS: Final = 3

_REQUIRED: Final = ("purpose", "subject", "author", "banks", "examples")
_OPTIONAL: Final = ("bits_per_90_days", "waivers")


@dataclass(frozen=True, slots=True)
class Head:
    """What every query says."""

    name: str
    version: int
    title: str
    purpose: str
    subject_type: SubjectType
    author: str
    banks: tuple[str, ...]
    bits_per_90_days: int
    waivers: tuple[Waiver, ...]
    place: Place = field(compare=False)


def read(
    data: bytes | str, path: str, member: str, rules: tuple[str, ...]
) -> tuple[Head, Mapping[str, Node]]:
    """Read a document that asks `member`, whose rules are these.

    Returns what all queries have, and the nodes of `spec`.  Raises `SourceError`.
    """
    document = Document.parse(data, path, KIND)
    meta = document.metadata.members(("name", "version"), ("title",))
    spec = document.spec.members((*_REQUIRED, member), _OPTIONAL)
    bits = DEFAULT_BITS
    if "bits_per_90_days" in spec:
        bits = spec["bits_per_90_days"].integer(1, MAX_BITS)
    head = Head(
        name=meta["name"].name(),
        version=meta["version"].integer(1, MAX_VERSION),
        title=meta["title"].text() if "title" in meta else "",
        purpose=spec["purpose"].word(tuple(PURPOSES)),
        subject_type=SubjectType(
            spec["subject"].word([word.value for word in SubjectType])
        ),
        author=spec["author"].party(),
        banks=read_parties(spec["banks"]),
        bits_per_90_days=bits,
        waivers=read_waivers(spec["waivers"], rules) if "waivers" in spec else (),
        place=document.spec.place,
    )
    return head, spec
