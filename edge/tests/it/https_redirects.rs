//! Where a listener that only redirects to HTTPS sends clients.

use gatepost_edge::{BodyLength, Decision, HttpsRedirect, RedirectHost, RequestAction, RequestView};
use http::{Method, Version};

use crate::fixture::Request;

/// Returns the location, or the code of the rejection. The host `known` is known.
fn decide(redirect: &HttpsRedirect, view: &RequestView<'_>) -> String {
    let decision: Decision<()> = redirect.decide(view, |host| host.eq_ignore_ascii_case("known"));
    match decision.action {
        RequestAction::Redirect => decision.location.unwrap().into(),
        RequestAction::Reject(code) => code.code().to_owned(),
        RequestAction::ServerOptions => "server options".to_owned(),
        RequestAction::Forward(_) | RequestAction::Respond(_) => panic!("{decision:?}"),
    }
}

#[test]
fn a_known_host_is_kept_and_others_are_misdirected() {
    let redirect = HttpsRedirect { host: RedirectHost::Requested, port: Some(8443) };
    for (target, host, expected) in [
        ("/", "known", "https://known:8443/"),
        ("/a/b?c=%2f&d", "KNOWN:8080", "https://KNOWN:8443/a/b?c=%2f&d"),
        ("/%61", "known.", "https://known:8443/a"),
        ("http://known/a?b", "known", "https://known:8443/a?b"),
        ("/", "unknown", "misdirected-request"),
        ("/", "known.example.com", "misdirected-request"),
        ("/", "known, other", "bad-host"),
        ("/", "known/x", "bad-host"),
        ("/", "a@known", "bad-host"),
        ("//other", "known", "bad-path"),
        ("/a/../b", "known", "bad-path"),
    ] {
        assert_eq!(decide(&redirect, &Request::get(target, &[("host", host)]).view()), expected, "{target} {host}");
    }
    assert_eq!(decide(&redirect, &Request::get("/", &[]).view()), "bad-host");
    let old = Request { version: Version::HTTP_10, ..Request::get("/", &[]) };
    assert_eq!(decide(&redirect, &old.view()), "misdirected-request", "HTTP/1.0 may name no host");
    let options = Request { method: Method::OPTIONS, ..Request::get("*", &[("host", "known")]) };
    assert_eq!(decide(&redirect, &options.view()), "server options");
}

#[test]
fn a_fixed_host_takes_the_place_of_any() {
    let redirect = HttpsRedirect { host: RedirectHost::Fixed("api.example.com".to_owned()), port: None };
    for host in ["known", "unknown", "[::1]:80"] {
        let request = Request { method: Method::POST, ..Request::get("/a?b", &[("host", host)]) };
        let view = RequestView { body: Ok(BodyLength::Known(5)), ..request.view() };
        assert_eq!(decide(&redirect, &view), "https://api.example.com/a?b", "{host}");
    }
    let old = Request { version: Version::HTTP_10, ..Request::get("/a", &[]) };
    assert_eq!(decide(&redirect, &old.view()), "https://api.example.com/a");
}
