//! Opaque tokens, about which the authorization server is asked (RFC 7662).

use std::fs;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::header::AUTHORIZATION;
use http::{HeaderMap, HeaderName, HeaderValue};
use portcullis::introspection::{AnswerGap, ClientAuth, Introspection};
use portcullis::jose::Algorithm;
use portcullis::secret::Secret;
use portcullis::sender::PublicOrigin;
use portcullis::testing::ClientKey;
use portcullis::time::SystemClock;
use portcullis::transport::ReqwestTransport;
use portcullis::{Dpop, Issuer};
use serde_json::{Value, json};

use crate::RESOURCE;
use crate::cases::Cases;
use crate::certificates::Certificates;
use crate::introspection::{Api, INACTIVE, UNAVAILABLE, World, text};
use crate::provider::{Provider, discover};

const REFRESH_TOKEN: &str = "401 other_token_kind, Bearer invalid_token";
const MISSING: &str = "401 missing_claim, Bearer invalid_token";

/// The members of an answer, in the order of the alphabet.
fn members(answer: &Value) -> Vec<&str> {
    let mut names: Vec<_> = answer.as_object().unwrap().keys().map(String::as_str).collect();
    names.sort_unstable();
    names
}

/// INT-01, INT-04, INT-05, INT-08, AUTH-31: a token passes as long as its issuer says that it is active, and no longer; what else
/// the answer says is decided here.
#[tokio::test]
#[ignore = "needs tests/interop/setup"]
async fn opaque_tokens_of_a_real_authorization_server_are_decided() {
    let mut cases = Cases::of("oidc-provider");
    let world = World::new().await;
    let provider = &world.provider;
    let api = world.api(world.asked_by(world.basic("basic").await));

    let token = world.token().await;
    cases.case("of a client", api.told(&token).await, "200 notes-worker");
    let (of_alice, refresh) = world.user_tokens().await;
    cases.case("of a person", api.told(&of_alice).await, "200 alice");

    let calls = api.health().calls;
    let other = "resource=https://other.example&format=opaque";
    for (name, token, expected) in [
        (
            "another scope",
            provider.token("format=opaque&scope=notes:write").await,
            "403 insufficient_scope, Bearer insufficient_scope",
        ),
        (
            "for another resource",
            provider.token(other).await,
            "401 wrong_audience, Bearer invalid_token",
        ),
        ("for no resource", provider.token("resource=&scope=").await, MISSING),
        ("of another issuer", provider.token("issuer=b&format=opaque").await, INACTIVE),
        ("of nobody", "mF_9_B5f-4_1JqM".to_owned(), INACTIVE),
        // The issuer says that it is active.
        ("a refresh token", refresh.clone(), REFRESH_TOKEN),
    ] {
        cases.case(name, api.told(&token).await, expected);
    }
    assert_eq!(api.health().calls, calls + 6, "each was asked about");

    // A JWT is read here, where nothing can read it.
    let jwt = provider.token("scope=notes:read").await;
    let unknown_key = "401 unknown_key, Bearer invalid_token";
    cases.case("a JWT, nobody is asked", api.told(&jwt).await, unknown_key);
    assert_eq!(api.health().calls, calls + 6, "JWTs are not sent");

    let over = world.token().await;
    cases.case("before its end", api.told(&over).await, "200 notes-worker");
    provider.ask("POST", &format!("/expire?token={over}")).await;
    cases.case("after its end", api.told(&over).await, INACTIVE);

    // Who keeps an answer sees a revocation as late as it keeps it.
    let keeping = world.asked_by(world.basic("basic").await).ttl(Duration::from_mins(10));
    let keeping = world.api(keeping);
    cases.case("an answer that is kept", keeping.told(&token).await, "200 notes-worker");
    provider.revoke("worker", &token).await;
    cases.case("given back", api.told(&token).await, INACTIVE);
    let kept = keeping.told(&token).await;
    cases.case("given back, not asked about again", kept, "200 notes-worker");
    assert_eq!(keeping.health().calls, 1);

    // The access token goes with the refresh token of its grant (RFC 7009 §2.1).
    cases.case("still of a person", api.told(&of_alice).await, "200 alice");
    provider.revoke("app", &refresh).await;
    cases.case("its refresh token is given back", api.told(&of_alice).await, INACTIVE);
    cases.case("that refresh token", api.told(&refresh).await, INACTIVE);

    assert_eq!(api.health().failed, 0, "{:?}", api.health());
    world.stop().await;
}

