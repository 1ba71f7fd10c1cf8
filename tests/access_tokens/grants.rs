//! What an accepted token grants.

use std::time::Duration;

use portcullis::check::{Check, CheckContext, CheckError, Denial, any_scope, scope};
use portcullis::jose::Algorithm;
use portcullis::testing::{ManualClock, TestIssuer};
use portcullis::time::Clock as _;
use portcullis::{Access, RejectionKind as Kind, ServerBuilder, SubjectKind};
use serde_json::{Value, json};

use crate::support::{ISSUER, RESOURCE, World, bearer, builder, present, role, send};

/// SCOPE-01, SCOPE-02, AUTH-14, DEL-05.
#[tokio::test]
async fn scope_tokens_are_separated_by_spaces_and_compared_whole() {
    let world = World::new().await;
    for (id, held, wanted, status) in [
        ("SCOPE-01", "read", "read", 200),
        ("SCOPE-01", "a read b", "read", 200),
        ("SCOPE-01", "b a read", "read", 200),
        ("SCOPE-01", "a  read", "read", 200),
        ("SCOPE-01", " read ", "read", 200),
        ("SCOPE-01", "Read", "read", 403),
        ("SCOPE-01", "READ", "read", 403),
        ("SCOPE-01", "readonly", "read", 403),
        ("SCOPE-01", "rea", "read", 403),
        ("SCOPE-01", "a,read", "read", 403),
        ("SCOPE-01", "a;read", "read", 403),
        ("SCOPE-01", "a+read", "read", 403),
        ("SCOPE-01", "read,a", "read", 403),
        ("SCOPE-01", "notes:read", "notes", 403),
        ("SCOPE-01", "notes", "notes:read", 403),
        ("SCOPE-01", "notes:*", "notes:read", 403),
        ("SCOPE-01", "*", "read", 403),
        ("SCOPE-01", "", "read", 403),
        // Neither tab nor line break nor no-break space separates: they have no place there.
        ("SCOPE-01", "a\tread", "read", 401),
        ("SCOPE-01", "a\nread", "read", 401),
        ("SCOPE-01", "a\u{a0}read", "read", 401),
        ("SCOPE-01", "a\u{2003}read", "read", 401),
        ("SCOPE-02", "admin", "read", 403),
    ] {
        let sent =
            send(&world.api.protect(scope(wanted)), bearer(&world.token().scope(held).sign()))
                .await;
        assert_eq!(sent.response.status(), status, "{id} held {held:?}, wanted {wanted:?}");
        assert_eq!(sent.passed(), status == 200);
    }
    let any = world.api.protect(any_scope(["a", "b"]));
    assert!(send(&any, bearer(&world.token().scope("b").sign())).await.passed());
    assert!(!send(&any, bearer(&world.token().scope("ab").sign())).await.passed());
}

/// SCOPE-02: a hierarchy is this server's to say.
#[tokio::test]
async fn one_scope_implies_another_only_by_rule() {
    let rule = |held: &str, wanted: &str| held == "admin" && wanted == "read";
    let world = World::with(Algorithm::Es256, |b: ServerBuilder| b.scope_rule(rule)).await;
    for (held, wanted, status) in [
        ("admin", "read", 200),
        ("admin", "write", 403),
        ("read", "admin", 403),
        ("Admin", "read", 403),
        ("read", "read", 200),
    ] {
        let sent =
            send(&world.api.protect(scope(wanted)), bearer(&world.token().scope(held).sign()))
                .await;
        assert_eq!(sent.response.status(), status, "{held}, {wanted}");
    }
}

/// AT-14, ASVS-07, API-02: claims that authorize are part of the decision.
#[tokio::test]
async fn roles_are_asked_of_the_claims() {
    let world = World::new().await;
    let layer = world.api.protect(role("admin"));
    for (roles, status) in [
        (json!(["admin"]), 200),
        (json!(["user", "admin"]), 200),
        (json!(["user"]), 403),
        (json!(["Admin"]), 403),
        (json!([]), 403),
        (json!("admin"), 403),
        (json!({"admin": true}), 403),
        (json!(["admin", 1]), 403),
    ] {
        let token = world.token().claim("roles", &roles).sign();
        assert_eq!(send(&layer, bearer(&token)).await.response.status(), status, "{roles}");
    }
    let none = world.token().sign();
    assert_eq!(send(&layer, bearer(&none)).await.response.status(), 403);
}

