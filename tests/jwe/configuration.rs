//! Keys and bounds that cannot work are faults, all at once, each at its place.

use std::time::Duration;

use portcullis::ConfigFault;
use portcullis::jwe::{
    ContentEncryption, DecryptError, Decryption, DecryptionKey, Decryptor, KeyManagement,
};
use portcullis::secret::{Secret, SecretSource};
use portcullis::testing::TestDecryptionKey;
use serde_json::{Value, json};

use super::{DECRYPTOR, EC, INNER, RSA};

fn faults(decryption: &Decryption) -> Vec<String> {
    match decryption.build() {
        Ok(_) => Vec::new(),
        Err(error) => error.places().map(|(place, fault)| format!("{place}: {fault}")).collect(),
    }
}

fn of_key(key: DecryptionKey) -> Vec<String> {
    faults(&Decryption::new().key(key))
}

fn jwk(key: &TestDecryptionKey, change: impl Fn(&mut Value)) -> DecryptionKey {
    let mut jwk = serde_json::from_str(&key.private_jwk()).unwrap();
    change(&mut jwk);
    DecryptionKey::jwk(Secret::new(jwk.to_string()))
}

fn without(jwk: &mut Value, name: &str) {
    jwk.as_object_mut().unwrap().remove(name).unwrap();
}