/// INT-05: what answers have and lack, and that each setting that lets them pass is needed.
#[tokio::test]
#[ignore = "needs tests/interop/setup"]
async fn what_the_answers_of_a_real_authorization_server_lack_is_let_go_by_name() {
    let mut cases = Cases::of("oidc-provider");
    let world = World::new().await;
    let issuer = &world.provider.issuer_a;
    let token = world.token().await;
    let (of_alice, refresh) = world.user_tokens().await;

    let answer = world.provider.answer_about(&token).await;
    let wanted = ["active", "aud", "client_id", "exp", "iat", "iss", "scope", "token_type"];
    assert_eq!(members(&answer), wanted, "no `jti`, and no `sub` of a client's own token");
    assert_eq!(answer["active"], true);
    assert_eq!((&answer["aud"], &answer["iss"]), (&json!(RESOURCE), &json!(issuer)));
    assert_eq!((&answer["token_type"], &answer["scope"]), (&json!("Bearer"), &json!("notes:read")));

    let answer = world.provider.answer_about(&of_alice).await;
    let wanted = ["active", "aud", "client_id", "exp", "iat", "iss", "scope", "sub", "token_type"];
    assert_eq!(members(&answer), wanted, "no `jti`");

    let answer = world.provider.answer_about(&refresh).await;
    let wanted = ["active", "client_id", "exp", "iat", "iss", "scope", "sub"];
    assert_eq!(members(&answer), wanted, "an active refresh token");
    assert_eq!(answer["active"], true);
    assert_eq!(world.provider.answer_about("nobody").await, json!({ "active": false }));

    let basic = world.basic("basic").await;
    let ask = || {
        let introspection = Introspection::at(issuer, &world.endpoint).client(basic.clone());
        introspection.dangerous().insecure_loopback_http()
    };
    let opaque = || Issuer::opaque(issuer).dangerous().insecure_loopback_http();

    // As strict as RFC 9068 is about tokens.
    let strict = Api::new(opaque(), |builder| builder.introspection(ask()));
    cases.case("an answer needs no `jti`", strict.told(&of_alice).await, "200 alice");
    cases.case("it needs a `sub`", strict.told(&token).await, MISSING);
    assert!(strict.why(&token).await.contains("has no `sub`"));
    let lacking = ask().may_lack(AnswerGap::Subject);
    let lacking = Api::new(opaque(), |builder| builder.introspection(lacking));
    cases.case("unless it may lack that", lacking.told(&token).await, "200 notes-worker");

    // A refresh token shows by two members that are not there.
    let asked = || world.asked_by(basic.clone());
    for (name, introspection, expected) in [
        ("no setting", asked(), REFRESH_TOKEN),
        ("token_type", asked().may_lack(AnswerGap::TokenType), MISSING),
        ("aud", asked().dangerous().insecure_without_audience(), REFRESH_TOKEN),
        (
            "both",
            asked().may_lack(AnswerGap::TokenType).dangerous().insecure_without_audience(),
            "200 alice",
        ),
    ] {
        let told = world.api(introspection).told(&refresh).await;
        cases.case(format!("a refresh token: {name} may lack"), told, expected);
    }
    world.stop().await;
}

/// A way to authenticate, and whether the endpoint takes it.
struct Shown {
    name: String,
    auth: ClientAuth,
    passes: bool,
}

impl Shown {
    fn new(name: impl Into<String>, auth: ClientAuth, passes: bool) -> Self {
        Self { name: name.into(), auth, passes }
    }
}

