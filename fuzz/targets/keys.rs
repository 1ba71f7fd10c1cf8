//! Keys and sets of keys.

use portcullis::jose::{Algorithm, JwkSet, KeyChoiceError, PublicKey};
use portcullis::name::Thumbprint;

use super::tree::{self, Reading, Tree, member};

/// A usable key is public, named by strings, and fits its algorithm.
pub fn jwk(data: &[u8]) {
    let Ok(key) = PublicKey::parse(data, Algorithm::ALL) else {
        return;
    };
    let members = match tree::read(data) {
        Reading::Object(members) => members,
        Reading::Unknown => return,
        Reading::Refused => panic!("a key that is no object"),
    };
    for private in ["d", "p", "q", "dp", "dq", "qi", "oth", "k"] {
        assert!(member(&members, private).is_none(), "{private}");
    }
    let text = |name| member(&members, name).map(Tree::as_text);
    assert_eq!(key.kid().map(AsRef::as_ref), text("kid").map(Option::unwrap));
    assert!(matches!(text("use"), None | Some(Some("sig"))));
    if let Some(alg) = text("alg") {
        assert_eq!(Algorithm::parse(alg.unwrap()), Some(key.algorithm()));
    }
    let named = match text("kty").flatten().expect("`kty` is a string") {
        "RSA" => text("n").flatten().is_some() && text("e").flatten().is_some(),
        "EC" | "OKP" => text("crv").flatten().is_some() && text("x").flatten().is_some(),
        _ => false,
    };
    assert!(named, "members that are not strings");
    let thumbprint = key.thumbprint();
    assert_eq!(Thumbprint::parse(thumbprint.as_str()).as_ref(), Some(thumbprint));
    assert_eq!(Thumbprint::parse_uri(&thumbprint.to_uri()).as_ref(), Some(thumbprint));

    // Nothing short of a signature verifies, not even the one that a weak Ed25519 key has for many
    // messages: R of small order, and S zero.
    let identity = [&[1][..], &[0; 63]].concat();
    for algorithm in Algorithm::ALL {
        for signature in [&[][..], &identity, &[0; 64], &[0; 96], &[0; 132], &[0; 256], &[1; 256]] {
            for message in 0..8_u8 {
                assert!(key.verify_message(*algorithm, &[message], signature).is_err());
            }
        }
    }
}

/// A set keeps every key that is usable by itself, and finds one or none.
pub fn jwks(data: &[u8]) {
    for allowed in [Algorithm::ALL, &[Algorithm::Es256], &[Algorithm::Ps256, Algorithm::Rs256]] {
        let Ok(set) = JwkSet::parse(data, allowed) else {
            continue;
        };
        if let Ok(Tree::Object(members)) = serde_json::from_slice::<Tree>(data) {
            let Some(Tree::Array(elements)) = member(&members, "keys") else {
                panic!("a set without `keys`");
            };
            assert_eq!(set.keys().len() + set.unusable().len(), elements.len());
            assert!(set.unusable().iter().all(|key| key.index < elements.len()));
        }
        assert!(set.unusable().windows(2).all(|pair| pair[0].index < pair[1].index));
        let kids = set.keys().map(|key| key.kid().map(AsRef::as_ref));
        for kid in kids.chain([None, Some("no such key")]) {
            for algorithm in Algorithm::ALL {
                let fits = |key: &&PublicKey| {
                    key.algorithm().same_operation(*algorithm)
                        && (kid.is_none() || key.kid().map(AsRef::as_ref) == kid)
                };
                let fitting: Vec<&PublicKey> = set.keys().filter(fits).collect();
                match (set.find(kid, *algorithm), fitting.as_slice()) {
                    (Ok(found), [only]) => assert_eq!(found.thumbprint(), only.thumbprint()),
                    (Err(KeyChoiceError::Unknown), []) => {}
                    (Err(KeyChoiceError::Ambiguous), [_, _, ..]) => {}
                    (found, _) => panic!("{found:?} among {}", fitting.len()),
                }
            }
        }
    }
}
