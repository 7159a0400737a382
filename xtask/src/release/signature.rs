//! Checksums of a release, and their signature.

use std::path::{Path, PathBuf};

use anyhow::{Context, bail};

use super::{DIRECTORY, VERSION, files};
use crate::run::{create_empty_directory, root, run};

/// The public key that users have, from the root.
const PUBLIC_KEY: &str = "deploy/release/gatepost.pub";

/// Who signs.
pub(super) enum Signer {
    /// A key that is removed after the run, and trusted by nobody.
    ThrowAway,
    /// The owner of this secret key.
    Operator(PathBuf),
}

impl Signer {
    /// Checks, before hours of work, that a secret key fits the public one. minisign asks for its password.
    pub(super) fn operator(key: &Path) -> anyhow::Result<Self> {
        check_key_files(key, &root().join(PUBLIC_KEY))?;
        let key = key.canonicalize()?;
        let directory = root().join(DIRECTORY).join("probe");
        create_empty_directory(&directory)?;
        let probe = directory.join("probe");
        std::fs::write(&probe, VERSION)?;
        let result = sign_file(&key, &probe).and_then(|()| {
            verify_file(&root().join(PUBLIC_KEY), &probe)
                .with_context(|| format!("{} is not the secret key of {PUBLIC_KEY}", key.display()))
        });
        std::fs::remove_dir_all(directory)?;
        result?;
        Ok(Self::Operator(key))
    }

    /// Writes checksums and signature, and the public key next to them.
    pub(super) fn sign(&self, kit: &Path) -> anyhow::Result<()> {
        files::write_checksums(kit)?;
        let (sums, public) = (kit.join("SHA256SUMS"), kit.join("gatepost.pub"));
        match self {
            Self::Operator(key) => {
                std::fs::copy(root().join(PUBLIC_KEY), &public)?;
                sign_file(key, &sums)?;
            }
            Self::ThrowAway => {
                let key = kit.with_file_name("throw-away.key");
                run("minisign", &["-G", "-W", "-f", "-p", &text(&public), "-s", &text(&key)])?;
                let signed = sign_file(&key, &sums);
                std::fs::remove_file(&key)?;
                signed?;
            }
        }
        verify_file(&public, &sums)
    }

    /// Returns what to know about the result.
    pub(super) fn remark(&self) -> &'static str {
        match self {
            Self::Operator(_) => "",
            Self::ThrowAway => ", signed with a key that does not exist any more: not for publication",
        }
    }
}

fn check_key_files(secret: &Path, public: &Path) -> anyhow::Result<()> {
    let start = std::fs::read_to_string(secret)
        .with_context(|| format!("cannot read the secret key {} (--dry-run needs none)", secret.display()))?;
    if !start.lines().next().is_some_and(|line| line.contains("minisign") && line.contains("secret key")) {
        bail!("{} is not a secret key of minisign; `minisign -G -s FILE` makes one", secret.display());
    }
    if !public.is_file() {
        bail!(
            "{} is missing: commit the public key before the release; `minisign -R -s {} -p {0}` writes it",
            public.display(),
            secret.display()
        );
    }
    Ok(())
}

fn sign_file(key: &Path, file: &Path) -> anyhow::Result<()> {
    let comment = format!("gatepost {VERSION}");
    run("minisign", &["-S", "-s", &text(key), "-m", &text(file), "-x", &text(&signature_of(file)), "-t", &comment])
}

fn verify_file(public: &Path, file: &Path) -> anyhow::Result<()> {
    run("minisign", &["-V", "-q", "-p", &text(public), "-m", &text(file)])
}

fn signature_of(file: &Path) -> PathBuf {
    file.with_extension("minisig")
}

fn text(path: &Path) -> String {
    path.display().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_key_is_named_with_what_to_do() {
        let directory = tempfile::tempdir().unwrap();
        let [secret, public] = ["secret", "public"].map(|name| directory.path().join(name));
        let error = |expected: &str| {
            let error = check_key_files(&secret, &public).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        };
        error("secret (--dry-run needs none)");
        std::fs::write(&secret, "something else\n").unwrap();
        error("is not a secret key of minisign; `minisign -G -s FILE` makes one");
        std::fs::write(&secret, "untrusted comment: minisign encrypted secret key\n").unwrap();
        error("public is missing: commit the public key before the release");
        std::fs::write(&public, "untrusted comment: minisign public key\n").unwrap();
        check_key_files(&secret, &public).unwrap();
    }
}
