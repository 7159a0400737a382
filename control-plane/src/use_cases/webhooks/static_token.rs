//! The static token of a webhook: what receivers of the hosted product check in `theauthapi-signature`.

use gatepost_domain::id::WebhookId;
use gatepost_domain::key::{self, Secret};
use gatepost_domain::record::Sealed;
use gatepost_store::os_rng;

use crate::control_plane::ControlPlane;
use crate::failure::{Failure, Result};

/// Fewest and most characters of a static token of one's own choice.
const STATIC_TOKEN_CHARS: std::ops::RangeInclusive<usize> = 16..=256;

/// What is asked of the header `theauthapi-signature`.
#[derive(Debug, Clone)]
pub enum TokenRequest {
    /// It shall not be sent.
    Off,
    /// It shall be sent: with the token that there is, else with one that is drawn.
    On,
    /// It shall be sent with this token.
    Chosen(String),
}

/// What a request asks of the static token.
pub fn token_request(is_sent: Option<bool>, token: Option<String>) -> Result<Option<TokenRequest>> {
    match (is_sent, token) {
        (None, None) => Ok(None),
        (Some(false), None) => Ok(Some(TokenRequest::Off)),
        (Some(true), None) => Ok(Some(TokenRequest::On)),
        (None | Some(true), Some(token)) => Ok(Some(TokenRequest::Chosen(token))),
        (Some(false), Some(_)) => {
            Err(Failure::invalid("theauthapiToken: is of no use if theauthapiSignature is false"))
        }
    }
}

/// A static token of one's own choice: visible ASCII, as it becomes a header.
pub(super) fn parse_static_token(token: String) -> Result<Secret> {
    let is_visible = token.bytes().all(|byte| byte.is_ascii_graphic());
    if is_visible && STATIC_TOKEN_CHARS.contains(&token.len()) {
        return Ok(Secret::new(token));
    }
    let (min, max) = (STATIC_TOKEN_CHARS.start(), STATIC_TOKEN_CHARS.end());
    Err(Failure::invalid(format!("theauthapiToken: must be {min} to {max} visible ASCII characters")))
}

impl ControlPlane {
    /// What is stored of a static token, and what is told of it: only one that was set now.
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
        Ok((Some(self.store.seal_static_token(id, &token)?), Some(token)))
    }
}
