//! Cursors of lists: positions that clients hand back. They are sealed, for a position may name a record that its
//! client does not see, and nobody else can make one.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use gatepost_domain::record::Sealed;

use crate::error::Result;
use crate::store::Store;

impl Store {
    /// Seals a position in a list as a text that is safe in a URL. The same position is always the same text.
    ///
    /// # Errors
    /// If the position is too long to seal.
    pub fn seal_cursor(&self, list: &str, position: &str) -> Result<String> {
        let sealed = self.envelope.seal_deterministic(&cursor_aad(list), position)?;
        Ok(URL_SAFE_NO_PAD.encode(sealed.0))
    }

    /// Opens a cursor of a list; none if it is not one of this list and this store.
    pub fn open_cursor(&self, list: &str, cursor: &str) -> Option<String> {
        let sealed = Sealed(URL_SAFE_NO_PAD.decode(cursor).ok()?);
        let position = self.envelope.unseal(&cursor_aad(list), &sealed).ok()?;
        String::from_utf8(position.to_vec()).ok()
    }
}

/// To what a cursor is bound, so that it opens as nothing else.
fn cursor_aad(list: &str) -> String {
    format!("cursor/{list}")
}
