//! What events do to tokens.

use std::time::Duration;

use http::StatusCode;
use portcullis::RejectionKind as Kind;
use portcullis::revocation::{AssuranceAction, Revocation, RiskAction, Source, Subjects};
use portcullis::testing::{
    ManualClock, TestIssuer, TestNetwork, TestTransmitter, TokenBuilder, challenges,
};
use serde_json::{Value, json};

use crate::support::{ISSUER, bearer, builder, send};
use crate::world::{
    AUDIENCE, MINUTE, SECOND, SECRET, TRANSMITTER, World, pushed, user, with_secret,
};

/// CAEP-02, SET-08: tokens of before, and of that very second, are refused; those of after are not,
/// however late the event comes.
#[tokio::test]
async fn session_revoked_refuses_what_was_issued_before() {
    let world = World::pushed();
    let at = world.now().as_secs();
    let (before, then, after) = (world.issued(at - 1), world.issued(at), world.issued(at + 1));
    world.clock.advance(10 * MINUTE);
    world.happens("caep/session-revoked", user("alice"), json!({ "event_timestamp": at })).await;
    assert_eq!(world.kind(&before).await, Some(Kind::Revoked));
    assert_eq!(world.kind(&then).await, Some(Kind::Revoked));
    assert_eq!(world.kind(&after).await, None);
    assert_eq!(world.told(&before).await.as_deref(), Some("invalid_token"));
    assert_eq!(world.kind(&before.clone().subject("bob")).await, None, "somebody else");
    // A fraction is compared as it is written (EVT-02).
    let fraction = format!("{}.5", at);
    let half = world.issued(at).raw_claim("iat", &fraction);
    assert_eq!(world.kind(&half).await, None);
    let later = json!({ "event_timestamp": at as f64 + 0.5 });
    world.happens("caep/session-revoked", user("alice"), later).await;
    assert_eq!(world.kind(&half).await, Some(Kind::Revoked));
}

/// CAEP-02, CAEP-03: a session is one of several of a user.
#[tokio::test]
async fn a_session_is_revoked_alone() {
    let world = World::pushed();
    let session = |id: &str| world.token().claim("sid", id);
    let subject = json!({ "format": "complex", "user": user("alice"),
        "session": { "format": "opaque", "id": "s-1" },
        "tenant": { "format": "opaque", "id": "unknown here" } });
    world.happens("caep/session-revoked", subject, json!({})).await;
    assert_eq!(world.kind(&session("s-1")).await, Some(Kind::Revoked));
    assert_eq!(world.kind(&session("s-2")).await, None);
    assert_eq!(world.kind(&world.token()).await, None, "no session at all");
    assert_eq!(world.kind(&session("s-1").subject("bob")).await, None);
    // CAEP §3.1.2: an opaque subject is a session.
    let opaque = json!({ "format": "opaque", "id": "s-2" });
    world.happens("caep/session-revoked", opaque, json!({})).await;
    assert_eq!(world.kind(&session("s-2")).await, Some(Kind::Revoked));
}

/// SSF-05: who names the tenant only means everybody in it.
#[tokio::test]
async fn an_event_about_a_tenant_hits_all_its_users() {
    let world = World::pushed_as(|stream| stream.subjects(Subjects::new().tenant("tid")));
    let of = |tenant: &str, user: &str| world.token().claim("tid", tenant).subject(user);
    let tenant = json!({ "format": "complex", "tenant": { "format": "opaque", "id": "t-1" } });
    world.happens("caep/session-revoked", tenant, json!({})).await;
    for name in ["alice", "bob", "carol"] {
        assert_eq!(world.kind(&of("t-1", name)).await, Some(Kind::Revoked), "{name}");
        assert_eq!(world.kind(&of("t-2", name)).await, None, "{name}");
    }
    assert_eq!(world.kind(&world.token()).await, None);
}

