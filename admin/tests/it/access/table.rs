//! Every endpoint and every kind of caller: what is answered. A new endpoint is a new line of `ROWS`.

/// Who calls. The columns of the table, in this order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CallerKind {
    /// Without an access key.
    Anonymous,
    /// With a revoked one.
    Revoked,
    Admin,
    User,
    Viewer,
    /// With an access key of the project that the resource is in.
    ProjectAdmin,
    ProjectUser,
    ProjectViewer,
    /// An admin of another project of the account.
    OtherProjectAdmin,
    /// An admin of another account.
    OtherAccountAdmin,
    /// An admin of the store's first account, which is another one as well.
    Operator,
}

pub(crate) const CALLER_KINDS: [CallerKind; 11] = [
    CallerKind::Anonymous,
    CallerKind::Revoked,
    CallerKind::Admin,
    CallerKind::User,
    CallerKind::Viewer,
    CallerKind::ProjectAdmin,
    CallerKind::ProjectUser,
    CallerKind::ProjectViewer,
    CallerKind::OtherProjectAdmin,
    CallerKind::OtherAccountAdmin,
    CallerKind::Operator,
];

/// The status that each kind gets.
pub(crate) type Statuses = [u16; CALLER_KINDS.len()];

/// An endpoint. In the path, `{id}` and `{key}` name the resource of the kind that the path begins with, and
/// `{eventId}`, `{recoveryId}` and `{cursor}` the event of a delivery, a recovery and a change; in the body, ACCOUNT, PROJECT and KEY stand for
/// those of the world.
pub(crate) struct Row {
    pub(crate) method: &'static str,
    pub(crate) path: &'static str,
    pub(crate) body: &'static str,
    pub(crate) statuses: Statuses,
}

const fn row(method: &'static str, path: &'static str, body: &'static str, statuses: Statuses) -> Row {
    Row { method, path, body, statuses }
}

/// Anybody who has an access key.
const ALL: Statuses = [401, 401, 200, 200, 200, 200, 200, 200, 200, 200, 200];
/// Whoever sees the project.
const READ: Statuses = [401, 401, 200, 200, 200, 200, 200, 200, 404, 404, 404];
/// Whoever sees the project and may write.
const WRITE: Statuses = [401, 401, 200, 200, 403, 200, 200, 403, 404, 404, 404];
/// The same where something is sent later.
const SEND: Statuses = [401, 401, 202, 202, 403, 202, 202, 403, 404, 404, 404];
/// The same where something is made.
const MAKE: Statuses = [401, 401, 201, 201, 403, 201, 201, 403, 404, 404, 404];
/// Admins who see the project.
const ADMINISTER: Statuses = [401, 401, 200, 403, 403, 200, 403, 403, 404, 404, 404];
/// Admins of the whole account. A neighbour sees the account, but has only a part of it.
const ACCOUNT: Statuses = [401, 401, 200, 403, 403, 403, 403, 403, 403, 404, 404];

/// Admins of the store's first account.
const OPERATOR: Statuses = [401, 401, 403, 403, 403, 403, 403, 403, 403, 403, 200];

const HOOK: &str = r#"{"name":"w","url":"http://127.0.0.1:9/","topics":["api-key.created"],"projectId":"PROJECT"}"#;
const NAME: &str = r#"{"name":"new"}"#;

