//! SETs by themselves: what is taken for one, and what is not.

use portcullis::RejectionKind as Kind;
use portcullis::jose::{Algorithm, JwkSet, base64url};
use portcullis::name::{Audience, IssuerId};
use portcullis::revocation::{
    EventKind, SecurityEvent, SecurityEventToken, SetError, SetErrorCode as Code, SetRules,
};
use portcullis::testing::{ManualClock, TestKey, TestTransmitter, TokenBuilder};
use portcullis::time::{Clock as _, Timestamp};
use serde_json::{Value, json};

use crate::support::{ISSUER, RsaPair, compact, of_length, parts, respelled};
use crate::world::{AUDIENCE, MINUTE, SECOND, TRANSMITTER, World, user};

fn rules() -> SetRules {
    let audiences = [AUDIENCE, "second"].map(|name| Audience::parse(name).unwrap());
    SetRules::new(IssuerId::parse(TRANSMITTER).unwrap(), audiences)
}

/// Reads a SET with the keys that the transmitter has.
fn read(
    transmitter: &TestTransmitter,
    set: &str,
    now: Timestamp,
) -> Result<SecurityEvent, SetError> {
    let rules = rules();
    let keys = transmitter.jwk_set().to_string();
    let keys = JwkSet::parse(keys.as_bytes(), &rules.algorithms).unwrap();
    let set = SecurityEventToken::read(set, &rules)?;
    let key = keys.find(set.kid(), set.algorithm()).expect("a key of the transmitter");
    set.verify(key, now)
}

fn code(result: Result<SecurityEvent, SetError>) -> Option<Code> {
    result.err().map(|error| error.code())
}

