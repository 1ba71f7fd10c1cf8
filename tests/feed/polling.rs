//! How a feed is asked, and what becomes of answers that are wrong.

use std::io::Write as _;

use flate2::Compression;
use flate2::write::GzEncoder;
use portcullis::name::LoopbackHttp;
use portcullis::secret::SecretSource;
use portcullis::transport::FetchErrorKind;

use super::publisher::Answer;
use super::*;

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// Decision 13, attacks 41 and 42: a wrong answer, whatever is wrong with it, changes nothing and is told;
/// what is known grows older until tokens get 503, and the next right answer mends it.
#[tokio::test]
async fn a_wrong_answer_changes_nothing_and_lets_what_is_known_grow_older() {
    let next = whole(6, &json!([jti("a"), jti("b")]));
    let text = next.to_string();
    let edited = |from: &str, to: &str| {
        assert!(text.contains(from), "{from}");
        Answer::of(text.replacen(from, to, 1))
    };
    let big = "x".repeat(3_000);
    for (name, answer, words) in [
        ("truncated", Answer::of(text[..text.len() - 20].to_owned()), "not JSON"),
        ("empty", Answer::of(""), "not a JSON object"),
        ("HTML", Answer::of("<html>sign in</html>"), "not a JSON object"),
        ("array", Answer::of("[]"), "not a JSON object"),
        ("two documents", Answer::of(format!("{text}{text}")), "not a JSON object"),
        ("fewer records than it says", edited("\"count\":2", "\"count\":3"), "a part is missing"),
        ("more records than it says", edited("\"count\":2", "\"count\":1"), "a part is missing"),
        ("a member twice", edited("\"sequence\":6", "\"sequence\":6,\"sequence\":7"), "twice"),
        (
            "a record with an unknown member",
            edited("\"jti\":\"b\"", "\"jti\":\"b\",\"scope\":\"x\""),
            "records[1]",
        ),
        (
            "a record about nothing",
            edited("\"jti\":\"b\"", "\"issuer\":\"https://as.example\""),
            "records[1]",
        ),
        ("older", edited("\"sequence\":6", "\"sequence\":4"), "went back"),
        ("of another feed", edited("urn:example:feed", "urn:example:other"), "feed"),
        ("expired", edited("\"count\":2", "\"count\":2,\"exp\":1800000010"), "expired"),
        ("from the future", edited("1800000000", "1800009000"), "future"),
        (
            "too long",
            Answer::of(text.replace("urn:example:feed", &format!("urn:{big}"))),
            "too large",
        ),
        (
            "a bomb",
            Answer::of(gzip("x".repeat(1_000_000).as_bytes())).field("content-encoding", "gzip"),
            "longer than",
        ),
        ("not gzip", Answer::of(text.clone()).field("content-encoding", "gzip"), "not gzip"),
        (
            "half of gzip",
            Answer::of(gzip(text.as_bytes())[..50].to_vec()).field("content-encoding", "gzip"),
            "not gzip",
        ),
        (
            "gzip and more",
            Answer::of([&gzip(text.as_bytes())[..], b"more"].concat())
                .field("content-encoding", "gzip"),
            "not gzip",
        ),
        (
            "another coding",
            Answer::of(text.clone()).field("content-encoding", "br"),
            "content coding",
        ),
        (
            "two codings",
            Answer::of(text.clone())
                .field("content-encoding", "gzip")
                .field("content-encoding", "gzip"),
            "content coding",
        ),
        ("a redirect", Answer::status(302).field("location", "https://evil.example/"), "redirect"),
        ("unchanged, unasked", Answer::status(304), "status 304"),
        ("no content", Answer::status(204), "status 204"),
        ("part of it", Answer::status(206), "status 206"),
        ("gone", Answer::status(404), "nothing is there"),
        ("not allowed", Answer::status(403), "status 403"),
        ("an outage", Answer::status(503), "status 503"),
        ("no connection", Answer::failure(FetchErrorKind::Connection), "no connection"),
    ] {
        let feed = JsonFeed::over_tls(URL).max_bytes(2_000);
        let world = World::with(&whole(5, &json!([jti("a")])), feed).await;
        assert_eq!((world.failures(), world.error()), (0, String::new()), "{name}");
        world.publisher.answer(URL, answer);
        world.round(EVERY).await;
        assert_eq!(world.failures(), 1, "{name}");
        assert!(
            world.error().contains(words) && world.error().contains("feed.example"),
            "{name}: {}",
            world.error()
        );
        assert_eq!(world.health().age, Some(EVERY), "{name}");
        assert!(world.is_revoked("a").await, "{name}: known");
        assert!(!world.is_revoked("b").await, "{name}: not taken, no part of it");
        // A second later it is asked again, then after two.
        world.round(Duration::from_secs(1)).await;
        world.round(Duration::from_secs(2)).await;
        assert_eq!(world.failures(), 3, "{name}");
        world.clock.advance(MAX_AGE - EVERY - Duration::from_secs(2));
        let refused = world.refused(world.token("c")).await;
        assert_eq!(refused, Some(RejectionKind::RevocationUnavailable), "{name}: too old");
        let before = world.failures();
        world.publisher.document(URL, &next);
        for _ in 0..2 {
            if world.health().age.is_none_or(|age| age > EVERY) {
                world.round(Duration::from_mins(1)).await;
            }
        }
        assert!(world.failures() <= before + 1, "{name}");
        assert!(world.is_revoked("a").await && world.is_revoked("b").await, "{name}: mended");
        assert_eq!(world.refused(world.token("c")).await, None, "{name}");
    }
}

