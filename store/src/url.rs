//! Store URLs: backend and address.

use std::fmt;
use std::path::PathBuf;

/// Backend and address of a store. Display and Debug never print credentials.
#[derive(Clone, PartialEq, Eq)]
pub enum StoreUrl {
    /// In this process, in a directory.
    Embedded(PathBuf),
    /// In this process, in memory; lost when the process ends.
    Memory,
    /// On Redis.
    Redis(RedisUrl),
}

/// Address of a Redis: URLs for the client library, each of one server.
#[derive(Clone, PartialEq, Eq)]
pub enum RedisUrl {
    /// A single server.
    Standalone(String),
    /// A master monitored by Sentinel.
    Sentinel {
        /// URLs of the sentinels.
        sentinels: Vec<String>,
        /// Name of the master.
        master: String,
        /// Connection settings for all servers; the host is a placeholder.
        server: String,
    },
    /// A cluster: URLs of some of its servers.
    Cluster(Vec<String>),
}

/// The text is not a store URL.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0}; use embedded:PATH, embedded::memory:, redis://HOST:PORT, redis+sentinel://HOST:PORT,HOST:PORT/MASTER, \
     redis+cluster://HOST:PORT,HOST:PORT, or rediss instead of redis for TLS"
)]
pub struct ParseStoreUrlError(String);

impl StoreUrl {
    /// Parses a store URL.
    ///
    /// # Errors
    ///
    /// [`ParseStoreUrlError`] with the reason and the supported forms. It does not contain credentials.
    pub fn parse(text: &str) -> Result<Self, ParseStoreUrlError> {
        if text == "embedded::memory:" {
            return Ok(Self::Memory);
        }
        if let Some(path) = text.strip_prefix("embedded:") {
            return if path.is_empty() {
                Err(ParseStoreUrlError("embedded: needs a path".to_owned()))
            } else {
                Ok(Self::Embedded(PathBuf::from(path)))
            };
        }
        RedisUrl::parse(text).map(Self::Redis)
    }
}

impl RedisUrl {
    /// Returns whether connections use TLS.
    pub fn uses_tls(&self) -> bool {
        self.first_server().starts_with("rediss:")
    }

    /// Returns whether the URL has a password for the servers.
    pub fn has_password(&self) -> bool {
        ::url::Url::parse(self.first_server()).is_ok_and(|url| url.password().is_some())
    }

    fn first_server(&self) -> &str {
        match self {
            RedisUrl::Standalone(server) | RedisUrl::Sentinel { server, .. } => server,
            RedisUrl::Cluster(servers) => servers.first().map_or("", String::as_str),
        }
    }

    fn parse(text: &str) -> Result<Self, ParseStoreUrlError> {
        let (scheme, rest) = text.split_once("://").ok_or_else(|| ParseStoreUrlError("not a URL".to_owned()))?;
        let (tls, kind) = match scheme.split_once('+') {
            Some((tls, kind)) => (tls, kind),
            None => (scheme, ""),
        };
        if !matches!(tls, "redis" | "rediss") {
            return Err(ParseStoreUrlError(format!("scheme {scheme} is not known")));
        }
        match kind {
            "" => check_standalone_url(text).map(Self::Standalone),
            "sentinel" => Servers::parse(tls, rest)?.sentinel(),
            "cluster" => Servers::parse(tls, rest)?.cluster(),
            _ => Err(ParseStoreUrlError(format!("scheme {scheme} is not known"))),
        }
    }
}

/// Parts of a URL with several servers: `[user:password@]host:port,host:port[/path]`.
struct Servers<'a> {
    tls: &'a str,
    credentials: &'a str,
    hosts: Vec<&'a str>,
    path: &'a str,
}

