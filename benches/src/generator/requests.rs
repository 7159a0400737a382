//! Requests of the load generator, which differ in their keys only.

use std::sync::Arc;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use super::transport::HOST;

/// One request in this number has an unknown key.
const UNKNOWN_KEY_EVERY: u64 = 10;

#[derive(Debug, Clone)]
pub(crate) enum Keys {
    RoundRobin(Arc<Vec<String>>),
    Random(Arc<Vec<String>>),
}

/// Unknown keys in one of ten requests.
#[derive(Debug, Clone)]
pub(crate) enum UnknownKeys {
    None,
    /// Each unknown key in turn.
    RoundRobin(Arc<Vec<String>>),
}

#[derive(Debug)]
pub(crate) struct Requests {
    head_prefix: String,
    keys: Keys,
    unknown_keys: UnknownKeys,
    body: Arc<Vec<u8>>,
    rng: StdRng,
    written: u64,
}

impl Requests {
    /// Returns GET requests for a path.
    pub(crate) fn get(path: &str, keys: Keys) -> Self {
        Self::new(format!("GET {path} HTTP/1.1\r\n"), keys, Vec::new())
    }

    /// Returns POST requests with a body.
    pub(crate) fn post(path: &str, keys: Keys, body: Vec<u8>) -> Self {
        Self::new(format!("POST {path} HTTP/1.1\r\nContent-Length: {}\r\n", body.len()), keys, body)
    }

    fn new(request_line: String, keys: Keys, body: Vec<u8>) -> Self {
        let head_prefix = format!("{request_line}Host: {HOST}\r\nUser-Agent: bench\r\nAccept: */*\r\n");
        let rng = StdRng::seed_from_u64(1);
        Self { head_prefix, keys, unknown_keys: UnknownKeys::None, body: Arc::new(body), rng, written: 0 }
    }

    pub(crate) fn with_unknown_keys(self, unknown_keys: UnknownKeys) -> Self {
        Self { unknown_keys, ..self }
    }

    /// Returns the body of each request.
    pub(super) fn body(&self) -> &[u8] {
        &self.body
    }

    /// Writes the header of the next request.
    pub(super) fn write_next(&mut self, to: &mut Vec<u8>) {
        self.written += 1;
        to.extend_from_slice(self.head_prefix.as_bytes());
        let number = usize::try_from(self.written - 1).unwrap_or_default();
        let key = match (&self.unknown_keys, &self.keys) {
            (UnknownKeys::RoundRobin(values), _) if self.written.is_multiple_of(UNKNOWN_KEY_EVERY) => {
                values.get(number / UNKNOWN_KEY_EVERY as usize % values.len())
            }
            (_, Keys::RoundRobin(keys)) => keys.get(number % keys.len()),
            (_, Keys::Random(keys)) => keys.get(self.rng.random_range(0..keys.len())),
        };
        if let Some(key) = key {
            to.extend_from_slice(b"X-API-Key: ");
            to.extend_from_slice(key.as_bytes());
            to.extend_from_slice(b"\r\n");
        }
        to.extend_from_slice(b"\r\n");
    }
}