/// SET-01 to SET-05, SET-10, CAEP-01, SUB-02: one change to a good SET, and what it is called.
#[test]
fn a_set_is_what_ssf_makes_of_it() {
    let clock = ManualClock::new();
    let transmitter = TestTransmitter::new(TRANSMITTER, AUDIENCE, &clock);
    let now = clock.now();
    let good = || transmitter.session_revoked(ISSUER, "alice");
    type Change<'a> = Box<dyn Fn(TokenBuilder) -> TokenBuilder + 'a>;
    let claim = |name: &'static str, value: Value| -> Change<'_> {
        Box::new(move |set: TokenBuilder| set.claim(name, value.clone()))
    };
    let without =
        |name: &'static str| -> Change<'_> { Box::new(move |set: TokenBuilder| set.without(name)) };
    let typ = |typ: &'static str| -> Change<'_> {
        Box::new(move |set: TokenBuilder| set.header("typ", typ))
    };
    let raw = |name: &'static str, json: &'static str| -> Change<'_> {
        Box::new(move |set: TokenBuilder| set.raw_claim(name, json))
    };
    let names = |count: usize| -> Change<'_> {
        let names = (0..count).map(|name| (format!("urn:x:{name}"), json!({})));
        claim("events", Value::Object(names.collect()))
    };
    let at = |seconds: u64| json!(now.as_secs() + seconds);
    let revoked = "https://schemas.openid.net/secevent/caep/event-type/session-revoked";
    let changed = "https://schemas.openid.net/secevent/caep/event-type/session-established";
    let verified = "https://schemas.openid.net/secevent/ssf/event-type/verification";
    let alias = "https://schemas.openid.net/secevent/sse/event-type/verification";
    let opted_in = "https://schemas.openid.net/secevent/risc/event-type/opt-in";
    let opted_out = "https://schemas.openid.net/secevent/risc/event-type/opt-out-effective";
    let event = |members: Value| json!({ revoked: members });
    let rows: Vec<(&str, &str, Change<'_>, Option<Code>)> = vec![
        ("SET-01", "as it is made", claim("txn", json!("8675309")), None),
        ("SET-01", "no iss", without("iss"), Some(Code::InvalidRequest)),
        ("SET-01", "no iat", without("iat"), Some(Code::InvalidRequest)),
        ("SET-01", "no jti", without("jti"), Some(Code::InvalidRequest)),
        ("SET-01", "no events", without("events"), Some(Code::InvalidRequest)),
        ("SET-01", "an empty jti", claim("jti", json!("")), Some(Code::InvalidRequest)),
        ("SET-01", "a jti that is a number", claim("jti", json!(7)), Some(Code::InvalidRequest)),
        ("SET-01", "the longest jti", claim("jti", json!("x".repeat(512))), None),
        (
            "SET-01",
            "a longer jti",
            claim("jti", json!("x".repeat(513))),
            Some(Code::InvalidRequest),
        ),
        ("SET-01", "iat as text", claim("iat", json!("1800000000")), Some(Code::InvalidRequest)),
        ("SET-01", "events is a list", claim("events", json!([])), Some(Code::InvalidRequest)),
        ("SET-01", "events is empty", claim("events", json!({})), Some(Code::InvalidRequest)),
        (
            "SET-01",
            "an event is a text",
            claim("events", event(json!("x"))),
            Some(Code::InvalidRequest),
        ),
        (
            "SET-01",
            "an event is a list",
            claim("events", event(json!([]))),
            Some(Code::InvalidRequest),
        ),
        (
            "SET-01",
            "an event twice",
            Box::new(move |set| {
                let twice = format!("{{\"{revoked}\":{{}},\"{revoked}\":{{}}}}");
                set.raw_claim("events", &twice)
            }),
            Some(Code::InvalidRequest),
        ),
        (
            "SET-01",
            "iss twice",
            Box::new(|set| set.repeated_claim("iss", "\"x\"")),
            Some(Code::InvalidRequest),
        ),
        ("SET-02", "with application/", typ("application/secevent+jwt"), None),
        ("SET-02", "in capitals", typ("SECEVENT+JWT"), None),
        ("SET-02", "an access token", typ("at+jwt"), Some(Code::InvalidRequest)),
        ("SET-02", "a JWT", typ("JWT"), Some(Code::InvalidRequest)),
        ("SET-02", "a logout token", typ("logout+jwt"), Some(Code::InvalidRequest)),
        ("SET-02", "no typ", Box::new(|set| set.without_header("typ")), Some(Code::InvalidRequest)),
        (
            "SET-02",
            "crit",
            Box::new(|set| set.header("crit", json!(["b64"]))),
            Some(Code::InvalidRequest),
        ),
        ("SET-03", "exp", claim("exp", at(3_600)), Some(Code::InvalidRequest)),
        ("SET-03", "sub", claim("sub", json!("alice")), Some(Code::InvalidRequest)),
        ("SET-03", "no sub_id", without("sub_id"), Some(Code::InvalidRequest)),
        ("SET-03", "sub_id is a text", claim("sub_id", json!("alice")), Some(Code::InvalidRequest)),
        (
            "SET-03",
            "the subject in the event only",
            Box::new(move |set| {
                set.without("sub_id").claim("events", event(json!({ "subject": user("alice") })))
            }),
            Some(Code::InvalidRequest),
        ),
        (
            "SET-04",
            "another iss",
            claim("iss", json!("https://evil.example")),
            Some(Code::InvalidIssuer),
        ),
        ("SET-04", "the token issuer", claim("iss", json!(ISSUER)), Some(Code::InvalidIssuer)),
        (
            "SET-04",
            "iss with a slash",
            claim("iss", json!("https://tx.example/")),
            Some(Code::InvalidIssuer),
        ),
        ("SET-04", "iss is a list", claim("iss", json!([TRANSMITTER])), Some(Code::InvalidRequest)),
        ("SET-05", "one of several", claim("aud", json!(["x", AUDIENCE])), None),
        ("SET-05", "another of ours", claim("aud", json!("second")), None),
        (
            "SET-05",
            "another aud",
            claim("aud", json!("https://other.example")),
            Some(Code::InvalidAudience),
        ),
        (
            "SET-05",
            "the API's own",
            claim("aud", json!("https://rs.example")),
            Some(Code::InvalidAudience),
        ),
        ("SET-05", "no aud", without("aud"), Some(Code::InvalidAudience)),
        ("SET-05", "aud is a number", claim("aud", json!(7)), Some(Code::InvalidRequest)),
        (
            "SET-10",
            "two events",
            claim("events", json!({ revoked: {}, changed: {} })),
            Some(Code::InvalidRequest),
        ),
        // They are read alike, and are two.
        (
            "SET-10",
            "two events of one kind",
            claim("events", json!({ opted_in: {}, opted_out: {} })),
            Some(Code::InvalidRequest),
        ),
        ("SET-10", "one of them", claim("events", json!({ opted_out: {} })), None),
        ("SET-10", "an unknown event", claim("events", json!({ "urn:x": {} })), None),
        (
            "SET-10",
            "an unknown name beside",
            claim("events", json!({ revoked: {}, "urn:x": {} })),
            None,
        ),
        (
            "SET-10",
            "two names of one event",
            Box::new(move |set| {
                set.claim("sub_id", json!({ "format": "opaque", "id": "s" }))
                    .claim("events", json!({ verified: { "state": "s" }, alias: { "state": "s" } }))
            }),
            None,
        ),
        (
            "SET-10",
            "two names that say two things",
            claim("events", json!({ verified: { "state": "s" }, alias: { "state": "t" } })),
            Some(Code::InvalidRequest),
        ),
        ("SET-10", "eight names", names(8), None),
        ("SET-10", "names without end", names(9), Some(Code::InvalidRequest)),
        ("SET-08", "iat five minutes ahead", claim("iat", at(300)), None),
        ("SET-08", "iat further ahead", claim("iat", at(301)), Some(Code::InvalidRequest)),
        ("SET-08", "toe ahead", claim("toe", at(301)), Some(Code::InvalidRequest)),
        ("SET-08", "toe as text", claim("toe", json!("now")), Some(Code::InvalidRequest)),
        (
            "CAEP-01",
            "a time ahead",
            claim("events", event(json!({ "event_timestamp": now.as_secs() + 300 }))),
            None,
        ),
        (
            "CAEP-01",
            "a time further ahead",
            claim("events", event(json!({ "event_timestamp": now.as_secs() + 301 }))),
            Some(Code::InvalidRequest),
        ),
        (
            "CAEP-01",
            "milliseconds",
            claim("events", event(json!({ "event_timestamp": now.as_secs() * 1_000 }))),
            Some(Code::InvalidRequest),
        ),
        (
            "CAEP-01",
            "a time as text",
            claim("events", event(json!({ "event_timestamp": "2026-01-01" }))),
            Some(Code::InvalidRequest),
        ),
        (
            "CAEP-01",
            "a negative time",
            claim("events", event(json!({ "event_timestamp": -1 }))),
            Some(Code::InvalidRequest),
        ),
        (
            "SUB-02",
            "nested aliases",
            claim(
                "sub_id",
                json!({ "format": "aliases", "identifiers": [
                { "format": "aliases", "identifiers": [user("alice")] }] }),
            ),
            Some(Code::InvalidRequest),
        ),
        (
            "JWS",
            "a list",
            raw("iss", "[[[[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]]]"),
            Some(Code::InvalidRequest),
        ),
        ("JWS", "no object", Box::new(|set| set.raw_payload(*b"[]")), Some(Code::InvalidRequest)),
    ];
    for (id, name, change, expected) in rows {
        let set = change(good()).sign();
        assert_eq!(code(read(&transmitter, &set, now)), expected, "{id}: {name}");
    }
}

