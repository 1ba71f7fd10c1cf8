//! Who sends an introspected token: DPoP, certificates, and what is used once.

use std::time::Duration;

use http::{HeaderValue, Request};
use portcullis::certificate::{ChainCheck, PeerCertificate};
use portcullis::check::allow_all;
use portcullis::introspection::AnswerGap;
use portcullis::issuer::{OptionalClaim, TokenProfile};
use portcullis::jose::Algorithm;
use portcullis::testing::{ClientKey, ProofBuilder, TestCertificate, TokenBuilder};
use portcullis::{Binding, Dpop, Exception, Mtls, Policy, RejectionKind as Kind};
use serde_json::json;

use crate::support::{RESOURCE, bearer, send, with_field};
use crate::world::{Parts, TTL, World};

struct Senders {
    world: World,
    client: ClientKey,
    certificate: TestCertificate,
}

impl Senders {
    fn new() -> Self {
        let world = World::built(
            |introspection| introspection,
            |builder| builder.dpop(Dpop::new()).mtls(Mtls::direct()),
        );
        let client = ClientKey::generate(Algorithm::Es256, &world.clock);
        let certificate = TestCertificate::named("client").self_signed();
        Self { world, client, certificate }
    }

    fn bound(&self) -> TokenBuilder {
        self.world.claims().claim("cnf", self.client.confirmation())
    }

    fn proof(&self, token: &str) -> ProofBuilder {
        self.client.proof("GET", &format!("{RESOURCE}/notes")).token(token)
    }

    async fn kind(&self, request: Request<String>) -> Option<Kind> {
        send(&self.world.api.layer(), request).await.kind()
    }
}

fn dpop(token: &str, proof: &str) -> Request<String> {
    let mut request = with_field("authorization", format!("DPoP {token}"));
    request.headers_mut().insert("dpop", HeaderValue::try_from(proof).unwrap());
    request
}

fn over(mut request: Request<String>, certificate: &TestCertificate) -> Request<String> {
    let peer = PeerCertificate::new(certificate.certificate(), ChainCheck::Unchecked);
    request.extensions_mut().insert(peer);
    request
}

/// DPOP-35: a token with `cnf.jkt` wants a proof of that key, with the `ath` of the opaque token; the
/// endpoint is sent no proof; `token_type` has to be DPoP.
#[tokio::test]
async fn an_opaque_token_is_bound_to_a_key() {
    let senders = Senders::new();
    let world = &senders.world;
    let token = world.kit.active(senders.bound());
    assert_eq!(senders.kind(dpop(&token, &senders.proof(&token).sign())).await, None);
    assert_eq!(senders.kind(bearer(&token)).await, Some(Kind::BearerDowngrade));
    let thief = ClientKey::generate(Algorithm::Es256, &world.clock);
    let stolen = thief.proof("GET", &format!("{RESOURCE}/notes")).token(&token).sign();
    assert_eq!(senders.kind(dpop(&token, &stolen)).await, Some(Kind::OtherKey));
    let other = world.kit.active(senders.bound());
    let proof = senders.proof(&other).sign();
    assert_eq!(senders.kind(dpop(&token, &proof)).await, Some(Kind::ProofToken), "`ath`");
    assert_eq!(senders.kind(dpop(&other, &proof)).await, None);
    assert_eq!(senders.kind(dpop(&other, &proof)).await, Some(Kind::ProofReplayed));
    let without = senders.proof(&token).without("ath").sign();
    assert!(senders.kind(dpop(&token, &without)).await.is_some());
    for request in world.kit.requests() {
        assert!(!request.headers().contains_key("dpop"));
        assert!(!request.body().contains("dpop") && !request.body().contains("ath"));
    }

    for (name, claims, wants) in [
        ("DPoP", senders.bound(), None),
        ("dpop", senders.bound().claim("token_type", "dpop"), None),
        ("Bearer", senders.bound().claim("token_type", "Bearer"), Some(Kind::SenderNotProven)),
        ("no `cnf`", world.claims().claim("token_type", "DPoP"), Some(Kind::SenderNotProven)),
        (
            "only a certificate",
            world
                .claims()
                .claim("token_type", "DPoP")
                .claim("cnf", senders.certificate.confirmation()),
            Some(Kind::SenderNotProven),
        ),
        (
            "`cnf` that means nothing here",
            world.claims().claim("cnf", json!({"kid": "x"})).claim("token_type", "DPoP"),
            Some(Kind::SenderNotProven),
        ),
        (
            "a thumbprint that is none",
            world.claims().claim("cnf", json!({"jkt": "x"})),
            Some(Kind::SenderNotProven),
        ),
    ] {
        let token = world.kit.active(claims);
        let request = dpop(&token, &senders.proof(&token).sign());
        let request = over(request, &senders.certificate);
        assert_eq!(senders.kind(request).await, wants, "{name}");
    }
    // Nor does a token that says Bearer pass as one under another scheme.
    let token = world.kit.active(senders.bound().claim("token_type", "Bearer"));
    assert_eq!(senders.kind(bearer(&token)).await, Some(Kind::SenderNotProven));
    let plain = world.token();
    let request = dpop(&plain, &senders.proof(&plain).sign());
    assert_eq!(senders.kind(request).await, Some(Kind::UnboundUnderDpop));
    assert_eq!(senders.kind(bearer(&plain)).await, None);
}

