//! What a server decides about encrypted tokens: what is in the envelope takes the full path.

use std::time::Duration;

use http::Request;
use portcullis::check::scope;
use portcullis::credentials::MAX_TOKEN;
use portcullis::jose::{Algorithm, MAX_HEADER};
use portcullis::jwe::{ContentEncryption, KeyManagement};
use portcullis::testing::{TestDecryptionKey, TestIssuer, TestKey};
use portcullis::time::Clock as _;
use portcullis::{Access, Policy, RejectionKind as Kind, assert_challenge};
use serde_json::{Value, json};

use crate::support::{RESOURCE, anonymous, bearer, compact, parts, present, send};
use crate::world::{World, decryption, seal, told, with_another_tag};
use crate::{EC, RSA, WRAPPED};

/// Everything that an access says.
fn said(access: &Access) -> Value {
    json!({
        "issuer": access.issuer().as_str(),
        "subject": access.subject().as_str(),
        "client": access.client_id().map(ToString::to_string),
        "id": access.jwt_id().map(ToString::to_string),
        "hash": format!("{:?}", access.token_hash()),
        "audiences": access.audiences().map(ToString::to_string).collect::<Vec<_>>(),
        "scopes": access.scopes().collect::<Vec<_>>(),
        "times": format!("{:?} {:?}", access.issued_at(), access.expires_at()),
        "authenticated": format!("{:?} {:?}", access.auth_time(), access.acr()),
        "actor": format!("{:?}", access.actor()),
        "claims": access.claims::<Value>().unwrap(),
        "binding": format!("{:?}", access.binding()),
        "key": format!("{:?} {:?}", access.key_thumbprint(), access.certificate()),
    })
}

/// AT-12: with each key and each encryption, the token in it gives what it gives without an envelope.
#[tokio::test]
async fn an_encrypted_token_gives_what_the_bare_one_gives() {
    let world = World::new();
    let bare = world.token().scope("a b").claim("acr", "phr").claim("email", "a@b.example").sign();
    let wanted = said(&present(&world.api, &bare).await.unwrap());
    assert_eq!(wanted["claims"]["email"], "a@b.example");
    for key in [&*RSA, &*EC, &*WRAPPED] {
        for encryption in ContentEncryption::ALL {
            let token = key.encrypt(&bare, *encryption);
            let name = format!("{} {encryption}", key.kid());
            let access = present(&world.api, &token).await.unwrap();
            assert_eq!(said(&access), wanted, "{name}");
            // The twin: the same octets with one bit changed at the end.
            let broken = world.kind(&with_another_tag(&token)).await;
            assert_eq!(broken, Some(Kind::Undecryptable), "{name}");
        }
    }
}

