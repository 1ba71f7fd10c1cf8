//! Form and header: what a compact JWS has to look like.

use portcullis::RejectionKind as Kind;
use portcullis::jose::json::JsonError;
use portcullis::jose::{ClaimsSet, Compact, CompactError};
use serde_json::{Value, json};

use crate::support::Wants::Pass;
use crate::support::{ISSUER, World, parts, respelled, row};

/// AT-01, AT-02, ASVS-05.
#[tokio::test]
async fn the_type_is_at_jwt() {
    let world = World::new().await;
    let typed = |typ: Value| world.token().header("typ", typ).sign();
    let spelled = |text: &str| {
        let header = format!(r#"{{"alg":"ES256","kid":"k1","typ":{text}}}"#);
        world.token().raw_header(header).sign()
    };
    #[rustfmt::skip]
    let mut rows = vec![
        row("AT-01", "escaped", spelled(r#""\u0061t+jwt""#), Pass),
        row("AT-01", "escaped otherwise", spelled(r#""\u0062t+jwt""#), Kind::WrongType),
        row("AT-01", "absent", world.token().without_header("typ").sign(), Kind::WrongType),
    ];
    for typ in ["at+jwt", "at+JWT", "AT+JWT", "application/at+jwt", "Application/AT+JWT"] {
        rows.push(row("AT-02", typ, typed(json!(typ)), Pass));
    }
    #[rustfmt::skip]
    let types = [
        "JWT", "jwt", "JOSE", "secevent+jwt", "dpop+jwt", "statuslist+jwt", "logout+jwt",
        "token-introspection+jwt", "application/token-introspection+jwt", "txntoken+jwt",
        "wit+jwt", "wpt+jwt", "", "at", "at+jwt ", " at+jwt", "at+jwt;v=1", "text/at+jwt",
        "/at+jwt", "application/application/at+jwt", "application/", "xat+jwt", "at+jwtx",
        "at jwt", "\u{e9}",
    ];
    for typ in types {
        rows.push(row("AT-01 JWS-42", format!("{typ:?}"), typed(json!(typ)), Kind::WrongType));
    }
    for typ in [json!(42), json!(null), json!(true), json!(["at+jwt"]), json!({"at+jwt": 1})] {
        rows.push(row("AT-01", typ.to_string(), typed(typ), Kind::WrongType));
    }
    world.check(rows).await;
}

/// AT-03, JWS-07, JWS-23, JWS-33, JWS-34, JWS-36, ASVS-02.
#[tokio::test]
async fn the_algorithm_is_one_that_is_known() {
    let world = World::new().await;
    let of = |alg: Value| world.token().header("alg", alg).sign();
    let spelled = |text: &str| {
        let header = format!(r#"{{"alg":{text},"kid":"k1","typ":"at+jwt"}}"#);
        world.token().raw_header(header).sign()
    };
    #[rustfmt::skip]
    let mut rows = vec![
        row("JWS-07", "as it is", of(json!("ES256")), Pass),
        row("JWS-07", "escaped", spelled(r#""\u0045S256""#), Pass),
        row("JWS-07", "escaped otherwise", spelled(r#""\u0065S256""#), Kind::AlgorithmNotAllowed),
        row("JWS-07", "absent", world.token().without_header("alg").sign(), Kind::AlgorithmNotAllowed),
        row("AT-03", "ES256 and no signature", world.token().unsigned("ES256"), Kind::MalformedToken),
    ];
    for alg in ["none", "nOnE", "noNE", "NONE", "None", " none"] {
        rows.push(row("AT-03 JWS-23", alg, of(json!(alg)), Kind::AlgorithmNotAllowed));
        let unsigned = world.token().unsigned(alg);
        rows.push(row("AT-03", format!("{alg}, unsigned"), unsigned, Kind::MalformedToken));
    }
    #[rustfmt::skip]
    let algs = [
        "es256", "ES256 ", " ES256", "Es256", "ES256\0", "", "ESP256", "ES256K", "HS256", "HS384",
        "HS512", "PBES2-HS256+A128KW", "dir", "RSA-OAEP", "A128GCMKW", "ECDH-ES", "RS1", "Ed448",
        "ML-DSA-44", "SHA256withECDSA",
    ];
    for alg in algs {
        let name = format!("{alg:?}");
        rows.push(row("JWS-07 JWS-33 JWS-36", name, of(json!(alg)), Kind::AlgorithmNotAllowed));
    }
    for alg in [json!(null), json!(256), json!(["ES256"]), json!({"ES256": 1}), json!(true)] {
        rows.push(row("JWS-07", alg.to_string(), of(alg), Kind::AlgorithmNotAllowed));
    }
    world.check(rows).await;
}

/// JWS-01, JWS-10, JWS-35, AT-12.
#[tokio::test]
async fn a_token_has_three_parts() {
    let world = World::new().await;
    let good = world.token().sign();
    let [header, payload, signature] = parts(&good);
    #[rustfmt::skip]
    let rows = [
        row("JWS-01", "three", good.clone(), Pass),
        row("JWS-01", "one", header, Kind::OpaqueToken),
        row("JWS-01", "two", format!("{header}.{payload}"), Kind::MalformedToken),
        row("JWS-01", "four", format!("{good}.x"), Kind::MalformedToken),
        row("JWS-01", "an empty fourth", format!("{good}."), Kind::MalformedToken),
        row("JWS-01", "an empty first", format!(".{good}"), Kind::MalformedToken),
        row("AT-12 JWS-35", "five", format!("{good}.x.y"), Kind::EncryptedToken),
        row("AT-12 JWS-35", "five, four of them empty", format!("{header}...."), Kind::EncryptedToken),
        row("JWS-01", "six", format!("{good}.x.y.z"), Kind::MalformedToken),
        row("JWS-01", "no header", format!(".{payload}.{signature}"), Kind::MalformedToken),
        row("JWS-10", "a detached payload", format!("{header}..{signature}"), Kind::MalformedToken),
        row("AT-03", "no signature", format!("{header}.{payload}."), Kind::MalformedToken),
        row("JWS-01", "dots", "..", Kind::MalformedToken),
        row(
            "JWS-01",
            "flattened JSON",
            format!(
                r#"{{"protected":"{header}","payload":"{payload}","signature":"{signature}"}}"#
            ),
            Kind::MalformedCredentials,
        ),
        row(
            "JWS-01",
            "general JSON",
            format!(
                r#"{{"payload":"{payload}","signatures":[{{"protected":"{header}","signature":"{signature}"}}]}}"#
            ),
            Kind::MalformedCredentials,
        ),
        row("JWS-01", "a quoted token", format!("\"{good}\""), Kind::MalformedCredentials),
    ];
    world.check(rows).await;
}

/// JWS-02, JWS-03: one spelling only.
#[tokio::test]
async fn base64url_is_canonical() {
    let world = World::new().await;
    // Every part has unused bits, and the signature has both letters that base64 spells otherwise.
    let good = (0..)
        .map(|length| {
            world
                .token()
                .header("x", "x".repeat(length % 3))
                .claim("y", "y".repeat(length % 4))
                .sign()
        })
        .find(|token| {
            let [header, payload, signature] = parts(token);
            header.len() % 4 != 0
                && payload.len() % 4 != 0
                && signature.contains('-')
                && signature.contains('_')
        })
        .unwrap();
    let [header, payload, signature] = parts(&good);
    #[rustfmt::skip]
    let rows = [
        row("JWS-02", "as it is", good.clone(), Pass),
        row("JWS-02", "padding at the end", format!("{good}=="), Kind::MalformedToken),
        row("JWS-02", "one padding character", format!("{good}="), Kind::MalformedToken),
        row("JWS-02", "padding in the header", format!("{header}=.{payload}.{signature}"), Kind::MalformedCredentials),
        row("JWS-02", "padding in the payload", format!("{header}.{payload}==.{signature}"), Kind::MalformedCredentials),
        row("JWS-02", "+", format!("{header}.{payload}.{}", signature.replace('-', "+")), Kind::MalformedToken),
        row("JWS-02", "/", format!("{header}.{payload}.{}", signature.replace('_', "/")), Kind::MalformedToken),
        row("JWS-02", "~", format!("{header}.{payload}~.{signature}"), Kind::MalformedToken),
        row("JWS-02", "percent encoding", format!("{good}%3D"), Kind::MalformedCredentials),
        row("JWS-02", "a space", format!("{header}.{payload}. {signature}"), Kind::MalformedCredentials),
        row("JWS-02", "a tab at the end", format!("{good}\t"), Kind::MalformedCredentials),
        row("JWS-02", "an impossible length", format!("{header}.{payload}.{}", &signature[..85]), Kind::MalformedToken),
        row(
            "JWS-03",
            "unused bits of the header",
            format!("{}.{payload}.{signature}", respelled(header)),
            Kind::MalformedToken,
        ),
        row(
            "JWS-03",
            "unused bits of the payload",
            format!("{header}.{}.{signature}", respelled(payload)),
            Kind::MalformedToken,
        ),
        row(
            "JWS-03",
            "unused bits of the signature",
            format!("{header}.{payload}.{}", respelled(signature)),
            Kind::MalformedToken,
        ),
    ];
    world.check(rows).await;
    // No field can carry a line break; the parser does not take one either.
    for end in ["\n", "\r\n", " ", "\0"] {
        let token = format!("{good}{end}");
        assert_eq!(Compact::parse(&token).map(|_| ()), Err(CompactError::Encoding), "{end:?}");
    }
    assert!(Compact::parse(&good).is_ok());
}

/// JWS-04, JWS-05, JWS-06, JWS-37: one meaning or none, in what nobody reads as well.
#[tokio::test]
async fn header_and_payload_are_json_objects_of_one_meaning() {
    let world = World::new().await;
    let header = |octets: &[u8]| world.token().raw_header(octets).sign();
    let payload = |octets: &[u8]| world.token().raw_payload(octets).sign();
    let h = r#"{"alg":"ES256","typ":"at+jwt","kid":"k1"}"#;
    let p = world.token().payload();
    let bad = Kind::MalformedToken;
    #[rustfmt::skip]
    let mut rows = vec![
        row("JWS-04", "the header, written out", header(h.as_bytes()), Pass),
        row("JWS-04", "the payload, written out", payload(p.as_bytes()), Pass),
        row("JWS-04", "an array", payload(b"[1]"), bad),
        row("JWS-04", "an array of the object", payload(format!("[{p}]").as_bytes()), bad),
        row("JWS-04", "a string", payload(b"\"x\""), bad),
        row("JWS-04", "null", payload(b"null"), bad),
        row("JWS-04", "an array as the header", header(format!("[{h}]").as_bytes()), bad),
        row("JWS-04", "a string as the header", header(b"\"x\""), bad),
        row("JWS-04", "a number as the header", header(b"1"), bad),
    ];
    for (name, text, make) in
        [("header", h, &header as &dyn Fn(&[u8]) -> String), ("payload", &p, &payload)]
    {
        let inner = &text[1..text.len() - 1];
        let add = |member: &[u8]| [b"{", inner.as_bytes(), b",", member, b"}"].concat();
        let utf16 = |bom: &[u8], swap: bool| {
            let units = text.encode_utf16();
            let octets =
                units.flat_map(|unit| if swap { unit.to_be_bytes() } else { unit.to_le_bytes() });
            bom.iter().copied().chain(octets).collect::<Vec<u8>>()
        };
        #[rustfmt::skip]
        let forms = [
            ("JWS-04", "white space around", format!(" \r\n\t{text}\n").into_bytes(), true),
            ("JWS-04", "white space inside", text.replace(',', " ,\n").into_bytes(), true),
            ("JWS-11 JWS-48", "a member more", add(br#""note":"x""#), true),
            ("JWS-04", "a member that is not ASCII", add("\"note\":\"\u{e9}\u{1f600}\"".as_bytes()), true),
            ("JWS-04", "trailing characters", format!("{text}ABCD").into_bytes(), false),
            ("JWS-04", "a trailing brace", format!("{text}}}").into_bytes(), false),
            ("JWS-04", "a trailing NUL", format!("{text}\0").into_bytes(), false),
            ("JWS-04", "two objects", format!("{text}{text}").into_bytes(), false),
            ("JWS-04", "a trailing comma", format!("{{{inner},}}").into_bytes(), false),
            ("JWS-04", "a comment", format!("{{{inner}/**/}}").into_bytes(), false),
            ("JWS-04", "single quotes", text.replace('"', "'").into_bytes(), false),
            ("JWS-04", "cut off", text.as_bytes()[..text.len() - 1].to_vec(), false),
            ("JWS-04", "invalid UTF-8 in a member that nobody reads", add(b"\"note\":\"\xff\""), false),
            ("JWS-04", "an overlong form", add(b"\"note\":\"\xc0\x80\""), false),
            ("JWS-04", "a surrogate as UTF-8", add(b"\"note\":\"\xed\xa0\x80\""), false),
            ("JWS-04", "a lone surrogate", add(br#""note":"\ud83d""#), false),
            ("JWS-04", "a byte order mark", format!("\u{feff}{text}").into_bytes(), false),
            ("JWS-37", "UTF-16, little end first", utf16(b"\xff\xfe", false), false),
            ("JWS-37", "UTF-16, big end first", utf16(b"\xfe\xff", true), false),
            ("JWS-37", "UTF-16 without mark", utf16(b"", false), false),
            ("JWS-06", "a duplicate that nobody reads", add(br#""note":1,"note":1"#), false),
            ("JWS-06", "a duplicate inside", add(br#""note":{"a":1,"a":1}"#), false),
            ("JWS-06", "its twin", add(br#""note":{"a":1,"b":1}"#), true),
            ("JWS-06", "a duplicate deep inside", add(br#""note":[[{"a":{"b":1,"\u0062":2}}]]"#), false),
            ("JWS-06", "one name in two objects", add(br#""note":[{"a":1},{"a":1}]"#), true),
            ("JWS-06", "names that differ in case", add(br#""note":1,"Note":1"#), true),
            ("JWS-06", "names that look alike", add("\"\u{e9}\":1,\"e\u{301}\":1".as_bytes()), true),
        ];
        for (id, form, octets, passes) in forms {
            let wants = if passes { Pass } else { bad.into() };
            rows.push(row(id, format!("{name}: {form}"), make(&octets), wants));
        }
    }
    for (id, member) in [
        ("JWS-05", r#""alg":"ES256""#),
        ("JWS-05", r#""\u0061lg":"ES256""#),
        ("JWS-05", r#""alg":"none""#),
        ("JWS-05", r#""kid":"k1""#),
        ("JWS-05", r#""typ":"at+jwt""#),
        ("JWS-05", r#""ty\u0070":"JWT""#),
    ] {
        let twice = format!("{},{member}}}", &h[..h.len() - 1]);
        rows.push(row(id, format!("header, twice: {member}"), header(twice.as_bytes()), bad));
    }
    for (id, member) in [
        ("JWS-06", r#""aud":"https://rs.example""#),
        ("JWS-06", r#""\u0061ud":"https://other.example""#),
        ("JWS-06", r#""exp":9999999999"#),
        ("JWS-06", r#""e\u0078p":1800000300"#),
        ("JWS-06", r#""iss":"https://as.example""#),
        ("JWS-06", r#""cnf":{"jkt":"a","jkt":"b"}"#),
        ("JWS-06", r#""cnf":{"jkt":"a","j\u006bt":"b"}"#),
    ] {
        let twice = format!("{},{member}}}", &p[..p.len() - 1]);
        rows.push(row(id, format!("payload, twice: {member}"), payload(twice.as_bytes()), bad));
    }
    world.check(rows).await;
}

/// JWS-08, JWS-09, JWS-10, JWS-13, JWS-35.
#[tokio::test]
async fn a_header_that_asks_for_more_is_refused() {
    let world = World::new().await;
    let nested = world.token().sign();
    let no = Kind::UnsupportedHeader;
    let with = |name: &str, value: Value| world.token().header(name, value);
    #[rustfmt::skip]
    let mut rows = vec![
        row("JWS-11", "a parameter that nobody knows", with("foo", json!(1)).sign(), Pass),
        row("JWS-11", "an object that nobody knows", with("foo", json!({"crit": ["x"]})).sign(), Pass),
        row("JWS-11 JWS-12", "a claim replicated", with("iss", json!(ISSUER)).sign(), Pass),
        row("JWS-11", "a name in another case", with("Crit", json!(["x"])).sign(), Pass),
        row("JWS-10", "b64 and crit", with("b64", json!(false)).header("crit", ["b64"]).sign(), no),
        row("JWS-10", "b64 that is true, and crit", with("b64", json!(true)).header("crit", ["b64"]).sign(), no),
        row("JWS-10", "b64", with("b64", json!(false)).sign(), no),
        row("JWS-10", "b64 as a string", with("b64", json!("false")).sign(), no),
        row("JWS-13", "zip", with("zip", json!("DEF")).sign(), no),
        row("JWS-13", "enc", with("enc", json!("A128GCM")).sign(), no),
        row("JWS-35", "cty", with("cty", json!("JWT")).sign(), no),
        row("JWS-35", "a nested JWT", with("cty", json!("JWT")).raw_payload(nested.clone()).sign(), no),
        row("JWS-35", "a nested JWT without cty", world.token().raw_payload(nested).sign(), Kind::MalformedToken),
    ];
    for (id, crit) in [
        ("JWS-08", json!(["exp"])),
        ("JWS-08", json!(["http://x"])),
        ("JWS-08", json!(["foo"])),
        ("JWS-09", json!([])),
        ("JWS-09", json!("exp")),
        ("JWS-09", json!([1])),
        ("JWS-09", json!(["foo", "foo"])),
        ("JWS-09", json!(["absent"])),
        ("JWS-09", json!(["alg"])),
        ("JWS-09", json!(["crit"])),
        ("JWS-09", json!(null)),
        ("JWS-09", json!({})),
    ] {
        let token = with("crit", crit.clone()).header("foo", 1).sign();
        rows.push(row(id, format!("crit: {crit}"), token, no));
    }
    world.check(rows).await;
}

/// JWS-55, DEL-06, API-03: header, token and nesting have bounds.
#[tokio::test]
async fn sizes_are_bounded() {
    let world = World::new().await;
    let header_of = |length: usize| {
        let token = |filler: usize| world.token().header("x", "x".repeat(filler)).sign();
        let shortest = parts(&token(0))[0].len();
        (0..)
            .map(|extra| token((length - shortest) * 3 / 4 - 4 + extra))
            .find(|token| parts(token)[0].len() >= length)
            .unwrap()
    };
    let (fits, too_long) = (header_of(8 * 1024 - 2), header_of(8 * 1024 + 1));
    assert!(parts(&fits)[0].len() <= 8 * 1024);
    let nested = |levels: usize, open: &str, close: &str| {
        let text = format!("{}1{}", open.repeat(levels), close.repeat(levels));
        world.token().raw_claim("x", &text).sign()
    };
    let chain = |levels: usize| {
        let open = r#"{"sub":"a","act":"#;
        world
            .token()
            .raw_claim("act", &format!("{}{{}}{}", open.repeat(levels), "}".repeat(levels)))
            .sign()
    };
    let many = |count: usize| {
        let members: Vec<String> = (0..count).map(|n| format!("\"m{n}\":{n}")).collect();
        world.token().raw_claim("x", &format!("{{{}}}", members.join(","))).sign()
    };
    #[rustfmt::skip]
    let rows = [
        row("JWS-55", "a header of 8 KiB", fits, Pass),
        row("JWS-55", "a longer header", too_long, Kind::MalformedToken),
        row("JWS-55", "sixteen levels", nested(15, "[", "]"), Pass),
        row("JWS-55", "seventeen levels", nested(16, "[", "]"), Kind::MalformedToken),
        row("JWS-55", "sixteen levels of objects", nested(15, "{\"a\":", "}"), Pass),
        row("JWS-55", "seventeen levels of objects", nested(16, "{\"a\":", "}"), Kind::MalformedToken),
        row("JWS-55", "thousands of levels", nested(5_500, "[", "]"), Kind::MalformedToken),
        row("DEL-06", "a chain of five actors", chain(5), Pass),
        row("DEL-06", "a chain of six hundred", chain(600), Kind::MalformedToken),
        row("JWS-55", "many claims", many(900), Pass),
        row("JWS-55", "more than fit", many(5_000), Kind::TokenTooLong),
        row("JWS-55", "one megabyte", "x".repeat(1 << 20), Kind::TokenTooLong),
        row("JWS-55", "one megabyte of dots", ".".repeat(1 << 20), Kind::TokenTooLong),
    ];
    world.check(rows).await;
    for levels in [10_000, 1_000_000] {
        let text = format!("{{\"act\":{}{}}}", "{\"act\":".repeat(levels), "}".repeat(levels));
        assert_eq!(ClaimsSet::parse(text.as_bytes()).map(|_| ()).unwrap_err(), JsonError::TooDeep);
    }
}
