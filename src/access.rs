//! What an accepted token grants: [`Access`].
//!
//! There is no way to make one but to have a token decided (or, by name, the test kit): a function
//! that takes an `Access` needs no check of its own that somebody was authenticated.
//!
//! What it does not say: that a person is present. A token is not evidence of that
//! (NIST SP 800-63B); look at `auth_time` and `acr` where it matters.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use http::header::{ACCESS_CONTROL_EXPOSE_HEADERS, CACHE_CONTROL, VARY};
use http::{HeaderMap, HeaderName, HeaderValue};
use serde::de::DeserializeOwned;

use crate::certificate::Certificate;
use crate::context::{ChallengeVisibility, NonceIssuing, PolicyContext};
use crate::name::{Audience, ClientId, IssuerId, JwtId, KeyId, Scheme, Subject, Thumbprint};
use crate::observe::{SenderBinding, TokenHash};
use crate::stripe::Handle;
use crate::time::{Moment, Timestamp};

/// An accepted access token: whose it is, for whom, how long, and what it grants. A clone is
/// cheap.
///
/// The layer puts it into the request's extensions; with the feature `axum` it is an extractor.
#[derive(Clone)]
pub struct Access {
    facts: Arc<Facts>,
    context: Handle<PolicyContext>,
    decided_at: Timestamp,
    /// `None`: nothing is known of the sender but that it has the token.
    sender: Option<Arc<Sender>>,
}

/// What is known of who sent a request, beside that it has the token.
#[derive(Debug)]
pub(crate) struct Sender {
    pub(crate) binding: SenderBinding,
    /// The key of the DPoP proof.
    pub(crate) proof: Option<ProofUse>,
    /// The certificate that the sender has the key of, whether the token is bound to it or not.
    pub(crate) certificate: Option<Certificate>,
    /// What the response has to say for it.
    pub(crate) response: ResponseFields,
}

/// A proof that was verified, as the replay memory has to remember it.
#[derive(Debug)]
pub(crate) struct ProofUse {
    pub(crate) key: Thumbprint,
    pub(crate) jti: Box<str>,
    pub(crate) htu: Box<str>,
    pub(crate) issued_at: Timestamp,
    /// From then on the proof cannot be accepted any more.
    pub(crate) accepted_until: Timestamp,
}

/// What the response to an accepted request has to carry.
#[derive(Debug, Default)]
pub(crate) struct ResponseFields {
    /// A nonce for the client's next proofs (RFC 9449 §8.2).
    pub(crate) dpop_nonce: Option<HeaderValue>,
    /// The field that the certificate was read from (RFC 9440 §2.4).
    pub(crate) vary: Option<HeaderValue>,
}

/// What a token says, once its issuer is known to have said it: everything that a decision reads,
/// whatever the token's form was.
#[derive(Debug)]
pub(crate) struct Facts {
    pub(crate) issuer: Arc<IssuerId>,
    pub(crate) subject: Subject,
    pub(crate) subject_kind: SubjectKind,
    pub(crate) client_id: Option<ClientId>,
    pub(crate) jwt_id: Option<JwtId>,
    pub(crate) audiences: Vec<Audience>,
    pub(crate) scope: Box<str>,
    pub(crate) issued_at: Option<Timestamp>,
    pub(crate) not_before: Option<Timestamp>,
    pub(crate) expires_at: Timestamp,
    pub(crate) auth_time: Option<Timestamp>,
    pub(crate) acr: Option<Box<str>>,
    pub(crate) actor: Option<Actor>,
    pub(crate) confirmation: Confirmation,
    /// The `kid` of the key that signed it, if the key has one.
    pub(crate) key_id: Option<Arc<KeyId>>,
    /// The session, `sid`.
    pub(crate) session: Option<Box<str>>,
    /// Claims by which the server's configuration tells tokens apart: the claim's place there, and a
    /// value. Several, if the claim is an array.
    pub(crate) named: NamedClaims,
    /// `None` where nobody looks at it, or the token has none.
    pub(crate) status: Option<StatusReference>,
    pub(crate) origin: Origin,
    pub(crate) addressed: Addressed,
    /// The claims as a JSON object, for types of the user.
    pub(crate) claims: Box<[u8]>,
}

