//! Feeds that are signed: by whom, and what else has to hold.

use std::sync::Arc;

use portcullis::Issuer;
use portcullis::jose::{Algorithm, base64url};
use portcullis::testing::TestKey;

use super::publisher::Answer;
use super::*;

const SIGNER: &str = "https://feed.example/signer";
const KEYS: &str = "https://feed.example/keys.json";
const NANOSECOND: Duration = Duration::from_nanos(1);

/// What a document says of itself when it is signed.
fn signable(sequence: u64, records: &Value) -> Value {
    let document = with(whole(sequence, records), "iss", SIGNER.into());
    with(document, "iat", 1_800_000_000.into())
}

fn jws(key: &TestKey, header: &Value, payload: &Value) -> String {
    let mut header = header.clone();
    header["kid"] = key.kid().into();
    let input = format!(
        "{}.{}",
        base64url::encode(header.to_string()),
        base64url::encode(payload.to_string())
    );
    let signature = base64url::encode(key.sign(input.as_bytes()));
    format!("{input}.{signature}")
}

fn header() -> Value {
    json!({ "alg": "ES256", "typ": "revocation-feed+jwt" })
}

fn key_set(keys: &[&TestKey]) -> Value {
    json!({ "keys": keys.iter().map(|key| key.public_jwk()).collect::<Vec<_>>() })
}

fn signer(key: &TestKey) -> Issuer {
    Issuer::fixed_keys(SIGNER, key_set(&[key]).to_string())
}

async fn world(key: &TestKey, answer: Answer) -> World {
    let publisher = Publisher::default();
    publisher.answer(URL, answer);
    let feed = JsonFeed::signed(URL, signer(key));
    World::of(publisher, ManualClock::new(), feed, None, &[ISSUER]).await
}

/// Attack 42: a document counts with the signature of its issuer, and in no other case. Each row changes
/// one thing of a document that counts.
#[tokio::test]
async fn nothing_counts_but_what_the_issuer_signed() {
    let key = TestKey::generate(Algorithm::Es256, "k");
    let same_name = TestKey::generate(Algorithm::Es256, "k");
    let good = signable(1, &json!([jti("a")]));
    let signed = |payload: &Value| jws(&key, &header(), payload);
    let of = |payload: &Value| Answer::of(signed(payload));
    let token = |member: &str, value: Value| {
        let header = with(header(), member, value);
        Answer::of(jws(&key, &header, &good))
    };
    let text = signed(&good);
    let unsigned = {
        let mut parts = text.split('.');
        format!("{}.{}.", parts.next().unwrap(), parts.next().unwrap())
    };
    let other_payload = {
        let parts: Vec<_> = text.split('.').collect();
        let payload = base64url::encode(signable(1, &json!([jti("b")])).to_string());
        format!("{}.{payload}.{}", parts[0], parts[2])
    };
    for (name, answer, words) in [
        ("good", of(&good), ""),
        ("a line end", Answer::of(format!("{text}\n")), ""),
        ("the type in other words", token("typ", "application/Revocation-Feed+JWT".into()), ""),
        ("an end to come", of(&with(good.clone(), "exp", 1_800_000_001.into())), ""),
        (
            "by a key of the same name",
            Answer::of(jws(&same_name, &header(), &good)),
            "does not verify",
        ),
        ("another payload", Answer::of(other_payload), "does not verify"),
        ("no signature", Answer::of(unsigned), "signature is empty"),
        ("alg none", token("alg", "none".into()), "`alg`"),
        ("an algorithm of another key", token("alg", "RS256".into()), "key"),
        ("an unsigned document", Answer::of(good.to_string()), "not signed"),
        ("an unsigned document, with space before", Answer::of(format!(" {good}")), "not signed"),
        ("nothing", Answer::of(""), "header"),
        ("text", Answer::of("hello"), "header"),
        ("an access token", token("typ", "at+jwt".into()), "`typ`"),
        ("a token without a type", token("typ", Value::Null), "`typ`"),
        ("a security event", token("typ", "secevent+jwt".into()), "`typ`"),
        ("crit", token("crit", json!(["exp"])), "crit"),
        ("another issuer", of(&with(good.clone(), "iss", ISSUER.into())), "`iss`"),
        ("no issuer", of(&with(good.clone(), "iss", Value::Null)), "`iss`"),
        ("no time", of(&with(good.clone(), "iat", Value::Null)), "`iat`"),
        ("a time as text", of(&with(good.clone(), "iat", "1800000000".into())), "`iat`"),
        ("a time to come", of(&with(good.clone(), "iat", 1_800_000_301.into())), "future"),
        ("a time that nearly came", of(&with(good.clone(), "iat", 1_800_000_300.into())), ""),
        ("an end that came", of(&with(good.clone(), "exp", 1_800_000_000.into())), "expired"),
        ("a part missing", of(&with(good.clone(), "count", 2.into())), "a part is missing"),
    ] {
        let world = world(&key, answer).await;
        assert!(world.error().contains(words), "{name}: {}", world.error());
        if words.is_empty() {
            assert_eq!(world.failures(), 0, "{name}: {}", world.error());
            assert!(world.is_revoked("a").await, "{name}");
        } else {
            let refused = world.refused(world.token("b")).await;
            assert_eq!(refused, Some(RejectionKind::RevocationUnavailable), "{name}");
        }
    }
}

