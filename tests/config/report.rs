//! The effective policy says what the file says, at the same place and in the same words.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use portcullis::config::{JSON_SCHEMA, ServerConfig};
use portcullis::testing::ManualClock;
use serde_json::{Value, json};

use super::schema::Schema;
use super::{DIRECTORY, Directory, with};

/// Members that stand otherwise in the effective policy, or not at all: which, where one of the
/// whole file stands instead, as what, and why. What is in them goes with them.
const OTHERWISE: [(&str, &str, &str, &str); 14] = [
    ("File.$schema", "", "", "it is for editors"),
    ("File.token_hash_key", "", "", "it changes no decision; tests/config/secrets.rs"),
    ("File.challenge", "", "", "it changes no decision; it stands in challenges: members.rs"),
    ("File.metadata", "", "", "it changes no decision; it stands in the metadata: members.rs"),
    ("Tenants.issuers", "", "", "a resolver is asked for them at run time: members.rs"),
    ("Issuer.keys", "/issuers/3/keys", "fixed", "the file is read once; its keys are the issuer's"),
    (
        "Issuer.ca_file",
        "/issuers/0/transport",
        "own",
        "it makes an HTTP client of the issuer's own",
    ),
    (
        "Introspection.ca_file",
        "/introspection/0/transport",
        "own",
        "it makes an HTTP client of the introspection's own",
    ),
    ("Policy.async_timeout", "", "", "it bounds checks that only code can add: policies.rs"),
    ("Profile.base", "/issuers/1/profile/base", "keycloak", "the name that the profile goes by"),
    (
        "EventStream.keys",
        "/revocation/sources/1/events/keys",
        "fixed",
        "the file is read once; its keys are the transmitter's",
    ),
    (
        "EventStream.ca_file",
        "/revocation/sources/0/events/transport",
        "own",
        "it makes an HTTP client of the stream's own",
    ),
    (
        "Feed.ca_file",
        "/revocation/sources/2/feed/transport",
        "own",
        "it makes an HTTP client of the feed's own",
    ),
    (
        "Feed.signed_by",
        "/revocation/sources/2/feed/signed_by/id",
        "https://feed.example",
        "of the issuer that signs its name is told: revocation.rs",
    ),
];

/// What the whole file cannot say beside the rest, as other files have it, each with the place of it:
/// the one field with a certificate is of one format, and verified peers are no proxies where clients
/// come directly; a security profile leaves little to say; one server at a time has a journal;
/// and encrypted tokens need a feature.
fn variants(directory: &Directory) -> Vec<(Value, &'static str)> {
    let peers = json!({ "networks": ["10.0.0.0/28"] });
    let forwarded = json!({ "format": "escaped_pem", "header": "ssl-client-cert", "peers": peers });
    let mtls = with(other(), "/mtls", json!({ "direct": true, "forwarded": forwarded }));
    let mut fapi2 = with(other(), "/security_profile", json!("fapi2"));
    fapi2["binding"] = json!("dpop");
    let journal = with(other(), "/revocation/journal", json!(directory.path("revocations")));
    let mut all =
        vec![(mtls, "/mtls"), (fapi2, "/security_profile"), (journal, "/revocation/journal")];
    if cfg!(feature = "jwe") {
        let sealed = with(other(), "/decryption", super::decryption::whole(directory));
        all.push((
            with(sealed.clone(), "/issuers/0/encrypted_only", json!(true)),
            "/issuers/0/enc",
        ));
        all.push((sealed, "/decryption"));
    }
    all
}

/// A server of which everything is otherwise.
fn other() -> Value {
    json!({
        "resource": "https://other.example",
        "binding": "either",
        "dpop": { "algorithms": ["EdDSA"], "max_age": "1m" },
        "issuers": [{ "id": "https://other.example" }],
        "default_class": { "at_most": "1m" },
        "policy": { "all_scopes": ["other"] },
        "revocation": {
            "status_lists": true,
            "sources": [stream("a"), stream("b"), feed("c"), feed("d")],
        },
    })
}