/// Attack 41: a server to which its feed never said anything knows nothing, and says so.
#[tokio::test]
async fn a_feed_that_never_answered_is_not_an_empty_one() {
    let publisher = Publisher::default();
    publisher.answer(URL, Answer::status(500));
    let feed = JsonFeed::over_tls(URL);
    let world = World::of(publisher, ManualClock::new(), feed, None, &[ISSUER]).await;
    let refused = world.refused(world.token("a")).await;
    assert_eq!(refused, Some(RejectionKind::RevocationUnavailable));
    world.publisher.document(URL, &whole(1, &json!([])));
    world.round(Duration::from_secs(1)).await;
    assert_eq!(world.refused(world.token("a")).await, None, "an empty one");
}

/// Attack 41: an answer that never comes ends in a minute, and is asked for again.
#[tokio::test]
async fn a_feed_that_never_ends_its_answer_is_given_up() {
    let world = World::new(&whole(1, &json!([jti("a")]))).await;
    world.publisher.silent(true);
    let before = world.publisher.asked().len();
    assert_eq!(before, 1);
    world.clock.advance(EVERY);
    while world.publisher.asked().is_empty() {
        tokio::task::yield_now().await;
    }
    world.round(Duration::from_mins(1)).await;
    assert!(world.error().contains("no answer in time"), "{}", world.error());
    world.publisher.silent(false);
    world.publisher.document(URL, &whole(2, &json!([jti("b")])));
    world.round(Duration::from_secs(1)).await;
    assert!(world.is_revoked("a").await && world.is_revoked("b").await);
}

/// Decision 13: failures are not hammered at, and do not wait for ever.
#[tokio::test]
async fn the_wait_after_failures_doubles_up_to_a_minute_and_begins_anew() {
    let world = World::new(&whole(1, &json!([]))).await;
    world.publisher.answer(URL, Answer::status(500));
    world.round(EVERY).await;
    for seconds in [1, 2, 4, 8, 16, 32, 60, 60] {
        world.publisher.asked();
        world.clock.advance(Duration::from_secs(seconds) - Duration::from_millis(1));
        tokio::task::yield_now().await;
        assert_eq!(world.publisher.urls().len(), 0, "before {seconds} seconds");
        world.round(Duration::from_millis(1)).await;
        assert_eq!(world.publisher.urls(), [URL], "after {seconds} seconds");
    }
    world.publisher.document(URL, &whole(1, &json!([])));
    world.round(Duration::from_mins(1)).await;
    world.publisher.answer(URL, Answer::status(500));
    world.round(EVERY).await;
    world.round(Duration::from_secs(1)).await;
    assert_eq!(world.failures(), 11);
}

