//! Credentials and certificates for Redis.

use gatepost_domain::key::Secret;
use gatepost_store::{RedisAccess, RedisTls, RedisUrl, SentinelLogin, StoreUrl};

use super::files::{ReadFile, parse_value, read_value};
use super::parsers::parse_non_empty;
use super::reader::{Chosen, Section};
use super::tree::ValueSource;

const SENTINEL_KEYS: [&str; 3] = ["sentinel_user", "sentinel_password", "sentinel_password_file"];

/// Reads what the URL does not have. A setting that the URL has no use for is an error, unless a flag replaces the store
/// of the file by one that is not on Redis.
pub(super) fn read(
    section: &mut Section<'_>,
    url: &StoreUrl,
    url_source: &ValueSource,
    files: ReadFile<'_>,
) -> RedisAccess {
    match url {
        StoreUrl::Redis(url) => RedisAccess {
            password: read_password(section, url, files),
            sentinels: read_sentinel_login(section, url, files),
            tls: read_tls(section, url, files),
        },
        StoreUrl::Embedded(_) | StoreUrl::Memory => {
            for key in ["password_file", "tls"].into_iter().chain(SENTINEL_KEYS) {
                let source = section.discard(key);
                if !matches!((&source, url_source), (ValueSource::Missing, _) | (_, ValueSource::Flag(_))) {
                    section.add_error(&source, key, "is for a store on Redis");
                }
            }
            RedisAccess::default()
        }
    }
}

fn read_password(section: &mut Section<'_>, url: &RedisUrl, files: ReadFile<'_>) -> Option<Secret> {
    let source = section.source_of("password_file");
    let password = section.optional("password_file", |path| read_value(path, files).map(Secret::new));
    if source != ValueSource::Missing && url.has_password() {
        section.add_error(&source, "password_file", "the URL has a password too: remove one of them");
    }
    password
}

fn read_sentinel_login(section: &mut Section<'_>, url: &RedisUrl, files: ReadFile<'_>) -> Option<SentinelLogin> {
    if !matches!(url, RedisUrl::Sentinel { .. }) {
        for key in SENTINEL_KEYS {
            let source = section.discard(key);
            if source != ValueSource::Missing {
                section.add_error(&source, key, "is for a URL with Sentinel: redis+sentinel://…");
            }
        }
        return None;
    }
    let user_source = section.source_of("sentinel_user");
    let user = section.optional("sentinel_user", parse_non_empty);
    let chosen = section.choose_one("sentinel_password", "sentinel_password_file");
    let password = match chosen {
        Chosen::First => section.optional("sentinel_password", parse_non_empty),
        Chosen::Second => section.optional("sentinel_password_file", |path| read_value(path, files)),
        Chosen::Neither => None,
    };
    if user_source != ValueSource::Missing && chosen == Chosen::Neither {
        section.add_error(&user_source, "sentinel_user", "needs sentinel_password_file or sentinel_password");
    }
    password.map(|password| SentinelLogin { user, password: Secret::new(password) })
}

fn read_tls(section: &mut Section<'_>, url: &RedisUrl, files: ReadFile<'_>) -> Option<RedisTls> {
    let mut section = section.optional_section("tls")?;
    if !url.uses_tls() {
        section.error_here("is for a URL with TLS: rediss instead of redis");
    }
    let authorities = |text: &str| RedisTls::default().with_authorities(text);
    let tls = section.parsed("ca_file", RedisTls::default(), |path| parse_value(path, files, authorities));
    let tls = read_client_certificate(&mut section, tls, files);
    section.reject_unknown_keys();
    Some(tls)
}

fn read_client_certificate(section: &mut Section<'_>, tls: RedisTls, files: ReadFile<'_>) -> RedisTls {
    let (cert_source, key_source) = (section.source_of("cert_file"), section.source_of("key_file"));
    let certificate = section.optional("cert_file", |path| {
        parse_value(path, files, |text| RedisTls::check_certificate(text).map(|()| text.to_owned()))
    });
    let Some(certificate) = certificate else {
        section.discard("key_file");
        if cert_source == ValueSource::Missing && key_source != ValueSource::Missing {
            section.add_error(&key_source, "key_file", "needs cert_file, the file of its certificate");
        }
        return tls;
    };
    if key_source == ValueSource::Missing {
        section.add_error(&cert_source, "cert_file", "needs key_file, the file of its key");
    }
    let with_key = |key: &str| tls.clone().with_client_certificate(&certificate, Secret::new(key.to_owned()));
    section.optional("key_file", |path| parse_value(path, files, with_key)).unwrap_or(tls)
}