/// AT-12, JWS-35, attack 14: that it could be decrypted proves nothing. Each later step still refuses what
/// it refuses without an envelope, in the same words; the good one passes.
#[tokio::test]
async fn each_step_decides_about_what_is_inside() {
    let world = World::new();
    let good = world.token().sign();
    let [header, payload, signature] = parts(&good);
    let minutes = Duration::from_mins;
    let now = world.clock.now();
    let stranger = TestKey::generate(Algorithm::Es256, "k1");
    let elsewhere = TestIssuer::new("https://other.example", &world.clock);
    let none = world.token().header("alg", "none").signing_input();
    let of_envelope = EC.public_jwk().to_string();
    let rows = [
        ("tampered", world.token().tampered(), Kind::BadSignature),
        ("another key", world.token().sign_with(&stranger), Kind::BadSignature),
        ("junk", compact(&format!("{header}.{payload}"), [7; 64]), Kind::BadSignature),
        ("none with junk", compact(&none, "junk"), Kind::AlgorithmNotAllowed),
        ("none with a signature", format!("{none}.{signature}"), Kind::AlgorithmNotAllowed),
        (
            "HMAC by the public key of the envelope",
            world.token().sign_with_hmac(of_envelope.as_bytes()),
            Kind::AlgorithmNotAllowed,
        ),
        ("unknown key", world.token().header("kid", "x").sign(), Kind::UnknownKey),
        ("another issuer", elsewhere.token(RESOURCE).sign(), Kind::UnknownIssuer),
        ("no issuer", world.token().without("iss").sign(), Kind::UnknownIssuer),
        (
            "expired",
            world.token().issued_at(now.minus(minutes(9))).expires_at(now.minus(minutes(4))).sign(),
            Kind::Expired,
        ),
        ("no end", world.token().without("exp").sign(), Kind::MissingClaim),
        (
            "too early",
            world.token().claim("nbf", now.plus(minutes(5)).as_secs()).sign(),
            Kind::NotYetValid,
        ),
        (
            "lives long",
            world.token().expires_at(now.plus(minutes(61))).sign(),
            Kind::LifetimeTooLong,
        ),
        (
            "another audience",
            world.token().claim("aud", "https://b.example").sign(),
            Kind::WrongAudience,
        ),
        ("a proof", world.token().header("typ", "dpop+jwt").sign(), Kind::WrongType),
        ("an ID token", world.token().header("typ", "JWT").sign(), Kind::WrongType),
        ("an event", world.token().claim("events", json!({})).sign(), Kind::OtherTokenKind),
        ("compressed", world.token().header("zip", "DEF").sign(), Kind::UnsupportedHeader),
        ("critical", world.token().header("crit", ["x"]).sign(), Kind::UnsupportedHeader),
        ("no JSON", world.token().raw_payload("{").sign(), Kind::MalformedToken),
    ];
    for (name, inner, kind) in rows {
        let bare = world.told(&inner).await;
        assert_eq!((bare.kind, bare.status), (kind, 401), "{name}");
        for key in [&*RSA, &*EC] {
            let sealed = key.encrypt(&inner, ContentEncryption::A256Gcm);
            assert_eq!(world.told(&sealed).await, bare, "{name}, {}", key.kid());
        }
    }
    assert_eq!(world.kind(&seal(&good)).await, None);
    // The policy decides too.
    let layer = world.api.protect(scope("admin"));
    let refused = send(&layer, bearer(&world.sealed())).await;
    assert_challenge!(refused.response, 403, "Bearer", error = "insufficient_scope");
    let admin = seal(&world.token().scope("admin").sign());
    assert_eq!(send(&layer, bearer(&admin)).await.kind(), None);
}

