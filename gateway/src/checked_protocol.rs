//! Protocol name that marks a peer for [`UpstreamConnector`](crate::connector::UpstreamConnector).

use std::sync::LazyLock;

use pingora::protocols::ALPN;
use pingora::protocols::tls::CustomALPN;

/// Without TLS it is never on the wire.
static CHECKED: LazyLock<ALPN> = LazyLock::new(|| ALPN::Custom(CustomALPN::new(b"checked".to_vec())));

pub(crate) fn checked_protocol() -> ALPN {
    CHECKED.clone()
}
