//! Programs of earlier releases, built from their commits, and golden stores.

use std::path::{Path, PathBuf};

use anyhow::{Context, bail};

use crate::run::{create_empty_directory, print_progress, root, run, run_with_env, succeeds};

/// Directory of the programs, relative to the root.
const DIRECTORY: &str = "target/releases";
/// File that lists the releases with name and commit.
const LIST: &str = "releases.toml";

#[derive(Debug, PartialEq, Eq)]
struct Release {
    name: String,
    commit: String,
}

/// Builds the programs of all earlier releases that are not built yet.
pub(crate) fn build_all() -> anyhow::Result<()> {
    read_releases()?.iter().try_for_each(|release| build(release).map(drop))
}

/// Builds the program of one release, and prints its path.
pub(crate) fn build_one(name: &str) -> anyhow::Result<()> {
    let program = build(&find_release(name)?)?;
    print_progress(&format!("xtask: {}", program.display()));
    Ok(())
}

/// Creates the golden stores of a release with its program.
pub(crate) fn make_golden(name: &str) -> anyhow::Result<()> {
    build(&find_release(name)?)?;
    run(
        "cargo",
        &["test", "--package", "gatepost", "--features", "golden", "--test", "e2e", "--locked", "golden_stores"],
    )
}

fn find_release(name: &str) -> anyhow::Result<Release> {
    let releases = read_releases()?;
    let names: Vec<String> = releases.iter().map(|release| release.name.clone()).collect();
    let release = releases.into_iter().find(|release| release.name == name);
    release.with_context(|| format!("unknown release {name}; {LIST} lists {}", names.join(", ")))
}

fn read_releases() -> anyhow::Result<Vec<Release>> {
    let text = std::fs::read_to_string(root().join(LIST)).with_context(|| format!("cannot read {LIST}"))?;
    Ok(parse(&text))
}

/// Parses the list. It only contains tables of `name` and `commit`, each on its own line.
fn parse(text: &str) -> Vec<Release> {
    let value = |table: &str, key: &str| {
        let line = table.lines().find_map(|line| line.trim().strip_prefix(key)?.trim().strip_prefix('='));
        line.map(|value| value.trim().trim_matches('"').to_owned())
    };
    let tables = text.split("[[release]]").skip(1);
    tables.filter_map(|table| Some(Release { name: value(table, "name")?, commit: value(table, "commit")? })).collect()
}

fn build(release: &Release) -> anyhow::Result<PathBuf> {
    let directory = root().join(DIRECTORY).join(&release.name);
    let program = directory.join("gatepost");
    if program.exists() {
        return Ok(program);
    }
    print_progress(&format!("xtask: building {} from commit {}: a few minutes", release.name, release.commit));
    let source = directory.join("source");
    check_out(release, &source)?;
    let (manifest, target) = (source.join("Cargo.toml"), directory.join("target"));
    let arguments = ["build", "--release", "--locked", "--package", "gatepost", "--manifest-path"];
    let target = [("CARGO_TARGET_DIR", text(&target)?)];
    run_with_env("cargo", &[&arguments[..], &[text(&manifest)?]].concat(), &target)?;
    std::fs::copy(directory.join("target/release/gatepost"), &program)?;
    for directory_name in ["source", "target"] {
        std::fs::remove_dir_all(directory.join(directory_name))?;
    }
    Ok(program)
}

/// Writes the files of a release's commit into a directory.
fn check_out(release: &Release, directory: &Path) -> anyhow::Result<()> {
    let commit = format!("{}^{{commit}}", release.commit);
    if !succeeds("git", &["-C", text(&root())?, "cat-file", "-e", &commit]) {
        bail!("the commit {} of {} is missing in this clone; run: git fetch --unshallow", release.commit, release.name);
    }
    create_empty_directory(directory)?;
    let archive = directory.with_extension("tar");
    run("git", &["archive", "--output", text(&archive)?, &release.commit])?;
    run("tar", &["--extract", "--file", text(&archive)?, "--directory", text(directory)?])?;
    Ok(std::fs::remove_file(archive)?)
}

fn text(path: &Path) -> anyhow::Result<&str> {
    path.to_str().with_context(|| format!("{} is not UTF-8", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn list_of_releases_is_parsed() {
        let release = |name: &str, commit: &str| Release { name: name.to_owned(), commit: commit.to_owned() };
        let text = "# x\n[[release]]\nname = \"v1\"\ncommit = \"aa\"\n\n[[release]]\nname = \"v2\"\ncommit = \"bb\"\n";
        assert_eq!(parse(text), [release("v1", "aa"), release("v2", "bb")]);
        assert!(read_releases().unwrap().iter().all(|release| release.commit.len() == 40));
    }
}
