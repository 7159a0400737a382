//! `gatepost gateway`: a gateway of several.

use crate::cli::Options;
use crate::parts::{Missing, Process};

pub(crate) async fn run(options: &Options) -> anyhow::Result<()> {
    let process = Process::start(super::load_shared(options)?, Missing::Refused).await?;
    let gateway = process.gateway().await?;
    process.run_until_signal().await?;
    gateway.stop().await;
    process.stop().await;
    Ok(())
}
