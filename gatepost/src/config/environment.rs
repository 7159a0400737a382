//! Environment variables: configuration keys, and names that only look like them.

use std::ffi::OsString;

/// Prefix of all environment variables of Gatepost.
const VARIABLE_PREFIX: &str = "GATEPOST_";
/// Variables with the prefix that are not configuration keys.
pub(crate) const MASTER_KEY_VARIABLE: &str = "GATEPOST_MASTER_KEY";
pub(crate) const ACCESS_KEY_VARIABLE: &str = "GATEPOST_ACCESS_KEY";
pub(crate) const ADMIN_URL_VARIABLE: &str = "GATEPOST_ADMIN_URL";
/// Separator between the tables and the key in a variable's name.
const SEPARATOR: &str = "__";

/// All environment variables with the prefix `GATEPOST_`.
#[derive(Debug, Default)]
pub(super) struct Environment {
    /// Configuration keys: variable, path and value of each.
    pub(super) keys: Vec<(String, Vec<String>, String)>,
    /// Names that are not keys and that no known program sets: perhaps typing errors.
    pub(super) unrecognised_variables: Vec<String>,
    pub(super) errors: Vec<String>,
}

impl Environment {
    pub(super) fn read(variables: impl Iterator<Item = (OsString, OsString)>) -> Self {
        let mut environment = Self::default();
        for (name, value) in variables {
            let name = name.to_string_lossy().into_owned();
            let is_other = [MASTER_KEY_VARIABLE, ACCESS_KEY_VARIABLE, ADMIN_URL_VARIABLE].contains(&name.as_str());
            let Some(key) = name.strip_prefix(VARIABLE_PREFIX).filter(|_| !is_other) else { continue };
            if !key.contains(SEPARATOR) {
                if !is_set_by_kubernetes(key, &value.to_string_lossy()) {
                    environment.unrecognised_variables.push(name);
                }
                continue;
            }
            let path = key.split(SEPARATOR).map(str::to_ascii_lowercase).collect();
            match value.into_string() {
                Ok(value) => environment.keys.push((name, path, value)),
                Err(_) => environment.errors.push(format!("{name}: its value is not UTF-8")),
            }
        }
        environment
    }
}

/// Returns whether Kubernetes sets the variable in every pod because a service's name begins with `gatepost`:
/// `…SERVICE_HOST`, `…SERVICE_PORT`, `…SERVICE_PORT_<NAME>`, `…PORT` and `…PORT_<NUMBER>_<PROTOCOL>…`.
fn is_set_by_kubernetes(name: &str, value: &str) -> bool {
    let is_port = |rest: &str| {
        let mut parts = rest.split('_');
        let number = parts.next().unwrap_or_default();
        let is_number = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
        is_number && matches!(parts.next(), Some("TCP" | "UDP" | "SCTP"))
    };
    // Before the suffix there is nothing, or the rest of the service's name.
    let has_suffix = |part: &str| name == part || name.ends_with(&format!("_{part}"));
    has_suffix("SERVICE_HOST")
        || has_suffix("SERVICE_PORT")
        || name.starts_with("SERVICE_PORT_")
        || name.contains("_SERVICE_PORT_")
        || (has_suffix("PORT") && value.contains("://"))
        || name.strip_prefix("PORT_").is_some_and(is_port)
        || name.split_once("_PORT_").is_some_and(|(_, rest)| is_port(rest))
}
