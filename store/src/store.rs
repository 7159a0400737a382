//! The `Store` type: opening and creating a store, sealing secrets, rate limit allowances, trimming.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use gatepost_domain::digest::{Digest, Pepper};
use gatepost_domain::id::{EventId, StoreId, WebhookId};
use gatepost_domain::key::{ChecksumPolicy, Secret};
use gatepost_domain::record::Sealed;
use gatepost_domain::window::{LeaseGrant, Limit, UnusedLease};
use rand::CryptoRng;
use rand::rand_core::UnwrapErr;
use rand::rngs::SysRng;
use zeroize::Zeroizing;

use crate::account_resources::AccountLimits;
use crate::backend::Backend;
use crate::embedded::Embedded;
use crate::envelope::{Envelope, MasterKey};
use crate::error::{Result, StoreErrorKind};
use crate::format::{self, Format};
use crate::ops::{ReplayStats, RetentionPolicy, TrimStats};
use crate::options::{Recovery, Replication, StoreOptions};
use crate::rebase::rebase_revocation;
use crate::redis::Redis;
use crate::store_header::StoreHeader;
use crate::url::StoreUrl;

/// Returns the operating system's random number generator, the source of all ids, keys and nonces.
pub fn os_rng() -> impl CryptoRng {
    UnwrapErr(SysRng)
}

/// An open store. Clones share connections.
///
/// # Errors
///
/// Every operation can fail with [`StoreErrorKind::Unavailable`] (unreachable, or no reply within the deadline: 5 s
/// unless the method states another one), [`StoreErrorKind::WrongStore`] (another store, or none, at the address),
/// [`StoreErrorKind::Corrupt`] (a value cannot be decoded) and [`StoreErrorKind::Refused`] (the store's format is too
/// new, or Redis denies a command). Writes can also fail with [`StoreErrorKind::Full`], and confirmed writes, which
/// wait for replicas, with [`StoreErrorKind::Unconfirmed`]. A write that fails with `Unavailable` or `Unconfirmed` may
/// have been applied; each method says if retrying it is not safe. The embedded backend has no deadline for reads.
#[derive(Debug, Clone)]
pub struct Store {
    pub(crate) backend: Backend,
    pub(crate) envelope: Arc<Envelope>,
    id: StoreId,
    checksum: ChecksumPolicy,
    pub(crate) account_limits: AccountLimits,
    /// The store's format number, as last read.
    format: Arc<AtomicU32>,
}

impl Store {
    /// Opens an existing store.
    ///
    /// # Errors
    ///
    /// [`StoreErrorKind::WrongStore`] if there is no store at the address; [`StoreErrorKind::Refused`] if the master
    /// key does not open it, its format cannot be read or written as configured, or Redis is unsafely configured;
    /// [`StoreErrorKind::Unavailable`] if the server does not reply, after at most 3 s for connecting.
    pub async fn open(options: &StoreOptions, master_key: &MasterKey) -> Result<Self> {
        let backend = open_backend(options).await?;
        let header = backend.open().await?.ok_or_else(|| {
            StoreErrorKind::WrongStore
                .with(format!("there is no store at {}: create one with: gatepost access-key create", options.url))
        })?;
        Self::unlock(backend, header, options, master_key)
    }

    /// Opens the store, and creates it if there is none. Gateways and restarted control planes must not call this:
    /// an emptied Redis must not silently become a new store.
    ///
    /// # Errors
    ///
    /// Those of [`Store::open`] except `WrongStore`; those of a confirmed write if the store is created.
    pub async fn open_or_create(options: &StoreOptions, master_key: &MasterKey) -> Result<Self> {
        let backend = open_backend(options).await?;
        let header = match backend.open().await? {
            Some(header) => header,
            None => create_store(&backend, options.write_format, master_key).await?,
        };
        Self::unlock(backend, header, options, master_key)
    }

