//! The choice of events, each with when it is sent and what its body has.

use gatepost_domain::change::Topic;
use maud::{Markup, html};

use crate::dashboard::parts::field::Entries;

const GROUPS: [(&str, &[Topic]); 3] = [
    ("API keys", &[Topic::ApiKeyCreated, Topic::ApiKeyFirstUsed, Topic::ApiKeyUpdated, Topic::ApiKeyDeleted]),
    ("Access keys", &[Topic::AccessKeyCreated, Topic::AccessKeyUpdated, Topic::AccessKeyDeleted]),
    ("Project and webhooks", &[Topic::ProjectUpdated, Topic::WebhookFailing, Topic::WebhookDisabled]),
];

/// Whether bodies may contain the value of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Value {
    New,
    OfRotation,
    Never,
}

/// Shows the check boxes. At least one is needed, so that they are not folded.
pub(crate) fn selection(entries: Entries<'_>, allows_private_networks: bool) -> Markup {
    let faults = entries.faults.of_field("topics");
    html! {
        fieldset.faulty[!faults.is_empty()] {
            legend { "Events selection" span.required { " required" } }
            @for fault in faults { p.fault { (fault.text) } }
            details.more open {
                summary { "+ Add Events" }
                p.hint {
                    "A webhook gets the value of a key only if an admin chose its endpoint"
                    @if !allows_private_networks { ", which uses https" }
                    ". Others get the ID."
                }
                @for (name, topics) in GROUPS {
                    h3 { (name) }
                    @for topic in topics { (check(entries, *topic)) }
                }
            }
        }
    }
}

fn check(entries: Entries<'_>, topic: Topic) -> Markup {
    let (when, body, value) = describe(topic);
    let label = html! {
        code { (topic.as_str()) }
        @match value {
            Value::New => { " " span.badge.test { "contains the key" } }
            Value::OfRotation => { " " span.badge.test { "contains the key after a rotation" } }
            Value::Never => {}
        }
    };
    entries.check("topics", topic.as_str(), label, &format!("{when} Body: {body}."))
}

fn describe(topic: Topic) -> (&'static str, &'static str, Value) {
    const KEY: &str = "the key with its limits, restrictions and metadata";
    const ACCESS_KEY: &str = "the access key with its role";
    const WEBHOOK: &str = "the other webhook, with the reason";
    match topic {
        Topic::ApiKeyCreated => ("A key was created.", KEY, Value::New),
        Topic::ApiKeyFirstUsed => ("A key was used for the first time.", KEY, Value::Never),
        Topic::ApiKeyUpdated => ("A key was changed, rotated or reactivated.", KEY, Value::OfRotation),
        Topic::ApiKeyDeleted => ("A key was revoked.", "the key as it was last", Value::Never),
        Topic::AccessKeyCreated => ("An access key was created.", ACCESS_KEY, Value::New),
        Topic::AccessKeyUpdated => ("An access key was changed.", ACCESS_KEY, Value::Never),
        Topic::AccessKeyDeleted => ("An access key was revoked.", ACCESS_KEY, Value::Never),
        Topic::ProjectUpdated => ("A project was renamed or deleted.", "the project", Value::Never),
        Topic::WebhookFailing => ("The attempts of another webhook fail.", WEBHOOK, Value::Never),
        Topic::WebhookDisabled => ("Another webhook was disabled because of failures.", WEBHOOK, Value::Never),
    }
}
