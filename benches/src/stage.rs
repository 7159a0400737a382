//! What every benchmark of a gateway needs: a directory, an upstream, a store with keys.

use std::sync::Arc;

use tempfile::TempDir;

use crate::gatepost::{Gatepost, Start};
use crate::machine::Core;
use crate::peers::{self, Around, Peer};
use crate::site::Site;
use crate::upstream::Upstream;

/// All of it; gone when dropped.
pub(crate) struct Stage {
    pub(crate) site: Site,
    pub(crate) keys: Arc<Vec<String>>,
    pub(crate) upstream: Upstream,
    directory: TempDir,
}

impl Stage {
    /// Starts it, with keys that were never used.
    pub(crate) async fn start(keys: usize) -> anyhow::Result<Self> {
        let directory = tempfile::tempdir()?;
        let site = Site::start().await?;
        let keys = Arc::new(site.keys(keys).await?);
        site.settle()?;
        let upstream = Upstream::start(directory.path())?;
        Ok(Self { site, keys, upstream, directory })
    }

    /// What peers are started with.
    pub(crate) fn around(&self) -> Around<'_> {
        Around { directory: self.directory.path(), upstream: self.upstream.address, keys: &self.keys }
    }

    /// Starts a gateway on the store. The name is that of its log.
    pub(crate) fn gateway(
        &self,
        name: &str,
        core: Core,
        environment: &[(&'static str, String)],
    ) -> anyhow::Result<Arc<Peer>> {
        let upstream = format!("http://{}", self.upstream.address);
        let arguments = vec!["gateway".to_owned(), "--upstream".to_owned(), upstream];
        let (directory, store) = (self.directory.path(), self.site.redis.url());
        let environment = environment.to_vec();
        let gateway = Gatepost::start(Start { directory, name, arguments, store, core, environment })?;
        Ok(Arc::new(peers::gatepost(gateway)?))
    }
}
