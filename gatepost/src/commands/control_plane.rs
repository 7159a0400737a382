//! `gatepost control-plane`: the admin API, with a deliverer unless others do that.

use crate::cli::{ControlPlaneOptions, Options};
use crate::parts::{Missing, Process, stop_control_plane};
use crate::probes::Outage;

pub(crate) async fn run(options: &Options, control_plane: &ControlPlaneOptions) -> anyhow::Result<()> {
    let process = Process::start(super::load_shared(options)?, Missing::Refused, Outage::Stops).await?;
    let server = process.control_plane(process.use_cases()?).await?;
    let deliverer = if control_plane.no_deliverer { None } else { Some(process.deliverer()?) };
    process.run_until_signal().await?;
    stop_control_plane(server).await;
    if let Some(deliverer) = deliverer {
        deliverer.stop().await;
    }
    process.stop().await;
    Ok(())
}
