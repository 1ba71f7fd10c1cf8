use super::{Check, CheckContext, CheckError, Denial, Needs};
use crate::name::NameError;
use crate::sender::{Networks, PeerAddr};

/// The request came from one of these networks, by its [`PeerAddr`]; else 403. A request without
/// one comes from nowhere that is known, and is refused.
///
/// Networks are in CIDR notation without bits beyond the prefix, or single addresses; others, and
/// an empty list, are a fault of the policy. An IPv4 address inside an IPv6 one (`::ffff:0:0/96`)
/// is that IPv4 address. No header field is looked at: behind a proxy the peer is the proxy.
///
/// An address is a further condition on a token, and never in place of one.
///
/// ```
/// use portcullis::check::{Check, peer_in, scope};
///
/// let internal = scope("metrics").and(peer_in(["10.0.0.0/8", "2001:db8::/32", "::1"]));
/// # let _ = internal;
/// ```
#[must_use]
pub fn peer_in<N: AsRef<str>>(networks: impl IntoIterator<Item = N>) -> RequirePeer {
    RequirePeer { networks: Networks::parse(networks) }
}

/// The check of [`peer_in`].
#[derive(Clone, Debug)]
pub struct RequirePeer {
    networks: Result<Networks, NameError>,
}

impl Check for RequirePeer {
    fn check(&self, request: &CheckContext<'_>) -> Result<(), CheckError> {
        let Ok(networks) = &self.networks else {
            return Err(Denial::forbidden("the policy names a network that is none").into());
        };
        match PeerAddr::of(request.head().extensions) {
            Some(peer) if networks.hold(peer) => Ok(()),
            Some(_) => Err(Denial::forbidden("the peer is in none of the networks").into()),
            None => Err(Denial::forbidden("the peer's address is unknown").into()),
        }
    }

    fn needs(&self, needs: &mut Needs) {
        match &self.networks {
            Ok(networks) => needs.rule("peer_in", networks.texts().collect::<Vec<_>>()),
            Err(fault) => needs.fault(fault.clone().into()),
        }
    }
}
