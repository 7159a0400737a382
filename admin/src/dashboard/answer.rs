//! Responses: pages, redirects, and failures in words.

use axum::response::{Html, IntoResponse, Response};
use gatepost_control_plane::Failure;
use gatepost_domain::problem::ErrorCode;
use gatepost_runtime::error_chain;
use gatepost_store::StoreErrorKind;
use http::header::{HeaderName, HeaderValue, LOCATION, RETRY_AFTER};
use http::{Method, StatusCode, Uri};
use maud::{Markup, html};

use super::frame;
use super::root::ROOT;

/// Makes htmx load another page in place of a part of one.
const HX_REDIRECT: HeaderName = HeaderName::from_static("hx-redirect");

pub(crate) type PageResult = Result<Response, PageError>;

/// A failure that takes the place of the page.
#[derive(Debug)]
pub(crate) struct PageError(Failure);

impl From<Failure> for PageError {
    fn from(failure: Failure) -> Self {
        Self(failure)
    }
}

impl From<PageError> for Response {
    fn from(error: PageError) -> Self {
        error.into_response()
    }
}

impl IntoResponse for PageError {
    fn into_response(self) -> Response {
        let status = status_of(&self.0);
        let title = match status {
            StatusCode::NOT_FOUND => "There is nothing here",
            StatusCode::FORBIDDEN => "This is not allowed",
            StatusCode::TOO_MANY_REQUESTS => "Too many requests",
            StatusCode::SERVICE_UNAVAILABLE => "The store does not respond",
            _ => "This did not work",
        };
        let mut response = failure_page(status, title, &words(&self.0));
        if let Failure::Throttled(wait) = self.0 {
            let seconds = HeaderValue::from(wait.as_secs() + 1);
            response.headers_mut().insert(RETRY_AFTER, seconds);
        }
        response
    }
}

/// Returns a page.
pub(crate) fn html_page(markup: Markup) -> Response {
    Html(markup.into_string()).into_response()
}

/// Returns a page with a form that has a fault.
pub(crate) fn faulty_form(markup: Markup) -> Response {
    (StatusCode::UNPROCESSABLE_ENTITY, html_page(markup)).into_response()
}

/// Sends the browser to a page below the dashboard, with GET.
pub(crate) fn see_other(path: &str) -> Response {
    let location = HeaderValue::from_str(&format!("{ROOT}{path}")).unwrap_or(HeaderValue::from_static(ROOT));
    (StatusCode::SEE_OTHER, [(LOCATION, location)]).into_response()
}

/// Sends a browser that is not signed in to the sign-in page, and afterwards back to the page, unless it sent a form.
pub(crate) fn to_sign_in(method: &Method, uri: &Uri, is_fragment: bool) -> Response {
    // A part that is added to a page has the address of one that begins there.
    let path = uri.path_and_query().map_or("/", |path| path.as_str());
    let page = path.strip_prefix(ROOT).and_then(|path| path.strip_prefix("/more"));
    let path = page.map_or_else(|| path.to_owned(), |page| format!("{ROOT}{page}"));
    let location = match *method {
        Method::GET => {
            let next: String = url::form_urlencoded::byte_serialize(path.as_bytes()).collect();
            format!("{ROOT}/sign-in?next={next}")
        }
        _ => format!("{ROOT}/sign-in"),
    };
    let location = HeaderValue::from_str(&location).unwrap_or(HeaderValue::from_static(ROOT));
    match is_fragment {
        true => (StatusCode::UNAUTHORIZED, [(HX_REDIRECT, location)]).into_response(),
        false => (StatusCode::SEE_OTHER, [(LOCATION, location)]).into_response(),
    }
}

pub(crate) fn forbidden(text: &str) -> Response {
    failure_page(StatusCode::FORBIDDEN, "This is not allowed", text)
}

pub(crate) fn not_found() -> Response {
    failure_page(StatusCode::NOT_FOUND, "There is nothing here", "no page has this address")
}

fn failure_page(status: StatusCode, title: &str, text: &str) -> Response {
    let content = html! {
        h1 { (title) }
        p { (capitalized(text)) "." }
        p { a.button href=(ROOT) { "Go to the projects" } }
    };
    (status, html_page(frame::bare(title, content))).into_response()
}

pub(crate) fn status_of(failure: &Failure) -> StatusCode {
    let status = match failure {
        Failure::Refused(problem) | Failure::LimitExceeded(problem, _) => problem.code.status(),
        Failure::Throttled(_) => ErrorCode::RateLimited.status(),
        Failure::Store(error) => match error.kind() {
            StoreErrorKind::Corrupt | StoreErrorKind::Refused => 500,
            StoreErrorKind::Unavailable
            | StoreErrorKind::WrongStore
            | StoreErrorKind::Unconfirmed
            | StoreErrorKind::Full => 503,
        },
    };
    StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
}

/// Returns what people read about a failure, without a full stop.
pub(crate) fn words(failure: &Failure) -> String {
    match failure {
        Failure::Refused(problem) | Failure::LimitExceeded(problem, _) => problem.detail.to_string(),
        Failure::Throttled(wait) => format!("there were too many requests; try again in {} s", wait.as_secs() + 1),
        Failure::Store(error) => {
            tracing::warn!(error = %error_chain(error), "a page failed in the store");
            match error.kind() {
                StoreErrorKind::Unconfirmed => "the change was written, but too few replicas of the store have \
                                                confirmed it; it is safe to do it again"
                    .to_owned(),
                StoreErrorKind::Full => "the store takes no changes now: its memory or disk is full".to_owned(),
                StoreErrorKind::Corrupt | StoreErrorKind::Refused => "the log of the control plane says why".to_owned(),
                StoreErrorKind::Unavailable | StoreErrorKind::WrongStore => {
                    "try again in a moment; the log of the control plane says why".to_owned()
                }
            }
        }
    }
}

/// Returns a text with its first letter as a capital.
pub(crate) fn capitalized(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or(String::new(), |first| first.to_uppercase().chain(letters).collect())
}
