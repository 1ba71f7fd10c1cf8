use http::Request;
use portcullis::certificate::Certificate;
use portcullis::observe::SenderBinding;
use portcullis::sender::{ForwardedCertificate, TrustedPeers};
use portcullis::testing::{TestCertificate, challenges};
use portcullis::{Mtls, PeerAddr, RejectionKind as Kind};
use serde_json::json;

use super::support::{Sent, bearer, send};
use super::{World, dpop, mutual, over};

async fn sent(world: &World, request: Request<String>) -> Sent {
    send(&world.api.layer(), request).await
}

/// MTLS-01, MTLS-02, MTLS-03, MTLS-04, MTLS-06, MTLS-08, MTLS-09, decision 16: the certificate that the
/// token names, and no other, under the scheme Bearer.
#[tokio::test]
async fn a_token_is_used_with_its_certificate_only() {
    let world = World::new();
    let token = world.certified().sign();
    let sent_with = sent(&world, mutual(&token, &world.certificate)).await;
    let access = sent_with.access().unwrap();
    assert_eq!(access.binding(), SenderBinding::Mtls);
    assert_eq!(access.certificate(), Some(&world.certificate.certificate()));

    let thumbprint = world.certificate.certificate().thumbprint().to_string();
    let hex: String = world
        .certificate
        .certificate()
        .sha256()
        .iter()
        .map(|octet| format!("{octet:02x}"))
        .collect();
    let renewed = world.certificate.renewed();
    let bound_to = |value: &str| world.unbound().claim("cnf", json!({ "x5t#S256": value })).sign();
    let with = |token: &str| mutual(token, &world.certificate);
    #[rustfmt::skip]
    let rows = [
        ("no certificate", bearer(&token), Kind::CertificateMissing),
        ("another certificate", mutual(&token, &TestCertificate::named("x").self_signed()), Kind::OtherCertificate),
        ("the same key, a new certificate", mutual(&token, &renewed), Kind::OtherCertificate),
        ("a byte behind the DER", {
            let mut der = world.certificate.der().to_vec();
            der.push(0);
            over(bearer(&token), Certificate::from_der(der))
        }, Kind::OtherCertificate),
        ("padded", with(&bound_to(&format!("{thumbprint}="))), Kind::SenderNotProven),
        ("in hex", with(&bound_to(&hex)), Kind::SenderNotProven),
        // RFC 8705 §3.1 prints this one, which is not canonical.
        ("not canonical", with(&bound_to("bwcK0esc3ACC3DB2Y5_lESsXE8o9ltc05O89jdN-dg2")), Kind::SenderNotProven),
        ("canonical, of another", with(&bound_to("bwcK0esc3ACC3DB2Y5_lESsXE8o9ltc05O89jdN-dg0")), Kind::OtherCertificate),
    ];
    for (name, request, kind) in rows {
        let sent = sent(&world, request).await;
        assert_eq!(sent.kind(), Some(kind), "{name}");
        assert_eq!(sent.response.status(), 401, "{name}");
        let all = challenges(sent.response.headers());
        assert_eq!(all[0].scheme, "Bearer", "{name}");
        assert_eq!(all[0].param("error"), Some("invalid_token"), "{name}");
    }
}

/// MTLS-01, MTLS-07: the certificate of RFC 8705, Appendix A, which expired in 2022 and is of version 1.
#[tokio::test]
async fn the_certificate_of_the_rfc_is_accepted() {
    const DER: &str = "MIIBBjCBrAIBAjAKBggqhkjOPQQDAjAPMQ0wCwYDVQQDDARtdGxzMB4XDTE4MTAxODEyMzcwOVoXDTIyMDUwMjEyMzcwOVowDzENMAsGA1UEAwwEbXRsczBZMBMGByqGSM49AgEGCCqGSM49AwEHA0IABNcnyxwqV6hY8QnhxxzFQ03C7HKW9OylMbnQZjjJ/Au08/coZwxS7LfA4vOLS9WuneIXhbGGWvsDSb0tH6IxLm8wCgYIKoZIzj0EAwIDSQAwRgIhAP0RC1E+vwJD/D1AGHGzuri+hlV/PpQEKTWUVeORWz83AiEA5x2eXZOVbUlJSGQgjwD5vaUaKlLR50Q2DmFfQj1L+SY=";
    use base64::Engine as _;
    let der = base64::engine::general_purpose::STANDARD.decode(DER).unwrap();
    let world = World::new();
    let cnf = json!({ "x5t#S256": "A4DtL2JmUMhAsvJj5tKyn64SqzmuXbMrJa0n761y5v0" });
    let token = world.unbound().claim("cnf", cnf).sign();
    let passed = sent(&world, over(bearer(&token), Certificate::from_der(der.clone()))).await;
    assert!(passed.passed(), "{:?}", passed.kind());
    let cut = Certificate::from_der(der[..der.len() - 1].to_vec());
    let refused = sent(&world, over(bearer(&token), cut)).await;
    assert_eq!(refused.kind(), Some(Kind::OtherCertificate));
}

