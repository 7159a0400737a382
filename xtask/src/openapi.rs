//! The OpenAPI document as tools from outside see it: validators accept it, and clients that generators make of it
//! create, list and revoke a key at a running server.

use std::path::{Path, PathBuf};

use anyhow::Context;

use crate::gatepost_server::GatepostServer;
use crate::run::{Presence, check_installed, root, run, run_with_env};

/// What stands in the source tree: lists of packages, and a program for each client.
const SOURCES: &str = "xtask/openapi";
/// Where everything else is put, below target.
const DIRECTORY: &str = "openapi";
/// Writes what is at a URL to a file.
const FETCH: &str = "import sys, urllib.request as r\n\
     page = r.build_opener(r.ProxyHandler({})).open(sys.argv[1], timeout=30).read()\n\
     open(sys.argv[2], 'wb').write(page)";
/// The Rust client has no TLS and the same version always, so that a lock file can name it.
const RUST: &str = "packageName=gatepost_client,packageVersion=0.0.0,library=reqwest";
/// Keeps the linter from calling out.
const QUIET_LINTER: [(&str, &str); 2] = [("REDOCLY_TELEMETRY", "off"), ("REDOCLY_SUPPRESS_UPDATE_NOTICE", "true")];

/// Keeps the generator from naming every file that it writes.
const QUIET_GENERATOR: [(&str, &str); 1] = [("JAVA_OPTS", "-Dlog.level=error")];

/// Where the tools and what they make are.
struct Workspace {
    sources: PathBuf,
    directory: PathBuf,
    document: String,
}

/// Checks the document of a server that runs, and calls the server with each client.
pub(crate) fn check() -> anyhow::Result<()> {
    let directory = root().join("target").join(DIRECTORY);
    std::fs::create_dir_all(&directory)?;
    let document = path_text(&directory.join("openapi.json"));
    let workspace = Workspace { sources: root().join(SOURCES), directory, document };
    workspace.install()?;
    let server = GatepostServer::start("openapi-store")?;
    let url = format!("http://{}/openapi.json", server.address);
    run(&workspace.python_program("python"), &["-c", FETCH, &url, &workspace.document])?;
    workspace.validate()?;
    let host = format!("http://{}", server.address);
    let environment = [("HOST", host.as_str()), ("ACCESS_KEY", &server.access_key), ("NO_PROXY", "127.0.0.1")];
    workspace.python_client(&environment).context("the client of openapi-python-client")?;
    workspace.typescript_client(&environment).context("the client of openapi-typescript")?;
    workspace.rust_client(&environment).context("the client of openapi-generator")
}

impl Workspace {
    fn install(&self) -> anyhow::Result<()> {
        let (venv, pip) = (path_text(&self.directory.join("venv")), self.python_program("pip"));
        if check_installed(&pip, &["--version"]) == Presence::Missing {
            run("python3", &["-m", "venv", "--clear", &venv])?;
        }
        let requirements = path_text(&self.sources.join("requirements.txt"));
        run(&pip, &["install", "--quiet", "--disable-pip-version-check", "--requirement", &requirements])?;
        let node = self.directory.join("node");
        std::fs::create_dir_all(&node)?;
        for file in ["package.json", "package-lock.json", "tsconfig.json", "client.ts"] {
            std::fs::copy(self.sources.join(file), node.join(file)).with_context(|| format!("cannot copy {file}"))?;
        }
        run("npm", &["ci", "--silent", "--no-audit", "--no-fund", "--prefix", &path_text(&node)])
    }

    /// Every rule that validators have by default, warnings as well, but for what the configuration leaves out.
    fn validate(&self) -> anyhow::Result<()> {
        run(&self.python_program("openapi-spec-validator"), &[&self.document])?;
        let rules = path_text(&self.sources.join("redocly.yaml"));
        let arguments = ["lint", &self.document, "--config", &rules, "--format", "stylish"];
        run_with_env(&self.node_program("redocly"), &arguments, &QUIET_LINTER)
    }

    fn python_client(&self, environment: &[(&str, &str)]) -> anyhow::Result<()> {
        let client = self.create_empty_directory("python-client")?;
        let (package, config) =
            (path_text(&client.join("gatepost_client")), path_text(&self.sources.join("python.yml")));
        let arguments = ["--path", &self.document, "--output-path", &package, "--config", &config];
        let generate = ["generate", "--meta", "none", "--fail-on-warning"];
        run(&self.python_program("openapi-python-client"), &[&generate[..], &arguments].concat())?;
        let script = path_text(&self.sources.join("client.py"));
        run_with_env(&self.python_program("python"), &[&script, &path_text(&client)], environment)
    }

    /// The types are part of the client: a call that does not fit the document does not compile.
    fn typescript_client(&self, environment: &[(&str, &str)]) -> anyhow::Result<()> {
        let node = self.directory.join("node");
        run(
            &self.node_program("openapi-typescript"),
            &[&self.document, "--output", &path_text(&node.join("schema.d.ts"))],
        )?;
        run(&self.node_program("tsc"), &["--project", &path_text(&node)])?;
        run_with_env("node", &[&path_text(&node.join("built/client.js"))], environment)
    }

    fn rust_client(&self, environment: &[(&str, &str)]) -> anyhow::Result<()> {
        let client = path_text(&self.create_empty_directory("rust-client")?);
        let arguments =
            ["generate", "-g", "rust", "-i", &self.document, "-o", &client, "--additional-properties", RUST];
        run_with_env(&self.python_program("openapi-generator-cli"), &arguments, &QUIET_GENERATOR)?;
        let manifest = path_text(&self.sources.join("rust/Cargo.toml"));
        let target = path_text(&self.directory.join("rust-target"));
        let arguments = ["run", "--quiet", "--locked", "--manifest-path", &manifest, "--target-dir", &target];
        run_with_env("cargo", &arguments, environment)
    }

    /// A directory without what was generated before, which would hide that a generator has failed.
    fn create_empty_directory(&self, name: &str) -> anyhow::Result<PathBuf> {
        let directory = self.directory.join(name);
        if directory.exists() {
            std::fs::remove_dir_all(&directory)?;
        }
        std::fs::create_dir_all(&directory)?;
        Ok(directory)
    }

    /// A program of the Python environment.
    fn python_program(&self, program: &str) -> String {
        path_text(&self.directory.join("venv/bin").join(program))
    }

    /// A program of the npm packages.
    fn node_program(&self, program: &str) -> String {
        path_text(&self.directory.join("node/node_modules/.bin").join(program))
    }
}

fn path_text(path: &Path) -> String {
    path.display().to_string()
}
