"""Whether an answer may be shown to another bank 评价结果互认, and for how long.

A bank shows to another what that bank could ask itself: the decision is the one that
would be taken about a call of the audience's, on the same consent, subject, purpose and
contract (`contracts.decide`).  It is taken when the house lets a rating be made, and
again, on a beat, to tell which ratings stand.  So a consent that is withdrawn,
suspended, superseded or over, a bank that leaves a class, and a contract that is
retired end a rating, and a consent that stands again brings it back.

Bits are not counted again: they were, when the answer was given.  So a bank without
bits left reads on what it could not ask; and who is in no directory any more is the
house's to say (`node.ratings`), which replay cannot see.

Beside that, once, when it is made:

 1. request, ticket and rating belong together, and the ticket is a fresh one, for a
    score.  (A joint score hangs on a number that nobody but the bank has seen.)
 2. STALE_DATA unless the ticket rests on the newest version of every dataset: a bank
    must not pick the best of a subject's earlier answers.
 3. EXPIRED where the rating would outlast the consent, or is over already.
 4. USED_UP or FREQUENCY where the consent limits its uses at all: the authority counts
    them, which is not asked, and who said once did not mean once for each bank.

The bank whose answer it is must itself be one that could ask, and 2 to 4 are looked at
before the audience: a wish that could not be granted to anybody tells nothing about who
is a grantee.

A rating ends at most `MOST_S` after the house's ticket.
"""

from typing import Final

from contracts.contract import ContractKind
from contracts.decide import (
    Ask,
    Decision,
    Finding,
    Grant,
    Reason,
    Terms,
    decide,
    denied,
)
from protocols.call import Request, Ticket, request_hash, ticket_hash
from protocols.errors import FormatError
from protocols.rating import MOST_S, RatingRequest
from protocols.sign import Signed

SECOND_MS: Final = 1000


def check(
    rating: RatingRequest, request: Signed, ticket: Signed
) -> tuple[Request, Ticket]:
    """Read the documents of a call that is rated; raises `FormatError` (1)."""
    asked, computed = Request.parse(request.payload), Ticket.parse(ticket.payload)
    call = request_hash(request.payload)
    if (rating.call, rating.ticket) != (call, ticket_hash(ticket.payload)):
        raise FormatError("a rating of another call")
    if (computed.request, computed.contract) != (call, asked.contract):
        raise FormatError("a ticket for another request")
    if rating.bank != asked.bank:
        raise FormatError(f"an answer of `{asked.bank}`, not of `{rating.bank}`")
    check_kind(asked, computed)
    if rating.not_after_s * SECOND_MS > computed.issued_ms + MOST_S * SECOND_MS:
        raise FormatError(f"expected an end within {MOST_S // 86_400} days of the call")
    return asked, computed


def check_kind(request: Request, ticket: Ticket) -> None:
    """Refuse what is no fresh answer to a score; raises `FormatError` (1)."""
    if ticket.repeat_of:
        raise FormatError("a repeat is not rated: the answer that it repeats is")
    if request.kind != ContractKind.SCORE or request.shared is not None:
        raise FormatError(f"an answer to `{request.kind}`, expected a score")


def stands(
    audience: str,
    request: Request,
    subject: bytes,
    terms: Terms | None,
    grant: Grant | None,
    now_ms: int,
) -> Decision:
    """Decide whether a bank could ask for this answer itself.

    `subject` is the node's pseudonym of whom the call was about.
    """
    ask = Ask(
        audience, request.purpose, subject, request.consent, 0, ContractKind.SCORE
    )
    return decide(ask, terms, grant, None, now_ms)


def may(  # noqa: PLR0913  what a decision hangs on
    rating: RatingRequest,
    request: Request,
    subject: bytes,
    terms: Terms | None,
    grant: Grant | None,
    now_ms: int,
    *,
    newest: bool,
) -> Decision:
    """Decide whether a rating may be made; `newest`: no data were pushed since.

    The audience is looked at last, once nothing else is against it.
    """
    own = stands(rating.bank, request, subject, terms, grant, now_ms)
    findings = list(own.reasons)
    end_ms = rating.not_after_s * SECOND_MS
    if not newest:  # 2
        findings.append(Finding(Reason.STALE_DATA, "data were pushed since the call"))
    if end_ms <= now_ms:  # 3
        findings.append(Finding(Reason.EXPIRED, f"valid until {end_ms}, exclusive"))
    if grant is not None and end_ms > grant.consent.not_after_ms:
        detail = f"the consent is valid until {grant.consent.not_after_ms}, exclusive"
        findings.append(Finding(Reason.EXPIRED, detail))
    if grant is not None and grant.consent.max_uses is not None:  # 4
        findings.append(Finding(Reason.USED_UP, "a rating would be one more use"))
    if grant is not None and grant.consent.frequency is not None:
        findings.append(Finding(Reason.FREQUENCY, "a rating would be one more use"))
    if findings:
        return denied(findings)
    return stands(rating.audience, request, subject, terms, grant, now_ms)