/// MTLS-05: `cnf` at the top of an answer binds the token to a certificate as in a JWT.
#[tokio::test]
async fn an_opaque_token_is_bound_to_a_certificate() {
    let senders = Senders::new();
    let world = &senders.world;
    let certified = || world.claims().claim("cnf", senders.certificate.confirmation());
    let token = world.kit.active(certified());
    let other = TestCertificate::named("client").self_signed();
    assert_eq!(senders.kind(over(bearer(&token), &senders.certificate)).await, None);
    assert_eq!(senders.kind(over(bearer(&token), &other)).await, Some(Kind::OtherCertificate));
    assert_eq!(senders.kind(bearer(&token)).await, Some(Kind::CertificateMissing));
    let sent = send(&world.api.layer(), over(bearer(&token), &other)).await;
    assert_eq!(sent.response.status(), 401);
    assert_eq!(sent.error().as_deref(), Some("invalid_token"));
    // Inside something else it binds nothing, and the token is a plain one.
    let nested = json!({"cnf": senders.certificate.confirmation()});
    let token = world.kit.active(world.claims().claim("ext", nested));
    assert_eq!(senders.kind(bearer(&token)).await, None);

    // Both are enforced where both are named.
    let mut both = senders.client.confirmation();
    both["x5t#S256"] = senders.certificate.confirmation()["x5t#S256"].clone();
    let token = world.kit.active(world.claims().claim("cnf", both));
    let request = || dpop(&token, &senders.proof(&token).sign());
    assert_eq!(senders.kind(over(request(), &senders.certificate)).await, None);
    assert_eq!(senders.kind(over(request(), &other)).await, Some(Kind::OtherCertificate));
    assert_eq!(senders.kind(request()).await, Some(Kind::CertificateMissing));
}

/// What the server wants of senders it wants of introspected tokens: INT-19.
#[tokio::test]
async fn a_binding_is_wanted_of_introspected_tokens() {
    let world = World::built(
        |introspection| introspection,
        |builder| builder.dpop(Dpop::new()).binding(Binding::Either),
    );
    let client = ClientKey::generate(Algorithm::Es256, &world.clock);
    world.assert_invalid(&world.token(), Kind::NotBound, "plain").await;
    let token = world.kit.active(world.claims().claim("cnf", client.confirmation()));
    let proof = client.proof("GET", &format!("{RESOURCE}/notes")).token(&token).sign();
    assert_eq!(send(&world.api.layer(), dpop(&token, &proof)).await.kind(), None);

    let lax = World::built(|introspection| introspection, |builder| builder.dpop(Dpop::new()));
    let token = lax.token();
    let strict = || Policy::new(allow_all()).binding(Binding::Dpop);
    assert_eq!(lax.kind_by(strict(), &token).await, Some(Kind::NotBound));
    lax.assert_passes(&token, "elsewhere").await;
}

