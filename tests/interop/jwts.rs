//! JWTs of another implementation (npm `jose`): good ones as its users make them, and each oddity that a
//! token can have, with what it gives.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use portcullis::jose::Algorithm;
use serde_json::{Value, json};

use crate::cases::Cases;
use crate::issuer::Issuer;
use crate::provider::discover;
use crate::service::{Service, bearer, notes};

const OK: &str = "200 the notes of alice";
const MALFORMED: &str = "401 malformed_token, Bearer invalid_token";
const CREDENTIALS: &str = "400 malformed_credentials, Bearer invalid_request";
const CLAIM: &str = "401 malformed_claim, Bearer invalid_token";
const MISSING: &str = "401 missing_claim, Bearer invalid_token";
const HEADER: &str = "401 unsupported_header, Bearer invalid_token";
const TYPE: &str = "401 wrong_type, Bearer invalid_token";
const ALGORITHM: &str = "401 algorithm_not_allowed, Bearer invalid_token";
const KEY: &str = "401 unknown_key, Bearer invalid_token";
const SIGNATURE: &str = "401 bad_signature, Bearer invalid_token";
const AUDIENCE: &str = "401 wrong_audience, Bearer invalid_token";
const ISSUER: &str = "401 unknown_issuer, Bearer invalid_token";
const LIFETIME: &str = "401 lifetime_too_long, Bearer invalid_token";
const KIND: &str = "401 other_token_kind, Bearer invalid_token";

async fn check(cases: &mut Cases, issuer: &Issuer, rows: &[(&str, Value, &str)]) {
    let service = Service::start(notes([discover(&issuer.id)])).await;
    for (name, recipe, expected) in rows {
        let token = issuer.sign(recipe).await;
        cases.case(name, service.told(&token).await, expected);
    }
}

