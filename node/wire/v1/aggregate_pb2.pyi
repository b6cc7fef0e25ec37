from node.wire.v1 import common_pb2 as _common_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class AggregateRequest(_message.Message):
    __slots__ = ("request",)
    REQUEST_FIELD_NUMBER: _ClassVar[int]
    request: _common_pb2.Signed
    def __init__(self, request: _Optional[_Union[_common_pb2.Signed, _Mapping]] = ...) -> None: ...

class AggregateResponse(_message.Message):
    __slots__ = ("progress", "reply")
    PROGRESS_FIELD_NUMBER: _ClassVar[int]
    REPLY_FIELD_NUMBER: _ClassVar[int]
    progress: AggregateProgress
    reply: AggregateReply
    def __init__(self, progress: _Optional[_Union[AggregateProgress, _Mapping]] = ..., reply: _Optional[_Union[AggregateReply, _Mapping]] = ...) -> None: ...

class AggregateProgress(_message.Message):
    __slots__ = ("done", "total")
    DONE_FIELD_NUMBER: _ClassVar[int]
    TOTAL_FIELD_NUMBER: _ClassVar[int]
    done: int
    total: int
    def __init__(self, done: _Optional[int] = ..., total: _Optional[int] = ...) -> None: ...

class AggregateReply(_message.Message):
    __slots__ = ("answer", "repeat", "outcome")
    ANSWER_FIELD_NUMBER: _ClassVar[int]
    REPEAT_FIELD_NUMBER: _ClassVar[int]
    OUTCOME_FIELD_NUMBER: _ClassVar[int]
    answer: AggregateAnswer
    repeat: AggregateRepeat
    outcome: _common_pb2.Logged
    def __init__(self, answer: _Optional[_Union[AggregateAnswer, _Mapping]] = ..., repeat: _Optional[_Union[AggregateRepeat, _Mapping]] = ..., outcome: _Optional[_Union[_common_pb2.Logged, _Mapping]] = ...) -> None: ...

class AggregateAnswer(_message.Message):
    __slots__ = ("request", "ticket", "receipt", "box", "masks", "permit")
    REQUEST_FIELD_NUMBER: _ClassVar[int]
    TICKET_FIELD_NUMBER: _ClassVar[int]
    RECEIPT_FIELD_NUMBER: _ClassVar[int]
    BOX_FIELD_NUMBER: _ClassVar[int]
    MASKS_FIELD_NUMBER: _ClassVar[int]
    PERMIT_FIELD_NUMBER: _ClassVar[int]
    request: _common_pb2.Signed
    ticket: _common_pb2.Signed
    receipt: _common_pb2.Signed
    box: bytes
    masks: bytes
    permit: _common_pb2.Logged
    def __init__(self, request: _Optional[_Union[_common_pb2.Signed, _Mapping]] = ..., ticket: _Optional[_Union[_common_pb2.Signed, _Mapping]] = ..., receipt: _Optional[_Union[_common_pb2.Signed, _Mapping]] = ..., box: _Optional[bytes] = ..., masks: _Optional[bytes] = ..., permit: _Optional[_Union[_common_pb2.Logged, _Mapping]] = ...) -> None: ...

class AggregateRepeat(_message.Message):
    __slots__ = ("ticket", "receipt", "permit")
    TICKET_FIELD_NUMBER: _ClassVar[int]
    RECEIPT_FIELD_NUMBER: _ClassVar[int]
    PERMIT_FIELD_NUMBER: _ClassVar[int]
    ticket: _common_pb2.Signed
    receipt: _common_pb2.Signed
    permit: _common_pb2.Logged
    def __init__(self, ticket: _Optional[_Union[_common_pb2.Signed, _Mapping]] = ..., receipt: _Optional[_Union[_common_pb2.Signed, _Mapping]] = ..., permit: _Optional[_Union[_common_pb2.Logged, _Mapping]] = ...) -> None: ...

class GetBudgetRequest(_message.Message):
    __slots__ = ("dataset",)
    DATASET_FIELD_NUMBER: _ClassVar[int]
    dataset: str
    def __init__(self, dataset: _Optional[str] = ...) -> None: ...

