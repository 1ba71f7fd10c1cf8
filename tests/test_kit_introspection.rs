//! The introspection endpoint of the test kit does what it says: a test that relies on it can fail.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

use std::task::{Context, Poll, Waker};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE};
use http::{Request, Response, StatusCode};
use portcullis::jose::{Algorithm, Compact, PublicKey, base64url};
use portcullis::testing::{
    ClientKey, Failure, IntrospectionFailure, ManualClock, TestIntrospection, TestIssuer, TestKey,
    TestNetwork, TokenBuilder,
};
use portcullis::transport::{FetchError, FetchErrorKind, FetchLimits, Transport as _};
use serde_json::{Value, json};

const RESOURCE: &str = "https://rs.example";
const FORM: &str = "application/x-www-form-urlencoded";
const LIMITS: FetchLimits = FetchLimits::new(65_536, Duration::from_secs(5));

#[derive(Clone)]
struct World {
    clock: ManualClock,
    issuer: TestIssuer,
    introspection: TestIntrospection,
    network: TestNetwork,
}

impl World {
    fn new() -> Self {
        let clock = ManualClock::new();
        let issuer = TestIssuer::new("https://as.example", &clock);
        let introspection = TestIntrospection::of(&issuer, &clock);
        let network = TestNetwork::of(&[&issuer]).with_introspection(&introspection);
        Self { clock, issuer, introspection, network }
    }

    fn token(&self) -> TokenBuilder {
        self.issuer.token(RESOURCE).scope("notes:read")
    }

    async fn fetch(&self, request: Request<Bytes>) -> Result<Response<Bytes>, FetchError> {
        self.network.fetch(request, LIMITS).await
    }

    /// The answer to a good question about this token.
    async fn ask(&self, token: &str) -> Response<Bytes> {
        self.fetch(question(token)).await.unwrap()
    }

    async fn told(&self, token: &str) -> Value {
        let answer = self.ask(token).await;
        assert_eq!(answer.status(), StatusCode::OK);
        assert_eq!(answer.headers()[CONTENT_TYPE], "application/json");
        serde_json::from_slice(answer.body()).unwrap()
    }

    async fn ask_for_jwt(&self, token: &str) -> Response<Bytes> {
        let mut request = question(token);
        request.headers_mut().insert(ACCEPT, TestIntrospection::MEDIA_TYPE.parse().unwrap());
        self.fetch(request).await.unwrap()
    }
}

fn form(parameters: &[(&str, &str)]) -> String {
    form_urlencoded::Serializer::new(String::new()).extend_pairs(parameters).finish()
}

fn post(body: impl Into<Bytes>) -> Request<Bytes> {
    Request::post("https://as.example/introspect")
        .header(CONTENT_TYPE, FORM)
        .body(body.into())
        .unwrap()
}

fn question(token: &str) -> Request<Bytes> {
    post(form(&[("token", token)]))
}

fn payload(jwt: &str) -> Value {
    let payload = base64url::decode(jwt.split('.').nth(1).unwrap()).unwrap();
    serde_json::from_slice(&payload).unwrap()
}

fn header(jwt: &str) -> Value {
    let header = base64url::decode(jwt.split('.').next().unwrap()).unwrap();
    serde_json::from_slice(&header).unwrap()
}

fn text(answer: &Response<Bytes>) -> &str {
    std::str::from_utf8(answer.body()).unwrap()
}

fn verifies(jwt: &str, key: &TestKey) -> bool {
    let jwk = key.public_jwk().to_string();
    let public = PublicKey::parse(jwk.as_bytes(), &[key.algorithm()]).unwrap();
    Compact::parse(jwt).is_ok_and(|jwt| public.verify(key.algorithm(), &jwt).is_ok())
}

