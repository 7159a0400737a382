//! Parts of pages that follow what they show, by one stream of server-sent events for each page.
//!
//! A stream belongs to a session and ends with it. It has a permit apart from those of the API's event streams, and sends
//! to a visitor only what the page itself would show.

mod fragment;
mod part;
mod region;
mod stream;
mod tail;

pub(crate) use fragment::follow;
pub(crate) use part::{Outlook, Part};
pub(crate) use region::{WithoutScript, region, tail_region};
pub(crate) use stream::stream;
pub(crate) use tail::Tail;