pub(crate) const ROWS: &[Row] = &[
    row("GET", "/", "", [200; 11]),
    row("GET", "/accounts", "", ALL),
    row("POST", "/accounts", NAME, [401, 401, 403, 403, 403, 403, 403, 403, 403, 403, 201]),
    row("GET", "/accounts/{id}", "", [401, 401, 200, 200, 200, 200, 200, 200, 200, 404, 404]),
    row("GET", "/accounts/{id}/limits", "", [401, 401, 200, 200, 200, 403, 403, 403, 403, 404, 404]),
    row("PATCH", "/accounts/{id}", NAME, ACCOUNT),
    row("DELETE", "/accounts/{id}", "", ACCOUNT),
    row("GET", "/access-keys", "", ALL),
    row("POST", "/access-keys", NAME, [401, 401, 201, 403, 403, 201, 403, 403, 201, 201, 201]),
    row(
        "POST",
        "/access-keys",
        r#"{"name":"n","projectId":"PROJECT"}"#,
        [401, 401, 201, 403, 403, 201, 403, 403, 404, 404, 404],
    ),
    row(
        "POST",
        "/access-keys",
        r#"{"name":"n","accountId":"ACCOUNT"}"#,
        [401, 401, 201, 403, 403, 201, 403, 403, 201, 403, 403],
    ),
    row("PATCH", "/access-keys/{key}", NAME, ADMINISTER),
    row("DELETE", "/access-keys/{key}", "", ADMINISTER),
    row("PATCH", "/access-keys/{key}/reactivate", "", ADMINISTER),
    row("GET", "/projects", "", ALL),
    row("GET", "/projects?accountId=ACCOUNT", "", [401, 401, 200, 200, 200, 200, 200, 200, 200, 403, 403]),
    row("POST", "/projects", r#"{"name":"p","env":"live"}"#, [401, 401, 201, 201, 403, 403, 403, 403, 403, 201, 201]),
    row(
        "POST",
        "/projects",
        r#"{"name":"p","env":"live","accountId":"ACCOUNT"}"#,
        [401, 401, 201, 201, 403, 403, 403, 403, 403, 403, 403],
    ),
    row("GET", "/projects/{id}", "", READ),
    row("PATCH", "/projects/{id}", NAME, WRITE),
    row("DELETE", "/projects/{id}", "", [401, 401, 200, 200, 403, 403, 403, 403, 404, 404, 404]),
    row("GET", "/analytics/project-totals?projectId=PROJECT", "", READ),
    row("GET", "/analytics/api-key-totals?projectId=PROJECT", "", READ),
    row("GET", "/analytics/top-api-keys?projectId=PROJECT", "", READ),
    row("GET", "/api-keys/{key}/usage", "", READ),
    row("GET", "/api-keys", "", ALL),
    row("GET", "/api-keys?projectId=PROJECT", "", READ),
    row("POST", "/api-keys", r#"{"name":"k","projectId":"PROJECT"}"#, MAKE),
    row("POST", "/api-keys/search", r#"{"query":"k"}"#, ALL),
    row("POST", "/api-keys/search", r#"{"query":"KEY"}"#, ALL),
    row("POST", "/api-keys/search", r#"{"query":"KEY","projectId":"PROJECT"}"#, READ),
    row("POST", "/api-keys/explain", r#"{"key":"KEY"}"#, ALL),
    row("POST", "/api-keys/explain", r#"{"key":"KEY","projectId":"PROJECT"}"#, READ),
    row("POST", "/api-keys/revoke", r#"{"projectId":"PROJECT","customAccountId":"c"}"#, WRITE),
    row("POST", "/api-keys/revoke", r#"{"projectId":"PROJECT","customAccountId":"c","dryRun":true}"#, WRITE),
    row("GET", "/api-keys/{key}", "", READ),
    row("PATCH", "/api-keys/{key}", NAME, WRITE),
    row("DELETE", "/api-keys/{key}", "", WRITE),
    row("PATCH", "/api-keys/{key}/reactivate", "", WRITE),
    row("POST", "/api-keys/{key}/rotate", "", MAKE),
    row("POST", "/api-keys/auth/{key}", "", READ),
    row("GET", "/api-keys/auth/{key}", "", READ),
    row(
        "POST",
        "/auth/authenticate",
        r#"{"credentials":{"api_key":"KEY"},"timestamp":1,"sentAt":1}"#,
        [401, 401, 201, 201, 201, 201, 201, 201, 404, 404, 404],
    ),
    row("GET", "/webhooks", "", ALL),
    row("POST", "/webhooks", HOOK, MAKE),
    row("GET", "/webhooks/topics", "", ALL),
    row(
        "POST",
        "/webhooks/ping",
        r#"{"url":"http://127.0.0.1:9/","httpMethod":"POST"}"#,
        [401, 401, 200, 200, 403, 200, 200, 403, 200, 200, 200],
    ),
    row("GET", "/webhooks/{id}", "", READ),
    row("PATCH", "/webhooks/{id}", r#"{"status":"paused"}"#, WRITE),
    row("DELETE", "/webhooks/{id}", "", WRITE),
    row("POST", "/webhooks/{id}/rotate-secret", "", WRITE),
    row("GET", "/webhooks/{id}/deliveries", "", READ),
    row("GET", "/webhooks/{id}/deliveries/{eventId}", "", READ),
    row("POST", "/webhooks/{id}/deliveries/{eventId}/resend", "", SEND),
    row("GET", "/webhooks/{id}/stats", "", READ),
    row("POST", "/webhooks/{id}/recover", r#"{"since":"2026-01-01T00:00:00Z","status":"all"}"#, SEND),
    row("GET", "/webhooks/{id}/recoveries", "", READ),
    row("GET", "/webhooks/{id}/recoveries/{recoveryId}", "", READ),
    row("DELETE", "/webhooks/{id}/recoveries/{recoveryId}", "", WRITE),
    row("POST", "/webhooks/{id}/test", "", WRITE),
    row("GET", "/gateways", "", [401, 401, 200, 200, 200, 403, 403, 403, 403, 200, 200]),
    row("GET", "/system", "", OPERATOR),
    row("GET", "/system/quarantine", "", OPERATOR),
    row("GET", "/system/quarantine/{cursor}", "", [401, 401, 403, 403, 403, 403, 403, 403, 403, 403, 404]),
    row("GET", "/events?projectId=PROJECT", "", READ),
    row("GET", "/events", "", ALL),
    row("GET", "/events?order=desc&actor=OPERATOR", "", ALL),
    row("GET", "/events/{cursor}", "", READ),
    row("GET", "/events/{cursor}/deliveries", "", READ),
    row("GET", "/events/{cursor}/propagation", "", [401, 401, 200, 200, 200, 403, 403, 403, 404, 404, 404]),
    row("GET", "/events/stream?projectId=PROJECT", "", READ),
];
