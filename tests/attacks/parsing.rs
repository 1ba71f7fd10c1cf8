//! What is read: claims, types, sizes and duplicates.

use std::time::Duration;

use portcullis::check::scope;
use portcullis::jose::{Algorithm, Compact, base64url};
use portcullis::testing::TokenBuilder;
use portcullis::time::{Clock as _, Timestamp};
use portcullis::{Policy, RejectionKind as Kind};
use serde_json::{Value, json};

use crate::support::Wants::Pass;
use crate::support::{RESOURCE, World, bearer, parts, row, send};

/// CVE-2026-25537.
#[tokio::test]
async fn a_malformed_claim_is_not_an_absent_one() {
    let world = World::new().await;
    let past = world.clock.now().minus(Duration::from_mins(30)).to_string();
    let future = world.clock.now().plus(Duration::from_mins(30)).to_string();
    let raw = |name: &str, json: &str| world.token().raw_claim(name, json).sign();
    #[rustfmt::skip]
    let mut rows = vec![
        row("AT-10", "no nbf", world.token().without("nbf").sign(), Pass),
        row("AT-10", "nbf in the past", raw("nbf", &past), Pass),
        row("AT-10", "nbf in the future", raw("nbf", &future), Kind::NotYetValid),
        row(
            "AT-10",
            "exp in the past",
            world
                .token()
                .issued_at(Timestamp::from_secs(1_799_990_000))
                .raw_claim("exp", &past)
                .sign(),
            Kind::Expired,
        ),
    ];
    let quoted = [
        format!("\"{past}\""),
        format!("\"{future}\""),
        format!("[{future}]"),
        format!("[{past}]"),
    ];
    for name in ["exp", "nbf", "iat"] {
        for value in quoted.iter().map(String::as_str).chain(["null", "false", "\"\"", "{}", "[]"])
        {
            let title = format!("{name}: {value}");
            rows.push(row("AT-10", title, raw(name, value), Kind::MalformedClaim));
        }
    }
    for name in ["aud", "sub", "client_id", "jti", "scope"] {
        for value in ["null", "false", "0", "{}"] {
            let title = format!("{name}: {value}");
            rows.push(row("AT-10", title, raw(name, value), Kind::MalformedClaim));
        }
    }
    world.check(rows).await;
}

/// CVE-2026-107723.
#[tokio::test]
async fn a_payload_that_is_no_object_has_no_claims_to_skip() {
    let world = World::new().await;
    let payload = world.token().payload();
    let of = |text: String| world.token().raw_payload(text).sign();
    let mut rows = vec![row("JWS-04", "an object", of(payload.clone()), Pass)];
    for text in [
        format!("[{payload}]"),
        format!("[[{payload}]]"),
        format!("[{payload},{payload}]"),
        format!("\"{}\"", payload.replace('"', "\\\"")),
        "[]".to_owned(),
        "null".to_owned(),
        "true".to_owned(),
        "0".to_owned(),
        " ".to_owned(),
    ] {
        rows.push(row("JWS-04", &text, of(text.clone()), Kind::MalformedToken));
    }
    // An object without claims has nothing to be accepted by either.
    rows.push(row("JWS-04", "an empty object", of("{}".to_owned()), Kind::UnknownIssuer));
    world.check(rows).await;
}

/// CVE-2020-26160, CVE-2026-116684, CVE-2026-115413.
#[tokio::test]
async fn an_audience_of_another_type_or_none_is_refused() {
    let world = World::new().await;
    let aud = |aud: Value| world.token().claim("aud", aud).sign();
    let malformed = Kind::MalformedClaim;
    #[rustfmt::skip]
    let rows = [
        row("AT-06", "a string", aud(json!(RESOURCE)), Pass),
        row("AT-06", "an array", aud(json!([RESOURCE])), Pass),
        row("AT-06", "an array of others", aud(json!(["https://other.example"])), Kind::WrongAudience),
        row("AT-06", "none", world.token().without("aud").sign(), Kind::MissingClaim),
        row("AT-06", "an empty array", aud(json!([])), malformed),
        row("AT-06", "an array with an empty text", aud(json!([""])), Kind::WrongAudience),
        row("AT-06", "an array with a number", aud(json!([RESOURCE, 0])), malformed),
        row("AT-06", "an array in an array", aud(json!([[RESOURCE]])), malformed),
        row("AT-06", "an object of that name", aud(json!({RESOURCE: RESOURCE})), malformed),
        row("AT-06", "null", aud(json!(null)), malformed),
        row("AT-06", "an array of nothing", aud(json!([null])), malformed),
    ];
    world.check(rows).await;
}

