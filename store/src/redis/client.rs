//! The connections of a store on Redis, and the scripts that run over them.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use ::redis::Script;
use gatepost_domain::id::StoreId;

use super::connection::Connections;
use super::reply::{self, Reply};
use super::unreplicated_log::UnreplicatedLog;
use crate::error::Result;
use crate::ops::RebaseRevocation;
use crate::options::{ClockSkew, Replication};
use crate::store_header::StoreHeader;

/// A store on Redis. Clones share its connections.
#[derive(Clone)]
pub(crate) struct Redis {
    pub(super) inner: Arc<Inner>,
}

pub(super) struct Inner {
    pub(super) connections: Connections,
    pub(super) namespace: String,
    pub(super) max_entries: u64,
    pub(super) skew: ClockSkew,
    pub(super) warnings: Vec<String>,
    pub(super) replication: Replication,
    pub(super) unreplicated_log: UnreplicatedLog,
    /// Number of the master run for which recovery is complete.
    pub(super) recovered_run: AtomicU64,
    /// See [`RebaseRevocation`].
    pub(super) rebase_revocation: RebaseRevocation,
    /// Set once the store is opened; every operation compares it.
    pub(super) id: OnceLock<StoreId>,
}

impl Inner {
    pub(super) fn recovered_run(&self) -> u64 {
        self.recovered_run.load(Ordering::Acquire)
    }

    pub(super) fn mark_recovered(&self, run: u64) {
        self.recovered_run.store(run, Ordering::Release);
    }
}

impl fmt::Debug for Redis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Redis")
    }
}

impl Redis {
    pub(super) fn check_store_id(&self, header: &StoreHeader) -> Result<()> {
        let known = self.inner.id.get_or_init(|| header.id.clone());
        if *known == header.id { Ok(()) } else { Err(reply::wrong_store()) }
    }

    /// Runs a script with the store id and the clock offset prepended to its arguments.
    pub(super) async fn run_script(&self, script: &Script, deadline: Duration, arguments: Arguments) -> Result<Reply> {
        let id = self.inner.id.get().map_or("", StoreId::as_str);
        let mut invocation = script.prepare_invoke();
        invocation.key(self.meta_key()).arg(id).arg(self.inner.skew.ms());
        for argument in arguments.0 {
            invocation.arg(argument);
        }
        Reply::parse(self.inner.connections.run_script(&invocation, deadline).await?)
    }

    pub(super) fn meta_key(&self) -> String {
        format!("{{{}}}:meta", self.inner.namespace)
    }
}

/// Arguments of a script, in order.
#[derive(Default)]
pub(super) struct Arguments(pub(super) Vec<Vec<u8>>);

impl Arguments {
    pub(super) fn bytes(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        self.0.push(bytes.into());
        self
    }

    pub(super) fn text(self, text: &str) -> Self {
        self.bytes(text)
    }

    pub(super) fn number(self, number: impl Into<u64>) -> Self {
        self.bytes(number.into().to_string())
    }

    pub(super) fn ms(self, duration: Duration) -> Self {
        self.number(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX))
    }
}
