//! `THIRD-PARTY.txt`: the crates in the program, with the texts of their licences.

use std::collections::BTreeSet;

use anyhow::{Context, bail};

use crate::install;
use crate::run::{output_of, print_progress, root};

/// The file, from the root. Packages, the tarball and the image contain it.
const FILE: &str = "THIRD-PARTY.txt";
const CONFIG: &str = "xtask/release/about.toml";
const TEMPLATE: &str = "xtask/release/about.hbs";
/// Targets of packages and of the tarball; cargo-about reads them from its configuration.
const TARGETS: &[&str] = &["x86_64-unknown-linux-gnu", "x86_64-unknown-linux-musl", "aarch64-unknown-linux-gnu"];
/// The line before the list of crates, and the one after it.
const LIST_START: &str = "Crates:";
const LIST_END: &str = "Licences:";

/// Writes the file anew, with cargo-about.
pub(crate) fn write() -> anyhow::Result<()> {
    let licences = licences()?;
    let crates = linked_crates(TARGETS)?;
    // cargo-about leaves out a crate without a licence, and does not fail.
    if let Some(missing) = crates.iter().find(|name| !licences.lines().any(|line| line.trim() == **name)) {
        bail!("cargo-about found no licence of {missing}: see {CONFIG}");
    }
    let list: String = crates.iter().map(|name| format!("    {name}\n")).collect();
    let text = licences.replacen(LIST_END, &format!("{LIST_START}\n\n{list}\n{LIST_END}"), 1);
    std::fs::write(root().join(FILE), text)?;
    print_progress(&format!("xtask: {} crates in {FILE}", crates.len()));
    Ok(())
}

/// Compares the list of crates in the file with the dependencies of the program.
pub(crate) fn check() -> anyhow::Result<()> {
    let text = std::fs::read_to_string(root().join(FILE)).with_context(|| format!("cannot read {FILE}"))?;
    let (crates, listed) = (linked_crates(TARGETS)?, listed_crates(&text));
    let new = crates.difference(&listed).map(|name| format!("+ {name}"));
    let gone = listed.difference(&crates).map(|name| format!("- {name}"));
    let differences: Vec<String> = new.chain(gone).collect();
    if differences.is_empty() {
        return Ok(());
    }
    bail!("{FILE} has other crates than the program; run `cargo xtask third-party`:\n{}", differences.join("\n"))
}

fn listed_crates(text: &str) -> BTreeSet<String> {
    let lines = text.lines().skip_while(|line| *line != LIST_START).skip(1).take_while(|line| *line != LIST_END);
    lines.map(str::trim).filter(|line| !line.is_empty()).map(str::to_owned).collect()
}

/// Returns names and versions of all crates from outside that are linked into the program, or compiled into it as
/// macros, for any of the targets.
pub(crate) fn linked_crates(targets: &[&str]) -> anyhow::Result<BTreeSet<String>> {
    let mut crates = BTreeSet::new();
    for target in targets {
        let edges = ["tree", "--locked", "--package", "gatepost", "--edges", "normal", "--target", target];
        let format = ["--prefix", "none", "--no-dedupe", "--format", "{p}"];
        let tree = output_of("cargo", &[&edges[..], &format].concat())?;
        // Crates of the workspace have their path behind the version, and procedural macros a word.
        let external = tree.lines().filter(|line| !line.contains("(/"));
        crates.extend(external.map(|line| line.trim_end_matches(" (proc-macro)").replacen(" v", " ", 1)));
    }
    Ok(crates)
}

/// Returns all licences with their crates, as the template says.
fn licences() -> anyhow::Result<String> {
    let tool = install::release_tool(install::CARGO_ABOUT)?;
    let package = ["about", "generate", "--locked", "--fail", "--manifest-path", "gatepost/Cargo.toml"];
    // Only texts in the crates themselves: a service on the network would say something else tomorrow.
    let rules = ["--offline", "--config", CONFIG, TEMPLATE];
    output_of(&tool.display().to_string(), &[&package[..], &rules].concat())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns the values of a list of strings in a TOML file.
    fn list(file: &str, start: &str) -> BTreeSet<String> {
        let text = std::fs::read_to_string(root().join(file)).unwrap();
        let (list, _) = text.split_once(&format!("\n{start} = [")).unwrap().1.split_once(']').unwrap();
        list.split('"').skip(1).step_by(2).map(str::to_owned).collect()
    }

    #[test]
    fn cargo_about_accepts_the_licences_and_targets_of_cargo_deny() {
        assert_eq!(list(CONFIG, "accepted"), list("deny.toml", "allow"));
        assert_eq!(list(CONFIG, "targets"), list("deny.toml", "targets"));
        assert_eq!(list(CONFIG, "targets"), TARGETS.iter().map(|target| (*target).to_owned()).collect());
    }

    #[test]
    fn crates_are_read_from_their_list() {
        let text = format!("x\n\n{LIST_START}\n\n    a 1.0.0\n    b 2.0.0+c\n\n{LIST_END}\n\n    d 1.0.0\n");
        assert_eq!(listed_crates(&text), ["a 1.0.0", "b 2.0.0+c"].map(str::to_owned).into());
    }
}
