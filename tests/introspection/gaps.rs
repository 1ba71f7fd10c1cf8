//! Members that an answer may lack, where the configuration says so; and answers about refresh tokens.

use std::time::Duration;

use portcullis::RejectionKind as Kind;
use portcullis::introspection::AnswerGap;
use portcullis::issuer::TokenProfile;
use serde_json::{Value, json};

use crate::answers::answer_of;
use crate::world::{Parts, SECOND, TTL, World};

fn without(world: &World, member: &str) -> String {
    let mut answer = answer_of(&world.claims());
    answer.as_object_mut().unwrap().remove(member);
    let token = world.token();
    world.kit.set(&token, answer);
    token
}

/// Each gap lets one member go, and no other: INT-05, INT-13.
#[tokio::test]
async fn each_gap_lets_one_member_go() {
    let kinds = [
        (AnswerGap::TokenType, Kind::OtherTokenKind),
        (AnswerGap::ExpiresAt, Kind::MissingClaim),
        (AnswerGap::Subject, Kind::MissingClaim),
    ];
    assert_eq!(kinds.map(|(gap, _)| gap), AnswerGap::ALL);
    let strict = World::new();
    for (gap, kind) in kinds {
        let token = without(&strict, gap.as_str());
        strict.assert_invalid(&token, kind, gap.as_str()).await;

        let world = World::with(|introspection| introspection.may_lack(gap));
        world.assert_passes(&without(&world, gap.as_str()), gap.as_str()).await;
        world.assert_passes(&world.token(), "with it").await;
        for (other, kind) in kinds.into_iter().filter(|(other, _)| *other != gap) {
            let token = without(&world, other.as_str());
            world.assert_invalid(&token, kind, other.as_str()).await;
        }
        // What is there counts.
        let mut wrong = answer_of(&world.claims());
        let (member, value, kind) = match gap {
            AnswerGap::TokenType => ("token_type", json!("N_A"), Kind::OtherTokenKind),
            AnswerGap::ExpiresAt => ("exp", json!(1), Kind::Expired),
            _ => ("sub", json!(1), Kind::IntrospectionUnavailable),
        };
        wrong[member] = value;
        let token = world.token();
        world.kit.set(&token, wrong);
        assert_eq!(world.kind(&token).await, Some(kind), "{member}");
    }
}

/// Without `sub` the client is the subject.
#[tokio::test]
async fn without_a_subject_the_client_is_it() {
    let world = World::with(|introspection| introspection.may_lack(AnswerGap::Subject));
    let access = world.present(&without(&world, "sub")).await.unwrap();
    assert_eq!(access.subject(), &"test-client");
    assert_eq!(access.subject_kind(), portcullis::SubjectKind::Client);
    let access = world.present(&world.token()).await.unwrap();
    assert_eq!(access.subject(), &"alice");
}

/// Without `exp` the token is as good as each answer, and lives no longer than its class allows.
#[tokio::test]
async fn without_an_end_the_token_is_asked_about_again() {
    let world = World::with(|introspection| introspection.may_lack(AnswerGap::ExpiresAt));
    let token = without(&world, "exp");
    for round in 1..4 {
        let access = world.present(&token).await.unwrap();
        assert_eq!(access.expires_at(), world.now().plus(TTL));
        assert_eq!(world.calls(), round);
        world.advance(TTL - SECOND).await;
        world.assert_passes(&token, "kept").await;
        assert_eq!(world.calls(), round);
        world.advance(SECOND).await;
    }
    world.kit.revoke(&token);
    world.assert_invalid(&token, Kind::Inactive, "its end").await;

    let world = World::with(|introspection| {
        introspection.may_lack(AnswerGap::ExpiresAt).ttl(Duration::ZERO)
    });
    let token = without(&world, "exp");
    for calls in 1..4 {
        world.assert_passes(&token, "not kept").await;
        assert_eq!(world.calls(), calls);
    }
}

/// INT-05, RFC 7662 §2.2: an answer without `aud` is about a token for this server where somebody says so
/// by the name of the hazard.
#[tokio::test]
async fn an_answer_without_audience_is_a_hazard() {
    let strict = World::new();
    strict.assert_invalid(&without(&strict, "aud"), Kind::MissingClaim, "aud").await;
    let world = World::with(|introspection| introspection.dangerous().insecure_without_audience());
    let access = world.present(&without(&world, "aud")).await.unwrap();
    assert_eq!(access.audiences().count(), 0);
    // An audience that is there counts.
    let elsewhere = world.kit.active(world.claims().claim("aud", "https://other.example"));
    world.assert_invalid(&elsewhere, Kind::WrongAudience, "another").await;
    // An empty list of them names none.
    let none = |world: &World| world.kit.active(world.claims().claim("aud", json!([])));
    let access = world.present(&none(&world)).await.unwrap();
    assert_eq!(access.audiences().count(), 0);
    assert!(strict.kind(&none(&strict)).await.is_some());
}