/// Attack 42: who can store and not sign cannot take anything back with a document of before.
#[tokio::test]
async fn an_older_signed_document_is_no_newer_one() {
    let key = TestKey::generate(Algorithm::Es256, "k");
    let signed =
        |sequence, records: &Value| Answer::of(jws(&key, &header(), &signable(sequence, records)));
    let world = world(&key, signed(2, &json!([jti("a")]))).await;
    assert!(world.is_revoked("a").await);
    world.publisher.answer(URL, signed(1, &json!([])));
    world.round(EVERY).await;
    assert!(world.error().contains("went back"), "{}", world.error());
    assert!(world.is_revoked("a").await);
    world.publisher.answer(URL, signed(3, &json!([jti("b")])));
    world.round(Duration::from_secs(1)).await;
    assert!(world.is_revoked("a").await && world.is_revoked("b").await);
}

/// Decision 13: keys that are not there are an outage; a key that is not theirs is somebody else. A new key
/// of the issuer is fetched.
#[tokio::test]
async fn the_keys_are_those_that_the_issuer_has_now() {
    let first = TestKey::generate(Algorithm::Es256, "first");
    let second = TestKey::generate(Algorithm::Es256, "second");
    let signed = |key: &TestKey, sequence, records: &Value| {
        Answer::of(jws(key, &header(), &signable(sequence, records)))
    };
    let publisher = Publisher::default();
    publisher.answer(URL, signed(&first, 1, &json!([jti("a")])));
    publisher.answer(KEYS, Answer::status(500));
    let feed = JsonFeed::signed(URL, Issuer::jwks(SIGNER, KEYS));
    let world = World::of(publisher, ManualClock::new(), feed, None, &[ISSUER]).await;
    assert!(world.error().contains("no keys of the issuer"), "{}", world.error());
    world.publisher.document(KEYS, &key_set(&[&first]));
    world.round(Duration::from_secs(1)).await;
    assert!(world.is_revoked("a").await, "{}", world.error());
    // It signs with another key, that it has not published yet.
    world.publisher.answer(URL, signed(&second, 2, &json!([jti("b")])));
    world.round(EVERY).await;
    assert!(world.error().contains("key"), "{}", world.error());
    assert!(!world.is_revoked("b").await);
    world.publisher.document(KEYS, &key_set(&[&second]));
    world.clock.advance(Duration::from_secs(10));
    world.round(Duration::from_mins(1)).await;
    assert!(world.is_revoked("b").await, "{}", world.error());
    // And no more with the one that it has withdrawn.
    world.publisher.answer(URL, signed(&first, 3, &json!([jti("c")])));
    world.round(EVERY).await;
    assert!(!world.is_revoked("c").await);
    let shared = Arc::new(world);
    assert_eq!(shared.failures(), 3);
}

/// While there is a server the keys of a signer are fetched after nine minutes each, before their ten are
/// over. When it is gone nothing goes on in the background: neither the feed nor that.
#[tokio::test]
async fn the_keys_of_a_signer_are_refreshed_while_there_is_a_server() {
    let key = TestKey::generate(Algorithm::Es256, "k");
    let publisher = Publisher::default();
    publisher.answer(URL, Answer::of(jws(&key, &header(), &signable(1, &json!([jti("a")])))));
    publisher.document(KEYS, &key_set(&[&key]));
    let feed = JsonFeed::signed(URL, Issuer::jwks(SIGNER, KEYS));
    let world = World::of(publisher, ManualClock::new(), feed, None, &[ISSUER]).await;
    assert!(world.is_revoked("a").await, "{}", world.error());
    let fetched = || world.publisher.urls().iter().any(|url| url == KEYS);
    // Housekeeping, the feed, and the keys.
    let all_wait = async || {
        support::settle().await;
        support::until("all three wait", || world.clock.sleepers() == 3).await;
    };
    assert!(fetched(), "the first document wants them");
    for _ in 0..2 {
        all_wait().await;
        world.round(Duration::from_mins(9) - NANOSECOND).await;
        all_wait().await;
        assert!(!fetched(), "a nanosecond early");
        world.clock.advance(NANOSECOND);
        support::until("the keys are fetched", fetched).await;
    }
    all_wait().await;
    let World { clock, publisher, api, .. } = world;
    publisher.asked();
    drop(api);
    support::until("nobody waits", || clock.sleepers() == 0).await;
    clock.advance(Duration::from_hours(1));
    support::settle().await;
    assert_eq!(publisher.urls().len(), 0);
}
