use std::sync::Arc;

use ::rustls::client::danger::HandshakeSignatureValid;
use ::rustls::crypto::{WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature};
use ::rustls::server::WebPkiClientVerifier;
use ::rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use ::rustls::{DigitallySignedStruct, DistinguishedName, Error, RootCertStore, SignatureScheme};
use rustls_pki_types::{CertificateDer, UnixTime};

use super::fault::TlsFault;
use super::provider;
use super::server::certificates_of;
use crate::certificate::ChainCheck;

/// What an acceptor wants of the certificates of clients. There is no default.
///
/// Whatever it wants, a client that presents a certificate has to prove in the handshake that it has
/// the key.
#[derive(Clone, Debug)]
#[must_use = "it does nothing until an acceptor is made with it"]
pub struct ClientCertificates {
    trust: Trust,
    presence: Presence,
}

#[derive(Clone, Debug)]
enum Trust {
    Anybody,
    Roots(Arc<RootCertStore>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Presence {
    Optional,
    Required,
}

impl ClientCertificates {
    /// Every client is asked for a certificate and may do without. No chain and no expiry is looked
    /// at: the certificate says that its sender has the key, and nothing else. This is all that a
    /// certificate-bound token needs (RFC 8705 §6.2), and too little for anything that believes what
    /// is written in a certificate. Requests get [`ChainCheck::Unchecked`].
    pub fn requested() -> Self {
        Self { trust: Trust::Anybody, presence: Presence::Optional }
    }

    /// Every client has to present a certificate whose chain leads to one of these roots and which
    /// is valid now and meant for clients. Requests get [`ChainCheck::Verified`]. No revocation list
    /// is looked up.
    ///
    /// `roots` is the contents of a PEM file.
    ///
    /// # Errors
    /// If there is no certificate in it, or one that is malformed.
    pub fn verified(roots: impl AsRef<[u8]>) -> Result<Self, TlsFault> {
        const WHAT: &str = "the roots of client certificates";
        let mut store = RootCertStore::empty();
        for root in certificates_of(WHAT, roots.as_ref())? {
            store.add(root).map_err(TlsFault::unusable(WHAT))?;
        }
        Ok(Self { trust: Trust::Roots(Arc::new(store)), presence: Presence::Required })
    }

    /// A client may do without a certificate.
    pub fn optional(self) -> Self {
        Self { presence: Presence::Optional, ..self }
    }

    /// A client without a certificate gets no connection. (It sees a TLS alert, and no answer that
    /// would tell it what is wrong with its token.)
    pub fn required(self) -> Self {
        Self { presence: Presence::Required, ..self }
    }

    /// What is known of the chain of a client's certificate.
    #[must_use]
    pub fn chain_check(&self) -> ChainCheck {
        match self.trust {
            Trust::Anybody => ChainCheck::Unchecked,
            Trust::Roots(_) => ChainCheck::Verified,
        }
    }

    /// The verifier for rustls, for a config of one's own:
    /// [`TlsAcceptor::from_config`](super::TlsAcceptor::from_config).
    ///
    /// # Errors
    /// If rustls cannot use the roots.
    pub fn verifier(&self) -> Result<Arc<dyn ClientCertVerifier>, TlsFault> {
        let provider = provider();
        let roots = match &self.trust {
            Trust::Anybody => {
                let algorithms = provider.signature_verification_algorithms;
                return Ok(Arc::new(ProofOfPossession { presence: self.presence, algorithms }));
            }
            Trust::Roots(roots) => Arc::clone(roots),
        };
        let builder = WebPkiClientVerifier::builder_with_provider(roots, provider);
        let builder = match self.presence {
            Presence::Optional => builder.allow_unauthenticated(),
            Presence::Required => builder,
        };
        builder.build().map_err(|fault| TlsFault::Unusable {
            what: "the roots of client certificates",
            fault: Error::General(fault.to_string()),
        })
    }
}

/// Any certificate, from whoever has its key.
///
/// Of the two questions of this trait the first, "is this certificate to be trusted", is answered
/// with yes. The other, "did the holder of its key sign this handshake", is left to rustls: a false
/// yes there would let everybody use a bound token who has seen the certificate, which is no secret.
#[derive(Debug)]
struct ProofOfPossession {
    presence: Presence,
    algorithms: WebPkiSupportedAlgorithms,
}

impl ClientCertVerifier for ProofOfPossession {
    fn client_auth_mandatory(&self) -> bool {
        self.presence == Presence::Required
    }

    /// No hint: the client is free to present what it has.
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signed, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signed, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}
