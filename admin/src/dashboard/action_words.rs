//! What changes are called on pages.

use gatepost_domain::change::Action;

/// Returns what happened, in two or three words.
pub(crate) fn title(action: Action) -> &'static str {
    match action {
        Action::AccountCreated => "Account created",
        Action::AccountUpdated => "Account changed",
        Action::AccountDeleted => "Account deleted",
        Action::ProjectCreated => "Project created",
        Action::ProjectUpdated => "Project changed",
        Action::ProjectDeleted => "Project deleted",
        Action::ApiKeyCreated => "Key created",
        Action::ApiKeyImported => "Key imported",
        Action::ApiKeyPurged => "Key purged",
        Action::ApiKeyUpdated => "Key changed",
        Action::ApiKeyDeleted => "Key revoked",
        Action::ApiKeyFirstUsed => "Key first used",
        Action::AccessKeyCreated => "Access key created",
        Action::AccessKeyUpdated => "Access key changed",
        Action::AccessKeyDeleted => "Access key revoked",
        Action::AccessKeyPurged => "Access key purged",
        Action::WebhookCreated => "Webhook created",
        Action::WebhookUpdated => "Webhook changed",
        Action::WebhookDeleted => "Webhook deleted",
        Action::WebhookFailing => "Webhook failing",
        Action::WebhookRecovered => "Webhook recovered",
        Action::WebhookDisabled => "Webhook disabled",
    }
}
