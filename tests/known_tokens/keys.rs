//! Keys: a known token counts as long as its issuer has its key for it.

use portcullis::RejectionKind as Kind;
use portcullis::issuer::KeyRefresh;
use portcullis::jose::Algorithm;
use portcullis::revocation::{Record, Revocation};
use portcullis::testing::{Failure, ManualClock, TestIssuer, TestKey, TestNetwork, TokenBuilder};
use serde_json::{Value, json};

use crate::pair::{MINUTE, Pair, SECOND};
use crate::support::ISSUER;

/// Two servers that fetch the keys every five minutes, and keep them for thirty when they cannot.
async fn pair() -> Pair {
    let clock = ManualClock::new();
    let issuer = TestIssuer::new(ISSUER, &clock);
    let pair = Pair::of(clock, issuer, |builder, issuer| {
        let refresh = KeyRefresh::new()
            .fresh_at_least(MINUTE)
            .fresh_at_most(5 * MINUTE)
            .keep_through_outage(30 * MINUTE);
        builder
            .issuer(issuer.jwks().key_refresh(refresh))
            .revocation(Revocation::new())
            .transport(TestNetwork::of(&[issuer]))
    });
    pair.warm_up().await;
    pair
}

/// A token that outlives everything here.
fn living(pair: &Pair) -> TokenBuilder {
    pair.token().expires_at(pair.now().plus(55 * MINUTE))
}

/// Time passes, and both servers fetch the keys again.
async fn refetched(pair: &Pair) {
    let before = pair.issuer.fetches();
    for _ in 0..30 {
        pair.advance(10 * SECOND).await;
    }
    assert!(pair.issuer.fetches() >= before + 2, "{} and {before}", pair.issuer.fetches());
}

/// The published key of this id.
fn published(issuer: &TestIssuer, kid: &str) -> Value {
    let set = issuer.jwk_set();
    let keys = set["keys"].as_array().unwrap();
    keys.iter().find(|jwk| jwk["kid"] == kid).unwrap().clone()
}

/// DISC-11, attack 27 (fast-jwt#5, Envoy jwt_cache: a cache that survives the removal of a key): a token whose key
/// is withdrawn is refused as soon as the servers know that, and one of a key that stays is not.
#[tokio::test]
async fn a_withdrawn_key_takes_its_tokens_with_it() {
    let pair = pair().await;
    let old = living(&pair).sign();
    pair.knows(&old).await;
    pair.issuer.rotate();
    let new = living(&pair).sign();
    // Both keys are published: the unknown one is fetched, and changes nothing for the other.
    pair.knows(&new).await;
    assert_eq!(pair.kind(&old).await, None);
    refetched(&pair).await;
    assert_eq!((pair.kind(&old).await, pair.kind(&new).await), (None, None));
    assert_eq!(pair.known(), 2);

    pair.issuer.withdraw("k1");
    refetched(&pair).await;
    assert_eq!(pair.kind(&old).await, Some(Kind::UnknownKey));
    assert_eq!(pair.kind(&new).await, None);
}

/// Attack 27: the octets of a key are not its name. Put back under another `kid` it verifies no token
/// that names the first; put back under its own it does.
#[tokio::test]
async fn a_key_under_another_name_is_another_key() {
    let pair = pair().await;
    let token = living(&pair).sign();
    let jwk = published(&pair.issuer, "k1");
    pair.knows(&token).await;

    let mut renamed = jwk.clone();
    renamed["kid"] = json!("k1-renamed");
    pair.issuer.withdraw("k1");
    pair.issuer.publish(renamed);
    refetched(&pair).await;
    assert_eq!(pair.kind(&token).await, Some(Kind::UnknownKey));

    pair.issuer.publish(jwk);
    refetched(&pair).await;
    assert_eq!(pair.kind(&token).await, None);
}