/// INT-13: the two forms of a token say the same.
#[tokio::test]
async fn an_active_token_has_the_claims_of_the_signed_one() {
    let world = World::new();
    let client = ClientKey::generate(Algorithm::Es256, &world.clock);
    let rows = [
        ("plain", world.token(), "Bearer"),
        ("key", world.token().claim("cnf", client.confirmation()), "DPoP"),
        ("certificate", world.token().claim("cnf", json!({ "x5t#S256": "A" })), "Bearer"),
        ("confirmation that is none", world.token().claim("cnf", "jkt"), "Bearer"),
        (
            "nested",
            world.token().claim("act", json!({ "sub": "b", "cnf": { "jkt": "c" } })),
            "Bearer",
        ),
        ("raw", world.token().raw_payload(" {\"sub\" : \"bob\"} \n"), "Bearer"),
        ("empty", world.token().raw_payload("{}"), "Bearer"),
        ("keycloak", world.token().keycloak(), "Bearer"),
    ];
    for (name, builder, token_type) in rows {
        let mut wanted = payload(&builder.sign());
        let told = world.told(&world.introspection.active(&builder)).await;
        assert_ne!(told, wanted, "{name}");
        wanted["active"] = json!(true);
        wanted["token_type"] = json!(token_type);
        assert_eq!(told, wanted, "{name}");
    }
}

