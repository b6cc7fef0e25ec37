from node.wire.v1 import common_pb2 as _common_pb2
from node.wire.v1 import scoring_pb2 as _scoring_pb2
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class RangeRequest(_message.Message):
    __slots__ = ("request", "opening")
    REQUEST_FIELD_NUMBER: _ClassVar[int]
    OPENING_FIELD_NUMBER: _ClassVar[int]
    request: _common_pb2.Signed
    opening: _common_pb2.SubjectOpening
    def __init__(self, request: _Optional[_Union[_common_pb2.Signed, _Mapping]] = ..., opening: _Optional[_Union[_common_pb2.SubjectOpening, _Mapping]] = ...) -> None: ...

class RangeResponse(_message.Message):
    __slots__ = ("answer",)
    ANSWER_FIELD_NUMBER: _ClassVar[int]
    answer: _scoring_pb2.ScoreResponse
    def __init__(self, answer: _Optional[_Union[_scoring_pb2.ScoreResponse, _Mapping]] = ...) -> None: ...

class VerifyRequest(_message.Message):
    __slots__ = ("request", "opening", "share", "sealed_share")
    REQUEST_FIELD_NUMBER: _ClassVar[int]
    OPENING_FIELD_NUMBER: _ClassVar[int]
    SHARE_FIELD_NUMBER: _ClassVar[int]
    SEALED_SHARE_FIELD_NUMBER: _ClassVar[int]
    request: _common_pb2.Signed
    opening: _common_pb2.SubjectOpening
    share: bytes
    sealed_share: bytes
    def __init__(self, request: _Optional[_Union[_common_pb2.Signed, _Mapping]] = ..., opening: _Optional[_Union[_common_pb2.SubjectOpening, _Mapping]] = ..., share: _Optional[bytes] = ..., sealed_share: _Optional[bytes] = ...) -> None: ...

class VerifyResponse(_message.Message):
    __slots__ = ("answer",)
    ANSWER_FIELD_NUMBER: _ClassVar[int]
    answer: _scoring_pb2.ScoreResponse
    def __init__(self, answer: _Optional[_Union[_scoring_pb2.ScoreResponse, _Mapping]] = ...) -> None: ...
