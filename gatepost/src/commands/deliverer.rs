//! `gatepost deliverer`: one of several processes that send webhooks.

use crate::cli::Options;
use crate::probes::StoreOutage;
use crate::process::Process;
use crate::signals::Signals;
use crate::store::StoreInit;
use crate::systemd::InheritedSockets;

pub(crate) async fn run(options: &Options, sockets: InheritedSockets) -> anyhow::Result<()> {
    let mut signals = Signals::install()?;
    let config = super::load_for_shared_store(options)?;
    let sockets = sockets.assign(&config, &[])?;
    let started = Process::start(&mut signals, config, sockets, StoreInit::MustExist, StoreOutage::NotReady).await?;
    let Some(process) = started else { return Ok(()) };
    let deliverer = process.start_deliverer()?;
    process.mark_started();
    let ended = process.run(&mut signals).await;
    let draining = async {
        deliverer.stop().await;
        process.stop().await;
    };
    signals.drain(draining).await;
    ended.into_result()
}
