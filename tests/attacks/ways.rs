//! Ways in: every way of asking decides alike, and nothing but the token and its proof says who asks, and
//! for what.

use http::{HeaderValue, Request};
use portcullis::check::{Check as _, CheckContext, CheckError, Denial, allow_all, scope};
use portcullis::jose::Algorithm;
use portcullis::revocation::Revocation;
use portcullis::testing::{ClientKey, ManualClock, TestIssuer};
use portcullis::{Access, Dpop, Policy, RejectionKind as Kind};

use crate::support::{ISSUER, RESOURCE, anonymous, bearer, builder, send};

/// What each way of asking says of a token, by name.
async fn everywhere(
    api: &portcullis::ResourceServer,
    token: &str,
) -> Vec<(&'static str, Option<Kind>)> {
    let guard = api.guard(scope("read")).unwrap();
    let request = bearer(token);
    let lenient = api.guard(Policy::new(scope("read")).optional()).unwrap();
    let grpc = send(&api.protect(scope("read")).grpc(), bearer(token)).await;
    let status = grpc.response.headers().get("grpc-status").map(HeaderValue::as_bytes);
    assert_eq!(status, grpc.kind().map(|_| &b"16"[..]));
    let no = |refused: portcullis::Rejection| refused.kind();
    vec![
        ("the server's own policy", send(&api.layer(), bearer(token)).await.kind()),
        ("a route", send(&api.protect(scope("read")), bearer(token)).await.kind()),
        ("gRPC", grpc.kind()),
        ("optional credentials", send(&lenient.layer(), bearer(token)).await.kind()),
        (
            "one use",
            send(&api.protect(Policy::new(allow_all()).single_use()), bearer(token)).await.kind(),
        ),
        ("a guard", guard.verify(&request).await.err().map(no)),
        ("a guard that may do without", guard.verify_optional(&request).await.err().map(no)),
        ("the server", api.verify(&request).await.err().map(no)),
    ]
}

/// Attack 41 (GHSA-339w-3hqm-9pjc: one path that did not ask): whichever way a revoked token comes, and
/// whether it was seen before or not, it is revoked.
#[tokio::test]
async fn a_revoked_token_is_refused_by_every_way_in() {
    for remembered in [32 << 20, 0] {
        let clock = ManualClock::new();
        let issuer = TestIssuer::new(ISSUER, &clock);
        let api = builder(&clock)
            .issuer(issuer.fixed_keys())
            .known_tokens_bytes(remembered)
            .revocation(Revocation::new())
            .build()
            .unwrap();
        let token = issuer.token(RESOURCE).scope("read").sign();
        for (way, kind) in everywhere(&api, &token).await {
            assert_eq!(kind, None, "{way}");
        }
        let access = api.verify(&bearer(&token)).await.unwrap();
        api.revocations().revoke_access(&access).await.unwrap();
        for (way, kind) in everywhere(&api, &token).await {
            assert_eq!(kind, Some(Kind::Revoked), "{way}");
        }
        let twin = issuer.token(RESOURCE).scope("read").sign();
        for (way, kind) in everywhere(&api, &twin).await {
            assert_eq!(kind, None, "{way}");
        }
    }
}

/// Attack 37 (CVE-2023-27487): a path that a header field claims is not the path that is decided about,
/// neither by a check nor by a proof.
#[tokio::test]
async fn a_path_that_a_field_claims_is_not_the_path() {
    const FIELDS: [&str; 6] = [
        "x-envoy-original-path",
        "x-original-url",
        "x-original-uri",
        "x-rewrite-url",
        "x-forwarded-uri",
        "x-forwarded-prefix",
    ];
    fn only_notes(request: &CheckContext<'_>) -> Result<(), CheckError> {
        match request.uri().path() {
            "/notes" => Ok(()),
            _ => Err(Denial::forbidden("another path").into()),
        }
    }
    let clock = ManualClock::new();
    let issuer = TestIssuer::new(ISSUER, &clock);
    let api = builder(&clock).issuer(issuer.fixed_keys()).dpop(Dpop::new()).build().unwrap();
    let layer = api.protect(allow_all().and(only_notes));
    let client = ClientKey::generate(Algorithm::Es256, &clock);
    let bound = issuer.token(RESOURCE).claim("cnf", client.confirmation()).sign();
    let plain = issuer.token(RESOURCE).sign();
    let proven = |proof_for: &str| {
        let proof = client.proof("GET", &format!("{RESOURCE}{proof_for}")).token(&bound).sign();
        let mut request = bearer(&plain);
        request.headers_mut().insert("authorization", format!("DPoP {bound}").parse().unwrap());
        request.headers_mut().insert("dpop", proof.parse().unwrap());
        request
    };
    let claiming = |mut request: Request<String>, name: &'static str, path: &'static str| {
        request.headers_mut().insert(name, HeaderValue::from_static(path));
        request
    };
    for name in FIELDS {
        // The request is for /admin, and says /notes; then the other way round.
        let mut admin = bearer(&plain);
        *admin.uri_mut() = "/admin".parse().unwrap();
        let sent = send(&layer, claiming(admin, name, "/notes")).await;
        assert_eq!(sent.kind(), Some(Kind::InsufficientScope), "{name}");
        assert!(send(&layer, claiming(bearer(&plain), name, "/admin")).await.passed(), "{name}");

        let sent = send(&layer, claiming(proven("/admin"), name, "/admin")).await;
        assert_eq!(sent.kind(), Some(Kind::ProofUri), "{name}");
        assert!(send(&layer, claiming(proven("/notes"), name, "/admin")).await.passed(), "{name}");
    }
}

/// Attack 37 (CVE-2026-44087): who asks is said by the decision, in the extensions of the request, and by
/// no header field of the request.
#[tokio::test]
async fn a_field_of_the_request_is_nobody() {
    let clock = ManualClock::new();
    let issuer = TestIssuer::new(ISSUER, &clock);
    let api = builder(&clock).issuer(issuer.fixed_keys()).build().unwrap();
    let claiming = |mut request: Request<String>| {
        for name in [
            "x-user",
            "x-subject",
            "x-scope",
            "x-userinfo",
            "x-forwarded-user",
            "x-forwarded-access-token",
            "x-auth-request-user",
            "remote-user",
        ] {
            request.headers_mut().insert(name, HeaderValue::from_static("root"));
        }
        request
    };
    let scoped = api.protect(scope("root"));
    assert_eq!(send(&scoped, claiming(anonymous())).await.kind(), Some(Kind::NoCredentials));
    let token = issuer.token(RESOURCE).subject("alice").sign();
    let sent = send(&scoped, claiming(bearer(&token))).await;
    assert_eq!(sent.kind(), Some(Kind::InsufficientScope));

    let sent = send(&api.layer(), claiming(bearer(&token))).await;
    assert_eq!(sent.access().unwrap().subject(), "alice");
    // A way to do without a token gives nobody an access either.
    let optional = api.protect(Policy::new(allow_all()).optional());
    let sent = send(&optional, claiming(anonymous())).await;
    let seen = sent.seen.unwrap();
    assert!(seen.extensions().get::<Access>().is_none());
}
