//! Python: Authlib as authorization server (RFC 9068, RFC 7662, RFC 7009) and as client (over httpx2), and
//! tokens by joserfc, PyJWT and Authlib itself.

use std::time::Duration;

use portcullis::introspection::{ClientAuth, Introspection};
use portcullis::jose::Algorithm;
use portcullis::secret::{Secret, SecretSource};
use portcullis::testing::ManualClock;
use portcullis::time::{Clock as _, SystemClock};
use portcullis::{Issuer as Trusted, ServerBuilder};
use serde_json::{Value, json};

use crate::axum_example;
use crate::cases::Cases;
use crate::introspection::{INACTIVE, UNAVAILABLE, text};
use crate::issuer::Issuer;
use crate::process::{python, run};
use crate::provider::discover;
use crate::service::{Service, notes};
use crate::steps::{Steps, check_steps, lines};

const OK: &str = "200 the notes of alice";
const MALFORMED: &str = "401 malformed_token, Bearer invalid_token";
const CREDENTIALS: &str = "400 malformed_credentials, Bearer invalid_request";
const CLAIM: &str = "401 malformed_claim, Bearer invalid_token";
const TYPE: &str = "401 wrong_type, Bearer invalid_token";
const ALGORITHM: &str = "401 algorithm_not_allowed, Bearer invalid_token";
const HEADER: &str = "401 unsupported_header, Bearer invalid_token";
const SIGNATURE: &str = "401 bad_signature, Bearer invalid_token";
const AUDIENCE: &str = "401 wrong_audience, Bearer invalid_token";
const LIFETIME: &str = "401 lifetime_too_long, Bearer invalid_token";
const SCOPE: &str = "403 insufficient_scope, Bearer insufficient_scope";

/// Authlib's introspection endpoint, asked every time.
fn asked(issuer: &Issuer, secret: &str) -> Introspection {
    let secret = SecretSource::given(Secret::new(secret));
    Introspection::at(&issuer.id, format!("{}/introspect", issuer.id))
        .client(ClientAuth::basic("notes-api", secret))
        .ttl(Duration::ZERO)
        .dangerous()
        .insecure_loopback_http()
}

async fn secrets(issuer: &Issuer) -> Value {
    issuer.ask("/clients", &json!({})).await
}

/// Where this algorithm alone is allowed, and where all others are.
async fn alone_and_not(
    cases: &mut Cases,
    issuer: &Issuer,
    algorithm: Algorithm,
    token: &str,
    ok: &str,
) {
    let only = Service::start(notes([discover(&issuer.id).algorithms([algorithm])])).await;
    cases.case(format!("{algorithm} alone"), only.told(token).await, ok);
    let others = Algorithm::ALL.iter().copied().filter(|other| !other.same_operation(algorithm));
    let others = Service::start(notes([discover(&issuer.id).algorithms(others)])).await;
    cases.case(format!("all but {algorithm}"), others.told(token).await, ALGORITHM);
}

/// AT-04, AT-06, AT-08, AT-15, AUTH-14, JWS-21, JWS-22: access tokens that Authlib's own generator makes (RFC 9068).
#[tokio::test]
#[ignore = "needs tests/interop/setup"]
async fn access_tokens_of_authlib_are_decided() {
    let mut cases = Cases::of("Authlib");
    let issuer = Issuer::authlib().await;
    for algorithm in [Algorithm::Rs256, Algorithm::Es256] {
        let token = issuer.token(&format!("worker-{algorithm}"), "notes:read").await;
        let ok = format!("200 the notes of worker-{algorithm}");
        alone_and_not(&mut cases, &issuer, algorithm, &token, &ok).await;
    }
    let service = Service::start(notes([discover(&issuer.id)])).await;
    let second = Issuer::authlib().await;
    let id_token = issuer.ask("/id_token", &json!({})).await;
    #[rustfmt::skip]
    let rows = [
        ("both scopes", issuer.token("worker-RS256", "notes:read notes:write").await, "200 the notes of worker-RS256"),
        ("another scope", issuer.token("worker-RS256", "notes:write").await, SCOPE),
        ("for another resource", issuer.token("other-worker", "notes:read").await, AUDIENCE),
        ("for two resources", issuer.token("both-worker", "notes:read").await, "200 the notes of both-worker"),
        ("expired when it was made", issuer.token("late-worker", "notes:read").await, LIFETIME),
        ("a second longer than its class allows", issuer.token("long-worker", "notes:read").await, LIFETIME),
        ("of another such server", second.token("worker-RS256", "notes:read").await, "401 unknown_issuer, Bearer invalid_token"),
        ("opaque", issuer.token("opaque-worker", "notes:read").await, "401 opaque_token, Bearer invalid_token"),
        ("its ID token, for a client that is named like the resource", text(&id_token["token"]).to_owned(), TYPE),
    ];
    for (name, token, expected) in rows {
        cases.case(name, service.told(&token).await, expected);
    }
    let token = issuer.token("worker-RS256", "notes:read").await;
    for (name, seconds, expected) in [
        ("four minutes later", 240, "200 the notes of worker-RS256"),
        ("six minutes later", 360, "401 expired, Bearer invalid_token"),
    ] {
        let clock = ManualClock::new();
        clock.set(SystemClock::new().now().plus(Duration::from_secs(seconds)));
        let service = Service::start(notes([discover(&issuer.id)]).clock(clock)).await;
        cases.case(name, service.told(&token).await, expected);
    }
}

