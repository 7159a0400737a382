//! Programs of earlier releases.

use std::path::{Path, PathBuf};

/// The release before this one.
pub(crate) const LAST_RELEASE: &str = "v0.1.0";

/// The program of a release, as `cargo xtask release NAME` has built it.
pub(crate) fn program(name: &str) -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let program = root.join("target/releases").join(name).join("gatepost");
    assert!(program.exists(), "{} is missing: run `cargo xtask release {name}`", program.display());
    program
}
