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
    /// An issuer names an algorithm that a security profile does not allow.
    #[error("issuer `{issuer}`: {what}")]
    #[non_exhaustive]
    Algorithm {
        /// The issuer.
        issuer: String,
        /// The algorithm, and what is allowed.
        what: String,
    },
    /// The fixed key set of an issuer is not a JWK Set.
    #[error(
        "the fixed keys of issuer `{issuer}` are not a JWK Set: {fault}; give the document that the \
         issuer publishes at its `jwks_uri`"
    )]
    #[non_exhaustive]
    FixedKeys {
        /// The issuer.
        issuer: String,
        /// What is wrong with the document.
        fault: String,
    },
    /// No key of a fixed key set can be used.
    #[error(
        "none of the fixed keys of issuer `{issuer}` can be used: {faults}; give at least one public \
         key of an algorithm that the issuer may use"
    )]
    #[non_exhaustive]
    NoUsableKey {
        /// The issuer.
        issuer: String,
        /// What is wrong with each key.
        faults: String,
    },
    /// The bounds of an issuer's key refresh contradict each other.
    #[error("issuer `{issuer}`: {what}")]
    #[non_exhaustive]
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
    #[error("{0} default token classes: keep one, and name the others: `TokenClass::named(...)`")]
    SeveralTokenClasses(usize),
    /// A token class allows nothing, or practically everything.
    #[error(
        "token class: a maximum lifetime of {0:?} is not between 1 second and 366 days; say what the \
         issuer gives its access tokens"
    )]
    TokenClassLifetime(Duration),
    /// What to do with tokens that are bound to a sender, and with those that are not, was not
    /// said.
    #[error(
        "no binding policy: say what an unbound token may do; `.binding(Binding::WhereBound)` \
         accepts it as a plain bearer token and refuses every bound token that cannot be proven"
    )]
    NoBinding,
    /// The leeway is longer than RFC 9068 §4 has in mind ("no more than a few minutes").
    #[error(
        "leeway of {0:?}: at most 5 minutes are allowed (RFC 9068 §4); have the clocks synchronised \
         instead"
    )]
    Leeway(Duration),
    /// A size bound is zero or larger than its maximum.
    #[error("{what} of {found} is not between 1 and {maximum}")]
    #[non_exhaustive]
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
    #[non_exhaustive]
    ChallengeParam {
        /// The parameter.
        name: String,
        /// What would be legal.
        wanted: &'static str,
    },
    /// A token profile takes what must not be taken, or contradicts itself.
    #[error("issuer `{issuer}`: {what}")]
    #[non_exhaustive]
    Profile {
        /// The issuer.
        issuer: String,
        /// What is wrong.
        what: String,
    },
    /// A token class says nothing, or something impossible.
    #[error("token class `{class}`: {what}")]
    #[non_exhaustive]
    TokenClass {
        /// The class.
        class: String,
        /// What is wrong.
        what: String,
    },
    /// An exception from the binding policy is not written down as it has to be.
    #[error("exception for {clients}: {what}")]
    #[non_exhaustive]
    Exception {
        /// Its clients.
        clients: String,
        /// What is wrong.
        what: String,
    },
    /// A policy by this name is used and was not defined.
    #[error(
        "no policy is named `{name}`; {known} defined: correct the name, or define it with \
         `.named_policy(...)`"
    )]
    #[non_exhaustive]
    UnknownPolicy {
        /// The name.
        name: String,
        /// The names that there are.
        known: String,
    },
    /// Two policies have one name.
    #[error("policy `{0}` is defined twice: keep one")]
    DuplicatePolicy(String),
    /// A policy asks for something impossible.
    #[error("policy: {0}")]
    Policy(String),
    /// DPoP is configured in a way that cannot work.
    #[error("DPoP: {0}")]
    Dpop(String),
    /// Revocation is configured in a way that cannot work.
    #[error("revocation: {0}")]
    Revocation(String),
    /// More room for known tokens than there can be.
    #[error(
        "room for known tokens of {found} bytes is more than {maximum}: say less, or 0 to keep none"
    )]
    #[non_exhaustive]
    KnownTokens {
        /// What was asked for.
        found: u64,
        /// The most.
        maximum: u64,
    },
    /// The bound on first verifications cannot work.
    #[error("first verifications: {0}")]
    FirstVerifications(String),
    /// Introspection is configured in a way that cannot work.
    #[error("introspection: {0}")]
    Introspection(String),
    /// A binding is wanted that no mechanism of this server could prove.
    #[error("binding `{binding}`: {what}")]
    #[non_exhaustive]
    NoMechanism {
        /// The binding.
        binding: &'static str,
        /// What is missing.
        what: &'static str,
    },
    /// The FAPI 2.0 security profile is not met.
    #[error("FAPI 2.0: {0}")]
    Fapi2(String),
    /// A value of a configuration file is not what it has to be.
    #[error("{0}")]
    File(String),
    /// A secret that the configuration refers to cannot be read. Its value is never part of this.
    #[error("{0}")]
    Secret(String),
    /// The crate was built without its HTTP client and no transport was given.
    #[error(
        "no transport to fetch keys with: give one with `.transport(...)`, or enable the feature \
         `reqwest`"
    )]
    NoTransport,
    /// The HTTP client could not be made.
    #[error(
        "the HTTP client could not be made: {0}; mend that, or give a transport of your own with \
         `.transport(...)`"
    )]
    Transport(String),
    /// The decryption of tokens is configured in a way that cannot work.
    #[error("decryption: {0}")]
    Decryption(String),
}

