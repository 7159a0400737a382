//! Tests of the configuration and of its reference file.

use std::net::SocketAddr;

use gatepost_gateway::{IncomingTrace, TraceOptions};

use super::*;

mod routes;
mod store;

const REFERENCE: &str = include_str!("../../gatepost.default.toml");

fn parsed(text: &str) -> Result<Config, ConfigErrors> {
    parse("gatepost.toml", text, std::iter::empty(), &Overrides::default(), &read_file)
}

/// Returns the reference with every key uncommented. Prose does not look like `key = …` or `[table]`.
fn uncommented() -> String {
    let is_key = |line: &str| {
        let name = line.split(" = ").next().unwrap_or_default();
        let is_name = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_');
        (line.contains(" = ") && is_name) || line.starts_with('[')
    };
    let lines = REFERENCE.lines().map(|line| match line.strip_prefix("# ") {
        Some(rest) if is_key(rest) => rest,
        Some(_) | None => line,
    });
    lines.collect::<Vec<_>>().join("\n")
}

fn without_keys(text: &str, keys: &[&str]) -> String {
    let is_kept =
        |line: &&str| !keys.iter().any(|key| line.strip_prefix(key).is_some_and(|rest| rest.starts_with(" = ")));
    text.lines().filter(is_kept).collect::<Vec<_>>().join("\n")
}

#[test]
fn every_key_of_the_reference_is_read() {
    let text = uncommented();
    let keys = text.lines().filter(|line| !line.starts_with('#') && line.contains(" = ")).count();
    assert!(keys > 30, "only {keys} keys were found in the reference");
    // Keys that exclude each other.
    let text = without_keys(&text, &["url", "sentinel_password"]);
    // A key that is not read would be an error.
    parse("gatepost.toml", &text, std::iter::empty(), &Overrides::default(), &store::read_any_file).unwrap();
}

#[test]
fn the_reference_shows_the_defaults() {
    let text = uncommented().replace("master_key_file = \"/etc/gatepost/master.key\"", "");
    let text = text.replace("host = \"api.example.com\"", "");
    // The default store is not on Redis.
    let text = without_keys(&text, &store::REDIS_KEYS).replace("[store.tls]\n", "");
    // By default there is no TLS.
    let text = text.replace("tls_cert = \"/etc/gatepost/tls.crt\"\ntls_key = \"/etc/gatepost/tls.key\"\n", "");
    let text = text.replace("control_socket = \"/run/gatepost/gateway.sock\"", "");
    // By default a route has no limits and no response of its own.
    let text = text.replace("max_body_bytes = 104857600\nupstream_timeout_ms = 60000\n", "");
    let text = text.replace("respond = 503", "");
    // Nor does it edit headers.
    let text = text.replace("{ set = { x-team = \"a\" }, remove = [\"x-debug\"] }", "{}");
    // By default there is no further listener.
    let (before, listener) = text.split_once("[[gateway.listener]]").unwrap();
    let after = &listener[listener.find("[[gateway.route]]").unwrap()..];
    let text = format!("{before}{after}");
    // Nor is an upstream reached over TLS.
    let (before, tls) = text.split_once("[gateway.upstream.app.tls]").unwrap();
    let text = format!("{before}{}", &tls[tls.find("\n[").unwrap()..]);
    let defaults = parsed("[gateway.upstream.app]\nservers = [\"127.0.0.1:3000\"]").unwrap();
    // The reference sets them.
    let mut written = Config { settings: defaults.settings.clone(), ..parsed(&text).unwrap() };
    written.gateway.listeners[0].source = defaults.gateway.listeners[0].source.clone();
    written.gateway.upstreams[0].servers_source = defaults.gateway.upstreams[0].servers_source.clone();
    assert_eq!(format!("{written:?}"), format!("{defaults:?}"));
}

