//! Nonces for DPoP proofs (RFC 9449 §8, §9): made and recognised without remembering any.
//!
//! 1. A nonce says when it was made, and carries a MAC over that, its own random octets, and the
//!    resource it is for. It is unpredictable, and it does not repeat.
//! 2. Another server's, another resource's, an altered and a respelled nonce are refused alike.
//! 3. It is accepted for its lifetime, as often as a client likes: what may happen once is the proof
//!    (§11.1).
//! 4. In the second half of its lifetime a client is to be given a new one (§8.2).

use std::time::Duration;

use aws_lc_rs::{constant_time, hmac, rand};
use http::HeaderValue;
use serde_json::{Value, json};

use super::proof::{NonceDemand, NonceVerdict};
use crate::error::{ConfigFault, Faults};
use crate::jose::base64url;
use crate::name::{NameError, Resource};
use crate::secret::{Secret, SecretSource};
use crate::time::{Timestamp, shown_duration};

/// How long a nonce is accepted, if nothing else is said.
const LIFETIME: Duration = Duration::from_mins(5);

/// Shorter, and a slow client never gets one in time; longer, and a proof that was made ahead lives
/// as long as a token.
const LIFETIMES: std::ops::RangeInclusive<Duration> =
    Duration::from_secs(10)..=Duration::from_hours(1);

/// RFC 2104 §3: a key shorter than the hash loses strength.
const SHORTEST_KEY: usize = 32;

/// A nonce that is refused costs one MAC for each key; two are enough to rotate.
const MOST_KEYS: usize = 8;

/// How far the clocks of two servers that share a key may differ.
const LEEWAY: Duration = Duration::from_secs(10);

/// Of a nonce that another replica made.
const AHEAD: &str = "from the future: the clocks of the replicas differ";

/// What the MAC is for: a key that is used for something else too proves nothing about it here.
const LABEL: &[u8] = b"portcullis DPoP nonce";

/// The first octet of a nonce.
const VERSION: u8 = 1;

/// Octets of the time, of randomness and of the MAC (RFC 2104 §5 wants half the hash at least).
const TIME: usize = 8;
const RANDOM: usize = 12;
const TAG: usize = 16;

/// What is under the MAC, and the whole nonce: 50 characters of base64url.
const BODY: usize = 1 + TIME + RANDOM;
const WHOLE: usize = BODY + TAG;

/// Whether this server hands out nonces for DPoP proofs, and whether a proof needs one
/// (RFC 9449 §9).
///
/// A nonce shows that a proof was made a short while ago, by this server's clock: whoever has a
/// client's key for a moment cannot make proofs for next week. The price is one more request, when a
/// client has no nonce yet.
///
/// Without [`Nonces::keys`], nonces are made with a random key of the process: after a restart, and
/// at another process of the same service, a client is sent one more challenge with a new nonce.
///
/// ```
/// use std::time::Duration;
/// use portcullis::secret::{SecretError, SecretSource};
/// use portcullis::sender::Nonces;
///
/// let of_this_process = Nonces::optional().lifetime(Duration::from_mins(2));
///
/// fn of_this_service() -> Result<Nonces, SecretError> {
///     let keys = [SecretSource::file("/run/nonce.key"), SecretSource::file("/run/nonce.key.old")];
///     let [new, old] = keys.map(|key| key.read());
///     Ok(Nonces::required().keys([new?, old?]))
/// }
/// # let _ = of_this_process;
/// # assert!(of_this_service().is_err());
/// ```
#[derive(Clone, Debug)]
#[must_use = "it does nothing until a server uses it"]
pub struct Nonces {
    mode: NonceMode,
    lifetime: Duration,
    /// `None`: a key of the process's own.
    keys: Option<Vec<Secret>>,
    /// Where they are, if that is known: of each or of none.
    sources: Vec<SecretSource>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum NonceMode {
    Optional,
    Required,
}

impl Nonces {
    /// A proof without a nonce is accepted by its `iat`. One that has a nonce needs a good one.
    pub fn optional() -> Self {
        Self { mode: NonceMode::Optional, lifetime: LIFETIME, keys: None, sources: Vec::new() }
    }