/// Every fault of a configuration, each with its place. Its `Debug` is its `Display`: that is what
/// `main` and `unwrap` print.
#[derive(Clone, PartialEq, Eq)]
pub struct BuildError {
    paths: Vec<String>,
    faults: Vec<ConfigFault>,
}

impl BuildError {
    /// The faults, in the order of the configuration.
    #[must_use]
    pub fn faults(&self) -> &[ConfigFault] {
        &self.faults
    }

    /// The faults, each with its place in the configuration: `issuers[0].algorithms`. The names
    /// are those of a configuration file; the place is empty where a fault has none.
    pub fn places(&self) -> impl ExactSizeIterator<Item = (&str, &ConfigFault)> {
        self.paths.iter().map(String::as_str).zip(&self.faults)
    }
}

/// A name of the user's own choice, as a place has it: quoted where it is not bare.
pub(crate) fn key(name: &str) -> String {
    const LONGEST_BARE: usize = 100;
    let bare = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'$');
    if !name.is_empty() && name.len() <= LONGEST_BARE && name.bytes().all(bare) {
        return name.to_owned();
    }
    format!("{name:?}")
}

/// Faults as they are found.
#[derive(Debug, Default)]
pub(crate) struct Faults {
    place: String,
    paths: Vec<String>,
    faults: Vec<ConfigFault>,
}

impl Faults {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// Adds a fault at the current place.
    pub(crate) fn push(&mut self, fault: impl Into<ConfigFault>) {
        self.paths.push(self.place.clone());
        self.faults.push(fault.into());
    }

    /// Adds a fault at a member of the current place.
    pub(crate) fn push_at(&mut self, member: &str, fault: impl Into<ConfigFault>) {
        self.at(member, |faults| faults.push(fault));
    }

    /// Looks for faults in a member of the current place.
    pub(crate) fn at<T>(&mut self, member: &str, look: impl FnOnce(&mut Self) -> T) -> T {
        let length = self.place.len();
        if length > 0 && !member.starts_with('[') {
            self.place.push('.');
        }
        self.place.push_str(member);
        let seen = look(self);
        self.place.truncate(length);
        seen
    }

    /// Looks for faults in an element of a list of the current place.
    pub(crate) fn at_element<T>(
        &mut self,
        list: &str,
        index: usize,
        look: impl FnOnce(&mut Self) -> T,
    ) -> T {
        self.at(&format!("{list}[{index}]"), look)
    }

    pub(crate) fn extend(&mut self, faults: impl IntoIterator<Item = ConfigFault>) {
        faults.into_iter().for_each(|fault| self.push(fault));
    }

    pub(crate) fn len(&self) -> usize {
        self.faults.len()
    }

    /// `Ok(value)` if there are no faults.
    pub(crate) fn unless_none<T>(self, value: T) -> Result<T, BuildError> {
        if self.faults.is_empty() { Ok(value) } else { Err(self.into_error()) }
    }

    /// For where there is at least one.
    pub(crate) fn into_error(self) -> BuildError {
        BuildError { paths: self.paths, faults: self.faults }
    }
}

impl fmt::Display for BuildError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let line = |f: &mut fmt::Formatter<'_>, (place, fault): (&str, &ConfigFault)| {
            if place.is_empty() { write!(f, "{fault}") } else { write!(f, "{place}: {fault}") }
        };
        match self.faults.len() {
            1 => {
                f.write_str("one fault in the configuration: ")?;
                self.places().try_for_each(|place| line(f, place))
            }
            faults => {
                write!(f, "{faults} faults in the configuration")?;
                for (number, place) in (1_usize..).zip(self.places()) {
                    write!(f, "\n  {number}. ")?;
                    line(f, place)?;
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
