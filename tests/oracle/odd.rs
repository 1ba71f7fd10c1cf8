//! Odd tokens with a good signature: claims, headers and JSON that no issuer should write.

use portcullis::testing::{TestIssuer, TokenBuilder};
use serde_json::Value;

use super::RESOURCE;
use super::mutants::{Made, Mutant, mutant, parts};

/// Claims instead of a good token's, as JSON text.
const CLAIMS: &[(&str, &[&str])] = &[
    (
        "aud",
        &[
            r#""https://other.example""#,
            r#"["https://other.example"]"#,
            r#"["https://other.example","https://rs.example"]"#,
            r#"["https://rs.example","https://rs.example"]"#,
            r#"["https://rs.example",""]"#,
            r#"["https://rs.example",1]"#,
            r#"[["https://rs.example"]]"#,
            r#""https://rs.example/""#,
            r#""https://rs.example ""#,
            r#""https://RS.example""#,
            r#""https:\/\/rs.example""#,
            r#""https://rs.exampl""#,
        ],
    ),
    (
        "iss",
        &[
            r#""https://other.example""#,
            r#"["https://as.example"]"#,
            r#"["https://other.example","https://as.example"]"#,
            r#""https://as.example/""#,
            r#""https://AS.example""#,
            r#""https:\/\/as.exampl\u0065""#,
        ],
    ),
    (
        "exp",
        &[
            "1799999990",
            "1799999990.000001",
            "1799999991",
            "1799999989",
            "1800000000",
            "1800000900",
            "1800000900.001",
            "1800000901",
            "1.8000003e9",
            "18000003e2",
            "1800000300.5",
            "0",
            "-1",
            "253402300799",
            "253402300800",
            "9007199254740993",
            "18446744073709551616",
            "1e400",
            "1e-400",
            r#""1800000300""#,
            "[1800000300]",
        ],
    ),
    (
        "nbf",
        &[
            "1799999999",
            "1800000000",
            "1800000010",
            "1800000010.001",
            "1800000011",
            "1.8e9",
            "-1",
            "253402300800",
            r#""1800000000""#,
            "null",
        ],
    ),
    (
        "iat",
        &[
            "1800000010",
            "1800000010.001",
            "1800000011",
            "1799999400",
            "1799999399.999",
            "1799999399",
            "0",
            "-1",
            "1e400",
            "-0",
            "1800000000.5",
            r#""1800000000""#,
        ],
    ),
    (
        "scope",
        &[
            r#""""#,
            r#""a b""#,
            r#""a  b ""#,
            r#""a\tb""#,
            r#""a\"b""#,
            r#""é""#,
            r#"["a"]"#,
            "null",
            "1",
        ],
    ),
    (
        "sub",
        &[
            r#""\u0061lice""#,
            r#""\ud83d\ude00""#,
            r#""\u0000""#,
            r#""ali\nce""#,
            r#""é""#,
            r#""e\u0301""#,
        ],
    ),
    ("cnf", &["null", "{}", "[]", r#"{"jkt":"x"}"#, r#"{"kid":"x"}"#]),
    ("events", &["null", "{}", r#"{"https://e.example":{}}"#]),
    (
        "x",
        &[
            "1e400",
            "-0",
            r#"{"a":[1,{"b":null}]}"#,
            r#""\ud83d\ude00""#,
            "[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]",
        ],
    ),
];

pub(crate) fn claims(issuer: &TestIssuer) -> Vec<Mutant> {
    let mut mutants = Vec::new();
    let mut add = |name: String, token: TokenBuilder| {
        mutants.push(mutant(name, token.sign(), Made::Signed));
    };
    for name in ["iss", "aud", "sub", "client_id", "jti", "iat", "exp"] {
        add(format!("without {name}"), issuer.token(RESOURCE).without(name));
        for value in ["null", "1", r#""""#, "[]", "{}", "true", "[null]"] {
            let token = issuer.token(RESOURCE).raw_claim(name, value);
            add(format!("{name}: {value}"), token);
        }
    }
    for (name, values) in CLAIMS {
        for value in *values {
            let token = issuer.token(RESOURCE).raw_claim(name, value);
            add(format!("{name}: {value}"), token);
        }
    }
    mutants
}

/// Members of the header instead of a good token's, as JSON text.
const HEADER: &[(&str, &[&str])] = &[
    (
        "typ",
        &[
            r#""AT+JWT""#,
            r#""application/at+jwt""#,
            r#""at\u002bjwt""#,
            r#""JWT""#,
            r#""dpop+jwt""#,
            r#""""#,
            "null",
            "1",
        ],
    ),
    ("kid", &[r#""k1""#, r#""\u006b1""#, r#""K1""#, r#""k2""#, r#""""#, "1"]),
    ("crit", &["[]", r#"["exp"]"#, r#""exp""#, "null"]),
    ("b64", &["true", "false", "null"]),
    ("zip", &[r#""DEF""#, "null"]),
    ("enc", &[r#""A128GCM""#, "null"]),
    ("cty", &[r#""JWT""#, "null"]),
    ("jku", &[r#""https://evil.example/jwks.json""#]),
    ("x5u", &[r#""https://evil.example/cert""#]),
    ("x5t", &[r#""AAAA""#]),
    (
        "jwk",
        &[r#"{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}"#],
    ),
    ("iss", &[r#""https://other.example""#]),
    ("alg", &["null", "1", r#""""#, r#""none""#]),
];

pub(crate) fn headers(issuer: &TestIssuer) -> Vec<Mutant> {
    let mut mutants = Vec::new();
    let mut add = |name: String, token: TokenBuilder| {
        mutants.push(mutant(name, token.sign(), Made::Signed));
    };
    for name in ["typ", "kid", "alg"] {
        add(format!("header without {name}"), issuer.token(RESOURCE).without_header(name));
    }
    for (name, values) in HEADER {
        for value in *values {
            let json: Value = serde_json::from_str(value).expect("JSON");
            let mut token = issuer.token(RESOURCE).header(name, json);
            if value.contains("\\u") {
                // Escapes survive only as they are written.
                let (header, _) = parts(&token);
                let plain = serde_json::from_str::<Value>(value).expect("JSON").to_string();
                let header = String::from_utf8(header).expect("text");
                token = token.raw_header(header.replace(&plain, value));
            }
            add(format!("header {name}: {value}"), token);
        }
    }
    mutants
}

pub(crate) fn json(issuer: &TestIssuer) -> Vec<Mutant> {
    let mut mutants = Vec::new();
    let mut add = |name: &str, token: TokenBuilder| {
        mutants.push(mutant(name.to_owned(), token.sign(), Made::Signed));
    };
    let token = || issuer.token(RESOURCE);
    for (name, claim, value) in [
        ("aud twice", "aud", r#""https://rs.example""#),
        ("exp twice", "exp", "1800000300"),
        ("sub twice", "sub", r#""bob""#),
        ("jti twice", "jti", r#""j""#),
        ("client_id twice", "client_id", r#""c""#),
    ] {
        add(name, token().repeated_claim(claim, value));
    }
    add("x twice", token().claim("x", 1).repeated_claim("x", "2"));
    for (name, value) in [
        ("lone high surrogate", r#""\ud800""#),
        ("lone low surrogate", r#""\udc00""#),
        ("two high surrogates", r#""\ud800\ud800""#),
        ("nested twice", r#"{"a":1,"a":2}"#),
        ("nested twice, escaped", r#"{"a":1,"\u0061":2}"#),
        ("nested in an array", r#"[{"a":1,"a":1}]"#),
        ("16 arrays", "[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]"),
    ] {
        add(name, token().raw_claim("x", value));
    }

    let (header, payload) = parts(&token());
    let header = String::from_utf8(header).expect("text");
    let payload = String::from_utf8(payload).expect("text");
    let with = |text: &str, members: &str| format!("{{{members},{}", text.trim_start_matches('{'));
    for (name, members) in [
        ("header y twice", r#""y":1,"y":2"#),
        ("header y twice, escaped", r#""y":1,"\u0079":2"#),
        ("header alg twice", r#""alg":"none""#),
        ("header typ twice", r#""typ":"JWT""#),
        ("header kid twice", r#""kid":"k1""#),
        ("header y nested twice", r#""y":{"a":1,"a":1}"#),
        ("header with a lone surrogate", r#""y":"\ud800""#),
    ] {
        add(name, token().raw_header(with(&header, members)));
    }
    // `null` for an optional member is absent to some readers, of another type to others.
    add("header kid: null", token().header("kid", Value::Null));
    let aud = r#""\u0061ud":"https://rs.example""#;
    add("aud twice, escaped", token().raw_payload(with(&payload, aud)));
    for (name, before, after) in [
        ("trailing characters", "", "x"),
        ("a second object", "", "{}"),
        ("a byte order mark", "\u{feff}", ""),
        ("a NUL after it", "", "\0"),
        ("in an array", "[", "]"),
    ] {
        add(&format!("header with {name}"), token().raw_header(format!("{before}{header}{after}")));
        add(
            &format!("payload with {name}"),
            token().raw_payload(format!("{before}{payload}{after}")),
        );
    }
    for (name, not_an_object) in [("a string", "\"x\""), ("a number", "1"), ("null", "null")] {
        add(&format!("header is {name}"), token().raw_header(not_an_object));
        add(&format!("payload is {name}"), token().raw_payload(not_an_object));
    }
    add("white space around", {
        let header = format!(" \t\r\n{header}\n");
        token().raw_header(header).raw_payload(format!("\n{payload} "))
    });
    let mut not_utf8 = with(&payload, r#""x":"?""#).into_bytes();
    if let Some(mark) = not_utf8.iter_mut().find(|octet| **octet == b'?') {
        *mark = 0xff;
    }
    add("payload that is not UTF-8", token().raw_payload(not_utf8));
    mutants
}
