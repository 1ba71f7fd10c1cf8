use std::collections::HashSet;
use std::time::Duration;

use http::Response;
use portcullis::check::allow_all;
use portcullis::secret::Secret;
use portcullis::sender::Nonces;
use portcullis::testing::challenges;
use portcullis::time::Clock as _;
use portcullis::{Dpop, Policy, RejectionKind as Kind, assert_challenge};

use super::support::{bearer, builder, send};
use super::{World, dpop};

fn with(nonces: Nonces) -> World {
    World::with(|builder| builder.dpop(Dpop::new().nonces(nonces)))
}

/// The one nonce of a response.
fn nonce_of<B>(response: &Response<B>) -> Option<String> {
    let mut fields = response.headers().get_all("dpop-nonce").iter();
    let nonce = fields.next()?.to_str().unwrap().to_owned();
    assert!(fields.next().is_none(), "more than one nonce");
    Some(nonce)
}

/// DPOP-C10, DPOP-29, DPOP-30, DPOP-31: a proof without a nonce is told to use one, and passes with it.
#[tokio::test]
async fn a_client_gets_a_nonce_and_comes_back_with_it() {
    let world = with(Nonces::required());
    let layer = world.api.layer();
    let token = world.bound().sign();
    let first = send(&layer, dpop(&token, [world.proof(&token).sign()])).await;
    assert_eq!(first.kind(), Some(Kind::NonceMissing));
    assert_eq!(first.response.status(), 401);
    assert_challenge!(first.response, 401, "DPoP", error = "use_dpop_nonce");
    let all = challenges(first.response.headers());
    assert_eq!((all[0].scheme.as_str(), all[0].param("error")), ("DPoP", Some("use_dpop_nonce")));
    assert_eq!(first.response.headers()["cache-control"], "no-store");
    let nonce = nonce_of(&first.response).unwrap();

    let second = send(&layer, dpop(&token, [world.proof(&token).nonce(&nonce).sign()])).await;
    assert!(second.passed());
    // It is fresh: there is nothing to say.
    assert_eq!(nonce_of(&second.response), None);
    // DPOP-19: the nonce may be used again, with another proof.
    let third = send(&layer, dpop(&token, [world.proof(&token).nonce(&nonce).sign()])).await;
    assert!(third.passed());
    // Who presents no proof needs none.
    let bearer = send(&layer, bearer(&world.unbound().sign())).await;
    assert!(bearer.passed());
    assert_eq!(nonce_of(&bearer.response), None);
}

/// DPOP-C10: where nonces are optional an absent one passes, and a wrong one does not; the answer
/// brings one.
#[tokio::test]
async fn an_optional_nonce_may_be_absent_and_not_wrong() {
    let world = with(Nonces::optional());
    let layer = world.api.layer();
    let token = world.bound().sign();
    let without = send(&layer, dpop(&token, [world.proof(&token).sign()])).await;
    assert!(without.passed());
    let nonce = nonce_of(&without.response).unwrap();
    assert_eq!(without.response.headers()["cache-control"], "no-store");
    for (wrong, kind) in [
        ("x", Kind::NonceNotAccepted),
        (&nonce[1..], Kind::NonceNotAccepted),
        // No claim is an empty text.
        ("", Kind::ProofMalformed),
    ] {
        let refused = send(&layer, dpop(&token, [world.proof(&token).nonce(wrong).sign()])).await;
        assert_eq!(refused.kind(), Some(kind), "{wrong:?}");
    }
    let good = send(&layer, dpop(&token, [world.proof(&token).nonce(&nonce).sign()])).await;
    assert!(good.passed());
}

/// DPOP-32, DPOP-34: an ageing nonce is accepted and replaced before it ends; after that it is not.
#[tokio::test]
async fn a_fresh_nonce_comes_before_the_old_one_ends() {
    let world = with(Nonces::required().lifetime(Duration::from_mins(4)));
    let layer = world.api.layer();
    let token = world.bound().sign();
    let first = send(&layer, dpop(&token, [world.proof(&token).sign()])).await;
    let nonce = nonce_of(&first.response).unwrap();
    let again = async || {
        let proof = world.proof(&token).nonce(&nonce).sign();
        send(&layer, dpop(&token, [proof])).await
    };
    world.clock.advance(Duration::from_mins(1));
    let young = again().await;
    assert!(young.passed());
    assert_eq!(nonce_of(&young.response), None);
    world.clock.advance(Duration::from_mins(2));
    let ageing = again().await;
    assert!(ageing.passed());
    let next = nonce_of(&ageing.response).unwrap();
    assert_ne!(next, nonce);
    assert_eq!(ageing.response.headers()["cache-control"], "no-store");
    world.clock.advance(Duration::from_secs(59));
    assert!(again().await.passed());
    world.clock.advance(Duration::from_secs(1));
    let ended = again().await;
    assert_eq!(ended.kind(), Some(Kind::NonceNotAccepted));
    assert!(nonce_of(&ended.response).is_some());
    let proof = world.proof(&token).nonce(&next).sign();
    assert!(send(&layer, dpop(&token, [proof])).await.passed());
}