/// INT-19: a token that may be used once is used once, whatever is kept of it.
#[tokio::test]
async fn an_introspected_token_is_used_once() {
    let world = World::new();
    let once = || Policy::new(allow_all()).single_use();
    let token = world.token();
    assert_eq!(world.kind_by(once(), &token).await, None);
    assert_eq!(world.kind_by(once(), &token).await, Some(Kind::TokenUsed));
    world.assert_passes(&token, "where it is not wanted").await;
    assert_eq!(world.calls(), 1);
    // Another token with the same `jti` is the same use.
    let claims = world.claims().claim("jti", "one");
    let [first, second] = [world.kit.active(&claims), world.kit.active(&claims)];
    assert_eq!(world.kind_by(once(), &first).await, None);
    assert_eq!(world.kind_by(once(), &second).await, Some(Kind::TokenUsed));
    // An outage, or a refusal, uses up nothing.
    let token = world.token();
    world.kit.fail_once(http::StatusCode::BAD_GATEWAY);
    assert_eq!(world.kind_by(once(), &token).await, Some(Kind::IntrospectionUnavailable));
    assert_eq!(world.kind_by(once(), &token).await, None);

    // Many at once: one call, and one of them passes.
    let token = world.token();
    world.kit.hold();
    let before = world.calls();
    let layer = world.api.protect(once());
    let requests: Vec<_> = (0..100)
        .map(|_| {
            let (layer, token) = (layer.clone(), token.clone());
            tokio::spawn(async move { send(&layer, bearer(&token)).await.kind() })
        })
        .collect();
    world.kit.called(before + 1).await;
    world.kit.release();
    let mut passed = 0;
    for request in requests {
        match request.await.unwrap() {
            None => passed += 1,
            kind => assert_eq!(kind, Some(Kind::TokenUsed)),
        }
    }
    assert_eq!((passed, world.calls()), (1, before + 1));
}

/// INT-19, attack 28: a token whose sender could not be proven by what came with it is refused unasked; one
/// that could is asked about.
#[tokio::test]
async fn what_could_not_be_proven_is_not_asked_about() {
    let with = |binding: Binding| {
        let world = World::built(
            |introspection| introspection,
            |builder| builder.dpop(Dpop::new()).mtls(Mtls::direct()).binding(binding),
        );
        let client = ClientKey::generate(Algorithm::Es256, &world.clock);
        let certificate = TestCertificate::named("client").self_signed();
        Senders { world, client, certificate }
    };
    let (key, both) = ((true, false), (true, true));
    let (certificate, nothing) = ((false, true), (false, false));
    for (wanted, brought, kind) in [
        (Binding::WhereBound, nothing, None),
        (Binding::Dpop, nothing, Some(Kind::NotBound)),
        (Binding::Dpop, certificate, Some(Kind::NotBound)),
        (Binding::Dpop, key, None),
        (Binding::Mtls, nothing, Some(Kind::CertificateMissing)),
        (Binding::Mtls, key, Some(Kind::CertificateMissing)),
        (Binding::Mtls, certificate, None),
        (Binding::Either, nothing, Some(Kind::NotBound)),
        (Binding::Either, key, None),
        (Binding::Either, certificate, None),
        (Binding::Both, nothing, Some(Kind::NotBound)),
        (Binding::Both, key, Some(Kind::CertificateMissing)),
        (Binding::Both, certificate, Some(Kind::NotBound)),
        (Binding::Both, both, None),
    ] {
        // By the server, and by the route alone.
        for by_route in [false, true] {
            let senders = with(if by_route { Binding::WhereBound } else { wanted });
            let world = &senders.world;
            let (by_key, by_certificate) = brought;
            let mut cnf = serde_json::Map::new();
            if by_key {
                cnf.extend(senders.client.confirmation().as_object().unwrap().clone());
            }
            if by_certificate {
                cnf.extend(senders.certificate.confirmation().as_object().unwrap().clone());
            }
            let claims = match cnf.is_empty() {
                true => world.claims(),
                false => world.claims().claim("cnf", cnf),
            };
            let token = world.kit.active(claims);
            let layer = world.api.protect(Policy::new(allow_all()).binding(wanted));
            let layer = if by_route { layer } else { world.api.layer() };
            for (token, kind) in [(token, kind), ("invented".into(), kind.or(Some(Kind::Inactive)))]
            {
                let mut request = match by_key {
                    true => dpop(&token, &senders.proof(&token).sign()),
                    false => bearer(&token),
                };
                if by_certificate {
                    request = over(request, &senders.certificate);
                }
                let before = world.calls();
                let name = format!("{wanted:?} {brought:?} {by_route}");
                assert_eq!(send(&layer, request).await.kind(), kind, "{name}");
                let is_asked = matches!(kind, None | Some(Kind::Inactive));
                assert_eq!(world.calls(), before + usize::from(is_asked), "{name}");
            }
        }
    }
    // Without a proof under the scheme that wants one, whatever the binding.
    let senders = with(Binding::WhereBound);
    let token = senders.world.kit.active(senders.bound());
    let naked = with_field("authorization", format!("DPoP {token}"));
    assert_eq!(senders.kind(naked).await, Some(Kind::ProofMissing));
    assert_eq!(senders.world.calls(), 0);
    assert_eq!(senders.kind(dpop(&token, &senders.proof(&token).sign())).await, None);
    assert_eq!(senders.world.calls(), 1);
}

