use super::dpop::{CheckedDpop, RouteNonces};
use super::mtls::{CheckedMtls, Seen};
use super::proof::{KnownSender, Proof};
use crate::access::{Confirmation, ResponseFields, Sender};
use crate::context::Schemes;
use crate::credentials::{RequestHead, Scheme, Unread};
use crate::error::{ConfigFault, Refusal, RejectionKind};
use crate::name::Thumbprint;
use crate::observe::SenderBinding;
use crate::time::Timestamp;

/// How a token has to be bound to its sender. A server states it: there is no default.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Binding {
    /// A bound token has to be proven; an unbound one is accepted as a plain bearer token.
    WhereBound,
    /// Every token has to be bound, by a DPoP key or by a client certificate, and proven.
    Either,
    /// Every token has to be bound by a DPoP key (RFC 9449), and proven.
    Dpop,
    /// Every token has to be bound by a client certificate (RFC 8705), and proven.
    Mtls,
    /// Every token has to be bound by both, and both proven.
    Both,
}

impl Binding {
    /// Every one of them.
    pub const ALL: &'static [Self] =
        &[Self::WhereBound, Self::Either, Self::Dpop, Self::Mtls, Self::Both];

    /// A short name in snake case, as configuration files have it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::WhereBound => "where_bound",
            Self::Either => "either",
            Self::Dpop => "dpop",
            Self::Mtls => "mtls",
            Self::Both => "both",
        }
    }

    /// What satisfies this and the other.
    #[must_use]
    pub const fn strictest(self, other: Self) -> Self {
        match (self, other) {
            (Self::WhereBound, stricter) | (stricter, Self::WhereBound) => stricter,
            (Self::Either, stricter) | (stricter, Self::Either) => stricter,
            (Self::Dpop, Self::Dpop) => Self::Dpop,
            (Self::Mtls, Self::Mtls) => Self::Mtls,
            _ => Self::Both,
        }
    }
}

impl Binding {
    /// Whether a token with this `cnf` is bound as it has to be.
    fn is_met(self, key: Option<&Thumbprint>, certificate: Option<&Thumbprint>) -> bool {
        match self {
            Self::WhereBound => true,
            Self::Either => key.is_some() || certificate.is_some(),
            Self::Dpop => key.is_some(),
            Self::Mtls => certificate.is_some(),
            Self::Both => key.is_some() && certificate.is_some(),
        }
    }
}

/// What a request under the scheme `DPoP` lacks.
const NO_FIELD: &str = "there is no DPoP field; one with a proof is wanted";

/// How a server can prove senders.
#[derive(Debug, Default)]
pub(crate) struct Mechanisms {
    pub(crate) dpop: Option<CheckedDpop>,
    pub(crate) mtls: Option<CheckedMtls>,
    /// One of them is configured and faulty: what could be proven is not known.
    pub(crate) faulty: bool,
}

