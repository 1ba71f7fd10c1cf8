//! JWT access tokens of the authorization server (npm `oidc-provider`), found by discovery.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use portcullis::TokenClass;
use portcullis::check::scope;
use portcullis::jose::Algorithm;
use portcullis::revocation::{Record, Revocation};
use portcullis::testing::ManualClock;
use portcullis::time::Timestamp;
use serde_json::Value;

use crate::cases::Cases;
use crate::introspection::text;
use crate::provider::{Provider, discover};
use crate::service::{Service, bearer, notes};

const OK: &str = "200 the notes of notes-worker";
const NO_TOKEN: &str = "401 no_credentials, Bearer -";
const KEY: &str = "401 unknown_key, Bearer invalid_token";
const TYPE: &str = "401 wrong_type, Bearer invalid_token";
const ALGORITHM: &str = "401 algorithm_not_allowed, Bearer invalid_token";
const SIGNATURE: &str = "401 bad_signature, Bearer invalid_token";
const AUDIENCE: &str = "401 wrong_audience, Bearer invalid_token";
const ISSUER: &str = "401 unknown_issuer, Bearer invalid_token";
const SCOPE: &str = "403 insufficient_scope, Bearer insufficient_scope";

/// AT-01, AT-03, AT-05 to AT-07, AT-15, AUTH-02, AUTH-03, AUTH-11, AUTH-13, AUTH-14, AUTH-18, JWS-21, JWS-24,
/// JWS-38, attacks 1, 3, 8, 11, 17, 22, 23: what was meant for this server, and what was not.
#[tokio::test]
#[ignore = "needs tests/interop/setup"]
async fn a_real_authorization_servers_tokens_are_decided() {
    let mut cases = Cases::of("oidc-provider");
    let provider = Provider::start().await;
    let service = Service::start(notes([discover(&provider.issuer_a)])).await;
    let token = provider.token("scope=notes:read").await;
    let [header, claims, signature] = parts(&token);
    let other = provider.token("scope=notes:write").await;
    let user = provider.ask("GET", "/user_tokens").await;
    let encoded = |text: String| URL_SAFE_NO_PAD.encode(text);
    let read = |part: &str| String::from_utf8(URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap();
    let renamed = read(claims).replace("notes-worker", "notes-master");
    let relabelled = read(claims).replace(&provider.issuer_a, &provider.issuer_b);
    let unsigned = read(header).replace("RS256", "none");
    let mac = read(header).replace("RS256", "HS256");
    let of_b = provider.token("issuer=b&scope=notes:read").await;
    let claims_of_b = read(parts(&of_b)[1]).replace(&provider.issuer_b, &provider.issuer_a);
    #[rustfmt::skip]
    let rows = [
        ("a token for the notes", token.clone(), OK),
        ("with both scopes", provider.token("").await, OK),
        ("of a person", text(&user["access_token"]).to_owned(), "200 the notes of alice"),
        ("with another scope", other.clone(), SCOPE),
        ("for another resource", provider.token("resource=https://other.example").await, AUDIENCE),
        ("opaque", provider.token("resource=&scope=").await, "401 opaque_token, Bearer invalid_token"),
        ("the refresh token", text(&user["refresh_token"]).to_owned(), "401 opaque_token, Bearer invalid_token"),
        ("the ID token", provider.id_token("web").await, TYPE),
        ("the ID token for a client that is named like the resource", provider.id_token("lookalike").await, TYPE),
        ("of another issuer, with the same `kid`", of_b.clone(), ISSUER),
        ("the same, relabelled", format!("{}.{}.{}", parts(&of_b)[0], encoded(claims_of_b), parts(&of_b)[2]), SIGNATURE),
        ("relabelled the other way", format!("{header}.{}.{signature}", encoded(relabelled)), ISSUER),
        ("another subject", format!("{header}.{}.{signature}", encoded(renamed)), SIGNATURE),
        ("the claims of another token", format!("{header}.{}.{signature}", parts(&other)[1]), SIGNATURE),
        ("`alg` none", format!("{}.{claims}.", encoded(unsigned.clone())), "401 malformed_token, Bearer invalid_token"),
        ("`alg` none, with the signature", format!("{}.{claims}.{signature}", encoded(unsigned)), ALGORITHM),
        ("`alg` HS256", format!("{}.{claims}.{signature}", encoded(mac)), ALGORITHM),
        ("another algorithm with the RSA key, which is used for RS256", provider.token("alg=PS256").await, KEY),
    ];
    for (name, token, expected) in rows {
        cases.case(name, service.told(&token).await, expected);
    }

    let good = bearer(&token);
    let weaker = bearer(&other);
    #[rustfmt::skip]
    let rows = [
        ("nothing", "GET", "/notes", vec![], NO_TOKEN),
        ("nothing where nothing is needed", "GET", "/", vec![], "200 welcome"),
        ("a good token there", "GET", "/", vec![good.as_str()], "200 welcome back, notes-worker"),
        ("a bad token there", "GET", "/", vec!["Bearer x"], "401 opaque_token, Bearer invalid_token"),
        ("removing with `notes:write`", "DELETE", "/notes/1", vec![&weaker], "200 notes-worker removed note 1"),
        ("removing with `notes:read`", "DELETE", "/notes/1", vec![&good], SCOPE),
        ("two tokens", "GET", "/notes", vec![&good, &weaker], "400 several_credentials, Bearer invalid_request"),
    ];
    for (name, method, path, fields, expected) in rows {
        let fields: Vec<_> = fields.into_iter().map(|value| ("authorization", value)).collect();
        let told = service.told_of(service.request(method, path, &fields)).await;
        cases.case(name, told, expected);
    }

    let both = [&provider.issuer_a, &provider.issuer_b].map(|issuer| discover(issuer));
    let both = Service::start(notes(both)).await;
    cases.case("one `kid`, two issuers: a", both.told(&token).await, OK);
    cases.case("one `kid`, two issuers: b", both.told(&of_b).await, OK);
    provider.stop().await;
}

/// AT-04, JWS-21, JWS-22, JWS-32: each algorithm, where it alone is allowed and where only the others are.
#[tokio::test]
#[ignore = "needs tests/interop/setup"]
async fn every_algorithm_is_taken_where_it_is_allowed_and_nowhere_else() {
    let mut cases = Cases::of("oidc-provider");
    let provider = Provider::start().await;
    let issuer = || discover(&provider.issuer_a);
    for algorithm in Algorithm::ALL.iter().copied() {
        let token = provider.token(&format!("scope=notes:read&alg={algorithm}")).await;
        let only = Service::start(notes([issuer().algorithms([algorithm])])).await;
        cases.case(format!("{algorithm} alone"), only.told(&token).await, OK);
        let others =
            Algorithm::ALL.iter().copied().filter(|other| !other.same_operation(algorithm));
        let others = Service::start(notes([issuer().algorithms(others)])).await;
        cases.case(format!("all but {algorithm}"), others.told(&token).await, ALGORITHM);
    }
    let token = provider.token("scope=notes:read&alg=ES512").await;
    let unsaid = Service::start(notes([issuer()])).await;
    cases.case("ES512 where nothing is said", unsaid.told(&token).await, ALGORITHM);
    provider.stop().await;
}

/// AT-08, JWS-44, JWS-46: the time is that of the resource server, and a token lives as long as it says.
#[tokio::test]
#[ignore = "needs tests/interop/setup"]
async fn a_real_token_lives_as_long_as_it_says_and_its_class_allows() {
    let mut cases = Cases::of("oidc-provider");
    let provider = Provider::start().await;
    let issuer = || discover(&provider.issuer_a);
    let token = provider.token("scope=notes:read").await;
    let claims: Value =
        serde_json::from_slice(&URL_SAFE_NO_PAD.decode(parts(&token)[1]).unwrap()).unwrap();
    let issued_at = claims["iat"].as_u64().unwrap();
    assert_eq!(claims["exp"].as_u64(), Some(issued_at + 300));

    let expired = "401 expired, Bearer invalid_token";
    let future = "401 issued_in_future, Bearer invalid_token";
    for (name, seconds, leeway, expected) in [
        ("at once", 0, 0, OK),
        ("a second before its end", 299, 0, OK),
        ("at its end", 300, 0, expired),
        ("at its end, half a minute of leeway", 300, 30, OK),
        ("half a minute after it", 330, 30, expired),
        ("a day after it", 24 * 60 * 60, 30, expired),
        ("a clock that is half a minute slow, with leeway", -30, 30, OK),
        ("a clock that is slower", -31, 30, future),
        ("half a minute slow, without leeway", -30, 0, future),
    ] {
        let clock = ManualClock::new();
        clock.set(Timestamp::from_secs(issued_at.checked_add_signed(seconds).unwrap()));
        let leeway = Duration::from_secs(leeway);
        let service = Service::start(notes([issuer()]).leeway(leeway).clock(clock)).await;
        cases.case(name, service.told(&token).await, expected);
    }

    let allowed = |seconds| {
        notes([issuer()]).class(
            TokenClass::named("notes")
                .clients(["notes-worker"])
                .at_most(Duration::from_secs(seconds)),
        )
    };
    let service = Service::start(allowed(300)).await;
    cases.case("a class of five minutes", service.told(&token).await, OK);
    let service = Service::start(allowed(299)).await;
    let long = "401 lifetime_too_long, Bearer invalid_token";
    cases.case("a class of a second less", service.told(&token).await, long);
    provider.stop().await;
}

/// AUTH-13, attack 38: who cannot be told by its issuer that a JWT was given back can say so here, by its id.
#[tokio::test]
#[ignore = "needs tests/interop/setup"]
async fn a_real_token_that_its_issuer_does_not_take_back_is_taken_back_here() {
    let mut cases = Cases::of("oidc-provider");
    let provider = Provider::start().await;
    let builder = notes([discover(&provider.issuer_a)]).revocation(Revocation::new());
    let service = Service::start(builder).await;
    let token = provider.token("scope=notes:read").await;
    let other = provider.token("scope=notes:read").await;
    let error = provider.revocation_error("worker", &token).await;
    cases.case("given back there", error.unwrap_or_default(), "unsupported_token_type");
    cases.case("still good", service.told(&token).await, OK);
    let revocations = service.server.revocations();
    let claims: Value =
        serde_json::from_slice(&URL_SAFE_NO_PAD.decode(parts(&token)[1]).unwrap()).unwrap();
    let (issuer, jti) = (provider.issuer_a.as_str(), text(&claims["jti"]));
    let record = Record::token(issuer, jti, revocations.now());
    revocations.revoke(record).await.unwrap();
    let revoked = "401 revoked, Bearer invalid_token";
    cases.case("given back here", service.told(&token).await, revoked);
    cases.case("another of the same client", service.told(&other).await, OK);
    provider.stop().await;
}

/// JWS-14, JWS-16, DISC-11, AUTH-32, attacks 9, 28: keys are replaced whole, and asked for once.
#[tokio::test]
#[ignore = "needs tests/interop/setup"]
async fn the_keys_of_a_real_authorization_server_rotate() {
    let mut cases = Cases::of("oidc-provider");
    let provider = Provider::start().await;
    let service = Service::start(notes([discover(&provider.issuer_a)])).await;
    let old = provider.token("scope=notes:read").await;
    cases.case("before", service.told(&old).await, OK);
    let before = service.fetches();
    let rotation = provider.ask("POST", "/rotate").await;
    assert_ne!(rotation["old_kid"], rotation["new_kid"]);
    cases.case("the old key, nobody has noticed", service.told(&old).await, OK);
    let new = provider.token("scope=notes:read").await;
    cases.case("the new key", service.told(&new).await, OK);
    cases.holds("one fetch for it", service.fetches() == [before[0] + 1]);
    cases.case("the old key is gone", service.told(&old).await, KEY);
    provider.ask("POST", "/rotate").await;
    let third = provider.token("scope=notes:read").await;
    cases.case("a second rotation", service.told(&third).await, OK);
    for time in ["once", "twice", "three times"] {
        cases.case(format!("a key id of nobody, {time}"), service.told(&new).await, KEY);
    }
    cases.holds("a burst of three fetches for all", service.fetches() == [before[0] + 3]);
    let stats = provider.ask("GET", "/stats").await;
    cases.holds("the issuer counted as many", stats["a"]["jwks"].as_u64() == Some(before[0] + 3));
    let (issuer, unseen) =
        (provider.issuer_a.clone(), Service::start(notes([discover(&provider.issuer_a)])).await);
    provider.stop().await;
    cases.case("known keys outlive their issuer", service.told(&third).await, OK);
    let down = "503 keys_unavailable";
    cases.case("unknown ones do not", unseen.told(&third).await, down);
    let unread = Service::start(notes([discover(&issuer)])).await;
    let warm = unread.server.warm_up().await;
    cases.holds("who warms up is told", warm.is_err());
    let guard = unread.server.guard(scope("notes:read")).unwrap();
    let request = http::Request::get("/").header("authorization", bearer(&third)).body(()).unwrap();
    let kind = guard.verify(&request).await.unwrap_err().kind();
    cases.case("the same without HTTP", kind.as_str(), "keys_unavailable");
}

fn parts(token: &str) -> [&str; 3] {
    let parts: Vec<_> = token.split('.').collect();
    parts.try_into().unwrap()
}
