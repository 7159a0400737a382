//! Known names that somebody who misspelt one may have meant.

/// Characters of a name that are compared.
const MAX_CHARS: usize = 64;
/// Characters of the longer name for each edit up to which two names are similar.
const CHARS_PER_EDIT: usize = 4;
/// Characters of the longer name from which two names with one edit are similar.
const MIN_CHARS: usize = 3;
/// Jaro-Winkler similarity from which two names are similar: `expiresAt` and `expiry` begin alike.
const MIN_SIMILARITY: f64 = 0.85;

/// Returns the known name that is most similar to a name; none if no name is similar, because a wrong suggestion is
/// worse than none. Case, underscores and hyphens are ignored, so that `allowed_IPs` is `allowedIps`.
pub fn most_similar<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let name = normalize(name);
    let edits = |candidate: &str| edits_if_similar(&name, &normalize(candidate));
    let similar = known.into_iter().filter_map(|candidate| Some((edits(candidate)?, candidate)));
    similar.min_by_key(|(edits, _)| *edits).map(|(_, candidate)| candidate)
}

fn normalize(name: &str) -> String {
    name.chars().filter(|one| !matches!(one, '_' | '-')).take(MAX_CHARS).flat_map(char::to_lowercase).collect()
}

/// Returns the number of edits between two names, or none if the names are not similar.
fn edits_if_similar(one: &str, other: &str) -> Option<usize> {
    let edits = strsim::damerau_levenshtein(one, other);
    let longer = one.chars().count().max(other.chars().count());
    let is_similar = (edits <= 1 && longer >= MIN_CHARS)
        || edits <= longer / CHARS_PER_EDIT
        || strsim::jaro_winkler(one, other) >= MIN_SIMILARITY;
    is_similar.then_some(edits)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_similar_name_is_found_and_no_other() {
        let members = ["allowedIps", "allowedDomains", "expiry", "key", "name", "permissions", "quota", "rateLimit"];
        let commands = ["up", "gateway", "store", "listen", "trigger", "check", "purge", "backup", "demo", "import"];
        for (name, known, expected) in [
            ("allowedIPs", &members[..], Some("allowedIps")),
            ("allowed_ips", &members, Some("allowedIps")),
            ("allowedDomain", &members, Some("allowedDomains")),
            ("expiresAt", &members, Some("expiry")),
            ("expires", &members, Some("expiry")),
            ("kye", &members, Some("key")),
            ("burst", &members, None),
            ("notes", &members, None),
            ("status", &members, None),
            ("", &members, None),
            ("gatewy", &commands, Some("gateway")),
            ("start", &commands, None),
            ("serve", &commands, None),
            ("stroe", &commands, Some("store")),
            ("keys", &commands, None),
            ("x", &["y"], None),
            ("x", &[], None),
        ] {
            assert_eq!(most_similar(name, known.iter().copied()), expected, "{name}");
        }
    }
}
