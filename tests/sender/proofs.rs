use http::Request;
use portcullis::RejectionKind as Kind;
use portcullis::jose::Algorithm;
use portcullis::observe::SenderBinding;
use portcullis::testing::{ClientKey, challenges};
use portcullis::{Dpop, assert_challenge};

use super::support::{RESOURCE, Sent, bearer, send, with_field};
use super::{World, dpop};

async fn sent(world: &World, request: Request<String>) -> Sent {
    send(&world.api.layer(), request).await
}

/// DPOP-20, DPOP-37: a good proof passes, and the service sees whose key it was.
#[tokio::test]
async fn a_bound_token_passes_with_a_proof_of_its_key() {
    let world = World::new();
    let token = world.bound().sign();
    let sent = sent(&world, dpop(&token, [world.proof(&token).sign()])).await;
    let access = sent.access().unwrap();
    assert_eq!(access.binding(), SenderBinding::Dpop);
    assert_eq!(access.key_thumbprint(), Some(world.client.thumbprint()));
    assert_eq!(sent.response.status(), 200);
}

/// DPOP-C01 to DPOP-C12b, DPOP-20 to DPOP-22, decisions 5 and 6: each thing that is wrong has a kind
/// of its own, and the code that the RFC wants in the challenge of the scheme that was used.
#[tokio::test]
async fn each_wrong_proof_is_refused_with_its_code() {
    let world = World::new();
    let (token, unbound) = (world.bound().sign(), world.unbound().sign());
    let other = ClientKey::generate(Algorithm::Es256, &world.clock);
    let good = || world.proof(&token);
    let two = [good().sign(), good().sign()];
    let joined = format!("{}, {}", two[0], two[1]);
    let one = |proof: String| dpop(&token, [proof]);
    const PROOF: &str = "invalid_dpop_proof";
    const TOKEN: &str = "invalid_token";
    #[rustfmt::skip]
    let rows = [
        ("no proof", dpop::<&str>(&token, []), Kind::ProofMissing, PROOF),
        ("two proofs", dpop(&token, two), Kind::SeveralProofs, PROOF),
        ("two proofs in one field", one(joined), Kind::SeveralProofs, PROOF),
        ("no JWT", one("proof".to_owned()), Kind::ProofMalformed, PROOF),
        ("another type", one(good().header("typ", "JWT").sign()), Kind::ProofMalformed, PROOF),
        ("no jti", one(good().without("jti").sign()), Kind::ProofMalformed, PROOF),
        ("no ath", one(good().without("ath").sign()), Kind::ProofMalformed, PROOF),
        ("HS256", one(good().header("alg", "HS256").sign()), Kind::ProofAlgorithm, PROOF),
        ("unsigned", one(good().unsigned()), Kind::ProofMalformed, PROOF),
        ("no key", one(good().without_header("jwk").sign()), Kind::ProofKey, PROOF),
        ("tampered", one(good().tampered()), Kind::ProofSignature, PROOF),
        ("another method", one(good().claim("htm", "POST").sign()), Kind::ProofMethod, PROOF),
        ("another path", one(good().claim("htu", format!("{RESOURCE}/note")).sign()), Kind::ProofUri, PROOF),
        ("another host", one(good().claim("htu", "https://other.example/notes").sign()), Kind::ProofUri, PROOF),
        ("another token", one(world.proof(&unbound).sign()), Kind::ProofToken, PROOF),
        ("another key", one(other.proof("GET", &format!("{RESOURCE}/notes")).token(&token).sign()), Kind::OtherKey, TOKEN),
        ("an unbound token", dpop(&unbound, [world.proof(&unbound).sign()]), Kind::UnboundUnderDpop, TOKEN),
    ];
    for (name, request, kind, code) in rows {
        let sent = sent(&world, request).await;
        assert_eq!(sent.kind(), Some(kind), "{name}");
        assert!(!sent.passed(), "{name}");
        assert_eq!(sent.response.status(), 401, "{name}");
        let all = challenges(sent.response.headers());
        let told: Vec<_> =
            all.iter().map(|one| (one.scheme.as_str(), one.param("error"))).collect();
        assert_eq!(told, [("DPoP", Some(code)), ("Bearer", None)], "{name}");
    }
    // The same request with everything right.
    assert!(sent(&world, one(good().sign())).await.passed());
}

/// DPOP-21, attack 34: a token that is bound to a key is no bearer token, with or without a proof.
#[tokio::test]
async fn a_bound_token_is_never_a_bearer_token() {
    let world = World::new();
    let token = world.bound().sign();
    let mut with_proof = bearer(&token);
    let proof = world.proof(&token).sign();
    with_proof.headers_mut().insert("dpop", proof.parse().unwrap());
    for request in [bearer(&token), with_proof] {
        let sent = sent(&world, request).await;
        assert_eq!(sent.kind(), Some(Kind::BearerDowngrade));
        let all = challenges(sent.response.headers());
        assert_eq!(all[0].scheme, "Bearer");
        assert_eq!(all[0].param("error"), Some("invalid_token"));
        assert_eq!(all[1].scheme, "DPoP");
        assert_eq!(all[1].param("algs"), Some("ES256 EdDSA Ed25519"));
        assert_eq!(all[1].param("error"), None);
    }
    assert!(sent(&world, dpop(&token, [proof])).await.passed());
}

