//! `cargo xtask pictures`: pictures of the dashboard, for its documents.

use crate::gatepost_server::GatepostServer;
use crate::packages;
use crate::run::{print_progress, root, run_with_env};

/// Directory of the pictures, relative to the root.
const IMAGES: &str = "docs/images";
const SCRIPT: &str = "gatepost/tests/browser/pictures.mjs";

/// Starts the program on a new store, and writes pictures of its pages, light and dark.
pub(crate) fn make() -> anyhow::Result<()> {
    packages::install_node()?;
    let server = GatepostServer::start("pictures-store")?;
    let images = root().join(IMAGES);
    std::fs::create_dir_all(&images)?;
    let (origin, gateway) = (format!("http://{}", server.address), format!("http://{}", server.gateway));
    let environment = [
        ("DASHBOARD_ORIGIN", origin.as_str()),
        ("GATEWAYS", &gateway),
        ("ACCESS_KEY", &server.access_key),
        ("IMAGES", &images.display().to_string()),
        ("NO_PROXY", "127.0.0.1"),
    ];
    run_with_env("node", &[&root().join(SCRIPT).display().to_string()], &environment)?;
    print_progress(&format!("xtask: look at the pictures in {IMAGES}"));
    Ok(())
}