/// Whom an exception is for is known by the answer: where there are exceptions the issuer is asked first. What a
/// route wants has none.
#[tokio::test]
async fn where_there_are_exceptions_the_issuer_is_asked() {
    let world = World::built(
        |introspection| introspection,
        |builder| {
            let exception = Exception::for_clients(["partner-x"])
                .until("2027-03-31")
                .because("ticket 1")
                .at_most(Duration::from_mins(10));
            builder.dpop(Dpop::new()).binding(Binding::Dpop).exception(exception)
        },
    );
    let partner = world.kit.active(world.claims().client_id("partner-x"));
    world.assert_passes(&partner, "excepted").await;
    world.assert_invalid(&world.token(), Kind::NotBound, "another").await;
    assert_eq!(world.calls(), 2);
    let strict = Policy::new(allow_all()).binding(Binding::Dpop);
    let new = world.kit.active(world.claims().client_id("partner-x"));
    assert_eq!(world.kind_by(strict, &new).await, Some(Kind::NotBound));
    assert_eq!(world.calls(), 2);
}

/// INT-19: an issuer can say another `exp` with each answer, or none. A token that was used is remembered for
/// as long as `iat` and its class let it live.
#[tokio::test]
async fn a_use_is_remembered_for_the_life_of_the_class() {
    let once = || Policy::new(allow_all()).single_use();
    let world = World::new();
    let (start, minutes) = (world.now(), Duration::from_mins);
    let until = |name: &str, end: Duration| {
        world.claims().claim("jti", name).issued_at(start).expires_at(start.plus(end))
    };
    for token in ["used", "kept-back"] {
        world.kit.active_as(token, until(token, minutes(2)));
    }
    assert_eq!(world.kind_by(once(), "used").await, None);
    for passed in [10, 30, 59] {
        world.clock.set(start.plus(minutes(passed)));
        for token in ["used", "kept-back"] {
            world.kit.active_as(token, until(token, minutes(60)));
        }
        world.advance(TTL).await;
        assert_eq!(world.kind_by(once(), "used").await, Some(Kind::TokenUsed), "{passed}");
    }
    assert_eq!(world.kind_by(once(), "kept-back").await, None);
    // By its class it ends before it is forgotten.
    world.advance(minutes(2)).await;
    assert_eq!(world.kind_by(once(), "used").await, Some(Kind::Expired));

    // The same without `exp`.
    let world = World::with(|introspection| introspection.may_lack(AnswerGap::ExpiresAt));
    let endless = |name: &str| world.claims().claim("jti", name).without("exp");
    let start = world.now();
    for token in ["used", "kept-back"] {
        world.kit.active_as(token, endless(token).issued_at(start));
    }
    assert_eq!(world.kind_by(once(), "used").await, None);
    for _ in 0..3 {
        world.advance(minutes(15)).await;
        assert_eq!(world.kind_by(once(), "used").await, Some(Kind::TokenUsed));
    }
    assert_eq!(world.kind_by(once(), "kept-back").await, None);
}

/// Without `iat` nothing says for how long a use has to be remembered: such a token is not used once.
#[tokio::test]
async fn a_token_without_a_date_is_not_used_once() {
    let once = || Policy::new(allow_all()).single_use();
    let parts = Parts::new();
    let profile = TokenProfile::relaxed().may_lack(OptionalClaim::IssuedAt);
    let issuer = parts.issuer.fixed_keys().profile(profile);
    let builder = parts.builder_with(issuer).introspection(parts.introspection());
    let world = parts.build(builder);
    let undated = world.kit.active(world.claims().without("iat"));
    assert_eq!(world.kind_by(once(), &undated).await, Some(Kind::NoTokenId));
    world.assert_passes(&undated, "where it is not wanted").await;
    assert_eq!(world.kind_by(once(), &world.token()).await, None, "with a date");
    let jwt = world.claims().without("iat").sign();
    assert_eq!(world.kind_by(once(), &jwt).await, None, "its `exp` is its own");
    assert_eq!(world.kind_by(once(), &jwt).await, Some(Kind::TokenUsed));
    // And without a name none is.
    let nameless = world.kit.active(world.claims().without("jti"));
    assert_eq!(world.kind_by(once(), &nameless).await, Some(Kind::NoTokenId));
    world.assert_passes(&nameless, "where it is not wanted").await;
}
