//! Secrets, and the files that a configuration names: referred to, read, and never shown.

use std::sync::{Arc, Mutex};

use portcullis::config::ServerConfig;
use portcullis::observe::{Decision, Observer};
use serde_json::{Value, json};

use super::support::{ISSUER, present};
use super::{DIRECTORY, Desk, config, faults, least, told, with};

/// Keeps the hash of the last token.
struct Hashes(Arc<Mutex<Option<String>>>);

impl Observer for Hashes {
    fn observe(&self, decision: &Decision<'_>) {
        *self.0.lock().unwrap() = decision.token_hash().map(|hash| hash.to_string());
    }
}

#[tokio::test]
async fn a_secret_by_reference_is_read() {
    async fn hash(file: &Value) -> String {
        let seen = Arc::new(Mutex::new(None));
        let keep = Arc::clone(&seen);
        let desk = Desk::with(file, |builder| builder.observer(Hashes(keep))).await;
        let token = desk.token().claim("jti", "one").sign();
        present(&desk.api, &token).await.unwrap();
        let hash = seen.lock().unwrap().take();
        hash.expect("the observer was told of a token")
    }
    let keyed = |key: Value| with(least(), "/token_hash_key", key);
    let described = hash(&keyed(json!({ "env": "CARGO_PKG_DESCRIPTION" }))).await;
    assert_eq!(described, hash(&keyed(json!({ "env": "CARGO_PKG_DESCRIPTION" }))).await);
    assert_ne!(described, hash(&keyed(json!({ "file": "Cargo.toml" }))).await);
    assert_ne!(described, hash(&least()).await);
}

#[test]
fn files_are_looked_for_beside_the_configuration() {
    let text = std::fs::read_to_string(format!("{DIRECTORY}/full.toml")).unwrap();
    let error = ServerConfig::from_toml(&text).unwrap().builder().unwrap_err();
    let found = told(&error);
    let places: Vec<_> = found.iter().map(|(place, _)| place.as_str()).collect();
    assert_eq!(
        places,
        [
            "issuers[0].ca_file",
            "issuers[1].fetch_token",
            "issuers[3].keys",
            "dpop.nonces.keys[1]",
            "introspection[0].ca_file",
            "introspection[1].client.secret",
            "revocation.sources[0].events.push.authorization[1]",
            "revocation.sources[0].events.ca_file",
            "revocation.sources[1].events.keys",
            "revocation.sources[1].events.push.verification.authorization",
            "revocation.sources[1].events.poll.bearer",
            "revocation.sources[2].feed.ca_file",
            "revocation.sources[3].feed.authorization",
        ],
    );
    assert!(ServerConfig::from_file(format!("{DIRECTORY}/full.toml")).unwrap().builder().is_ok());
}

