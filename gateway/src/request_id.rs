//! Ids of requests: a random start for each process, then a counter, so that no request waits for randomness.

use std::sync::atomic::{AtomicU64, Ordering};

use gatepost_domain::base62;
use http::HeaderValue;
use rand::RngExt;

/// Digits of 64 bits in base 62.
const DIGITS: u32 = 11;

/// Generator of ids: `req_` and 22 digits.
#[derive(Debug)]
pub(crate) struct RequestIds {
    start: String,
    next: AtomicU64,
}

/// An id, made once and shared by the headers that carry it.
#[derive(Debug, Clone)]
pub(crate) struct RequestId(HeaderValue);

impl RequestId {
    pub(crate) fn header(&self) -> HeaderValue {
        self.0.clone()
    }

    pub(crate) fn as_str(&self) -> &str {
        self.0.to_str().unwrap_or_default()
    }
}

impl RequestIds {
    pub(crate) fn new() -> Self {
        let mut rng = gatepost_store::os_rng();
        let mut start = "req_".to_owned();
        base62::push_number(&mut start, rng.random_range(0..=u64::MAX), DIGITS);
        Self { start, next: AtomicU64::new(0) }
    }

    pub(crate) fn next(&self) -> RequestId {
        let mut id = String::with_capacity(self.start.len() + DIGITS as usize);
        id.push_str(&self.start);
        base62::push_number(&mut id, self.next.fetch_add(1, Ordering::Relaxed), DIGITS);
        RequestId(HeaderValue::try_from(id).expect("letters and digits are a header's value"))
    }
}