/// SET-08, CAEP-01, CAEP-02: the event's own time, else `toe`, else `iat`; to the nanosecond.
#[test]
fn the_time_of_an_event_is_the_closest_one_that_is_said() {
    let clock = ManualClock::new();
    let transmitter = TestTransmitter::new(TRANSMITTER, AUDIENCE, &clock);
    let now = clock.now();
    let before = |time| now.minus(time);
    let at = |set: TokenBuilder| read(&transmitter, &set.sign(), now).unwrap().at();
    let members = |members: &str| {
        let event = "https://schemas.openid.net/secevent/caep/event-type/session-revoked";
        let set = transmitter.session_revoked(ISSUER, "alice").issued_at(before(SECOND));
        set.raw_claim("events", &format!("{{\"{event}\":{members}}}"))
    };
    assert_eq!(at(members("{}")), before(SECOND), "iat");
    let toe = before(MINUTE).to_string();
    assert_eq!(at(members("{}").raw_claim("toe", &toe)), before(MINUTE), "toe");
    let stated = members(r#"{"event_timestamp":1799999000.25}"#).raw_claim("toe", &toe);
    let quarter = Timestamp::from_json_number("1799999000.25").unwrap();
    assert_eq!(at(stated), quarter, "event_timestamp");
}

/// Attack 42, PUSH-04, decision 17: who did not sign with a key of the transmitter, with an algorithm of
/// SETs, is not believed, however the SET came to be.
#[test]
fn attack_42_what_the_transmitter_did_not_sign_is_not_believed() {
    let clock = ManualClock::new();
    let transmitter = TestTransmitter::new(TRANSMITTER, AUDIENCE, &clock);
    let now = clock.now();
    let set = transmitter.session_revoked(ISSUER, "alice");
    let signed = set.sign();
    assert_eq!(code(read(&transmitter, &signed, now)), None);
    let [header, payload, signature] = parts(&signed);
    let other = TestKey::generate(Algorithm::Es256, "k1");
    let jwk = json!(transmitter.issuer().key().public_jwk()).to_string();
    let swapped = transmitter.session_revoked(ISSUER, "bob").sign();
    let [_, other_payload, _] = parts(&swapped);
    for (name, set) in [
        ("unsigned, none", set.unsigned("none")),
        ("unsigned, NoNe", set.unsigned("NoNe")),
        ("unsigned, with its algorithm", set.unsigned("ES256")),
        ("a signature of one octet", format!("{header}.{payload}.AA")),
        ("r = s = 0", compact(&format!("{header}.{payload}"), [0; 64])),
        ("tampered with", set.tampered()),
        ("signed by another", set.sign_with(&other)),
        ("another payload", format!("{header}.{other_payload}.{signature}")),
        ("HMAC with the public key", set.sign_with_hmac(jwk.as_bytes())),
        ("HMAC with nothing", set.sign_with_hmac(b"")),
        ("an algorithm not for SETs", set.clone().header("alg", "ES512").sign()),
        ("an unknown algorithm", set.clone().header("alg", "XX256").sign()),
        ("no algorithm", set.clone().without_header("alg").sign()),
    ] {
        assert_eq!(code(read(&transmitter, &set, now)), Some(Code::InvalidKey), "{name}");
    }
    for (name, set) in [
        ("another spelling", format!("{header}.{payload}.{}", respelled(signature))),
        ("two parts", format!("{header}.{payload}")),
        ("no part", "secevent".to_owned()),
        ("nothing", String::new()),
        ("no payload", format!("{header}..{signature}")),
        ("JSON", format!(r#"{{"payload":"{payload}","signatures":[]}}"#)),
        ("padding", format!("{header}=.{payload}.{signature}")),
        ("a line end", format!("{signed}\n")),
    ] {
        assert_eq!(code(read(&transmitter, &set, now)), Some(Code::InvalidRequest), "{name}");
    }
    let encrypted = format!("{header}.{payload}.{payload}.{payload}.{signature}");
    assert_eq!(code(read(&transmitter, &encrypted, now)), Some(Code::InvalidKey));
}

/// PUSH-06: what is too long is not even decoded.
#[test]
fn a_set_is_bounded() {
    let clock = ManualClock::new();
    let transmitter = TestTransmitter::new(TRANSMITTER, AUDIENCE, &clock);
    let set = |header: usize, payload: usize| {
        let set = transmitter.session_revoked(ISSUER, "alice").header("x", "x".repeat(header));
        set.claim("x", "x".repeat(payload)).sign()
    };
    let longest = of_length(SecurityEventToken::MAX_LENGTH, set);
    assert_eq!(code(read(&transmitter, &longest, clock.now())), None);
    let long = of_length(SecurityEventToken::MAX_LENGTH + 1, set);
    assert_eq!(code(read(&transmitter, &long, clock.now())), Some(Code::InvalidRequest));
}

/// Decision 17, CAEP-10: RS256 is an algorithm of SETs, with 2048 bits at least, and an RSA key without
/// `alg` is used with it.
#[test]
fn rs256_is_an_algorithm_of_sets() {
    let clock = ManualClock::new();
    for (algorithm, expected) in [
        (Algorithm::Rs256, true),
        (Algorithm::Ps256, true),
        (Algorithm::Es256, true),
        (Algorithm::EdDsa, true),
        (Algorithm::Ed25519, true),
        (Algorithm::Es384, false),
        (Algorithm::Rs512, false),
    ] {
        assert_eq!(SetRules::ALGORITHMS.contains(&algorithm), expected, "{algorithm}");
    }
    let transmitter =
        TestTransmitter::with_algorithm(TRANSMITTER, AUDIENCE, &clock, Algorithm::Rs256);
    let set = transmitter.session_revoked(ISSUER, "alice").sign();
    assert_eq!(code(read(&transmitter, &set, clock.now())), None);

    let pair = RsaPair::generate();
    let jwk = json!({ "keys": [pair.jwk("k", None)] }).to_string();
    let keys = JwkSet::parse(jwk.as_bytes(), SetRules::ALGORITHMS).unwrap();
    assert!(keys.find(Some("k"), Algorithm::Rs256).is_ok());
    assert!(keys.find(Some("k"), Algorithm::Ps256).is_err(), "one key, one algorithm");
    let small = json!({ "keys": [{ "kty": "RSA", "kid": "k", "alg": "RS256", "e": "AQAB",
        "n": base64url::encode([0xc3; 128]) }] });
    let keys = JwkSet::parse(small.to_string().as_bytes(), SetRules::ALGORITHMS).unwrap();
    assert_eq!(keys.keys().len(), 0, "1024 bits");
}

/// SET-06: a SET is no access token, whatever else it is.
#[tokio::test]
async fn set_06_a_set_is_no_access_token() {
    let world = World::pushed();
    let token = world.token();
    assert_eq!(world.kind(&token).await, None);
    let events = json!({ "https://schemas.openid.net/secevent/risc/event-type/opt-in": {} });
    assert_eq!(
        world.kind(&world.token().header("typ", "secevent+jwt")).await,
        Some(Kind::WrongType)
    );
    assert_eq!(
        world.kind(&world.token().claim("events", events)).await,
        Some(Kind::OtherTokenKind)
    );
}

/// SET-08, attack 42: what is only too early is told apart from what is bad.
#[test]
fn attack_42_what_is_early_is_not_bad() {
    let clock = ManualClock::new();
    let transmitter = TestTransmitter::new(TRANSMITTER, AUDIENCE, &clock);
    let ahead = |claim: &str| {
        let set = transmitter.session_revoked("https://as.example", "alice");
        set.claim(claim, clock.now().as_secs() + 301).sign()
    };
    for (claim, early, text) in [
        ("iat", true, "`iat` is in the future"),
        ("toe", true, "`toe` is in the future"),
        ("exp", false, "a SET of SSF has no claim `exp`"),
    ] {
        let error = read(&transmitter, &ahead(claim), clock.now()).unwrap_err();
        assert_eq!((error.code(), error.is_early()), (Code::InvalidRequest, early), "{error}");
        assert_eq!(error.description(), text);
        assert_eq!(error.to_string(), format!("invalid_request: {text}"));
    }
    let set = ahead("iat");
    clock.advance(SECOND);
    assert!(read(&transmitter, &set, clock.now()).is_ok());
}

/// Every shape that SSF, CAEP and RISC show, and the SET of RFC 8935: what is read of each.
#[test]
fn every_published_shape_is_read() {
    let vectors: Value = serde_json::from_str(include_str!("../vectors/events.json")).unwrap();
    let clock = ManualClock::new();
    let transmitter = TestTransmitter::new(TRANSMITTER, AUDIENCE, &clock);
    let examples = vectors["examples"].as_array().unwrap();
    assert!(examples.len() >= 20);
    for example in examples {
        let name = example["name"].as_str().unwrap();
        let mut set = transmitter.set("urn:x", json!({}), json!({}));
        for (claim, value) in example["claims"].as_object().unwrap() {
            set = set.claim(claim, value);
        }
        // Their transmitters and receivers are others.
        let set = set.claim("iss", TRANSMITTER).claim("aud", AUDIENCE);
        let read = read(&transmitter, &set.sign(), clock.now());
        match (read, example["kind"].as_str(), example["err"].as_str()) {
            (Ok(event), Some(kind), None) => {
                assert_eq!(event.kind().as_str(), kind, "{name}");
                assert_eq!(event.subject().format(), example["format"].as_str().unwrap(), "{name}");
                assert_eq!(event.at().as_secs(), example["at"].as_u64().unwrap(), "{name}");
                assert_eq!(event.kind() == &EventKind::Other, kind == "other");
            }
            (Err(error), None, Some(err)) => assert_eq!(error.code().as_str(), err, "{name}"),
            (read, ..) => panic!("{name}: {read:?}"),
        }
    }
    // RFC 8935, Figure 1: an HMAC, and a subject as it was before RFC 9493.
    let set = vectors["rfc8935_figure_1"].as_str().unwrap();
    let error = SecurityEventToken::read(set, &rules()).unwrap_err();
    assert_eq!(error.code(), Code::InvalidKey);
}

/// PUSH-04, SSF-02: the codes, by their names.
#[test]
fn codes_have_their_registered_names() {
    let names: Vec<_> = Code::ALL.iter().map(|code| code.to_string()).collect();
    assert_eq!(
        names,
        [
            "invalid_request",
            "invalid_key",
            "invalid_issuer",
            "invalid_audience",
            "authentication_failed",
            "access_denied",
            "invalid_state",
        ]
    );
}

/// Nothing that is printed shows a SET, or whom it is about.
#[test]
fn a_set_is_not_printed() {
    let clock = ManualClock::new();
    let transmitter = TestTransmitter::new(TRANSMITTER, AUDIENCE, &clock);
    let set = transmitter.session_revoked(ISSUER, "alice").sign();
    let rules = rules();
    let shown = format!("{:?}", SecurityEventToken::read(&set, &rules).unwrap());
    assert!(!shown.contains(parts(&set)[1]) && !shown.contains("alice"), "{shown}");
    let shown = format!("{:?}", read(&transmitter, &set, clock.now()).unwrap());
    assert!(!shown.contains("alice") && shown.contains("iss_sub"), "{shown}");
}
