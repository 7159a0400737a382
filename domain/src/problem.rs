//! Error codes and the response body of every error.
//!
//! Only [`ErrorCode`] knows HTTP statuses. The body follows RFC 9457, with the additional members that clients
//! of the hosted product read.

use std::borrow::Cow;
use std::fmt::Write as _;

use crate::redact::redact;

/// Media type of [`Problem::to_json`].
pub const CONTENT_TYPE: &str = "application/problem+json";

/// Declares the closed list once, so that the enum, its list and its attributes cannot diverge.
macro_rules! error_codes {
    ($($name:ident $code:literal $status:literal $title:literal)*) => {
        /// Error code of a response. Codes are part of the API and never change.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum ErrorCode {
            $(#[doc = concat!($title, " (", stringify!($status), ").")] $name,)*
        }

        impl ErrorCode {
            /// All codes.
            pub const ALL: &[ErrorCode] = &[$(ErrorCode::$name,)*];

            /// Returns the name used in bodies, logs and metrics.
            pub const fn code(self) -> &'static str {
                match self { $(ErrorCode::$name => $code,)* }
            }

            /// Returns the HTTP status.
            pub const fn status(self) -> u16 {
                match self { $(ErrorCode::$name => $status,)* }
            }

            /// Returns the code in words, the same for every occurrence.
            pub const fn title(self) -> &'static str {
                match self { $(ErrorCode::$name => $title,)* }
            }

            /// Returns the problem type of RFC 9457. It is a URN and not a link because there is no hosted page
            /// about it.
            pub const fn type_uri(self) -> &'static str {
                match self { $(ErrorCode::$name => concat!("urn:gatepost:problem:", $code),)* }
            }
        }
    };
}

error_codes! {
    BadRequest "bad-request" 400 "Bad request"
    BadPath "bad-path" 400 "Bad path"
    AmbiguousPath "ambiguous-path" 400 "Servers do not agree on the path"
    BadHost "bad-host" 400 "Bad host"
    InvalidJson "invalid-json" 400 "Invalid JSON"
    Validation "validation" 400 "Validation failed"
    WebhookAddressRefused "webhook-address-refused" 400 "Webhook address refused"
    MissingKey "missing-key" 401 "Missing API key"
    InvalidKey "invalid-key" 401 "Invalid API key"
    MissingAccessKey "missing-access-key" 401 "Missing access key"
    InvalidAccessKey "invalid-access-key" 401 "Invalid access key"
    Forbidden "forbidden" 403 "Forbidden"
    OriginNotAllowed "origin-not-allowed" 403 "Origin domain is not allowed for this API key"
    AddressNotAllowed "address-not-allowed" 403 "Address is not allowed for this API key"
    NotFound "not-found" 404 "Not found"
    NoRoute "no-route" 404 "No route"
    InvalidClientKey "invalid-client-key" 404 "Invalid client key"
    MethodNotAllowed "method-not-allowed" 405 "Method not allowed"
    RequestTimeout "request-timeout" 408 "Request timeout"
    Conflict "conflict" 409 "Conflict"
    IdempotencyInFlight "idempotency-in-flight" 409 "A request with this idempotency key has not ended"
    IdempotencyMismatch "idempotency-mismatch" 409 "Another request has used this idempotency key"
    TooManyWebhooks "too-many-webhooks" 409 "Too many webhooks"
    AccountFull "account-full" 409 "The account has all that it may have"
    LengthRequired "length-required" 411 "Length required"
    PreconditionFailed "precondition-failed" 412 "Precondition failed"
    BodyTooLarge "body-too-large" 413 "Body too large"
    UriTooLong "uri-too-long" 414 "URI too long"
    UnsupportedMediaType "unsupported-media-type" 415 "Unsupported media type"
    ExpectationFailed "expectation-failed" 417 "Expectation failed"
    MisdirectedRequest "misdirected-request" 421 "Misdirected request"
    RateLimited "rate-limited" 429 "Too many requests"
    DailyQuotaExceeded "daily-quota-exceeded" 429 "Daily request quota exceeded"
    MonthlyQuotaExceeded "monthly-quota-exceeded" 429 "Monthly request quota exceeded"
    HeaderTooLarge "header-too-large" 431 "Header too large"
    Internal "internal" 500 "Internal error"
    UnsupportedTransferEncoding "unsupported-transfer-encoding" 501 "Unsupported transfer encoding"
    UpstreamUnreachable "upstream-unreachable" 502 "Upstream unreachable"
    UpstreamTls "upstream-tls" 502 "TLS with the upstream failed"
    UpstreamInvalid "upstream-invalid" 502 "Invalid answer of the upstream"
    StoreUnavailable "store-unavailable" 503 "Store unavailable"
    Overloaded "overloaded" 503 "Overloaded"
    StreamFull "stream-full" 503 "Event stream full"
    ShuttingDown "shutting-down" 503 "Shutting down"
    UpstreamTimeout "upstream-timeout" 504 "Upstream timeout"
    UnsupportedVersion "unsupported-version" 505 "Unsupported HTTP version"
}

