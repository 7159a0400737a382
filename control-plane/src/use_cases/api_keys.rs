//! API keys.

mod change;
mod create;
mod fields;
mod key_list;
mod key_ref;
mod new_value;
mod read;
mod revoke_many;
mod rotate;
mod search;

pub use change::{KeyChange, UpdatedKey};
pub use create::NewApiKey;
pub use fields::{FlatLimit, KeyFields, QuotaFields, RateLimitFields};
pub use key_list::{KeyFilter, KeyList, KeyScope, NullableFilter};
pub use key_ref::KeyRef;
pub use revoke_many::{RevokeManyRequest, RevokedKeys};
pub use search::{SearchRequest, SearchResults};
