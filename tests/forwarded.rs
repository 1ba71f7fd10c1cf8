//! Certificates as proxies forward them: RFC 9440, Envoy's field, percent-encoded PEM. Whose word is
//! taken for them, and what is stripped, is tested beside the code.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE};
use portcullis::certificate::Certificate;
use portcullis::sender::{
    ForwardedError, MAX_CLIENT_CERT, MAX_CLIENT_CERT_CHAIN, MAX_ESCAPED_PEM, MAX_XFCC, XfccElement,
    parse_client_cert, parse_escaped_pem, parse_xfcc,
};
use portcullis::testing::{TestCertificate, TestCertificateBuilder};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::{
    Just, ProptestConfig, Strategy, any, prop_assert_eq, prop_oneof, proptest,
};
use serde_json::Value;

const NONE: [&[u8]; 0] = [];

fn vectors() -> Value {
    serde_json::from_str(include_str!("vectors/forwarded.json")).unwrap()
}

fn client_cert(leaf: &[&str], chain: &[&str]) -> Result<Option<Certificate>, ForwardedError> {
    let lines = |lines: &[&str]| lines.iter().map(|line| line.as_bytes().to_vec()).collect();
    let (leaf, chain): (Vec<Vec<u8>>, Vec<Vec<u8>>) = (lines(leaf), lines(chain));
    parse_client_cert(leaf.iter().map(Vec::as_slice), chain.iter().map(Vec::as_slice))
}

fn xfcc<'a>(lines: &[&'a str]) -> Result<Vec<XfccElement<'a>>, ForwardedError> {
    parse_xfcc(lines.iter().map(|line| line.as_bytes()))
}

fn escaped_pem(line: &str) -> Result<Option<Certificate>, ForwardedError> {
    parse_escaped_pem([line.as_bytes()])
}

fn der(read: Result<Option<Certificate>, ForwardedError>) -> Result<Vec<u8>, ForwardedError> {
    read.map(|certificate| certificate.unwrap().der().unwrap().to_vec())
}

/// PEM with lines of 64 characters.
fn pem(der: &[u8]) -> String {
    let base64 = STANDARD.encode(der);
    let mut pem = "-----BEGIN CERTIFICATE-----\n".to_owned();
    for line in base64.as_bytes().chunks(64) {
        pem.push_str(std::str::from_utf8(line).unwrap());
        pem.push('\n');
    }
    pem + "-----END CERTIFICATE-----\n"
}

/// As `encodeURIComponent` has it.
fn escape(text: &str) -> String {
    let mut escaped = String::new();
    for octet in text.bytes() {
        match octet {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => {
                escaped.push(char::from(octet));
            }
            _ => escaped.push_str(&format!("%{octet:02X}")),
        }
    }
    escaped
}

fn hex(octets: &[u8]) -> String {
    octets.iter().map(|octet| format!("{octet:02x}")).collect()
}

// ---- RFC 9440

/// MTLS-12, MTLS-13, MTLS-03: rfc9440-appendix-a.
#[test]
fn the_example_of_rfc_9440_is_read() {
    let vector = &vectors()["client_cert"];
    let text = |name: &str| vector[name].as_str().unwrap().to_owned();
    let (leaf, chain) = (text("client_cert"), text("client_cert_chain"));
    let (first, second) = chain.split_once(", ").unwrap();
    for chain in [vec![chain.as_str()], vec![first, second]] {
        let read = client_cert(&[&leaf], &chain).unwrap().unwrap();
        assert_eq!(read.thumbprint().as_str(), text("x5t_s256"));
        assert_eq!(hex(read.sha256()), text("sha256_hex"));
        assert_eq!(pem(read.der().unwrap()), text("leaf_pem"));
        let chain: Vec<String> =
            read.chain().map(|der| format!(":{}:", STANDARD.encode(der))).collect();
        assert_eq!(chain, [first, second]);
    }
    let changed = leaf.replace("MIIBqDCC", "MIIBqDCD");
    let other = client_cert(&[&changed], &[]).unwrap().unwrap();
    assert_ne!(other.thumbprint().as_str(), text("x5t_s256"));
}

