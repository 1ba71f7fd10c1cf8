use std::time::Duration;

use http::HeaderValue;

use super::nonce::{CheckedNonces, Nonces};
use super::origin::{ForwardedOrigin, Origins, PublicOrigin};
use super::proof::KnownSender;
use super::proof::{
    ExpectedProof, NonceDemand, NonceUse, NonceVerdict, Proof, ProofError, ProofErrorKind,
    ProofRules,
};
use crate::access::ProofUse;
use crate::credentials::{RequestHead, Unread};
use crate::error::{ConfigFault, Faults, Refusal, RejectionKind};
use crate::jose::Algorithm;
use crate::name::{Resource, Thumbprint};
use crate::time::{Timestamp, shown_duration};

/// DPoP (RFC 9449): tokens that are bound to a key of their client, and the proofs of it that come
/// with each request.
///
/// ```
/// use std::time::Duration;
/// use portcullis::Dpop;
/// use portcullis::sender::{Nonces, PublicOrigin};
///
/// let dpop = Dpop::new()
///     .nonces(Nonces::required())
///     // Behind a proxy that cuts `/v1` off.
///     .public_origin(PublicOrigin::new("https://api.example.com").proxy_removes("/v1"));
/// # let _ = dpop;
/// ```
///
/// A proof is accepted once: see [`crate::ServerBuilder::replay_store`]. A request that is retried
/// needs a new one, also where its method is idempotent (RFC 9449 §7.3).
#[derive(Clone, Debug)]
#[must_use = "it does nothing until it is given to `ResourceServer::builder(...).dpop`"]
pub struct Dpop {
    algorithms: Vec<Algorithm>,
    max_age: Duration,
    nonces: Option<Nonces>,
    origins: Vec<PublicOrigin>,
    forwarded: Option<ForwardedOrigin>,
}

/// What a route wants of nonces beside what the server wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub(crate) enum RouteNonces {
    #[default]
    AsServer,
    Required,
}

impl Dpop {
    /// Algorithms that a proof may be signed with at all. ES512 and the longer hashes of RSA are not
    /// among them: no client needs them.
    const POSSIBLE: &'static [Algorithm] = &[
        Algorithm::Es256,
        Algorithm::EdDsa,
        Algorithm::Ed25519,
        Algorithm::Es384,
        Algorithm::Ps256,
        Algorithm::Rs256,
    ];

    /// Proofs signed with ES256, EdDSA or Ed25519, at most 60 seconds old, for the origin of the
    /// resource identifier, without nonces.
    pub fn new() -> Self {
        let ProofRules { algorithms, max_age, .. } = ProofRules::default();
        Self { algorithms, max_age, nonces: None, origins: Vec::new(), forwarded: None }
    }

    /// The algorithms that proofs may be signed with, instead of the default: ES256, EdDSA, Ed25519,
    /// ES384, PS256, RS256. RSA keys have at most 4096 bits. They stand in `algs` of challenges and in
    /// the metadata, in this order.
    pub fn algorithms(mut self, algorithms: impl IntoIterator<Item = Algorithm>) -> Self {
        self.algorithms = algorithms.into_iter().collect();
        self
    }

    /// How old a proof may be, by its `iat`, 1 second to 5 minutes; 60 seconds unless said otherwise.
    /// A proof may also come from a clock that is ahead, by [`crate::ServerBuilder::leeway`] and at
    /// most a minute. A good nonce says the time better and stands in for both (RFC 9449 §11.1).
    pub fn max_age(mut self, age: Duration) -> Self {
        self.max_age = age;
        self
    }

    /// Makes nonces, and wants them or takes them (RFC 9449 §9).
    pub fn nonces(mut self, nonces: Nonces) -> Self {
        self.nonces = Some(nonces);
        self
    }

    /// An origin by which clients call this server, instead of that of the resource identifier. Call
    /// it once for each: a proof for any of them is accepted.
    pub fn public_origin(mut self, origin: PublicOrigin) -> Self {
        self.origins.push(origin);
        self
    }

    /// Takes the origin from what a trusted proxy says in header fields. Where the peer is not
    /// trusted, the public origins apply if there are any; if not, no proof matches.
    pub fn forwarded_origin(mut self, origin: ForwardedOrigin) -> Self {
        self.forwarded = Some(origin);
        self
    }

    /// A fault where the proxies of the forwarded origin cannot be told from clients, whose
    /// certificates the acceptor verifies.
    pub(crate) fn check_beside_clients(&self, faults: &mut Faults) {
        if let Some(forwarded) = &self.forwarded {
            let peers = forwarded.peers();
            faults.at("forwarded.peers", |faults| peers.check_beside_clients(faults));
        }
    }

    pub(crate) fn check(
        &self,
        resource: &Resource,
        leeway: Duration,
        allowed: Option<(&str, &[Algorithm])>,
        faults: &mut Faults,
    ) -> Option<CheckedDpop> {
        let before = faults.len();
        let fault = |what: String| ConfigFault::Dpop(what);
        if self.algorithms.is_empty() {
            faults.push_at("algorithms", fault("no algorithm of proofs: name at least one".into()));
        }
        for (index, algorithm) in self.algorithms.iter().enumerate() {
            let wrong = match allowed {
                _ if !Self::POSSIBLE.contains(algorithm) => Some(format!(
                    "proofs are not verified with {algorithm}: {} are possible",
                    Algorithm::names(Self::POSSIBLE)
                )),
                _ if self.algorithms.iter().take(index).any(|other| other == algorithm) => {
                    Some(format!("{algorithm} is named twice: keep one"))
                }
                Some((rule, allowed)) if !allowed.contains(algorithm) => {
                    Some(format!("{algorithm} is not among {}: {rule}", Algorithm::names(allowed)))
                }
                _ => None,
            };
            if let Some(wrong) = wrong {
                faults.at_element("algorithms", index, |faults| faults.push(fault(wrong)));
            }
        }
        let ages = Duration::from_secs(1)..=Duration::from_mins(5);
        if !ages.contains(&self.max_age) {
            let found = self.max_age;
            let what = format!(
                "proofs of an age of {found:?} are not between 1 second and 5 minutes: say one"
            );
            faults.push_at("max_age", fault(what));
        }
        let nonces = self.nonces.as_ref().map(|nonces| {
            let mut checked = None;
            faults.at("nonces", |faults| checked = nonces.check(resource, faults));
            checked
        });
        let forwarded = self.forwarded.as_ref();
        let origins = Origins::check(resource, &self.origins, forwarded, faults);
        if faults.len() > before {
            return None;
        }
        let rules = ProofRules {
            algorithms: self.algorithms.clone(),
            max_age: self.max_age,
            // FAPI 2.0 §5.3.2.1: more than a minute ahead is no clock that differs.
            leeway: leeway.min(Duration::from_mins(1)),
        };
        Some(CheckedDpop { rules, nonces: nonces.flatten(), origins: origins? })
    }
}