impl Facts {
    /// Whether another reading of the same token says of it what this one does: whose it is, and what it may
    /// do. When its issuer was asked, and by which name it calls its key, is no part of that.
    pub(crate) fn grants_as(&self, other: &Self) -> bool {
        let Self {
            issuer,
            subject,
            subject_kind,
            client_id,
            jwt_id,
            audiences,
            scope,
            issued_at,
            not_before,
            expires_at,
            auth_time,
            acr,
            actor,
            confirmation,
            key_id: _,
            session,
            named,
            status,
            origin: _,
            addressed,
            claims,
        } = other;
        self.issuer == *issuer
            && self.subject == *subject
            && self.subject_kind == *subject_kind
            && self.client_id == *client_id
            && self.jwt_id == *jwt_id
            && self.audiences == *audiences
            && self.scope == *scope
            && self.issued_at == *issued_at
            && self.not_before == *not_before
            && self.expires_at == *expires_at
            && self.auth_time == *auth_time
            && self.acr == *acr
            && self.actor == *actor
            && self.confirmation == *confirmation
            && self.session == *session
            && self.named == *named
            && self.status == *status
            && self.addressed == *addressed
            && self.claims == *claims
    }
}

/// Who said what is known of a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    /// The token itself, when it was issued.
    Token,
    /// Its issuer, when it was asked about.
    Answer {
        asked: Moment,
        /// How long what it said counts.
        counts_for: Duration,
        /// What it was asked about.
        form: TokenForm,
    },
}

/// Whether a token says something itself that can be read here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TokenForm {
    Jwt,
    Opaque,
}

/// Whether a token says for whom it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Addressed {
    /// By its audiences.
    Named,
    /// It has none, and a configuration says that it is for whoever is told that it is active.
    Unsaid,
}

/// Values of claims that a configuration names, each with the place of its claim there.
pub(crate) type NamedClaims = Box<[(u16, Box<str>)]>;

/// Where a token's status is (Token Status List §6.2).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct StatusReference {
    pub(crate) uri: Box<str>,
    pub(crate) index: u64,
    /// Where lists of this URI are looked for: a keyed hash of it, made once for each token.
    pub(crate) place: u64,
}

/// What `cnf` says (RFC 7800 §3.1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Confirmation {
    /// There is no `cnf`: a plain bearer token.
    Absent,
    /// It names a key, a certificate, or both: all of it is enforced.
    Bound {
        /// The thumbprint of a key (`jkt`, RFC 9449 §6.1).
        key: Option<Thumbprint>,
        /// The thumbprint of a certificate (`x5t#S256`, RFC 8705 §3.1).
        certificate: Option<Thumbprint>,
    },
    /// There is one that nothing here can enforce, for this reason.
    Unenforceable(&'static str),
}

/// Whom a token speaks for, as far as its issuer lets one tell.
///
/// RFC 9068 has no claim for it. Where the issuer's profile has a rule
/// ([`crate::issuer::TokenProfile::subject_kind`]), that rule says; else `sub` and `client_id` are
/// compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum SubjectKind {
    /// The client acts for itself: `sub` equals `client_id` (RFC 9068 §2.2, RFC 9700 §4.15).
    Client,
    /// The client acts for a resource owner: `sub` is another than `client_id`. Whether that owner
    /// is a person is the issuer's to say.
    Person,
    /// A machine with an identity of its own, such as a Kubernetes service account.
    Workload,
    /// The token names no client.
    Unknown,
}

impl SubjectKind {
    /// Every one of them.
    pub const ALL: &'static [Self] = &[Self::Client, Self::Person, Self::Workload, Self::Unknown];

    /// A short name in snake case, as configuration files have it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Client => "client",
            Self::Person => "person",
            Self::Workload => "workload",
            Self::Unknown => "unknown",
        }
    }
}

/// Who uses a token on behalf of its subject (RFC 8693 §4.1): the current actor. Actors before it
/// are nobody here; [`Access::claims`] shows them, for a log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Actor {
    issuer: Box<str>,
    subject: Subject,
}

impl Actor {
    pub(crate) fn new(issuer: &str, subject: Subject) -> Self {
        Self { issuer: issuer.into(), subject }
    }

    /// The actor's issuer: `act.iss`, or the token's where that says nothing. It is a name in a
    /// token, which need not be an issuer of this server.
    #[must_use]
    pub fn issuer(&self) -> &str {
        &self.issuer
    }

    /// The actor: `act.sub`, unique only together with its issuer.
    #[must_use]
    pub fn subject(&self) -> &Subject {
        &self.subject
    }
}

impl Access {
    pub(crate) fn new(
        facts: Arc<Facts>,
        context: Handle<PolicyContext>,
        decided_at: Timestamp,
        sender: Option<Arc<Sender>>,
    ) -> Self {
        Self { facts, context, decided_at, sender }
    }

