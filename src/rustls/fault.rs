use std::sync::Arc;
use std::time::Duration;

use rustls_pki_types::pem;

/// Why an acceptor cannot be made.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TlsFault {
    /// A PEM text is malformed.
    #[error("the PEM of {what} is malformed: {fault}")]
    #[non_exhaustive]
    Pem {
        /// Whose certificates these are.
        what: &'static str,
        /// What is wrong with the text.
        fault: Arc<pem::Error>,
    },
    /// There is no certificate where at least one is needed.
    #[error("{0}: no certificate found; a PEM file with `BEGIN CERTIFICATE` is wanted")]
    NoCertificate(&'static str),
    /// There is no private key that can be read. Nothing of what was found is shown.
    #[error("no private key found; PKCS #8, PKCS #1 or SEC 1 in PEM is wanted, not encrypted")]
    NoPrivateKey,
    /// Certificate and key are not a pair, or rustls cannot use them.
    #[error("{what}: {fault}")]
    #[non_exhaustive]
    Unusable {
        /// What cannot be used.
        what: &'static str,
        /// Why not.
        fault: ::rustls::Error,
    },
    /// A time limit for handshakes that allows none, or hardly ends one.
    #[error("a handshake timeout of {0:?} is not between 1 millisecond and 1 minute")]
    HandshakeTimeout(Duration),
}

impl TlsFault {
    pub(super) fn unusable(what: &'static str) -> impl Fn(::rustls::Error) -> Self {
        move |fault| Self::Unusable { what, fault }
    }
}
