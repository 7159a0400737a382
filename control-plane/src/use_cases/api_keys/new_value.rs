//! Values of keys: chosen by a caller, or generated.

use gatepost_domain::key::{self, ChecksumPolicy, Secret};
use gatepost_domain::record::Project;
use gatepost_store::os_rng;

use crate::failure::{Failure, Result};

/// Returns the chosen value, or generates one.
pub(super) fn chosen_or_generated_value(requested: Option<&str>, project: &Project) -> Result<Secret> {
    requested.map_or_else(|| Ok(key::generate_api_key(project.env, &mut os_rng())), parse_chosen_value)
}

/// Validates a value that a caller chose.
pub(super) fn parse_chosen_value(text: &str) -> Result<Secret> {
    key::check_api_key(text, ChecksumPolicy::Lenient).map_err(|why| Failure::invalid(format!("key: {why}")))?;
    Ok(Secret::new(text.to_owned()))
}