/// CAEP-03, SSF-05: each member that a claim is known for narrows what is meant, and no other.
#[tokio::test]
async fn each_member_finds_its_claim() {
    let subjects = || {
        Subjects::new().application("app").group("group").org_unit("unit").member("role", "role")
    };
    for (member, claim) in
        [("application", "app"), ("group", "group"), ("org_unit", "unit"), ("role", "role")]
    {
        let world = World::pushed_as(|stream| stream.subjects(subjects()));
        let mut subject = json!({ "format": "complex", "user": user("alice") });
        subject[member] = json!({ "format": "opaque", "id": "x" });
        world.happens("caep/session-revoked", subject, json!({})).await;
        let of = |value: &str| world.token().claim(claim, value);
        assert_eq!(world.kind(&of("x")).await, Some(Kind::Revoked), "{member}");
        assert_eq!(world.kind(&of("y")).await, None, "{member}");
        assert_eq!(world.kind(&of("x").subject("bob")).await, None, "{member}");
    }
}

/// SUB-03, attack 42: what another issuer calls a device says nothing of the claims of this one: the user is
/// refused whatever the device.
#[tokio::test]
async fn a_member_of_another_issuer_narrows_nothing() {
    let other = "https://other.example";
    let clock = ManualClock::new();
    let (issuer, neighbour) = (TestIssuer::new(ISSUER, &clock), TestIssuer::new(other, &clock));
    let transmitter = TestTransmitter::new(TRANSMITTER, AUDIENCE, &clock);
    transmitter.authorization(SECRET);
    let network = TestNetwork::of(&[&issuer]).with_transmitter(&transmitter);
    let stream = transmitter.fixed_keys().push(with_secret());
    let stream = stream.subjects(Subjects::new().device("device_id"));
    let source = pushed(Source::new("caep", stream)).speaks_for([ISSUER, other]);
    let api = builder(&clock)
        .issuer(issuer.fixed_keys())
        .issuer(neighbour.fixed_keys())
        .revocation(Revocation::new().source(source))
        .transport(network.clone())
        .build()
        .unwrap();
    let world = World { clock, issuer, transmitter, network, api };
    let subject = json!({ "format": "complex", "user": user("alice"),
        "device": { "format": "iss_sub", "iss": other, "sub": "d-1" } });
    world.happens("caep/session-revoked", subject, json!({})).await;
    for token in [world.token(), world.token().claim("device_id", "d-2")] {
        assert_eq!(world.kind(&token).await, Some(Kind::Revoked));
    }
    assert_eq!(world.kind(&world.token().subject("bob")).await, None);
}

/// SUB-01, RISC-04: formats that need a claim find it.
#[tokio::test]
async fn formats_find_their_claims() {
    let subjects = Subjects::new()
        .email("email")
        .phone_number("phone_number")
        .opaque("oid")
        .account("acct")
        .uri("profile")
        .did("did");
    let world = World::pushed_as(|stream| stream.subjects(subjects));
    for (claim, value, subject) in [
        ("email", "a@b", json!({ "format": "email", "email": "a@b" })),
        ("phone_number", "+1", json!({ "format": "phone_number", "phone_number": "+1" })),
        ("oid", "o", json!({ "format": "opaque", "id": "o" })),
        ("acct", "acct:a@b", json!({ "format": "account", "uri": "acct:a@b" })),
        ("profile", "urn:a", json!({ "format": "uri", "uri": "urn:a" })),
        ("did", "did:a:b", json!({ "format": "did", "url": "did:a:b" })),
    ] {
        let token = world.token().claim(claim, value);
        assert_eq!(world.kind(&token).await, None, "{claim}");
        world.happens("risc/account-credential-change-required", subject, json!({})).await;
        assert_eq!(world.kind(&token).await, Some(Kind::Revoked), "{claim}");
        assert_eq!(world.kind(&world.token().claim(claim, "other")).await, None, "{claim}");
    }
    // An array has many values.
    let many = world.token().claim("email", json!(["x@y", "a@b"]));
    assert_eq!(world.kind(&many).await, Some(Kind::Revoked));
    for event in ["risc/identifier-recycled", "risc/identifier-changed"] {
        world.clock.advance(SECOND);
        let token = world.token().claim("email", "a@b");
        assert_eq!(world.kind(&token).await, None);
        world.happens(event, json!({ "format": "email", "email": "a@b" }), json!({})).await;
        assert_eq!(world.kind(&token).await, Some(Kind::Revoked), "{event}");
        let answer = world.push(&world.transmitter.set(event, user("alice"), json!({}))).await;
        assert_eq!(answer.err().as_deref(), Some("invalid_request"), "{event}");
    }
}

