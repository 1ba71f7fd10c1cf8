//! `and`, `or` and tuples of the shipped checks.

use portcullis::SubjectKind;
use portcullis::check::{
    Check, CheckContext, CheckError, Denial, acr, actors, all_scopes, allow_all,
    authorization_detail, claim, clients, no_actor, scope, subject_kind,
};
use portcullis::testing::{TestAccess, challenges, check};
use portcullis::{Policy, RejectionKind as Kind};
use serde_json::json;

use crate::ask;
use crate::support::{World, anonymous, outage, send};

/// The token has scope `a`, role `admin`, client `app`, a detail `account`, no actor, no `acr`.
#[tokio::test]
async fn shipped_checks_combine() {
    let world = World::new().await;
    let token = world
        .token()
        .scope("a")
        .client_id("app")
        .claim("roles", ["admin"])
        .claim("authorization_details", json!([{ "type": "account" }]));
    let yes = || claim("roles").contains("admin");
    let no = || claim("roles").contains("root");
    for (name, policy, status, scope_told, acr_told) in [
        ("yes and yes", Policy::new(yes().and(clients(["app"]))), 200, None, None),
        ("yes and no", Policy::new(yes().and(clients(["web"]))), 403, None, None),
        ("no and yes", Policy::new(no().and(clients(["app"]))), 403, None, None),
        ("yes or no", Policy::new(yes().or(no())), 200, None, None),
        ("no or yes", Policy::new(no().or(authorization_detail("account"))), 200, None, None),
        ("no or no", Policy::new(no().or(authorization_detail("other"))), 403, None, None),
        ("yes or outage", Policy::new(yes().or(outage)), 200, None, None),
        ("no or outage", Policy::new(no().or(outage)), 503, None, None),
        ("no and outage", Policy::new(no().and(outage)), 403, None, None),
        ("outage and no", Policy::new(outage.and(no())), 503, None, None),
        ("a missing scope or no", Policy::new(scope("b").or(no())), 403, Some("b"), None),
        ("no or a missing scope", Policy::new(no().or(scope("b"))), 403, None, None),
        ("no or a step-up", Policy::new(no().or(acr(["phr"]))), 403, None, None),
        ("a step-up or no", Policy::new(acr(["phr"]).or(no())), 401, None, Some("phr")),
        ("no and a step-up", Policy::new(no().and(acr(["phr"]))), 403, None, None),
        ("a step-up and no", Policy::new(acr(["phr"]).and(no())), 401, None, Some("phr")),
        (
            "a tuple of yes",
            Policy::new((yes(), no_actor(), subject_kind(SubjectKind::Person), scope("a"))),
            200,
            None,
            None,
        ),
        (
            "a tuple with one no",
            Policy::new((yes(), no_actor(), subject_kind(SubjectKind::Client), scope("a"))),
            403,
            None,
            None,
        ),
        (
            "a tuple of alternatives",
            Policy::new((yes().or(scope("b")), actors(["x"]).or(no_actor()), allow_all())),
            200,
            None,
            None,
        ),
        ("and before or", Policy::new(yes().and(no().or(yes()))), 200, None, None),
        ("or of and", Policy::new(no().and(yes()).or(no())), 403, None, None),
        (
            "shared",
            Policy::new(std::sync::Arc::new(no()).or(std::sync::Arc::new(yes()))),
            200,
            None,
            None,
        ),
    ] {
        let sent = ask(&world, policy, &token).await;
        assert_eq!(sent.response.status(), status, "{name}: {:?}", sent.kind());
        assert_eq!(sent.passed(), status == 200, "{name}");
        let challenges = challenges(sent.response.headers());
        let param = |param| challenges.first().and_then(|challenge| challenge.param(param));
        if status != 200 && status != 503 {
            assert_eq!(param("scope"), scope_told, "{name}");
            assert_eq!(param("acr_values"), acr_told, "{name}");
        }
    }
}

/// What a client is told in advance: scopes that it needs, never how users authenticate, and
/// nothing of conditions that no client could meet by asking.
#[tokio::test]
async fn a_request_without_a_token_is_told_the_scopes_only() {
    let world = World::new().await;
    let policy = all_scopes(["a", "b"])
        .and(acr(["phr"]))
        .and(claim("roles").contains("admin"))
        .and(clients(["app"]))
        .and(authorization_detail("account"));
    let sent = send(&world.api.protect(policy), anonymous()).await;
    assert_eq!(sent.kind(), Some(Kind::NoCredentials));
    let challenges = challenges(sent.response.headers());
    let names: Vec<_> = challenges[0].params.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["realm", "resource_metadata", "scope"]);
    assert_eq!(challenges[0].param("scope"), Some("a b"));
}

/// What a check of one's own decides by is the request as it came.
#[test]
fn a_check_sees_the_method_and_the_path() {
    fn reads_notes(request: &CheckContext<'_>) -> Result<(), CheckError> {
        match (request.method().as_str(), request.uri().path()) {
            ("GET", "/notes") => Ok(()),
            _ => Err(Denial::forbidden("notes are read").into()),
        }
    }
    let access = TestAccess::new().build();
    for (method, path, passes) in
        [("GET", "/notes", true), ("DELETE", "/notes", false), ("GET", "/", false)]
    {
        let found = check(&reads_notes, &access, method, path);
        assert_eq!(found.is_ok(), passes, "{method} {path}");
    }
}
