//! The `Store` type: opening and creating a store, and its layout.

use std::sync::Arc;

use gatepost_domain::digest::Digest;
use gatepost_domain::id::StoreId;
use gatepost_domain::key::ChecksumPolicy;
use gatepost_domain::partition::{Cell, Layout, Partition};

use crate::backend::Backend;
use crate::cell_store::CellStore;
use crate::embedded::Embedded;
use crate::envelope::{Envelope, MasterKey};
use crate::error::{Result, StoreErrorKind};
use crate::format::{self, Format};
use crate::ops::RebaseRevocation;
use crate::options::StoreOptions;
use crate::random::os_rng;
use crate::rebase::rebase_revocation;
use crate::redis::Redis;
use crate::store_header::{StoreHeader, is_unfinished_copy};
use crate::url::StoreUrl;

/// An open store: its envelope, and the cells that hold its partitions. Clones share connections.
#[derive(Debug, Clone)]
pub struct Store {
    id: StoreId,
    envelope: Arc<Envelope>,
    layout: Layout,
    /// One per cell of the layout, in the order of their indexes.
    cells: Arc<[CellStore]>,
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
        if is_unfinished_copy(&header) {
            let address = &options.url;
            return Err(StoreErrorKind::Refused
                .with(format!("the copy into {address} is not finished: run its gatepost store copy again")));
        }
        if header.min_reader > Format::LATEST.number() {
            return Err(StoreErrorKind::Refused.with(format::unsupported_format_message(header.min_reader)));
        }
        if options.write_format < Format::writable(header.format) {
            return Err(StoreErrorKind::Refused.with(format!(
                "store.write_format is {}, but the store is in format {}, which is never lowered: leave the key out",
                options.write_format, header.format
            )));
        }
        let envelope = Arc::new(Envelope::open(&header.id, master_key, &header.envelope)?);
        let cell = CellStore::new(Cell::FIRST, backend, &header, Arc::clone(&envelope), options);
        Ok(Self { id: header.id, envelope, layout: Layout::SINGLE, cells: Arc::new([cell]) })
    }

    /// Returns the store's id.
    pub fn id(&self) -> &StoreId {
        &self.id
    }

    /// Returns the envelope, which computes digests, and seals and opens secrets.
    pub fn envelope(&self) -> &Envelope {
        &self.envelope
    }

    /// Returns the cells in the order of their indexes.
    pub fn cells(&self) -> &[CellStore] {
        &self.cells
    }

    /// Returns a cell of this store's layout.
    pub fn cell(&self, cell: Cell) -> &CellStore {
        &self.cells[cell.index()]
    }

    /// Returns the cell that holds a partition.
    pub fn home(&self, partition: Partition) -> &CellStore {
        self.cell(self.layout.cell(partition))
    }

    /// Returns the cell that holds the record of a key value.
    pub fn home_of_digest(&self, digest: &Digest) -> &CellStore {
        self.home(Partition::of_digest(digest))
    }

    /// Returns the one cell that stores have today, for callers that do not choose a cell or ask all of them yet.
    pub fn single_cell(&self) -> &CellStore {
        &self.cells[0]
    }
}

pub(crate) async fn open_backend(options: &StoreOptions) -> Result<Backend> {
    Ok(match &options.url {
        StoreUrl::Embedded(path) => Backend::Embedded(Embedded::open_or_create(Some(path), options).await?),
        StoreUrl::Memory => Backend::Embedded(Embedded::open_or_create(None, options).await?),
        StoreUrl::Redis(url) => {
            let rebase: RebaseRevocation = Box::new(|lost, current| rebase_revocation(Cell::FIRST, lost, current));
            Backend::Redis(Redis::connect(url, options, rebase).await?)
        }
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
