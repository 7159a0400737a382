//! A request to the admin API, and its response.

use http::HeaderMap;
use reqwest::Method;
use serde_json::Value;

/// A request. Parts of its path may be any text; they are encoded.
#[derive(Debug)]
pub(crate) struct ApiRequest {
    pub(crate) method: Method,
    pub(crate) path: Vec<String>,
    pub(crate) query: Vec<(&'static str, String)>,
    pub(crate) body: Option<Value>,
    /// Seconds for which the response waits until every gateway has applied the change.
    pub(crate) wait_s: Option<u32>,
}

/// A successful response.
#[derive(Debug)]
pub(crate) struct ApiResponse {
    pub(crate) body: Value,
    pub(crate) headers: HeaderMap,
}

impl ApiRequest {
    fn new(method: Method, path: &[&str], body: Option<Value>) -> Self {
        let path = path.iter().map(|&part| part.to_owned()).collect();
        Self { method, path, query: Vec::new(), body, wait_s: None }
    }

    pub(crate) fn get(path: &[&str]) -> Self {
        Self::new(Method::GET, path, None)
    }

    pub(crate) fn post(path: &[&str], body: Value) -> Self {
        Self::new(Method::POST, path, Some(body))
    }

    pub(crate) fn patch(path: &[&str], body: Value) -> Self {
        Self::new(Method::PATCH, path, Some(body))
    }

    pub(crate) fn delete(path: &[&str]) -> Self {
        Self::new(Method::DELETE, path, None)
    }

    pub(crate) fn with_query(self, query: Vec<(&'static str, String)>) -> Self {
        Self { query, ..self }
    }

    pub(crate) fn waiting(self, wait_s: Option<u32>) -> Self {
        Self { wait_s, ..self }
    }
}

impl ApiResponse {
    /// Returns the text of a header, if the response has it.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }
}
