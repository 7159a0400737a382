//! The person behind a request: the session of its cookie.

use axum::extract::{FromRequestParts, OriginalUri};
use axum::response::Response;
use gatepost_control_plane::{Caller, Failure, MemberPolicy, Precondition, RequestContext, Session};
use gatepost_domain::key::Secret;
use gatepost_domain::record::Role;
use gatepost_domain::time::Version;
use http::header::{COOKIE, HeaderName};
use http::request::Parts;
use http::{HeaderMap, HeaderValue};

use super::answer::{self, PageError};
use super::state::DashboardState;
use crate::http::request_head::RequestHead;

/// Sent by requests for a part of a page.
const HX_REQUEST: HeaderName = HeaderName::from_static("hx-request");

/// A signed-in person and the request.
#[derive(Debug, Clone)]
pub(crate) struct Visitor {
    pub(crate) session: Session,
    is_operator: bool,
    head: RequestHead,
    token: Secret,
}

impl Visitor {
    pub(crate) fn caller(&self) -> &Caller {
        &self.session.caller
    }

    /// Returns the context for a use case.
    pub(crate) fn context(&self) -> RequestContext {
        RequestContext {
            caller: self.session.caller.clone(),
            address: self.head.address,
            request_id: self.head.id.clone(),
            precondition: Precondition::None,
            members: MemberPolicy::default(),
            idempotency: None,
        }
    }

    /// Returns the context for a change of a record that a form showed at a version.
    pub(crate) fn context_at(&self, version: Option<Version>) -> RequestContext {
        let precondition = version.map_or(Precondition::None, |version| Precondition::AnyOf(vec![version]));
        RequestContext { precondition, ..self.context() }
    }

    /// Judges the session again, for a response that lasts. Returns false if it has ended.
    pub(crate) async fn renew(&mut self, state: &DashboardState) -> Result<bool, Failure> {
        let Some(session) = state.control_plane.session(self.token.expose()).await? else { return Ok(false) };
        self.is_operator = state.control_plane.is_operator(&session.caller).await?;
        self.session = session;
        Ok(true)
    }

    pub(crate) fn may_write(&self) -> bool {
        self.session.caller.role != Role::Viewer
    }

    /// Returns whether the visitor may manage access keys and the account.
    pub(crate) fn may_administer(&self) -> bool {
        self.session.caller.role == Role::Admin
    }

    /// Returns whether the visitor may see the whole system.
    pub(crate) fn is_operator(&self) -> bool {
        self.is_operator
    }

    /// Returns whether the visitor sees the whole account.
    pub(crate) fn sees_account(&self) -> bool {
        self.session.caller.project.is_none()
    }
}

impl FromRequestParts<DashboardState> for Visitor {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, state: &DashboardState) -> Result<Self, Response> {
        let is_fragment = parts.headers.contains_key(HX_REQUEST);
        let uri = parts.extensions.get::<OriginalUri>().map_or(&parts.uri, |OriginalUri(uri)| uri);
        let Some(token) = session_token(&parts.headers, state) else {
            return Err(answer::to_sign_in(&parts.method, uri, is_fragment));
        };
        match state.control_plane.session(token).await {
            Ok(Some(session)) => {
                let is_operator = state.control_plane.is_operator(&session.caller).await.map_err(PageError::from)?;
                let token = Secret::new(token.to_owned());
                Ok(Self { session, is_operator, head: RequestHead::of(&parts.extensions), token })
            }
            Ok(None) => Err(answer::to_sign_in(&parts.method, uri, is_fragment)),
            Err(failure) => Err(PageError::from(failure).into()),
        }
    }
}

/// Returns the session token in the cookie of a request.
pub(crate) fn session_token<'a>(headers: &'a HeaderMap, state: &DashboardState) -> Option<&'a str> {
    let name = cookie_name(state);
    let cookies = headers.get_all(COOKIE).iter().filter_map(|value| value.to_str().ok());
    let mut pairs = cookies.flat_map(|cookies| cookies.split(';')).filter_map(|pair| pair.trim().split_once('='));
    pairs.find(|(found, _)| *found == name).map(|(_, value)| value)
}

/// Returns the header that sets the cookie, until the browser is closed; an empty token removes it.
pub(crate) fn session_cookie(token: &str, state: &DashboardState) -> HeaderValue {
    let name = cookie_name(state);
    let scope = if state.is_behind_tls_proxy { "Path=/; Secure" } else { "Path=/dashboard" };
    let age = if token.is_empty() { "; Max-Age=0" } else { "" };
    let cookie = format!("{name}={token}; {scope}; HttpOnly; SameSite=Lax{age}");
    HeaderValue::from_str(&cookie).expect("tokens are digits and letters")
}

/// Browsers accept the `__Host-` prefix only together with `Secure` and `Path=/` (RFC 6265bis, 4.1.3.2).
fn cookie_name(state: &DashboardState) -> &'static str {
    if state.is_behind_tls_proxy { "__Host-gatepost" } else { "gatepost" }
}
