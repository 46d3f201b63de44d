from modctl.v1 import change_pb2 as _change_pb2
from modctl.v1 import error_pb2 as _error_pb2
from modctl.v1 import module_pb2 as _module_pb2
from modctl.v1 import process_pb2 as _process_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Iterable as _Iterable, Mapping as _Mapping, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class ModuleEventType(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    MODULE_EVENT_TYPE_UNSPECIFIED: _ClassVar[ModuleEventType]
    MODULE_EVENT_TYPE_ADDED: _ClassVar[ModuleEventType]
    MODULE_EVENT_TYPE_REMOVED: _ClassVar[ModuleEventType]
    MODULE_EVENT_TYPE_REPLACED: _ClassVar[ModuleEventType]
    MODULE_EVENT_TYPE_CHANGED: _ClassVar[ModuleEventType]
MODULE_EVENT_TYPE_UNSPECIFIED: ModuleEventType
MODULE_EVENT_TYPE_ADDED: ModuleEventType
MODULE_EVENT_TYPE_REMOVED: ModuleEventType
MODULE_EVENT_TYPE_REPLACED: ModuleEventType
MODULE_EVENT_TYPE_CHANGED: ModuleEventType

class ListModulesRequest(_message.Message):
    __slots__ = ("patterns", "kinds", "states", "view", "with_size")
    PATTERNS_FIELD_NUMBER: _ClassVar[int]
    KINDS_FIELD_NUMBER: _ClassVar[int]
    STATES_FIELD_NUMBER: _ClassVar[int]
    VIEW_FIELD_NUMBER: _ClassVar[int]
    WITH_SIZE_FIELD_NUMBER: _ClassVar[int]
    patterns: _containers.RepeatedScalarFieldContainer[str]
    kinds: _containers.RepeatedScalarFieldContainer[_module_pb2.ModuleKind]
    states: _containers.RepeatedScalarFieldContainer[_module_pb2.ModuleState]
    view: _module_pb2.ModuleView
    with_size: bool
    def __init__(self, patterns: _Optional[_Iterable[str]] = ..., kinds: _Optional[_Iterable[_Union[_module_pb2.ModuleKind, str]]] = ..., states: _Optional[_Iterable[_Union[_module_pb2.ModuleState, str]]] = ..., view: _Optional[_Union[_module_pb2.ModuleView, str]] = ..., with_size: bool = ...) -> None: ...

class ListModulesResponse(_message.Message):
    __slots__ = ("process", "modules", "error")
    PROCESS_FIELD_NUMBER: _ClassVar[int]
    MODULES_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    process: _process_pb2.ProcessRef
    modules: _containers.RepeatedCompositeFieldContainer[_module_pb2.Module]
    error: _error_pb2.ErrorDetail
    def __init__(self, process: _Optional[_Union[_process_pb2.ProcessRef, _Mapping]] = ..., modules: _Optional[_Iterable[_Union[_module_pb2.Module, _Mapping]]] = ..., error: _Optional[_Union[_error_pb2.ErrorDetail, _Mapping]] = ...) -> None: ...

class GetModuleRequest(_message.Message):
    __slots__ = ("name", "with_source", "attributes", "deep", "with_locks", "with_disk_source")
    NAME_FIELD_NUMBER: _ClassVar[int]
    WITH_SOURCE_FIELD_NUMBER: _ClassVar[int]
    ATTRIBUTES_FIELD_NUMBER: _ClassVar[int]
    DEEP_FIELD_NUMBER: _ClassVar[int]
    WITH_LOCKS_FIELD_NUMBER: _ClassVar[int]
    WITH_DISK_SOURCE_FIELD_NUMBER: _ClassVar[int]
    name: str
    with_source: bool
    attributes: _containers.RepeatedScalarFieldContainer[str]
    deep: bool
    with_locks: bool
    with_disk_source: bool
    def __init__(self, name: _Optional[str] = ..., with_source: bool = ..., attributes: _Optional[_Iterable[str]] = ..., deep: bool = ..., with_locks: bool = ..., with_disk_source: bool = ...) -> None: ...

class GetModuleResponse(_message.Message):
    __slots__ = ("process", "module", "spec", "importers", "exports", "holders", "history", "source", "source_error", "attributes", "error", "locks", "disk_source", "more")
    PROCESS_FIELD_NUMBER: _ClassVar[int]
    MODULE_FIELD_NUMBER: _ClassVar[int]
    SPEC_FIELD_NUMBER: _ClassVar[int]
    IMPORTERS_FIELD_NUMBER: _ClassVar[int]
    EXPORTS_FIELD_NUMBER: _ClassVar[int]
    HOLDERS_FIELD_NUMBER: _ClassVar[int]
    HISTORY_FIELD_NUMBER: _ClassVar[int]
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    SOURCE_ERROR_FIELD_NUMBER: _ClassVar[int]
    ATTRIBUTES_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    LOCKS_FIELD_NUMBER: _ClassVar[int]
    DISK_SOURCE_FIELD_NUMBER: _ClassVar[int]
    MORE_FIELD_NUMBER: _ClassVar[int]
    process: _process_pb2.ProcessRef
    module: _module_pb2.Module
    spec: _module_pb2.ModuleSpec
    importers: _containers.RepeatedScalarFieldContainer[str]
    exports: _containers.RepeatedCompositeFieldContainer[_module_pb2.Export]
    holders: _containers.RepeatedCompositeFieldContainer[_module_pb2.Holder]
    history: _containers.RepeatedCompositeFieldContainer[_change_pb2.Revision]
    source: str
    source_error: str
    attributes: _containers.RepeatedCompositeFieldContainer[_module_pb2.AttributeValue]
    error: _error_pb2.ErrorDetail
    locks: _containers.RepeatedCompositeFieldContainer[_module_pb2.Lock]
    disk_source: str
    more: _containers.RepeatedCompositeFieldContainer[GetModuleResponse]
    def __init__(self, process: _Optional[_Union[_process_pb2.ProcessRef, _Mapping]] = ..., module: _Optional[_Union[_module_pb2.Module, _Mapping]] = ..., spec: _Optional[_Union[_module_pb2.ModuleSpec, _Mapping]] = ..., importers: _Optional[_Iterable[str]] = ..., exports: _Optional[_Iterable[_Union[_module_pb2.Export, _Mapping]]] = ..., holders: _Optional[_Iterable[_Union[_module_pb2.Holder, _Mapping]]] = ..., history: _Optional[_Iterable[_Union[_change_pb2.Revision, _Mapping]]] = ..., source: _Optional[str] = ..., source_error: _Optional[str] = ..., attributes: _Optional[_Iterable[_Union[_module_pb2.AttributeValue, _Mapping]]] = ..., error: _Optional[_Union[_error_pb2.ErrorDetail, _Mapping]] = ..., locks: _Optional[_Iterable[_Union[_module_pb2.Lock, _Mapping]]] = ..., disk_source: _Optional[str] = ..., more: _Optional[_Iterable[_Union[GetModuleResponse, _Mapping]]] = ...) -> None: ...

class ImportModulesRequest(_message.Message):
    __slots__ = ("names", "options")
    NAMES_FIELD_NUMBER: _ClassVar[int]
    OPTIONS_FIELD_NUMBER: _ClassVar[int]
    names: _containers.RepeatedScalarFieldContainer[str]
    options: _change_pb2.ChangeOptions
    def __init__(self, names: _Optional[_Iterable[str]] = ..., options: _Optional[_Union[_change_pb2.ChangeOptions, _Mapping]] = ...) -> None: ...

class ImportModulesResponse(_message.Message):
    __slots__ = ("process", "result", "error", "more")
    PROCESS_FIELD_NUMBER: _ClassVar[int]
    RESULT_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    MORE_FIELD_NUMBER: _ClassVar[int]
    process: _process_pb2.ProcessRef
    result: _change_pb2.ChangeResult
    error: _error_pb2.ErrorDetail
    more: _containers.RepeatedCompositeFieldContainer[ImportModulesResponse]
    def __init__(self, process: _Optional[_Union[_process_pb2.ProcessRef, _Mapping]] = ..., result: _Optional[_Union[_change_pb2.ChangeResult, _Mapping]] = ..., error: _Optional[_Union[_error_pb2.ErrorDetail, _Mapping]] = ..., more: _Optional[_Iterable[_Union[ImportModulesResponse, _Mapping]]] = ...) -> None: ...

class InjectModuleRequest(_message.Message):
    __slots__ = ("operation", "options")
    OPERATION_FIELD_NUMBER: _ClassVar[int]
    OPTIONS_FIELD_NUMBER: _ClassVar[int]
    operation: _change_pb2.InjectOperation
    options: _change_pb2.ChangeOptions
    def __init__(self, operation: _Optional[_Union[_change_pb2.InjectOperation, _Mapping]] = ..., options: _Optional[_Union[_change_pb2.ChangeOptions, _Mapping]] = ...) -> None: ...

class InjectModuleResponse(_message.Message):
    __slots__ = ("process", "result", "error", "more")
    PROCESS_FIELD_NUMBER: _ClassVar[int]
    RESULT_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    MORE_FIELD_NUMBER: _ClassVar[int]
    process: _process_pb2.ProcessRef
    result: _change_pb2.ChangeResult
    error: _error_pb2.ErrorDetail
    more: _containers.RepeatedCompositeFieldContainer[InjectModuleResponse]
    def __init__(self, process: _Optional[_Union[_process_pb2.ProcessRef, _Mapping]] = ..., result: _Optional[_Union[_change_pb2.ChangeResult, _Mapping]] = ..., error: _Optional[_Union[_error_pb2.ErrorDetail, _Mapping]] = ..., more: _Optional[_Iterable[_Union[InjectModuleResponse, _Mapping]]] = ...) -> None: ...

class EvictModulesRequest(_message.Message):
    __slots__ = ("operations", "options")
    OPERATIONS_FIELD_NUMBER: _ClassVar[int]
    OPTIONS_FIELD_NUMBER: _ClassVar[int]
    operations: _containers.RepeatedCompositeFieldContainer[_change_pb2.EvictOperation]
    options: _change_pb2.ChangeOptions
    def __init__(self, operations: _Optional[_Iterable[_Union[_change_pb2.EvictOperation, _Mapping]]] = ..., options: _Optional[_Union[_change_pb2.ChangeOptions, _Mapping]] = ...) -> None: ...

class EvictModulesResponse(_message.Message):
    __slots__ = ("process", "result", "error", "more")
    PROCESS_FIELD_NUMBER: _ClassVar[int]
    RESULT_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    MORE_FIELD_NUMBER: _ClassVar[int]
    process: _process_pb2.ProcessRef
    result: _change_pb2.ChangeResult
    error: _error_pb2.ErrorDetail
    more: _containers.RepeatedCompositeFieldContainer[EvictModulesResponse]
    def __init__(self, process: _Optional[_Union[_process_pb2.ProcessRef, _Mapping]] = ..., result: _Optional[_Union[_change_pb2.ChangeResult, _Mapping]] = ..., error: _Optional[_Union[_error_pb2.ErrorDetail, _Mapping]] = ..., more: _Optional[_Iterable[_Union[EvictModulesResponse, _Mapping]]] = ...) -> None: ...

class ReimportModulesRequest(_message.Message):
    __slots__ = ("operations", "options")
    OPERATIONS_FIELD_NUMBER: _ClassVar[int]
    OPTIONS_FIELD_NUMBER: _ClassVar[int]
    operations: _containers.RepeatedCompositeFieldContainer[_change_pb2.ReimportOperation]
    options: _change_pb2.ChangeOptions
    def __init__(self, operations: _Optional[_Iterable[_Union[_change_pb2.ReimportOperation, _Mapping]]] = ..., options: _Optional[_Union[_change_pb2.ChangeOptions, _Mapping]] = ...) -> None: ...

class ReimportModulesResponse(_message.Message):
    __slots__ = ("process", "result", "error", "more")
    PROCESS_FIELD_NUMBER: _ClassVar[int]
    RESULT_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    MORE_FIELD_NUMBER: _ClassVar[int]
    process: _process_pb2.ProcessRef
    result: _change_pb2.ChangeResult
    error: _error_pb2.ErrorDetail
    more: _containers.RepeatedCompositeFieldContainer[ReimportModulesResponse]
    def __init__(self, process: _Optional[_Union[_process_pb2.ProcessRef, _Mapping]] = ..., result: _Optional[_Union[_change_pb2.ChangeResult, _Mapping]] = ..., error: _Optional[_Union[_error_pb2.ErrorDetail, _Mapping]] = ..., more: _Optional[_Iterable[_Union[ReimportModulesResponse, _Mapping]]] = ...) -> None: ...

class ApplyChangesRequest(_message.Message):
    __slots__ = ("operations", "options")
    OPERATIONS_FIELD_NUMBER: _ClassVar[int]
    OPTIONS_FIELD_NUMBER: _ClassVar[int]
    operations: _containers.RepeatedCompositeFieldContainer[_change_pb2.Operation]
    options: _change_pb2.ChangeOptions
    def __init__(self, operations: _Optional[_Iterable[_Union[_change_pb2.Operation, _Mapping]]] = ..., options: _Optional[_Union[_change_pb2.ChangeOptions, _Mapping]] = ...) -> None: ...

class ApplyChangesResponse(_message.Message):
    __slots__ = ("process", "result", "error", "more")
    PROCESS_FIELD_NUMBER: _ClassVar[int]
    RESULT_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    MORE_FIELD_NUMBER: _ClassVar[int]
    process: _process_pb2.ProcessRef
    result: _change_pb2.ChangeResult
    error: _error_pb2.ErrorDetail
    more: _containers.RepeatedCompositeFieldContainer[ApplyChangesResponse]
    def __init__(self, process: _Optional[_Union[_process_pb2.ProcessRef, _Mapping]] = ..., result: _Optional[_Union[_change_pb2.ChangeResult, _Mapping]] = ..., error: _Optional[_Union[_error_pb2.ErrorDetail, _Mapping]] = ..., more: _Optional[_Iterable[_Union[ApplyChangesResponse, _Mapping]]] = ...) -> None: ...

class PrepareChangesRequest(_message.Message):
    __slots__ = ("operations", "options", "lease_s")
    OPERATIONS_FIELD_NUMBER: _ClassVar[int]
    OPTIONS_FIELD_NUMBER: _ClassVar[int]
    LEASE_S_FIELD_NUMBER: _ClassVar[int]
    operations: _containers.RepeatedCompositeFieldContainer[_change_pb2.Operation]
    options: _change_pb2.ChangeOptions
    lease_s: float
    def __init__(self, operations: _Optional[_Iterable[_Union[_change_pb2.Operation, _Mapping]]] = ..., options: _Optional[_Union[_change_pb2.ChangeOptions, _Mapping]] = ..., lease_s: _Optional[float] = ...) -> None: ...

class PrepareChangesResponse(_message.Message):
    __slots__ = ("process", "result", "error", "more")
    PROCESS_FIELD_NUMBER: _ClassVar[int]
    RESULT_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    MORE_FIELD_NUMBER: _ClassVar[int]
    process: _process_pb2.ProcessRef
    result: _change_pb2.ChangeResult
    error: _error_pb2.ErrorDetail
    more: _containers.RepeatedCompositeFieldContainer[PrepareChangesResponse]
    def __init__(self, process: _Optional[_Union[_process_pb2.ProcessRef, _Mapping]] = ..., result: _Optional[_Union[_change_pb2.ChangeResult, _Mapping]] = ..., error: _Optional[_Union[_error_pb2.ErrorDetail, _Mapping]] = ..., more: _Optional[_Iterable[_Union[PrepareChangesResponse, _Mapping]]] = ...) -> None: ...

class CommitChangesRequest(_message.Message):
    __slots__ = ("request_id", "reason")
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    request_id: str
    reason: str
    def __init__(self, request_id: _Optional[str] = ..., reason: _Optional[str] = ...) -> None: ...

class CommitChangesResponse(_message.Message):
    __slots__ = ("process", "result", "error", "more")
    PROCESS_FIELD_NUMBER: _ClassVar[int]
    RESULT_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    MORE_FIELD_NUMBER: _ClassVar[int]
    process: _process_pb2.ProcessRef
    result: _change_pb2.ChangeResult
    error: _error_pb2.ErrorDetail
    more: _containers.RepeatedCompositeFieldContainer[CommitChangesResponse]
    def __init__(self, process: _Optional[_Union[_process_pb2.ProcessRef, _Mapping]] = ..., result: _Optional[_Union[_change_pb2.ChangeResult, _Mapping]] = ..., error: _Optional[_Union[_error_pb2.ErrorDetail, _Mapping]] = ..., more: _Optional[_Iterable[_Union[CommitChangesResponse, _Mapping]]] = ...) -> None: ...

class AbandonChangesRequest(_message.Message):
    __slots__ = ("request_id", "reason")
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    request_id: str
    reason: str
    def __init__(self, request_id: _Optional[str] = ..., reason: _Optional[str] = ...) -> None: ...

class AbandonChangesResponse(_message.Message):
    __slots__ = ("process", "dropped", "error", "more")
    PROCESS_FIELD_NUMBER: _ClassVar[int]
    DROPPED_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    MORE_FIELD_NUMBER: _ClassVar[int]
    process: _process_pb2.ProcessRef
    dropped: bool
    error: _error_pb2.ErrorDetail
    more: _containers.RepeatedCompositeFieldContainer[AbandonChangesResponse]
    def __init__(self, process: _Optional[_Union[_process_pb2.ProcessRef, _Mapping]] = ..., dropped: bool = ..., error: _Optional[_Union[_error_pb2.ErrorDetail, _Mapping]] = ..., more: _Optional[_Iterable[_Union[AbandonChangesResponse, _Mapping]]] = ...) -> None: ...

class EvaluateExpressionRequest(_message.Message):
    __slots__ = ("expression", "timeout_s", "reason")
    EXPRESSION_FIELD_NUMBER: _ClassVar[int]
    TIMEOUT_S_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    expression: str
    timeout_s: float
    reason: str
    def __init__(self, expression: _Optional[str] = ..., timeout_s: _Optional[float] = ..., reason: _Optional[str] = ...) -> None: ...

class EvaluateExpressionResponse(_message.Message):
    __slots__ = ("process", "truth", "value", "raised", "error", "more")
    PROCESS_FIELD_NUMBER: _ClassVar[int]
    TRUTH_FIELD_NUMBER: _ClassVar[int]
    VALUE_FIELD_NUMBER: _ClassVar[int]
    RAISED_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    MORE_FIELD_NUMBER: _ClassVar[int]
    process: _process_pb2.ProcessRef
    truth: bool
    value: _module_pb2.AttributeValue
    raised: _error_pb2.PythonError
    error: _error_pb2.ErrorDetail
    more: _containers.RepeatedCompositeFieldContainer[EvaluateExpressionResponse]
    def __init__(self, process: _Optional[_Union[_process_pb2.ProcessRef, _Mapping]] = ..., truth: bool = ..., value: _Optional[_Union[_module_pb2.AttributeValue, _Mapping]] = ..., raised: _Optional[_Union[_error_pb2.PythonError, _Mapping]] = ..., error: _Optional[_Union[_error_pb2.ErrorDetail, _Mapping]] = ..., more: _Optional[_Iterable[_Union[EvaluateExpressionResponse, _Mapping]]] = ...) -> None: ...

class UndoRequest(_message.Message):
    __slots__ = ("revision", "options")
    REVISION_FIELD_NUMBER: _ClassVar[int]
    OPTIONS_FIELD_NUMBER: _ClassVar[int]
    revision: int
    options: _change_pb2.ChangeOptions
    def __init__(self, revision: _Optional[int] = ..., options: _Optional[_Union[_change_pb2.ChangeOptions, _Mapping]] = ...) -> None: ...

class UndoResponse(_message.Message):
    __slots__ = ("process", "result", "error", "more")
    PROCESS_FIELD_NUMBER: _ClassVar[int]
    RESULT_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    MORE_FIELD_NUMBER: _ClassVar[int]
    process: _process_pb2.ProcessRef
    result: _change_pb2.ChangeResult
    error: _error_pb2.ErrorDetail
    more: _containers.RepeatedCompositeFieldContainer[UndoResponse]
    def __init__(self, process: _Optional[_Union[_process_pb2.ProcessRef, _Mapping]] = ..., result: _Optional[_Union[_change_pb2.ChangeResult, _Mapping]] = ..., error: _Optional[_Union[_error_pb2.ErrorDetail, _Mapping]] = ..., more: _Optional[_Iterable[_Union[UndoResponse, _Mapping]]] = ...) -> None: ...

class ConfirmChangesRequest(_message.Message):
    __slots__ = ("revision", "reason")
    REVISION_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    revision: int
    reason: str
    def __init__(self, revision: _Optional[int] = ..., reason: _Optional[str] = ...) -> None: ...

class ConfirmChangesResponse(_message.Message):
    __slots__ = ("process", "result", "error", "more")
    PROCESS_FIELD_NUMBER: _ClassVar[int]
    RESULT_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    MORE_FIELD_NUMBER: _ClassVar[int]
    process: _process_pb2.ProcessRef
    result: _change_pb2.ChangeResult
    error: _error_pb2.ErrorDetail
    more: _containers.RepeatedCompositeFieldContainer[ConfirmChangesResponse]
    def __init__(self, process: _Optional[_Union[_process_pb2.ProcessRef, _Mapping]] = ..., result: _Optional[_Union[_change_pb2.ChangeResult, _Mapping]] = ..., error: _Optional[_Union[_error_pb2.ErrorDetail, _Mapping]] = ..., more: _Optional[_Iterable[_Union[ConfirmChangesResponse, _Mapping]]] = ...) -> None: ...

class ListRevisionsRequest(_message.Message):
    __slots__ = ("limit",)
    LIMIT_FIELD_NUMBER: _ClassVar[int]
    limit: int
    def __init__(self, limit: _Optional[int] = ...) -> None: ...

class ListRevisionsResponse(_message.Message):
    __slots__ = ("process", "revisions", "error", "more")
    PROCESS_FIELD_NUMBER: _ClassVar[int]
    REVISIONS_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    MORE_FIELD_NUMBER: _ClassVar[int]
    process: _process_pb2.ProcessRef
    revisions: _containers.RepeatedCompositeFieldContainer[_change_pb2.Revision]
    error: _error_pb2.ErrorDetail
    more: _containers.RepeatedCompositeFieldContainer[ListRevisionsResponse]
    def __init__(self, process: _Optional[_Union[_process_pb2.ProcessRef, _Mapping]] = ..., revisions: _Optional[_Iterable[_Union[_change_pb2.Revision, _Mapping]]] = ..., error: _Optional[_Union[_error_pb2.ErrorDetail, _Mapping]] = ..., more: _Optional[_Iterable[_Union[ListRevisionsResponse, _Mapping]]] = ...) -> None: ...

class WatchModulesRequest(_message.Message):
    __slots__ = ("patterns", "since_revision")
    PATTERNS_FIELD_NUMBER: _ClassVar[int]
    SINCE_REVISION_FIELD_NUMBER: _ClassVar[int]
    patterns: _containers.RepeatedScalarFieldContainer[str]
    since_revision: int
    def __init__(self, patterns: _Optional[_Iterable[str]] = ..., since_revision: _Optional[int] = ...) -> None: ...

class ModuleEvent(_message.Message):
    __slots__ = ("type", "module", "revision", "seen_at_unix_s")
    TYPE_FIELD_NUMBER: _ClassVar[int]
    MODULE_FIELD_NUMBER: _ClassVar[int]
    REVISION_FIELD_NUMBER: _ClassVar[int]
    SEEN_AT_UNIX_S_FIELD_NUMBER: _ClassVar[int]
    type: ModuleEventType
    module: _module_pb2.Module
    revision: int
    seen_at_unix_s: float
    def __init__(self, type: _Optional[_Union[ModuleEventType, str]] = ..., module: _Optional[_Union[_module_pb2.Module, _Mapping]] = ..., revision: _Optional[int] = ..., seen_at_unix_s: _Optional[float] = ...) -> None: ...

class WatchModulesResponse(_message.Message):
    __slots__ = ("process", "events", "error")
    PROCESS_FIELD_NUMBER: _ClassVar[int]
    EVENTS_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    process: _process_pb2.ProcessRef
    events: _containers.RepeatedCompositeFieldContainer[ModuleEvent]
    error: _error_pb2.ErrorDetail
    def __init__(self, process: _Optional[_Union[_process_pb2.ProcessRef, _Mapping]] = ..., events: _Optional[_Iterable[_Union[ModuleEvent, _Mapping]]] = ..., error: _Optional[_Union[_error_pb2.ErrorDetail, _Mapping]] = ...) -> None: ...
