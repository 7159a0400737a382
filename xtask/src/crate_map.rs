//! The map of crates in ARCHITECTURE: its arrows are the dependencies that cargo knows.

use std::collections::BTreeSet;
use std::process::Command;

use anyhow::{Context, bail};
use serde_json::Value;

use crate::run::root;

/// What the names of the crates begin with.
const PREFIX: &str = "gatepost-";
/// Crates that the map leaves out: tools, which may depend on anything.
const TOOLS: &[&str] = &["benches", "fuzz", "test-support", "xtask"];

/// Compares the arrows of the map with cargo's metadata.
pub(crate) fn check() -> anyhow::Result<()> {
    let drawn = drawn(&std::fs::read_to_string(root().join("ARCHITECTURE.md"))?);
    let metadata = Command::new("cargo")
        .args(["metadata", "--no-deps", "--offline", "--format-version", "1"])
        .current_dir(root())
        .output()
        .context("cannot run cargo metadata")?;
    let known = known(&serde_json::from_slice(&metadata.stdout).context("cargo metadata failed")?);
    let missing = known.difference(&drawn).map(|(from, to)| format!("  missing: {from} --> {to}"));
    let wrong = drawn.difference(&known).map(|(from, to)| format!("  not a dependency: {from} --> {to}"));
    let faults: Vec<String> = missing.chain(wrong).collect();
    if faults.is_empty() {
        Ok(())
    } else {
        bail!("the map of crates in ARCHITECTURE.md differs:\n{}", faults.join("\n"))
    }
}

type Arrows = BTreeSet<(String, String)>;

/// The arrows of the first Mermaid picture: `from --> to` and `from --> to & other`.
fn drawn(text: &str) -> Arrows {
    let picture = text.split("```mermaid").nth(1).and_then(|rest| rest.split("```").next()).unwrap_or_default();
    let mut arrows = Arrows::new();
    for (from, to) in picture.lines().filter_map(|line| line.split_once("-->")) {
        arrows.extend(to.split('&').map(|to| (from.trim().to_string(), to.trim().to_string())));
    }
    arrows
}

/// The dependencies between crates of the program; those for tests and builds are left out.
fn known(metadata: &Value) -> Arrows {
    let mut arrows = Arrows::new();
    for package in metadata["packages"].as_array().into_iter().flatten() {
        let from = short(&package["name"]);
        let dependencies = package["dependencies"].as_array().into_iter().flatten();
        let used = dependencies.filter(|dependency| dependency["kind"].is_null() && !dependency["path"].is_null());
        arrows.extend(used.map(|dependency| (from.clone(), short(&dependency["name"]))));
    }
    arrows.retain(|(from, to)| !TOOLS.contains(&from.as_str()) && !TOOLS.contains(&to.as_str()));
    arrows
}

fn short(name: &Value) -> String {
    let name = name.as_str().unwrap_or_default();
    name.strip_prefix(PREFIX).unwrap_or(name).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arrows(arrows: &[(&str, &str)]) -> Arrows {
        arrows.iter().map(|(from, to)| ((*from).to_string(), (*to).to_string())).collect()
    }

    #[test]
    fn arrows_of_the_picture_are_read() {
        let text = "# Map\n```mermaid\nflowchart TD\n  a --> b & c\n  b --> c\n```\n```mermaid\n  x --> y\n```";
        assert_eq!(drawn(text), arrows(&[("a", "b"), ("a", "c"), ("b", "c")]));
    }

    #[test]
    fn only_dependencies_of_the_program_are_arrows() {
        let metadata = serde_json::json!({ "packages": [
            { "name": "gatepost", "dependencies": [
                { "name": "gatepost-store", "kind": null, "path": "/store" },
                { "name": "gatepost-test-support", "kind": "dev", "path": "/test-support" },
                { "name": "serde", "kind": null }
            ]},
            { "name": "xtask", "dependencies": [{ "name": "gatepost-store", "kind": null, "path": "/store" }] }
        ]});
        assert_eq!(known(&metadata), arrows(&[("gatepost", "store")]));
    }
}
