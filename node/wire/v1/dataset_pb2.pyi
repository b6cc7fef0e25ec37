from node.wire.v1 import common_pb2 as _common_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class RegisterDatasetRequest(_message.Message):
    __slots__ = ("registration",)
    REGISTRATION_FIELD_NUMBER: _ClassVar[int]
    registration: _common_pb2.Signed
    def __init__(self, registration: _Optional[_Union[_common_pb2.Signed, _Mapping]] = ...) -> None: ...

class RegisterDatasetResponse(_message.Message):
    __slots__ = ("schema_hash",)
    SCHEMA_HASH_FIELD_NUMBER: _ClassVar[int]
    schema_hash: bytes
    def __init__(self, schema_hash: _Optional[bytes] = ...) -> None: ...

class PushRequest(_message.Message):
    __slots__ = ("manifest", "chunk")
    MANIFEST_FIELD_NUMBER: _ClassVar[int]
    CHUNK_FIELD_NUMBER: _ClassVar[int]
    manifest: _common_pb2.Signed
    chunk: bytes
    def __init__(self, manifest: _Optional[_Union[_common_pb2.Signed, _Mapping]] = ..., chunk: _Optional[bytes] = ...) -> None: ...

class PushResponse(_message.Message):
    __slots__ = ("logged",)
    LOGGED_FIELD_NUMBER: _ClassVar[int]
    logged: _common_pb2.Logged
    def __init__(self, logged: _Optional[_Union[_common_pb2.Logged, _Mapping]] = ...) -> None: ...

class ListDatasetsRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ListDatasetsResponse(_message.Message):
    __slots__ = ("datasets",)
    DATASETS_FIELD_NUMBER: _ClassVar[int]
    datasets: _containers.RepeatedCompositeFieldContainer[DatasetItem]
    def __init__(self, datasets: _Optional[_Iterable[_Union[DatasetItem, _Mapping]]] = ...) -> None: ...

class DatasetItem(_message.Message):
    __slots__ = ("registration", "manifest")
    REGISTRATION_FIELD_NUMBER: _ClassVar[int]
    MANIFEST_FIELD_NUMBER: _ClassVar[int]
    registration: _common_pb2.Signed
    manifest: _common_pb2.Signed
    def __init__(self, registration: _Optional[_Union[_common_pb2.Signed, _Mapping]] = ..., manifest: _Optional[_Union[_common_pb2.Signed, _Mapping]] = ...) -> None: ...

class FetchBlockRequest(_message.Message):
    __slots__ = ("dataset", "version", "block", "slot")
    DATASET_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    BLOCK_FIELD_NUMBER: _ClassVar[int]
    SLOT_FIELD_NUMBER: _ClassVar[int]
    dataset: str
    version: int
    block: int
    slot: int
    def __init__(self, dataset: _Optional[str] = ..., version: _Optional[int] = ..., block: _Optional[int] = ..., slot: _Optional[int] = ...) -> None: ...

class FetchBlockResponse(_message.Message):
    __slots__ = ("ciphertexts", "manifest", "inclusion", "row_leaf", "row_inclusion")
    CIPHERTEXTS_FIELD_NUMBER: _ClassVar[int]
    MANIFEST_FIELD_NUMBER: _ClassVar[int]
    INCLUSION_FIELD_NUMBER: _ClassVar[int]
    ROW_LEAF_FIELD_NUMBER: _ClassVar[int]
    ROW_INCLUSION_FIELD_NUMBER: _ClassVar[int]
    ciphertexts: bytes
    manifest: _common_pb2.Signed
    inclusion: _containers.RepeatedScalarFieldContainer[bytes]
    row_leaf: bytes
    row_inclusion: _containers.RepeatedScalarFieldContainer[bytes]
    def __init__(self, ciphertexts: _Optional[bytes] = ..., manifest: _Optional[_Union[_common_pb2.Signed, _Mapping]] = ..., inclusion: _Optional[_Iterable[bytes]] = ..., row_leaf: _Optional[bytes] = ..., row_inclusion: _Optional[_Iterable[bytes]] = ...) -> None: ...
