//! The members that a change has changed, in words.

use gatepost_control_plane::VisibleChange;
use gatepost_domain::change::Action;
use gatepost_domain::record::Record;
use maud::{Markup, html};
use serde_json::Value;

use super::diff;
use crate::http::changes::resource_of;

/// Name of the member with the mask of a value.
const MASK: &str = "maskedKey";

/// Shows which members of a resource differ after a change of it; the masks of a value that was replaced. Empty for a
/// resource that is new or was removed.
pub(crate) fn list(change: &VisibleChange) -> Markup {
    let names = names(change);
    let old_and_new = change.content.old.as_ref().and_then(mask_of).zip(change.content.new.as_ref().and_then(mask_of));
    let replaced = replaced_value(change);
    html! {
        @for (index, name) in names.iter().enumerate() {
            @if index > 0 { ", " }
            (label(name))
            @if let Some((old, new)) = old_and_new.filter(|_| name == MASK) {
                " from " code { (old) } " to " code { (new) }
            }
        }
        @if let Some(replaced) = replaced { (replaced) }
    }
}

/// Returns the names of the members that [`list`] shows.
pub(crate) fn names(change: &VisibleChange) -> Vec<String> {
    let Some(resource) = resource_of(change).filter(|_| change.content.new.is_some()) else { return Vec::new() };
    let Some(previous) = &resource.previous else { return Vec::new() };
    // The title of a change says that something was revoked or deleted.
    let is_told = |name: &str| name == "isActive" && resource.data[name] == Value::Bool(false);
    let changed = diff::changed_fields(previous, &resource.data).into_iter();
    changed.filter(|name| !is_told(name)).map(str::to_owned).collect()
}

/// Returns what was replaced by a change that no member shows, because it is secret.
pub(crate) fn replaced_value(change: &VisibleChange) -> Option<&'static str> {
    let resource = resource_of(change).filter(|_| change.content.new.is_some())?;
    if !diff::changed_fields(resource.previous.as_ref()?, &resource.data).is_empty() {
        return None;
    }
    if change.content.action == Action::ApiKeyUpdated {
        return Some("value replaced by one with the same mask");
    }
    (change.content.action == Action::WebhookUpdated)
        .then_some("a value replaced that is not shown: the rest of the endpoint, a header, the token or the secret")
}

fn mask_of(record: &Record) -> Option<&str> {
    match record {
        Record::ApiKey(key) => Some(&key.mask),
        Record::AccessKey(key) => Some(&key.mask),
        Record::Account(_) | Record::Project(_) | Record::Webhook(_) => None,
    }
}

/// Returns what people call a member.
fn label(name: &str) -> &str {
    match name {
        MASK => "value",
        "isActive" => "reactivated",
        "expiresAt" => "expires",
        "customMetaData" => "metadata",
        "customAccountId" => "customer ID",
        "customUserId" => "user ID",
        "rateLimitConfigs" => "rate limit",
        "allowedDomains" => "allowed domains",
        "allowedIps" => "allowed addresses",
        "projectId" => "project",
        "url" => "endpoint",
        "topics" => "events",
        "httpMethod" => "method",
        "customHeaders" => "custom headers",
        "theauthapiSignature" => "theauthapi-signature",
        "retrySchedule" => "delays between attempts",
        "maxInFlight" => "requests at the same time",
        "ratePerSecond" => "requests in a second",
        "omitSecrets" => "masks of key values",
        "whenPaused" => "events while it is paused",
        "publicKey" => "public key",
        "oldSecretUntil" => "signing secret",
        other => other,
    }
}
