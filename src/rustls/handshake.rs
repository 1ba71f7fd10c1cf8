use std::error::Error;
use std::fmt;
use std::io;
use std::time::Duration;

/// How a handshake failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum HandshakeErrorKind {
    /// It was not finished in time.
    Timeout,
    /// The connection broke.
    Connection,
    /// The client's certificate is missing or refused, or the client did not prove to have its key.
    Certificate,
    /// TLS was not spoken, or not in a way that both sides know.
    Protocol,
}

impl HandshakeErrorKind {
    /// Every one of them, for preregistering metric labels.
    pub const ALL: &'static [Self] =
        &[Self::Timeout, Self::Connection, Self::Certificate, Self::Protocol];

    /// A short name in snake case, for a metric label.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Timeout => "timeout",
            Self::Connection => "connection",
            Self::Certificate => "certificate",
            Self::Protocol => "protocol",
        }
    }
}

/// A handshake that failed. There is no connection.
#[derive(Debug)]
pub struct HandshakeError {
    kind: HandshakeErrorKind,
    cause: Box<dyn Error + Send + Sync>,
}

impl HandshakeError {
    /// How it failed.
    #[must_use]
    pub fn kind(&self) -> HandshakeErrorKind {
        self.kind
    }

    pub(super) fn late(limit: Duration) -> Self {
        let cause = format!("not finished in {limit:?}").into();
        Self { kind: HandshakeErrorKind::Timeout, cause }
    }

    /// A certificate was good when its session began, and is not when that is resumed.
    pub(super) fn resumed(fault: ::rustls::Error) -> Self {
        Self { kind: HandshakeErrorKind::Certificate, cause: fault.into() }
    }

    pub(super) fn of(error: io::Error) -> Self {
        use ::rustls::Error::{InvalidCertificate, NoCertificatesPresented};
        let fault = error.get_ref().and_then(|inner| inner.downcast_ref::<::rustls::Error>());
        let kind = match fault {
            Some(InvalidCertificate(_) | NoCertificatesPresented) => {
                HandshakeErrorKind::Certificate
            }
            Some(_) => HandshakeErrorKind::Protocol,
            None => HandshakeErrorKind::Connection,
        };
        Self { kind, cause: error.into() }
    }
}

impl fmt::Display for HandshakeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the TLS handshake failed: {}", self.cause)
    }
}

impl Error for HandshakeError {}