/// SUB-03, attack 42: the issuer of the subject is that of the tokens, whoever transmits; a source is
/// believed about its own issuers only.
#[tokio::test]
async fn attack_42_a_source_is_believed_about_its_own_issuers() {
    let world = World::pushed();
    let foreign = json!({ "format": "iss_sub", "iss": "https://other.example", "sub": "alice" });
    world.happens("caep/session-revoked", foreign.clone(), json!({})).await;
    world.happens("risc/account-purged", foreign, json!({})).await;
    assert_eq!(world.kind(&world.token()).await, None);
    assert_eq!((world.health().foreign, world.health().applied), (2, 0));
    world.happens("caep/session-revoked", user("alice"), json!({})).await;
    assert_eq!(world.kind(&world.token()).await, Some(Kind::Revoked));
}

/// SUB-01, SET-09, SET-10, SSF-04: what says nothing that can be used is acknowledged, counted and
/// forgotten.
#[tokio::test]
async fn what_cannot_be_used_is_acknowledged() {
    let critical =
        |stream: portcullis::revocation::EventStream| stream.critical_subject_members(["device"]);
    let world = World::pushed_as(critical);
    let device = json!({ "format": "opaque", "id": "d" });
    for (name, event, subject) in [
        ("an unknown event", "urn:example:event", user("alice")),
        ("an unknown format", "caep/session-revoked", json!({ "format": "x", "y": "z" })),
        ("no claim for it", "risc/account-disabled", json!({ "format": "email", "email": "a@b" })),
        (
            "an assertion",
            "caep/session-revoked",
            json!({ "format": "saml_assertion_id", "issuer": "i", "assertion_id": "a" }),
        ),
        (
            "addresses",
            "caep/session-revoked",
            json!({ "format": "ip-addresses", "ip-addresses": ["10.0.0.1"] }),
        ),
        (
            "a critical member",
            "caep/session-revoked",
            json!({ "format": "complex", "user": user("alice"), "device": device }),
        ),
    ] {
        let before = world.health().discarded;
        world.happens(event, subject, json!({})).await;
        assert_eq!(world.health().discarded, before + 1, "{name}");
    }
    for event in ["caep/session-established", "risc/opt-in", "risc/recovery-activated"] {
        let before = world.health().discarded;
        world.happens(event, user("alice"), json!({})).await;
        assert_eq!(world.health().discarded, before, "{event} has nothing to say");
    }
    assert_eq!(world.kind(&world.token()).await, None);
    assert_eq!(world.api.revocations().records(), 0);
}

/// CAEP-04: one token, by issuer and `jti`.
#[tokio::test]
async fn claims_of_one_token_changed() {
    let world = World::pushed();
    let token = |jti: &str| world.token().claim("jti", jti);
    let subject = json!({ "format": "jwt_id", "iss": ISSUER, "jti": "t-1" });
    let members = json!({ "claims": { "role": "ro-admin" } });
    world.happens("caep/token-claims-change", subject, members.clone()).await;
    assert_eq!(world.kind(&token("t-1")).await, Some(Kind::Revoked));
    assert_eq!(world.kind(&token("t-2")).await, None);
    let other = json!({ "format": "jwt_id", "iss": "https://other.example", "jti": "t-2" });
    world.happens("caep/token-claims-change", other, members.clone()).await;
    assert_eq!(world.kind(&token("t-2")).await, None, "another issuer's");
    world.happens("caep/token-claims-change", user("alice"), members).await;
    assert_eq!(world.kind(&token("t-2")).await, Some(Kind::Revoked));
    let answer = world
        .push(&world.transmitter.set("caep/token-claims-change", user("alice"), json!({})))
        .await;
    assert_eq!(answer.err().as_deref(), Some("invalid_request"));
}

