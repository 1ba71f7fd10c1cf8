//! Security Event Tokens (RFC 8417), as SSF profiles them (SSF §4.1), verified. Pure.

use std::fmt;
use std::time::Duration;

use super::error::{SetError, SetErrorCode};
use super::kind::EventKind;
use super::subject::SubjectId;
use crate::jose::json::{Object, Value};
use crate::jose::{
    Algorithm, ClaimError, ClaimsSet, Compact, CompactError, HeaderError, PublicKey,
};
use crate::name::{Audience, IssuerId};
use crate::time::Timestamp;

/// What a SET has to be: from whom, for whom, signed how.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct SetRules {
    /// The transmitter: `iss`, exactly.
    pub issuer: IssuerId,
    /// Who we are to it: one of them stands in `aud`.
    pub audiences: Vec<Audience>,
    /// The algorithms that it may sign with.
    pub algorithms: Vec<Algorithm>,
}

impl SetRules {
    /// The algorithms of SETs unless said otherwise. RS256 is one of them, since the CAEP
    /// interoperability profile (§2.6) wants it of everybody; an RSA key without `alg` is used with it.
    pub const ALGORITHMS: &'static [Algorithm] = &[
        Algorithm::Es256,
        Algorithm::EdDsa,
        Algorithm::Ed25519,
        Algorithm::Rs256,
        Algorithm::Ps256,
    ];

    /// From this transmitter, for one of these, signed with one of [`Self::ALGORITHMS`].
    #[must_use]
    pub fn new(issuer: IssuerId, audiences: impl IntoIterator<Item = Audience>) -> Self {
        let audiences = audiences.into_iter().collect();
        Self { issuer, audiences, algorithms: Self::ALGORITHMS.to_vec() }
    }

    /// Signed with one of these.
    #[must_use]
    pub fn algorithms(mut self, algorithms: impl IntoIterator<Item = Algorithm>) -> Self {
        self.algorithms = algorithms.into_iter().collect();
        self
    }
}

/// A SET that says that it is from whom and for whom it should be. Nobody has verified it yet.
///
/// ```
/// use portcullis::jose::{Algorithm, JwkSet};
/// use portcullis::name::{Audience, IssuerId};
/// use portcullis::revocation::{EventKind, SecurityEventToken, SetErrorCode, SetRules};
/// use portcullis::testing::{ManualClock, TestTransmitter};
/// use portcullis::time::Clock as _;
///
/// let clock = ManualClock::new();
/// let transmitter = TestTransmitter::new("https://tx.example", "https://rs.example/events", &clock);
/// let rules = SetRules::new(
///     IssuerId::parse("https://tx.example")?,
///     [Audience::parse("https://rs.example/events")?],
/// );
/// let set = transmitter.session_revoked("https://as.example", "alice").sign();
///
/// let read = SecurityEventToken::read(&set, &rules)?;
/// let keys = JwkSet::parse(transmitter.jwk_set().to_string().as_bytes(), SetRules::ALGORITHMS)?;
/// let key = keys.find(read.kid(), read.algorithm())?;
/// let event = read.verify(key, clock.now())?;
/// assert_eq!(event.kind(), &EventKind::SessionRevoked);
///
/// let tampered = transmitter.session_revoked("https://as.example", "alice").tampered();
/// let error = SecurityEventToken::read(&tampered, &rules)?.verify(key, clock.now()).unwrap_err();
/// assert_eq!(error.code(), SetErrorCode::InvalidKey);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct SecurityEventToken<'a> {
    jws: Compact<'a>,
    algorithm: Algorithm,
    kid: Option<Box<str>>,
}

impl<'a> SecurityEventToken<'a> {
    /// The longest SET, in bytes.
    pub const MAX_LENGTH: usize = 64 * 1024;

