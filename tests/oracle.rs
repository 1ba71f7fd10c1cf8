//! The decision compared with `jsonwebtoken::decode`, on some thousands of tokens of every
//! algorithm, good and mutated.
//!
//! 1. What the server accepts, the oracle accepts, with the same `sub`.
//! 2. What the oracle accepts and the server refuses, it refuses by one of the rules of
//!    [`STRICTER`], and that rule really applies to the token.
//! 3. A token that was changed after it was signed is refused.
//!
//! Mutations are drawn from a fixed seed; keys and signatures are fresh, so a failure shows its
//! token and key. The oracle has the same cryptography underneath (but for ES512, which it does
//! not know, and `p521` verifies): what is compared is everything around it. Time is compared
//! here, because the oracle's clock cannot be set.

#![expect(
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test fails by panicking and shows its numbers"
)]
#![expect(
    clippy::disallowed_methods,
    reason = "it has no say in a decision; here it is the oracle"
)]

#[path = "oracle/mutants.rs"]
mod mutants;
#[path = "oracle/odd.rs"]
mod odd;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::Request;
use jsonwebtoken::{DecodingKey, Validation};
use p521::ecdsa::signature::Verifier as _;
use portcullis::RejectionKind::{
    self, IssuedInFuture, LifetimeTooLong, MalformedClaim, MalformedToken, MissingClaim,
    OtherTokenKind, SenderNotProven, UnknownIssuer, UnknownKey, UnsupportedHeader, WrongType,
};
use portcullis::jose::Algorithm;
use portcullis::testing::{ManualClock, TestIssuer};
use portcullis::time::Timestamp;
use portcullis::{Binding, Issuer, ResourceServer, TokenClass};
use serde::de::{Error as _, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value, json};

use mutants::{Made, Mutant};

const ISSUER: &str = "https://as.example";
const RESOURCE: &str = "https://rs.example";
const KID: &str = "k1";
/// [`ManualClock`] begins here.
const NOW: f64 = 1_800_000_000.0;
const LEEWAY: f64 = 10.0;
const LONGEST: f64 = 900.0;

type Reads = fn(&Token) -> bool;

/// The rules that the oracle does not have: how they refuse, why, and when they apply.
const STRICTER: &[(RejectionKind, &str, Reads)] = &[
    (WrongType, "RFC 9068 §4: `typ` is `at+jwt`", |token| {
        match token.header.get("typ").and_then(Value::as_str) {
            Some(typ) => !["at+jwt", "application/at+jwt"].contains(&&*typ.to_ascii_lowercase()),
            None => true,
        }
    }),
    (
        UnsupportedHeader,
        "RFC 7515 §4.1.11, RFC 7797 §7, RFC 7519 §5.2: what is not understood is refused",
        |token| {
            ["crit", "b64", "zip", "enc", "cty"].iter().any(|name| token.header.contains_key(*name))
        },
    ),
    (UnknownKey, "RFC 8725 §3.1, §3.8: the key with this `kid`, and its one algorithm", |token| {
        token.header.get("kid").is_some_and(|kid| kid != KID)
            || token.header.get("alg").and_then(Value::as_str) != Some(token.alg)
    }),
    (
        MalformedToken,
        "RFC 7515 §4, RFC 7519 §4, RFC 8259 §8.2: JSON with one reading, not too deep",
        |token| !token.has_one_reading || token.header.get("kid") == Some(&Value::Null),
    ),
    (UnknownIssuer, "RFC 7519 §4.1.1: `iss` is one string", |token| {
        !token.claims.get("iss").is_some_and(Value::is_string)
    }),
    (MissingClaim, "RFC 9068 §2.2: claims that the oracle does not know", |token| {
        ["client_id", "jti", "iat"].iter().any(|name| !token.claims.contains_key(*name))
    }),
    (
        MalformedClaim,
        "RFC 7519 §2, RFC 8693 §4.2: every claim that is read has its one type",
        |token| !token.is_well_typed(),
    ),
    (OtherTokenKind, "RFC 8417 §4.2: a security event token is no access token", |token| {
        token.claims.contains_key("events")
    }),
    (IssuedInFuture, "a token from the future was not issued by this clock", |token| {
        token.time("iat") > NOW + LEEWAY
    }),
    (LifetimeTooLong, "the token class bounds `exp - iat`", |token| {
        let lifetime = token.time("exp") - token.time("iat");
        lifetime <= 0.0 || lifetime > LONGEST
    }),
    (SenderNotProven, "RFC 7800: a bound token is no bearer token", |token| {
        token.claims.contains_key("cnf")
    }),
];

fn is_scope(scope: &str) -> bool {
    scope.chars().all(|c| c.is_ascii() && !c.is_ascii_control() && !"\"\\".contains(c))
}

