//! Certificate authorities of tests.

use std::fs;
use std::path::{Path, PathBuf};

use rcgen::{BasicConstraints, CertificateParams, DistinguishedName, DnType, IsCa, Issuer, KeyPair};

/// An authority that issues certificates into a directory.
pub(crate) struct Authority {
    directory: PathBuf,
    issuer: Issuer<'static, KeyPair>,
    pub(crate) ca_file: PathBuf,
}

/// Certificate and key as files.
pub(crate) struct Files {
    pub(crate) cert: PathBuf,
    pub(crate) key: PathBuf,
}

impl Authority {
    pub(crate) fn create(directory: &Path, name: &str) -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new([]).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, name);
        let ca_file = directory.join(format!("{name}.pem"));
        fs::write(&ca_file, params.self_signed(&key).unwrap().pem()).unwrap();
        Self { directory: directory.to_owned(), issuer: Issuer::new(params, key), ca_file }
    }

    pub(crate) fn issue(&self, file: &str, names: &[&str]) -> Files {
        self.issue_with(file, names, |_| {})
    }

    /// Issues a certificate under a common name, which tells it from others of the same names.
    pub(crate) fn issue_as(&self, file: &str, names: &[&str], common_name: &str) -> Files {
        self.issue_with(file, names, |params| params.distinguished_name.push(DnType::CommonName, common_name))
    }

    pub(crate) fn issue_with(&self, file: &str, names: &[&str], edit: impl FnOnce(&mut CertificateParams)) -> Files {
        let key = KeyPair::generate().unwrap();
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let mut params = CertificateParams::new(names).unwrap();
        params.distinguished_name = DistinguishedName::new();
        edit(&mut params);
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        let files =
            Files { cert: self.directory.join(format!("{file}.pem")), key: self.directory.join(format!("{file}.key")) };
        fs::write(&files.cert, certificate.pem()).unwrap();
        fs::write(&files.key, key.serialize_pem()).unwrap();
        files
    }
}

impl Files {
    /// Returns the entry of the configuration.
    pub(crate) fn toml(&self) -> String {
        format!("{{ cert = {:?}, key = {:?} }}", self.cert.display().to_string(), self.key.display().to_string())
    }
}
