//! What is wrong with what a file says of revocation is told once, where it stands.

use serde_json::{Value, json};

use super::revocation::{feed, polled, source};
use super::support::ISSUER;
use super::{Directory, asking, built, config, faults, least, with};

/// A journal that cannot be opened is a fault at its place, and none is begun for a faulty file.
#[test]
fn a_journal_that_cannot_be_opened_is_a_fault() {
    let directory = Directory::new();
    let file = |path: &str| with(least(), "/revocation", json!({ "journal": path }));
    let other = directory.path("other");
    std::fs::write(&other, "something else").unwrap();
    for (path, wanted) in [
        (directory.path("nothing/revocations"), "No such file or directory"),
        (
            directory.path("nothing/revocations"),
            ": the file is made, its directory has to be there",
        ),
        (other.clone(), "it is no journal of revocations"),
        (directory.path(""), "revocation: journal:"),
        (String::new(), "wanted the path of a file"),
        ("{\"records\": []}".to_owned(), "wanted the path of a file"),
    ] {
        let found = faults(&file(&path));
        assert_eq!(found.len(), 1, "{path}: {found:?}");
        let (place, told) = &found[0];
        assert!(place == "revocation.journal" && told.contains(wanted), "{path}: {found:?}");
        assert!(path.is_empty() || !told.contains("records"), "{told}");
    }
    assert_eq!(std::fs::read_to_string(&other).unwrap(), "something else");

    // Beside another fault it is looked at, and not begun.
    let path = directory.path("revocations");
    for (place, value) in [
        ("/leeway", json!(10)),
        ("/token_hash_key", json!({ "env": "PORTCULLIS_UNSET" })),
        ("/revocation/sources", json!([{ "name": "a", "speaks_for": [ISSUER] }])),
    ] {
        let found = faults(&with(file(&path), place, value.clone()));
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(!std::path::Path::new(&path).exists(), "{place}");
        let found = faults(&with(file(&other), place, value.clone()));
        assert_eq!(found.len(), 2, "{found:?}");
        let nowhere = file(&directory.path("nothing/revocations"));
        assert_eq!(faults(&with(nowhere, place, value)).len(), 2);
    }
    // What only the builder knows to be wrong is told when it is there.
    let found = faults(&with(file(&path), "/binding", json!("both")));
    assert!(found.len() == 1 && found[0].0 == "binding", "{found:?}");
}

/// Places are those of a file, whoever finds the fault, also where something before was taken out.
#[test]
fn a_fault_of_a_source_is_told_where_it_stands() {
    let bad = |name: &str, kind: &str, members: Value| json!({ "name": name, "speaks_for": [ISSUER], kind: members });
    let stream = |members: Value| {
        let mut stream = polled();
        stream.as_object_mut().unwrap().extend(members.as_object().unwrap().clone());
        stream
    };
    let silent = json!({ "signature_only": true });
    let rows = [
        (bad("a", "events", stream(json!({ "audience": [""] }))), &["events.audience[0]"][..]),
        (bad("a", "events", stream(json!({ "stream_id": "" }))), &["events.stream_id"]),
        (
            bad("a", "events", stream(json!({ "jwks_uri": "http://x" }))),
            &["events.poll.url", "events.jwks_uri"],
        ),
        (
            bad("a", "events", stream(json!({ "keys": "Cargo.toml" }))),
            &["events.poll.url", "events.keys"],
        ),
        (bad("a", "events", stream(json!({ "id": "x" }))), &["events.id"]),
        (bad("a", "events", stream(json!({ "push": {} }))), &["events.push.authorization"]),
        (
            bad(
                "a",
                "events",
                json!({ "id": "https://tx.example", "audience": ["x"], "push": silent }),
            ),
            &["events.push"],
        ),
        (bad("a", "events", json!({ "id": "https://tx.example", "audience": ["x"] })), &["events"]),
        (
            bad("a", "events", json!({ "id": "https://tx.example", "poll": {} })),
            &["events.audience"],
        ),
        (bad("a", "events", json!({ "audience": ["x"], "poll": {} })), &["events.id"]),
        (bad("a", "feed", json!({})), &["feed.url"]),
        (
            bad("a", "feed", json!({ "url": "https://x.example", "max_records": 0 })),
            &["feed.max_records"],
        ),
        (
            bad("a", "feed", json!({ "url": "https://x.example", "signed_by": {} })),
            &["feed.signed_by.id"],
        ),
        (
            bad(
                "a",
                "feed",
                json!({ "url": "https://x.example", "signed_by": { "id": ISSUER, "jwks_uri": "x" } }),
            ),
            &["feed.signed_by.jwks_uri"],
        ),
        (bad("local", "feed", feed()), &["name"]),
        (json!({ "name": "a", "feed": feed() }), &["speaks_for"]),
        (json!({ "name": "a", "speaks_for": ["x"], "feed": feed() }), &["speaks_for[0]"]),
        (json!({ "name": "a", "speaks_for": [ISSUER] }), &[""]),
    ];
    let good = || bad("good", "feed", feed());
    for (source, expected) in rows {
        // The good one speaks for another issuer, so that it does not make up for what the other lacks.
        let mut first = good();
        first["speaks_for"] = json!(["https://b.example"]);
        for (before, index) in [(vec![], 0), (vec![first.clone()], 1), (vec![json!(7), first], 2)] {
            let mut sources = before.clone();
            sources.push(source.clone());
            let mut file = with(least(), "/revocation", json!({ "sources": sources }));
            file["issuers"] = json!([{ "id": ISSUER }, { "id": "https://b.example" }]);
            let found = faults(&file);
            let places: Vec<_> = found.iter().map(|(place, _)| place.clone()).collect();
            let mut wanted: Vec<_> = expected
                .iter()
                .map(|member| match *member {
                    "" => format!("revocation.sources[{index}]"),
                    member => format!("revocation.sources[{index}].{member}"),
                })
                .collect();
            if index == 2 {
                wanted.insert(0, "revocation.sources[0]".to_owned());
                // Whatever was to stand there may have made up for it.
                wanted.retain(|place| !place.ends_with(".events.push"));
            }
            assert_eq!(places, wanted, "{found:?}");
        }
    }
    assert_eq!(faults(&source(json!({ "feed": feed() }))), []);
    // A stream that is only pushed, and another source that is asked.
    let pushed = bad(
        "pushed",
        "events",
        json!({ "id": "https://tx.example", "audience": ["x"], "push": { "signature_only": true } }),
    );
    let file = with(least(), "/revocation", json!({ "sources": [pushed, good()] }));
    assert_eq!(faults(&file), []);
}

