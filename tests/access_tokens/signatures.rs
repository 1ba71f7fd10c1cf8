//! Signatures: one form for each algorithm.

use std::time::Duration;

use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, SHA256, SHA512, digest};
use portcullis::RejectionKind as Kind;
use portcullis::jose::{Algorithm, base64url};
use portcullis::testing::{ManualClock, TestIssuer, TestKey, TokenBuilder};
use portcullis::time::{Clock as _, Timestamp};
use rsa::sha2::{Sha256, Sha512};
use rsa::{Pkcs1v15Sign, Pss};
use serde_json::json;

use crate::support::Wants::Pass;
use crate::support::{
    ISSUER, RESOURCE, Random, RsaPair, Wants, World, builder, check_rows, compact, parts, row,
};

/// JWS-27: R and S of fixed width, on the curve of the algorithm.
#[tokio::test]
async fn an_ecdsa_signature_has_one_form() {
    for (algorithm, width) in
        [(Algorithm::Es256, 32), (Algorithm::Es384, 48), (Algorithm::Es512, 66)]
    {
        let clock = ManualClock::new();
        let issuer = TestIssuer::with_algorithm(ISSUER, &clock, algorithm);
        let api =
            builder(&clock).issuer(issuer.fixed_keys().algorithms([algorithm])).build().unwrap();
        let key = issuer.key();
        // A signature of whose R the first octet is zero (of P-521 it mostly is).
        let (input, signature) = (0..)
            .map(|_| issuer.token(RESOURCE).signing_input())
            .map(|input| (input.clone(), key.sign(input.as_bytes())))
            .find(|(_, signature)| signature[0] == 0)
            .unwrap();
        assert_eq!(signature.len(), 2 * width);
        let (r, s) = signature.split_at(width);
        let of = |name: &str, signature: &[u8], wants: Wants| {
            row("JWS-27", format!("{algorithm}: {name}"), compact(&input, signature), wants)
        };
        let bad = Kind::BadSignature.into();
        let zero = vec![0; width];
        let mut other_curve = signature.clone();
        other_curve.resize(if width == 32 { 96 } else { 64 }, 1);
        #[rustfmt::skip]
        let mut rows = vec![
            of("R and S", &signature, Pass),
            of("DER", &der(r, s), bad),
            of("without R's leading zero", &signature[1..], bad),
            of("one octet less", &signature[..2 * width - 1], bad),
            of("one octet more", &[&signature[..], &[0]].concat(), bad),
            of("one octet more before", &[&[0], &signature[..]].concat(), bad),
            of("R alone", r, bad),
            of("the length of another curve", &other_curve, bad),
            of("S and R", &[s, r].concat(), bad),
            of("R zero", &[&zero, s].concat(), bad),
            of("S zero", &[r, &zero].concat(), bad),
            of("both zero", &[&zero[..], &zero].concat(), bad),
        ];
        // JWS-27: the curve is the algorithm's.
        let alien =
            TestKey::generate(if width == 32 { Algorithm::Es384 } else { Algorithm::Es256 }, "k1");
        let token = issuer.token(RESOURCE).sign_with(&alien);
        rows.push(row("JWS-27", format!("{algorithm}: another curve's key"), token, bad));
        check_rows(&api, rows).await;
    }
}

/// `ECDSA-Sig-Value` of X.509.
fn der(r: &[u8], s: &[u8]) -> Vec<u8> {
    let integer = |octets: &[u8]| {
        let start = octets.iter().position(|octet| *octet != 0).unwrap();
        let mut value = octets[start..].to_vec();
        if value[0] >= 0x80 {
            value.insert(0, 0);
        }
        [&[2, u8::try_from(value.len()).unwrap()], &value[..]].concat()
    };
    let body = [integer(r), integer(s)].concat();
    let length = u8::try_from(body.len()).unwrap();
    let head = if length < 0x80 { vec![0x30, length] } else { vec![0x30, 0x81, length] };
    [head, body].concat()
}