/// JWS-39: a subject that the application does not know is no good token.
#[tokio::test]
async fn a_subject_can_be_unknown() {
    let world = World::new().await;
    let layer = world.api.protect(|request: &CheckContext<'_>| {
        let (issuer, subject) = request.access().principal();
        if (issuer.as_str(), subject.as_str()) == (ISSUER, "alice") {
            Ok(())
        } else {
            Err(CheckError::from(Denial::invalid_token("no such account")))
        }
    });
    assert!(send(&layer, bearer(&world.token().sign())).await.passed());
    let sent = send(&layer, bearer(&world.token().subject("mallory").sign())).await;
    assert_eq!(sent.kind(), Some(Kind::NotAccepted));
    portcullis::assert_challenge!(sent.response, 401, "Bearer", error = "invalid_token");
}

/// A check that lets only those pass for whom the client acts.
fn for_somebody() -> impl Check {
    |request: &CheckContext<'_>| match request.access().subject_kind() {
        SubjectKind::Person => Ok(()),
        _ => Err(CheckError::from(Denial::forbidden("a client on its own"))),
    }
}

/// AT-17, BCP-07, NHI-09, NHI-10.
#[tokio::test]
async fn a_client_is_told_from_whom_it_acts_for() {
    let world = World::new().await;
    let layer = world.api.protect(for_somebody());
    for (subject, client, kind, status) in [
        ("alice", "app", SubjectKind::Person, 200),
        ("app", "app", SubjectKind::Client, 403),
        ("App", "app", SubjectKind::Person, 200),
        ("app ", "app", SubjectKind::Person, 200),
    ] {
        let token = world.token().subject(subject).client_id(client).sign();
        let access = present(&world.api, &token).await.unwrap();
        assert_eq!(access.subject_kind(), kind, "{subject}, {client}");
        assert_eq!(access.client_id().unwrap(), client);
        assert_eq!(send(&layer, bearer(&token)).await.response.status(), status);
    }
}

/// ASVS-08, NIST-02, JWS-47, NHI-09: a name is unique only with its issuer.
#[tokio::test]
async fn subjects_and_token_ids_belong_to_their_issuer() {
    let clock = ManualClock::new();
    let (one, two) = (
        TestIssuer::new("https://one.example", &clock),
        TestIssuer::new("https://two.example", &clock),
    );
    let api = builder(&clock).issuer(one.fixed_keys()).issuer(two.fixed_keys()).build().unwrap();
    let access = async |issuer: &TestIssuer| -> Access {
        let token =
            issuer.token(RESOURCE).claim("jti", "j1").claim("email", "a@mail.example").sign();
        present(&api, &token).await.unwrap()
    };
    let (of_one, again, of_two) = (access(&one).await, access(&one).await, access(&two).await);
    assert_eq!(of_one.principal(), again.principal());
    assert_eq!(of_one.subject(), of_two.subject());
    assert_eq!(of_one.jwt_id(), of_two.jwt_id());
    assert_ne!(of_one.principal(), of_two.principal());
}

/// AT-13, AUTH-27: an `Access` says what the token said.
#[tokio::test]
async fn an_access_repeats_its_token() {
    let world = World::new().await;
    let now = world.clock.now();
    let token = world
        .token()
        .subject("bob")
        .client_id("app")
        .scope("b  a")
        .claim("jti", "j9")
        .claim("aud", ["https://other.example", RESOURCE])
        .claim("tenant", "blue")
        .raw_claim("exp", "1800000299.25")
        .sign();
    let access = present(&world.api, &token).await.unwrap();
    assert_eq!(access.issuer(), &ISSUER);
    assert_eq!(access.subject(), &"bob");
    assert_eq!(access.client_id().unwrap(), "app");
    assert_eq!(access.jwt_id().unwrap(), "j9");
    assert_eq!(access.audiences().collect::<Vec<_>>(), ["https://other.example", RESOURCE]);
    assert_eq!(access.scopes().collect::<Vec<_>>(), ["b", "a"]);
    assert_eq!((access.issued_at(), access.decided_at()), (Some(now), now));
    assert_eq!(access.expires_at(), now.plus(Duration::from_millis(299_250)));
    let claims: Value = access.claims().unwrap();
    assert_eq!(claims["tenant"], "blue");
    assert!(access.has_scope("a") && access.has_scope("b"));
    assert!(!access.has_scope("") && !access.has_scope("b  a") && !access.has_scope("b a"));
}
