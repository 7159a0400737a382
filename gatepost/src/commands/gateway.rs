//! `gatepost gateway`: a gateway of several.

use crate::cli::Options;
use crate::parts::{Missing, Process};
use crate::probes::Outage;

pub(crate) async fn run(options: &Options) -> anyhow::Result<()> {
    let process = Process::start(super::load_shared(options)?, Missing::Refused, Outage::Bridged).await?;
    let gateway = process.gateway().await?;
    process.run_until_signal().await?;
    gateway.stop().await;
    process.stop().await;
    Ok(())
}