/// What is no private key, or not the one that it says it is. Each twin is one.
#[test]
fn a_key_is_a_private_key_that_works() {
    let other = TestDecryptionKey::generate(KeyManagement::EcdhEs, "other").public_jwk();
    let other_rsa: Value = serde_json::from_str(
        &TestDecryptionKey::generate(KeyManagement::RsaOaep256, "other").private_jwk(),
    )
    .unwrap();
    let public =
        |key: &TestDecryptionKey| DecryptionKey::jwk(Secret::new(key.public_jwk().to_string()));
    let pem = |text: String| DecryptionKey::pem(Secret::new(text));
    let halves = "its public and its private part are of two keys";
    let rows: Vec<(&str, DecryptionKey, &str)> = vec![
        ("EC", jwk(&EC, |_| {}), ""),
        ("RSA", jwk(&RSA, |_| {}), ""),
        ("PEM", pem(EC.pem()), ""),
        ("key_ops", jwk(&EC, |jwk| jwk["key_ops"] = json!(["deriveBits"])), ""),
        ("no use", jwk(&EC, |jwk| without(jwk, "use")), ""),
        ("public EC", public(&EC), "`d` is absent"),
        ("public RSA", public(&RSA), "`d` is absent"),
        ("empty", pem(String::new()), "found no BEGIN line"),
        ("no PEM", pem("secret".to_owned()), "found no BEGIN line"),
        ("half a PEM", pem(EC.pem()[..60].to_owned()), "not a private key"),
        (
            "traditional",
            pem(RSA.pem().replace("PRIVATE", "RSA PRIVATE")),
            "found `-----BEGIN RSA PRIVATE KEY-----`, wanted `-----BEGIN PRIVATE KEY-----` \
             (PKCS #8): `openssl pkcs8 -topk8 -nocrypt` makes it",
        ),
        (
            "encrypted",
            pem(RSA.pem().replace("PRIVATE", "ENCRYPTED PRIVATE")),
            "found `-----BEGIN ENCRYPTED PRIVATE KEY-----`, wanted",
        ),
        ("public", pem(RSA.pem().replace("PRIVATE", "PUBLIC")), "the private key itself is needed"),
        ("indented", pem(format!(" {}", EC.pem())), "found white space before"),
        ("JWK as PEM", pem(RSA.private_jwk()), "it is JSON: say `jwk`"),
        ("PEM as JWK", DecryptionKey::jwk(Secret::new(EC.pem())), "it is PEM: say `pem`"),
        ("twice", DecryptionKey::jwk(Secret::new(r#"{"kty":"EC","kty":"EC"}"#)), "occurs twice"),
        ("oct", DecryptionKey::jwk(Secret::new(r#"{"kty":"oct","k":"AAAA"}"#)), "its `kty`"),
        ("another curve", jwk(&EC, |jwk| jwk["crv"] = "secp256k1".into()), "its `crv`"),
        ("another kind", jwk(&EC, |jwk| jwk["kty"] = "OKP".into()), "its `crv`"),
        ("to sign", jwk(&EC, |jwk| jwk["use"] = "sig".into()), "its `use`"),
        ("to wrap", jwk(&EC, |jwk| jwk["key_ops"] = json!(["wrapKey"])), "its `key_ops`"),
        ("another alg", jwk(&EC, |jwk| jwk["alg"] = "ECDH-ES+A128KW".into()), "its `alg`"),
        ("alg of RSA", jwk(&EC, |jwk| jwk["alg"] = "RSA-OAEP-256".into()), "cannot be used with"),
        ("a short d", jwk(&EC, |jwk| jwk["d"] = "AAAA".into()), "`d` has not 32 octets"),
        ("another x", jwk(&EC, |jwk| jwk["x"] = other["x"].clone()), halves),
        ("another n", jwk(&RSA, |jwk| jwk["n"] = other_rsa["n"].clone()), halves),
        ("no p", jwk(&RSA, |jwk| without(jwk, "p")), "`p` is absent"),
        ("three primes", jwk(&RSA, |jwk| jwk["oth"] = json!([])), "more than two primes"),
        ("kid empty", jwk(&EC, |_| {}).kid(""), "a `kid` is empty"),
        ("kid long", jwk(&EC, |_| {}).kid("k".repeat(257)), "a `kid` is empty or longer"),
        ("no algorithm", jwk(&EC, |_| {}).algorithms([]), "none is named"),
        ("no encryption", jwk(&EC, |_| {}).encryptions([]), "none is named"),
        (
            "RSA agrees",
            pem(RSA.pem()).algorithms([KeyManagement::EcdhEs]),
            "RSA of 2048 bits cannot",
        ),
        ("EC unwraps", pem(EC.pem()).algorithms([KeyManagement::RsaOaep256]), "P-256 cannot"),
        ("not its alg", jwk(&EC, |_| {}).algorithms([KeyManagement::EcdhEsA256Kw]), "the `alg` of"),
    ];
    for (name, key, expected) in rows {
        let found = of_key(key);
        if expected.is_empty() {
            assert!(found.is_empty(), "{name}: {found:?}");
        } else {
            assert_eq!(found.len(), 1, "{name}: {found:?}");
            assert!(found[0].starts_with("keys[0]."), "{name}: {found:?}");
            assert!(found[0].contains(expected), "{name}: {found:?}");
        }
    }
}

/// RFC 7518 §4.3: 2048 bits at least, and at most 4096. The key of 2048 bits is above.
#[test]
fn an_rsa_key_has_2048_to_4096_bits() {
    for (text, expected) in [
        (include_str!("rsa_1024.pem"), "an RSA key of 1024 bits; 2048 to 4096 are wanted"),
        (include_str!("rsa_2040.pem"), "an RSA key of 2040 bits"),
        (include_str!("rsa_4104.pem"), "an RSA key of 4104 bits"),
    ] {
        let found = of_key(DecryptionKey::pem(Secret::new(text)));
        assert!(found.len() == 1 && found[0].contains(expected), "{found:?}");
    }
    let most = DecryptionKey::pem(Secret::new(include_str!("rsa_4096.pem")));
    assert_eq!(of_key(most), [""; 0]);
}

/// A secret is read where it is, when the keys are built; where it cannot be read, its place is told
/// and nothing of it.
#[test]
fn a_key_is_read_from_a_file() {
    let directory = std::env::temp_dir().join(format!("portcullis-jwe-{}", std::process::id()));
    std::fs::create_dir_all(&directory).unwrap();
    let path = directory.join("key.pem");
    let key = DecryptionKey::pem(SecretSource::file(&path));
    let decryption = Decryption::new().key(key);
    let absent = decryption.build().unwrap_err();
    assert!(matches!(absent.faults(), [ConfigFault::Secret(what)] if what.contains("key.pem")));
    std::fs::write(&path, "-----BEGIN PRIVATE KEY-----\nc2VjcmV0\n-----END PRIVATE KEY-----\n")
        .unwrap();
    let broken = decryption.build().unwrap_err().to_string();
    assert!(broken.contains("key.pem") && !broken.contains("c2VjcmV0"), "{broken}");
    std::fs::write(&path, EC.pem()).unwrap();
    let token = EC.encrypt(INNER, ContentEncryption::A256Gcm);
    assert_eq!(decryption.build().unwrap().decrypt(&token).unwrap(), INNER);
    std::fs::remove_dir_all(&directory).unwrap();
}

/// All faults are told at once, each at its place.
#[test]
fn every_fault_is_told() {
    let nameless = || DecryptionKey::pem(Secret::new(EC.pem()));
    let found = faults(
        &Decryption::new()
            .key(EC.decryption_key())
            .key(nameless())
            .key(EC.decryption_key())
            .key(DecryptionKey::pem(SecretSource::env("PORTCULLIS_TEST_IS_NOT_SET")))
            .max_at_once(0)
            .wait_at_most(Duration::from_secs(11)),
    );
    let places: Vec<_> = found.iter().map(|fault| fault.split(": ").next().unwrap()).collect();
    assert_eq!(
        places,
        ["keys[1].kid", "keys[2].kid", "keys[3].pem", "max_at_once", "wait_at_most"],
        "{found:?}"
    );
    let none = faults(&Decryption::new());
    assert!(none.len() == 1 && none[0].contains("name a key, with `.key(...)`"), "{none:?}");
    let many = (0..17).fold(Decryption::new(), |all, n| all.key(nameless().kid(n.to_string())));
    assert_eq!(faults(&many).len(), 1, "17 keys");
    for (max_at_once, wait, expected) in [
        (1, Duration::from_millis(1), 0),
        (1024, Duration::from_secs(10), 0),
        (1025, Duration::from_secs(1), 1),
        (1, Duration::ZERO, 1),
    ] {
        let bounds = Decryption::new().key(nameless()).max_at_once(max_at_once).wait_at_most(wait);
        assert_eq!(faults(&bounds).len(), expected, "{max_at_once} {wait:?}");
    }
}

/// Nothing prints a key or a content, and an error prints nothing of a token.
#[test]
fn secrets_are_not_printed() {
    let jwk: Value = serde_json::from_str(&RSA.private_jwk()).unwrap();
    let decryption = Decryption::new().key(RSA.decryption_key());
    let decryptor: Decryptor = decryption.build().unwrap();
    let pem = RSA.pem();
    let printed = format!(
        "{decryption:?} {decryptor:?} {:?} {:?} {:?} {}",
        *RSA,
        RSA.seal(INNER),
        DECRYPTOR.decrypt("a.b.c.d.e"),
        DecryptError::Undecryptable,
    );
    for secret in [jwk["d"].as_str().unwrap(), jwk["p"].as_str().unwrap(), INNER, &pem[40..80]] {
        assert!(!printed.contains(secret), "{printed}");
    }
    assert!(printed.contains("\"rsa\""), "{printed}");
}