    /// Reads a SET, and looks at everything that costs little and needs no key:
    ///
    /// 1. its size, and that it is one compact JWS;
    /// 2. its header: `typ` is `secevent+jwt`, `alg` one of the rules;
    /// 3. `iss` and `aud`.
    ///
    /// # Errors
    /// See [`SetErrorCode`].
    pub fn read(text: &'a str, rules: &SetRules) -> Result<Self, SetError> {
        // 1.
        if text.len() > Self::MAX_LENGTH {
            return Err(SetError::request(format!("longer than {} bytes", Self::MAX_LENGTH)));
        }
        let jws = Compact::parse(text).map_err(|error| match error {
            CompactError::Unsigned | CompactError::Encrypted => key(error.to_string()),
            other => SetError::request(other.to_string()),
        })?;
        // 2.
        let header = jws.header().map_err(|error| match error {
            HeaderError::Algorithm => key(error.to_string()),
            other => SetError::request(other.to_string()),
        })?;
        if !header.is_type("secevent+jwt") {
            return Err(SetError::request("`typ` of the header is not `secevent+jwt`"));
        }
        let algorithm = header.algorithm();
        if !rules.algorithms.contains(&algorithm) {
            return Err(key(format!("{algorithm} is not accepted for SETs here")));
        }
        let kid = header.kid().map(Into::into);
        // 3.
        let claims = ClaimsSet::parse(jws.payload())
            .map_err(|error| SetError::request(format!("the payload is {error}")))?;
        let issuer = claims.text("iss").map_err(malformed)?.ok_or_else(|| absent("iss"))?;
        if *issuer != *rules.issuer.as_str() {
            let what = "`iss` is not the transmitter of this stream";
            return Err(SetError::new(SetErrorCode::InvalidIssuer, what));
        }
        let audiences = claims.audiences().map_err(malformed)?.unwrap_or_default();
        let ours = |found: &str| rules.audiences.iter().any(|ours| ours.as_str() == found);
        if !audiences.iter().any(|found| ours(found)) {
            let what = "`aud` does not name this receiver";
            return Err(SetError::new(SetErrorCode::InvalidAudience, what));
        }
        Ok(Self { jws, algorithm, kid })
    }

    /// The algorithm that it says it is signed with.
    #[must_use]
    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// The `jti` that it says it has, if that is one.
    pub(super) fn jti(&self) -> Option<Box<str>> {
        let claims = ClaimsSet::parse(self.jws.payload()).ok()?;
        let jti = claims.text("jti").ok()??;
        (jti.len() <= SecurityEvent::MAX_JTI).then(|| (*jti).into())
    }

    /// The key that it says it is signed with.
    #[must_use]
    pub fn kid(&self) -> Option<&str> {
        self.kid.as_deref()
    }

    /// Verifies it with the key of the transmitter that it names, and reads what happened:
    ///
    /// 1. the signature;
    /// 2. `jti` and `iat` are there; neither `exp` nor `sub` is there (SSF §4.1.2, §4.1.7);
    /// 3. `sub_id` is a subject identifier (SSF §3.1);
    /// 4. `events` has exactly one event: several names of types that are known here name one type,
    ///    and say the same (SSF §4.2.1);
    /// 5. the time at which it happened: `event_timestamp` of the event, else `toe`, else `iat`;
    /// 6. none of them is in the future: later than [`SecurityEvent::LEEWAY`] from `now`.
    ///
    /// # Errors
    /// See [`SetErrorCode`]. What fails at 6 alone [is early](SetError::is_early).
    pub fn verify(
        &self,
        public_key: &PublicKey,
        now: Timestamp,
    ) -> Result<SecurityEvent, SetError> {
        // 1.
        public_key
            .verify(self.algorithm, &self.jws)
            .map_err(|_| key("the signature does not verify"))?;
        let claims = ClaimsSet::checked(self.jws.payload())
            .map_err(|error| SetError::request(format!("the payload is {error}")))?;
        // 2.
        for name in ["exp", "sub"] {
            if claims.has(name) {
                return Err(SetError::request(format!("a SET of SSF has no claim `{name}`")));
            }
        }
        let jti = claims.text("jti").map_err(malformed)?.ok_or_else(|| absent("jti"))?;
        if jti.len() > SecurityEvent::MAX_JTI {
            let what = format!("`jti` is longer than {} bytes", SecurityEvent::MAX_JTI);
            return Err(SetError::request(what));
        }
        let time = |name| claims.time(name).map_err(malformed);
        let issued_at = time("iat")?.ok_or_else(|| absent("iat"))?;
        let time_of_event = time("toe")?;
        // 3.
        let subject = claims.value("sub_id").ok_or_else(|| absent("sub_id"))?;
        let subject = subject.as_object();
        let subject = subject.ok_or_else(|| SetError::request("`sub_id` is not an object"))?;
        let subject = SubjectId::parse(&subject)?;
        // 4. and 5.
        let events = claims.value("events").ok_or_else(|| absent("events"))?;
        let (kind, stated) = one_event(events)?;
        let at = stated.or(time_of_event).unwrap_or(issued_at);
        // 6.
        let latest = now.plus(SecurityEvent::LEEWAY);
        let times = [("event_timestamp", stated), ("toe", time_of_event), ("iat", Some(issued_at))];
        if let Some((name, _)) = times.iter().find(|(_, at)| at.is_some_and(|at| at > latest)) {
            return Err(SetError::early(format!("`{name}` is in the future")));
        }
        Ok(SecurityEvent { jti: (*jti).into(), issued_at, at, subject, kind })
    }
}

