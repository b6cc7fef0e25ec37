from node.wire.v1 import common_pb2 as _common_pb2
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class IssueRatingRequest(_message.Message):
    __slots__ = ("rating", "request", "ticket", "opening")
    RATING_FIELD_NUMBER: _ClassVar[int]
    REQUEST_FIELD_NUMBER: _ClassVar[int]
    TICKET_FIELD_NUMBER: _ClassVar[int]
    OPENING_FIELD_NUMBER: _ClassVar[int]
    rating: _common_pb2.Signed
    request: _common_pb2.Signed
    ticket: _common_pb2.Signed
    opening: _common_pb2.SubjectOpening
    def __init__(self, rating: _Optional[_Union[_common_pb2.Signed, _Mapping]] = ..., request: _Optional[_Union[_common_pb2.Signed, _Mapping]] = ..., ticket: _Optional[_Union[_common_pb2.Signed, _Mapping]] = ..., opening: _Optional[_Union[_common_pb2.SubjectOpening, _Mapping]] = ...) -> None: ...

class IssueRatingResponse(_message.Message):
    __slots__ = ("logged",)
    LOGGED_FIELD_NUMBER: _ClassVar[int]
    logged: _common_pb2.Logged
    def __init__(self, logged: _Optional[_Union[_common_pb2.Logged, _Mapping]] = ...) -> None: ...

class RevokeRatingRequest(_message.Message):
    __slots__ = ("revocation",)
    REVOCATION_FIELD_NUMBER: _ClassVar[int]
    revocation: _common_pb2.Signed
    def __init__(self, revocation: _Optional[_Union[_common_pb2.Signed, _Mapping]] = ...) -> None: ...

class RevokeRatingResponse(_message.Message):
    __slots__ = ("logged",)
    LOGGED_FIELD_NUMBER: _ClassVar[int]
    logged: _common_pb2.Logged
    def __init__(self, logged: _Optional[_Union[_common_pb2.Logged, _Mapping]] = ...) -> None: ...

class GetRatingStatusRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class GetRatingStatusResponse(_message.Message):
    __slots__ = ("list",)
    LIST_FIELD_NUMBER: _ClassVar[int]
    list: str
    def __init__(self, list: _Optional[str] = ...) -> None: ...