fn stream(name: &str) -> Value {
    let events = json!({ "id": "https://other.example", "audience": ["other"], "poll": {} });
    json!({ "name": name, "speaks_for": ["https://other.example"], "events": events })
}

fn feed(name: &str) -> Value {
    let feed = json!({ "url": "https://other.example" });
    json!({ "name": name, "speaks_for": ["https://other.example"], "feed": feed })
}

/// A member that a file has: of which table it is, where it stands, and its value.
type Said<'a> = (String, String, &'a Value);

/// Every member of a value that the schema knows, but for those in `OTHERWISE`.
fn said<'a>(
    schema: &Schema<'_>,
    node: &Value,
    of: &str,
    value: &'a Value,
    place: &str,
    found: &mut Vec<Said<'a>>,
) {
    if let Some((name, node)) = referred(schema, node) {
        return said(schema, node, name, value, place, found);
    }
    for branch in node["anyOf"].as_array().into_iter().flatten() {
        if schema.check(branch, value).is_ok() {
            return said(schema, branch, of, value, place, found);
        }
    }
    for (name, value) in value.as_object().into_iter().flatten() {
        let place = format!("{place}/{name}");
        let of = owner(node, of);
        let Some(node) = node["properties"].get(name) else {
            said(schema, &node["additionalProperties"], of, value, &place, found);
            continue;
        };
        let member = format!("{of}.{name}");
        found.push((member.clone(), place.clone(), value));
        if !OTHERWISE.iter().any(|(otherwise, ..)| *otherwise == member) {
            said(schema, node, &member, value, &place, found);
        }
    }
    for (index, value) in value.as_array().into_iter().flatten().enumerate() {
        said(schema, &node["items"], of, value, &format!("{place}/{index}"), found);
    }
}

/// Every member that the schema knows, but for what is in those of `OTHERWISE`.
fn known(schema: &Schema<'_>, node: &Value, of: &str, found: &mut BTreeSet<String>) {
    let around = node;
    if let Some((name, node)) = referred(schema, node) {
        let seen = found.iter().any(|member| member.starts_with(&format!("{name}.")));
        if !seen {
            known(schema, node, name, found);
        }
        return;
    }
    for (name, node) in node["properties"].as_object().into_iter().flatten() {
        let member = format!("{}.{name}", owner(around, of));
        found.insert(member.clone());
        if !OTHERWISE.iter().any(|(otherwise, ..)| *otherwise == member) {
            known(schema, node, &member, found);
        }
    }
    let branches = node["anyOf"].as_array().into_iter().flatten();
    for inner in branches.chain(node.get("items")).chain(node.get("additionalProperties")) {
        known(schema, inner, of, found);
    }
}

/// Of which table the members of a node are: a secret is referred to in the same way everywhere.
fn owner<'a>(node: &Value, of: &'a str) -> &'a str {
    let names = node["properties"].as_object().into_iter().flatten().map(|(name, _)| name.as_str());
    if matches!(names.collect::<Vec<_>>()[..], ["env"] | ["file"]) { "Secret" } else { of }
}

/// The definition that a node refers to, and its name.
fn referred<'a>(schema: &Schema<'a>, node: &Value) -> Option<(&'a str, &'a Value)> {
    let place = node.get("$ref")?.as_str()?.strip_prefix("#/$defs/")?;
    let (name, node) = schema.root["$defs"].as_object()?.get_key_value(place)?;
    Some((name, node))
}

/// Whether all of a value stands in another: tables may say more.
fn holds(found: Option<&Value>, wanted: &Value) -> bool {
    match (found, wanted) {
        (Some(Value::Object(found)), Value::Object(wanted)) => {
            wanted.iter().all(|(name, wanted)| holds(found.get(name), wanted))
        }
        (Some(Value::Array(found)), Value::Array(wanted)) => {
            let each = |(found, wanted)| holds(Some(found), wanted);
            found.len() == wanted.len() && found.iter().zip(wanted).all(each)
        }
        (found, wanted) => found == Some(wanted),
    }
}

