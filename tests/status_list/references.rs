//! What tokens say of their status.

use portcullis::revocation::StatusLists;
use portcullis::testing::TestIssuer;
use portcullis::{RejectionKind as Kind, assert_challenge};
use serde_json::{Value, json};

use crate::support::{RESOURCE, bearer, send};
use crate::world::{HOUR, LIST, Parts, World};

/// TSL-01: an index that is a whole number, and a URI; anything else is a malformed token, and nothing
/// is fetched for it.
#[tokio::test]
async fn tsl_01_a_malformed_reference_is_a_malformed_token() {
    let world = World::new().await;
    let token = |status: Value| world.token(0).claim("status", status);
    for status in [
        json!(null),
        json!("valid"),
        json!([]),
        json!({}),
        json!({ "status_list": null }),
        json!({ "status_list": {} }),
        json!({ "status_list": [{ "idx": 0, "uri": LIST }] }),
        json!({ "status_list": { "idx": -1, "uri": LIST } }),
        json!({ "status_list": { "idx": 1.5, "uri": LIST } }),
        json!({ "status_list": { "idx": "0", "uri": LIST } }),
        json!({ "status_list": { "idx": 9_007_199_254_740_993_u64, "uri": LIST } }),
        json!({ "status_list": { "uri": LIST } }),
        json!({ "status_list": { "idx": 0 } }),
        json!({ "status_list": { "idx": 0, "uri": 7 } }),
        json!({ "status_list": { "idx": 0, "uri": "" } }),
        json!({ "status_list": { "idx": 0, "uri": "/lists/1" } }),
        json!({ "status_list": { "idx": 0, "uri": "lists/1" } }),
    ] {
        let sent = world.send(&token(status.clone())).await;
        assert_eq!(sent.kind(), Some(Kind::MalformedClaim), "{status}");
        assert_challenge!(sent.response, 401, "Bearer", error = "invalid_token");
    }
    assert_eq!(world.list.fetches(), 0);
    let good = json!({ "status_list": { "idx": 0, "uri": LIST } });
    assert_eq!(world.kind_of(&token(good)).await, None);
    assert_eq!(world.list.fetches(), 1);
}

/// TSL-30: without a list a token passes, and one whose `status` nothing here understands, unless lists
/// are required.
#[tokio::test]
async fn tsl_30_lists_are_required_where_that_is_said() {
    let other = json!({ "foo": {} });
    let world = World::new().await;
    assert_eq!(world.kind_of(&world.token(0).without("status")).await, None);
    assert_eq!(world.kind_of(&world.token(0).claim("status", &other)).await, None);

    let world = World::with(StatusLists::new().require()).await;
    for token in [world.token(0).without("status"), world.token(0).claim("status", &other)] {
        let sent = world.send(&token).await;
        assert_eq!(sent.kind(), Some(Kind::StatusMissing));
        assert_challenge!(sent.response, 401, "Bearer", error = "invalid_token");
    }
    assert_eq!(world.kind(0).await, None);
}

/// The lists of other issuers than those that were named are nobody's business: neither required, nor
/// read, nor fetched.
#[tokio::test]
async fn only_lists_of_named_issuers_are_looked_at() {
    let mut parts = Parts::new();
    let other = TestIssuer::new("https://other.example", &parts.clock);
    parts.others.push(other.clone());
    parts.lists = StatusLists::new().issuers([parts.issuer.id()]).require();
    let world = parts.build().await;
    let layer = world.api.layer();
    let token = other.token(RESOURCE);
    for token in [
        token.clone(),
        token.clone().claim("status", "active"),
        token.clone().claim("status", world.list.reference(0)),
    ] {
        assert_eq!(send(&layer, bearer(&token.sign())).await.kind(), None);
    }
    assert_eq!(world.list.fetches(), 0);
    assert_eq!(world.kind_of(&world.token(0).without("status")).await, Some(Kind::StatusMissing));
    world.list.set(0, 1);
    assert_eq!(world.kind(0).await, Some(Kind::Revoked));
}

/// TSL-31: nothing is fetched from a place that is neither the issuer's own nor allowed beside it, and
/// the token is refused.
#[tokio::test]
async fn tsl_31_lists_are_at_allowed_origins() {
    let mut parts = Parts::new();
    let elsewhere = parts.list_at("https://lists.example:8443/1");
    parts.lists = StatusLists::new().allow_uris_at("https://lists.example:8443");
    let world = parts.build().await;
    let before = world.network.fetches();
    for uri in [
        "http://127.0.0.1/lists/1",
        "http://as.example/lists/1",
        "https://127.0.0.1/lists/1",
        "https://169.254.169.254/latest/meta-data",
        "https://lists.example/1",
        "https://as.example.evil.example/lists/1",
        "https://as.example@evil.example/lists/1",
        "https://user@as.example/lists/1",
        "https://as.example:8443/lists/1",
        "https://as.example./lists/1",
        "https://as.example/lists/1#fragment",
        "file:///etc/passwd",
        "urn:uuid:f81d4fae-7dec-11d0-a765-00a0c91e6bf6",
        "https:lists/1",
    ] {
        let status = json!({ "status_list": { "idx": 0, "uri": uri } });
        let sent = world.send(&world.token(0).claim("status", status)).await;
        assert_eq!(sent.kind(), Some(Kind::StatusUri), "{uri}");
        assert_challenge!(sent.response, 401, "Bearer", error = "invalid_token");
    }
    assert_eq!(world.network.fetches(), before, "nothing was fetched");
    assert!(world.api.revocations().status_lists().is_empty(), "nothing is remembered");
    assert_eq!(world.kind_of(&world.token_at(&elsewhere, 0)).await, None);
    assert_eq!(world.kind(0).await, None);
}

/// TSL-02, TSL-03: a token that is no good by itself causes no fetch, whatever its status.
#[tokio::test]
async fn tsl_02_no_list_is_fetched_for_a_token_that_is_no_good() {
    let world = World::new().await;
    let (now, token) = (world.now(), world.token(0));
    let expired = token.clone().issued_at(now.minus(HOUR)).expires_at(now.minus(HOUR / 2));
    for (kind, token) in [
        (Kind::Expired, expired.sign()),
        (Kind::BadSignature, token.tampered()),
        (Kind::WrongAudience, token.clone().claim("aud", "https://other.example").sign()),
        (Kind::UnknownKey, token.clone().header("kid", "other").sign()),
        (Kind::MissingClaim, token.clone().without("sub").sign()),
        (Kind::NotYetValid, token.clone().claim("nbf", now.plus(HOUR).as_secs()).sign()),
        (Kind::SenderNotProven, token.clone().claim("cnf", json!({ "jkt": "x" })).sign()),
    ] {
        let sent = send(&world.api.layer(), bearer(&token)).await;
        assert_eq!(sent.kind(), Some(kind));
    }
    assert_eq!(world.list.fetches(), 0);
    assert!(world.api.revocations().status_lists().is_empty());

    assert_eq!(world.kind(0).await, None);
    assert_eq!(world.list.fetches(), 1);
    // A valid status makes no token live longer.
    assert_eq!(world.kind_of(&expired).await, Some(Kind::Expired));
}
