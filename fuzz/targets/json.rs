//! Strict JSON, and the two objects of a token.

use portcullis::jose::json::{Object, Value};
use portcullis::jose::{Algorithm, ClaimsSet, Header};
use portcullis::time::Timestamp;

use super::time::exact_nanos;
use super::tree::{self, Reading, Tree, member};

/// What is read is what `serde_json` reads, less duplicates and depth.
pub fn json(data: &[u8]) {
    match (Object::parse(data), tree::read(data)) {
        (_, Reading::Unknown) | (Err(_), Reading::Refused) => {}
        (Ok(object), Reading::Object(members)) => assert_same_members(&object, &members),
        (Ok(_), Reading::Refused) => panic!("accepted what serde_json refuses"),
        (Err(error), Reading::Object(_)) => panic!("{error}: refused what serde_json accepts"),
    }
}

fn assert_same_members(object: &Object<'_>, members: &[(String, Tree)]) {
    assert_eq!(object.members().count(), members.len());
    for ((name, value), (tree_name, tree)) in object.members().zip(members) {
        assert_eq!(name, tree_name);
        assert!(object.has(name));
        assert_eq!(object.member(name), Some(value));
        assert_same(value, tree);
    }
}

fn assert_same(value: Value<'_>, tree: &Tree) {
    assert_eq!(value.as_str().as_deref(), tree.as_text());
    match tree {
        Tree::Number(number) => {
            let read: f64 = value.as_number().unwrap().parse().unwrap();
            // serde_json may miss the nearest value by one
            assert!((read - number).abs() <= number.abs() * 1e-14, "{read} {number}");
        }
        _ => assert_eq!(value.as_number(), None),
    }
    match tree {
        Tree::Array(elements) => {
            let read = value.as_array().unwrap();
            assert_eq!(read.len(), elements.len());
            read.into_iter().zip(elements).for_each(|(value, tree)| assert_same(value, tree));
        }
        _ => assert!(value.as_array().is_none()),
    }
    match tree {
        Tree::Object(members) => assert_same_members(&value.as_object().unwrap(), members),
        _ => assert!(value.as_object().is_none()),
    }
}

/// A header is read exactly if its members are what they have to be.
pub fn header(data: &[u8]) {
    let read = Header::parse(data);
    let members = match tree::read(data) {
        Reading::Unknown => return,
        Reading::Refused => return assert!(read.is_err()),
        Reading::Object(members) => members,
    };
    let text = |name| member(&members, name).map(Tree::as_text);
    let refused = ["crit", "b64", "zip", "enc", "cty"].iter().any(|name| text(name).is_some());
    let algorithm = text("alg").flatten().and_then(Algorithm::parse);
    let (typ, kid) = (text("typ"), text("kid"));
    match (read, algorithm) {
        (Ok(header), Some(algorithm)) => {
            assert!(!refused && typ != Some(None) && kid != Some(None));
            assert_eq!(header.algorithm(), algorithm);
            assert_eq!(header.typ(), typ.flatten());
            assert_eq!(header.kid(), kid.flatten());
            let lower = typ.flatten().map(str::to_ascii_lowercase);
            let is_access_token = matches!(lower.as_deref(), Some("at+jwt" | "application/at+jwt"));
            assert_eq!(header.is_type("at+jwt"), is_access_token);
        }
        (Ok(_), None) => panic!("a header without an algorithm"),
        (Err(error), Some(_)) => {
            assert!(refused || typ == Some(None) || kid == Some(None), "{error}");
        }
        (Err(_), None) => {}
    }
}

/// Each claim is what its type allows, absent, or an error.
pub fn claims(data: &[u8]) {
    let read = ClaimsSet::parse(data);
    let members = match tree::read(data) {
        Reading::Unknown => return,
        Reading::Refused => return assert!(read.is_err()),
        Reading::Object(members) => members,
    };
    let claims = read.unwrap();
    for name in ["iss", "sub", "client_id", "jti"] {
        let expected =
            member(&members, name).map(|value| value.as_text().filter(|t| !t.is_empty()));
        let found = claims.text(name);
        assert_eq!(found.is_err(), expected == Some(None), "{name}");
        assert_eq!(found.ok().flatten().as_deref(), expected.flatten(), "{name}");
        assert_eq!(claims.has(name), expected.is_some());
    }
    for name in ["exp", "iat", "nbf"] {
        // the digits are the crate's own reading: `json` compares them
        let expected = claims.value(name).map(|value| value.as_number().and_then(exact_nanos));
        let found = claims.time(name);
        assert_eq!(found.is_err(), expected == Some(None), "{name}");
        let nanos = found.ok().flatten().map(|at: Timestamp| at.as_duration().as_nanos());
        assert_eq!(nanos, expected.flatten(), "{name}");
    }
    let audiences: Option<Option<Vec<&str>>> = member(&members, "aud").map(|value| match value {
        Tree::Text(one) => Some(vec![one.as_str()]),
        Tree::Array(several) => several.iter().map(Tree::as_text).collect(),
        _ => None,
    });
    match claims.audiences() {
        Ok(found) => assert_eq!(
            found.as_ref().map(|found| found.iter().map(AsRef::as_ref).collect::<Vec<&str>>()),
            audiences.flatten()
        ),
        Err(error) => {
            assert!(audiences.unwrap().is_none_or(|found| found.is_empty()), "{error}");
        }
    }
    let is_scope =
        |text: &str| text.bytes().all(|b| matches!(b, b' ' | 0x21 | 0x23..=0x5b | 0x5d..=0x7e));
    let scope = match member(&members, "scope") {
        None => Some(""),
        Some(value) => value.as_text().filter(|text| is_scope(text)),
    };
    assert_eq!(claims.scope().ok().as_deref(), scope);
}
