//! Tests of what routes set.

use gatepost_gateway::{CredentialLocation, EscapeRule, PathRules, QuirkRule, RawRule};

use super::{Config, ConfigErrors, parsed};

/// An upstream, and a route that begins on line 3.
fn with_route(text: &str) -> Result<Config, ConfigErrors> {
    parsed(&format!("[gateway.upstream.app]\nservers = [\"127.0.0.1:3000\"]\n[[gateway.route]]\n{text}\n"))
}

#[track_caller]
fn check_fault(text: &str, fault: &str) {
    let errors = with_route(text).unwrap_err().to_string();
    assert!(errors.contains(fault), "{fault:?} is not in {errors:?}");
}

#[test]
fn a_prefix_to_strip_is_the_path_or_its_first_segments() {
    for (path, prefix, segments) in [
        ("/v1/items", "", 0),
        ("/v1/items", "/", 0),
        ("/v1/items", "/v1", 1),
        ("/v1/items", "/v1/", 1),
        ("/v1/items", "/v1/items", 2),
        ("/v1/items/", "/v1/items", 2),
        ("/a:b/c", "/a%3Ab", 1),
        ("/a%3Ab/c", "/a:b", 1),
    ] {
        let config = with_route(&format!("path = {path:?}\nstrip_prefix = {prefix:?}")).unwrap();
        assert_eq!(config.gateway.routes[0].stripped_segments, segments, "{path} {prefix}");
    }
    let fault = "gatepost.toml:5: gateway.route.strip_prefix: ";
    for prefix in ["/v", "/v1/item", "/v1/items/42", "/v2"] {
        let what = format!("{fault}{prefix:?} is not the path of the route or its first segments");
        check_fault(&format!("path = \"/v1/items\"\nstrip_prefix = {prefix:?}"), &what);
    }
    check_fault("path = \"/v1\"\nstrip_prefix = \"v1\"", &format!("{fault}\"v1\" is not a path"));
}

#[test]
fn edits_of_headers_are_read_and_names_of_the_gateway_are_faults_with_their_lines() {
    let text = "request_headers = { set = { X-Team = \"a b\" }, remove = [\"x-debug\"] }\n\
                [gateway.route.response_headers.set]\nstrict-transport-security = \"max-age=300\"";
    let route = &with_route(text).unwrap().gateway.routes[0];
    let names = |edits: &gatepost_gateway::HeaderEdits| edits.names().map(ToString::to_string).collect::<Vec<_>>();
    assert_eq!(names(&route.request_headers), ["x-team", "x-debug"]);
    assert_eq!(route.request_headers.set[0].1, "a b");
    assert_eq!(names(&route.response_headers), ["strict-transport-security"]);
    for (text, fault) in [
        (
            "[gateway.route.request_headers.set]\nx-a = \"1\"\nX_Gatepost_Env = \"live\"",
            "gatepost.toml:6: gateway.route.request_headers.set.X_Gatepost_Env: cannot be edited: the gateway sets",
        ),
        (
            "request_headers.remove = [\n  \"x-a\",\n  \"Host\"]",
            "gatepost.toml:6: gateway.route.request_headers.remove: \"Host\": cannot be edited: it delimits",
        ),
        (
            "credential = [\"x-key\"]\nrequest_headers.remove = [\"x_key\"]",
            "gatepost.toml:5: gateway.route.request_headers.remove: \"x_key\": cannot be edited: the route looks for keys",
        ),
        (
            "response_headers.set.x-request-id = \"a\"",
            "gatepost.toml:4: gateway.route.response_headers.set.x-request-id: cannot be edited",
        ),
        (
            "response_headers.set = { x-a = \"\\n\" }",
            "gateway.route.response_headers.set.x-a: must have a value of visible ASCII",
        ),
        (
            "response_headers.set = { x-a = 1 }",
            "gateway.route.response_headers.set.x-a: must be a string, not a number",
        ),
        (
            "response_headers = { set = { x-a = \"\" }, remove = [\"X-A\"] }",
            "gatepost.toml:4: gateway.route.response_headers: edits x-a twice",
        ),
        (
            "response_headers = { add = {} }",
            "gateway.route.response_headers.add: unknown key; known keys are remove, set",
        ),
        ("response_headers = 1", "gateway.route.response_headers: must be a table"),
    ] {
        check_fault(text, fault);
    }
}

