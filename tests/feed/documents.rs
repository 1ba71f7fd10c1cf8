//! The document by itself: what is one, and what is none. The schema says the same.

use portcullis::revocation::{FEED_SCHEMA, FeedDocument, FeedError};

use super::schema::Schema;
use super::*;

/// Who can tell that a document is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum By {
    /// It is right.
    Nobody,
    Both,
    /// It takes more than a schema.
    Reader,
}

fn judge(document: &str) -> By {
    let schema: Value = serde_json::from_str(FEED_SCHEMA).unwrap();
    let schema = Schema { root: &schema };
    let value: Value = serde_json::from_str(document).unwrap();
    let read = FeedDocument::parse(document.as_bytes(), Some(ISSUER));
    match (read, schema.check(schema.root, &value)) {
        (Ok(_), Ok(())) => By::Nobody,
        (Err(_), Err(_)) => By::Both,
        (Err(_), Ok(())) => By::Reader,
        (Ok(_), Err(error)) => panic!("only the schema refuses {document}: {error}"),
    }
}

/// Attack 42, attack 15: what is not understood makes the whole an error. Each row is a document that is
/// right but for one thing.
#[test]
fn a_document_is_read_strictly_and_as_the_schema_says() {
    let records = json!([
        { "jti": "b4f1c0", "at": 1_799_999_990, "exp": 1_800_000_900 },
        { "subject": "ann", "session": "s-1", "at": 1_799_999_000.5 },
        { "claims": { "tenant": "x" }, "client": "app", "effect": "step_up", "at": 0 },
        { "subject": "bob", "effect": "hold", "reason": "account", "at": 1_799_999_000 },
        { "kid": "2026-11", "at": 1_799_999_000 },
        { "kid": "2026-12", "effect": "refuse", "at": 1_799_999_000 },
        { "issuer": "https://b.example", "all": true, "at": 1_799_999_000 },
    ]);
    let full = with(whole(42, &records), "removed", json!([{ "subject": "eve", "at": 1 }]));
    let full = with(full, "exp", 1_900_000_000.into());
    assert_eq!(judge(&full.to_string()), By::Nobody);
    assert_eq!(judge(&with(full.clone(), "since", 0.into()).to_string()), By::Nobody);

    // The one of the documentation.
    let format = include_str!("../../src/revocation/feed/format.md");
    let shown = format.split("```json").nth(1).and_then(|rest| rest.split("```").next());
    assert_eq!(judge(shown.unwrap()), By::Nobody);

    let document = |member: &str, value: Value| with(full.clone(), member, value);
    let text = "x".repeat(2_049);
    for (member, value, expected) in [
        ("extra", json!({ "anything": [1, 2] }), By::Nobody),
        ("since", json!(42), By::Nobody),
        ("since", json!(43), By::Reader),
        ("since", json!(-1), By::Both),
        ("since", json!("1"), By::Both),
        ("sequence", Value::Null, By::Both),
        ("sequence", json!(0), By::Nobody),
        ("sequence", json!(9_007_199_254_740_991_u64), By::Nobody),
        ("sequence", json!(9_007_199_254_740_992_u64), By::Both),
        ("sequence", json!(1.5), By::Both),
        ("sequence", json!("42"), By::Both),
        ("feed", Value::Null, By::Both),
        ("feed", json!("feed"), By::Both),
        ("feed", json!("urn:a b"), By::Both),
        ("feed", json!("urn:"), By::Both),
        ("feed", json!("1urn:a"), By::Both),
        ("feed", json!(7), By::Both),
        ("feed", json!(format!("urn:{text}")), By::Both),
        ("issued_at", Value::Null, By::Both),
        ("issued_at", json!("2027-01-15T08:00:00Z"), By::Both),
        ("issued_at", json!(-1), By::Both),
        ("issued_at", json!(253_402_300_800_u64), By::Both),
        // Its records would be from the future.
        ("issued_at", json!(1_799_999_929), By::Reader),
        ("issued_at", json!(1_799_999_930), By::Nobody),
        ("exp", json!("never"), By::Both),
        ("count", Value::Null, By::Both),
        ("count", json!(6), By::Reader),
        ("count", json!(8), By::Reader),
        ("count", json!("7"), By::Both),
        ("records", Value::Null, By::Both),
        ("records", json!({}), By::Both),
        ("records", json!([]), By::Reader),
        ("removed", json!([]), By::Nobody),
        ("removed", json!({}), By::Both),
    ] {
        assert_eq!(
            judge(&document(member, value.clone()).to_string()),
            expected,
            "{member}: {value}"
        );
    }
}

