//! Encrypted tokens and introspection: who is asked is sent the token as it was presented.

use portcullis::introspection::{ClientAuth, Introspection};
use portcullis::testing::{
    ManualClock, TestCertificate, TestIntrospection, TestIssuer, TestNetwork, TokenBuilder,
};
use portcullis::{Issuer, Mtls, RejectionKind as Kind, ResourceServer, ServerBuilder};
use tokio::task::{unconstrained, yield_now};

use crate::EC;
use crate::support::{ISSUER, RESOURCE, bearer, builder, send};
use crate::world::{decryption, poll_once, seal};

struct Asked {
    clock: ManualClock,
    issuer: TestIssuer,
    kit: TestIntrospection,
    api: ResourceServer,
}

/// Whether the server has the issuer's keys.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Keys {
    Known,
    None,
}

impl Asked {
    fn new(
        keys: Keys,
        change: impl FnOnce(Introspection) -> Introspection,
        settings: impl FnOnce(ServerBuilder) -> ServerBuilder,
    ) -> Self {
        let clock = ManualClock::new();
        let issuer = TestIssuer::new(ISSUER, &clock);
        let kit = TestIntrospection::of(&issuer, &clock);
        let introspection =
            Introspection::at(ISSUER, kit.url()).client(ClientAuth::insecure_unauthenticated());
        let whose = match keys {
            Keys::Known => issuer.fixed_keys(),
            Keys::None => Issuer::opaque(ISSUER),
        };
        let builder = builder(&clock)
            .issuer(whose)
            .introspection(change(introspection))
            .transport(TestNetwork::of(&[&issuer]).with_introspection(&kit));
        let api = settings(builder).build().unwrap();
        Self { clock, issuer, kit, api }
    }

    /// A server that decrypts and asks about JWTs.
    fn decrypting(keys: Keys) -> Self {
        Self::new(keys, Introspection::jwts, |builder| builder.decryption(decryption()))
    }

    fn claims(&self) -> TokenBuilder {
        self.issuer.token(RESOURCE)
    }

    async fn kind(&self, token: &str) -> Option<Kind> {
        send(&self.api.layer(), bearer(token)).await.kind()
    }

    /// The tokens that were sent.
    fn sent(&self) -> Vec<String> {
        self.kit.requests().iter().map(|request| request.form("token").unwrap()).collect()
    }
}

/// AT-12, RFC 7662 §2.1: the issuer knows the token that it gave out, which is the envelope. That, and
/// nothing that was in it, is sent, and its answer is about that alone.
#[tokio::test]
async fn the_envelope_is_sent() {
    for keys in [Keys::Known, Keys::None] {
        let world = Asked::decrypting(keys);
        let claims = world.claims();
        let inner = claims.sign();
        let [first, second] = [seal(&inner), seal(&inner)];
        world.kit.active_as(&first, &claims);
        assert_eq!(world.kind(&first).await, None);
        assert_eq!(world.kind(&first).await, None, "kept");
        assert_eq!(world.sent(), std::slice::from_ref(&first));
        // What the issuer says of the token in it is said of nobody's envelope, nor the other way about.
        world.kit.active_as(&inner, &claims);
        assert_eq!(world.kind(&second).await, Some(Kind::Inactive));
        assert_eq!(world.sent(), [first, second]);
    }
}

/// Attack 28, AT-12: nobody is asked about an envelope around what anybody can have written, nor about one
/// that cannot be opened, whatever the issuer would say.
#[tokio::test]
async fn nobody_is_asked_about_what_anybody_can_have_written() {
    let world = Asked::decrypting(Keys::Known);
    let now = portcullis::time::Clock::now(&world.clock);
    let minutes = std::time::Duration::from_mins;
    let ended = world.claims().issued_at(now.minus(minutes(9))).expires_at(now.minus(minutes(4)));
    let rows = [
        ("forged", seal(&world.claims().tampered()), Kind::BadSignature),
        (
            "another issuer",
            seal(&world.claims().claim("iss", "https://b.example").sign()),
            Kind::UnknownIssuer,
        ),
        ("ended", seal(&ended.sign()), Kind::Expired),
        ("claims", seal(&world.claims().payload()), Kind::Undecryptable),
        ("an opaque token", seal("mF_9B5f41JqM"), Kind::Undecryptable),
        ("nested", seal(&seal(&world.claims().sign())), Kind::Undecryptable),
        (
            "header",
            EC.seal(world.claims().sign()).header("zip", "DEF").encrypt(),
            Kind::EncryptionNotAccepted,
        ),
    ];
    for (name, token, kind) in rows {
        world.kit.active_as(&token, world.claims());
        assert_eq!(world.kind(&token).await, Some(kind), "{name}");
        assert_eq!(world.kit.calls(), 0, "{name}");
    }
    let claims = world.claims();
    let good = seal(&claims.sign());
    world.kit.active_as(&good, claims);
    assert_eq!(world.kind(&good).await, None);
    assert_eq!(world.kit.calls(), 1);
}

