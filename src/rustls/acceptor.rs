use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use ::rustls::server::danger::ClientCertVerifier;
use ::rustls::time_provider::TimeProvider;
use ::rustls::{HandshakeKind, ServerConfig, ServerConnection};
use rustls_pki_types::UnixTime;
use tokio::io::{AsyncRead, AsyncWrite};

use super::client::ClientCertificates;
use super::connection::TlsConnection;
use super::fault::TlsFault;
use super::handshake::HandshakeError;
use super::peer::PeerInfo;
use super::server::ServerCertificate;
use super::{provider, resumption};
use crate::certificate::{Certificate, ChainCheck, PeerCertificate};
use crate::sender::PeerAddr;
use crate::time::{Clock, SystemClock};

/// How long a handshake may take: a few round trips over a bad mobile link.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);

/// What may be set instead: whoever is given longer than that is not going to finish.
const HANDSHAKE_TIMEOUTS: std::ops::RangeInclusive<Duration> =
    Duration::from_millis(1)..=Duration::from_mins(1);

/// What clients may ask for, best first (RFC 7301 §6, RFC 9113 §3.2).
const ALPN: [&[u8]; 2] = [b"h2", b"http/1.1"];

/// Accepts TLS connections and tells who is at their other end. A clone is the same acceptor.
#[derive(Clone)]
pub struct TlsAcceptor {
    config: Arc<ServerConfig>,
    chain: ChainCheck,
    /// Looks again at the chains of sessions that are resumed, where chains are verified.
    verifier: Option<Arc<dyn ClientCertVerifier>>,
    handshake_timeout: Duration,
    clock: Arc<dyn Clock>,
}

impl TlsAcceptor {
    /// An acceptor for TLS 1.2 and 1.3 that authenticates with this certificate and wants this of
    /// clients. It speaks HTTP/2 and HTTP/1.1, and a handshake may take ten seconds.
    ///
    /// # Errors
    /// If the server's certificate and key are not a pair, or rustls cannot use them.
    pub fn new(server: ServerCertificate, clients: ClientCertificates) -> Result<Self, TlsFault> {
        let unusable = TlsFault::unusable("the server certificate");
        let verifier = clients.verifier()?;
        let mut config = ServerConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .map_err(&unusable)?
            .with_client_cert_verifier(Arc::clone(&verifier))
            .with_single_cert(server.chain, server.key)
            .map_err(&unusable)?;
        config.alpn_protocols = ALPN.map(<[u8]>::to_vec).to_vec();
        // What rustls can do here depends on the features that others enable.
        config.cert_decompressors = Vec::new();
        resumption::of_its_own(&mut config);
        let chain = clients.chain_check();
        let verifier = (chain == ChainCheck::Verified).then_some(verifier);
        Ok(Self { verifier, ..Self::with(config, chain) })
    }

    /// An acceptor with a config of one's own: renewed certificates, revocation lists, TLS 1.3 alone.
    /// `chain` says what the config's verifier does with the chains of clients.
    ///
    /// **The verifier has to check the signature of the handshake.** A [`ClientCertVerifier`] whose
    /// `verify_tls12_signature` or `verify_tls13_signature` answers `HandshakeSignatureValid::assertion()`
    /// accepts any certificate from anybody, and certificates are no secrets: every bound token is
    /// then a bearer token. Those of [`ClientCertificates::verifier`] and of rustls check it.
    ///
    /// Early data is turned off. With [`ChainCheck::Verified`] so is resumption: rustls would not
    /// verify the chain again. With [`ChainCheck::Unchecked`] the config must share its session
    /// storage and its ticketer with no config that has another verifier.
    #[must_use]
    pub fn from_config(config: Arc<ServerConfig>, chain: ChainCheck) -> Self {
        let mut config = Arc::unwrap_or_clone(config);
        config.max_early_data_size = 0;
        if chain == ChainCheck::Verified {
            resumption::none(&mut config);
        }
        Self::with(config, chain)
    }

    fn with(config: ServerConfig, chain: ChainCheck) -> Self {
        Self {
            config: Arc::new(config),
            chain,
            verifier: None,
            handshake_timeout: HANDSHAKE_TIMEOUT,
            clock: Arc::new(SystemClock::new()),
        }
    }

