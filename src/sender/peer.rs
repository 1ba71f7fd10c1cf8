use std::net::IpAddr;

use http::Extensions;
use ipnet::IpNet;

use crate::name::NameError;

/// The address that a request came from, as the server's own acceptor saw it: an extension of the
/// request that whoever accepts connections puts there.
///
/// A check or an exception that names networks looks at nothing else. Without it the address is
/// unknown, and no network holds it. Behind a proxy it is the proxy's address: never put a value
/// of a header field here, unless only your proxy can have written it.
///
/// With the feature `axum`, `portcullis::axum::PeerLayer` takes it from `ConnectInfo`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct PeerAddr {
    ip: IpAddr,
}

impl PeerAddr {
    /// This address, as the acceptor saw it.
    #[must_use]
    pub const fn new(ip: IpAddr) -> Self {
        Self { ip }
    }

    /// The address.
    #[must_use]
    pub const fn ip(self) -> IpAddr {
        self.ip
    }

    pub(crate) fn of(extensions: &Extensions) -> Option<IpAddr> {
        extensions.get::<Self>().map(|peer| peer.ip.to_canonical())
    }
}

/// Networks in CIDR notation.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Networks(Vec<IpNet>);

impl Networks {
    /// Reads networks such as `10.0.0.0/8`, `2001:db8::/32`, or a single address.
    pub(crate) fn parse<N: AsRef<str>>(
        networks: impl IntoIterator<Item = N>,
    ) -> Result<Self, NameError> {
        const WANTED: &str = "is not a network such as 10.0.0.0/8 or 2001:db8::/32";
        const HOST_BITS: &str = "has bits set beyond its prefix length";
        const MAPPED: &str = "is IPv4 in IPv6 form, which holds no address; write it as IPv4";
        let mut parsed = Vec::new();
        for network in networks {
            let text = network.as_ref();
            let wrong = |wanted| NameError::new("network", text, wanted);
            let network = match text.parse::<IpNet>() {
                // A mistyped address would otherwise stand for its whole network.
                Ok(network) if network.addr() != network.network() => {
                    return Err(wrong(HOST_BITS));
                }
                Ok(network) => network,
                Err(_) => text.parse::<IpAddr>().map(IpNet::from).map_err(|_| wrong(WANTED))?,
            };
            // Addresses are compared as what they are, so that it would silently hold none.
            if let IpNet::V6(network) = network
                && network.addr().to_ipv4_mapped().is_some()
            {
                return Err(wrong(MAPPED));
            }
            parsed.push(network);
        }
        match parsed.is_empty() {
            true => Err(NameError::new("network", "", "is none at all; name at least one")),
            false => Ok(Self(parsed)),
        }
    }

    /// Whether one of them holds this address; an IPv4 address in IPv6 clothes is that address.
    pub(crate) fn hold(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.0.iter().any(|network| network.contains(&address))
    }

    /// Whether one of them is the whole of the address space, or half of it.
    pub(crate) fn hold_everything(&self) -> bool {
        self.0.iter().any(|network| network.prefix_len() <= 1)
    }

    pub(crate) fn texts(&self) -> impl Iterator<Item = String> {
        self.0.iter().map(ToString::to_string)
    }
}