/// Signed and unsigned integers that wrap: a leeway added to, or taken from, the ends of a range.
#[tokio::test]
async fn huge_and_negative_times_do_not_wrap() {
    for leeway in [Duration::ZERO, Duration::from_mins(5)] {
        let world = World::with(Algorithm::Es256, |builder| builder.leeway(leeway)).await;
        let raw = |name: &str, json: &str| world.token().raw_claim(name, json).sign();
        let last = "253402300799";
        #[rustfmt::skip]
        let mut rows = vec![
            row("JWS-43", "good", world.token().sign(), Pass),
            row("JWS-43", "nbf at the start of time", raw("nbf", "0"), Pass),
            row("JWS-43", "nbf at its end", raw("nbf", last), Kind::NotYetValid),
            row("JWS-43", "iat at its end", raw("iat", last), Kind::IssuedInFuture),
            row("JWS-43", "exp at its end", raw("exp", last), Kind::LifetimeTooLong),
            row(
                "JWS-43",
                "iat and exp at its end",
                world
                    .token()
                    .raw_claim("iat", last)
                    .raw_claim("exp", last)
                    .sign(),
                Kind::IssuedInFuture,
            ),
            row("JWS-43", "exp at its start", raw("exp", "0"), Kind::Expired),
            row("JWS-43", "iat at its start", raw("iat", "0"), Kind::LifetimeTooLong),
        ];
        for name in ["exp", "nbf", "iat"] {
            #[rustfmt::skip]
            let values = [
                "-1", "-300", "-0", "-9223372036854775808", "9223372036854775807",
                "9223372036854775508", "18446744073709551615", "18446744073709551316",
                "4294967296e9", "1e18", "1e308", "-1e308", "1e-400e1", "2147483648e3",
                "253402300800",
            ];
            for value in values {
                let kind =
                    if value == "1e-400e1" { Kind::MalformedToken } else { Kind::MalformedClaim };
                rows.push(row("JWS-43", format!("{name}: {value}"), raw(name, value), kind));
            }
        }
        world.check(rows).await;
    }
}

/// RFC 7515 §4, RFC 7519 §4: two parsers that disagree about which of two members counts.
#[tokio::test]
async fn a_member_that_occurs_twice_has_no_meaning() {
    let world = World::new().await;
    let payload = world.token().payload();
    let inner = &payload[1..payload.len() - 1];
    let of = |text: String| world.token().raw_payload(text).sign();
    let mut rows = vec![row("JWS-06", "each once", of(format!("{{{inner}}}")), Pass)];
    #[rustfmt::skip]
    let members = [
        r#""aud":"https://other.example""#, r#""exp":99999999999"#, r#""sub":"root""#,
        r#""scope":"admin""#, r#""iss":"https://evil.example""#, r#""\u0073ub":"root""#,
        r#""s\u0075b":"root""#,
    ];
    for member in members {
        let malformed = Kind::MalformedToken;
        let (first, last) = (format!("{{{member},{inner}}}"), format!("{{{inner},{member}}}"));
        if member.contains("scope") {
            // Only once in the token as it is made.
            rows.push(row("JWS-06", member, of(last), Pass));
            let twice = format!("{{{member},{inner},\"scope\":\"\"}}");
            rows.push(row("JWS-06", "scope, twice", of(twice), malformed));
            continue;
        }
        rows.push(row("JWS-06", format!("{member} first"), of(first), malformed));
        rows.push(row("JWS-06", format!("{member} last"), of(last), malformed));
    }
    let header = |text: &str| world.token().raw_header(text).sign();
    for text in [
        r#"{"alg":"none","alg":"ES256","typ":"at+jwt","kid":"k1"}"#,
        r#"{"alg":"ES256","typ":"at+jwt","kid":"k1","alg":"none"}"#,
        r#"{"alg":"ES256","typ":"at+jwt","kid":"k1","\u0061lg":"none"}"#,
        r#"{"alg":"ES256","typ":"JWT","kid":"k1","typ":"at+jwt"}"#,
    ] {
        rows.push(row("JWS-05", text, header(text), Kind::MalformedToken));
    }
    world.check(rows).await;
}

