//! Signed answers of the authorization server (RFC 9701).

use portcullis::Issuer;
use portcullis::introspection::{AnswerGap, ClientAuth, Introspection};
use portcullis::jose::Algorithm;

use crate::cases::Cases;
use crate::introspection::{Api, INACTIVE, UNAVAILABLE, World, text};
use crate::provider::discover;

fn api(issuer: Issuer, introspection: Introspection) -> Api {
    Api::new(issuer, |builder| builder.introspection(introspection))
}

/// INT-15 to INT-17, INT-20 to INT-23: an answer counts if the issuer signed it for this server, and no other does.
#[tokio::test]
#[ignore = "needs tests/interop/setup"]
async fn signed_answers_of_a_real_authorization_server_count_and_no_others() {
    let mut cases = Cases::of("oidc-provider");
    let world = World::new().await;
    let provider = &world.provider;
    let (issuer_a, issuer_b) = (provider.issuer_a.as_str(), provider.issuer_b.as_str());
    let token = world.token().await;
    let (of_alice, refresh) = world.user_tokens().await;
    let basic = world.basic("basic").await;
    let ask = || world.asked_by(basic.clone()).signed_answers();
    let mut outages = Vec::new();
    let mut is_outage = async |name: &'static str, api: &Api, token: &str, what: &str| {
        outages.push((name, api.told(token).await));
        let why = api.why(token).await;
        println!("{why}");
        assert!(why.contains(what), "{why}");
    };

    let signed = api(discover(issuer_a), ask());
    cases.case("a signed answer", signed.told(&token).await, "200 notes-worker");
    cases.case("about a person's token", signed.told(&of_alice).await, "200 alice");
    let other_kind = "401 other_token_kind, Bearer invalid_token";
    cases.case("about a refresh token", signed.told(&refresh).await, other_kind);
    cases.case("\"no\" is signed too", signed.told("nobody").await, INACTIVE);
    let other = provider.token("resource=https://other.example&format=opaque").await;
    let wrong_audience = "401 wrong_audience, Bearer invalid_token";
    cases.case("about a token for another", signed.told(&other).await, wrong_audience);

    // The client id is the audience, and nothing else is.
    let client = world.client("basic").await;
    let named = api(discover(issuer_a), ask().signed_for(text(&client["client_id"])));
    cases.case("for this server, by name", named.told(&token).await, "200 notes-worker");
    let elsewhere = api(discover(issuer_a), ask().signed_for("https://notes.example"));
    is_outage("for another server", &elsewhere, &token, "`aud` does not name this server").await;

    // The keys of the other issuer have the same kids.
    let keys = provider.metadata(issuer_b).await;
    let keys = Issuer::jwks(issuer_a, text(&keys["jwks_uri"]));
    let others = api(keys.dangerous().insecure_loopback_http(), ask());
    is_outage("signed by another issuer", &others, &token, "signature").await;
    is_outage("\"no\", signed by another issuer", &others, "nobody", "signature").await;

    // An answer in plain JSON is no signed one: the other issuer has no others.
    let client = provider.ask("GET", "/client?issuer=b&client=basic").await;
    let secret = world.secret("of-b", text(&client["client_secret"]));
    let metadata = provider.metadata(issuer_b).await;
    let plain = Introspection::at(issuer_b, text(&metadata["introspection_endpoint"]))
        .client(ClientAuth::basic(text(&client["client_id"]), secret))
        .may_lack(AnswerGap::Subject)
        .dangerous()
        .insecure_loopback_http();
    let of_b = provider.token("issuer=b&format=opaque&scope=notes:read").await;
    let unsigned = api(discover(issuer_b), plain.clone());
    cases.case("unsigned, where that is enough", unsigned.told(&of_b).await, "200 notes-worker");
    let unsigned = api(discover(issuer_b), plain.signed_answers());
    let wanted = "wanted is application/token-introspection+jwt";
    is_outage("unsigned, where that is not enough", &unsigned, &of_b, wanted).await;

    // The algorithms are those of the issuer.
    let strict = discover(issuer_a).algorithms([Algorithm::Es256]);
    let strict = api(strict, ask());
    let not_allowed = "RS256 is no algorithm of the issuer";
    is_outage("with an algorithm that is not allowed", &strict, &token, not_allowed).await;

    // With another key of the issuer, with the secret of the client, encrypted to it.
    let with_client = async |name: &str| {
        let introspection = world.asked_by(world.basic(name).await).signed_answers();
        api(discover(issuer_a), introspection)
    };
    let es256 = with_client("es256").await.told(&token).await;
    cases.case("signed with another key of the issuer", es256, "200 notes-worker");
    is_outage("with a MAC", &with_client("hs256").await, &token, "alg").await;
    is_outage("encrypted", &with_client("encrypted").await, &token, "encrypted").await;
    // This endpoint refuses to answer such a client in plain JSON.
    let encrypted = world.asked_by(world.basic("encrypted").await);
    is_outage("refused in plain JSON", &world.api(encrypted), &token, "status 400").await;
    for (name, told) in outages {
        cases.case(name, told, UNAVAILABLE);
    }

    provider.revoke("worker", &token).await;
    cases.case("given back", signed.told(&token).await, INACTIVE);

    // Answers are signed with a new key: it is fetched.
    let token = world.token().await;
    provider.ask("POST", "/rotate").await;
    cases.case("signed with a new key", signed.told(&token).await, "200 notes-worker");
    assert_eq!(signed.health().failed, 0, "{:?}", signed.health());
    world.stop().await;
}
