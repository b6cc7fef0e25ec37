from node.wire.v1 import common_pb2 as _common_pb2
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class FetchPointsRequest(_message.Message):
    __slots__ = ("session", "evaluated")
    SESSION_FIELD_NUMBER: _ClassVar[int]
    EVALUATED_FIELD_NUMBER: _ClassVar[int]
    session: bytes
    evaluated: bool
    def __init__(self, session: _Optional[bytes] = ..., evaluated: _Optional[bool] = ...) -> None: ...

class FetchPointsResponse(_message.Message):
    __slots__ = ("points",)
    POINTS_FIELD_NUMBER: _ClassVar[int]
    points: bytes
    def __init__(self, points: _Optional[bytes] = ...) -> None: ...

class PutListRequest(_message.Message):
    __slots__ = ("manifest", "box", "points")
    MANIFEST_FIELD_NUMBER: _ClassVar[int]
    BOX_FIELD_NUMBER: _ClassVar[int]
    POINTS_FIELD_NUMBER: _ClassVar[int]
    manifest: _common_pb2.Signed
    box: bytes
    points: bytes
    def __init__(self, manifest: _Optional[_Union[_common_pb2.Signed, _Mapping]] = ..., box: _Optional[bytes] = ..., points: _Optional[bytes] = ...) -> None: ...

class PutListResponse(_message.Message):
    __slots__ = ("logged",)
    LOGGED_FIELD_NUMBER: _ClassVar[int]
    logged: _common_pb2.Logged
    def __init__(self, logged: _Optional[_Union[_common_pb2.Logged, _Mapping]] = ...) -> None: ...

class GetListRequest(_message.Message):
    __slots__ = ("list",)
    LIST_FIELD_NUMBER: _ClassVar[int]
    list: str
    def __init__(self, list: _Optional[str] = ...) -> None: ...

class GetListResponse(_message.Message):
    __slots__ = ("manifest",)
    MANIFEST_FIELD_NUMBER: _ClassVar[int]
    manifest: _common_pb2.Signed
    def __init__(self, manifest: _Optional[_Union[_common_pb2.Signed, _Mapping]] = ...) -> None: ...

class OpenSessionRequest(_message.Message):
    __slots__ = ("request",)
    REQUEST_FIELD_NUMBER: _ClassVar[int]
    request: _common_pb2.Signed
    def __init__(self, request: _Optional[_Union[_common_pb2.Signed, _Mapping]] = ...) -> None: ...

class OpenSessionResponse(_message.Message):
    __slots__ = ("pieces",)
    PIECES_FIELD_NUMBER: _ClassVar[int]
    pieces: int
    def __init__(self, pieces: _Optional[int] = ...) -> None: ...

class SendPointsRequest(_message.Message):
    __slots__ = ("session", "number", "points")
    SESSION_FIELD_NUMBER: _ClassVar[int]
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    POINTS_FIELD_NUMBER: _ClassVar[int]
    session: bytes
    number: int
    points: bytes
    def __init__(self, session: _Optional[bytes] = ..., number: _Optional[int] = ..., points: _Optional[bytes] = ...) -> None: ...

class SendPointsResponse(_message.Message):
    __slots__ = ("pieces",)
    PIECES_FIELD_NUMBER: _ClassVar[int]
    pieces: int
    def __init__(self, pieces: _Optional[int] = ...) -> None: ...

class RunSessionRequest(_message.Message):
    __slots__ = ("session",)
    SESSION_FIELD_NUMBER: _ClassVar[int]
    session: bytes
    def __init__(self, session: _Optional[bytes] = ...) -> None: ...

class RunSessionResponse(_message.Message):
    __slots__ = ("progress", "answer")
    PROGRESS_FIELD_NUMBER: _ClassVar[int]
    ANSWER_FIELD_NUMBER: _ClassVar[int]
    progress: PsiProgress
    answer: PsiAnswer
    def __init__(self, progress: _Optional[_Union[PsiProgress, _Mapping]] = ..., answer: _Optional[_Union[PsiAnswer, _Mapping]] = ...) -> None: ...

class PsiProgress(_message.Message):
    __slots__ = ("done", "total")
    DONE_FIELD_NUMBER: _ClassVar[int]
    TOTAL_FIELD_NUMBER: _ClassVar[int]
    done: int
    total: int
    def __init__(self, done: _Optional[int] = ..., total: _Optional[int] = ...) -> None: ...

class PsiAnswer(_message.Message):
    __slots__ = ("ticket", "receipt", "permit", "outcome")
    TICKET_FIELD_NUMBER: _ClassVar[int]
    RECEIPT_FIELD_NUMBER: _ClassVar[int]
    PERMIT_FIELD_NUMBER: _ClassVar[int]
    OUTCOME_FIELD_NUMBER: _ClassVar[int]
    ticket: _common_pb2.Signed
    receipt: _common_pb2.Signed
    permit: _common_pb2.Logged
    outcome: _common_pb2.Logged
    def __init__(self, ticket: _Optional[_Union[_common_pb2.Signed, _Mapping]] = ..., receipt: _Optional[_Union[_common_pb2.Signed, _Mapping]] = ..., permit: _Optional[_Union[_common_pb2.Logged, _Mapping]] = ..., outcome: _Optional[_Union[_common_pb2.Logged, _Mapping]] = ...) -> None: ...

class FetchRepliesRequest(_message.Message):
    __slots__ = ("session", "served", "start")
    SESSION_FIELD_NUMBER: _ClassVar[int]
    SERVED_FIELD_NUMBER: _ClassVar[int]
    START_FIELD_NUMBER: _ClassVar[int]
    session: bytes
    served: bool
    start: int
    def __init__(self, session: _Optional[bytes] = ..., served: _Optional[bool] = ..., start: _Optional[int] = ...) -> None: ...

class FetchRepliesResponse(_message.Message):
    __slots__ = ("number", "points")
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    POINTS_FIELD_NUMBER: _ClassVar[int]
    number: int
    points: bytes
    def __init__(self, number: _Optional[int] = ..., points: _Optional[bytes] = ...) -> None: ...

class ReturnPointsRequest(_message.Message):
    __slots__ = ("returned", "box")
    RETURNED_FIELD_NUMBER: _ClassVar[int]
    BOX_FIELD_NUMBER: _ClassVar[int]
    returned: _common_pb2.Signed
    box: bytes
    def __init__(self, returned: _Optional[_Union[_common_pb2.Signed, _Mapping]] = ..., box: _Optional[bytes] = ...) -> None: ...

class ReturnPointsResponse(_message.Message):
    __slots__ = ("receipt", "box", "counted")
    RECEIPT_FIELD_NUMBER: _ClassVar[int]
    BOX_FIELD_NUMBER: _ClassVar[int]
    COUNTED_FIELD_NUMBER: _ClassVar[int]
    receipt: _common_pb2.Signed
    box: bytes
    counted: _common_pb2.Logged
    def __init__(self, receipt: _Optional[_Union[_common_pb2.Signed, _Mapping]] = ..., box: _Optional[bytes] = ..., counted: _Optional[_Union[_common_pb2.Logged, _Mapping]] = ...) -> None: ...

class CommitPsiResultRequest(_message.Message):
    __slots__ = ("result",)
    RESULT_FIELD_NUMBER: _ClassVar[int]
    result: _common_pb2.Signed
    def __init__(self, result: _Optional[_Union[_common_pb2.Signed, _Mapping]] = ...) -> None: ...

class CommitPsiResultResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...
