//! The Redis backend. Every act is one script on one shard; all keys share the namespace's hash tag.

mod answer;
mod connection;
mod counts;
mod edge;
mod link;
mod master;
mod meter;
mod queue;
mod queue_reads;
mod records;
mod refusal;
mod remembered;
mod repeat;
mod scripts;
mod settings;

use std::fmt;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use ::redis::Script;
use gatepost_domain::id::StoreId;
use tokio::time::Instant;

use crate::act::Repeats;
use crate::change::checksum;
use crate::error::{Result, StoreErrorKind};
use crate::format::Format;
use crate::head::{self, StoreHead};
use crate::options::{COMMIT_DEADLINE, Copies, Skew, StoreOptions};
use crate::url::RedisUrl;
use answer::Answer;
use connection::Connections;
use remembered::Remembered;

/// A store on Redis. Clones share its connections.
#[derive(Clone)]
pub(crate) struct Redis {
    inner: Arc<Inner>,
}

struct Inner {
    connections: Connections,
    namespace: String,
    max_entries: u64,
    skew: Skew,
    warnings: Vec<String>,
    copies: Copies,
    remembered: Remembered,
    /// The number of the run of the master with which all has come to rest.
    settled_run: AtomicU64,
    /// Known once the store was opened; every act compares it.
    id: OnceLock<StoreId>,
}

impl Inner {
    fn settled_run(&self) -> u64 {
        self.settled_run.load(Ordering::Acquire)
    }

    fn settle(&self, run: u64) {
        self.settled_run.store(run, Ordering::Release);
    }
}

impl fmt::Debug for Redis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Redis")
    }
}

impl Redis {
    /// Connects and checks version and settings. Fails within the connect deadline.
    pub(crate) async fn connect(url: &RedisUrl, options: &StoreOptions) -> Result<Self> {
        let connections = Connections::open(url, &options.namespace, options.replicas).await?;
        let warnings = settings::check(&connections, url, options.unsafe_redis).await?;
        let settled_run = connections.run_count();
        let inner = Inner {
            connections,
            namespace: options.namespace.clone(),
            max_entries: options.max_entries,
            skew: options.skew.clone(),
            warnings,
            copies: match url {
                RedisUrl::Sentinel { .. } => Copies::Several,
                _ if options.replicas.count > 0 => Copies::Several,
                RedisUrl::Standalone(_) | RedisUrl::Cluster(_) => Copies::One,
            },
            remembered: Remembered::default(),
            settled_run: AtomicU64::new(settled_run),
            id: OnceLock::new(),
        };
        let redis = Self { inner: Arc::new(inner) };
        repeat::watch(&redis);
        Ok(redis)
    }

    pub(crate) async fn open(&self) -> Result<Option<StoreHead>> {
        let mut command = ::redis::cmd("HMGET");
        command.arg(self.meta_key()).arg(HEAD_FIELDS.as_slice());
        let head = read_head(self.inner.connections.command(&command, COMMIT_DEADLINE).await?)?;
        if let Some(head) = &head {
            self.remember_id(head)?;
        }
        Ok(head)
    }

    pub(crate) async fn create(&self, head: StoreHead) -> Result<StoreHead> {
        let until = Instant::now() + COMMIT_DEADLINE;
        let mut invocation = scripts::CREATE.prepare_invoke();
        invocation.key(self.meta_key()).arg(HEAD_FIELDS.as_slice());
        for (name, value) in fields_of(&head) {
            invocation.arg(name).arg(value);
        }
        if head.format > Format::FIRST.number() {
            // Nothing is left to count.
            invocation.arg("counted").arg(1);
        }
        let (answer, run) = self.inner.connections.script(&invocation, COMMIT_DEADLINE).await?;
        self.inner.connections.confirm(&run, until).await?;
        let head = read_head(answer)?;
        let head = head.ok_or_else(|| StoreErrorKind::Corrupt.with("the store that was just made is not there"))?;
        self.remember_id(&head)?;
        Ok(head)
    }

