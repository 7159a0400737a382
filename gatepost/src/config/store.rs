//! `[store]`: where the store is, and how it is used.

use std::convert::Infallible;
use std::path::PathBuf;
use std::time::Duration;

use gatepost_store::{Format, RedisAccess, RedisUrl, Replicas, StoreUrl, UnsafeRedis};

use super::files::{ReadFile, parse_value};
use super::parsers::ParseSettingError;
use super::reader::{Chosen, Section};
use super::redis_access;

#[derive(Debug, Clone)]
pub(crate) struct StoreConfig {
    pub(crate) url: StoreUrl,
    pub(crate) redis_access: RedisAccess,
    pub(crate) namespace: String,
    pub(crate) master_key_file: Option<PathBuf>,
    pub(crate) unsafe_redis: UnsafeRedis,
    pub(crate) replicas: Replicas,
    pub(crate) write_format: Format,
    /// How long a start waits for the store.
    pub(crate) start_timeout: Duration,
}

/// Reads `[store]`, and the files that it names.
pub(super) fn read(mut section: Section<'_>, files: ReadFile<'_>) -> StoreConfig {
    let url_source = section.source_of("url");
    let url = read_url(&mut section, files);
    let redis_access = redis_access::read(&mut section, &url, &url_source, files);
    let replicas = u64::from(matches!(url, StoreUrl::Redis(RedisUrl::Sentinel { .. })));
    let config = StoreConfig {
        url,
        redis_access,
        namespace: section.parsed("namespace", "gp".to_owned(), parse_namespace),
        master_key_file: section.optional("master_key_file", |text| Ok::<_, Infallible>(PathBuf::from(text))),
        unsafe_redis: section.choice(
            "allow_unsafe_redis",
            UnsafeRedis::Refused,
            UnsafeRedis::Allowed,
            UnsafeRedis::Refused,
        ),
        replicas: Replicas {
            count: u32::try_from(section.number("replicas", replicas, 0, 100)).unwrap_or(u32::MAX),
            timeout: Duration::from_millis(section.number("replica_wait_ms", 1000, 1, 30_000)),
        },
        write_format: read_write_format(&mut section),
        start_timeout: Duration::from_millis(section.number("start_timeout_ms", 60_000, 0, 3_600_000)),
    };
    section.reject_unknown_keys();
    config
}

fn read_url(section: &mut Section<'_>, files: ReadFile<'_>) -> StoreUrl {
    let url = match section.choose_one("url", "url_file") {
        Chosen::First => section.optional("url", StoreUrl::parse),
        Chosen::Second => section.optional("url_file", |path| parse_value(path, files, StoreUrl::parse)),
        Chosen::Neither => None,
    };
    url.unwrap_or_else(|| StoreUrl::Embedded("./gatepost-data".into()))
}

fn read_write_format(section: &mut Section<'_>) -> Format {
    let (first, latest) = (u64::from(Format::FIRST.number()), u64::from(Format::LATEST.number()));
    let number = u32::try_from(section.number("write_format", latest, first, latest)).ok();
    number.and_then(Format::new).unwrap_or(Format::LATEST)
}

/// Parses the hash tag of a store's keys.
pub(crate) fn parse_namespace(text: &str) -> Result<String, ParseSettingError> {
    let is_plain = text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'));
    let is_name = is_plain && (1..=32).contains(&text.len());
    if is_name { Ok(text.to_owned()) } else { Err(ParseSettingError::Namespace) }
}
