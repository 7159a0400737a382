//! Options of the commands that read and change resources through the admin API.

use std::time::Duration;

use clap::{Args, Subcommand, ValueEnum};

use super::ages::parse_age;
use super::webhooks::{ADMIN_API_HEADING, AdminOptions};

/// Maximum number of resources that a list shows by default.
const DEFAULT_LIST_LIMIT: u32 = 100;

/// Where the admin API is, and how its responses are printed.
#[derive(Debug, Clone, Args)]
pub(crate) struct ClientOptions {
    #[command(flatten)]
    pub(crate) admin: AdminOptions,
    /// Output format
    #[arg(long, global = true, value_enum, default_value_t = ResourceOutput::Table, help_heading = ADMIN_API_HEADING)]
    pub(crate) output: ResourceOutput,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum ResourceOutput {
    Table,
    Json,
}

/// Part of a list.
#[derive(Debug, Clone, Args)]
pub(crate) struct ListOptions {
    /// Maximum number of rows
    #[arg(long, value_name = "NUMBER", default_value_t = DEFAULT_LIST_LIMIT, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) limit: u32,
    /// Cursor after which the list continues, as printed at the end of a list that has more rows
    #[arg(long, value_name = "CURSOR")]
    pub(crate) after: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct ProjectOptions {
    #[command(subcommand)]
    pub(crate) command: ProjectCommand,
    #[command(flatten)]
    pub(crate) client: ClientOptions,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ProjectCommand {
    /// List projects
    List(ListOptions),
    /// Show a project
    Get(ResourceId),
    /// Create a project
    Create(NewProjectOptions),
    /// Rename a project
    Update(RenameOptions),
    /// Delete a project: all its keys are refused, permanently
    Delete(RevokeOptions),
}

#[derive(Debug, Args)]
pub(crate) struct ResourceId {
    #[arg(value_name = "ID")]
    pub(crate) id: String,
}

#[derive(Debug, Args)]
pub(crate) struct NewProjectOptions {
    /// Name of the project
    #[arg(long)]
    pub(crate) name: String,
    /// Environment of its keys, with which their values begin
    #[arg(long, value_enum, default_value_t = EnvName::Live)]
    pub(crate) env: EnvName,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum EnvName {
    Live,
    Test,
}

impl EnvName {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Live => "live",
            Self::Test => "test",
        }
    }
}

#[derive(Debug, Args)]
pub(crate) struct RenameOptions {
    #[arg(value_name = "ID")]
    pub(crate) id: String,
    /// New name
    #[arg(long)]
    pub(crate) name: String,
}

/// A resource whose keys gateways refuse from then on.
#[derive(Debug, Args)]
pub(crate) struct RevokeOptions {
    #[arg(value_name = "ID")]
    pub(crate) id: String,
    /// Seconds to wait until every gateway refuses the keys; up to 30
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u32).range(..=30))]
    pub(crate) wait: Option<u32>,
}

#[derive(Debug, Args)]
pub(crate) struct KeyOptions {
    #[command(subcommand)]
    pub(crate) command: KeyCommand,
    #[command(flatten)]
    pub(crate) client: ClientOptions,
}

#[derive(Debug, Subcommand)]
pub(crate) enum KeyCommand {
    /// List keys
    List(KeyListOptions),
    /// Show a key
    Get(ResourceId),
    /// Create a key and print its value, with a curl command that uses it
    Create(NewKeyOptions),
    /// Change members of a key
    Update(KeyUpdateOptions),
    /// Replace the value of a key and print the new one
    Rotate(RotateOptions),
    /// Revoke a key: gateways refuse it at once. An admin can reactivate it, in the dashboard or through the admin API
    Revoke(RevokeOptions),
}

#[derive(Debug, Args)]
pub(crate) struct KeyListOptions {
    /// Only keys of this project
    #[arg(long, value_name = "ID")]
    pub(crate) project: Option<String>,
    /// Only keys with this name
    #[arg(long)]
    pub(crate) name: Option<String>,
    /// Only keys of this customer of yours
    #[arg(long, value_name = "ID")]
    pub(crate) custom_account_id: Option<String>,
    #[command(flatten)]
    pub(crate) list: ListOptions,
}

