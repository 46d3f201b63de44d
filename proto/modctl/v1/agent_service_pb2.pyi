from modctl.v1 import error_pb2 as _error_pb2
from modctl.v1 import process_pb2 as _process_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Iterable as _Iterable, Mapping as _Mapping, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class GetAgentRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class GetAgentResponse(_message.Message):
    __slots__ = ("modctl_version", "service", "host", "pid", "addresses", "python", "started_at_unix_s", "processes", "identity", "warnings", "role", "now_unix_s")
    MODCTL_VERSION_FIELD_NUMBER: _ClassVar[int]
    SERVICE_FIELD_NUMBER: _ClassVar[int]
    HOST_FIELD_NUMBER: _ClassVar[int]
    PID_FIELD_NUMBER: _ClassVar[int]
    ADDRESSES_FIELD_NUMBER: _ClassVar[int]
    PYTHON_FIELD_NUMBER: _ClassVar[int]
    STARTED_AT_UNIX_S_FIELD_NUMBER: _ClassVar[int]
    PROCESSES_FIELD_NUMBER: _ClassVar[int]
    IDENTITY_FIELD_NUMBER: _ClassVar[int]
    WARNINGS_FIELD_NUMBER: _ClassVar[int]
    ROLE_FIELD_NUMBER: _ClassVar[int]
    NOW_UNIX_S_FIELD_NUMBER: _ClassVar[int]
    modctl_version: str
    service: str
    host: str
    pid: int
    addresses: _containers.RepeatedScalarFieldContainer[str]
    python: str
    started_at_unix_s: float
    processes: int
    identity: str
    warnings: _containers.RepeatedScalarFieldContainer[str]
    role: str
    now_unix_s: float
    def __init__(self, modctl_version: _Optional[str] = ..., service: _Optional[str] = ..., host: _Optional[str] = ..., pid: _Optional[int] = ..., addresses: _Optional[_Iterable[str]] = ..., python: _Optional[str] = ..., started_at_unix_s: _Optional[float] = ..., processes: _Optional[int] = ..., identity: _Optional[str] = ..., warnings: _Optional[_Iterable[str]] = ..., role: _Optional[str] = ..., now_unix_s: _Optional[float] = ...) -> None: ...

class ListProcessesRequest(_message.Message):
    __slots__ = ("as_known",)
    AS_KNOWN_FIELD_NUMBER: _ClassVar[int]
    as_known: bool
    def __init__(self, as_known: bool = ...) -> None: ...

class ListProcessesResponse(_message.Message):
    __slots__ = ("processes",)
    PROCESSES_FIELD_NUMBER: _ClassVar[int]
    processes: _containers.RepeatedCompositeFieldContainer[_process_pb2.Process]
    def __init__(self, processes: _Optional[_Iterable[_Union[_process_pb2.Process, _Mapping]]] = ...) -> None: ...

class FreezeRequest(_message.Message):
    __slots__ = ("reason",)
    REASON_FIELD_NUMBER: _ClassVar[int]
    reason: str
    def __init__(self, reason: _Optional[str] = ...) -> None: ...

class FreezeResponse(_message.Message):
    __slots__ = ("process", "state", "error")
    PROCESS_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    process: _process_pb2.ProcessRef
    state: _process_pb2.Process
    error: _error_pb2.ErrorDetail
    def __init__(self, process: _Optional[_Union[_process_pb2.ProcessRef, _Mapping]] = ..., state: _Optional[_Union[_process_pb2.Process, _Mapping]] = ..., error: _Optional[_Union[_error_pb2.ErrorDetail, _Mapping]] = ...) -> None: ...

class ThawRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ThawResponse(_message.Message):
    __slots__ = ("process", "state", "error")
    PROCESS_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    process: _process_pb2.ProcessRef
    state: _process_pb2.Process
    error: _error_pb2.ErrorDetail
    def __init__(self, process: _Optional[_Union[_process_pb2.ProcessRef, _Mapping]] = ..., state: _Optional[_Union[_process_pb2.Process, _Mapping]] = ..., error: _Optional[_Union[_error_pb2.ErrorDetail, _Mapping]] = ...) -> None: ...

class ListAuditRequest(_message.Message):
    __slots__ = ("limit",)
    LIMIT_FIELD_NUMBER: _ClassVar[int]
    limit: int
    def __init__(self, limit: _Optional[int] = ...) -> None: ...

class ListAuditResponse(_message.Message):
    __slots__ = ("records", "file", "problem")
    RECORDS_FIELD_NUMBER: _ClassVar[int]
    FILE_FIELD_NUMBER: _ClassVar[int]
    PROBLEM_FIELD_NUMBER: _ClassVar[int]
    records: _containers.RepeatedScalarFieldContainer[str]
    file: str
    problem: str
    def __init__(self, records: _Optional[_Iterable[str]] = ..., file: _Optional[str] = ..., problem: _Optional[str] = ...) -> None: ...
