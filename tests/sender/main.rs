//! Sender binding through the layer: DPoP (RFC 9449), certificate-bound tokens (RFC 8705), what a
//! policy wants of them, and what is used once.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

#[path = "../support/mod.rs"]
mod support;

mod attacks;
mod bindings;
mod certificates;
mod nonces;
mod proofs;
mod replay;
mod responses;

use http::{HeaderValue, Request};
use portcullis::certificate::{Certificate, ChainCheck, PeerCertificate};
use portcullis::jose::Algorithm;
use portcullis::testing::{
    ClientKey, ManualClock, ProofBuilder, TestCertificate, TestIssuer, TokenBuilder,
};
use portcullis::{Dpop, Mtls, ResourceServer, ServerBuilder};
use support::{ISSUER, RESOURCE, bearer, builder, with_field};

/// One issuer, one client with a key and a certificate, and a server that can prove both.
struct World {
    clock: ManualClock,
    issuer: TestIssuer,
    client: ClientKey,
    certificate: TestCertificate,
    api: ResourceServer,
}

impl World {
    fn new() -> Self {
        Self::with(|builder| builder)
    }

    fn with(settings: impl FnOnce(ServerBuilder) -> ServerBuilder) -> Self {
        let clock = ManualClock::new();
        let issuer = TestIssuer::new(ISSUER, &clock);
        let client = ClientKey::generate(Algorithm::Es256, &clock);
        let certificate = TestCertificate::named("client").self_signed();
        let server = builder(&clock).dpop(Dpop::new()).mtls(Mtls::direct());
        let api = settings(server.issuer(issuer.fixed_keys())).build().unwrap();
        Self { clock, issuer, client, certificate, api }
    }

    /// A token that is bound to nothing.
    fn unbound(&self) -> TokenBuilder {
        self.issuer.token(RESOURCE)
    }

    /// A token that is bound to the client's key.
    fn bound(&self) -> TokenBuilder {
        self.unbound().claim("cnf", self.client.confirmation())
    }

    /// A token that is bound to the client's certificate.
    fn certified(&self) -> TokenBuilder {
        self.unbound().claim("cnf", self.certificate.confirmation())
    }

    /// A good proof for this token and the requests of these tests.
    fn proof(&self, token: &str) -> ProofBuilder {
        self.client.proof("GET", &format!("{RESOURCE}/notes")).token(token)
    }
}

/// A request with this token under the scheme `DPoP`, and these proofs.
fn dpop<P: AsRef<str>>(token: &str, proofs: impl IntoIterator<Item = P>) -> Request<String> {
    let mut request = with_field("authorization", format!("DPoP {token}"));
    for proof in proofs {
        let proof = HeaderValue::try_from(proof.as_ref()).unwrap();
        request.headers_mut().append("dpop", proof);
    }
    request
}

/// The same request over a connection whose peer has proven this certificate.
fn over(mut request: Request<String>, certificate: Certificate) -> Request<String> {
    let peer = PeerCertificate::new(certificate, ChainCheck::Unchecked);
    request.extensions_mut().insert(peer);
    request
}

/// A request with this token under the scheme `Bearer`, over a connection with this certificate.
fn mutual(token: &str, certificate: &TestCertificate) -> Request<String> {
    over(bearer(token), certificate.certificate())
}
