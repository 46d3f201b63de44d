from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Iterable as _Iterable, Mapping as _Mapping, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class ProcessRole(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    PROCESS_ROLE_UNSPECIFIED: _ClassVar[ProcessRole]
    PROCESS_ROLE_MAIN: _ClassVar[ProcessRole]
    PROCESS_ROLE_MASTER: _ClassVar[ProcessRole]
    PROCESS_ROLE_WORKER: _ClassVar[ProcessRole]
PROCESS_ROLE_UNSPECIFIED: ProcessRole
PROCESS_ROLE_MAIN: ProcessRole
PROCESS_ROLE_MASTER: ProcessRole
PROCESS_ROLE_WORKER: ProcessRole

class ProcessRef(_message.Message):
    __slots__ = ("id", "service", "pid")
    ID_FIELD_NUMBER: _ClassVar[int]
    SERVICE_FIELD_NUMBER: _ClassVar[int]
    PID_FIELD_NUMBER: _ClassVar[int]
    id: str
    service: str
    pid: int
    def __init__(self, id: _Optional[str] = ..., service: _Optional[str] = ..., pid: _Optional[int] = ...) -> None: ...

class Process(_message.Message):
    __slots__ = ("id", "service", "host", "pid", "parent_pid", "started_at_unix_s", "python", "implementation", "modctl_version", "role", "labels", "revision", "frozen", "frozen_reason", "entries", "command", "addresses", "insecure", "warnings")
    class LabelsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    ID_FIELD_NUMBER: _ClassVar[int]
    SERVICE_FIELD_NUMBER: _ClassVar[int]
    HOST_FIELD_NUMBER: _ClassVar[int]
    PID_FIELD_NUMBER: _ClassVar[int]
    PARENT_PID_FIELD_NUMBER: _ClassVar[int]
    STARTED_AT_UNIX_S_FIELD_NUMBER: _ClassVar[int]
    PYTHON_FIELD_NUMBER: _ClassVar[int]
    IMPLEMENTATION_FIELD_NUMBER: _ClassVar[int]
    MODCTL_VERSION_FIELD_NUMBER: _ClassVar[int]
    ROLE_FIELD_NUMBER: _ClassVar[int]
    LABELS_FIELD_NUMBER: _ClassVar[int]
    REVISION_FIELD_NUMBER: _ClassVar[int]
    FROZEN_FIELD_NUMBER: _ClassVar[int]
    FROZEN_REASON_FIELD_NUMBER: _ClassVar[int]
    ENTRIES_FIELD_NUMBER: _ClassVar[int]
    COMMAND_FIELD_NUMBER: _ClassVar[int]
    ADDRESSES_FIELD_NUMBER: _ClassVar[int]
    INSECURE_FIELD_NUMBER: _ClassVar[int]
    WARNINGS_FIELD_NUMBER: _ClassVar[int]
    id: str
    service: str
    host: str
    pid: int
    parent_pid: int
    started_at_unix_s: float
    python: str
    implementation: str
    modctl_version: str
    role: ProcessRole
    labels: _containers.ScalarMap[str, str]
    revision: int
    frozen: bool
    frozen_reason: str
    entries: int
    command: str
    addresses: _containers.RepeatedScalarFieldContainer[str]
    insecure: bool
    warnings: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, id: _Optional[str] = ..., service: _Optional[str] = ..., host: _Optional[str] = ..., pid: _Optional[int] = ..., parent_pid: _Optional[int] = ..., started_at_unix_s: _Optional[float] = ..., python: _Optional[str] = ..., implementation: _Optional[str] = ..., modctl_version: _Optional[str] = ..., role: _Optional[_Union[ProcessRole, str]] = ..., labels: _Optional[_Mapping[str, str]] = ..., revision: _Optional[int] = ..., frozen: bool = ..., frozen_reason: _Optional[str] = ..., entries: _Optional[int] = ..., command: _Optional[str] = ..., addresses: _Optional[_Iterable[str]] = ..., insecure: bool = ..., warnings: _Optional[_Iterable[str]] = ...) -> None: ...
