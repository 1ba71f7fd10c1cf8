//! The CAEP interoperability profile (CAEP-10).

use portcullis::RejectionKind as Kind;
use portcullis::jose::Algorithm;
use portcullis::revocation::{EventStream, OnStale, Poll, Revocation, Source, Subjects};
use portcullis::testing::{ManualClock, TestIssuer, TestNetwork, TestTransmitter};
use serde_json::{Value, json};

use crate::support::{ISSUER, builder, until};
use crate::world::{AUDIENCE, SECRET, SecretFile, TRANSMITTER, World, user, with_secret};

/// A transmitter as the profile wants it: RS256, discovery, one event in a SET.
fn world(stream: impl FnOnce(&TestTransmitter) -> EventStream) -> World {
    let clock = ManualClock::new();
    let issuer = TestIssuer::new(ISSUER, &clock);
    let transmitter =
        TestTransmitter::with_algorithm(TRANSMITTER, AUDIENCE, &clock, Algorithm::Rs256);
    transmitter.authorization(SECRET);
    let network = TestNetwork::of(&[&issuer]).with_transmitter(&transmitter);
    let stream = stream(&transmitter).subjects(Subjects::new().email("email"));
    let source =
        Source::new("caep", stream).speaks_for([ISSUER]).on_stale(OnStale::InsecureUnbounded);
    let api = builder(&clock)
        .issuer(issuer.fixed_keys())
        .revocation(Revocation::new().source(source))
        .transport(network.clone())
        .build()
        .unwrap();
    World { clock, issuer, transmitter, network, api }
}

/// Both use cases, each by `email` and by `iss_sub`.
fn cases() -> Vec<(&'static str, Value, Value)> {
    let reason = json!({ "en": "Policy Violation" });
    let email = || json!({ "format": "email", "email": "alice@example.com" });
    let change = |credential: &str, change: &str| json!({ "credential_type": credential, "change_type": change, "reason_admin": reason });
    let revoked = || json!({ "reason_admin": reason, "event_timestamp": 1_800_000_000 });
    let mut cases = vec![
        ("caep/session-revoked", user("alice"), revoked()),
        ("caep/session-revoked", email(), revoked()),
    ];
    for credential in [
        "password",
        "pin",
        "x509",
        "fido2-platform",
        "fido2-roaming",
        "fido-u2f",
        "verifiable-credential",
        "phone-voice",
        "phone-sms",
        "app",
    ] {
        for kind in ["revoke", "update", "delete"] {
            cases.push(("caep/credential-change", user("alice"), change(credential, kind)));
            cases.push(("caep/credential-change", email(), change(credential, kind)));
        }
    }
    cases
}

/// CAEP-10: pushed, RS256, keys by discovery; subjects that nobody added; `create` has no effect.
#[tokio::test]
async fn the_profile_by_push() {
    let world = world(|tx| tx.discover().push(with_secret()));
    let token = || world.token().claim("email", "alice@example.com");
    for (event, subject, members) in cases() {
        world.clock.advance(crate::world::SECOND);
        let token = token();
        assert_eq!(world.kind(&token).await, None);
        let mut members = members;
        members["event_timestamp"] = json!(world.now().as_secs());
        world.happens(event, subject, members).await;
        assert_eq!(world.kind(&token).await, Some(Kind::Revoked), "{event}");
        assert_eq!(world.kind(&world.token().subject("bob")).await, None);
    }
    world.clock.advance(crate::world::SECOND);
    let created = json!({ "credential_type": "pin", "change_type": "create" });
    world.happens("caep/credential-change", user("alice"), created).await;
    assert_eq!(world.kind(&token()).await, None);
    let verification = world.transmitter.verification(None);
    assert!(world.push(&verification).await.accepted(), "opaque, for a verification");
    let both = json!({
        "https://schemas.openid.net/secevent/caep/event-type/session-revoked": {},
        "https://schemas.openid.net/secevent/caep/event-type/session-presented": {},
    });
    let set = world.transmitter.session_revoked(ISSUER, "alice").claim("events", both);
    assert_eq!(world.push(&set).await.err().as_deref(), Some("invalid_request"));
}

/// CAEP-10: and polled, with the stream of the transmitter's list.
#[tokio::test]
async fn the_profile_by_poll() {
    let secret = SecretFile::new("interop");
    let poll = |tx: &TestTransmitter| {
        tx.discover().poll(Poll::discovered().authorization(secret.source()))
    };
    let world = world(poll);
    let cases = cases();
    for (event, subject, members) in &cases {
        world.transmitter.offer(&world.transmitter.set(event, subject.clone(), members.clone()));
    }
    world.start().await;
    until("all were acknowledged", || world.transmitter.acknowledged().len() == cases.len()).await;
    assert_eq!(world.kind(&world.token()).await, Some(Kind::Revoked));
    let by_email = world.token().subject("another").claim("email", "alice@example.com");
    assert_eq!(world.kind(&by_email).await, Some(Kind::Revoked));
}

/// CAEP-10, decision 17: a stream without RS256 takes no events of the profile.
#[tokio::test]
async fn a_stream_without_rs256_is_outside_the_profile() {
    let world = world(|tx| tx.discover().algorithms([Algorithm::Es256]).push(with_secret()));
    let answer = world.push(&world.transmitter.session_revoked(ISSUER, "alice")).await;
    assert_eq!(answer.err().as_deref(), Some("invalid_key"));
    assert_eq!(world.kind(&world.token()).await, None);
}
