//! The SBOM of a release: all software in the program, in the format of CycloneDX.

use std::env::consts::ARCH;
use std::path::Path;

use anyhow::{Context, bail};
use serde_json::{Value, json};

use super::DIRECTORY;
use crate::install;
use crate::run::{create_empty_directory, root, run, run_with_env};
use crate::third_party;

/// Where the version of htmx stands.
const ASSETS: &str = "admin/assets/README.md";

/// Writes the SBOM at the time of the commit. Without a random serial number, two are equal.
pub(super) fn write(file: &Path, time: &str) -> anyhow::Result<()> {
    let tool = install::release_tool(install::CARGO_CYCLONEDX)?;
    // The tool writes a file for each crate, next to its manifest.
    let sources = root().join(DIRECTORY).join("sources");
    create_empty_directory(&sources)?;
    let sources_text = sources.display().to_string();
    run("git", &["checkout-index", "--all", &format!("--prefix={sources_text}/")])?;
    let manifest = sources.join("gatepost/Cargo.toml").display().to_string();
    let target = format!("{ARCH}-unknown-linux-gnu");
    let package = ["cyclonedx", "--quiet", "--manifest-path", &manifest, "--target", &target, "--no-build-deps"];
    let format = ["--format", "json", "--spec-version", "1.5", "--override-filename", "sbom"];
    let environment = [("SOURCE_DATE_EPOCH", time)];
    run_with_env(&tool.display().to_string(), &[&package[..], &format].concat(), &environment)?;
    let text = std::fs::read_to_string(sources.join("gatepost/sbom.json")).context("the tool wrote no SBOM")?;
    std::fs::remove_dir_all(&sources)?;
    // Where it was made is of no interest, and would differ.
    let text = text.replace(&sources_text, "/gatepost");
    let mut sbom: Value = serde_json::from_str(&text)?;
    add_htmx(&mut sbom)?;
    check_crates(&sbom)?;
    Ok(std::fs::write(file, serde_json::to_string_pretty(&sbom)? + "\n")?)
}

/// Adds what is in the program and not from crates.io.
fn add_htmx(sbom: &mut Value) -> anyhow::Result<()> {
    let assets = std::fs::read_to_string(root().join(ASSETS)).with_context(|| format!("cannot read {ASSETS}"))?;
    let version = assets.split("npm `htmx.org` ").nth(1).and_then(|rest| rest.split(',').next());
    let version = version.with_context(|| format!("{ASSETS} has no version of htmx"))?;
    let purl = format!("pkg:npm/htmx.org@{version}");
    let htmx = json!({
        "type": "library", "bom-ref": purl, "name": "htmx.org", "version": version, "scope": "required",
        "licenses": [{"license": {"id": "0BSD"}}], "purl": purl,
    });
    sbom["components"].as_array_mut().context("the SBOM has no components")?.push(htmx);
    Ok(())
}

/// Checks that no crate is missing.
fn check_crates(sbom: &Value) -> anyhow::Result<()> {
    let components = sbom["components"].as_array().into_iter().flatten();
    let listed: Vec<String> = components
        .filter_map(|part| Some(format!("{} {}", part["name"].as_str()?, part["version"].as_str()?)))
        .collect();
    let crates = third_party::linked_crates(&[&format!("{ARCH}-unknown-linux-gnu")])?;
    match crates.iter().find(|name| !listed.contains(name)) {
        Some(missing) => bail!("the SBOM has no {missing}"),
        None => Ok(()),
    }
}