    /// The issuer.
    #[must_use]
    pub fn issuer(&self) -> &IssuerId {
        &self.facts.issuer
    }

    /// The subject, unique only together with [`Access::issuer`].
    #[must_use]
    pub fn subject(&self) -> &Subject {
        &self.facts.subject
    }

    /// Issuer and subject: the key to store things under. Never use an e-mail address for that.
    #[must_use]
    pub fn principal(&self) -> (&IssuerId, &Subject) {
        (self.issuer(), self.subject())
    }

    /// Whether a client, a person or a workload is the subject.
    #[must_use]
    pub fn subject_kind(&self) -> SubjectKind {
        self.facts.subject_kind
    }

    /// The client that the token was issued to. An RFC 9068 token always names it.
    #[must_use]
    pub fn client_id(&self) -> Option<&ClientId> {
        self.facts.client_id.as_ref()
    }

    /// The token's id, unique only together with [`Access::issuer`]. An RFC 9068 token always has
    /// one.
    #[must_use]
    pub fn jwt_id(&self) -> Option<&JwtId> {
        self.facts.jwt_id.as_ref()
    }

    /// A keyed hash of issuer and `jti`, the same as in every [`crate::observe::Decision`] about
    /// this token: what an observer counts by it, a check can look up. It costs some microseconds.
    #[must_use]
    pub fn token_hash(&self) -> Option<TokenHash> {
        self.context.server.observers.hash(self.issuer(), self.jwt_id()?)
    }

    /// Every audience of the token; one of them is this resource.
    pub fn audiences(&self) -> impl ExactSizeIterator<Item = &Audience> {
        self.facts.audiences.iter()
    }

    /// The granted scope tokens, as the token names them. An implication that the server was
    /// given is not applied here: ask [`Access::has_scope`].
    pub fn scopes(&self) -> impl Iterator<Item = &str> {
        self.facts.scope.split(' ').filter(|scope| !scope.is_empty())
    }

    /// Whether the token grants this scope, by name or by the server's implication. Names are
    /// compared whole and case-sensitively (RFC 6749 §3.3).
    #[must_use]
    pub fn has_scope(&self, scope: &str) -> bool {
        names(self.facts.scope.as_bytes(), scope.as_bytes()) || {
            let implies = &self.context.server.implies;
            !implies.is_empty() && self.scopes().any(|held| implies.implies(held, scope))
        }
    }

    /// When the token was issued (`iat`). An RFC 9068 token always says so.
    #[must_use]
    pub fn issued_at(&self) -> Option<Timestamp> {
        self.facts.issued_at
    }

    /// From when on the token is no longer accepted (`exp`).
    #[must_use]
    pub fn expires_at(&self) -> Timestamp {
        self.facts.expires_at
    }

    /// When the subject authenticated (`auth_time`, RFC 9068 §2.2.1). It does not move when a
    /// token is refreshed, and it is no evidence that somebody is present now.
    #[must_use]
    pub fn auth_time(&self) -> Option<Timestamp> {
        self.facts.auth_time
    }

    /// The authentication context class that the subject's authentication satisfied (`acr`).
    #[must_use]
    pub fn acr(&self) -> Option<&str> {
        self.facts.acr.as_deref()
    }

    /// Who uses the token on behalf of its subject, if somebody else does (`act`, RFC 8693 §4.1).
    #[must_use]
    pub fn actor(&self) -> Option<&Actor> {
        self.facts.actor.as_ref()
    }

    /// The token's claims as a type of yours.
    ///
    /// ```
    /// # fn handler(access: &portcullis::Access) -> Result<(), serde_json::Error> {
    /// #[derive(serde::Deserialize)]
    /// struct Roles {
    ///     #[serde(default)]
    ///     roles: Vec<String>,
    /// }
    /// let Roles { roles } = access.claims()?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// If the claims do not have the shape of `T`.
    pub fn claims<T: DeserializeOwned>(&self) -> Result<T, serde_json::Error> {
        serde_json::from_slice(&self.facts.claims)
    }

    /// How the sender proved that the token is its own.
    #[must_use]
    pub fn binding(&self) -> SenderBinding {
        self.sender.as_ref().map_or(SenderBinding::Bearer, |sender| sender.binding)
    }

    /// The thumbprint of the key that the sender proved to have, by a DPoP proof (RFC 9449 §6.1).
    #[must_use]
    pub fn key_thumbprint(&self) -> Option<&Thumbprint> {
        Some(&self.sender.as_ref()?.proof.as_ref()?.key)
    }