impl Mechanisms {
    /// Why this binding could never be met here.
    fn lack(&self, binding: Binding) -> Option<&'static str> {
        const DPOP: &str = "DPoP is not configured: say `.dpop(Dpop::new())`";
        const MTLS: &str = "mutual TLS is not configured: say `.mtls(Mtls::direct())`";
        const NEITHER: &str = "no way to prove a sender is configured: say `.dpop(Dpop::new())` or \
                               `.mtls(Mtls::direct())`";
        let (dpop, mtls) = (self.dpop.is_some(), self.mtls.is_some());
        match binding {
            _ if self.faulty => None,
            Binding::Either if !dpop && !mtls => Some(NEITHER),
            Binding::Dpop | Binding::Both if !dpop => Some(DPOP),
            Binding::Mtls | Binding::Both if !mtls => Some(MTLS),
            _ => None,
        }
    }

    /// The same, as a fault.
    pub(crate) fn fault(&self, binding: Binding) -> Option<ConfigFault> {
        let what = self.lack(binding)?;
        Some(ConfigFault::NoMechanism { binding: binding.as_str(), what })
    }

    /// The schemes that a client can use where this binding is wanted.
    pub(crate) fn schemes(&self, binding: Binding) -> Schemes {
        let bearer = match binding {
            Binding::WhereBound | Binding::Mtls => true,
            // A token that is bound to a certificate is presented as a bearer token (RFC 8705 §3).
            Binding::Either => self.mtls.is_some(),
            Binding::Dpop | Binding::Both => false,
        };
        let dpop = self.dpop.is_some() && binding != Binding::Mtls;
        match (bearer, dpop) {
            (true, true) => Schemes::Both,
            (false, true) => Schemes::Dpop,
            (_, false) => Schemes::Bearer,
        }
    }

    /// Whether a token that is bound as wanted could have come like this: with the scheme, the proof and
    /// the certificate that it takes. None of them is looked at.
    pub(crate) fn check_presented(
        &self,
        wanted: Binding,
        scheme: Scheme,
        head: RequestHead<'_>,
    ) -> Result<(), Refusal> {
        let refuse = |kind, detail: String| Err(Refusal::new(kind, detail));
        if scheme == Scheme::Dpop && !head.headers.contains_key(Proof::FIELD) {
            return Err(Refusal::new(RejectionKind::ProofMissing, NO_FIELD));
        }
        let by_certificate = || match self.mtls.as_ref().map(|mtls| mtls.see(head)) {
            Some(Seen::Certificate(..)) => Ok(()),
            Some(Seen::None(why)) => Err(why),
            None => Err("mutual TLS is not configured: say `.mtls(...)`".into()),
        };
        let by_key = scheme == Scheme::Dpop;
        if !by_key && matches!(wanted, Binding::Dpop | Binding::Both) {
            let detail = format!("the scheme is Bearer, wanted binding `{}`", wanted.as_str());
            return refuse(RejectionKind::NotBound, detail);
        }
        match wanted {
            Binding::Mtls | Binding::Both => by_certificate()
                .or_else(|why| refuse(RejectionKind::CertificateMissing, why.into_owned())),
            Binding::Either if !by_key => by_certificate().or_else(|why| {
                let detail = format!("the scheme is Bearer, wanted binding `either`, and {why}");
                refuse(RejectionKind::NotBound, detail)
            }),
            Binding::Either | Binding::Dpop | Binding::WhereBound => Ok(()),
        }
    }

    /// Everything that `cnf` names is enforced, and the token is bound as it has to be; or it is
    /// refused. What is cheap comes first; the proof's signature last.
    pub(crate) fn prove(
        &self,
        confirmation: &Confirmation,
        wanted: Binding,
        (presented, known): (Unread<'_>, Option<&KnownSender>),
        head: RequestHead<'_>,
        nonces: RouteNonces,
        now: Timestamp,
    ) -> Result<Option<Sender>, Refusal> {
        let refuse = |kind, detail: String| Err(Refusal::new(kind, detail));
        let (key, bound_to) = match confirmation {
            Confirmation::Absent => (None, None),
            Confirmation::Bound { key, certificate } => (key.as_ref(), certificate.as_ref()),
            Confirmation::Unenforceable(why) => {
                return Err(Refusal::new(RejectionKind::SenderNotProven, *why));
            }
        };
        if key.is_some() && self.dpop.is_none() {
            let detail = "`cnf` has `jkt`, and DPoP is not configured: say `.dpop(...)`";
            return Err(Refusal::new(RejectionKind::SenderNotProven, detail));
        }
        if bound_to.is_some() && self.mtls.is_none() {
            let detail = "`cnf` has `x5t#S256`, and mutual TLS is not configured: say `.mtls(...)`";
            return Err(Refusal::new(RejectionKind::SenderNotProven, detail));
        }
        match (presented.scheme(), key) {
            (Scheme::Bearer, Some(_)) => {
                let detail = "the token is bound to a key, and the scheme is `Bearer`: wanted `DPoP`, \
                              with a proof";
                return Err(Refusal::new(RejectionKind::BearerDowngrade, detail));
            }
            (Scheme::Dpop, None) => {
                let detail = "the token is bound to no key, and the scheme is `DPoP`: wanted `Bearer`, \
                              or a token that is bound to one";
                return Err(Refusal::new(RejectionKind::UnboundUnderDpop, detail));
            }
            (Scheme::Bearer, None) | (Scheme::Dpop, Some(_)) => {}
        }
        if !wanted.is_met(key, bound_to) {
            return Err(not_bound(key, bound_to, wanted));
        }

        let (certificate, vary) = match self.mtls.as_ref().map(|mtls| mtls.see(head)) {
            Some(Seen::Certificate(certificate, field)) => (Some(certificate), field),
            Some(Seen::None(why)) if bound_to.is_some() => {
                return refuse(RejectionKind::CertificateMissing, why.into_owned());
            }
            Some(Seen::None(_)) | None => (None, None),
        };
        if let (Some(bound_to), Some(certificate)) = (bound_to, &certificate)
            && bound_to != certificate.thumbprint()
        {
            let found = certificate.thumbprint();
            let detail = format!("`x5t#S256` is {bound_to}, the certificate's is {found}");
            return refuse(RejectionKind::OtherCertificate, detail);
        }
        let proven = match (&self.dpop, key) {
            (Some(dpop), Some(key)) => {
                let proven = dpop.prove((presented, key), known, head, nonces, now)?;
                if *key != proven.proof.key {
                    let found = &proven.proof.key;
                    let detail = format!("`jkt` is {key}, the proof's key is {found}");
                    return refuse(RejectionKind::OtherKey, detail);
                }
                Some(proven)
            }
            _ => None,
        };

        let binding = shown(key, bound_to);
        if proven.is_none() && certificate.is_none() {
            return Ok(None);
        }
        let (proof, dpop_nonce) = match proven {
            Some(proven) => (Some(proven.proof), proven.next_nonce),
            None => (None, None),
        };
        let response = ResponseFields { dpop_nonce, vary };
        Ok(Some(Sender { binding, proof, certificate, response }))
    }

    /// Whether the token is still bound as it has to be, of the very request that proved its sender
    /// before. For any other request the sender is proven anew.
    pub(crate) fn prove_again(
        confirmation: &Confirmation,
        wanted: Binding,
        sender: Option<&Sender>,
    ) -> Result<(), Refusal> {
        let (key, certificate) = match confirmation {
            Confirmation::Absent => (None, None),
            Confirmation::Bound { key, certificate } => (key.as_ref(), certificate.as_ref()),
            Confirmation::Unenforceable(why) => {
                return Err(Refusal::new(RejectionKind::SenderNotProven, *why));
            }
        };
        let proven = sender.map_or(SenderBinding::Bearer, |sender| sender.binding);
        if proven != shown(key, certificate) {
            let detail = "the sender was not proven as `cnf` wants it: the request was decided by other \
                          rules before";
            return Err(Refusal::new(RejectionKind::SenderNotProven, detail));
        }
        match wanted.is_met(key, certificate) {
            true => Ok(()),
            false => Err(not_bound(key, certificate, wanted)),
        }
    }
}