/// What only seems wrong because something else could not be read is left out.
#[test]
fn what_follows_from_what_cannot_be_read_is_not_told() {
    let events = json!({
        "id": "https://tx.example", "audience": ["x"], "push": { "signature_only": true },
    });
    let class = json!([{ "name": "c", "scopes": ["a"], "freshness": "1m" }]);
    let fresh = |revocation: Value| {
        let file = asking(json!({ "allow_all": true, "freshness": "1m", "on_stale": "deny" }));
        let file = with(with(file, "/revocation", revocation), "/classes", class.clone());
        with(file, "/default_class/freshness", json!("5m"))
    };
    let one = |member: &str, value: Value| {
        let mut source = json!({ "name": "a", "speaks_for": [ISSUER], "feed": feed() });
        source[member] = value;
        json!({ "sources": [source] })
    };
    let stream = |member: &str, value: Value| {
        let mut source = json!({ "name": "a", "speaks_for": [ISSUER], "events": events });
        match member {
            "on_stale" => source[member] = value,
            member => source["events"]["push"][member] = value,
        }
        json!({ "sources": [source] })
    };
    for (revocation, fault) in [
        (json!("on"), "revocation"),
        (json!({ "sources": {} }), "revocation.sources"),
        (json!({ "sources": ["a"] }), "revocation.sources[0]"),
        (json!({ "status_lists": "on" }), "revocation.status_lists"),
        (one("speaks_for", json!("x")), "revocation.sources[0].speaks_for"),
        (one("speaks_for", json!([])), "revocation.sources[0].speaks_for"),
        (one("feed", json!("https://x.example")), "revocation.sources[0].feed"),
        (one("name", json!(1)), "revocation.sources[0].name"),
        (stream("on_stale", json!("never")), "revocation.sources[0].on_stale"),
        (stream("verification", json!(true)), "revocation.sources[0].events.push.verification"),
        (stream("signature_only", json!(1)), "revocation.sources[0].events.push.signature_only"),
        (
            stream("authorization", json!("hunter2")),
            "revocation.sources[0].events.push.authorization",
        ),
        (
            {
                let mut revocation = stream("signature_only", json!(true));
                revocation["on_stale"] = json!(false);
                revocation
            },
            "revocation.on_stale",
        ),
    ] {
        let found = faults(&fresh(revocation.clone()));
        let places: Vec<_> = found.iter().map(|(place, _)| place.as_str()).collect();
        assert_eq!(places, [fault], "{revocation}: {found:?}");
    }
    // Its twin, which can be read, and in which nobody says what is revoked.
    for revocation in [json!({}), json!({ "status_lists": false }), json!({ "claims": ["tid"] })] {
        let found = faults(&fresh(revocation));
        let places: Vec<_> = found.iter().map(|(place, _)| place.as_str()).collect();
        let wanted = [
            "default_class.freshness",
            "classes[0].freshness",
            "policies.p.freshness",
            "policies.p.on_stale",
        ];
        assert_eq!(places, wanted, "{found:?}");
    }
    // The only issuer is broken: whoever names it is not to blame.
    let mut file = source(json!({ "feed": feed() }));
    file["revocation"]["status_lists"] = json!({
        "issuers": [ISSUER], "prefetch": [{ "uri": "https://x.example", "issuer": ISSUER }],
    });
    assert_eq!(faults(&file), []);
    file["issuers"][0]["id"] = json!(1);
    let found = faults(&file);
    assert!(found.len() == 1 && found[0].0 == "issuers[0].id", "{found:?}");
    // A transmitter without a name that can be read is no issuer of tokens.
    let mut file = source(json!({ "events": polled() }));
    file["revocation"]["sources"][0]["speaks_for"] = json!(["https://x.example"]);
    file["revocation"]["sources"][0]["events"]["id"] = json!(1);
    let found = faults(&file);
    let places: Vec<_> = found.iter().map(|(place, _)| place.as_str()).collect();
    assert_eq!(
        places,
        ["revocation.sources[0].events.id", "revocation.sources[0].speaks_for[0]"],
        "{found:?}"
    );
}

