//! Tests of `[store]`: how Redis is reached, and the files that it names.

use std::io;
use std::sync::LazyLock;

use super::*;

/// Keys that only a store on Redis has.
pub(super) const REDIS_KEYS: [&str; 8] = [
    "url_file",
    "password_file",
    "sentinel_user",
    "sentinel_password",
    "sentinel_password_file",
    "ca_file",
    "cert_file",
    "key_file",
];

/// A certificate and its key.
static CERTIFICATE: LazyLock<(String, String)> = LazyLock::new(|| {
    let certified = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    (certified.cert.pem(), certified.signing_key.serialize_pem())
});

/// Returns what a file of this name would have.
#[expect(clippy::unnecessary_wraps, reason = "other files cannot be read")]
pub(super) fn read_any_file(path: &Path) -> io::Result<String> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    Ok(match path.extension().unwrap_or_default().to_str() {
        Some("pem") => CERTIFICATE.0.clone(),
        Some("key") => CERTIFICATE.1.clone(),
        _ if name.contains("url") => "rediss+sentinel://gatepost@a,b/main\n".to_owned(),
        _ => format!("content of {name}\r\n"),
    })
}

fn read_store(text: &str, flags: &[(&'static str, &'static str, &str)]) -> Result<StoreConfig, String> {
    let flags = flags.iter().map(|(flag, key, value)| (*flag, *key, (*value).to_owned())).collect();
    let text = format!("[store]\n{text}");
    let config = parse("gatepost.toml", &text, std::iter::empty(), &Overrides(flags), &read_any_file);
    config.map(|config| config.store).map_err(|errors| errors.to_string())
}

#[test]
fn secrets_are_read_from_files_without_their_line_break_and_are_never_printed() {
    let text = "url_file = \"/s/url\"\npassword_file = \"/s/password\"\nsentinel_user = \"watcher\"\n\
                sentinel_password_file = \"/s/sentinel\"\n[store.tls]\nca_file = \"ca.pem\"\ncert_file = \"c.pem\"\n\
                key_file = \"c.key\"\n";
    let store = read_store(text, &[]).unwrap();
    assert_eq!(store.url, StoreUrl::parse("rediss+sentinel://gatepost@a,b/main").unwrap());
    assert_eq!(store.replicas.count, 1, "the default for Sentinel");
    let access = &store.redis_access;
    assert_eq!(access.password.as_ref().unwrap().expose(), "content of password");
    let sentinels = access.sentinels.as_ref().unwrap();
    assert_eq!((sentinels.user.as_deref(), sentinels.password.expose()), (Some("watcher"), "content of sentinel"));
    let printed = format!("{store:?}");
    assert!(!printed.contains("content of") && !printed.contains("PRIVATE"), "{printed}");
}

