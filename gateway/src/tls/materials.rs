//! What all listeners and upstreams of a configuration need from their files, read once.

use std::collections::HashMap;

use gatepost_domain::time::Timestamp;

use super::acceptor::TlsMaterial;
use super::server_config::TlsError;
use super::upstream::{UpstreamMaterial, UpstreamTlsError};
use crate::options::{ListenerOptions, UpstreamOptions};

/// The files of all listeners and upstreams with TLS, by their names.
#[derive(Debug, Default)]
pub struct TlsMaterials {
    listeners: HashMap<String, TlsMaterial>,
    upstreams: HashMap<String, UpstreamMaterial>,
}

/// TLS of a listener or an upstream that cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum TlsFault {
    #[error("TLS of listener {listener}")]
    Listener { listener: String, source: TlsError },
    #[error("TLS of upstream {upstream}")]
    Upstream { upstream: String, source: UpstreamTlsError },
}

impl TlsMaterials {
    /// Reads all files of a configuration. This blocks.
    ///
    /// # Errors
    /// All faults, in the order of the listeners and the upstreams.
    pub fn read(
        listeners: &[ListenerOptions],
        upstreams: &[UpstreamOptions],
        now: Timestamp,
    ) -> Result<Self, Vec<TlsFault>> {
        let (mut materials, mut faults) = (Self::default(), Vec::new());
        for options in listeners {
            let Some(tls) = &options.tls else { continue };
            let (name, fault) =
                (options.name.clone(), |source| TlsFault::Listener { listener: options.name.clone(), source });
            match TlsMaterial::load(tls, now) {
                Ok(material) => drop(materials.listeners.insert(name, material)),
                Err(errors) => faults.extend(errors.into_iter().map(fault)),
            }
        }
        for options in upstreams {
            let Some(tls) = &options.tls else { continue };
            let (name, fault) =
                (options.name.clone(), |source| TlsFault::Upstream { upstream: options.name.clone(), source });
            match UpstreamMaterial::load(tls, now) {
                Ok(material) => drop(materials.upstreams.insert(name, material)),
                Err(errors) => faults.extend(errors.into_iter().map(fault)),
            }
        }
        if faults.is_empty() { Ok(materials) } else { Err(faults) }
    }

    pub(crate) fn take_listener(&mut self, name: &str) -> Option<TlsMaterial> {
        self.listeners.remove(name)
    }

    pub(crate) fn take_upstream(&mut self, name: &str) -> Option<UpstreamMaterial> {
        self.upstreams.remove(name)
    }
}
