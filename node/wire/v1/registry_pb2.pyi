from node.wire.v1 import common_pb2 as _common_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class PutRequest(_message.Message):
    __slots__ = ("registration", "submission", "approval", "activation", "retirement")
    REGISTRATION_FIELD_NUMBER: _ClassVar[int]
    SUBMISSION_FIELD_NUMBER: _ClassVar[int]
    APPROVAL_FIELD_NUMBER: _ClassVar[int]
    ACTIVATION_FIELD_NUMBER: _ClassVar[int]
    RETIREMENT_FIELD_NUMBER: _ClassVar[int]
    registration: _common_pb2.Signed
    submission: _common_pb2.Signed
    approval: _common_pb2.Signed
    activation: _common_pb2.Signed
    retirement: _common_pb2.Signed
    def __init__(self, registration: _Optional[_Union[_common_pb2.Signed, _Mapping]] = ..., submission: _Optional[_Union[_common_pb2.Signed, _Mapping]] = ..., approval: _Optional[_Union[_common_pb2.Signed, _Mapping]] = ..., activation: _Optional[_Union[_common_pb2.Signed, _Mapping]] = ..., retirement: _Optional[_Union[_common_pb2.Signed, _Mapping]] = ...) -> None: ...

class PutResponse(_message.Message):
    __slots__ = ("missing",)
    MISSING_FIELD_NUMBER: _ClassVar[int]
    missing: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, missing: _Optional[_Iterable[str]] = ...) -> None: ...
