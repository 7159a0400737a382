//! The header names that a client must not send upstream, and a look-up that costs an ordinary name a few instructions.

use gatepost_domain::header_name::{begins_folded, folds_to};

/// Which header names are taken away from requests, beside the credential's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Strip {
    /// All that servers take for an address, a method, a path, a host or an identity, if its sender may not say it.
    Default,
    /// What the gateway itself tells the upstream and, as before there was a choice, `Forwarded`, `X-Forwarded-*`,
    /// `X-Real-IP` and the headers that override method and URL.
    Ours,
}

/// A name of the list, or all names that begin so.
#[derive(Debug)]
struct Listed {
    /// In folded form, without the `*` of the list.
    name: &'static str,
    extent: Extent,
    kind: Kind,
    applies: Applies,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Extent {
    Whole,
    Prefix,
}

/// What a server would take such a field for, which decides who may send it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A field that the gateway itself adds.
    Ours,
    /// A field by which HTTP delimits or routes messages. The proxy engine handles the exact names.
    Framing,
    /// Where a request came from: believed of trusted proxies.
    Address,
    /// Another method, path or host than the one by which the route was chosen.
    Route,
    /// Who a proxy has authenticated.
    Identity,
}

/// Under which `gateway.strip` a name is taken away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Applies {
    Always,
    ByDefault,
}

/// Returns the kind of the first entry in force that a name folds to.
pub(crate) fn kind(name: &str, strip: Strip) -> Option<Kind> {
    let bucket = bucket(name.as_bytes());
    if LENGTHS[bucket] & length_bit(name) == 0 {
        return None;
    }
    let places = &ORDER[STARTS[bucket]..STARTS[bucket + 1]];
    let mut entries = places.iter().map(|place| &LIST[usize::from(*place)]);
    entries.find(|listed| listed.covers(name) && listed.is_in_force(strip)).map(|listed| listed.kind)
}

/// Returns whether all names that begin with a prefix are of one kind, by one entry.
pub(crate) fn covers_prefix(prefix: &str, kind: Kind) -> bool {
    LIST.iter().any(|listed| listed.kind == kind && listed.extent == Extent::Prefix && listed.covers(prefix))
}

impl Listed {
    fn covers(&self, name: &str) -> bool {
        match self.extent {
            Extent::Whole => folds_to(name, self.name),
            Extent::Prefix => begins_folded(name, self.name),
        }
    }

    fn is_in_force(&self, strip: Strip) -> bool {
        self.applies == Applies::Always || strip == Strip::Default
    }
}

/// Names are sorted into buckets by their first character and, where that is an `x`, by their third.
const BUCKETS: usize = 64;

/// The low five bits of a letter are the same in either case. Letters fold to themselves, so no spelling of a listed
/// name is in another bucket.
const fn bucket(name: &[u8]) -> usize {
    match name {
        [b'x' | b'X', _, third, ..] => 32 + (*third & 31) as usize,
        [first, ..] => (*first & 31) as usize,
        [] => 0,
    }
}

/// Places in the list, bucket by bucket, and where each bucket starts.
const INDEX: ([u8; LIST.len()], [usize; BUCKETS + 1]) = {
    let mut order = [0; LIST.len()];
    let mut starts = [0; BUCKETS + 1];
    let (mut filled, mut current) = (0, 0);
    while current < BUCKETS {
        let mut place = 0;
        while place < LIST.len() {
            if bucket(LIST[place].name.as_bytes()) == current {
                order[filled] = place as u8;
                filled += 1;
            }
            place += 1;
        }
        current += 1;
        starts[current] = filled;
    }
    (order, starts)
};
static ORDER: [u8; LIST.len()] = INDEX.0;
static STARTS: [usize; BUCKETS + 1] = INDEX.1;

/// The lengths that names of a bucket have: a bit for each, the last one for all longer ones.
static LENGTHS: [u64; BUCKETS] = {
    let mut lengths = [0; BUCKETS];
    let mut place = 0;
    while place < LIST.len() {
        let listed = &LIST[place];
        let bit = length_bit(listed.name);
        lengths[bucket(listed.name.as_bytes())] |= match listed.extent {
            Extent::Whole => bit,
            // This one and all above it.
            Extent::Prefix => !(bit - 1),
        };
        place += 1;
    }
    lengths
};

const fn length_bit(name: &str) -> u64 {
    let length = if name.len() < 63 { name.len() } else { 63 };
    1 << length
}

const fn whole(kind: Kind, applies: Applies, name: &'static str) -> Listed {
    Listed { name, extent: Extent::Whole, kind, applies }
}

