//! Where a listener that only redirects to HTTPS sends clients.

use std::convert::Infallible;

use gatepost_domain::path::{EscapeRule, PathRules, QuirkRule, RawRule};
use gatepost_edge::{
    Auth, BodyLength, Decision, HttpsRedirect, RedirectHost, RequestAction, RequestView, RouteOptions, Routes,
};
use http::{Method, Version};

use crate::fixture::Request;

/// Returns the location, or the code of the rejection. The host `known` is known, and there is no route.
fn decide(redirect: &HttpsRedirect, view: &RequestView<'_>) -> String {
    decide_with(redirect, Vec::new(), view)
}

fn decide_with(redirect: &HttpsRedirect, routes: Vec<RouteOptions>, view: &RequestView<'_>) -> String {
    let Ok(routes) = Routes::new(routes, |_| Ok::<(), Infallible>(()));
    let decision: Decision<()> = redirect.decide(view, &routes, |host| host.eq_ignore_ascii_case("known"));
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
fn a_path_may_have_the_quirks_that_its_route_accepts() {
    let route = |host: Option<&str>, path: &str, auth, paths| RouteOptions {
        host: host.map(str::to_owned),
        path: path.to_owned(),
        auth,
        paths,
        ..RouteOptions::default()
    };
    let (refusing, keep) = (PathRules::default(), QuirkRule::Keep);
    let keeping = PathRules { encoded_slash: keep, raw: RawRule::Encode, unreserved: EscapeRule::Keep, ..refusing };
    let routes = vec![
        route(None, "/", Auth::Off, refusing),
        route(None, "/files", Auth::Off, keeping),
        route(None, "/files/admin", Auth::Required, keeping),
        route(Some("other"), "/other", Auth::Off, keeping),
    ];
    let requested = HttpsRedirect { host: RedirectHost::Requested, port: None };
    let fixed = HttpsRedirect { host: RedirectHost::Fixed("other".to_owned()), port: None };
    for (redirect, target, expected) in [
        (&requested, "/files/a%2fb?c", "https://known/files/a%2fb?c"),
        (&requested, "/files/%61|", "https://known/files/%61%7C"),
        (&requested, "/%61", "https://known/a"),
        (&requested, "/files/a;b", "bad-path"),
        (&requested, "/a%2fb", "bad-path"),
        (&requested, "/files%2fadmin", "bad-path"),
        (&requested, "/files/admin%2fx", "ambiguous-path"),
        (&requested, "/FILES/ADMIN", "https://known/FILES/ADMIN"),
        (&requested, "/other/a%2fb", "bad-path"),
        (&fixed, "/other/a%2fb", "https://other/other/a%2fb"),
    ] {
        let request = Request::get(target, &[("host", "known")]);
        assert_eq!(decide_with(redirect, routes.clone(), &request.view()), expected, "{target}");
    }
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