    /// A proof without a nonce is refused, and the client given one (RFC 9449 §9).
    pub fn required() -> Self {
        Self { mode: NonceMode::Required, ..Self::optional() }
    }

    /// How long a nonce is accepted: 10 seconds to one hour, 5 minutes unless said otherwise.
    pub fn lifetime(mut self, lifetime: Duration) -> Self {
        self.lifetime = lifetime;
        self
    }

    /// The keys that all processes of a service share: the first makes nonces, each is accepted. To
    /// rotate, add the new one at the end everywhere, then move it to the front everywhere, then
    /// remove the old one a lifetime later. At most eight, each of 32 random bytes at least, used for
    /// nothing else.
    pub fn keys(mut self, keys: impl IntoIterator<Item = Secret>) -> Self {
        self.keys = Some(keys.into_iter().collect());
        self.sources.clear();
        self
    }

    /// The same, and where they were read: a report says where they are.
    #[cfg(any(feature = "config", test))]
    pub(crate) fn keys_from(
        mut self,
        keys: impl IntoIterator<Item = (SecretSource, Secret)>,
    ) -> Self {
        let (sources, keys) = keys.into_iter().unzip();
        self.keys = Some(keys);
        self.sources = sources;
        self
    }

    /// Looks for faults; `None` if there is one.
    pub(crate) fn check(&self, resource: &Resource, faults: &mut Faults) -> Option<CheckedNonces> {
        let before = faults.len();
        if !LIFETIMES.contains(&self.lifetime) {
            let found = format!("{:?}", self.lifetime);
            let wanted = "is not between 10 seconds and 1 hour; say one in between";
            faults.push_at("lifetime", NameError::new("nonce lifetime", &found, wanted));
        }
        let keys = match &self.keys {
            None => vec![own_key(faults)],
            Some(keys) => {
                let count = keys.len();
                if !(1..=MOST_KEYS).contains(&count) {
                    let (what, maximum) = ("the number of nonce keys", MOST_KEYS);
                    faults.push_at("keys", ConfigFault::Bound { what, found: count, maximum });
                }
                for (index, key) in keys.iter().enumerate() {
                    let found = key.expose().len();
                    if found < SHORTEST_KEY {
                        let what = format!(
                            "a nonce key of {found} bytes; at least 32 random ones are wanted"
                        );
                        faults.at_element("keys", index, |faults| {
                            faults.push(ConfigFault::Secret(what));
                        });
                    }
                }
                keys.iter().map(|key| mac_key(key.expose())).collect()
            }
        };
        (faults.len() == before).then(|| CheckedNonces {
            mode: self.mode,
            lifetime: self.lifetime,
            shared: self.keys.is_some(),
            sources: self.sources.clone(),
            keys,
            resource: resource.clone(),
        })
    }
}

fn mac_key(octets: &[u8]) -> hmac::Key {
    hmac::Key::new(hmac::HMAC_SHA256, octets)
}

fn own_key(faults: &mut Faults) -> hmac::Key {
    let mut octets = [0; SHORTEST_KEY];
    if rand::fill(&mut octets).is_err() {
        let what = "no key for nonces could be made: the machine has no randomness; give \
                    one with `Nonces::keys`";
        faults.push(ConfigFault::Secret(what.to_owned()));
    }
    mac_key(&octets)
}

/// Nonces without faults, for one resource.
#[derive(Clone, Debug)]
pub(crate) struct CheckedNonces {
    mode: NonceMode,
    lifetime: Duration,
    shared: bool,
    sources: Vec<SecretSource>,
    /// The first makes; there is one at least.
    keys: Vec<hmac::Key>,
    resource: Resource,
}

impl CheckedNonces {
    /// A nonce for the field `DPoP-Nonce`.
    pub(crate) fn make(&self, now: Timestamp) -> HeaderValue {
        let millis = u64::try_from(now.as_duration().as_millis()).unwrap_or(u64::MAX);
        let mut random = [0; RANDOM];
        // Where there is no randomness, the MAC alone keeps it from being predicted.
        let _ = rand::fill(&mut random);
        let mut nonce = Vec::with_capacity(WHOLE);
        nonce.push(VERSION);
        nonce.extend(millis.to_be_bytes());
        nonce.extend(random);
        if let Some(key) = self.keys.first() {
            let tag = self.tag(key, &nonce);
            nonce.extend(tag.as_ref().iter().take(TAG));
        }
        // INVARIANT: base64url is legal in a field.
        HeaderValue::try_from(base64url::encode(nonce))
            .unwrap_or_else(|_| HeaderValue::from_static(""))
    }

