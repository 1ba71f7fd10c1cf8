//! Certificates that peers present, as bytes: nothing here looks inside them.
//!
//! 1. A certificate-bound token is compared with the SHA-256 of the certificate's DER
//!    (RFC 8705 §3.1). No X.509 is parsed for that, and neither chain nor expiry matters (§6.2): what
//!    counts is that the sender has the key, which the TLS handshake has proven.
//! 2. [`PeerCertificate`] is what the TLS acceptor puts into the request's extensions: the
//!    certificate of whoever is at the other end of the connection. Behind a proxy that is the proxy,
//!    not the client.
//!
//! What it does not do: it proves nothing. Whoever makes a [`PeerCertificate`] says that a handshake
//! did.
//!
//! ```
//! use portcullis::certificate::{Certificate, ChainCheck, PeerCertificate};
//!
//! let certificate = Certificate::from_der(b"the DER of a certificate".to_vec());
//! assert_eq!(certificate.thumbprint().as_str().len(), 43);
//!
//! let mut request = http::Request::new(());
//! request.extensions_mut().insert(PeerCertificate::new(certificate, ChainCheck::Unchecked));
//! ```

use std::fmt;
use std::sync::{Arc, OnceLock};

use sha2::{Digest as _, Sha256};

use crate::name::Thumbprint;

/// One certificate, its chain if it came along, and its thumbprint, which is made once. A clone is
/// the same certificate.
#[derive(Clone)]
pub struct Certificate {
    inner: Arc<Inner>,
}

struct Inner {
    /// `None`: only its digest is known.
    der: Option<Box<[u8]>>,
    /// What came with it, nearest issuer first.
    chain: Vec<Box<[u8]>>,
    digest: OnceLock<[u8; 32]>,
    thumbprint: OnceLock<Thumbprint>,
    #[cfg(feature = "rustls")]
    memo: memo::Memo,
}

impl Certificate {
    /// The certificate of this DER.
    #[must_use]
    pub fn from_der(der: impl Into<Box<[u8]>>) -> Self {
        Self::with_chain(der, Vec::new())
    }

    /// The certificate of this DER, and the certificates that came with it, nearest issuer first.
    #[must_use]
    pub fn with_chain(der: impl Into<Box<[u8]>>, chain: Vec<Box<[u8]>>) -> Self {
        Self::new(Some(der.into()), chain, OnceLock::new())
    }

    /// A certificate of which nothing but the SHA-256 of its DER is known, as some proxies forward
    /// it.
    #[must_use]
    pub fn from_sha256(digest: [u8; 32]) -> Self {
        Self::new(None, Vec::new(), OnceLock::from(digest))
    }

    fn new(der: Option<Box<[u8]>>, chain: Vec<Box<[u8]>>, digest: OnceLock<[u8; 32]>) -> Self {
        let inner = Inner {
            der,
            chain,
            digest,
            thumbprint: OnceLock::new(),
            #[cfg(feature = "rustls")]
            memo: memo::Memo::default(),
        };
        Self { inner: Arc::new(inner) }
    }

    /// Its DER, where that is known.
    #[must_use]
    pub fn der(&self) -> Option<&[u8]> {
        self.inner.der.as_deref()
    }

    /// What came with it, nearest issuer first, each as DER. Nobody has verified it.
    pub fn chain(&self) -> impl ExactSizeIterator<Item = &[u8]> {
        self.inner.chain.iter().map(AsRef::as_ref)
    }

    /// The SHA-256 of its DER.
    #[must_use]
    pub fn sha256(&self) -> &[u8; 32] {
        let der = self.der().unwrap_or_default();
        self.inner.digest.get_or_init(|| Sha256::digest(der).into())
    }

    /// Its thumbprint as `cnf` has it in `x5t#S256` (RFC 8705 §3.1).
    #[must_use]
    pub fn thumbprint(&self) -> &Thumbprint {
        self.inner.thumbprint.get_or_init(|| Thumbprint::of_sha256(self.sha256()))
    }

