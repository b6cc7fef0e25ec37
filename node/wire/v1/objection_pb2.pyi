from node.wire.v1 import common_pb2 as _common_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class PutObjectionRequest(_message.Message):
    __slots__ = ("objection", "opening")
    OBJECTION_FIELD_NUMBER: _ClassVar[int]
    OPENING_FIELD_NUMBER: _ClassVar[int]
    objection: _common_pb2.Signed
    opening: _common_pb2.SubjectOpening
    def __init__(self, objection: _Optional[_Union[_common_pb2.Signed, _Mapping]] = ..., opening: _Optional[_Union[_common_pb2.SubjectOpening, _Mapping]] = ...) -> None: ...

class PutObjectionResponse(_message.Message):
    __slots__ = ("logged",)
    LOGGED_FIELD_NUMBER: _ClassVar[int]
    logged: _common_pb2.Logged
    def __init__(self, logged: _Optional[_Union[_common_pb2.Logged, _Mapping]] = ...) -> None: ...

class KnowsSubjectRequest(_message.Message):
    __slots__ = ("subject_ref",)
    SUBJECT_REF_FIELD_NUMBER: _ClassVar[int]
    subject_ref: bytes
    def __init__(self, subject_ref: _Optional[bytes] = ...) -> None: ...

class KnowsSubjectResponse(_message.Message):
    __slots__ = ("known", "logged")
    KNOWN_FIELD_NUMBER: _ClassVar[int]
    LOGGED_FIELD_NUMBER: _ClassVar[int]
    known: bool
    logged: _common_pb2.Logged
    def __init__(self, known: _Optional[bool] = ..., logged: _Optional[_Union[_common_pb2.Logged, _Mapping]] = ...) -> None: ...

class ListRepairsRequest(_message.Message):
    __slots__ = ("dataset",)
    DATASET_FIELD_NUMBER: _ClassVar[int]
    dataset: str
    def __init__(self, dataset: _Optional[str] = ...) -> None: ...

class ListRepairsResponse(_message.Message):
    __slots__ = ("repairs",)
    REPAIRS_FIELD_NUMBER: _ClassVar[int]
    repairs: _containers.RepeatedCompositeFieldContainer[RepairItem]
    def __init__(self, repairs: _Optional[_Iterable[_Union[RepairItem, _Mapping]]] = ...) -> None: ...

class RepairItem(_message.Message):
    __slots__ = ("objection", "row")
    OBJECTION_FIELD_NUMBER: _ClassVar[int]
    ROW_FIELD_NUMBER: _ClassVar[int]
    objection: _common_pb2.Signed
    row: int
    def __init__(self, objection: _Optional[_Union[_common_pb2.Signed, _Mapping]] = ..., row: _Optional[int] = ...) -> None: ...

class AnswerRepairRequest(_message.Message):
    __slots__ = ("answer",)
    ANSWER_FIELD_NUMBER: _ClassVar[int]
    answer: _common_pb2.Signed
    def __init__(self, answer: _Optional[_Union[_common_pb2.Signed, _Mapping]] = ...) -> None: ...

class AnswerRepairResponse(_message.Message):
    __slots__ = ("logged",)
    LOGGED_FIELD_NUMBER: _ClassVar[int]
    logged: _common_pb2.Logged
    def __init__(self, logged: _Optional[_Union[_common_pb2.Logged, _Mapping]] = ...) -> None: ...
