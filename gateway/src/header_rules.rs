//! Table of header names that clients must not send upstream. A name that is not in it costs a few instructions.

use gatepost_domain::header_name::{has_normalized_prefix, normalizes_to};

/// Set of header names that are removed from requests, in addition to those of the credential.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StripMode {
    /// All names in which servers read an address, a method, a path, a host or an identity.
    Default,
    /// The names that the gateway sets itself, `Forwarded`, `X-Forwarded-*`, `X-Real-IP`, and those that override
    /// method and URL.
    Ours,
}

/// A listed name, or a prefix of names.
#[derive(Debug)]
struct HeaderRule {
    /// Normalized, without the `*` of a prefix.
    name: &'static str,
    matching: NameMatch,
    category: HeaderCategory,
    scope: RuleScope,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum NameMatch {
    Exact,
    Prefix,
}

/// Meaning of a field to a server, which decides who may send it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum HeaderCategory {
    /// Set by the gateway itself.
    Gateway,
    /// Delimits or routes messages in HTTP. The proxy engine handles the exact names.
    Framing,
    /// Where a request came from. Trusted proxies may send it.
    Address,
    /// Another method, path or host than those that decided the route.
    Routing,
    /// The user whom a proxy has authenticated.
    Identity,
}

/// Values of `gateway.strip` under which a name is removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum RuleScope {
    AllModes,
    DefaultMode,
}

/// Returns the category of the first rule of a mode that matches a name in any spelling.
pub(crate) fn category(name: &str, mode: StripMode) -> Option<HeaderCategory> {
    let bucket = bucket(name.as_bytes());
    if BUCKET_LENGTHS[bucket] & length_bit(name) == 0 {
        return None;
    }
    let indices = &BUCKET_RULES[BUCKET_STARTS[bucket]..BUCKET_STARTS[bucket + 1]];
    let mut entries = indices.iter().map(|index| &RULES[usize::from(*index)]);
    entries.find(|rule| rule.matches(name) && rule.applies_in(mode)).map(|listed| listed.category)
}

/// Returns whether one rule puts all names with a prefix into a category.
pub(crate) fn covers_prefix(prefix: &str, category: HeaderCategory) -> bool {
    RULES.iter().any(|rule| rule.category == category && rule.matching == NameMatch::Prefix && rule.matches(prefix))
}

impl HeaderRule {
    fn matches(&self, name: &str) -> bool {
        match self.matching {
            NameMatch::Exact => normalizes_to(name, self.name),
            NameMatch::Prefix => has_normalized_prefix(name, self.name),
        }
    }

    fn applies_in(&self, mode: StripMode) -> bool {
        self.scope == RuleScope::AllModes || mode == StripMode::Default
    }
}

/// Number of buckets: rules are sorted by the first character of their name, and after an `x` by the third.
const BUCKETS: usize = 64;

/// Returns the bucket of a name. The low five bits of a letter are the same in both cases, and normalization changes
/// no letter, so all spellings of a listed name are in one bucket.
const fn bucket(name: &[u8]) -> usize {
    match name {
        [b'x' | b'X', _, third, ..] => 32 + (*third & 31) as usize,
        [first, ..] => (*first & 31) as usize,
        [] => 0,
    }
}

/// Indices of the rules bucket by bucket, and the start of each bucket.
const INDEX: ([u8; RULES.len()], [usize; BUCKETS + 1]) = {
    let mut indices = [0; RULES.len()];
    let mut starts = [0; BUCKETS + 1];
    let (mut filled, mut current) = (0, 0);
    while current < BUCKETS {
        let mut index = 0;
        while index < RULES.len() {
            if bucket(RULES[index].name.as_bytes()) == current {
                indices[filled] = index as u8;
                filled += 1;
            }
            index += 1;
        }
        current += 1;
        starts[current] = filled;
    }
    (indices, starts)
};
static BUCKET_RULES: [u8; RULES.len()] = INDEX.0;
static BUCKET_STARTS: [usize; BUCKETS + 1] = INDEX.1;

/// Lengths of the names in a bucket: a bit for each length, the last bit for all longer ones.
static BUCKET_LENGTHS: [u64; BUCKETS] = {
    let mut lengths = [0; BUCKETS];
    let mut index = 0;
    while index < RULES.len() {
        let rule = &RULES[index];
        let bit = length_bit(rule.name);
        lengths[bucket(rule.name.as_bytes())] |= match rule.matching {
            NameMatch::Exact => bit,
            // This bit and all above it.
            NameMatch::Prefix => !(bit - 1),
        };
        index += 1;
    }
    lengths
};

const fn length_bit(name: &str) -> u64 {
    let length = if name.len() < 63 { name.len() } else { 63 };
    1 << length
}

const fn exact(category: HeaderCategory, scope: RuleScope, name: &'static str) -> HeaderRule {
    HeaderRule { name, matching: NameMatch::Exact, category, scope }
}

const fn prefix(category: HeaderCategory, scope: RuleScope, name: &'static str) -> HeaderRule {
    HeaderRule { name, matching: NameMatch::Prefix, category, scope }
}

const fn address(name: &'static str) -> HeaderRule {
    exact(HeaderCategory::Address, RuleScope::DefaultMode, name)
}

