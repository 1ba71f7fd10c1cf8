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
        what: String,
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
    #[error("{what} of {found} is not between 1 and {maximum}: say one in between")]
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::subjects;
    use crate::introspection::{ClientAuth, Introspection};
    use crate::issuer::{KeyRefresh, TokenProfile};
    use crate::jose::Algorithm;
    use crate::revocation::{JsonFeed, Revocation, Source};
    use crate::secret::{Secret, SecretSource};
    use crate::verify::{Exception, FirstVerifications, TokenClass};
    use crate::{Binding, Dpop, Issuer, Policy, ResourceServer, ServerBuilder};

    /// A variant that is added needs a name here, and a name needs a fault in the test.
    macro_rules! names {
        ($($pattern:pat => $name:literal,)*) => {
            const NAMES: &[&str] = &[$($name),*];

            fn name(fault: &ConfigFault) -> &'static str {
                match fault {
                    $($pattern => $name,)*
                }
            }
        };
    }

    names! {
        ConfigFault::Name(_) => "Name",
        ConfigFault::NoIssuer => "NoIssuer",
        ConfigFault::DuplicateIssuer(_) => "DuplicateIssuer",
        ConfigFault::NoAlgorithm(_) => "NoAlgorithm",
        ConfigFault::Algorithm { .. } => "Algorithm",
        ConfigFault::FixedKeys { .. } => "FixedKeys",
        ConfigFault::NoUsableKey { .. } => "NoUsableKey",
        ConfigFault::KeyLifetime { .. } => "KeyLifetime",
        ConfigFault::NoTokenClass => "NoTokenClass",
        ConfigFault::SeveralTokenClasses(_) => "SeveralTokenClasses",
        ConfigFault::TokenClassLifetime(_) => "TokenClassLifetime",
        ConfigFault::NoBinding => "NoBinding",
        ConfigFault::Leeway(_) => "Leeway",
        ConfigFault::Bound { .. } => "Bound",
        ConfigFault::ChallengeParam { .. } => "ChallengeParam",
        ConfigFault::Profile { .. } => "Profile",
        ConfigFault::TokenClass { .. } => "TokenClass",
        ConfigFault::Exception { .. } => "Exception",
        ConfigFault::UnknownPolicy { .. } => "UnknownPolicy",
        ConfigFault::DuplicatePolicy(_) => "DuplicatePolicy",
        ConfigFault::Policy(_) => "Policy",
        ConfigFault::Dpop(_) => "Dpop",
        ConfigFault::Revocation(_) => "Revocation",
        ConfigFault::KnownTokens { .. } => "KnownTokens",
        ConfigFault::FirstVerifications(_) => "FirstVerifications",
        ConfigFault::Introspection(_) => "Introspection",
        ConfigFault::NoMechanism { .. } => "NoMechanism",
        ConfigFault::Fapi2(_) => "Fapi2",
        ConfigFault::File(_) => "File",
        ConfigFault::Secret(_) => "Secret",
        ConfigFault::NoTransport => "NoTransport",
        ConfigFault::Transport(_) => "Transport",
        ConfigFault::Decryption(_) => "Decryption",
    }

    /// What only the feature of that name finds.
    fn is_compiled_in(name: &str) -> bool {
        match name {
            "File" => cfg!(feature = "config"),
            "Decryption" => cfg!(feature = "jwe"),
            _ => true,
        }
    }

    const ISSUER: &str = "https://as.example";

    /// A variant, how to be told it, the value that its text names, and what it says to do.
    type Row = (&'static str, fn(ServerBuilder) -> ServerBuilder, &'static str, &'static str);

    #[rustfmt::skip]
    const ROWS: &[Row] = &[
        ("Name", |b| b.issuer(Issuer::discover("https://as.example?a")), "https://as.example?a", "remove it"),
        ("DuplicateIssuer", |b| b.issuer(Issuer::discover(ISSUER)), ISSUER, "keep one"),
        ("NoAlgorithm", |b| b.issuer(other().algorithms([])), "https://other.example", "name at least one"),
        ("Algorithm", |b| b.issuer(other().algorithms([Algorithm::Rs256])).fapi2(), "RS256", "say PS256"),
        ("FixedKeys", |b| b.issuer(Issuer::fixed_keys("https://other.example", "[]")), "https://other.example", "give the document"),
        ("NoUsableKey", |b| b.issuer(Issuer::fixed_keys("https://other.example", r#"{"keys":[]}"#)), "https://other.example", "give at least one"),
        ("KeyLifetime", |b| b.issuer(other().key_refresh(KeyRefresh::new().fresh_at_most(Duration::from_hours(25)))), "1day 1h", "make one of them fit"),
        ("SeveralTokenClasses", |b| b.class(TokenClass::default_at_most(Duration::from_mins(1))), "2 default", "keep one"),
        ("TokenClassLifetime", |b| b.class(TokenClass::named("a").clients(["a"]).at_most(Duration::from_hours(9_000))), "32400000s", "say what the issuer gives"),
        ("Leeway", |b| b.leeway(Duration::from_mins(6)), "360s", "have the clocks synchronised"),
        ("Bound", |b| b.max_token_bytes(16_385), "16385", "say one in between"),
        ("ChallengeParam", |b| b.challenge_param("a b", "c"), "a b", "has to be named with"),
        ("Profile", |b| b.issuer(other().profile(TokenProfile::relaxed().accept_type("a b"))), "\"a b\"", "write it as in"),
        ("TokenClass", |b| b.class(TokenClass::named("night").clients(["a"])), "`night`", "say `at_most`"),
        ("Exception", |b| b.exception(Exception::for_clients(["partner"])), "partner", "say `because(...)`"),
        ("DuplicatePolicy", |b| b.named_policy("a", Policy::new(subjects(["b"]))).named_policy("a", Policy::new(subjects(["b"]))), "`a`", "keep one"),
        ("Policy", |b| b.policy(Policy::new(subjects(Vec::<String>::new()))), "no subject", "name at least one"),
        ("Dpop", |b| b.dpop(Dpop::new().max_age(Duration::from_mins(6))), "360s", "5 minutes: say one"),
        ("Revocation", |b| b.revocation(Revocation::new().source(Source::new("deeds", JsonFeed::over_tls("https://f.example")))), "deeds", "say with `speaks_for`"),
        ("KnownTokens", |b| b.known_tokens_bytes(u64::MAX), "18446744073709551615", "say less"),
        ("FirstVerifications", |b| b.first_verifications(FirstVerifications::new().queue_at_most(1_000_000)), "1000000", "say fewer"),
        ("Introspection", |b| b.introspection(asked().ttl(Duration::from_hours(3))), "3h", "say at most that"),
        ("NoMechanism", |b| b.binding(Binding::Dpop), "`dpop`", "say `.dpop("),
        ("Fapi2", |b| b.binding(Binding::Either).leeway(Duration::from_secs(90)).fapi2(), "90s", "say one in between"),
        ("Secret", |b| b.token_hash_key(Secret::new("12345")), "5 bytes", "make it of random ones"),
        #[cfg(feature = "jwe")]
        ("Decryption", |b| b.issuer(other().encrypted_only()), "no keys", "say which with"),
    ];

    fn other() -> Issuer {
        Issuer::discover("https://other.example")
    }

    fn asked() -> Introspection {
        let client = ClientAuth::basic("api", SecretSource::given(Secret::new("s")));
        Introspection::at(ISSUER, "https://as.example/introspect").client(client)
    }

    /// What no fault of a builder is, or none that is the same everywhere.
    fn told_otherwise() -> Vec<(ConfigFault, &'static str, &'static str)> {
        let nothing = ResourceServer::builder("https://rs.example").build();
        let nothing = nothing.err().map(|error| error.faults().to_vec()).unwrap_or_default();
        let one = |name: &str| nothing.iter().find(|fault| self::name(fault) == name).cloned();
        let mut told: Vec<_> = [
            ("NoIssuer", "no issuer", "add at least one"),
            ("NoTokenClass", "no token class", "bound how long"),
            ("NoBinding", "no binding policy", "say what an unbound token may do"),
        ]
        .into_iter()
        .filter_map(|(name, found, wanted)| Some((one(name)?, found, wanted)))
        .collect();
        let unknown =
            ConfigFault::UnknownPolicy { name: "nights".into(), known: "`days` is".into() };
        let broken = ConfigFault::Transport("no roots".to_owned());
        told.push((unknown, "nights", "correct the name"));
        told.push((broken, "no roots", "mend that"));
        told.push((ConfigFault::NoTransport, "no transport", "give one with"));
        #[cfg(feature = "config")]
        let empty = crate::config::ServerConfig::from_toml("").and_then(|file| file.build());
        #[cfg(feature = "config")]
        if let Err(error) = empty {
            let file = |fault: &ConfigFault| matches!(fault, ConfigFault::File(_));
            let fault = error.faults().iter().find(|fault| file(fault)).cloned();
            told.extend(fault.map(|fault| (fault, "no resource", "say `resource = ")));
        }
        told
    }

    /// What was found, where there is something, and what to do: nobody has to look a fault up.
    #[test]
    fn every_fault_names_what_was_found_and_says_what_to_do() {
        let mut told = told_otherwise();
        for (name, settings, found, wanted) in ROWS {
            let builder = ResourceServer::builder("https://rs.example")
                .issuer(Issuer::discover(ISSUER))
                .class(TokenClass::default_at_most(Duration::from_mins(15)))
                .binding(Binding::WhereBound);
            let faults = settings(builder).build().map_err(|error| error.faults().to_vec());
            let faults = faults.err().unwrap_or_default();
            let fault = faults.iter().find(|fault| self::name(fault) == *name);
            let fault = fault.unwrap_or_else(|| panic!("{name} is none of {faults:?}"));
            told.push((fault.clone(), found, wanted));
        }
        for (fault, found, wanted) in &told {
            let text = fault.to_string();
            assert!(text.contains(found), "{}: {text:?} does not name {found:?}", name(fault));
            assert!(text.contains(wanted), "{}: {text:?} does not say {wanted:?}", name(fault));
            assert!(!text.ends_with(['.', ' ']) && !text.contains("  "), "{text:?}");
            assert!(text.len() <= 300, "{text:?}");
        }
        let seen = |name: &&&str| told.iter().any(|(fault, ..)| self::name(fault) == **name);
        let missed: Vec<_> =
            NAMES.iter().filter(|name| !seen(name) && is_compiled_in(name)).collect();
        assert_eq!(missed, Vec::<&&str>::new(), "there is a fault for each variant");
    }
}