#[test]
fn a_route_without_auth_cannot_require_anything_of_keys() {
    for key in ["permissions = [\"write\"]", "env = \"test\"", "projects = [\"prj_2JKcnvWWAtYXbPjVMVONxVet\"]"] {
        with_route(&format!("auth = \"optional\"\n{key}")).unwrap();
        let name = key.split(' ').next().unwrap();
        let fault = format!("gatepost.toml:3: gateway.route: auth is off, so that no key is looked at: {name} would");
        check_fault(&format!("auth = \"off\"\n{key}"), &fault);
    }
}

#[test]
fn methods_and_hosts_that_no_request_has_are_faults() {
    let config = with_route("methods = [\"GET\", \"PURGE\"]\nhost = \"API.example.com.\"").unwrap();
    assert_eq!(config.gateway.routes[0].host.as_deref(), Some("api.example.com"));
    assert_eq!(config.gateway.routes[0].methods.len(), 2);
    check_fault("methods = [\"get\"]", "gatepost.toml:4: gateway.route.methods: \"get\" is not a method in capitals");
    for host in ["api.example.com:8080", "*.example.com", "a:b", ""] {
        let fault = format!("gatepost.toml:4: gateway.route.host: {host:?} is not a host without port");
        check_fault(&format!("host = {host:?}"), &fault);
    }
}

#[test]
fn rules_of_paths_are_read() {
    let rules = |text: &str| with_route(text).unwrap().gateway.routes[0].paths;
    assert_eq!(rules(""), PathRules::default());
    let kept = PathRules {
        encoded_slash: QuirkRule::Keep,
        semicolon: QuirkRule::Keep,
        raw: RawRule::Encode,
        non_utf8: QuirkRule::Keep,
        unreserved: EscapeRule::Keep,
    };
    let text = "paths = { encoded_slash = \"keep\", semicolon = \"keep\", raw = \"encode\", non_utf8 = \"keep\", \
                unreserved = \"keep\" }";
    assert_eq!(rules(text), kept);
    assert_eq!(rules("paths.raw = \"keep\"").raw, RawRule::Keep);
    assert!(with_route("case_sensitive = true").unwrap().gateway.routes[0].case_sensitive);
    check_fault(
        "paths.semicolon = \"encode\"",
        "gatepost.toml:4: gateway.route.paths.semicolon: must be refuse or keep",
    );
    check_fault("paths.raw = \"decode\"", "gateway.route.paths.raw: must be refuse, encode or keep");
    check_fault("paths.unreserved = \"refuse\"", "gateway.route.paths.unreserved: must be decode or keep");
    check_fault("paths.backslash = \"keep\"", "gateway.route.paths.backslash: unknown key");
    check_fault("case_sensitive = \"yes\"", "gateway.route.case_sensitive: must be true or false");
}

#[test]
fn credentials_of_pages_are_read_and_one_in_the_query_is_a_warning() {
    let text = "credential = [\"x-key\", \"query:api_key\", \"cookie:__Host-key\", \"protocol:key.\"]\n\
                origins = [\"https://app.example.com/\", \"http://localhost:8080\"]";
    let config = with_route(text).unwrap();
    let route = &config.gateway.routes[0];
    let expected = [
        CredentialLocation::Header("x-key".parse().unwrap()),
        CredentialLocation::Query("api_key".to_owned()),
        CredentialLocation::Cookie("__Host-key".to_owned()),
        CredentialLocation::Protocol("key.".to_owned()),
    ];
    assert_eq!(route.credential, expected);
    assert_eq!(route.origins, ["https://app.example.com", "http://localhost:8080"]);
    assert_eq!(config.warnings.len(), 1, "{:?}", config.warnings);
    assert!(config.warnings[0].starts_with("gatepost.toml:3: gateway.route: credential has query:api_key: "));
    let form = "is not a header name, query:NAME, cookie:NAME or protocol:PREFIX";
    for name in ["query:", "cookie:a b", "protocol:a,b", "header:x", "query:a&b", ":"] {
        let fault = format!("gatepost.toml:4: gateway.route.credential: {name:?} {form}");
        check_fault(&format!("credential = [{name:?}]"), &fault);
    }
    check_fault("credential = [\"cookie:a\"]", "gatepost.toml:3: gateway.route: origins must name the pages");
    check_fault("origins = [\"https://a.example\"]", "gateway.route: origins is for keys in cookies");
    check_fault("origins = [\"a.example\"]", "gateway.route.origins: \"a.example\" is not an origin");
    check_fault(
        "credential = [\"cookie:a\"]\norigins = [\"https://a.example\"]\nrequest_headers.remove = [\"cookie\"]",
        "gatepost.toml:6: gateway.route.request_headers.remove: \"cookie\": cannot be edited: the route looks for keys",
    );
}