/// JWS-28, JWS-29: the padding is the algorithm's.
#[tokio::test]
async fn an_rsa_signature_has_the_padding_of_its_algorithm() {
    const SHA1: &[u8] = &[0x30, 0x21, 0x30, 9, 6, 5, 0x2b, 0x0e, 3, 2, 0x1a, 5, 0, 4, 20];
    let rsa = RsaPair::generate();
    let private = rsa.private();
    let clock = ManualClock::new();
    let issuer = TestIssuer::new(ISSUER, &clock);
    issuer.publish(rsa.jwk("rs", Some("RS256")));
    issuer.publish(rsa.jwk("ps", Some("PS256")));
    let api = builder(&clock).issuer(issuer.fixed_keys()).build().unwrap();
    let input = |kid: &str, alg: &str| {
        issuer.token(RESOURCE).header("kid", kid).header("alg", alg).signing_input()
    };
    let pss = |name: &str, salt: usize, wants: Wants| {
        let input = input("ps", "PS256");
        let hash = digest(&SHA256, input.as_bytes());
        let scheme = Pss::new_with_salt::<Sha256>(salt);
        let signature = private.sign_with_rng(&mut Random, scheme, hash.as_ref()).unwrap();
        row("JWS-28", name, compact(&input, signature), wants)
    };
    let pkcs1 = |name: &str,
                 scheme: Pkcs1v15Sign,
                 hash: &'static aws_lc_rs::digest::Algorithm,
                 wants: Wants| {
        let input = input("rs", "RS256");
        let hash = digest(hash, input.as_bytes());
        let signature = private.sign(scheme, hash.as_ref()).unwrap();
        row("JWS-29", name, compact(&input, signature), wants)
    };
    let sha1 = Pkcs1v15Sign { hash_len: Some(20), prefix: SHA1.into() };
    let bad = Kind::BadSignature.into();
    let pss512 = {
        let input = input("ps", "PS256");
        let hash = digest(&SHA512, input.as_bytes());
        let scheme = Pss::new_with_salt::<Sha512>(64);
        compact(&input, private.sign_with_rng(&mut Random, scheme, hash.as_ref()).unwrap())
    };
    #[rustfmt::skip]
    let rows = [
        pss("a salt of 32 octets", 32, Pass),
        pss("a salt of 20 octets", 20, bad),
        pss("no salt", 0, bad),
        pss("the longest salt", 222, bad),
        row("JWS-28", "SHA-512", pss512, bad),
        pkcs1("SHA-256", Pkcs1v15Sign::new::<Sha256>(), &SHA256, Pass),
        pkcs1("SHA-512", Pkcs1v15Sign::new::<Sha512>(), &SHA512, bad),
        pkcs1("SHA-1", sha1, &SHA1_FOR_LEGACY_USE_ONLY, bad),
        pkcs1("a hash without its name", Pkcs1v15Sign::new_unprefixed(), &SHA256, bad),
    ];
    check_rows(&api, rows).await;
}

/// AT-03, AT-13: each bit of the token is signed.
#[tokio::test]
async fn nothing_of_a_token_can_be_changed() {
    let world = World::new().await;
    let good = world.token().scope("notes:read").sign();
    let other = world.token().scope("notes:write").sign();
    let [header, payload, signature] = parts(&good);
    let [_, other_payload, other_signature] = parts(&other);
    let other_header = base64url::encode(r#"{"alg":"ES256","typ":"at+jwt","kid":"k1","x":1}"#);
    #[rustfmt::skip]
    let rows = [
        row("AT-13", "as it is", good.clone(), Pass),
        row("AT-13", "another's payload", format!("{header}.{other_payload}.{signature}"), Kind::BadSignature),
        row("AT-13", "another's signature", format!("{header}.{payload}.{other_signature}"), Kind::BadSignature),
        row("AT-13", "another header", format!("{other_header}.{payload}.{signature}"), Kind::BadSignature),
        row("AT-13", "one bit", world.token().tampered(), Kind::BadSignature),
        row(
            "AT-13",
            "a key of nobody",
            world
                .token()
                .sign_with(&TestKey::generate(Algorithm::Es256, "k1")),
            Kind::BadSignature,
        ),
    ];
    world.check(rows).await;
}

/// ASVS-01: what an unsigned token says of itself is not told from what a signed one says.
#[tokio::test]
async fn the_signature_comes_before_the_claims() {
    let world = World::new().await;
    let past = world.clock.now().minus(Duration::from_hours(2));
    type Wrong = fn(TokenBuilder, Timestamp) -> TokenBuilder;
    #[rustfmt::skip]
    let wrong: [(&str, Wrong, Kind); 7] = [
        ("expired", |t, past| t.issued_at(past).expires_at(past.plus(Duration::from_mins(5))), Kind::Expired),
        ("another audience", |t, _| t.claim("aud", "https://other.example"), Kind::WrongAudience),
        ("no jti", |t, _| t.without("jti"), Kind::MissingClaim),
        ("a malformed exp", |t, _| t.claim("exp", "x"), Kind::MalformedClaim),
        ("a cnf", |t, _| t.claim("cnf", json!({})), Kind::SenderNotProven),
        ("events", |t, _| t.claim("events", json!({})), Kind::OtherTokenKind),
        ("a long life", |t, past| t.issued_at(past), Kind::LifetimeTooLong),
    ];
    let mut rows = vec![row("ASVS-01", "good", world.token().sign(), Pass)];
    for (name, change, kind) in wrong {
        let token = || change(world.token(), past);
        rows.push(row("ASVS-01", name, token().sign(), kind));
        rows.push(row(
            "ASVS-01",
            format!("{name}, tampered"),
            token().tampered(),
            Kind::BadSignature,
        ));
    }
    world.check(rows).await;
}