/// MTLS-12: one line, one Byte Sequence, nothing else.
#[test]
fn client_cert_is_one_byte_sequence() {
    use ForwardedError::{EmptyCertificate, NotByteSequence, Several};
    let url_safe = format!(":{}:", URL_SAFE.encode([0xfb, 0xff]));
    assert_eq!(url_safe, ":-_8=:");
    for (name, lines, expected) in [
        ("plain", &[":AQID:"][..], Ok(vec![1, 2, 3])),
        ("standard alphabet", &[":+/8=:"], Ok(vec![0xfb, 0xff])),
        ("spaces around it", &["  :AQID: "], Ok(vec![1, 2, 3])),
        ("two lines", &[":AQID:", ":AQID:"], Err(Several)),
        ("two lines, one empty", &[":AQID:", ""], Err(Several)),
        ("list of two", &[":AQID:, :AQID:"], Err(NotByteSequence)),
        ("inner list", &["(:AQID:)"], Err(NotByteSequence)),
        ("no colons", &["AQID"], Err(NotByteSequence)),
        ("no first colon", &["AQID:"], Err(NotByteSequence)),
        ("no last colon", &[":AQID"], Err(NotByteSequence)),
        ("base64url", &[&url_safe], Err(NotByteSequence)),
        ("white space within", &[":AQ ID:"], Err(NotByteSequence)),
        ("line break within", &[":AQ\nID:"], Err(NotByteSequence)),
        ("tab behind", &[":AQID:\t"], Err(NotByteSequence)),
        ("impossible length", &[":AQIDB:"], Err(NotByteSequence)),
        ("parameter", &[":AQID:;a=1"], Err(NotByteSequence)),
        ("parameter without a value", &[":AQID:;a"], Err(NotByteSequence)),
        ("string", &["\"AQID\""], Err(NotByteSequence)),
        ("number", &["1"], Err(NotByteSequence)),
        ("date", &["@1"], Err(NotByteSequence)),
        ("dictionary", &["a=:AQID:"], Err(NotByteSequence)),
        ("PEM", &["-----BEGIN CERTIFICATE----- AQID"], Err(NotByteSequence)),
        ("percent-encoded", &["%3AAQID%3A"], Err(NotByteSequence)),
        ("empty", &[""], Err(NotByteSequence)),
        ("no octets", &["::"], Err(EmptyCertificate)),
    ] {
        assert_eq!(der(client_cert(lines, &[])), expected, "{name}");
    }
    assert_eq!(client_cert(&[], &[]), Ok(None), "MTLS-25: no field is no certificate");
}

/// MTLS-13.
#[test]
fn client_cert_chain_is_a_list_behind_a_leaf() {
    use ForwardedError::{
        ChainAlone, EmptyCertificate, LeafInChain, NotByteSequence, TooManyCertificates,
    };
    let ten = [":BA==:"; 10].join(", ");
    let eleven = [":BA==:"; 11].join(", ");
    for (name, lines, expected) in [
        ("one", &[":BA==:"][..], Ok(1)),
        ("several", &[":BA==:,:BQ==: ,\t:Bg==:"], Ok(3)),
        ("several lines", &[":BA==:", ":BQ==:, :Bg==:"], Ok(3)),
        ("no members", &[""], Ok(0)),
        ("ten", &[&ten], Ok(10)),
        ("eleven", &[&eleven], Err(TooManyCertificates)),
        ("eleven over two lines", &[&ten, ":BQ==:"], Err(TooManyCertificates)),
        ("the leaf again", &[":BA==:, :AQID:"], Err(LeafInChain)),
        ("the leaf again, on a second line", &[":BA==:", ":AQID:"], Err(LeafInChain)),
        ("no octets", &[":BA==:, ::"], Err(EmptyCertificate)),
        ("token", &[":BA==:, a"], Err(NotByteSequence)),
        ("inner list", &["(:BA==:)"], Err(NotByteSequence)),
        ("empty inner list", &["()"], Err(NotByteSequence)),
        ("parameter", &[":BA==:;a=1"], Err(NotByteSequence)),
        ("comma at the end", &[":BA==:,"], Err(NotByteSequence)),
        ("two commas", &[":BA==:,,:BQ==:"], Err(NotByteSequence)),
        ("second line malformed", &[":BA==:", "BA=="], Err(NotByteSequence)),
    ] {
        let read = client_cert(&[":AQID:"], lines);
        assert_eq!(read.map(|read| read.unwrap().chain().len()), expected, "{name}");
        assert_eq!(client_cert(&[], lines), Err(ChainAlone), "{name}: no leaf");
    }
    // Octets are compared: padding may be left out (RFC 8941 §4.2.7).
    assert_eq!(client_cert(&[":AQ==:"], &[":AQ:"]), Err(LeafInChain));
}

/// MTLS-16.
#[test]
fn fields_longer_than_their_bounds_are_refused() {
    let too_long = ForwardedError::TooLong;
    // Padding is not needed (RFC 8941 §4.2.7), so that any length but 1 modulo 4 can be had.
    let leaf = |length: usize| format!(":{}:", "A".repeat(length - 2));
    assert!(client_cert(&[&leaf(MAX_CLIENT_CERT)], &[]).is_ok());
    assert_eq!(client_cert(&[&leaf(MAX_CLIENT_CERT + 1)], &[]), Err(too_long));

    let half = leaf(MAX_CLIENT_CERT_CHAIN / 2);
    assert!(client_cert(&[":AQID:"], &[&half, &half]).is_ok());
    assert_eq!(client_cert(&[":AQID:"], &[&half, &half, ":BA==:"]), Err(too_long));
    let lines = vec![""; MAX_CLIENT_CERT_CHAIN + 1];
    assert_eq!(client_cert(&[":AQID:"], &lines), Err(too_long), "lines without octets");

    let value = |length: usize| format!("URI={}", "a".repeat(length - 4));
    assert!(xfcc(&[&value(MAX_XFCC)]).is_ok());
    assert_eq!(xfcc(&[&value(MAX_XFCC + 1)]), Err(too_long));
    assert_eq!(xfcc(&[&value(MAX_XFCC), "By=b"]), Err(too_long));

    let around = "-----BEGIN%20CERTIFICATE-----%0A%0A-----END%20CERTIFICATE-----";
    let escaped = |length: usize| {
        around.replace("%0A%0A", &format!("%0A{}%0A", "A".repeat(length - around.len())))
    };
    // Base64 of 3 modulo 4 characters has an end, too.
    assert_eq!((MAX_ESCAPED_PEM - around.len()) % 4, 2);
    assert!(escaped_pem(&escaped(MAX_ESCAPED_PEM)).is_ok());
    assert_eq!(escaped_pem(&escaped(MAX_ESCAPED_PEM + 1)), Err(too_long));
}

