//! What a file says of encrypted tokens (RFC 9068 §4): with the feature it is what they are held to, and
//! without it a fault that names the feature.

#[cfg(not(feature = "jwe"))]
pub(super) use without::whole;

#[cfg(feature = "jwe")]
pub(super) use with_feature::whole;

#[cfg(not(feature = "jwe"))]
mod without {
    use serde_json::{Value, json};

    use crate::{Directory, faults, least, with};

    pub(crate) fn whole(_: &Directory) -> Value {
        unreachable!("nothing can be said")
    }

    /// AT-12: whoever expects encrypted tokens learns at the start that this build reads none.
    #[test]
    fn encrypted_tokens_need_the_feature() {
        let keys = json!({ "keys": [{ "jwk": { "env": "CARGO_PKG_NAME" } }] });
        let only = with(least(), "/issuers/0/encrypted_only", json!(true));
        let tenants = json!({
            "at_most": 1, "issuers": [{ "id": "https://t.example", "encrypted_only": true }],
        });
        for (file, place) in [
            (with(least(), "/decryption", keys), "decryption"),
            (only, "issuers[0].encrypted_only"),
            (with(least(), "/tenants", tenants), "tenants.issuers[0].encrypted_only"),
        ] {
            let found = faults(&file);
            assert!(found.len() == 1 && found[0].0 == place, "{found:?}");
            assert!(found[0].1.contains("feature `jwe`"), "{found:?}");
        }
        assert_eq!(faults(&with(least(), "/issuers/0/encrypted_only", json!(false))), []);
        // It is read all the same, so that a file is good or bad with every build alike.
        let bad =
            json!({ "keys": [{ "jwk": { "env": "A" }, "algorithms": ["dir"] }], "wait": "1s" });
        let found = faults(&with(least(), "/decryption", bad));
        let places: Vec<_> = found.iter().map(|(place, _)| place.as_str()).collect();
        assert!(places.contains(&"decryption.keys[0].algorithms[0]"), "{found:?}");
        assert!(places.contains(&"decryption.wait"), "{found:?}");
    }
}

#[cfg(feature = "jwe")]
mod with_feature {
    use portcullis::jwe::{ContentEncryption, KeyManagement};
    use portcullis::testing::TestDecryptionKey;
    use portcullis::{RejectionKind as Kind, ResourceServer};
    use serde_json::{Value, json};

    use crate::support::{RESOURCE, present};
    use crate::{Desk, Directory, faults, least, with};

    /// Everything that can be said.
    pub(crate) fn whole(directory: &Directory) -> Value {
        let [one, two] = keys();
        json!({
            "keys": [
                {
                    "jwk": file(directory, "one.jwk", one.private_jwk()),
                    "kid": "first",
                    "algorithms": ["ECDH-ES+A256KW"],
                    "encryptions": ["A256GCM", "A256CBC-HS512"],
                },
                { "pem": file(directory, "two.pem", two.pem()), "kid": "second" },
            ],
            "max_at_once": 3,
            "wait_at_most": "750ms",
        })
    }

    fn keys() -> [TestDecryptionKey; 2] {
        [
            TestDecryptionKey::generate(KeyManagement::EcdhEsA256Kw, "one"),
            TestDecryptionKey::generate(KeyManagement::EcdhEs, "two"),
        ]
    }

    fn file(directory: &Directory, name: &str, text: String) -> Value {
        let path = directory.path(name);
        std::fs::write(&path, text).unwrap();
        json!({ "file": path })
    }

    async fn kind(api: &ResourceServer, token: &str) -> Option<Kind> {
        present(api, token).await.err().map(|refused| refused.kind())
    }

    /// AT-12: tokens to a key of the file are read; to no other, and not otherwise than it says.
    #[tokio::test]
    async fn tokens_are_decrypted_with_the_keys_of_the_file() {
        let directory = Directory::new();
        let [one, two] = keys();
        let key = |name: &str, of: &TestDecryptionKey| json!({ "jwk": file(&directory, name, of.private_jwk()) });
        let (mine, other) = (key("one.jwk", &one), key("two.jwk", &two));
        let pem = json!({ "pem": file(&directory, "one.pem", one.pem()) });
        let narrowed = |member: &str, value: &str| {
            let mut key = pem.clone();
            key[member] = json!([value]);
            json!([key])
        };
        for (name, keys, passes) in [
            ("a JWK", json!([mine]), true),
            ("a PEM", json!([pem]), true),
            ("two", json!([other, mine]), true),
            ("another", json!([other]), false),
            ("its algorithm", narrowed("algorithms", "ECDH-ES+A256KW"), true),
            ("another algorithm", narrowed("algorithms", "ECDH-ES"), false),
            ("its encryption", narrowed("encryptions", "A256GCM"), true),
            ("another encryption", narrowed("encryptions", "A128GCM"), false),
        ] {
            let desk = Desk::new(&with(least(), "/decryption", json!({ "keys": keys }))).await;
            let token = desk.issuer.token(RESOURCE).sign();
            assert_eq!(kind(&desk.api, &token).await, None, "{name}");
            let sealed = one.encrypt(&token, ContentEncryption::A256Gcm);
            assert_eq!(kind(&desk.api, &sealed).await.is_none(), passes, "{name}");
        }
        // Without the section none are.
        let desk = Desk::new(&least()).await;
        let sealed = one.encrypt(&desk.issuer.token(RESOURCE).sign(), ContentEncryption::A256Gcm);
        assert!(kind(&desk.api, &sealed).await.is_some());
    }

