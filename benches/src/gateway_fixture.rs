//! Fixture of all benchmarks of the gateway: an upstream and a store with keys.

use std::path::Path;
use std::sync::Arc;

use tempfile::TempDir;

use crate::gatepost::{GatepostProcess, StartOptions};
use crate::machine::Core;
use crate::peers::{self, Peer, PeerConfig};
use crate::store_fixture::StoreFixture;
use crate::tls_fixture::TlsFixture;
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

    /// Returns a directory for further files.
    pub(crate) fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// Returns the options of the peers.
    pub(crate) fn peer_config(&self) -> PeerConfig<'_> {
        let (directory, upstream) = (self.directory(), self.upstream.address);
        PeerConfig { directory, upstream, keys: &self.keys, certificate: None }
    }

    /// Starts a gateway on the store. The name is that of its log file.
    pub(crate) fn gateway(
        &self,
        name: &str,
        core: Core,
        environment: &[(&'static str, String)],
    ) -> anyhow::Result<Arc<Peer>> {
        self.start_gateway(name, core, &[], environment).map(Arc::new)
    }

    /// Starts a gateway on the store that listens with TLS.
    pub(crate) fn tls_gateway(
        &self,
        name: &str,
        tls: &TlsFixture,
        arguments: &[String],
        environment: &[(&'static str, String)],
    ) -> anyhow::Result<Arc<Peer>> {
        let files = [("--tls-cert", &tls.files.certificate), ("--tls-key", &tls.files.key)];
        let files = files.into_iter().flat_map(|(flag, file)| [flag.to_owned(), file.display().to_string()]);
        let arguments: Vec<String> = files.chain(arguments.iter().cloned()).collect();
        let peer = self.start_gateway(name, Core::Proxy, &arguments, environment)?;
        Ok(Arc::new(peer.over_tls(Arc::clone(&tls.client))))
    }

    fn start_gateway(
        &self,
        name: &str,
        core: Core,
        arguments: &[String],
        environment: &[(&'static str, String)],
    ) -> anyhow::Result<Peer> {
        let upstream = format!("http://{}", self.upstream.address);
        let arguments = [&["gateway".to_owned(), "--upstream".to_owned(), upstream], arguments].concat();
        let (directory, store) = (self.directory.path(), self.store_fixture.redis.url());
        let environment = environment.to_vec();
        peers::gatepost_peer(GatepostProcess::start(StartOptions {
            program: None,
            directory,
            name,
            arguments,
            store,
            core,
            environment,
        })?)
    }
}
