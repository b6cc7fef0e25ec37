from node.wire.v1 import common_pb2 as _common_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class SubmitJobRequest(_message.Message):
    __slots__ = ("job", "entries")
    JOB_FIELD_NUMBER: _ClassVar[int]
    ENTRIES_FIELD_NUMBER: _ClassVar[int]
    job: _common_pb2.Signed
    entries: JobEntries
    def __init__(self, job: _Optional[_Union[_common_pb2.Signed, _Mapping]] = ..., entries: _Optional[_Union[JobEntries, _Mapping]] = ...) -> None: ...

class JobEntries(_message.Message):
    __slots__ = ("subject_refs", "salts", "consents")
    SUBJECT_REFS_FIELD_NUMBER: _ClassVar[int]
    SALTS_FIELD_NUMBER: _ClassVar[int]
    CONSENTS_FIELD_NUMBER: _ClassVar[int]
    subject_refs: bytes
    salts: bytes
    consents: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, subject_refs: _Optional[bytes] = ..., salts: _Optional[bytes] = ..., consents: _Optional[_Iterable[str]] = ...) -> None: ...

class SubmitJobResponse(_message.Message):
    __slots__ = ("logged",)
    LOGGED_FIELD_NUMBER: _ClassVar[int]
    logged: _common_pb2.Logged
    def __init__(self, logged: _Optional[_Union[_common_pb2.Logged, _Mapping]] = ...) -> None: ...

class WatchJobRequest(_message.Message):
    __slots__ = ("job",)
    JOB_FIELD_NUMBER: _ClassVar[int]
    job: bytes
    def __init__(self, job: _Optional[bytes] = ...) -> None: ...

class WatchJobResponse(_message.Message):
    __slots__ = ("progress",)
    PROGRESS_FIELD_NUMBER: _ClassVar[int]
    progress: JobProgress
    def __init__(self, progress: _Optional[_Union[JobProgress, _Mapping]] = ...) -> None: ...

class JobProgress(_message.Message):
    __slots__ = ("job", "state", "entries", "denied", "permitted", "released", "reason", "submitted_ms", "contract", "withdrawn")
    JOB_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    ENTRIES_FIELD_NUMBER: _ClassVar[int]
    DENIED_FIELD_NUMBER: _ClassVar[int]
    PERMITTED_FIELD_NUMBER: _ClassVar[int]
    RELEASED_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    SUBMITTED_MS_FIELD_NUMBER: _ClassVar[int]
    CONTRACT_FIELD_NUMBER: _ClassVar[int]
    WITHDRAWN_FIELD_NUMBER: _ClassVar[int]
    job: bytes
    state: str
    entries: int
    denied: int
    permitted: int
    released: int
    reason: str
    submitted_ms: int
    contract: bytes
    withdrawn: int
    def __init__(self, job: _Optional[bytes] = ..., state: _Optional[str] = ..., entries: _Optional[int] = ..., denied: _Optional[int] = ..., permitted: _Optional[int] = ..., released: _Optional[int] = ..., reason: _Optional[str] = ..., submitted_ms: _Optional[int] = ..., contract: _Optional[bytes] = ..., withdrawn: _Optional[int] = ...) -> None: ...

class FetchJobRequest(_message.Message):
    __slots__ = ("job", "start", "follow")
    JOB_FIELD_NUMBER: _ClassVar[int]
    START_FIELD_NUMBER: _ClassVar[int]
    FOLLOW_FIELD_NUMBER: _ClassVar[int]
    job: bytes
    start: int
    follow: bool
    def __init__(self, job: _Optional[bytes] = ..., start: _Optional[int] = ..., follow: _Optional[bool] = ...) -> None: ...

class FetchJobResponse(_message.Message):
    __slots__ = ("number", "answer", "denials")
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    ANSWER_FIELD_NUMBER: _ClassVar[int]
    DENIALS_FIELD_NUMBER: _ClassVar[int]
    number: int
    answer: JobAnswer
    denials: _common_pb2.Signed
    def __init__(self, number: _Optional[int] = ..., answer: _Optional[_Union[JobAnswer, _Mapping]] = ..., denials: _Optional[_Union[_common_pb2.Signed, _Mapping]] = ...) -> None: ...