/// INT-05: an answer about a refresh token is no answer about an access token.
#[tokio::test]
async fn a_refresh_token_is_no_access_token() {
    let strict = World::new();
    let lenient = World::with(|introspection| introspection.may_lack(AnswerGap::TokenType));
    /// A member, and whether it passes where `token_type` has to be there, and where not.
    type Row = (&'static str, Option<(&'static str, Value)>, bool, bool);
    let rows: [Row; 9] = [
        ("as it is", None, true, true),
        ("RFC 7662", Some(("token_type", Value::Null)), false, true),
        ("Keycloak", Some(("typ", json!("Refresh"))), false, false),
        ("Keycloak, offline", Some(("typ", json!("Offline"))), false, false),
        ("an ID token", Some(("typ", json!("ID"))), false, false),
        ("Keycloak, access", Some(("typ", json!("Bearer"))), true, true),
        ("Cognito", Some(("token_use", json!("refresh_token"))), false, false),
        ("Hydra, access", Some(("token_use", json!("access_token"))), true, true),
        ("other kind", Some(("token_type", json!("refresh_token"))), false, false),
    ];
    for (name, member, strictly, leniently) in rows {
        for (world, passes) in [(&strict, strictly), (&lenient, leniently)] {
            let mut answer = answer_of(&world.claims());
            match &member {
                None => {}
                Some((member, Value::Null)) => {
                    answer.as_object_mut().unwrap().remove(*member);
                }
                Some((member, value)) => answer[*member] = value.clone(),
            }
            let token = world.token();
            world.kit.set(&token, answer);
            match passes {
                true => world.assert_passes(&token, name).await,
                false => world.assert_invalid(&token, Kind::OtherTokenKind, name).await,
            }
        }
    }
}

/// `token_type` is Bearer or DPoP, in any case (RFC 6749 §7.1).
#[tokio::test]
async fn the_token_type_is_one_that_can_be_presented() {
    let world = World::new();
    let token = world.kit.active(world.claims().claim("token_type", ""));
    world.assert_unavailable(&token, "an empty one is no answer").await;
    for (token_type, passes) in
        [("Bearer", true), ("bearer", true), ("BEARER", true), ("mac", false), ("N_A", false)]
    {
        let token = world.kit.active(world.claims().claim("token_type", token_type));
        match passes {
            true => world.assert_passes(&token, token_type).await,
            false => world.assert_invalid(&token, Kind::OtherTokenKind, token_type).await,
        }
    }
}

/// What the profile of the issuer lets go, an answer may lack as well.
#[tokio::test]
async fn the_profile_counts_for_answers() {
    use portcullis::issuer::OptionalClaim;
    let parts = Parts::new();
    let issuer = portcullis::Issuer::opaque(crate::support::ISSUER)
        .profile(TokenProfile::relaxed().may_lack(OptionalClaim::ClientId));
    let builder = parts.builder_with(issuer).introspection(parts.introspection());
    let relaxed = parts.build(builder);
    let strict = World::new();
    let member = "client_id";
    relaxed.assert_passes(&without(&relaxed, member), member).await;
    strict.assert_invalid(&without(&strict, member), Kind::MissingClaim, member).await;
}

/// INT-05: where ID tokens are accepted, what its issuer calls a refresh or logout token is none: not as an
/// answer, not as a JWT that is read here, and not as one that is asked about.
#[tokio::test]
async fn where_id_tokens_are_accepted_refresh_tokens_are_not() {
    let profile = || {
        TokenProfile::relaxed().accept_type("JWT").accept_id_tokens().require_claim("azp", "notes")
    };
    let build = |jwts: bool| {
        let parts = Parts::new();
        let introspection = match jwts {
            true => parts.introspection().jwts(),
            false => parts.introspection(),
        };
        let issuer = parts.issuer.fixed_keys().profile(profile());
        let builder = parts.builder_with(issuer).introspection(introspection);
        parts.build(builder)
    };
    let (reading, asking) = (build(false), build(true));
    for (member, value, passes) in [
        ("typ", "ID", true),
        ("typ", "Bearer", true),
        ("typ", "Refresh", false),
        ("typ", "Offline", false),
        ("typ", "Logout", false),
        ("token_use", "id", true),
        ("token_use", "access", true),
        ("token_use", "refresh", false),
        ("token_use", "refresh_token", false),
    ] {
        let name = format!("{member}: {value}");
        let wants = (!passes).then_some(Kind::OtherTokenKind);
        let claims = |world: &World| world.claims().claim("azp", "notes").claim(member, value);
        let opaque = reading.kit.active(claims(&reading));
        assert_eq!(reading.kind(&opaque).await, wants, "{name}, answered");
        let jwt = claims(&reading).header("typ", "JWT").sign();
        assert_eq!(reading.kind(&jwt).await, wants, "{name}, read");
        let asked = claims(&asking).header("typ", "JWT");
        let jwt = asked.sign();
        asking.kit.active_as(&jwt, asked);
        let calls = asking.calls();
        assert_eq!(asking.kind(&jwt).await, wants, "{name}, asked about");
        assert_eq!(asking.calls(), calls + usize::from(passes), "{name}");
        // What the answer says counts as well.
        let jwt = asking.claims().claim("azp", "notes").header("typ", "JWT");
        let token = jwt.sign();
        asking.kit.active_as(&token, jwt.claim(member, value));
        assert_eq!(asking.kind(&token).await, wants, "{name}, by the answer");
    }
}
