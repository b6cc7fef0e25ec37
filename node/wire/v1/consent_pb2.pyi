from node.wire.v1 import common_pb2 as _common_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class PutConsentsRequest(_message.Message):
    __slots__ = ("items",)
    ITEMS_FIELD_NUMBER: _ClassVar[int]
    items: _containers.RepeatedCompositeFieldContainer[ConsentItem]
    def __init__(self, items: _Optional[_Iterable[_Union[ConsentItem, _Mapping]]] = ...) -> None: ...

class ConsentItem(_message.Message):
    __slots__ = ("grant", "event", "batch", "approval")
    GRANT_FIELD_NUMBER: _ClassVar[int]
    EVENT_FIELD_NUMBER: _ClassVar[int]
    BATCH_FIELD_NUMBER: _ClassVar[int]
    APPROVAL_FIELD_NUMBER: _ClassVar[int]
    grant: Grant
    event: _common_pb2.Signed
    batch: Batch
    approval: _common_pb2.Signed
    def __init__(self, grant: _Optional[_Union[Grant, _Mapping]] = ..., event: _Optional[_Union[_common_pb2.Signed, _Mapping]] = ..., batch: _Optional[_Union[Batch, _Mapping]] = ..., approval: _Optional[_Union[_common_pb2.Signed, _Mapping]] = ...) -> None: ...

class Grant(_message.Message):
    __slots__ = ("consent", "opening")
    CONSENT_FIELD_NUMBER: _ClassVar[int]
    OPENING_FIELD_NUMBER: _ClassVar[int]
    consent: _common_pb2.Signed
    opening: _common_pb2.SubjectOpening
    def __init__(self, consent: _Optional[_Union[_common_pb2.Signed, _Mapping]] = ..., opening: _Optional[_Union[_common_pb2.SubjectOpening, _Mapping]] = ...) -> None: ...

class Batch(_message.Message):
    __slots__ = ("batch", "subject_refs", "salts")
    BATCH_FIELD_NUMBER: _ClassVar[int]
    SUBJECT_REFS_FIELD_NUMBER: _ClassVar[int]
    SALTS_FIELD_NUMBER: _ClassVar[int]
    batch: _common_pb2.Signed
    subject_refs: bytes
    salts: bytes
    def __init__(self, batch: _Optional[_Union[_common_pb2.Signed, _Mapping]] = ..., subject_refs: _Optional[bytes] = ..., salts: _Optional[bytes] = ...) -> None: ...

class PutConsentsResponse(_message.Message):
    __slots__ = ("recorded", "logged")
    RECORDED_FIELD_NUMBER: _ClassVar[int]
    LOGGED_FIELD_NUMBER: _ClassVar[int]
    recorded: int
    logged: _common_pb2.Logged
    def __init__(self, recorded: _Optional[int] = ..., logged: _Optional[_Union[_common_pb2.Logged, _Mapping]] = ...) -> None: ...

class ListPendingRequest(_message.Message):
    __slots__ = ("after",)
    AFTER_FIELD_NUMBER: _ClassVar[int]
    after: bytes
    def __init__(self, after: _Optional[bytes] = ...) -> None: ...

class ListPendingResponse(_message.Message):
    __slots__ = ("batches",)
    BATCHES_FIELD_NUMBER: _ClassVar[int]
    batches: _containers.RepeatedCompositeFieldContainer[_common_pb2.Signed]
    def __init__(self, batches: _Optional[_Iterable[_Union[_common_pb2.Signed, _Mapping]]] = ...) -> None: ...

class ListConsentsRequest(_message.Message):
    __slots__ = ("after", "limit")
    AFTER_FIELD_NUMBER: _ClassVar[int]
    LIMIT_FIELD_NUMBER: _ClassVar[int]
    after: str
    limit: int
    def __init__(self, after: _Optional[str] = ..., limit: _Optional[int] = ...) -> None: ...

class ListConsentsResponse(_message.Message):
    __slots__ = ("consents",)
    CONSENTS_FIELD_NUMBER: _ClassVar[int]
    consents: _containers.RepeatedCompositeFieldContainer[ConsentState]
    def __init__(self, consents: _Optional[_Iterable[_Union[ConsentState, _Mapping]]] = ...) -> None: ...

class ConsentState(_message.Message):
    __slots__ = ("consent", "status", "uses", "consent_id")
    CONSENT_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    USES_FIELD_NUMBER: _ClassVar[int]
    CONSENT_ID_FIELD_NUMBER: _ClassVar[int]
    consent: _common_pb2.Signed
    status: str
    uses: int
    consent_id: str
    def __init__(self, consent: _Optional[_Union[_common_pb2.Signed, _Mapping]] = ..., status: _Optional[str] = ..., uses: _Optional[int] = ..., consent_id: _Optional[str] = ...) -> None: ...
