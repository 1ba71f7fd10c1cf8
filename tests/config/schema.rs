//! The JSON Schema says what the code says.

use portcullis::config::JSON_SCHEMA;
use serde_json::{Value, json};

use super::support::ISSUER;
use super::{DIRECTORY, faults, least, with};

#[test]
fn the_schema_takes_what_is_good_and_refuses_what_is_not() {
    let schema: Value = serde_json::from_str(JSON_SCHEMA).unwrap();
    let schema = Schema { root: &schema };
    let full = std::fs::read_to_string(format!("{DIRECTORY}/full.json")).unwrap();
    let full: Value = serde_json::from_str(&full).unwrap();
    schema.check(schema.root, &full).unwrap();
    schema.check(schema.root, &least()).unwrap();
    let source = |kind: &str, members: Value| json!({ "sources": [{ "name": "a", "speaks_for": [ISSUER], kind: members }] });
    let stream = |member: &str, value: Value| {
        source("events", json!({ "id": ISSUER, "audience": ["x"], member: value }))
    };
    let good = with(least(), "/revocation", stream("poll", json!({})));
    schema.check(schema.root, &good).unwrap();
    assert_eq!(faults(&good), []);
    for (place, value) in [
        ("/surprise", json!(1)),
        ("/binding", json!("bearer")),
        ("/leeway", json!(10)),
        ("/token_hash_key", json!("secret")),
        ("/token_hash_key", json!({ "env": "A", "file": "b" })),
        ("/token_hash_key", json!({ "env": "A KEY" })),
        ("/token_hash_key", json!({ "env": "1A" })),
        ("/token_hash_key", json!({ "env": "A-B" })),
        ("/token_hash_key", json!({ "env": "" })),
        ("/issuers/0/algorithms", json!(["HS256"])),
        ("/issuers/0/algorithms", json!([])),
        ("/issuers/0/profile", json!("pingfederate")),
        ("/issuers/0/profile", json!({ "bse": "okta" })),
        ("/policies", json!({ "p": { "actor": "maybe" } })),
        ("/policies", json!({ "p": { "claims": [{ "equals": 1 }] } })),
        ("/default_class", json!({})),
        ("/metadata", json!("no")),
        ("/dpop", json!(true)),
        ("/dpop", json!({ "algorithms": ["HS256"] })),
        ("/dpop", json!({ "nonces": {} })),
        ("/dpop", json!({ "nonces": { "mode": "optional", "keys": ["secret"] } })),
        ("/dpop", json!({ "nonces": { "mode": "optional", "keys": [] } })),
        ("/dpop", json!({ "nonces": { "mode": "optional", "keys": { "env": "A" } } })),
        ("/dpop", json!({ "public_origins": [{ "proxy_adds": "/a" }] })),
        ("/dpop", json!({ "forwarded": { "style": "forwarded", "hosts": ["a.b"] } })),
        ("/mtls", json!("direct")),
        ("/mtls", json!({ "forwarded": { "format": "pem", "peers": { "verified": true } } })),
        ("/known_tokens_bytes", json!("32 MiB")),
        ("/known_tokens_bytes", json!(-1)),
        ("/first_verifications", json!("unbounded")),
        ("/first_verifications", json!({ "max_at_once": -1 })),
        ("/first_verifications", json!({ "wait_at_most": 1 })),
        ("/replay", json!({ "capacity": "1000" })),
        ("/replay", json!({ "capacity": -1 })),
        ("/policies", json!({ "p": { "allow_all": true, "single_use": "yes" } })),
        ("/policies", json!({ "p": { "allow_all": true, "freshness": 60 } })),
        ("/policies", json!({ "p": { "allow_all": true, "on_stale": "allow" } })),
        ("/revocation", json!(true)),
        ("/revocation", json!({ "journal": { "path": "x" } })),
        ("/revocation", json!({ "on_stale": {} })),
        ("/revocation", json!({ "on_stale": { "allow_for": 60 } })),
        ("/revocation", json!({ "when_full": "drop" })),
        ("/revocation", json!({ "claims": [] })),
        ("/revocation", json!({ "status_lists": "on" })),
        ("/revocation", json!({ "status_lists": { "application_specific": { "3": "ignore" } } })),
        ("/revocation", json!({ "status_lists": { "prefetch": ["https://x.example"] } })),
        ("/revocation", json!({ "sources": [{ "feed": { "url": "https://x.example" } }] })),
        ("/revocation", json!({ "sources": [{ "name": "a", "speaks_for": [], "feed": {} }] })),
        ("/revocation", source("feed", json!({ "delta": "https://x.example" }))),
        ("/revocation", source("feed", json!({ "url": "https://x.example", "bearer": "secret" }))),
        ("/revocation", source("feed", json!({ "url": "https://x.example", "signed_by": "x" }))),
        ("/revocation", source("events", json!({ "id": "https://x.example" }))),
        ("/revocation", stream("subjects", json!({ "email": ["email"] }))),
        ("/revocation", stream("push", json!({ "authorization": { "env": "A" } }))),
        ("/revocation", stream("push", json!({ "authorization": ["secret"] }))),
        ("/revocation", stream("push", json!({ "verification": true }))),
        ("/revocation", stream("poll", json!({ "every": 10 }))),
        ("/revocation", stream("on_high_risk", json!("block"))),
    ] {
        let file = with(least(), place, value.clone());
        assert!(schema.check(schema.root, &file).is_err(), "{place} = {value}");
        assert!(!faults(&file).is_empty(), "{place} = {value}");
    }
    // Every member is described.
    let mut bare = Vec::new();
    for (name, table) in schema.root["$defs"].as_object().unwrap() {
        for (member, said) in table["properties"].as_object().into_iter().flatten() {
            if said.get("description").is_none() {
                bare.push(format!("{name}.{member}"));
            }
        }
    }
    assert_eq!(bare, [""; 0]);
}