impl ErrorCode {
    /// Returns the reason phrase that HTTP defines for the status (RFC 9110).
    pub const fn reason_phrase(self) -> &'static str {
        match self.status() {
            400 => "Bad Request",
            401 => "Unauthorized",
            403 => "Forbidden",
            404 => "Not Found",
            405 => "Method Not Allowed",
            408 => "Request Timeout",
            409 => "Conflict",
            411 => "Length Required",
            412 => "Precondition Failed",
            413 => "Content Too Large",
            414 => "URI Too Long",
            415 => "Unsupported Media Type",
            417 => "Expectation Failed",
            421 => "Misdirected Request",
            429 => "Too Many Requests",
            431 => "Request Header Fields Too Large",
            501 => "Not Implemented",
            502 => "Bad Gateway",
            503 => "Service Unavailable",
            504 => "Gateway Timeout",
            505 => "HTTP Version Not Supported",
            _ => "Internal Server Error",
        }
    }
}

/// One error response.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Error code.
    pub code: ErrorCode,
    /// What is wrong with this request, for people. Never internal text.
    pub detail: Cow<'static, str>,
    /// The parts of the detail, if more than one thing is wrong with the request.
    parts: Vec<Cow<'static, str>>,
    /// Id of the request, as logged.
    pub request_id: Option<String>,
}

impl From<ErrorCode> for Problem {
    /// Uses the title as the detail.
    fn from(code: ErrorCode) -> Self {
        Self::new(code, code.title())
    }
}

impl Problem {
    /// Creates a problem with its own detail. Details repeat user input, so everything in the format of a key
    /// is masked.
    pub fn new(code: ErrorCode, detail: impl Into<Cow<'static, str>>) -> Self {
        let detail = match detail.into() {
            Cow::Owned(text) => Cow::Owned(redact(&text).into_owned()),
            Cow::Borrowed(text) => Cow::Borrowed(text),
        };
        Self { code, detail, parts: Vec::new(), request_id: None }
    }

    /// Combines two things that are wrong with a request. The code is the first one if they have two.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        let mut parts = self.parts();
        let further = other.parts().into_iter().filter(|part| !self.parts().contains(part));
        parts.extend(further.collect::<Vec<_>>());
        Self { detail: parts.join("; ").into(), parts, ..self }
    }

    /// Returns what is wrong with the request, one by one.
    pub fn parts(&self) -> Vec<Cow<'static, str>> {
        if self.parts.is_empty() { vec![self.detail.clone()] } else { self.parts.clone() }
    }

    /// Adds the id of the request.
    pub fn with_request_id(self, request_id: impl Into<String>) -> Self {
        Self { request_id: Some(request_id.into()), ..self }
    }

    /// Returns the text that clients of the hosted product show. It is the detail, except where the hosted product has a
    /// text of its own and the detail says more.
    pub fn message(&self) -> &str {
        let has_own = matches!(self.code, ErrorCode::MissingAccessKey | ErrorCode::RateLimited);
        if has_own { self.code.title() } else { &self.detail }
    }

    /// Returns the JSON body: the members of RFC 9457, `code` and `requestId`, and `statusCode`, `message` and
    /// `error` as in the hosted product.
    pub fn to_json(&self) -> String {
        let mut json = String::with_capacity(256 + 2 * self.detail.len());
        json.push('{');
        push_text(&mut json, "type", self.code.type_uri());
        push_text(&mut json, "title", self.code.title());
        push_number(&mut json, "status", self.code.status());
        push_text(&mut json, "detail", &self.detail);
        push_text(&mut json, "code", self.code.code());
        if let Some(request_id) = &self.request_id {
            push_text(&mut json, "requestId", request_id);
        }
        push_number(&mut json, "statusCode", self.code.status());
        push_text(&mut json, "message", self.message());
        push_text(&mut json, "error", self.code.reason_phrase());
        json.push('}');
        json
    }
}

fn push_text(json: &mut String, name: &str, value: &str) {
    push_name(json, name);
    push_escaped(json, value);
}

fn push_number(json: &mut String, name: &str, value: u16) {
    push_name(json, name);
    json.push_str(&value.to_string());
}

