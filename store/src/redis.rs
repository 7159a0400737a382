//! The Redis backend. Every operation is one script on one shard; all keys share the namespace's hash tag.

mod account_counts;
mod acl_errors;
mod connection;
mod gateway_ops;
mod master_connection;
mod queue;
mod queue_reads;
mod rate_limits;
mod records;
mod replay;
mod reply;
mod scripts;
mod settings;
mod topology;
mod unreplicated_log;

use std::fmt;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use ::redis::Script;
use gatepost_domain::id::StoreId;
use tokio::time::Instant;

use crate::change::checksum_mode;
use crate::error::{Result, StoreErrorKind};
use crate::format::Format;
use crate::ops::ReplayStats;
use crate::options::{COMMIT_TIMEOUT, ClockSkew, Replication, StoreOptions};
use crate::store_header::{self, StoreHeader};
use crate::url::RedisUrl;
use connection::Connections;
use reply::Reply;
use unreplicated_log::UnreplicatedLog;

/// A store on Redis. Clones share its connections.
#[derive(Clone)]
pub(crate) struct Redis {
    inner: Arc<Inner>,
}

struct Inner {
    connections: Connections,
    namespace: String,
    max_entries: u64,
    skew: ClockSkew,
    warnings: Vec<String>,
    replication: Replication,
    unreplicated_log: UnreplicatedLog,
    /// Number of the master run for which recovery is complete.
    recovered_run: AtomicU64,
    /// Set once the store is opened; every operation compares it.
    id: OnceLock<StoreId>,
}

impl Inner {
    fn recovered_run(&self) -> u64 {
        self.recovered_run.load(Ordering::Acquire)
    }

    fn mark_recovered(&self, run: u64) {
        self.recovered_run.store(run, Ordering::Release);
    }
}

impl fmt::Debug for Redis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Redis")
    }
}

impl Redis {
    /// Connects and checks server version and settings. Deadlines: 3 s to connect, 5 s for the check.
    pub(crate) async fn connect(url: &RedisUrl, options: &StoreOptions) -> Result<Self> {
        let connections = Connections::open(url, &options.namespace, options.replicas).await?;
        let warnings = settings::check(&connections, url, options.unsafe_redis).await?;
        let recovered_run = connections.run_count();
        let inner = Inner {
            connections,
            namespace: options.namespace.clone(),
            max_entries: options.max_fan_out_backlog,
            skew: options.clock_skew.clone(),
            warnings,
            replication: match url {
                RedisUrl::Sentinel { .. } => Replication::Replicated,
                _ if options.replicas.count > 0 => Replication::Replicated,
                RedisUrl::Standalone(_) | RedisUrl::Cluster(_) => Replication::Single,
            },
            unreplicated_log: UnreplicatedLog::default(),
            recovered_run: AtomicU64::new(recovered_run),
            id: OnceLock::new(),
        };
        let redis = Self { inner: Arc::new(inner) };
        replay::start(&redis);
        Ok(redis)
    }

    pub(crate) async fn open(&self) -> Result<Option<StoreHeader>> {
        let mut command = ::redis::cmd("HMGET");
        command.arg(self.meta_key()).arg(HEADER_FIELDS.as_slice());
        let header = parse_header(self.inner.connections.run_command(&command, COMMIT_TIMEOUT).await?)?;
        if let Some(header) = &header {
            self.check_store_id(header)?;
        }
        Ok(header)
    }

    pub(crate) async fn create(&self, header: StoreHeader) -> Result<StoreHeader> {
        let until = Instant::now() + COMMIT_TIMEOUT;
        let mut invocation = scripts::CREATE.prepare_invoke();
        invocation.key(self.meta_key()).arg(HEADER_FIELDS.as_slice());
        for (name, value) in encode_header(&header) {
            invocation.arg(name).arg(value);
        }
        if header.format > Format::FIRST.number() {
            // A new store has nothing left to count.
            invocation.arg("counted").arg(1);
        }
        let (reply, run) = self.inner.connections.run_script(&invocation, COMMIT_TIMEOUT).await?;
        self.inner.connections.confirm(&run, until).await?;
        let header = parse_header(reply)?;
        let header =
            header.ok_or_else(|| StoreErrorKind::Corrupt.with("the store is missing right after its creation"))?;
        self.check_store_id(&header)?;
        Ok(header)
    }