#[test]
fn flags_win_over_the_environment_and_the_environment_over_the_file() {
    let file = "[gateway]\nlisten = \"127.0.0.1:1\"\n[ops]\nlisten = \"127.0.0.1:2\"\n";
    let variable = |name: &str, value: &str| (name.into(), value.into());
    let environment = vec![
        variable("GATEPOST_GATEWAY__LISTEN", "127.0.0.1:3"),
        variable("GATEPOST_OPS__LISTEN", "127.0.0.1:4"),
        variable("GATEPOST_GATEWAY__TRUSTED_PROXIES", "10.0.0.0/8, 127.0.0.1"),
        variable("GATEPOST_MASTER_KEY", "not a key of the configuration"),
        variable("PATH", "/bin"),
    ];
    let overrides = Overrides(vec![("--listen", "gateway.listen", "127.0.0.1:5".to_owned())]);
    let config = parse("gatepost.toml", file, environment.into_iter(), &overrides, &read_file).unwrap();
    assert_eq!(config.gateway.listeners[0].options.address, SocketAddr::from(([127, 0, 0, 1], 5)));
    assert_eq!(config.ops.listen, SocketAddr::from(([127, 0, 0, 1], 4)));
    assert_eq!(config.gateway.trusted_proxies.len(), 2);
}

#[test]
fn an_error_in_the_environment_names_the_variable() {
    let environment = [("GATEPOST_STORE__URI".into(), "x".into())];
    let errors = parse("gatepost.toml", "", environment.into_iter(), &Overrides::default(), &read_file).unwrap_err();
    assert!(errors.to_string().starts_with("GATEPOST_STORE__URI: store.uri: unknown key"), "{errors}");
}

#[test]
fn an_admin_api_beyond_loopback_needs_tls_in_front() {
    let open = "[control_plane]\nlisten = \"0.0.0.0:8081\"\n";
    assert!(parsed(open).unwrap_err().to_string().contains("behind_tls_proxy"));
    parsed(&format!("{open}behind_tls_proxy = true\n")).unwrap();
}

#[test]
fn variables_of_others_are_ignored_and_a_typing_error_is_a_warning() {
    let variables = [
        ("GATEPOST_PORT", "tcp://10.0.0.1:8080"),
        ("GATEPOST_SERVICE_HOST", "10.0.0.1"),
        ("GATEPOST_SERVICE_PORT", "8080"),
        ("GATEPOST_SERVICE_PORT_HTTP", "8080"),
        ("GATEPOST_PORT_8080_TCP", "tcp://10.0.0.1:8080"),
        ("GATEPOST_GATEWAY_PORT_8080_TCP_ADDR", "10.0.0.1"),
        ("GATEPOST_CONTROL_PLANE_SERVICE_PORT_ADMIN", "8081"),
        ("GATEPOST_ACCESS_KEY", "live_access_x"),
        ("GATEPOST_ADMIN_URL", "http://127.0.0.1:8081"),
        ("GATEPOST_STORE_URL", "redis://127.0.0.1"),
        ("GATEPOST_PORTS", "1"),
    ];
    let variables = variables.into_iter().map(|(name, value)| (name.into(), value.into()));
    let config = parse("gatepost.toml", "", variables, &Overrides::default(), &read_file).unwrap();
    assert_eq!(config.warnings.len(), 1);
    assert!(config.warnings[0].starts_with("GATEPOST_STORE_URL, GATEPOST_PORTS: ignored"), "{}", config.warnings[0]);
}

#[test]
fn a_value_that_is_not_utf8_is_an_error() {
    use std::os::unix::ffi::OsStringExt;
    let variables = [("GATEPOST_STORE__URL".into(), OsString::from_vec(vec![b'r', 0xff]))];
    let errors = parse("gatepost.toml", "", variables.into_iter(), &Overrides::default(), &read_file).unwrap_err();
    assert_eq!(errors.to_string(), "GATEPOST_STORE__URL: its value is not UTF-8");
}