/// A token as `serde_json` reads it, last member wins.
struct Token {
    alg: &'static str,
    header: Map<String, Value>,
    claims: Map<String, Value>,
    has_one_reading: bool,
}

impl Token {
    fn read(token: &str, algorithm: Algorithm) -> Self {
        let parts: Vec<Vec<u8>> =
            token.split('.').map(|part| URL_SAFE_NO_PAD.decode(part).unwrap_or_default()).collect();
        let [header, payload, _] = parts.as_slice() else {
            panic!("the oracle accepted {} parts", parts.len());
        };
        let read = |part| serde_json::from_slice(part).unwrap_or_default();
        Self {
            alg: algorithm.as_str(),
            header: read(header),
            claims: read(payload),
            has_one_reading: [header, payload].into_iter().all(|part| {
                serde_json::from_slice(part).is_ok_and(|OneReading { depth }| depth <= 16)
            }),
        }
    }

    fn is_well_typed(&self) -> bool {
        let claim = |name: &str| self.claims.get(name);
        let text = |value: &Value| value.as_str().is_some_and(|text| !text.is_empty());
        let date = |value: &Value| {
            value.as_f64().is_some_and(|at| at.is_sign_positive() && at <= 253_402_300_799.0)
        };
        let scope = |value: &Value| value.as_str().is_some_and(is_scope);
        let audience = |value: &Value| match value.as_array() {
            Some(all) => !all.is_empty() && all.iter().all(text),
            None => text(value),
        };
        let texts = ["sub", "client_id", "jti"];
        texts.iter().all(|name| claim(name).is_some_and(text))
            && ["iat", "exp"].iter().all(|name| claim(name).is_some_and(date))
            && claim("nbf").is_none_or(date)
            && claim("aud").is_some_and(audience)
            && claim("scope").is_none_or(scope)
    }

    fn time(&self, name: &str) -> f64 {
        let time = self.claims.get(name).and_then(Value::as_f64);
        time.unwrap_or(f64::NAN)
    }
}

/// JSON that `serde_json` reads to its end and in which no object has a name twice.
struct OneReading {
    depth: usize,
}

impl<'de> Deserialize<'de> for OneReading {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(OneReadingVisitor)
    }
}

struct OneReadingVisitor;

