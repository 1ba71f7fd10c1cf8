use std::io;
use std::sync::Arc;

use portcullis::PeerAddr;
use portcullis::certificate::{Certificate, ChainCheck};
use portcullis::rustls::{
    ClientCertificates, HandshakeError, HandshakeErrorKind, ServerCertificate, TlsAcceptor,
    TlsConnection,
};
use portcullis::testing::{ManualClock, TestCertificate};
use rustls::client::ResolvesClientCert;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::sign::CertifiedKey;
use rustls::{ClientConfig, RootCertStore, SignatureScheme, SupportedProtocolVersion};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, DuplexStream};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// Both versions, by name.
pub(crate) const VERSIONS: [(&str, &SupportedProtocolVersion); 2] =
    [("TLS 1.2", &rustls::version::TLS12), ("TLS 1.3", &rustls::version::TLS13)];

/// A server, the authority that it and its clients have in common, and a clock.
pub(crate) struct World {
    pub(crate) clock: ManualClock,
    pub(crate) authority: TestCertificate,
    pub(crate) server: TestCertificate,
}

/// What a client does.
#[derive(Clone, Copy)]
pub(crate) enum Presents<'a> {
    Nothing,
    /// A certificate, and signs with its key.
    Own(&'a TestCertificate),
    /// The first one's certificate, and signs with the key of the second.
    Stolen(&'a TestCertificate, &'a TestCertificate),
}

/// What a server knows of a connection, or why there is none.
pub(crate) type Accepted = Result<Option<(Certificate, ChainCheck)>, HandshakeErrorKind>;

impl World {
    pub(crate) fn new() -> Self {
        let authority = TestCertificate::named("authority").authority().self_signed();
        let server = TestCertificate::named("server").dns("localhost").issued_by(&authority);
        Self { clock: ManualClock::new(), authority, server }
    }

    pub(crate) fn server_certificate(&self) -> ServerCertificate {
        ServerCertificate::from_pem(self.server.pem(), self.server.key_pem()).unwrap()
    }

    pub(crate) fn acceptor(&self, clients: ClientCertificates) -> TlsAcceptor {
        TlsAcceptor::new(self.server_certificate(), clients).unwrap().clock(self.clock.clone())
    }

    /// Clients have to have a certificate of the authority.
    pub(crate) fn verified(&self) -> ClientCertificates {
        ClientCertificates::verified(self.authority.pem()).unwrap()
    }

    pub(crate) fn client(&self, presents: Presents<'_>) -> ClientConfig {
        self.client_with(rustls::DEFAULT_VERSIONS, presents)
    }

    pub(crate) fn client_with(
        &self,
        versions: &[&'static SupportedProtocolVersion],
        presents: Presents<'_>,
    ) -> ClientConfig {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from(self.authority.der().to_vec())).unwrap();
        let builder = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_protocol_versions(versions)
            .unwrap()
            .with_root_certificates(roots);
        let (shown, key) = match presents {
            Presents::Nothing => return builder.with_no_client_auth(),
            Presents::Own(certificate) => (certificate, certificate),
            Presents::Stolen(certificate, key) => (certificate, key),
        };
        let chain = std::iter::once(shown.der())
            .chain(shown.certificate().chain())
            .map(|der| CertificateDer::from(der.to_vec()))
            .collect();
        builder.with_client_cert_resolver(Presenter::new(chain, key))
    }
}

/// Presents a chain and signs with a key, whether they belong together or not.
#[derive(Debug)]
pub(crate) struct Presenter(Arc<CertifiedKey>);

impl Presenter {
    pub(crate) fn new(chain: Vec<CertificateDer<'static>>, key: &TestCertificate) -> Arc<Self> {
        let key = PrivateKeyDer::from_pem_slice(key.key_pem().as_bytes()).unwrap();
        let key = aws_lc_rs::default_provider().key_provider.load_private_key(key).unwrap();
        Arc::new(Self(Arc::new(CertifiedKey::new(chain, key))))
    }
}

impl ResolvesClientCert for Presenter {
    fn resolve(&self, _: &[&[u8]], _: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.0))
    }

    fn has_certs(&self) -> bool {
        true
    }
}

pub(crate) fn peer() -> PeerAddr {
    PeerAddr::new([192, 0, 2, 7].into())
}

pub(crate) async fn connect<IO: AsyncRead + AsyncWrite + Unpin>(
    client: &Arc<ClientConfig>,
    stream: IO,
) -> io::Result<TlsStream<IO>> {
    let name = ServerName::try_from("localhost").unwrap();
    TlsConnector::from(Arc::clone(client)).connect(name, stream).await
}

pub(crate) type Ends =
    (Result<TlsConnection<DuplexStream>, HandshakeError>, io::Result<TlsStream<DuplexStream>>);

/// One handshake, from both ends. Under TLS 1.3 a client's is done before the server has looked at
/// its certificate.
pub(crate) async fn meet(acceptor: &TlsAcceptor, client: &Arc<ClientConfig>) -> Ends {
    let (near, far) = tokio::io::duplex(65_536);
    tokio::join!(acceptor.accept(near, peer()), connect(client, far))
}

pub(crate) fn known<IO>(accepted: &Result<TlsConnection<IO>, HandshakeError>) -> Accepted {
    let connection = accepted.as_ref().map_err(HandshakeError::kind)?;
    let known = connection.peer().certificate();
    Ok(known.map(|known| (known.certificate().clone(), known.chain_check())))
}

/// One handshake, and a byte in each direction if it comes to that.
pub(crate) async fn accepted(acceptor: &TlsAcceptor, client: &Arc<ClientConfig>) -> Accepted {
    let (mut near, far) = meet(acceptor, client).await;
    match (&mut near, far) {
        (Ok(near), Ok(mut far)) => {
            far.write_all(b"?").await.unwrap();
            assert_eq!(near.read_u8().await.unwrap(), b'?');
            near.write_all(b"!").await.unwrap();
            near.flush().await.unwrap();
            assert_eq!(far.read_u8().await.unwrap(), b'!');
        }
        (Ok(_), Err(error)) => panic!("only the server has a connection: {error}"),
        (Err(_), Ok(mut far)) => {
            far.read_u8().await.expect_err("no byte from a server without a connection");
        }
        (Err(_), Err(_)) => {}
    }
    known(&near)
}
