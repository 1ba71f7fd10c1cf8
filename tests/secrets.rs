//! What is printed and logged: never a token, a part of one, or what its claims say of somebody.
//!
//! AUTH-22, BCP-04, NHI-02, AT-19.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

mod support;

use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};

use axum::Router;
use axum::body::Body;
use axum::routing::get;
use http::Response;
use portcullis::axum::Claims;
use portcullis::check::{CheckContext, CheckError, allow_all, scope};
use portcullis::credentials::{Credentials, MAX_TOKEN};
use portcullis::jose::{Algorithm, Compact, base64url};
use portcullis::testing::{Failure, ManualClock, TestIssuer, TestKey, TestNetwork};
use portcullis::{Issuer, Rejection, RejectionKind};
use serde_json::json;
use support::{
    ISSUER, Log, NAMED, PRIVATE, RESOURCE, World, anonymous, bearer, builder, every_refusal,
    field_bytes, present, printed, printed_error, send,
};
use tower::{Layer as _, Service as _, ServiceExt as _, service_fn};

/// Fails if the text has the token, a piece of a part of it, or a part decoded.
fn assert_no_token(what: &str, text: &str, token: &str) {
    assert!(!text.contains(token), "{what}: {text}");
    for part in token.split('.') {
        // Sixteen characters are found in nothing else.
        let pieces = (0..part.len().saturating_sub(15)).step_by(4);
        for piece in pieces.filter_map(|at| part.get(at..at + 16)) {
            assert!(!text.contains(piece), "{what}: {piece} in {text}");
        }
        if let Some(decoded) = base64url::decode(part).ok().and_then(|d| String::from_utf8(d).ok())
            && decoded.len() > 15
        {
            assert!(!text.contains(&decoded), "{what}: {text}");
        }
    }
}

#[test]
fn the_search_finds_what_it_looks_for() {
    let clock = ManualClock::new();
    let token = TestIssuer::new(ISSUER, &clock).token(RESOURCE).sign();
    let (head, tail) = token.split_at(token.len() / 2);
    let payload = token.split('.').nth(1).unwrap();
    let decoded = String::from_utf8(base64url::decode(payload).unwrap()).unwrap();
    for text in [&token, head, tail, payload, &decoded, &format!("x{}y", &tail[..40])] {
        let found = std::panic::catch_unwind(|| assert_no_token("", text, &token));
        assert!(found.is_err(), "{text}");
    }
    assert_no_token("", "refused: the signature does not verify", &token);
}

#[tokio::test]
async fn no_log_line_holds_a_token_or_more_of_it_than_its_client() {
    let log = Log::start();
    for case in every_refusal(|builder| builder).await {
        let kind = case.kind;
        log.take();
        let sent = send(&case.layer, case.request).await;
        assert_eq!(sent.kind(), Some(kind));
        let text = log.take();
        // It was logged, with its kind and its step.
        let step = kind.step().map(|step| format!(" step={}", step.number()));
        let line = format!("kind=\"{}\"{}", kind.as_str(), step.unwrap_or_default());
        assert!(text.contains(&line), "{text}");
        // The client, which a decision names once its issuer has signed for it, and nothing else.
        let client = format!("client=\"{PRIVATE}-client\"");
        assert!(!text.replace(&client, "").contains(PRIVATE), "{kind:?}: {text}");
        if let Some(token) = case.token {
            assert_no_token(kind.as_str(), &text, &token);
        }
        // What is wrong is named to operators, where that is no secret.
        if matches!(kind, RejectionKind::UnknownKey | RejectionKind::WrongType) {
            assert!(text.contains(NAMED), "{kind:?}: {text}");
        }
    }
}

#[tokio::test]
async fn an_accepted_token_is_not_logged() {
    let log = Log::start();
    let clock = ManualClock::new();
    let issuer = TestIssuer::new(ISSUER, &clock);
    let api = builder(&clock)
        .issuer(issuer.discover())
        .policy(scope("a"))
        .transport(TestNetwork::of(&[&issuer]))
        .build()
        .unwrap();
    let good = || issuer.token(RESOURCE).scope("a").claim("email", PRIVATE).sign();
    // A cold server, an issuer that fails and comes back, a warm server.
    issuer.fail(Failure::Connection);
    let mut tokens = vec![good()];
    assert!(!send(&api.layer(), bearer(&tokens[0])).await.passed());
    issuer.recover();
    clock.advance(std::time::Duration::from_mins(2));
    for _ in 0..3 {
        tokens.push(good());
        let sent = send(&api.layer(), bearer(tokens.last().unwrap())).await;
        assert!(sent.passed());
    }
    let text = log.take();
    assert!(text.contains("keys could not be fetched"), "{text}");
    assert!(!text.contains(PRIVATE), "{text}");
    for token in tokens {
        assert_no_token("accepted", &text, &token);
    }
}