/// As much of JSON Schema as this schema uses.
pub(super) struct Schema<'a> {
    pub(super) root: &'a Value,
}

impl Schema<'_> {
    pub(super) fn check(&self, schema: &Value, value: &Value) -> Result<(), String> {
        let Some(schema) = schema.as_object() else {
            return if schema == &json!(true) { Ok(()) } else { Err(format!("{schema}")) };
        };
        for (word, wanted) in schema {
            let holds = match word.as_str() {
                "$schema" | "title" | "description" | "default" | "examples" | "format"
                | "$defs" => true,
                "$ref" => {
                    let place = wanted.as_str().unwrap().strip_prefix('#').unwrap();
                    self.check(self.root.pointer(place).unwrap(), value)?;
                    true
                }
                "type" => match wanted {
                    Value::Array(kinds) => kinds.iter().any(|kind| is(kind, value)),
                    kind => is(kind, value),
                },
                "enum" => wanted.as_array().unwrap().contains(value),
                "anyOf" => {
                    wanted.as_array().unwrap().iter().any(|one| self.check(one, value).is_ok())
                }
                "minItems" => value.as_array().is_none_or(|list| !list.is_empty()),
                "minLength" => value.as_str().is_none_or(|text| !text.is_empty()),
                "minimum" => value.as_i64().is_none_or(|number| number >= 0),
                // One pattern there is, and no library here reads another.
                "pattern" => {
                    assert_eq!(wanted, "^[A-Za-z_][A-Za-z0-9_]*$");
                    value.as_str().is_none_or(|text| {
                        let of_name = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
                        text.bytes().all(of_name)
                            && text.bytes().next().is_some_and(|first| !first.is_ascii_digit())
                    })
                }
                "items" => {
                    for element in value.as_array().into_iter().flatten() {
                        self.check(wanted, element)?;
                    }
                    true
                }
                "required" => wanted.as_array().unwrap().iter().all(|name| {
                    value.as_object().is_none_or(|table| table.contains_key(name.as_str().unwrap()))
                }),
                "properties" => {
                    for (name, wanted) in wanted.as_object().unwrap() {
                        if let Some(value) = value.get(name) {
                            self.check(wanted, value).map_err(|what| format!("{name}: {what}"))?;
                        }
                    }
                    true
                }
                "additionalProperties" => {
                    let known = schema.get("properties").and_then(Value::as_object);
                    for (name, value) in value.as_object().into_iter().flatten() {
                        if !known.is_some_and(|known| known.contains_key(name)) {
                            self.check(wanted, value).map_err(|what| format!("{name}: {what}"))?;
                        }
                    }
                    true
                }
                other => panic!("`{other}` is not checked here yet"),
            };
            if !holds {
                return Err(format!("{value} is not as `{word}` wants it: {wanted}"));
            }
        }
        Ok(())
    }
}

fn is(kind: &Value, value: &Value) -> bool {
    match kind.as_str().unwrap() {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "boolean" => value.is_boolean(),
        "integer" => value.is_i64() || value.is_u64(),
        "null" => value.is_null(),
        other => panic!("`{other}` is not checked here yet"),
    }
}
