//! What a header may say, and what refuses the token before any work.

use portcullis::credentials::MAX_TOKEN;
use portcullis::jose::MAX_HEADER;
use portcullis::jose::base64url;
use portcullis::jose::json::JsonError;
use portcullis::jwe::{
    ContentEncryption, DecryptError, Decryption, DecryptionKey, HeaderFault, KeyManagement,
};
use portcullis::secret::Secret;
use portcullis::testing::{EnvelopeBuilder, TestDecryptionKey};
use serde_json::{Value, json};

use super::{DECRYPTOR, EC, INNER, RSA, WRAPPED};

fn fault(token: &str) -> Option<HeaderFault> {
    match DECRYPTOR.decrypt(token) {
        Ok(inner) => {
            assert_eq!(inner, INNER);
            None
        }
        Err(DecryptError::Header(fault)) => Some(fault),
        Err(other) => panic!("{other}"),
    }
}

/// A change to a good token, and what it is refused for: `None` if it is good still.
type Row = (&'static str, fn(EnvelopeBuilder<'_>) -> EnvelopeBuilder<'_>, Option<HeaderFault>);

const TYPE: Option<HeaderFault> = Some(HeaderFault::Type);
const CONTENT: Option<HeaderFault> = Some(HeaderFault::ContentType);
const ALGORITHM: Option<HeaderFault> = Some(HeaderFault::Algorithm);
const ENCRYPTION: Option<HeaderFault> = Some(HeaderFault::Encryption);

const fn unsupported(name: &'static str) -> Option<HeaderFault> {
    Some(HeaderFault::Unsupported(name))
}

const ROWS: &[Row] = &[
    ("as it is", |token| token, None),
    ("cty absent", |token| token.without_header("cty"), None),
    ("cty jwt", |token| token.header("cty", "jwt"), None),
    ("cty at+jwt", |token| token.header("cty", "at+jwt"), None),
    ("cty with prefix", |token| token.header("cty", "Application/AT+JWT"), None),
    ("cty of claims", |token| token.header("cty", "json"), CONTENT),
    ("cty empty", |token| token.header("cty", ""), CONTENT),
    ("cty prefix alone", |token| token.header("cty", "application/"), CONTENT),
    ("cty null", |token| token.header("cty", ()), CONTENT),
    ("cty of an event", |token| token.header("cty", "secevent+jwt"), CONTENT),
    ("typ JWT", |token| token.header("typ", "JWT"), None),
    ("typ at+jwt", |token| token.header("typ", "at+jwt"), None),
    ("typ with prefix", |token| token.header("typ", "application/jwt"), None),
    ("typ of another token", |token| token.header("typ", "dpop+jwt"), TYPE),
    ("typ JOSE", |token| token.header("typ", "JOSE"), TYPE),
    ("typ number", |token| token.header("typ", 7), TYPE),
    ("zip DEF", |token| token.header("zip", "DEF"), unsupported("zip")),
    ("zip null", |token| token.header("zip", ()), unsupported("zip")),
    ("zip escaped", |token| token.raw_member("zip", "\"\\u0044EF\""), unsupported("zip")),
    ("crit", |token| token.header("crit", ["exp"]), unsupported("crit")),
    ("crit empty", |token| token.header("crit", [(); 0]), unsupported("crit")),
    ("b64", |token| token.header("b64", true), unsupported("b64")),
    ("p2c of 2^31", |token| token.header("p2c", 1_u64 << 31), unsupported("p2c")),
    ("p2s", |token| token.header("p2s", "c2FsdA"), unsupported("p2s")),
    ("alg absent", |token| token.without_header("alg"), ALGORITHM),
    ("alg none", |token| token.header("alg", "none"), ALGORITHM),
    ("alg dir", |token| token.header("alg", "dir"), ALGORITHM),
    ("alg RSA1_5", |token| token.header("alg", "RSA1_5"), ALGORITHM),
    ("alg RSA-OAEP", |token| token.header("alg", "RSA-OAEP"), ALGORITHM),
    ("alg A256KW", |token| token.header("alg", "A256KW"), ALGORITHM),
    ("alg of another case", |token| token.header("alg", "rsa-oaep-256"), ALGORITHM),
    ("alg PBES2", |token| token.header("alg", "PBES2-HS256+A128KW"), ALGORITHM),
    ("alg list", |token| token.header("alg", ["RSA-OAEP-256"]), ALGORITHM),
    ("enc absent", |token| token.without_header("enc"), ENCRYPTION),
    ("enc A192GCM", |token| token.header("enc", "A192GCM"), ENCRYPTION),
    ("enc A128CBC-HS256", |token| token.header("enc", "A128CBC-HS256"), ENCRYPTION),
    ("enc number", |token| token.header("enc", 256), ENCRYPTION),
    ("kid absent", |token| token.without_header("kid"), Some(HeaderFault::NoKeyId)),
    ("kid unknown", |token| token.header("kid", "other"), Some(HeaderFault::UnknownKey)),
    ("kid empty", |token| token.header("kid", ""), Some(HeaderFault::UnknownKey)),
    ("kid of another case", |token| token.header("kid", "RSA"), Some(HeaderFault::UnknownKey)),
    ("kid number", |token| token.header("kid", 7), Some(HeaderFault::KeyId)),
    ("jku", |token| token.header("jku", "https://evil.example/jwks"), None),
    ("x5u", |token| token.header("x5u", "https://evil.example/x5c"), None),
    ("jwk", |token| token.header("jwk", json!({"kty": "oct", "k": "AAAA"})), None),
    ("an unknown member", |token| token.header("x", [1]), None),
];