    fn unlock(backend: Backend, header: StoreHeader, options: &StoreOptions, master_key: &MasterKey) -> Result<Self> {
        if header.min_reader > Format::LATEST.number() {
            return Err(StoreErrorKind::Refused.with(format::unsupported_format_message(header.min_reader)));
        }
        if options.write_format < Format::writable(header.format) {
            return Err(StoreErrorKind::Refused.with(format!(
                "store.write_format is {}, but the store is in format {}, which is never lowered: leave the key out",
                options.write_format, header.format
            )));
        }
        let envelope = Envelope::open(&header.id, master_key, &header.envelope)?;
        Ok(Self {
            backend,
            envelope: Arc::new(envelope),
            id: header.id,
            checksum: header.checksum,
            account_limits: options.account_limits,
            format: Arc::new(AtomicU32::new(header.format)),
        })
    }

    /// Returns the format in which this process writes.
    pub fn format(&self) -> Format {
        Format::writable(self.format.load(Ordering::Relaxed))
    }

    /// Reads the store's format, which another process may have raised.
    ///
    /// # Errors
    ///
    /// Those of a read, see [`Store`].
    pub async fn read_format(&self) -> Result<Format> {
        if let Some(header) = self.backend.open().await? {
            self.observe_format(header.format);
        }
        Ok(self.format())
    }

    /// Records the number of a later format.
    pub(crate) fn observe_format(&self, number: u32) {
        self.format.fetch_max(number, Ordering::Relaxed);
    }

    /// Returns the store's id.
    pub fn id(&self) -> &StoreId {
        &self.id
    }

    /// Returns whether a value in Gatepost's key format needed a correct checksum when the store was opened. Heartbeats
    /// report the current policy.
    pub fn checksum_at_open(&self) -> ChecksumPolicy {
        self.checksum
    }

    /// Returns whether reads can be stale. A gateway that is not live must not rely on them in that case.
    pub fn replication(&self) -> Replication {
        match &self.backend {
            Backend::Embedded(_) => Replication::Single,
            Backend::Redis(redis) => redis.replication(),
        }
    }

    /// Returns whether a "not found" that this store has just returned is reliable.
    pub fn recovery(&self) -> Recovery {
        match &self.backend {
            Backend::Embedded(_) => Recovery::Complete,
            Backend::Redis(redis) => redis.recovery(),
        }
    }

    /// Returns warnings for the operator about settings that are allowed but unwise, one sentence each.
    ///
    /// # Errors
    ///
    /// None at present: the settings are read when the store is opened.
    pub async fn warnings(&self) -> Result<Vec<String>> {
        self.backend.warnings().await
    }

    /// Copies a consistent snapshot of an embedded store into a new file and returns the file's size in bytes. The
    /// master key is not part of it. No deadline.
    ///
    /// # Errors
    ///
    /// [`StoreErrorKind::Refused`] if the file exists or cannot be created, and for a store on Redis; otherwise those
    /// of a read, see [`Store`].
    pub async fn backup(&self, file: &Path) -> Result<u64> {
        self.backend.backup(file.to_path_buf()).await
    }

    /// Returns why ordinary writes are refused at the moment, as a sentence about memory or disk; `None` if they are
    /// accepted.
    ///
    /// # Errors
    ///
    /// Those of a read, see [`Store`].
    pub async fn full_reason(&self) -> Result<Option<String>> {
        self.backend.full_reason().await
    }

    /// Returns how many acknowledged changes this process replayed, or failed to replay, after failovers of Redis.
    ///
    /// # Errors
    ///
    /// None at present: the counters are kept in memory.
    pub async fn replay_stats(&self) -> Result<ReplayStats> {
        self.backend.replay_stats().await
    }

    /// Returns the digest under which a key value is stored.
    pub fn digest(&self, plain: &str) -> Digest {
        self.envelope.pepper().digest(plain)
    }

    /// Returns the pepper, for callers that compute digests on the request path.
    pub fn pepper(&self) -> &Pepper {
        self.envelope.pepper()
    }

    /// Seals a webhook's signing secret.
    ///
    /// # Errors
    ///
    /// [`StoreErrorKind::Corrupt`] if the secret is too long to encrypt.
    pub fn seal_webhook_secret(&self, webhook: &WebhookId, secret: &[u8]) -> Result<Sealed> {
        self.envelope.seal(webhook.as_str(), secret, &mut os_rng())
    }