/// One way to say a thing, where there are two.
#[test]
fn what_is_said_twice_is_a_fault() {
    let secret = || json!({ "env": "CARGO_PKG_NAME" });
    let stream = |member: &str, value: Value| {
        let mut events = polled();
        events[member] = value;
        source(json!({ "events": events }))
    };
    let shown = json!({ "authorization": secret(), "bearer": secret() });
    let verified = json!({ "signature_only": true, "verification": shown });
    for (file, fault) in [
        (stream("poll", shown.clone()), "events.poll.bearer"),
        (stream("push", verified), "events.push.verification.bearer"),
        (
            stream("push", json!({ "signature_only": true, "authorization": [secret()] })),
            "events.push.authorization",
        ),
        (
            stream("poll", json!({ "every": "10s", "long_polling": true })),
            "events.poll.long_polling",
        ),
        (
            source(json!({ "feed": {
                "url": "https://x.example", "authorization": secret(), "bearer": secret(),
            } })),
            "feed.bearer",
        ),
        (source(json!({ "feed": feed(), "events": polled() })), "feed"),
        (source(json!({ "feed": feed(), "on_stale": {} })), "on_stale.allow_for"),
    ] {
        let found = faults(&file);
        let places: Vec<_> = found.iter().map(|(place, _)| place.as_str()).collect();
        assert_eq!(places, [format!("revocation.sources[0].{fault}")], "{found:?}");
    }
    let mut events = polled();
    events["jwks_uri"] = json!("https://x.example");
    events["keys"] = json!("Cargo.toml");
    let found = faults(&source(json!({ "events": events })));
    assert!(found[0].0 == "revocation.sources[0].events.keys", "{found:?}");
    let status = |specific: Value| {
        let lists = json!({ "application_specific": specific });
        faults(&with(least(), "/revocation", json!({ "status_lists": lists })))
    };
    for (name, good) in
        [("3", true), ("15", true), ("12", true), ("2", false), ("16", false), ("03", false)]
    {
        let found = status(json!({ name: "accept" }));
        assert_eq!(found.is_empty(), good, "{name}: {found:?}");
        let place = format!("revocation.status_lists.application_specific.{name}");
        assert!(good || found[0].0 == place, "{found:?}");
    }
}

/// Code can add a transport, and take the place of all that the file says of revocation.
#[test]
fn sources_of_the_file_go_with_its_table() {
    let file = source(json!({ "feed": feed() }));
    let own = portcullis::revocation::Revocation::new();
    let api = config(&file).unwrap().builder().unwrap().revocation(own).build().unwrap();
    assert_eq!(api.effective_policy()["revocation"]["sources"], json!([]));
    let api = built(&file).unwrap();
    assert_eq!(api.effective_policy()["revocation"]["sources"][0]["name"], "one");
    assert_eq!(built(&least()).unwrap().effective_policy()["not_enforced"], json!(["revocation"]));
}