/// INT-01, INT-04, INT-05, INT-11, AUTH-31: opaque tokens of Authlib, and its JWTs where it is asked about
/// them too.
#[tokio::test]
#[ignore = "needs tests/interop/setup"]
async fn authlib_is_asked_about_tokens() {
    let mut cases = Cases::of("Authlib");
    let issuer = Issuer::authlib().await;
    let all = secrets(&issuer).await;
    let secret = text(&all["notes-api"]);
    let unread = || Trusted::opaque(&issuer.id).dangerous().insecure_loopback_http();
    let start = async |builder: ServerBuilder| Service::start(builder).await;
    let service = start(notes([unread()]).introspection(asked(&issuer, secret))).await;
    let stranger = start(notes([unread()]).introspection(asked(&issuer, "guessed"))).await;
    let opaque = issuer.token("opaque-worker", "notes:read").await;
    let given_back = issuer.token("opaque-worker", "notes:read").await;
    issuer.revoke("opaque-worker", &given_back).await;
    for (name, token, expected) in [
        ("active", opaque.clone(), "200 the notes of opaque-worker"),
        ("with another scope", issuer.token("opaque-worker", "notes:write").await, SCOPE),
        ("for another resource", issuer.token("opaque-other", "notes:read").await, AUDIENCE),
        ("expired", issuer.token("late-opaque", "notes:read").await, INACTIVE),
        ("of nobody", "mF_9_B5f-4_1JqM".to_owned(), INACTIVE),
        ("given back", given_back, INACTIVE),
    ] {
        cases.case(format!("an opaque token: {name}"), service.told(&token).await, expected);
        let name = format!("an opaque token: {name}, asked with another secret");
        cases.case(name, stranger.told(&token).await, UNAVAILABLE);
    }

    // Who has no keys of the issuer asks about its JWTs too, and so does who has them and wants to.
    let keyless = start(notes([unread()]).introspection(asked(&issuer, secret).jwts())).await;
    let both = notes([discover(&issuer.id)]).introspection(asked(&issuer, secret).jwts());
    let both = start(both).await;
    let reading = notes([discover(&issuer.id)]).introspection(asked(&issuer, secret));
    let reading = start(reading).await;
    let good = issuer.token("worker-RS256", "notes:read").await;
    let other = issuer.token("worker-RS256", "notes:write").await;
    let tampered =
        format!("{}.{}", other.rsplit_once('.').unwrap().0, good.rsplit_once('.').unwrap().1);
    let ok = "200 the notes of worker-RS256";
    #[rustfmt::skip]
    let rows = [
        ("good", good, ok, ok, ok),
        ("with another scope", other, SCOPE, SCOPE, SCOPE),
        ("for another resource", issuer.token("other-worker", "notes:read").await, AUDIENCE, AUDIENCE, AUDIENCE),
        ("tampered", tampered, INACTIVE, SIGNATURE, SIGNATURE),
        ("expired when it was made", issuer.token("late-worker", "notes:read").await, INACTIVE, INACTIVE, LIFETIME),
        ("opaque", opaque, "200 the notes of opaque-worker", "200 the notes of opaque-worker", "200 the notes of opaque-worker"),
    ];
    for (name, token, unkeyed, asking, alone) in rows {
        cases.case(format!("{name}, asked about, no keys"), keyless.told(&token).await, unkeyed);
        cases.case(format!("{name}, read and asked about"), both.told(&token).await, asking);
        cases.case(format!("{name}, read or asked about"), reading.told(&token).await, alone);
    }
}

