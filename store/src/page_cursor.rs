//! Page cursors: list positions that clients send back. They are sealed, because a position may name a record that the
//! client cannot see, and so that clients cannot forge one.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use gatepost_domain::record::Sealed;

use crate::envelope::Envelope;
use crate::error::Result;

impl Envelope {
    /// Seals a list position as URL-safe text. The same position always gives the same text.
    ///
    /// # Errors
    /// [`StoreErrorKind::Corrupt`](crate::StoreErrorKind::Corrupt) if the position is too long to encrypt.
    pub fn seal_cursor(&self, list: &str, position: &str) -> Result<String> {
        let sealed = self.seal_deterministic(&cursor_aad(list), position)?;
        Ok(URL_SAFE_NO_PAD.encode(sealed.0))
    }

    /// Opens a list cursor; `None` if it does not belong to this list and this store.
    pub fn open_cursor(&self, list: &str, cursor: &str) -> Option<String> {
        let sealed = Sealed(URL_SAFE_NO_PAD.decode(cursor).ok()?);
        let position = self.unseal(&cursor_aad(list), &sealed).ok()?;
        String::from_utf8(position.to_vec()).ok()
    }
}

/// Associated data that binds a cursor to its list.
fn cursor_aad(list: &str) -> String {
    format!("cursor/{list}")
}
