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

use crate::context::PolicyContext;
use crate::name::{Audience, ClientId, IssuerId, JwtId, Subject};
use crate::time::Timestamp;

/// An accepted access token: whose it is, for whom, how long, and what it grants. A clone is
/// cheap.
///
/// The layer puts it into the request's extensions; with the feature `axum` it is an extractor.
#[derive(Clone)]
pub struct Access {
    facts: Arc<Facts>,
    context: Arc<PolicyContext>,
    decided_at: Timestamp,
}

/// What a token says, once its issuer is known to have said it: everything that a decision reads,
/// whatever the token's form was.
#[derive(Debug)]
pub(crate) struct Facts {
    pub(crate) issuer: Arc<IssuerId>,
    pub(crate) subject: Subject,
    pub(crate) client_id: Option<ClientId>,
    pub(crate) jwt_id: Option<JwtId>,
    pub(crate) audiences: Vec<Audience>,
    pub(crate) scope: Box<str>,
    pub(crate) issued_at: Option<Timestamp>,
    pub(crate) not_before: Option<Timestamp>,
    pub(crate) expires_at: Timestamp,
    pub(crate) confirmation: Confirmation,
    /// The claims as a JSON object, for types of the user.
    pub(crate) claims: Box<[u8]>,
}

/// What `cnf` says (RFC 7800 §3.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Confirmation {
    /// There is no `cnf`: a plain bearer token.
    Absent,
    /// There is one, in a form that nothing here can enforce.
    Unenforceable,
}

/// Whom a token speaks for, as far as RFC 9068 lets one tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum SubjectKind {
    /// `sub` equals `client_id`: the client acts for itself (RFC 9068 §2.2, RFC 9700 §4.15).
    Client,
    /// `sub` is another than `client_id`: the client acts for a resource owner. Whether that is a
    /// person is the issuer's to say.
    ResourceOwner,
    /// The token names no client.
    Unknown,
}

impl Access {
    pub(crate) fn new(
        facts: Arc<Facts>,
        context: Arc<PolicyContext>,
        decided_at: Timestamp,
    ) -> Self {
        Self { facts, context, decided_at }
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
        match &self.facts.client_id {
            Some(client) if client.as_str() == self.facts.subject.as_str() => SubjectKind::Client,
            Some(_) => SubjectKind::ResourceOwner,
            None => SubjectKind::Unknown,
        }
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
        self.scopes().any(|held| held == scope || self.context.implies.implies(held, scope))
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

    pub(crate) fn context(&self) -> &Arc<PolicyContext> {
        &self.context
    }
}

impl fmt::Debug for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Access")
            .field("issuer", self.issuer())
            .field("subject", self.subject())
            .field("client_id", &self.client_id())
            .field("scope", &self.facts.scope)
            .field("expires_at", &self.facts.expires_at)
            .finish_non_exhaustive()
    }
}
