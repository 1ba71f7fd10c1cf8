use std::sync::Arc;
use std::time::Duration;

use portcullis::rustls::{ClientCertificates, ServerCertificate, TlsAcceptor, TlsFault};
use portcullis::testing::TestCertificate;
use rustls::crypto::CryptoProvider;

use crate::world::Presents::Own;
use crate::world::{World, accepted};

const GARBAGE: &str = "-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----\n";

#[test]
fn a_server_needs_a_certificate_and_its_key() {
    let one = TestCertificate::named("one").self_signed();
    let other = TestCertificate::named("other").self_signed();
    let bad_der = GARBAGE.replace('!', "AAAA");
    for (name, certificates, key, expected) in [
        ("a pair", one.pem(), one.key_pem(), "fine"),
        ("with its chain", one.chain_pem() + &other.pem(), one.key_pem(), "fine"),
        ("both in one file", one.pem() + &one.key_pem(), one.pem() + &one.key_pem(), "fine"),
        ("no pair", one.pem(), other.key_pem(), "the server certificate: "),
        ("no certificate", one.key_pem(), one.key_pem(), "the server certificate: no certificate"),
        ("an empty file", String::new(), one.key_pem(), "the server certificate: no certificate"),
        ("not base64", GARBAGE.to_owned(), one.key_pem(), "the PEM of the server certificate is"),
        ("not a certificate", bad_der, one.key_pem(), "the server certificate: "),
        ("no key", one.pem(), one.pem(), "no private key"),
    ] {
        let made = ServerCertificate::from_pem(certificates, key)
            .and_then(|server| TlsAcceptor::new(server, ClientCertificates::requested()));
        match made {
            Ok(_) => assert_eq!("fine", expected, "{name}"),
            Err(fault) => assert!(fault.to_string().starts_with(expected), "{name}: {fault}"),
        }
    }
}

#[test]
fn no_private_key_is_shown() {
    let one = TestCertificate::named("one").self_signed();
    let key = one.key_pem();
    let secret = key.lines().nth(1).unwrap();
    let server = ServerCertificate::from_pem(one.pem(), &key).unwrap();
    let no_end = key.replace("-----END", "");
    let fault = ServerCertificate::from_pem(one.pem(), &no_end).unwrap_err();
    // Taken for a certificate.
    let mistaken = ServerCertificate::from_pem(no_end, &key).unwrap_err();
    assert!(matches!(mistaken, TlsFault::Pem { .. }));
    let faults = format!("{fault:?} {fault} {mistaken:?} {mistaken}");
    assert!(secret.len() > 60);
    for shown in [format!("{server:?}"), faults, format!("{one:?}")] {
        assert!(!shown.contains(&secret[..20]), "{shown}");
    }
}

#[test]
fn verified_clients_need_roots() {
    let world = World::new();
    let several = world.authority.pem() + &world.server.pem();
    let bad_der = GARBAGE.replace('!', "AAAA");
    for (name, roots, expected) in [
        ("one", world.authority.pem(), "fine"),
        ("several", several, "fine"),
        ("none", String::new(), "the roots of client certificates: no certificate"),
        ("not base64", GARBAGE.to_owned(), "the PEM of the roots of client certificates is"),
        ("one of them not base64", world.authority.pem() + GARBAGE, "the PEM of the roots"),
        ("one of them no certificate", world.authority.pem() + &bad_der, "the roots of"),
    ] {
        match ClientCertificates::verified(roots).and_then(|clients| clients.verifier()) {
            Ok(_) => assert_eq!("fine", expected, "{name}"),
            Err(fault) => assert!(fault.to_string().starts_with(expected), "{name}: {fault}"),
        }
    }
}

/// A process that has two of them has no default, and asking for it panics.
#[tokio::test]
async fn the_cryptography_of_the_process_is_neither_asked_for_nor_set() {
    let world = World::new();
    let alice = TestCertificate::named("alice").issued_by(&world.authority);
    for clients in [ClientCertificates::requested(), world.verified()] {
        let client = Arc::new(world.client(Own(&alice)));
        assert!(accepted(&world.acceptor(clients), &client).await.unwrap().is_some());
    }
    assert!(CryptoProvider::get_default().is_none());
}

#[test]
fn a_time_limit_is_a_time_and_a_limit() {
    let acceptor = World::new().acceptor(ClientCertificates::requested());
    for (name, limit, fine) in [
        ("none", Duration::ZERO, false),
        ("hardly any", Duration::from_micros(999), false),
        ("the shortest", Duration::from_millis(1), true),
        ("the longest", Duration::from_mins(1), true),
        ("longer", Duration::from_secs(61), false),
        ("for ever", Duration::MAX, false),
    ] {
        match acceptor.clone().handshake_timeout(limit) {
            Ok(_) => assert!(fine, "{name}"),
            Err(TlsFault::HandshakeTimeout(found)) => {
                assert!(!fine && found == limit, "{name}");
            }
            Err(other) => panic!("{name}: {other}"),
        }
    }
}