    /// What rooms above have found out about it.
    #[cfg(feature = "rustls")]
    pub(crate) fn memo(&self) -> &memo::Memo {
        &self.inner.memo
    }
}

/// By digest.
impl PartialEq for Certificate {
    fn eq(&self, other: &Self) -> bool {
        self.sha256() == other.sha256()
    }
}

impl Eq for Certificate {}

impl fmt::Debug for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Certificate")
            .field("thumbprint", self.thumbprint())
            .field("chain", &self.inner.chain.len())
            .finish_non_exhaustive()
    }
}

/// Whether a chain of certificates was verified, up to a root that the acceptor trusts for clients.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ChainCheck {
    /// It was not: the peer has the key of its certificate, and anybody can make one.
    Unchecked,
    /// It was, when the connection was made.
    Verified,
}

/// The certificate of the other end of the connection, which has proven in the TLS handshake that it
/// has the key: an extension of the request that whoever accepts connections puts there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerCertificate {
    certificate: Certificate,
    chain: ChainCheck,
}

impl PeerCertificate {
    /// The peer presented this certificate and proved to have its key.
    #[must_use]
    pub fn new(certificate: Certificate, chain: ChainCheck) -> Self {
        Self { certificate, chain }
    }

    /// The certificate.
    #[must_use]
    pub fn certificate(&self) -> &Certificate {
        &self.certificate
    }

    /// Whether its chain was verified.
    #[must_use]
    pub fn chain_check(&self) -> ChainCheck {
        self.chain
    }
}

#[cfg(feature = "rustls")]
pub(crate) mod memo {
    use std::any::Any;
    use std::sync::atomic::{AtomicU64, Ordering};
    use std::sync::{Arc, Mutex, PoisonError};

    /// The most findings of one certificate: what two bundles of roots say, and what they said
    /// before they were replaced.
    const MOST: usize = 4;

    /// What rooms above have found out about a certificate, latest first. It lives as long as the
    /// certificate, and so as long as its connection.
    #[derive(Default)]
    pub(crate) struct Memo(Mutex<Vec<(MemoKey, Finding)>>);

    type Finding = Arc<dyn Any + Send + Sync>;

    /// Under which something is remembered. No two are alike.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub(crate) struct MemoKey(u64);

    impl MemoKey {
        pub(crate) fn unique() -> Self {
            static NEXT: AtomicU64 = AtomicU64::new(0);
            Self(NEXT.fetch_add(1, Ordering::Relaxed))
        }
    }

    impl Memo {
        pub(crate) fn recall<T: Any + Send + Sync>(&self, key: MemoKey) -> Option<Arc<T>> {
            let findings = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            let (_, found) = findings.iter().find(|(of, _)| *of == key)?;
            Arc::clone(found).downcast().ok()
        }

        /// In place of what was known under this key.
        pub(crate) fn remember<T: Any + Send + Sync>(&self, key: MemoKey, found: T) {
            let mut findings = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            findings.retain(|(of, _)| *of != key);
            findings.truncate(MOST.saturating_sub(1));
            findings.insert(0, (key, Arc::new(found)));
        }
    }

    #[cfg(test)]
    mod tests {
        use super::*;

        #[test]
        fn the_latest_findings_are_kept_each_under_its_key() {
            let (memo, keys) = (Memo::default(), [(); MOST].map(|()| MemoKey::unique()));
            for (number, key) in keys.into_iter().enumerate() {
                memo.remember(key, number);
            }
            memo.remember(keys[0], 7_usize);
            let known = |key| memo.recall::<usize>(key).map(|found| *found);
            assert_eq!(keys.map(known), [Some(7), Some(1), Some(2), Some(3)]);
            assert!(memo.recall::<u8>(keys[0]).is_none(), "of another type");

            let one_more = MemoKey::unique();
            assert_eq!(known(one_more), None);
            memo.remember(one_more, 8_usize);
            assert_eq!(known(one_more), Some(8));
            assert_eq!(keys.map(known), [Some(7), None, Some(2), Some(3)]);
        }
    }
}