/// INT-02, INT-11, INT-24: with each kind of client authentication the endpoint answers; credentials that it
/// refuses are the server's own trouble, 503, whatever token is presented.
#[tokio::test]
#[ignore = "needs tests/interop/setup"]
async fn a_real_authorization_server_knows_who_asks_and_answers_nobody_else() {
    let mut cases = Cases::of("oidc-provider");
    let world = World::new().await;
    let token = world.token().await;
    let mut all = Vec::new();

    let names = world.client("basic").await;
    let (id, secret) = (text(&names["client_id"]), text(&names["client_secret"]));
    assert!(id.contains([':', ' ', '+', '%', '&']), "no character is taken for another");
    let source = world.secret("basic", secret);
    let wrong = world.secret("wrong", &format!("{secret}x"));
    all.push(Shown::new("basic", ClientAuth::basic(id, source.clone()), true));
    all.push(Shown::new("basic, other secret", ClientAuth::basic(id, wrong.clone()), false));
    all.push(Shown::new("basic, other client", ClientAuth::basic("x", source.clone()), false));
    all.push(Shown::new("no secret at all", ClientAuth::mtls(id), false));
    all.push(Shown::new("nobody", ClientAuth::insecure_unauthenticated(), false));
    // A token of ours is no authentication there.
    let own = world.secret("own", &token);
    all.push(Shown::new("bearer", ClientAuth::bearer(own), false));

    let names = world.client("post").await;
    let (id, secret) = (text(&names["client_id"]), text(&names["client_secret"]));
    let source = world.secret("post", secret);
    all.push(Shown::new("post", ClientAuth::post(id, source.clone()), true));
    all.push(Shown::new("post, other secret", ClientAuth::post(id, wrong), false));

    let names = world.client("assertion").await;
    let id = text(&names["client_id"]);
    let keys = names["keys"].as_array().unwrap();
    assert_eq!(keys.len(), 3, "of RSA, P-256 and Ed25519");
    for key in keys {
        let kind = text(&key["kty"]).to_owned();
        let source = world.secret(&kind, &key.to_string());
        let auth = || ClientAuth::private_key_jwt(id, source.clone());
        all.push(Shown::new(format!("{kind} key"), auth(), true));
        all.push(Shown::new(format!("{kind} key, other kid"), auth().key_id("ec-2"), false));
        let (issuer, endpoint) = (&world.provider.issuer_a, &world.endpoint);
        let token_endpoint = format!("{issuer}/token");
        for (audience, passes) in [
            (issuer.as_str(), true),
            (endpoint.as_str(), true),
            (token_endpoint.as_str(), true),
            (world.provider.issuer_b.as_str(), false),
        ] {
            let name = format!("{kind} key, audience {audience}");
            all.push(Shown::new(name, auth().audience(audience), passes));
        }
    }
    let rsa = world.secret("RSA", &keys[0].to_string());
    let rs256 = ClientAuth::private_key_jwt(id, rsa.clone()).algorithm(Algorithm::Rs256);
    all.push(Shown::new("RSA key, RS256", rs256, true));
    all.push(Shown::new("key of another client", ClientAuth::private_key_jwt("x", rsa), false));
    // The client has a key of the same kid at the other issuer.
    let other = world.provider.ask("GET", "/client?issuer=b&client=assertion").await;
    for (key, known) in other["keys"].as_array().unwrap().iter().zip(keys) {
        assert_eq!((&key["kid"], &key["use"]), (&known["kid"], &json!("sig")));
        let name = format!("another {} key", text(&key["kty"]));
        let key = world.secret(&name, &key.to_string());
        all.push(Shown::new(name, ClientAuth::private_key_jwt(id, key), false));
    }

    for Shown { name, auth, passes } in all {
        let api = world.api(world.asked_by(auth));
        for token in [token.as_str(), "nobody"] {
            let expected = match (passes, token) {
                (false, _) => UNAVAILABLE,
                (true, "nobody") => INACTIVE,
                (true, _) => "200 notes-worker",
            };
            let whose = if token == "nobody" { "a token of nobody" } else { "a token" };
            cases.case(format!("{name}: {whose}"), api.told(token).await, expected);
        }
        assert_eq!(api.health().failed, if passes { 0 } else { 2 }, "{name}");
        if !passes {
            let why = api.why(&token).await;
            println!("{name}: {why}");
            // oidc-provider has 400 for whoever shows nothing that it knows.
            let status = ["this server's own credentials, status 401", "status 400"];
            assert!(status.iter().any(|status| why.contains(status)), "{name}: {why}");
        }
    }
    world.stop().await;
}

