from modctl.v1 import error_pb2 as _error_pb2
from modctl.v1 import module_pb2 as _module_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Iterable as _Iterable, Mapping as _Mapping, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class ReimportMode(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    REIMPORT_MODE_UNSPECIFIED: _ClassVar[ReimportMode]
    REIMPORT_MODE_FRESH: _ClassVar[ReimportMode]
    REIMPORT_MODE_PATCH: _ClassVar[ReimportMode]

class Outcome(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    OUTCOME_UNSPECIFIED: _ClassVar[Outcome]
    OUTCOME_OK: _ClassVar[Outcome]
    OUTCOME_APPLIED: _ClassVar[Outcome]
    OUTCOME_UNCHANGED: _ClassVar[Outcome]
    OUTCOME_PLANNED: _ClassVar[Outcome]
    OUTCOME_REFUSED: _ClassVar[Outcome]
    OUTCOME_FAILED: _ClassVar[Outcome]
    OUTCOME_PREPARED: _ClassVar[Outcome]

class Action(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    ACTION_UNSPECIFIED: _ClassVar[Action]
    ACTION_IMPORT: _ClassVar[Action]
    ACTION_INJECT: _ClassVar[Action]
    ACTION_EVICT: _ClassVar[Action]
    ACTION_REIMPORT: _ClassVar[Action]
    ACTION_RELOAD: _ClassVar[Action]
    ACTION_RESTORE: _ClassVar[Action]

class Tier(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    TIER_UNSPECIFIED: _ClassVar[Tier]
    TIER_NOOP: _ClassVar[Tier]
    TIER_CODE: _ClassVar[Tier]
    TIER_PATCH: _ClassVar[Tier]
    TIER_FRESH: _ClassVar[Tier]

class LiveServices(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    LIVE_SERVICES_UNSPECIFIED: _ClassVar[LiveServices]
    LIVE_SERVICES_REFUSE: _ClassVar[LiveServices]
    LIVE_SERVICES_KEEP: _ClassVar[LiveServices]
    LIVE_SERVICES_RERUN: _ClassVar[LiveServices]
REIMPORT_MODE_UNSPECIFIED: ReimportMode
REIMPORT_MODE_FRESH: ReimportMode
REIMPORT_MODE_PATCH: ReimportMode
OUTCOME_UNSPECIFIED: Outcome
OUTCOME_OK: Outcome
OUTCOME_APPLIED: Outcome
OUTCOME_UNCHANGED: Outcome
OUTCOME_PLANNED: Outcome
OUTCOME_REFUSED: Outcome
OUTCOME_FAILED: Outcome
OUTCOME_PREPARED: Outcome
ACTION_UNSPECIFIED: Action
ACTION_IMPORT: Action
ACTION_INJECT: Action
ACTION_EVICT: Action
ACTION_REIMPORT: Action
ACTION_RELOAD: Action
ACTION_RESTORE: Action
TIER_UNSPECIFIED: Tier
TIER_NOOP: Tier
TIER_CODE: Tier
TIER_PATCH: Tier
TIER_FRESH: Tier
LIVE_SERVICES_UNSPECIFIED: LiveServices
LIVE_SERVICES_REFUSE: LiveServices
LIVE_SERVICES_KEEP: LiveServices
LIVE_SERVICES_RERUN: LiveServices

class PackageFile(_message.Message):
    __slots__ = ("path", "content")
    PATH_FIELD_NUMBER: _ClassVar[int]
    CONTENT_FIELD_NUMBER: _ClassVar[int]
    path: str
    content: bytes
    def __init__(self, path: _Optional[str] = ..., content: _Optional[bytes] = ...) -> None: ...

class PackageFiles(_message.Message):
    __slots__ = ("files",)
    FILES_FIELD_NUMBER: _ClassVar[int]
    files: _containers.RepeatedCompositeFieldContainer[PackageFile]
    def __init__(self, files: _Optional[_Iterable[_Union[PackageFile, _Mapping]]] = ...) -> None: ...

class Attributes(_message.Message):
    __slots__ = ("json",)
    class JsonEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    JSON_FIELD_NUMBER: _ClassVar[int]
    json: _containers.ScalarMap[str, str]
    def __init__(self, json: _Optional[_Mapping[str, str]] = ...) -> None: ...

class ImportOperation(_message.Message):
    __slots__ = ("name",)
    NAME_FIELD_NUMBER: _ClassVar[int]
    name: str
    def __init__(self, name: _Optional[str] = ...) -> None: ...

class InjectOperation(_message.Message):
    __slots__ = ("name", "source", "package", "archive", "attributes", "alias_of", "block", "replace", "ttl_s", "base_digest", "filename")
    NAME_FIELD_NUMBER: _ClassVar[int]
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    PACKAGE_FIELD_NUMBER: _ClassVar[int]
    ARCHIVE_FIELD_NUMBER: _ClassVar[int]
    ATTRIBUTES_FIELD_NUMBER: _ClassVar[int]
    ALIAS_OF_FIELD_NUMBER: _ClassVar[int]
    BLOCK_FIELD_NUMBER: _ClassVar[int]
    REPLACE_FIELD_NUMBER: _ClassVar[int]
    TTL_S_FIELD_NUMBER: _ClassVar[int]
    BASE_DIGEST_FIELD_NUMBER: _ClassVar[int]
    FILENAME_FIELD_NUMBER: _ClassVar[int]
    name: str
    source: bytes
    package: PackageFiles
    archive: bytes
    attributes: Attributes
    alias_of: str
    block: bool
    replace: bool
    ttl_s: float
    base_digest: str
    filename: str
    def __init__(self, name: _Optional[str] = ..., source: _Optional[bytes] = ..., package: _Optional[_Union[PackageFiles, _Mapping]] = ..., archive: _Optional[bytes] = ..., attributes: _Optional[_Union[Attributes, _Mapping]] = ..., alias_of: _Optional[str] = ..., block: bool = ..., replace: bool = ..., ttl_s: _Optional[float] = ..., base_digest: _Optional[str] = ..., filename: _Optional[str] = ...) -> None: ...

class EvictOperation(_message.Message):
    __slots__ = ("name", "recursive", "base_digest")
    NAME_FIELD_NUMBER: _ClassVar[int]
    RECURSIVE_FIELD_NUMBER: _ClassVar[int]
    BASE_DIGEST_FIELD_NUMBER: _ClassVar[int]
    name: str
    recursive: bool
    base_digest: str
    def __init__(self, name: _Optional[str] = ..., recursive: bool = ..., base_digest: _Optional[str] = ...) -> None: ...

class ReimportOperation(_message.Message):
    __slots__ = ("name", "mode", "recursive", "base_digest", "source", "ttl_s")
    NAME_FIELD_NUMBER: _ClassVar[int]
    MODE_FIELD_NUMBER: _ClassVar[int]
    RECURSIVE_FIELD_NUMBER: _ClassVar[int]
    BASE_DIGEST_FIELD_NUMBER: _ClassVar[int]
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    TTL_S_FIELD_NUMBER: _ClassVar[int]
    name: str
    mode: ReimportMode
    recursive: bool
    base_digest: str
    source: bytes
    ttl_s: float
    def __init__(self, name: _Optional[str] = ..., mode: _Optional[_Union[ReimportMode, str]] = ..., recursive: bool = ..., base_digest: _Optional[str] = ..., source: _Optional[bytes] = ..., ttl_s: _Optional[float] = ...) -> None: ...

class Operation(_message.Message):
    __slots__ = ("import_module", "inject", "evict", "reimport")
    IMPORT_MODULE_FIELD_NUMBER: _ClassVar[int]
    INJECT_FIELD_NUMBER: _ClassVar[int]
    EVICT_FIELD_NUMBER: _ClassVar[int]
    REIMPORT_FIELD_NUMBER: _ClassVar[int]
    import_module: ImportOperation
    inject: InjectOperation
    evict: EvictOperation
    reimport: ReimportOperation
    def __init__(self, import_module: _Optional[_Union[ImportOperation, _Mapping]] = ..., inject: _Optional[_Union[InjectOperation, _Mapping]] = ..., evict: _Optional[_Union[EvictOperation, _Mapping]] = ..., reimport: _Optional[_Union[ReimportOperation, _Mapping]] = ...) -> None: ...

class ChangeOptions(_message.Message):
    __slots__ = ("request_id", "dry_run", "reason", "timeout_s", "expect_revision", "override_protected", "signatures", "confirm_within_s", "ttl_s", "shield_wait_s", "not_transactional", "services", "wait_drained_s")
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    DRY_RUN_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    TIMEOUT_S_FIELD_NUMBER: _ClassVar[int]
    EXPECT_REVISION_FIELD_NUMBER: _ClassVar[int]
    OVERRIDE_PROTECTED_FIELD_NUMBER: _ClassVar[int]
    SIGNATURES_FIELD_NUMBER: _ClassVar[int]
    CONFIRM_WITHIN_S_FIELD_NUMBER: _ClassVar[int]
    TTL_S_FIELD_NUMBER: _ClassVar[int]
    SHIELD_WAIT_S_FIELD_NUMBER: _ClassVar[int]
    NOT_TRANSACTIONAL_FIELD_NUMBER: _ClassVar[int]
    SERVICES_FIELD_NUMBER: _ClassVar[int]
    WAIT_DRAINED_S_FIELD_NUMBER: _ClassVar[int]
    request_id: str
    dry_run: bool
    reason: str
    timeout_s: float
    expect_revision: int
    override_protected: _containers.RepeatedScalarFieldContainer[str]
    signatures: _containers.RepeatedCompositeFieldContainer[Signature]
    confirm_within_s: float
    ttl_s: float
    shield_wait_s: float
    not_transactional: bool
    services: LiveServices
    wait_drained_s: float
    def __init__(self, request_id: _Optional[str] = ..., dry_run: bool = ..., reason: _Optional[str] = ..., timeout_s: _Optional[float] = ..., expect_revision: _Optional[int] = ..., override_protected: _Optional[_Iterable[str]] = ..., signatures: _Optional[_Iterable[_Union[Signature, _Mapping]]] = ..., confirm_within_s: _Optional[float] = ..., ttl_s: _Optional[float] = ..., shield_wait_s: _Optional[float] = ..., not_transactional: bool = ..., services: _Optional[_Union[LiveServices, str]] = ..., wait_drained_s: _Optional[float] = ...) -> None: ...

class Signature(_message.Message):
    __slots__ = ("key", "name", "digest", "signed_at_unix_s", "expires_at_unix_s", "signature")
    KEY_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    DIGEST_FIELD_NUMBER: _ClassVar[int]
    SIGNED_AT_UNIX_S_FIELD_NUMBER: _ClassVar[int]
    EXPIRES_AT_UNIX_S_FIELD_NUMBER: _ClassVar[int]
    SIGNATURE_FIELD_NUMBER: _ClassVar[int]
    key: str
    name: str
    digest: str
    signed_at_unix_s: int
    expires_at_unix_s: int
    signature: bytes
    def __init__(self, key: _Optional[str] = ..., name: _Optional[str] = ..., digest: _Optional[str] = ..., signed_at_unix_s: _Optional[int] = ..., expires_at_unix_s: _Optional[int] = ..., signature: _Optional[bytes] = ...) -> None: ...

class Version(_message.Message):
    __slots__ = ("generation", "digest")
    GENERATION_FIELD_NUMBER: _ClassVar[int]
    DIGEST_FIELD_NUMBER: _ClassVar[int]
    generation: int
    digest: str
    def __init__(self, generation: _Optional[int] = ..., digest: _Optional[str] = ...) -> None: ...

class Symbols(_message.Message):
    __slots__ = ("changed", "added", "removed", "replaced", "kept")
    CHANGED_FIELD_NUMBER: _ClassVar[int]
    ADDED_FIELD_NUMBER: _ClassVar[int]
    REMOVED_FIELD_NUMBER: _ClassVar[int]
    REPLACED_FIELD_NUMBER: _ClassVar[int]
    KEPT_FIELD_NUMBER: _ClassVar[int]
    changed: _containers.RepeatedScalarFieldContainer[str]
    added: _containers.RepeatedScalarFieldContainer[str]
    removed: _containers.RepeatedScalarFieldContainer[str]
    replaced: _containers.RepeatedScalarFieldContainer[str]
    kept: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, changed: _Optional[_Iterable[str]] = ..., added: _Optional[_Iterable[str]] = ..., removed: _Optional[_Iterable[str]] = ..., replaced: _Optional[_Iterable[str]] = ..., kept: _Optional[_Iterable[str]] = ...) -> None: ...

class Refusal(_message.Message):
    __slots__ = ("reason", "rule", "hint")
    REASON_FIELD_NUMBER: _ClassVar[int]
    RULE_FIELD_NUMBER: _ClassVar[int]
    HINT_FIELD_NUMBER: _ClassVar[int]
    reason: str
    rule: str
    hint: str
    def __init__(self, reason: _Optional[str] = ..., rule: _Optional[str] = ..., hint: _Optional[str] = ...) -> None: ...

class ModuleChange(_message.Message):
    __slots__ = ("name", "action", "tier", "before", "after", "symbols", "stale", "refusal", "error", "import_ms", "cached")
    NAME_FIELD_NUMBER: _ClassVar[int]
    ACTION_FIELD_NUMBER: _ClassVar[int]
    TIER_FIELD_NUMBER: _ClassVar[int]
    BEFORE_FIELD_NUMBER: _ClassVar[int]
    AFTER_FIELD_NUMBER: _ClassVar[int]
    SYMBOLS_FIELD_NUMBER: _ClassVar[int]
    STALE_FIELD_NUMBER: _ClassVar[int]
    REFUSAL_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    IMPORT_MS_FIELD_NUMBER: _ClassVar[int]
    CACHED_FIELD_NUMBER: _ClassVar[int]
    name: str
    action: Action
    tier: Tier
    before: Version
    after: Version
    symbols: Symbols
    stale: _containers.RepeatedCompositeFieldContainer[_module_pb2.Holder]
    refusal: Refusal
    error: _error_pb2.PythonError
    import_ms: float
    cached: bool
    def __init__(self, name: _Optional[str] = ..., action: _Optional[_Union[Action, str]] = ..., tier: _Optional[_Union[Tier, str]] = ..., before: _Optional[_Union[Version, _Mapping]] = ..., after: _Optional[_Union[Version, _Mapping]] = ..., symbols: _Optional[_Union[Symbols, _Mapping]] = ..., stale: _Optional[_Iterable[_Union[_module_pb2.Holder, _Mapping]]] = ..., refusal: _Optional[_Union[Refusal, _Mapping]] = ..., error: _Optional[_Union[_error_pb2.PythonError, _Mapping]] = ..., import_ms: _Optional[float] = ..., cached: bool = ...) -> None: ...

class ChangeResult(_message.Message):
    __slots__ = ("outcome", "revision", "undoable", "duration_ms", "paused_ms", "modules", "message", "side_effects", "request_id", "committed_at_unix_s", "confirm_by_unix_s", "shield_wait_ms", "old_code")
    OUTCOME_FIELD_NUMBER: _ClassVar[int]
    REVISION_FIELD_NUMBER: _ClassVar[int]
    UNDOABLE_FIELD_NUMBER: _ClassVar[int]
    DURATION_MS_FIELD_NUMBER: _ClassVar[int]
    PAUSED_MS_FIELD_NUMBER: _ClassVar[int]
    MODULES_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    SIDE_EFFECTS_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    COMMITTED_AT_UNIX_S_FIELD_NUMBER: _ClassVar[int]
    CONFIRM_BY_UNIX_S_FIELD_NUMBER: _ClassVar[int]
    SHIELD_WAIT_MS_FIELD_NUMBER: _ClassVar[int]
    OLD_CODE_FIELD_NUMBER: _ClassVar[int]
    outcome: Outcome
    revision: int
    undoable: bool
    duration_ms: float
    paused_ms: float
    modules: _containers.RepeatedCompositeFieldContainer[ModuleChange]
    message: str
    side_effects: _containers.RepeatedScalarFieldContainer[str]
    request_id: str
    committed_at_unix_s: float
    confirm_by_unix_s: float
    shield_wait_ms: float
    old_code: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, outcome: _Optional[_Union[Outcome, str]] = ..., revision: _Optional[int] = ..., undoable: bool = ..., duration_ms: _Optional[float] = ..., paused_ms: _Optional[float] = ..., modules: _Optional[_Iterable[_Union[ModuleChange, _Mapping]]] = ..., message: _Optional[str] = ..., side_effects: _Optional[_Iterable[str]] = ..., request_id: _Optional[str] = ..., committed_at_unix_s: _Optional[float] = ..., confirm_by_unix_s: _Optional[float] = ..., shield_wait_ms: _Optional[float] = ..., old_code: _Optional[_Iterable[str]] = ...) -> None: ...

class Revision(_message.Message):
    __slots__ = ("number", "committed_at_unix_s", "identity", "reason", "modules", "undoable", "undoes", "undone_by", "expires_at_unix_s", "request_id", "confirm_by_unix_s")
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    COMMITTED_AT_UNIX_S_FIELD_NUMBER: _ClassVar[int]
    IDENTITY_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    MODULES_FIELD_NUMBER: _ClassVar[int]
    UNDOABLE_FIELD_NUMBER: _ClassVar[int]
    UNDOES_FIELD_NUMBER: _ClassVar[int]
    UNDONE_BY_FIELD_NUMBER: _ClassVar[int]
    EXPIRES_AT_UNIX_S_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    CONFIRM_BY_UNIX_S_FIELD_NUMBER: _ClassVar[int]
    number: int
    committed_at_unix_s: float
    identity: str
    reason: str
    modules: _containers.RepeatedCompositeFieldContainer[ModuleChange]
    undoable: bool
    undoes: int
    undone_by: int
    expires_at_unix_s: float
    request_id: str
    confirm_by_unix_s: float
    def __init__(self, number: _Optional[int] = ..., committed_at_unix_s: _Optional[float] = ..., identity: _Optional[str] = ..., reason: _Optional[str] = ..., modules: _Optional[_Iterable[_Union[ModuleChange, _Mapping]]] = ..., undoable: bool = ..., undoes: _Optional[int] = ..., undone_by: _Optional[int] = ..., expires_at_unix_s: _Optional[float] = ..., request_id: _Optional[str] = ..., confirm_by_unix_s: _Optional[float] = ...) -> None: ...
