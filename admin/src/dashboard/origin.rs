//! Refuses requests that another site makes a browser send (CSRF). Browsers say where a request comes from, so pages need
//! no tokens.

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::Response;
use http::header::{HOST, ORIGIN};
use http::{HeaderMap, HeaderName, Method};

use super::answer;
use super::state::DashboardState;

/// Not sent over plain HTTP, except to loopback.
const FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

pub(crate) async fn layer(State(state): State<DashboardState>, request: Request, next: Next) -> Response {
    let is_safe = matches!(*request.method(), Method::GET | Method::HEAD);
    if is_safe || is_own_page(request.headers(), state.options.origin.as_deref()) {
        return next.run(request).await;
    }
    answer::forbidden("this request came from another site")
}

/// Returns whether a request was sent by a page of the dashboard.
fn is_own_page(headers: &HeaderMap, configured: Option<&str>) -> bool {
    let text = |name: HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
    if let Some(site) = text(FETCH_SITE) {
        return site == "same-origin" || site == "none";
    }
    match (text(ORIGIN), configured, text(HOST)) {
        (Some(origin), Some(configured), _) => origin.eq_ignore_ascii_case(configured),
        (Some(origin), None, Some(host)) => {
            origin.split_once("://").is_some_and(|(_, sender)| sender.eq_ignore_ascii_case(host))
        }
        (Some(_), None, None) | (None, _, _) => false,
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn check(headers: &[(&'static str, &'static str)], configured: Option<&str>) -> bool {
        let headers =
            headers.iter().map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)));
        is_own_page(&headers.collect(), configured)
    }

    #[test]
    fn only_own_pages_may_send_changes() {
        for (site, is_own) in [("same-origin", true), ("none", true), ("same-site", false), ("cross-site", false)] {
            let headers = [("sec-fetch-site", site), ("origin", "http://a.example"), ("host", "a.example")];
            assert_eq!(check(&headers, None), is_own, "{site}");
        }
        for (origin, configured, is_own) in [
            ("http://a.example:81", None, true),
            ("https://A.example:81", None, true),
            ("http://a.example", None, false),
            ("null", None, false),
            ("https://keys.example", Some("https://keys.example"), true),
            ("http://keys.example", Some("https://keys.example"), false),
            ("http://a.example:81", Some("https://keys.example"), false),
        ] {
            assert_eq!(check(&[("origin", origin), ("host", "a.example:81")], configured), is_own, "{origin}");
        }
        assert!(!check(&[("host", "a.example")], None), "neither header");
    }
}