/// How often it is asked is a third of the age, or what was said, and never too late.
#[tokio::test]
async fn it_is_asked_as_often_as_was_said_and_before_it_is_too_old() {
    for (every, expected) in [(None, 20), (Some(7), 7), (Some(30), 30), (Some(600), 30)] {
        let mut feed = JsonFeed::over_tls(URL);
        if let Some(every) = every {
            feed = feed.every(Duration::from_secs(every));
        }
        let world = World::with(&whole(1, &json!([])), feed).await;
        world.publisher.asked();
        world.clock.advance(Duration::from_secs(expected) - Duration::from_millis(1));
        tokio::task::yield_now().await;
        assert_eq!(world.publisher.urls().len(), 0, "{every:?}");
        world.round(Duration::from_millis(1)).await;
        assert_eq!(world.publisher.urls().len(), 1, "{every:?}");
    }
}

/// The same document says that all is known, and so does 304; an older one does not.
#[tokio::test]
async fn what_is_unchanged_counts_as_known_at_the_moment_of_asking() {
    let first = whole(5, &json!([jti("a")]));
    let world = World::new(&first).await;
    assert!(!world.publisher.asked()[0].fields.contains_key("if-none-match"));
    world.publish(&first).await;
    assert_eq!((world.failures(), world.health().age), (0, Some(Duration::ZERO)));
    assert_eq!(world.health().applied, 1, "nothing new");
    // With a tag.
    world.publisher.answer(URL, Answer::of(first.to_string()).field("etag", "\"v5\""));
    world.round(EVERY).await;
    world.publisher.asked();
    world.publisher.answer(URL, Answer::status(304));
    world.round(EVERY).await;
    let asked = world.publisher.asked().remove(0);
    assert_eq!(asked.fields["if-none-match"], "\"v5\"");
    assert_eq!((world.failures(), world.health().age), (0, Some(Duration::ZERO)));
    assert!(world.is_revoked("a").await);
    // The tag of a document that has a tag no more.
    world.publish(&whole(6, &json!([jti("b")]))).await;
    world.publisher.answer(URL, Answer::status(304));
    world.publisher.asked();
    world.round(EVERY).await;
    assert!(!world.publisher.asked()[0].fields.contains_key("if-none-match"));
    assert_eq!(world.failures(), 1);
}

/// Attack 42: a document that has expired is asked for anew, whatever it is called.
#[tokio::test]
async fn a_document_that_has_expired_is_not_unchanged() {
    let first = with(whole(5, &json!([])), "exp", 1_800_000_030.into());
    let publisher = Publisher::default();
    publisher.answer(URL, Answer::of(first.to_string()).field("etag", "\"v5\""));
    let feed = JsonFeed::over_tls(URL);
    let world = World::of(publisher, ManualClock::new(), feed, None, &[ISSUER]).await;
    world.publisher.answer(URL, Answer::status(304));
    world.publisher.asked();
    world.round(EVERY).await;
    assert_eq!(world.failures(), 0);
    world.round(EVERY).await;
    let tags: Vec<_> = world
        .publisher
        .asked()
        .iter()
        .map(|asked| asked.fields.contains_key("if-none-match"))
        .collect();
    assert_eq!((tags, world.failures()), (vec![true, false], 1));
}

