//! The certificate of `gatepost up --tls-self-signed`, for use on one machine.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;
use gatepost_domain::time::Timestamp;
use gatepost_gateway::{CertificateFiles, certificate_error};
use rcgen::{CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, KeyPair, date_time_ymd};

use crate::private_file;

/// What a browser on the same machine can ask for.
const NAMES: [&str; 3] = ["localhost", "127.0.0.1", "::1"];
/// Apple's systems accept no longer one, also of an authority that a user has added.
const VALIDITY: Duration = Duration::from_secs(825 * 24 * 3600);
/// Clocks of clients may be behind.
const VALID_BEFORE: Duration = Duration::from_secs(24 * 3600);
const CERT_FILE: &str = "self-signed.crt";
const KEY_FILE: &str = "self-signed.key";
const FLAG: &str = "--tls-self-signed";

/// Files of a certificate that no client trusts before it is given the certificate.
pub(crate) struct SelfSigned {
    cert: PathBuf,
    key: PathBuf,
}

/// Returns the certificate of a directory. Makes one if there is none that can be used: on the first start, and on one
/// after it has expired.
pub(crate) fn find_or_create(directory: &Path, now: Timestamp) -> anyhow::Result<SelfSigned> {
    let files = SelfSigned { cert: directory.join(CERT_FILE), key: directory.join(KEY_FILE) };
    let usable = CertificateFiles { cert: files.cert.clone(), key: files.key.clone() };
    if certificate_error(&usable, now).is_some() {
        create(&files, directory, now).context("cannot make a self-signed certificate")?;
    }
    Ok(files)
}

fn create(files: &SelfSigned, directory: &Path, now: Timestamp) -> anyhow::Result<()> {
    let key = KeyPair::generate()?;
    let mut params = CertificateParams::new(NAMES.map(str::to_owned))?;
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, "gatepost, self-signed");
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    let now = date_time_ymd(1970, 1, 1) + Duration::from_secs(now.as_seconds());
    params.not_before = now - VALID_BEFORE;
    params.not_after = now + VALIDITY - VALID_BEFORE;
    let certificate = params.self_signed(&key)?;
    private_file::create_directory(directory)?;
    private_file::replace(&files.key, &key.serialize_pem())?;
    private_file::replace(&files.cert, &certificate.pem())
}

impl SelfSigned {
    /// Returns the settings that use it.
    pub(crate) fn overrides(&self) -> [(&'static str, &'static str, String); 2] {
        [
            (FLAG, "gateway.tls_cert", self.cert.display().to_string()),
            (FLAG, "gateway.tls_key", self.key.display().to_string()),
        ]
    }

    /// Returns what people must know of it.
    pub(crate) fn warning(&self) -> String {
        format!(
            "the gateway's certificate is self-signed, for localhost and loopback addresses, and for use on this machine \
             only: clients must trust {}",
            self.cert.display()
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_is_kept_until_it_expires() {
        let directory = tempfile::tempdir().unwrap();
        let now = Timestamp::parse("2026-01-01").unwrap();
        let later = |days: u64| Timestamp::from_ms(now.as_seconds() * 1000 + days * 24 * 3_600_000);
        let text = |now| std::fs::read_to_string(find_or_create(directory.path(), now).unwrap().cert).unwrap();
        let first = text(now);
        assert_eq!(text(later(823)), first);
        let second = text(later(825));
        assert_ne!(second, first);
        std::fs::write(directory.path().join(KEY_FILE), "no key").unwrap();
        assert_ne!(text(later(825)), second, "a pair that does not fit is replaced");
    }
}
