//! `gatepost control-plane`: the admin API, with a deliverer unless `--no-deliverer` is set.

use crate::cli::{ControlPlaneOptions, Options};
use crate::probes::StoreOutage;
use crate::process::{Process, stop_control_plane};
use crate::signals::Signals;
use crate::store::StoreInit;
use crate::systemd::{InheritedSockets, Part};

pub(crate) async fn run(
    options: &Options,
    control_plane: &ControlPlaneOptions,
    sockets: InheritedSockets,
) -> anyhow::Result<()> {
    let mut signals = Signals::install()?;
    let config = super::load_for_shared_store(options)?;
    let sockets = sockets.assign(&config, &[Part::ControlPlane])?;
    let started = Process::start(&mut signals, config, sockets, StoreInit::MustExist, StoreOutage::NotReady).await?;
    let Some(process) = started else { return Ok(()) };
    let server = process.start_control_plane(process.build_use_cases()?).await?;
    let deliverer = if control_plane.no_deliverer { None } else { Some(process.start_deliverer()?) };
    process.mark_started();
    let ended = process.run(&mut signals).await;
    let draining = async {
        stop_control_plane(server).await;
        if let Some(deliverer) = deliverer {
            deliverer.stop().await;
        }
        process.stop().await;
    };
    signals.drain(draining).await;
    ended.into_result()
}
