//! `gatepost deliverer`: sends webhooks, one of several.

use crate::cli::Options;
use crate::parts::{Missing, Process};
use crate::probes::Outage;

pub(crate) async fn run(options: &Options) -> anyhow::Result<()> {
    let process = Process::start(super::load_shared(options)?, Missing::Refused, Outage::Stops).await?;
    let deliverer = process.deliverer()?;
    process.run_until_signal().await?;
    deliverer.stop().await;
    process.stop().await;
    Ok(())
}
