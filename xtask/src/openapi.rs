//! The OpenAPI document as tools from outside see it: validators accept it, and clients that generators make of it
//! create, list and revoke a key at a running server.

use std::path::{Path, PathBuf};

use anyhow::Context;

use crate::run::{Presence, is_there, root, run, run_with};
use crate::server::Server;

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
struct Place {
    sources: PathBuf,
    directory: PathBuf,
    document: String,
}

/// Checks the document of a server that runs, and calls the server with each client.
pub(crate) fn check() -> anyhow::Result<()> {
    let directory = root().join("target").join(DIRECTORY);
    std::fs::create_dir_all(&directory)?;
    let document = text(&directory.join("openapi.json"));
    let place = Place { sources: root().join(SOURCES), directory, document };
    place.install()?;
    let server = Server::start("openapi-store")?;
    let url = format!("http://{}/openapi.json", server.address);
    run(&place.python("python"), &["-c", FETCH, &url, &place.document])?;
    place.validate()?;
    let host = format!("http://{}", server.address);
    let environment = [("HOST", host.as_str()), ("ACCESS_KEY", &server.access_key), ("NO_PROXY", "127.0.0.1")];
    place.python_client(&environment).context("the client of openapi-python-client")?;
    place.typescript_client(&environment).context("the client of openapi-typescript")?;
    place.rust_client(&environment).context("the client of openapi-generator")
}

impl Place {
    fn install(&self) -> anyhow::Result<()> {
        let (venv, pip) = (text(&self.directory.join("venv")), self.python("pip"));
        if is_there(&pip, &["--version"]) == Presence::Missing {
            run("python3", &["-m", "venv", "--clear", &venv])?;
        }
        let requirements = text(&self.sources.join("requirements.txt"));
        run(&pip, &["install", "--quiet", "--disable-pip-version-check", "--requirement", &requirements])?;
        let node = self.directory.join("node");
        std::fs::create_dir_all(&node)?;
        for file in ["package.json", "package-lock.json", "tsconfig.json", "client.ts"] {
            std::fs::copy(self.sources.join(file), node.join(file)).with_context(|| format!("cannot copy {file}"))?;
        }
        run("npm", &["ci", "--silent", "--no-audit", "--no-fund", "--prefix", &text(&node)])
    }

    /// Every rule that validators have by default, warnings as well, but for what the configuration leaves out.
    fn validate(&self) -> anyhow::Result<()> {
        run(&self.python("openapi-spec-validator"), &[&self.document])?;
        let rules = text(&self.sources.join("redocly.yaml"));
        let arguments = ["lint", &self.document, "--config", &rules, "--format", "stylish"];
        run_with(&self.node("redocly"), &arguments, &QUIET_LINTER)
    }

    fn python_client(&self, environment: &[(&str, &str)]) -> anyhow::Result<()> {
        let client = self.emptied("python-client")?;
        let (package, config) = (text(&client.join("gatepost_client")), text(&self.sources.join("python.yml")));
        let arguments = ["--path", &self.document, "--output-path", &package, "--config", &config];
        let strictly = ["generate", "--meta", "none", "--fail-on-warning"];
        run(&self.python("openapi-python-client"), &[&strictly[..], &arguments].concat())?;
        let story = text(&self.sources.join("client.py"));
        run_with(&self.python("python"), &[&story, &text(&client)], environment)
    }

    /// The types are part of the client: a call that does not fit the document does not compile.
    fn typescript_client(&self, environment: &[(&str, &str)]) -> anyhow::Result<()> {
        let node = self.directory.join("node");
        run(&self.node("openapi-typescript"), &[&self.document, "--output", &text(&node.join("schema.d.ts"))])?;
        run(&self.node("tsc"), &["--project", &text(&node)])?;
        run_with("node", &[&text(&node.join("built/client.js"))], environment)
    }

    fn rust_client(&self, environment: &[(&str, &str)]) -> anyhow::Result<()> {
        let client = text(&self.emptied("rust-client")?);
        let arguments =
            ["generate", "-g", "rust", "-i", &self.document, "-o", &client, "--additional-properties", RUST];
        run_with(&self.python("openapi-generator-cli"), &arguments, &QUIET_GENERATOR)?;
        let manifest = text(&self.sources.join("rust/Cargo.toml"));
        let target = text(&self.directory.join("rust-target"));
        let arguments = ["run", "--quiet", "--locked", "--manifest-path", &manifest, "--target-dir", &target];
        run_with("cargo", &arguments, environment)
    }

    /// A directory without what was generated before, which would hide that a generator has failed.
    fn emptied(&self, name: &str) -> anyhow::Result<PathBuf> {
        let directory = self.directory.join(name);
        if directory.exists() {
            std::fs::remove_dir_all(&directory)?;
        }
        std::fs::create_dir_all(&directory)?;
        Ok(directory)
    }

    /// A program of the Python environment.
    fn python(&self, program: &str) -> String {
        text(&self.directory.join("venv/bin").join(program))
    }

    /// A program of the npm packages.
    fn node(&self, program: &str) -> String {
        text(&self.directory.join("node/node_modules/.bin").join(program))
    }
}

fn text(path: &Path) -> String {
    path.display().to_string()
}