/// A delta is asked for by the number of the last document, and added to what is known.
#[tokio::test]
async fn deltas_are_added_and_gaps_are_filled_with_the_whole() {
    let world = World::with_deltas(&whole(5, &json!([jti("a")]))).await;
    let at = |sequence: u64| DELTA.replace("{sequence}", &sequence.to_string());
    assert_eq!(world.publisher.urls(), [URL]);
    world.publisher.document(&at(5), &delta(5, 7, &json!([jti("b")])));
    world.round(EVERY).await;
    assert_eq!(world.publisher.urls(), [at(5)]);
    assert!(world.is_revoked("a").await && world.is_revoked("b").await);
    // It may begin before.
    world.publisher.document(&at(7), &delta(5, 8, &json!([jti("b"), jti("c")])));
    world.round(EVERY).await;
    assert!(world.is_revoked("c").await);
    // Nothing new.
    world.publisher.document(&at(8), &delta(8, 8, &json!([])));
    world.round(EVERY).await;
    assert_eq!((world.publisher.urls(), world.failures()), (vec![at(7), at(8)], 0));
    // It begins too late: nothing of it counts, and the whole is fetched at once.
    world.publisher.document(&at(8), &delta(9, 10, &json!([jti("d")])));
    world.publisher.document(URL, &whole(10, &json!([jti("a"), jti("c"), jti("e")])));
    world.round(EVERY).await;
    assert_eq!((world.publisher.urls(), world.failures()), (vec![at(8), URL.to_owned()], 0));
    assert!(!world.is_revoked("d").await && world.is_revoked("e").await);
    assert!(world.is_revoked("b").await, "not listed, and not removed");
    // The publisher knows nothing so far back.
    world.publisher.document(URL, &whole(12, &json!([jti("f")])));
    world.round(EVERY).await;
    assert_eq!(world.publisher.urls(), [at(10), URL.to_owned()]);
    world.publisher.answer(&at(12), Answer::status(410));
    world.publisher.document(URL, &whole(13, &json!([jti("g")])));
    world.round(EVERY).await;
    assert!(world.is_revoked("f").await && world.is_revoked("g").await);
    assert_eq!((world.publisher.urls(), world.failures()), (vec![at(12), URL.to_owned()], 0));
    // It answers with the whole, which is as good.
    world.publisher.document(&at(13), &whole(14, &json!([jti("h")])));
    world.round(EVERY).await;
    assert!(world.is_revoked("h").await);
}

/// Attack 42: a delta that goes back, is broken or fails is a failure, and not an empty one.
#[tokio::test]
async fn a_wrong_delta_is_a_failure() {
    for (name, answer, words) in [
        ("back", Answer::of(delta(3, 4, &json!([])).to_string()), "went back"),
        ("broken", Answer::of("{"), "not JSON"),
        (
            "of another feed",
            Answer::of(with(delta(5, 6, &json!([])), "feed", "urn:b".into()).to_string()),
            "feed",
        ),
        ("an outage", Answer::status(500), "status 500"),
    ] {
        let world = World::with_deltas(&whole(5, &json!([jti("a")]))).await;
        world.publisher.answer("https://feed.example/since/5", answer);
        world.round(EVERY).await;
        assert_eq!(world.failures(), 1, "{name}");
        assert!(world.error().contains(words), "{name}: {}", world.error());
        assert_eq!(world.health().age, Some(EVERY), "{name}");
    }
    // Where the whole is wanted, a delta that has a gap before it is none.
    let world = World::new(&whole(5, &json!([jti("a")]))).await;
    world.publish(&delta(6, 7, &json!([jti("b")]))).await;
    assert!(world.error().contains("in place of the whole"), "{}", world.error());
    world.publisher.document(URL, &delta(5, 7, &json!([jti("b")])));
    world.round(Duration::from_secs(1)).await;
    assert!(world.is_revoked("b").await, "one without a gap does no harm");
    // The first one of all is the whole.
    let world = World::new(&delta(0, 7, &json!([jti("b")]))).await;
    assert!(world.error().contains("in place of the whole"), "{}", world.error());
    assert!(world.health().age.is_none());
}

/// TSL-16 and its like: compressed or not, the same is read; caches are passed by; the bounds go along.
#[tokio::test]
async fn what_is_asked_and_how_it_may_be_answered() {
    let path = std::env::temp_dir().join(format!("portcullis-feed-{}", std::process::id()));
    std::fs::write(&path, "one\n").unwrap();
    let feed = JsonFeed::over_tls(URL).bearer(SecretSource::file(&path)).max_bytes(100_000);
    let world = World::with(&whole(1, &json!([])), feed).await;
    let asked = world.publisher.asked().remove(0);
    for (name, value) in [
        ("accept", "application/json"),
        ("accept-encoding", "gzip"),
        ("cache-control", "no-cache"),
        ("authorization", "Bearer one"),
    ] {
        assert_eq!(asked.fields[name], value);
    }
    assert!(asked.fields["authorization"].is_sensitive());
    assert_eq!(asked.limits.max_body, 100_000);
    assert_eq!(asked.limits.timeout, Duration::from_mins(1));
    let text = whole(2, &json!([jti("a")])).to_string();
    let zipped = Answer::of(gzip(text.as_bytes())).field("content-encoding", "GZIP");
    world.publisher.answer(URL, zipped);
    std::fs::write(&path, "two").unwrap();
    world.round(EVERY).await;
    assert!(world.is_revoked("a").await);
    assert_eq!(world.publisher.asked()[0].fields["authorization"], "Bearer two", "read anew");
    std::fs::remove_file(&path).unwrap();
    world.round(EVERY).await;
    assert!(world.error().contains("secret in file"), "{}", world.error());
    assert_eq!(world.publisher.asked().len(), 0, "nothing is asked without it");
}