    /// The certificate that the sender proved to have the key of, whether the token is bound to it or
    /// not ([`Access::binding`] says that). Nobody has verified its chain.
    #[must_use]
    pub fn certificate(&self) -> Option<&Certificate> {
        self.sender.as_ref()?.certificate.as_ref()
    }

    /// Adds to the response what the decision wants there: a fresh `DPoP-Nonce` with
    /// `Cache-Control: no-store` (RFC 9449 §8.2), and `Vary` where the certificate came in a field
    /// (RFC 9440 §2.4). The layer does it; whoever uses a [`crate::Guard`] without tower calls it.
    pub fn complete_response(&self, headers: &mut HeaderMap) {
        if let Some(sender) = &self.sender {
            sender.response.write(headers, &self.context);
        }
    }

    /// The scheme that such a token is presented with.
    pub(crate) fn scheme(&self) -> Scheme {
        match self.binding() {
            SenderBinding::Bearer | SenderBinding::Mtls => Scheme::Bearer,
            SenderBinding::Dpop | SenderBinding::DpopAndMtls => Scheme::Dpop,
        }
    }

    pub(crate) fn sender(&self) -> Option<&Arc<Sender>> {
        self.sender.as_ref()
    }

    /// When the request was decided, by the server's clock.
    #[must_use]
    pub fn decided_at(&self) -> Timestamp {
        self.decided_at
    }

    pub(crate) fn context(&self) -> &Arc<PolicyContext> {
        self.context.value()
    }

    pub(crate) fn facts(&self) -> &Arc<Facts> {
        &self.facts
    }

    pub(crate) fn raw_claims(&self) -> &[u8] {
        &self.facts.claims
    }
}

impl ResponseFields {
    /// The name of the field of [`Self::dpop_nonce`] (RFC 9449 §8).
    pub(crate) const NONCE: HeaderName = HeaderName::from_static("dpop-nonce");

    fn write(&self, headers: &mut HeaderMap, context: &PolicyContext) {
        if context.server.nonces == NonceIssuing::On {
            // Nonces of another server would only be refused here.
            headers.remove(Self::NONCE);
        }
        if let Some(nonce) = &self.dpop_nonce {
            // Exactly one (RFC 9449 §8), and no cache may give it to somebody else.
            headers.insert(Self::NONCE, nonce.clone());
            headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
            if context.visibility == ChallengeVisibility::Exposed {
                headers
                    .append(ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static("DPoP-Nonce"));
            }
        }
        if let Some(field) = &self.vary {
            headers.append(VARY, field.clone());
        }
    }
}

/// Whether a list of scope tokens with spaces between them has this one.
fn names(held: &[u8], wanted: &[u8]) -> bool {
    /// Up to here comparing one after the other is faster than preparing a search.
    const SHORT: usize = 64;
    if wanted.is_empty() || wanted.contains(&b' ') {
        return false;
    }
    if held.len() <= SHORT {
        return held.split(|octet| *octet == b' ').any(|held| held == wanted);
    }
    // Where it stands as a whole it overlaps with no other occurrence: there is no space in it.
    memchr::memmem::find_iter(held, wanted).any(|start| {
        let (before, rest) = held.split_at(start);
        let after = rest.get(wanted.len());
        before.last().is_none_or(|octet| *octet == b' ') && after.is_none_or(|octet| *octet == b' ')
    })
}

impl fmt::Debug for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Access")
            .field("issuer", self.issuer())
            .field("subject", self.subject())
            .field("subject_kind", &self.subject_kind())
            .field("client_id", &self.client_id())
            .field("scope", &self.facts.scope)
            .field("expires_at", &self.facts.expires_at)
            .field("binding", &self.binding())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::names;

    /// One token after the other.
    fn slowly(held: &str, wanted: &str) -> bool {
        held.split(' ').any(|held| !held.is_empty() && held == wanted)
    }

    proptest! {
        /// SCOPE-01: a scope token is held if it is one of the list, whole and as it is written, however
        /// long the list.
        #[test]
        fn a_list_names_what_it_names(
            held in prop::collection::vec("[ab]{0,5}|x{60,70}", 0..40),
            wanted in "[ab]{0,5}|[ab]{1,2} [ab]{1,2}|x{60,70}",
            other in prop::sample::select(vec!["", " ", "A"]),
        ) {
            let held = format!("{}{other}", held.join(" "));
            for wanted in [&*wanted, held.split(' ').next_back().unwrap_or_default()] {
                let found = names(held.as_bytes(), wanted.as_bytes());
                prop_assert_eq!(found, slowly(&held, wanted), "{:?} in {:?}", wanted, held);
            }
        }
    }
}
