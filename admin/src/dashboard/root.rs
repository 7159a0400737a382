//! Where the pages are.

/// Path under which all pages are.
pub(crate) const ROOT: &str = "/dashboard";