#[test]
fn two_routes_for_the_same_requests_are_an_error_with_both_lines() {
    let route = |text: &str| format!("[[gateway.route]]\npath = \"/a\"\n{text}\n");
    let upstream = "[gateway.upstream.app]\nservers = [\"127.0.0.1:3000\"]\n";
    let error = |first: &str, second: &str| {
        let text = format!("{upstream}{}{}", route(first), route(second));
        parsed(&text).map_or_else(|errors| errors.to_string(), |_| String::new())
    };
    let both = "gatepost.toml:6: gateway.route: the route at gatepost.toml:3 matches the same requests";
    assert!(error("", "").starts_with(both), "{}", error("", ""));
    assert!(error("methods = [\"GET\", \"PUT\"]", "methods = [\"PUT\"]").starts_with(both));
    assert_eq!(error("methods = [\"GET\"]", "methods = [\"PUT\"]"), "");
    assert_eq!(error("methods = [\"GET\"]", ""), "");
    assert_eq!(error("host = \"a.example\"", "host = \"b.example\""), "");
    let nowhere = error("upstream = \"x\"", "methods = [\"GET\"]");
    assert!(nowhere.starts_with("gatepost.toml:3: gateway.route: upstream \"x\" does not exist"), "{nowhere}");
}

#[test]
fn an_upstream_over_tls_needs_a_name_and_has_another_default_port() {
    let text =
        "[gateway.upstream.app]\nservers = [\"api.internal\"]\n[gateway.upstream.app.tls]\nname = \"api.internal\"\n";
    let config = parsed(text).unwrap();
    assert_eq!(config.gateway.upstreams[0].options.servers, ["api.internal:443"]);
    for (text, error) in [
        (text.replace("name = \"api.internal\"", ""), "gatepost.toml:3: gateway.upstream.app.tls: name must say"),
        (
            format!("{text}cert = \"a.pem\"\n"),
            "gatepost.toml:3: gateway.upstream.app.tls: cert and key must be set together",
        ),
        (text.replace("\"api.internal\"]", "\"https://api.internal\"]"), "for https, add [gateway.upstream.NAME.tls]"),
    ] {
        let errors = parsed(&text).unwrap_err().to_string();
        assert!(errors.contains(error), "{error:?} is not in {errors:?}");
    }
}

#[test]
fn traces_are_continued_by_default_and_never_if_turned_off() {
    let trace = |text: &str| parsed(&format!("[gateway.trace]\n{text}\n")).map(|config| config.gateway.trace);
    let default = TraceOptions { incoming: IncomingTrace::Continue, sample_percent: 0 };
    assert_eq!(parsed("").unwrap().gateway.trace, Some(default));
    let configured = TraceOptions { incoming: IncomingTrace::Restart, sample_percent: 100 };
    assert_eq!(trace("incoming = \"restart\"\nsample_percent = 100").unwrap(), Some(configured));
    assert_eq!(trace("propagate = false").unwrap(), None);
    for (text, error) in [
        ("incoming = \"drop\"", "gateway.trace.incoming: must be continue or restart"),
        ("sample_percent = 101", "gateway.trace.sample_percent: must be a whole number from 0 to 100"),
        ("otlp = \"\"", "gateway.trace.otlp: unknown key"),
    ] {
        let errors = trace(text).unwrap_err().to_string();
        assert!(errors.contains(error), "{error:?} is not in {errors:?}");
    }
}

#[test]
fn faults_are_in_the_order_of_their_lines() {
    let text = "[ops]\nlisten = \"y\"\n[gateway]\nlisten = \"x\"\nunknown = 1\n[[gateway.route]]\nauth = \"of\"\n";
    let errors = parsed(text).unwrap_err().to_string();
    let lines: Vec<_> = errors.lines().map(|error| error.split(':').nth(1).unwrap()).collect();
    assert_eq!(lines, ["2", "4", "5", "6", "7"], "{errors}");
}

