//! What is wrong with the configuration of a feed is told when the server is built, with its place.

use portcullis::Issuer;

use super::*;

fn places(feed: JsonFeed) -> Vec<String> {
    let clock = ManualClock::new();
    let issuer = TestIssuer::new(ISSUER, &clock);
    let source = Source::new("feed", feed).speaks_for([ISSUER]);
    let built = builder(&clock)
        .issuer(issuer.fixed_keys())
        .revocation(Revocation::new().source(source))
        .transport(Publisher::default())
        .build();
    match built {
        Ok(_) => Vec::new(),
        Err(error) => error.places().map(|(place, _)| place.to_owned()).collect(),
    }
}

/// Attack 10: a feed is at an https URL, or it is said to be a hazard and on this machine; numbers have bounds.
#[test]
fn faults_are_told_with_their_places() {
    let plain = || JsonFeed::over_tls(URL);
    let at = JsonFeed::over_tls;
    for (name, feed, member) in [
        ("good", plain(), None),
        (
            "all that can be said",
            plain().id("urn:a").delta(DELTA).every(EVERY).max_bytes(1).max_records(1),
            None,
        ),
        ("http", at("http://feed.example/"), Some("url")),
        ("loopback", at("http://127.0.0.1/feed"), Some("url")),
        (
            "loopback, as a hazard",
            at("http://127.0.0.1/feed").dangerous().insecure_loopback_http(),
            None,
        ),
        (
            "http, as a hazard",
            at("http://feed.example/").dangerous().insecure_loopback_http(),
            Some("url"),
        ),
        ("no URL", at("feed"), Some("url")),
        ("file", at("file:///etc/feed.json"), Some("url")),
        ("an identifier without a scheme", plain().id("feed"), Some("id")),
        ("an identifier with a space", plain().id("urn:a b"), Some("id")),
        ("a delta without a number", plain().delta("https://feed.example/since"), Some("delta")),
        (
            "a delta with two",
            plain().delta("https://feed.example/{sequence}/{sequence}"),
            Some("delta"),
        ),
        (
            "a delta with the number in the host",
            plain().delta("https://{sequence}.example/"),
            Some("delta"),
        ),
        (
            "a delta with the number in the port",
            plain().delta("https://a.example:44{sequence}/"),
            Some("delta"),
        ),
        ("a delta over http", plain().delta("http://feed.example/{sequence}"), Some("delta")),
        ("a delta in the query", plain().delta("https://feed.example/?since={sequence}"), None),
        ("too often", plain().every(Duration::from_millis(999)), Some("every")),
        ("too seldom", plain().every(Duration::from_hours(25)), Some("every")),
        ("no bytes", plain().max_bytes(0), Some("max_bytes")),
        ("too many bytes", plain().max_bytes(usize::MAX), Some("max_bytes")),
        ("no records", plain().max_records(0), Some("max_records")),
        ("too many records", plain().max_records(10_000_001), Some("max_records")),
        ("a signer", JsonFeed::signed(URL, Issuer::discover("https://signer.example")), None),
        (
            "a signer over http",
            JsonFeed::signed(URL, Issuer::discover("http://signer.example")),
            Some("signed_by.id"),
        ),
        (
            "a signer without algorithms",
            JsonFeed::signed(URL, Issuer::discover("https://s.example").algorithms([])),
            Some("signed_by.algorithms"),
        ),
    ] {
        let expected: Vec<String> =
            member.iter().map(|member| format!("revocation.sources[0].feed.{member}")).collect();
        assert_eq!(places(feed), expected, "{name}");
    }
}

/// Every fault is told at once, and nothing secret stands in a report.
#[test]
fn a_report_says_what_was_configured() {
    let signer = Issuer::discover("https://signer.example");
    let feed = JsonFeed::signed("ftp://a", signer).id("x").delta("y").every(Duration::ZERO);
    assert_eq!(places(feed).len(), 4);

    let clock = ManualClock::new();
    let issuer = TestIssuer::new(ISSUER, &clock);
    let secret = portcullis::secret::SecretSource::env("FEED_TOKEN");
    let feed = JsonFeed::over_tls(URL).delta(DELTA).id(FEED).every(EVERY).authorization(secret);
    assert!(format!("{feed:?}").contains(URL));
    let source = Source::new("feed", feed).speaks_for([ISSUER]);
    let api = builder(&clock)
        .issuer(issuer.fixed_keys())
        .revocation(Revocation::new().source(source))
        .transport(Publisher::default())
        .build()
        .unwrap();
    let report = serde_json::to_value(api.effective_policy()).unwrap();
    let feed = &report["revocation"]["sources"][0]["feed"];
    for (member, value) in [
        ("url", json!(URL)),
        ("delta", json!(DELTA)),
        ("id", json!(FEED)),
        ("every", json!("20s")),
        ("authorization", json!({ "env": "FEED_TOKEN" })),
        ("max_bytes", json!(64 * 1024 * 1024)),
        ("max_records", json!(1_000_000)),
    ] {
        assert_eq!(feed[member], value, "{member}");
    }
    assert!(feed.get("insecure_loopback_http").is_none());
}
