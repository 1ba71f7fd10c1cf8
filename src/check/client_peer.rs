use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::client::{issuer_fault, list_fault};
use super::{Check, CheckContext, CheckError, Denial, Needs};
use crate::certificate::Certificate;
use crate::error::ConfigFault;
use crate::name::{NameError, Thumbprint};
#[cfg(feature = "rustls")]
use crate::sender::{SpiffePattern, TrustBundle};
use crate::time::Timestamp;

/// The most peers of a table, all clients together: one for each workload of a large cluster. Where
/// there are more, their client ids can be their SPIFFE IDs.
const MAX_PEERS: usize = 4_096;

/// The most peers of one client, so that a request has a bounded number of them compared: a few
/// certificates and their successors, or a few places where the client runs.
const MAX_PEERS_OF_CLIENT: usize = 16;

/// Why a sender without a certificate is refused.
pub(super) const NO_CERTIFICATE: &str = "the sender has proven no certificate";

/// The token was issued to the client that sends it; else 401 `invalid_token`.
///
/// A token of one client that another workload sends over its own connection is refused, also where
/// the token itself is bound to nothing: a stolen token is of no use to who has not the client's
/// certificate too. The certificate is the one that the sender proved to have the key of
/// ([`crate::Mtls`]), so that a request without one is refused.
///
/// Every refusal is 401 `invalid_token`, as that of a token that is bound to another certificate
/// (RFC 8705 §3): the token is a good one, and not for this sender. That a client is not in the table
/// is answered alike, since nobody may send its tokens here.
///
/// A client id is unique only within its issuer (RFC 6749 §2.2): with more than one issuer, say
/// [`RequireClientPeer::of_issuer`], and [`Check::or`] for the clients of another.
///
/// ```
/// use portcullis::check::{Check, ClientPeers, client_matches_peer, scope};
///
/// let batch = ClientPeers::table().certificate("batch", "A4DtL2JmUMhAsvJj5tKyn64SqzmuXbMrJa0n761y5v0");
/// let export = scope("export").and(client_matches_peer(batch));
///
/// # #[cfg(feature = "testing")] {
/// use portcullis::testing::{TestAccess, TestCertificate, check};
/// let (own, other) = (TestCertificate::named("batch"), TestCertificate::named("web"));
/// let (own, other) = (own.self_signed().certificate(), other.self_signed().certificate());
/// let batch = ClientPeers::table().certificate("batch", own.thumbprint().as_str());
/// let policy = client_matches_peer(batch);
/// let token = TestAccess::new().client_id("batch");
/// assert!(check(&policy, &token.clone().certificate(own).build(), "GET", "/").is_ok());
/// assert!(check(&policy, &token.certificate(other).build(), "GET", "/").is_err());
/// # }
/// # let _ = export;
/// ```
#[must_use]
pub fn client_matches_peer(peers: impl Into<ClientPeers>) -> RequireClientPeer {
    RequireClientPeer::new(peers.into(), None)
}

/// Who may send the tokens of which client: for [`client_matches_peer`].
#[derive(Clone, Debug)]
#[must_use = "it does nothing until it is given to `client_matches_peer`"]
pub struct ClientPeers(Peers);

#[derive(Clone, Debug)]
enum Peers {
    #[cfg(feature = "rustls")]
    SpiffeIds(TrustBundle),
    Table(ClientTable),
}

impl ClientPeers {
    /// The client id is the SPIFFE ID of the sender, octet for octet: its certificate is an X.509-SVID
    /// of this trust domain, verified at the time of the decision.
    #[cfg(feature = "rustls")]
    pub fn spiffe(bundle: &TrustBundle) -> Self {
        Self(Peers::SpiffeIds(bundle.clone()))
    }

    /// Each client with the senders that may send its tokens. A client that is not in the table is
    /// refused, and an empty table is a fault of the policy.
    pub fn table() -> ClientTable {
        ClientTable::default()
    }
}

impl From<ClientTable> for ClientPeers {
    fn from(table: ClientTable) -> Self {
        Self(Peers::Table(table))
    }
}

