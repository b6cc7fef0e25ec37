"""What the bodies of the journal entries of statistics hold (`contracts.bodies`).

`Entry.call` is the hash of the request for all `aggregate.*` entries.  Denials,
outcomes and what follows are written as those of any call: `bodies.Deny`, `Denied`,
`Done`, `Outcome`.

>>> body = Intent(Signed(b"", "", b""), Signed(b"", "", b"")).to_body()
>>> sorted(body)
['request', 'ticket']
"""

from dataclasses import dataclass

from contracts.bodies import Body
from protocols.sign import Signed


@dataclass(frozen=True, slots=True)
class Intent(Body):
    """aggregate.intent (house): allowed here, about to ask the authority."""

    request: Signed  # AggregateRequest
    ticket: Signed  # AggregateTicket


@dataclass(frozen=True, slots=True)
class Permit(Body):
    """aggregate.permit (authority): allowed, epsilon counted."""

    request: Signed  # AggregateRequest
    ticket: bytes
    contract: bytes
    dataset: str
    quarter: str
    milliepsilon: int  # of this answer; 0 for one that is released again
    bank_spent: int  # this one included, in milliepsilon
    banks_spent: int
    selection: bytes
    groups: tuple[int, ...]  # subjects of each group that is added up
    left_out: int  # subjects of the map who object
    repeat_of: bytes = b""  # the ticket whose answer is released once more