#[test]
fn what_stands_in_place_of_a_secret_is_never_shown() {
    const SECRET: &str = "s3cr3t-hunter2";
    for place in ["/token_hash_key", "/issuers/0/fetch_token"] {
        for value in [
            json!(SECRET),
            json!([SECRET]),
            json!({ "env": SECRET }),
            json!({ "value": SECRET }),
            json!({ SECRET: "x" }),
            json!({ "env": "HOME", "file": SECRET }),
            json!({ "env": [SECRET] }),
        ] {
            let error = config(&with(least(), place, value.clone())).unwrap_err();
            assert_eq!(error.faults().len(), 1, "{value}: {error}");
            let text = format!("{error} {error:?} {:?}", error.faults());
            assert!(!text.contains("hunter2"), "{place} = {value}: {text}");
            assert!(text.contains("by reference"), "{text}");
        }
        for number in [json!(12345), json!(-12345), json!(12345.5)] {
            let error = config(&with(least(), place, number)).unwrap_err();
            assert!(!format!("{error} {error:?}").contains("12345"), "{error}");
        }
    }
    // Nor what is shown to others, or by them.
    let poll = |shown: Value| json!({ "poll": shown });
    let verification = |shown: Value| json!({ "push": { "verification": shown } });
    for value in [
        json!(SECRET),
        json!([SECRET]),
        json!({ "env": SECRET }),
        json!({ "value": SECRET }),
        json!({ "env": "HOME", "file": SECRET }),
        json!(12345),
    ] {
        for (kind, members, place) in [
            ("events", poll(json!({ "authorization": value })), "poll.authorization"),
            ("events", poll(json!({ "bearer": value })), "poll.bearer"),
            (
                "events",
                verification(json!({ "authorization": value })),
                "push.verification.authorization",
            ),
            ("events", verification(json!({ "bearer": value })), "push.verification.bearer"),
            ("events", json!({ "push": { "authorization": [value] } }), "push.authorization[0]"),
            ("feed", json!({ "authorization": value }), "authorization"),
            ("feed", json!({ "bearer": value }), "bearer"),
        ] {
            let sources = json!([{ "name": "a", "speaks_for": [ISSUER], kind: members }]);
            let file = with(least(), "/revocation", json!({ "sources": sources }));
            let error = config(&file).unwrap_err();
            let place = format!("revocation.sources[0].{kind}.{place}");
            let there = |(at, told): &(String, String)| *at == place && told.contains("reference");
            assert!(told(&error).iter().any(there), "{place}: {error}");
            let text = format!("{error} {error:?} {:?}", error.faults());
            assert!(!text.contains("hunter2") && !text.contains("12345"), "{place}: {text}");
        }
    }
    // Nor where it stands in a list, or in place of one.
    for (keys, place) in [
        (json!([SECRET]), "dpop.nonces.keys[0]"),
        (json!([[SECRET]]), "dpop.nonces.keys[0]"),
        (json!([{ "env": "HOME", "file": SECRET }]), "dpop.nonces.keys[0]"),
        (json!(SECRET), "dpop.nonces.keys"),
        (json!({ "env": SECRET }), "dpop.nonces.keys"),
        (json!(12345), "dpop.nonces.keys"),
        (json!(-12345), "dpop.nonces.keys"),
        (json!(12345.5), "dpop.nonces.keys"),
    ] {
        let file =
            with(least(), "/dpop", json!({ "nonces": { "mode": "optional", "keys": keys } }));
        let error = config(&file).unwrap_err();
        let found = told(&error);
        assert_eq!(found.len(), 1, "{keys}: {error}");
        assert!(found[0].0 == place && found[0].1.contains("by reference"), "{keys}: {error}");
        let text = format!("{error} {error:?} {:?}", error.faults());
        assert!(!text.contains("hunter2") && !text.contains("12345"), "{keys}: {text}");
    }
    let keys = json!({ "keys": [{ "kty": "oct", "k": SECRET }] }).to_string();
    for (place, value) in [
        ("/issuers/0/keys", &keys),
        ("/issuers/0/ca_file", &format!("-----BEGIN {SECRET}")),
        ("/revocation/journal", &keys),
    ] {
        let file = with(least(), "/revocation", json!({}));
        let found = faults(&with(file, place, json!(value)));
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(!found[0].1.contains("hunter2") && found[0].1.contains("path"), "{found:?}");
    }
    // A key that was read is nowhere in what prints.
    let file = with(least(), "/token_hash_key", json!({ "env": "CARGO_PKG_DESCRIPTION" }));
    let keys = json!([{ "env": "CARGO_PKG_DESCRIPTION" }]);
    let nonces = json!({ "nonces": { "mode": "optional", "keys": keys } });
    let poll = json!({ "url": "https://x.example", "bearer": { "env": "CARGO_PKG_DESCRIPTION" } });
    let events = json!({ "id": "https://x.example", "audience": ["x"], "poll": poll });
    let sources = json!([{ "name": "a", "speaks_for": [ISSUER], "events": events }]);
    let shown = with(least(), "/revocation", json!({ "sources": sources }));
    for file in [file, with(least(), "/dpop", nonces), shown] {
        let (read, builder) = (config(&file).unwrap(), config(&file).unwrap().builder());
        let policy = config(&file).unwrap().build().unwrap().effective_policy();
        let shown = format!("{read:?} {builder:?} {policy}");
        assert!(!shown.contains(env!("CARGO_PKG_DESCRIPTION")), "{shown}");
    }
}