/// CAEP-05.
#[tokio::test]
async fn a_changed_credential_ends_older_tokens() {
    for (change, expected) in [
        ("create", None),
        ("revoke", Some(Kind::Revoked)),
        ("update", Some(Kind::Revoked)),
        ("delete", Some(Kind::Revoked)),
    ] {
        let world = World::pushed();
        let members = json!({ "credential_type": "fido2-roaming", "change_type": change });
        world.happens("caep/credential-change", user("alice"), members).await;
        assert_eq!(world.kind(&world.token()).await, expected, "{change}");
    }
}

/// CAEP-06: the user has to authenticate again, and a token of after says that it was done.
#[tokio::test]
async fn a_lower_assurance_asks_for_a_step_up() {
    let level = |direction: Option<&str>| {
        let mut members = json!({ "namespace": "NIST-AAL", "current_level": "nist-aal1" });
        if let Some(direction) = direction {
            members["change_direction"] = json!(direction);
        }
        members
    };
    for (direction, action, expected) in [
        (Some("decrease"), AssuranceAction::StepUp, Some(Kind::StepUpDemanded)),
        (None, AssuranceAction::StepUp, Some(Kind::StepUpDemanded)),
        (Some("increase"), AssuranceAction::StepUp, None),
        (Some("decrease"), AssuranceAction::Refuse, Some(Kind::Revoked)),
        (None, AssuranceAction::Refuse, Some(Kind::Revoked)),
        (Some("increase"), AssuranceAction::Refuse, None),
    ] {
        let world = World::pushed_as(|stream| stream.on_assurance_decrease(action));
        world.happens("caep/assurance-level-change", user("alice"), level(direction)).await;
        let token = world.token();
        assert_eq!(world.kind(&token).await, expected, "{direction:?} {action:?}");
        if expected == Some(Kind::StepUpDemanded) {
            let sent = send(&world.api.layer(), bearer(&token.sign())).await;
            assert_eq!(sent.response.status(), StatusCode::UNAUTHORIZED);
            let challenges = challenges(sent.response.headers());
            let error = challenges[0].param("error");
            assert_eq!(error, Some("insufficient_user_authentication"));
            assert!(challenges[0].param("max_age").is_some());
        }
        world.clock.advance(SECOND);
        assert_eq!(world.kind(&world.token()).await, None, "authenticated again");
    }
}

/// A sequence of events about one subject, each with the time of its second, and what tokens get.
async fn sequence(
    world: &World,
    token: &dyn Fn() -> TokenBuilder,
    steps: &[(&str, Value, Value, Option<Kind>)],
) {
    for (event, subject, members, expected) in steps {
        world.clock.advance(SECOND);
        world.happens(event, subject.clone(), members.clone()).await;
        world.clock.advance(SECOND);
        assert_eq!(world.kind(&token()).await, *expected, "after {event} {members}");
    }
}

/// CAEP-07: a state, not a cut-off: it ends when the device complies, and does not age.
#[tokio::test]
async fn a_device_is_out_until_it_complies() {
    let world = World::pushed_as(|stream| stream.subjects(Subjects::new().device("device_id")));
    let device = json!({ "format": "complex",
        "device": { "format": "iss_sub", "iss": ISSUER, "sub": "d-1" } });
    let status = |previous: &str, current: &str| json!({ "previous_status": previous, "current_status": current });
    let event = "caep/device-compliance-change";
    let out = status("compliant", "not-compliant");
    let back = status("not-compliant", "compliant");
    let token = || world.token().claim("device_id", "d-1");
    assert_eq!(world.kind(&token()).await, None);
    sequence(
        &world,
        &token,
        &[
            (event, device.clone(), out.clone(), Some(Kind::Suspended)),
            (event, device.clone(), back.clone(), None),
            (event, device.clone(), out, Some(Kind::Suspended)),
        ],
    )
    .await;
    assert_eq!(world.kind(&world.token().claim("device_id", "d-2")).await, None);
    assert_eq!(world.kind(&world.token()).await, None, "no device");
    world.clock.advance(Duration::from_hours(24 * 365));
    assert_eq!(world.kind(&token()).await, Some(Kind::Suspended), "it never complied");
    sequence(&world, &token, &[(event, device, back, None)]).await;
}