#[test]
fn listeners_are_read_and_their_faults_are_reported_with_their_lines() {
    let tls = "[gateway.listener.tls]\ncertificates = [{ cert = \"a.pem\", key = \"a.key\" }]\n";
    let text =
        format!("[[gateway.listener]]\nname = \"public\"\naddress = \"0.0.0.0:8443\"\n{tls}min_version = \"1.3\"\n");
    let config = parsed(&text).unwrap();
    assert_eq!(config.gateway.listeners.len(), 1, "gateway.listen is not set");
    let options = &config.gateway.listeners[0].options;
    assert_eq!((options.name.as_str(), options.address.port()), ("public", 8443));
    assert_eq!(options.tls.as_ref().unwrap().min_version, gatepost_gateway::MinVersion::Tls13);
    let both = parsed(&format!("[gateway]\nlisten = \"127.0.0.1:8080\"\n{text}")).unwrap();
    assert_eq!(both.gateway.listeners.len(), 2);
    let proxied = format!("{}proxy_protocol = \"required\"\n", text.split(tls).next().unwrap());
    let trusting = parsed(&format!("[gateway]\ntrusted_proxies = [\"10.0.0.0/8\"]\n{proxied}")).unwrap();
    assert_eq!(trusting.gateway.listeners[0].options.proxy_protocol, gatepost_gateway::ProxyProtocol::Required);

    for (text, error) in [
        ("[[gateway.listener]]\nname = \"a\"\n".to_owned(), "gatepost.toml:1: gateway.listener: address must say"),
        (
            format!("{text}{text}"),
            "gatepost.toml:7: gateway.listener: address 0.0.0.0:8443 is also that of gatepost.toml:1",
        ),
        (
            format!("{text}{}", text.replace("8443", "8444")),
            "gatepost.toml:7: gateway.listener: name \"public\" is also that of gatepost.toml:1",
        ),
        (
            proxied.clone(),
            "gatepost.toml:1: gateway.listener: proxy_protocol is accepted from gateway.trusted_proxies only",
        ),
        (
            proxied.replace("required", "optional"),
            "gatepost.toml:4: gateway.listener.proxy_protocol: must be off or required",
        ),
        (
            text.replace("\"1.3\"", "\"1.1\""),
            "gatepost.toml:6: gateway.listener.tls.min_version: must be 1.2 or 1.3, not \"1.1\"",
        ),
        (
            text.replace(", key = \"a.key\"", ""),
            "gatepost.toml:5: gateway.listener.tls.certificates: must have cert and key",
        ),
        (
            text.replace("{ cert = \"a.pem\", key = \"a.key\" }", ""),
            "gatepost.toml:4: gateway.listener.tls: certificates must name at least one",
        ),
        (
            format!("{text}client_certificate = \"optional\"\n"),
            "gatepost.toml:4: gateway.listener.tls: client_certificate needs client_ca",
        ),
    ] {
        let errors = parsed(&text).unwrap_err().to_string();
        assert!(errors.contains(error), "{error:?} is not in {errors:?}");
    }
}

#[test]
fn a_value_with_a_fault_is_not_reported_as_missing_too() {
    let listener = "[[gateway.listener]]\naddress = \"127.0.0.1:8443\"\n[gateway.listener.tls]\n";
    for text in [
        &format!("{listener}certificates = [{{ cert = \"a.pem\" }}]"),
        "[gateway.upstream.a]\nservers = [\"https://127.0.0.1\"]\n[[gateway.route]]\nupstream = \"a\"",
        "[gateway.upstream.a]\nservers = [\"b:1\"]\ntls = { name = \"\" }\n[[gateway.route]]\nupstream = \"a\"",
    ] {
        let errors = parsed(text).unwrap_err().to_string();
        assert_eq!(errors.lines().count(), 1, "{errors}");
    }
}