/// The same for one record, and for one thing that is removed.
#[test]
fn a_record_is_read_strictly_and_as_the_schema_says() {
    use By::{Both, Nobody, Reader};
    let long = "x".repeat(2_049);
    let claims = |count: usize| -> Value {
        (0..count)
            .map(|number| (format!("c{number}"), json!("x")))
            .collect::<serde_json::Map<_, _>>()
            .into()
    };
    for (record, removed, expected) in [
        (json!({ "jti": "a" }), true, Nobody),
        (json!({ "jti": "a", "effect": "refuse" }), false, Nobody),
        (json!({ "jti": "a", "effect": "purge" }), false, Both),
        (json!({ "jti": "a", "effect": "hold", "reason": "risk" }), false, Both),
        (json!({ "jti": "a", "exp": 1 }), false, Nobody),
        (json!({ "jti": "a", "exp": "1" }), false, Both),
        (json!({ "jti": "a", "iss": "https://a.example" }), true, Both),
        (json!({ "jti": "a", "issuer": "https://a.example" }), true, Nobody),
        (json!({ "jti": "a", "issuer": "" }), true, Both),
        (json!({ "jti": "a", "issuer": null }), true, Both),
        (json!({ "jti": "a", "at": null }), true, Both),
        (json!({ "jti": "a", "at": "1" }), true, Both),
        (json!({ "jti": "a", "at": -1 }), true, Both),
        (json!({ "jti": "a", "at": 1_800_000_060 }), true, Nobody),
        (json!({ "jti": "a", "at": 1_800_000_061 }), true, Reader),
        (json!({ "jti": "" }), true, Both),
        (json!({ "jti": 1 }), true, Both),
        (json!({ "jti": ["a"] }), true, Both),
        (json!({ "jti": long }), true, Both),
        (json!({}), true, Both),
        (json!({ "issuer": "https://a.example" }), true, Both),
        (json!({ "effect": "refuse" }), false, Both),
        (json!({ "jti": "a", "kid": "b" }), true, Both),
        (json!({ "jti": "a", "subject": "b" }), true, Both),
        (json!({ "kid": "a", "client": "b" }), true, Both),
        (json!({ "all": true, "claims": { "tenant": "x" } }), true, Both),
        (json!({ "all": true }), true, Nobody),
        (json!({ "all": false }), true, Both),
        (json!({ "all": "true" }), true, Both),
        (json!({ "subject": "a", "session": "b", "client": "c" }), true, Nobody),
        (json!({ "subject": "a", "exp": 1 }), false, Both),
        (json!({ "kid": "a", "exp": 1 }), false, Both),
        (json!({ "subject": "a", "effect": "revoke" }), false, Both),
        (json!({ "subject": "a", "effect": null }), false, Both),
        (json!({ "subject": "a", "effect": "Refuse" }), false, Both),
        (json!({ "subject": "a", "effect": "lift" }), false, Both),
        (json!({ "subject": "a", "effect": "step_up" }), false, Nobody),
        (json!({ "subject": "a", "effect": "step_up", "reason": "risk" }), false, Both),
        (json!({ "subject": "a", "reason": "risk" }), false, Both),
        (json!({ "subject": "a", "effect": "hold" }), false, Both),
        (json!({ "subject": "a", "effect": "hold", "reason": "device" }), false, Nobody),
        (json!({ "subject": "a", "effect": "hold", "reason": "weather" }), false, Both),
        (json!({ "subject": "a", "effect": "hold_for_step_up", "reason": "risk" }), false, Nobody),
        (json!({ "subject": "a", "effect": "release", "reason": "risk" }), false, Nobody),
        (json!({ "subject": "a", "effect": "release" }), false, Both),
        (json!({ "subject": "a", "effect": "purge" }), false, Nobody),
        (json!({ "claims": {} }), true, Both),
        (json!({ "claims": {}, "subject": "a" }), true, Both),
        (json!({ "subject": "a", "claims": { "tenant": "x" } }), true, Nobody),
        (json!({ "claims": [] }), true, Both),
        (json!({ "claims": { "tenant": 1 } }), true, Both),
        (json!({ "claims": { "tenant": ["x"] } }), true, Both),
        (json!({ "claims": { "tenant": "" } }), true, Both),
        (json!({ "claims": { "": "x" } }), true, Both),
        (json!({ "claims": { "sub": "x" } }), true, Both),
        (json!({ "claims": { "client_id": "x" } }), true, Both),
        (json!({ "claims": claims(8) }), true, Nobody),
        (json!({ "claims": claims(9) }), true, Both),
        (json!({ "claims": claims(8), "subject": "x" }), true, Reader),
        (json!("a"), true, Both),
        (json!(null), true, Both),
        (json!([]), true, Both),
    ] {
        let mut said = record.clone();
        if let Some(members) = said.as_object_mut() {
            match members.get("at") {
                Some(Value::Null) => drop(members.remove("at")),
                Some(_) => {}
                None => drop(members.insert("at".to_owned(), json!(1))),
            }
        }
        let listed = whole(1, &json!([said]));
        assert_eq!(judge(&listed.to_string()), expected, "{record}");
        if removed {
            let removed = with(whole(1, &json!([])), "removed", json!([said]));
            assert_eq!(judge(&removed.to_string()), expected, "removed: {record}");
        }
    }
    // What is removed has no more to say.
    for member in [json!({ "effect": "refuse" }), json!({ "exp": 1 }), json!({ "reason": "risk" })]
    {
        let mut removed = json!({ "jti": "a", "at": 1 });
        for (name, value) in member.as_object().unwrap() {
            removed[name] = value.clone();
        }
        let document = with(whole(1, &json!([])), "removed", json!([removed]));
        assert_eq!(judge(&document.to_string()), Both, "{removed}");
    }
}