#[rustfmt::skip]
const STEPS: Steps<'_> = &[
    ("nothing", &["401 no_credentials, Bearer -"]),
    ("a welcome without a token", &["200"]),
    ("a token", &["200"]),
    ("the same connection", &["200"]),
    ("more than it may", &["403 insufficient_scope, Bearer insufficient_scope"]),
    ("another signature", &["401 bad_signature, Bearer invalid_token"]),
    ("with another scope", &["403 insufficient_scope, Bearer insufficient_scope"]),
    ("what that may", &["200"]),
    ("for another resource", &["401 wrong_audience, Bearer invalid_token"]),
    ("an opaque token", &["200"]),
    ("after another was given back", &["200"]),
    ("after it was given back", &["401 inactive, Bearer invalid_token"]),
];

/// AUTH-02, AUTH-03, AUTH-23, INT-08: a client gets its tokens from Authlib, and reads the challenges as
/// they were meant.
#[tokio::test]
#[ignore = "needs tests/interop/setup"]
async fn a_client_by_authlib_is_served_over_both_versions_of_http() {
    let mut cases = Cases::of("Authlib");
    let issuer = Issuer::authlib().await;
    let clients = secrets(&issuer).await;
    let asked = asked(&issuer, text(&clients["notes-api"]));
    let builder = notes([discover(&issuer.id)]).introspection(asked);
    let service = Service::with(|_| builder.build().unwrap(), axum_example::app).await;
    let settings = json!({ "issuer": issuer.id, "clients": clients, "origin": service.origin });
    let walks = lines(&run(python("client.py"), &settings).await);
    assert_eq!(walks.len(), 2);
    for (walk, lines) in &walks {
        let version = if walk.ends_with("HTTP/2") { "HTTP/2.0" } else { "HTTP/1.1" };
        for line in lines {
            let seen = line.exchanges[0].version.as_deref();
            assert_eq!(seen, Some(version), "{walk}: {}", line.step);
        }
        check_steps(&mut cases, lines, STEPS);
    }
}

