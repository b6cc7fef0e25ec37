from node.wire.v1 import common_pb2 as _common_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class EvaluateRequest(_message.Message):
    __slots__ = ("request", "opening", "ticket", "ciphertext", "tables", "intent", "links", "earlier_ticket", "sealed_share")
    REQUEST_FIELD_NUMBER: _ClassVar[int]
    OPENING_FIELD_NUMBER: _ClassVar[int]
    TICKET_FIELD_NUMBER: _ClassVar[int]
    CIPHERTEXT_FIELD_NUMBER: _ClassVar[int]
    TABLES_FIELD_NUMBER: _ClassVar[int]
    INTENT_FIELD_NUMBER: _ClassVar[int]
    LINKS_FIELD_NUMBER: _ClassVar[int]
    EARLIER_TICKET_FIELD_NUMBER: _ClassVar[int]
    SEALED_SHARE_FIELD_NUMBER: _ClassVar[int]
    request: _common_pb2.Signed
    opening: _common_pb2.SubjectOpening
    ticket: _common_pb2.Signed
    ciphertext: bytes
    tables: bytes
    intent: _common_pb2.Logged
    links: _containers.RepeatedCompositeFieldContainer[_common_pb2.HeadLink]
    earlier_ticket: _common_pb2.Signed
    sealed_share: bytes
    def __init__(self, request: _Optional[_Union[_common_pb2.Signed, _Mapping]] = ..., opening: _Optional[_Union[_common_pb2.SubjectOpening, _Mapping]] = ..., ticket: _Optional[_Union[_common_pb2.Signed, _Mapping]] = ..., ciphertext: _Optional[bytes] = ..., tables: _Optional[bytes] = ..., intent: _Optional[_Union[_common_pb2.Logged, _Mapping]] = ..., links: _Optional[_Iterable[_Union[_common_pb2.HeadLink, _Mapping]]] = ..., earlier_ticket: _Optional[_Union[_common_pb2.Signed, _Mapping]] = ..., sealed_share: _Optional[bytes] = ...) -> None: ...

class EvaluateResponse(_message.Message):
    __slots__ = ("receipt", "box", "permit")
    RECEIPT_FIELD_NUMBER: _ClassVar[int]
    BOX_FIELD_NUMBER: _ClassVar[int]
    PERMIT_FIELD_NUMBER: _ClassVar[int]
    receipt: _common_pb2.Signed
    box: bytes
    permit: _common_pb2.Logged
    def __init__(self, receipt: _Optional[_Union[_common_pb2.Signed, _Mapping]] = ..., box: _Optional[bytes] = ..., permit: _Optional[_Union[_common_pb2.Logged, _Mapping]] = ...) -> None: ...