    /// How long a handshake may take.
    ///
    /// # Errors
    /// If it is not between a millisecond and a minute.
    pub fn handshake_timeout(mut self, timeout: Duration) -> Result<Self, TlsFault> {
        if !HANDSHAKE_TIMEOUTS.contains(&timeout) {
            return Err(TlsFault::HandshakeTimeout(timeout));
        }
        self.handshake_timeout = timeout;
        Ok(self)
    }

    /// What is spoken over the connections, best first (ALPN, RFC 7301): `h2` and `http/1.1` unless
    /// set. A client that offers nothing of it gets no connection; one that offers nothing at all
    /// does.
    #[must_use]
    pub fn alpn_protocols<P: Into<Vec<u8>>>(
        mut self,
        protocols: impl IntoIterator<Item = P>,
    ) -> Self {
        let protocols = protocols.into_iter().map(Into::into).collect();
        Arc::make_mut(&mut self.config).alpn_protocols = protocols;
        self
    }

    /// Where "now" comes from, for the expiry of certificates and sessions, and for the time limit.
    #[must_use]
    pub fn clock(mut self, clock: impl Clock) -> Self {
        self.clock = Arc::new(clock);
        let time = Arc::new(Time(Arc::clone(&self.clock)));
        Arc::make_mut(&mut self.config).time_provider = time;
        self
    }

    pub(super) fn its_clock(&self) -> &dyn Clock {
        &*self.clock
    }

    /// Makes a TLS connection of a connection from this address.
    ///
    /// 1. The handshake is done in time. Dropping the future drops the connection.
    /// 2. The certificate of a resumed session is one that would be accepted now.
    ///
    /// # Errors
    /// If there is no connection: see [`HandshakeErrorKind`](super::HandshakeErrorKind).
    pub async fn accept<IO: AsyncRead + AsyncWrite + Unpin>(
        &self,
        stream: IO,
        peer: PeerAddr,
    ) -> Result<TlsConnection<IO>, HandshakeError> {
        // 1.
        let acceptor = tokio_rustls::TlsAcceptor::from(Arc::clone(&self.config));
        let stream = tokio::select! {
            biased;
            () = self.clock.sleep(self.handshake_timeout) => {
                return Err(HandshakeError::late(self.handshake_timeout));
            }
            done = acceptor.accept(stream) => done.map_err(HandshakeError::of)?,
        };
        // 2.
        let (_, session) = stream.get_ref();
        self.verify_again(session).map_err(HandshakeError::resumed)?;
        let peer = PeerInfo::new(peer, self.certificate(session));
        Ok(TlsConnection::new(stream, peer))
    }

    /// rustls does not look at the chain of a resumed session. Each resumption begins a session in
    /// turn, so that one handshake would be enough for as long as a client comes back.
    fn verify_again(&self, session: &ServerConnection) -> Result<(), ::rustls::Error> {
        use HandshakeKind::{Full, FullWithHelloRetryRequest};
        let full = matches!(session.handshake_kind(), Some(Full | FullWithHelloRetryRequest));
        let Some(verifier) = self.verifier.as_ref().filter(|_| !full) else { return Ok(()) };
        let Some((leaf, chain)) = session.peer_certificates().and_then(<[_]>::split_first) else {
            return match verifier.client_auth_mandatory() {
                true => Err(::rustls::Error::NoCertificatesPresented),
                false => Ok(()),
            };
        };
        let now = self.config.time_provider.current_time();
        let now = now.ok_or(::rustls::Error::FailedToGetCurrentTime)?;
        verifier.verify_client_cert(leaf, chain, now).map(drop)
    }

    fn certificate(&self, session: &ServerConnection) -> Option<PeerCertificate> {
        let (leaf, chain) = session.peer_certificates()?.split_first()?;
        let chain = chain.iter().map(|der| der.as_ref().into()).collect();
        let certificate = Certificate::with_chain(leaf.as_ref(), chain);
        Some(PeerCertificate::new(certificate, self.chain))
    }
}

impl fmt::Debug for TlsAcceptor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsAcceptor")
            .field("chain", &self.chain)
            .field("handshake_timeout", &self.handshake_timeout)
            .finish_non_exhaustive()
    }
}

/// The clock as rustls asks for the time.
struct Time(Arc<dyn Clock>);

impl TimeProvider for Time {
    fn current_time(&self) -> Option<UnixTime> {
        Some(UnixTime::since_unix_epoch(self.0.now().as_duration()))
    }
}

impl fmt::Debug for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Time")
    }
}