/// DPOP-C11: with a good nonce the server's own time counts, and without one the client's.
#[tokio::test]
async fn a_good_nonce_stands_in_for_a_wrong_clock() {
    let world = with(Nonces::optional());
    let layer = world.api.layer();
    let token = world.bound().sign();
    let first = send(&layer, dpop(&token, [world.proof(&token).sign()])).await;
    let nonce = nonce_of(&first.response).unwrap();
    let wrong = world.clock.now().minus(Duration::from_hours(48));
    let stale = || world.proof(&token).issued_at(wrong);
    let without = send(&layer, dpop(&token, [stale().sign()])).await;
    assert_eq!(without.kind(), Some(Kind::ProofNotFresh));
    assert!(send(&layer, dpop(&token, [stale().nonce(&nonce).sign()])).await.passed());
    // DPOP-19: it is remembered for as long as the nonce lives.
    let proof = stale().nonce(&nonce).sign();
    assert!(send(&layer, dpop(&token, [&proof])).await.passed());
    world.clock.advance(Duration::from_secs(290));
    assert_eq!(send(&layer, dpop(&token, [&proof])).await.kind(), Some(Kind::ProofReplayed));
}

/// DPOP-33: another server's nonce is not ours, unless the servers share their keys and are one.
#[tokio::test]
async fn a_nonce_of_another_server_is_refused() {
    let world = with(Nonces::required());
    let token = world.bound().sign();
    let server = |nonces: Nonces| {
        let server = builder(&world.clock).issuer(world.issuer.fixed_keys());
        server.dpop(Dpop::new().nonces(nonces)).build().unwrap()
    };
    let shared = || Nonces::required().keys([Secret::new("0123456789abcdef0123456789abcdef")]);
    let (one, two, other) = (server(shared()), server(shared()), server(Nonces::required()));
    let first = send(&one.layer(), dpop(&token, [world.proof(&token).sign()])).await;
    let nonce = nonce_of(&first.response).unwrap();
    let with_it = || dpop(&token, [world.proof(&token).nonce(&nonce).sign()]);
    assert!(send(&two.layer(), with_it()).await.passed());
    assert_eq!(send(&other.layer(), with_it()).await.kind(), Some(Kind::NonceNotAccepted));
}

/// A route can want a nonce where the server takes one; without nonces that is a fault.
#[tokio::test]
async fn a_route_can_require_what_the_server_takes() {
    let world = with(Nonces::optional());
    let strict = world.api.protect(Policy::new(allow_all()).require_nonce());
    let token = world.bound().sign();
    let request = || dpop(&token, [world.proof(&token).sign()]);
    assert!(send(&world.api.layer(), request()).await.passed());
    let refused = send(&strict, request()).await;
    assert_eq!(refused.kind(), Some(Kind::NonceMissing));
    let nonce = nonce_of(&refused.response).unwrap();
    let proof = world.proof(&token).nonce(&nonce).sign();
    assert!(send(&strict, dpop(&token, [proof])).await.passed());

    let none = World::new();
    let error = none.api.guard(Policy::new(allow_all()).require_nonce()).unwrap_err();
    assert!(error.to_string().contains("the server makes none"), "{error}");
}

/// AUTH-30: scripts of other origins can read the nonce where the policy lets them.
#[tokio::test]
async fn a_nonce_can_be_read_by_scripts_of_other_origins() {
    let world = with(Nonces::optional());
    let token = world.bound().sign();
    let open = world.api.protect(Policy::new(allow_all()).expose_challenge());
    let exposed = |response: &Response<String>| -> HashSet<String> {
        let fields = response.headers().get_all("access-control-expose-headers");
        let names = fields.iter().flat_map(|field| field.to_str().unwrap().split(", "));
        names.map(str::to_owned).collect()
    };
    let passed = send(&open, dpop(&token, [world.proof(&token).sign()])).await;
    assert!(exposed(&passed.response).contains("DPoP-Nonce"));
    let refused = send(&open, dpop(&token, [world.proof(&token).nonce("x").sign()])).await;
    let wanted = ["WWW-Authenticate", "Retry-After", "DPoP-Nonce"].map(str::to_owned);
    assert_eq!(exposed(&refused.response), HashSet::from(wanted));
    let closed = send(&world.api.layer(), dpop(&token, [world.proof(&token).sign()])).await;
    assert!(exposed(&closed.response).is_empty());
}
