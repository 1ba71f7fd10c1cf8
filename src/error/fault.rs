use std::fmt;
use std::time::Duration;

use crate::name::NameError;

/// One thing wrong with a configuration, with the value that was found and what to do.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigFault {
    /// A name is malformed.
    #[error("{0}")]
    Name(#[from] NameError),
    /// There is no issuer, so no token could ever be accepted.
    #[error("no issuer: add at least one with `.issuer(Issuer::discover(\"https://...\"))`")]
    NoIssuer,
    /// Two issuers have one identifier.
    #[error("issuer `{0}` is configured twice: keep one")]
    DuplicateIssuer(String),
    /// An issuer's list of algorithms is empty.
    #[error("issuer `{0}` allows no algorithm: name at least one in `.algorithms([...])`")]
    NoAlgorithm(String),
    /// The fixed key set of an issuer is not a JWK Set.
    #[error("the fixed keys of issuer `{issuer}` are not a JWK Set: {fault}")]
    FixedKeys {
        /// The issuer.
        issuer: String,
        /// What is wrong with the document.
        fault: String,
    },
    /// No key of a fixed key set can be used.
    #[error("none of the fixed keys of issuer `{issuer}` can be used: {faults}")]
    NoUsableKey {
        /// The issuer.
        issuer: String,
        /// What is wrong with each key.
        faults: String,
    },
    /// The bounds of an issuer's key refresh contradict each other.
    #[error("issuer `{issuer}`: {what}")]
    KeyLifetime {
        /// The issuer.
        issuer: String,
        /// The contradiction.
        what: &'static str,
    },
    /// There is no default token class, so a token could live for ever.
    #[error(
        "no token class: bound how long a token may live with \
         `.class(TokenClass::default_at_most(Duration::from_mins(15)))`"
    )]
    NoTokenClass,
    /// There is more than one default token class.
    #[error("{0} default token classes: keep one")]
    SeveralTokenClasses(usize),
    /// A token class allows nothing, or practically everything.
    #[error("token class: a maximum lifetime of {0:?} is not between 1 second and 366 days")]
    TokenClassLifetime(Duration),
    /// What to do with tokens that are bound to a sender, and with those that are not, was not
    /// said.
    #[error(
        "no binding policy: say what an unbound token may do; `.binding(Binding::WhereBound)` \
         accepts it as a plain bearer token and refuses every bound token that cannot be proven"
    )]
    NoBinding,
    /// The leeway is longer than RFC 9068 §4 has in mind ("no more than a few minutes").
    #[error("leeway of {0:?}: at most 5 minutes are allowed (RFC 9068 §4)")]
    Leeway(Duration),
    /// A size bound is zero or larger than its maximum.
    #[error("{what} of {found} is not between 1 and {maximum}")]
    Bound {
        /// Which bound.
        what: &'static str,
        /// The value found.
        found: usize,
        /// The largest value allowed.
        maximum: usize,
    },
    /// An auth-param of the challenge is illegal.
    #[error("challenge parameter `{name}`: {wanted}")]
    ChallengeParam {
        /// The parameter.
        name: String,
        /// What would be legal.
        wanted: &'static str,
    },
    /// The crate was built without its HTTP client and no transport was given.
    #[error(
        "no transport to fetch keys with: give one with `.transport(...)`, or enable the feature \
         `reqwest`"
    )]
    NoTransport,
    /// The HTTP client could not be made.
    #[error("the HTTP client could not be made: {0}")]
    Transport(String),
}

/// Every fault of a configuration. Its `Debug` is its `Display`: that is what `main` and `unwrap`
/// print.
#[derive(Clone, PartialEq, Eq)]
pub struct BuildError {
    faults: Vec<ConfigFault>,
}

impl BuildError {
    /// `Ok(value)` if there are no faults.
    pub(crate) fn unless_none<T>(faults: Vec<ConfigFault>, value: T) -> Result<T, Self> {
        if faults.is_empty() { Ok(value) } else { Err(Self { faults }) }
    }

    /// At least one fault.
    pub(crate) fn of(faults: Vec<ConfigFault>) -> Self {
        Self { faults }
    }

    /// The faults, in the order of the configuration.
    #[must_use]
    pub fn faults(&self) -> &[ConfigFault] {
        &self.faults
    }
}

impl fmt::Display for BuildError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.faults.as_slice() {
            [fault] => write!(f, "one fault in the configuration: {fault}"),
            faults => {
                write!(f, "{} faults in the configuration", faults.len())?;
                for (number, fault) in (1_usize..).zip(faults) {
                    write!(f, "\n  {number}. {fault}")?;
                }
                Ok(())
            }
        }
    }
}

impl fmt::Debug for BuildError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl std::error::Error for BuildError {}
