"""Classes of banks 机构类别: a consent to an alliance is one to whoever is in it.

A subject may consent to all banks of an alliance, `class:<id>` among the grantees.
Who is in a class is said by the trust-domain file, signed off-line by the domain's
root key, and changes with its serial.  A node journals the classes (`admin.classes`)
when it starts with others than it had, or with parties of other organisations, and
decides by the newest such entry: a bank that joined may ask from then on, one that left
is refused from then on, whatever the consent was when it was signed.  The request names
the bank, so the journal holds which member asked, and a replay expands classes as the
node did.

A registrar never signs for its own organisation.  Of a class that holds for each
member: banks of the registrar's organisation are no grantees by way of a class,
whenever they joined.  So the entry says whose the parties are, too.

>>> rural = Class("rural", ("bank-a", "bank-b"))
>>> sorted(members(["rural"], "bureau", [rural], []))
['bank-a', 'bank-b']
>>> sorted(members(["rural"], "counter", [rural], [Owned("counter", "bank-b")]))
['bank-a']
>>> members(["urban"], "bureau", [rural], [])
frozenset()
"""

from collections.abc import Iterable
from dataclasses import dataclass

from protocols.canon import Json
from protocols.errors import FormatError


@dataclass(frozen=True, slots=True)
class Class:
    """A class and who is in it, in order, each once; it may be empty."""

    id: str
    members: tuple[str, ...]  # party ids of banks

    def __post_init__(self) -> None:
        if list(self.members) != sorted(set(self.members)):
            raise FormatError(f"class `{self.id}`: members are in order, each once")

    def to_json(self) -> dict[str, Json]:
        """Write for the trust domain and the journal."""
        return {"id": self.id, "members": self.members}

    @classmethod
    def from_json(cls, item: Json) -> "Class":
        """Read what `to_json` wrote; raises `FormatError`."""
        match item:
            case {"id": str(name), "members": [*members], **rest} if not rest:
                if all(isinstance(member, str) for member in members):
                    return cls(name, tuple(map(str, members)))
        raise FormatError("member `classes`: expected an id and its members")


@dataclass(frozen=True, slots=True)
class Owned:
    """A party of another party's organisation."""

    party: str
    organisation: str

    def to_json(self) -> list[Json]:
        """Write for the journal."""
        return [self.party, self.organisation]

    @classmethod
    def from_json(cls, item: Json) -> "Owned":
        """Read what `to_json` wrote; raises `FormatError`."""
        match item:
            case [str(party), str(organisation)]:
                return cls(party, organisation)
        raise FormatError("member `owned`: expected a party and its organisation")


def members(
    named: Iterable[str],
    registrar: str,
    classes: Iterable[Class],
    owned: Iterable[Owned],
) -> frozenset[str]:
    """Return the banks of the classes `named`, but for the registrar's own."""
    whose = {item.party: item.organisation for item in owned}
    own = whose.get(registrar, registrar)
    wanted = frozenset(named)
    return frozenset(
        bank
        for each in classes
        if each.id in wanted
        for bank in each.members
        if whose.get(bank, bank) != own
    )
