//! Records that are created together with a secret.

use gatepost_domain::key::Secret;
use gatepost_store::Versioned;

/// A created record with its value, which is returned only once.
#[derive(Debug)]
pub struct CreatedWithSecret<T> {
    pub record: Versioned<T>,
    pub secret: Secret,
}
