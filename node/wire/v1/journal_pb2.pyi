from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable
from typing import ClassVar as _ClassVar, Optional as _Optional

DESCRIPTOR: _descriptor.FileDescriptor

class GetCheckpointRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class GetCheckpointResponse(_message.Message):
    __slots__ = ("note", "cosigned", "now_ms", "seen_size", "seen_root")
    NOTE_FIELD_NUMBER: _ClassVar[int]
    COSIGNED_FIELD_NUMBER: _ClassVar[int]
    NOW_MS_FIELD_NUMBER: _ClassVar[int]
    SEEN_SIZE_FIELD_NUMBER: _ClassVar[int]
    SEEN_ROOT_FIELD_NUMBER: _ClassVar[int]
    note: str
    cosigned: str
    now_ms: int
    seen_size: int
    seen_root: bytes
    def __init__(self, note: _Optional[str] = ..., cosigned: _Optional[str] = ..., now_ms: _Optional[int] = ..., seen_size: _Optional[int] = ..., seen_root: _Optional[bytes] = ...) -> None: ...

class ReadEntriesRequest(_message.Message):
    __slots__ = ("start", "stop")
    START_FIELD_NUMBER: _ClassVar[int]
    STOP_FIELD_NUMBER: _ClassVar[int]
    start: int
    stop: int
    def __init__(self, start: _Optional[int] = ..., stop: _Optional[int] = ...) -> None: ...

class ReadEntriesResponse(_message.Message):
    __slots__ = ("entries",)
    ENTRIES_FIELD_NUMBER: _ClassVar[int]
    entries: _containers.RepeatedScalarFieldContainer[bytes]
    def __init__(self, entries: _Optional[_Iterable[bytes]] = ...) -> None: ...

class ReadCheckpointsRequest(_message.Message):
    __slots__ = ("after_size", "up_to_size")
    AFTER_SIZE_FIELD_NUMBER: _ClassVar[int]
    UP_TO_SIZE_FIELD_NUMBER: _ClassVar[int]
    after_size: int
    up_to_size: int
    def __init__(self, after_size: _Optional[int] = ..., up_to_size: _Optional[int] = ...) -> None: ...

class ReadCheckpointsResponse(_message.Message):
    __slots__ = ("notes",)
    NOTES_FIELD_NUMBER: _ClassVar[int]
    notes: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, notes: _Optional[_Iterable[str]] = ...) -> None: ...

class ProveConsistencyRequest(_message.Message):
    __slots__ = ("old_size", "new_size")
    OLD_SIZE_FIELD_NUMBER: _ClassVar[int]
    NEW_SIZE_FIELD_NUMBER: _ClassVar[int]
    old_size: int
    new_size: int
    def __init__(self, old_size: _Optional[int] = ..., new_size: _Optional[int] = ...) -> None: ...

class ProveConsistencyResponse(_message.Message):
    __slots__ = ("hashes",)
    HASHES_FIELD_NUMBER: _ClassVar[int]
    hashes: _containers.RepeatedScalarFieldContainer[bytes]
    def __init__(self, hashes: _Optional[_Iterable[bytes]] = ...) -> None: ...

class GetSeedShareRequest(_message.Message):
    __slots__ = ("call",)
    CALL_FIELD_NUMBER: _ClassVar[int]
    call: bytes
    def __init__(self, call: _Optional[bytes] = ...) -> None: ...

class GetSeedShareResponse(_message.Message):
    __slots__ = ("box",)
    BOX_FIELD_NUMBER: _ClassVar[int]
    box: bytes
    def __init__(self, box: _Optional[bytes] = ...) -> None: ...
