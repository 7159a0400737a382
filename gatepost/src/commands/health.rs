//! `gatepost health`: asks a process on this machine whether it is well, for containers without a shell.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, anyhow, bail};
use gatepost_webhook_client::root_cause;
use reqwest::{Client, redirect};

use crate::admin_url::reachable_address;
use crate::cli::{HealthOptions, Options};
use crate::output;

/// Time until the whole response is there. Those who check a container wait a few seconds.
const DEADLINE: Duration = Duration::from_secs(2);
/// Maximum size of the response in bytes.
const MAX_BODY_BYTES: usize = 64 * 1024;

/// Prints what the operations server says.
///
/// # Errors
/// If it does not respond in time, or responds that the process is not well.
pub(crate) async fn run(options: &Options, health: &HealthOptions) -> anyhow::Result<()> {
    let address = match health.address {
        Some(address) => address,
        None => super::load(options)?.ops.listen,
    };
    let (path, failure) = if health.live { ("livez", "not alive") } else { ("readyz", "not ready") };
    let asking = ask(reachable_address(address), path);
    let (is_well, body) = tokio::time::timeout(DEADLINE, asking)
        .await
        .with_context(|| format!("{address} did not respond within {} s", DEADLINE.as_secs()))??;
    if !is_well {
        bail!("the process at {address} is {failure}: {body}");
    }
    output::print_line(&body)
}

/// Returns whether the response is a success, and its body.
async fn ask(address: SocketAddr, path: &str) -> anyhow::Result<(bool, String)> {
    let client = Client::builder().no_proxy().redirect(redirect::Policy::none()).build()?;
    let response = client.get(format!("http://{address}/{path}")).send().await;
    let no_response =
        |error| anyhow!("{address} did not respond: {}; name another address with --address", root_cause(error));
    let mut response = response.map_err(no_response)?;
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await? {
        if body.len() + chunk.len() > MAX_BODY_BYTES {
            bail!("the response of {address} is too long: it is not that of Gatepost");
        }
        body.extend_from_slice(&chunk);
    }
    Ok((response.status().is_success(), String::from_utf8_lossy(&body).trim_end().to_owned()))
}