/// INT-11: a secret that was corrected is seen without a restart, and the token was never at fault.
#[tokio::test]
#[ignore = "needs tests/interop/setup"]
async fn a_corrected_secret_is_used_for_the_next_question() {
    let mut cases = Cases::of("oidc-provider");
    let world = World::new().await;
    let token = world.token().await;
    let client = world.client("basic").await;
    let source = world.secret("rotated", "not yet known here");
    let auth = ClientAuth::basic(text(&client["client_id"]), source);
    let api = world.api(world.asked_by(auth));
    cases.case("with another secret", api.told(&token).await, UNAVAILABLE);
    let why = api.why(&token).await;
    assert!(why.contains("this server's own credentials"), "{why}");
    assert_eq!(api.health().last_error, Some(why));
    world.secret("rotated", text(&client["client_secret"]));
    cases.case("corrected", api.told(&token).await, "200 notes-worker");
    assert_eq!(api.health().last_error, None);
    world.stop().await;
}

/// INT-02, RFC 8705 §2: the certificate of the connection says who asks.
#[tokio::test]
#[ignore = "needs tests/interop/setup"]
async fn a_real_authorization_server_knows_who_asks_by_certificate() {
    let mut cases = Cases::of("oidc-provider");
    let certificates = Certificates::new();
    let world = World::of(Provider::with_tls(&certificates).await).await;
    let provider = &world.provider;
    let metadata = provider.metadata(&provider.issuer_a).await;
    let endpoint = text(&metadata["mtls_endpoint_aliases"]["introspection_endpoint"]);
    let token = world.token().await;
    let file = |name: &str| fs::read(certificates.directory().join(name)).unwrap();
    for (name, expected) in
        [(Some("alice"), "200 notes-worker"), (Some("mallory"), UNAVAILABLE), (None, UNAVAILABLE)]
    {
        let transport = ReqwestTransport::builder().root_certificates(file("authority.pem"));
        let transport = match name {
            None => transport,
            Some(name) => {
                let key = Secret::new(file(&format!("{name}.key")));
                transport.client_certificate(file(&format!("{name}.pem")), key)
            }
        };
        let introspection = Introspection::at(&provider.issuer_a, endpoint)
            .client(ClientAuth::mtls("notes-api-mtls"))
            .may_lack(AnswerGap::Subject)
            .transport(transport.build().unwrap());
        let api = world.api(introspection);
        let name = name.unwrap_or("nobody");
        cases.case(
            format!("asked with the certificate of {name}"),
            api.told(&token).await,
            expected,
        );
    }
    world.stop().await;
}

/// An opaque token that is bound to this key, got with proofs of it.
async fn bound_token(world: &World, key: &ClientKey) -> String {
    let client = world.client("dpop").await;
    let metadata = world.provider.metadata(&world.provider.issuer_a).await;
    let url = text(&metadata["token_endpoint"]);
    let pair = format!("{}:{}", text(&client["client_id"]), text(&client["client_secret"]));
    let mut headers = HeaderMap::new();
    let mut set = |name: &'static str, value: String| {
        let name = HeaderName::from_static(name);
        headers.insert(name, HeaderValue::try_from(value).unwrap());
    };
    set(AUTHORIZATION.as_str(), format!("Basic {}", STANDARD.encode(pair)));
    set("interop-token", json!({ "format": "opaque" }).to_string());
    let grant =
        [("grant_type", "client_credentials"), ("resource", RESOURCE), ("scope", "notes:read")];
    let proof = |proof: String| HeaderValue::try_from(proof).unwrap();
    headers.insert("dpop", proof(key.proof("POST", url).sign()));
    let (answered, _) = world.provider.post(url, &headers, &grant).await;
    let nonce = answered["dpop-nonce"].to_str().unwrap();
    headers.insert("dpop", proof(key.proof("POST", url).nonce(nonce).sign()));
    let (_, answer) = world.provider.post(url, &headers, &grant).await;
    assert_eq!(answer["token_type"], "DPoP", "{answer}");
    text(&answer["access_token"]).to_owned()
}

