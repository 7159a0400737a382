//! `gatepost demo`: shows everything at once.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};

use gatepost_control_plane::NewAccessKey;
use gatepost_domain::record::Role;

use crate::cli::DemoOptions;
use crate::config::{self, Overrides};
use crate::demo::story::{Places, Story};
use crate::demo::{receiver::Receiver, sample_api};
use crate::parts::{Process, stop_control_plane};
use crate::probes::Outage;
use crate::signals::Signals;
use crate::store::Missing;

/// The usual ports, taken when they are free.
const GATEWAY_PORT: u16 = 8080;
const ADMIN_PORT: u16 = 8081;
const OPS_PORT: u16 = 9464;

pub(crate) async fn run(options: &DemoOptions) -> anyhow::Result<()> {
    let directory = tempfile::tempdir()?;
    let upstream = sample_api::start().await?;
    let receiver = Receiver::start().await?;
    let store = format!("embedded:{}", directory.path().join("store").display());
    let mut signals = Signals::install()?;
    let config = configuration(&store, upstream)?;
    let started = Process::start(&mut signals, config, Missing::Created, Outage::Stops).await?;
    let Some(process) = started else { return Ok(()) };
    let use_cases = process.use_cases()?;
    let first = NewAccessKey { account_name: None, project: None, role: Role::Admin, name: "demo".to_owned() };
    let created = use_cases.create_access_key(first).await?;
    let gateway = process.gateway().await?;
    let server = process.control_plane(use_cases).await?;
    let deliverer = process.deliverer()?;
    let places = Places {
        gateway: gateway.gateway.address(),
        admin: server.address(),
        ops: process.ops_address(),
        upstream,
        receiver: receiver.address(),
    };
    process.started();
    let story = Story::new(places, created, receiver)?;
    let told = story.tell().await;
    if told.is_ok() && !options.exit {
        story.invite()?;
        signals.stop().await;
    }
    let draining = async {
        gateway.stop().await;
        stop_control_plane(server).await;
        deliverer.stop().await;
        process.stop().await;
    };
    signals.drain(draining).await;
    told
}

fn configuration(store: &str, upstream: SocketAddr) -> anyhow::Result<config::Config> {
    let value = |key, value: String| ("demo", key, value);
    let overrides = Overrides(vec![
        value("store.url", store.to_owned()),
        value("gateway.listen", free_or_any(GATEWAY_PORT).to_string()),
        value("control_plane.listen", free_or_any(ADMIN_PORT).to_string()),
        value("ops.listen", free_or_any(OPS_PORT).to_string()),
        value("gateway.upstream.app.servers", upstream.to_string()),
        value("webhooks.allow_private_networks", "true".to_owned()),
        value("log.filter", "warn".to_owned()),
    ]);
    Ok(config::of_overrides(&overrides)?)
}

/// The usual port if nobody has it, else any.
fn free_or_any(port: u16) -> SocketAddr {
    let usual = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    match TcpListener::bind(usual) {
        Ok(_) => usual,
        Err(_) => SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
    }
}
