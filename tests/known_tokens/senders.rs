//! Senders: that a token is known says nothing of who sends it.

use http::{HeaderValue, Request};
use portcullis::certificate::{ChainCheck, PeerCertificate};
use portcullis::check::allow_all;
use portcullis::jose::Algorithm;
use portcullis::sender::{ForwardedCertificate, Nonces, TrustedPeers};
use portcullis::testing::{ClientKey, ProofBuilder, TestCertificate};
use portcullis::{Dpop, Exception, Mtls, PeerAddr, Policy, RejectionKind as Kind};
use serde_json::json;

use crate::pair::{MINUTE, Pair};
use crate::support::{RESOURCE, bearer, with_field};

fn dpop(token: &str, proof: &ProofBuilder) -> Request<String> {
    with_proof(token, &proof.sign())
}

fn with_proof(token: &str, proof: &str) -> Request<String> {
    let mut request = with_field("authorization", format!("DPoP {token}"));
    request.headers_mut().insert("dpop", HeaderValue::try_from(proof).unwrap());
    request
}

/// DPOP-17, DPOP-20, attacks 31, 32 and 34: a known token that is bound to a key wants a new proof with every request, by
/// that key, for this request and this token, and one that was not used.
#[tokio::test]
async fn a_known_token_is_proven_with_every_request() {
    let pair = Pair::with(|builder, _| builder.dpop(Dpop::new().nonces(Nonces::optional()))).await;
    let client = ClientKey::generate(Algorithm::Es256, &pair.clock);
    let thief = ClientKey::generate(Algorithm::Es256, &pair.clock);
    let token = pair.token().claim("cnf", client.confirmation()).sign();
    let other = pair.token().claim("cnf", client.confirmation()).sign();
    let url = format!("{RESOURCE}/notes");
    let proof = |key: &ClientKey| key.proof("GET", &url).token(&token);
    for round in 0..3 {
        let request = dpop(&token, &proof(&client));
        assert_eq!(pair.kind_of(&request).await, None, "{round}");
        assert_eq!(pair.known(), 1);
        let replayed = pair.kind_of(&request).await;
        assert_eq!(replayed, Some(Kind::ProofReplayed), "{round}: the same again");
    }
    let ago = pair.now().minus(10 * MINUTE);
    let refused = [
        ("no proof", with_field("authorization", format!("DPoP {token}")), Kind::ProofMissing),
        ("as a plain bearer", bearer(&token), Kind::BearerDowngrade),
        ("another key", dpop(&token, &proof(&thief)), Kind::OtherKey),
        ("another method", dpop(&token, &proof(&client).claim("htm", "POST")), Kind::ProofMethod),
        (
            "another place",
            dpop(&token, &proof(&client).claim("htu", format!("{RESOURCE}/other"))),
            Kind::ProofUri,
        ),
        ("of another token", dpop(&token, &proof(&client).token(&other)), Kind::ProofToken),
        ("too old", dpop(&token, &proof(&client).issued_at(ago)), Kind::ProofNotFresh),
        ("tampered", with_proof(&token, &proof(&client).tampered()), Kind::ProofSignature),
        ("no proof at all", with_proof(&token, "x"), Kind::ProofMalformed),
    ];
    for (name, request, expected) in refused {
        assert_eq!(pair.kind_of(&request).await, Some(expected), "{name}");
        assert_eq!(pair.known(), 1, "{name}: that is not the token's fault");
    }
    // The key is the same, however it is written: and has to be one that proofs may have.
    let mut written = client.public_jwk();
    written["use"] = json!("sig");
    let otherwise = dpop(&token, &proof(&client).jwk(written));
    assert_eq!(pair.kind_of(&otherwise).await, None, "the same key, with a member more");
    let mut private = client.public_jwk();
    private["d"] = json!("AAAA");
    let private = dpop(&token, &proof(&client).jwk(private));
    assert_eq!(pair.kind_of(&private).await, Some(Kind::ProofKey));
    let other_algorithm = dpop(&token, &proof(&client).header("alg", "ES384"));
    assert!(pair.kind_of(&other_algorithm).await.is_some());
    let borrowed = proof(&client).sign_with(thief.key());
    assert_eq!(pair.kind_of(&with_proof(&token, &borrowed)).await, Some(Kind::ProofSignature));
    let strict = Policy::new(allow_all()).require_nonce();
    let without_nonce = dpop(&token, &proof(&client));
    let refused = pair.ask(strict, &without_nonce).await.err();
    assert_eq!(refused, Some(Kind::NonceMissing), "another route, which wants a nonce");
    assert_eq!(pair.kind_of(&without_nonce).await, None, "and the twin, which does not");
}

