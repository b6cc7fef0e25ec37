"""What the bodies of `rating.*` entries hold; see `contracts.bodies`.

Both stand in the house's journal alone; `Entry.call` is the call that is rated.  An
issue is shown to the bank that may read the rating, so it does not name the subject:
the intent of its ticket does.
"""

from dataclasses import dataclass

from contracts.bodies import Body
from protocols.sign import Signed


@dataclass(frozen=True, slots=True)
class Issue(Body):
    """rating.issue: a bank may show an answer of its own to another bank."""

    rating: Signed  # RatingRequest
    request: Signed  # Request of the call
    ticket: Signed  # Ticket of the call
    place: int  # in the status list


@dataclass(frozen=True, slots=True)
class Revoke(Body):
    """rating.revoke: it may no more."""

    rating: Signed  # RatingRevocation
