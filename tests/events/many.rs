//! Many events, in any order, again and again.

use std::collections::BTreeMap;

use portcullis::RejectionKind as Kind;
use portcullis::revocation::Subjects;
use portcullis::testing::TestTransmitter;
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::support::{ISSUER, until};
use crate::world::{World, user};

/// Something that happens to `alice` or her device, so many seconds from the start.
#[derive(Clone, Debug)]
struct Happening {
    event: &'static str,
    subject: Value,
    members: Value,
    second: u64,
}

const START: u64 = 1_800_000_000;

fn happenings() -> impl Strategy<Value = Vec<Happening>> {
    let device = json!({ "format": "complex", "device": { "format": "opaque", "id": "d" } });
    let session = json!({ "format": "complex", "user": user("alice"),
        "session": { "format": "opaque", "id": "s" } });
    let status = |status: &str| json!({ "previous_status": status, "current_status": status });
    let risk = |level: &str| json!({ "principal": "USER", "current_level": level });
    let level = json!({ "namespace": "x", "current_level": "1" });
    let email = json!({ "format": "email", "email": "a@b" });
    let kinds = vec![
        ("caep/session-revoked", user("alice"), json!({})),
        ("caep/session-revoked", session, json!({})),
        ("caep/assurance-level-change", user("alice"), level),
        ("caep/device-compliance-change", device.clone(), status("compliant")),
        ("caep/device-compliance-change", device, status("not-compliant")),
        ("caep/risk-level-change", user("alice"), risk("HIGH")),
        ("caep/risk-level-change", user("alice"), risk("LOW")),
        ("risc/account-disabled", user("alice"), json!({})),
        ("risc/account-enabled", user("alice"), json!({})),
        ("risc/account-credential-change-required", email, json!({})),
    ];
    let one =
        (prop::sample::select(kinds), 0_u64..6).prop_map(|((event, subject, members), second)| {
            Happening { event, subject, members, second }
        });
    prop::collection::vec(one, 1..8)
}

/// What tokens get that were issued each second.
async fn verdicts(world: &World, happened: &[Happening]) -> BTreeMap<(u64, bool), Option<Kind>> {
    for Happening { event, subject, members, second } in happened {
        let mut members = members.clone();
        members["event_timestamp"] = json!(START + second);
        world.happens(event, subject.clone(), members).await;
    }
    let mut verdicts = BTreeMap::new();
    for second in 0..8 {
        for session in [false, true] {
            let token = world.issued(START + second).claim("email", "a@b");
            let token = token.claim("device_id", "d");
            let token = if session { token.claim("sid", "s") } else { token };
            verdicts.insert((second, session), world.kind(&token).await);
        }
    }
    verdicts
}

fn world() -> World {
    let subjects = Subjects::new().device("device_id").email("email");
    let world = World::pushed_as(|stream| stream.subjects(subjects));
    world.clock.advance(std::time::Duration::from_secs(10));
    world
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    /// SET-07, SET-08, attack 40: what is known in the end does not depend on the order in which SETs
    /// come, nor on how often.
    #[test]
    fn order_and_repeats_change_nothing(
        happened in happenings(),
        order in any::<prop::sample::Index>(),
        again in any::<prop::sample::Index>(),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let expected = verdicts(&world(), &happened).await;
            let mut other = happened.clone();
            other.reverse();
            let turn = order.index(other.len());
            other.rotate_left(turn);
            other.push(happened[again.index(happened.len())].clone());
            let found = verdicts(&world(), &other).await;
            prop_assert_eq!(found, expected);
            Ok(())
        })?;
    }
}

/// Attack 42, EVT-01, PUSH-06: a burst of a hundred thousand events: what was acknowledged counts, what
/// was not comes again, and no more than its places are in progress.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_burst_of_a_hundred_thousand_events() {
    const EVENTS: usize = 100_000;
    const SENDERS: usize = 64;
    let world = World::pushed();
    let receiver = world.receiver();
    let transmitter = &world.transmitter;
    let mut senders = Vec::new();
    for sender in 0..SENDERS {
        let (receiver, transmitter) = (receiver.clone(), transmitter.clone());
        senders.push(tokio::spawn(async move {
            let mut accepted = 0_usize;
            for number in (sender..EVENTS).step_by(SENDERS) {
                let set = transmitter.session_revoked(ISSUER, &format!("user-{number}")).sign();
                loop {
                    let status = receiver.receive(transmitter.push(set.clone())).await.status();
                    match status.as_u16() {
                        202 => break,
                        503 => tokio::task::yield_now().await,
                        other => panic!("{other}"),
                    }
                }
                accepted += 1;
            }
            accepted
        }));
    }
    let mut accepted = 0;
    for sender in senders {
        accepted += sender.await.unwrap();
    }
    assert_eq!(accepted, EVENTS);
    assert_eq!(world.api.revocations().records(), EVENTS);
    assert_eq!(world.health().applied, EVENTS as u64);
    for number in (0..EVENTS).step_by(9_973) {
        let token = world.token().subject(&format!("user-{number}"));
        assert_eq!(world.kind(&token).await, Some(Kind::Revoked), "{number}");
    }
    assert_eq!(world.kind(&world.token().subject("nobody")).await, None);
}

/// POLL-02, EVT-01: the same by polls, a thousand at once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_burst_by_polls() {
    const EVENTS: usize = 10_000;
    let stream = |tx: &TestTransmitter| {
        tx.without_authorization();
        tx.fixed_keys().poll(tx.polled().max_events(1_000))
    };
    let world = World::with(stream, |source| source);
    for number in 0..EVENTS {
        let set = world.transmitter.session_revoked(ISSUER, &format!("user-{number}"));
        world.transmitter.offer(&set);
    }
    world.start().await;
    until("all were acknowledged", || {
        std::thread::yield_now();
        world.transmitter.acknowledged().len() == EVENTS
    })
    .await;
    assert_eq!(world.api.revocations().records(), EVENTS);
    assert!(world.transmitter.waiting().is_empty());
    let token = world.token().subject("user-9999");
    assert_eq!(world.kind(&token).await, Some(Kind::Revoked));
}
