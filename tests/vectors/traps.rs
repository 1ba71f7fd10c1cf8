//! Tokens with one trap each, through a whole server.

use std::collections::BTreeSet;

use portcullis::Issuer;
use portcullis::RejectionKind::{
    self, AlgorithmNotAllowed, Expired, LifetimeTooLong, MalformedClaim, MalformedToken,
    UnknownIssuer, UnsupportedHeader, WrongType,
};
use portcullis::jose::{Algorithm, Compact, PublicKey, base64url};
use portcullis::testing::TestIssuer;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{ask, clock_at, is_invalid_token, read, refused, server};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Traps {
    source: String,
    issuer: String,
    resource: String,
    jwk: Value,
    cases: Vec<Trap>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Trap {
    name: String,
    jwt: String,
    expect: String,
}

impl Trap {
    fn is_to_be_accepted(&self) -> bool {
        let accept = self.expect.starts_with("accept");
        assert!(accept || self.expect.starts_with("reject"), "{}", self.name);
        accept
    }
}

fn traps() -> Traps {
    let file: Traps = read(include_str!("traps.json"));
    assert!(!file.source.is_empty());
    file
}

/// How each trap is refused, and the row of the requirements.
const REFUSED: &[(&str, RejectionKind, &str)] = &[
    ("crit-unknown", UnsupportedHeader, "JWS-08"),
    ("crit-empty", UnsupportedHeader, "JWS-09"),
    ("crit-lists-registered", UnsupportedHeader, "JWS-09"),
    ("crit-not-array", UnsupportedHeader, "JWS-09"),
    ("b64-false", UnsupportedHeader, "JWS-10"),
    ("dup-header-alg", MalformedToken, "JWS-05"),
    ("dup-claim-aud", MalformedToken, "JWS-06"),
    ("dup-claim-escaped", MalformedToken, "JWS-06"),
    ("typ-jwt", WrongType, "AT-01"),
    ("typ-missing", WrongType, "AT-01"),
    ("exp-fraction-past", Expired, "JWS-43, JWS-44"),
    ("exp-string", MalformedClaim, "JWS-43"),
    ("exp-huge", MalformedClaim, "JWS-43"),
    ("aud-array-empty", MalformedClaim, "AT-06"),
    ("aud-array-nonstring", MalformedClaim, "AT-06"),
    ("iss-trailing-slash", UnknownIssuer, "AT-05"),
    ("trailing-json", MalformedToken, "JWS-04"),
    ("payload-not-object", MalformedToken, "JWS-04"),
    ("alg-noNE", MalformedToken, "JWS-23; unsigned"),
    ("hs256-with-public-key-bytes", AlgorithmNotAllowed, "JWS-24"),
];

/// Traps that others may accept as they are printed and this crate refuses, and why.
const EXCEPTIONS: &[(&str, RejectionKind, &str)] = &[
    ("control", LifetimeTooLong, SEVENTY_SIX_YEARS),
    ("typ-uppercase", LifetimeTooLong, SEVENTY_SIX_YEARS),
    ("typ-application", LifetimeTooLong, SEVENTY_SIX_YEARS),
    ("exp-fraction-future", LifetimeTooLong, SEVENTY_SIX_YEARS),
    ("exp-exponent", LifetimeTooLong, SEVENTY_SIX_YEARS),
    ("aud-array", LifetimeTooLong, SEVENTY_SIX_YEARS),
];
const SEVENTY_SIX_YEARS: &str =
    "the token lives 76 years, and the longest token class is 366 days; it fails nothing else";

/// 100 seconds after the traps were issued.
const TRAP_TIME: u64 = 1_700_000_100;

/// Everything but the trap of each token is good, its signature included.
#[tokio::test]
async fn a_trap_is_refused_for_its_own_reason() {
    let traps = traps();
    let key = PublicKey::parse(traps.jwk.to_string().as_bytes(), &[Algorithm::EdDsa]);
    let key = key.expect("a key");
    let clock = clock_at(TRAP_TIME);
    let set = json!({ "keys": [traps.jwk] }).to_string();
    let server = server(&traps.resource, Issuer::fixed_keys(&traps.issuer, set), &clock);

    for trap in &traps.cases {
        let wanted = match (trap.is_to_be_accepted(), exception(&trap.name)) {
            (true, None) => None,
            (true, Some(kind)) => Some(kind),
            (false, None) => Some(refusal(&trap.name)),
            (false, Some(_)) => panic!("{}: no exception to a refusal", trap.name),
        };
        let found = ask(&server, &trap.jwt).await;
        let found = found.err().map(|refused| is_invalid_token(&refused));
        assert_eq!(found, wanted, "{}: {}", trap.name, trap.expect);
        // The last two have no signature and a symmetric one.
        if !["alg-noNE", "hs256-with-public-key-bytes"].contains(&&*trap.name) {
            let jws = Compact::parse(&trap.jwt).expect("a compact JWS");
            assert_eq!(
                key.verify(Algorithm::EdDsa, &jws),
                Ok(()),
                "{}: the trap is elsewhere",
                trap.name
            );
        }
    }

    let names: BTreeSet<&str> = traps.cases.iter().map(|trap| &*trap.name).collect();
    assert_eq!(names.len(), traps.cases.len(), "every name once");
    let rows = REFUSED.iter().chain(EXCEPTIONS).map(|(name, ..)| *name);
    assert_eq!(
        rows.clone().collect::<BTreeSet<_>>(),
        names,
        "every trap has its row, every row its trap"
    );
    assert_eq!(rows.count(), names.len(), "every row once");
}

/// The same tokens with a lifetime of ten minutes: no exception is left.
#[tokio::test]
async fn a_trap_that_is_none_is_accepted_within_a_token_class() {
    let traps = traps();
    let clock = clock_at(TRAP_TIME);
    let issuer = TestIssuer::with_algorithm(&traps.issuer, &clock, Algorithm::EdDsa);
    let server = server(&traps.resource, issuer.fixed_keys(), &clock);
    let mut accepted = 0;
    for trap in &traps.cases {
        let Some(jws) = Compact::parse(&trap.jwt).ok() else {
            assert_eq!(trap.name, "alg-noNE", "the only one that is not signed");
            continue;
        };
        let payload = std::str::from_utf8(jws.payload())
            .expect("text")
            .replace("4102444800", "1700000600")
            .replace("4.1024448e9", "1.7000006e9");
        let token = issuer
            .token(&traps.resource)
            .raw_header(jws.header_bytes())
            .raw_payload(payload)
            .sign();
        match ask(&server, &token).await {
            Ok(access) => {
                assert!(trap.is_to_be_accepted(), "{} was accepted", trap.name);
                assert_eq!(access.subject(), &"u", "{}", trap.name);
                assert_eq!(access.expires_at().as_secs(), 1_700_000_600);
                accepted += 1;
            }
            Err(refused) => {
                assert!(!trap.is_to_be_accepted(), "{}: {refused}", trap.name);
                assert_eq!(refused.kind(), refusal(&trap.name), "{}", trap.name);
            }
        }
    }
    assert_eq!(accepted, EXCEPTIONS.len());
}

fn exception(name: &str) -> Option<RejectionKind> {
    row(EXCEPTIONS, name)
}

fn refusal(name: &str) -> RejectionKind {
    row(REFUSED, name).unwrap_or_else(|| panic!("{name} has no row"))
}

fn row(rows: &[(&str, RejectionKind, &str)], name: &str) -> Option<RejectionKind> {
    rows.iter().find(|(row, ..)| *row == name).map(|(_, kind, _)| *kind)
}

/// RFC 8725 §2.1 (AT-03, JWS-23, JWS-24): no spelling of `none`, and no bytes of a public key as a
/// secret.
#[tokio::test]
async fn no_algorithm_is_confused_with_another() {
    let clock = clock_at(TRAP_TIME);
    for algorithm in [Algorithm::Rs256, Algorithm::Es256, Algorithm::EdDsa] {
        let issuer = TestIssuer::with_algorithm("https://as.example", &clock, algorithm);
        let server = server("https://rs.example", issuer.fixed_keys(), &clock);
        let token = issuer.token("https://rs.example");
        assert!(ask(&server, &token.sign()).await.is_ok(), "{algorithm}");

        for alg in ["none", "None", "NONE", "nOnE", "noNE", "none ", ""] {
            let unsigned = token.unsigned(alg);
            let refused = refused(&server, &unsigned).await;
            assert_eq!(refused, MalformedToken, "{alg:?}, unsigned");
            let signed = format!("{unsigned}AA");
            let refused = super::refused(&server, &signed).await;
            assert_eq!(refused, AlgorithmNotAllowed, "{alg:?}");
        }
        let jwk = issuer.key().public_jwk();
        let decoded = |name| {
            let member = jwk.get(name).and_then(Value::as_str);
            base64url::decode(member.unwrap_or_default()).expect("base64url")
        };
        let (n, x, y) = (decoded("n"), decoded("x"), decoded("y"));
        for secret in [
            jwk.to_string().into_bytes(),
            issuer.jwk_set().to_string().into_bytes(),
            [&[4], &*x, &*y].concat(),
            x,
            n,
            Vec::new(),
        ] {
            let confused = token.sign_with_hmac(&secret);
            let refused = refused(&server, &confused).await;
            assert_eq!(refused, AlgorithmNotAllowed, "{algorithm}");
        }
    }
}
