//! Failures of a request after its authorization.

use std::io;

use gatepost_domain::problem::ErrorCode;
use pingora::{Error, ErrorSource, ErrorType};
use rustls::{AlertDescription, CertificateError};

use crate::metrics::TryResult;
use crate::response_check::ResponseError;
use crate::tls::UpstreamHandshakeError;

/// Returns the problem of a failure, or none if the client has closed the connection.
pub(crate) fn error_code(error: &Error) -> Option<ErrorCode> {
    match (error.etype(), error.esource()) {
        (ErrorType::HTTPStatus(413), _) => Some(ErrorCode::BodyTooLarge),
        (ErrorType::WriteError | ErrorType::ReadError | ErrorType::ConnectionClosed, ErrorSource::Downstream) => None,
        (ErrorType::ReadTimedout, ErrorSource::Downstream) => Some(ErrorCode::RequestTimeout),
        (_, ErrorSource::Downstream) => Some(ErrorCode::BadRequest),
        (ErrorType::ReadTimedout | ErrorType::WriteTimedout, _) => Some(ErrorCode::UpstreamTimeout),
        (ErrorType::ConnectTimedout | ErrorType::TLSHandshakeTimedout, _) => Some(ErrorCode::UpstreamTimeout),
        (ErrorType::TLSHandshakeFailure, _) => Some(ErrorCode::UpstreamTls),
        (_, ErrorSource::Upstream) if is_timeout(error) => Some(ErrorCode::UpstreamTimeout),
        (_, ErrorSource::Upstream) if is_tls_error(error) => Some(ErrorCode::UpstreamTls),
        (_, ErrorSource::Upstream) if is_connect_error(error) => Some(ErrorCode::UpstreamUnreachable),
        (_, ErrorSource::Upstream) => Some(ErrorCode::UpstreamInvalid),
        (_, ErrorSource::Internal | ErrorSource::Unset) => Some(ErrorCode::Internal),
    }
}

/// Returns the result of a try that failed so.
pub(crate) fn try_result(error: &Error) -> TryResult {
    match error_code(error) {
        None | Some(ErrorCode::BodyTooLarge | ErrorCode::RequestTimeout | ErrorCode::BadRequest) => TryResult::Client,
        Some(ErrorCode::UpstreamUnreachable) => TryResult::Connect,
        Some(ErrorCode::UpstreamTls) => TryResult::Tls,
        Some(ErrorCode::UpstreamTimeout) => TryResult::Timeout,
        Some(ErrorCode::UpstreamInvalid) if is_closed(error) => TryResult::Closed,
        Some(ErrorCode::UpstreamInvalid) => TryResult::Invalid,
        Some(_) => TryResult::Internal,
    }
}

/// Logs a failure without its context, into which Pingora puts raw headers.
pub(crate) fn log(error: &Error, request_id: &str) {
    let (kind, side) = (error.etype().as_str(), error.esource().as_str());
    let fault = error.root_cause().downcast_ref::<io::Error>().map(ToString::to_string);
    tracing::debug!(request_id, kind, side, cause = fault.as_deref(), "a request failed");
}

/// Returns the cause of a failure for the access log. It contains no text of a client or an upstream.
pub(crate) fn reason(error: &Error) -> &str {
    match (response_error(error), tls_error(error)) {
        (Some(fault), _) => fault.as_str(),
        (None, Some(fault)) => tls_reason(fault).unwrap_or(error.etype().as_str()),
        (None, None) => error.etype().as_str(),
    }
}

/// Returns why TLS with an upstream failed, if there is something to mend.
#[expect(clippy::wildcard_enum_match_arm, reason = "the library adds kinds of errors")]
fn tls_reason(error: &rustls::Error) -> Option<&'static str> {
    Some(match error {
        rustls::Error::InvalidCertificate(error) => match error {
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
                "the certificate of the server does not have the configured name"
            }
            CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
                "the certificate of the server has expired"
            }
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
                "the certificate of the server is not valid yet"
            }
            CertificateError::UnknownIssuer => "the certificate of the server comes from an unknown authority",
            _ => "the certificate of the server is not valid",
        },
        rustls::Error::AlertReceived(AlertDescription::CertificateRequired) => "the server requires a certificate",
        rustls::Error::AlertReceived(
            AlertDescription::BadCertificate
            | AlertDescription::UnsupportedCertificate
            | AlertDescription::CertificateRevoked
            | AlertDescription::CertificateExpired
            | AlertDescription::CertificateUnknown
            | AlertDescription::UnknownCA,
        ) => "the server refused our certificate",
        rustls::Error::AlertReceived(_) => "the server ended TLS with an alert",
        rustls::Error::InvalidMessage(_) => "the server does not speak TLS",
        _ => return None,
    })
}

/// Returns the fault for which the stream to the upstream refused a response.
fn response_error(error: &Error) -> Option<&ResponseError> {
    let io_error = error.root_cause().downcast_ref::<io::Error>()?;
    io_error.get_ref()?.downcast_ref()
}

/// Returns whether the connection to the upstream ended too early.
fn is_closed(error: &Error) -> bool {
    let is_end = matches!(error.etype(), ErrorType::ConnectionClosed | ErrorType::ReadError | ErrorType::WriteError);
    is_end && response_error(error).is_none()
}

/// Returns whether the stream to the upstream timed out.
fn is_timeout(error: &Error) -> bool {
    let io_error = error.root_cause().downcast_ref::<io::Error>();
    io_error.is_some_and(|error| error.kind() == io::ErrorKind::TimedOut)
}

/// Returns whether the upstream broke TLS off. In TLS 1.3 it may refuse our certificate after the handshake.
fn is_tls_error(error: &Error) -> bool {
    tls_error(error).is_some()
}

/// Returns the error of TLS with an upstream, in the handshake or after it.
fn tls_error(error: &Error) -> Option<&rustls::Error> {
    let cause = error.root_cause();
    let handshake = cause.downcast_ref::<UpstreamHandshakeError>().map(|error| &error.0);
    handshake.or_else(|| cause.downcast_ref::<io::Error>())?.get_ref()?.downcast_ref()
}

fn is_connect_error(error: &Error) -> bool {
    matches!(
        error.etype(),
        ErrorType::ConnectError | ErrorType::ConnectRefused | ErrorType::ConnectNoRoute | ErrorType::SocketError
    )
}
