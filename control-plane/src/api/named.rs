//! The body of requests that give a name and nothing else.

use serde::Deserialize;
use utoipa::ToSchema;

/// A name.
#[derive(Debug, Deserialize, ToSchema)]
pub(crate) struct NameBody {
    /// 1 to 256 characters.
    #[schema(required)]
    pub(super) name: Option<String>,
}