class GetBudgetResponse(_message.Message):
    __slots__ = ("quarter", "left_milliepsilon")
    QUARTER_FIELD_NUMBER: _ClassVar[int]
    LEFT_MILLIEPSILON_FIELD_NUMBER: _ClassVar[int]
    quarter: str
    left_milliepsilon: int
    def __init__(self, quarter: _Optional[str] = ..., left_milliepsilon: _Optional[int] = ...) -> None: ...

class EvaluateAggregateRequest(_message.Message):
    __slots__ = ("question", "ciphertexts")
    QUESTION_FIELD_NUMBER: _ClassVar[int]
    CIPHERTEXTS_FIELD_NUMBER: _ClassVar[int]
    question: AggregateQuestion
    ciphertexts: bytes
    def __init__(self, question: _Optional[_Union[AggregateQuestion, _Mapping]] = ..., ciphertexts: _Optional[bytes] = ...) -> None: ...

class AggregateQuestion(_message.Message):
    __slots__ = ("request", "ticket", "intent", "links", "placements")
    REQUEST_FIELD_NUMBER: _ClassVar[int]
    TICKET_FIELD_NUMBER: _ClassVar[int]
    INTENT_FIELD_NUMBER: _ClassVar[int]
    LINKS_FIELD_NUMBER: _ClassVar[int]
    PLACEMENTS_FIELD_NUMBER: _ClassVar[int]
    request: _common_pb2.Signed
    ticket: _common_pb2.Signed
    intent: _common_pb2.Logged
    links: _containers.RepeatedCompositeFieldContainer[_common_pb2.HeadLink]
    placements: _containers.RepeatedCompositeFieldContainer[Placement]
    def __init__(self, request: _Optional[_Union[_common_pb2.Signed, _Mapping]] = ..., ticket: _Optional[_Union[_common_pb2.Signed, _Mapping]] = ..., intent: _Optional[_Union[_common_pb2.Logged, _Mapping]] = ..., links: _Optional[_Iterable[_Union[_common_pb2.HeadLink, _Mapping]]] = ..., placements: _Optional[_Iterable[_Union[Placement, _Mapping]]] = ...) -> None: ...

class Placement(_message.Message):
    __slots__ = ("objection", "row")
    OBJECTION_FIELD_NUMBER: _ClassVar[int]
    ROW_FIELD_NUMBER: _ClassVar[int]
    objection: str
    row: int
    def __init__(self, objection: _Optional[str] = ..., row: _Optional[int] = ...) -> None: ...

class EvaluateAggregateResponse(_message.Message):
    __slots__ = ("receipt", "box", "permit")
    RECEIPT_FIELD_NUMBER: _ClassVar[int]
    BOX_FIELD_NUMBER: _ClassVar[int]
    PERMIT_FIELD_NUMBER: _ClassVar[int]
    receipt: _common_pb2.Signed
    box: bytes
    permit: _common_pb2.Logged
    def __init__(self, receipt: _Optional[_Union[_common_pb2.Signed, _Mapping]] = ..., box: _Optional[bytes] = ..., permit: _Optional[_Union[_common_pb2.Logged, _Mapping]] = ...) -> None: ...

class GetSpendingRequest(_message.Message):
    __slots__ = ("bank", "dataset")
    BANK_FIELD_NUMBER: _ClassVar[int]
    DATASET_FIELD_NUMBER: _ClassVar[int]
    bank: str
    dataset: str
    def __init__(self, bank: _Optional[str] = ..., dataset: _Optional[str] = ...) -> None: ...

class GetSpendingResponse(_message.Message):
    __slots__ = ("quarter", "left_milliepsilon")
    QUARTER_FIELD_NUMBER: _ClassVar[int]
    LEFT_MILLIEPSILON_FIELD_NUMBER: _ClassVar[int]
    quarter: str
    left_milliepsilon: int
    def __init__(self, quarter: _Optional[str] = ..., left_milliepsilon: _Optional[int] = ...) -> None: ...