impl<'a> Servers<'a> {
    fn parse(tls: &'a str, rest: &'a str) -> Result<Self, ParseStoreUrlError> {
        let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
        let (credentials, hosts) = authority.rsplit_once('@').unwrap_or(("", authority));
        let hosts: Vec<&str> = hosts.split(',').map(str::trim).collect();
        if hosts.iter().any(|host| host.is_empty()) {
            return Err(ParseStoreUrlError("the URL has no host".to_owned()));
        }
        Ok(Self { tls, credentials, hosts, path })
    }

    /// The credentials are those of the servers; the login at the sentinels is a setting of its own.
    fn sentinel(self) -> Result<RedisUrl, ParseStoreUrlError> {
        if self.path.is_empty() || self.path.contains(['/', '?', '#']) {
            return Err(ParseStoreUrlError("the URL does not name the master: add /MASTER".to_owned()));
        }
        let urls =
            self.hosts.iter().map(|host| check_server_url(&format!("{}://{}", self.tls, with_port(host, 26379))));
        Ok(RedisUrl::Sentinel {
            sentinels: urls.collect::<Result<_, _>>()?,
            master: self.path.to_owned(),
            server: self.server_url("master")?,
        })
    }

    fn cluster(self) -> Result<RedisUrl, ParseStoreUrlError> {
        if !self.path.is_empty() {
            return Err(ParseStoreUrlError("a cluster has only one database: remove the path".to_owned()));
        }
        self.hosts.iter().map(|host| self.server_url(host)).collect::<Result<_, _>>().map(RedisUrl::Cluster)
    }

    fn server_url(&self, host: &str) -> Result<String, ParseStoreUrlError> {
        match self.credentials {
            "" => check_server_url(&format!("{}://{host}", self.tls)),
            credentials => check_server_url(&format!("{}://{credentials}@{host}", self.tls)),
        }
    }
}

/// Checks the URL of a single server, whose path is the number of a database.
fn check_standalone_url(text: &str) -> Result<String, ParseStoreUrlError> {
    let url = check_server_url(text)?;
    let parsed = ::url::Url::parse(text).map_err(|error| ParseStoreUrlError(format!("not a URL: {error}")))?;
    let database = parsed.path().trim_start_matches('/');
    if database.is_empty() || database.parse::<u16>().is_ok() {
        return Ok(url);
    }
    Err(ParseStoreUrlError("the path must be a database number such as /0; write / in a password as %2F".to_owned()))
}

/// Checks the URL of one server.
fn check_server_url(text: &str) -> Result<String, ParseStoreUrlError> {
    let parsed = ::url::Url::parse(text).map_err(|error| ParseStoreUrlError(format!("not a URL: {error}")))?;
    if parsed.host().is_none() {
        return Err(ParseStoreUrlError("the URL has no host".to_owned()));
    }
    // The client library silently ignores unknown parameters.
    if let Some((name, _)) = parsed.query_pairs().find(|(name, _)| name != "protocol") {
        // After an unescaped @ it may be part of a password.
        let shown = if text.contains('@') { String::new() } else { format!(" {name}") };
        return Err(ParseStoreUrlError(format!(
            "the parameter{shown} is not known; the path is the database: redis://HOST:PORT/1; write ? in a password \
                         as %3F"
        )));
    }
    if parsed.fragment().is_some() {
        return Err(ParseStoreUrlError("a store URL has no fragment (#); write # in a password as %23".to_owned()));
    }
    Ok(text.to_owned())
}

fn with_port(host: &str, port: u16) -> String {
    let after_address = host.rsplit_once(']').map_or(host, |(_, after)| after);
    if after_address.contains(':') { host.to_owned() } else { format!("{host}:{port}") }
}

impl fmt::Display for StoreUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StoreUrl::Embedded(path) => write!(f, "embedded:{}", path.display()),
            StoreUrl::Memory => f.write_str("embedded::memory:"),
            StoreUrl::Redis(url) => write!(f, "{url}"),
        }
    }
}