fn push_name(json: &mut String, name: &str) {
    if !json.ends_with('{') {
        json.push(',');
    }
    push_escaped(json, name);
    json.push(':');
}

/// Appends a JSON string. RFC 8259 section 7: quote, backslash and control characters must be escaped;
/// everything else is copied.
fn push_escaped(json: &mut String, text: &str) {
    json.push('"');
    for character in text.chars() {
        match character {
            '"' => json.push_str("\\\""),
            '\\' => json.push_str("\\\\"),
            '\n' => json.push_str("\\n"),
            '\r' => json.push_str("\\r"),
            '\t' => json.push_str("\\t"),
            '\0'..='\u{1f}' => {
                // Writing to a String cannot fail.
                let _ = write!(json, "\\u{:04x}", u32::from(character));
            }
            _ => json.push(character),
        }
    }
    json.push('"');
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::{Value, json};
    use std::collections::HashSet;

    #[test]
    fn the_body_has_rfc_9457_and_hosted_members() {
        let problem = Problem::from(ErrorCode::InvalidClientKey).with_request_id("req_1");
        assert_eq!(
            problem.to_json(),
            concat!(
                r#"{"type":"urn:gatepost:problem:invalid-client-key","title":"Invalid client key","status":404,"#,
                r#""detail":"Invalid client key","code":"invalid-client-key","requestId":"req_1","#,
                r#""statusCode":404,"message":"Invalid client key","error":"Not Found"}"#
            )
        );
    }

    #[test]
    fn a_custom_detail_is_detail_and_message() {
        let problem = Problem::new(ErrorCode::Validation, "name: is missing");
        let body: Value = serde_json::from_str(&problem.to_json()).unwrap();
        assert_eq!(
            body,
            json!({
                "type": "urn:gatepost:problem:validation", "title": "Validation failed", "status": 400,
                "detail": "name: is missing", "code": "validation",
                "statusCode": 400, "message": "name: is missing", "error": "Bad Request",
            })
        );
    }

    #[test]
    fn a_detail_that_says_more_leaves_the_hosted_message() {
        let problem = Problem::new(ErrorCode::RateLimited, "too many requests: try again in 6 s");
        let body: Value = serde_json::from_str(&problem.to_json()).unwrap();
        assert_eq!(body["detail"], json!("too many requests: try again in 6 s"));
        assert_eq!(body["message"], json!("Too many requests"));
    }

    #[test]
    fn hosted_messages_are_unchanged() {
        for (code, status, message) in [
            (ErrorCode::InvalidClientKey, 404, "Invalid client key"),
            (ErrorCode::OriginNotAllowed, 403, "Origin domain is not allowed for this API key"),
            (ErrorCode::RateLimited, 429, "Too many requests"),
            (ErrorCode::MonthlyQuotaExceeded, 429, "Monthly request quota exceeded"),
        ] {
            assert_eq!((code.status(), Problem::from(code).detail.as_ref()), (status, message));
        }
    }

    #[test]
    fn codes_are_distinct_kebab_case_errors() {
        let names: HashSet<&str> = ErrorCode::ALL.iter().map(|code| code.code()).collect();
        assert_eq!(names.len(), ErrorCode::ALL.len());
        for code in ErrorCode::ALL {
            let words = code.code().split('-');
            assert!(words.clone().all(|word| !word.is_empty() && word.bytes().all(|b| b.is_ascii_lowercase())));
            assert!((400..600).contains(&code.status()), "{code:?}");
            assert_eq!(code.reason_phrase() == "Internal Server Error", code.status() == 500, "{code:?}");
        }
    }

    proptest! {
        #[test]
        fn any_text_round_trips(
            index in 0..ErrorCode::ALL.len(), detail in any::<String>(), controls in "[\\x00-\\x1f\"\\\\\u{7f}\u{2028}]{0,8}",
            request_id in prop::option::of(any::<String>()),
        ) {
            let code = ErrorCode::ALL[index];
            let detail = detail + &controls;
            let problem = Problem { code, detail: detail.clone().into(), parts: Vec::new(), request_id: request_id.clone() };
            let body: Value = serde_json::from_str(&problem.to_json()).unwrap();
            prop_assert_eq!(&body["detail"], &json!(detail));
            prop_assert_eq!(&body["message"], &json!(problem.message()));
            prop_assert_eq!(body.get("requestId").cloned(), request_id.map(Value::from));
            prop_assert_eq!(&body["code"], &json!(code.code()));
            prop_assert_eq!(&body["status"], &body["statusCode"]);
        }
    }
}