/// JWS-53, MTLS-24, DPOP-39, decision 12: all that `cnf` names is enforced, and one in which nothing can
/// be is refused.
#[tokio::test]
async fn everything_that_a_token_is_bound_to_is_wanted() {
    let world = World::new();
    let mut both = world.client.confirmation();
    both["x5t#S256"] = world.certificate.confirmation()["x5t#S256"].clone();
    let token = world.unbound().claim("cnf", &both).sign();
    let with_proof = || dpop(&token, [world.proof(&token).sign()]);
    let other = TestCertificate::named("x").self_signed();
    let passed = sent(&world, over(with_proof(), world.certificate.certificate())).await;
    assert_eq!(passed.access().unwrap().binding(), SenderBinding::DpopAndMtls);
    for (name, request, kind) in [
        ("the proof alone", with_proof(), Kind::CertificateMissing),
        ("another certificate", over(with_proof(), other.certificate()), Kind::OtherCertificate),
        ("the certificate alone", mutual(&token, &world.certificate), Kind::BearerDowngrade),
    ] {
        assert_eq!(sent(&world, request).await.kind(), Some(kind), "{name}");
    }
    for cnf in [
        json!(null),
        json!({}),
        json!([]),
        json!("x"),
        json!({"foo": "bar"}),
        json!({"jwk": world.client.public_jwk()}),
        json!({"jkt#S512": "x"}),
        json!({"jkt": null}),
        json!({"jkt": 1}),
        json!({"jkt": ""}),
        json!({"x5t#S256": {}}),
        json!({"jkt": world.client.thumbprint().as_str(), "x5t#S256": ""}),
    ] {
        let token = world.unbound().claim("cnf", &cnf).sign();
        for request in
            [mutual(&token, &world.certificate), dpop(&token, [world.proof(&token).sign()])]
        {
            assert_eq!(sent(&world, request).await.kind(), Some(Kind::SenderNotProven), "{cnf}");
        }
    }
    // What means nothing here does no harm beside what does.
    let mut more = world.certificate.confirmation();
    more["foo"] = json!("bar");
    let token = world.unbound().claim("cnf", &more).sign();
    assert!(sent(&world, mutual(&token, &world.certificate)).await.passed());
}

