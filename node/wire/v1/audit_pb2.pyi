from node.wire.v1 import common_pb2 as _common_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class ComputeAgainRequest(_message.Message):
    __slots__ = ("request", "second")
    REQUEST_FIELD_NUMBER: _ClassVar[int]
    SECOND_FIELD_NUMBER: _ClassVar[int]
    request: _common_pb2.Signed
    second: _common_pb2.Signed
    def __init__(self, request: _Optional[_Union[_common_pb2.Signed, _Mapping]] = ..., second: _Optional[_Union[_common_pb2.Signed, _Mapping]] = ...) -> None: ...

class ComputeAgainResponse(_message.Message):
    __slots__ = ("ticket", "receipt", "box", "pads", "permit", "outcome")
    TICKET_FIELD_NUMBER: _ClassVar[int]
    RECEIPT_FIELD_NUMBER: _ClassVar[int]
    BOX_FIELD_NUMBER: _ClassVar[int]
    PADS_FIELD_NUMBER: _ClassVar[int]
    PERMIT_FIELD_NUMBER: _ClassVar[int]
    OUTCOME_FIELD_NUMBER: _ClassVar[int]
    ticket: _common_pb2.Signed
    receipt: _common_pb2.Signed
    box: bytes
    pads: bytes
    permit: _common_pb2.Logged
    outcome: _common_pb2.Logged
    def __init__(self, ticket: _Optional[_Union[_common_pb2.Signed, _Mapping]] = ..., receipt: _Optional[_Union[_common_pb2.Signed, _Mapping]] = ..., box: _Optional[bytes] = ..., pads: _Optional[bytes] = ..., permit: _Optional[_Union[_common_pb2.Logged, _Mapping]] = ..., outcome: _Optional[_Union[_common_pb2.Logged, _Mapping]] = ...) -> None: ...

class EvaluateAgainRequest(_message.Message):
    __slots__ = ("request", "second", "called", "ticket", "ciphertext", "tables", "intent", "links")
    REQUEST_FIELD_NUMBER: _ClassVar[int]
    SECOND_FIELD_NUMBER: _ClassVar[int]
    CALLED_FIELD_NUMBER: _ClassVar[int]
    TICKET_FIELD_NUMBER: _ClassVar[int]
    CIPHERTEXT_FIELD_NUMBER: _ClassVar[int]
    TABLES_FIELD_NUMBER: _ClassVar[int]
    INTENT_FIELD_NUMBER: _ClassVar[int]
    LINKS_FIELD_NUMBER: _ClassVar[int]
    request: _common_pb2.Signed
    second: _common_pb2.Signed
    called: _common_pb2.Signed
    ticket: _common_pb2.Signed
    ciphertext: bytes
    tables: bytes
    intent: _common_pb2.Logged
    links: _containers.RepeatedCompositeFieldContainer[_common_pb2.HeadLink]
    def __init__(self, request: _Optional[_Union[_common_pb2.Signed, _Mapping]] = ..., second: _Optional[_Union[_common_pb2.Signed, _Mapping]] = ..., called: _Optional[_Union[_common_pb2.Signed, _Mapping]] = ..., ticket: _Optional[_Union[_common_pb2.Signed, _Mapping]] = ..., ciphertext: _Optional[bytes] = ..., tables: _Optional[bytes] = ..., intent: _Optional[_Union[_common_pb2.Logged, _Mapping]] = ..., links: _Optional[_Iterable[_Union[_common_pb2.HeadLink, _Mapping]]] = ...) -> None: ...

class EvaluateAgainResponse(_message.Message):
    __slots__ = ("receipt", "box", "permit")
    RECEIPT_FIELD_NUMBER: _ClassVar[int]
    BOX_FIELD_NUMBER: _ClassVar[int]
    PERMIT_FIELD_NUMBER: _ClassVar[int]
    receipt: _common_pb2.Signed
    box: bytes
    permit: _common_pb2.Logged
    def __init__(self, receipt: _Optional[_Union[_common_pb2.Signed, _Mapping]] = ..., box: _Optional[bytes] = ..., permit: _Optional[_Union[_common_pb2.Logged, _Mapping]] = ...) -> None: ...
