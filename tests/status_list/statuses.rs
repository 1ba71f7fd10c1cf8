//! What a status does to a token.

use std::time::Duration;

use portcullis::revocation::{StatusAction, StatusLists};
use portcullis::{RejectionKind as Kind, assert_challenge};

use crate::world::{MINUTE, SECOND, World};

/// TSL-17, TSL-20: each status of each width, by default.
#[tokio::test]
async fn tsl_20_only_valid_is_valid() {
    for (bits, last) in [(1_u8, 1_u8), (2, 3), (4, 15), (8, 255)] {
        let world = World::new().await;
        world.list.resize(bits, 512);
        for status in 0..=last {
            world.list.set(u64::from(status), status);
        }
        for status in 0..=last {
            let expected = match status {
                0 => None,
                2 => Some(Kind::Suspended),
                _ => Some(Kind::Revoked),
            };
            let sent = world.send(&world.token(status.into())).await;
            assert_eq!(sent.kind(), expected, "{bits} {status}");
            if expected.is_some() {
                assert_challenge!(sent.response, 401, "Bearer", error = "invalid_token");
            }
        }
        assert_eq!(world.kind(u64::from(last) + 1).await, None, "the neighbour is untouched");
        assert_eq!(world.list.fetches(), 1);
    }
}

/// TSL-20: what is suspended, or has a meaning of the issuer's own, is as it was configured; nothing
/// else can be.
#[tokio::test]
async fn tsl_20_what_the_list_leaves_open_is_configured() {
    let lists = StatusLists::new()
        .suspended(StatusAction::StepUp)
        .application_specific(3, StatusAction::Accept)
        .application_specific(12, StatusAction::StepUp)
        .application_specific(15, StatusAction::Refuse);
    let world = World::with(lists).await;
    world.list.resize(4, 16);
    (0..16).for_each(|status| {
        world.list.set(u64::from(status), status);
    });
    for (status, expected) in (0..16).map(|status| match status {
        0 | 3 => (status, None),
        2 | 12 => (status, Some(Kind::StepUpDemanded)),
        _ => (status, Some(Kind::Revoked)),
    }) {
        let sent = world.send(&world.token(status)).await;
        assert_eq!(sent.kind(), expected, "{status}");
        if expected == Some(Kind::StepUpDemanded) {
            assert_challenge!(
                sent.response,
                401,
                "Bearer",
                error = "insufficient_user_authentication"
            );
        }
    }
    let accepting = World::with(StatusLists::new().suspended(StatusAction::Accept)).await;
    accepting.list.resize(2, 16).set(0, 2).set(1, 1);
    assert_eq!(accepting.kind(0).await, None);
    assert_eq!(accepting.kind(1).await, Some(Kind::Revoked));
}

/// TSL-18, decision 14: an index past the end is 401. A list that may have grown since is looked at
/// again first, once in a while.
#[tokio::test]
async fn tsl_18_an_index_past_the_end_is_no_token() {
    let world = World::new().await;
    world.list.resize(2, 1_000);
    assert_eq!(world.kind(999).await, None);
    for index in [1_000, 1_001, 1 << 40, (1 << 53) - 1] {
        let sent = world.send(&world.token(index)).await;
        assert_eq!(sent.kind(), Some(Kind::StatusIndex), "{index}");
        assert_challenge!(sent.response, 401, "Bearer", error = "invalid_token");
    }
    assert_eq!(world.list.fetches(), 1, "it is as young as can be");

    world.list.resize(2, 2_000).set(1_500, 1);
    world.advance(MINUTE).await;
    assert_eq!(world.kind(1_000).await, None, "it has grown");
    assert_eq!(world.list.fetches(), 2);
    assert_eq!(world.kind(1_500).await, Some(Kind::Revoked));
    for _ in 0..10 {
        assert_eq!(world.kind(2_000).await, Some(Kind::StatusIndex));
    }
    assert_eq!(world.list.fetches(), 2);

    // An outage does not make a valid token of it, nor an outage for others.
    world.advance(MINUTE).await;
    world.list.fail(portcullis::testing::Failure::Connection);
    assert_eq!(world.kind(2_000).await, Some(Kind::StatusIndex));
    assert_eq!(world.kind(1_000).await, None);
}

/// API-03: tokens with indices that no list has do not make anybody fetch one more often than `min_ttl`
/// says: 15 seconds, or as it was said.
#[tokio::test]
async fn no_index_has_a_list_fetched_sooner() {
    for (lists, shortest) in
        [(StatusLists::new(), SECOND * 15), (StatusLists::new().min_ttl(MINUTE), MINUTE)]
    {
        let world = World::with(lists).await;
        assert_eq!(world.kind(0).await, None);
        world.advance(shortest - Duration::from_millis(1)).await;
        assert_eq!(world.kind(1_024).await, Some(Kind::StatusIndex));
        assert_eq!(world.list.fetches(), 1, "{shortest:?}");
        world.advance(Duration::from_millis(1)).await;
        assert_eq!(world.kind(1_024).await, Some(Kind::StatusIndex));
        assert_eq!(world.list.fetches(), 2, "{shortest:?}");
    }
}
