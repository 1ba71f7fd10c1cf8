//! Senders and revocations of encrypted tokens: a proof is about what is presented, a record about what is
//! in it.

use portcullis::certificate::{ChainCheck, PeerCertificate};
use portcullis::check::allow_all;
use portcullis::jose::Algorithm;
use portcullis::observe::SenderBinding;
use portcullis::revocation::{Claim, Claims, Effect, Record, Revocation, Target};
use portcullis::testing::{ClientKey, TestCertificate};
use portcullis::time::Clock as _;
use portcullis::{Binding, Dpop, Mtls, Policy, RejectionKind as Kind};
use serde_json::json;

use crate::EC;
use crate::support::{ISSUER, RESOURCE, bearer, send, with_field};
use crate::world::{World, decryption, seal, with_proof};

fn world() -> World {
    World::with(|builder| builder.decryption(decryption()).dpop(Dpop::new()).mtls(Mtls::direct()))
}

/// RFC 9449 §4.3, AT-12: `ath` is the hash of the token as it was presented, in its envelope; that of the
/// token in it is refused, and so is that of another envelope of the same token.
#[tokio::test]
async fn a_proof_is_about_the_envelope() {
    let world = world();
    let client = ClientKey::generate(Algorithm::Es256, &world.clock);
    let other = ClientKey::generate(Algorithm::Es256, &world.clock);
    let inner = world.token().claim("cnf", client.confirmation()).sign();
    let token = seal(&inner);
    let proof = |about: &str| client.proof("GET", &format!("{RESOURCE}/notes")).token(about);
    let by_other = |about: &str| other.proof("GET", &format!("{RESOURCE}/notes")).token(about);
    let layer = world.api.layer();
    for (name, about, kind) in [
        ("the envelope", &token, None),
        ("the token in it", &inner, Some(Kind::ProofToken)),
        ("another envelope", &seal(&inner), Some(Kind::ProofToken)),
    ] {
        let sent = send(&layer, with_proof(&token, &proof(about).sign())).await;
        assert_eq!(sent.kind(), kind, "{name}");
        if let Some(access) = sent.access() {
            assert_eq!(access.binding(), SenderBinding::Dpop);
            assert_eq!(access.key_thumbprint(), Some(client.thumbprint()));
        }
    }
    // The twins without an envelope.
    for (about, kind) in [(&inner, None), (&token, Some(Kind::ProofToken))] {
        let sent = send(&layer, with_proof(&inner, &proof(about).sign())).await;
        assert_eq!(sent.kind(), kind);
    }
    // The key in the token counts, and a token that is bound is no bearer's.
    let stolen = send(&layer, with_proof(&token, &by_other(&token).sign())).await;
    assert_eq!(stolen.kind(), Some(Kind::OtherKey));
    assert_eq!(send(&layer, bearer(&token)).await.kind(), Some(Kind::BearerDowngrade));
    let unbound = world.sealed();
    let sent = send(&layer, with_proof(&unbound, &proof(&unbound).sign())).await;
    assert_eq!(sent.kind(), Some(Kind::UnboundUnderDpop));
}

/// A proof is used up once, though the request is decided twice: before and after the decryption.
#[tokio::test]
async fn a_proof_is_recorded_once() {
    let world = world();
    let client = ClientKey::generate(Algorithm::Es256, &world.clock);
    let token = seal(&world.token().claim("cnf", client.confirmation()).sign());
    let proof = client.proof("GET", &format!("{RESOURCE}/notes")).token(&token).sign();
    for kind in [None, Some(Kind::ProofReplayed)] {
        assert_eq!(send(&world.api.layer(), with_proof(&token, &proof)).await.kind(), kind);
    }
    // A token that is used once is the same token in another envelope.
    let layer = world.api.protect(Policy::new(allow_all()).single_use());
    let inner = world.token().sign();
    for kind in [None, Some(Kind::TokenUsed)] {
        assert_eq!(send(&layer, bearer(&seal(&inner))).await.kind(), kind);
    }
}

/// RFC 8705 §3: the certificate in the token counts; a `cnf` that cannot be enforced lets nobody pass; and a
/// server that wants a binding wants it of encrypted tokens.
#[tokio::test]
async fn cnf_in_the_envelope_is_enforced() {
    let world = world();
    let [own, other] = ["client", "other"].map(|name| TestCertificate::named(name).self_signed());
    let layer = world.api.layer();
    let token = seal(&world.token().claim("cnf", own.confirmation()).sign());
    let presented = |token: &str, certificate: &TestCertificate| {
        let peer = PeerCertificate::new(certificate.certificate(), ChainCheck::Unchecked);
        let mut request = bearer(token);
        request.extensions_mut().insert(peer);
        request
    };
    assert_eq!(send(&layer, presented(&token, &own)).await.kind(), None);
    assert_eq!(send(&layer, presented(&token, &other)).await.kind(), Some(Kind::OtherCertificate));
    assert_eq!(send(&layer, bearer(&token)).await.kind(), Some(Kind::CertificateMissing));
    let unknown = seal(&world.token().claim("cnf", json!({"kid": "k"})).sign());
    assert_eq!(world.kind(&unknown).await, Some(Kind::SenderNotProven));

    let strict = World::with(|builder| {
        builder.decryption(decryption()).mtls(Mtls::direct()).binding(Binding::Mtls)
    });
    let bound = seal(&strict.token().claim("cnf", own.confirmation()).sign());
    for (token, kind) in [(&bound, None), (&strict.sealed(), Some(Kind::NotBound))] {
        let sent = send(&strict.api.layer(), presented(token, &own)).await;
        assert_eq!(sent.kind(), kind);
    }
}

