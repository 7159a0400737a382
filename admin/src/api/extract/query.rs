//! Paths, headers and queries. Unknown query parameters are ignored, as clients send some.

use std::collections::HashMap;

use axum::extract::{FromRequestParts, Path};
use gatepost_control_plane::{EndUser, Failure};
use gatepost_domain::problem::ErrorCode;
use gatepost_domain::time::{ParseTimestampError, Timestamp};
use http::Uri;
use http::request::Parts;

use crate::api::respond::problem::{ApiError, Result};
use crate::api::state::ApiState;

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

    async fn from_request_parts(parts: &mut Parts, _: &ApiState) -> Result<Self> {
        let query = parts.uri.query().unwrap_or_default();
        let members = url::form_urlencoded::parse(query.as_bytes()).into_owned().collect();
        Ok(Self { uri: parts.uri.clone(), params: members })
    }
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
