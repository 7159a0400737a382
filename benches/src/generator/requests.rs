//! What the load generator sends: one request line, and a key that changes from request to request.

use std::sync::Arc;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

/// The share of strangers among requests: one of so many.
const UNKNOWN_KEY_EVERY: u64 = 10;

/// Keys of which each request names one.
#[derive(Debug, Clone)]
pub(crate) enum Keys {
    /// One after the other, from the first.
    RoundRobin(Arc<Vec<String>>),
    /// Any of them.
    Random(Arc<Vec<String>>),
}

/// Values that no key has, in one of ten requests.
#[derive(Debug, Clone)]
pub(crate) enum UnknownKeys {
    /// None.
    None,
    /// One after the other, from the first again when they end.
    RoundRobin(Arc<Vec<String>>),
}

/// A source of requests.
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
    /// GET requests for a path.
    pub(crate) fn get(path: &str, keys: Keys) -> Self {
        Self::new(format!("GET {path} HTTP/1.1\r\n"), keys, Vec::new())
    }

    /// POST requests with a body.
    pub(crate) fn post(path: &str, keys: Keys, body: Vec<u8>) -> Self {
        Self::new(format!("POST {path} HTTP/1.1\r\nContent-Length: {}\r\n", body.len()), keys, body)
    }

    fn new(request_line: String, keys: Keys, body: Vec<u8>) -> Self {
        let head_prefix = format!("{request_line}Host: bench.example\r\nUser-Agent: bench\r\nAccept: */*\r\n");
        let rng = StdRng::seed_from_u64(1);
        Self { head_prefix, keys, unknown_keys: UnknownKeys::None, body: Arc::new(body), rng, written: 0 }
    }

    /// The same with values that no key has.
    pub(crate) fn with_unknown_keys(self, unknown_keys: UnknownKeys) -> Self {
        Self { unknown_keys, ..self }
    }

    /// The body of each.
    pub(super) fn body(&self) -> &[u8] {
        &self.body
    }

    /// Writes the header of the next one.
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
