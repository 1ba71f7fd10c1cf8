//! A record that revokes a token counts against an answer that says it is active.

use std::time::Duration;

use portcullis::check::allow_all;
use portcullis::introspection::Introspection;
use portcullis::revocation::{
    Batch, Claim, Claims, Effect, Hold, Record, Revocation, RevocationSource, Running, Source,
    SourceHandle, Target,
};
use portcullis::{Policy, RejectionKind as Kind};
use tokio::sync::{Mutex, mpsc};

use crate::support::{ISSUER, settle};
use crate::world::{Parts, SECOND, TTL, World};

fn world() -> World {
    let known = Revocation::new().claim("device");
    World::built(|introspection| introspection, |builder| builder.revocation(known))
}

/// Every kind of record, and what a token that it is about gets.
fn records(world: &World) -> Vec<(&'static str, Record, Kind)> {
    let now = world.now();
    let claims = |claims, effect| Record::new(ISSUER, Target::Claims(claims), effect, now);
    let named = |name: &str, value: &str| Claims::one(Claim::Named(name.into()), value);
    vec![
        ("jti", Record::token(ISSUER, "the-jti", now), Kind::Revoked),
        ("subject", Record::matching(ISSUER, Claims::subject("alice"), now), Kind::Revoked),
        ("client", Record::matching(ISSUER, Claims::client("test-client"), now), Kind::Revoked),
        ("session", Record::matching(ISSUER, Claims::session("s1"), now), Kind::Revoked),
        ("named", Record::matching(ISSUER, named("device", "d1"), now), Kind::Revoked),
        (
            "all of them",
            Record::matching(ISSUER, Claims::subject("alice").and_session("s1"), now),
            Kind::Revoked,
        ),
        ("issuer", Record::issuer(ISSUER, now), Kind::Revoked),
        ("purge", claims(Claims::subject("alice"), Effect::Purge), Kind::Revoked),
        ("hold", claims(Claims::subject("alice"), Effect::Hold(Hold::Account)), Kind::Suspended),
        ("step-up", claims(Claims::session("s1"), Effect::StepUp), Kind::StepUpDemanded),
    ]
}

fn about(world: &World) -> portcullis::testing::TokenBuilder {
    world.claims().claim("jti", "the-jti").claim("sid", "s1").claim("device", "d1")
}

/// The same token, but for everything by which a record could name it.
fn other(world: &World) -> portcullis::testing::TokenBuilder {
    world
        .claims()
        .subject("bob")
        .client_id("other-client")
        .claim("sid", "s2")
        .claim("device", "d2")
        .issued_at(world.now().plus(SECOND))
}

/// INT-05, INT-06: whatever kind the record is of, it counts from the next request on, for kept answers
/// and for new ones; nobody is asked meanwhile, and once it is lifted the issuer is asked again.
#[tokio::test]
async fn every_kind_of_record_counts_against_an_answer() {
    for (index, (name, _, kind)) in records(&world()).into_iter().enumerate() {
        let world = world();
        let (_, record, _) = records(&world).swap_remove(index);
        let kept = world.kit.active(about(&world));
        let untouched = world.kit.active(other(&world));
        world.assert_passes(&kept, name).await;
        world.assert_passes(&untouched, name).await;
        assert_eq!((world.calls(), world.health().kept), (2, 2), "{name}");

        world.api.revocations().revoke(record.clone()).await.unwrap();
        for _ in 0..3 {
            assert_eq!(world.kind(&kept).await, Some(kind), "{name}");
            assert_eq!(world.health().kept, 2, "{name}: doubted, not gone");
            assert_eq!(world.calls(), 2, "{name}: nobody had to be asked");
        }
        world.assert_passes(&untouched, name).await;
        assert_eq!(world.calls(), 2, "{name}");
        let fresh = world.kit.active(about(&world));
        assert_eq!(world.kind(&fresh).await, Some(kind), "{name}: asked, and told active");

        let calls = world.calls();
        world.advance(SECOND).await;
        world.api.revocations().lift(&record).await.unwrap();
        world.assert_passes(&kept, name).await;
        assert_eq!(world.calls(), calls + 1, "{name}: asked again");
        world.assert_passes(&kept, name).await;
        world.assert_passes(&untouched, name).await;
        assert_eq!(world.calls(), calls + 1, "{name}");
    }
}

/// After a lift it is the issuer who says what the token is worth by then.
#[tokio::test]
async fn after_a_lift_the_issuer_is_asked() {
    let world = world();
    let token = world.kit.active(about(&world));
    world.assert_passes(&token, "asked").await;
    let record = Record::token(ISSUER, "the-jti", world.now());
    world.api.revocations().revoke(record.clone()).await.unwrap();
    world.assert_invalid(&token, Kind::Revoked, "revoked").await;
    world.kit.revoke(&token);
    world.advance(SECOND).await;
    world.api.revocations().lift(&record).await.unwrap();
    world.kit.fail_once(portcullis::testing::Failure::Connection);
    world.assert_unavailable(&token, "what was said before is no longer believed").await;
    world.assert_invalid(&token, Kind::Inactive, "revoked there as well").await;
}

