from node.wire.v1 import common_pb2 as _common_pb2
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class PutFeedbackDeskRequest(_message.Message):
    __slots__ = ("desk",)
    DESK_FIELD_NUMBER: _ClassVar[int]
    desk: _common_pb2.Signed
    def __init__(self, desk: _Optional[_Union[_common_pb2.Signed, _Mapping]] = ...) -> None: ...

class PutFeedbackDeskResponse(_message.Message):
    __slots__ = ("logged",)
    LOGGED_FIELD_NUMBER: _ClassVar[int]
    logged: _common_pb2.Logged
    def __init__(self, logged: _Optional[_Union[_common_pb2.Logged, _Mapping]] = ...) -> None: ...

class GetFeedbackDeskRequest(_message.Message):
    __slots__ = ("custodian",)
    CUSTODIAN_FIELD_NUMBER: _ClassVar[int]
    custodian: str
    def __init__(self, custodian: _Optional[str] = ...) -> None: ...

class GetFeedbackDeskResponse(_message.Message):
    __slots__ = ("desk",)
    DESK_FIELD_NUMBER: _ClassVar[int]
    desk: _common_pb2.Signed
    def __init__(self, desk: _Optional[_Union[_common_pb2.Signed, _Mapping]] = ...) -> None: ...

class SendFeedbackRequest(_message.Message):
    __slots__ = ("parcel", "box")
    PARCEL_FIELD_NUMBER: _ClassVar[int]
    BOX_FIELD_NUMBER: _ClassVar[int]
    parcel: _common_pb2.Signed
    box: bytes
    def __init__(self, parcel: _Optional[_Union[_common_pb2.Signed, _Mapping]] = ..., box: _Optional[bytes] = ...) -> None: ...

class SendFeedbackResponse(_message.Message):
    __slots__ = ("logged",)
    LOGGED_FIELD_NUMBER: _ClassVar[int]
    logged: _common_pb2.Logged
    def __init__(self, logged: _Optional[_Union[_common_pb2.Logged, _Mapping]] = ...) -> None: ...

class FetchFeedbackRequest(_message.Message):
    __slots__ = ("after",)
    AFTER_FIELD_NUMBER: _ClassVar[int]
    after: int
    def __init__(self, after: _Optional[int] = ...) -> None: ...

class FetchFeedbackResponse(_message.Message):
    __slots__ = ("parcel", "box", "logged")
    PARCEL_FIELD_NUMBER: _ClassVar[int]
    BOX_FIELD_NUMBER: _ClassVar[int]
    LOGGED_FIELD_NUMBER: _ClassVar[int]
    parcel: _common_pb2.Signed
    box: bytes
    logged: _common_pb2.Logged
    def __init__(self, parcel: _Optional[_Union[_common_pb2.Signed, _Mapping]] = ..., box: _Optional[bytes] = ..., logged: _Optional[_Union[_common_pb2.Logged, _Mapping]] = ...) -> None: ...