#[test]
fn faults_of_redis_settings_are_reported_with_their_lines() {
    let sentinel = "url = \"redis+sentinel://a/m\"\n";
    for (text, expected) in [
        (
            "url = \"redis://a\"\nurl_file = \"/s/url\"".to_owned(),
            "gatepost.toml:3: store.url_file: excludes url: set one of them",
        ),
        ("url_file = \"/s/other\"".to_owned(), "gatepost.toml:2: store.url_file: /s/other: not a URL"),
        (
            "url = \"redis://u:p@a\"\npassword_file = \"/s/p\"".to_owned(),
            "gatepost.toml:3: store.password_file: the URL has a password too",
        ),
        ("\npassword_file = \"/s/p\"".to_owned(), "gatepost.toml:3: store.password_file: is for a store on Redis"),
        (
            "url = \"redis://a\"\nsentinel_password = \"p\"".to_owned(),
            "gatepost.toml:3: store.sentinel_password: is for a URL with Sentinel",
        ),
        (
            format!("{sentinel}sentinel_user = \"u\""),
            "gatepost.toml:3: store.sentinel_user: needs sentinel_password_file or sentinel_password",
        ),
        (
            format!("{sentinel}sentinel_password = \"p\"\nsentinel_password_file = \"/s/p\""),
            "gatepost.toml:4: store.sentinel_password_file: excludes sentinel_password",
        ),
        (
            "url = \"redis://a\"\n[store.tls]\nca_file = \"a.pem\"".to_owned(),
            "gatepost.toml:3: store.tls: is for a URL with TLS: rediss instead of redis",
        ),
        (
            "url = \"rediss://a\"\n[store.tls]\nca_file = \"a.txt\"".to_owned(),
            "gatepost.toml:4: store.tls.ca_file: a.txt: has no certificate",
        ),
        (
            "url = \"rediss://a\"\n[store.tls]\ncert_file = \"a.pem\"".to_owned(),
            "gatepost.toml:4: store.tls.cert_file: needs key_file",
        ),
        (
            "url = \"rediss://a\"\n[store.tls]\nkey_file = \"a.key\"".to_owned(),
            "gatepost.toml:4: store.tls.key_file: needs cert_file",
        ),
        (
            "url = \"rediss://a\"\n[store.tls]\ncert_file = \"a.pem\"\nkey_file = \"a.txt\"".to_owned(),
            "gatepost.toml:5: store.tls.key_file: a.txt: cannot be read as PEM",
        ),
        (
            "url = \"rediss://a\"\n[store.tls]\nca = \"a.pem\"".to_owned(),
            "gatepost.toml:4: store.tls.ca: unknown key; known keys are ca_file, cert_file, key_file",
        ),
    ] {
        let errors = read_store(&text, &[]).unwrap_err();
        assert!(errors.starts_with(expected) && errors.lines().count() == 1, "{text}\n{errors}");
    }
}

#[test]
fn a_key_of_another_certificate_is_an_error() {
    let other = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap().signing_key.serialize_pem();
    let read = |path: &Path| if path.ends_with("other.key") { Ok(other.clone()) } else { read_any_file(path) };
    let text = "[store]\nurl = \"rediss://a\"\n[store.tls]\ncert_file = \"a.pem\"\nkey_file = \"other.key\"\n";
    let errors = parse("gatepost.toml", text, std::iter::empty(), &Overrides::default(), &read).unwrap_err();
    let expected = "gatepost.toml:5: store.tls.key_file: other.key: is not the key of the certificate";
    assert!(errors.to_string().starts_with(expected), "{errors}");
}

#[test]
fn a_file_that_cannot_be_used_is_named_with_the_reason() {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name).display().to_string();
    std::fs::write(path("empty"), "\n").unwrap();
    std::fs::write(path("long"), "a".repeat(300 * 1024)).unwrap();
    for (name, expected) in [
        ("missing", "cannot be read: no such file"),
        ("", "cannot be read: it is not a file"),
        ("empty", "is empty"),
        ("long", "cannot be read: it is longer than 262144 bytes"),
    ] {
        let text = format!("[store]\nurl = \"redis://a\"\npassword_file = {:?}\n", path(name));
        let errors = parsed(&text).unwrap_err().to_string();
        let start = format!("gatepost.toml:3: store.password_file: {}: {expected}", path(name));
        assert!(errors.starts_with(&start), "{errors}");
    }
}

#[test]
fn a_flag_or_variable_overrides_the_file_of_the_url() {
    let flag = ("--store", "store.url", "redis://flag:1");
    let store = read_store("url_file = \"/s/url\"\npassword_file = \"/s/p\"", &[flag]).unwrap();
    assert_eq!(store.url, StoreUrl::parse("redis://flag:1").unwrap());
    assert!(store.redis_access.password.is_some());
    let environment = [("GATEPOST_STORE__URL_FILE".into(), "/s/url".into())];
    let text = "[store]\nurl = \"redis://file:1\"";
    let config = parse("gatepost.toml", text, environment.into_iter(), &Overrides::default(), &read_any_file).unwrap();
    assert_eq!(config.store.url, StoreUrl::parse("rediss+sentinel://gatepost@a,b/main").unwrap());
    // A store that is not on Redis needs nothing of it.
    let flag = ("--store", "store.url", "embedded:./other");
    let store = read_store("url_file = \"/s/url\"\npassword_file = \"/s/p\"\n[store.tls]\nca_file = \"x\"", &[flag]);
    assert!(store.unwrap().redis_access.password.is_none());
}
