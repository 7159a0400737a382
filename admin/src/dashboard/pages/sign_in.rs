//! Signing in with an access key or a single-use link, and signing out.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use axum::extract::FromRequest;
use axum::extract::{ConnectInfo, Query, Request, State};
use axum::response::{IntoResponse, Response};
use gatepost_control_plane::{Failure, NewSession, Session};
use gatepost_domain::problem::ErrorCode;
use http::header::{HOST, HeaderValue, LOCATION, SET_COOKIE};
use http::{HeaderMap, StatusCode};
use maud::{Markup, html};
use serde::Deserialize;

use crate::dashboard::answer::{self, PageResult};
use crate::dashboard::form::{Form, FormFaults, NO_FAULTS};
use crate::dashboard::frame;
use crate::dashboard::layout;
use crate::dashboard::parts::field::{Entries, Field, Input};
use crate::dashboard::root::ROOT;
use crate::dashboard::state::DashboardState;
use crate::dashboard::visitor::{Visitor, session_cookie, session_token};

const KEY: Field = Field::text(
    "key",
    "Access key",
    "It begins with live_access_. On a new store, the first one is in the file first-access-key beside the data. \
           Or run gatepost dashboard, which prints a link that signs in.",
)
.with_input(Input::Secret)
.required();

#[derive(Debug, Default, Deserialize)]
pub(crate) struct SignInQuery {
    /// Token of a single-use link.
    #[serde(default)]
    link: String,
    /// The page to go to afterwards.
    #[serde(default)]
    next: String,
}

pub(crate) async fn form(State(state): State<DashboardState>, Query(query): Query<SignInQuery>) -> PageResult {
    if query.link.is_empty() {
        return Ok(answer::html_page(key_form(&query.next, &NO_FAULTS)));
    }
    Ok(match state.control_plane.peek_sign_in_link(&query.link).await? {
        Some(session) => answer::html_page(link_form(&session, &query)),
        None => used_link(),
    })
}

/// Starts a session with an access key or with a link.
pub(crate) async fn submit(State(state): State<DashboardState>, request: Request) -> PageResult {
    let from = client_address(&request);
    let is_readable_by_others = is_plain_http_to_another_machine(&state, request.headers());
    let form = match Form::from_request(request, &state).await {
        Ok(form) => form,
        Err(response) => return Ok(response),
    };
    let (ttl, next) = (state.options.session_ttl, form.text("next"));
    if let Some(link) = form.filled("link") {
        return Ok(match state.control_plane.redeem_sign_in_link(&link, from, ttl).await? {
            Some(started) => signed_in(&state, &started, next),
            None => used_link(),
        });
    }
    if is_readable_by_others {
        let text = "This page came over plain http from another machine, where others could read the access key. Open \
                    it over https";
        return Ok(refused(next, StatusCode::BAD_REQUEST, text));
    }
    match state.control_plane.sign_in(form.text("key"), from, ttl).await {
        Ok(started) => Ok(signed_in(&state, &started, next)),
        Err(Failure::Refused(problem)) if problem.code == ErrorCode::InvalidAccessKey => {
            let text = "This is no access key, or it was revoked or has expired";
            Ok(refused(next, StatusCode::UNAUTHORIZED, text))
        }
        Err(Failure::Throttled(wait)) => {
            let text = format!("There were too many attempts. Try again in {} s", wait.as_secs() + 1);
            Ok(refused(next, StatusCode::TOO_MANY_REQUESTS, &text))
        }
        Err(failure) => Err(failure.into()),
    }
}

pub(crate) async fn sign_out(State(state): State<DashboardState>, headers: HeaderMap) -> PageResult {
    if let Some(token) = session_token(&headers, &state) {
        state.control_plane.sign_out(token).await?;
    }
    Ok(signed_out(&state))
}

pub(crate) async fn sign_out_everywhere(State(state): State<DashboardState>, visitor: Visitor) -> PageResult {
    state.control_plane.sign_out_everywhere(visitor.caller()).await?;
    Ok(signed_out(&state))
}

