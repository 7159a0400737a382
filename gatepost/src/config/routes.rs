//! Array `[[gateway.route]]` of the configuration.

use std::time::Duration;

use gatepost_domain::id::ProjectId;
use gatepost_domain::key::Env;
use gatepost_domain::path::{CanonicalPath, unescape};
use gatepost_domain::permit::{EnvRule, Requirement};
use gatepost_gateway::{
    Auth, CredentialLocation, EscapeRule, NetworkRules, PathRules, QuirkRule, RawRule, RouteOptions,
    parse_request_header_name, parse_response_header_name,
};
use http::{HeaderName, Method, StatusCode};

use super::header_edits;
use super::parsers::{ParseSettingError, parse_listener_name, parse_network, parse_non_empty, parse_origin};
use super::reader::{MAX_BODY_BYTES, MAX_MS, Section};
use super::tree::ValueSource;
use super::upstreams::LocatedUpstream;

const AUTHS: [(&str, Auth); 3] = [("required", Auth::Required), ("optional", Auth::Optional), ("off", Auth::Off)];
const ENV_RULES: [(&str, EnvRule); 3] =
    [("live", EnvRule::Only(Env::Live)), ("test", EnvRule::Only(Env::Test)), ("any", EnvRule::Any)];
const QUIRK_RULES: [(&str, QuirkRule); 2] = [("refuse", QuirkRule::Refuse), ("keep", QuirkRule::Keep)];
const RAW_RULES: [(&str, RawRule); 3] =
    [("refuse", RawRule::Refuse), ("encode", RawRule::Encode), ("keep", RawRule::Keep)];
const ESCAPE_RULES: [(&str, EscapeRule); 2] = [("decode", EscapeRule::Decode), ("keep", EscapeRule::Keep)];

/// What a route requires of keys.
const REQUIREMENTS_OF_KEYS: [&str; 3] = ["projects", "env", "permissions"];

/// Route and its position in the configuration.
pub(super) struct LocatedRoute {
    pub(super) options: RouteOptions,
    source: ValueSource,
}

pub(super) fn read(section: &mut Section<'_>) -> Vec<LocatedRoute> {
    section.list_of_sections("route").into_iter().map(read_route).collect()
}

fn read_route(mut section: Section<'_>) -> LocatedRoute {
    let source = section.source();
    let requirements = REQUIREMENTS_OF_KEYS.into_iter().filter(|key| section.has(key)).collect::<Vec<_>>();
    let defaults = RouteOptions::default();
    let path = section.parsed("path", defaults.path, parse_path);
    let credential = section.list("credential", defaults.credential, parse_credential_location);
    let options = RouteOptions {
        host: section.optional("host", parse_listener_name),
        stripped_segments: section.parsed("strip_prefix", 0, |text| parse_strip_prefix(text, &path)),
        paths: section.optional_section("paths").map(read_path_rules).unwrap_or_default(),
        case_sensitive: section.choice("case_sensitive", false, true, false),
        path,
        methods: section.list("methods", defaults.methods, parse_method),
        upstream: section.parsed("upstream", defaults.upstream, parse_non_empty),
        auth: section.word("auth", defaults.auth, &AUTHS),
        requirement: Requirement {
            projects: section.list("projects", defaults.requirement.projects, parse_project),
            env: section.word("env", defaults.requirement.env, &ENV_RULES),
            permissions: section.list("permissions", defaults.requirement.permissions, parse_non_empty),
        },
        networks: NetworkRules {
            allow: section.list("allow", Vec::new(), parse_network),
            deny: section.list("deny", Vec::new(), parse_network),
        },
        max_body_bytes: section.optional_number("max_body_bytes", 0, MAX_BODY_BYTES),
        upstream_timeout: section.optional_number("upstream_timeout_ms", 100, MAX_MS).map(Duration::from_millis),
        respond: section.optional_number("respond", 200, 599).and_then(as_status),
        request_headers: header_edits::read(section.optional_section("request_headers"), |name| {
            parse_request_header_name(name, &credential)
        }),
        response_headers: header_edits::read(section.optional_section("response_headers"), parse_response_header_name),
        origins: section.list("origins", defaults.origins, parse_page_origin),
        credential,
    };
    if options.auth == Auth::Off && !requirements.is_empty() {
        let requirements = requirements.join(", ");
        section.error_here(&format!("auth is off, so that no key is looked at: {requirements} would require nothing"));
    }
    check_credentials(&options, &section);
    section.reject_unknown_keys();
    LocatedRoute { options, source }
}

fn check_credentials(options: &RouteOptions, section: &Section<'_>) {
    if options.credential.is_empty() && options.auth != Auth::Off {
        section.error_here("credential must name at least one place");
    }
    let has_cookie = options.credential.iter().any(|location| matches!(location, CredentialLocation::Cookie(_)));
    if has_cookie && options.origins.is_empty() {
        section.error_here("origins must name the pages whose requests may have the key in a cookie");
    }
    if !has_cookie && !options.origins.is_empty() {
        section.error_here("origins is for keys in cookies, but credential names none");
    }
    for location in &options.credential {
        if let CredentialLocation::Query(name) = location {
            section.warn_here(&format!(
                "credential has query:{name}: a key in a URL gets into the histories of browsers, the logs of proxies \
                 and Referer headers; prefer a header, or protocol: for WebSockets"
            ));
        }
    }
}