/// Attack 42: numbers of one feed are compared, and no others; who is configured is believed over what was.
#[tokio::test]
async fn a_feed_is_known_by_its_identifier() {
    let feed = JsonFeed::over_tls(URL).id("urn:example:other");
    let world = World::with(&whole(5, &json!([jti("a")])), feed).await;
    assert!(world.error().contains("urn:example:other"), "{}", world.error());
    assert!(world.health().age.is_none());
    world
        .publisher
        .document(URL, &with(whole(2, &json!([jti("a")])), "feed", "urn:example:other".into()));
    world.round(Duration::from_secs(1)).await;
    assert!(world.is_revoked("a").await);
}

/// DISC-10: the longest document is as long as was said, to the byte, as it is sent and after it was
/// decompressed; a coding that changes nothing is one.
#[tokio::test]
async fn a_document_is_as_long_as_was_said_and_no_longer() {
    let text = whole(1, &json!([jti("a")])).to_string();
    let zipped = || Answer::of(gzip(text.as_bytes())).field("content-encoding", "x-gzip");
    let plain = || Answer::of(text.clone());
    let identity = || plain().field("content-encoding", "Identity");
    for (name, answer, less, words) in [
        ("plain", plain(), 0, ""),
        ("plain, too long", plain(), 1, "too large"),
        ("as it is", identity(), 0, ""),
        ("as it is, too long", identity(), 1, "too large"),
        ("gzip", zipped(), 0, ""),
        ("gzip, too long", zipped(), 1, "longer than"),
    ] {
        let publisher = Publisher::default();
        publisher.answer(URL, answer);
        let feed = JsonFeed::over_tls(URL).max_bytes(text.len() - less);
        let world = World::of(publisher, ManualClock::new(), feed, None, &[ISSUER]).await;
        assert!(world.error().contains(words), "{name}: {}", world.error());
        assert_eq!(world.failures() == 0, words.is_empty(), "{name}: {}", world.error());
        if words.is_empty() {
            assert!(world.is_revoked("a").await, "{name}");
        }
    }
}

/// How late it came is told of what is new: neither of a first document, nor again of what was told.
#[tokio::test]
async fn the_lag_is_that_of_the_newest_record_when_it_was_new() {
    let at = |at: u64| json!([{ "subject": "ann", "at": 1_800_000_000 + at }]);
    let world = World::new(&whole(1, &at(0))).await;
    assert_eq!(world.health().lag, None, "who has just started cannot know");
    for (sequence, newest, lag) in [(2, 10, 10), (3, 10, 10), (4, 5, 10), (5, 30, 50), (6, 0, 50)] {
        world.publish(&whole(sequence, &at(newest))).await;
        assert_eq!(world.error(), "", "{sequence}");
        assert_eq!(world.health().lag, Some(Duration::from_secs(lag)), "{sequence}");
    }
}

/// Attack 10: a transport is told whether this feed may be at `http` on this machine.
#[tokio::test]
async fn only_a_feed_of_this_machine_is_asked_for_without_tls() {
    const LOCAL: &str = "http://127.0.0.1:8080/revocations.json";
    for (url, expected) in [(URL, LoopbackHttp::Refused), (LOCAL, LoopbackHttp::Allowed)] {
        let publisher = Publisher::default();
        publisher.document(url, &whole(1, &json!([jti("a")])));
        let mut feed = JsonFeed::over_tls(url);
        if url == LOCAL {
            feed = feed.dangerous().insecure_loopback_http();
        }
        let world = World::of(publisher, ManualClock::new(), feed, None, &[ISSUER]).await;
        assert!(world.is_revoked("a").await, "{}", world.error());
        let limits = world.publisher.asked().remove(0).limits;
        assert_eq!(limits.loopback_http, expected, "{url}");
    }
}