const fn prefix(kind: Kind, applies: Applies, name: &'static str) -> Listed {
    Listed { name, extent: Extent::Prefix, kind, applies }
}

const fn address(name: &'static str) -> Listed {
    whole(Kind::Address, Applies::ByDefault, name)
}

const fn route(name: &'static str) -> Listed {
    whole(Kind::Route, Applies::ByDefault, name)
}

const fn identity(name: &'static str) -> Listed {
    whole(Kind::Identity, Applies::ByDefault, name)
}

const fn identities(name: &'static str) -> Listed {
    prefix(Kind::Identity, Applies::ByDefault, name)
}

/// Whole names stand before the prefixes that cover them too.
const LIST: &[Listed] = &[
    prefix(Kind::Ours, Applies::Always, "x-gatepost-"),
    whole(Kind::Ours, Applies::Always, "x-request-id"),
    whole(Kind::Framing, Applies::Always, "content-length"),
    whole(Kind::Framing, Applies::Always, "transfer-encoding"),
    whole(Kind::Framing, Applies::Always, "proxy-authorization"),
    whole(Kind::Route, Applies::Always, "x-http-method"),
    whole(Kind::Route, Applies::Always, "x-http-method-override"),
    whole(Kind::Route, Applies::Always, "x-method-override"),
    whole(Kind::Route, Applies::Always, "x-original-url"),
    whole(Kind::Route, Applies::Always, "x-rewrite-url"),
    route("x-original-uri"),
    route("x-rewrite-uri"),
    route("x-original-method"),
    route("x-original-host"),
    route("x-host"),
    route("x-http-path-override"),
    route("x-envoy-original-path"),
    route("x-middleware-subrequest"),
    route("unencoded-url"),
    route("proxy"),
    identity("remote-user"),
    identity("remote-groups"),
    identity("remote-email"),
    identity("remote-name"),
    identities("x-remote-"),
    identity("x-forwarded-user"),
    identity("x-forwarded-email"),
    identity("x-forwarded-groups"),
    identity("x-forwarded-preferred-username"),
    identity("x-forwarded-access-token"),
    identity("x-forwarded-client-cert"),
    identities("x-auth-request-"),
    identities("x-authentik-"),
    identities("x-webauth-"),
    identities("ssl-client-"),
    identities("x-ssl-client-"),
    identities("x-consumer-"),
    identities("x-credential-"),
    identity("x-anonymous-consumer"),
    identities("x-amzn-oidc-"),
    identities("x-goog-authenticated-user-"),
    identities("x-ms-client-principal"),
    identities("cf-access-"),
    identities("tailscale-user-"),
    whole(Kind::Address, Applies::Always, "forwarded"),
    whole(Kind::Address, Applies::Always, "x-real-ip"),
    prefix(Kind::Address, Applies::Always, "x-forwarded-"),
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
    fn every_entry_is_found_by_its_name_and_in_folded_form() {
        for listed in LIST {
            assert!(gatepost_domain::header_name::is_folded(listed.name), "{}", listed.name);
            assert_eq!(kind(listed.name, Strip::Default), Some(listed.kind), "{}", listed.name);
            let is_always = listed.applies == Applies::Always;
            assert!(!is_always || kind(listed.name, Strip::Ours) == Some(listed.kind), "{}", listed.name);
        }
        assert_eq!(STARTS[BUCKETS], LIST.len());
    }

    #[test]
    fn the_manual_names_every_entry() {
        const MANUAL: &str = include_str!("../../docs/headers.md");
        for listed in LIST {
            let end = if listed.extent == Extent::Prefix { "*" } else { "" };
            let mark = if listed.applies == Applies::Always { "¹" } else { "" };
            let named = format!("`{}{end}`", listed.name);
            let at = MANUAL.find(&named).unwrap_or_else(|| panic!("{named}"));
            let line = MANUAL[at..].lines().next().unwrap_or_default();
            let cell = line.split('|').next().unwrap_or_default();
            assert!(cell.contains(mark), "{named} {mark}");
        }
    }

    #[test]
    fn an_identity_under_a_prefix_of_addresses_is_an_identity_by_default() {
        assert_eq!(kind("x-forwarded-user", Strip::Default), Some(Kind::Identity));
        assert_eq!(kind("x-forwarded-user", Strip::Ours), Some(Kind::Address));
        assert_eq!(kind("x-forwarded-users", Strip::Default), Some(Kind::Address));
        assert_eq!(kind("x-remote-user", Strip::Ours), None);
        assert_eq!(kind("x", Strip::Default), None);
        assert_eq!(kind("", Strip::Default), None);
    }
}
