//! The header of encrypted tokens, and a second reading of which ones are acceptable.

use std::sync::OnceLock;

use portcullis::credentials::MAX_TOKEN;
use portcullis::jose::{MAX_HEADER, base64url};
use portcullis::jwe::{
    ContentEncryption, DecryptError, Decryption, DecryptionKey, Decryptor, KeyManagement,
};
use portcullis::secret::Secret;
use portcullis::testing::TestDecryptionKey;

use super::token::base64_octets;
use super::tree::{self, Reading, Tree, member};

/// The keys of a server: the `kid` of each, and whether it is of RSA.
struct Keys {
    keys: &'static [(Option<&'static str>, bool)],
    encryptions: &'static [&'static str],
}

const EVERY: &[&str] = &["A128GCM", "A256GCM", "A256CBC-HS512"];
const SERVERS: [Keys; 4] = [
    Keys { keys: &[(None, false)], encryptions: EVERY },
    Keys { keys: &[(Some("ec"), false)], encryptions: EVERY },
    Keys { keys: &[(Some("rsa"), true), (Some("ec"), false)], encryptions: EVERY },
    Keys { keys: &[(Some("ec"), false)], encryptions: &["A256GCM"] },
];
/// An initialization vector, a ciphertext and a tag of lengths that may be.
const REST: &str = "..AAAAAAAAAAAAAAAA.AAAA.AAAAAAAAAAAAAAAAAAAAAA";

/// The first octet says which keys there are; with its highest bit the rest is a token, without it a
/// header, which may have a line feed behind it and then the rest of the token. What is acceptable is
/// decrypted, in vain: nobody encrypted it.
pub fn jwe_header(data: &[u8]) {
    static DECRYPTORS: OnceLock<Vec<Decryptor>> = OnceLock::new();
    let decryptors = DECRYPTORS.get_or_init(decryptors);
    let Some((first, rest)) = data.split_first() else { return };
    let token = match first & 0x80 {
        0 => {
            let at = rest.iter().position(|octet| *octet == b'\n').unwrap_or(rest.len());
            let others = rest.get(at + 1..).map_or(Ok(REST), std::str::from_utf8);
            let Ok(others) = others else { return };
            format!("{}{others}", base64url::encode(&rest[..at]))
        }
        _ => match std::str::from_utf8(rest) {
            Ok(text) => text.to_owned(),
            Err(_) => return,
        },
    };
    let which = usize::from(first % 4);
    let read = decryptors[which].decrypt(&token);
    let Some(acceptable) = is_acceptable(&token, &SERVERS[which]) else { return };
    match read {
        Ok(_) => panic!("decrypted what nobody encrypted"),
        Err(DecryptError::Header(fault)) => assert!(!acceptable, "{fault}: {token}"),
        Err(error) => assert!(acceptable, "{error}: {token}"),
    }
}

fn decryptors() -> Vec<Decryptor> {
    let ec = TestDecryptionKey::generate(KeyManagement::EcdhEs, "").pem();
    let rsa = TestDecryptionKey::generate(KeyManagement::RsaOaep256, "").pem();
    let build = |server: &Keys| {
        let mut decryption = Decryption::new();
        for (kid, is_rsa) in server.keys {
            let pem = Secret::new(if *is_rsa { &rsa } else { &ec });
            let encryptions = ContentEncryption::ALL.iter().copied();
            let encryptions = encryptions.filter(|one| server.encryptions.contains(&one.as_str()));
            let key = DecryptionKey::pem(pem).encryptions(encryptions);
            decryption = decryption.key(match kid {
                Some(kid) => key.kid(*kid),
                None => key,
            });
        }
        decryption.build().unwrap()
    };
    SERVERS.iter().map(build).collect()
}

/// `None`: there is a number that nobody else can read.
fn is_acceptable(token: &str, server: &Keys) -> Option<bool> {
    let parts: Vec<&str> = token.split('.').collect();
    let [header, parts @ ..] = &parts[..] else { return Some(false) };
    // An encrypted key of RSA with 4096 bits, and the longest that the algorithms make.
    let longest = [512, 16, MAX_TOKEN, 32];
    let fits = |(part, longest): (&&str, usize)| {
        base64_octets(part).is_some_and(|octets| octets.len() <= longest)
    };
    if parts.len() != 4
        || token.len() > MAX_TOKEN
        || header.is_empty()
        || header.len() > MAX_HEADER
        || !parts.iter().zip(longest).all(fits)
    {
        return Some(false);
    }
    let Some(octets) = base64_octets(header) else { return Some(false) };
    let members = match tree::read(&octets) {
        Reading::Object(members) => members,
        Reading::Refused => return Some(false),
        Reading::Unknown => return None,
    };
    let text = |name: &str| member(&members, name).map(Tree::as_text);
    let is_refused = |name: &&str| text(name).is_some();
    if ["zip", "crit", "b64", "p2c", "p2s"].iter().any(is_refused) {
        return Some(false);
    }
    let is_type = |name: &str| match text(name) {
        None => true,
        Some(None) => false,
        Some(Some(found)) => {
            let lower = found.to_ascii_lowercase();
            let bare = lower.strip_prefix("application/").unwrap_or(&lower);
            ["jwt", "at+jwt"].contains(&bare)
        }
    };
    let key = match (text("kid"), server.keys) {
        (Some(None), _) => None,
        (None, [one]) => Some(one),
        (_, [one @ (None, _)]) => Some(one),
        (None, _) => None,
        (Some(kid), keys) => keys.iter().find(|(known, _)| *known == kid),
    };
    let Some((_, is_rsa)) = key else { return Some(false) };
    let algorithms: &[_] = if *is_rsa { &["RSA-OAEP-256"] } else { &["ECDH-ES", "ECDH-ES+A256KW"] };
    let is_one_of = |name: &str, known: &[&str]| {
        text(name).flatten().is_some_and(|found| known.contains(&found))
    };
    let is_good = is_type("typ")
        && is_type("cty")
        && is_one_of("alg", algorithms)
        && is_one_of("enc", server.encryptions)
        && (*is_rsa || agrees(&members));
    Some(is_good)
}

/// RFC 7518 §4.6.1, of a key of P-256.
fn agrees(header: &[(String, Tree)]) -> bool {
    let Some(Tree::Object(epk)) = member(header, "epk") else { return false };
    let text = |name: &str| member(epk, name).and_then(Tree::as_text);
    let octets = |text: Option<&str>| text.and_then(base64_octets).map(|octets| octets.len());
    let private = ["d", "p", "q", "dp", "dq", "qi", "oth", "k"];
    let is_party = |name: &&str| match member(header, name) {
        None => true,
        Some(party) => octets(party.as_text()).is_some_and(|length| length <= 256),
    };
    text("kty") == Some("EC")
        && text("crv") == Some("P-256")
        && octets(text("x")) == Some(32)
        && octets(text("y")) == Some(32)
        && private.iter().all(|name| member(epk, name).is_none())
        && ["apu", "apv"].iter().all(is_party)
}
