//! `gatepost gateway`: a gateway of several.

use crate::cli::Options;
use crate::parts::Process;
use crate::probes::Outage;
use crate::signals::Signals;
use crate::store::Missing;

pub(crate) async fn run(options: &Options) -> anyhow::Result<()> {
    let mut signals = Signals::install()?;
    let config = super::load_shared(options)?;
    let started = Process::start(&mut signals, config, Missing::Refused, Outage::Bridged).await?;
    let Some(process) = started else { return Ok(()) };
    let gateway = process.gateway().await?;
    let ended = process.run(&mut signals).await;
    let draining = async {
        gateway.stop().await;
        process.stop().await;
    };
    signals.drain(draining).await;
    ended.outcome()
}
