from node.wire.v1 import common_pb2 as _common_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class ReadHistoryRequest(_message.Message):
    __slots__ = ("subject_ref",)
    SUBJECT_REF_FIELD_NUMBER: _ClassVar[int]
    subject_ref: bytes
    def __init__(self, subject_ref: _Optional[bytes] = ...) -> None: ...

class ReadHistoryResponse(_message.Message):
    __slots__ = ("accesses", "logged")
    ACCESSES_FIELD_NUMBER: _ClassVar[int]
    LOGGED_FIELD_NUMBER: _ClassVar[int]
    accesses: _containers.RepeatedCompositeFieldContainer[Access]
    logged: _common_pb2.Logged
    def __init__(self, accesses: _Optional[_Iterable[_Union[Access, _Mapping]]] = ..., logged: _Optional[_Union[_common_pb2.Logged, _Mapping]] = ...) -> None: ...

class Access(_message.Message):
    __slots__ = ("entry", "time_ms", "kind", "party", "contract", "purpose", "consent", "decision", "reason", "call")
    ENTRY_FIELD_NUMBER: _ClassVar[int]
    TIME_MS_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    PARTY_FIELD_NUMBER: _ClassVar[int]
    CONTRACT_FIELD_NUMBER: _ClassVar[int]
    PURPOSE_FIELD_NUMBER: _ClassVar[int]
    CONSENT_FIELD_NUMBER: _ClassVar[int]
    DECISION_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    CALL_FIELD_NUMBER: _ClassVar[int]
    entry: int
    time_ms: int
    kind: str
    party: str
    contract: str
    purpose: str
    consent: str
    decision: str
    reason: str
    call: str
    def __init__(self, entry: _Optional[int] = ..., time_ms: _Optional[int] = ..., kind: _Optional[str] = ..., party: _Optional[str] = ..., contract: _Optional[str] = ..., purpose: _Optional[str] = ..., consent: _Optional[str] = ..., decision: _Optional[str] = ..., reason: _Optional[str] = ..., call: _Optional[str] = ...) -> None: ...
