//! Whatever fails after the header fails alike.

use portcullis::jose::base64url;
use portcullis::jwe::{ContentEncryption, DecryptError};
use portcullis::testing::TestDecryptionKey;

use super::{DECRYPTOR, EC, INNER, RSA, WRAPPED};

fn keys() -> [&'static TestDecryptionKey; 3] {
    [&RSA, &EC, &WRAPPED]
}

#[track_caller]
fn is_uniform(token: &str, name: &str) {
    let error = DECRYPTOR.decrypt(token).unwrap_err();
    assert_eq!(error, DecryptError::Undecryptable, "{name}");
    assert_eq!(error.to_string(), "it cannot be decrypted to a signed token", "{name}");
    assert_eq!(format!("{error:?}"), "Undecryptable", "{name}");
}

/// AT-12, RFC 7516 §11.5: each part with a flipped bit, cut off, empty, or of another token, with each
/// algorithm and each encryption. The token as it was is decrypted.
#[test]
fn parts_that_are_not_theirs_fail_alike() {
    for key in keys() {
        for encryption in ContentEncryption::ALL {
            let good = key.encrypt(INNER, *encryption);
            assert_eq!(DECRYPTOR.decrypt(&good).unwrap(), INNER, "{} {encryption}", key.kid());
            let other = key.encrypt(INNER, *encryption);
            let parts: Vec<&str> = good.split('.').collect();
            let of_other: Vec<&str> = other.split('.').collect();
            let with = |at: usize, text: String| {
                let mut parts: Vec<String> = parts.iter().map(|part| (*part).to_owned()).collect();
                parts[at] = text;
                parts.join(".")
            };
            for at in 1..5 {
                let name = format!("{} {encryption}, part {at}", key.kid());
                let octets = base64url::decode(parts[at]).unwrap();
                if octets.is_empty() {
                    // The key of ECDH-ES: something where nothing belongs.
                    is_uniform(&with(at, "AAAA".to_owned()), &name);
                    continue;
                }
                is_uniform(&with(at, String::new()), &format!("{name} empty"));
                is_uniform(&with(at, of_other[at].to_owned()), &format!("{name} of another"));
                for length in [1, octets.len() / 2, octets.len() - 1] {
                    let cut = base64url::encode(&octets[..length]);
                    is_uniform(&with(at, cut), &format!("{name} cut to {length}"));
                }
                for flipped in [0, octets.len() / 2, octets.len() - 1] {
                    let mut octets = octets.clone();
                    octets[flipped] ^= 1;
                    let name = format!("{name} flipped at {flipped}");
                    is_uniform(&with(at, base64url::encode(octets)), &name);
                }
            }
            let header = String::from_utf8(base64url::decode(parts[0]).unwrap()).unwrap();
            let header = header.replacen('{', r#"{"x":1,"#, 1);
            is_uniform(&with(0, base64url::encode(header)), "a header that was changed");
        }
    }
}

/// RFC 7518 §5.2.2.2: of a ciphertext whose last block was changed, the padding is wrong 255 times of
/// 256. Right or wrong, the answer is one.
#[test]
fn a_padding_is_not_told() {
    let good = EC.encrypt(INNER, ContentEncryption::A256CbcHs512);
    let parts: Vec<&str> = good.split('.').collect();
    let octets = base64url::decode(parts[3]).unwrap();
    let last_of_previous = octets.len() - 17;
    for change in 1..=255 {
        let mut octets = octets.clone();
        octets[last_of_previous] ^= change;
        let text = base64url::encode(octets);
        is_uniform(&[parts[0], parts[1], parts[2], &text, parts[4]].join("."), "padding");
    }
}

/// Attack 14, AT-12: inside is a signed token: not claims in the clear, not another envelope, nothing
/// unsigned, nothing that is no text. Its twin is.
#[test]
fn only_a_signed_token_is_inside() {
    let nested = EC.encrypt(INNER, ContentEncryption::A256Gcm);
    let contents: [(&str, &[u8]); 11] = [
        ("nothing", b""),
        ("claims", br#"{"iss":"https://as.example","sub":"mallory"}"#),
        ("an envelope", nested.as_bytes()),
        ("an opaque token", b"mF_9B5f41JqM"),
        ("two parts", b"eyJhbGciOiJFZERTQSJ9.e30"),
        ("four parts", b"eyJhbGciOiJFZERTQSJ9.e30.c2ln.c2ln"),
        ("no signature", b"eyJhbGciOiJub25lIn0.e30."),
        ("no payload", b"eyJhbGciOiJFZERTQSJ9..c2ln"),
        ("white space", b"eyJhbGciOiJFZERTQSJ9.e30.c2ln\n"),
        ("not UTF-8", b"eyJhbGciOiJFZERTQSJ9.e30.c2ln\xff"),
        ("not ASCII", "eyJhbGciOiJFZERTQSJ9.e30.c2lné".as_bytes()),
    ];
    for key in keys() {
        for (name, content) in contents {
            is_uniform(&key.seal(content).encrypt(), name);
        }
        assert_eq!(DECRYPTOR.decrypt(&key.seal(INNER).encrypt()).unwrap(), INNER);
    }
}
