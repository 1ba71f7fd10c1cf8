//! What an accepted token grants: [`Access`].
//!
//! There is no way to make one but to have a token decided (or, by name, the test kit): a function
//! that takes an `Access` needs no check of its own that somebody was authenticated.
//!
//! What it does not say: that a person is present. A token is not evidence of that
//! (NIST SP 800-63B); look at `auth_time` and `acr` where it matters.

use std::fmt;
use std::sync::Arc;

use serde::de::DeserializeOwned;

use crate::error::Answers;
use crate::name::{ClientId, IssuerId, JwtId, Subject};
use crate::time::Timestamp;

/// An accepted access token: whose it is, for whom, how long, and what it grants. A clone is
/// cheap.
///
/// The layer puts it into the request's extensions; with the feature `axum` it is an extractor.
#[derive(Clone)]
pub struct Access {
    facts: Arc<Facts>,
    decided_at: Timestamp,
}

pub(crate) struct Facts {
    pub(crate) issuer: Arc<IssuerId>,
    pub(crate) subject: Subject,
    pub(crate) client_id: ClientId,
    pub(crate) jwt_id: JwtId,
    pub(crate) audiences: Vec<Box<str>>,
    pub(crate) scope: Box<str>,
    pub(crate) issued_at: Timestamp,
    pub(crate) expires_at: Timestamp,
    pub(crate) claims: Box<[u8]>,
    /// For layers below that refuse in this server's name.
    pub(crate) answers: Arc<Answers>,
    pub(crate) implies: Implies,
}

/// The server's rule that one scope implies another, if it was given one.
#[derive(Clone, Default)]
pub(crate) struct Implies(pub(crate) Option<Arc<ImplyFn>>);

pub(crate) type ImplyFn = dyn Fn(&str, &str) -> bool + Send + Sync;

impl Implies {
    fn implies(&self, held: &str, wanted: &str) -> bool {
        self.0.as_ref().is_some_and(|rule| rule(held, wanted))
    }
}

/// Whom a token speaks for, as far as RFC 9068 lets one tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum SubjectKind {
    /// `sub` equals `client_id`: the client acts for itself (RFC 9068 §2.2, RFC 9700 §4.15).
    Client,
    /// Anybody else. Whether it is a person is the issuer's to say.
    Delegated,
}

impl Access {
    pub(crate) fn new(facts: Facts, decided_at: Timestamp) -> Self {
        Self {
            facts: Arc::new(facts),
            decided_at,
        }
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

    /// Whether the client acts for itself or for somebody.
    #[must_use]
    pub fn subject_kind(&self) -> SubjectKind {
        if self.facts.subject.as_str() == self.facts.client_id.as_str() {
            SubjectKind::Client
        } else {
            SubjectKind::Delegated
        }
    }

    /// The client that the token was issued to.
    #[must_use]
    pub fn client_id(&self) -> &ClientId {
        &self.facts.client_id
    }

    /// The token's id, unique only together with [`Access::issuer`].
    #[must_use]
    pub fn jwt_id(&self) -> &JwtId {
        &self.facts.jwt_id
    }

    /// Every audience of the token; one of them is this resource.
    pub fn audiences(&self) -> impl ExactSizeIterator<Item = &str> {
        self.facts.audiences.iter().map(AsRef::as_ref)
    }

    /// The granted scope tokens, as the token names them. An implication that the server was
    /// given is not applied here: ask [`Access::has_scope`].
    pub fn scopes(&self) -> impl Iterator<Item = &str> {
        self.facts
            .scope
            .split(' ')
            .filter(|scope| !scope.is_empty())
    }

    /// Whether the token grants this scope, by name or by the server's implication. Names are
    /// compared whole and case-sensitively (RFC 6749 §3.3).
    #[must_use]
    pub fn has_scope(&self, scope: &str) -> bool {
        self.scopes()
            .any(|held| held == scope || self.facts.implies.implies(held, scope))
    }

    /// When the token was issued (`iat`).
    #[must_use]
    pub fn issued_at(&self) -> Timestamp {
        self.facts.issued_at
    }

    /// From when on the token is no longer accepted (`exp`).
    #[must_use]
    pub fn expires_at(&self) -> Timestamp {
        self.facts.expires_at
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

    /// When the request was decided, by the server's clock.
    #[must_use]
    pub fn decided_at(&self) -> Timestamp {
        self.decided_at
    }

    pub(crate) fn answers(&self) -> &Arc<Answers> {
        &self.facts.answers
    }
}

impl fmt::Debug for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Access")
            .field("issuer", self.issuer())
            .field("subject", self.subject())
            .field("client_id", self.client_id())
            .field("scope", &self.facts.scope)
            .field("expires_at", &self.facts.expires_at)
            .finish_non_exhaustive()
    }
}
