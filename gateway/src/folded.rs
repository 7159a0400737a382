//! Names of headers as servers read them that take `_` for `-`.

use http::HeaderName;

/// The name of a header, folded once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct FoldedName(String);

impl FoldedName {
    pub(crate) fn new(name: &HeaderName) -> Self {
        Self(name.as_str().replace('_', "-"))
    }

    pub(crate) fn is(&self, name: &str) -> bool {
        is_folded(name, &self.0)
    }
}

/// Whether a name is the folded one.
pub(crate) fn is_folded(name: &str, folded: &str) -> bool {
    name.len() == folded.len() && begins_folded(name, folded)
}

/// Whether a name begins with the folded one.
pub(crate) fn begins_folded(name: &str, folded: &str) -> bool {
    let fold = |byte: u8| if byte == b'_' { b'-' } else { byte };
    name.len() >= folded.len() && name.bytes().zip(folded.bytes()).all(|(byte, wanted)| fold(byte) == wanted)
}