class JobAnswer(_message.Message):
    __slots__ = ("ticket", "receipt", "box", "pads", "permits", "outcome")
    TICKET_FIELD_NUMBER: _ClassVar[int]
    RECEIPT_FIELD_NUMBER: _ClassVar[int]
    BOX_FIELD_NUMBER: _ClassVar[int]
    PADS_FIELD_NUMBER: _ClassVar[int]
    PERMITS_FIELD_NUMBER: _ClassVar[int]
    OUTCOME_FIELD_NUMBER: _ClassVar[int]
    ticket: _common_pb2.Signed
    receipt: _common_pb2.Signed
    box: bytes
    pads: bytes
    permits: JobPermits
    outcome: _common_pb2.Logged
    def __init__(self, ticket: _Optional[_Union[_common_pb2.Signed, _Mapping]] = ..., receipt: _Optional[_Union[_common_pb2.Signed, _Mapping]] = ..., box: _Optional[bytes] = ..., pads: _Optional[bytes] = ..., permits: _Optional[_Union[JobPermits, _Mapping]] = ..., outcome: _Optional[_Union[_common_pb2.Logged, _Mapping]] = ...) -> None: ...

class JobPermits(_message.Message):
    __slots__ = ("checkpoint", "entries")
    CHECKPOINT_FIELD_NUMBER: _ClassVar[int]
    ENTRIES_FIELD_NUMBER: _ClassVar[int]
    checkpoint: str
    entries: _containers.RepeatedCompositeFieldContainer[ProvenEntry]
    def __init__(self, checkpoint: _Optional[str] = ..., entries: _Optional[_Iterable[_Union[ProvenEntry, _Mapping]]] = ...) -> None: ...

class ProvenEntry(_message.Message):
    __slots__ = ("index", "entry", "inclusion")
    INDEX_FIELD_NUMBER: _ClassVar[int]
    ENTRY_FIELD_NUMBER: _ClassVar[int]
    INCLUSION_FIELD_NUMBER: _ClassVar[int]
    index: int
    entry: bytes
    inclusion: _containers.RepeatedScalarFieldContainer[bytes]
    def __init__(self, index: _Optional[int] = ..., entry: _Optional[bytes] = ..., inclusion: _Optional[_Iterable[bytes]] = ...) -> None: ...

class CancelJobRequest(_message.Message):
    __slots__ = ("cancel",)
    CANCEL_FIELD_NUMBER: _ClassVar[int]
    cancel: _common_pb2.Signed
    def __init__(self, cancel: _Optional[_Union[_common_pb2.Signed, _Mapping]] = ...) -> None: ...

class CancelJobResponse(_message.Message):
    __slots__ = ("progress",)
    PROGRESS_FIELD_NUMBER: _ClassVar[int]
    progress: JobProgress
    def __init__(self, progress: _Optional[_Union[JobProgress, _Mapping]] = ...) -> None: ...

class ListJobsRequest(_message.Message):
    __slots__ = ("limit",)
    LIMIT_FIELD_NUMBER: _ClassVar[int]
    limit: int
    def __init__(self, limit: _Optional[int] = ...) -> None: ...

class ListJobsResponse(_message.Message):
    __slots__ = ("jobs",)
    JOBS_FIELD_NUMBER: _ClassVar[int]
    jobs: _containers.RepeatedCompositeFieldContainer[JobProgress]
    def __init__(self, jobs: _Optional[_Iterable[_Union[JobProgress, _Mapping]]] = ...) -> None: ...

class CommitJobResultRequest(_message.Message):
    __slots__ = ("result",)
    RESULT_FIELD_NUMBER: _ClassVar[int]
    result: _common_pb2.Signed
    def __init__(self, result: _Optional[_Union[_common_pb2.Signed, _Mapping]] = ...) -> None: ...

class CommitJobResultResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...
