//! What happens in an outage, and what is told.

use std::sync::Arc;
use std::time::Duration;

use http::header::HOST;
use http::{HeaderValue, Method};
use http_body_util::BodyExt as _;
use portcullis::check::{Check, CheckContext, CheckError, Denial, scope};
use portcullis::testing::{Failure, challenges};
use portcullis::{Policy, Rejection, RejectionKind as Kind, assert_challenge};
use serde_json::Value;
use tower::ServiceExt as _;

use crate::support::{
    NAMED, PRIVATE, RESOURCE, World, anonymous, bearer, every_refusal, junk, outage, present, send,
    settle,
};

/// A deny list that is not reached, and a yes.
#[tokio::test]
async fn an_outage_is_never_a_yes() {
    fn no(_: &CheckContext<'_>) -> Result<(), CheckError> {
        Err(Denial::forbidden("no").into())
    }
    let world = World::new().await;
    let token = world.token().scope("a").sign();
    let policies: [(&str, Policy, u16); 11] = [
        ("yes", scope("a").into(), 200),
        ("outage", outage.into(), 503),
        ("yes and outage", scope("a").and(outage).into(), 503),
        ("outage and yes", outage.and(scope("a")).into(), 503),
        ("both in a tuple", (scope("a"), outage).into(), 503),
        ("no or outage", no.or(outage).into(), 503),
        ("outage or no", outage.or(no).into(), 503),
        ("outage or outage", outage.or(outage).into(), 503),
        ("no and outage", no.and(outage).into(), 403),
        ("optional", Policy::new(outage).optional(), 503),
        ("in an Arc", Arc::new(outage).into(), 503),
    ];
    for (name, policy, status) in policies {
        let sent = send(&world.api.protect(policy), bearer(&token)).await;
        assert_eq!(sent.response.status(), status, "{name}");
        assert_eq!(sent.passed(), status == 200, "{name}");
    }

    // Keys that are older than an outage may make them.
    assert!(present(&world.api, &token).await.is_ok());
    world.issuer.fail(Failure::Connection);
    let aged = Duration::from_hours(24) + Duration::from_secs(1);
    world.clock.advance(aged);
    settle().await;
    let fresh = world.token().sign();
    for token in [&fresh, &world.token().tampered(), &junk(&world.issuer, "x")] {
        let sent = send(&world.api.layer(), bearer(token)).await;
        assert_eq!(sent.kind(), Some(Kind::KeysUnavailable));
        assert!(!sent.passed());
    }
    world.issuer.recover();
    world.clock.advance(Duration::from_mins(2));
    settle().await;
    assert!(present(&world.api, &world.token().sign()).await.is_ok());
}

/// Parser messages, claims and a user's own reasons in `WWW-Authenticate`, and what they can do
/// to it.
#[tokio::test]
async fn a_refusal_is_fixed_text() {
    // Whatever was wrong, the text depends on its kind alone.
    let mut told = Vec::new();
    for _ in 0..2 {
        let mut texts = Vec::new();
        for case in every_refusal(|builder| builder).await {
            let sent = send(&case.layer, case.request).await;
            let mut headers = sent.response.headers().clone();
            // No two nonces are the same, and none says anything of the request.
            headers.remove("dpop-nonce");
            let text: Vec<_> = headers
                .into_iter()
                .map(|(name, value)| (name, value.to_str().unwrap().to_owned()))
                .collect();
            let shown = format!("{text:?}{}", sent.response.body());
            assert!(!shown.contains(NAMED) && !shown.contains(PRIVATE), "{shown}");
            texts.push((case.kind, text));
        }
        told.push(texts);
    }
    assert_eq!(told[0], told[1]);

    let world = World::new().await;
    let evil = "x\", error=\"none\r\nSet-Cookie: a=b\r\n\r\n<script>";
    for denial in [Denial::forbidden(evil), Denial::invalid_token(evil)] {
        let layer =
            world.api.protect(move |_: &CheckContext<'_>| Err(CheckError::from(denial.clone())));
        let sent = send(&layer, bearer(&world.token().subject(evil).sign())).await;
        assert!(!sent.passed());
        let headers = sent.response.headers();
        assert!(!headers.contains_key("set-cookie"));
        let all = challenges(headers);
        assert_eq!(all.len(), 1);
        for (name, value) in &all[0].params {
            assert!(!value.contains("script") && !value.contains("none"), "{name}: {value}");
        }
        // Operators can read it.
        let rejection = sent.response.extensions().get::<Rejection>().unwrap();
        assert!(rejection.to_string().contains("<script>"));
    }
}

/// CVE-2026-59096: what a request says of its own host, in a document that clients trust.
#[tokio::test]
async fn the_metadata_is_never_made_of_a_request() {
    const METADATA: &str = "https://rs.example/.well-known/oauth-protected-resource";
    let world = World::new().await;
    let mut document = None;
    for (name, value) in [
        ("x-nothing", "x"),
        ("host", "evil.example"),
        ("x-forwarded-host", "evil.example"),
        ("x-forwarded-proto", "http"),
        ("x-forwarded-port", "8080"),
        ("x-forwarded-prefix", "/evil"),
        ("forwarded", "host=evil.example;proto=http"),
        ("x-original-host", "evil.example"),
        ("origin", "https://evil.example"),
        ("referer", "https://evil.example/"),
    ] {
        for uri in ["/notes", "https://evil.example/notes", "//evil.example/notes"] {
            let mut request = anonymous();
            request.headers_mut().insert(HOST, HeaderValue::from_static("rs.example"));
            request.headers_mut().insert(name, HeaderValue::from_static(value));
            *request.uri_mut() = uri.parse().unwrap();
            let refused = send(&world.api.layer(), request.clone()).await.response;
            assert_challenge!(
                refused,
                401,
                "Bearer",
                realm = RESOURCE,
                resource_metadata = METADATA
            );

            *request.method_mut() = Method::GET;
            let served = world.api.metadata_service().oneshot(request).await.unwrap();
            assert_eq!(served.status(), 200);
            let body = served.into_body().collect().await.unwrap().to_bytes();
            let text = String::from_utf8(body.to_vec()).unwrap();
            assert!(!text.contains("evil"), "{text}");
            assert_eq!(serde_json::from_str::<Value>(&text).unwrap()["resource"], RESOURCE);
            assert_eq!(document.get_or_insert(text.clone()), &text, "{name}, {uri}");
        }
    }
}