/// DPOP-25, attack 35: two schemes are one request too many, and both are told.
#[tokio::test]
async fn two_schemes_are_told_both() {
    let world = World::new();
    let token = world.bound().sign();
    let mut request = dpop(&token, [world.proof(&token).sign()]);
    let second = format!("Bearer {token}").parse().unwrap();
    request.headers_mut().append("authorization", second);
    let sent = sent(&world, request).await;
    assert_eq!(sent.kind(), Some(Kind::SeveralCredentials));
    assert_eq!(sent.response.status(), 400);
    let all = challenges(sent.response.headers());
    assert_eq!(all.len(), 2);
    assert!(all.iter().all(|one| one.param("error") == Some("invalid_request")), "{all:?}");
}

/// AUTH-12, DPOP-24: what is malformed is told in the scheme that was meant.
#[tokio::test]
async fn a_malformed_field_is_told_in_its_scheme() {
    let world = World::new();
    for (field, scheme) in
        [("DPoP", "DPoP"), ("dpop a b", "DPoP"), ("Bearer", "Bearer"), ("BEARER a,b", "Bearer")]
    {
        let sent = sent(&world, with_field("authorization", field)).await;
        assert_eq!(sent.kind(), Some(Kind::MalformedCredentials), "{field}");
        let all = challenges(sent.response.headers());
        let told: Vec<_> = all.iter().filter(|one| one.param("error").is_some()).collect();
        assert_eq!(told.len(), 1, "{field}");
        assert_eq!(told[0].scheme, scheme, "{field}");
    }
}

/// DPOP-23, DPOP-26, DPOP-28: without credentials both schemes are offered, and no error; a field for
/// proxies is none of ours.
#[tokio::test]
async fn without_credentials_both_schemes_are_offered() {
    let world = World::with(|builder| {
        builder.dpop(Dpop::new().algorithms([Algorithm::Ps256, Algorithm::Es256]))
    });
    let token = world.bound().sign();
    let mut proxy = with_field("proxy-authorization", format!("DPoP {token}"));
    let proof = world.proof(&token).sign().parse().unwrap();
    proxy.headers_mut().insert("dpop", proof);
    for request in [with_field("x-none", "1"), proxy] {
        let sent = sent(&world, request).await;
        assert_eq!(sent.kind(), Some(Kind::NoCredentials));
        assert_challenge!(sent.response, 401, "Bearer");
        let all = challenges(sent.response.headers());
        assert_eq!(all.len(), 2);
        assert_eq!(all[1].param("algs"), Some("PS256 ES256"));
        assert!(all.iter().all(|one| one.param("error").is_none()));
    }
}

/// DPOP-27: what a check refuses is told in the scheme of the token.
#[tokio::test]
async fn a_lack_of_scope_is_told_in_the_scheme_of_the_token() {
    let world = World::new();
    let token = world.bound().scope("notes:read").sign();
    let layer = world.api.protect(portcullis::check::scope("notes:write"));
    let sent = send(&layer, dpop(&token, [world.proof(&token).sign()])).await;
    assert_eq!(sent.kind(), Some(Kind::InsufficientScope));
    assert_eq!(sent.response.status(), 403);
    let all = challenges(sent.response.headers());
    assert_eq!(all[0].scheme, "DPoP");
    assert_eq!(all[0].param("error"), Some("insufficient_scope"));
    assert_eq!(all[0].param("scope"), Some("notes:write"));
}

/// DPOP-C05: a server without DPoP does not offer it and takes no such token.
#[tokio::test]
async fn a_server_without_dpop_does_not_know_the_scheme() {
    let world = World::new();
    let clock = &world.clock;
    let plain = super::builder(clock).issuer(world.issuer.fixed_keys()).build().unwrap();
    let token = world.bound().sign();
    let other = send(&plain.layer(), dpop(&token, [world.proof(&token).sign()])).await;
    assert_eq!(other.kind(), Some(Kind::UnsupportedScheme));
    assert_eq!(challenges(other.response.headers()).len(), 1);
    let other = send(&plain.layer(), bearer(&token)).await;
    assert_eq!(other.kind(), Some(Kind::SenderNotProven));
    let other = send(&plain.layer(), bearer(&world.unbound().sign())).await;
    assert!(other.passed());
}

/// Attack 33, DPOP-14: the URI is never taken from what the request says of its host.
#[tokio::test]
async fn a_host_of_the_request_is_not_believed() {
    let world = World::new();
    let token = world.bound().sign();
    let stolen = world.client.proof("GET", "https://evil.example/notes").token(&token);
    let mut request = dpop(&token, [stolen.sign()]);
    *request.uri_mut() = "https://evil.example/notes".parse().unwrap();
    for name in ["host", "x-forwarded-host", "x-original-host"] {
        request.headers_mut().insert(name, "evil.example".parse().unwrap());
    }
    assert_eq!(sent(&world, request).await.kind(), Some(Kind::ProofUri));

    // DPOP-15: the absolute form with a right path and a right proof.
    let mut request = dpop(&token, [world.proof(&token).sign()]);
    *request.uri_mut() = "http://10.0.0.1:8080/notes?page=2".parse().unwrap();
    assert!(sent(&world, request).await.passed());
}