#[derive(Debug, Args)]
pub(crate) struct NewKeyOptions {
    /// Name of the key
    #[arg(long)]
    pub(crate) name: String,
    /// Project of the key [default: the only one]
    #[arg(long, value_name = "ID")]
    pub(crate) project: Option<String>,
    #[command(flatten)]
    pub(crate) members: KeyMemberOptions,
}

#[derive(Debug, Args)]
pub(crate) struct KeyUpdateOptions {
    #[arg(value_name = "ID")]
    pub(crate) id: String,
    /// New name
    #[arg(long)]
    pub(crate) name: Option<String>,
    #[command(flatten)]
    pub(crate) members: KeyMemberOptions,
}

/// Members of a key. An empty text removes a member.
#[derive(Debug, Args)]
pub(crate) struct KeyMemberOptions {
    /// Expiry time: 2027-01-31, or with a time as in RFC 3339. An empty text removes it, here as below
    #[arg(long, value_name = "TIME")]
    pub(crate) expiry: Option<String>,
    /// Your own ID of the customer
    #[arg(long, value_name = "ID")]
    pub(crate) custom_account_id: Option<String>,
    /// Your own ID of the customer's user
    #[arg(long, value_name = "ID")]
    pub(crate) custom_user_id: Option<String>,
    /// Rate limit: a number of requests per 1s, 1m, 1h or 1d, such as 100/1m
    #[arg(long, value_name = "NUMBER/TIME", value_parser = parse_rate_limit)]
    pub(crate) rate_limit: Option<RateLimitFlag>,
    /// Permissions, separated by commas
    #[arg(long, value_name = "NAMES")]
    pub(crate) permissions: Option<String>,
    /// Networks from which the key may be used, separated by commas
    #[arg(long, value_name = "NETWORKS")]
    pub(crate) allowed_ips: Option<String>,
    /// Domains whose web pages may use the key, separated by commas
    #[arg(long, value_name = "DOMAINS")]
    pub(crate) allowed_domains: Option<String>,
}

/// Value of `--rate-limit`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RateLimitFlag {
    None,
    Requests { limit: u64, window: Duration },
}

/// The text is not a rate limit.
#[derive(Debug, thiserror::Error)]
#[error("must be a number of requests and a time, such as 100/1m, or empty")]
struct ParseRateLimitError;

fn parse_rate_limit(text: &str) -> Result<RateLimitFlag, ParseRateLimitError> {
    if text.is_empty() {
        return Ok(RateLimitFlag::None);
    }
    let (limit, window) = text.split_once('/').ok_or(ParseRateLimitError)?;
    let limit = limit.parse().map_err(|_| ParseRateLimitError)?;
    let window = parse_age(window).map_err(|_| ParseRateLimitError)?;
    Ok(RateLimitFlag::Requests { limit, window })
}

#[derive(Debug, Args)]
pub(crate) struct RotateOptions {
    #[arg(value_name = "ID")]
    pub(crate) id: String,
    /// Time for which the old value is still accepted: 30s, 15m, 1h, up to 90d [default: it is refused at once]
    #[arg(long, value_name = "TIME", value_parser = parse_age)]
    pub(crate) overlap: Option<Duration>,
}

#[derive(Debug, Args)]
pub(crate) struct WebhookOptions {
    #[command(subcommand)]
    pub(crate) command: WebhookCommand,
    #[command(flatten)]
    pub(crate) client: ClientOptions,
}

#[derive(Debug, Subcommand)]
pub(crate) enum WebhookCommand {
    /// List webhooks
    List(ListOptions),
    /// Show a webhook
    Get(ResourceId),
    /// Create a webhook and print its signing secret
    Create(NewWebhookOptions),
    /// Change members of a webhook
    Update(WebhookUpdateOptions),
    /// Delete a webhook
    Delete(ResourceId),
}