    /// Opens a webhook's signing secret.
    ///
    /// # Errors
    ///
    /// [`StoreErrorKind::Corrupt`] if it does not decrypt for this webhook.
    pub fn open_webhook_secret(&self, webhook: &WebhookId, sealed: &Sealed) -> Result<Zeroizing<Vec<u8>>> {
        self.envelope.unseal(webhook.as_str(), sealed)
    }

    /// Seals a webhook's `theauthapi-signature` token. It cannot be opened as a signing secret.
    ///
    /// # Errors
    ///
    /// [`StoreErrorKind::Corrupt`] if the token is too long to encrypt.
    pub fn seal_static_token(&self, webhook: &WebhookId, token: &Secret) -> Result<Sealed> {
        self.envelope.seal(&static_token_aad(webhook), token.expose().as_bytes(), &mut os_rng())
    }

    /// Opens a webhook's `theauthapi-signature` token.
    ///
    /// # Errors
    ///
    /// [`StoreErrorKind::Corrupt`] if it does not decrypt for this webhook.
    pub fn open_static_token(&self, webhook: &WebhookId, sealed: &Sealed) -> Result<Secret> {
        secret_from_utf8(&self.envelope.unseal(&static_token_aad(webhook), sealed)?)
    }

    pub(crate) fn seal_event_secret(&self, event: &EventId, secret: &Secret) -> Result<Vec<u8>> {
        let sealed = self.envelope.seal(event.as_str(), secret.expose().as_bytes(), &mut os_rng())?;
        Ok(sealed.0)
    }

    pub(crate) fn open_event_secret(&self, event: &EventId, sealed: Vec<u8>) -> Result<Secret> {
        secret_from_utf8(&self.envelope.unseal(event.as_str(), &Sealed(sealed))?)
    }

    /// Leases up to `requested` requests of a limit to one gateway. Deadline on Redis: 500 ms. If the reply is lost,
    /// the leased requests are unusable until the window ends.
    ///
    /// # Errors
    ///
    /// Those of a write, see [`Store`]; on Redis never `WrongStore`, because rate limits do not compare the store id.
    pub async fn lease_allowance(&self, name: &str, limit: Limit, requested: u64) -> Result<LeaseGrant> {
        self.backend.lease_allowance(name.to_owned(), limit, requested).await
    }

    /// Returns unused requests of a lease. Does nothing if the window has ended. Deadline on Redis: 500 ms.
    ///
    /// # Errors
    ///
    /// Those of [`Store::lease_allowance`]. Do not retry: the same requests would be returned twice.
    pub async fn return_allowance(&self, name: &str, unused: UnusedLease) -> Result<()> {
        self.backend.return_allowance(name.to_owned(), unused).await
    }

    /// Removes expired data, never stream entries past the fan-out cursor. Each call removes at most `rule.batch` of
    /// each kind.
    ///
    /// # Errors
    ///
    /// Those of a write, see [`Store`].
    pub async fn trim(&self, rule: RetentionPolicy) -> Result<TrimStats> {
        self.backend.trim(rule).await
    }
}

/// Associated data that binds a static token to its webhook.
fn static_token_aad(webhook: &WebhookId) -> String {
    format!("{webhook}/static-token")
}

pub(crate) fn secret_from_utf8(bytes: &[u8]) -> Result<Secret> {
    let text = String::from_utf8(bytes.to_vec()).map_err(|error| StoreErrorKind::Corrupt.with(error))?;
    Ok(Secret::new(text))
}

async fn open_backend(options: &StoreOptions) -> Result<Backend> {
    Ok(match &options.url {
        StoreUrl::Embedded(path) => Backend::Embedded(Embedded::open_or_create(Some(path), options).await?),
        StoreUrl::Memory => Backend::Embedded(Embedded::open_or_create(None, options).await?),
        StoreUrl::Redis(url) => Backend::Redis(Redis::connect(url, options, rebase_revocation).await?),
    })
}

async fn create_store(backend: &Backend, format: Format, master_key: &MasterKey) -> Result<StoreHeader> {
    let mut rng = os_rng();
    let id = StoreId::generate(&mut rng);
    let envelope = Envelope::create(&id, master_key, &mut rng)?;
    drop(rng);
    let (format, min_reader) = (format.number(), format.number());
    backend.create(StoreHeader { id, envelope, checksum: ChecksumPolicy::Strict, format, min_reader }).await
}