/// AT-01 to AT-03, AT-06, AT-09, JWS-01, JWS-04 to JWS-06, JWS-08, JWS-10, JWS-32, JWS-43, attacks 1, 3, 13, 16, 18, 19, 22: what three libraries of
/// Python make of one recipe, and what none of them makes.
#[tokio::test]
#[ignore = "needs tests/interop/setup"]
async fn tokens_of_python_libraries_are_decided() {
    let mut cases = Cases::of("joserfc, PyJWT");
    let issuer = Issuer::authlib().await;
    let rows = |by: &str| {
        let with = |changes: Value| {
            let mut recipe = json!({ "by": by });
            recipe.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
            recipe
        };
        vec![
            ("RS256", with(json!({ "alg": "RS256" })), OK),
            ("ES256", with(json!({ "alg": "ES256" })), OK),
            ("ES384", with(json!({ "alg": "ES384" })), OK),
            ("EdDSA", with(json!({ "alg": "EdDSA" })), OK),
            (
                "PS256 with a key that is used for RS256",
                with(json!({ "alg": "PS256" })),
                "401 unknown_key, Bearer invalid_token",
            ),
            ("ES512, which is not taken", with(json!({ "alg": "ES512" })), ALGORITHM),
            ("no `kid`", with(json!({ "header": { "kid": null } })), OK),
            ("`typ` JWT", with(json!({ "header": { "typ": "JWT" } })), TYPE),
            (
                "`typ` application/at+jwt",
                with(json!({ "header": { "typ": "application/at+jwt" } })),
                OK,
            ),
            (
                "beyond ASCII, escaped",
                with(json!({ "claims": { "sub": "Zoë 👩‍🚀" } })),
                "200 the notes of Zoë 👩‍🚀",
            ),
            (
                "`exp` in the year 2096",
                with(json!({ "claims": { "exp": 4_000_000_000_u64 } })),
                LIFETIME,
            ),
            ("`exp` 1e22", with(json!({ "claims": { "exp": 1e22 } })), CLAIM),
            (
                "`aud` of another",
                with(json!({ "claims": { "aud": "https://other.example" } })),
                AUDIENCE,
            ),
            (
                "no `jti`",
                with(json!({ "claims": { "jti": null } })),
                "401 missing_claim, Bearer invalid_token",
            ),
        ]
    };
    for algorithm in Algorithm::ALL.iter().copied() {
        let token = issuer.sign(&json!({ "alg": algorithm.as_str() })).await;
        alone_and_not(&mut cases, &issuer, algorithm, &token, OK).await;
    }
    let service = Service::start(notes([discover(&issuer.id)])).await;
    for by in ["joserfc", "pyjwt", "authlib"] {
        for (name, recipe, expected) in rows(by) {
            let token = issuer.sign(&recipe).await;
            cases.case(format!("{by}: {name}"), service.told(&token).await, expected);
        }
    }
    let written = |text: &str| json!({ "text": text });
    let by_hand = |text: &str| json!({ "by": "hand", "header_text": text });
    #[rustfmt::skip]
    let rows = [
        ("joserfc: a stranger's key of the same name", json!({ "key": "stranger" }), SIGNATURE),
        ("pyjwt: a stranger's key of the same name", json!({ "by": "pyjwt", "key": "stranger" }), SIGNATURE),
        ("pyjwt: `alg` none", json!({ "by": "pyjwt", "alg": "none" }), MALFORMED),
        ("joserfc: flattened JSON", json!({ "form": "flattened" }), CREDENTIALS),
        ("joserfc: general JSON", json!({ "form": "general" }), CREDENTIALS),
        ("joserfc: `b64` false", json!({ "header": { "b64": false, "crit": ["b64"] }, "text": "test" }), HEADER),
        ("joserfc: `zip` in a JWS", json!({ "header": { "zip": "DEF" } }), HEADER),
        ("claims in another order, spaced", written("\n{ \"x\" : [ ] ,\n $claims }\n"), OK),
        ("`sub` twice", written(r#"{$claims, "sub": "mallory"}"#), MALFORMED),
        ("`sub` twice, the other first", written(r#"{"sub": "mallory", $claims}"#), MALFORMED),
        ("a member twice, deeper", written(r#"{$claims, "x": {"y": 1, "y": 1}}"#), MALFORMED),
        ("NaN, as Python writes it", written(r#"{$claims, "x": NaN}"#), MALFORMED),
        ("Infinity, as Python writes it", written(r#"{$claims, "x": -Infinity}"#), MALFORMED),
        ("a comma too many", written("{$claims,}"), MALFORMED),
        ("a comment", written("{$claims /* x */}"), MALFORMED),
        ("single quotes", written("{$claims, 'x': 1}"), MALFORMED),
        ("in Latin-1", json!({ "text": "{$claims, \"x\": \"Zoë\"}", "encoding": "latin-1" }), MALFORMED),
        ("the same in UTF-8", written("{$claims, \"x\": \"Zoë\"}"), OK),
        ("in UTF-16", json!({ "text": "{$claims}", "encoding": "utf-16" }), MALFORMED),
        ("with a byte order mark", json!({ "text": "{$claims}", "encoding": "utf-8-sig" }), MALFORMED),
        ("a number of a thousand digits", written(&format!("{{$claims, \"x\": {}}}", "9".repeat(1000))), OK),
        ("an array", written("[{$claims}]"), MALFORMED),
        ("a header with `alg` twice", by_hand(r#"{"alg":"none","alg":"ES256","typ":"at+jwt","kid":"ES256"}"#), MALFORMED),
        ("a header with `crit`, which joserfc does not write", by_hand(r#"{"alg":"ES256","typ":"at+jwt","kid":"ES256","crit":["exp"],"exp":1}"#), HEADER),
        ("a header with `alg` HS256", by_hand(r#"{"alg":"HS256","typ":"at+jwt","kid":"ES256"}"#), ALGORITHM),
        ("a header as it should be", by_hand(r#"{"alg":"ES256","typ":"at+jwt","kid":"ES256"}"#), OK),
    ];
    for (name, recipe, expected) in rows {
        let token = issuer.sign(&recipe).await;
        cases.case(name, service.told(&token).await, expected);
    }
}
