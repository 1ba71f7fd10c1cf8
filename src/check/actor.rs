use super::client::{list_fault, named};
use super::{Check, CheckContext, CheckError, Denial, Needs};
use crate::error::ConfigFault;

/// Somebody uses the token on behalf of its subject: it has an actor (`act`, RFC 8693 §4.1); else
/// 403. Which one is for [`actors`] to say.
///
/// ```
/// use portcullis::check::{Check, actor, scope};
///
/// let through_a_gateway = scope("orders").and(actor());
/// # let _ = through_a_gateway;
/// ```
#[must_use]
pub fn actor() -> AnyActor {
    AnyActor(())
}

/// The token has no actor (`act`, RFC 8693 §4.1); else 403.
///
/// It does not show that the subject itself is there: a token of an impersonation carries no `act`
/// and cannot be told from one that its subject asked for (RFC 8693 §1.1).
///
/// ```
/// use portcullis::check::{Check, no_actor, scope};
///
/// let change_password = scope("account").and(no_actor());
/// # let _ = change_password;
/// ```
#[must_use]
pub fn no_actor() -> NoActor {
    NoActor(())
}

/// The token's current actor is one of these; else 403. With none, it is a fault of the policy.
///
/// Only the outermost `act` counts. Those inside it say who acted before, and decide nothing
/// (RFC 8693 §4.1); neither does `may_act`, which is for the authorization server (§4.4), nor any
/// claim of `act` but `sub` and `iss`.
///
/// An actor is its `iss` and its `sub` together. One without `iss` is of the token's issuer, and
/// that is the issuer wanted here unless [`RequireActor::of_issuer`] says otherwise: on a server with
/// more than one issuer it has to.
///
/// ```
/// use portcullis::check::actors;
///
/// let gateway = actors(["gateway"]);
///
/// # #[cfg(feature = "testing")] {
/// use portcullis::testing::{TestAccess, check};
/// use serde_json::json;
/// let ours = TestAccess::new().claim("act", json!({ "sub": "gateway" })).build();
/// let before = json!({ "sub": "other", "act": { "sub": "gateway" } });
/// let before = TestAccess::new().claim("act", before).build();
/// assert!(check(&gateway, &ours, "GET", "/").is_ok());
/// assert!(check(&gateway, &before, "GET", "/").is_err());
/// # }
/// ```
#[must_use]
pub fn actors<A: Into<String>>(actors: impl IntoIterator<Item = A>) -> RequireActor {
    RequireActor::new(actors.into_iter().map(Into::into).collect(), None)
}

/// The check of [`actor()`].
#[derive(Clone, Copy, Debug)]
pub struct AnyActor(());

impl Check for AnyActor {
    fn check(&self, request: &CheckContext<'_>) -> Result<(), CheckError> {
        match request.access().actor() {
            Some(_) => Ok(()),
            None => Err(Denial::forbidden("the token has no actor, and one is wanted").into()),
        }
    }

    fn needs(&self, needs: &mut Needs) {
        needs.rule("actor", "required");
    }
}

/// The check of [`no_actor`].
#[derive(Clone, Copy, Debug)]
pub struct NoActor(());

impl Check for NoActor {
    fn check(&self, request: &CheckContext<'_>) -> Result<(), CheckError> {
        match request.access().actor() {
            None => Ok(()),
            Some(_) => Err(Denial::forbidden("the token has an actor, and none may act").into()),
        }
    }

    fn needs(&self, needs: &mut Needs) {
        needs.rule("actor", "forbidden");
    }
}

/// The check of [`actors`].
#[derive(Clone, Debug)]
pub struct RequireActor {
    actors: Vec<String>,
    issuer: Option<String>,
    fault: Option<String>,
}

impl RequireActor {
    fn new(actors: Vec<String>, issuer: Option<String>) -> Self {
        let empty = || issuer.as_deref().is_some_and(str::is_empty);
        let fault = list_fault("actor", &actors).or_else(|| {
            empty().then(|| "the issuer of the actors is an empty text: name it".to_owned())
        });
        Self { actors, issuer, fault }
    }

    /// The actors are of this issuer, whoever issued the token. It is the actor's `iss`, which
    /// need not be an issuer of this server; the token's issuer vouches for it, so that
    /// [`super::issuers`] may be wanted beside it.
    #[must_use]
    pub fn of_issuer(self, issuer: impl Into<String>) -> Self {
        Self::new(self.actors, Some(issuer.into()))
    }
}

impl Check for RequireActor {
    fn check(&self, request: &CheckContext<'_>) -> Result<(), CheckError> {
        let access = request.access();
        let issuer = self.issuer.as_deref().unwrap_or(access.issuer().as_str());
        let accepted = access.actor().is_some_and(|actor| {
            actor.issuer() == issuer
                && self.actors.iter().any(|one| actor.subject() == one.as_str())
        });
        if accepted && self.fault.is_none() {
            return Ok(());
        }
        Err(Denial::forbidden("the token's actor is absent or not one of those that may").into())
    }

    fn needs(&self, needs: &mut Needs) {
        if let Some(fault) = &self.fault {
            needs.fault(ConfigFault::Policy(fault.clone()));
        }
        if self.issuer.is_none() {
            needs.one_issuer("actor");
        }
        needs.rule("actor", named(&self.actors, self.issuer.as_deref()));
    }
}
