//! Paths, headers and queries. Unknown and repeated query parameters are refused, except in the lists that the hosted
//! product has too: its clients send unknown ones.

use std::collections::HashMap;

use axum::extract::{FromRequestParts, MatchedPath, Path};
use gatepost_control_plane::{EndUser, Failure};
use gatepost_domain::problem::ErrorCode;
use gatepost_domain::spelling;
use gatepost_domain::time::{ParseTimestampError, Timestamp};
use http::Uri;
use http::request::Parts;

use crate::api::respond::problem::{ApiError, Result};
use crate::api::state::ApiState;
use crate::http::members::shortened;
use crate::http::request_head::RequestHead;

/// Lists that the hosted product has too.
const HOSTED_LISTS: [&str; 7] = [
    "/accounts",
    "/access-keys",
    "/analytics/api-key-totals",
    "/analytics/project-totals",
    "/api-keys",
    "/projects",
    "/webhooks",
];

/// The origin or the referrer of the end user who presents a key.
const ORIGIN_DOMAIN: &str = "x-origin-domain";
/// The address of that end user.
const ORIGIN_IP: &str = "x-origin-ip";

impl FromRequestParts<ApiState> for EndUser {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &ApiState) -> Result<Self> {
        let header = |name: &str| parts.headers.get(name).and_then(|value| value.to_str().ok());
        let address = header(ORIGIN_IP).map(|text| {
            let address = text.trim().parse().map(|address: std::net::IpAddr| address.to_canonical());
            address.map_err(|_| Failure::invalid(format!("{ORIGIN_IP}: is not an IP address")))
        });
        Ok(Self { origin: header(ORIGIN_DOMAIN).map(str::to_owned), address: address.transpose()? })
    }
}

/// The parameters of a query.
pub(crate) struct QueryParams {
    /// The path and the query as they were sent.
    pub(crate) uri: Uri,
    params: HashMap<String, String>,
}

impl QueryParams {
    /// Returns a parameter. The texts that JavaScript makes of an absent value mean absent.
    pub(crate) fn text(&self, name: &str) -> Option<String> {
        self.params.get(name).filter(|text| !matches!(text.as_str(), "" | "undefined")).cloned()
    }

    /// Returns a parameter for which `null` means absent.
    pub(crate) fn non_null(&self, name: &str) -> Option<String> {
        self.text(name).filter(|text| text != "null")
    }

    /// Parses a whole number up to `max`.
    pub(crate) fn number(&self, name: &str, max: usize) -> Result<Option<usize>> {
        let Some(text) = self.non_null(name) else { return Ok(None) };
        let number = text.parse().ok().filter(|number| *number <= max);
        let number = number.ok_or_else(|| Failure::invalid(format!("{name}: must be a number from 0 to {max}")))?;
        Ok(Some(number))
    }

    /// Parses the `limit` of a list that says whether there is more. An empty page could not be continued.
    pub(crate) fn page_limit(&self, max: usize) -> Result<Option<usize>> {
        let Some(text) = self.non_null("limit") else { return Ok(None) };
        let limit = text.parse().ok().filter(|limit| (1..=max).contains(limit));
        Ok(Some(limit.ok_or_else(|| Failure::invalid(format!("limit: must be a whole number from 1 to {max}")))?))
    }

    /// Parses a time.
    pub(crate) fn time(&self, name: &str) -> Result<Option<Timestamp>> {
        let invalid = |error: ParseTimestampError| Failure::invalid(format!("{name}: {error}"));
        Ok(self.non_null(name).map(|text| Timestamp::parse(&text).map_err(invalid)).transpose()?)
    }

    /// Parses `true` or `false`, in any case.
    pub(crate) fn boolean<T>(&self, name: &str, yes: T, no: T) -> Result<Option<T>> {
        match self.non_null(name).map(|text| text.to_lowercase()).as_deref() {
            None => Ok(None),
            Some("true") => Ok(Some(yes)),
            Some("false") => Ok(Some(no)),
            Some(_) => Err(Failure::invalid(format!("{name}: must be true or false")).into()),
        }
    }
}

impl FromRequestParts<ApiState> for QueryParams {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &ApiState) -> Result<Self> {
        let query = parts.uri.query().unwrap_or_default();
        let pairs: Vec<(String, String)> = url::form_urlencoded::parse(query.as_bytes()).into_owned().collect();
        let route = parts.extensions.get::<MatchedPath>().map_or("", MatchedPath::as_str);
        if !HOSTED_LISTS.contains(&route) {
            let known = state.schema_members.query_parameters(route);
            check_repeated(&pairs, &known)?;
            check_unknown(&pairs, &known, &RequestHead::of(&parts.extensions))?;
        }
        Ok(Self { uri: parts.uri.clone(), params: pairs.into_iter().collect() })
    }
}

/// Refuses a parameter that is given twice: all of ours have one value.
fn check_repeated(pairs: &[(String, String)], known: &[&str]) -> Result<()> {
    let count = |name: &str| pairs.iter().filter(|(given, _)| given == name).count();
    match known.iter().find(|name| count(name) > 1) {
        Some(name) => {
            Err(Failure::invalid(format!("{name}: is given more than once; only one value is possible")).into())
        }
        None => Ok(()),
    }
}

/// Refuses unknown parameters, or ignores them if the request prefers that.
fn check_unknown(pairs: &[(String, String)], known: &[&str], head: &RequestHead) -> Result<()> {
    let unknown = |name: &str| !name.is_empty() && !known.contains(&name);
    let names: Vec<String> =
        pairs.iter().map(|(name, _)| name).filter(|name| unknown(name)).map(|name| shortened(name)).collect();
    let Some(first) = names.first().cloned() else { return Ok(()) };
    Ok(head.members.refuse_or_ignore(names, || Failure::invalid(unknown_detail(&first, known)))?)
}

fn unknown_detail(name: &str, known: &[&str]) -> String {
    let hint = match spelling::most_similar(name, known.iter().copied()) {
        Some(similar) => format!("a similar one is {similar}"),
        None if known.is_empty() => "there is none here".to_owned(),
        None => format!("known are {}", known.join(", ")),
    };
    format!("{name}: unknown query parameter; {hint}")
}

/// The last segment of a path.
pub(crate) struct PathId(pub(crate) String);

impl FromRequestParts<ApiState> for PathId {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &ApiState) -> Result<Self> {
        let Path(name) = Path::<String>::from_request_parts(parts, state)
            .await
            .map_err(|_| Failure::refused(ErrorCode::BadPath, "the path could not be read"))?;
        Ok(Self(name))
    }
}
