//! The use cases of the control plane, without HTTP: whoever calls them brings a [`RequestContext`].

#![allow(missing_docs, reason = "called only within this workspace, where a comment that repeats a name adds nothing")]

mod brute_force;
mod caller;
mod commit;
mod control_plane;
mod failure;
mod fair_share;
mod limits;
mod metrics;
mod pager;
mod request_context;
mod update;
mod use_cases;

pub use caller::{Caller, Visibility};
pub use control_plane::{BuildError, ControlPlane};
pub use failure::{Failure, Result, all, both, or_default};
pub use fair_share::FairSharePermit;
pub use request_context::{Idempotency, MemberPolicy, Precondition, RequestContext, ResponseEncoder, UnknownMembers};
pub use use_cases::access_keys::{AccessKeyChange, AccessKeyFilter, AccessKeyRef, AccessKeyRequest};
pub use use_cases::accounts::{AccountChange, NewAccount, UpdatedAccount};
pub use use_cases::analytics::{DEFAULT_TOP_KEYS, KeyUsage, MAX_TOP_KEYS, Total, UsageReportRequest};
pub use use_cases::api_keys::{
    FlatLimit, KeyChange, KeyFields, KeyFilter, KeyList, KeyRef, KeyScope, NewApiKey, NullableFilter, QuotaFields,
    RateLimitFields, RevokeManyRequest, RevokedKeys, SearchRequest, SearchResults, UpdatedKey,
};
pub use use_cases::authenticate_api_key::{AuthenticatedKey, EndUser};
pub use use_cases::created_with_secret::CreatedWithSecret;
pub use use_cases::event_cursor::{EventCursor, ParseEventCursorError};
pub use use_cases::event_filter::{ActorFilter, EventFilter, ParseActorFilterError};
pub use use_cases::events::{ChangeLimits, ChangePage, Continuity, DEFAULT_CHANGES, MAX_CHANGES, VisibleChange};
pub use use_cases::explain::{Check, CheckResult, ExplainRequest, ExplainedOutcome, Explanation, RefusalReason, Step};
pub use use_cases::gateways::{GatewayLag, GatewayPropagation, MAX_WAIT, PropagationReport, PropagationStatus};
pub use use_cases::import::{ImportOptions, ImportOutcome, ImportRow, Importer, Notify};
pub use use_cases::import_run::{ImportFault, ImportProgress, MAX_IMPORT_FAULTS, NumberedRow};
pub use use_cases::long_response::LongResponse;
pub use use_cases::operator::{AccountOutcome, CreatedAccessKey, NewAccessKey, OperatorSignInLink};
pub use use_cases::operator_access_keys::{AccessKeyState, LastAdminKey, OperatorAccessKey, OperatorAccessKeys};
pub use use_cases::pagination::{ListPage, MAX_LIMIT, MAX_OFFSET, PAGE_SIZE, PageRequest, Rest, Selection};
pub use use_cases::patch::Patch;
pub use use_cases::projects::{ACTIVE_PROJECTS, NewProject, ProjectChange, ProjectFilter};
pub use use_cases::purge::{PurgeReport, Tally};
pub use use_cases::run_mode::RunMode;
pub use use_cases::scan_time::ScanTime;
pub use use_cases::sessions::{MAX_SESSION_TTL, NewSession, SIGN_IN_LINK_TTL, Session};
pub use use_cases::system::{
    DEFAULT_QUARANTINE_PAGE, MAX_QUARANTINE_PAGE, QuarantinePage, QuarantinedEntry, StoreView, SystemView,
};
pub use use_cases::update_rules::status_of;
pub use use_cases::webhooks::ping::{PingRequest, PingResult};
pub use use_cases::webhooks::{
    DEFAULT_DELIVERIES, DeliveryDetails, DeliveryFilter, DeliveryLimits, DeliveryPage, DeliverySettingsPatch,
    DeliveryStatus, DeliveryView, MAX_DELIVERIES, NewWebhook, PAUSE_REASON, RecoveryRequest, RevealedWebhook,
    SampleEncoder, TokenRequest, WebhookChange, WebhookDelivery, WebhookFilter, WebhookScope, WebhookTestResult,
    WebhookValues, reason_not_to_send, token_request,
};