/// Attack 19, attack 20: what JSON readers disagree about is an error, and no document is larger in memory
/// than its bytes make it.
#[test]
fn what_no_schema_can_tell_is_refused() {
    let text = whole(1, &json!([jti("a")])).to_string();
    let parse = |text: &str| FeedDocument::parse(text.as_bytes(), Some(ISSUER));
    assert!(parse(&text).is_ok());
    for (name, from, to) in [
        ("a member twice", "\"count\":1", "\"count\":1,\"c\\u006funt\":1"),
        ("a member of a record twice", "\"jti\":\"a\"", "\"jti\":\"b\",\"jti\":\"a\""),
        (
            "a member twice in what is ignored",
            "\"count\":1",
            "\"count\":1,\"x\":[{\"y\":1,\"y\":1}]",
        ),
        ("half a surrogate", "\"jti\":\"a\"", "\"jti\":\"\\ud800\""),
        ("a number with a fraction", "\"count\":1", "\"count\":1.0"),
        ("a number with an exponent", "\"sequence\":1", "\"sequence\":1e0"),
        ("a comma too many", "\"jti\":\"a\"", "\"jti\":\"a\","),
    ] {
        assert!(text.contains(from), "{name}");
        assert!(parse(&text.replacen(from, to, 1)).is_err(), "{name}");
    }
    let deep = text.replacen(
        "\"count\":1",
        &format!("\"count\":1,\"x\":{}{}", "[".repeat(40), "]".repeat(40)),
        1,
    );
    assert!(matches!(parse(&deep), Err(FeedError::Json(_))));
    let wide: Vec<_> = (0..300).map(|number| format!("\"{number}\":0")).collect();
    let wide = text.replacen("\"count\":1", &format!("\"count\":1,{}", wide.join(",")), 1);
    assert!(matches!(parse(&wide), Err(FeedError::Members { .. })));
    assert!(FeedDocument::parse(b"{\"feed\":\"\xff\"}", None).is_err());
    // Without an issuer of its own each record has to name one.
    assert!(FeedDocument::parse(text.as_bytes(), None).is_err());
    let named = text.replacen("\"jti\"", "\"issuer\":\"https://a.example\",\"jti\"", 1);
    let named = FeedDocument::parse(named.as_bytes(), None).unwrap();
    assert_eq!(named.records()[0].issuer_id(), "https://a.example");
}

/// EVT-01: bounded memory.
#[tokio::test]
async fn more_records_than_are_taken_are_an_error_of_the_whole() {
    let records = |count: usize| -> Value {
        (0..count).map(|number| jti(&number.to_string())).collect::<Vec<_>>().into()
    };
    let feed = || JsonFeed::over_tls(URL).max_records(10);
    let world = World::with(&whole(1, &records(10)), feed()).await;
    assert_eq!(world.error(), "");
    assert!(world.is_revoked("9").await);
    let world = World::with(&whole(1, &records(11)), feed()).await;
    assert!(world.error().contains("more than 10 records"), "{}", world.error());
    let removed = json!([{ "jti": "x", "at": 1 }]);
    let both = with(whole(1, &records(10)), "removed", removed);
    let world = World::with(&both, feed()).await;
    assert!(world.error().contains("more than 10 records"), "{}", world.error());
}

