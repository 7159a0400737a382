//! Connecting to a store, creating and upgrading it, and what it reports of itself.

use std::path::PathBuf;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, OnceLock};

use tokio::time::Instant;

use super::client::{Arguments, Inner, Redis};
use super::connection::Connections;
use super::header::{HEADER_FIELDS, encode_header, parse_header};
use super::unreplicated_log::UnreplicatedLog;
use super::{replay, scripts, settings};
use crate::error::{Result, StoreErrorKind};
use crate::format::Format;
use crate::ops::{RebaseRevocation, ReplayStats};
use crate::options::{COMMIT_TIMEOUT, Replication, StoreOptions};
use crate::store_header::StoreHeader;
use crate::store_server::StoreServer;
use crate::url::RedisUrl;

impl Redis {
    /// Connects and checks server version and settings. Deadlines: 3 s to connect, 5 s for the check.
    pub(crate) async fn connect(
        url: &RedisUrl,
        options: &StoreOptions,
        rebase_revocation: RebaseRevocation,
    ) -> Result<Self> {
        let connections = Connections::open(url, &options.redis_access, &options.namespace, options.replicas).await?;
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
            rebase_revocation,
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

    pub(crate) async fn raise_format(&self, header: StoreHeader) -> Result<bool> {
        let until = Instant::now() + COMMIT_TIMEOUT;
        let mut arguments = Arguments::default().number(header.format).bytes(header.envelope.clone());
        for (name, value) in encode_header(&header) {
            arguments = arguments.text(name).bytes(value);
        }
        let mut reply = self.run_script(&scripts::RAISE_FORMAT, COMMIT_TIMEOUT, arguments).await?;
        self.inner.connections.confirm(&reply.run, until).await?;
        reply.next()
    }

    pub(crate) async fn swap_envelope(&self, read: Vec<u8>, new: Vec<u8>) -> Result<bool> {
        let until = Instant::now() + COMMIT_TIMEOUT;
        let arguments = Arguments::default().bytes(read).bytes(new);
        let mut reply = self.run_script(&scripts::SWAP_ENVELOPE, COMMIT_TIMEOUT, arguments).await?;
        self.inner.connections.confirm(&reply.run, until).await?;
        reply.next()
    }

    pub(crate) fn replication(&self) -> Replication {
        self.inner.replication
    }

    /// Returns the server connected to last: after a failover it may have another version.
    pub(crate) fn server(&self) -> Option<StoreServer> {
        self.inner.connections.server()
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
}
