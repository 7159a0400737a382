//! Networks from which a route takes requests.

use std::net::IpAddr;

use ipnet::IpNet;

/// Which clients may use a route. By default, all.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NetworkRules {
    /// If not empty, clients outside of these networks are refused.
    pub allow: Vec<IpNet>,
    /// Clients in these networks are refused, also if `allow` has them.
    pub deny: Vec<IpNet>,
}

impl NetworkRules {
    /// Returns whether a client may use the route. One whose address is not known may not, if there are rules.
    pub(crate) fn permit(&self, client: Option<IpAddr>) -> bool {
        if self.allow.is_empty() && self.deny.is_empty() {
            return true;
        }
        let Some(client) = client.map(|address| address.to_canonical()) else { return false };
        let is_in = |networks: &[IpNet]| networks.iter().any(|network| network.contains(&client));
        (self.allow.is_empty() || is_in(&self.allow)) && !is_in(&self.deny)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_denied_network_is_refused_although_it_is_allowed() {
        let networks = |texts: &[&str]| texts.iter().map(|text| text.parse().unwrap()).collect::<Vec<IpNet>>();
        let rules = |allow, deny| NetworkRules { allow: networks(allow), deny: networks(deny) };
        for (rules, client, expected) in [
            (rules(&[], &[]), Some("10.0.0.1"), true),
            (rules(&[], &[]), None, true),
            (rules(&["10.0.0.0/8"], &[]), Some("10.0.0.1"), true),
            (rules(&["10.0.0.0/8"], &[]), Some("::ffff:10.0.0.1"), true),
            (rules(&["10.0.0.0/8"], &[]), Some("11.0.0.1"), false),
            (rules(&["10.0.0.0/8"], &[]), None, false),
            (rules(&[], &["fd00::/8"]), Some("fd00::1"), false),
            (rules(&[], &["fd00::/8"]), Some("::1"), true),
            (rules(&[], &["fd00::/8"]), None, false),
            (rules(&["10.0.0.0/8"], &["10.1.0.0/16"]), Some("10.1.2.3"), false),
        ] {
            assert_eq!(rules.permit(client.map(|text| text.parse().unwrap())), expected, "{rules:?} {client:?}");
        }
    }
}