/// CAEP-09.
#[tokio::test]
async fn a_high_risk_does_what_was_chosen() {
    for (action, high) in [
        (RiskAction::Refuse, Some(Kind::Suspended)),
        (RiskAction::StepUp, Some(Kind::StepUpDemanded)),
        (RiskAction::Ignore, None),
    ] {
        let world = World::pushed_as(|stream| stream.on_high_risk(action));
        let level = |level: &str| json!({ "principal": "USER", "current_level": level });
        let event = "caep/risk-level-change";
        sequence(
            &world,
            &|| world.token(),
            &[
                (event, user("alice"), level("LOW"), None),
                (event, user("alice"), level("HIGH"), high),
                (event, user("alice"), level("MEDIUM"), None),
                (event, user("alice"), level("HIGH"), high),
                (event, user("alice"), level("LOW"), None),
            ],
        )
        .await;
    }
}

/// CAEP-09: a device that tokens do not name cannot be released: its high risk asks for one new
/// authentication, and is no state of its user.
#[tokio::test]
async fn the_risk_of_what_tokens_do_not_name_is_no_state() {
    let world = World::pushed_as(|stream| stream.on_high_risk(RiskAction::StepUp));
    let subject = json!({ "format": "complex", "user": user("alice"),
        "device": { "format": "opaque", "id": "d-1" } });
    let level = json!({ "principal": "DEVICE", "current_level": "HIGH" });
    world.happens("caep/risk-level-change", subject, level).await;
    assert_eq!(world.kind(&world.token()).await, Some(Kind::StepUpDemanded));
    world.clock.advance(SECOND);
    assert_eq!(world.kind(&world.token()).await, None, "authenticated again");
}

/// RISC-01, RISC-03.
#[tokio::test]
async fn risc_events_end_older_tokens() {
    for (event, members) in [
        ("risc/account-credential-change-required", json!({})),
        ("risc/sessions-revoked", json!({})),
        ("risc/credential-compromise", json!({ "credential_type": "password" })),
    ] {
        let world = World::pushed();
        let token = world.token();
        world.happens(event, user("alice"), members).await;
        assert_eq!(world.kind(&token).await, Some(Kind::Revoked), "{event}");
        world.clock.advance(SECOND);
        assert_eq!(world.kind(&world.token()).await, None, "{event}");
    }
    let world = World::pushed();
    let set = world.transmitter.set("risc/credential-compromise", user("alice"), json!({}));
    assert_eq!(world.push(&set).await.err().as_deref(), Some("invalid_request"));
}

/// RISC-02: disabled is whenever issued, until enabled; what was issued before stays out. Purged is for
/// ever.
#[tokio::test]
async fn an_account_is_out_until_it_is_enabled() {
    let world = World::pushed();
    let before = world.token();
    sequence(
        &world,
        &|| world.token(),
        &[
            (
                "risc/account-disabled",
                user("alice"),
                json!({ "reason": "hijacking" }),
                Some(Kind::Suspended),
            ),
            ("risc/account-enabled", user("alice"), json!({}), None),
        ],
    )
    .await;
    assert_eq!(world.kind(&before).await, Some(Kind::Revoked), "issued before it was disabled");
    sequence(
        &world,
        &|| world.token(),
        &[
            ("risc/account-purged", user("alice"), json!({}), Some(Kind::Revoked)),
            ("risc/account-enabled", user("alice"), json!({}), Some(Kind::Revoked)),
        ],
    )
    .await;
    world.clock.advance(Duration::from_hours(24 * 365));
    assert_eq!(world.kind(&world.token()).await, Some(Kind::Revoked));
    assert_eq!(world.kind(&world.token().subject("bob")).await, None);
}

/// CAEP-08, RISC-05: what is told for information only.
#[tokio::test]
async fn some_events_are_news() {
    let world = World::pushed();
    for event in [
        "caep/session-established",
        "caep/session-presented",
        "risc/opt-in",
        "risc/opt-out-initiated",
        "risc/opt-out-cancelled",
        "risc/opt-out-effective",
        "risc/recovery-activated",
        "risc/recovery-information-changed",
    ] {
        world.happens(event, user("alice"), json!({})).await;
        assert_eq!(world.kind(&world.token()).await, None, "{event}");
    }
    assert_eq!(world.health().applied, 0);
}
