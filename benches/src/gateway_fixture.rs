//! Fixture of all benchmarks of the gateway: an upstream and a store with keys.

use std::sync::Arc;

use tempfile::TempDir;

use crate::gatepost::{GatepostProcess, StartOptions};
use crate::machine::Core;
use crate::peers::{self, Peer, PeerConfig};
use crate::store_fixture::StoreFixture;
use crate::upstream::Upstream;

/// Running fixture, which is removed when dropped.
pub(crate) struct GatewayFixture {
    pub(crate) store_fixture: StoreFixture,
    pub(crate) keys: Arc<Vec<String>>,
    pub(crate) upstream: Upstream,
    directory: TempDir,
}

impl GatewayFixture {
    /// Starts the fixture, with keys that were never used.
    pub(crate) async fn start(keys: usize) -> anyhow::Result<Self> {
        let directory = tempfile::tempdir()?;
        let store_fixture = StoreFixture::start().await?;
        let keys = Arc::new(store_fixture.create_keys(keys).await?);
        store_fixture.pin_to_load_core()?;
        let upstream = Upstream::start(directory.path())?;
        Ok(Self { store_fixture, keys, upstream, directory })
    }

    /// Returns the options of the peers.
    pub(crate) fn peer_config(&self) -> PeerConfig<'_> {
        PeerConfig { directory: self.directory.path(), upstream: self.upstream.address, keys: &self.keys }
    }

    /// Starts a gateway on the store. The name is that of its log file.
    pub(crate) fn gateway(
        &self,
        name: &str,
        core: Core,
        environment: &[(&'static str, String)],
    ) -> anyhow::Result<Arc<Peer>> {
        let upstream = format!("http://{}", self.upstream.address);
        let arguments = vec!["gateway".to_owned(), "--upstream".to_owned(), upstream];
        let (directory, store) = (self.directory.path(), self.store_fixture.redis.url());
        let environment = environment.to_vec();
        let gateway = GatepostProcess::start(StartOptions {
            program: None,
            directory,
            name,
            arguments,
            store,
            core,
            environment,
        })?;
        Ok(Arc::new(peers::gatepost_peer(gateway)?))
    }
}
