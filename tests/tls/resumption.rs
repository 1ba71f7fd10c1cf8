//! Clients that come back with a session.

use std::sync::Arc;
use std::time::Duration;

use portcullis::certificate::ChainCheck::{Unchecked, Verified};
use portcullis::rustls::HandshakeErrorKind::Certificate;
use portcullis::rustls::{ClientCertificates, TlsAcceptor};
use portcullis::testing::TestCertificate;
use portcullis::time::Clock as _;
use rustls::client::Resumption;
use rustls::{ClientConfig, ClientConnection, HandshakeKind, ServerConfig};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::world::Presents::{Nothing, Own};
use crate::world::{Accepted, VERSIONS, World, known, meet};

/// A connection, what the server knows of it, and whether the client resumed a session.
async fn visit(acceptor: &TlsAcceptor, client: &Arc<ClientConfig>) -> (Accepted, bool) {
    let (mut near, far) = meet(acceptor, client).await;
    let Ok(mut far) = far else { return (known(&near), false) };
    if let Ok(near) = &mut near {
        // With this byte the client reads the tickets of TLS 1.3.
        near.write_all(b"!").await.unwrap();
        near.flush().await.unwrap();
        assert_eq!(far.read_u8().await.unwrap(), b'!');
    }
    let resumed = far.get_ref().1.handshake_kind() == Some(HandshakeKind::Resumed);
    (known(&near), resumed)
}

/// MTLS-25: the certificate is that of the handshake with which the session began.
#[tokio::test]
async fn a_resumed_session_has_its_certificate_and_never_anothers() {
    let world = World::new();
    let alice = TestCertificate::named("alice").issued_by(&world.authority);
    let bob = TestCertificate::named("bob").issued_by(&world.authority);
    for (version, versions) in VERSIONS {
        for (name, clients, chain) in [
            ("requested", ClientCertificates::requested(), Unchecked),
            ("verified", world.verified().optional(), Verified),
        ] {
            let name = format!("{name}, {version}");
            let acceptor = world.acceptor(clients);
            let of_alice = Ok(Some((alice.certificate(), chain)));
            let of_bob = Ok(Some((bob.certificate(), chain)));
            let client = |presents| Arc::new(world.client_with(&[versions], presents));
            let (alice, bob, nobody) = (client(Own(&alice)), client(Own(&bob)), client(Nothing));

            for (client, expected) in [(&alice, &of_alice), (&bob, &of_bob), (&nobody, &Ok(None))] {
                assert_eq!(visit(&acceptor, client).await, (expected.clone(), false), "{name}");
            }
            // Over and over: each resumption begins a session in turn.
            for _ in 0..3 {
                for (client, expected) in
                    [(&nobody, &Ok(None)), (&bob, &of_bob), (&alice, &of_alice)]
                {
                    assert_eq!(visit(&acceptor, client).await, (expected.clone(), true), "{name}");
                }
            }
        }
    }
}

/// MTLS-25: a store of sessions that several clients share, and a session that ends elsewhere.
#[tokio::test]
async fn who_has_another_certificate_or_another_acceptor_begins_anew() {
    let world = World::new();
    let alice = TestCertificate::named("alice").self_signed();
    let bob = TestCertificate::named("bob").self_signed();
    for (version, versions) in VERSIONS {
        let acceptor = world.acceptor(ClientCertificates::requested());
        let sessions = Resumption::in_memory_sessions(16);
        let sharing = |presents| {
            let mut client = world.client_with(&[versions], presents);
            client.resumption = sessions.clone();
            Arc::new(client)
        };
        let (of_alice, of_bob) = (alice.certificate(), bob.certificate());
        let of_alice = Ok(Some((of_alice, Unchecked)));
        let client = sharing(Own(&alice));
        assert_eq!(visit(&acceptor, &client).await, (of_alice.clone(), false), "{version}");
        assert_eq!(visit(&acceptor, &client).await, (of_alice.clone(), true), "{version}");
        let known = visit(&acceptor, &sharing(Own(&bob))).await;
        assert_eq!(known, (Ok(Some((of_bob, Unchecked))), false), "{version}, another certificate");
        let known = visit(&acceptor, &sharing(Nothing)).await;
        assert_eq!(known, (Ok(None), false), "{version}, no certificate");

        // An acceptor made later, as after a restart or with other roots, knows no session of this.
        let client = Arc::new(world.client_with(&[versions], Own(&alice)));
        assert_eq!(visit(&acceptor, &client).await, (of_alice.clone(), false), "{version}");
        let other = world.acceptor(ClientCertificates::requested());
        assert_eq!(visit(&other, &client).await, (of_alice, false), "{version}, another acceptor");
    }
}