/// What is read is what was written, and says no more than that when it is printed.
#[test]
fn a_document_says_what_stands_in_it() {
    let text = with(delta(40, 42, &json!([jti("secret-token-id")])), "exp", 1_900_000_000.into());
    let read = FeedDocument::parse(text.to_string().as_bytes(), Some(ISSUER)).unwrap();
    assert_eq!((read.feed(), read.sequence(), read.since()), (FEED, 42, Some(40)));
    assert_eq!(read.issued_at().as_secs(), 1_800_000_000);
    assert_eq!(read.expires_at().map(|at| at.as_secs()), Some(1_900_000_000));
    let [record] = read.records() else { panic!("{read:?}") };
    assert_eq!(record.issuer_id(), ISSUER);
    assert_eq!(record.expires_at().map(|at| at.as_secs()), Some(1_800_003_600));
    assert!(!format!("{read:?}").contains("secret-token-id"));
}

/// Decision 15: of one token only what counts in the end is told, so that in no moment the opposite counts;
/// another token, or the same name of another issuer, is another.
#[test]
fn of_one_token_only_what_happened_last_is_told() {
    use portcullis::revocation::Effect::{Lift, Refuse};
    let at = |jti: &str, at: u64| json!({ "jti": jti, "at": at });
    let other = json!({ "jti": "a", "at": 7, "issuer": "https://b.example" });
    for (name, records, removed, expected) in [
        ("taken back later", json!([at("a", 5)]), json!([at("a", 9)]), vec![(9, Lift)]),
        ("said again", json!([at("a", 9)]), json!([at("a", 5)]), vec![(9, Refuse)]),
        ("at once", json!([at("a", 5)]), json!([at("a", 5)]), vec![(5, Lift)]),
        (
            "others",
            json!([at("b", 9), other]),
            json!([at("a", 8)]),
            vec![(7, Refuse), (8, Lift), (9, Refuse)],
        ),
    ] {
        let document = with(whole(1, &records), "removed", removed);
        let read = FeedDocument::parse(document.to_string().as_bytes(), Some(ISSUER)).unwrap();
        let said = read.records().iter().map(|record| (record.at().as_secs(), record.effect()));
        assert_eq!(said.collect::<Vec<_>>(), expected, "{name}");
    }
}

/// Decision 11: of everybody else all is told, in the order in which it happened: a lift takes back what was
/// said before it by whomever, also where something was said again.
#[test]
fn of_others_than_one_token_all_that_happened_is_told() {
    use portcullis::revocation::Effect::{Lift, Refuse};
    let at = |at: u64| json!([{ "subject": "ann", "at": at }]);
    for (said, removed, expected) in [
        (9, 5, [(5, Lift), (9, Refuse)]),
        (5, 9, [(5, Refuse), (9, Lift)]),
        (5, 5, [(5, Refuse), (5, Lift)]),
    ] {
        let document = with(whole(1, &at(said)), "removed", at(removed));
        let read = FeedDocument::parse(document.to_string().as_bytes(), Some(ISSUER)).unwrap();
        let told = read.records().iter().map(|record| (record.at().as_secs(), record.effect()));
        assert_eq!(told.collect::<Vec<_>>(), expected);
    }
}

/// What is wrong is told with the name of the member, and no more of it than finds it.
#[test]
fn an_unknown_member_is_told_by_its_name() {
    for (name, shown) in [
        ("scope".to_owned(), "scope".to_owned()),
        ("x".repeat(40), "x".repeat(40)),
        ("x".repeat(41), "x".repeat(40)),
        // Cut there, it would be no text.
        (format!("x{}", "\u{e9}".repeat(30)), "a very long one".to_owned()),
    ] {
        let mut record = jti("a");
        record[&name] = json!("secret");
        let document = whole(1, &json!([record]));
        let read = FeedDocument::parse(document.to_string().as_bytes(), Some(ISSUER));
        let error = read.unwrap_err().to_string();
        assert_eq!(error, format!("records[0]: a member that is not known: {shown:?}"));
    }
}
