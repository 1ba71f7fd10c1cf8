use super::{Check, CheckContext, CheckError, Denial, Needs};
use crate::name::{NameError, Scope};

/// The token grants this scope.
///
/// A text that is no scope token (RFC 6749 §3.3) is a fault of the policy: see
/// [`crate::ResourceServer::guard`].
#[must_use]
pub fn scope(scope: impl Into<String>) -> RequireScope {
    all_scopes([scope])
}

/// The token grants every one of these scopes. With none, it is a fault of the policy.
#[must_use]
pub fn all_scopes<S: Into<String>>(scopes: impl IntoIterator<Item = S>) -> RequireScope {
    RequireScope::new(Quantity::All, scopes)
}

/// The token grants at least one of these scopes. With none, it is a fault of the policy.
///
/// A challenge asks for the first: it alone is enough, and a client that asked for all would ask
/// for too much. The metadata document lists all.
#[must_use]
pub fn any_scope<S: Into<String>>(scopes: impl IntoIterator<Item = S>) -> RequireScope {
    RequireScope::new(Quantity::Any, scopes)
}

/// Any accepted token will do.
#[must_use]
pub fn allow_all() -> AllowAll {
    AllowAll(())
}

/// The check of [`scope`], [`all_scopes`] and [`any_scope`].
#[derive(Clone, Debug)]
pub struct RequireScope {
    quantity: Quantity,
    /// As they were given, until they are found to be scope tokens.
    scopes: Result<Vec<Scope>, NameError>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Quantity {
    All,
    Any,
}

impl RequireScope {
    fn new<S: Into<String>>(quantity: Quantity, scopes: impl IntoIterator<Item = S>) -> Self {
        let scopes: Result<Vec<_>, _> =
            scopes.into_iter().map(|scope| Scope::parse(&scope.into())).collect();
        let scopes = scopes.and_then(|scopes| match scopes.is_empty() {
            // "All of none" would let everything through.
            true => Err(NameError::new("scope check", "", "names no scope; say `allow_all()`")),
            false => Ok(scopes),
        });
        Self { quantity, scopes }
    }

    /// The scopes that a client is told.
    fn told(&self) -> &[Scope] {
        let scopes = self.scopes.as_deref().unwrap_or_default();
        match self.quantity {
            Quantity::All => scopes,
            Quantity::Any => scopes.get(..1).unwrap_or_default(),
        }
    }
}

impl Check for RequireScope {
    fn check(&self, request: &CheckContext<'_>) -> Result<(), CheckError> {
        let Ok(scopes) = &self.scopes else {
            return Err(Denial::forbidden("the policy names a scope that is none").into());
        };
        let granted = |scope: &Scope| request.access().has_scope(scope.as_str());
        let enough = match self.quantity {
            Quantity::All => scopes.iter().all(granted),
            Quantity::Any => scopes.iter().any(granted),
        };
        if enough {
            return Ok(());
        }
        // Which it has is not said: a log has no more of a token than its client.
        let reason = match request.access().scopes().next() {
            Some(_) => "the token's scope is not enough",
            None => "the token has no scope",
        };
        Err(Denial::lacking(self.told().to_vec(), reason).into())
    }

    fn needs(&self, needs: &mut Needs) {
        match &self.scopes {
            Ok(scopes) => {
                self.told().iter().for_each(|scope| needs.scope(scope.as_str()));
                let others = scopes.iter().skip(self.told().len());
                others.for_each(|scope| needs.alternative(scope.as_str()));
                let names: Vec<_> = scopes.iter().map(Scope::as_str).collect();
                match self.quantity {
                    Quantity::All => needs.rule("all_scopes", names),
                    Quantity::Any => needs.rule("any_scope", names),
                }
            }
            Err(fault) => needs.fault(fault.clone().into()),
        }
    }
}

/// The check of [`allow_all`].
#[derive(Clone, Copy, Debug)]
pub struct AllowAll(());

impl Check for AllowAll {
    fn check(&self, _: &CheckContext<'_>) -> Result<(), CheckError> {
        Ok(())
    }

    fn needs(&self, needs: &mut Needs) {
        needs.rule("allow_all", true);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{TestAccess, check};

    /// A log tells a scope that is not enough from one that nobody asked for, and says neither.
    #[test]
    fn a_token_without_scope_is_told_from_one_without_enough() {
        for (token, reason) in [
            (TestAccess::new().scope("notes:private"), "the token's scope is not enough, wanted"),
            (TestAccess::new(), "the token has no scope, wanted"),
        ] {
            let refused = check(&scope("notes:read"), &token.build(), "GET", "/").unwrap_err();
            let text = refused.to_string();
            assert!(text.contains(reason) && !text.contains("private"), "{text}");
        }
        let enough = TestAccess::new().scope("notes:read").build();
        assert!(check(&scope("notes:read"), &enough, "GET", "/").is_ok());
    }
}
