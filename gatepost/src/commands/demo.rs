//! `gatepost demo`: runs everything in one process on a temporary store.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};

use gatepost_control_plane::NewAccessKey;
use gatepost_domain::key::Secret;
use gatepost_domain::record::Role;

use crate::cli::DemoOptions;
use crate::config::{self, Overrides};
use crate::dashboard_url;
use crate::demo::activity::Activity;
use crate::demo::admin_api::AdminApi;
use crate::demo::walkthrough::{Addresses, Walkthrough};
use crate::demo::{receiver::Receiver, sample_api, unreliable_receiver};
use crate::person::Terminal;
use crate::probes::StoreOutage;
use crate::process::{Process, stop_control_plane};
use crate::signals::Signals;
use crate::store::StoreInit;
use crate::systemd::ListenerSockets;

/// Default ports, used if they are free.
const GATEWAY_PORT: u16 = 8080;
const ADMIN_PORT: u16 = 8081;
const OPS_PORT: u16 = 9464;

pub(crate) async fn run(options: &DemoOptions) -> anyhow::Result<()> {
    let directory = tempfile::tempdir()?;
    let upstream = sample_api::start().await?;
    let receiver = Receiver::start().await?;
    let store = format!("embedded:{}", directory.path().join("store").display());
    let mut signals = Signals::install()?;
    let config = demo_config(&store, upstream)?;
    let started = Process::start(
        &mut signals,
        config,
        ListenerSockets::default(),
        StoreInit::CreateIfMissing,
        StoreOutage::NotReady,
    )
    .await?;
    let Some(process) = started else { return Ok(()) };
    let use_cases = process.build_use_cases()?;
    let first = NewAccessKey { account_name: None, project: None, role: Role::Admin, name: "demo".to_owned() };
    let created = use_cases.create_access_key(first).await?;
    let gateway = process.start_gateway().await?;
    let server = process.start_control_plane(use_cases.clone()).await?;
    let deliverer = process.start_deliverer()?;
    let addresses = Addresses {
        gateway: gateway.gateway.addresses().await[0],
        admin: server.address(),
        ops: process.ops_address(),
        upstream,
        receiver: receiver.address(),
    };
    process.mark_started();
    if let Some(dashboard) = process.dashboard_url(&server)
        && let Some(terminal) = Terminal::find()
    {
        dashboard_url::print_link(terminal, &use_cases, &dashboard).await;
    }
    let result = present(options, addresses, created.secret, receiver, &mut signals).await;
    let draining = async {
        gateway.stop().await;
        stop_control_plane(server).await;
        deliverer.stop().await;
        process.stop().await;
    };
    signals.drain(draining).await;
    result
}

/// Runs the walkthrough, and then shows a system in use until Ctrl-C.
async fn present(
    options: &DemoOptions,
    addresses: Addresses,
    access_key: Secret,
    receiver: Receiver,
    signals: &mut Signals,
) -> anyhow::Result<()> {
    let admin = AdminApi::new(addresses.admin, access_key)?;
    let walkthrough = Walkthrough::new(addresses, admin.clone(), receiver)?;
    let project = walkthrough.run().await?;
    if options.exit {
        return Ok(());
    }
    let unreliable = unreliable_receiver::start().await?;
    let activity = Activity::prepare(admin, addresses.gateway, &project, unreliable).await?;
    walkthrough.print_next_steps(&project)?;
    tokio::select! {
        () = activity.run() => {}
        () = signals.wait_for_stop() => {}
    }
    Ok(())
}

fn demo_config(store: &str, upstream: SocketAddr) -> anyhow::Result<config::Config> {
    let value = |key, value: String| ("demo", key, value);
    let overrides = Overrides(vec![
        value("store.url", store.to_owned()),
        value("gateway.listen", usual_or_any_port(GATEWAY_PORT).to_string()),
        value("control_plane.listen", usual_or_any_port(ADMIN_PORT).to_string()),
        value("ops.listen", usual_or_any_port(OPS_PORT).to_string()),
        value("gateway.upstream.app.servers", upstream.to_string()),
        value("webhooks.allow_private_networks", "true".to_owned()),
        // So few that no limit of open files is worth a warning before the first line.
        value("gateway.max_connections", "1000".to_owned()),
        value("log.filter", "warn".to_owned()),
    ]);
    Ok(config::from_overrides(&overrides)?)
}

/// Returns the usual port if it is free, else any port.
fn usual_or_any_port(port: u16) -> SocketAddr {
    let usual = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    match TcpListener::bind(usual) {
        Ok(_) => usual,
        Err(_) => SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
    }
}
