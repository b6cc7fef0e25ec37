from node.wire.v1 import common_pb2 as _common_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class SubmitContractRequest(_message.Message):
    __slots__ = ("submission",)
    SUBMISSION_FIELD_NUMBER: _ClassVar[int]
    submission: _common_pb2.Signed
    def __init__(self, submission: _Optional[_Union[_common_pb2.Signed, _Mapping]] = ...) -> None: ...

class SubmitContractResponse(_message.Message):
    __slots__ = ("contract",)
    CONTRACT_FIELD_NUMBER: _ClassVar[int]
    contract: bytes
    def __init__(self, contract: _Optional[bytes] = ...) -> None: ...

class ApproveContractRequest(_message.Message):
    __slots__ = ("approval",)
    APPROVAL_FIELD_NUMBER: _ClassVar[int]
    approval: _common_pb2.Signed
    def __init__(self, approval: _Optional[_Union[_common_pb2.Signed, _Mapping]] = ...) -> None: ...

class ApproveContractResponse(_message.Message):
    __slots__ = ("missing",)
    MISSING_FIELD_NUMBER: _ClassVar[int]
    missing: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, missing: _Optional[_Iterable[str]] = ...) -> None: ...

class ActivateContractRequest(_message.Message):
    __slots__ = ("activation",)
    ACTIVATION_FIELD_NUMBER: _ClassVar[int]
    activation: _common_pb2.Signed
    def __init__(self, activation: _Optional[_Union[_common_pb2.Signed, _Mapping]] = ...) -> None: ...

class ActivateContractResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class RetireContractRequest(_message.Message):
    __slots__ = ("retirement",)
    RETIREMENT_FIELD_NUMBER: _ClassVar[int]
    retirement: _common_pb2.Signed
    def __init__(self, retirement: _Optional[_Union[_common_pb2.Signed, _Mapping]] = ...) -> None: ...

class RetireContractResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class GetContractRequest(_message.Message):
    __slots__ = ("contract", "id")
    CONTRACT_FIELD_NUMBER: _ClassVar[int]
    ID_FIELD_NUMBER: _ClassVar[int]
    contract: bytes
    id: str
    def __init__(self, contract: _Optional[bytes] = ..., id: _Optional[str] = ...) -> None: ...

class GetContractResponse(_message.Message):
    __slots__ = ("compiled", "status", "submission", "approvals", "missing")
    COMPILED_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    SUBMISSION_FIELD_NUMBER: _ClassVar[int]
    APPROVALS_FIELD_NUMBER: _ClassVar[int]
    MISSING_FIELD_NUMBER: _ClassVar[int]
    compiled: bytes
    status: str
    submission: _common_pb2.Signed
    approvals: _containers.RepeatedCompositeFieldContainer[_common_pb2.Signed]
    missing: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, compiled: _Optional[bytes] = ..., status: _Optional[str] = ..., submission: _Optional[_Union[_common_pb2.Signed, _Mapping]] = ..., approvals: _Optional[_Iterable[_Union[_common_pb2.Signed, _Mapping]]] = ..., missing: _Optional[_Iterable[str]] = ...) -> None: ...

class ListContractsRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ListContractsResponse(_message.Message):
    __slots__ = ("contracts",)
    CONTRACTS_FIELD_NUMBER: _ClassVar[int]
    contracts: _containers.RepeatedCompositeFieldContainer[ContractItem]
    def __init__(self, contracts: _Optional[_Iterable[_Union[ContractItem, _Mapping]]] = ...) -> None: ...

class ContractItem(_message.Message):
    __slots__ = ("contract", "id", "version", "status")
    CONTRACT_FIELD_NUMBER: _ClassVar[int]
    ID_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    contract: bytes
    id: str
    version: int
    status: str
    def __init__(self, contract: _Optional[bytes] = ..., id: _Optional[str] = ..., version: _Optional[int] = ..., status: _Optional[str] = ...) -> None: ...
