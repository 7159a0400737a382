//! `gatepost control-plane`: the admin API, with a deliverer unless others do that.

use crate::cli::{ControlPlaneOptions, Options};
use crate::parts::{Process, stop_control_plane};
use crate::probes::Outage;
use crate::signals::Signals;
use crate::store::Missing;

pub(crate) async fn run(options: &Options, control_plane: &ControlPlaneOptions) -> anyhow::Result<()> {
    let mut signals = Signals::install()?;
    let config = super::load_shared(options)?;
    let started = Process::start(&mut signals, config, Missing::Refused, Outage::Stops).await?;
    let Some(process) = started else { return Ok(()) };
    let server = process.control_plane(process.use_cases()?).await?;
    let deliverer = if control_plane.no_deliverer { None } else { Some(process.deliverer()?) };
    let ended = process.run(&mut signals).await;
    let draining = async {
        stop_control_plane(server).await;
        if let Some(deliverer) = deliverer {
            deliverer.stop().await;
        }
        process.stop().await;
    };
    signals.drain(draining).await;
    ended.outcome()
}
