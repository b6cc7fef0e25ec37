from node.wire.v1 import common_pb2 as _common_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class AskPrivatelyRequest(_message.Message):
    __slots__ = ("request", "box", "refs", "salts", "consents")
    REQUEST_FIELD_NUMBER: _ClassVar[int]
    BOX_FIELD_NUMBER: _ClassVar[int]
    REFS_FIELD_NUMBER: _ClassVar[int]
    SALTS_FIELD_NUMBER: _ClassVar[int]
    CONSENTS_FIELD_NUMBER: _ClassVar[int]
    request: _common_pb2.Signed
    box: bytes
    refs: bytes
    salts: bytes
    consents: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, request: _Optional[_Union[_common_pb2.Signed, _Mapping]] = ..., box: _Optional[bytes] = ..., refs: _Optional[bytes] = ..., salts: _Optional[bytes] = ..., consents: _Optional[_Iterable[str]] = ...) -> None: ...

class AskPrivatelyResponse(_message.Message):
    __slots__ = ("ticket", "sealed", "box", "pads", "outcome")
    TICKET_FIELD_NUMBER: _ClassVar[int]
    SEALED_FIELD_NUMBER: _ClassVar[int]
    BOX_FIELD_NUMBER: _ClassVar[int]
    PADS_FIELD_NUMBER: _ClassVar[int]
    OUTCOME_FIELD_NUMBER: _ClassVar[int]
    ticket: _common_pb2.Signed
    sealed: _common_pb2.Signed
    box: bytes
    pads: _containers.RepeatedScalarFieldContainer[bytes]
    outcome: _common_pb2.Logged
    def __init__(self, ticket: _Optional[_Union[_common_pb2.Signed, _Mapping]] = ..., sealed: _Optional[_Union[_common_pb2.Signed, _Mapping]] = ..., box: _Optional[bytes] = ..., pads: _Optional[_Iterable[bytes]] = ..., outcome: _Optional[_Union[_common_pb2.Logged, _Mapping]] = ...) -> None: ...

class CommitPrivateResultRequest(_message.Message):
    __slots__ = ("result",)
    RESULT_FIELD_NUMBER: _ClassVar[int]
    result: _common_pb2.Signed
    def __init__(self, result: _Optional[_Union[_common_pb2.Signed, _Mapping]] = ...) -> None: ...

class CommitPrivateResultResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...