const fn routing(name: &'static str) -> HeaderRule {
    exact(HeaderCategory::Routing, RuleScope::DefaultMode, name)
}

const fn identity(name: &'static str) -> HeaderRule {
    exact(HeaderCategory::Identity, RuleScope::DefaultMode, name)
}

const fn identity_prefix(name: &'static str) -> HeaderRule {
    prefix(HeaderCategory::Identity, RuleScope::DefaultMode, name)
}

/// Exact names come before the prefixes that match them too.
const RULES: &[HeaderRule] = &[
    prefix(HeaderCategory::Gateway, RuleScope::AllModes, "x-gatepost-"),
    exact(HeaderCategory::Gateway, RuleScope::AllModes, "x-request-id"),
    exact(HeaderCategory::Framing, RuleScope::AllModes, "content-length"),
    exact(HeaderCategory::Framing, RuleScope::AllModes, "transfer-encoding"),
    exact(HeaderCategory::Framing, RuleScope::AllModes, "proxy-authorization"),
    exact(HeaderCategory::Routing, RuleScope::AllModes, "x-http-method"),
    exact(HeaderCategory::Routing, RuleScope::AllModes, "x-http-method-override"),
    exact(HeaderCategory::Routing, RuleScope::AllModes, "x-method-override"),
    exact(HeaderCategory::Routing, RuleScope::AllModes, "x-original-url"),
    exact(HeaderCategory::Routing, RuleScope::AllModes, "x-rewrite-url"),
    routing("x-original-uri"),
    routing("x-rewrite-uri"),
    routing("x-original-method"),
    routing("x-original-host"),
    routing("x-host"),
    routing("x-http-path-override"),
    routing("x-envoy-original-path"),
    routing("x-middleware-subrequest"),
    routing("unencoded-url"),
    routing("proxy"),
    identity("remote-user"),
    identity("remote-groups"),
    identity("remote-email"),
    identity("remote-name"),
    identity_prefix("x-remote-"),
    identity("x-forwarded-user"),
    identity("x-forwarded-email"),
    identity("x-forwarded-groups"),
    identity("x-forwarded-preferred-username"),
    identity("x-forwarded-access-token"),
    identity("x-forwarded-client-cert"),
    identity_prefix("x-auth-request-"),
    identity_prefix("x-authentik-"),
    identity_prefix("x-webauth-"),
    identity_prefix("ssl-client-"),
    identity_prefix("x-ssl-client-"),
    identity_prefix("x-consumer-"),
    identity_prefix("x-credential-"),
    identity("x-anonymous-consumer"),
    identity_prefix("x-amzn-oidc-"),
    identity_prefix("x-goog-authenticated-user-"),
    identity_prefix("x-ms-client-principal"),
    identity_prefix("cf-access-"),
    identity_prefix("tailscale-user-"),
    exact(HeaderCategory::Address, RuleScope::AllModes, "forwarded"),
    exact(HeaderCategory::Address, RuleScope::AllModes, "x-real-ip"),
    prefix(HeaderCategory::Address, RuleScope::AllModes, "x-forwarded-"),
    address("true-client-ip"),
    address("cf-connecting-ip"),
    address("cf-connecting-ipv6"),
    address("x-client-ip"),
    address("client-ip"),
    address("x-cluster-client-ip"),
    address("fastly-client-ip"),
    address("fly-client-ip"),
    address("proxy-client-ip"),
    address("wl-proxy-client-ip"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_rule_is_found_by_its_name() {
        for rule in RULES {
            assert!(gatepost_domain::header_name::is_normalized(rule.name), "{}", rule.name);
            assert_eq!(category(rule.name, StripMode::Default), Some(rule.category), "{}", rule.name);
            let is_always = rule.scope == RuleScope::AllModes;
            assert!(!is_always || category(rule.name, StripMode::Ours) == Some(rule.category), "{}", rule.name);
        }
        assert_eq!(BUCKET_STARTS[BUCKETS], RULES.len());
    }

    #[test]
    fn documentation_lists_every_rule() {
        const MANUAL: &str = include_str!("../../docs/headers.md");
        for rule in RULES {
            let end = if rule.matching == NameMatch::Prefix { "*" } else { "" };
            let mark = if rule.scope == RuleScope::AllModes { "¹" } else { "" };
            let named = format!("`{}{end}`", rule.name);
            let at = MANUAL.find(&named).unwrap_or_else(|| panic!("{named}"));
            let line = MANUAL[at..].lines().next().unwrap_or_default();
            let cell = line.split('|').next().unwrap_or_default();
            assert!(cell.contains(mark), "{named} {mark}");
        }
    }

    #[test]
    fn an_identity_under_a_prefix_of_addresses_is_an_identity_by_default() {
        assert_eq!(category("x-forwarded-user", StripMode::Default), Some(HeaderCategory::Identity));
        assert_eq!(category("x-forwarded-user", StripMode::Ours), Some(HeaderCategory::Address));
        assert_eq!(category("x-forwarded-users", StripMode::Default), Some(HeaderCategory::Address));
        assert_eq!(category("x-remote-user", StripMode::Ours), None);
        assert_eq!(category("x", StripMode::Default), None);
        assert_eq!(category("", StripMode::Default), None);
    }
}