impl Default for Dpop {
    fn default() -> Self {
        Self::new()
    }
}

/// DPoP without faults.
#[derive(Debug)]
pub(crate) struct CheckedDpop {
    rules: ProofRules,
    nonces: Option<CheckedNonces>,
    origins: Origins,
}

/// A proof that is good by itself: whose it is, and the nonce that its sender should use next.
pub(crate) struct Proven {
    pub(crate) proof: ProofUse,
    pub(crate) next_nonce: Option<HeaderValue>,
}

impl CheckedDpop {
    /// The accepted algorithms, as `algs` has them.
    pub(crate) fn algs(&self) -> String {
        Algorithm::names(&self.rules.algorithms)
    }

    pub(crate) fn algorithms(&self) -> &[Algorithm] {
        &self.rules.algorithms
    }

    pub(crate) fn nonces(&self) -> Option<&CheckedNonces> {
        self.nonces.as_ref()
    }

    /// Verifies the proof that came with this token. Whether its key is the token's, `sender`, is for the
    /// caller to compare.
    pub(crate) fn prove(
        &self,
        (presented, sender): (Unread<'_>, &Thumbprint),
        known: Option<&KnownSender>,
        head: RequestHead<'_>,
        route: RouteNonces,
        now: Timestamp,
    ) -> Result<Proven, Refusal> {
        let judge = |nonce: &str| match &self.nonces {
            Some(nonces) => nonces.judge(nonce, now),
            None => NonceVerdict::Refused("there are no nonces"),
        };
        let demand = match (&self.nonces, route) {
            (None, _) => NonceDemand::Off,
            (Some(nonces), RouteNonces::AsServer) => nonces.demand(&judge),
            (Some(_), RouteNonces::Required) => NonceDemand::Required(&judge),
        };
        let matches =
            |htu: &_| self.origins.matches(head, htu).map_err(|error| error.to_string().into());
        let expected = ExpectedProof::new(head.method, presented.text(), &matches, now);
        let expected = expected.nonce(demand);
        let proof = Proof::field(head.headers)
            .and_then(|text| Proof::verify_known(text, &expected, &self.rules, known))
            .map_err(|error| self.refused(&error, now))?;
        let next_nonce = match proof.nonce() {
            NonceUse::Fresh => None,
            NonceUse::Unused | NonceUse::Ageing => {
                self.nonces.as_ref().map(|nonces| nonces.make(now))
            }
        };
        Ok(Proven { proof: proof.into_use(known, sender), next_nonce })
    }

    fn refused(&self, error: &ProofError, now: Timestamp) -> Refusal {
        let kind = match error.kind() {
            ProofErrorKind::Missing => RejectionKind::ProofMissing,
            ProofErrorKind::Several => RejectionKind::SeveralProofs,
            ProofErrorKind::Malformed => RejectionKind::ProofMalformed,
            ProofErrorKind::AlgorithmNotAllowed => RejectionKind::ProofAlgorithm,
            ProofErrorKind::UnusableKey => RejectionKind::ProofKey,
            ProofErrorKind::BadSignature => RejectionKind::ProofSignature,
            ProofErrorKind::OtherMethod => RejectionKind::ProofMethod,
            ProofErrorKind::OtherUri => RejectionKind::ProofUri,
            ProofErrorKind::NotFresh => RejectionKind::ProofNotFresh,
            ProofErrorKind::OtherToken => RejectionKind::ProofToken,
            ProofErrorKind::NonceMissing => RejectionKind::NonceMissing,
            ProofErrorKind::NonceNotAccepted => RejectionKind::NonceNotAccepted,
        };
        let mut refusal = Refusal::new(kind, error.to_string());
        if matches!(kind, RejectionKind::NonceMissing | RejectionKind::NonceNotAccepted) {
            refusal.nonce = self.nonces.as_ref().map(|nonces| Box::new(nonces.make(now)));
        }
        refusal
    }

    /// What it says, in the words of a file.
    pub(crate) fn report(&self) -> serde_json::Value {
        let algorithms: Vec<_> = self.rules.algorithms.iter().map(|one| one.as_str()).collect();
        let mut report = self.origins.report();
        if let Some(members) = report.as_object_mut() {
            members.insert("algorithms".to_owned(), algorithms.into());
            members.insert("max_age".to_owned(), shown_duration(self.rules.max_age).into());
            if let Some(nonces) = &self.nonces {
                members.insert("nonces".to_owned(), nonces.report());
            }
        }
        report
    }
}