/// MTLS-10, MTLS-11, attacks 36 and 37: fields that claim a certificate are believed from trusted peers
/// only, by no default from anybody, and never reach the service.
#[tokio::test]
async fn a_forwarded_certificate_is_believed_from_a_proxy_only() {
    let direct = World::new();
    let forwarding = |source: fn(TrustedPeers) -> ForwardedCertificate| {
        World::with(move |builder| {
            let proxies = TrustedPeers::networks(["10.0.0.0/28"]);
            builder.mtls(Mtls::forwarded(source(proxies)))
        })
    };
    let forwarded = |world: &World, name: &'static str, value: &str, peer: Option<&str>| {
        let mut request = bearer(&world.certified().sign());
        request.headers_mut().insert(name, value.parse().unwrap());
        if let Some(peer) = peer {
            request.extensions_mut().insert(PeerAddr::new(peer.parse().unwrap()));
        }
        request
    };
    let proxy = Some("10.0.0.1");
    type Source = fn(TrustedPeers) -> ForwardedCertificate;
    type Written = fn(&TestCertificate) -> String;
    let forms: [(&str, &str, Source, Written); 3] = [
        ("client-cert", "client_cert", ForwardedCertificate::client_cert, |c| {
            c.client_cert_field()
        }),
        ("x-forwarded-client-cert", "x_forwarded_client_cert", ForwardedCertificate::envoy, |c| {
            c.xfcc_field()
        }),
        (
            "ssl-client-cert",
            "ssl_client_cert",
            |peers| ForwardedCertificate::escaped_pem("ssl-client-cert", peers),
            |c| c.escaped_pem_field(),
        ),
    ];
    for (name, underscored, source, written) in forms {
        let world = forwarding(source);
        let value = written(&world.certificate);
        let passed = sent(&world, forwarded(&world, name, &value, proxy)).await;
        assert_eq!(passed.access().unwrap().binding(), SenderBinding::Mtls, "{name}");
        let seen = passed.seen.as_ref().unwrap();
        assert!(!seen.headers().contains_key(name), "{name} reached the service");
        assert!(passed.response.headers().get_all("vary").iter().any(|vary| vary == name));

        let other = written(&TestCertificate::named("x").self_signed());
        for (case, request, kind) in [
            (
                "a stranger",
                forwarded(&world, name, &value, Some("10.0.0.16")),
                Kind::CertificateMissing,
            ),
            ("no address", forwarded(&world, name, &value, None), Kind::CertificateMissing),
            (
                "underscores",
                forwarded(&world, underscored, &value, proxy),
                Kind::CertificateMissing,
            ),
            ("malformed", forwarded(&world, name, "%", proxy), Kind::CertificateMissing),
            ("another", forwarded(&world, name, &other, proxy), Kind::OtherCertificate),
            // The connection's certificate is the proxy's, and no way round the field.
            (
                "the proxy's own",
                over(forwarded(&world, "x-none", "1", proxy), world.certificate.certificate()),
                Kind::CertificateMissing,
            ),
        ] {
            assert_eq!(sent(&world, request).await.kind(), Some(kind), "{name}: {case}");
        }
        // Off by default.
        let token_of = forwarded(&direct, name, &written(&direct.certificate), proxy);
        assert_eq!(sent(&direct, token_of).await.kind(), Some(Kind::CertificateMissing), "{name}");
    }
    // And stripped by default, also from a request with a plain bearer token.
    for name in ["client-cert", "client_cert", "client-cert-chain", "x_forwarded-client-cert"] {
        let mut request = bearer(&direct.unbound().sign());
        request.headers_mut().insert(name, "x".parse().unwrap());
        let seen = sent(&direct, request).await.seen.unwrap();
        assert!(!seen.headers().contains_key(name), "{name}");
    }
}

/// A server of which some clients come through a proxy.
#[tokio::test]
async fn direct_and_forwarded_certificates_are_not_confused() {
    let world = World::with(|builder| {
        let proxies = TrustedPeers::networks(["10.0.0.1"]);
        let forwarded = ForwardedCertificate::client_cert(proxies);
        builder.mtls(Mtls::direct().or_forwarded(forwarded))
    });
    let token = world.certified().sign();
    let other = TestCertificate::named("proxy").self_signed();
    let from = |peer: &str, own: &TestCertificate, field: Option<&TestCertificate>| {
        let mut request = mutual(&token, own);
        request.extensions_mut().insert(PeerAddr::new(peer.parse().unwrap()));
        if let Some(field) = field {
            let field = field.client_cert_field().parse().unwrap();
            request.headers_mut().insert("client-cert", field);
        }
        request
    };
    let good = &world.certificate;
    for (name, request, kind) in [
        ("direct", from("192.0.2.1", good, None), None),
        ("through the proxy", from("10.0.0.1", &other, Some(good)), None),
        ("a stranger's field", from("192.0.2.1", &other, Some(good)), Some(Kind::OtherCertificate)),
        ("the proxy without one", from("10.0.0.1", good, None), Some(Kind::CertificateMissing)),
        (
            "the proxy with another",
            from("10.0.0.1", good, Some(&other)),
            Some(Kind::OtherCertificate),
        ),
    ] {
        assert_eq!(sent(&world, request).await.kind(), kind, "{name}");
    }
}
