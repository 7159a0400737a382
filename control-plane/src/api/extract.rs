//! Reading requests: JSON whatever its content type says, queries that ignore unknown names.

use std::collections::HashMap;
use std::time::Duration;

use axum::body::Bytes;
use axum::extract::{FromRequest, FromRequestParts, Path, Request};
use axum::response::{IntoResponse, Response};
use gatepost_domain::problem::ErrorCode;
use http::StatusCode;
use http::request::Parts;
use serde::de::DeserializeOwned;
use serde_json::error::Category;

use crate::ControlPlane;
use crate::failure::Failure;
use crate::use_cases::authenticate::EndUser;

/// Bytes of a request's body.
pub(crate) const MAX_BODY_BYTES: usize = 64 * 1024;
/// How long it may take to come.
const BODY_DEADLINE: Duration = Duration::from_secs(10);

/// Where callers tell the origin or the referrer of the end user who presents a key.
const ORIGIN_DOMAIN: &str = "x-origin-domain";
/// Where they tell the end user's address.
const ORIGIN_IP: &str = "x-origin-ip";

/// A body as JSON.
pub(crate) struct JsonBody<T>(pub(crate) T);

impl<T: DeserializeOwned> FromRequest<ControlPlane> for JsonBody<T> {
    type Rejection = Failure;

    async fn from_request(request: Request, state: &ControlPlane) -> Result<Self, Failure> {
        let bytes = body(request, state).await?;
        serde_json::from_slice(&bytes).map(JsonBody).map_err(|error| not_json(&error))
    }
}

/// A body as JSON that may be left out, as clients do which send a form's content type and no byte.
pub(crate) struct OptionalJson<T>(pub(crate) T);

impl<T: DeserializeOwned + Default> FromRequest<ControlPlane> for OptionalJson<T> {
    type Rejection = Failure;

    async fn from_request(request: Request, state: &ControlPlane) -> Result<Self, Failure> {
        let bytes = body(request, state).await?;
        if bytes.is_empty() {
            return Ok(Self(T::default()));
        }
        serde_json::from_slice(&bytes).map(OptionalJson).map_err(|error| not_json(&error))
    }
}

async fn body(request: Request, state: &ControlPlane) -> Result<Bytes, Failure> {
    let read = tokio::time::timeout(BODY_DEADLINE, Bytes::from_request(request, state)).await;
    let read = read.map_err(|_| Failure::refused(ErrorCode::RequestTimeout, "the body took too long to come"))?;
    read.map_err(|rejection| unread(rejection.into_response()))
}

fn unread(response: Response) -> Failure {
    if response.status() == StatusCode::PAYLOAD_TOO_LARGE {
        return too_large();
    }
    Failure::refused(ErrorCode::BadRequest, "the body could not be read")
}

pub(super) fn too_large() -> Failure {
    let detail = format!("the body has more than {} KiB", MAX_BODY_BYTES / 1024);
    Failure::refused(ErrorCode::BodyTooLarge, detail)
}

/// The library tells line and column at the end of its message.
fn not_json(error: &serde_json::Error) -> Failure {
    let code = match error.classify() {
        Category::Syntax | Category::Eof | Category::Io => ErrorCode::InvalidJson,
        Category::Data => ErrorCode::Validation,
    };
    Failure::refused(code, error.to_string())
}

/// A body as JSON where there is one: clients send none, with the content type of a form.
pub(crate) struct OptionalBody<T>(pub(crate) T);

impl<T: DeserializeOwned + Default> FromRequest<ControlPlane> for OptionalBody<T> {
    type Rejection = Failure;

    async fn from_request(request: Request, state: &ControlPlane) -> Result<Self, Failure> {
        let bytes = body(request, state).await?;
        if bytes.trim_ascii().is_empty() {
            return Ok(OptionalBody(T::default()));
        }
        serde_json::from_slice(&bytes).map(OptionalBody).map_err(|error| not_json(&error))
    }
}

impl<S: Send + Sync> FromRequestParts<S> for EndUser {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Failure> {
        let told = |name: &str| parts.headers.get(name).and_then(|value| value.to_str().ok());
        let address = told(ORIGIN_IP).map(|text| {
            let address = text.trim().parse().map(|address: std::net::IpAddr| address.to_canonical());
            address.map_err(|_| Failure::invalid(format!("{ORIGIN_IP}: is no address")))
        });
        Ok(Self { origin: told(ORIGIN_DOMAIN).map(str::to_owned), address: address.transpose()? })
    }
}

/// A query's members. Names that nobody asks for are ignored, as clients send some.
pub(crate) struct Query(HashMap<String, String>);

impl Query {
    /// A member; the texts that JavaScript makes of an absent value count as absent.
    pub(crate) fn text(&self, name: &str) -> Option<String> {
        self.0.get(name).filter(|text| !matches!(text.as_str(), "" | "undefined")).cloned()
    }

    /// A member that names something; `null` counts as absent.
    pub(crate) fn name(&self, name: &str) -> Option<String> {
        self.text(name).filter(|text| text != "null")
    }

    /// A whole number up to `max`.
    pub(crate) fn number(&self, name: &str, max: usize) -> Result<Option<usize>, Failure> {
        let Some(text) = self.name(name) else { return Ok(None) };
        let number = text.parse().ok().filter(|number| *number <= max);
        number.map(Some).ok_or_else(|| Failure::invalid(format!("{name}: must be a number from 0 to {max}")))
    }

    /// `true` or `false`, in any case.
    pub(crate) fn choice<T>(&self, name: &str, yes: T, no: T) -> Result<Option<T>, Failure> {
        match self.name(name).map(|text| text.to_lowercase()).as_deref() {
            None => Ok(None),
            Some("true") => Ok(Some(yes)),
            Some("false") => Ok(Some(no)),
            Some(_) => Err(Failure::invalid(format!("{name}: must be true or false"))),
        }
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Query {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Failure> {
        let query = parts.uri.query().unwrap_or_default();
        Ok(Self(url::form_urlencoded::parse(query.as_bytes()).into_owned().collect()))
    }
}

/// The last part of a path.
pub(crate) struct Named(pub(crate) String);

impl<S: Send + Sync> FromRequestParts<S> for Named {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Failure> {
        let Path(name) = Path::<String>::from_request_parts(parts, state)
            .await
            .map_err(|_| Failure::refused(ErrorCode::BadPath, "the path could not be read"))?;
        Ok(Self(name))
    }
}