/// MTLS-16: the bounds leave room for certificates with many names, and for such ones of intermediate CAs.
#[test]
fn large_certificates_are_read() {
    let large = || {
        let names = (0..300).map(|number| format!("{number}.workloads.example"));
        names.fold(TestCertificate::named("large"), TestCertificateBuilder::dns).self_signed()
    };
    let (leaf, above, root) = (large(), large(), large());
    let length = leaf.der().len();
    assert!((7_000..9_000).contains(&length), "{length}");
    let chain = [above, root].map(|large| large.client_cert_field());
    let read = client_cert(&[&leaf.client_cert_field()], &[&chain[0], &chain[1]]);
    assert_eq!(read.as_ref().unwrap().as_ref().unwrap().chain().len(), 2);
    assert_eq!(der(read).unwrap(), leaf.der());
    assert_eq!(der(escaped_pem(&leaf.escaped_pem_field())).unwrap(), leaf.der());
}

// ---- percent-encoded PEM

/// MTLS-21, MTLS-03: derived-nginx-escaped-cert.
#[test]
fn the_certificate_of_nginx_is_read() {
    let vector = &vectors()["escaped_pem"];
    let field = vector["field"].as_str().unwrap();
    let thumbprint = |read: Result<Option<Certificate>, ForwardedError>| {
        read.unwrap().unwrap().thumbprint().as_str().to_owned()
    };
    let expected = vector["x5t_s256"].as_str().unwrap();
    assert_eq!(thumbprint(escaped_pem(field)), expected);
    // Some proxies leave these three as they are.
    let plain = field.replace("%2B", "+").replace("%2F", "/").replace("%3D", "=");
    assert_ne!(plain, field);
    assert_eq!(thumbprint(escaped_pem(&plain)), expected, "a plus is a plus");
    assert_eq!(escaped_pem(&field.replace("%2B", "%20")).map(thumbprint_of), Err(NOT_PEM));
    assert_eq!(escaped_pem(&field.replace("%2B", " ")).map(thumbprint_of), Err(NOT_PEM));
}

const NOT_PEM: ForwardedError = ForwardedError::NotPem;

fn thumbprint_of(certificate: Option<Certificate>) -> String {
    certificate.unwrap().thumbprint().as_str().to_owned()
}

/// MTLS-21: one certificate and nothing else.
#[test]
fn escaped_pem_is_one_certificate() {
    use ForwardedError::{EmptyCertificate, TooManyCertificates};
    let one = pem(&[1, 2, 3]);
    let unended = one.trim_end();
    let escaped = escape(&one);
    for (name, field, expected) in [
        ("plain", escaped.clone(), Ok(vec![1, 2, 3])),
        ("lower hexadecimal", escaped.replace("%0A", "%0a"), Ok(vec![1, 2, 3])),
        ("no line end", escape(unended), Ok(vec![1, 2, 3])),
        ("CR LF", escape(&one.replace('\n', "\r\n")), Ok(vec![1, 2, 3])),
        ("an empty line behind", escape(&format!("{one}\n")), Ok(vec![1, 2, 3])),
        ("two", escape(&one.repeat(2)), Err(TooManyCertificates)),
        ("two on one line", escape(&format!("{unended}{one}")), Err(NOT_PEM)),
        ("text before", escape(&format!("a\n{one}")), Err(NOT_PEM)),
        ("an empty line before", escape(&format!("\n{one}")), Err(NOT_PEM)),
        ("text behind", escape(&format!("{one}a")), Err(NOT_PEM)),
        ("text behind the marker", escape(&format!("{unended}a\n")), Err(NOT_PEM)),
        ("another label", escape(&one.replace("CERTIFICATE", "X509 CRL")), Err(NOT_PEM)),
        ("a trusted one", escape(&one.replace("CERT", "TRUSTED CERT")), Err(NOT_PEM)),
        ("a key before", escape(&format!("{}{one}", key())), Err(NOT_PEM)),
        ("a key behind", escape(&format!("{one}{}", key())), Err(NOT_PEM)),
        (
            "a key within",
            escape(&one.replace("AQID", "AQID\n-----BEGIN PRIVATE KEY-----")),
            Err(NOT_PEM),
        ),
        ("lower case", escape(&one.to_lowercase()), Err(NOT_PEM)),
        ("a header", escape(&one.replace("AQID", "a: b\n\nAQID")), Err(NOT_PEM)),
        ("no end", escape(one.split("-----END").next().unwrap()), Err(NOT_PEM)),
        ("no beginning", escape("AQID\n-----END CERTIFICATE-----\n"), Err(NOT_PEM)),
        ("no line end within", escape(&one.replace("AQID\n", "AQID")), Err(NOT_PEM)),
        ("no octets", escape(&one.replace("AQID\n", "")), Err(EmptyCertificate)),
        ("base64url", escape(&one.replace("AQID", "-_8=")), Err(NOT_PEM)),
        ("impossible length", escape(&one.replace("AQID", "AQIDB")), Err(NOT_PEM)),
        ("padding within", escape(&one.replace("AQID", "AQ==AQID")), Err(NOT_PEM)),
        ("a space within", escape(&one.replace("AQID", "AQ ID")), Err(NOT_PEM)),
        ("a tab within", escape(&one.replace("AQID", "AQ\tID")), Err(NOT_PEM)),
        ("encoded twice", escape(&escaped), Err(NOT_PEM)),
        ("half an escape", format!("{escaped}%0"), Err(NOT_PEM)),
        ("no escape", escaped.replace("%0A", "%0g"), Err(NOT_PEM)),
        ("form encoding", escaped.replace("%20", "+"), Err(NOT_PEM)),
        ("not encoded", one.clone(), Err(NOT_PEM)),
        ("folded with tabs", unended.replace('\n', "\n\t"), Err(NOT_PEM)),
        ("unfolded", unended.replace('\n', " "), Err(NOT_PEM)),
        ("unfolded with tabs", unended.replace('\n', "\t"), Err(NOT_PEM)),
        ("partly encoded", escaped.replace("%20", " "), Err(NOT_PEM)),
        ("a space", " ".to_owned(), Err(NOT_PEM)),
        ("an encoded line end", "%0A".to_owned(), Err(NOT_PEM)),
        ("null", "(null)".to_owned(), Err(NOT_PEM)),
        ("not ASCII", format!("{escaped}é"), Err(NOT_PEM)),
        ("RFC 9440", ":AQID:".to_owned(), Err(NOT_PEM)),
    ] {
        assert_eq!(der(escaped_pem(&field)), expected, "{name}: {field}");
    }
    let two = [escaped.as_bytes(), escaped.as_bytes()];
    assert_eq!(parse_escaped_pem(two), Err(ForwardedError::Several));
    assert_eq!(parse_escaped_pem(NONE), Ok(None));
    assert_eq!(escaped_pem(""), Ok(None));
}

