use std::fmt;

use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};

use super::fault::TlsFault;

/// The certificate with which this server authenticates, and its private key.
pub struct ServerCertificate {
    pub(super) chain: Vec<CertificateDer<'static>>,
    pub(super) key: PrivateKeyDer<'static>,
}

impl ServerCertificate {
    /// From the contents of two PEM files: the server's certificate followed by those between it and
    /// the root, and its private key (PKCS #8, PKCS #1 or SEC 1, not encrypted).
    ///
    /// # Errors
    /// If there is no certificate or no key, or a text is malformed. Whether they are a pair
    /// [`TlsAcceptor::new`](super::TlsAcceptor::new) says.
    pub fn from_pem(
        certificates: impl AsRef<[u8]>,
        key: impl AsRef<[u8]>,
    ) -> Result<Self, TlsFault> {
        let chain = certificates_of("the server certificate", certificates.as_ref())?;
        // What is wrong with the text of a key is nothing to show.
        let key =
            PrivateKeyDer::from_pem_slice(key.as_ref()).map_err(|_| TlsFault::NoPrivateKey)?;
        Ok(Self { chain, key })
    }

    /// The server's certificate followed by those between it and the root, and its private key.
    #[must_use]
    pub fn new(chain: Vec<CertificateDer<'static>>, key: PrivateKeyDer<'static>) -> Self {
        Self { chain, key }
    }
}

impl fmt::Debug for ServerCertificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServerCertificate")
            .field("chain", &self.chain.len())
            .finish_non_exhaustive()
    }
}

/// Every certificate of a PEM text, of which there is at least one.
pub(super) fn certificates_of(
    what: &'static str,
    text: &[u8],
) -> Result<Vec<CertificateDer<'static>>, TlsFault> {
    let certificates: Vec<_> = CertificateDer::pem_slice_iter(text)
        .collect::<Result<_, _>>()
        .map_err(|fault| TlsFault::Pem { what, fault: fault.into() })?;
    if certificates.is_empty() {
        return Err(TlsFault::NoCertificate(what));
    }
    Ok(certificates)
}
