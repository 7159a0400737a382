//! Programs of earlier releases.

use std::path::{Path, PathBuf};

/// Previous release.
pub(crate) const LAST_RELEASE: &str = "v0.1.0";

/// Returns the program of a release, which `cargo xtask earlier-release NAME` has built.
pub(crate) fn program(name: &str) -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let program = root.join("target/releases").join(name).join("gatepost");
    assert!(program.exists(), "{} is missing: run `cargo xtask earlier-release {name}`", program.display());
    program
}
