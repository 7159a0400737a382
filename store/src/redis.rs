//! The Redis backend. Every act is one script on one shard; all keys share the namespace's hash tag.

mod answer;
mod connection;
mod edge;
mod link;
mod master;
mod meter;
mod queue;
mod queue_reads;
mod records;
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

use crate::act::{Repeats, StoreHead};
use crate::change::checksum;
use crate::error::{Result, StoreErrorKind};
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
        command.arg(self.meta_key()).arg("id").arg("envelope").arg("loose-checksum");
        let head = head(self.inner.connections.command(&command, COMMIT_DEADLINE).await?)?;
        if let Some(head) = &head {
            self.remember_id(head)?;
        }
        Ok(head)
    }

    pub(crate) async fn create(&self, id: StoreId, envelope: Vec<u8>) -> Result<StoreHead> {
        let until = Instant::now() + COMMIT_DEADLINE;
        let mut invocation = scripts::CREATE.prepare_invoke();
        invocation.key(self.meta_key()).arg(id.as_str()).arg(envelope);
        let (answer, run) = self.inner.connections.script(&invocation, COMMIT_DEADLINE).await?;
        self.inner.connections.confirm(&run, until).await?;
        let head = head(answer)?;
        let head = head.ok_or_else(|| StoreErrorKind::Corrupt.with("the store that was just made is not there"))?;
        self.remember_id(&head)?;
        Ok(head)
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

fn head(value: ::redis::Value) -> Result<Option<StoreHead>> {
    let (id, envelope, loose): (Option<String>, Option<Vec<u8>>, Option<u64>) =
        ::redis::from_redis_value(value).map_err(|error| StoreErrorKind::Corrupt.with(error))?;
    let Some(id) = id else { return Ok(None) };
    Ok(Some(StoreHead {
        id: StoreId::parse(&id).map_err(|error| StoreErrorKind::Corrupt.with(error))?,
        envelope: envelope.unwrap_or_default(),
        checksum: checksum(loose.unwrap_or(0) > 0),
    }))
}