    pub(crate) async fn raise_format(&self, header: StoreHeader) -> Result<()> {
        let until = Instant::now() + COMMIT_TIMEOUT;
        let mut arguments = Arguments::default().number(header.format);
        for (name, value) in encode_header(&header) {
            arguments = arguments.text(name).bytes(value);
        }
        let reply = self.run_script(&scripts::RAISE_FORMAT, COMMIT_TIMEOUT, arguments).await?;
        self.inner.connections.confirm(&reply.run, until).await
    }

    pub(crate) fn replication(&self) -> Replication {
        self.inner.replication
    }

    pub(crate) async fn warnings(&self) -> Result<Vec<String>> {
        Ok(self.inner.warnings.clone())
    }

    pub(crate) async fn full_reason(&self) -> Result<Option<String>> {
        settings::full_reason(&self.inner.connections).await
    }

    pub(crate) async fn backup(&self, _: PathBuf) -> Result<u64> {
        Err(StoreErrorKind::Refused.with("back up Redis itself: copy its RDB or append-only files"))
    }

    pub(crate) async fn replay_stats(&self) -> Result<ReplayStats> {
        Ok(self.inner.unreplicated_log.replay_stats())
    }

    fn check_store_id(&self, header: &StoreHeader) -> Result<()> {
        let known = self.inner.id.get_or_init(|| header.id.clone());
        if *known == header.id { Ok(()) } else { Err(reply::wrong_store()) }
    }

    /// Runs a script with the store id and the clock offset prepended to its arguments.
    async fn run_script(&self, script: &Script, deadline: Duration, arguments: Arguments) -> Result<Reply> {
        let id = self.inner.id.get().map_or("", StoreId::as_str);
        let mut invocation = script.prepare_invoke();
        invocation.key(self.meta_key()).arg(id).arg(self.inner.skew.ms());
        for argument in arguments.0 {
            invocation.arg(argument);
        }
        Reply::parse(self.inner.connections.run_script(&invocation, deadline).await?)
    }

    fn meta_key(&self) -> String {
        format!("{{{}}}:meta", self.inner.namespace)
    }
}

/// Arguments of a script, in order.
#[derive(Default)]
struct Arguments(Vec<Vec<u8>>);

impl Arguments {
    fn bytes(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        self.0.push(bytes.into());
        self
    }

    fn text(self, text: &str) -> Self {
        self.bytes(text)
    }

    fn number(self, number: impl Into<u64>) -> Self {
        self.bytes(number.into().to_string())
    }

    fn ms(self, duration: Duration) -> Self {
        self.number(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX))
    }
}

/// Fields of the store header, in the order in which [`parse_header`] reads them.
const HEADER_FIELDS: [&str; 7] =
    ["store_id", "sealed_envelope", "id", "envelope", "loose-checksum", "format", "min_reader"];

/// Encodes a header as fields; the first format has no number.
fn encode_header(header: &StoreHeader) -> Vec<(&'static str, Vec<u8>)> {
    let mut fields = store_header::text_fields(header);
    if header.format > Format::FIRST.number() {
        fields.push(("format", header.format.to_string().into_bytes()));
        fields.push(("min_reader", header.min_reader.to_string().into_bytes()));
    }
    fields
}

fn parse_header(value: ::redis::Value) -> Result<Option<StoreHeader>> {
    type Texts = (Option<String>, Option<Vec<u8>>, Option<String>, Option<Vec<u8>>);
    type Numbers = (Option<u64>, Option<u32>, Option<u32>);
    let corrupt = |error| StoreErrorKind::Corrupt.with(error);
    let values: Vec<::redis::Value> = ::redis::from_redis_value(value).map_err(corrupt)?;
    let (texts, numbers) = values
        .split_at_checked(4)
        .ok_or_else(|| StoreErrorKind::Corrupt.with("the store header has too few fields"))?;
    let list = |values: &[::redis::Value]| ::redis::Value::Array(values.to_vec());
    let (store_id, sealed_envelope, id, envelope): Texts = ::redis::from_redis_value(list(texts)).map_err(corrupt)?;
    let (has_loose_checksum, format, min_reader): Numbers =
        ::redis::from_redis_value(list(numbers)).map_err(corrupt)?;
    let Some(id) = store_id.or(id) else { return Ok(None) };
    Ok(Some(StoreHeader {
        id: StoreId::parse(&id).map_err(|error| StoreErrorKind::Corrupt.with(error))?,
        envelope: sealed_envelope.or(envelope).unwrap_or_default(),
        checksum: checksum_mode(has_loose_checksum.unwrap_or(0) > 0),
        format: format.unwrap_or(Format::FIRST.number()),
        min_reader: min_reader.unwrap_or(Format::FIRST.number()),
    }))
}
