//! The store's front: opening, creating, sealing.

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
use crate::redis::Redis;
use crate::store_header::StoreHeader;
use crate::url::StoreUrl;

/// The operating system's randomness: every id, key and nonce comes from it.
pub fn os_rng() -> impl CryptoRng {
    UnwrapErr(SysRng)
}

/// An open store. Clones share connections.
#[derive(Debug, Clone)]
pub struct Store {
    pub(crate) backend: Backend,
    pub(crate) envelope: Arc<Envelope>,
    id: StoreId,
    checksum: ChecksumPolicy,
    pub(crate) account_limits: AccountLimits,
    /// The number of the format of the store, as last heard of.
    format: Arc<AtomicU32>,
}

impl Store {
    /// Opens a store that exists. A place without one is [`StoreErrorKind::WrongStore`], and a master
    /// key that does not open it is [`StoreErrorKind::Refused`].
    pub async fn open(options: &StoreOptions, master_key: &MasterKey) -> Result<Self> {
        let backend = open_backend(options).await?;
        let header = backend.open().await?.ok_or_else(|| {
            StoreErrorKind::WrongStore
                .with(format!("there is no store at {}: make one with: gatepost access-key create", options.url))
        })?;
        Self::unlock(backend, header, options, master_key)
    }

    /// Opens the store, and creates it where there is none. Gateways and restarted control planes do
    /// not call this: an emptied Redis must not become a new store by itself.
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

    /// The format in which this process writes.
    pub fn format(&self) -> Format {
        Format::writable(self.format.load(Ordering::Relaxed))
    }

    /// Asks the store for its format: another process may have raised it.
    pub async fn read_format(&self) -> Result<Format> {
        if let Some(header) = self.backend.open().await? {
            self.observe_format(header.format);
        }
        Ok(self.format())
    }

    /// Takes note of the number of a later format.
    pub(crate) fn observe_format(&self, number: u32) {
        self.format.fetch_max(number, Ordering::Relaxed);
    }

    /// Which store this is.
    pub fn id(&self) -> &StoreId {
        &self.id
    }

    /// Whether values of our shape had to have a right checksum when the store was opened; each
    /// heartbeat tells it anew.
    pub fn checksum_at_open(&self) -> ChecksumPolicy {
        self.checksum
    }

    /// Whether what this store answers may be old; who is not live must not rely on it then.
    pub fn replication(&self) -> Replication {
        match &self.backend {
            Backend::Embedded(_) => Replication::Single,
            Backend::Redis(redis) => redis.replication(),
        }
    }

    /// Whether an absence that this store has just answered can be relied on.
    pub fn recovery(&self) -> Recovery {
        match &self.backend {
            Backend::Embedded(_) => Recovery::Complete,
            Backend::Redis(redis) => redis.recovery(),
        }
    }

    /// Settings that are allowed but unwise, as sentences for the operator.
    pub async fn warnings(&self) -> Result<Vec<String>> {
        self.backend.warnings().await
    }

    /// Copies an embedded store as it stands at one moment into a new file, and answers its bytes. The master key
    /// is not in it. A file that is there is left alone and is [`StoreErrorKind::Refused`].
    pub async fn backup(&self, file: &Path) -> Result<u64> {
        self.backend.backup(file.to_path_buf()).await
    }

    /// Why ordinary writes are refused now for want of memory or disk, as a sentence; none if they are not.
    pub async fn full_reason(&self) -> Result<Option<String>> {
        self.backend.full_reason().await
    }

    /// How often this process found that a new master of Redis had lost what was acknowledged.
    pub async fn replay_stats(&self) -> Result<ReplayStats> {
        self.backend.replay_stats().await
    }

    /// The digest under which a key's value is found.
    pub fn digest(&self, plain: &str) -> Digest {
        self.envelope.pepper().digest(plain)
    }

    /// The pepper, for those who digest on the request path.
    pub fn pepper(&self) -> &Pepper {
        self.envelope.pepper()
    }

    /// Seals a webhook's signing secret.
    pub fn seal_webhook_secret(&self, webhook: &WebhookId, secret: &[u8]) -> Result<Sealed> {
        self.envelope.seal(webhook.as_str(), secret, &mut os_rng())
    }

    /// Opens a webhook's signing secret.
    pub fn open_webhook_secret(&self, webhook: &WebhookId, sealed: &Sealed) -> Result<Zeroizing<Vec<u8>>> {
        self.envelope.unseal(webhook.as_str(), sealed)
    }

    /// Seals what a webhook sends as `theauthapi-signature`. It does not open as a signing secret.
    pub fn seal_static_token(&self, webhook: &WebhookId, token: &Secret) -> Result<Sealed> {
        self.envelope.seal(&static_token_aad(webhook), token.expose().as_bytes(), &mut os_rng())
    }

    /// Opens what a webhook sends as `theauthapi-signature`.
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

    /// Leases up to `want` requests of a limit to one gateway. Deadline 500 ms.
    pub async fn lease_allowance(&self, meter: &str, limit: Limit, requested: u64) -> Result<LeaseGrant> {
        self.backend.lease_allowance(meter.to_owned(), limit, requested).await
    }

    /// Gives back what was leased and not used. Do not repeat it when its answer is lost.
    pub async fn return_allowance(&self, meter: &str, unused: UnusedLease) -> Result<()> {
        self.backend.return_allowance(meter.to_owned(), unused).await
    }

    /// Removes what is too old, never past the fan-out cursor.
    pub async fn trim(&self, rule: RetentionPolicy) -> Result<TrimStats> {
        self.backend.trim(rule).await
    }
}

/// To whom a static token is bound.
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
        StoreUrl::Redis(url) => Backend::Redis(Redis::connect(url, options).await?),
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
