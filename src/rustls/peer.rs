use std::task::{Context, Poll};

use http::{Extensions, Request};
use tower::Service;

use crate::certificate::PeerCertificate;
use crate::sender::PeerAddr;

/// Who is at the other end of a connection: its address, and the certificate whose key it has proven
/// to have. It is made once for each connection; a clone shares the certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerInfo {
    address: PeerAddr,
    certificate: Option<PeerCertificate>,
}

impl PeerInfo {
    /// A peer at this address, with the certificate of its handshake if it presented one.
    #[must_use]
    pub fn new(address: PeerAddr, certificate: Option<PeerCertificate>) -> Self {
        Self { address, certificate }
    }

    /// Its address.
    #[must_use]
    pub fn address(&self) -> PeerAddr {
        self.address
    }

    /// The certificate that it presented.
    #[must_use]
    pub fn certificate(&self) -> Option<&PeerCertificate> {
        self.certificate.as_ref()
    }

    /// Puts address and certificate into the extensions of a request, where the layer looks for
    /// them, in place of whatever is there: where this peer has no certificate, none is left.
    pub fn insert_into(&self, extensions: &mut Extensions) {
        extensions.insert(self.address);
        match &self.certificate {
            Some(certificate) => {
                extensions.insert(certificate.clone());
            }
            None => {
                extensions.remove::<PeerCertificate>();
            }
        }
    }

    /// A service for one connection, all of whose requests are sent by this peer.
    ///
    /// It is a [`tower::Service`] for any body; `hyper_util::service::TowerToHyperService` makes
    /// hyper's of it.
    #[must_use]
    pub fn service<S>(&self, inner: S) -> PeerService<S> {
        PeerService { inner, peer: self.clone() }
    }
}

/// The service of [`PeerInfo::service`].
#[derive(Clone, Debug)]
pub struct PeerService<S> {
    inner: S,
    peer: PeerInfo,
}

impl<S: Service<Request<B>>, B> Service<Request<B>> for PeerService<S> {
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, mut request: Request<B>) -> S::Future {
        self.peer.insert_into(request.extensions_mut());
        self.inner.call(request)
    }
}
