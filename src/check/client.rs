use serde_json::json;

use super::{Check, CheckContext, CheckError, Denial, Needs};
use crate::error::ConfigFault;
use crate::name::IssuerId;

/// The token was issued to one of these clients; else 403. A token that names no client never
/// matches. With none, it is a fault of the policy.
///
/// A client id is unique only within its issuer (RFC 6749 §2.2): with more than one issuer, say
/// [`RequireClient::of_issuer`].
///
/// ```
/// use portcullis::check::clients;
///
/// let batch = clients(["nightly-export"]).of_issuer("https://login.example.com");
/// # let _ = batch;
/// ```
#[must_use]
pub fn clients<C: Into<String>>(clients: impl IntoIterator<Item = C>) -> RequireClient {
    RequireClient::new(clients.into_iter().map(Into::into).collect(), None)
}

/// The check of [`clients`].
#[derive(Clone, Debug)]
pub struct RequireClient {
    clients: Vec<String>,
    issuer: Option<String>,
    fault: Option<String>,
}

impl RequireClient {
    fn new(clients: Vec<String>, issuer: Option<String>) -> Self {
        let fault = list_fault("client", &clients).or_else(|| issuer_fault(issuer.as_deref()));
        Self { clients, issuer, fault }
    }

    /// And the token is one of this issuer.
    #[must_use]
    pub fn of_issuer(self, issuer: impl Into<String>) -> Self {
        Self::new(self.clients, Some(issuer.into()))
    }
}

impl Check for RequireClient {
    fn check(&self, request: &CheckContext<'_>) -> Result<(), CheckError> {
        let access = request.access();
        let client = access.client_id().map(AsRef::as_ref);
        let listed =
            client.is_some_and(|client: &str| self.clients.iter().any(|one| one == client));
        let issuer = self.issuer.as_deref().is_none_or(|issuer| access.issuer() == issuer);
        if listed && issuer && self.fault.is_none() {
            return Ok(());
        }
        Err(Denial::forbidden("the token's client is not one of those that may").into())
    }

    fn needs(&self, needs: &mut Needs) {
        if let Some(fault) = &self.fault {
            needs.fault(ConfigFault::Policy(fault.clone()));
        }
        if self.issuer.is_none() {
            needs.one_issuer("clients");
        }
        needs.rule("clients", named(&self.clients, self.issuer.as_deref()));
    }
}

/// What is wrong with a list of names, if anything: an empty name is in no token, and an empty
/// list lets nobody in.
pub(super) fn list_fault(what: &str, names: &[String]) -> Option<String> {
    if names.is_empty() {
        return Some(format!("no {what} is named; name at least one"));
    }
    names
        .iter()
        .any(String::is_empty)
        .then(|| format!("a list of {what}s has an empty text: remove it, or name somebody"))
}

pub(super) fn issuer_fault(issuer: Option<&str>) -> Option<String> {
    // A server for local development may trust one on a loopback host.
    IssuerId::parse_with_loopback(issuer?).err().map(|fault| fault.to_string())
}

/// A list of names and whose they are, for a report.
pub(super) fn named(names: &[String], issuer: Option<&str>) -> serde_json::Value {
    match issuer {
        Some(issuer) => json!({ "one_of": names, "of_issuer": issuer }),
        None => json!(names),
    }
}