/// Who sends it, and to whom, is nobody else's business.
impl fmt::Debug for SecurityEventToken<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SecurityEventToken")
            .field("algorithm", &self.algorithm)
            .field("kid", &self.kid)
            .finish_non_exhaustive()
    }
}

/// What a verified SET says.
#[derive(Clone, PartialEq, Eq)]
pub struct SecurityEvent {
    pub(super) jti: Box<str>,
    pub(super) issued_at: Timestamp,
    pub(super) at: Timestamp,
    pub(super) subject: SubjectId,
    pub(super) kind: EventKind,
}

impl SecurityEvent {
    /// The longest `jti`, in bytes.
    pub const MAX_JTI: usize = 512;

    /// How far ahead a time can be: clocks differ.
    pub const LEEWAY: Duration = Duration::from_mins(5);

    /// The most names of types that one SET can have. There is one event in it.
    const MOST_TYPES: usize = 8;

    /// `jti`: a repeated delivery has the same (RFC 8417 §2.2).
    #[must_use]
    pub fn jti(&self) -> &str {
        &self.jti
    }

    /// When the SET was issued, `iat`.
    #[must_use]
    pub fn issued_at(&self) -> Timestamp {
        self.issued_at
    }

    /// When it happened.
    #[must_use]
    pub fn at(&self) -> Timestamp {
        self.at
    }

    /// Whom it is about, `sub_id`.
    #[must_use]
    pub fn subject(&self) -> &SubjectId {
        &self.subject
    }

    /// What happened.
    #[must_use]
    pub fn kind(&self) -> &EventKind {
        &self.kind
    }
}

impl fmt::Debug for SecurityEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SecurityEvent")
            .field("kind", &self.kind)
            .field("subject", &self.subject)
            .field("at", &self.at)
            .finish_non_exhaustive()
    }
}

/// The one event, and when it says that it happened. Types that are not known may be other names of
/// the one that is (SSF §4.2.1): they are passed over.
fn one_event(events: Value<'_>) -> Result<(EventKind, Option<Timestamp>), SetError> {
    let events =
        events.as_object().ok_or_else(|| SetError::request("`events` is not an object"))?;
    let mut found: Option<(&str, EventKind, Option<Timestamp>)> = None;
    let mut types = 0_usize;
    for (event_type, event) in events.members() {
        types = types.saturating_add(1);
        if types > SecurityEvent::MOST_TYPES {
            return Err(SetError::request("`events` has more names than one event can have"));
        }
        let event = event.as_object();
        let event = event.ok_or_else(|| SetError::request("an event is not an object"))?;
        let kind = EventKind::parse(event_type, &event)?;
        if kind == EventKind::Other {
            continue;
        }
        let read = (EventKind::one_name(event_type), kind, stated_time(&event)?);
        match &found {
            Some(other) if *other != read => {
                return Err(SetError::request("`events` has more than one event"));
            }
            _ => found = Some(read),
        }
    }
    if types == 0 {
        return Err(SetError::request("`events` has no event"));
    }
    Ok(found.map_or((EventKind::Other, None), |(_, kind, at)| (kind, at)))
}

/// `event_timestamp` (CAEP §2): seconds. Milliseconds come out as a time past the year 9999.
fn stated_time(event: &Object<'_>) -> Result<Option<Timestamp>, SetError> {
    let Some(value) = event.member("event_timestamp") else { return Ok(None) };
    let at = value.as_number().and_then(Timestamp::from_json_number);
    let wrong = "`event_timestamp` is not a time in seconds since 1970";
    at.map(Some).ok_or_else(|| SetError::request(wrong))
}

fn absent(name: &'static str) -> SetError {
    SetError::request(format!("claim `{name}` is absent"))
}

fn malformed(error: ClaimError) -> SetError {
    SetError::request(error.to_string())
}

fn key(what: impl Into<std::borrow::Cow<'static, str>>) -> SetError {
    SetError::new(SetErrorCode::InvalidKey, what)
}