#[derive(Debug, Args)]
pub(crate) struct NewWebhookOptions {
    /// Name of the webhook
    #[arg(long)]
    pub(crate) name: String,
    /// URL of the receiver
    #[arg(long)]
    pub(crate) url: String,
    /// Topics of the events to send, separated by commas
    #[arg(long, value_name = "TOPICS", value_delimiter = ',', required = true)]
    pub(crate) topics: Vec<String>,
    /// Only project whose events are sent [default: the whole account]
    #[arg(long, value_name = "ID")]
    pub(crate) project: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct WebhookUpdateOptions {
    #[arg(value_name = "ID")]
    pub(crate) id: String,
    /// New name
    #[arg(long)]
    pub(crate) name: Option<String>,
    /// New URL of the receiver
    #[arg(long)]
    pub(crate) url: Option<String>,
    /// Topics of the events to send, separated by commas
    #[arg(long, value_name = "TOPICS", value_delimiter = ',')]
    pub(crate) topics: Option<Vec<String>>,
    /// Whether events are sent
    #[arg(long, value_enum)]
    pub(crate) status: Option<WebhookStatus>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum WebhookStatus {
    Live,
    Paused,
}

impl WebhookStatus {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Live => "live",
            Self::Paused => "paused",
        }
    }
}

#[derive(Debug, Args)]
pub(crate) struct EventOptions {
    #[command(subcommand)]
    pub(crate) command: EventCommand,
    #[command(flatten)]
    pub(crate) client: ClientOptions,
}

#[derive(Debug, Subcommand)]
pub(crate) enum EventCommand {
    /// List changes, newest first
    List(EventListOptions),
}

#[derive(Debug, Args)]
pub(crate) struct EventListOptions {
    /// Only changes of the resource, or the event, with this ID
    #[arg(long, value_name = "ID")]
    pub(crate) subject: Option<String>,
    /// Only changes by the access key with this ID
    #[arg(long, value_name = "ID")]
    pub(crate) actor: Option<String>,
    /// Only changes of this project
    #[arg(long, value_name = "ID")]
    pub(crate) project: Option<String>,
    /// Only changes of this type, such as api-key.created
    #[arg(long, value_name = "TYPE")]
    pub(crate) r#type: Option<String>,
    /// Only changes of the last 30s, 15m, 1h or 2d
    #[arg(long, value_name = "AGE", value_parser = parse_age)]
    pub(crate) since: Option<Duration>,
    #[command(flatten)]
    pub(crate) list: ListOptions,
}

#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct GatewayOptions {
    #[command(subcommand)]
    pub(crate) command: Option<GatewayCommand>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum GatewayCommand {
    /// List the running gateways, and how far behind they are
    List(ClientOptions),
}

#[derive(Debug, Args)]
pub(crate) struct ExportOptions {
    /// What to export
    #[arg(value_enum, value_name = "KIND")]
    pub(crate) kind: ExportKind,
    /// Cursor after which the export continues: for events the `cursor` of the last one
    #[arg(long, value_name = "CURSOR")]
    pub(crate) after: Option<String>,
    #[command(flatten)]
    pub(crate) admin: AdminOptions,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum ExportKind {
    /// API keys, without their values
    Keys,
    /// Webhooks, without secrets, header values and the paths of URLs
    Webhooks,
    /// The audit log, oldest first
    Events,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_limit_is_a_number_of_requests_per_time() {
        let parsed = parse_rate_limit("100/1m").unwrap();
        assert_eq!(parsed, RateLimitFlag::Requests { limit: 100, window: Duration::from_secs(60) });
        assert_eq!(parse_rate_limit("").unwrap(), RateLimitFlag::None);
        for text in ["100", "100/", "/1m", "-1/1m", "a/1m", "1/1"] {
            assert!(parse_rate_limit(text).is_err(), "{text}");
        }
    }
}