#[test]
fn an_address_is_that_of_one_listener_of_a_process() {
    let redis = "[store]\nurl = \"redis://127.0.0.1\"\n";
    let listener = |address: &str| format!("[[gateway.listener]]\naddress = {address:?}\n");
    let faults = |text: &str| parsed(text).map_or_else(|errors| errors.to_string(), |_| String::new());
    for (text, fault) in [
        (
            listener("0.0.0.0:8443") + &listener("127.0.0.1:8443"),
            "gatepost.toml:3: gateway.listener: address 127.0.0.1:8443 is also that of gatepost.toml:1",
        ),
        (listener("0.0.0.0:9464"), "gatepost.toml:1: gateway.listen: address 0.0.0.0:9464 is also that of ops.listen"),
        (
            "[ops]\nlisten = \"127.0.0.1:8080\"".to_owned(),
            "gatepost.toml:2: ops.listen: address 127.0.0.1:8080 is also that of gateway.listen",
        ),
        (
            "[control_plane]\nlisten = \"127.0.0.1:9464\"".to_owned(),
            "gatepost.toml:2: control_plane.listen: address 127.0.0.1:9464 is also that of ops.listen",
        ),
        (
            "[gateway]\nlisten = \"127.0.0.1:8081\"".to_owned(),
            "gatepost.toml:2: gateway.listen: address 127.0.0.1:8081 is also that of control_plane.listen",
        ),
    ] {
        assert_eq!(faults(&text), fault);
    }
    for text in [
        format!("{redis}[gateway]\nlisten = \"127.0.0.1:8081\""),
        listener("127.0.0.1:8443") + &listener("127.0.0.2:8443") + &listener("[::]:8443"),
        listener("127.0.0.1:0") + &listener("0.0.0.0:0").replace("\naddress", "\nname = \"other\"\naddress"),
    ] {
        assert_eq!(faults(&text), "", "{text}");
    }
}

#[test]
fn a_redirect_needs_a_host_that_it_knows_and_a_listener_that_serves() {
    use gatepost_gateway::{HttpsRedirect, RedirectHost};
    let secure =
        "[[gateway.listener]]\naddress = \"0.0.0.0:8443\"\ntls.certificates = [{ cert = \"c\", key = \"k\" }]\n";
    let redirect = |to: &str| format!("[[gateway.listener]]\naddress = \"0.0.0.0:8080\"\nredirect_https = {to:?}\n");
    let read = |to: &str| {
        let config = parsed(&(redirect(to) + secure)).unwrap();
        config.gateway.listeners[0].options.redirect.clone()
    };
    let fixed = |host: &str| RedirectHost::Fixed(host.to_owned());
    for (text, host, port) in [
        ("https://$host", RedirectHost::Requested, None),
        ("https://$host:8443", RedirectHost::Requested, Some(8443)),
        ("https://API.example.com", fixed("api.example.com"), None),
        ("https://api.example.com.:443", fixed("api.example.com"), Some(443)),
        ("https://[::1]:8443", fixed("[::1]"), Some(8443)),
    ] {
        assert_eq!(read(text), Some(HttpsRedirect { host, port }), "{text}");
    }
    assert_eq!(read(""), None);

    let form = "gatepost.toml:3: gateway.listener.redirect_https: ";
    let at = "gatepost.toml:1: gateway.listener: redirect_https";
    let route = "[[gateway.route]]\nhost = \"a.example.com\"\nrespond = 204\n";
    for (text, error) in [
        (redirect("http://$host") + secure, form),
        (redirect("https://") + secure, form),
        (redirect("https://$host/x") + secure, form),
        (redirect("https://$hosts") + secure, form),
        (redirect("https://$host:0") + secure, form),
        (redirect("https://user@a") + secure, form),
        (redirect("https://$host:8080") + secure, &format!("{at} leads to the listener at gatepost.toml:1")),
        (redirect("https://$host"), &format!("{at}: $host must be a name")),
        (redirect("https://$host") + route, "gateway: every listener only redirects"),
        (
            secure.replace("tls.", "redirect_https = \"https://$host\"\ntls."),
            &format!("{at} is for a listener without tls"),
        ),
    ] {
        let errors = parsed(&text).unwrap_err().to_string();
        assert!(errors.contains(error), "{error:?} is not in {errors:?} of {text}");
    }
}
