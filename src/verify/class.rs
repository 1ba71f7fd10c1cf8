use std::time::Duration;

/// How long tokens may live: a bound on the harm that a stolen one can do.
///
/// ```
/// use std::time::Duration;
/// use portcullis::TokenClass;
///
/// let class = TokenClass::default_at_most(Duration::from_mins(15));
/// assert_eq!(class.max_lifetime(), Duration::from_mins(15));
/// ```
#[derive(Clone, Debug)]
#[must_use = "a class does nothing until it is given to `ResourceServer::builder(...).class`"]
pub struct TokenClass {
    max_lifetime: Duration,
}

impl TokenClass {
    /// The class of every token that no other class describes: `exp - iat` is at most this long.
    pub const fn default_at_most(max_lifetime: Duration) -> Self {
        Self { max_lifetime }
    }

    /// The longest `exp - iat` that is accepted. The leeway does not add to it: both values are
    /// the issuer's.
    #[must_use]
    pub const fn max_lifetime(&self) -> Duration {
        self.max_lifetime
    }

    pub(crate) fn is_sane(&self) -> bool {
        const LONGEST: Duration = Duration::from_hours(24 * 366);
        (Duration::from_secs(1)..=LONGEST).contains(&self.max_lifetime)
    }
}