fn signed_in(state: &DashboardState, started: &NewSession, next: &str) -> Response {
    let location = HeaderValue::from_str(local_path(next)).unwrap_or(HeaderValue::from_static(ROOT));
    let cookie = session_cookie(started.token.expose(), state);
    (StatusCode::SEE_OTHER, [(LOCATION, location), (SET_COOKIE, cookie)]).into_response()
}

fn signed_out(state: &DashboardState) -> Response {
    let mut response = answer::see_other("/sign-in");
    response.headers_mut().insert(SET_COOKIE, session_cookie("", state));
    response
}

/// Returns the path to go to after signing in, if it is one of the dashboard.
fn local_path(next: &str) -> &str {
    let is_below = next.strip_prefix(ROOT).is_some_and(|rest| rest.is_empty() || rest.starts_with(['/', '?']));
    if is_below { next } else { ROOT }
}

/// Returns whether others could read what a form sends: the browser came neither through a proxy with TLS nor from the
/// machine itself.
fn is_plain_http_to_another_machine(state: &DashboardState, headers: &HeaderMap) -> bool {
    let host = headers.get(HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    !state.is_behind_tls_proxy && !is_loopback(host)
}

fn is_loopback(host: &str) -> bool {
    let name = host.rsplit_once(':').filter(|(_, port)| port.bytes().all(|byte| byte.is_ascii_digit()));
    let name = name.map_or(host, |(name, _)| name).trim_start_matches('[').trim_end_matches(']');
    name.eq_ignore_ascii_case("localhost") || name.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

fn client_address(request: &Request) -> IpAddr {
    let address = request.extensions().get::<ConnectInfo<SocketAddr>>();
    address.map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |ConnectInfo(address)| address.ip())
}

fn refused(next: &str, status: StatusCode, text: &str) -> Response {
    let faults = FormFaults::one(KEY.name, format!("{text}."));
    (status, answer::html_page(key_form(next, &faults))).into_response()
}

fn used_link() -> Response {
    let title = "This link cannot be used";
    let content = html! {
        h1 { (title) }
        p { "A link works once and for 10 minutes. " code { "gatepost dashboard" } " prints a new one." }
        p { a.button href={ (ROOT) "/sign-in" } { "Sign in with an access key" } }
    };
    (StatusCode::GONE, answer::html_page(frame::bare(title, content))).into_response()
}

fn key_form(next: &str, faults: &FormFaults) -> Markup {
    // The value is never shown again, also not after a mistake.
    let entries = Entries { form: &Form::default(), faults };
    frame::bare(
        "Sign in",
        html! {
            h1 { "Sign in" }
            form.stack method="post" action={ (ROOT) "/sign-in" } {
                (entries.field(&KEY))
                input type="hidden" name="next" value=(next);
                button.primary { "Sign in" }
            }
        },
    )
}

fn link_form(session: &Session, query: &SignInQuery) -> Markup {
    frame::bare(
        "Sign in",
        html! {
            h1 { "Sign in" }
            p {
                "This link signs in with the access key " strong { (session.access_key.name) } " ("
                (layout::role_name(session.access_key.role)) ") of the account " strong { (session.account.name) } "."
            }
            form.stack method="post" action={ (ROOT) "/sign-in" } {
                input type="hidden" name="link" value=(query.link);
                input type="hidden" name="next" value=(query.next);
                button.primary { "Sign in as " (session.access_key.name) }
            }
        },
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_pages_of_the_dashboard_follow_a_sign_in() {
        for (next, path) in [
            ("/dashboard/keys/key_1?x=1", "/dashboard/keys/key_1?x=1"),
            ("/dashboard", "/dashboard"),
            ("/dashboards", ROOT),
            ("//evil.example/dashboard", ROOT),
            ("https://evil.example", ROOT),
            ("", ROOT),
        ] {
            assert_eq!(local_path(next), path, "{next}");
        }
    }

    #[test]
    fn loopback_is_known_by_its_names() {
        for (host, expected) in [
            ("localhost:8081", true),
            ("127.0.0.1:8081", true),
            ("127.9.9.9", true),
            ("[::1]:8081", true),
            ("10.0.0.1:8081", false),
            ("localhost.example:80", false),
            ("", false),
        ] {
            assert_eq!(is_loopback(host), expected, "{host}");
        }
    }
}