/// CVE-2025-61920, CVE-2025-30204; a `typ` that is no string and a panic.
#[tokio::test]
async fn an_oversized_token_is_not_read() {
    let world = World::new().await;
    let good = world.token().sign();
    let [header, payload, signature] = parts(&good);
    let many = |count: usize| ".".repeat(count);
    let long = base64url::encode(format!(
        r#"{{"alg":"ES256","typ":"at+jwt","kid":"k1","x":"{}"}}"#,
        "x".repeat(7_000)
    ));
    let with = |name: &str, value: Value| world.token().header(name, value).sign();
    #[rustfmt::skip]
    let rows = [
        row("JWS-55", "good", good.clone(), Pass),
        row("JWS-55", "a header of 9 KiB", format!("{long}.{payload}.{signature}"), Kind::MalformedToken),
        row(
            "JWS-55",
            "a header of megabytes",
            format!("{}.{payload}.{signature}", header.repeat(50_000)),
            Kind::TokenTooLong,
        ),
        row(
            "JWS-55",
            "a signature of megabytes",
            format!("{header}.{payload}.{}", signature.repeat(50_000)),
            Kind::TokenTooLong,
        ),
        row(
            "JWS-55",
            "a signature of 10 KiB",
            format!("{header}.{payload}.{}", "A".repeat(10_240)),
            Kind::BadSignature,
        ),
        row("JWS-01", "ten thousand dots", many(10_000), Kind::MalformedToken),
        row("JWS-01", "a token and dots", format!("{good}{}", many(10_000)), Kind::MalformedToken),
        row("AT-01", "typ as a number", with("typ", json!(1)), Kind::WrongType),
        row("AT-01", "typ as an object", with("typ", json!({})), Kind::WrongType),
        row("JWS-07", "alg as an object", with("alg", json!({})), Kind::AlgorithmNotAllowed),
        row("JWS-15", "kid as an object", with("kid", json!({})), Kind::MalformedToken),
    ];
    world.check(rows).await;
    assert!(Compact::parse(&many(50_000_000)).is_err());
}