/// MTLS-01: a known token that is bound to a certificate wants it with every request.
#[tokio::test]
async fn a_known_token_wants_its_certificate() {
    let pair = Pair::with(|builder, _| builder.mtls(Mtls::direct())).await;
    let certificate = TestCertificate::named("client").self_signed();
    let token = pair.token().claim("cnf", certificate.confirmation()).sign();
    let over = |certificate: &TestCertificate| {
        let mut request = bearer(&token);
        let peer = PeerCertificate::new(certificate.certificate(), ChainCheck::Unchecked);
        request.extensions_mut().insert(peer);
        request
    };
    let other = TestCertificate::named("client").self_signed();
    for round in 0..3 {
        assert_eq!(pair.kind_of(&over(&certificate)).await, None, "{round}");
        assert_eq!(pair.known(), 1);
        let refused = pair.kind_of(&over(&other)).await;
        assert_eq!(refused, Some(Kind::OtherCertificate), "{round}");
        let refused = pair.kind_of(&over(&certificate.renewed())).await;
        assert_eq!(refused, Some(Kind::OtherCertificate), "{round}: renewed");
        assert_eq!(pair.kind(&token).await, Some(Kind::CertificateMissing), "{round}: none");
        assert_eq!(pair.known(), 1);
    }
}

/// Attack 36 (CVE-2026-46579: a certificate that anybody claims to forward): a certificate that a proxy forwards counts from a proxy that is trusted, for a known token too.
#[tokio::test]
async fn a_forwarded_certificate_counts_from_a_trusted_peer() {
    let pair = Pair::with(|builder, _| {
        let proxies = TrustedPeers::networks(["10.0.0.0/28"]);
        builder.mtls(Mtls::forwarded(ForwardedCertificate::client_cert(proxies)))
    })
    .await;
    let certificate = TestCertificate::named("client").self_signed();
    let token = pair.token().claim("cnf", certificate.confirmation()).sign();
    let from = |peer: Option<[u8; 4]>| {
        let mut request = bearer(&token);
        let field = HeaderValue::try_from(certificate.client_cert_field()).unwrap();
        request.headers_mut().insert("client-cert", field);
        if let Some(peer) = peer {
            request.extensions_mut().insert(PeerAddr::new(peer.into()));
        }
        request
    };
    for _ in 0..3 {
        assert_eq!(pair.kind_of(&from(Some([10, 0, 0, 1]))).await, None);
        assert_eq!(pair.known(), 1);
        for peer in [Some([10, 0, 0, 16]), None] {
            assert!(pair.kind_of(&from(peer)).await.is_some(), "{peer:?}");
        }
    }
}

/// BCP-01: an exception for a network is for requests from there, with a known token too.
#[tokio::test]
async fn an_exception_for_a_network_asks_each_request_where_it_is_from() {
    let pair = Pair::with(|builder, _| {
        let exception = Exception::for_clients(["partner"])
            .until("2027-03-31")
            .because("cannot do DPoP yet")
            .from_networks(["10.1.0.0/16"]);
        builder.dpop(Dpop::new()).binding(portcullis::Binding::Dpop).exception(exception)
    })
    .await;
    let token = pair.token().client_id("partner").sign();
    let from = |peer: [u8; 4]| {
        let mut request = bearer(&token);
        request.extensions_mut().insert(PeerAddr::new(peer.into()));
        request
    };
    for _ in 0..3 {
        assert_eq!(pair.kind_of(&from([10, 1, 2, 3])).await, None);
        assert_eq!(pair.known(), 1);
        assert_eq!(pair.kind_of(&from([10, 2, 2, 3])).await, Some(Kind::NotBound));
        assert_eq!(pair.kind(&token).await, Some(Kind::NotBound), "from nowhere");
    }
}
