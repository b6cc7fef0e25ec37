from node.wire.v1 import common_pb2 as _common_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class ScoreRequest(_message.Message):
    __slots__ = ("request", "opening")
    REQUEST_FIELD_NUMBER: _ClassVar[int]
    OPENING_FIELD_NUMBER: _ClassVar[int]
    request: _common_pb2.Signed
    opening: _common_pb2.SubjectOpening
    def __init__(self, request: _Optional[_Union[_common_pb2.Signed, _Mapping]] = ..., opening: _Optional[_Union[_common_pb2.SubjectOpening, _Mapping]] = ...) -> None: ...

class JointRequest(_message.Message):
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

class JointResponse(_message.Message):
    __slots__ = ("answer",)
    ANSWER_FIELD_NUMBER: _ClassVar[int]
    answer: ScoreResponse
    def __init__(self, answer: _Optional[_Union[ScoreResponse, _Mapping]] = ...) -> None: ...

class ScoreResponse(_message.Message):
    __slots__ = ("answer", "repeat", "outcome")
    ANSWER_FIELD_NUMBER: _ClassVar[int]
    REPEAT_FIELD_NUMBER: _ClassVar[int]
    OUTCOME_FIELD_NUMBER: _ClassVar[int]
    answer: Answer
    repeat: Repeat
    outcome: _common_pb2.Logged
    def __init__(self, answer: _Optional[_Union[Answer, _Mapping]] = ..., repeat: _Optional[_Union[Repeat, _Mapping]] = ..., outcome: _Optional[_Union[_common_pb2.Logged, _Mapping]] = ...) -> None: ...

class Answer(_message.Message):
    __slots__ = ("request", "ticket", "receipt", "box", "pads", "permit")
    REQUEST_FIELD_NUMBER: _ClassVar[int]
    TICKET_FIELD_NUMBER: _ClassVar[int]
    RECEIPT_FIELD_NUMBER: _ClassVar[int]
    BOX_FIELD_NUMBER: _ClassVar[int]
    PADS_FIELD_NUMBER: _ClassVar[int]
    PERMIT_FIELD_NUMBER: _ClassVar[int]
    request: _common_pb2.Signed
    ticket: _common_pb2.Signed
    receipt: _common_pb2.Signed
    box: bytes
    pads: bytes
    permit: _common_pb2.Logged
    def __init__(self, request: _Optional[_Union[_common_pb2.Signed, _Mapping]] = ..., ticket: _Optional[_Union[_common_pb2.Signed, _Mapping]] = ..., receipt: _Optional[_Union[_common_pb2.Signed, _Mapping]] = ..., box: _Optional[bytes] = ..., pads: _Optional[bytes] = ..., permit: _Optional[_Union[_common_pb2.Logged, _Mapping]] = ...) -> None: ...

class Repeat(_message.Message):
    __slots__ = ("ticket", "receipt", "permit")
    TICKET_FIELD_NUMBER: _ClassVar[int]
    RECEIPT_FIELD_NUMBER: _ClassVar[int]
    PERMIT_FIELD_NUMBER: _ClassVar[int]
    ticket: _common_pb2.Signed
    receipt: _common_pb2.Signed
    permit: _common_pb2.Logged
    def __init__(self, ticket: _Optional[_Union[_common_pb2.Signed, _Mapping]] = ..., receipt: _Optional[_Union[_common_pb2.Signed, _Mapping]] = ..., permit: _Optional[_Union[_common_pb2.Logged, _Mapping]] = ...) -> None: ...

class CommitResultRequest(_message.Message):
    __slots__ = ("result",)
    RESULT_FIELD_NUMBER: _ClassVar[int]
    result: _common_pb2.Signed
    def __init__(self, result: _Optional[_Union[_common_pb2.Signed, _Mapping]] = ...) -> None: ...

class CommitResultResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class CommitResultsRequest(_message.Message):
    __slots__ = ("results",)
    RESULTS_FIELD_NUMBER: _ClassVar[int]
    results: _containers.RepeatedCompositeFieldContainer[_common_pb2.Signed]
    def __init__(self, results: _Optional[_Iterable[_Union[_common_pb2.Signed, _Mapping]]] = ...) -> None: ...

class CommitResultsResponse(_message.Message):
    __slots__ = ("refused",)
    REFUSED_FIELD_NUMBER: _ClassVar[int]
    refused: _containers.RepeatedScalarFieldContainer[int]
    def __init__(self, refused: _Optional[_Iterable[int]] = ...) -> None: ...

class DenialDetail(_message.Message):
    __slots__ = ("denial",)
    DENIAL_FIELD_NUMBER: _ClassVar[int]
    denial: _common_pb2.Signed
    def __init__(self, denial: _Optional[_Union[_common_pb2.Signed, _Mapping]] = ...) -> None: ...
