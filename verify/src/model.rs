//! Models of the protocols, small enough for an exhaustive walk. The code follows their steps.

mod explore;
mod fenced_revocation;
mod first_use;
mod two_streams;
mod watermarks;
