//! `gatepost gateway`: one of several gateways.

use crate::cli::Options;
use crate::probes::StoreOutage;
use crate::process::Process;
use crate::signals::Signals;
use crate::store::StoreInit;
use crate::systemd::{InheritedSockets, Part};

pub(crate) async fn run(options: &Options, sockets: InheritedSockets) -> anyhow::Result<()> {
    let mut signals = Signals::install()?;
    let config = super::load_for_shared_store(options)?;
    super::check_gateway(&config)?;
    let sockets = sockets.assign(&config, &[Part::Gateway])?;
    let started = Process::start(&mut signals, config, sockets, StoreInit::MustExist, StoreOutage::Degraded).await?;
    let Some(process) = started else { return Ok(()) };
    let gateway = process.start_gateway().await?;
    process.start_reloading(options.config_source(), &gateway, &mut signals)?;
    process.mark_started();
    let ended = process.run(&mut signals).await;
    let draining = async {
        gateway.stop().await;
        process.stop().await;
    };
    signals.drain(draining).await;
    ended.into_result()
}
