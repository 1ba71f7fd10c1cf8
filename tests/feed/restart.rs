//! What is known after a restart, and what has to be asked for.

use std::path::PathBuf;

use portcullis::time::Clock as _;

use super::publisher::Answer;
use super::*;

/// A journal of this test.
pub(crate) struct Scratch(PathBuf);

impl Scratch {
    pub(crate) fn new(name: &str) -> Self {
        let file = format!("portcullis-feed-{}-{name}", std::process::id());
        Self(std::env::temp_dir().join(file))
    }

    pub(crate) fn path(&self) -> Option<&Path> {
        Some(&self.0)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        drop(std::fs::remove_file(&self.0));
    }
}

pub(crate) fn feed() -> JsonFeed {
    JsonFeed::over_tls(URL).delta(DELTA)
}

async fn started(scratch: &Scratch, records: &Value) -> World {
    let publisher = Publisher::default();
    let answer = Answer::of(whole(5, records).to_string()).field("etag", "\"v5\"");
    publisher.answer(URL, answer);
    let journal = Some(opened(&scratch.0).await);
    World::of(publisher, ManualClock::new(), feed(), journal, &[ISSUER]).await
}

/// EVT-01, attack 42: with a journal what was said is known after a restart, and only what changed since is
/// asked for; without one the whole is.
#[tokio::test]
async fn after_a_restart_it_goes_on_where_it_was() {
    let scratch = Scratch::new("goes-on");
    let world = started(&scratch, &json!([jti("a")])).await;
    assert_eq!(world.publisher.urls(), [URL]);
    world.publisher.document("https://feed.example/since/5", &delta(5, 6, &json!([jti("b")])));
    let world = world.again(feed(), scratch.path(), &[ISSUER]).await;
    assert_eq!(world.publisher.urls(), ["https://feed.example/since/5"]);
    assert!(world.is_revoked("a").await && world.is_revoked("b").await);
    // Nobody answers: what was known is known, and as old as it is.
    world.publisher.answer(URL, Answer::status(500));
    world.clock.advance(Duration::from_secs(10));
    let world = world.again(feed(), scratch.path(), &[ISSUER]).await;
    assert_eq!(world.health().age, Some(Duration::from_secs(10)));
    assert!(world.is_revoked("a").await && world.is_revoked("b").await);
    let world = world.again(feed(), None, &[ISSUER]).await;
    let refused = world.refused(world.token("a")).await;
    assert_eq!(refused, Some(RejectionKind::RevocationUnavailable), "without a journal");
}

/// EVT-01: a document that goes back is told also after a restart.
#[tokio::test]
async fn the_number_is_remembered() {
    let scratch = Scratch::new("number");
    let world = started(&scratch, &json!([jti("a")])).await;
    world.publisher.document(URL, &whole(4, &json!([])));
    let plain = JsonFeed::over_tls(URL);
    let world = world.again(plain.clone(), scratch.path(), &[ISSUER]).await;
    assert!(world.error().contains("went back"), "{}", world.error());
    assert!(world.is_revoked("a").await);
    // A publisher that begins anew is another feed, or is said to be the one that is meant.
    world.publisher.document(URL, &with(whole(1, &json!([jti("b")])), "feed", "urn:new".into()));
    let world = world.again(plain.clone(), scratch.path(), &[ISSUER]).await;
    assert!(world.error().contains("urn:new"), "{}", world.error());
    let world = world.again(plain.id("urn:new"), scratch.path(), &[ISSUER]).await;
    assert_eq!(world.error(), "");
    assert!(world.is_revoked("a").await && world.is_revoked("b").await);
}

/// Attack 41: what another configuration left out is not taken for known: where the whole could mean more
/// now, the whole is fetched and read, whatever its number and its tag.
#[tokio::test]
async fn what_was_left_out_before_is_read_again() {
    let foreign = json!({ "issuer": "https://b.example", "jti": "b", "at": 1_799_999_000 });
    let own = with(jti("a"), "issuer", ISSUER.into());
    let claim = json!({ "issuer": ISSUER, "claims": { "tenant": "x" }, "at": 1_799_999_000 });
    let no_delta = || Answer::status(500);
    for (name, records, issuers, expected) in [
        ("the same issuers", json!([own]), vec![ISSUER], "https://feed.example/since/5"),
        ("one more", json!([own]), vec![ISSUER, "https://b.example"], URL),
        ("records of others", json!([own, foreign]), vec![ISSUER], URL),
        ("claims by their names", json!([own, claim]), vec![ISSUER], URL),
    ] {
        let scratch = Scratch::new(&name.replace(' ', "-"));
        let world = started(&scratch, &records).await;
        assert_eq!(world.error(), "", "{name}");
        world.publisher.answer("https://feed.example/since/5", no_delta());
        world.publisher.asked();
        let world = world.again(feed(), scratch.path(), &issuers).await;
        let asked = world.publisher.asked().remove(0);
        assert_eq!(asked.url, expected, "{name}");
        assert!(!asked.fields.contains_key("if-none-match"), "{name}");
        assert!(world.is_revoked("a").await, "{name}");
        if expected == URL {
            assert_eq!(world.error(), "", "{name}");
            assert_eq!(
                world.health().applied,
                1 + u64::from(name.starts_with("claims")),
                "{name}: read again"
            );
        }
    }
}

/// EVT-01: the tag of the whole is remembered, and counts where the same configuration reads it.
#[tokio::test]
async fn the_tag_is_remembered() {
    let scratch = Scratch::new("tag");
    let world = started(&scratch, &json!([jti("a")])).await;
    world.publisher.asked();
    world.publisher.answer(URL, Answer::status(304));
    let plain = JsonFeed::over_tls(URL);
    let world = world.again(plain, scratch.path(), &[ISSUER]).await;
    assert_eq!(world.publisher.asked()[0].fields["if-none-match"], "\"v5\"");
    assert_eq!((world.error(), world.health().age), (String::new(), Some(Duration::ZERO)));
    assert!(world.is_revoked("a").await);
}

/// EVT-01: what can matter no more is dropped from memory and from the journal; what can is there after a
/// restart, also where nobody says it again.
#[tokio::test]
async fn what_still_matters_is_kept_while_old_records_are_dropped() {
    let scratch = Scratch::new("kept");
    // Longer ago than any token lives. A clock is believed an hour after the start; and half an hour ago then.
    let old = json!([{ "subject": "bob", "at": 1_799_990_000 }]);
    let later = json!([{ "subject": "ann", "at": 1_800_001_800 }]);
    let later = with(delta(5, 6, &later), "issued_at", 1_800_001_800.into());
    let world = started(&scratch, &old).await;
    world.publisher.document("https://feed.example/since/5", &delta(5, 5, &json!([])));
    for _ in 0..90 {
        world.round(EVERY).await;
    }
    assert_eq!(world.clock.now().as_secs(), 1_800_001_800);
    world.publisher.document("https://feed.example/since/5", &later);
    world.publisher.document("https://feed.example/since/6", &delta(6, 6, &json!([])));
    world.round(EVERY).await;
    assert_eq!(world.api.revocations().records(), 2);
    for _ in 0..1_000 {
        if world.api.revocations().records() < 2 {
            break;
        }
        world.round(EVERY).await;
    }
    let world = world.again(feed(), scratch.path(), &[ISSUER]).await;
    assert_eq!(world.api.revocations().records(), 1);
    let of = |subject: &str| world.token("t").subject(subject).claim("iat", 1_800_001_800);
    assert_eq!(world.refused(of("ann")).await, Some(RejectionKind::Revoked));
    assert_eq!(world.refused(of("bob")).await, None);
}