/// MTLS-05, AT-12: `cnf` of the token in the envelope is enforced though the answer lacks it.
#[tokio::test]
async fn cnf_in_the_envelope_is_enforced_beside_the_answer() {
    let world = Asked::new(Keys::Known, Introspection::jwts, |builder| {
        builder.decryption(decryption()).mtls(Mtls::direct())
    });
    let certificate = TestCertificate::named("client").self_signed();
    let claims = world.claims();
    let bound = seal(&claims.clone().claim("cnf", certificate.confirmation()).sign());
    let free = seal(&claims.sign());
    for (token, kind) in [(&bound, Some(Kind::CertificateMissing)), (&free, None)] {
        world.kit.active_as(token, &claims);
        assert_eq!(world.kind(token).await, kind);
    }
}

/// AT-11: an issuer that encrypts is not asked about a token that is not encrypted.
#[tokio::test]
async fn nobody_is_asked_about_what_is_not_encrypted() {
    let clock = ManualClock::new();
    let issuer = TestIssuer::new(ISSUER, &clock);
    let kit = TestIntrospection::of(&issuer, &clock);
    let introspection =
        Introspection::at(ISSUER, kit.url()).client(ClientAuth::insecure_unauthenticated());
    let api = builder(&clock)
        .issuer(issuer.fixed_keys().encrypted_only())
        .introspection(introspection.jwts())
        .decryption(decryption())
        .transport(TestNetwork::of(&[&issuer]).with_introspection(&kit))
        .build()
        .unwrap();
    let claims = issuer.token(RESOURCE);
    let (bare, sealed) = (claims.sign(), seal(&claims.sign()));
    for (token, kind, calls) in [(&bare, Some(Kind::NotEncrypted), 0), (&sealed, None, 1)] {
        kit.active_as(token, &claims);
        assert_eq!(send(&api.layer(), bearer(token)).await.kind(), kind);
        assert_eq!(kit.calls(), calls);
    }
}

/// AUTH-31: without decryption an encrypted token is as good as opaque to who is asked about JWTs too, and
/// to nobody else. It is then the issuer that reads it.
#[tokio::test]
async fn without_decryption_an_encrypted_token_is_sent_by_choice_only() {
    for keys in [Keys::Known, Keys::None] {
        let by_choice = Asked::new(keys, Introspection::jwts, |builder| builder);
        let default = Asked::new(keys, |introspection| introspection, |builder| builder);
        for (world, kind) in [(&by_choice, None), (&default, Some(Kind::EncryptedToken))] {
            let claims = world.claims();
            let token = seal(&claims.sign());
            world.kit.active_as(&token, claims);
            assert_eq!(world.kind(&token).await, kind);
            let wanted = if kind.is_none() { vec![token] } else { Vec::new() };
            assert_eq!(world.sent(), wanted);
        }
        // Its answer counts.
        let unknown = seal(&by_choice.claims().sign());
        assert_eq!(by_choice.kind(&unknown).await, Some(Kind::Inactive));
    }
}

/// A request that is given up while its issuer is asked leaves nothing behind: the next one gets the answer.
#[tokio::test]
async fn a_request_can_be_given_up_while_its_issuer_is_asked() {
    let world = Asked::new(Keys::Known, Introspection::jwts, |builder| {
        builder.decryption(decryption().max_at_once(1))
    });
    let claims = world.claims();
    let token = seal(&claims.sign());
    world.kit.active_as(&token, claims);
    world.kit.hold();
    let mut request = Box::pin(unconstrained(world.kind(&token)));
    while world.kit.calls() == 0 {
        assert!(poll_once(request.as_mut()).is_pending());
        yield_now().await;
    }
    drop(request);
    world.kit.release();
    assert_eq!(world.kind(&token).await, None);
    let unknown = seal(&world.claims().sign());
    assert_eq!(world.kind(&unknown).await, Some(Kind::Inactive));
}

/// With decryption an opaque token is asked about as before, and an encrypted one is read here, unless its
/// issuer is asked about JWTs.
#[tokio::test]
async fn an_encrypted_token_is_read_here_and_an_opaque_one_is_not() {
    let world = Asked::new(
        Keys::Known,
        |introspection| introspection,
        |builder| builder.decryption(decryption()),
    );
    assert_eq!(world.kind(&seal(&world.claims().sign())).await, None);
    assert_eq!(world.kit.calls(), 0);
    let opaque = world.kit.active(world.claims());
    assert_eq!(world.kind(&opaque).await, None);
    assert_eq!(world.sent(), [opaque]);
}
