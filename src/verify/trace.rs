//! What is learned on the way.

use std::sync::Arc;

use super::class::ClassPlace;
use crate::access::{Access, Facts};
use crate::credentials::Scheme;
use crate::name::IssuerId;
use crate::observe::{Decision, SenderBinding};

/// What was learned of a request on the way to its decision, for observers.
#[derive(Debug, Default)]
pub(crate) struct Trace {
    /// The scheme that the request used.
    pub(crate) scheme: Option<Scheme>,
    /// A trusted issuer, claimed before step 4 and proven after it.
    pub(crate) issuer: Option<Arc<IssuerId>>,
    /// What the token says, of one that was refused once its issuer was known to have said it. Of one
    /// that is accepted its [`Access`] knows.
    pub(crate) facts: Option<Arc<Facts>>,
    pub(crate) class: Option<ClassPlace>,
    pub(crate) binding: Option<SenderBinding>,
    pub(crate) exception: Option<Arc<str>>,
}

impl Trace {
    /// What is known of an accepted token.
    pub(crate) fn of(access: &Access) -> Self {
        let facts = Arc::clone(access.facts());
        Self {
            scheme: Some(access.scheme()),
            binding: Some(access.binding()),
            issuer: Some(Arc::clone(&facts.issuer)),
            facts: Some(facts),
            ..Self::default()
        }
    }

    /// Adds to an event what is known. `accepted` is what the token says, of one that is accepted.
    pub(crate) fn told<'a>(
        &'a self,
        accepted: Option<&'a Facts>,
        decision: Decision<'a>,
    ) -> Decision<'a> {
        let facts = accepted.or(self.facts.as_deref());
        let token = facts.and_then(|facts| Some((&*facts.issuer, facts.jwt_id.as_ref()?)));
        let issuer = facts.map(|facts| &facts.issuer).or(self.issuer.as_ref());
        Decision {
            issuer: issuer.map(AsRef::as_ref),
            issuer_proven: facts.is_some(),
            client_id: facts.and_then(|facts| facts.client_id.as_ref()),
            binding: self.binding,
            exception: self.exception.as_deref(),
            expires_in: facts.and_then(|facts| facts.expires_at.since(decision.at)),
            token,
            ..decision
        }
    }
}