#[test]
fn secrets_and_files_that_cannot_be_read_are_faults_with_their_place() {
    for (place, value, wanted) in [
        ("/token_hash_key", json!({ "env": "PORTCULLIS_UNSET" }), "it is not set"),
        ("/token_hash_key", json!({ "file": "/nowhere" }), "\"/nowhere\""),
        // 10 bytes: read, and too short.
        (
            "/token_hash_key",
            json!({ "env": "CARGO_PKG_NAME" }),
            "has 10 bytes, at least 16 are wanted",
        ),
        ("/issuers/0/fetch_token", json!({ "file": "/nowhere" }), "\"/nowhere\""),
        ("/issuers/0/keys", json!("/nowhere"), "\"/nowhere\" cannot be read"),
        ("/issuers/0/keys", json!(""), "wanted the path"),
        ("/issuers/0/keys", json!("Cargo.toml"), "not a JWK Set"),
        ("/issuers/0/ca_file", json!("/nowhere"), "\"/nowhere\" cannot be read"),
        ("/issuers/0/ca_file", json!("Cargo.toml"), "certificate"),
    ] {
        let found = faults(&with(least(), place, value.clone()));
        assert_eq!(found.len(), 1, "{place} = {value}: {found:?}");
        let dotted = place[1..].replace("/0", "[0]").replace('/', ".");
        assert!(found[0].0 == dotted && found[0].1.contains(wanted), "{value}: {found:?}");
    }
    // Each key of a list by itself: the first is good.
    for (second, wanted) in [
        (json!({ "env": "PORTCULLIS_UNSET" }), "it is not set"),
        (json!({ "file": "/nowhere" }), "\"/nowhere\""),
        (json!({ "env": "CARGO_PKG_NAME" }), "a nonce key of 10 bytes; at least 32"),
    ] {
        let keys = json!([{ "env": "CARGO_PKG_DESCRIPTION" }, second]);
        let nonces = json!({ "nonces": { "mode": "optional", "keys": keys } });
        let found = faults(&with(least(), "/dpop", nonces));
        assert_eq!(found.len(), 1, "{keys}: {found:?}");
        assert!(found[0].0 == "dpop.nonces.keys[1]" && found[0].1.contains(wanted), "{found:?}");
    }
    let mut file = least();
    file["issuers"][0]["keys"] = json!("tests/config/keys.json");
    file["issuers"][0]["jwks_uri"] = json!("https://as.example/jwks");
    assert_eq!(faults(&file)[0].0, "issuers[0].keys");
}

#[test]
fn a_text_that_is_none_is_told_by_line_and_column_only() {
    const SECRET: &str = "hunter2";
    for (text, wanted) in [
        (format!("resource = \"x\"\nkey = {SECRET}\n"), "it is not TOML: line 2, column"),
        (format!("-----BEGIN PRIVATE KEY-----\n{SECRET}"), "it is not TOML: line 1"),
        (format!("{SECRET} = 1\n{SECRET} = 2"), "it is not TOML: line 2, column 1"),
        (format!("[{SECRET}]\n[{SECRET}]"), "it is not TOML: line 2"),
    ] {
        let error = ServerConfig::from_toml(&text).unwrap_err().to_string();
        assert!(error.contains(wanted) && !error.contains(SECRET), "{error}");
    }
    for text in [format!("{{\n \"a\": {SECRET}}}"), format!("{{\n \"a\": \"{SECRET}")] {
        let error = ServerConfig::from_json(&text).unwrap_err().to_string();
        assert!(error.contains("it is not JSON: line 2, column"), "{error}");
        assert!(!error.contains(SECRET), "{error}");
    }
    for text in ["null", "[]", "1", "\"x\""] {
        let error = ServerConfig::from_json(text).unwrap_err();
        assert_eq!(error.faults().len(), 1, "{text}: {error}");
        assert!(error.to_string().contains("a table"), "{text}: {error}");
    }
    let long = format!("# {}", "x".repeat(1024 * 1024));
    for error in [ServerConfig::from_toml(&long), ServerConfig::from_json(&long)] {
        assert!(error.unwrap_err().to_string().contains("longer than 1048576"));
    }
    for (file, wanted) in [
        ("Cargo.lock", "neither with `.toml` nor with `.json`"),
        ("nowhere.toml", "configuration file \"nowhere.toml\""),
        ("src", "neither with"),
    ] {
        let error = ServerConfig::from_file(file).unwrap_err().to_string();
        assert!(error.contains(wanted), "{error}");
    }
}
