//! Options of the commands that send webhooks to the developer of a receiver.

use std::time::Duration;

use clap::Args;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use gatepost_domain::change::Topic;
use gatepost_domain::id::{ProjectId, WebhookId};
use url::Url;

use super::ages::parse_age;
use crate::admin_url::AdminUrl;
use crate::config::ADMIN_URL_VARIABLE;

/// Heading of these options in the help of each command over the admin API.
pub(super) const ADMIN_API_HEADING: &str = "Admin API";

/// Where the admin API is.
#[derive(Debug, Clone, Args)]
pub(crate) struct AdminOptions {
    /// Admin API [default: where control_plane.listen of the configuration says]. Its access key is GATEPOST_ACCESS_KEY
    /// or, for one on this machine, that in gatepost-data/first-access-key
    #[arg(long, global = true, value_name = "URL", env = ADMIN_URL_VARIABLE, help_heading = ADMIN_API_HEADING)]
    pub(crate) admin_url: Option<AdminUrl>,
}

#[derive(Debug, Args)]
pub(crate) struct ListenOptions {
    /// URL that receives the events
    #[arg(long, value_name = "URL", value_parser = parse_receiver_url)]
    pub(crate) forward_to: Url,
    /// Only events of these topics, separated by commas [default: all]. Events of other topics are passed over: later
    /// starts do not forward them either
    #[arg(long, value_name = "TOPICS", value_delimiter = ',', value_parser = topic_parser())]
    pub(crate) topics: Vec<Topic>,
    /// Only events of this project [default: all that the access key sees]
    #[arg(long, value_name = "ID", value_parser = ProjectId::parse)]
    pub(crate) project: Option<ProjectId>,
    /// Begin with the events of the last 30s, 15m, 1h or 2d; 0s begins now [default: after the last event forwarded]
    #[arg(long, value_name = "AGE", value_parser = parse_age)]
    pub(crate) since: Option<Duration>,
    #[command(flatten)]
    pub(crate) admin: AdminOptions,
}

#[derive(Debug, Args)]
pub(crate) struct TriggerOptions {
    /// Topic of the sample
    #[arg(value_name = "TOPIC", value_parser = topic_parser())]
    pub(crate) topic: Topic,
    /// URL that receives the sample, signed with the secret of `gatepost listen`
    #[arg(long, value_name = "URL", value_parser = parse_receiver_url)]
    pub(crate) forward_to: Option<Url>,
    /// Webhook that receives the sample: the control plane sends it
    #[arg(long, value_name = "ID", value_parser = WebhookId::parse, conflicts_with = "forward_to")]
    pub(crate) webhook: Option<WebhookId>,
    #[command(flatten)]
    pub(crate) admin: AdminOptions,
}

/// The text is not the URL of a receiver.
#[derive(Debug, thiserror::Error)]
#[error("must be an http or https URL without a user name, such as http://localhost:3000/hook")]
struct ParseReceiverUrlError;

fn topic_parser() -> impl TypedValueParser<Value = Topic> {
    let names = Topic::ALL.iter().map(|topic| topic.as_str());
    PossibleValuesParser::new(names).map(|name| Topic::parse(&name).expect("the possible values are topics"))
}

fn parse_receiver_url(text: &str) -> Result<Url, ParseReceiverUrlError> {
    let url = Url::parse(text).map_err(|_| ParseReceiverUrlError)?;
    let has_user = !url.username().is_empty() || url.password().is_some();
    let is_http = matches!(url.scheme(), "http" | "https");
    if is_http && !has_user { Ok(url) } else { Err(ParseReceiverUrlError) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_receiver_is_an_http_url_without_a_user() {
        for text in ["http://localhost:3000/hook", "https://[::1]/?a=b"] {
            assert!(parse_receiver_url(text).is_ok(), "{text}");
        }
        for text in ["localhost:3000", "ftp://localhost/", "http://a:b@localhost/", ""] {
            assert!(parse_receiver_url(text).is_err(), "{text}");
        }
    }
}