/// AT-12: what could not be proven by what came with it is refused before any work with a private key: a token
/// that cannot be decrypted gets the same as one that can. With what is wanted each is decided.
#[tokio::test]
async fn what_could_not_be_proven_is_not_decrypted() {
    let certificate = TestCertificate::named("client").self_signed();
    for (wanted, by_key, by_certificate, kind) in [
        (Binding::WhereBound, false, false, None),
        (Binding::Dpop, false, true, Some(Kind::NotBound)),
        (Binding::Dpop, true, false, None),
        (Binding::Mtls, true, false, Some(Kind::CertificateMissing)),
        (Binding::Mtls, false, true, None),
        (Binding::Either, false, false, Some(Kind::NotBound)),
        (Binding::Either, false, true, None),
        (Binding::Both, true, false, Some(Kind::CertificateMissing)),
        (Binding::Both, false, true, Some(Kind::NotBound)),
        (Binding::Both, true, true, None),
    ] {
        let world = World::with(|builder| {
            let builder = builder.decryption(decryption()).dpop(Dpop::new()).mtls(Mtls::direct());
            builder.binding(wanted)
        });
        let client = ClientKey::generate(Algorithm::Es256, &world.clock);
        let mut cnf = serde_json::Map::new();
        if by_key {
            cnf.extend(client.confirmation().as_object().unwrap().clone());
        }
        if by_certificate {
            cnf.extend(certificate.confirmation().as_object().unwrap().clone());
        }
        let claims = match cnf.is_empty() {
            true => world.token(),
            false => world.token().claim("cnf", cnf),
        };
        let undecryptable = kind.or(Some(Kind::Undecryptable));
        for (token, kind) in [(seal(&claims.sign()), kind), (EC.seal("x").encrypt(), undecryptable)]
        {
            let proof = client.proof("GET", &format!("{RESOURCE}/notes")).token(&token).sign();
            let mut request = match by_key {
                true => with_proof(&token, &proof),
                false => bearer(&token),
            };
            if by_certificate {
                let peer = PeerCertificate::new(certificate.certificate(), ChainCheck::Unchecked);
                request.extensions_mut().insert(peer);
            }
            let found = send(&world.api.layer(), request).await.kind();
            assert_eq!(found, kind, "{wanted:?} {by_key} {by_certificate}");
        }
    }
    let world = world();
    for token in [world.sealed(), EC.seal("x").encrypt()] {
        let naked = with_field("authorization", format!("DPoP {token}"));
        let found = send(&world.api.layer(), naked).await.kind();
        assert_eq!(found, Some(Kind::ProofMissing));
    }
}

/// What is revoked is the token in the envelope, by its `jti` or its session, in whatever envelope it comes.
#[tokio::test]
async fn the_token_in_the_envelope_is_revoked() {
    let world =
        World::with(|builder| builder.decryption(decryption()).revocation(Revocation::new()));
    let of = |session: &str| world.token().claim("sid", session).sign();
    let (one, two, three) = (of("a"), of("a"), of("b"));
    let sealed = seal(&one);
    let access = send(&world.api.layer(), bearer(&sealed)).await.access().cloned().unwrap();
    let now = world.clock.now();
    let id = access.jwt_id().unwrap().as_str();
    world.api.revocations().revoke(Record::token(ISSUER, id, now)).await.unwrap();
    for (name, token, kind) in [
        ("revoked", &one, Some(Kind::Revoked)),
        ("another of the session", &two, None),
        ("another session", &three, None),
    ] {
        assert_eq!(world.kind(&seal(token)).await, kind, "{name}");
        assert_eq!(world.kind(token).await, kind, "{name}, bare");
    }
    assert_eq!(world.kind(&sealed).await, Some(Kind::Revoked));
    let session = Target::Claims(Claims::one(Claim::Session, "a"));
    let record = Record::new(ISSUER, session, Effect::Refuse, now);
    world.api.revocations().revoke(record).await.unwrap();
    assert_eq!(world.kind(&seal(&two)).await, Some(Kind::Revoked));
    assert_eq!(world.kind(&seal(&three)).await, None);
}
