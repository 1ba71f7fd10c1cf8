//! Spellings: a token is known as it was written, octet by octet, and in no other way.

use portcullis::RejectionKind as Kind;
use portcullis::jose::{Algorithm, base64url};

use crate::pair::Pair;
use crate::support::{compact, parts, respelled, with_field};

/// Attacks 25 (CVE-2026-35039: a key of a cache that two tokens share) and 38, JWS-03: whatever differs from
/// a known token in one character, at any place, is another token, and nobody signed it.
#[tokio::test]
async fn every_character_of_a_known_token_counts() {
    let pair = Pair::new().await;
    let token = pair.token().sign();
    pair.knows(&token).await;
    for place in 0..token.len() {
        let was = token.as_bytes()[place];
        let mut others = vec![b'A', b'z', b'_', b'.', was ^ 1, was ^ 0x20];
        others.retain(|other| *other != was && (b'!'..=b'~').contains(other));
        for other in others {
            let mut changed = token.clone().into_bytes();
            changed[place] = other;
            let changed = String::from_utf8(changed).unwrap();
            let kind = pair.kind(&changed).await;
            assert!(kind.is_some(), "{place}: {other}");
            assert_eq!(pair.known(), 1, "{place}: {other}");
        }
    }
    assert_eq!(pair.kind(&token).await, None, "and as it was");
}

/// Attack 38 (golang-jwt#502 and others: one signature with several spellings), JWS-03: unused bits, padding,
/// and what is left out or added.
#[tokio::test]
async fn another_spelling_of_a_known_token_is_no_token() {
    let pair = Pair::new().await;
    let mut token = pair.token();
    // Until no part ends with its last bits in use.
    let token = loop {
        let signed = token.sign();
        if parts(&signed).iter().all(|part| part.len() % 4 != 0) {
            break signed;
        }
        let payload = token.payload().len() + signed.len();
        token = token.claim("x", "y".repeat(payload % 7)).header("x5t", "A".repeat(payload % 5));
    };
    pair.knows(&token).await;
    let [header, payload, signature] = parts(&token);
    let octets = base64url::decode(signature).unwrap();
    let short = base64url::encode(&octets[..octets.len() - 1]);
    let spellings = [
        ("bits of the header", format!("{}.{payload}.{signature}", respelled(header))),
        ("bits of the payload", format!("{header}.{}.{signature}", respelled(payload))),
        ("bits of the signature", format!("{header}.{payload}.{}", respelled(signature))),
        ("padding", format!("{token}=")),
        ("more padding", format!("{token}==")),
        ("padding of the header", format!("{header}=.{payload}.{signature}")),
        ("an octet more", format!("{token}AA")),
        ("an octet less", format!("{header}.{payload}.{short}")),
        ("no signature", format!("{header}.{payload}.")),
        ("a part more", format!("{token}.")),
        ("a part before", format!(".{token}")),
        ("twice", format!("{token}.{token}")),
        ("upper case", token.to_ascii_uppercase()),
        ("lower case", token.to_ascii_lowercase()),
        ("the other way round", token.chars().rev().collect()),
    ];
    for (name, spelled) in &spellings {
        assert_ne!(*spelled, token, "{name}");
        assert!(pair.kind(spelled).await.is_some(), "{name}");
        assert_eq!(pair.known(), 1, "{name}");
    }
    assert_eq!(pair.kind(&token).await, None);
    // How the field is written around it is not of the token.
    for (field, expected) in [
        (format!("bEARER {token}"), None),
        (format!("Bearer   {token}"), None),
        (format!("Bearer {token} "), Some(Kind::MalformedCredentials)),
        (format!("Bearer {token},"), Some(Kind::MalformedCredentials)),
        (format!("Bearer\t{token}"), Some(Kind::MalformedCredentials)),
        (format!("Basic {token}"), Some(Kind::UnsupportedScheme)),
        (format!("DPoP {token}"), Some(Kind::UnsupportedScheme)),
    ] {
        let request = with_field("authorization", &field);
        assert_eq!(pair.kind_of(&request).await, expected, "{field:?}");
    }
    let mut twice = with_field("authorization", format!("Bearer {token}"));
    let field = twice.headers()["authorization"].clone();
    twice.headers_mut().append("authorization", field);
    assert_eq!(pair.kind_of(&twice).await, Some(Kind::SeveralCredentials));
}

/// Attack 38 (OWASP CheatSheetSeries#2235: a signature (r, n - s) is as good as (r, s)): it is another
/// spelling, and is verified by itself; so is what the issuer signs again.
#[tokio::test]
async fn another_signature_of_the_same_token_is_known_by_itself() {
    let pair = Pair::new().await;
    let builder = pair.token();
    let token = builder.sign();
    pair.knows(&token).await;
    let [header, payload, signature] = parts(&token);
    let octets = base64url::decode(signature).unwrap();
    let signed = p256::ecdsa::Signature::from_slice(&octets).unwrap();
    let (r, other_s) = (signed.r().to_bytes(), -*signed.s());
    let mirrored = p256::ecdsa::Signature::from_scalars(r, other_s).unwrap();
    let mirrored = compact(&format!("{header}.{payload}"), mirrored.to_bytes());
    assert_ne!(mirrored, token);
    pair.knows(&mirrored).await;
    let again = builder.sign();
    assert_ne!(again, token);
    pair.knows(&again).await;
    assert_eq!(pair.known(), 3);
}

/// Tokens of every algorithm are known, and none by the name of another algorithm.
#[tokio::test]
async fn a_known_token_is_of_its_algorithm() {
    for algorithm in [Algorithm::Rs256, Algorithm::Es384, Algorithm::EdDsa] {
        let pair = Pair::new().await;
        pair.issuer.rotate_to(algorithm);
        let builder = pair.token();
        let token = builder.sign();
        pair.knows(&token).await;
        for other in ["none", "HS256", "RS512"] {
            let changed = builder.clone().header("alg", other);
            let [_, _, signature] = parts(&token);
            let changed = format!("{}.{signature}", changed.signing_input());
            assert!(pair.kind(&changed).await.is_some(), "{algorithm} as {other}");
        }
        assert_eq!(pair.kind(&token).await, None, "{algorithm}");
    }
}
