"""How house and authority refuse a call: one signed sentence, all reasons kept.

The reply says the first reason that the caller may know; beside it stands a
salted digest of every reason, which the journal holds in clear with its salt
(PROTOCOL 5).  So a bank that is refused learns nothing of another bank's
consent, and an auditor can tell that the reasons were not made up later.
"""

import hmac
from collections.abc import Callable, Sequence

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from contracts import bodies
from contracts.decide import SENTENCES, Finding, Reason, public
from node import log
from node.errors import Denied
from node.ledger import Transaction
from node.logfile import FATAL
from protocols.call import Denial, request_hash
from protocols.canon import Reader, Tag, dumps, framed, loads
from protocols.entry import Kind
from protocols.sign import Signed, sign


def against(find: Callable[[], Sequence[Finding]]) -> list[Finding]:
    """Say what `find` finds against something; whatever goes wrong there is against it.

    Raises only what is `FATAL`: then the transaction may be gone, and nothing
    may be written after it.
    """
    try:
        return list(find())
    except FATAL:
        raise
    except Exception as error:  # noqa: BLE001  whatever it is, it is a denial
        log.get().error("undecided", error=type(error).__name__)
        return [Finding(Reason.INTERNAL, type(error).__name__)]


def deny(  # noqa: PLR0913  one refusal, said once
    transaction: Transaction,
    *,
    by: str,
    key: Ed25519PrivateKey,
    salt_key: bytes,
    request: Signed,
    subject: bytes,
    findings: Sequence[Finding],
    kind: Kind = Kind.CALL_DENY,
) -> Signed:
    """Sign and journal a denial; `findings` are in order, one at least."""
    call = request_hash(request.payload)
    told = public(findings)
    salt = hmac.digest(salt_key, framed(Tag.DENIAL_REASONS, call), "sha256")
    denial = Denial(
        request=call,
        by=by,
        reason=told.reason.value,
        detail=told.detail,
        reasons=bodies.reasons_digest(salt, findings),
        time_ms=transaction.now_ms,
    )
    signed = sign(Tag.DENIAL, denial.to_bytes(), key)
    body = bodies.Deny(
        request=request,
        reasons=tuple(findings),
        public=told.reason,
        salt=salt,
        denial=signed,
        subject=subject,
    )
    transaction.append(kind, by, call.hex(), body.to_body())
    return signed


def error(signed: Signed) -> Denied:
    """Make the error that carries a denial to the caller."""
    denial = Denial.parse(signed.payload)
    sentence = SENTENCES[Reason(denial.reason)]
    told = f"{sentence}: {denial.detail}" if denial.detail else sentence
    return Denied(told, signed, denial.reason)


def to_store(signed: Signed) -> bytes:
    """Write a denial for a table."""
    return dumps({"v": "1", **signed.to_json()})


def from_store(data: bytes) -> Signed:
    """Read what `to_store` wrote."""
    return Signed.from_json(Reader(loads(data, "1")))