/// CVE-2023-49290, CVE-2023-50966, GHSA-jv3g-j58f-9mq9, CVE-2024-21319.
#[tokio::test]
async fn no_work_factor_and_no_compression_is_taken_from_a_token() {
    let world = World::new().await;
    let good = world.token().sign();
    let [_, payload, signature] = parts(&good);
    let header = |text: &str| base64url::encode(text);
    let pbes2 = header(
        r#"{"alg":"PBES2-HS512+A256KW","p2c":2147483647,"p2s":"AAAA","typ":"at+jwt","kid":"k1"}"#,
    );
    let sealed =
        header(r#"{"alg":"PBES2-HS512+A256KW","enc":"A256GCM","p2c":2147483647,"p2s":"AAAA"}"#);
    let zipped = header(r#"{"alg":"dir","enc":"A256GCM","zip":"DEF"}"#);
    #[rustfmt::skip]
    let rows = [
        row("JWS-36", "signed", good.clone(), Pass),
        row("JWS-36", "a count that nobody reads", world.token().header("p2c", 2_147_483_647).sign(), Pass),
        row("JWS-36", "PBES2, three parts", format!("{pbes2}.{payload}.{signature}"), Kind::AlgorithmNotAllowed),
        row("JWS-36", "PBES2, five parts", format!("{sealed}.AA.AA.AA.AA"), Kind::EncryptedToken),
        row("JWS-36", "zip, five parts", format!("{zipped}..AA.AA.AA"), Kind::EncryptedToken),
        row("JWS-13", "zip, signed", world.token().header("zip", "DEF").sign(), Kind::UnsupportedHeader),
        row("JWS-13", "zip that is null", world.token().header("zip", json!(null)).sign(), Kind::UnsupportedHeader),
    ];
    world.check(rows).await;
}

/// An ID token where an access token is wanted: issuer, key and sometimes the audience are right.
#[tokio::test]
async fn an_id_token_is_no_access_token() {
    let world = World::new().await;
    let claims =
        |token: TokenBuilder| token.claim("nonce", "n").claim("at_hash", "x").claim("azp", "app");
    let typed = |typ: &str| claims(world.token()).header("typ", typ).sign();
    let wrong = Kind::WrongType;
    #[rustfmt::skip]
    let rows = [
        row("AT-15", "an access token with the claims of an ID token", claims(world.token()).sign(), Pass),
        row("AT-15", "for this resource", typed("JWT"), wrong),
        row("AT-15", "in lower case", typed("jwt"), wrong),
        row("AT-15", "an empty type", typed(""), wrong),
        row("AT-15", "id_token+jwt", typed("id_token+jwt"), wrong),
        row("AT-15", "no type", claims(world.token()).without_header("typ").sign(), wrong),
        row("AT-15", "for the client", claims(world.token()).header("typ", "JWT").claim("aud", "app").sign(), wrong),
        row(
            "AT-15",
            "for the client, called at+jwt",
            claims(world.token()).claim("aud", "app").sign(),
            Kind::WrongAudience,
        ),
    ];
    world.check(rows).await;
}

/// CVE-2026-32716, CVE-2026-54560, CVE-2026-46549.
#[tokio::test]
async fn a_scope_is_compared_whole_and_always() {
    let world = World::new().await;
    let layer = world.api.protect(scope("storage.read:/home"));
    for (held, status) in [
        ("storage.read:/home", 200),
        ("x storage.read:/home y", 200),
        ("storage.read:/homeless", 403),
        ("storage.read:/home/alice", 403),
        ("storage.read:/", 403),
        ("storage.read", 403),
        ("storage", 403),
        ("astorage.read:/home", 403),
        ("storage.read:/home,x", 403),
        ("STORAGE.READ:/HOME", 403),
        ("", 403),
    ] {
        let sent = send(&layer, bearer(&world.token().scope(held).sign())).await;
        assert_eq!(sent.response.status(), status, "{held:?}");
    }
    // It is asked also where another claim is odd or absent, and a token without it has none.
    for (name, token, status) in [
        ("no scope", world.token().without("scope").sign(), 403),
        ("no client", world.token().without("client_id").scope("x").sign(), 401),
        (
            "no client, the scope",
            world.token().without("client_id").scope("storage.read:/home").sign(),
            401,
        ),
        ("a client of its own", world.token().client_id("alice").scope("x").sign(), 403),
        ("scp", world.token().claim("scp", ["storage.read:/home"]).sign(), 403),
    ] {
        let sent = send(&layer, bearer(&token)).await;
        assert_eq!(sent.response.status(), status, "{name}");
        assert!(!sent.passed());
    }
    // It is asked by optional policies too, and cannot be left out by naming none.
    let optional = world.api.protect(Policy::new(scope("a")).optional());
    assert_eq!(send(&optional, bearer(&world.token().sign())).await.response.status(), 403);
    let none: [&str; 0] = [];
    assert!(world.api.guard(portcullis::check::all_scopes(none)).is_err());
    assert!(world.api.guard(portcullis::check::any_scope(none)).is_err());
}
