from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Optional as _Optional

DESCRIPTOR: _descriptor.FileDescriptor

class GetFingerprintRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class GetFingerprintResponse(_message.Message):
    __slots__ = ("key_id", "bits")
    KEY_ID_FIELD_NUMBER: _ClassVar[int]
    BITS_FIELD_NUMBER: _ClassVar[int]
    key_id: str
    bits: int
    def __init__(self, key_id: _Optional[str] = ..., bits: _Optional[int] = ...) -> None: ...
