"""Errors on the wire: a canonical status, ErrorInfo, and the signed denial.

A handler raises; `abort` tells the caller what it may know::

    ProtocolError, ContractError   INVALID_ARGUMENT     what is wrong, and a hint
    Denied                         PERMISSION_DENIED    one public reason, signed
    RoleRefused                    PERMISSION_DENIED    ROLE_REFUSED
    PeerRefused                    UNAUTHENTICATED      PEER_REFUSED
    NotFound                       NOT_FOUND
    DocumentConflict               FAILED_PRECONDITION
    HeadUnknown                    FAILED_PRECONDITION  HEAD_UNKNOWN, the size
    LedgerBusy, DiskFull           RESOURCE_EXHAUSTED
    LedgerTimeout                  DEADLINE_EXCEEDED
    LedgerStopped, Unreachable     UNAVAILABLE
    anything else                  INTERNAL             nothing: the log has it

`raised` turns a status back into the same kinds of error on the other side.
Domain of every reason: `safehouse` (AIP-193).
"""

import re
from typing import NoReturn, cast

import grpc
from google.protobuf import any_pb2
from google.protobuf.message import Message
from google.rpc import error_details_pb2, status_pb2
from grpc_status import rpc_status

from contracts.errors import ContractError
from node.errors import (
    Denied,
    DiskFull,
    DocumentConflict,
    LedgerBusy,
    LedgerStopped,
    LedgerTimeout,
    NotFound,
    PeerRefused,
    RateLimited,
    Refused,
    RoleRefused,
    Unreachable,
)
from node.heads import HeadUnknown
from node.wire.v1 import common_pb2, scoring_pb2
from protocols.errors import ProtocolError
from protocols.sign import Signed

DOMAIN = "safehouse"
MOST_TEXT = 1_500  # bytes; gRPC refuses headers of more than 8 kB as a whole

_NO_CONNECTION = re.compile(
    r"failed to connect to all addresses.*?ipv\d:(\S+): "
    r"(?:Failed to connect to remote host: )?(.+)"
)

_CODES: tuple[tuple[type[Exception], grpc.StatusCode], ...] = (
    (Denied, grpc.StatusCode.PERMISSION_DENIED),
    (RoleRefused, grpc.StatusCode.PERMISSION_DENIED),
    (PeerRefused, grpc.StatusCode.UNAUTHENTICATED),
    (NotFound, grpc.StatusCode.NOT_FOUND),
    (DocumentConflict, grpc.StatusCode.FAILED_PRECONDITION),
    (HeadUnknown, grpc.StatusCode.FAILED_PRECONDITION),
    (LedgerBusy, grpc.StatusCode.RESOURCE_EXHAUSTED),
    (RateLimited, grpc.StatusCode.RESOURCE_EXHAUSTED),
    (DiskFull, grpc.StatusCode.RESOURCE_EXHAUSTED),
    (LedgerTimeout, grpc.StatusCode.DEADLINE_EXCEEDED),
    (LedgerStopped, grpc.StatusCode.UNAVAILABLE),
    (Unreachable, grpc.StatusCode.UNAVAILABLE),
    (Refused, grpc.StatusCode.FAILED_PRECONDITION),
    (ProtocolError, grpc.StatusCode.INVALID_ARGUMENT),
    (ContractError, grpc.StatusCode.INVALID_ARGUMENT),
)


def to_wire(signed: Signed) -> common_pb2.Signed:
    """Write a signed document as a message."""
    return common_pb2.Signed(
        payload=signed.payload, key_id=signed.key_id, signature=signed.signature
    )


def from_wire(message: common_pb2.Signed) -> Signed:
    """Read a signed document; nothing is verified here."""
    return Signed(message.payload, message.key_id, message.signature)


def describe(error: Exception) -> status_pb2.Status | None:
    """Return the status a caller may see; None for a bug of our own."""
    code = next((code for kind, code in _CODES if isinstance(error, kind)), None)
    if code is None:
        return None
    name = _screaming(type(error).__name__)
    metadata = {}
    hint = getattr(error, "hint", "")
    if hint:
        metadata["hint"] = hint
    if isinstance(error, HeadUnknown):
        metadata["size"] = str(error.size)
    if isinstance(error, Denied | Refused) and error.reason:
        name = error.reason
    status = status_pb2.Status(code=code.value[0], message=_short(str(error)))
    _add(
        status,
        error_details_pb2.ErrorInfo(reason=name, domain=DOMAIN, metadata=metadata),
    )
    if isinstance(error, Denied):
        _add(status, scoring_pb2.DenialDetail(denial=to_wire(error.denial)))
    return status


def abort(context: grpc.ServicerContext, error: Exception) -> NoReturn:
    """End a call with what the caller may know of `error`."""
    status = describe(error)
    if status is None:
        status = status_pb2.Status(
            code=grpc.StatusCode.INTERNAL.value[0],
            message="internal error; nothing was released",
        )
        _add(status, error_details_pb2.ErrorInfo(reason="INTERNAL", domain=DOMAIN))
    context.abort_with_status(rpc_status.to_status(status))
    raise AssertionError("abort_with_status returned")


def raised(error: grpc.RpcError) -> Exception:
    """Turn a failed call into the error that the other side meant."""
    code, details = error.code(), error.details() or ""
    status = rpc_status.from_call(cast("grpc.Call", error))
    info, denial = error_details_pb2.ErrorInfo(), scoring_pb2.DenialDetail()
    for detail in status.details if status is not None else ():
        if detail.Is(info.DESCRIPTOR):
            detail.Unpack(info)
        elif detail.Is(denial.DESCRIPTOR):
            detail.Unpack(denial)
    if denial.HasField("denial"):
        return Denied(details, from_wire(denial.denial), info.reason)
    if info.reason == "HEAD_UNKNOWN":
        return HeadUnknown(int(info.metadata["size"]))
    hint = info.metadata.get("hint", "")
    if code is grpc.StatusCode.NOT_FOUND:
        return NotFound(details, hint)
    if code in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED):
        return Unreachable(_plain(details), hint or "nothing was released; try again")
    return Refused(details, hint, info.reason or code.name)


def _plain(details: str) -> str:
    """Say who does not answer, where gRPC only says what failed."""
    failed = _NO_CONNECTION.match(details)
    if failed is not None:
        address, why = failed.groups()
        return f"no connection to `{address}`: {why[:1].lower()}{why[1:]}"
    return details[:1].lower() + details[1:] or "no answer"


def _add(status: status_pb2.Status, detail: Message) -> None:
    packed = any_pb2.Any()
    packed.Pack(detail)
    status.details.append(packed)


def _short(text: str) -> str:
    """Cut what may hold a caller's own words: a status travels in a header."""
    data = text.encode(errors="replace")
    if len(data) <= MOST_TEXT:
        return text
    return data[:MOST_TEXT].decode(errors="ignore") + "..."


def _screaming(name: str) -> str:
    """Write a class name as a reason: `NotFound` is NOT_FOUND."""
    return "".join(f"_{c}" if c.isupper() else c.upper() for c in name).lstrip("_")
