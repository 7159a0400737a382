//! The static token of a webhook: what receivers of the hosted product check in `theauthapi-signature`.

use gatepost_domain::id::WebhookId;
use gatepost_domain::key::{self, Secret};
use gatepost_domain::record::Sealed;
use gatepost_store::os_rng;

use crate::control_plane::ControlPlane;
use crate::failure::{Failure, Result};

/// Characters of a static token that a caller chooses.
const STATIC_TOKEN_CHARS: std::ops::RangeInclusive<usize> = 16..=256;

/// A request for the header `theauthapi-signature`.
#[derive(Debug, Clone)]
pub enum TokenRequest {
    /// It is not sent.
    Off,
    /// It is sent with the stored token, or with a generated one if none is stored.
    On,
    /// It is sent with this token.
    Chosen(String),
}

/// Returns what a request asks for; none if it says nothing.
pub fn token_request(is_sent: Option<bool>, token: Option<String>) -> Result<Option<TokenRequest>> {
    match (is_sent, token) {
        (None, None) => Ok(None),
        (Some(false), None) => Ok(Some(TokenRequest::Off)),
        (Some(true), None) => Ok(Some(TokenRequest::On)),
        (None | Some(true), Some(token)) => Ok(Some(TokenRequest::Chosen(token))),
        (Some(false), Some(_)) => {
            Err(Failure::invalid("theauthapiToken: cannot be set if theauthapiSignature is false"))
        }
    }
}

/// Validates a chosen token: visible ASCII, as it becomes a header.
pub(super) fn parse_static_token(token: String) -> Result<Secret> {
    let is_visible = token.bytes().all(|byte| byte.is_ascii_graphic());
    if is_visible && STATIC_TOKEN_CHARS.contains(&token.len()) {
        return Ok(Secret::new(token));
    }
    let (min, max) = (STATIC_TOKEN_CHARS.start(), STATIC_TOKEN_CHARS.end());
    Err(Failure::invalid(format!("theauthapiToken: must be {min} to {max} visible ASCII characters")))
}

impl ControlPlane {
    /// Returns the token to store, and the token to show: only one that is set now.
    pub(super) fn resolve_static_token(
        &self,
        id: &WebhookId,
        stored: Option<Sealed>,
        request: TokenRequest,
    ) -> Result<(Option<Sealed>, Option<Secret>)> {
        let token = match (request, stored) {
            (TokenRequest::Off, _) => return Ok((None, None)),
            (TokenRequest::On, Some(before)) => return Ok((Some(before), None)),
            (TokenRequest::On, None) => key::generate_static_token(&mut os_rng()),
            (TokenRequest::Chosen(token), _) => parse_static_token(token)?,
        };
        Ok((Some(self.store.envelope().seal_static_token(id, &token)?), Some(token)))
    }
}