fn key() -> String {
    pem(&[4, 5, 6]).replace("CERTIFICATE", "PRIVATE KEY")
}

// ---- Envoy

/// MTLS-17, MTLS-18: envoy-xfcc-examples.
#[test]
fn the_examples_of_envoy_are_read() {
    let cases = vectors()["xfcc"]["cases"].as_array().unwrap().clone();
    assert_eq!(cases.len(), 3);
    for case in cases {
        let field = case["field"].as_str().unwrap();
        let elements = xfcc(&[field]).unwrap();
        assert_eq!(Some(elements.len()), case["elements"].as_u64().map(|n| n.try_into().unwrap()));
        for element in &elements {
            let hash = element.hash.unwrap();
            assert!(field.contains(&format!("Hash={}", hex(&hash))), "{field}");
            let certificate = element.certificate().unwrap().unwrap();
            assert_eq!((certificate.sha256(), certificate.der()), (&hash, None));
        }
        for uri in elements.iter().flat_map(|element| &element.uri) {
            assert!(field.contains(&format!("URI={uri}")), "{field}");
        }
    }
    let third = vectors()["xfcc"]["cases"][2]["field"].as_str().unwrap().to_owned();
    let third = &xfcc(&[&third]).unwrap()[0];
    assert_eq!(third.by, ["http://frontend.lyft.com"]);
    assert_eq!(
        third.subject.as_deref(),
        Some("/C=US/ST=CA/L=San Francisco/OU=Lyft/CN=Test Client")
    );
    assert_eq!(third.dns, ["lyft.com", "www.lyft.com"]);
}

