//! What was agreed on with an issuer: whether it encrypts, and to which keys.

use portcullis::issuer::TenantList;
use portcullis::jwe::{ContentEncryption, Decryption, KeyManagement};
use portcullis::testing::{ManualClock, TestDecryptionKey, TestIssuer, TestNetwork};
use portcullis::{ConfigFault, RejectionKind as Kind, assert_challenge};

use crate::support::{ISSUER, RESOURCE, bearer, builder, send};
use crate::world::{World, decryption, seal};

/// AT-12, JWS-35: without keys five parts stay what they were.
#[tokio::test]
async fn without_keys_an_encrypted_token_is_refused() {
    let world = World::with(|builder| builder);
    let token = world.sealed();
    let told = world.told(&token).await;
    assert_eq!((told.kind, told.status), (Kind::EncryptedToken, 401));
    assert_challenge!(world.send(&token).await.response, 401, "Bearer", error = "invalid_token");
    let with_keys = World::new();
    assert_eq!(with_keys.kind(&with_keys.sealed()).await, None);
    assert_eq!(world.kind(&world.token().sign()).await, None);
}

/// AT-11: where encryption was agreed on, a token that is not encrypted is refused; elsewhere it is not.
#[tokio::test]
async fn an_issuer_that_encrypts_is_not_believed_without() {
    let plain = World::new();
    for token in [plain.token().sign(), plain.sealed()] {
        assert_eq!(plain.kind(&token).await, None, "the twin takes both");
    }
    let clock = ManualClock::new();
    let [issuer, other] = [ISSUER, "https://b.example"].map(|id| TestIssuer::new(id, &clock));
    let api = builder(&clock)
        .issuer(issuer.fixed_keys().encrypted_only())
        .issuer(other.fixed_keys())
        .decryption(decryption())
        .build()
        .unwrap();
    let kind = async |token: &str| send(&api.layer(), bearer(token)).await.kind();
    let bare = issuer.token(RESOURCE).sign();
    let refused = send(&api.layer(), bearer(&bare)).await;
    assert_eq!(refused.kind(), Some(Kind::NotEncrypted));
    assert_challenge!(refused.response, 401, "Bearer", error = "invalid_token");
    // A good signature makes no difference, nor does a bad one.
    assert_eq!(kind(&issuer.token(RESOURCE).tampered()).await, Some(Kind::NotEncrypted));
    assert_eq!(kind(&seal(&bare)).await, None);
    let forged = seal(&issuer.token(RESOURCE).tampered());
    assert_eq!(kind(&forged).await, Some(Kind::BadSignature));
    // Another issuer has agreed on nothing.
    assert_eq!(kind(&other.token(RESOURCE).sign()).await, None);
    assert_eq!(kind(&seal(&other.token(RESOURCE).sign())).await, None);
}

/// AT-11: to want encryption without a key is a fault; with one it is none. A fault of a key has its place.
#[test]
fn encryption_without_a_key_is_a_fault() {
    let clock = ManualClock::new();
    let issuer = TestIssuer::new(ISSUER, &clock);
    let wants = || builder(&clock).issuer(issuer.fixed_keys().encrypted_only());
    let error = wants().build().unwrap_err();
    let places: Vec<_> = error.places().collect();
    assert!(
        matches!(&places[..], [("issuers[0].encrypted_only", ConfigFault::Decryption(_))]),
        "{error}"
    );
    assert!(wants().decryption(decryption()).build().is_ok());
    let error = wants().decryption(Decryption::new()).build().unwrap_err();
    let places: Vec<_> = error.places().map(|(place, _)| place.to_owned()).collect();
    assert_eq!(places, ["decryption.keys"]);
}

/// AT-11: a tenant is an issuer like others; one that wants encryption, of a server without keys, has no
/// token that passes.
#[tokio::test]
async fn a_tenant_can_want_encryption() {
    for keys in [true, false] {
        let clock = ManualClock::new();
        let [issuer, other] =
            ["https://t0.example", "https://t1.example"].map(|id| TestIssuer::new(id, &clock));
        let tenants = TenantList::new();
        tenants.add(issuer.jwks().encrypted_only()).unwrap();
        tenants.add(other.jwks()).unwrap();
        let network = TestNetwork::of(&[&issuer, &other]);
        let builder = builder(&clock).tenants(tenants, 10).transport(network);
        let builder = if keys { builder.decryption(decryption()) } else { builder };
        let api = builder.build().unwrap();
        let kind = async |token: &str| send(&api.layer(), bearer(token)).await.kind();
        let (bare, of_other) = (issuer.token(RESOURCE).sign(), other.token(RESOURCE).sign());
        assert_eq!(kind(&bare).await, Some(Kind::NotEncrypted));
        assert_eq!(kind(&of_other).await, None);
        let refused = (!keys).then_some(Kind::EncryptedToken);
        assert_eq!(kind(&seal(&bare)).await, refused);
        assert_eq!(kind(&seal(&of_other)).await, refused);
    }
}

/// Two keys, the old one beside the new one; when the old one goes, so do its tokens, and a token that was
/// encrypted to the one key under the other's name is undecryptable.
#[tokio::test]
async fn keys_are_rotated() {
    let old = TestDecryptionKey::generate(KeyManagement::EcdhEs, "2025");
    let new = TestDecryptionKey::generate(KeyManagement::RsaOaep256, "2026");
    let of = |keys: &[&TestDecryptionKey]| {
        let all = keys.iter().fold(Decryption::new(), |all, key| all.key(key.decryption_key()));
        World::with(|builder| builder.decryption(all))
    };
    for (name, world, takes_old, takes_new) in [
        ("before", of(&[&old]), true, false),
        ("between", of(&[&new, &old]), true, true),
        ("after", of(&[&new]), false, true),
    ] {
        let bare = world.token().sign();
        for (key, takes) in [(&old, takes_old), (&new, takes_new)] {
            let found = world.kind(&key.encrypt(&bare, ContentEncryption::A256CbcHs512)).await;
            let wanted = (!takes).then_some(Kind::EncryptionNotAccepted);
            assert_eq!(found, wanted, "{name} {}", key.kid());
        }
    }
    let both = of(&[&old, &new]);
    let impostor = TestDecryptionKey::generate(KeyManagement::EcdhEs, "2025");
    let token = impostor.encrypt(&both.token().sign(), ContentEncryption::A256Gcm);
    assert_eq!(both.kind(&token).await, Some(Kind::Undecryptable));
}
