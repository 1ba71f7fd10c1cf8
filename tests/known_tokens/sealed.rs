//! Encrypted tokens: known by their envelope, as it was written.

use portcullis::RejectionKind as Kind;
use portcullis::jwe::{ContentEncryption, Decryption, KeyManagement};
use portcullis::revocation::{Record, Revocation};
use portcullis::testing::{ManualClock, TestDecryptionKey, TestIssuer};

use crate::pair::{MINUTE, Pair};
use crate::support::ISSUER;

/// RFC 9068 §4: a known envelope is what was in it, and all else is decided anew; another envelope of the same
/// token, and the token without one, are by themselves. Where tokens need no envelope none is kept: whoever has
/// a token could fill the room with envelopes of it.
#[tokio::test]
async fn a_known_envelope_is_decided_as_what_was_in_it() {
    for encrypted_only in [false, true] {
        let clock = ManualClock::new();
        let issuer = TestIssuer::new(ISSUER, &clock);
        let key = TestDecryptionKey::generate(KeyManagement::EcdhEs, "ec");
        let pair = Pair::of(clock, issuer, |builder, issuer| {
            let issuer = match encrypted_only {
                true => issuer.fixed_keys().encrypted_only(),
                false => issuer.fixed_keys(),
            };
            let decryption = Decryption::new().key(key.decryption_key());
            builder.issuer(issuer).decryption(decryption).revocation(Revocation::new())
        });
        let inner = pair.token().claim("jti", "t-1").expires_at(pair.now().plus(5 * MINUTE)).sign();
        let seal = |inner: &str| key.encrypt(inner, ContentEncryption::A256Gcm);
        let (sealed, again) = (seal(&inner), seal(&inner));
        let twin = seal(&pair.token().sign());
        for token in [&sealed, &again, &twin] {
            match encrypted_only {
                true => pair.knows(token).await,
                false => {
                    assert_eq!(pair.kind(token).await, None);
                    assert_eq!(pair.known(), 0);
                }
            }
        }
        let bare = pair.kind(&inner).await;
        assert_eq!(bare, encrypted_only.then_some(Kind::NotEncrypted), "an envelope is no licence");

        for place in (0..sealed.len()).step_by(7) {
            let mut changed = sealed.clone().into_bytes();
            changed[place] = if changed[place] == b'A' { b'B' } else { b'A' };
            let changed = String::from_utf8(changed).unwrap();
            assert!(pair.kind(&changed).await.is_some(), "{place}");
        }
        let known = pair.known();
        pair.revoke(Record::token(ISSUER, "t-1", pair.now())).await;
        for token in [&sealed, &again] {
            assert_eq!(pair.kind(token).await, Some(Kind::Revoked));
        }
        assert_eq!(pair.known(), if encrypted_only { known - 2 } else { known });
        assert_eq!(pair.kind(&twin).await, None);
        pair.advance(60 * MINUTE).await;
        assert_eq!(pair.kind(&twin).await, Some(Kind::Expired));
    }
}
