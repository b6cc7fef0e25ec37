from node.wire.v1 import common_pb2 as _common_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class PutMapRequest(_message.Message):
    __slots__ = ("map", "rows", "sealed")
    MAP_FIELD_NUMBER: _ClassVar[int]
    ROWS_FIELD_NUMBER: _ClassVar[int]
    SEALED_FIELD_NUMBER: _ClassVar[int]
    map: _common_pb2.Signed
    rows: MapRows
    sealed: bytes
    def __init__(self, map: _Optional[_Union[_common_pb2.Signed, _Mapping]] = ..., rows: _Optional[_Union[MapRows, _Mapping]] = ..., sealed: _Optional[bytes] = ...) -> None: ...

class MapRows(_message.Message):
    __slots__ = ("rows",)
    ROWS_FIELD_NUMBER: _ClassVar[int]
    rows: bytes
    def __init__(self, rows: _Optional[bytes] = ...) -> None: ...

class PutMapResponse(_message.Message):
    __slots__ = ("logged",)
    LOGGED_FIELD_NUMBER: _ClassVar[int]
    logged: _common_pb2.Logged
    def __init__(self, logged: _Optional[_Union[_common_pb2.Logged, _Mapping]] = ...) -> None: ...

class GetMapRequest(_message.Message):
    __slots__ = ("subject_type",)
    SUBJECT_TYPE_FIELD_NUMBER: _ClassVar[int]
    subject_type: str
    def __init__(self, subject_type: _Optional[str] = ...) -> None: ...

class GetMapResponse(_message.Message):
    __slots__ = ("map", "sealed", "vacated")
    MAP_FIELD_NUMBER: _ClassVar[int]
    SEALED_FIELD_NUMBER: _ClassVar[int]
    VACATED_FIELD_NUMBER: _ClassVar[int]
    map: _common_pb2.Signed
    sealed: bytes
    vacated: _containers.RepeatedCompositeFieldContainer[Vacated]
    def __init__(self, map: _Optional[_Union[_common_pb2.Signed, _Mapping]] = ..., sealed: _Optional[bytes] = ..., vacated: _Optional[_Iterable[_Union[Vacated, _Mapping]]] = ...) -> None: ...

class Vacated(_message.Message):
    __slots__ = ("row", "erasure")
    ROW_FIELD_NUMBER: _ClassVar[int]
    ERASURE_FIELD_NUMBER: _ClassVar[int]
    row: int
    erasure: _common_pb2.Signed
    def __init__(self, row: _Optional[int] = ..., erasure: _Optional[_Union[_common_pb2.Signed, _Mapping]] = ...) -> None: ...