/// AT-01 to AT-03, AT-07, JWS-04, JWS-05, JWS-07 to JWS-11, JWS-13 to JWS-15, JWS-21, JWS-24, JWS-32,
/// JWS-41, JWS-55, attacks 1 to 3, 5 to 7, 13, 19, 20, 22: what the header says.
#[tokio::test]
#[ignore = "needs tests/interop/setup"]
async fn headers_of_another_implementation_mean_here_what_they_mean_there() {
    let mut cases = Cases::of("jose");
    let issuer = Issuer::jose().await;
    let stranger = json!({ "kty": "EC", "crv": "P-256", "x": "x", "y": "y" });
    let by_hand = |text: &str| json!({ "header_text": text });
    #[rustfmt::skip]
    let rows = [
        ("ES256", json!({}), OK),
        ("RS256", json!({ "key": "rsa" }), OK),
        ("Ed25519", json!({ "key": "ed" }), OK),
        ("EdDSA, the older name", json!({ "key": "ed", "alg": "EdDSA" }), OK),
        ("PS256 with a key that is used for RS256", json!({ "key": "rsa", "alg": "PS256" }), KEY),
        ("RS512 with it", json!({ "key": "rsa", "alg": "RS512" }), KEY),
        // Attacks 1 and 2.
        ("HS256 with the public key as its secret", json!({ "key": "public" }), ALGORITHM),
        ("HS512 with it", json!({ "key": "public", "alg": "HS512" }), ALGORITHM),
        // Attack 3.
        ("unsecured, as jose writes it", json!({ "form": "unsecured" }), MALFORMED),
        ("`alg` none over a signature", by_hand(r#"{"alg":"none","typ":"at+jwt","kid":"ec"}"#), ALGORITHM),
        ("`alg` nOnE", by_hand(r#"{"alg":"nOnE","typ":"at+jwt","kid":"ec"}"#), ALGORITHM),
        ("`alg` es256, in lower case", by_hand(r#"{"alg":"es256","typ":"at+jwt","kid":"ec"}"#), ALGORITHM),
        ("ES256K", by_hand(r#"{"alg":"ES256K","typ":"at+jwt","kid":"ec"}"#), ALGORITHM),
        ("no `alg`", by_hand(r#"{"typ":"at+jwt","kid":"ec"}"#), ALGORITHM),
        ("`alg` is an array", by_hand(r#"{"alg":["ES256"],"typ":"at+jwt","kid":"ec"}"#), ALGORITHM),
        ("`alg` is of another key", by_hand(r#"{"alg":"RS256","typ":"at+jwt","kid":"ec"}"#), KEY),
        ("application/at+jwt", json!({ "header": { "typ": "application/at+jwt" } }), OK),
        ("AT+JWT", json!({ "header": { "typ": "AT+JWT" } }), OK),
        // Attack 22.
        ("`typ` JWT", json!({ "header": { "typ": "JWT" } }), TYPE),
        ("no `typ`", json!({ "header": { "typ": null } }), TYPE),
        ("`typ` of a DPoP proof", json!({ "header": { "typ": "dpop+jwt" } }), TYPE),
        ("`typ` of a security event", json!({ "header": { "typ": "secevent+jwt" } }), TYPE),
        ("`typ` of a logout token", json!({ "header": { "typ": "logout+jwt" } }), TYPE),
        ("`typ` is a number", by_hand(r#"{"alg":"ES256","typ":1,"kid":"ec"}"#), TYPE),
        ("no `kid`, and one key fits", json!({ "header": { "kid": null } }), OK),
        // Attacks 6 and 7.
        ("`kid` of another key", json!({ "header": { "kid": "ed" } }), KEY),
        ("`kid` of nobody", json!({ "header": { "kid": "nobody" } }), KEY),
        ("`kid` is a path", json!({ "header": { "kid": "../../jwks?x=ec" } }), KEY),
        ("`kid` is empty", json!({ "header": { "kid": "" } }), KEY),
        ("`kid` is a number", by_hand(r#"{"alg":"ES256","typ":"at+jwt","kid":1}"#), MALFORMED),
        ("another key with the name of the issuer's", json!({ "key": "stranger" }), SIGNATURE),
        // Attack 5.
        ("its own key beside it, `jwk`", json!({ "key": "stranger", "header": { "kid": null, "jwk": stranger } }), SIGNATURE),
        ("`jku` elsewhere", json!({ "key": "stranger", "header": { "jku": "https://mallory.example/jwks" } }), SIGNATURE),
        ("`jku` of no meaning beside a good signature", json!({ "header": { "jku": "https://mallory.example/jwks" } }), OK),
        ("a member that nobody knows", json!({ "header": { "x": { "y": [1, null] } } }), OK),
        // Attack 13.
        ("`crit` of something unknown", json!({ "header": { "crit": ["cnf"], "cnf": {} }, "crit": { "cnf": true } }), HEADER),
        ("`crit` with `b64` true", json!({ "header": { "crit": ["b64"], "b64": true } }), HEADER),
        ("`b64` false, the payload as it is", json!({ "form": "unencoded", "header": { "crit": ["b64"], "b64": false }, "raw": "test" }), HEADER),
        ("`b64` false, a payload of JSON", json!({ "form": "unencoded", "header": { "crit": ["b64"], "b64": false } }), CREDENTIALS),
        ("`crit` is empty", by_hand(r#"{"alg":"ES256","typ":"at+jwt","kid":"ec","crit":[]}"#), HEADER),
        ("`zip`", json!({ "header": { "zip": "DEF" } }), HEADER),
        ("`cty` JWT", json!({ "header": { "cty": "JWT" } }), HEADER),
        ("detached", json!({ "form": "detached" }), MALFORMED),
        // Attack 3.
        ("general JSON", json!({ "form": "general" }), CREDENTIALS),
        ("flattened JSON", json!({ "form": "flattened" }), CREDENTIALS),
        // Attack 19.
        ("`alg` twice", by_hand(r#"{"alg":"ES256","alg":"ES256","typ":"at+jwt","kid":"ec"}"#), MALFORMED),
        ("`kid` twice, once escaped", by_hand(r#"{"alg":"ES256","typ":"at+jwt","kid":"ec","\u006bid":"ec"}"#), MALFORMED),
        ("white space in the header", by_hand("\n{ \"alg\" : \"ES256\",\r\n\t\"typ\":\"at+jwt\" , \"kid\":\"ec\" }\n"), OK),
        ("escapes in the header", by_hand(r#"{"\u0061lg":"ES\u0032\u0035\u0036","typ":"at\u002bjwt","kid":"e\u0063"}"#), OK),
        ("a byte order mark before it", by_hand("\u{feff}{\"alg\":\"ES256\",\"typ\":\"at+jwt\",\"kid\":\"ec\"}"), MALFORMED),
        ("text after it", by_hand(r#"{"alg":"ES256","typ":"at+jwt","kid":"ec"}{}"#), MALFORMED),
        ("a comma too many", by_hand(r#"{"alg":"ES256","typ":"at+jwt","kid":"ec",}"#), MALFORMED),
        ("the header is an array", by_hand(r#"[{"alg":"ES256"}]"#), MALFORMED),
        // Attack 20.
        ("a header of 6 KiB", json!({ "header": { "x": "x".repeat(6 * 1024 - 100) } }), OK),
        ("a header of more", json!({ "header": { "x": "x".repeat(6 * 1024 + 100) } }), MALFORMED),
    ];
    check(&mut cases, &issuer, &rows).await;
}

/// AT-05, AT-06, AT-09, AT-10, JWS-04, JWS-06, JWS-43 to JWS-46, JWS-48, JWS-49, JWS-53, JWS-55, attacks 15
/// to 19, 22, 23: what the claims say, and how they are written.
#[tokio::test]
#[ignore = "needs tests/interop/setup"]
async fn claims_of_another_implementation_are_read_exactly_or_not_at_all() {
    let mut cases = Cases::of("jose");
    let issuer = Issuer::jose().await;
    let claims = |claims: Value| json!({ "claims": claims });
    let append = |text: &str| json!({ "append": text });
    let instead = |name: &str, text: &str| json!({ "claims": { name: null }, "append": format!("\"{name}\":{text}") });
    let now = issuer_time(Duration::ZERO);
    let soon = || issuer_time(Duration::from_mins(4));
    #[rustfmt::skip]
    let rows = [
        ("a good token", json!({}), OK),
        ("one for several, this one among them", claims(json!({ "aud": ["https://notes.example"] })), OK),
        ("`aud` of another", claims(json!({ "aud": "https://other.example" })), AUDIENCE),
        ("`aud` of another with a slash more", claims(json!({ "aud": "https://notes.example/" })), AUDIENCE),
        ("`aud` in capitals", claims(json!({ "aud": "HTTPS://NOTES.EXAMPLE" })), AUDIENCE),
        // Attack 17.
        ("`aud` is an empty array", claims(json!({ "aud": [] })), CLAIM),
        ("`aud` holds a number", claims(json!({ "aud": ["https://notes.example", 1] })), CLAIM),
        ("`aud` is an object", claims(json!({ "aud": { "https://notes.example": 1 } })), CLAIM),
        ("no `aud`", claims(json!({ "aud": null })), MISSING),
        ("no `iss`", claims(json!({ "iss": null })), ISSUER),
        ("`iss` is an array with it", claims(json!({ "iss": [issuer.id] })), ISSUER),
        ("`iss` with a slash more", claims(json!({ "iss": format!("{}/", issuer.id) })), ISSUER),
        ("no `sub`", claims(json!({ "sub": null })), MISSING),
        ("an empty `sub`", claims(json!({ "sub": "" })), CLAIM),
        ("`sub` is a number", claims(json!({ "sub": 1 })), CLAIM),
        ("no `exp`", claims(json!({ "exp": null })), MISSING),
        ("no `iat`", claims(json!({ "iat": null })), MISSING),
        ("no `jti`", claims(json!({ "jti": null })), MISSING),
        ("no `client_id`", claims(json!({ "client_id": null })), MISSING),
        ("no `scope`", claims(json!({ "scope": null })), "403 insufficient_scope, Bearer insufficient_scope"),
        // Attack 23.
        ("a scope that begins alike", claims(json!({ "scope": "notes:reader" })), "403 insufficient_scope, Bearer insufficient_scope"),
        ("`scope` with more between", claims(json!({ "scope": "notes:write  notes:read " })), OK),
        ("`scope` is an array", claims(json!({ "scope": ["notes:read"] })), CLAIM),
        ("`scope` with a line end", claims(json!({ "scope": "notes:write\nnotes:read" })), CLAIM),
        ("`events`, as a security event has", claims(json!({ "events": {} })), KIND),
        ("`nonce`, beside `typ` at+jwt", claims(json!({ "nonce": "x" })), OK),
        // Attacks 15 and 18.
        ("`exp` with a fraction", instead("exp", &format!("{}.999", soon())), OK),
        ("`exp` with an exponent", instead("exp", &format!("{}e-3", soon() * 1000)), OK),
        ("`exp` with a fraction and an exponent", instead("exp", &exponential(soon())), OK),
        ("`exp` is a string", instead("exp", &format!("\"{}\"", soon())), CLAIM),
        ("`exp` is null", instead("exp", "null"), CLAIM),
        ("`exp` is true", instead("exp", "true"), CLAIM),
        ("`exp` is negative", instead("exp", "-1"), CLAIM),
        ("`exp` is zero", instead("exp", "0"), "401 expired, Bearer invalid_token"),
        ("`exp` in milliseconds", instead("exp", &(soon() * 1000).to_string()), CLAIM),
        ("`exp` in the year 9999", instead("exp", "253402300799"), LIFETIME),
        ("`exp` one second later", instead("exp", "253402300800"), CLAIM),
        ("`exp` is 2^53 + 1", instead("exp", "9007199254740993"), CLAIM),
        ("`exp` is 2^64", instead("exp", "18446744073709551616"), CLAIM),
        ("`exp` is 1e400", instead("exp", "1e400"), CLAIM),
        ("`exp` has a hundred digits", instead("exp", &"9".repeat(100)), CLAIM),
        ("`exp` with a leading zero", instead("exp", &format!("0{}", soon())), MALFORMED),
        ("`exp` with a plus", instead("exp", &format!("+{}", soon())), MALFORMED),
        ("`exp` is NaN", instead("exp", "NaN"), MALFORMED),
        ("`nbf` in an hour", claims(json!({ "nbf": issuer_time(Duration::from_hours(1)) })), "401 not_yet_valid, Bearer invalid_token"),
        ("`nbf` is a string", claims(json!({ "nbf": "0" })), CLAIM),
        ("`iat` in an hour", claims(json!({ "iat": issuer_time(Duration::from_hours(1)), "exp": issuer_time(Duration::from_mins(62)) })), "401 issued_in_future, Bearer invalid_token"),
        ("five minutes", claims(json!({ "iat": now, "exp": now + 300 })), OK),
        ("five minutes and a second", claims(json!({ "iat": now, "exp": now + 301 })), LIFETIME),
        // Attack 19.
        ("`aud` twice, ours last", json!({ "claims": { "aud": "https://other.example" }, "append": "\"aud\":\"https://notes.example\"" }), MALFORMED),
        ("`sub` twice, both alike", append("\"sub\":\"alice\""), MALFORMED),
        ("`sub` twice, once escaped", append("\"s\\u0075b\":\"mallory\""), MALFORMED),
        ("a member twice, deeper", append("\"act\":{\"sub\":\"a\",\"sub\":\"b\"}"), MALFORMED),
        ("spaced with tabs", json!({ "indent": "\t" }), OK),
        ("spaced with ten blanks", json!({ "indent": 10 }), OK),
        ("white space before it", json!({ "prefix": " \r\n\t" }), OK),
        ("another space before it", json!({ "prefix": "\u{a0}" }), MALFORMED),
        ("a byte order mark before it", json!({ "prefix": "\u{feff}" }), MALFORMED),
        ("a second object before it", json!({ "prefix": "{}" }), MALFORMED),
        ("beyond ASCII", claims(json!({ "sub": "Zoë 👩‍🚀" })), "200 the notes of Zoë 👩‍🚀"),
        ("the same with escapes", instead("sub", r#""Zo\u00EB \ud83d\udc69\u200d\ud83d\ude80""#), "200 the notes of Zoë 👩‍🚀"),
        ("half a surrogate", instead("sub", r#""\ud83d""#), MALFORMED),
        ("the halves in the wrong order", instead("sub", r#""\udc69\ud83d""#), MALFORMED),
        ("a NUL in a claim, escaped", instead("sub", r#""alice\u0000""#), "200 the notes of alice\u{0}"),
        ("a NUL in a claim, as it is", instead("sub", "\"alice\u{0}\""), MALFORMED),
        ("an escape that JSON does not have", instead("sub", r#""\x61lice""#), MALFORMED),
        // Attack 16.
        ("the claims are an array", json!({ "raw": "[{\"sub\":\"alice\"}]" }), MALFORMED),
        ("the claims are a string", json!({ "raw": "\"alice\"" }), MALFORMED),
        ("no JSON", json!({ "raw": "alice" }), MALFORMED),
        ("nothing", json!({ "raw": "" }), MALFORMED),
        ("an empty object", json!({ "raw": "{}" }), ISSUER),
        ("sixteen levels", append(&format!("\"x\":{}{}", "[".repeat(15), "]".repeat(15))), OK),
        ("seventeen", append(&format!("\"x\":{}{}", "[".repeat(16), "]".repeat(16))), MALFORMED),
        ("`cnf` that binds to nothing known", claims(json!({ "cnf": { "kid": "x" } })), "401 sender_not_proven, Bearer invalid_token"),
        ("`cnf` is an array", claims(json!({ "cnf": [] })), "401 sender_not_proven, Bearer invalid_token"),
    ];
    check(&mut cases, &issuer, &rows).await;
}

/// AUTH-12, AUTH-13, AUTH-15 to AUTH-18, AUTH-20, JWS-01 to JWS-03, JWS-10, JWS-27, JWS-55, attacks 3, 12,
/// 20, 35, 38: what becomes of a good token on its way.
#[tokio::test]
#[ignore = "needs tests/interop/setup"]
async fn a_token_of_another_implementation_that_was_changed_on_its_way_is_none() {
    let mut cases = Cases::of("jose");
    let issuer = Issuer::jose().await;
    let service = Service::start(notes([discover(&issuer.id)])).await;
    let token = issuer.sign(&json!({})).await;
    let other = issuer.sign(&json!({ "claims": { "sub": "mallory" } })).await;
    let rsa = issuer.sign(&json!({ "key": "rsa" })).await;
    let [header, payload, signature] = parts(&token);
    let [_, others, _] = parts(&other);
    let spelled = |octets: &[u8]| URL_SAFE_NO_PAD.encode(octets);
    let octets = URL_SAFE_NO_PAD.decode(signature).unwrap();
    let changed = |place: usize| {
        let mut octets = octets.clone();
        octets[place] ^= 1;
        spelled(&octets)
    };
    // The last character has four bits of 64 octets, and two that say nothing.
    let last = signature.chars().last().unwrap();
    let alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let place = alphabet.find(last).unwrap();
    let twin = format!("{}{}", &signature[..85], &alphabet[place + 1..=place + 1]);
    let standard = STANDARD.encode(URL_SAFE_NO_PAD.decode(payload).unwrap());
    let zeros = spelled(&[0; 64]);
    #[rustfmt::skip]
    let rows = [
        ("as it was made", token.clone(), OK),
        ("other claims, the same signature", format!("{header}.{others}.{signature}"), SIGNATURE),
        ("one bit of the signature", format!("{header}.{payload}.{}", changed(0)), SIGNATURE),
        ("one bit at its end", format!("{header}.{payload}.{}", changed(63)), SIGNATURE),
        ("a signature that is too short", format!("{header}.{payload}.{}", spelled(&octets[..63])), SIGNATURE),
        ("one that is too long", format!("{header}.{payload}.{}", spelled(&[&octets[..], &[0]].concat())), SIGNATURE),
        ("the signature in DER", format!("{header}.{payload}.{}", spelled(&der(&octets))), SIGNATURE),
        // Attack 12.
        ("a signature of zeros", format!("{header}.{payload}.{zeros}"), SIGNATURE),
        ("no signature", format!("{header}.{payload}."), MALFORMED),
        ("two parts", format!("{header}.{payload}"), MALFORMED),
        ("four parts", format!("{token}."), MALFORMED),
        ("five parts", format!("{token}.."), "401 encrypted_token, Bearer invalid_token"),
        ("a thousand parts", ".".repeat(1000), MALFORMED),
        ("the header of a token with another key", format!("{}.{payload}.{signature}", parts(&rsa)[0]), SIGNATURE),
        // Attack 38: one spelling.
        ("padded", format!("{token}="), MALFORMED),
        ("padded twice", format!("{token}=="), MALFORMED),
        ("padded inside", format!("{header}==.{payload}.{signature}"), CREDENTIALS),
        ("the claims in standard base64", format!("{header}.{standard}.{signature}"), if standard.contains('=') { CREDENTIALS } else { SIGNATURE }),
        ("the signature spelled otherwise", format!("{header}.{payload}.{twin}"), MALFORMED),
        ("a plus in place of a minus", format!("{header}.{payload}.{}+", &signature[..85]), MALFORMED),
        ("a blank in it", format!("{header}. {payload}.{signature}"), CREDENTIALS),
        ("in quotes", format!("\"{token}\""), CREDENTIALS),
        ("an empty one", String::new(), CREDENTIALS),
        ("longer than 16 KiB", format!("{token}{}", "A".repeat(16 * 1024)), "400 token_too_long, Bearer invalid_request"),
        ("of nobody, opaque", "mF_9_B5f-4_1JqM".to_owned(), "401 opaque_token, Bearer invalid_token"),
    ];
    for (name, token, expected) in rows {
        cases.case(name, service.told(&token).await, expected);
    }

    // The sign of S is the signer's choice: the same token, and no second one.
    let flipped = format!("{header}.{payload}.{}", spelled(&with_other_s(&octets)));
    cases.case("(r, n - s) of the same signature", service.told(&flipped).await, OK);

    let good = bearer(&token);
    let second = bearer(&other);
    #[rustfmt::skip]
    let rows = [
        ("`bearer` in lower case", vec![("authorization", format!("bearer {token}"))], OK),
        ("`BEARER` and three blanks", vec![("authorization", format!("BEARER   {token}"))], OK),
        ("no blank", vec![("authorization", format!("Bearer{token}"))], "401 unsupported_scheme, Bearer -"),
        ("a tab", vec![("authorization", format!("Bearer\t{token}"))], CREDENTIALS),
        ("another scheme", vec![("authorization", format!("Token {token}"))], "401 unsupported_scheme, Bearer -"),
        ("the scheme DPoP, which is not offered", vec![("authorization", format!("DPoP {token}"))], "401 unsupported_scheme, Bearer -"),
        // Attack 35.
        ("two fields", vec![("authorization", good.clone()), ("authorization", second.clone())], "400 several_credentials, Bearer invalid_request"),
        ("the same field twice", vec![("authorization", good.clone()), ("authorization", good.clone())], "400 several_credentials, Bearer invalid_request"),
        ("two in one field", vec![("authorization", format!("{good}, {second}"))], CREDENTIALS),
        ("in another field", vec![("x-authorization", good.clone())], "401 no_credentials, Bearer -"),
        ("in a cookie", vec![("cookie", format!("access_token={token}"))], "401 no_credentials, Bearer -"),
    ];
    for (name, fields, expected) in rows {
        let fields: Vec<_> = fields.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let request = service.request("GET", "/notes", &fields);
        cases.case(name, service.told_of(request).await, expected);
    }
    let request = service.request("GET", &format!("/notes?access_token={token}"), &[]);
    cases.case("in the query", service.told_of(request).await, "401 no_credentials, Bearer -");
}

/// JWS-21, JWS-22: each algorithm, where it is allowed and where only the others are.
#[tokio::test]
#[ignore = "needs tests/interop/setup"]
async fn an_rsa_key_of_another_implementation_is_used_with_the_algorithm_of_the_configuration() {
    let mut cases = Cases::of("jose");
    let issuer = Issuer::jose().await;
    for algorithm in [
        Algorithm::Rs256,
        Algorithm::Rs384,
        Algorithm::Rs512,
        Algorithm::Ps256,
        Algorithm::Ps384,
        Algorithm::Ps512,
    ] {
        let token = issuer.sign(&json!({ "key": "rsa", "alg": algorithm.as_str() })).await;
        let only = Service::start(notes([discover(&issuer.id).algorithms([algorithm])])).await;
        cases.case(format!("{algorithm} alone"), only.told(&token).await, OK);
        let others = Algorithm::ALL.iter().copied().filter(|other| *other != algorithm);
        let others = Service::start(notes([discover(&issuer.id).algorithms(others)])).await;
        cases.case(format!("all but {algorithm}"), others.told(&token).await, ALGORITHM);
    }
}

fn parts(token: &str) -> [&str; 3] {
    let parts: Vec<_> = token.split('.').collect();
    parts.try_into().unwrap()
}

/// Seconds since 1970, so long from now.
fn issuer_time(ahead: Duration) -> u64 {
    use portcullis::time::{Clock as _, SystemClock};
    SystemClock::new().now().plus(ahead).as_secs()
}

/// `1.7952e9` for 1795200000.
fn exponential(seconds: u64) -> String {
    let digits = seconds.to_string();
    format!("{}.{}E+{}", &digits[..1], &digits[1..], digits.len() - 1)
}

/// An ECDSA signature as X.509 has it: two INTEGERs.
fn der(signature: &[u8]) -> Vec<u8> {
    let (r, s) = signature.split_at(32);
    let signature = p256::ecdsa::Signature::from_scalars(
        <[u8; 32]>::try_from(r).unwrap(),
        <[u8; 32]>::try_from(s).unwrap(),
    );
    signature.unwrap().to_der().as_bytes().to_vec()
}

/// The other S that fits to the same R.
fn with_other_s(signature: &[u8]) -> Vec<u8> {
    let signature = p256::ecdsa::Signature::from_slice(signature).unwrap();
    let (r, s) = signature.split_scalars();
    let other = p256::ecdsa::Signature::from_scalars(r.to_bytes(), (-s).to_bytes());
    other.unwrap().to_bytes().to_vec()
}
