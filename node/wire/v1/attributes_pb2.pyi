from node.wire.v1 import common_pb2 as _common_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class PutAttributesRequest(_message.Message):
    __slots__ = ("table", "codes")
    TABLE_FIELD_NUMBER: _ClassVar[int]
    CODES_FIELD_NUMBER: _ClassVar[int]
    table: _common_pb2.Signed
    codes: bytes
    def __init__(self, table: _Optional[_Union[_common_pb2.Signed, _Mapping]] = ..., codes: _Optional[bytes] = ...) -> None: ...

class PutAttributesResponse(_message.Message):
    __slots__ = ("logged",)
    LOGGED_FIELD_NUMBER: _ClassVar[int]
    logged: _common_pb2.Logged
    def __init__(self, logged: _Optional[_Union[_common_pb2.Logged, _Mapping]] = ...) -> None: ...

class GetAttributesRequest(_message.Message):
    __slots__ = ("subject_type",)
    SUBJECT_TYPE_FIELD_NUMBER: _ClassVar[int]
    subject_type: str
    def __init__(self, subject_type: _Optional[str] = ...) -> None: ...

class GetAttributesResponse(_message.Message):
    __slots__ = ("table", "counts")
    TABLE_FIELD_NUMBER: _ClassVar[int]
    COUNTS_FIELD_NUMBER: _ClassVar[int]
    table: _common_pb2.Signed
    counts: _containers.RepeatedScalarFieldContainer[int]
    def __init__(self, table: _Optional[_Union[_common_pb2.Signed, _Mapping]] = ..., counts: _Optional[_Iterable[int]] = ...) -> None: ...

class FetchAttributesRequest(_message.Message):
    __slots__ = ("subject_type", "version")
    SUBJECT_TYPE_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    subject_type: str
    version: int
    def __init__(self, subject_type: _Optional[str] = ..., version: _Optional[int] = ...) -> None: ...

class FetchAttributesResponse(_message.Message):
    __slots__ = ("table", "codes")
    TABLE_FIELD_NUMBER: _ClassVar[int]
    CODES_FIELD_NUMBER: _ClassVar[int]
    table: _common_pb2.Signed
    codes: bytes
    def __init__(self, table: _Optional[_Union[_common_pb2.Signed, _Mapping]] = ..., codes: _Optional[bytes] = ...) -> None: ...