/// JWS-35, JWS-36, attacks 14 and 21: each header is refused for what is wrong with it, and its good
/// twins are decrypted.
#[test]
fn headers_are_judged_before_any_work() {
    for (name, change, expected) in ROWS {
        let token = change(RSA.seal(INNER)).encrypt();
        assert_eq!(fault(&token), *expected, "{name}");
    }
}

/// Attack 14: a member that is there twice is refused, wherever it is, also where both say the same.
#[test]
fn duplicate_members_are_refused() {
    let duplicate = Some(HeaderFault::Json(JsonError::Duplicate));
    for (name, value) in [("alg", "\"RSA-OAEP-256\""), ("kid", "\"rsa\""), ("\\u0061lg", "\"dir\"")]
    {
        let header =
            format!(r#"{{"alg":"RSA-OAEP-256","enc":"A256GCM","kid":"rsa","{name}":{value}}}"#);
        assert_eq!(fault(&RSA.seal(INNER).raw_header(header).encrypt()), duplicate, "{name}");
    }
    let inside = RSA.seal(INNER).raw_member("x", r#"{"a":1,"a":1}"#);
    assert_eq!(fault(&inside.encrypt()), duplicate);
    let twice = RSA.seal(INNER).repeated_header("enc", "\"A256GCM\"");
    assert_eq!(fault(&twice.encrypt()), duplicate);
    assert_eq!(fault(&RSA.seal(INNER).raw_member("x", r#"{"a":1,"b":1}"#).encrypt()), None);
}

/// JWS-35: five parts, each canonical base64url, the header an object of bounded length.
#[test]
fn the_form_is_that_of_a_compact_jwe() {
    let good = RSA.encrypt(INNER, ContentEncryption::A256Gcm);
    assert_eq!(fault(&good), None);
    let parts: Vec<&str> = good.split('.').collect();
    let with = |at: usize, text: &str| {
        let mut parts = parts.clone();
        parts[at] = text;
        parts.join(".")
    };
    let json = |fault| Some(HeaderFault::Json(fault));
    let long_header = format!("e{}", "A".repeat(MAX_HEADER));
    let most = "A".repeat(MAX_TOKEN);
    for (name, token, expected) in [
        ("empty", String::new(), Some(HeaderFault::Parts)),
        ("a signed token", INNER.to_owned(), Some(HeaderFault::Parts)),
        ("four parts", parts[..4].join("."), Some(HeaderFault::Parts)),
        ("six parts", format!("{good}."), Some(HeaderFault::Parts)),
        ("dots", ".".repeat(MAX_TOKEN), Some(HeaderFault::Parts)),
        ("too long", format!("{good}{most}"), Some(HeaderFault::TooLong)),
        ("no header", with(0, ""), Some(HeaderFault::HeaderLength)),
        ("a long header", with(0, &long_header), Some(HeaderFault::HeaderLength)),
        ("a header that is no object", with(0, "W10"), json(JsonError::NotAnObject)),
        ("a header that is no JSON", with(0, "e30x"), json(JsonError::NotAnObject)),
        ("a header with padding", with(0, "e30="), Some(HeaderFault::Encoding)),
        ("a tag with padding", with(4, &format!("{}==", parts[4])), Some(HeaderFault::Encoding)),
        ("white space", with(3, &format!("{} ", parts[3])), Some(HeaderFault::Encoding)),
        ("standard base64", with(3, "+/+/"), Some(HeaderFault::Encoding)),
        ("a long key", with(1, &most[..700]), Some(HeaderFault::PartLength("encrypted key"))),
        (
            "a long vector",
            with(2, &most[..40]),
            Some(HeaderFault::PartLength("initialization vector")),
        ),
        ("a long tag", with(4, &most[..44]), Some(HeaderFault::PartLength("tag"))),
    ] {
        assert_eq!(fault(&token), expected, "{name}");
    }
    // Another spelling of the same octets: the last two bits of the key are unused.
    let (rest, last) = parts[1].split_at(parts[1].len() - 1);
    let alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let next = alphabet.find(last).unwrap() + 1;
    let other = format!("{rest}{}", &alphabet[next..=next]);
    assert_eq!(fault(&with(1, &other)), Some(HeaderFault::Encoding));
}

/// RFC 7518 §4.6.1: the ephemeral key is a public one of the curve of the server's key, and the parties
/// are bounded.
#[test]
fn ephemeral_keys_are_of_the_curve() {
    let other = EC.public_jwk();
    let epk = |change: &dyn Fn(&mut Value)| {
        let mut epk = json!({"kty": "EC", "crv": "P-256", "x": other["x"], "y": other["y"]});
        change(&mut epk);
        EC.seal(INNER).header("epk", epk).encrypt()
    };
    // It is a good point, and not the one that was agreed with.
    assert_eq!(DECRYPTOR.decrypt(&epk(&|_| {})), Err(DecryptError::Undecryptable));
    assert_eq!(
        DECRYPTOR.decrypt(&epk(&|epk| epk["x-y"] = 7.into())),
        Err(DecryptError::Undecryptable)
    );
    let short = base64url::encode([1; 31]);
    let long = base64url::encode([0; 33]);
    type Change<'a> = &'a dyn Fn(&mut Value);
    let changes: [(&str, Change<'_>); 12] = [
        ("kty of another kind", &|epk| epk["kty"] = "OKP".into()),
        ("kty in a list", &|epk| epk["kty"] = json!(["EC"])),
        ("another curve", &|epk| epk["crv"] = "P-384".into()),
        ("X25519", &|epk| *epk = json!({"kty": "OKP", "crv": "X25519", "x": epk["x"]})),
        ("no curve", &|epk| drop(epk.as_object_mut().unwrap().remove("crv"))),
        ("no y", &|epk| drop(epk.as_object_mut().unwrap().remove("y"))),
        ("x that is a number", &|epk| epk["x"] = 7.into()),
        ("a short x", &|epk| epk["x"] = short.as_str().into()),
        ("a long y", &|epk| epk["y"] = long.as_str().into()),
        ("x with padding", &|epk| epk["x"] = format!("{}=", epk["x"].as_str().unwrap()).into()),
        ("a private key", &|epk| epk["d"] = epk["x"].clone()),
        ("no object", &|epk| *epk = epk.to_string().into()),
    ];
    for (name, change) in changes {
        assert_eq!(fault(&epk(change)), Some(HeaderFault::EphemeralKey), "{name}");
    }
    let absent = EC.seal(INNER).without_header("epk").encrypt();
    assert_eq!(fault(&absent), Some(HeaderFault::EphemeralKey));
    assert_eq!(fault(&EC.encrypt(INNER, ContentEncryption::A256Gcm)), None);
    for name in ["apu", "apv"] {
        let party = |value: Value| EC.seal(INNER).header(name, value).encrypt();
        for value in [json!(7), json!("QQ=="), json!(base64url::encode([7; 257]))] {
            assert_eq!(fault(&party(value)), Some(HeaderFault::Party(name)));
        }
        // It is legal, and not what was agreed.
        let legal = party(json!(base64url::encode([7; 256])));
        assert_eq!(DECRYPTOR.decrypt(&legal), Err(DecryptError::Undecryptable));
    }
    // With RSA nothing is agreed, and nobody looks.
    assert_eq!(
        fault(&RSA.seal(INNER).header("epk", json!({})).header("apu", "AA").encrypt()),
        None
    );
}

/// AT-12: a key is used with what fits it, and with what it was narrowed to.
#[test]
fn a_key_is_used_as_it_was_registered() {
    // Each test key has an `alg`.
    let mixed = EC.seal(INNER).header("alg", "ECDH-ES+A256KW").encrypt();
    assert_eq!(fault(&mixed), Some(HeaderFault::NotForAlgorithm));
    let mixed = WRAPPED.seal(INNER).header("alg", "ECDH-ES").encrypt();
    assert_eq!(fault(&mixed), Some(HeaderFault::NotForAlgorithm));
    let mixed = RSA.seal(INNER).header("kid", "ec").encrypt();
    assert_eq!(fault(&mixed), Some(HeaderFault::NotForAlgorithm));
    for encryption in ContentEncryption::ALL {
        let pem = DecryptionKey::pem(Secret::new(EC.pem())).encryptions([*encryption]);
        let narrow = pem.algorithms([KeyManagement::EcdhEs]);
        let narrow = Decryption::new().key(narrow).build().unwrap();
        for other in ContentEncryption::ALL {
            let read = narrow.decrypt(&EC.encrypt(INNER, *other));
            if other == encryption {
                assert_eq!(read.unwrap(), INNER);
            } else {
                let fault = DecryptError::Header(HeaderFault::NotForEncryption);
                assert_eq!(read, Err(fault), "{other} with {encryption}");
            }
        }
        let wrapped = WRAPPED.encrypt(INNER, *encryption);
        let fault = DecryptError::Header(HeaderFault::NotForAlgorithm);
        assert_eq!(narrow.decrypt(&wrapped), Err(fault));
    }
}

/// A sole key needs no `kid` in a token; where it has one, another is refused; where it has none, none
/// is compared. Of two keys the one that is named decrypts, old or new.
#[test]
fn a_key_is_chosen_by_its_kid() {
    let sole = Decryption::new().key(EC.decryption_key()).build().unwrap();
    let nameless = DecryptionKey::pem(Secret::new(EC.pem()));
    let nameless = Decryption::new().key(nameless).build().unwrap();
    let without = EC.seal(INNER).without_header("kid").encrypt();
    let other = EC.seal(INNER).header("kid", "other").encrypt();
    assert_eq!(sole.decrypt(&without).unwrap(), INNER);
    assert_eq!(sole.decrypt(&other), Err(DecryptError::Header(HeaderFault::UnknownKey)));
    assert_eq!(nameless.decrypt(&without).unwrap(), INNER);
    assert_eq!(nameless.decrypt(&other).unwrap(), INNER);

    let new = TestDecryptionKey::generate(KeyManagement::EcdhEs, "new");
    let both = Decryption::new().key(new.decryption_key()).key(EC.decryption_key());
    let both = both.build().unwrap();
    for key in [&new, &*EC] {
        let token = key.encrypt(INNER, ContentEncryption::A128Gcm);
        assert_eq!(both.decrypt(&token).unwrap(), INNER);
        let misnamed = if key.kid() == "new" { "ec" } else { "new" };
        let token = key.seal(INNER).header("kid", misnamed).encrypt();
        assert_eq!(both.decrypt(&token), Err(DecryptError::Undecryptable));
    }
    assert_eq!(both.decrypt(&without), Err(DecryptError::Header(HeaderFault::NoKeyId)));
}
