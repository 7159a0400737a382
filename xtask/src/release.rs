//! `cargo xtask release`: makes everything of a release in one directory, and tries each part as its users would.

mod files;
mod programs;
mod sbom;
mod signature;

use std::path::Path;

use anyhow::{Context, bail};

use crate::run::{output_of, print_progress, root, run};
use crate::{ReleaseOptions, bare_machine, deploy, dist, install, third_party};
use programs::Optimization;
use signature::Signer;

const VERSION: &str = env!("CARGO_PKG_VERSION");
/// Parent of the directory of a version, from the root.
const DIRECTORY: &str = "target/release-kit";
/// The commands with which users check a download, which are run as they stand there.
const README: &str = "deploy/release/README.md";
const CHECKS: &str = "Checking a download";
/// Script that tries all packages in roots of a Debian.
const TRY: &str = "xtask/release/try.sh";

/// Makes a release, or everything but a release.
pub(crate) fn make(options: &ReleaseOptions) -> anyhow::Result<()> {
    install::packages_of_releases()?;
    let signer = match &options.key {
        Some(key) => Signer::operator(key)?,
        None => Signer::ThrowAway,
    };
    if !options.dry_run {
        check_tree()?;
    }
    third_party::check()?;
    deploy::install_tools()?;
    let programs = programs::build(match &options.profile {
        Some(profile) => Optimization::Profile(profile),
        None if options.guided || !options.dry_run => Optimization::Guided,
        None => Optimization::Profile(dist::PROFILE),
    })?;
    let kit = root().join(DIRECTORY).join(VERSION);
    files::make_twice(&programs, &kit)?;
    signer.sign(&kit)?;
    check(&kit)?;
    print_progress(&format!("xtask: {} is complete{}", kit.display(), signer.remark()));
    Ok(())
}

/// Makes and tries everything, with a key of its own.
pub(crate) fn rehearse() -> anyhow::Result<()> {
    make(&ReleaseOptions { dry_run: true, key: None, profile: None, guided: false })
}

/// Checks that the tree is the one that the tag of this version names, and that the changelog has a section of it.
fn check_tree() -> anyhow::Result<()> {
    let changes = output_of("git", &["status", "--porcelain"])?;
    if !changes.is_empty() {
        bail!("the tree has changes that are not committed:\n{changes}");
    }
    let tag = format!("v{VERSION}");
    let tags = output_of("git", &["tag", "--points-at", "HEAD"])?;
    if !tags.lines().any(|found| found == tag) {
        bail!("this commit has no tag {tag}; run: git tag --sign {tag}");
    }
    let changelog = std::fs::read_to_string(root().join("CHANGELOG.md")).context("cannot read CHANGELOG.md")?;
    if !changelog.lines().any(|line| line.starts_with(&format!("## {VERSION} "))) {
        bail!("CHANGELOG.md has no section of {VERSION} with a date");
    }
    Ok(())
}

/// Checks the packages and the signature, and installs each package.
fn check(kit: &Path) -> anyhow::Result<()> {
    run("lintian", &["--fail-on", "error,warning", &files::package(kit, "deb")?])?;
    let readme = std::fs::read_to_string(root().join(README)).with_context(|| format!("cannot read {README}"))?;
    let kit = kit.display().to_string();
    for block in blocks(&readme, CHECKS) {
        run("sh", &["-ec", &format!("cd '{kit}'\n{block}")])?;
    }
    let missing = bare_machine::missing_requirements();
    if !missing.is_empty() {
        print_progress(&format!("xtask: installations SKIPPED: this machine lacks {}", missing.join(", ")));
        return Ok(());
    }
    bare_machine::SUITES.iter().try_for_each(|suite| run("sh", &[TRY, &kit, suite]))
}

/// Returns the blocks of shell commands in a section.
fn blocks<'a>(text: &'a str, section: &str) -> Vec<&'a str> {
    let section = text.split("\n## ").find(|found| found.lines().next() == Some(section)).unwrap_or_default();
    section.split("\n```sh\n").skip(1).filter_map(|block| Some(block.split_once("\n```")?.0)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checks_of_a_download_are_found() {
        let readme = std::fs::read_to_string(root().join(README)).unwrap();
        let blocks = blocks(&readme, CHECKS);
        for command in ["minisign -V ", "sha256sum --check ", "jq "] {
            assert!(blocks.iter().any(|block| block.contains(command)), "{command}: {blocks:?}");
        }
    }
}