/// What it takes to prove the sender of a token with this `cnf`.
fn shown(key: Option<&Thumbprint>, certificate: Option<&Thumbprint>) -> SenderBinding {
    match (key, certificate) {
        (None, None) => SenderBinding::Bearer,
        (Some(_), None) => SenderBinding::Dpop,
        (None, Some(_)) => SenderBinding::Mtls,
        (Some(_), Some(_)) => SenderBinding::DpopAndMtls,
    }
}

fn not_bound(
    key: Option<&Thumbprint>,
    certificate: Option<&Thumbprint>,
    wanted: Binding,
) -> Refusal {
    let found = match (key, certificate) {
        (None, None) => "no sender",
        (Some(_), _) => "a key only",
        (None, Some(_)) => "a certificate only",
    };
    let detail = format!("the token is bound to {found}, wanted binding `{}`", wanted.as_str());
    Refusal::new(RejectionKind::NotBound, detail)
}

#[cfg(test)]
mod tests {
    use super::Binding::{Both, Dpop, Either, Mtls, WhereBound};

    #[test]
    fn the_strictest_of_two_satisfies_both() {
        for (one, other, strictest) in [
            (WhereBound, WhereBound, WhereBound),
            (WhereBound, Either, Either),
            (Either, Dpop, Dpop),
            (Either, Mtls, Mtls),
            (Dpop, Mtls, Both),
            (Dpop, Dpop, Dpop),
            (Both, WhereBound, Both),
            (Both, Mtls, Both),
        ] {
            assert_eq!(one.strictest(other), strictest, "{one:?} {other:?}");
            assert_eq!(other.strictest(one), strictest, "{other:?} {one:?}");
        }
    }
}
