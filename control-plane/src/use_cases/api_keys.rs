//! API keys.

mod change;
mod create;
mod fields;
mod key_ref;
mod listing;
mod read;
mod rotate;
mod search;
mod value;

pub use change::{KeyChange, UpdatedKey};
pub use create::NewApiKey;
pub use fields::{FlatLimit, KeyFields, QuotaFields, RateLimitFields};
pub use key_ref::KeyRef;
pub use listing::{KeyFilter, KeyList, NullableFilter};
pub use search::{SearchRequest, SearchResults};