    pub(crate) async fn raise_format(&self, head: StoreHead) -> Result<()> {
        let until = Instant::now() + COMMIT_DEADLINE;
        let mut arguments = Arguments::default().number(head.format);
        for (name, value) in fields_of(&head) {
            arguments = arguments.text(name).bytes(value);
        }
        let answer = self.act(&scripts::RAISE_FORMAT, COMMIT_DEADLINE, arguments).await?;
        self.inner.connections.confirm(&answer.run, until).await
    }

    pub(crate) fn copies(&self) -> Copies {
        self.inner.copies
    }

    pub(crate) async fn warnings(&self) -> Result<Vec<String>> {
        Ok(self.inner.warnings.clone())
    }

    pub(crate) async fn fullness(&self) -> Result<Option<String>> {
        settings::fullness(&self.inner.connections).await
    }

    pub(crate) async fn backup(&self, _: PathBuf) -> Result<u64> {
        Err(StoreErrorKind::Refused.with("a store on Redis is backed up with Redis: copy its RDB or append-only files"))
    }

    pub(crate) async fn repeats(&self) -> Result<Repeats> {
        Ok(self.inner.remembered.repeats())
    }

    fn remember_id(&self, head: &StoreHead) -> Result<()> {
        let known = self.inner.id.get_or_init(|| head.id.clone());
        if *known == head.id { Ok(()) } else { Err(answer::wrong_store()) }
    }

    /// Runs a script with the store's id and skew before its own arguments.
    async fn act(&self, script: &Script, deadline: Duration, arguments: Arguments) -> Result<Answer> {
        let id = self.inner.id.get().map_or("", StoreId::as_str);
        let mut invocation = script.prepare_invoke();
        invocation.key(self.meta_key()).arg(id).arg(self.inner.skew.ms());
        for argument in arguments.0 {
            invocation.arg(argument);
        }
        Answer::of(self.inner.connections.script(&invocation, deadline).await?)
    }

    fn meta_key(&self) -> String {
        format!("{{{}}}:meta", self.inner.namespace)
    }
}

/// A script's arguments, in order.
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

    fn ms(self, span: Duration) -> Self {
        self.number(u64::try_from(span.as_millis()).unwrap_or(u64::MAX))
    }
}

/// The fields of a head, in the order in which [`read_head`] reads them.
const HEAD_FIELDS: [&str; 7] =
    ["store_id", "sealed_envelope", "id", "envelope", "loose-checksum", "format", "min_reader"];

/// The fields that make a head; the first format has no number.
fn fields_of(head: &StoreHead) -> Vec<(&'static str, Vec<u8>)> {
    let mut fields = head::text_fields(head);
    if head.format > Format::FIRST.number() {
        fields.push(("format", head.format.to_string().into_bytes()));
        fields.push(("min_reader", head.min_reader.to_string().into_bytes()));
    }
    fields
}

fn read_head(value: ::redis::Value) -> Result<Option<StoreHead>> {
    type Texts = (Option<String>, Option<Vec<u8>>, Option<String>, Option<Vec<u8>>);
    type Numbers = (Option<u64>, Option<u32>, Option<u32>);
    let corrupt = |error| StoreErrorKind::Corrupt.with(error);
    let values: Vec<::redis::Value> = ::redis::from_redis_value(value).map_err(corrupt)?;
    let (texts, numbers) =
        values.split_at_checked(4).ok_or_else(|| StoreErrorKind::Corrupt.with("a head too short"))?;
    let list = |values: &[::redis::Value]| ::redis::Value::Array(values.to_vec());
    let (store_id, sealed_envelope, id, envelope): Texts = ::redis::from_redis_value(list(texts)).map_err(corrupt)?;
    let (loose, format, min_reader): Numbers = ::redis::from_redis_value(list(numbers)).map_err(corrupt)?;
    let Some(id) = store_id.or(id) else { return Ok(None) };
    Ok(Some(StoreHead {
        id: StoreId::parse(&id).map_err(|error| StoreErrorKind::Corrupt.with(error))?,
        envelope: sealed_envelope.or(envelope).unwrap_or_default(),
        checksum: checksum(loose.unwrap_or(0) > 0),
        format: format.unwrap_or(Format::FIRST.number()),
        min_reader: min_reader.unwrap_or(Format::FIRST.number()),
    }))
}