/// The text for operators, its sources, and the answer that carries them.
#[tokio::test]
async fn no_refusal_prints_a_token_or_whom_it_is_about() {
    for case in every_refusal(|builder| builder).await {
        let kind = case.kind.as_str();
        let sent = send(&case.layer, case.request).await;
        let rejection = sent.response.extensions().get::<Rejection>().unwrap();
        #[rustfmt::skip]
        let mut texts = vec![
            ("rejection", printed_error(rejection)),
            ("response", printed(&sent.response)),
            ("response of its own", printed(&rejection.to_response::<String>())),
            ("layer", printed(&case.layer)),
        ];
        for (name, value) in field_bytes(sent.response.headers()) {
            texts.push(("field", format!("{name}: {}", String::from_utf8(value).unwrap())));
        }
        for (what, text) in texts {
            let what = format!("{kind}, {what}");
            assert!(!text.contains(PRIVATE), "{what}: {text}");
            if let Some(token) = &case.token {
                assert_no_token(&what, &text, token);
            }
        }
    }
}

#[tokio::test]
async fn what_holds_a_token_does_not_print_it() {
    let world = World::new().await;
    let token = world.token().claim("email", PRIVATE).sign();
    let field = format!("Bearer {token}");
    let credentials = Credentials::parse(field.as_bytes(), MAX_TOKEN).unwrap();
    assert_eq!(credentials.token(), token);
    let jws = Compact::parse(credentials.token()).unwrap();
    let access = present(&world.api, &token).await.unwrap();
    let email: serde_json::Value = access.claims().unwrap();
    assert_eq!(email["email"], PRIVATE, "it is there");
    let request = bearer(&token);
    let layer = world.api.protect(allow_all());
    let passed = send(&layer, request).await;
    for (what, text) in [
        ("credentials", printed(&credentials)),
        ("compact", printed(&jws)),
        ("header", printed(&jws.header().unwrap())),
        ("access", printed(&access)),
        ("access of a request", printed(passed.access().unwrap())),
        ("server", printed(&world.api)),
        ("guard", printed(&world.api.guard(allow_all()).unwrap())),
        ("layer", printed(&layer)),
        ("health", printed(&world.api.health())),
        ("metadata", printed(&world.api.metadata_service())),
    ] {
        assert!(!text.contains(PRIVATE), "{what}: {text}");
        assert_no_token(what, &text, &token);
    }
}

/// Errors of the parts, each used on its own.
#[test]
fn no_error_of_a_part_holds_what_was_parsed() {
    let clock = ManualClock::new();
    let issuer = TestIssuer::new(ISSUER, &clock);
    let token =
        |name: &str| issuer.token(RESOURCE).header(name, PRIVATE).claim("exp", PRIVATE).sign();
    for name in ["crit", "alg", "zip", "x"] {
        let token = token(name);
        let broken = format!("{token}=");
        let fields = [
            format!("Bearer {token} x"),
            format!("Basic {token}"),
            format!("Bearer {}", token.repeat(60)),
        ];
        let mut texts: Vec<String> = fields
            .iter()
            .map(|field| {
                printed_error(&Credentials::parse(field.as_bytes(), MAX_TOKEN).unwrap_err())
            })
            .collect();
        texts.push(printed_error(&Compact::parse(&broken).unwrap_err()));
        let jws = Compact::parse(&token).unwrap();
        match jws.header() {
            Ok(_) => assert_eq!(name, "x"),
            Err(error) => texts.push(printed_error(&error)),
        }
        let claims = portcullis::jose::ClaimsSet::parse(jws.payload()).unwrap();
        texts.push(printed_error(&claims.time("exp").unwrap_err()));
        let cut = &jws.payload()[..jws.payload().len() - 1];
        texts.push(printed_error(&portcullis::jose::ClaimsSet::parse(cut).unwrap_err()));
        for text in texts {
            assert!(!text.contains(PRIVATE), "{text}");
            assert_no_token(name, &text, &token);
        }
    }
}

/// A check is given the request: what it prints of it while it is written, or logs for good, is
/// not the token.
#[tokio::test]
async fn what_a_check_is_given_does_not_print_the_token() {
    let world = World::new().await;
    let text = Arc::new(Mutex::new(String::new()));
    let keep = Arc::clone(&text);
    let layer = world.api.protect(move |request: &CheckContext<'_>| -> Result<(), CheckError> {
        *keep.lock().unwrap() = format!("{}{}", printed(request), printed(&request.head()));
        Ok(())
    });
    let token = world.token().claim("email", PRIVATE).sign();
    assert!(send(&layer, bearer(&token)).await.passed());
    let text = std::mem::take(&mut *text.lock().unwrap());
    assert!(text.contains("/notes"), "{text}");
    assert!(!text.contains(PRIVATE), "{text}");
    assert_no_token("check", &text, &token);
}

