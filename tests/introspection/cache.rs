//! How long answers are kept, and for whom.

use std::time::Duration;

use portcullis::check::{acr, scope};
use portcullis::introspection::Introspection;
use portcullis::{RejectionKind as Kind, ResourceServer};

use crate::support::{RESOURCE, bearer, present};
use crate::world::{Parts, SECOND, TTL, World};

/// INT-06: an answer is kept for half a minute unless said otherwise, and then asked for again.
#[tokio::test]
async fn an_answer_is_kept_for_its_time() {
    for (said, ttl) in [(None, TTL), (Some(7 * SECOND), 7 * SECOND)] {
        let world = World::with(|introspection| match said {
            None => introspection,
            Some(ttl) => introspection.ttl(ttl),
        });
        let token = world.token();
        for _ in 0..3 {
            world.assert_passes(&token, "kept").await;
        }
        world.advance(ttl - SECOND).await;
        world.assert_passes(&token, "still kept").await;
        assert_eq!(world.calls(), 1);
        world.kit.revoke(&token);
        world.advance(SECOND - Duration::from_nanos(1)).await;
        world.assert_passes(&token, "to the last moment").await;
        world.advance(Duration::from_nanos(1)).await;
        world.assert_invalid(&token, Kind::Inactive, "asked again").await;
        assert_eq!(world.calls(), 2);
    }
}

/// INT-07, attack 24: nothing is kept beyond `exp`, and what is kept is no excuse for it.
#[tokio::test]
async fn an_answer_ends_with_its_token() {
    let world = World::with(|introspection| introspection.ttl(60 * SECOND));
    let exp = world.now().plus(5 * SECOND);
    let token = world.kit.active(world.claims().expires_at(exp));
    world.assert_passes(&token, "fresh").await;
    world.advance(4 * SECOND).await;
    world.assert_passes(&token, "kept").await;
    assert_eq!(world.calls(), 1);
    world.advance(SECOND).await;
    // Within the leeway the token counts, and what was said of it before does not.
    world.assert_passes(&token, "leeway").await;
    assert_eq!(world.calls(), 2);
    world.kit.revoke(&token);
    world.assert_invalid(&token, Kind::Inactive, "nothing is kept of it").await;
    // Whatever its issuer says of it later.
    world.kit.active_as(&token, world.claims().expires_at(exp));
    world.advance(Duration::from_mins(2)).await;
    world.assert_invalid(&token, Kind::Expired, "ended").await;
    assert_eq!(world.health().kept, 0);
}

/// INT-08: where nothing is kept there is a call for each request.
#[tokio::test]
async fn without_a_time_nothing_is_kept() {
    let world = World::with(|introspection| introspection.ttl(Duration::ZERO));
    let token = world.token();
    for calls in 1..=5 {
        world.assert_passes(&token, "asked").await;
        assert_eq!(world.calls(), calls);
    }
    world.kit.revoke(&token);
    for calls in 6..=8 {
        world.assert_invalid(&token, Kind::Inactive, "asked").await;
        assert_eq!(world.calls(), calls);
    }
    let health = world.health();
    assert_eq!((health.kept, health.kept_inactive, health.kept_bytes), (0, 0, 0));
}

/// INT-09: "not active" is kept for a shorter time, which ends by itself.
#[tokio::test]
async fn not_active_is_kept_for_a_shorter_time() {
    for (said, negative) in
        [(None, 5 * SECOND), (Some(2 * SECOND), 2 * SECOND), (Some(Duration::ZERO), Duration::ZERO)]
    {
        let world = World::with(|introspection| match said {
            None => introspection,
            Some(ttl) => introspection.negative_ttl(ttl),
        });
        let token = "early";
        world.assert_invalid(token, Kind::Inactive, "unknown").await;
        world.kit.active_as(token, world.claims());
        if !negative.is_zero() {
            world.advance(negative - SECOND).await;
            world.assert_invalid(token, Kind::Inactive, "kept").await;
            assert_eq!(world.calls(), 1);
            world.advance(SECOND).await;
        }
        world.assert_passes(token, "asked again").await;
        assert_eq!(world.calls(), 2);
        // Not active any more: what was kept before is gone.
        world.kit.revoke(token);
        world.advance(TTL).await;
        world.assert_invalid(token, Kind::Inactive, "ended").await;
        assert_eq!((world.calls(), world.health().kept), (3, 0));
    }
    // It is never kept longer than a yes.
    let world = World::with(|introspection| introspection.ttl(SECOND));
    assert_eq!(world.api.effective_policy()["introspection"][0]["negative_ttl"], "1s");
}

/// INT-10: two servers in one process never share: not the same resource, and not another.
#[tokio::test]
async fn two_servers_never_share_an_answer() {
    let parts = Parts::new();
    let build = |change: fn(portcullis::ServerBuilder) -> portcullis::ServerBuilder| {
        change(parts.builder().introspection(parts.introspection())).build().unwrap()
    };
    let servers: [ResourceServer; 3] = [
        build(|builder| builder),
        build(|builder| builder),
        build(|builder| builder.accept_audience("https://alias.example")),
    ];
    let token = parts.kit.active(parts.issuer.token(RESOURCE));
    for (index, server) in servers.iter().enumerate() {
        for _ in 0..3 {
            assert!(present(server, &token).await.is_ok());
        }
        assert_eq!(parts.kit.calls(), index + 1);
    }
    // A clone is the same server.
    assert!(present(&servers[0].clone(), &token).await.is_ok());
    assert_eq!(parts.kit.calls(), 3);
    parts.kit.revoke(&token);
    let late = build(|builder| builder);
    assert_eq!(present(&late, &token).await.unwrap_err().kind(), Kind::Inactive);
    assert!(present(&servers[0], &token).await.is_ok(), "its own answer, for its time");
}

