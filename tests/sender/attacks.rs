//! Attacks on sender binding that worked on other software, one test for each mechanism that no other
//! file of this directory names. The comments name advisories about other software.

use std::time::Duration;

use portcullis::jose::Algorithm;
use portcullis::sender::{ForwardedCertificate, TrustedPeers};
use portcullis::testing::{ClientKey, TestKey};
use portcullis::time::Clock as _;
use portcullis::{Mtls, PeerAddr, RejectionKind as Kind};
use serde_json::json;

use super::support::{RESOURCE, bearer, builder, send};
use super::{World, dpop};

/// Attack 31: a proof of a clock that is ahead is remembered for as long as it can be accepted, not for
/// as long as one of now.
#[tokio::test]
async fn a_proof_from_the_future_cannot_outlive_its_memory() {
    let world = World::new();
    let layer = world.api.layer();
    let token = world.bound().sign();
    let ahead = world.clock.now().plus(Duration::from_secs(10));
    let proof = world.proof(&token).issued_at(ahead).sign();
    assert!(send(&layer, dpop(&token, [&proof])).await.passed());
    for _ in 0..69 {
        world.clock.advance(Duration::from_secs(1));
        assert_eq!(send(&layer, dpop(&token, [&proof])).await.kind(), Some(Kind::ProofReplayed));
    }
    world.clock.advance(Duration::from_secs(2));
    assert_eq!(send(&layer, dpop(&token, [&proof])).await.kind(), Some(Kind::ProofNotFresh));
}

/// Attack 31, DPOP-18: a long `jti` is remembered as a short one is, and one that no proof needs is
/// refused.
#[tokio::test]
async fn a_long_jti_is_remembered_and_a_huge_one_refused() {
    let world = World::new();
    let layer = world.api.layer();
    let token = world.bound().sign();
    let long = "j".repeat(4_000);
    let proof = |jti: &str| world.proof(&token).claim("jti", jti).sign();
    let first = proof(&long);
    assert!(send(&layer, dpop(&token, [&first])).await.passed());
    assert_eq!(send(&layer, dpop(&token, [&first])).await.kind(), Some(Kind::ProofReplayed));
    // One that differs in its last letter is another.
    assert!(send(&layer, dpop(&token, [proof(&format!("{}k", &long[1..]))])).await.passed());
    let huge = send(&layer, dpop(&token, [proof(&"j".repeat(1_000_000))])).await;
    assert_eq!(huge.kind(), Some(Kind::ProofMalformed));
}

/// Attack 32 (liboauth2, CWE-345): a proof whose key is published with its private half, or is a shared
/// secret, proves nothing.
#[tokio::test]
async fn a_proof_with_a_private_key_proves_nothing() {
    let world = World::new();
    let layer = world.api.layer();
    let token = world.bound().sign();
    for member in ["d", "p", "q", "dp", "dq", "qi", "oth", "k"] {
        let mut jwk = world.client.public_jwk();
        jwk[member] = json!("AAAA");
        let proof = world.proof(&token).jwk(jwk).sign();
        let sent = send(&layer, dpop(&token, [proof])).await;
        assert_eq!(sent.kind(), Some(Kind::ProofKey), "{member}");
    }
    let secret = world.proof(&token).jwk(json!({"kty": "oct", "k": "AAAA"})).sign();
    assert_eq!(send(&layer, dpop(&token, [secret])).await.kind(), Some(Kind::ProofKey));
    // One that would take long to look at, before anybody has verified its signature.
    for (count, kind) in [(15, None), (16, Some(Kind::ProofKey)), (1_000, Some(Kind::ProofKey))] {
        let operations = (0..count).map(|number| format!("{number:x}"));
        let mut jwk = world.client.public_jwk();
        jwk["key_ops"] = operations.chain(["verify".to_owned()]).collect();
        let sent = send(&layer, dpop(&token, [world.proof(&token).jwk(jwk).sign()])).await;
        assert_eq!(sent.kind(), kind, "{count}");
    }
    assert!(send(&layer, dpop(&token, [world.proof(&token).sign()])).await.passed());
}

/// Attack 33 (Quarkus before #56598; liboauth2, Duende): a proof is of now, and paths have a case.
#[tokio::test]
async fn a_proof_is_of_now_and_of_its_path() {
    let world = World::new();
    let layer = world.api.layer();
    let token = world.bound().sign();
    let now = world.clock.now();
    let seconds = Duration::from_secs;
    for (name, proof, kind) in [
        ("a minute old", world.proof(&token).issued_at(now.minus(seconds(60))), None),
        ("older", world.proof(&token).issued_at(now.minus(seconds(61))), Some(Kind::ProofNotFresh)),
        ("a little ahead", world.proof(&token).issued_at(now.plus(seconds(10))), None),
        (
            "further ahead",
            world.proof(&token).issued_at(now.plus(seconds(11))),
            Some(Kind::ProofNotFresh),
        ),
        ("without a time", world.proof(&token).without("iat"), Some(Kind::ProofMalformed)),
        (
            "another case",
            world.proof(&token).claim("htu", format!("{RESOURCE}/Notes")),
            Some(Kind::ProofUri),
        ),
        (
            "a host in another case",
            world.proof(&token).claim("htu", "HTTPS://RS.example:443/notes"),
            None,
        ),
        ("with a query", world.proof(&token).claim("htu", format!("{RESOURCE}/notes?a=1#b")), None),
    ] {
        let sent = send(&layer, dpop(&token, [proof.sign()])).await;
        assert_eq!(sent.kind(), kind, "{name}");
    }
}