    /// Whether `text` is a nonce of this server, for this resource, and young enough.
    pub(crate) fn judge(&self, text: &str, now: Timestamp) -> NonceVerdict {
        const FOREIGN: NonceVerdict = NonceVerdict::Refused(
            "not one that this server made for this resource; do replicas share `Nonces::keys`?",
        );
        // The length first: decoding would take as long as the text is.
        if text.len() != WHOLE.saturating_mul(8).div_ceil(6) {
            return FOREIGN;
        }
        let Ok(octets) = base64url::decode(text) else { return FOREIGN };
        let Some((body, tag)) = octets.split_at_checked(BODY) else { return FOREIGN };
        let made_here = |key: &hmac::Key| {
            let expected = self.tag(key, body);
            let expected = expected.as_ref().get(..TAG).unwrap_or_default();
            constant_time::verify_slices_are_equal(expected, tag).is_ok()
        };
        if body.first() != Some(&VERSION) || !self.keys.iter().any(made_here) {
            return FOREIGN;
        }
        let Some(millis) = body.get(1..).and_then(<[u8]>::first_chunk::<TIME>) else {
            return FOREIGN;
        };
        let made_at = Timestamp::from_duration(Duration::from_millis(u64::from_be_bytes(*millis)));

        let until = made_at.plus(self.lifetime);
        let age = match now.since(made_at) {
            _ if now >= until => return NonceVerdict::Refused("too old"),
            None if made_at > now.plus(LEEWAY) => return NonceVerdict::Refused(AHEAD),
            age => age.unwrap_or_default(),
        };
        match age >= self.lifetime / 2 {
            true => NonceVerdict::Ageing { until },
            false => NonceVerdict::Fresh { until },
        }
    }