impl<'de> Visitor<'de> for OneReadingVisitor {
    type Value = OneReading;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON without duplicates")
    }

    fn visit_unit<E>(self) -> Result<OneReading, E> {
        Ok(OneReading { depth: 0 })
    }

    fn visit_bool<E>(self, _: bool) -> Result<OneReading, E> {
        Ok(OneReading { depth: 0 })
    }

    fn visit_i64<E>(self, _: i64) -> Result<OneReading, E> {
        Ok(OneReading { depth: 0 })
    }

    fn visit_u64<E>(self, _: u64) -> Result<OneReading, E> {
        Ok(OneReading { depth: 0 })
    }

    fn visit_f64<E>(self, _: f64) -> Result<OneReading, E> {
        Ok(OneReading { depth: 0 })
    }

    fn visit_str<E>(self, _: &str) -> Result<OneReading, E> {
        Ok(OneReading { depth: 0 })
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<OneReading, A::Error> {
        let mut deepest = 0;
        while let Some(OneReading { depth }) = seq.next_element()? {
            deepest = deepest.max(depth);
        }
        Ok(OneReading { depth: deepest + 1 })
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<OneReading, A::Error> {
        let (mut names, mut deepest) = (BTreeSet::new(), 0);
        while let Some(name) = map.next_key::<String>()? {
            if !names.insert(name) {
                return Err(A::Error::custom("a name twice"));
            }
            deepest = deepest.max(map.next_value::<OneReading>()?.depth);
        }
        Ok(OneReading { depth: deepest + 1 })
    }
}

#[tokio::test]
async fn rsa_tokens_are_decided_as_the_oracle_does_or_more_strictly() {
    use Algorithm::{Ps256, Ps384, Ps512, Rs256, Rs384, Rs512};
    for algorithm in [Rs256, Rs384, Rs512, Ps256, Ps384, Ps512] {
        compare(algorithm).await;
    }
}

#[tokio::test]
async fn ecdsa_tokens_are_decided_as_the_oracle_does_or_more_strictly() {
    for algorithm in [Algorithm::Es256, Algorithm::Es384, Algorithm::Es512] {
        compare(algorithm).await;
    }
}

#[tokio::test]
async fn ed25519_tokens_are_decided_as_the_oracle_does_or_more_strictly() {
    for algorithm in [Algorithm::EdDsa, Algorithm::Ed25519] {
        compare(algorithm).await;
    }
}

/// JWS-21: the oracle uses a key with the whole family of its algorithms, we with one.
#[tokio::test]
async fn an_rsa_key_is_used_with_its_one_algorithm() {
    use Algorithm::{Ps256, Ps384, Ps512, Rs256, Rs384, Rs512};
    let family = [Rs256, Rs384, Rs512, Ps256, Ps384, Ps512];
    let clock = ManualClock::new();
    for signed in [Rs256, Ps384] {
        let issuer = TestIssuer::with_algorithm(ISSUER, &clock, signed);
        let oracle = Oracle::new(signed, &issuer);
        let token = issuer.token(RESOURCE).sign();
        for named in family {
            let mut jwk = issuer.key().public_jwk();
            let members = jwk.as_object_mut().expect("an object");
            members.insert("alg".to_owned(), Value::from(named.as_str()));
            let with_alg = Issuer::fixed_keys(ISSUER, json!({ "keys": [jwk] }).to_string());
            jwk.as_object_mut().expect("an object").remove("alg");
            let without = Issuer::fixed_keys(ISSUER, json!({ "keys": [jwk] }).to_string());
            // Without `alg`, the first of the issuer's list that fits is the key's.
            let first = [named].into_iter().chain(family);
            for issuer in [with_alg.algorithms(family), without.algorithms(first)] {
                let ours = decide(&server(issuer, &clock), &token).await;
                let wanted = if named == signed { Ok("alice".to_owned()) } else { Err(UnknownKey) };
                assert_eq!(ours, wanted, "a {signed} token, a {named} key");
            }
        }
        assert_eq!(oracle.decide(&token), Ok("alice".to_owned()));
    }
}

async fn compare(algorithm: Algorithm) {
    let clock = ManualClock::new();
    let issuer = TestIssuer::with_algorithm(ISSUER, &clock, algorithm);
    let keys = issuer.fixed_keys();
    let server = server(keys.algorithms(Algorithm::ALL.iter().copied()), &clock);
    assert_eq!(issuer.key().kid(), KID);
    let oracle = Oracle::new(algorithm, &issuer);

    let (mut both_accept, mut both_refuse) = (0, 0);
    let mut stricter: BTreeMap<&str, usize> = BTreeMap::new();
    for mutant in mutants::all(&issuer, algorithm) {
        let ours = decide(&server, &mutant.token).await;
        let theirs = oracle.decide(&mutant.token);
        let show = || {
            let Mutant { name, token, .. } = &mutant;
            let key = issuer.key().public_jwk();
            format!("{algorithm}, {name}: ours {ours:?}, oracle {theirs:?}\n{token}\n{key}")
        };
        match mutant.made {
            Made::Good => assert!(ours.is_ok(), "a good token: {}", show()),
            Made::AfterSigning => assert!(ours.is_err(), "changed later: {}", show()),
            Made::Signed => {}
        }
        match (&ours, &theirs) {
            (Ok(our_subject), Ok(their_subject)) => {
                assert_eq!(our_subject, their_subject, "{}", show());
                both_accept += 1;
            }
            (Err(_), Err(_)) => both_refuse += 1,
            (Ok(_), Err(_)) => panic!("the oracle refuses what we accept: {}", show()),
            (Err(kind), Ok(_)) => {
                let token = Token::read(&mutant.token, algorithm);
                let rule = STRICTER.iter().find(|(rule, ..)| rule == kind);
                let applies = rule.is_some_and(|(.., applies)| applies(&token));
                // What cannot be read cannot be looked into: only its form explains a refusal.
                let form = [MalformedToken, MalformedClaim].contains(kind);
                assert!(
                    applies && (token.has_one_reading || form),
                    "stricter without a rule: {}",
                    show()
                );
                *stricter.entry(kind.as_str()).or_default() += 1;
            }
        }
    }
    println!(
        "{algorithm}: {both_accept} accepted by both, {both_refuse} refused by both, \
         {stricter:?} refused by us alone"
    );
    assert!(both_accept >= 100, "{both_accept}");
    assert!(both_refuse >= 500, "{both_refuse}");
    for (kind, why, _) in STRICTER {
        assert!(stricter.contains_key(kind.as_str()), "no token shows the rule {kind:?} ({why})");
    }
}

fn server(issuer: Issuer, clock: &ManualClock) -> ResourceServer {
    ResourceServer::builder(RESOURCE)
        .issuer(issuer)
        .binding(Binding::WhereBound)
        .class(TokenClass::default_at_most(Duration::from_mins(15)))
        .clock(clock.clone())
        .build()
        .expect("a configuration")
}

async fn decide(server: &ResourceServer, token: &str) -> Result<String, RejectionKind> {
    let request = Request::get("/")
        .header("authorization", format!("Bearer {token}"))
        .body(())
        .expect("a request");
    match server.verify(&request.into_parts().0).await {
        Ok(access) => Ok(access.subject().to_string()),
        Err(refused) => Err(refused.kind()),
    }
}

// ---- the oracle

struct Oracle {
    issuer: TestIssuer,
    algorithm: Algorithm,
    key: DecodingKey,
    point: Vec<u8>,
}

#[derive(Deserialize)]
struct Claims {
    sub: String,
    exp: f64,
    nbf: Option<f64>,
}

impl Oracle {
    fn new(algorithm: Algorithm, issuer: &TestIssuer) -> Self {
        let jwk = issuer.key().public_jwk();
        let octets = |name| {
            let text = jwk.get(name).and_then(Value::as_str).unwrap_or_default();
            URL_SAFE_NO_PAD.decode(text).expect("base64url")
        };
        let point = [&[4], &*octets("x"), &*octets("y")].concat();
        let jwk = serde_json::from_value(jwk).expect("a JWK");
        Self {
            issuer: issuer.clone(),
            algorithm,
            key: DecodingKey::from_jwk(&jwk).expect("a key"),
            point,
        }
    }

    fn decide(&self, token: &str) -> Result<String, String> {
        let claims = match self.algorithm {
            Algorithm::Es512 => self.decode_translated(token, "ES512"),
            Algorithm::EdDsa | Algorithm::Ed25519 => {
                self.decode(token).or_else(|_| self.decode_translated(token, "Ed25519"))
            }
            _ => self.decode(token),
        };
        in_time(claims?)
    }

    fn decode(&self, token: &str) -> Result<Claims, String> {
        let validation = validation(Validation::new_for_family(self.key.family()));
        jsonwebtoken::decode(token, &self.key, &validation)
            .map(|decoded| decoded.claims)
            .map_err(|error| error.to_string())
    }

    /// For `alg` values that the oracle does not know: the header under another, the signature by
    /// itself, and the payload under HS256.
    fn decode_translated(&self, token: &str, alg: &str) -> Result<Claims, String> {
        const KNOWN: &str = "EdDSA";
        let split = |text: &str| {
            let parts = text.rsplit_once('.').ok_or("not three parts")?;
            Ok::<_, String>((parts.0.to_owned(), parts.1.to_owned()))
        };
        let decode = |part: &str| {
            let octets = URL_SAFE_NO_PAD.decode(part);
            octets.map_err(|error| error.to_string())
        };
        let (message, signature) = split(token)?;
        let (header, payload) = split(&message)?;
        let mut header: Map<String, Value> =
            serde_json::from_slice(&decode(&header)?).map_err(|error| error.to_string())?;
        if header.insert("alg".to_owned(), Value::from(KNOWN)) != Some(Value::from(alg)) {
            return Err("another `alg`".to_owned());
        }
        serde_json::from_value::<jsonwebtoken::Header>(Value::Object(header))
            .map_err(|error| error.to_string())?;
        let verified = if self.algorithm == Algorithm::Es512 {
            self.verify_p521(message.as_bytes(), &decode(&signature)?)
        } else {
            let eddsa = jsonwebtoken::Algorithm::EdDSA;
            jsonwebtoken::crypto::verify(&signature, message.as_bytes(), &self.key, eddsa)
                .is_ok_and(|verified| verified)
        };
        if !verified {
            return Err("bad signature".to_owned());
        }
        let secret = b"the same payload under HS256, for its claims";
        let translated =
            self.issuer.token(RESOURCE).raw_payload(decode(&payload)?).sign_with_hmac(secret);
        let validation = validation(Validation::new(jsonwebtoken::Algorithm::HS256));
        jsonwebtoken::decode(translated, &DecodingKey::from_secret(secret), &validation)
            .map(|decoded| decoded.claims)
            .map_err(|error| error.to_string())
    }

    fn verify_p521(&self, message: &[u8], signature: &[u8]) -> bool {
        let key = p521::ecdsa::VerifyingKey::from_sec1_bytes(&self.point).expect("a point");
        p521::ecdsa::Signature::from_slice(signature)
            .is_ok_and(|signature| key.verify(message, &signature).is_ok())
    }
}

fn validation(mut validation: Validation) -> Validation {
    validation.set_issuer(&[ISSUER]);
    validation.set_audience(&[RESOURCE]);
    validation.set_required_spec_claims(&["exp", "iss", "aud", "sub"]);
    validation.validate_exp = false;
    validation
}

fn in_time(claims: Claims) -> Result<String, String> {
    if NOW >= claims.exp + LEEWAY {
        return Err("expired".to_owned());
    }
    if claims.nbf.is_some_and(|nbf| nbf > NOW + LEEWAY) {
        return Err("not yet valid".to_owned());
    }
    Ok(claims.sub)
}

/// The clock of the oracle and of the server are one.
#[test]
fn the_manual_clock_begins_where_this_file_says() {
    use portcullis::time::Clock as _;
    assert_eq!(ManualClock::new().now(), Timestamp::from_secs(1_800_000_000));
}