/// A token that was accepted is revoked by its `Access`.
#[tokio::test]
async fn an_accepted_token_is_revoked_by_its_access() {
    let world = world();
    let token = world.kit.active(about(&world));
    let access = world.present(&token).await.unwrap();
    let same = world.kit.active(about(&world).claim("jti", "another"));
    world.api.revocations().revoke_access(&access).await.unwrap();
    world.assert_invalid(&token, Kind::Revoked, "it").await;
    world.assert_passes(&same, "another of the same subject").await;
    world.api.revocations().revoke_subject(&access).await.unwrap();
    world.assert_invalid(&same, Kind::Revoked, "all of the subject").await;
}

/// A source that says what the test says.
struct Told(Mutex<mpsc::UnboundedReceiver<Batch>>);

impl RevocationSource for Told {
    fn run(&self, handle: SourceHandle) -> Running<'_> {
        Box::pin(async move {
            let mut batches = self.0.lock().await;
            handle.synchronised(handle.clock().moment());
            while let Some(batch) = batches.recv().await {
                handle.apply(batch.synchronised(handle.clock().moment())).await.unwrap();
            }
            std::future::pending().await
        })
    }
}

/// INT-06: what a source says reaches kept answers; and where the source is too old, an answer is no
/// excuse for it.
#[tokio::test]
async fn a_source_reaches_kept_answers() {
    let (say, told) = mpsc::unbounded_channel();
    let source = Source::own("told", Told(Mutex::new(told))).speaks_for([ISSUER]);
    let known = Revocation::new().source(source.max_age(Duration::from_mins(1)));
    let world = World::built(
        |introspection| introspection.ttl(Duration::from_mins(10)),
        |builder| builder.revocation(known),
    );
    let _ = world.api.warm_up().await;
    settle().await;
    let kept = world.kit.active(about(&world));
    let untouched = world.kit.active(other(&world));
    for token in [&kept, &untouched] {
        world.assert_passes(token, "asked").await;
    }
    say.send(Batch::of([Record::token(ISSUER, "the-jti", world.now())])).unwrap();
    settle().await;
    world.assert_invalid(&kept, Kind::Revoked, "said").await;
    world.assert_passes(&untouched, "not said").await;
    assert_eq!((world.calls(), world.health().kept), (2, 2));
    world.advance(Duration::from_secs(61)).await;
    assert_eq!(world.kind(&untouched).await, Some(Kind::RevocationUnavailable));
    assert_eq!(world.health().kept, 2, "an outage takes nothing along");
    say.send(Batch::of([])).unwrap();
    settle().await;
    world.assert_passes(&untouched, "in touch").await;
    assert_eq!(world.calls(), 2);
}

/// Freshness is an answer's age where no source speaks for the issuer, and the source's as well where one
/// does.
#[tokio::test]
async fn an_answer_is_what_is_known_of_revocation() {
    let fresh = || Policy::new(allow_all()).freshness(Duration::from_secs(5));
    let parts = Parts::new();
    let builder = parts.builder_with(parts.issuer.fixed_keys()).revocation(Revocation::new());
    let elsewhere = Source::own("told", Told(Mutex::new(mpsc::unbounded_channel().1)));
    let other = portcullis::testing::TestIssuer::new("https://b.example", &parts.clock);
    let known = Revocation::new().source(elsewhere.speaks_for([other.id()]));
    let builder =
        builder.issuer(other.fixed_keys()).revocation(known).introspection(parts.introspection());
    let world = parts.build(builder);
    assert_eq!(world.kind_by(fresh(), &world.token()).await, None, "asked just now");
    let jwt = world.claims().sign();
    assert_eq!(world.kind_by(fresh(), &jwt).await, Some(Kind::RevocationUnavailable));
    world.assert_passes(&jwt, "no wish").await;
}

/// JWS-31, attack 27: a record about a key refuses the JWTs that are signed with it, also those whose
/// issuer said that they are active; and a key that is gone takes them along.
#[tokio::test]
async fn a_key_that_is_gone_takes_its_tokens_along() {
    for keys in [true, false] {
        let parts = Parts::new();
        let issuer = match keys {
            true => parts.issuer.jwks(),
            false => portcullis::Issuer::opaque(ISSUER),
        };
        let builder = parts.builder_with(issuer).revocation(Revocation::new());
        let builder = builder.introspection(Introspection::jwts(parts.introspection()));
        let world = parts.build(builder);
        let known = |claims: &portcullis::testing::TokenBuilder| {
            let token = claims.sign();
            world.kit.active_as(&token, claims);
            token
        };
        let old = known(&world.claims());
        let opaque = world.token();
        world.assert_passes(&old, "asked").await;
        world.assert_passes(&opaque, "asked").await;
        let kid = world.issuer.key().kid().to_owned();
        world.issuer.rotate();
        let new = known(&world.claims());
        world.assert_passes(&new, "another key").await;
        let record = Record::key(ISSUER, kid.as_str(), world.now());
        world.api.revocations().revoke(record).await.unwrap();
        world.assert_invalid(&old, Kind::Revoked, "by its key").await;
        world.assert_passes(&new, "another key").await;
        world.assert_passes(&opaque, "no key").await;
    }
}

/// The record of one issuer is none about the tokens of another.
#[tokio::test]
async fn a_record_is_about_one_issuer() {
    let world = world();
    let token = world.kit.active(about(&world));
    world.assert_passes(&token, "asked").await;
    let elsewhere = Record::token("https://b.example", "the-jti", world.now());
    let _ = world.api.revocations().revoke(elsewhere).await;
    world.assert_passes(&token, "another issuer's").await;
    world.advance(TTL - SECOND).await;
    world.assert_passes(&token, "kept").await;
    assert_eq!(world.calls(), 1);
}