/// INT-13, INT-14: numbers and repeated members arrive as they were written.
#[tokio::test]
async fn claims_are_answered_as_they_are_written() {
    let world = World::new();
    let builder = world.token().raw_claim("exp", "1.8000003e9").repeated_claim("sub", "\"eve\"");
    let token = world.introspection.active(builder);
    let answer = world.ask(&token).await;
    assert!(text(&answer).contains(r#""exp":1.8000003e9"#));
    assert_eq!(text(&answer).matches(r#""sub":"#).count(), 2);
}

/// INT-04, DPOP-35: an answer that is wrong in one of our own members.
#[tokio::test]
async fn a_claim_of_our_own_name_stays_as_it_is() {
    let world = World::new();
    let client = ClientKey::generate(Algorithm::Es256, &world.clock);
    let bound = world.token().claim("cnf", client.confirmation());
    let told = world.told(&world.introspection.active(bound.claim("token_type", "Bearer"))).await;
    assert_eq!((&told["token_type"], &told["active"]), (&json!("Bearer"), &json!(true)));

    let told = world.told(&world.introspection.active(world.token().claim("active", "true"))).await;
    assert_eq!((&told["token_type"], &told["active"]), (&json!("Bearer"), &json!("true")));
}

/// AUTH-31, INT-04.
#[tokio::test]
async fn a_token_is_opaque_and_active_until_it_is_revoked() {
    let world = World::new();
    let token = world.introspection.active(world.token());
    let other = world.introspection.active(world.token());
    assert_ne!(token, other);
    assert_eq!(token.len(), 43);
    assert!(token.bytes().all(|octet| octet.is_ascii_alphanumeric() || b"-_".contains(&octet)));

    world.clock.advance(Duration::from_hours(1));
    assert_eq!(world.told(&token).await["active"], true, "who asks looks at `exp`");
    world.introspection.revoke(&token);
    assert_eq!(world.told(&token).await, json!({ "active": false }));
    assert_eq!(world.told(&other).await["active"], true);
    assert_eq!(world.told("unknown").await, json!({ "active": false }));
}

/// INT-04.
#[tokio::test]
async fn an_answer_is_set_exactly() {
    let world = World::new();
    let introspection = &world.introspection;
    for answer in
        [json!({}), json!([]), json!({ "active": 1 }), json!({ "active": true, "x": null })]
    {
        introspection.set("a", answer.clone());
        assert_eq!(world.told("a").await, answer);
    }
    introspection.set_raw("a", r#"{"active":false,"active":true}"#);
    assert_eq!(text(&world.ask("a").await), r#"{"active":false,"active":true}"#);
    introspection.set("a", json!({ "active": true }));
    assert_eq!(world.told("a").await, json!({ "active": true }));
    assert_eq!(world.told("A").await, json!({ "active": false }));
}

/// INT-01, INT-12.
#[tokio::test]
async fn what_is_no_question_is_refused() {
    let world = World::new();
    let token = world.introspection.active(world.token());
    let good = form(&[("token", &token)]);
    let url = world.introspection.url().to_owned();
    let typed = |method: &str, url: &str, content_type: &str, body: &str| {
        let builder = Request::builder().method(method).uri(url).header(CONTENT_TYPE, content_type);
        builder.body(Bytes::from(body.to_owned())).unwrap()
    };
    let mut two_types = question(&token);
    two_types.headers_mut().append(CONTENT_TYPE, FORM.parse().unwrap());
    let mut no_type = question(&token);
    no_type.headers_mut().remove(CONTENT_TYPE);
    let in_url = format!("{url}?{good}");
    let refused = [
        ("GET", typed("GET", &url, FORM, &good)),
        ("PUT", typed("PUT", &url, FORM, &good)),
        ("token in the URL", typed("GET", &in_url, FORM, "")),
        ("token in the URL too", typed("POST", &in_url, FORM, &good)),
        ("JSON", typed("POST", &url, "application/json", &good)),
        ("a longer type", typed("POST", &url, "application/x-www-form-urlencoded2", &good)),
        ("no type", no_type),
        ("two types", two_types),
        ("no token", post("token_type_hint=access_token")),
        ("empty token", post("token=")),
        ("nothing", post("")),
        ("two tokens", post(format!("{good}&{good}"))),
        ("another parameter twice", post(format!("{good}&a=1&a=2"))),
        ("an encoded name twice", post(format!("{good}&%74oken=b"))),
    ];
    let count = refused.len();
    for (name, request) in refused {
        let answer = world.fetch(request).await.unwrap();
        assert_eq!(answer.status(), StatusCode::BAD_REQUEST, "{name}");
        assert_eq!(text(&answer), r#"{"error":"invalid_request"}"#, "{name}");
    }
    let accepted = [
        ("question", question(&token)),
        ("type with a parameter", typed("POST", &url, &format!("{FORM}; charset=UTF-8"), &good)),
        ("type in capitals", typed("POST", &url, &FORM.to_uppercase(), &good)),
        ("hint", post(format!("{good}&token_type_hint=access_token"))),
    ];
    for (name, request) in accepted {
        let answer = world.fetch(request).await.unwrap();
        assert_eq!(answer.status(), StatusCode::OK, "{name}");
        assert!(text(&answer).contains(r#""active":true"#), "{name}");
    }
    assert_eq!(world.introspection.calls(), count + 4);
    assert_eq!(world.introspection.requests()[2].uri().query(), Some(&*good));
}

/// INT-01: a form that does not encode asks about another token.
#[tokio::test]
async fn a_token_is_decoded_from_its_form() {
    let world = World::new();
    let token = "a+b/c=d~e&f%20g ä";
    world.introspection.active_as(token, world.token());
    assert_eq!(world.told(token).await["active"], true);
    let request = &world.introspection.requests()[0];
    assert_eq!(request.form("token").as_deref(), Some(token));
    assert_eq!(request.form("Token"), None);
    assert_eq!(request.body(), form(&[("token", token)]));
    assert_eq!((request.method().as_str(), request.headers().len()), ("POST", 1));

    let answer = world.fetch(post("token=a+b/c=d~e")).await.unwrap();
    assert_eq!(text(&answer), r#"{"active":false}"#);
}

/// INT-10: the endpoint is where it is, and a clone is the same one.
#[tokio::test]
async fn the_endpoint_is_at_its_url_only() {
    let world = World::new();
    let other = TestIntrospection::new("https://other.example/i?tenant=1", &world.clock);
    let network = world.network.clone().with_introspection(&other);
    let token = other.clone().active(world.token());
    let ask = |url: &str| {
        let request = Request::post(url).header(CONTENT_TYPE, FORM);
        network.fetch(request.body(form(&[("token", &token)]).into()).unwrap(), LIMITS)
    };
    let answer = ask("https://other.example/i?tenant=1").await.unwrap();
    assert!(text(&answer).contains(r#""active":true"#));
    let answer = ask("https://as.example/introspect").await.unwrap();
    assert_eq!(text(&answer), r#"{"active":false}"#);
    for url in ["https://other.example/i", "https://as.example/introspect/", "https://a.example/"] {
        assert_eq!(ask(url).await.unwrap().status(), StatusCode::NOT_FOUND, "{url}");
    }
    assert_eq!((other.calls(), world.introspection.calls()), (1, 1));
}

fn with_basic(token: &str, id: &str, secret: &str) -> Request<Bytes> {
    let encode = |text: &str| form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>();
    with_authorization(
        token,
        &format!("Basic {}", STANDARD.encode(format!("{}:{}", encode(id), encode(secret)))),
    )
}

fn with_authorization(token: &str, value: &str) -> Request<Bytes> {
    let mut request = question(token);
    request.headers_mut().append(AUTHORIZATION, value.parse().unwrap());
    request
}

/// INT-02, INT-11.
#[tokio::test]
async fn a_client_that_is_required_has_to_show_its_secret() {
    let world = World::new();
    let token = world.introspection.active(world.token());
    let (id, secret) = ("rs:1 ä", "s3+cret/%=:&");
    world.introspection.require_client(id, secret);

    let accepted = world.fetch(with_basic(&token, id, secret)).await.unwrap();
    assert_eq!(accepted.status(), StatusCode::OK);
    let seen = world.introspection.requests().pop().unwrap().client();
    assert_eq!(seen, Some((id.to_owned(), secret.to_owned())));

    let mut twice = with_basic(&token, id, secret);
    let field = twice.headers()[AUTHORIZATION].clone();
    twice.headers_mut().append(AUTHORIZATION, field);
    let raw = format!("Basic {}", STANDARD.encode(format!("{id}:{secret}")));
    let refused = [
        ("nothing", question(&token)),
        ("another secret", with_basic(&token, id, "s3")),
        ("another client", with_basic(&token, "rs", secret)),
        ("not form-encoded", with_authorization(&token, &raw)),
        ("another scheme", with_authorization(&token, "Bearer s3")),
        ("no base64", with_authorization(&token, "Basic ?")),
        ("twice", twice),
        (
            "in the form",
            post(form(&[("token", &token), ("client_id", id), ("client_secret", secret)])),
        ),
    ];
    for (name, request) in refused {
        let answer = world.fetch(request).await.unwrap();
        assert_eq!(answer.status(), StatusCode::UNAUTHORIZED, "{name}");
        assert_eq!(text(&answer), r#"{"error":"invalid_client"}"#, "{name}");
    }

    world.introspection.require_nothing();
    assert_eq!(world.ask(&token).await.status(), StatusCode::OK);
}

/// INT-02, INT-11.
#[tokio::test]
async fn a_client_can_be_in_the_form_or_have_a_token() {
    let world = World::new();
    let token = world.introspection.active(world.token());
    let in_form =
        |secret| form(&[("token", &token), ("client_id", "rs"), ("client_secret", secret)]);
    let status = async |request| world.fetch(request).await.unwrap().status();

    world.introspection.require_client_in_form("rs", "s3");
    assert_eq!(status(post(in_form("s3"))).await, StatusCode::OK);
    assert_eq!(status(post(in_form("s4"))).await, StatusCode::UNAUTHORIZED);
    assert_eq!(status(with_basic(&token, "rs", "s3")).await, StatusCode::UNAUTHORIZED);
    // RFC 6749 §2.3: one method, not two.
    let mut both = with_basic(&token, "rs", "s3");
    *both.body_mut() = in_form("s3").into();
    assert_eq!(status(both).await, StatusCode::BAD_REQUEST);

    world.introspection.require_bearer("t0ken");
    assert_eq!(status(with_authorization(&token, "Bearer t0ken")).await, StatusCode::OK);
    for value in ["Bearer other", "Basic t0ken", "t0ken"] {
        let answer = world.fetch(with_authorization(&token, value)).await.unwrap();
        assert_eq!(answer.status(), StatusCode::UNAUTHORIZED, "{value}");
    }
    assert_eq!(world.ask(&token).await.status(), StatusCode::UNAUTHORIZED);
}

/// INT-24.
#[tokio::test]
async fn an_unauthenticated_question_for_a_signed_answer_is_a_bad_request() {
    let world = World::new();
    let token = world.introspection.active(world.token());
    world.introspection.require_client("rs", "s3");
    assert_eq!(world.ask(&token).await.status(), StatusCode::UNAUTHORIZED);
    world.introspection.sign_with(&world.issuer, "rs");
    assert_eq!(world.ask(&token).await.status(), StatusCode::BAD_REQUEST);
    let wrong = world.fetch(with_basic(&token, "rs", "s4")).await.unwrap();
    assert_eq!(wrong.status(), StatusCode::UNAUTHORIZED);
    let right = world.fetch(with_basic(&token, "rs", "s3")).await.unwrap();
    assert_eq!(right.status(), StatusCode::OK);
}

/// INT-15, INT-16, INT-20.
#[tokio::test]
async fn a_signed_answer_has_the_members_of_rfc_9701() {
    let world = World::new();
    let token = world.introspection.active(world.token());
    let plain = world.told(&token).await;
    world.introspection.sign_with(&world.issuer, "rs-client");
    world.clock.advance(Duration::from_millis(90_500));

    for (asked, inner) in [(&*token, plain), ("unknown", json!({ "active": false }))] {
        let answer = world.ask_for_jwt(asked).await;
        assert_eq!(answer.headers()[CONTENT_TYPE], "application/token-introspection+jwt");
        let jwt = text(&answer);
        assert_eq!(
            header(jwt),
            json!({ "alg": "ES256", "typ": "token-introspection+jwt", "kid": "k1" })
        );
        assert_eq!(
            payload(jwt),
            json!({
                "iss": "https://as.example",
                "aud": "rs-client",
                "iat": 1_800_000_090,
                "token_introspection": inner,
            })
        );
        assert!(verifies(jwt, &world.issuer.key()));
        assert!(!verifies(jwt, &TestKey::generate(Algorithm::Es256, "k1")));
    }

    let old = world.issuer.key();
    world.issuer.rotate_to(Algorithm::Ps256);
    let answer = world.ask_for_jwt(&token).await;
    assert_eq!(header(text(&answer))["alg"], "PS256");
    assert!(verifies(text(&answer), &world.issuer.key()));
    assert!(!verifies(text(&answer), &old));
}

/// INT-15: who does not ask for a JWT gets none, and INT-22: who asks may get none.
#[tokio::test]
async fn an_answer_is_signed_for_whom_asks_so() {
    const MEDIA: &str = TestIntrospection::MEDIA_TYPE;
    let world = World::new();
    let token = world.introspection.active(world.token());
    let answer = world.ask_for_jwt(&token).await;
    assert_eq!(answer.headers()[CONTENT_TYPE], "application/json", "nobody signs");

    world.introspection.sign_with(&world.issuer, "rs-client");
    let rows = [
        (None, "application/json"),
        (Some("application/json"), "application/json"),
        (Some("*/*"), "application/json"),
        (Some("application/token-introspection+jwtx"), "application/json"),
        (Some("application/json, application/Token-Introspection+jwt;q=0.9"), MEDIA),
        (Some(MEDIA), MEDIA),
    ];
    for (accept, wanted) in rows {
        let mut request = question(&token);
        if let Some(accept) = accept {
            request.headers_mut().insert(ACCEPT, accept.parse().unwrap());
        }
        let answer = world.fetch(request).await.unwrap();
        assert_eq!(answer.headers()[CONTENT_TYPE], wanted, "{accept:?}");
        assert_eq!(text(&answer).starts_with('{'), wanted != MEDIA, "{accept:?}");
    }

    world.introspection.answer_json();
    assert_eq!(world.ask_for_jwt(&token).await.headers()[CONTENT_TYPE], "application/json");
    world.introspection.answer_jwt();
    assert_eq!(world.ask(&token).await.headers()[CONTENT_TYPE], MEDIA);
    world.introspection.mend();
    assert_eq!(world.ask(&token).await.headers()[CONTENT_TYPE], "application/json");
    assert_eq!(world.ask_for_jwt(&token).await.headers()[CONTENT_TYPE], MEDIA);
}

/// INT-16, INT-17: each override changes one thing, and a mended endpoint none.
#[tokio::test]
async fn a_signed_answer_can_be_wrong_in_each_way() {
    let world = World::new();
    let introspection = &world.introspection;
    let token = introspection.active(world.token());
    introspection.sign_with(&world.issuer, "rs-client");
    let good = world.ask_for_jwt(&token).await;
    let (good_header, good_payload) = (header(text(&good)), payload(text(&good)));
    let key = world.issuer.key();

    introspection.edit(|jwt| jwt.header("typ", "at+jwt"));
    let answer = world.ask_for_jwt(&token).await;
    assert_eq!(header(text(&answer))["typ"], "at+jwt");
    assert_eq!(payload(text(&answer)), good_payload);
    assert!(verifies(text(&answer), &key));

    for (name, value) in [
        ("aud", json!("somebody")),
        ("iss", json!("https://other.example")),
        ("iat", json!(1)),
        ("scope", json!("admin")),
        ("token_introspection", json!("text")),
        ("token_introspection", Value::Null),
    ] {
        let new = value.clone();
        introspection.edit(move |jwt| match &new {
            Value::Null => jwt.without(name),
            new => jwt.claim(name, new),
        });
        let answer = world.ask_for_jwt(&token).await;
        let mut wanted = good_payload.clone();
        match value {
            Value::Null => drop(wanted.as_object_mut().unwrap().remove(name)),
            value => wanted[name] = value,
        }
        assert_eq!(payload(text(&answer)), wanted, "{name}");
        assert_eq!(header(text(&answer)), good_header, "{name}");
        assert!(verifies(text(&answer), &key), "{name}");
    }
    introspection.mend();

    introspection.sign_by(|jwt| jwt.sign_with(&TestKey::generate(Algorithm::Es256, "k1")));
    let answer = world.ask_for_jwt(&token).await;
    assert_eq!(
        (header(text(&answer)), payload(text(&answer))),
        (good_header.clone(), good_payload)
    );
    assert!(!verifies(text(&answer), &key));
    introspection.sign_by(|jwt| jwt.unsigned("none"));
    let answer = world.ask_for_jwt(&token).await;
    assert_eq!(header(text(&answer))["alg"], "none");
    assert!(text(&answer).ends_with('.'));
    introspection.sign_by(|jwt| format!("{}.e30.e30", jwt.sign()));
    let answer = world.ask_for_jwt(&token).await;
    assert_eq!(text(&answer).split('.').count(), 5);
    assert_eq!(answer.headers()[CONTENT_TYPE], TestIntrospection::MEDIA_TYPE);

    introspection.mend();
    let answer = world.ask_for_jwt(&token).await;
    assert_eq!(header(text(&answer)), good_header);
    assert!(verifies(text(&answer), &key));
}

/// INT-11, DISC-10, AUTH-32: every failure is told, and ends with [`TestIntrospection::recover`].
#[tokio::test]
async fn a_question_fails_as_it_is_told() {
    use IntrospectionFailure as F;
    let world = World::new();
    let introspection = &world.introspection;
    let token = introspection.active(world.token());
    let good = world.told(&token).await;

    let unavailable = StatusCode::SERVICE_UNAVAILABLE;
    let given = Response::builder().status(307).header("location", "/a").body("b".into()).unwrap();
    let rows: Vec<(IntrospectionFailure, u16, &str, &str)> = vec![
        (F::Status(unavailable), 503, "retry-after", ""),
        (unavailable.into(), 503, "retry-after", ""),
        (Failure::Status(StatusCode::FORBIDDEN).into(), 403, "retry-after", ""),
        (F::RetryAfter(StatusCode::TOO_MANY_REQUESTS, "30".to_owned()), 429, "retry-after", "30"),
        (
            F::Redirect("http://169.254.169.254/".to_owned()),
            302,
            "location",
            "http://169.254.169.254/",
        ),
        (
            Failure::Redirect("https://b.example/".to_owned()).into(),
            302,
            "location",
            "https://b.example/",
        ),
        (F::ContentType("text/html".to_owned()), 200, "content-type", "text/html"),
        (F::ContentType(String::new()), 200, "content-type", ""),
        (F::Body("{\"active\":tru".into()), 200, "content-type", "application/json"),
        (Failure::Body(b"\xff\xfe".to_vec()).into(), 200, "content-type", "application/json"),
        (F::Response(given), 307, "location", "/a"),
    ];
    for (failure, status, field, value) in rows {
        let name = format!("{failure:?}");
        introspection.fail(failure.clone());
        for _ in 0..2 {
            let answer = world.ask(&token).await;
            assert_eq!(answer.status(), status, "{name}");
            let found = answer.headers().get(field).map_or("", |found| found.to_str().unwrap());
            assert_eq!(found, value, "{name}");
            match &failure {
                F::ContentType(_) => {
                    assert_eq!(serde_json::from_slice::<Value>(answer.body()).unwrap(), good)
                }
                F::Body(body) => assert_eq!(answer.body(), body),
                F::Response(response) => assert_eq!(answer.body(), response.body()),
                _ => assert!(answer.body().is_empty(), "{name}"),
            }
        }
        introspection.recover();
        assert_eq!(world.told(&token).await, good, "{name}");
    }

    for kind in [FetchErrorKind::Connection, FetchErrorKind::Timeout, FetchErrorKind::TooLarge] {
        introspection.fail(kind);
        assert_eq!(world.fetch(question(&token)).await.unwrap_err().kind(), kind);
        introspection.recover();
        assert!(world.fetch(question(&token)).await.is_ok());
    }
    introspection.fail(Failure::Connection);
    let error = world.fetch(question(&token)).await.unwrap_err();
    assert_eq!(error.kind(), FetchErrorKind::Connection);
}

/// AUTH-32: an outage that ends by itself.
#[tokio::test]
async fn a_failure_once_comes_before_one_that_stays() {
    let world = World::new();
    let token = world.introspection.active(world.token());
    let status = async || world.ask(&token).await.status().as_u16();
    world.introspection.fail_once(StatusCode::BAD_GATEWAY);
    world.introspection.fail_once(StatusCode::GATEWAY_TIMEOUT);
    assert_eq!([status().await, status().await, status().await], [502, 504, 200]);
    world.introspection.fail(StatusCode::FORBIDDEN);
    world.introspection.fail_once(StatusCode::BAD_GATEWAY);
    assert_eq!([status().await, status().await, status().await], [502, 403, 403]);
    world.introspection.fail_once(StatusCode::BAD_GATEWAY);
    world.introspection.recover();
    assert_eq!(status().await, 200);
}

/// DISC-10: the limit is the transport's, and once it does not keep it.
#[tokio::test]
async fn an_answer_that_is_too_large_is_none() {
    let world = World::new();
    let token = world.introspection.active(world.token());
    let length = world.ask(&token).await.body().len();
    let fetch = async |most| {
        let limits = FetchLimits::new(most, Duration::from_secs(5));
        world.network.fetch(question(&token), limits).await
    };
    assert_eq!(fetch(length).await.unwrap().body().len(), length);
    assert_eq!(fetch(length - 1).await.unwrap_err().kind(), FetchErrorKind::TooLarge);
    world.introspection.fail(IntrospectionFailure::Body(vec![b' '; 101].into()));
    assert_eq!(fetch(100).await.unwrap_err().kind(), FetchErrorKind::TooLarge);
    world.introspection.fail(IntrospectionFailure::Overlong);
    let answer = fetch(4_096).await.unwrap();
    assert_eq!(answer.body().len(), 4_097);
    let told: Value = serde_json::from_slice(answer.body()).unwrap();
    assert_eq!(told["active"], true, "a good answer but for its length");
}

/// AUTH-32: who waits for an answer that does not come has to give up.
#[tokio::test]
async fn silence_lasts_until_one_gives_up() {
    let world = World::new();
    let token = world.introspection.active(world.token());
    world.introspection.fail_once(Failure::Silence);
    let mut silent = Box::pin(world.fetch(question(&token)));
    let mut context = Context::from_waker(Waker::noop());
    for _ in 0..3 {
        assert!(matches!(silent.as_mut().poll(&mut context), Poll::Pending));
        world.clock.advance(Duration::from_hours(1));
        world.introspection.recover();
        world.introspection.release();
    }
    assert_eq!((world.introspection.calls(), world.introspection.under_way()), (1, 1));
    drop(silent);
    assert_eq!(world.introspection.under_way(), 0);
    assert_eq!(world.ask(&token).await.status(), StatusCode::OK);
    assert_eq!(world.introspection.most_at_once(), 1);
}

/// INT-09: what a test of coalescing counts.
#[tokio::test]
async fn held_questions_are_under_way_until_they_are_released() {
    let world = World::new();
    let token = world.introspection.active(world.token());
    assert_eq!(world.introspection.most_at_once(), 0);
    world.introspection.hold();
    let asked: Vec<_> = (0..1_000)
        .map(|_| {
            let (world, token) = (world.clone(), token.clone());
            tokio::spawn(async move { world.told(&token).await })
        })
        .collect();
    world.introspection.called(1_000).await;
    assert_eq!((world.introspection.calls(), world.introspection.under_way()), (1_000, 1_000));
    assert!(asked.iter().all(|asked| !asked.is_finished()));
    // The answer is what is known when they are released.
    world.introspection.revoke(&token);
    world.introspection.release();
    for asked in asked {
        assert_eq!(asked.await.unwrap(), json!({ "active": false }));
    }
    assert_eq!((world.introspection.under_way(), world.introspection.most_at_once()), (0, 1_000));

    for _ in 0..3 {
        world.ask(&token).await;
    }
    assert_eq!((world.introspection.calls(), world.introspection.most_at_once()), (1_003, 1_000));
}

/// INT-09: an answer that was overtaken by a revocation.
#[tokio::test]
async fn a_held_answer_is_what_was_known_when_the_question_came() {
    let world = World::new();
    let token = world.introspection.active(world.token());
    world.introspection.hold_answers();
    let mut held = Box::pin(world.told(&token));
    let mut context = Context::from_waker(Waker::noop());
    assert!(matches!(held.as_mut().poll(&mut context), Poll::Pending));
    world.introspection.revoke(&token);
    assert!(matches!(held.as_mut().poll(&mut context), Poll::Pending));
    world.introspection.release();
    assert_eq!(held.await["active"], true);
    assert_eq!(world.told(&token).await["active"], false);
}

/// AUTH-22, INT-09: nothing that is printed has the token, the client's secret or an answer.
#[tokio::test]
async fn what_is_printed_has_no_secret() {
    let world = World::new();
    let token = world.introspection.active(world.token());
    let mut request = with_basic(&token, "rs", "s3cret");
    let secrets = form(&[
        ("token", &token),
        ("token_type_hint", "access_token"),
        ("client_secret", "s3cret"),
        ("other", "s3cret"),
    ]);
    *request.body_mut() = secrets.into();
    world.fetch(request).await.unwrap();
    world.fetch(post(format!("{{\"{token}\":\"s3cret\"}}"))).await.unwrap();
    let in_url = format!("{}?token={token}", world.introspection.url());
    world.fetch(Request::get(in_url).body(Bytes::new()).unwrap()).await.unwrap();

    let failure = IntrospectionFailure::Body("s3cret".into());
    let response = IntrospectionFailure::Response(Response::new("s3cret".into()));
    world.introspection.fail(failure.clone());
    let printed = format!(
        "{:?} {:?} {failure:?} {response:?} {:?}",
        world.introspection.requests(),
        world.introspection,
        world.network
    );
    let basic = STANDARD.encode("rs:s3cret");
    for secret in [&*token, "s3cret", &basic, "notes:read"] {
        assert!(!printed.contains(secret), "{printed}");
    }
    for plain in ["POST", "/introspect", "authorization", "token_type_hint", "access_token"] {
        assert!(printed.contains(plain), "{plain}: {printed}");
    }
    // Who asks for it has it.
    assert_eq!(world.introspection.requests()[0].form("token"), Some(token));
}

#[test]
#[should_panic(expected = "claims are an object")]
fn claims_that_are_no_object_are_a_fault_of_the_test() {
    let world = World::new();
    let _ = world.introspection.active(world.token().raw_payload("[]"));
}
