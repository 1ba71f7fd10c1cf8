//! Tokens that another implementation made.

use std::collections::BTreeMap;

use portcullis::jwe::{DecryptError, Decryption, DecryptionKey, Decryptor, HeaderFault};
use portcullis::secret::Secret;
use serde::Deserialize;
use serde_json::Value;
use stats_alloc::Region;

use super::ALLOCATOR;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Vectors {
    source: String,
    inner: String,
    keys: BTreeMap<String, Key>,
    cases: Vec<Case>,
    refused: Vec<Case>,
    forged: Vec<Case>,
    zipped: String,
    bomb: Bomb,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Key {
    jwk: Value,
    pem: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    name: String,
    key: String,
    token: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Bomb {
    inflated: usize,
    token: String,
}

impl Vectors {
    fn read() -> Self {
        serde_json::from_str(include_str!("../vectors/jwe.json")).unwrap()
    }

    fn by_jwk(&self) -> Decryptor {
        let keys = self.keys.values();
        let with = |all: Decryption, key: &Key| {
            all.key(DecryptionKey::jwk(Secret::new(key.jwk.to_string())))
        };
        keys.fold(Decryption::new(), with).build().unwrap()
    }

    fn by_pem(&self) -> Decryptor {
        let keys = self.keys.iter();
        let with = |all: Decryption, (kid, key): (&String, &Key)| {
            all.key(DecryptionKey::pem(Secret::new(&key.pem)).kid(kid))
        };
        keys.fold(Decryption::new(), with).build().unwrap()
    }
}

/// AT-12: every algorithm with every content encryption and every curve, and the key as JWK and as PEM.
/// A key of its kind that is not the key refuses.
#[test]
fn tokens_of_another_implementation_are_decrypted() {
    let vectors = Vectors::read();
    assert!(vectors.source.contains("jose"));
    let (by_jwk, by_pem) = (vectors.by_jwk(), vectors.by_pem());
    for Case { name, key, token } in &vectors.cases {
        assert_eq!(by_jwk.decrypt(token).as_ref(), Ok(&vectors.inner), "{name}");
        assert_eq!(by_pem.decrypt(token).as_ref(), Ok(&vectors.inner), "{name}");
        let alone = DecryptionKey::pem(Secret::new(&vectors.keys[key].pem));
        let alone = Decryption::new().key(alone).build().unwrap();
        assert_eq!(alone.decrypt(token).as_ref(), Ok(&vectors.inner), "{name}: a key without kid");
    }
    // 3 of RSA, 24 of four curves, 2 with parties, 3 by hand.
    assert_eq!(vectors.cases.len(), 32);
}

/// AT-12: whoever has another key of the same kind learns nothing but that it is another.
#[test]
fn another_key_does_not_decrypt() {
    let vectors = Vectors::read();
    let other = [&*super::RSA, &*super::EC].map(|key| {
        let pem = DecryptionKey::pem(Secret::new(key.pem()));
        Decryption::new().key(pem).build().unwrap()
    });
    let mut refused = 0;
    for Case { name, key, token } in &vectors.cases {
        let other = match key.as_str() {
            "RSA" => &other[0],
            "P-256" => &other[1],
            _ => continue,
        };
        assert_eq!(other.decrypt(token), Err(DecryptError::Undecryptable), "{name}");
        refused += 1;
    }
    assert!(refused >= 9, "{refused}");
}

/// JWS-36, attack 21: what is not taken is refused by its name, before a key is touched.
#[test]
fn other_algorithms_are_refused() {
    let vectors = Vectors::read();
    let decryptor = vectors.by_jwk();
    for Case { name, token, .. } in &vectors.refused {
        let fault = match name.as_str() {
            "PBES2-HS256+A128KW" => HeaderFault::Unsupported("p2c"),
            name if name.starts_with("RSA-OAEP-256 ") => HeaderFault::Encryption,
            _ => HeaderFault::Algorithm,
        };
        assert_eq!(decryptor.decrypt(token), Err(DecryptError::Header(fault)), "{name}");
    }
    assert_eq!(vectors.refused.len(), 14);
}

/// RFC 8725 §2.5, §3.4: ephemeral keys that are no points of the curve, or of small order. Whoever
/// forged these knows the key that an agreement with them would have; the honest twin is among the
/// cases, made by the same hand.
#[test]
fn points_off_the_curve_are_refused() {
    let vectors = Vectors::read();
    let decryptor = vectors.by_jwk();
    assert_eq!(vectors.cases.iter().filter(|case| case.name.ends_with("by hand")).count(), 3);
    for Case { name, token, .. } in &vectors.forged {
        assert_eq!(decryptor.decrypt(token), Err(DecryptError::Undecryptable), "{name}");
    }
    assert_eq!(vectors.forged.len(), 3);
}

/// JWS-36, attack 21: nothing is inflated, neither much nor little. The same token without `zip` is
/// among the cases, made by the same hand.
#[test]
fn nothing_is_inflated() {
    let vectors = Vectors::read();
    let decryptor = vectors.by_jwk();
    let refused = Err(DecryptError::Header(HeaderFault::Unsupported("zip")));
    assert_eq!(decryptor.decrypt(&vectors.zipped), refused);
    // Other tests allocate meanwhile: the least of some counts.
    let allocated = |_| {
        let region = Region::new(ALLOCATOR);
        assert_eq!(decryptor.decrypt(&vectors.bomb.token), refused);
        region.change().bytes_allocated
    };
    let least = (0..10).map(allocated).min().unwrap();
    assert!(vectors.bomb.inflated == 8 << 20 && least < 256 << 10, "{least} octets");
}
