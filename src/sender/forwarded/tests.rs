//! The public parsers alone are tested in `tests/forwarded.rs`.

use std::net::IpAddr;

use allocation_counter::measure;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{Extensions, HeaderMap, HeaderName, HeaderValue};
use serde_json::json;

use super::{CheckedForwarded, Forwarded, ForwardedCertificate, ForwardedError, ForwardedFields};
use crate::certificate::{Certificate, ChainCheck, PeerCertificate};
use crate::error::Faults;
use crate::sender::{PeerAddr, TrustedPeers};

const CLIENT: &[u8] = b"the DER of the client";
const OTHER: &[u8] = b"the DER of somebody else";
const PROXY: &[u8] = b"the DER of the proxy";
const HEADER: &str = "ssl-client-cert";

fn certificate(der: &[u8]) -> Certificate {
    Certificate::from_der(der.to_vec())
}

fn proxies() -> TrustedPeers {
    TrustedPeers::networks(["192.0.2.0/28"])
}

fn checked(forwarded: &ForwardedCertificate) -> CheckedForwarded {
    let mut faults = Faults::new();
    let checked = forwarded.check(&mut faults);
    assert_eq!(faults.len(), 0, "{}", faults.into_error());
    checked.unwrap()
}

/// One of each format.
fn every() -> [(&'static str, ForwardedCertificate); 3] {
    [
        ("client-cert", ForwardedCertificate::client_cert(proxies())),
        ("x-forwarded-client-cert", ForwardedCertificate::envoy(proxies())),
        (HEADER, ForwardedCertificate::escaped_pem(HEADER, proxies())),
    ]
}

/// A certificate as the field of this name has it.
fn field(name: &str, der: &[u8]) -> String {
    let base64 = STANDARD.encode(der);
    match name {
        "client-cert" => format!(":{base64}:"),
        "x-forwarded-client-cert" => format!("By=http://proxy;{};Subject=\"CN=a,b\"", hash(der)),
        _ => {
            let base64 = base64.replace('+', "%2B").replace('/', "%2F").replace('=', "%3D");
            format!("-----BEGIN%20CERTIFICATE-----%0A{base64}%0A-----END%20CERTIFICATE-----%0A")
        }
    }
}

fn hash(der: &[u8]) -> String {
    let digits: Vec<String> =
        certificate(der).sha256().iter().map(|octet| format!("{octet:02x}")).collect();
    format!("Hash={}", digits.concat())
}

fn headers(fields: &[(&str, String)]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in fields {
        let name: HeaderName = name.parse().unwrap();
        headers.append(name, HeaderValue::from_str(value).unwrap());
    }
    headers
}

fn from(address: &str) -> Extensions {
    let address: IpAddr = address.parse().unwrap();
    let mut extensions = Extensions::new();
    extensions.insert(PeerAddr::new(address));
    extensions
}

/// MTLS-10, MTLS-11, MTLS-22; attack 37.
#[test]
fn only_a_trusted_peer_is_believed() {
    for (name, forwarded) in every() {
        let there = headers(&[(name, field(name, CLIENT))]);
        let nothing = HeaderMap::new();
        let forwarded = checked(&forwarded);
        let read = |headers: &HeaderMap, peer: &Extensions| forwarded.read(headers, peer);
        let believed = Forwarded::Certificate(certificate(CLIENT));
        assert_eq!(read(&there, &from("192.0.2.7")), believed, "{name}: in the network");
        for (peer, extensions) in [
            ("out of the network", from("192.0.2.16")),
            ("of no address", Extensions::new()),
            ("with a certificate of its own", {
                let mut extensions = from("198.51.100.7");
                let own = PeerCertificate::new(certificate(PROXY), ChainCheck::Verified);
                extensions.insert(own);
                extensions
            }),
        ] {
            assert_eq!(read(&there, &extensions), Forwarded::UntrustedPeer, "{name}: {peer}");
            assert_eq!(read(&nothing, &extensions), Forwarded::UntrustedPeer, "{name}: {peer}");
        }
        assert_eq!(read(&nothing, &from("192.0.2.7")), Forwarded::None, "{name}: MTLS-25");
    }
}

/// MTLS-11, MTLS-22.
#[test]
fn a_proxy_can_be_known_by_its_certificate() {
    let thumbprint = certificate(PROXY).thumbprint().as_str().to_owned();
    let there = headers(&[("client-cert", field("client-cert", CLIENT))]);
    let by_certificate = TrustedPeers::certificates([thumbprint]);
    for (name, peers, peer, chain, believed) in [
        ("this one", by_certificate.clone(), PROXY, ChainCheck::Unchecked, true),
        ("another", by_certificate, OTHER, ChainCheck::Verified, false),
        ("verified", TrustedPeers::verified(), OTHER, ChainCheck::Verified, true),
        ("not verified", TrustedPeers::verified(), OTHER, ChainCheck::Unchecked, false),
    ] {
        let forwarded = checked(&ForwardedCertificate::client_cert(peers));
        let mut extensions = from("198.51.100.7");
        extensions.insert(PeerCertificate::new(certificate(peer), chain));
        let expected = match believed {
            true => Forwarded::Certificate(certificate(CLIENT)),
            false => Forwarded::UntrustedPeer,
        };
        assert_eq!(forwarded.read(&there, &extensions), expected, "{name}");
    }
}

/// MTLS-10; attack 36. One format is configured, and one name.
#[test]
fn nothing_but_the_configured_field_is_read() {
    let peer = from("192.0.2.7");
    for (name, forwarded) in every() {
        let forwarded = checked(&forwarded);
        for spelling in ["client_cert", "x_forwarded_client_cert", "x-forwarded_client-cert"] {
            let value = field(name, CLIENT);
            assert_eq!(
                forwarded.read(&headers(&[(spelling, value)]), &peer),
                Forwarded::None,
                "{name}: {spelling}"
            );
        }
        for (other, _) in every() {
            let expected = match other == name {
                true => Forwarded::Certificate(certificate(CLIENT)),
                false => Forwarded::None,
            };
            let both = |extra: &str| {
                let extra = (extra, field(name, OTHER));
                headers(&[extra, (other, field(other, CLIENT))])
            };
            let spelling = name.replace('-', "_");
            assert_eq!(forwarded.read(&both(&spelling), &peer), expected, "{name}: {other}");
        }
    }
}

/// One row a requirement, and what the layers make of it is theirs.
#[test]
fn a_field_is_a_certificate_or_none_or_malformed() {
    use Forwarded::{Malformed, None};
    let of = |der| Forwarded::Certificate(certificate(der));
    let envoy = |der| field("x-forwarded-client-cert", der);
    let list = |fields: &[String]| fields.join(",");
    let [rfc9440, xfcc, pem] = every().map(|(_, forwarded)| forwarded);
    let [der, chain] = [field("client-cert", CLIENT), field("client-cert", OTHER)];
    let escaped = field(HEADER, CLIENT);
    let hops = |hops| ForwardedCertificate::envoy(proxies()).trusted_hops(hops);
    let appends = |count| hops(count).front_appends();
    let (name, chain_name, xfcc_name) =
        ("client-cert", "client-cert-chain", "x-forwarded-client-cert");
    for (requirement, forwarded, fields, expected) in [
        ("MTLS-12", &rfc9440, vec![(name, der.clone())], of(CLIENT)),
        (
            "MTLS-12: two lines",
            &rfc9440,
            vec![(name, der.clone()), (name, der.clone())],
            Malformed(ForwardedError::Several),
        ),
        (
            "MTLS-12: no colons",
            &rfc9440,
            vec![(name, STANDARD.encode(CLIENT))],
            Malformed(ForwardedError::NotByteSequence),
        ),
        ("MTLS-13", &rfc9440, vec![(name, der.clone()), (chain_name, chain.clone())], of(CLIENT)),
        (
            "MTLS-13: no leaf",
            &rfc9440,
            vec![(chain_name, chain.clone())],
            Malformed(ForwardedError::ChainAlone),
        ),
        (
            "MTLS-16",
            &rfc9440,
            vec![(name, format!(":{}:", "A".repeat(16 * 1024)))],
            Malformed(ForwardedError::TooLong),
        ),
        ("MTLS-17", &xfcc, vec![(xfcc_name, envoy(CLIENT))], of(CLIENT)),
        (
            "MTLS-17: no end of a quote",
            &xfcc,
            vec![(xfcc_name, format!("{};Subject=\"a", hash(CLIENT)))],
            Malformed(ForwardedError::BadQuote),
        ),
        (
            "MTLS-18: they disagree",
            &xfcc,
            vec![(xfcc_name, format!("{};Cert=\"{escaped}\"", hash(OTHER)))],
            Malformed(ForwardedError::Disagreement),
        ),
        (
            "MTLS-19: the client's own element, which the proxy should have replaced",
            &xfcc,
            vec![(xfcc_name, list(&[envoy(OTHER), envoy(CLIENT)]))],
            Malformed(ForwardedError::NotSanitized),
        ),
        (
            "MTLS-19: the client's own element",
            &appends(1),
            vec![(xfcc_name, list(&[envoy(OTHER), envoy(CLIENT)]))],
            of(CLIENT),
        ),
        (
            "MTLS-19: the client's own line",
            &appends(1),
            vec![(xfcc_name, envoy(OTHER)), (xfcc_name, envoy(CLIENT))],
            of(CLIENT),
        ),
        (
            "MTLS-19: two proxies",
            &appends(2),
            vec![(xfcc_name, list(&[envoy(OTHER), envoy(CLIENT), envoy(PROXY)]))],
            of(CLIENT),
        ),
        (
            "MTLS-19: two proxies, two lines",
            &appends(2),
            vec![(xfcc_name, list(&[envoy(OTHER), envoy(CLIENT)])), (xfcc_name, envoy(PROXY))],
            of(CLIENT),
        ),
        ("MTLS-19: fewer elements than proxies", &hops(2), vec![(xfcc_name, envoy(CLIENT))], None),
        ("MTLS-19: as many as there can be", &hops(10), vec![(xfcc_name, envoy(CLIENT))], None),
        (
            "MTLS-19: the last has none",
            &appends(1),
            vec![(xfcc_name, format!("{},By=http://proxy", envoy(CLIENT)))],
            None,
        ),
        ("MTLS-20", &xfcc, vec![], None),
        ("MTLS-20: empty", &xfcc, vec![(xfcc_name, String::new())], None),
        ("MTLS-21", &pem, vec![(HEADER, escaped.clone())], of(CLIENT)),
        ("MTLS-21: empty", &pem, vec![(HEADER, String::new())], None),
        (
            "MTLS-21: folded",
            &pem,
            vec![(HEADER, escaped.replace("%0A", "\t").replace("%20", " "))],
            Malformed(ForwardedError::NotPem),
        ),
        (
            "MTLS-23: garbage behind it is another certificate",
            &rfc9440,
            vec![(name, field(name, &[CLIENT, b"!"].concat()))],
            of(b"the DER of the client!"),
        ),
        ("MTLS-25", &rfc9440, vec![], None),
        ("MTLS-25", &pem, vec![], None),
    ] {
        let read = checked(forwarded).read(&headers(&fields), &from("192.0.2.7"));
        assert_eq!(read, expected, "{requirement}");
    }
}

/// MTLS-13, MTLS-18: the chain comes along.
#[test]
fn a_chain_comes_along() {
    let (leaf, chain) = (field("client-cert", CLIENT), field("client-cert", OTHER));
    let pem = [field(HEADER, CLIENT), field(HEADER, OTHER)].concat();
    for (name, forwarded, fields) in [
        (
            "RFC 9440",
            ForwardedCertificate::client_cert(proxies()),
            headers(&[("client-cert", leaf), ("client-cert-chain", chain)]),
        ),
        (
            "Envoy",
            ForwardedCertificate::envoy(proxies()),
            headers(&[("x-forwarded-client-cert", format!("{};Chain=\"{pem}\"", hash(CLIENT)))]),
        ),
    ] {
        match checked(&forwarded).read(&fields, &from("192.0.2.7")) {
            Forwarded::Certificate(read) => {
                assert_eq!(read.der(), Some(CLIENT), "{name}");
                assert_eq!(read.chain().collect::<Vec<_>>(), [OTHER], "{name}");
            }
            other => panic!("{name}: {other:?}"),
        }
    }
}

/// MTLS-11; attacks 36 and 37: the service behind the layer sees no such field, however spelled.
#[test]
fn every_spelling_is_stripped_and_nothing_else() {
    let always = [
        "client-cert",
        "Client_Cert",
        "client-cert-chain",
        "client_cert-chain",
        "client-cert_chain",
        "CLIENT_CERT_CHAIN",
        "X-Forwarded-Client-Cert",
        "x_forwarded_client_cert",
        "x-forwarded_client-cert",
    ];
    let configured = ["ssl-client-cert", "ssl_client_cert", "SSL-Client_Cert"];
    let kept = [
        "authorization",
        "client-cert-",
        "client-certs",
        "client.cert",
        "client-certificate",
        "clientcert-",
        "x-forwarded-client",
        "x-forwarded-for",
        "ssl-client-verify",
    ];
    let escaped_pem = checked(&ForwardedCertificate::escaped_pem("SSL-Client-Cert", proxies()));
    let rfc9440 = checked(&ForwardedCertificate::client_cert(proxies()));
    for (name, fields, more) in [
        ("nothing is read", ForwardedFields::default(), false),
        ("nothing is read", ForwardedFields::of(None), false),
        ("RFC 9440 is read", ForwardedFields::of(Some(&rfc9440)), false),
        ("a field of one's own is read", ForwardedFields::of(Some(&escaped_pem)), true),
    ] {
        let mut there = HeaderMap::new();
        for field in always.iter().chain(&configured).chain(&kept) {
            let field: HeaderName = field.parse().unwrap();
            there.append(field.clone(), HeaderValue::from_static("one"));
            there.append(field, HeaderValue::from_static("two"));
        }
        fields.strip(&mut there);
        let mut left: Vec<&str> = there.keys().map(HeaderName::as_str).collect();
        let mut expected = kept.to_vec();
        if !more {
            expected.extend(["ssl-client-cert", "ssl_client_cert", "ssl-client_cert"]);
        }
        left.sort_unstable();
        expected.sort_unstable();
        assert_eq!(left, expected, "{name}");
        assert_eq!(there.get_all("authorization").iter().count(), 2);
        let before = there.clone();
        fields.strip(&mut there);
        assert_eq!(there, before, "{name}: a second time");
    }
}

/// MTLS-11: every request pays for it.
#[test]
fn nothing_is_allocated_where_there_is_nothing_to_strip() {
    let forwarded = checked(&ForwardedCertificate::escaped_pem(HEADER, proxies()));
    let fields = ForwardedFields::of(Some(&forwarded));
    let allocated = |headers: &HeaderMap| {
        let mut headers = headers.clone();
        measure(|| fields.strip(&mut headers)).count_total
    };
    let plain = |name| (name, "value".to_owned());
    let mut there = headers(&["authorization", "dpop", "host", "x-request-id"].map(plain));
    assert_eq!(allocated(&there), 0);
    there.append(HEADER, HeaderValue::from_static("value"));
    assert_ne!(allocated(&there), 0, "the twin, which has such a field");
}

/// MTLS-18, MTLS-19; attack 36, by the name in a certificate that its client made: Envoy writes URI
/// and DNS names as they are, so that a comma begins an element, and a semicolon a pair.
#[test]
fn a_name_that_reads_like_an_element_is_believed_only_where_the_front_appends() {
    use Forwarded::Malformed;
    use ForwardedError::{NotSanitized, RepeatedKey};
    const FIELD: &str = "x-forwarded-client-cert";
    let (own, victim, edge) = (hash(OTHER), hash(CLIENT), hash(PROXY));
    let of = |der| Forwarded::Certificate(certificate(der));
    let element = |name: &str| format!("By=spiffe://a/edge;{own};Subject=\"\";URI={name}");
    let honest = element("spiffe://a/b");
    let injected = element(&format!("x,{victim}"));
    let in_dns = format!("{own};DNS=x,By=y;{victim};Subject=\"\"");
    let front = |hops| ForwardedCertificate::envoy(proxies()).trusted_hops(hops);
    let append = |field: &str| format!("{field},{edge}");
    for (name, hops, field, appended, sanitized) in [
        ("no attack", 1, honest.clone(), of(OTHER), of(OTHER)),
        ("in a URI", 1, injected.clone(), of(CLIENT), Malformed(NotSanitized)),
        ("in a DNS name", 1, in_dns.clone(), of(CLIENT), Malformed(NotSanitized)),
        ("no attack, two proxies", 2, append(&honest), of(OTHER), of(OTHER)),
        ("two proxies", 2, append(&injected), of(CLIENT), Malformed(NotSanitized)),
        // The second proxy had no certificate of the first: the client's own element is still the first.
        ("two proxies, one of which appends", 2, injected, of(OTHER), of(OTHER)),
        (
            "a pair",
            1,
            element(&format!("x;{victim}")),
            Malformed(RepeatedKey),
            Malformed(RepeatedKey),
        ),
        ("no certificate", 2, edge.clone(), Forwarded::None, Forwarded::None),
    ] {
        for (settings, forwarded, expected) in [
            ("by default", front(hops), sanitized),
            ("where the front appends", front(hops).front_appends(), appended),
        ] {
            let forwarded = checked(&forwarded);
            let one = headers(&[(FIELD, field.clone())]);
            let read = |headers| forwarded.read(headers, &from("192.0.2.7"));
            assert_eq!(read(&one), expected, "{name}, {settings}");
            // Another server joins nothing: the elements are counted over all lines.
            let lines: Vec<_> = field.split(',').map(|line| (FIELD, line.to_owned())).collect();
            assert_eq!(read(&headers(&lines)), expected, "{name}, {settings}, line by line");
        }
    }
}

/// MTLS-10, MTLS-19, MTLS-21; attack 37.
#[test]
fn faults_have_a_place() {
    let everybody = TrustedPeers::networks(["0.0.0.0/0"]);
    let pem = |header: &str| ForwardedCertificate::escaped_pem(header, proxies());
    let envoy = |hops| ForwardedCertificate::envoy(proxies()).trusted_hops(hops);
    for (forwarded, places) in [
        (pem("X-SSL-Cert"), &[][..]),
        (pem(""), &["header"]),
        (pem("ssl client"), &["header"]),
        (pem("ssl:cert"), &["header"]),
        (pem("zertifikät"), &["header"]),
        (pem("ssl_client_cert"), &["header"]),
        (pem("Authorization"), &["header"]),
        (pem("DPoP"), &["header"]),
        (pem("host"), &["header"]),
        (pem("cookie"), &["header"]),
        (envoy(1), &[]),
        (envoy(10), &[]),
        (envoy(0), &["trusted_hops"]),
        (envoy(11), &["trusted_hops"]),
        (ForwardedCertificate::client_cert(proxies()).trusted_hops(1), &["trusted_hops"]),
        (pem("ssl_cert").trusted_hops(1), &["trusted_hops", "header"]),
        (envoy(2).front_appends(), &[]),
        (ForwardedCertificate::envoy(proxies()).front_appends(), &[]),
        (ForwardedCertificate::client_cert(proxies()).front_appends(), &["front_appends"]),
        (pem("ssl-cert").front_appends(), &["front_appends"]),
        (ForwardedCertificate::client_cert(everybody.clone()), &["peers.networks"]),
        (ForwardedCertificate::envoy(TrustedPeers::default()), &["peers"]),
        (
            ForwardedCertificate::envoy(everybody).trusted_hops(0),
            &["trusted_hops", "peers.networks"],
        ),
    ] {
        let mut faults = Faults::new();
        let checked = forwarded.check(&mut faults);
        assert_eq!(checked.is_some(), places.is_empty(), "{forwarded:?}");
        let error = faults.into_error();
        let found: Vec<&str> = error.places().map(|(place, _)| place).collect();
        assert_eq!(found, places, "{forwarded:?}");
    }
}

#[test]
fn a_report_is_in_the_words_of_a_file() {
    let peers = json!({ "networks": ["192.0.2.0/28"], "certificates": [], "verified": false });
    let [rfc9440, xfcc, pem] = every().map(|(_, forwarded)| forwarded);
    for (forwarded, expected) in [
        (rfc9440, json!({ "format": "client_cert", "peers": peers })),
        (
            xfcc.clone(),
            json!({ "format": "envoy", "trusted_hops": 1, "front_appends": false, "peers": peers }),
        ),
        (
            xfcc.trusted_hops(3).front_appends(),
            json!({ "format": "envoy", "trusted_hops": 3, "front_appends": true, "peers": peers }),
        ),
        (pem, json!({ "format": "escaped_pem", "header": "ssl-client-cert", "peers": peers })),
    ] {
        assert_eq!(checked(&forwarded).report(), expected);
    }
}