/// INT-13, DPOP-35, RFC 9449 §6.2: what the answer says of the sender is proven, as it would be for a JWT.
#[tokio::test]
#[ignore = "needs tests/interop/setup"]
async fn an_opaque_token_that_is_bound_to_a_key_is_of_use_with_the_key_only() {
    let mut cases = Cases::of("oidc-provider");
    let world = World::new().await;
    let asked = world.asked_by(world.basic("basic").await);
    let dpop = Dpop::new().public_origin(PublicOrigin::new(RESOURCE));
    let api = Api::new(world.opaque(), |builder| builder.introspection(asked).dpop(dpop));
    let clock = SystemClock::new();
    let key = ClientKey::generate(Algorithm::Es256, &clock);
    let thief = ClientKey::generate(Algorithm::Es256, &clock);
    let token = bound_token(&world, &key).await;
    let answer = world.provider.answer_about(&token).await;
    assert_eq!((&answer["cnf"], &answer["token_type"]), (&key.confirmation(), &json!("DPoP")));

    let url = format!("{RESOURCE}/");
    let proof = |key: &ClientKey, token: &str| key.proof("GET", &url).token(token).sign();
    let (scheme, bearer) = (format!("DPoP {token}"), format!("Bearer {token}"));
    let own = proof(&key, &token);
    cases.case("a proof", api.told_with(&scheme, Some(&own)).await, "200 notes-dpop");
    let other_token = proof(&key, &world.token().await);
    let thiefs = proof(&thief, &token);
    let again = proof(&key, &token);
    for (name, authorization, proof, expected) in [
        ("no proof", &scheme, None, "401 proof_missing, DPoP invalid_dpop_proof, Bearer -"),
        ("replayed", &scheme, Some(&own), "401 proof_replayed, DPoP invalid_dpop_proof, Bearer -"),
        ("another key", &scheme, Some(&thiefs), "401 other_key, DPoP invalid_token, Bearer -"),
        (
            "for another token",
            &scheme,
            Some(&other_token),
            "401 proof_for_other_token, DPoP invalid_dpop_proof, Bearer -",
        ),
        ("as a bearer", &bearer, None, "401 bearer_downgrade, Bearer invalid_token, DPoP -"),
        (
            "as a bearer with a proof",
            &bearer,
            Some(&again),
            "401 bearer_downgrade, Bearer invalid_token, DPoP -",
        ),
    ] {
        let told = api.told_with(authorization, proof.map(String::as_str)).await;
        cases.case(name, told, expected);
    }
    let plain = world.token().await;
    let told = api.told_with(&format!("DPoP {plain}"), Some(&proof(&key, &plain))).await;
    let unbound = "401 unbound_under_dpop, DPoP invalid_token, Bearer -";
    cases.case("one that is bound to nothing", told, unbound);
    world.provider.revoke("dpop", &token).await;
    let told = api.told_with(&scheme, Some(&proof(&key, &token))).await;
    cases.case("given back", told, "401 inactive, DPoP invalid_token, Bearer -");
    world.stop().await;
}

/// INT-11: this authorization server does not answer about JWTs: who wants to ask about them gets no
/// answer, and lets nobody pass without one. Read here, the same JWT passes.
#[tokio::test]
#[ignore = "needs tests/interop/setup"]
async fn a_real_authorization_server_that_does_not_answer_about_jwts_is_an_outage() {
    let mut cases = Cases::of("oidc-provider");
    let world = World::new().await;
    let basic = world.basic("basic").await;
    let jwt = world.provider.token("scope=notes:read").await;
    let opaque = world.token().await;
    // The keys of this issuer are known, so that its JWTs can be read.
    let api = |introspection| {
        let issuer = discover(&world.provider.issuer_a);
        Api::new(issuer, |builder| builder.introspection(introspection))
    };
    let reading = api(world.asked_by(basic.clone()));
    cases.case("a JWT, read here", reading.told(&jwt).await, "200 notes-worker");
    assert_eq!(reading.health().calls, 0);
    cases.case("an opaque one beside it", reading.told(&opaque).await, "200 notes-worker");
    assert_eq!(reading.health().calls, 1);

    let asking = api(world.asked_by(basic).jwts());
    cases.case("a JWT, asked about", asking.told(&jwt).await, UNAVAILABLE);
    let other = world.provider.token("scope=notes:write").await;
    let (_, signature) = jwt.rsplit_once('.').unwrap();
    let forged = format!("{}.{signature}", other.rsplit_once('.').unwrap().0);
    let before = asking.health().calls;
    let bad_signature = "401 bad_signature, Bearer invalid_token";
    cases.case("a forged one", asking.told(&forged).await, bad_signature);
    assert_eq!(asking.health().calls, before, "nobody is asked about a forged one");
    cases.case("an opaque one, asked about", asking.told(&opaque).await, "200 notes-worker");
    world.stop().await;
}