fn read_path_rules(mut section: Section<'_>) -> PathRules {
    let defaults = PathRules::default();
    let rules = PathRules {
        encoded_slash: section.word("encoded_slash", defaults.encoded_slash, &QUIRK_RULES),
        semicolon: section.word("semicolon", defaults.semicolon, &QUIRK_RULES),
        raw: section.word("raw", defaults.raw, &RAW_RULES),
        non_utf8: section.word("non_utf8", defaults.non_utf8, &QUIRK_RULES),
        unreserved: section.word("unreserved", defaults.unreserved, &ESCAPE_RULES),
    };
    section.reject_unknown_keys();
    rules
}

/// Reports routes that cannot be used as they are.
pub(super) fn check(routes: &[LocatedRoute], upstreams: &[LocatedUpstream], section: &Section<'_>) {
    check_upstreams(routes, upstreams, section);
    check_overlaps(routes, section);
}

fn check_upstreams(routes: &[LocatedRoute], upstreams: &[LocatedUpstream], section: &Section<'_>) {
    for LocatedRoute { options, source } in routes {
        if options.respond.is_none() && !upstreams.iter().any(|upstream| upstream.options.name == options.upstream) {
            let known: Vec<&str> = upstreams.iter().map(|upstream| upstream.options.name.as_str()).collect();
            let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
            let what = format!("upstream {:?} does not exist; configured upstreams: {known}", options.upstream);
            section.add_error(source, "route", &what);
        }
    }
}

/// Reports pairs of routes that match the same requests, of which only one could ever be used. A route with methods
/// takes precedence over one without, so such a pair is allowed.
fn check_overlaps(routes: &[LocatedRoute], section: &Section<'_>) {
    for (number, later) in routes.iter().enumerate() {
        let earlier = routes.iter().take(number).find(|earlier| routes_overlap(&earlier.options, &later.options));
        if let Some(earlier) = earlier {
            let what = format!("the route at {} matches the same requests (host, path and methods)", earlier.source);
            section.add_error(&later.source, "route", &what);
        }
    }
}

fn routes_overlap(one: &RouteOptions, other: &RouteOptions) -> bool {
    let are_methods_shared = match (one.methods.as_slice(), other.methods.as_slice()) {
        ([], []) => true,
        ([], _) | (_, []) => false,
        (one, other) => one.iter().any(|method| other.contains(method)),
    };
    one.host == other.host && one.path == other.path && are_methods_shared
}

fn as_status(number: u64) -> Option<StatusCode> {
    StatusCode::from_u16(u16::try_from(number).ok()?).ok()
}

fn parse_path(text: &str) -> Result<String, ParseSettingError> {
    match CanonicalPath::parse(text) {
        Ok(path) => Ok(path.as_str().to_owned()),
        Err(error) => Err(ParseSettingError::Path(text.to_owned(), error)),
    }
}

/// Returns the number of segments of a prefix of a route's path; none if the text is empty.
fn parse_strip_prefix(text: &str, path: &str) -> Result<usize, ParseSettingError> {
    if text.is_empty() {
        return Ok(0);
    }
    let prefix = parse_path(text)?;
    let [path, prefix] = [path, prefix.as_str()].map(|path| unescape(path.strip_suffix('/').unwrap_or(path)));
    match path.strip_prefix(&*prefix) {
        Some([] | [b'/', ..]) => Ok(prefix.iter().filter(|byte| **byte == b'/').count()),
        Some(_) | None => Err(ParseSettingError::form(text, "the path of the route or its first segments")),
    }
}

fn parse_method(text: &str) -> Result<Method, ParseSettingError> {
    if text.bytes().any(|byte| byte.is_ascii_lowercase()) {
        return Err(ParseSettingError::form(text, "a method in capitals: methods are compared with regard to case"));
    }
    match Method::from_bytes(text.as_bytes()) {
        Ok(method) if !matches!(method, Method::TRACE | Method::CONNECT) => Ok(method),
        Ok(_) | Err(_) => Err(ParseSettingError::form(text, "a method that can be routed")),
    }
}

fn parse_project(text: &str) -> Result<ProjectId, ParseSettingError> {
    ProjectId::parse(text).map_err(|_| ParseSettingError::form(text, "the id of a project (prj_…)"))
}

fn parse_credential_location(text: &str) -> Result<CredentialLocation, ParseSettingError> {
    let expected = "a header name, query:NAME, cookie:NAME or protocol:PREFIX";
    let invalid = || ParseSettingError::form(text, expected);
    let Some((kind, name)) = text.split_once(':') else {
        return match HeaderName::from_bytes(text.as_bytes()) {
            Ok(name) if name == http::header::AUTHORIZATION => Ok(CredentialLocation::Authorization),
            Ok(name) => Ok(CredentialLocation::Header(name)),
            Err(_) => Err(invalid()),
        };
    };
    // Cookies and subprotocols have names like those of headers (RFC 6265 and RFC 6455).
    if HeaderName::from_bytes(name.as_bytes()).is_err() {
        return Err(invalid());
    }
    let needs_escape = |byte: u8| !byte.is_ascii_alphanumeric() && !b"-._~".contains(&byte);
    match kind {
        "query" if name.bytes().any(needs_escape) => Err(invalid()),
        "query" => Ok(CredentialLocation::Query(name.to_owned())),
        "cookie" => Ok(CredentialLocation::Cookie(name.to_owned())),
        "protocol" => Ok(CredentialLocation::Protocol(name.to_owned())),
        _ => Err(invalid()),
    }
}

fn parse_page_origin(text: &str) -> Result<String, ParseSettingError> {
    parse_origin(text)?.ok_or(ParseSettingError::Empty)
}