/// MTLS-17: elements, pairs, quotes.
#[test]
fn elements_are_separated_by_commas_and_pairs_by_semicolons() {
    use ForwardedError::{BadQuote, NotPairs};
    for (name, lines, expected) in [
        ("one", &["By=a"][..], Ok(&["a"][..])),
        ("no field", &[], Ok(&[])),
        ("no value", &[""], Ok(&[])),
        ("an empty value of a pair", &["By="], Ok(&[""])),
        ("quoted and empty", &["By=\"\""], Ok(&[""])),
        ("quoted", &["By=\"a,b;c=d\""], Ok(&["a,b;c=d"])),
        ("an escaped quote", &[r#"By="a\"b""#], Ok(&["a\"b"])),
        ("an escaped quote alone", &[r#"By="\"""#], Ok(&["\""])),
        ("a backslash", &[r#"By="a\b\,""#], Ok(&[r"a\b\,"])),
        ("backslashes apart from the quote", &[r#"By="a\\b""#], Ok(&[r"a\\b"])),
        ("three backslashes", &[r#"By="a\\\"b""#], Ok(&[r#"a\\"b"#])),
        ("a backslash without quotes", &[r"By=a\"], Ok(&[r"a\"])),
        ("an equals sign", &["By=a=b"], Ok(&["a=b"])),
        ("case of a key", &["bY=A"], Ok(&["A"])),
        ("twice", &["By=a;BY=b"], Ok(&["a", "b"])),
        ("two elements", &["By=a,By=b"], Ok(&["a", "|", "b"])),
        ("a space behind the comma", &["By=a , By=\"b\"\t,\tBy=c"], Ok(&["a", "|", "b", "|", "c"])),
        ("two lines", &["By=a,By=b", "By=c"], Ok(&["a", "|", "b", "|", "c"])),
        ("another key", &["x-Y_z.1=a;By=b"], Ok(&["b"])),
        ("another key, quoted", &["Other=\"a,b;By=c\";By=d"], Ok(&["d"])),
        ("not ASCII", &["By=é"], Ok(&["é"])),
        ("quote without an end", &["By=\"a"], Err(BadQuote)),
        ("quote that is escaped at the end", &[r#"By="a\""#], Err(BadQuote)),
        ("quote over two lines", &["By=\"a", "b\""], Err(BadQuote)),
        ("quote behind two backslashes", &[r#"By="a\\""#], Err(BadQuote)),
        ("quote behind two backslashes, and another", &[r#"By="a\\"b""#], Err(BadQuote)),
        ("quote behind two backslashes, and more", &[r#"By="a\\";URI="b""#], Err(BadQuote)),
        ("quote behind four backslashes", &[r#"By="a\\\\""#], Err(BadQuote)),
        ("text behind a quote", &["By=\"a\"b"], Err(BadQuote)),
        ("a space and text behind a quote", &["By=\"a\" b"], Err(BadQuote)),
        ("a space behind a quote", &["By=\"a\" ;URI=b"], Err(BadQuote)),
        ("quote within", &["By=a\"b\""], Err(BadQuote)),
        ("quote in front of a value", &["By= \"a\""], Err(BadQuote)),
        ("no pair", &["By"], Err(NotPairs)),
        ("no pair behind a pair", &["By=a;b"], Err(NotPairs)),
        ("no pair between pairs", &["By=a;b;URI=c"], Err(NotPairs)),
        ("no key", &["=a"], Err(NotPairs)),
        ("a space in a key", &["B y=a"], Err(NotPairs)),
        ("a space in front of a key", &["By=a; URI=b"], Err(NotPairs)),
        ("a space behind a key", &["By =a"], Err(NotPairs)),
        ("a quoted key", &["\"By\"=a"], Err(NotPairs)),
        ("a key that is not ASCII", &["Bý=a"], Err(NotPairs)),
        ("semicolon at the end", &["By=a;"], Err(NotPairs)),
        ("semicolon at the beginning", &[";By=a"], Err(NotPairs)),
        ("two semicolons", &["By=a;;URI=b"], Err(NotPairs)),
        ("comma at the end", &["By=a,"], Err(NotPairs)),
        ("comma at the beginning", &[",By=a"], Err(NotPairs)),
        ("two commas", &["By=a,,By=b"], Err(NotPairs)),
        ("spaces alone", &[" "], Err(NotPairs)),
        ("an empty line behind", &["By=a", ""], Err(NotPairs)),
        ("two empty lines", &["", ""], Err(NotPairs)),
        ("a comma alone", &[","], Err(NotPairs)),
    ] {
        let read = xfcc(lines).map(|elements| {
            let by: Vec<Vec<String>> = elements
                .into_iter()
                .map(|element| element.by.into_iter().map(String::from).collect())
                .collect();
            by.join(&"|".to_owned())
        });
        let expected = expected.map(|by| by.iter().map(|&by| by.to_owned()).collect());
        assert_eq!(read, expected, "{name}");
    }
    assert_eq!(parse_xfcc([b"By=\xff".as_slice()]), Err(NotPairs), "not UTF-8");
}

/// MTLS-17: what a client puts in front of the proxy's element cannot swallow it.
#[test]
fn a_quote_that_a_client_opens_is_malformed() {
    let hash = "0".repeat(64);
    for proxy in [
        format!("By=p;Hash={hash}"),
        format!("By=p;Hash={hash};Subject=\"CN=c\""),
        format!("By=p;Hash={hash};Subject=\"\""),
        format!("By=p;Hash={hash};Cert=\"{}\";Subject=\"\"", escape(&pem(&[1]))),
    ] {
        assert_eq!(xfcc(&[&proxy]).map(|elements| elements.len()), Ok(1), "{proxy}");
        for client in ["a=\"", "a=\"\\", "a=\"\\\\", "a", "a=b\"", "Hash=1;a=\"x\"y"] {
            let field = format!("{client},{proxy}");
            assert!(xfcc(&[&field]).is_err(), "{field}");
            assert!(xfcc(&[client, &proxy]).is_err(), "{client} and {proxy}");
        }
    }
}

/// MTLS-18.
#[test]
fn hash_cert_and_chain_are_of_one_certificate() {
    use ForwardedError::{
        Disagreement, EmptyCertificate, NotPem, NotSha256, RepeatedKey, TooManyCertificates,
    };
    let (leaf, issuer) = (pem(&[1, 2, 3]), pem(&[4]));
    let digest = hex(Certificate::from_der(vec![1, 2, 3]).sha256());
    let other = hex(Certificate::from_der(vec![4]).sha256());
    let upper = digest.to_uppercase();
    let [cert, issuer_cert] = [&leaf, &issuer].map(|pem| escape(pem));
    let chain = escape(&format!("{leaf}{issuer}"));
    let long = |issuers: usize| escape(&format!("{leaf}{}", issuer.repeat(issuers)));
    for (name, field, expected) in [
        ("hash", format!("Hash={digest}"), Ok(Some((false, 0)))),
        ("upper case", format!("HASH={upper}"), Ok(Some((false, 0)))),
        ("quoted", format!("Hash=\"{digest}\""), Ok(Some((false, 0)))),
        ("cert", format!("Cert=\"{cert}\""), Ok(Some((true, 0)))),
        ("cert without quotes", format!("cert={cert}"), Ok(Some((true, 0)))),
        ("both", format!("Hash={digest};Cert=\"{cert}\""), Ok(Some((true, 0)))),
        ("both, the other order", format!("Cert=\"{cert}\";Hash={upper}"), Ok(Some((true, 0)))),
        ("cert and chain", format!("Cert=\"{cert}\";Chain=\"{chain}\""), Ok(Some((true, 1)))),
        ("hash and chain", format!("Hash={digest};Chain=\"{chain}\""), Ok(Some((true, 1)))),
        ("ten issuers", format!("Hash={digest};Chain=\"{}\"", long(10)), Ok(Some((true, 10)))),
        ("neither", "By=a;Subject=\"b\";URI=c;DNS=d".to_owned(), Ok(None)),
        ("chain alone", format!("Chain=\"{chain}\""), Ok(None)),
        ("hash of another", format!("Hash={other};Cert=\"{cert}\""), Err(Disagreement)),
        ("chain of another", format!("Cert=\"{cert}\";Chain=\"{issuer_cert}\""), Err(Disagreement)),
        ("chain and hash of another", format!("Hash={other};Chain=\"{chain}\""), Err(Disagreement)),
        (
            "eleven issuers",
            format!("Hash={digest};Chain=\"{}\"", long(11)),
            Err(TooManyCertificates),
        ),
        ("two certificates", format!("Cert=\"{chain}\""), Err(TooManyCertificates)),
        ("no PEM", "Cert=\"a\"".to_owned(), Err(NotPem)),
        ("PEM with spaces", format!("Cert=\"{}\"", cert.replace("%20", " ")), Err(NotPem)),
        ("no cert", format!("Hash={digest};Cert=\"\""), Err(NotPem)),
        ("no chain", format!("Hash={digest};Chain=\"\""), Err(NotPem)),
        ("no chain, with a cert", format!("Cert=\"{cert}\";Chain=\"\""), Err(NotPem)),
        ("no PEM in a chain", format!("Cert=\"{cert}\";Chain=\"{cert}a\""), Err(NotPem)),
        (
            "no octets",
            format!("Cert=\"{}\"", escape(&leaf.replace("AQID\n", ""))),
            Err(EmptyCertificate),
        ),
        ("no hash", "Hash=".to_owned(), Err(NotSha256)),
        ("short hash", format!("Hash={}", &digest[1..]), Err(NotSha256)),
        ("long hash", format!("Hash={digest}0"), Err(NotSha256)),
        ("other digits", format!("Hash={}g", &digest[1..]), Err(NotSha256)),
        ("colons", format!("Hash={}", format!("{digest:.2}:").repeat(32)), Err(NotSha256)),
        ("a sign", format!("Hash=+{}", &digest[1..]), Err(NotSha256)),
        ("full width digits", format!("Hash={}０", &digest[1..]), Err(NotSha256)),
        ("hash twice", format!("Hash={digest};URI=a;hash={digest}"), Err(RepeatedKey)),
        ("cert twice", format!("Cert=\"{cert}\";CERT=\"{cert}\""), Err(RepeatedKey)),
        ("chain twice", format!("Chain=\"{chain}\";Chain=\"{chain}\""), Err(RepeatedKey)),
        ("subject twice", "Subject=\"\";Subject=\"a\"".to_owned(), Err(RepeatedKey)),
    ] {
        let read = xfcc(&[&field]).and_then(|elements| elements[0].certificate());
        if let Ok(Some(certificate)) = &read {
            assert_eq!(hex(certificate.sha256()), digest, "{name}");
        }
        let read = read
            .map(|certificate| certificate.map(|read| (read.der().is_some(), read.chain().len())));
        assert_eq!(read, expected, "{name}");
    }
}

/// MTLS-17: lists are bounded.
#[test]
fn elements_and_pairs_are_bounded() {
    let too_many = Err(ForwardedError::TooManyElements);
    let count = |field: &str| xfcc(&[field]).map(|elements| elements.len());
    assert_eq!(count(&["By=a"; 32].join(",")), Ok(32));
    assert_eq!(count(&["By=a"; 33].join(",")), too_many);
    assert_eq!(xfcc(&["By=a"; 33]).map(|elements| elements.len()), too_many);
    assert_eq!(count(&["DNS=a"; 128].join(";")), Ok(1));
    assert_eq!(count(&["DNS=a"; 129].join(";")), too_many);
    assert_eq!(count(&["x=a"; 129].join(";")), too_many, "unknown keys count");
}

// ---- properties

/// An element to be written.
#[derive(Clone, Debug)]
struct Written {
    by: Vec<String>,
    hash: Option<[u8; 32]>,
    cert: Option<Vec<u8>>,
    chain: Option<Vec<Vec<u8>>>,
    subject: Option<String>,
    uri: Vec<String>,
    dns: Vec<String>,
    other: Vec<(String, String)>,
    /// In what order pairs come, and which keys are in upper case.
    order: u64,
}

/// The SHA-256 of a certificate, and its DER if there is one.
type Known<'a> = ([u8; 32], Option<&'a [u8]>);

/// Text that can be written in one way only: no backslash in front of a quote or of the end.
fn value() -> impl Strategy<Value = String> {
    let character = prop_oneof![
        5 => proptest::char::range(' ', '~'),
        2 => proptest::sample::select(vec![',', ';', '=', '"', '\\', ' ', '\t']),
        1 => proptest::char::range('\u{a1}', '\u{2fff}'),
    ];
    let text = vec(character, 0..12).prop_map(|text| text.into_iter().collect::<String>());
    text.prop_map(|text| {
        let text = text.replace("\\\"", "\"");
        let mut text = text.as_str();
        while let Some(shorter) = text.strip_suffix('\\') {
            text = shorter;
        }
        let mut text = text.to_owned();
        while text.contains("\\\"") {
            text = text.replace("\\\"", "\"");
        }
        text
    })
}

fn written() -> impl Strategy<Value = Written> {
    let der = || vec(any::<u8>(), 1..90);
    let values = || vec(value(), 0..3);
    let key = proptest::sample::select(vec!["Other", "x", "Uris", "H", "Cert-2", "_"]);
    let other = vec((key.prop_map(str::to_owned), value()), 0..3);
    (
        values(),
        option::of(any::<[u8; 32]>()),
        option::of(der()),
        option::of(vec(der(), 1..3)),
        option::of(value()),
        values(),
        values(),
        other,
        any::<u64>(),
    )
        .prop_map(|(by, hash, cert, chain, subject, uri, dns, other, order)| {
            // An element of nothing cannot be written.
            let subject = subject.or_else(|| by.is_empty().then(String::new));
            Written { by, hash, cert, chain, subject, uri, dns, other, order }
        })
}

impl Written {
    fn chain(&self) -> Option<String> {
        let chain = self.chain.as_ref()?;
        Some(escape(&chain.iter().map(|der| pem(der)).collect::<String>()))
    }

    fn write(&self) -> String {
        let mut pairs: Vec<(String, String)> = Vec::new();
        let mut add = |key: &str, value: &str| pairs.push((key.to_owned(), value.to_owned()));
        self.by.iter().for_each(|value| add("By", value));
        self.hash.iter().for_each(|value| add("Hash", &hex(value)));
        self.cert.iter().for_each(|der| add("Cert", &escape(&pem(der))));
        self.chain().iter().for_each(|value| add("Chain", value));
        self.subject.iter().for_each(|value| add("Subject", value));
        self.uri.iter().for_each(|value| add("URI", value));
        self.dns.iter().for_each(|value| add("DNS", value));
        self.other.iter().for_each(|(key, value)| add(key, value));
        // Groups change places; what may repeat keeps its order.
        let key_at = |key: &str| self.order.rotate_left(u32::try_from(key.len() * 7).unwrap());
        pairs.sort_by_key(|(key, _)| key_at(key));
        let mut bits = self.order;
        let mut texts = Vec::new();
        for (key, value) in pairs {
            let special = value.contains([',', ';', '"']) || value.trim() != value;
            let quoted = special || bits & 1 == 0;
            let key = if bits & 2 == 0 { key } else { key.to_uppercase() };
            bits = bits.rotate_right(2);
            texts.push(match quoted {
                true => format!("{key}=\"{}\"", value.replace('"', "\\\"")),
                false => format!("{key}={value}"),
            });
        }
        texts.join(";")
    }

    fn assert_read_as(&self, element: &XfccElement<'_>) {
        assert_eq!(element.by, self.by);
        assert_eq!(element.hash, self.hash);
        assert_eq!(
            element.cert.as_deref(),
            self.cert.as_ref().map(|der| escape(&pem(der))).as_deref()
        );
        assert_eq!(element.chain.as_deref(), self.chain().as_deref());
        assert_eq!(element.subject, self.subject.as_deref().map(Into::into));
        assert_eq!(element.uri, self.uri);
        assert_eq!(element.dns, self.dns);
    }

    /// What is known of the certificate, if all agree.
    fn certificate(&self) -> Result<Option<Known<'_>>, ()> {
        let first = self.chain.as_ref().map(|chain| chain[0].as_slice());
        let leaf = match (self.cert.as_deref(), first) {
            (None, _) if self.hash.is_none() => return Ok(None),
            (Some(cert), Some(first)) if cert != first => return Err(()),
            (cert, first) => cert.or(first),
        };
        let digest = leaf.map(|der| *Certificate::from_der(der.to_vec()).sha256());
        match (self.hash, digest) {
            (Some(hash), Some(digest)) if hash != digest => Err(()),
            (hash, digest) => Ok(digest.or(hash).map(|digest| (digest, leaf))),
        }
    }
}

/// Elements of which some have a hash and a chain that fit.
fn fitting() -> impl Strategy<Value = Written> {
    (written(), any::<[bool; 2]>()).prop_map(|(mut written, [chain_fits, hash_fits])| {
        if let (true, Some(chain), Some(cert)) = (chain_fits, &mut written.chain, &written.cert) {
            chain[0] = cert.clone();
        }
        let leaf = written.cert.clone().or_else(|| Some(written.chain.as_ref()?[0].clone()));
        if let (true, Some(_), Some(leaf)) = (hash_fits, written.hash, leaf) {
            written.hash = Some(*Certificate::from_der(leaf).sha256());
        }
        written
    })
}

/// Text that looks like a field more than chance does.
fn almost() -> impl Strategy<Value = String> {
    let part = prop_oneof![
        proptest::sample::select(vec![
            "By=",
            "Hash=",
            "Cert=",
            "Chain=",
            "Subject=",
            "URI=",
            "DNS=",
            ",",
            ";",
            "=",
            "\"",
            "\\",
            "\\\"",
            " ",
            "\t",
            ":",
            "AQID",
            "%0A",
            "%20",
            "%",
            "+",
            "-----BEGIN%20CERTIFICATE-----",
            "-----END%20CERTIFICATE-----",
            "(",
            ")",
            "?1",
            "@1",
            "é",
        ])
        .prop_map(str::to_owned),
        Just("0".repeat(64)),
        ".{0,3}",
    ];
    vec(part, 0..12).prop_map(|parts| parts.concat())
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// MTLS-17, MTLS-18.
    #[test]
    fn elements_are_read_as_they_were_written(
        elements in vec(fitting(), 1..5),
        at in any::<usize>(),
        space in proptest::sample::select(vec!["", " ", "\t "]),
    ) {
        let texts: Vec<String> = elements.iter().map(Written::write).collect();
        let (front, back) = texts.split_at(at % texts.len());
        let joiner = format!(",{space}");
        let lines = [front.join(&joiner), back.join(&joiner)];
        let lines: Vec<&str> =
            lines.iter().map(String::as_str).filter(|line| !line.is_empty()).collect();
        let read = xfcc(&lines).unwrap();
        prop_assert_eq!(read.len(), elements.len());
        for (element, written) in read.iter().zip(&elements) {
            written.assert_read_as(element);
            match (element.certificate(), written.certificate()) {
                (Ok(found), Ok(expected)) => {
                    let found = found.as_ref().map(|found| (*found.sha256(), found.der()));
                    prop_assert_eq!(found, expected);
                }
                (found, expected) => {
                    prop_assert_eq!(found, Err(ForwardedError::Disagreement));
                    prop_assert_eq!(expected, Err(()));
                }
            }
        }
    }

    /// MTLS-12, MTLS-13, MTLS-21.
    #[test]
    fn certificates_are_read_as_they_were_written(
        leaf in vec(any::<u8>(), 1..300),
        chain in vec(vec(any::<u8>(), 1..300), 0..10),
        at in any::<usize>(),
    ) {
        let item = |der: &Vec<u8>| format!(":{}:", STANDARD.encode(der));
        let (front, back) = chain.split_at(at.checked_rem(chain.len()).unwrap_or(0));
        let lines =
            [front, back].map(|ders| ders.iter().map(item).collect::<Vec<_>>().join(", "));
        let read = client_cert(&[&item(&leaf)], &[&lines[0], &lines[1]]);
        match chain.contains(&leaf) {
            true => prop_assert_eq!(read, Err(ForwardedError::LeafInChain)),
            false => {
                let read = read.unwrap().unwrap();
                prop_assert_eq!(read.der(), Some(leaf.as_slice()));
                prop_assert_eq!(read.chain().collect::<Vec<_>>(), chain);
            }
        }
        prop_assert_eq!(der(escaped_pem(&escape(&pem(&leaf)))), Ok(leaf));
    }

    /// MTLS-16, MTLS-17: nothing panics, and nothing but a whole field is read.
    #[test]
    fn no_input_panics(one in almost(), two in almost(), octets in vec(any::<u8>(), 0..40)) {
        for lines in [vec![one.as_bytes()], vec![one.as_bytes(), two.as_bytes()], vec![&octets]] {
            for element in parse_xfcc(lines.clone()).unwrap_or_default() {
                let _ = element.certificate();
            }
            let _ = parse_client_cert(lines.clone(), [two.as_bytes()]);
            if let Ok(Some(certificate)) = parse_client_cert(lines.clone(), NONE) {
                let line = std::str::from_utf8(lines[0]).unwrap().trim_matches(' ');
                let spelled = STANDARD.encode(certificate.der().unwrap());
                prop_assert_eq!(line.trim_matches(':').trim_end_matches('=').len(),
                    spelled.trim_end_matches('=').len());
            }
            if let Ok(Some(certificate)) = parse_escaped_pem(lines) {
                assert!(!certificate.der().unwrap().is_empty());
            }
        }
    }
}
