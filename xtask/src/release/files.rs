//! The files of a release.

use std::collections::BTreeSet;
use std::env::consts::ARCH;
use std::path::Path;

use anyhow::{Context, bail};

use super::programs::Programs;
use super::{VERSION, sbom};
use crate::deploy;
use crate::run::{create_empty_directory, output_of, root, run, run_with_env};

/// Script that makes all packages of a program.
const BUILD: &str = "deploy/packages/build.sh";

/// Makes all files in a directory, and once more, and compares them: equal sources give equal files.
pub(super) fn make_twice(programs: &Programs, kit: &Path) -> anyhow::Result<()> {
    let again = kit.with_file_name("again");
    for directory in [kit, &again] {
        create_empty_directory(directory)?;
        make(programs, directory)?;
    }
    let expected = names(programs.profile.is_some());
    for directory in [kit, &again] {
        let found = list(directory)?;
        if found != expected {
            bail!("{} has {found:?}, not {expected:?}", directory.display());
        }
    }
    for name in &expected {
        if std::fs::read(kit.join(name))? != std::fs::read(again.join(name))? {
            bail!("{name} differs when it is made twice: compare {} and {}", kit.display(), again.display());
        }
    }
    Ok(std::fs::remove_dir_all(again)?)
}

/// Returns the path of the one file with an extension.
pub(super) fn package(kit: &Path, extension: &str) -> anyhow::Result<String> {
    let name = list(kit)?.into_iter().find(|name| Path::new(name).extension().is_some_and(|found| found == extension));
    let name = name.with_context(|| format!("{} has no {extension}", kit.display()))?;
    Ok(kit.join(name).display().to_string())
}

fn make(programs: &Programs, directory: &Path) -> anyhow::Result<()> {
    let time = output_of("git", &["log", "-1", "--format=%ct"])?;
    let environment = [("SOURCE_DATE_EPOCH", time.trim()), ("VERSION", VERSION)];
    let [tools, directory_text] = [deploy::tools(), directory.to_owned()].map(|path| path.display().to_string());
    for program in [&programs.glibc, &programs.musl] {
        let with_nfpm = "PATH=\"$1:$PATH\" && shift && exec sh \"$@\"";
        let program = program.display().to_string();
        run_with_env("sh", &["-c", with_nfpm, "sh", &tools, BUILD, &program, &directory_text], &environment)?;
    }
    sbom::write(&directory.join(sbom_name()), time.trim())?;
    std::fs::copy(root().join("THIRD-PARTY.txt"), directory.join("THIRD-PARTY.txt"))?;
    if let Some(profile) = &programs.profile {
        std::fs::copy(profile, directory.join(profile_name()))?;
    }
    Ok(())
}

/// Writes the checksums of all files.
pub(super) fn write_checksums(kit: &Path) -> anyhow::Result<()> {
    // A list of all names before the file itself exists.
    let names: Vec<String> = list(kit)?.into_iter().collect();
    let script = "cd \"$1\" && shift && sha256sum -- \"$@\" >SHA256SUMS";
    let arguments = ["-ec", script, "sh", &kit.display().to_string()].map(str::to_owned);
    let arguments: Vec<&str> = arguments.iter().chain(&names).map(String::as_str).collect();
    run("sh", &arguments)
}

fn names(has_profile: bool) -> BTreeSet<String> {
    let debian_architecture = if ARCH == "aarch64" { "arm64" } else { "amd64" };
    let names = [
        format!("gatepost_{VERSION}_{debian_architecture}.deb"),
        format!("gatepost-{VERSION}-1.{ARCH}.rpm"),
        format!("gatepost_{VERSION}_{ARCH}.apk"),
        format!("gatepost-{VERSION}-{ARCH}-linux-musl.tar.gz"),
        sbom_name(),
        "THIRD-PARTY.txt".to_owned(),
    ];
    names.into_iter().chain(has_profile.then(profile_name)).collect()
}

fn sbom_name() -> String {
    format!("gatepost-{VERSION}.cdx.json")
}

fn profile_name() -> String {
    format!("gatepost-{VERSION}-{ARCH}.profdata")
}

fn list(directory: &Path) -> anyhow::Result<BTreeSet<String>> {
    let mut names = BTreeSet::new();
    for entry in std::fs::read_dir(directory).with_context(|| format!("cannot read {}", directory.display()))? {
        names.insert(entry?.file_name().to_string_lossy().into_owned());
    }
    Ok(names)
}
