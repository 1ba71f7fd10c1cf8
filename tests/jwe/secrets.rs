//! AUTH-22: what is logged and printed holds no key, no token, and nothing of what was in an envelope.

use portcullis::jose::{Algorithm, base64url};
use portcullis::testing::{ClientKey, TestKey};
use portcullis::{Dpop, Rejection, RejectionKind as Kind};
use serde_json::Value;

use crate::support::{Log, PRIVATE, bearer, present, printed, printed_error, send};
use crate::world::{World, decryption, seal, with_another_tag};
use crate::{EC, RSA, WRAPPED};

/// Pieces of a text that are found in nothing else.
fn pieces(text: &str) -> impl Iterator<Item = &str> {
    (0..text.len().saturating_sub(15)).step_by(4).filter_map(|at| text.get(at..at + 16))
}

/// What is found of these secrets.
fn found<'a>(text: &str, secrets: &'a [String]) -> Option<&'a str> {
    secrets.iter().flat_map(|secret| pieces(secret)).find(|piece| text.contains(piece))
}

#[tokio::test]
async fn neither_what_was_encrypted_nor_a_key_is_printed() {
    // Tokens are opened on threads of their own.
    let log = Log::of_all_threads();
    tokio::task::spawn_blocking(|| tracing::trace!("the log works")).await.unwrap();
    assert!(log.take().contains("the log works"));

    let world = World::with(|builder| builder.decryption(decryption()).dpop(Dpop::new()));
    let client = ClientKey::generate(Algorithm::Es256, &world.clock);
    // An access prints its subject, and this one is everybody's.
    let marked =
        || world.token().claim("jti", PRIVATE).claim("email", format!("{PRIVATE}@mail.example"));
    let good = marked().sign();
    let stranger = TestKey::generate(Algorithm::Es256, "k1");
    let bound = marked().claim("cnf", client.confirmation()).sign();
    let rows = [
        (good.clone(), seal(&good), None),
        (good.clone(), RSA.seal(&good).encrypt(), None),
        (good.clone(), WRAPPED.seal(&good).encrypt(), None),
        (good.clone(), with_another_tag(&seal(&good)), Some(Kind::Undecryptable)),
        (
            good.clone(),
            EC.seal(&good).header("zip", "DEF").encrypt(),
            Some(Kind::EncryptionNotAccepted),
        ),
        (
            good.clone(),
            EC.seal(&good).header("kid", PRIVATE).encrypt(),
            Some(Kind::EncryptionNotAccepted),
        ),
    ];
    let wrong = [
        (marked().payload(), Kind::Undecryptable),
        (format!("{PRIVATE}-opaque-content"), Kind::Undecryptable),
        (seal(&good), Kind::Undecryptable),
        (marked().tampered(), Kind::BadSignature),
        (marked().sign_with(&stranger), Kind::BadSignature),
        (marked().without("exp").sign(), Kind::MissingClaim),
        (marked().claim("aud", "https://b.example").sign(), Kind::WrongAudience),
        (bound, Kind::BearerDowngrade),
    ];
    let wrong = wrong.into_iter().map(|(inner, kind)| (inner.clone(), seal(&inner), Some(kind)));

    let mut secrets: Vec<String> = [&*RSA, &*EC, &*WRAPPED]
        .into_iter()
        .flat_map(|key| {
            let jwk: Value = serde_json::from_str(&key.private_jwk()).unwrap();
            let members = ["d", "p", "q", "dp", "dq", "qi"];
            let members = members.into_iter().filter_map(|name| jwk[name].as_str());
            let pem = key.pem();
            let lines = pem.lines().filter(|line| !line.starts_with('-'));
            // All PKCS#8 keys of a kind begin alike.
            let lines: Vec<_> = lines.skip(1).map(str::to_owned).collect();
            members.map(str::to_owned).chain(lines).collect::<Vec<_>>()
        })
        .collect();
    let (mut whole, mut texts) = (Vec::new(), Vec::new());
    for (inner, outer, kind) in rows.into_iter().chain(wrong) {
        let sent = send(&world.api.layer(), bearer(&outer)).await;
        assert_eq!(sent.kind(), kind);
        let mut text = printed(&sent.response);
        if let Some(rejection) = sent.response.extensions().get::<Rejection>() {
            text.push_str(&printed_error(rejection));
        }
        texts.extend([text, printed(&sent.access())]);
        // The parts of what was in the envelope, and what they say.
        whole.push(inner.clone());
        for part in inner.split('.') {
            let decoded = base64url::decode(part).ok();
            whole.extend(decoded.and_then(|part| String::from_utf8(part).ok()));
            secrets.push(part.to_owned());
        }
        // The parts of the envelope but the header.
        secrets.extend(outer.split('.').skip(1).map(str::to_owned));
    }
    let access = present(&world.api, &seal(&good)).await.unwrap();
    let guard = world.api.guard(portcullis::check::allow_all()).unwrap();
    texts.extend([
        printed(&access),
        printed(&guard),
        printed(&world.api),
        printed(&world.api.layer()),
        printed(&world.api.health()),
        world.api.effective_policy().to_string(),
        world.api.metadata().to_string(),
    ]);
    let logged = log.take();
    for kind in ["undecryptable", "encryption_not_accepted", "bad_signature", "missing_claim"] {
        assert!(logged.contains(&format!("kind=\"{kind}\"")), "{kind} is logged");
    }
    for text in texts.iter().chain([&logged]) {
        assert_eq!(found(text, &secrets), None, "{text}");
        assert!(!text.contains(PRIVATE), "{text}");
        let whole = whole.iter().find(|secret| secret.len() > 15 && text.contains(*secret));
        assert_eq!(whole, None, "{text}");
    }
    // The search finds what it looks for.
    for text in [EC.pem(), RSA.private_jwk(), good] {
        assert!(found(&text, &secrets).is_some(), "{text}");
    }
}