/// MTLS-07, MTLS-25: rustls verifies no chain when a session is resumed; this acceptor does.
#[tokio::test]
async fn a_session_does_not_outlive_a_certificate_that_is_verified() {
    for (version, versions) in VERSIONS {
        for (name, later, verified) in [("while it is valid", 59, true), ("expired", 61, false)] {
            let world = World::new();
            let (now, hour) = (world.clock.now(), Duration::from_hours(1));
            let alice = TestCertificate::named("alice")
                .valid(now, now.plus(hour))
                .issued_by(&world.authority);
            for (clients, chain) in [
                (ClientCertificates::requested(), Unchecked),
                (world.verified(), Verified),
                (world.verified().optional(), Verified),
            ] {
                let name = format!("{name}, {version}, {clients:?}");
                let acceptor = world.acceptor(clients);
                let client = Arc::new(world.client_with(&[versions], Own(&alice)));
                let good = Ok(Some((alice.certificate(), chain)));
                world.clock.set(now);
                assert_eq!(visit(&acceptor, &client).await, (good.clone(), false), "{name}");
                world.clock.set(now.plus(Duration::from_mins(later)));
                let expected = match verified || chain == Unchecked {
                    true => good,
                    false => Err(Certificate),
                };
                assert_eq!(visit(&acceptor, &client).await, (expected, true), "{name}");
            }
        }
    }
}

/// A config as rustls makes it, which resumes sessions and takes early data.
fn config(world: &World, clients: &ClientCertificates) -> Arc<ServerConfig> {
    use rustls::pki_types::pem::PemObject as _;
    use rustls::pki_types::{CertificateDer, PrivateKeyDer};
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let chain = vec![CertificateDer::from(world.server.der().to_vec())];
    let key = PrivateKeyDer::from_pem_slice(world.server.key_pem().as_bytes()).unwrap();
    let mut config = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_client_cert_verifier(clients.verifier().unwrap())
        .with_single_cert(chain, key)
        .unwrap();
    config.ticketer = rustls::crypto::aws_lc_rs::Ticketer::new().unwrap();
    Arc::new(config)
}

/// MTLS-25: nothing here could verify the chain again.
#[tokio::test]
async fn a_config_of_ones_own_resumes_no_session_whose_chain_was_verified() {
    let world = World::new();
    let alice = TestCertificate::named("alice").issued_by(&world.authority);
    for (version, versions) in VERSIONS {
        for (clients, chain, resumed) in [
            (ClientCertificates::requested(), Unchecked, true),
            (world.verified(), Verified, false),
        ] {
            let acceptor = TlsAcceptor::from_config(config(&world, &clients), chain);
            let client = Arc::new(world.client_with(&[versions], Own(&alice)));
            let good = Ok(Some((alice.certificate(), chain)));
            assert_eq!(visit(&acceptor, &client).await, (good.clone(), false), "{version}");
            assert_eq!(visit(&acceptor, &client).await, (good, resumed), "{version}, {chain:?}");
        }
    }
}

/// Early data can be sent again by anybody on the path.
#[tokio::test]
async fn early_data_is_not_offered_whatever_the_config_says() {
    let world = World::new();
    let mut offering = Arc::unwrap_or_clone(config(&world, &ClientCertificates::requested()));
    offering.max_early_data_size = 1_024;
    offering.ticketer = Arc::new(NoTicketer);
    let offering = Arc::new(offering);
    for (name, ours, offered) in [("rustls alone", false, true), ("this acceptor", true, false)] {
        let mut client = world.client_with(&[&rustls::version::TLS13], Nothing);
        client.enable_early_data = true;
        let client = Arc::new(client);
        if ours {
            let acceptor = TlsAcceptor::from_config(Arc::clone(&offering), Unchecked);
            assert_eq!(visit(&acceptor, &client).await, (Ok(None), false), "{name}");
        } else {
            let (near, far) = tokio::io::duplex(65_536);
            let acceptor = tokio_rustls::TlsAcceptor::from(Arc::clone(&offering));
            let (near, far) =
                tokio::join!(acceptor.accept(near), crate::world::connect(&client, far));
            let (mut near, mut far) = (near.unwrap(), far.unwrap());
            near.write_all(b"!").await.unwrap();
            near.flush().await.unwrap();
            far.read_u8().await.unwrap();
        }
        let mut next = ClientConnection::new(client, "localhost".try_into().unwrap()).unwrap();
        assert_eq!(next.early_data().is_some(), offered, "{name}");
    }
}

/// rustls gives early data only to sessions that the server keeps.
#[derive(Debug)]
struct NoTicketer;

impl rustls::server::ProducesTickets for NoTicketer {
    fn enabled(&self) -> bool {
        false
    }

    fn lifetime(&self) -> u32 {
        0
    }

    fn encrypt(&self, _: &[u8]) -> Option<Vec<u8>> {
        None
    }

    fn decrypt(&self, _: &[u8]) -> Option<Vec<u8>> {
        None
    }
}
