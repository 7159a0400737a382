//! The store's front: opening, creating, sealing.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use gatepost_domain::digest::{Digest, Pepper};
use gatepost_domain::id::{EventId, StoreId, WebhookId};
use gatepost_domain::key::{Checksum, Secret};
use gatepost_domain::record::Sealed;
use gatepost_domain::window::{Allowance, Limit, Unused};
use rand::CryptoRng;
use rand::rand_core::UnwrapErr;
use rand::rngs::SysRng;
use zeroize::Zeroizing;

use crate::act::{Repeats, TrimRule, Trimmed};
use crate::backend::Backend;
use crate::counts::AccountBounds;
use crate::embedded::Embedded;
use crate::envelope::{Envelope, MasterKey};
use crate::error::{Result, StoreErrorKind};
use crate::format::{self, Format};
use crate::head::StoreHead;
use crate::options::{Copies, Settled, StoreOptions};
use crate::redis::Redis;
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
    checksum: Checksum,
    pub(crate) account_bounds: AccountBounds,
    /// The number of the format of the store, as last heard of.
    format: Arc<AtomicU32>,
}

impl Store {
    /// Opens a store that exists. A place without one is [`StoreErrorKind::WrongStore`], and a master
    /// key that does not open it is [`StoreErrorKind::Refused`].
    pub async fn open(options: &StoreOptions, master: &MasterKey) -> Result<Self> {
        let backend = connect(options).await?;
        let head = backend.open().await?.ok_or_else(|| {
            StoreErrorKind::WrongStore
                .with(format!("there is no store at {}: make one with: gatepost access-key create", options.url))
        })?;
        Self::unlock(backend, head, options, master)
    }

    /// Opens the store, and creates it where there is none. Gateways and restarted control planes do
    /// not call this: an emptied Redis must not become a new store by itself.
    pub async fn open_or_create(options: &StoreOptions, master: &MasterKey) -> Result<Self> {
        let backend = connect(options).await?;
        let head = match backend.open().await? {
            Some(head) => head,
            None => create(&backend, options.write_format, master).await?,
        };
        Self::unlock(backend, head, options, master)
    }

    fn unlock(backend: Backend, head: StoreHead, options: &StoreOptions, master: &MasterKey) -> Result<Self> {
        if head.min_reader > Format::LATEST.number() {
            return Err(StoreErrorKind::Refused.with(format::unreadable(head.min_reader)));
        }
        if options.write_format < Format::writable(head.format) {
            return Err(StoreErrorKind::Refused.with(format!(
                "store.write_format is {}, but the store is in format {}, which is never lowered: leave the key out",
                options.write_format, head.format
            )));
        }
        let envelope = Envelope::open(&head.id, master, &head.envelope)?;
        Ok(Self {
            backend,
            envelope: Arc::new(envelope),
            id: head.id,
            checksum: head.checksum,
            account_bounds: options.account_bounds,
            format: Arc::new(AtomicU32::new(head.format)),
        })
    }

    /// The format in which this process writes.
    pub fn format(&self) -> Format {
        Format::writable(self.format.load(Ordering::Relaxed))
    }

    /// Asks the store for its format: another process may have raised it.
    pub async fn read_format(&self) -> Result<Format> {
        if let Some(head) = self.backend.open().await? {
            self.heard_of_format(head.format);
        }
        Ok(self.format())
    }

    /// Takes note of the number of a later format.
    pub(crate) fn heard_of_format(&self, number: u32) {
        self.format.fetch_max(number, Ordering::Relaxed);
    }

    /// Which store this is.
    pub fn id(&self) -> &StoreId {
        &self.id
    }

    /// Whether values of our shape had to have a right checksum when the store was opened; each
    /// heartbeat tells it anew.
    pub fn checksum_at_open(&self) -> Checksum {
        self.checksum
    }

    /// Whether what this store answers may be old; who is not live must not rely on it then.
    pub fn copies(&self) -> Copies {
        match &self.backend {
            Backend::Embedded(_) => Copies::One,
            Backend::Redis(redis) => redis.copies(),
        }
    }

    /// Whether an absence that this store has just answered can be relied on.
    pub fn settled(&self) -> Settled {
        match &self.backend {
            Backend::Embedded(_) => Settled::Yes,
            Backend::Redis(redis) => redis.settled(),
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
    pub async fn fullness(&self) -> Result<Option<String>> {
        self.backend.fullness().await
    }

    /// How often this process found that a new master of Redis had lost what was acknowledged.
    pub async fn repeats(&self) -> Result<Repeats> {
        self.backend.repeats().await
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
        self.envelope.seal(&static_token_of(webhook), token.expose().as_bytes(), &mut os_rng())
    }

    /// Opens what a webhook sends as `theauthapi-signature`.
    pub fn open_static_token(&self, webhook: &WebhookId, sealed: &Sealed) -> Result<Secret> {
        text(&self.envelope.unseal(&static_token_of(webhook), sealed)?)
    }

    pub(crate) fn seal_event_secret(&self, event: &EventId, secret: &Secret) -> Result<Vec<u8>> {
        let sealed = self.envelope.seal(event.as_str(), secret.expose().as_bytes(), &mut os_rng())?;
        Ok(sealed.0)
    }

    pub(crate) fn open_event_secret(&self, event: &EventId, sealed: Vec<u8>) -> Result<Secret> {
        text(&self.envelope.unseal(event.as_str(), &Sealed(sealed))?)
    }

    /// Leases up to `want` requests of a limit to one gateway. Deadline 500 ms.
    pub async fn lease_allowance(&self, meter: &str, limit: Limit, want: u64) -> Result<Allowance> {
        self.backend.lease_allowance(meter.to_owned(), limit, want).await
    }

    /// Gives back what was leased and not used. Do not repeat it when its answer is lost.
    pub async fn return_allowance(&self, meter: &str, unused: Unused) -> Result<()> {
        self.backend.return_allowance(meter.to_owned(), unused).await
    }

    /// Removes what is too old, never past the fan-out cursor.
    pub async fn trim(&self, rule: TrimRule) -> Result<Trimmed> {
        self.backend.trim(rule).await
    }
}

/// To whom a static token is bound.
fn static_token_of(webhook: &WebhookId) -> String {
    format!("{webhook}/static-token")
}

pub(crate) fn text(bytes: &[u8]) -> Result<Secret> {
    let text = String::from_utf8(bytes.to_vec()).map_err(|error| StoreErrorKind::Corrupt.with(error))?;
    Ok(Secret::new(text))
}

async fn connect(options: &StoreOptions) -> Result<Backend> {
    Ok(match &options.url {
        StoreUrl::Embedded(path) => Backend::Embedded(Embedded::open_at(Some(path), options).await?),
        StoreUrl::Memory => Backend::Embedded(Embedded::open_at(None, options).await?),
        StoreUrl::Redis(url) => Backend::Redis(Redis::connect(url, options).await?),
    })
}

async fn create(backend: &Backend, format: Format, master: &MasterKey) -> Result<StoreHead> {
    let mut rng = os_rng();
    let id = StoreId::generate(&mut rng);
    let envelope = Envelope::create(&id, master, &mut rng)?;
    drop(rng);
    let (format, min_reader) = (format.number(), format.number());
    backend.create(StoreHead { id, envelope, checksum: Checksum::Strict, format, min_reader }).await
}