    /// AT-11: an issuer that encrypts its tokens is not believed to have written another one.
    #[tokio::test]
    async fn an_issuer_can_be_held_to_encryption() {
        let directory = Directory::new();
        let [one, _] = keys();
        let keys = json!([{ "jwk": file(&directory, "one.jwk", one.private_jwk()) }]);
        let file = with(least(), "/decryption", json!({ "keys": keys }));
        for only in [false, true] {
            let desk =
                Desk::new(&with(file.clone(), "/issuers/0/encrypted_only", json!(only))).await;
            let token = desk.issuer.token(RESOURCE).sign();
            assert_eq!(kind(&desk.api, &token).await.is_some(), only);
            let sealed = one.encrypt(&token, ContentEncryption::A256Gcm);
            assert_eq!(kind(&desk.api, &sealed).await, None);
        }
    }

    #[test]
    fn each_fault_is_told_at_its_place() {
        let directory = Directory::new();
        let [one, two] = keys();
        let jwk = file(&directory, "one.jwk", one.private_jwk());
        let pem = file(&directory, "two.pem", two.pem());
        let of_key = |members: Value| json!({ "keys": [members] });
        for (decryption, places) in [
            (whole(&directory), &[][..]),
            (json!({}), &["decryption.keys"]),
            (json!({ "keys": [] }), &["decryption.keys"]),
            (json!({ "keys": "one" }), &["decryption.keys"]),
            (json!(true), &["decryption"]),
            (json!([["x"]]), &["decryption"]),
            (of_key(json!({})), &["decryption.keys[0]"]),
            (of_key(json!({ "kid": "one" })), &["decryption.keys[0]"]),
            (of_key(json!({ "jwk": jwk, "pem": pem })), &["decryption.keys[0].jwk"]),
            (of_key(json!({ "jwk": "{}" })), &["decryption.keys[0].jwk"]),
            (of_key(json!({ "jwk": { "env": "PORTCULLIS_UNSET" } })), &["decryption.keys[0].jwk"]),
            (of_key(json!({ "pem": { "env": "CARGO_PKG_NAME" } })), &["decryption.keys[0].pem"]),
            (of_key(json!({ "jwk": jwk, "kid": "" })), &["decryption.keys[0].kid"]),
            (of_key(json!({ "jwk": jwk, "kty": "EC" })), &["decryption.keys[0].kty"]),
            (
                of_key(json!({ "jwk": jwk, "algorithms": ["RSA1_5"] })),
                &["decryption.keys[0].algorithms[0]"],
            ),
            (
                of_key(json!({ "jwk": jwk, "algorithms": ["RSA-OAEP-256"] })),
                &["decryption.keys[0].algorithms"],
            ),
            (
                of_key(json!({ "jwk": jwk, "encryptions": ["A192GCM"] })),
                &["decryption.keys[0].encryptions[0]"],
            ),
            (
                json!({ "keys": [{ "jwk": jwk }, { "jwk": jwk }, { "pem": pem }] }),
                &["decryption.keys[1].kid", "decryption.keys[2].kid"],
            ),
            (json!({ "keys": [{ "jwk": jwk }], "max_at_once": 0 }), &["decryption.max_at_once"]),
            (
                json!({ "keys": [{ "jwk": jwk }], "max_at_once": "all" }),
                &["decryption.max_at_once"],
            ),
            (
                json!({ "keys": [{ "jwk": jwk }], "wait_at_most": "11s" }),
                &["decryption.wait_at_most"],
            ),
            (json!({ "keys": [{ "jwk": jwk }], "wait_at_most": 1 }), &["decryption.wait_at_most"]),
            (json!({ "keys": [{ "jwk": jwk }], "timeout": "1s" }), &["decryption.timeout"]),
        ] {
            let file = with(least(), "/decryption", decryption.clone());
            // What an issuer needs is there, and not readable.
            for file in [file.clone(), with(file, "/issuers/0/encrypted_only", json!(true))] {
                let found = faults(&file);
                let at: Vec<_> = found.iter().map(|(at, _)| at.as_str()).collect();
                assert_eq!(at, places, "{decryption}: {found:?}");
                assert!(!format!("{found:?}").contains("\"d\""), "{found:?}");
            }
        }
        let only = with(least(), "/issuers/0/encrypted_only", json!(true));
        assert_eq!(faults(&only)[0].0, "issuers[0].encrypted_only", "its twin, without any");
        let tenant = json!({ "id": "https://t.example", "encrypted_only": true });
        let tenants = json!({ "at_most": 1, "issuers": [tenant] });
        let file = with(least(), "/tenants", tenants);
        assert_eq!(faults(&file)[0].0, "tenants.issuers[0].encrypted_only");
        let keys = json!({ "keys": [{ "jwk": jwk }] });
        assert_eq!(faults(&with(file, "/decryption", keys)), []);
    }
}