    /// What a proof needs, if `judge` is [`Self::judge`] at some time.
    pub(crate) fn demand<'a>(&self, judge: &'a dyn Fn(&str) -> NonceVerdict) -> NonceDemand<'a> {
        match self.mode {
            NonceMode::Optional => NonceDemand::Optional(judge),
            NonceMode::Required => NonceDemand::Required(judge),
        }
    }

    /// What it says, in the words of a file.
    pub(crate) fn report(&self) -> Value {
        let sources = self.sources.iter().map(SecretSource::report);
        json!({
            "mode": match self.mode {
                NonceMode::Optional => "optional",
                NonceMode::Required => "required",
            },
            "lifetime": shown_duration(self.lifetime),
            "keys": match (self.shared, self.sources.is_empty()) {
                (false, _) => "own".into(),
                (true, true) => "shared".into(),
                (true, false) => sources.collect::<Value>(),
            },
        })
    }

    /// Over everything that must not be exchanged; the length keeps resource and body apart.
    fn tag(&self, key: &hmac::Key, body: &[u8]) -> hmac::Tag {
        let resource = self.resource.as_str().as_bytes();
        let length = u64::try_from(resource.len()).unwrap_or(u64::MAX);
        let mut context = hmac::Context::with_key(key);
        for part in [LABEL, &length.to_be_bytes(), resource, body] {
            context.update(part);
        }
        context.sign()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    const HERE: &str = "https://rs.example/notes";
    const NOW: Timestamp = Timestamp::from_secs(1_800_000_000);

    fn secret(octet: u8) -> Secret {
        Secret::new([octet; SHORTEST_KEY])
    }

    fn checked(nonces: &Nonces, resource: &str) -> CheckedNonces {
        let mut faults = Faults::new();
        let checked = nonces.check(&Resource::parse(resource).unwrap(), &mut faults);
        checked.unwrap_or_else(|| panic!("{}", faults.into_error()))
    }

    fn keyed(octets: &[u8]) -> CheckedNonces {
        let keys = octets.iter().map(|octet| secret(*octet));
        checked(&Nonces::required().keys(keys), HERE)
    }

    fn made(nonces: &CheckedNonces, now: Timestamp) -> String {
        nonces.make(now).to_str().unwrap().to_owned()
    }

    fn accepted(nonces: &CheckedNonces, nonce: &str, now: Timestamp) -> bool {
        !matches!(nonces.judge(nonce, now), NonceVerdict::Refused(_))
    }

    /// DPOP-30.
    #[test]
    fn nonces_do_not_repeat_and_are_legal_in_a_field() {
        let nonces = checked(&Nonces::optional(), HERE);
        let mut seen = HashSet::new();
        for _ in 0..10_000 {
            let nonce = made(&nonces, NOW);
            assert_eq!(nonce.len(), 50);
            assert!(nonce.bytes().all(|c| matches!(c, 0x21 | 0x23..=0x5b | 0x5d..=0x7e)));
            assert!(accepted(&nonces, &nonce, NOW));
            assert!(seen.insert(nonce), "a nonce twice");
        }
    }

    /// DPOP-33, DPOP-19: its own are accepted as often as they come, and nobody else's.
    #[test]
    fn a_nonce_is_accepted_where_it_was_made_and_nowhere_else() {
        let own = checked(&Nonces::required(), HERE);
        let nonce = made(&own, NOW);
        assert!(accepted(&own, &nonce, NOW) && accepted(&own, &nonce, NOW));
        assert!(!accepted(&checked(&Nonces::required(), HERE), &nonce, NOW), "another process");

        let nonce = made(&keyed(&[1]), NOW);
        assert!(accepted(&keyed(&[1]), &nonce, NOW), "another process with the same key");
        assert!(!accepted(&keyed(&[2]), &nonce, NOW), "another key");
        let elsewhere = |resource| checked(&Nonces::required().keys([secret(1)]), resource);
        assert!(accepted(&elsewhere(HERE), &nonce, NOW));
        for resource in ["https://rs.example/note", "https://rs.example", "https://other.example"] {
            assert!(!accepted(&elsewhere(resource), &nonce, NOW), "{resource}");
        }
    }

    /// DPOP-33, JWS-03: one spelling, and no octet of it can be another.
    #[test]
    fn an_altered_nonce_is_refused() {
        let nonces = keyed(&[1]);
        let nonce = made(&nonces, NOW);
        assert!(accepted(&nonces, &nonce, NOW));
        for at in 0..nonce.len() {
            for other in "AQgwB_-9.= ".chars().filter(|other| !nonce[at..].starts_with(*other)) {
                let altered = format!("{}{other}{}", &nonce[..at], &nonce[at + 1..]);
                assert!(!accepted(&nonces, &altered, NOW), "{altered} for {nonce}");
            }
        }
        let long = nonce.repeat(10_000);
        for other in ["", "eyJ7S_zG.eyJH0-Z.HX4w-7v", &nonce[1..], &nonce[..49], &long] {
            assert!(!accepted(&nonces, other, NOW));
        }
    }

    /// DPOP-34: keys are replaced one after the other, and no client notices.
    #[test]
    fn keys_rotate() {
        let (old, both, turned, new) = (keyed(&[1]), keyed(&[1, 2]), keyed(&[2, 1]), keyed(&[2]));
        for (maker, judge, expected) in [
            (&old, &both, true),
            (&both, &old, true),
            (&both, &turned, true),
            (&turned, &both, true),
            (&turned, &new, true),
            (&new, &turned, true),
            (&old, &new, false),
            (&turned, &old, false),
        ] {
            assert_eq!(accepted(judge, &made(maker, NOW), NOW), expected, "{maker:?} {judge:?}");
        }
    }

    /// DPOP-34, DPOP-C10: fresh, then ageing, then refused; and the clocks of a fleet may differ.
    #[test]
    fn a_nonce_ages_and_ends() {
        let nonces = checked(&Nonces::required().lifetime(Duration::from_secs(100)), HERE);
        let nonce = made(&nonces, NOW);
        let until = NOW.plus(Duration::from_secs(100));
        let (fresh, ageing) = (NonceVerdict::Fresh { until }, NonceVerdict::Ageing { until });
        let (old, future) = (NonceVerdict::Refused("too old"), NonceVerdict::Refused(AHEAD));
        let millis = |millis| Duration::from_millis(millis);
        for (name, now, expected) in [
            ("at once", NOW, fresh),
            ("before the half", NOW.plus(millis(49_999)), fresh),
            ("at the half", NOW.plus(millis(50_000)), ageing),
            ("at the end", NOW.plus(millis(99_999)), ageing),
            ("past the end", NOW.plus(millis(100_000)), old),
            ("next year", NOW.plus(Duration::from_hours(8_760)), old),
            ("a clock that is slow", NOW.minus(millis(10_000)), fresh),
            ("a clock that is wrong", NOW.minus(millis(10_001)), future),
            ("a clock that was never set", Timestamp::EPOCH, future),
        ] {
            assert_eq!(nonces.judge(&nonce, now), expected, "{name}");
        }
    }

    #[test]
    fn a_configuration_is_checked_and_reported_without_its_keys() {
        let resource = Resource::parse(HERE).unwrap();
        let seconds = Duration::from_secs;
        let short = Secret::new([7; SHORTEST_KEY - 1]);
        for (nonces, wanted) in [
            (Nonces::optional().lifetime(seconds(10)), ""),
            (Nonces::optional().lifetime(seconds(9)), "lifetime: "),
            (Nonces::optional().lifetime(seconds(3_600)), ""),
            (Nonces::optional().lifetime(seconds(3_601)), "lifetime: "),
            (Nonces::required().keys([secret(1), secret(2)]), ""),
            (Nonces::required().keys([secret(1), short]), "keys[1]: a nonce key of 31 bytes"),
            (Nonces::required().keys([]), "keys: "),
            (Nonces::required().keys((0..8).map(secret)), ""),
            (Nonces::required().keys((0..9).map(secret)), "keys: "),
        ] {
            let mut faults = Faults::new();
            let checked = nonces.check(&resource, &mut faults);
            assert_eq!(checked.is_some(), wanted.is_empty(), "{nonces:?}");
            if checked.is_none() {
                let text = faults.into_error().to_string();
                assert!(text.contains(wanted), "{text}");
            }
        }
        let shared = Nonces::required().keys([Secret::new([b'k'; SHORTEST_KEY])]);
        assert!(!format!("{shared:?} {:?}", checked(&shared, HERE)).contains("kkk"));
        let source = SecretSource::env("NONCE_KEY");
        let referred = Nonces::required().keys_from([(source, secret(1))]);
        let keys = json!([{"env": "NONCE_KEY"}]);
        for (nonces, report) in [
            (shared, json!({"mode": "required", "lifetime": "5m", "keys": "shared"})),
            (referred.clone(), json!({"mode": "required", "lifetime": "5m", "keys": keys})),
            (
                referred.keys([secret(1)]),
                json!({"mode": "required", "lifetime": "5m", "keys": "shared"}),
            ),
            (
                Nonces::optional().lifetime(seconds(90)),
                json!({"mode": "optional", "lifetime": "1m 30s", "keys": "own"}),
            ),
        ] {
            assert_eq!(checked(&nonces, HERE).report(), report);
        }
    }

    #[test]
    fn the_demand_is_the_mode() {
        let judge = |_: &str| NonceVerdict::Refused("");
        let demand = |nonces: Nonces| format!("{:?}", checked(&nonces, HERE).demand(&judge));
        assert_eq!(demand(Nonces::optional()), "Optional(..)");
        assert_eq!(demand(Nonces::required()), "Required(..)");
    }
}
