//! Mutual TLS that ends in this process (feature `rustls`): the acceptor hands the certificate of a
//! client to the layer, for access tokens that are bound to it (RFC 8705 §3).
//!
//! 1. Whoever presents a certificate proves in the handshake that it has the key (RFC 8446 §4.4.3,
//!    RFC 5246 §7.4.8). No policy of [`ClientCertificates`] goes without that proof.
//! 2. A chain is verified where [`ClientCertificates::verified`] says so, and nowhere else. For a
//!    bound token it need not be (RFC 8705 §6.2): with [`ClientCertificates::requested`] a
//!    self-signed or expired certificate is as good as any, and says no more than "the same key".
//! 3. [`PeerInfo`] replaces what a request's extensions say of its sender, and removes a
//!    [`PeerCertificate`] where the connection has none.
//! 4. A connection has one certificate from its handshake to its end: there is neither renegotiation
//!    nor authentication after the handshake.
//! 5. A resumed session has the certificate of the handshake that it began with, or none; never
//!    another's. Its key is not proven again. Its chain, where one is verified, is verified again
//!    when the session is resumed, so that a session does not outlive its certificate.
//! 6. No early data (RFC 8446 §2.3), which anybody on the path may send again.
//! 7. A handshake has a time limit, and [`TlsListener`] a limit on handshakes under way: a slow one
//!    holds up nobody else.
//! 8. Cryptography is aws-lc-rs, whatever the process has installed as its default.
//!
//! Whether a client is asked for a certificate is decided before its token is known (RFC 8705 §3): a
//! bound token on a listener that does not ask is refused. Browsers that are asked show a dialogue;
//! clients without certificates are better served on another port or host (RFC 8705 §5,
//! `mtls_endpoint_aliases` does that for the authorization server).
//!
//! What it does not do:
//!
//! - It looks up no revocation list, and does not load a renewed server certificate: both are
//!   settings of rustls, for [`TlsAcceptor::from_config`].
//! - It takes no X.509 v1 certificate and none with a critical extension that webpki does not know:
//!   webpki, which reads the key for the proof of rule 1, refuses them, and the handshake fails. The
//!   certificate of RFC 8705 Appendix A is such a v1 certificate. Client certificates have to be v3.
//! - Under TLS 1.2 a client's certificate travels in the clear, so that who is on the path can follow
//!   the client (RFC 8705 §8). A config with TLS 1.3 alone is for [`TlsAcceptor::from_config`].
//!
//! The server that decides about bound tokens is built with [`Mtls::direct`](crate::Mtls::direct).
//!
//! With axum:
//!
//! ```no_run
//! use axum::{Router, routing::get};
//! use portcullis::axum::PeerLayer;
//! use portcullis::check::scope;
//! use portcullis::rustls::{
//!     ClientCertificates, PeerInfo, ServerCertificate, TlsAcceptor, TlsListener,
//! };
//!
//! # async fn serve(api: portcullis::ResourceServer) -> Result<(), Box<dyn std::error::Error>> {
//! let (chain, key) = (std::fs::read("server.pem")?, std::fs::read("server.key")?);
//! let certificate = ServerCertificate::from_pem(chain, key)?;
//! let acceptor = TlsAcceptor::new(certificate, ClientCertificates::requested())?;
//! let listener = tokio::net::TcpListener::bind("0.0.0.0:8443").await?;
//!
//! let app = Router::new()
//!     .route("/notes", get(async || "notes").layer(api.protect(scope("notes:read"))))
//!     .layer(PeerLayer);
//! let app = app.into_make_service_with_connect_info::<PeerInfo>();
//! axum::serve(TlsListener::new(listener, acceptor), app).await?;
//! # Ok(())
//! # }
//! ```
//!
//! With hyper, `connection.peer().service(service)` around the service of a connection does what
//! `PeerLayer` does here. A client that has a key, and one that shows a certificate of another:
//!
//! ```
//! use std::sync::Arc;
//!
//! use portcullis::PeerAddr;
//! use portcullis::rustls::{
//!     ClientCertificates, HandshakeErrorKind, ServerCertificate, TlsAcceptor,
//! };
//! use portcullis::testing::TestCertificate;
//! # use rustls::pki_types::pem::PemObject as _;
//! # use rustls::pki_types::{CertificateDer, PrivateKeyDer};
//! # use rustls::sign::{CertifiedKey, SingleCertAndKey};
//! # fn client(server: &TestCertificate, shown: &TestCertificate, key: &TestCertificate) -> tokio_rustls::TlsConnector {
//! #     let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
//! #     let mut roots = rustls::RootCertStore::empty();
//! #     roots.add(CertificateDer::from(server.der().to_vec())).unwrap();
//! #     let chain = vec![CertificateDer::from(shown.der().to_vec())];
//! #     let key = PrivateKeyDer::from_pem_slice(key.key_pem().as_bytes()).unwrap();
//! #     let key = provider.key_provider.load_private_key(key).unwrap();
//! #     let resolver = SingleCertAndKey::from(CertifiedKey::new(chain, key));
//! #     let config = rustls::ClientConfig::builder_with_provider(provider)
//! #         .with_safe_default_protocol_versions().unwrap()
//! #         .with_root_certificates(roots)
//! #         .with_client_cert_resolver(Arc::new(resolver));
//! #     Arc::new(config).into()
//! # }
//!
//! # tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
//! let server = TestCertificate::named("server").dns("api.example.com").self_signed();
//! let alice = TestCertificate::named("alice").self_signed();
//! let mallory = TestCertificate::named("mallory").self_signed();
//!
//! let certificate = ServerCertificate::from_pem(server.pem(), server.key_pem())?;
//! let acceptor = TlsAcceptor::new(certificate, ClientCertificates::requested())?;
//! let peer = PeerAddr::new([192, 0, 2, 7].into());
//!
//! for (shown, key, expected) in [
//!     (&alice, &alice, Ok(Some(alice.certificate()))),
//!     (&alice, &mallory, Err(HandshakeErrorKind::Certificate)),
//! ] {
//!     let (near, far) = tokio::io::duplex(16_384);
//!     let connector = client(&server, shown, key);
//!     let (accepted, _connected) = tokio::join!(
//!         acceptor.accept(near, peer),
//!         connector.connect("api.example.com".try_into()?, far),
//!     );
//!     let presented = accepted
//!         .map(|connection| connection.peer().certificate().map(|peer| peer.certificate().clone()));
//!     assert_eq!(presented.map_err(|error| error.kind()), expected);
//! }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! # })?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! [`PeerCertificate`]: crate::certificate::PeerCertificate

mod acceptor;
#[cfg(feature = "axum")]
mod axum;
mod client;
mod connection;
mod fault;
mod handshake;
mod listener;
mod peer;
mod resumption;
mod server;

pub use acceptor::TlsAcceptor;
pub use client::ClientCertificates;
pub use connection::TlsConnection;
pub use fault::TlsFault;
pub use handshake::{HandshakeError, HandshakeErrorKind};
pub use listener::TlsListener;
pub use peer::{PeerInfo, PeerService};
pub use server::ServerCertificate;

use std::sync::Arc;

use ::rustls::crypto::{CryptoProvider, aws_lc_rs};

/// Said explicitly everywhere: a process may have another default, or two that exclude each other.
fn provider() -> Arc<CryptoProvider> {
    Arc::new(aws_lc_rs::default_provider())
}