/// Clients and their senders: see [`ClientPeers::table`]. A client may have several, at most 16, of
/// which any one is enough; all clients together at most 4096. More, and what is malformed, is a fault
/// of the policy.
///
/// ```
/// use portcullis::check::{ClientPeers, client_matches_peer};
/// # #[cfg(feature = "rustls")]
/// # fn policy(bundle: &portcullis::sender::TrustBundle) -> impl portcullis::check::Check + use<> {
/// let peers = ClientPeers::table()
///     .spiffe(bundle, "web", "/ns/prod/sa/web")
///     .certificate("batch", "A4DtL2JmUMhAsvJj5tKyn64SqzmuXbMrJa0n761y5v0");
/// client_matches_peer(peers)
/// # }
/// ```
#[derive(Clone, Debug, Default)]
#[must_use = "it does nothing until it is given to `client_matches_peer`"]
pub struct ClientTable {
    clients: BTreeMap<String, PeersOfClient>,
    /// How many were added, the faulty ones too.
    added: usize,
    faults: Vec<String>,
}

/// Any of these.
#[derive(Clone, Debug, Default)]
struct PeersOfClient {
    certificates: Vec<Thumbprint>,
    #[cfg(feature = "rustls")]
    workloads: Vec<Workloads>,
    added: usize,
}

/// The workloads of one bundle, which is asked once for all of them.
#[cfg(feature = "rustls")]
#[derive(Clone, Debug)]
struct Workloads {
    bundle: TrustBundle,
    paths: Vec<SpiffePattern>,
}

impl ClientTable {
    /// Tokens of this client may be sent by workloads of this trust domain whose path matches this
    /// pattern ([`SpiffePattern`]).
    #[cfg(feature = "rustls")]
    pub fn spiffe(mut self, bundle: &TrustBundle, client: impl Into<String>, path: &str) -> Self {
        let read = SpiffePattern::parse(path).map_err(|fault| fault.to_string());
        self.add(client.into(), read, |peers, path| {
            match peers.workloads.iter_mut().find(|known| known.bundle == *bundle) {
                Some(known) => known.paths.push(path),
                None => {
                    let bundle = bundle.clone();
                    peers.workloads.push(Workloads { bundle, paths: vec![path] });
                }
            }
        });
        self
    }

    /// Tokens of this client may be sent by who has the certificate of this thumbprint: canonical
    /// base64url of the SHA-256 of its DER, as in `x5t#S256` (RFC 8705 §3.1). A renewed certificate is
    /// another one. Its chain and its validity are not looked at.
    pub fn certificate(mut self, client: impl Into<String>, thumbprint: &str) -> Self {
        const WANTED: &str = "is not canonical base64url of 32 octets";
        let fault = || NameError::new("certificate thumbprint", thumbprint, WANTED).to_string();
        let read = Thumbprint::parse(thumbprint).ok_or_else(fault);
        self.add(client.into(), read, |peers, thumbprint| peers.certificates.push(thumbprint));
        self
    }

    fn add<P>(
        &mut self,
        client: String,
        read: Result<P, String>,
        put: impl FnOnce(&mut PeersOfClient, P),
    ) {
        self.added = self.added.saturating_add(1);
        if self.added > MAX_PEERS {
            return;
        }
        // A client whose only peer is faulty is in the table too, so that no second fault is told.
        let peers = self.clients.entry(client.clone()).or_default();
        peers.added = peers.added.saturating_add(1);
        match read {
            Ok(_) if peers.added > MAX_PEERS_OF_CLIENT => {}
            Ok(peer) => put(peers, peer),
            Err(fault) => self.faults.push(format!("client {client:?}: {fault}")),
        }
    }

    fn faults(&self) -> Vec<ConfigFault> {
        let names: Vec<String> = self.clients.keys().cloned().collect();
        let names = list_fault("client", &names);
        let mut faults: Vec<_> =
            names.into_iter().chain(self.faults.iter().cloned()).map(ConfigFault::Policy).collect();
        let mut bound = |what, found, maximum| {
            if found > maximum {
                faults.push(ConfigFault::Bound { what, found, maximum });
            }
        };
        bound("number of peers of all clients", self.added, MAX_PEERS);
        let most = self.clients.values().map(|peers| peers.added).max().unwrap_or_default();
        bound("number of peers of a client", most, MAX_PEERS_OF_CLIENT);
        faults
    }

    fn report(&self) -> Value {
        self.clients.iter().map(|(client, peers)| (client.clone(), peers.report())).collect()
    }
}

impl PeersOfClient {
    /// Whether this certificate is of one of them; if not, why not.
    fn hold(&self, certificate: &Certificate, now: Timestamp) -> Result<(), String> {
        if self.certificates.iter().any(|known| known == certificate.thumbprint()) {
            return Ok(());
        }
        let reasons = match self.hold_workload(certificate, now) {
            Ok(()) => return Ok(()),
            Err(reasons) => reasons.join("; "),
        };
        let separator = if reasons.is_empty() { "" } else { ": " };
        Err(format!("the sender is none that may send this client's tokens{separator}{reasons}"))
    }

