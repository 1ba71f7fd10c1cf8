//! Records whose time has not come: no document counts without one of them.

use super::publisher::Answer;
use super::restart::{Scratch, feed};
use super::*;

const SINCE_5: &str = "https://feed.example/since/5";

/// What was revoked so many seconds after the clocks of tests begin.
fn bob(at: u64) -> Value {
    json!([{ "subject": "bob", "at": 1_800_000_000 + at }])
}

/// Made so many seconds later.
fn made(document: Value, later: u64) -> Value {
    with(document, "issued_at", (1_800_000_000 + later).into())
}

impl World {
    /// Of what the record of a document is about, issued now.
    async fn bob(&self) -> Option<RejectionKind> {
        self.refused(self.token("t").subject("bob")).await
    }
}

/// Attack 42, EVT-01: a document that is not early itself, but has a record that is, is not taken yet, with
/// nothing of it: it says that something is revoked, and no later document would. It is asked for again as if
/// it had never come, and taken once the time of its last record has.
#[tokio::test]
async fn attack_42_a_document_with_an_early_record_is_taken_when_its_time_has_come() {
    let removed = |document: Value, at: u64| {
        let removed = json!([{ "subject": "eve", "at": 1_800_000_000 + at }]);
        with(document, "removed", removed)
    };
    for (name, url, document) in [
        ("the whole", URL, whole(6, &bob(351))),
        ("a delta", SINCE_5, delta(5, 6, &bob(351))),
        ("what is removed", SINCE_5, removed(delta(5, 6, &bob(80)), 351)),
    ] {
        let world = World::with_deltas(&whole(5, &json!([jti("a")]))).await;
        let answer = |document: &Value| Answer::of(document.to_string()).field("etag", "\"v6\"");
        world.publisher.answer(url, answer(&made(document, 315)));
        world.round(EVERY).await;
        assert_eq!(world.failures(), 1, "{name}: it is 20 past");
        assert!(world.error().contains("from the future"), "{name}: {}", world.error());
        assert_eq!(world.health().age, Some(EVERY), "{name}");
        assert_eq!(world.health().unusable, 0, "{name}");
        assert_eq!(world.bob().await, None, "{name}: not taken, no part of it");
        // After one second, two, and so on: neither its number is known, nor its tag.
        world.publisher.asked();
        for seconds in [1, 2, 4, 8] {
            world.round(Duration::from_secs(seconds)).await;
        }
        let asked = world.publisher.asked();
        assert!(asked.iter().all(|asked| asked.fields.get("if-none-match").is_none()), "{name}");
        assert_eq!(asked.iter().filter(|asked| asked.url == url).count(), 4, "{name}");
        assert_eq!(world.failures(), 5, "{name}");
        world.clock.advance(Duration::from_secs(15));
        assert_eq!(world.bob().await, None, "{name}: 50 past");
        world.round(Duration::from_secs(1)).await;
        assert_eq!((world.failures(), world.error()), (5, String::new()), "{name}: 51 past");
        assert_eq!(world.health().age, Some(Duration::ZERO), "{name}");
        assert_eq!(world.bob().await, Some(RejectionKind::Revoked), "{name}");
        assert!(world.is_revoked("a").await, "{name}");
        // Now it is known.
        world.publisher.asked();
        world.round(EVERY).await;
        assert_eq!(world.publisher.asked()[0].url, DELTA.replace("{sequence}", "6"), "{name}");
    }
}

/// Attack 42: the feed grows stale meanwhile, and one of which nothing is known yet is no empty one.
#[tokio::test]
async fn attack_42_what_is_not_taken_yet_grows_stale() {
    let unavailable = Some(RejectionKind::RevocationUnavailable);
    let world = World::new(&made(whole(6, &bob(340)), 300)).await;
    assert_eq!(world.bob().await, unavailable, "{}", world.error());
    let world = World::new(&whole(5, &json!([]))).await;
    world.publish(&made(whole(6, &bob(370)), 315)).await;
    assert_eq!(world.bob().await, None);
    world.clock.advance(MAX_AGE - EVERY + Duration::from_secs(1));
    assert_eq!(world.bob().await, unavailable, "{}", world.error());
}

/// Attack 42: to the nanosecond what five minutes are to a document they are to its records.
#[tokio::test]
async fn attack_42_five_minutes_ahead_is_not_early() {
    for (at, early) in [(json!(1_800_000_320), false), (json!(1_800_000_320.000_001), true)] {
        let world = World::new(&whole(5, &json!([]))).await;
        let records = json!([{ "subject": "bob", "at": at }]);
        world.publish(&made(whole(6, &records), 300)).await;
        assert_eq!(world.failures(), u64::from(early), "{at}: {}", world.error());
        assert_eq!(world.bob().await.is_some(), !early, "{at}");
    }
}

/// What has no effect at any time keeps no document from being taken: a record of an issuer that the source does
/// not speak for, or of a claim that is not looked at.
#[tokio::test]
async fn what_will_never_count_is_not_early() {
    let at = 1_800_000_375;
    let world = World::new(&whole(5, &json!([]))).await;
    let records = json!([
        { "subject": "bob", "at": 1_800_000_000 },
        { "subject": "bob", "issuer": "https://b.example", "at": at },
        { "claims": { "unknown": "x" }, "at": at },
    ]);
    world.publish(&made(whole(6, &records), 320)).await;
    assert_eq!((world.failures(), world.error()), (0, String::new()));
    assert_eq!(world.health().unusable, 1);
    assert_eq!(world.health().foreign, 1);
    let old = world.token("t").subject("bob").claim("iat", 1_800_000_000);
    assert_eq!(world.refused(old).await, Some(RejectionKind::Revoked));
}

/// EVT-01, attack 42: nor does a restart make a document known that was not taken.
#[tokio::test]
async fn attack_42_a_restart_remembers_nothing_of_what_was_not_taken() {
    for (at, known) in [(361, false), (320, true)] {
        let scratch = Scratch::new(&format!("early-{known}"));
        let publisher = Publisher::default();
        publisher.document(URL, &whole(5, &json!([jti("a")])));
        let journal = Some(opened(scratch.path().unwrap()).await);
        let clock = ManualClock::new();
        let world = World::of(publisher, clock, feed(), journal, &[ISSUER]).await;
        world.publisher.document(SINCE_5, &made(delta(5, 6, &bob(at)), 315));
        world.round(EVERY).await;
        world.publisher.asked();
        let world = world.again(feed(), scratch.path(), &[ISSUER]).await;
        let sequence = if known { "6" } else { "5" };
        assert_eq!(world.publisher.asked()[0].url, DELTA.replace("{sequence}", sequence), "{at}");
        assert_eq!(world.bob().await.is_some(), known, "{at}: {}", world.error());
    }
}
