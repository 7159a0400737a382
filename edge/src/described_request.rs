//! Requests that a person describes, for an explanation of what the gateway would do.

use gatepost_domain::problem::ErrorCode;
use http::header::HOST;
use http::{HeaderMap, HeaderValue, Method, Version};

use crate::request_validation::{self, Destination};
use crate::request_view::{BodyLength, RequestView};

/// The parts of a request that its description names.
#[derive(Debug, Clone, Copy)]
pub struct DescribedRequest<'a> {
    pub method: &'a str,
    pub target: &'a str,
    pub host: Option<&'a str>,
}

/// Recipient of a described request that is valid.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DescribedDestination {
    /// An upstream, at this canonical path.
    Upstream(String),
    /// The gateway itself: `OPTIONS *`.
    Gateway,
}

impl DescribedRequest<'_> {
    /// Validates the request as [`request_validation::validate`] validates one that has no body and no other header.
    ///
    /// # Errors
    /// The code of the first fault.
    pub fn validate(&self) -> Result<DescribedDestination, ErrorCode> {
        let method = Method::from_bytes(self.method.as_bytes()).map_err(|_| ErrorCode::BadRequest)?;
        let mut headers = HeaderMap::new();
        if let Some(host) = self.host {
            headers.insert(HOST, HeaderValue::from_str(host).map_err(|_| ErrorCode::BadHost)?);
        }
        let view = RequestView {
            method: &method,
            // The version that requires no host.
            version: if self.host.is_some() { Version::HTTP_11 } else { Version::HTTP_10 },
            target: self.target.as_bytes(),
            authority: None,
            headers: &headers,
            header_bytes: self.target.len(),
            body: Ok(BodyLength::EMPTY),
            peer: None,
        };
        Ok(match request_validation::validate(&view)? {
            Destination::Upstream(valid) => DescribedDestination::Upstream(valid.resource.path.as_str().to_owned()),
            Destination::Gateway(_) => DescribedDestination::Gateway,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_described_request_is_validated_like_one_on_the_wire() {
        let upstream = |path: &str| Ok(DescribedDestination::Upstream(path.to_owned()));
        for (method, target, host, expected) in [
            ("GET", "/", None, upstream("/")),
            ("GET", "/%61%2Fb?x=1", Some("a.example:8080"), Err(ErrorCode::BadPath)),
            ("GET", "/%61/b?x=1", Some("a.example:8080"), upstream("/a/b")),
            ("get", "/", None, upstream("/")),
            ("OPTIONS", "*", None, Ok(DescribedDestination::Gateway)),
            ("GET", "*", None, Err(ErrorCode::BadPath)),
            ("G T", "/", None, Err(ErrorCode::BadRequest)),
            ("TRACE", "/", None, Err(ErrorCode::MethodNotAllowed)),
            ("GET", "/a/../b", None, Err(ErrorCode::BadPath)),
            ("GET", "/a%00", None, Err(ErrorCode::BadPath)),
            ("GET", "/a b", None, Err(ErrorCode::BadPath)),
            ("GET", "a", None, Err(ErrorCode::BadPath)),
            ("GET", "/", Some("a b"), Err(ErrorCode::BadHost)),
            ("GET", "/", Some("a\nb"), Err(ErrorCode::BadHost)),
            ("GET", "http://b.example/x", Some("a.example"), Err(ErrorCode::BadHost)),
        ] {
            assert_eq!(DescribedRequest { method, target, host }.validate(), expected, "{method} {target} {host:?}");
        }
    }
}