    /// Whether it is an X.509-SVID of one of its workloads; if not, what each bundle says.
    #[cfg(feature = "rustls")]
    fn hold_workload(&self, certificate: &Certificate, now: Timestamp) -> Result<(), Vec<String>> {
        let mut reasons = Vec::new();
        for Workloads { bundle, paths } in &self.workloads {
            match bundle.verify(certificate, now) {
                Ok(id) if paths.iter().any(|path| path.matches(&id)) => return Ok(()),
                Ok(id) => reasons.push(format!("it is {id}")),
                Err(fault) => reasons.push(fault.to_string()),
            }
        }
        Err(reasons)
    }

    #[cfg(not(feature = "rustls"))]
    fn hold_workload(&self, _: &Certificate, _: Timestamp) -> Result<(), Vec<String>> {
        Err(Vec::new())
    }

    fn report(&self) -> Value {
        let peers = self.certificates.iter().map(|known| json!({ "certificate": known.as_str() }));
        #[cfg(feature = "rustls")]
        let peers = peers.chain(self.workloads.iter().flat_map(|Workloads { bundle, paths }| {
            let domain = bundle.trust_domain();
            paths.iter().map(move |path| json!({ "trust_domain": domain, "path": path.as_str() }))
        }));
        peers.collect()
    }
}

/// The check of [`client_matches_peer`].
#[derive(Clone, Debug)]
pub struct RequireClientPeer {
    peers: Peers,
    issuer: Option<String>,
    faults: Vec<ConfigFault>,
}

impl RequireClientPeer {
    fn new(ClientPeers(peers): ClientPeers, issuer: Option<String>) -> Self {
        let mut faults = match &peers {
            #[cfg(feature = "rustls")]
            Peers::SpiffeIds(_) => Vec::new(),
            Peers::Table(table) => table.faults(),
        };
        faults.extend(issuer_fault(issuer.as_deref()).map(ConfigFault::Policy));
        Self { peers, issuer, faults }
    }

    /// And the token is one of this issuer.
    #[must_use]
    pub fn of_issuer(self, issuer: impl Into<String>) -> Self {
        Self::new(ClientPeers(self.peers), Some(issuer.into()))
    }

    /// Whether this sender may send this client's tokens; if not, why not.
    fn hold(&self, client: &str, certificate: &Certificate, now: Timestamp) -> Result<(), String> {
        match &self.peers {
            #[cfg(feature = "rustls")]
            Peers::SpiffeIds(bundle) => match bundle.verify(certificate, now) {
                Ok(id) if id.as_str() == client => Ok(()),
                Ok(id) => Err(format!("the sender is {id}, and the token's client is another")),
                Err(fault) => Err(fault.to_string()),
            },
            Peers::Table(table) => match table.clients.get(client) {
                Some(peers) => peers.hold(certificate, now),
                None => Err("the token's client is none of the table".to_owned()),
            },
        }
    }
}

impl Check for RequireClientPeer {
    fn check(&self, request: &CheckContext<'_>) -> Result<(), CheckError> {
        let deny = |reason: &'static str| Err(Denial::invalid_token(reason).into());
        let access = request.access();
        if !self.faults.is_empty() {
            return deny("the policy has clients or peers that are none");
        }
        if self.issuer.as_deref().is_some_and(|issuer| *access.issuer() != *issuer) {
            return deny("the token is of another issuer than the clients");
        }
        let Some(client) = access.client_id() else {
            return deny("the token names no client");
        };
        let Some(certificate) = access.certificate() else {
            return deny(NO_CERTIFICATE);
        };
        let held = self.hold(client.as_str(), certificate, request.now());
        held.map_err(|reason| Denial::invalid_token(reason).into())
    }

    fn needs(&self, needs: &mut Needs) {
        for fault in &self.faults {
            needs.fault(fault.clone());
        }
        if self.issuer.is_none() {
            needs.one_issuer("client_matches_peer");
        }
        let mut rule = match &self.peers {
            #[cfg(feature = "rustls")]
            Peers::SpiffeIds(bundle) => json!({ "spiffe": bundle.trust_domain() }),
            Peers::Table(table) => json!({ "table": table.report() }),
        };
        if let (Some(members), Some(issuer)) = (rule.as_object_mut(), &self.issuer) {
            members.insert("of_issuer".to_owned(), issuer.as_str().into());
        }
        needs.rule("client_matches_peer", rule);
    }
}
