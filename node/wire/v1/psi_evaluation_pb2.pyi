from node.wire.v1 import common_pb2 as _common_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class AdmitListRequest(_message.Message):
    __slots__ = ("manifest", "box")
    MANIFEST_FIELD_NUMBER: _ClassVar[int]
    BOX_FIELD_NUMBER: _ClassVar[int]
    manifest: _common_pb2.Signed
    box: bytes
    def __init__(self, manifest: _Optional[_Union[_common_pb2.Signed, _Mapping]] = ..., box: _Optional[bytes] = ...) -> None: ...

class AdmitListResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class PermitSessionRequest(_message.Message):
    __slots__ = ("request", "ticket", "leaves", "intent", "links")
    REQUEST_FIELD_NUMBER: _ClassVar[int]
    TICKET_FIELD_NUMBER: _ClassVar[int]
    LEAVES_FIELD_NUMBER: _ClassVar[int]
    INTENT_FIELD_NUMBER: _ClassVar[int]
    LINKS_FIELD_NUMBER: _ClassVar[int]
    request: _common_pb2.Signed
    ticket: _common_pb2.Signed
    leaves: bytes
    intent: _common_pb2.Logged
    links: _containers.RepeatedCompositeFieldContainer[_common_pb2.HeadLink]
    def __init__(self, request: _Optional[_Union[_common_pb2.Signed, _Mapping]] = ..., ticket: _Optional[_Union[_common_pb2.Signed, _Mapping]] = ..., leaves: _Optional[bytes] = ..., intent: _Optional[_Union[_common_pb2.Logged, _Mapping]] = ..., links: _Optional[_Iterable[_Union[_common_pb2.HeadLink, _Mapping]]] = ...) -> None: ...

class PermitSessionResponse(_message.Message):
    __slots__ = ("permit",)
    PERMIT_FIELD_NUMBER: _ClassVar[int]
    permit: _common_pb2.Logged
    def __init__(self, permit: _Optional[_Union[_common_pb2.Logged, _Mapping]] = ...) -> None: ...

class EvaluatePointsRequest(_message.Message):
    __slots__ = ("session", "number", "points")
    SESSION_FIELD_NUMBER: _ClassVar[int]
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    POINTS_FIELD_NUMBER: _ClassVar[int]
    session: bytes
    number: int
    points: bytes
    def __init__(self, session: _Optional[bytes] = ..., number: _Optional[int] = ..., points: _Optional[bytes] = ...) -> None: ...

class EvaluatePointsResponse(_message.Message):
    __slots__ = ("points",)
    POINTS_FIELD_NUMBER: _ClassVar[int]
    points: bytes
    def __init__(self, points: _Optional[bytes] = ...) -> None: ...

class FinishSessionRequest(_message.Message):
    __slots__ = ("session",)
    SESSION_FIELD_NUMBER: _ClassVar[int]
    session: bytes
    def __init__(self, session: _Optional[bytes] = ...) -> None: ...

class FinishSessionResponse(_message.Message):
    __slots__ = ("receipt",)
    RECEIPT_FIELD_NUMBER: _ClassVar[int]
    receipt: _common_pb2.Signed
    def __init__(self, receipt: _Optional[_Union[_common_pb2.Signed, _Mapping]] = ...) -> None: ...

class CountSessionRequest(_message.Message):
    __slots__ = ("returned", "points", "box")
    RETURNED_FIELD_NUMBER: _ClassVar[int]
    POINTS_FIELD_NUMBER: _ClassVar[int]
    BOX_FIELD_NUMBER: _ClassVar[int]
    returned: _common_pb2.Signed
    points: bytes
    box: bytes
    def __init__(self, returned: _Optional[_Union[_common_pb2.Signed, _Mapping]] = ..., points: _Optional[bytes] = ..., box: _Optional[bytes] = ...) -> None: ...

class CountSessionResponse(_message.Message):
    __slots__ = ("receipt", "box")
    RECEIPT_FIELD_NUMBER: _ClassVar[int]
    BOX_FIELD_NUMBER: _ClassVar[int]
    receipt: _common_pb2.Signed
    box: bytes
    def __init__(self, receipt: _Optional[_Union[_common_pb2.Signed, _Mapping]] = ..., box: _Optional[bytes] = ...) -> None: ...