/// Another key under the same name is another key.
#[tokio::test]
async fn another_key_under_the_same_name_is_another_key() {
    let pair = pair().await;
    let token = living(&pair).sign();
    let jwk = published(&pair.issuer, "k1");
    pair.knows(&token).await;
    pair.issuer.withdraw("k1");
    pair.issuer.add_key(TestKey::generate(Algorithm::Es256, "k1"));
    let of_the_other = living(&pair).sign();
    refetched(&pair).await;
    assert_eq!(pair.kind(&token).await, Some(Kind::BadSignature));
    assert_eq!(pair.kind(&of_the_other).await, None);
    // Both, under one name: nobody knows which is meant.
    pair.issuer.publish(jwk);
    refetched(&pair).await;
    assert_eq!(pair.kind(&token).await, Some(Kind::AmbiguousKey));
    assert_eq!(pair.kind(&of_the_other).await, Some(Kind::AmbiguousKey));
}

/// A key for another use, or of another algorithm, is not the key of the token any more.
#[tokio::test]
async fn a_key_that_is_published_otherwise_is_asked_for_anew() {
    for (name, member, value, expected) in [
        ("as it was", "use", json!("sig"), None),
        ("for encryption", "use", json!("enc"), Some(Kind::UnknownKey)),
        ("to verify nothing", "key_ops", json!(["deriveKey"]), Some(Kind::UnknownKey)),
        ("of another algorithm", "alg", json!("ES384"), Some(Kind::UnknownKey)),
    ] {
        let pair = pair().await;
        let token = living(&pair).sign();
        pair.knows(&token).await;
        let mut jwk = published(&pair.issuer, "k1");
        jwk[member] = value;
        pair.issuer.rotate();
        pair.issuer.withdraw("k1");
        pair.issuer.publish(jwk);
        refetched(&pair).await;
        assert_eq!(pair.kind(&token).await, expected, "{name}");
    }
}

/// A token that names no key is of the key that the issuer has, by the name that it has now. A
/// record about that name is about the token.
#[tokio::test]
async fn a_record_about_a_key_finds_it_by_the_name_that_it_has() {
    let pair = pair().await;
    let token = living(&pair).without_header("kid").sign();
    let mut renamed = published(&pair.issuer, "k1");
    renamed["kid"] = json!("k1-renamed");
    pair.knows(&token).await;
    pair.issuer.withdraw("k1");
    pair.issuer.publish(renamed);
    refetched(&pair).await;
    assert_eq!(pair.kind(&token).await, None);
    pair.revoke(Record::key(ISSUER, "k1-renamed", pair.now())).await;
    assert_eq!(pair.kind(&token).await, Some(Kind::Revoked));
}

/// AUTH-32, decision 13: keys that are too old to be used are nobody's, also of a token that is known:
/// 503, never a yes; and yes again when the issuer answers.
#[tokio::test]
async fn keys_that_are_too_old_verify_nothing_that_is_known() {
    let pair = pair().await;
    let token = living(&pair).sign();
    pair.knows(&token).await;
    pair.issuer.fail(Failure::Connection);
    for _ in 0..28 {
        pair.advance(MINUTE).await;
        assert_eq!(pair.kind(&token).await, None, "an outage");
    }
    pair.advance(3 * MINUTE).await;
    assert_eq!(pair.kind(&token).await, Some(Kind::KeysUnavailable));
    pair.issuer.recover();
    pair.advance(10 * MINUTE).await;
    assert_eq!(pair.kind(&token).await, None);
    assert_eq!(pair.known(), 1);
}

/// A machine that slept: the keys are older than they should be, and nobody has asked. The issuer is asked
/// before a known token passes.
#[tokio::test]
async fn keys_of_before_a_sleep_are_asked_for_first() {
    let pair = pair().await;
    let token = living(&pair).sign();
    pair.knows(&token).await;
    pair.issuer.rotate();
    pair.issuer.withdraw("k1");
    // Nothing goes on meanwhile.
    pair.clock.advance(20 * MINUTE);
    assert_eq!(pair.kind(&token).await, Some(Kind::UnknownKey));
}