/// A leaf: what has members or tables in it is judged by them.
fn is_leaf(value: &Value) -> bool {
    match value {
        Value::Object(_) => false,
        Value::Array(elements) => elements.iter().all(is_leaf),
        _ => true,
    }
}

/// Each member of the whole file stands in the report as the file says it, and would not without
/// it; and the whole file has every member that there is. So a fault's place is a place in the
/// report, and a new setting cannot be left out of either.
#[test]
fn every_member_shows_in_the_effective_policy() {
    let report = |config: ServerConfig| {
        let api = config.builder().unwrap().clock(ManualClock::new()).build().unwrap();
        api.effective_policy()
    };
    let path = format!("{DIRECTORY}/full.json");
    let file: Value = serde_json::from_str(&std::fs::read_to_string(&path).unwrap()).unwrap();
    let after = report(ServerConfig::from_file(&path).unwrap());
    let before = report(super::config(&other()).unwrap());
    let root: Value = serde_json::from_str(JSON_SCHEMA).unwrap();
    let schema = Schema { root: &root };

    let mut shown: BTreeMap<String, usize> = BTreeMap::new();
    let directory = Directory::new();
    let mut files = vec![(file, after.clone(), "")];
    for (variant, within) in variants(&directory) {
        let after = report(super::config(&variant).unwrap());
        files.push((variant, after, within));
    }
    for (file, after, within) in &files {
        let mut members = Vec::new();
        said(&schema, &root, "File", file, "", &mut members);
        members.retain(|(_, place, _)| place.starts_with(within));
        for (member, place, value) in &members {
            *shown.entry(member.clone()).or_default() += 1;
            if OTHERWISE.iter().any(|(otherwise, ..)| otherwise == member) || !is_leaf(value) {
                continue;
            }
            let found = after.pointer(place);
            // It is looked for from the file's directory.
            let beside = value.as_str().map(|path| json!(Path::new(DIRECTORY).join(path)));
            let value = if member == "Secret.file" { &beside.unwrap() } else { *value };
            assert!(holds(found, value), "{place} is {value}, and stands as {found:?}\n{after:#}");
            assert!(
                !holds(before.pointer(place), value),
                "{place} is {value} without the file too"
            );
        }
    }
    for (member, place, value, why) in OTHERWISE {
        assert!(!why.is_empty(), "{member}");
        if !place.is_empty() {
            assert_eq!(after.pointer(place), Some(&json!(value)), "{member}\n{after:#}");
            assert_ne!(before.pointer(place), Some(&json!(value)), "{member}");
        }
    }

    let mut all = BTreeSet::new();
    known(&schema, &root, "File", &mut all);
    let missing = all.iter().filter(|member| !shown.contains_key(*member) && !is_off(member));
    let missing: Vec<_> = missing.collect();
    assert!(missing.is_empty(), "the whole file does not have {missing:?}");
    let unknown: Vec<_> = shown.keys().filter(|member| !all.contains(*member)).collect();
    assert!(unknown.is_empty(), "the schema does not know {unknown:?}");
    for (member, ..) in OTHERWISE {
        assert!(shown.contains_key(member), "no {member}");
    }
    assert!(all.len() > 200, "{} members", all.len());
}

/// Whether this is a member that nothing can say without a feature of the crate: decryption.rs.
fn is_off(member: &str) -> bool {
    let sealed = ["File.decryption", "Issuer.encrypted_only"];
    let is_sealed = sealed.contains(&member) || member.starts_with("Decryption");
    is_sealed && !cfg!(feature = "jwe")
}

/// The members of what stands elsewhere, for the tests that look there.
pub(super) fn members_of(table: &str) -> BTreeSet<String> {
    let root: Value = serde_json::from_str(JSON_SCHEMA).unwrap();
    let properties = root["$defs"][table]["properties"].as_object().unwrap();
    properties.keys().cloned().collect()
}
