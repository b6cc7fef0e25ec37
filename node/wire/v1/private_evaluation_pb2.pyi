from node.wire.v1 import common_pb2 as _common_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class EvaluatePrivatelyRequest(_message.Message):
    __slots__ = ("question", "block")
    QUESTION_FIELD_NUMBER: _ClassVar[int]
    BLOCK_FIELD_NUMBER: _ClassVar[int]
    question: PrivateQuestion
    block: PrivateBlock
    def __init__(self, question: _Optional[_Union[PrivateQuestion, _Mapping]] = ..., block: _Optional[_Union[PrivateBlock, _Mapping]] = ...) -> None: ...

class PrivateQuestion(_message.Message):
    __slots__ = ("request", "box", "ticket", "intent", "links")
    REQUEST_FIELD_NUMBER: _ClassVar[int]
    BOX_FIELD_NUMBER: _ClassVar[int]
    TICKET_FIELD_NUMBER: _ClassVar[int]
    INTENT_FIELD_NUMBER: _ClassVar[int]
    LINKS_FIELD_NUMBER: _ClassVar[int]
    request: _common_pb2.Signed
    box: bytes
    ticket: _common_pb2.Signed
    intent: _common_pb2.Logged
    links: _containers.RepeatedCompositeFieldContainer[_common_pb2.HeadLink]
    def __init__(self, request: _Optional[_Union[_common_pb2.Signed, _Mapping]] = ..., box: _Optional[bytes] = ..., ticket: _Optional[_Union[_common_pb2.Signed, _Mapping]] = ..., intent: _Optional[_Union[_common_pb2.Logged, _Mapping]] = ..., links: _Optional[_Iterable[_Union[_common_pb2.HeadLink, _Mapping]]] = ...) -> None: ...

class PrivateBlock(_message.Message):
    __slots__ = ("ciphertexts", "tables")
    CIPHERTEXTS_FIELD_NUMBER: _ClassVar[int]
    TABLES_FIELD_NUMBER: _ClassVar[int]
    ciphertexts: bytes
    tables: bytes
    def __init__(self, ciphertexts: _Optional[bytes] = ..., tables: _Optional[bytes] = ...) -> None: ...

class EvaluatePrivatelyResponse(_message.Message):
    __slots__ = ("sealed", "box")
    SEALED_FIELD_NUMBER: _ClassVar[int]
    BOX_FIELD_NUMBER: _ClassVar[int]
    sealed: _common_pb2.Signed
    box: bytes
    def __init__(self, sealed: _Optional[_Union[_common_pb2.Signed, _Mapping]] = ..., box: _Optional[bytes] = ...) -> None: ...
