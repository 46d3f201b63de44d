from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Iterable as _Iterable, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class ModuleKind(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    MODULE_KIND_UNSPECIFIED: _ClassVar[ModuleKind]
    MODULE_KIND_SOURCE: _ClassVar[ModuleKind]
    MODULE_KIND_BYTECODE: _ClassVar[ModuleKind]
    MODULE_KIND_EXTENSION: _ClassVar[ModuleKind]
    MODULE_KIND_BUILTIN: _ClassVar[ModuleKind]
    MODULE_KIND_FROZEN: _ClassVar[ModuleKind]
    MODULE_KIND_NAMESPACE: _ClassVar[ModuleKind]
    MODULE_KIND_INJECTED: _ClassVar[ModuleKind]
    MODULE_KIND_BLOCKED: _ClassVar[ModuleKind]
    MODULE_KIND_OTHER: _ClassVar[ModuleKind]

class ModuleState(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    MODULE_STATE_UNSPECIFIED: _ClassVar[ModuleState]
    MODULE_STATE_CLEAN: _ClassVar[ModuleState]
    MODULE_STATE_MODIFIED: _ClassVar[ModuleState]
    MODULE_STATE_MISSING: _ClassVar[ModuleState]
    MODULE_STATE_INJECTED: _ClassVar[ModuleState]
    MODULE_STATE_PATCHED: _ClassVar[ModuleState]
    MODULE_STATE_BLOCKED: _ClassVar[ModuleState]
    MODULE_STATE_UNKNOWN: _ClassVar[ModuleState]

class ModuleView(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    MODULE_VIEW_UNSPECIFIED: _ClassVar[ModuleView]
    MODULE_VIEW_BASIC: _ClassVar[ModuleView]
    MODULE_VIEW_FULL: _ClassVar[ModuleView]
MODULE_KIND_UNSPECIFIED: ModuleKind
MODULE_KIND_SOURCE: ModuleKind
MODULE_KIND_BYTECODE: ModuleKind
MODULE_KIND_EXTENSION: ModuleKind
MODULE_KIND_BUILTIN: ModuleKind
MODULE_KIND_FROZEN: ModuleKind
MODULE_KIND_NAMESPACE: ModuleKind
MODULE_KIND_INJECTED: ModuleKind
MODULE_KIND_BLOCKED: ModuleKind
MODULE_KIND_OTHER: ModuleKind
MODULE_STATE_UNSPECIFIED: ModuleState
MODULE_STATE_CLEAN: ModuleState
MODULE_STATE_MODIFIED: ModuleState
MODULE_STATE_MISSING: ModuleState
MODULE_STATE_INJECTED: ModuleState
MODULE_STATE_PATCHED: ModuleState
MODULE_STATE_BLOCKED: ModuleState
MODULE_STATE_UNKNOWN: ModuleState
MODULE_VIEW_UNSPECIFIED: ModuleView
MODULE_VIEW_BASIC: ModuleView
MODULE_VIEW_FULL: ModuleView

class Module(_message.Message):
    __slots__ = ("name", "kind", "origin", "package", "generation", "digest", "state", "order", "import_ms", "import_self_ms", "size_bytes", "alias_of", "initializing", "expires_at_unix_s")
    NAME_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    ORIGIN_FIELD_NUMBER: _ClassVar[int]
    PACKAGE_FIELD_NUMBER: _ClassVar[int]
    GENERATION_FIELD_NUMBER: _ClassVar[int]
    DIGEST_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    ORDER_FIELD_NUMBER: _ClassVar[int]
    IMPORT_MS_FIELD_NUMBER: _ClassVar[int]
    IMPORT_SELF_MS_FIELD_NUMBER: _ClassVar[int]
    SIZE_BYTES_FIELD_NUMBER: _ClassVar[int]
    ALIAS_OF_FIELD_NUMBER: _ClassVar[int]
    INITIALIZING_FIELD_NUMBER: _ClassVar[int]
    EXPIRES_AT_UNIX_S_FIELD_NUMBER: _ClassVar[int]
    name: str
    kind: ModuleKind
    origin: str
    package: bool
    generation: int
    digest: str
    state: ModuleState
    order: int
    import_ms: float
    import_self_ms: float
    size_bytes: int
    alias_of: str
    initializing: bool
    expires_at_unix_s: float
    def __init__(self, name: _Optional[str] = ..., kind: _Optional[_Union[ModuleKind, str]] = ..., origin: _Optional[str] = ..., package: bool = ..., generation: _Optional[int] = ..., digest: _Optional[str] = ..., state: _Optional[_Union[ModuleState, str]] = ..., order: _Optional[int] = ..., import_ms: _Optional[float] = ..., import_self_ms: _Optional[float] = ..., size_bytes: _Optional[int] = ..., alias_of: _Optional[str] = ..., initializing: bool = ..., expires_at_unix_s: _Optional[float] = ...) -> None: ...

class ModuleSpec(_message.Message):
    __slots__ = ("name", "loader", "origin", "cached", "parent", "submodule_search_locations", "has_location")
    NAME_FIELD_NUMBER: _ClassVar[int]
    LOADER_FIELD_NUMBER: _ClassVar[int]
    ORIGIN_FIELD_NUMBER: _ClassVar[int]
    CACHED_FIELD_NUMBER: _ClassVar[int]
    PARENT_FIELD_NUMBER: _ClassVar[int]
    SUBMODULE_SEARCH_LOCATIONS_FIELD_NUMBER: _ClassVar[int]
    HAS_LOCATION_FIELD_NUMBER: _ClassVar[int]
    name: str
    loader: str
    origin: str
    cached: str
    parent: str
    submodule_search_locations: _containers.RepeatedScalarFieldContainer[str]
    has_location: bool
    def __init__(self, name: _Optional[str] = ..., loader: _Optional[str] = ..., origin: _Optional[str] = ..., cached: _Optional[str] = ..., parent: _Optional[str] = ..., submodule_search_locations: _Optional[_Iterable[str]] = ..., has_location: bool = ...) -> None: ...

class Export(_message.Message):
    __slots__ = ("name", "kind", "line", "defined_in")
    NAME_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    LINE_FIELD_NUMBER: _ClassVar[int]
    DEFINED_IN_FIELD_NUMBER: _ClassVar[int]
    name: str
    kind: str
    line: int
    defined_in: str
    def __init__(self, name: _Optional[str] = ..., kind: _Optional[str] = ..., line: _Optional[int] = ..., defined_in: _Optional[str] = ...) -> None: ...

class Holder(_message.Message):
    __slots__ = ("holder", "name", "kind")
    HOLDER_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    holder: str
    name: str
    kind: str
    def __init__(self, holder: _Optional[str] = ..., name: _Optional[str] = ..., kind: _Optional[str] = ...) -> None: ...

class Lock(_message.Message):
    __slots__ = ("kind", "what", "thread", "task", "held_s", "place")
    KIND_FIELD_NUMBER: _ClassVar[int]
    WHAT_FIELD_NUMBER: _ClassVar[int]
    THREAD_FIELD_NUMBER: _ClassVar[int]
    TASK_FIELD_NUMBER: _ClassVar[int]
    HELD_S_FIELD_NUMBER: _ClassVar[int]
    PLACE_FIELD_NUMBER: _ClassVar[int]
    kind: str
    what: str
    thread: str
    task: str
    held_s: float
    place: str
    def __init__(self, kind: _Optional[str] = ..., what: _Optional[str] = ..., thread: _Optional[str] = ..., task: _Optional[str] = ..., held_s: _Optional[float] = ..., place: _Optional[str] = ...) -> None: ...

class AttributeValue(_message.Message):
    __slots__ = ("name", "type", "value", "truncated", "error")
    NAME_FIELD_NUMBER: _ClassVar[int]
    TYPE_FIELD_NUMBER: _ClassVar[int]
    VALUE_FIELD_NUMBER: _ClassVar[int]
    TRUNCATED_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    name: str
    type: str
    value: str
    truncated: bool
    error: str
    def __init__(self, name: _Optional[str] = ..., type: _Optional[str] = ..., value: _Optional[str] = ..., truncated: bool = ..., error: _Optional[str] = ...) -> None: ...