/// Attack 26: a kept answer is decided anew by every route, and at every time.
#[tokio::test]
async fn a_kept_answer_is_decided_anew() {
    let world = World::with(|introspection| introspection.ttl(Duration::from_mins(10)));
    let narrow = world.kit.active(world.claims().scope("notes:read"));
    for _ in 0..2 {
        assert_eq!(world.kind_by(scope("notes:read"), &narrow).await, None);
        assert_eq!(
            world.kind_by(scope("notes:write"), &narrow).await,
            Some(Kind::InsufficientScope)
        );
        let wanted = Some(Kind::InsufficientAuthentication);
        assert_eq!(world.kind_by(acr(["phr"]), &narrow).await, wanted);
    }
    assert_eq!(world.calls(), 1);
    // Its audience, by a server that would not have it, and its time.
    let aged = world
        .kit
        .active(world.claims().claim("acr", "phr").claim("auth_time", world.now().as_secs()));
    let recent = || acr(["phr"]).within(Duration::from_mins(1));
    assert_eq!(world.kind_by(recent(), &aged).await, None);
    world.advance(Duration::from_mins(2)).await;
    let wanted = Some(Kind::InsufficientAuthentication);
    assert_eq!(world.kind_by(recent(), &aged).await, wanted);
    assert_eq!(world.calls(), 2);
    let later = world.now().plus(Duration::from_mins(1)).as_secs();
    let early = world.kit.active(world.claims().claim("nbf", later));
    world.assert_invalid(&early, Kind::NotYetValid, "kept").await;
    world.advance(Duration::from_mins(1)).await;
    world.assert_passes(&early, "kept, and valid by now").await;
    assert_eq!(world.calls(), 3);
}

/// The time of day set back does not make an answer younger, and set forward it makes it older.
#[tokio::test]
async fn a_clock_that_is_set_back_makes_no_answer_younger() {
    let world = World::new();
    let token = world.token();
    let start = world.now();
    world.assert_passes(&token, "asked").await;
    world.advance(20 * SECOND).await;
    world.clock.set(start);
    world.assert_passes(&token, "kept").await;
    assert_eq!(world.calls(), 1);
    world.advance(9 * SECOND).await;
    world.assert_passes(&token, "kept").await;
    assert_eq!(world.calls(), 1);
    world.advance(SECOND).await;
    world.assert_passes(&token, "thirty seconds in all").await;
    assert_eq!(world.calls(), 2);
    world.clock.set(world.now().plus(TTL));
    world.assert_passes(&token, "set forward").await;
    assert_eq!(world.calls(), 3);
    // The same of "not active".
    world.assert_invalid("unknown", Kind::Inactive, "asked").await;
    world.advance(4 * SECOND).await;
    world.clock.set(start);
    world.assert_invalid("unknown", Kind::Inactive, "kept").await;
    assert_eq!(world.calls(), 4);
    world.advance(SECOND).await;
    world.assert_invalid("unknown", Kind::Inactive, "asked").await;
    assert_eq!(world.calls(), 5);
}

/// INT-06: how long answers may be kept is bounded.
#[test]
fn no_answer_is_kept_for_long() {
    let build = |change: &dyn Fn(Introspection) -> Introspection| {
        let parts = Parts::new();
        parts.builder().introspection(change(parts.introspection())).build()
    };
    let longest = Duration::from_mins(10);
    assert!(build(&|introspection| introspection.ttl(longest)).is_ok());
    assert!(build(&|introspection| introspection.ttl(longest + SECOND)).is_err());
}

/// Attack 25: no two tokens have one answer, however alike they are.
#[tokio::test]
async fn tokens_that_are_alike_have_answers_of_their_own() {
    let world = World::new();
    let long = "a".repeat(2_000);
    let tokens = [
        "token".to_owned(),
        "Token".to_owned(),
        "token=".to_owned(),
        "token==".to_owned(),
        "tokem".to_owned(),
        "token.token".to_owned(),
        "tokentoken".to_owned(),
        format!("{long}b"),
        format!("{long}c"),
        format!("b{long}"),
    ];
    for (number, token) in tokens.iter().enumerate().skip(1) {
        let subject = format!("user-{number}");
        world.kit.active_as(token, world.claims().subject(&subject));
    }
    for round in 0..2 {
        for (number, token) in tokens.iter().enumerate() {
            let answer = world.api.verify(&bearer(token)).await;
            match number {
                // Nobody knows the first.
                0 => assert_eq!(answer.unwrap_err().kind(), Kind::Inactive, "{round}"),
                _ => assert_eq!(answer.unwrap().subject(), format!("user-{number}").as_str()),
            }
        }
    }
    assert_eq!(world.calls(), tokens.len(), "each was asked about once");
}