/// FAPI-10: a leeway of minutes for tokens does not make proofs of the future acceptable.
#[tokio::test]
async fn a_proof_is_never_more_than_a_minute_ahead() {
    let world = World::with(|builder| builder.leeway(Duration::from_mins(5)));
    let layer = world.api.layer();
    let token = world.bound().sign();
    for (ahead, kind) in [(60, None), (61, Some(Kind::ProofNotFresh))] {
        let at = world.clock.now().plus(Duration::from_secs(ahead));
        let proof = world.proof(&token).issued_at(at).sign();
        assert_eq!(send(&layer, dpop(&token, [proof])).await.kind(), kind, "{ahead}");
    }
}

/// The verifier that forgot `cnf.jkt`: a stolen token with a perfect proof of the thief's own key.
#[tokio::test]
async fn a_thief_with_a_key_of_its_own_gets_nothing() {
    let world = World::new();
    let layer = world.api.layer();
    let token = world.bound().sign();
    let thief = ClientKey::generate(Algorithm::Es256, &world.clock);
    let own = || thief.proof("GET", &format!("{RESOURCE}/notes")).token(&token);
    let named = own().jwk(world.client.public_jwk());
    let other = TestKey::generate(Algorithm::Es256, "x");
    for (name, proof, kind) in [
        ("its own key", own().sign(), Kind::OtherKey),
        ("the client's key, signed by its own", named.sign_with(thief.key()), Kind::ProofSignature),
        ("its own key, signed by another", own().sign_with(&other), Kind::ProofSignature),
    ] {
        assert_eq!(send(&layer, dpop(&token, [proof])).await.kind(), Some(kind), "{name}");
    }
}

/// Attack 37 (CVE-2026-76835): nobody is trusted by default, and nobody can trust everybody.
#[test]
fn no_configuration_believes_everybody() {
    let world = World::new();
    let build = |peers: TrustedPeers| {
        let forwarded = ForwardedCertificate::client_cert(peers);
        builder(&world.clock)
            .issuer(world.issuer.fixed_keys())
            .mtls(Mtls::forwarded(forwarded))
            .build()
            .map_err(|error| error.to_string())
    };
    for everybody in ["0.0.0.0/0", "::/0", "0.0.0.0/1", "8000::/1"] {
        let error = build(TrustedPeers::networks(["10.0.0.1", everybody])).unwrap_err();
        assert!(error.contains("mtls.forwarded.peers.networks"), "{everybody}: {error}");
    }
    let nobody: [&str; 0] = [];
    assert!(build(TrustedPeers::networks(nobody)).is_err());
    assert!(build(TrustedPeers::networks(["10.0.0.1"])).is_ok());
}

/// Attacks 36 and 37 (CVE-2026-46579, CVE-2026-54763, CVE-2026-44087): fields with which proxies speak of
/// their clients do not reach the service, whoever wrote them, in any spelling.
#[tokio::test]
async fn fields_about_certificates_do_not_reach_the_service() {
    let world = World::with(|builder| {
        let proxies = TrustedPeers::networks(["10.0.0.1"]);
        builder.mtls(Mtls::forwarded(ForwardedCertificate::escaped_pem("x-ssl-cert", proxies)))
    });
    for peer in ["10.0.0.1", "192.0.2.1"] {
        let mut request = bearer(&world.unbound().sign());
        request.extensions_mut().insert(PeerAddr::new(peer.parse().unwrap()));
        for name in [
            "client-cert",
            "client_cert",
            "client-cert-chain",
            "client_cert_chain",
            "x-forwarded-client-cert",
            "x_forwarded_client_cert",
            "x-ssl-cert",
            "x_ssl_cert",
            "x-ssl_cert",
            "x-kept",
        ] {
            request.headers_mut().append(name, "x".parse().unwrap());
            request.headers_mut().append(name, "y".parse().unwrap());
        }
        let seen = send(&world.api.layer(), request).await.seen.unwrap();
        let left: Vec<_> = seen.headers().keys().filter(|name| *name != "authorization").collect();
        assert_eq!(left, ["x-kept"], "{peer}");
    }
}
