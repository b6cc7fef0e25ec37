from node.wire.v1 import common_pb2 as _common_pb2
from node.wire.v1 import job_pb2 as _job_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class AdmitJobRequest(_message.Message):
    __slots__ = ("job",)
    JOB_FIELD_NUMBER: _ClassVar[int]
    job: _common_pb2.Signed
    def __init__(self, job: _Optional[_Union[_common_pb2.Signed, _Mapping]] = ...) -> None: ...

class AdmitJobResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class PermitJobRequest(_message.Message):
    __slots__ = ("job", "number", "entries", "indices", "blocks", "slots", "proof")
    JOB_FIELD_NUMBER: _ClassVar[int]
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    ENTRIES_FIELD_NUMBER: _ClassVar[int]
    INDICES_FIELD_NUMBER: _ClassVar[int]
    BLOCKS_FIELD_NUMBER: _ClassVar[int]
    SLOTS_FIELD_NUMBER: _ClassVar[int]
    PROOF_FIELD_NUMBER: _ClassVar[int]
    job: bytes
    number: int
    entries: _job_pb2.JobEntries
    indices: _containers.RepeatedScalarFieldContainer[int]
    blocks: _containers.RepeatedScalarFieldContainer[int]
    slots: _containers.RepeatedScalarFieldContainer[int]
    proof: _containers.RepeatedScalarFieldContainer[bytes]
    def __init__(self, job: _Optional[bytes] = ..., number: _Optional[int] = ..., entries: _Optional[_Union[_job_pb2.JobEntries, _Mapping]] = ..., indices: _Optional[_Iterable[int]] = ..., blocks: _Optional[_Iterable[int]] = ..., slots: _Optional[_Iterable[int]] = ..., proof: _Optional[_Iterable[bytes]] = ...) -> None: ...

class PermitJobResponse(_message.Message):
    __slots__ = ("permitted", "denials")
    PERMITTED_FIELD_NUMBER: _ClassVar[int]
    DENIALS_FIELD_NUMBER: _ClassVar[int]
    permitted: bytes
    denials: _containers.RepeatedCompositeFieldContainer[_common_pb2.Signed]
    def __init__(self, permitted: _Optional[bytes] = ..., denials: _Optional[_Iterable[_Union[_common_pb2.Signed, _Mapping]]] = ...) -> None: ...

class EvaluateJobRequest(_message.Message):
    __slots__ = ("ticket", "ciphertexts", "tables", "intent", "links")
    TICKET_FIELD_NUMBER: _ClassVar[int]
    CIPHERTEXTS_FIELD_NUMBER: _ClassVar[int]
    TABLES_FIELD_NUMBER: _ClassVar[int]
    INTENT_FIELD_NUMBER: _ClassVar[int]
    LINKS_FIELD_NUMBER: _ClassVar[int]
    ticket: _common_pb2.Signed
    ciphertexts: bytes
    tables: bytes
    intent: _common_pb2.Logged
    links: _containers.RepeatedCompositeFieldContainer[_common_pb2.HeadLink]
    def __init__(self, ticket: _Optional[_Union[_common_pb2.Signed, _Mapping]] = ..., ciphertexts: _Optional[bytes] = ..., tables: _Optional[bytes] = ..., intent: _Optional[_Union[_common_pb2.Logged, _Mapping]] = ..., links: _Optional[_Iterable[_Union[_common_pb2.HeadLink, _Mapping]]] = ...) -> None: ...

class EvaluateJobResponse(_message.Message):
    __slots__ = ("receipt", "box", "permits")
    RECEIPT_FIELD_NUMBER: _ClassVar[int]
    BOX_FIELD_NUMBER: _ClassVar[int]
    PERMITS_FIELD_NUMBER: _ClassVar[int]
    receipt: _common_pb2.Signed
    box: bytes
    permits: _job_pb2.JobPermits
    def __init__(self, receipt: _Optional[_Union[_common_pb2.Signed, _Mapping]] = ..., box: _Optional[bytes] = ..., permits: _Optional[_Union[_job_pb2.JobPermits, _Mapping]] = ...) -> None: ...