/// AT-12, attacks 14 and 21, RFC 7516 §11.5: whatever is wrong behind the header, a client sees one
/// answer, octet for octet.
#[tokio::test]
async fn one_answer_for_whatever_is_wrong_in_an_envelope() {
    let world = World::new();
    let good = world.token().sign();
    let claims = world.token().payload();
    let [header, payload, signature] = parts(&good);
    let mut answers = Vec::new();
    for (key, management) in [
        (&*RSA, KeyManagement::RsaOaep256),
        (&*EC, KeyManagement::EcdhEs),
        (&*WRAPPED, KeyManagement::EcdhEsA256Kw),
    ] {
        let another = TestDecryptionKey::generate(management, key.kid());
        let (sealed, other) = (key.seal(&good).encrypt(), key.seal(&good).encrypt());
        let five: Vec<&str> = sealed.split('.').collect();
        let others: Vec<&str> = other.split('.').collect();
        let with = |at: usize, part: &str| {
            let mut parts = five.clone();
            parts[at] = part;
            parts.join(".")
        };
        let kid = key.kid();
        for (name, token) in [
            ("another key", another.seal(&good).encrypt()),
            ("another encrypted key", with(1, others[1])),
            ("another vector", with(2, others[2])),
            ("another ciphertext", with(3, others[3])),
            ("another tag", with(4, others[4])),
            ("a part of the tag", with(4, &five[4][..12])),
            ("no tag", with(4, "")),
            ("no ciphertext", with(3, "")),
            ("claims in the clear", key.seal(&claims).encrypt()),
            ("another envelope", key.seal(&sealed).encrypt()),
            ("nothing", key.seal("").encrypt()),
            ("an opaque token", key.seal("mF_9B5f41JqM").encrypt()),
            ("no signature", key.seal(format!("{header}.{payload}.")).encrypt()),
            ("two signatures", key.seal(format!("{good}.{signature}")).encrypt()),
            ("no text", key.seal([good.as_bytes(), &[0xff]].concat()).encrypt()),
            ("with a line", key.seal(format!("{good}\n")).encrypt()),
        ] {
            // The key of ECDH-ES has no octets to take from another token.
            if token == sealed {
                assert_eq!((name, kid), ("another encrypted key", "ec"));
                continue;
            }
            let told = world.told(&token).await;
            assert_eq!((told.kind, told.status), (Kind::Undecryptable, 401), "{name}, {kid}");
            answers.push((format!("{name}, {kid}"), told));
        }
        assert_eq!(world.kind(&sealed).await, None);
    }
    let (_, first) = &answers[0];
    let challenge = first.fields.iter().find(|(name, _)| name == "www-authenticate").unwrap();
    assert!(String::from_utf8_lossy(&challenge.1).contains(r#"error="invalid_token""#));
    for (name, told) in &answers {
        assert_eq!(told, first, "{name}");
    }
}

/// JWS-36, attack 21: what a header asks for and is not done is a bad token too, and its client is told
/// what it is told of one that cannot be decrypted.
#[tokio::test]
async fn a_header_that_is_not_accepted_is_a_bad_token() {
    let world = World::new();
    let good = world.token().sign();
    let undecryptable = world.told(&EC.seal("x").encrypt()).await;
    let bad = || EC.seal(&good);
    for (name, token) in [
        ("compressed", bad().header("zip", "DEF")),
        ("critical", bad().header("crit", ["exp"])),
        ("iterations", bad().header("p2c", 2_000_000_000_u64)),
        ("PBES2", bad().header("alg", "PBES2-HS256+A128KW")),
        ("dir", bad().header("alg", "dir")),
        ("RSA1_5", RSA.seal(&good).header("alg", "RSA1_5")),
        ("none", bad().header("alg", "none")),
        ("unknown key", bad().header("kid", "x")),
        ("no key", bad().without_header("kid")),
        ("not for the key", bad().header("kid", "rsa")),
        ("a content that is no JWT", bad().header("cty", "json")),
        ("twice", bad().repeated_header("alg", "\"ECDH-ES\"")),
        ("no header", bad().raw_header("{}")),
        ("no JSON", bad().raw_header("{")),
    ] {
        let told = world.told(&token.encrypt()).await;
        assert_eq!(told.kind, Kind::EncryptionNotAccepted, "{name}");
        let seen = (told.status, &told.fields, &told.body);
        let wanted = (undecryptable.status, &undecryptable.fields, &undecryptable.body);
        assert_eq!(seen, wanted, "{name}");
    }
    assert_eq!(world.kind(&bad().encrypt()).await, None);
    // What has not five parts is none: JWS-35.
    for token in ["a.b.c.d", "a.b.c.d.e.f", "eyJhIjowfQ.a.a.a"] {
        assert_eq!(world.kind(token).await, Some(Kind::MalformedToken), "{token}");
    }
}

/// The envelope has the bounds of a token, and so has what is in it.
#[tokio::test]
async fn the_envelope_and_what_is_in_it_are_bounded() {
    let world = World::new();
    let filled = |octets: usize| seal(&world.token().claim("x", "x".repeat(octets)).sign());
    let full = (8_000..9_000).map(filled).find(|token| token.len() > MAX_TOKEN - 3).unwrap();
    assert!((MAX_TOKEN - 2..=MAX_TOKEN).contains(&full.len()), "{}", full.len());
    assert_eq!(world.kind(&full).await, None);
    let long = filled(9_000);
    assert!(long.len() > MAX_TOKEN);
    let told = world.told(&long).await;
    assert_eq!((told.kind, told.status), (Kind::TokenTooLong, 400));

    // A smaller bound of the server is one of the envelope; the bare token is within it.
    let bare = world.token().sign();
    let bound = bare.len() + 50;
    let small = World::with(|builder| builder.decryption(decryption()).max_token_bytes(bound));
    assert_eq!(small.kind(&seal(&bare)).await, Some(Kind::TokenTooLong));
    assert_eq!(small.kind(&small.token().sign()).await, None);

    // The header in the envelope has its bound: beyond it there is no signed token.
    let with_header = |octets: usize| seal(&world.token().header("x", "x".repeat(octets)).sign());
    let within = MAX_HEADER / 4 * 3 - 60;
    assert_eq!(world.kind(&with_header(within - 200)).await, None);
    assert_eq!(world.kind(&with_header(within + 60)).await, Some(Kind::Undecryptable));
    // And so has the envelope's own.
    let of_envelope = |octets: usize| EC.seal(&bare).header("x", "x".repeat(octets)).encrypt();
    assert_eq!(world.kind(&of_envelope(4_000)).await, None);
    assert_eq!(world.kind(&of_envelope(within + 60)).await, Some(Kind::EncryptionNotAccepted));
}

/// AT-12: a layer, a guard and what can do without an access decide alike.
#[tokio::test]
async fn every_way_to_decide_gives_the_same() {
    let world = World::new();
    let guard = world.api.guard(scope("a")).unwrap();
    let layers = [
        world.api.protect(scope("a")),
        world.api.protect(Policy::new(scope("a")).optional()),
        guard.layer(),
    ];
    let good = world.token().scope("a").sign();
    let rows = [
        ("good", seal(&good), None),
        ("forged", seal(&world.token().scope("a").tampered()), Some(Kind::BadSignature)),
        ("claims", seal(&world.token().payload()), Some(Kind::Undecryptable)),
        ("scope", seal(&world.token().scope("b").sign()), Some(Kind::InsufficientScope)),
        (
            "header",
            EC.seal(&good).header("zip", "DEF").encrypt(),
            Some(Kind::EncryptionNotAccepted),
        ),
    ];
    let wanted = said(&guard.verify(&bearer(&good)).await.unwrap());
    for (name, token, kind) in rows {
        let request: Request<String> = bearer(&token);
        let mut answers = Vec::new();
        for layer in &layers {
            let sent = send(layer, bearer(&token)).await;
            if kind.is_some() {
                answers.push(told(&sent));
            }
            assert_eq!(sent.access().map(said), kind.is_none().then(|| wanted.clone()), "{name}");
        }
        assert!(answers.windows(2).all(|two| two[0] == two[1]), "{name}");
        let required = guard.verify(&request).await;
        let optional = guard.verify_optional(&request).await;
        match kind {
            None => {
                assert_eq!(said(&required.unwrap()), wanted);
                assert_eq!(said(&optional.unwrap().unwrap()), wanted);
            }
            Some(kind) => {
                assert_eq!(required.unwrap_err().kind(), kind, "{name}");
                assert_eq!(optional.unwrap_err().kind(), kind, "{name}");
            }
        }
    }
    let refused = guard.verify_optional(&anonymous()).await.unwrap_err();
    assert_eq!(refused.kind(), Kind::NoCredentials);
    let guard = world.api.guard(Policy::new(scope("a")).optional()).unwrap();
    assert_eq!(said(&guard.verify_optional(&bearer(&seal(&good))).await.unwrap().unwrap()), wanted);
    assert!(guard.verify_optional(&anonymous()).await.unwrap().is_none());
}
