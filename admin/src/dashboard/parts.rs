//! Parts that pages share.

pub(crate) mod badge;
pub(crate) mod change_table;
pub(crate) mod changed_members;
pub(crate) mod chart;
pub(crate) mod confirm;
pub(crate) mod copy;
pub(crate) mod diff;
pub(crate) mod empty;
pub(crate) mod facts;
pub(crate) mod fence;
pub(crate) mod field;
pub(crate) mod number;
pub(crate) mod pager;
pub(crate) mod results;
pub(crate) mod search;
pub(crate) mod table;
pub(crate) mod time;