#[tokio::test]
async fn a_decision_that_waits_does_not_print_its_request() {
    let clock = ManualClock::new();
    let issuer = TestIssuer::new(ISSUER, &clock);
    issuer.hold();
    let api = builder(&clock)
        .issuer(issuer.jwks())
        .transport(TestNetwork::of(&[&issuer]))
        .build()
        .unwrap();
    let inner =
        service_fn(|_| async { Ok::<_, std::convert::Infallible>(Response::new(String::new())) });
    let mut service = api.layer().layer(inner);
    let token = issuer.token(RESOURCE).sign();
    let mut decision = Box::pin(service.ready().await.unwrap().call(bearer(&token)));
    let mut context = Context::from_waker(Waker::noop());
    assert!(matches!(decision.as_mut().poll(&mut context), Poll::Pending));
    assert_no_token("future", &printed(&decision), &token);
    issuer.release();
    assert_eq!(decision.await.unwrap().status(), 200);
    assert_eq!(service.call(anonymous()).await.unwrap().status(), 401);
}

/// An extractor whose claims do not fit: serde's message would hold the value.
#[tokio::test]
async fn claims_of_another_shape_are_not_printed() {
    #[derive(serde::Deserialize)]
    struct Wanted {
        #[expect(dead_code, reason = "only read")]
        email: u64,
    }
    async fn handler(_: Claims<Wanted>) {}
    let log = Log::start();
    let world = World::new().await;
    let app = Router::new().route("/notes", get(handler)).layer(world.api.protect(allow_all()));
    let ask = async |token: &str| {
        let request = bearer(token).map(Body::from);
        app.clone().oneshot(request).await.unwrap()
    };
    let fits = world.token().claim("email", 1).sign();
    assert_eq!(ask(&fits).await.status(), 200);
    let token = world.token().claim("email", PRIVATE).sign();
    let refused = ask(&token).await;
    assert_eq!(refused.status(), 401);
    let rejection = refused.extensions().get::<Rejection>().unwrap();
    let text = format!("{}{}{}", log.take(), printed_error(rejection), printed(&refused));
    assert!(text.contains("the claims are not a `"), "{text}");
    assert!(!text.contains(PRIVATE), "{text}");
    assert_no_token("claims", &text, &token);

    // Which is not there, is a name of the type's own.
    ask(&world.token().sign()).await;
    let text = log.take();
    assert!(text.contains("claim `email` is absent: make the field an `Option`"), "{text}");
}

/// JWS-31: a private key that was published by mistake is named, and not spread further.
#[tokio::test]
async fn a_leaked_private_key_is_reported_and_not_repeated() {
    let log = Log::start();
    let clock = ManualClock::new();
    let issuer = TestIssuer::new(ISSUER, &clock);
    let mut leaked = TestKey::generate(Algorithm::EdDsa, "leaked").public_jwk();
    leaked["d"] = json!(base64url::encode(PRIVATE.repeat(2)));
    let secret = leaked["d"].as_str().unwrap().to_owned();
    issuer.publish(leaked.clone());
    let api = builder(&clock)
        .issuer(issuer.jwks())
        .transport(TestNetwork::of(&[&issuer]))
        .build()
        .unwrap();
    api.warm_up().await.unwrap();
    let set = json!({"keys": [leaked, {"kty": "oct", "k": secret}]}).to_string();
    let fixed = Issuer::fixed_keys(ISSUER, set);
    let shown = printed(&fixed);
    let faults = builder(&clock).issuer(fixed).build().map(|_| ()).unwrap_err();
    let (text, health, faults) = (log.take(), printed(&api.health()), printed_error(&faults));
    for (what, text) in [("log", text), ("health", health), ("faults", faults)] {
        assert!(text.contains("leaked"), "{what}: {text}");
        assert!(!text.contains(&secret[..16]), "{what}: {text}");
    }
    assert!(!shown.contains(&secret[..16]), "{shown}");
}

/// What a token says can be logged, but not as a line of its own.
#[tokio::test]
async fn a_token_cannot_write_a_line_into_the_log() {
    let log = Log::start();
    let world = World::new().await;
    let forged = "x\nERROR forged line \u{1b}[31m\r\nERROR \u{2028}";
    for token in [
        world.token().header("kid", forged).sign(),
        world.token().header("typ", forged).sign(),
        world.token().claim("aud", forged).sign(),
        world.token().claim("iss", forged).sign(),
        world.token().header("alg", forged).sign(),
    ] {
        log.take();
        assert!(present(&world.api, &token).await.is_err());
        let text = log.take();
        assert_eq!(text.lines().count(), 1, "{text:?}");
        let controls = text.trim_end_matches('\n').chars().find(|c| c.is_control());
        assert_eq!(controls, None, "{text:?}");
    }
    // A long value does not fill it either.
    let token = world.token().header("kid", "k".repeat(5_000)).sign();
    assert!(present(&world.api, &token).await.is_err());
    assert!(log.take().len() < 1_000);
}
