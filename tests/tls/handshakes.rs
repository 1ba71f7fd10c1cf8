use std::sync::Arc;
use std::time::Duration;

use portcullis::certificate::ChainCheck::{Unchecked, Verified};
use portcullis::rustls::HandshakeErrorKind::{self, Certificate};
use portcullis::rustls::{ClientCertificates, TlsAcceptor};
use portcullis::testing::TestCertificate;
use portcullis::time::Clock as _;
use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::server::danger::ClientCertVerifier;
use tokio::io::AsyncWriteExt as _;
use x509_cert::der::Decode as _;

use crate::world::Presents::{Nothing, Own, Stolen};
use crate::world::{Presenter, VERSIONS, World, accepted, meet, peer};

/// A config of one's own, with this verifier.
pub(crate) fn config(world: &World, verifier: Arc<dyn ClientCertVerifier>) -> Arc<ServerConfig> {
    let chain = CertificateDer::from_pem_slice(world.server.pem().as_bytes()).unwrap();
    let key = rustls::pki_types::PrivateKeyDer::from_pem_slice(world.server.key_pem().as_bytes());
    let provider = Arc::new(aws_lc_rs::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_client_cert_verifier(verifier)
        .with_single_cert(vec![chain], key.unwrap())
        .unwrap();
    Arc::new(config)
}

/// MTLS-01, MTLS-07: a certificate is no secret, its key is; and the proof does not depend on what
/// is thought of the chain.
#[tokio::test]
async fn whoever_presents_a_certificate_proves_in_the_handshake_to_have_its_key() {
    let world = World::new();
    let alice = TestCertificate::named("alice").issued_by(&world.authority);
    let mallory = TestCertificate::named("mallory").issued_by(&world.authority);
    let own_config = config(&world, ClientCertificates::requested().verifier().unwrap());
    for (name, acceptor, chain) in [
        ("requested", world.acceptor(ClientCertificates::requested()), Unchecked),
        ("required", world.acceptor(ClientCertificates::requested().required()), Unchecked),
        ("verified", world.acceptor(world.verified()), Verified),
        ("verified, optional", world.acceptor(world.verified().optional()), Verified),
        ("from a config", TlsAcceptor::from_config(own_config, Unchecked), Unchecked),
    ] {
        for (version, versions) in VERSIONS {
            for (key, presents, expected) in [
                ("its own key", Own(&alice), Ok(Some((alice.certificate(), chain)))),
                ("another's key", Stolen(&alice, &mallory), Err(Certificate)),
                ("that other", Own(&mallory), Ok(Some((mallory.certificate(), chain)))),
            ] {
                let client = Arc::new(world.client_with(&[versions], presents));
                let accepted = accepted(&acceptor, &client).await;
                assert_eq!(accepted, expected, "{name}, {version}, {key}");
            }
        }
    }
}

/// MTLS-08: whether a certificate is asked for is the listener's decision.
#[tokio::test]
async fn a_client_without_a_certificate_is_a_peer_without_one() {
    let world = World::new();
    let alice = TestCertificate::named("alice").issued_by(&world.authority);
    let known = |chain| Ok(Some((alice.certificate(), chain)));
    let asks_nobody = config(&world, Arc::new(rustls::server::NoClientAuth));
    let asks_nobody = TlsAcceptor::from_config(asks_nobody, Unchecked);
    for (name, acceptor, without, with) in [
        ("requested", world.acceptor(ClientCertificates::requested()), Ok(None), known(Unchecked)),
        (
            "required",
            world.acceptor(ClientCertificates::requested().required()),
            Err(Certificate),
            known(Unchecked),
        ),
        ("verified", world.acceptor(world.verified()), Err(Certificate), known(Verified)),
        (
            "verified, optional",
            world.acceptor(world.verified().optional()),
            Ok(None),
            known(Verified),
        ),
        ("not asked for", asks_nobody, Ok(None), Ok(None)),
    ] {
        for (version, versions) in VERSIONS {
            let client = Arc::new(world.client_with(&[versions], Nothing));
            assert_eq!(accepted(&acceptor, &client).await, without, "{name}, {version}, without");
            let client = Arc::new(world.client_with(&[versions], Own(&alice)));
            assert_eq!(accepted(&acceptor, &client).await, with, "{name}, {version}, with");
        }
    }
}

/// MTLS-07: neither chain nor expiry matters for a bound token; where chains are verified they do.
#[tokio::test]
async fn chains_and_expiry_matter_where_they_are_verified_and_nowhere_else() {
    let world = World::new();
    let (now, hour) = (world.clock.now(), Duration::from_hours(1));
    let named = TestCertificate::named;
    let stranger = named("authority").authority().self_signed();
    let between = named("between").authority().issued_by(&world.authority);
    let no_authority = named("between").issued_by(&world.authority);
    for (name, certificate, verified) in [
        ("of the authority", named("alice").issued_by(&world.authority), true),
        ("of another of the same name", named("alice").issued_by(&stranger), false),
        ("self-signed", named("alice").self_signed(), false),
        (
            "valid now",
            named("alice").valid(now.minus(hour), now.plus(hour)).issued_by(&world.authority),
            true,
        ),
        (
            "expired",
            named("alice")
                .valid(now.minus(hour), now.minus(Duration::from_secs(1)))
                .issued_by(&world.authority),
            false,
        ),
        (
            "not valid yet",
            named("alice")
                .valid(now.plus(Duration::from_secs(1)), now.plus(hour))
                .issued_by(&world.authority),
            false,
        ),
        (
            "self-signed and expired",
            named("alice").valid(now.minus(hour), now.minus(hour)).self_signed(),
            false,
        ),
        ("of one between", named("alice").issued_by(&between), true),
        ("of one between who is no authority", named("alice").issued_by(&no_authority), false),
    ] {
        for (version, versions) in VERSIONS {
            let client = Arc::new(world.client_with(&[versions], Own(&certificate)));
            let requested = world.acceptor(ClientCertificates::requested());
            let expected = Ok(Some((certificate.certificate(), Unchecked)));
            assert_eq!(accepted(&requested, &client).await, expected, "{name}, {version}");
            let expected = match verified {
                true => Ok(Some((certificate.certificate(), Verified))),
                false => Err(Certificate),
            };
            let acceptor = world.acceptor(world.verified());
            assert_eq!(accepted(&acceptor, &client).await, expected, "{name}, {version}, verified");
        }
    }
}

/// The chain comes along, without the root, and unverified where that is what was asked for.
#[tokio::test]
async fn the_chain_comes_along() {
    let world = World::new();
    let between = TestCertificate::named("between").authority().issued_by(&world.authority);
    let alice = TestCertificate::named("alice").issued_by(&between);
    for (name, presented, expected) in
        [("with one between", &alice, vec![between.der()]), ("without", &between, Vec::new())]
    {
        let client = Arc::new(world.client(Own(presented)));
        let (near, _far) = meet(&world.acceptor(ClientCertificates::requested()), &client).await;
        let near = near.unwrap();
        let certificate = near.peer().certificate().unwrap().certificate();
        assert_eq!(certificate.der(), Some(presented.der()), "{name}");
        assert_eq!(certificate.chain().collect::<Vec<_>>(), expected, "{name}");
    }
}

/// MTLS-09: the same key in a renewed certificate is another certificate, to which older tokens are
/// not bound.
#[tokio::test]
async fn a_renewed_certificate_is_another_one() {
    let world = World::new();
    let alice = TestCertificate::named("alice").self_signed();
    let renewed = alice.renewed();
    let acceptor = world.acceptor(ClientCertificates::requested());
    for (name, presents, bound) in [
        ("the certificate", Own(&alice), true),
        ("renewed", Own(&renewed), false),
        // The key is the same: the proof holds for either.
        ("the certificate, its key loaded from the renewal", Stolen(&alice, &renewed), true),
    ] {
        let client = Arc::new(world.client(presents));
        let (certificate, _) = accepted(&acceptor, &client).await.unwrap().unwrap();
        let confirmation = serde_json::json!({ "x5t#S256": certificate.thumbprint().as_str() });
        assert_eq!(confirmation == alice.confirmation(), bound, "{name}");
    }
}

/// MTLS-07: a limit of webpki, which reads the key for the proof; the documentation says so.
#[tokio::test]
async fn an_x509_v1_certificate_gets_no_connection() {
    let world = World::new();
    let alice = TestCertificate::named("alice".repeat(12)).self_signed();
    let v1 = without_version(alice.der());
    let acceptor = world.acceptor(ClientCertificates::requested());
    for (name, der, passes) in [("v3", alice.der().to_vec(), true), ("v1", v1, false)] {
        for (version, versions) in VERSIONS {
            let mut client = world.client_with(&[versions], Nothing);
            let chain = vec![CertificateDer::from(der.clone())];
            client.client_auth_cert_resolver = Presenter::new(chain, &alice);
            let known = accepted(&acceptor, &Arc::new(client)).await;
            let expected = if passes { Ok(true) } else { Err(Certificate) };
            assert_eq!(known.map(|known| known.is_some()), expected, "{name}, {version}");
        }
    }
}

/// The same certificate without its version, which makes it v1. Its signature no longer holds, and
/// nobody looks at that.
fn without_version(der: &[u8]) -> Vec<u8> {
    // SEQUENCE { SEQUENCE { [0] { INTEGER 2 }, .. }, .. }, both lengths in two octets.
    const VERSION: [u8; 5] = [0xa0, 3, 2, 1, 2];
    let mut der = der.to_vec();
    assert_eq!((der[..2].to_vec(), der[4..6].to_vec()), (vec![0x30, 0x82], vec![0x30, 0x82]));
    assert_eq!(der.splice(8..13, []).collect::<Vec<_>>(), VERSION);
    for at in [2, 6] {
        let length = u16::from_be_bytes([der[at], der[at + 1]]) - 5;
        der[at..at + 2].copy_from_slice(&length.to_be_bytes());
    }
    let parsed = x509_cert::Certificate::from_der(&der).unwrap();
    assert_eq!(parsed.tbs_certificate().version(), x509_cert::Version::V1);
    der
}

#[tokio::test]
async fn a_handshake_has_a_time_limit() {
    let world = World::new();
    let acceptor = world.acceptor(ClientCertificates::requested());
    let short = acceptor.clone().handshake_timeout(Duration::from_secs(3)).unwrap();
    for (name, acceptor, limit) in [("unless set", acceptor, 10), ("set", short, 3)] {
        // Held open, and silent.
        let (near, _far) = tokio::io::duplex(1_024);
        let handshake = tokio::spawn(async move { acceptor.accept(near, peer()).await });
        while world.clock.sleepers() == 0 {
            tokio::task::yield_now().await;
        }
        world.clock.advance(Duration::from_secs(limit) - Duration::from_millis(1));
        tokio::task::yield_now().await;
        assert!(!handshake.is_finished(), "{name}");
        world.clock.advance(Duration::from_millis(1));
        let error = handshake.await.unwrap().unwrap_err();
        assert_eq!(error.kind(), HandshakeErrorKind::Timeout, "{name}: {error}");
    }
}

#[tokio::test]
async fn what_is_not_tls_or_breaks_off_is_told_apart() {
    let world = World::new();
    let acceptor = world.acceptor(ClientCertificates::requested());
    for (name, bytes, expected) in [
        ("plain HTTP", &b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n"[..], "protocol"),
        ("nothing", b"", "connection"),
        ("the start of a record", &[22, 3, 1, 1, 0, 1], "connection"),
    ] {
        let (near, mut far) = tokio::io::duplex(1_024);
        far.write_all(bytes).await.unwrap();
        far.shutdown().await.unwrap();
        let error = acceptor.accept(near, peer()).await.unwrap_err();
        assert_eq!(error.kind().as_str(), expected, "{name}: {error}");
    }
}

#[tokio::test]
async fn both_versions_of_http_are_offered_unless_set() {
    let world = World::new();
    let acceptor = world.acceptor(ClientCertificates::requested());
    let http1 = acceptor.clone().alpn_protocols(["http/1.1"]);
    let protocol = Err(HandshakeErrorKind::Protocol);
    for (name, acceptor, offered, expected) in [
        ("both", &acceptor, &["http/1.1", "h2"][..], Ok(Some("h2"))),
        ("the old one", &acceptor, &["http/1.1"], Ok(Some("http/1.1"))),
        ("nothing", &acceptor, &[], Ok(None)),
        ("another", &acceptor, &["imap"], protocol),
        ("both, to one that is set", &http1, &["h2", "http/1.1"], Ok(Some("http/1.1"))),
        ("the new one, to one that is set", &http1, &["h2"], protocol),
    ] {
        let mut client = world.client(Nothing);
        client.alpn_protocols = offered.iter().map(|name| name.as_bytes().to_vec()).collect();
        let (near, _far) = meet(acceptor, &Arc::new(client)).await;
        let agreed = near.as_ref().map_err(|error| error.kind()).map(|connection| {
            connection.alpn_protocol().map(|protocol| std::str::from_utf8(protocol).unwrap())
        });
        assert_eq!(agreed, expected, "{name}");
    }
}