impl fmt::Display for RedisUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let redact_all = |urls: &[String]| urls.iter().map(|url| redact(url)).collect::<Vec<_>>().join(",");
        match self {
            RedisUrl::Standalone(url) => f.write_str(&redact(url)),
            RedisUrl::Sentinel { sentinels, master, .. } => {
                write!(f, "{master} of sentinels {}", redact_all(sentinels))
            }
            RedisUrl::Cluster(servers) => write!(f, "cluster {}", redact_all(servers)),
        }
    }
}

impl fmt::Debug for StoreUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

impl fmt::Debug for RedisUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

/// Returns a URL without its credentials.
fn redact(text: &str) -> String {
    let Ok(mut parsed) = ::url::Url::parse(text) else { return "***".to_owned() };
    if !parsed.username().is_empty() && parsed.set_username("***").is_err() {
        return "***".to_owned();
    }
    if parsed.password().is_some() && parsed.set_password(Some("***")).is_err() {
        return "***".to_owned();
    }
    parsed.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn redis(text: &str) -> RedisUrl {
        match StoreUrl::parse(text) {
            Ok(StoreUrl::Redis(url)) => url,
            other => panic!("{text}: {other:?}"),
        }
    }

    #[test]
    fn known_forms_parse_and_others_fail() {
        assert_eq!(StoreUrl::parse("embedded:./data"), Ok(StoreUrl::Embedded("./data".into())));
        assert_eq!(StoreUrl::parse("embedded::memory:"), Ok(StoreUrl::Memory));
        for url in ["redis://a:1", "redis://a:1/", "redis://a:1/7", "redis://a:1/7?protocol=resp3"] {
            assert_eq!(redis(url), RedisUrl::Standalone(url.to_owned()));
        }
        let sentinel = RedisUrl::Sentinel {
            sentinels: vec!["rediss://a:26379".to_owned(), "rediss://[::1]:2".to_owned()],
            master: "main".to_owned(),
            server: "rediss://u:p@master".to_owned(),
        };
        assert_eq!(redis("rediss+sentinel://u:p@a,[::1]:2/main"), sentinel);
        let cluster = vec!["redis://a:1".to_owned(), "redis://b:2".to_owned()];
        assert_eq!(redis("redis+cluster://a:1,b:2"), RedisUrl::Cluster(cluster));
        for text in [
            "",
            "embedded:",
            "redis://",
            "http://a",
            "127.0.0.1:6379",
            "redis+sentinel://a",
            "redis+sentinel://a,/m",
            "redis+cluster://",
            "redis+cluster://a/1",
            "redis+other://a",
            "redis://a/x",
            "redis://a/1/2",
            "redis://a?db=3",
            "redis://a/1?db=3",
            "redis://a#1",
            "redis+cluster://a,b?db=1",
            "redis+sentinel://a/m?db=1",
        ] {
            assert!(StoreUrl::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn credentials_are_not_printed() {
        for (text, shown) in [
            ("redis://user:hunter2@127.0.0.1:6379/0", "redis://***:***@127.0.0.1:6379/0"),
            ("redis+sentinel://user:hunter2@a/m", "m of sentinels redis://a:26379"),
            ("redis+cluster://user:hunter2@a:1,b", "cluster redis://***:***@a:1,redis://***:***@b"),
        ] {
            let url = StoreUrl::parse(text).unwrap();
            assert_eq!(url.to_string(), shown);
            assert_eq!(format!("{url:?}"), shown);
        }
        // An unescaped delimiter in a password.
        for scheme in ["redis", "rediss", "redis+sentinel", "redis+cluster"] {
            for delimiter in ["#", "/", "?", "@", ":", "%", "12#", "12/", "12?", "12?x="] {
                let text = format!("{scheme}://app:{delimiter}hunter2@a:1/0");
                if let Err(error) = StoreUrl::parse(&text) {
                    assert!(!error.to_string().contains("hunter2"), "{text}: {error}");
                }
            }
        }
    }
}
