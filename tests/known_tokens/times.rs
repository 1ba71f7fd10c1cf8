//! Time: it is read with every request, and a known token is as old as it is.

use std::time::Duration;

use portcullis::check::{acr, allow_all};
use portcullis::revocation::{Record, Revocation};
use portcullis::{RejectionKind as Kind, TokenClass};

use crate::pair::{MINUTE, Pair, SECOND};
use crate::support::ISSUER;

/// Attack 24 (CVE-2026-107719, CWE-613: a cache of verified tokens that outlives `exp`): a known token is
/// refused from `exp` and the leeway on, and is forgotten.
#[tokio::test]
async fn a_known_token_ends_when_it_ends_and_is_forgotten() {
    let pair = Pair::new().await;
    let token = pair.token().expires_at(pair.now().plus(5 * MINUTE)).sign();
    let twin = pair.token().expires_at(pair.now().plus(6 * MINUTE)).sign();
    pair.knows(&token).await;
    pair.knows(&twin).await;
    // Ten seconds of leeway are usual.
    pair.advance(5 * MINUTE + 9 * SECOND).await;
    assert_eq!(pair.kind(&token).await, None);
    assert_eq!(pair.known(), 2);
    pair.advance(SECOND).await;
    assert_eq!(pair.kind(&token).await, Some(Kind::Expired));
    assert_eq!(pair.known(), 1, "it is over");
    assert_eq!(pair.kind(&token).await, Some(Kind::Expired), "and is not learned again");
    assert_eq!(pair.known(), 1);
    assert_eq!(pair.kind(&twin).await, None);
}

/// Attack 24: a token that is over is told from one that is not, whichever way the clock was set.
#[tokio::test]
async fn a_clock_that_is_set_is_read() {
    let pair = Pair::new().await;
    let start = pair.now();
    let token = pair
        .token()
        .issued_at(start)
        .expires_at(start.plus(5 * MINUTE))
        .claim("nbf", start.as_secs())
        .sign();
    pair.knows(&token).await;
    // Back before it was issued, further than the leeway.
    pair.clock.set(start.minus(11 * SECOND));
    assert!(matches!(pair.kind(&token).await, Some(Kind::NotYetValid | Kind::IssuedInFuture)));
    assert_eq!(pair.known(), 1, "it may come to that");
    pair.clock.set(start.minus(10 * SECOND));
    assert_eq!(pair.kind(&token).await, None, "the leeway");
    // Ahead, and over; and back again.
    pair.clock.set(start.plus(Duration::from_hours(1)));
    assert_eq!(pair.kind(&token).await, Some(Kind::Expired));
    assert_eq!(pair.known(), 0);
    pair.clock.set(start.plus(MINUTE));
    pair.knows(&token).await;
    pair.clock.set(start.plus(5 * MINUTE + 10 * SECOND));
    assert_eq!(pair.kind(&token).await, Some(Kind::Expired));
}

/// A token that is accepted before its `nbf`, by the leeway, and not before that once the clock is set
/// back; its twin has no `nbf`.
#[tokio::test]
async fn not_before_is_asked_of_a_known_token() {
    let pair = Pair::with(|builder, _| builder.leeway(5 * SECOND)).await;
    let start = pair.now();
    let issued = start.minus(MINUTE);
    let token = pair.token().issued_at(issued).claim("nbf", start.as_secs() + 5).sign();
    let twin = pair.token().issued_at(issued).sign();
    pair.knows(&token).await;
    pair.knows(&twin).await;
    pair.clock.set(start.minus(SECOND));
    assert_eq!(pair.kind(&token).await, Some(Kind::NotYetValid));
    assert_eq!(pair.kind(&twin).await, None);
    pair.clock.set(start);
    assert_eq!(pair.kind(&token).await, None);
}

/// The age that a class accepts is that of now, not that of the first request; so is the age of an
/// authentication that a policy asks for.
#[tokio::test]
async fn a_known_token_grows_older() {
    let pair = Pair::with(|builder, _| {
        builder.class(TokenClass::named("young").scopes(["young"]).max_age(2 * MINUTE))
    })
    .await;
    let now = pair.now().as_secs();
    let young = pair.token().scope("young").sign();
    let twin = pair.token().scope("old").claim("auth_time", now).claim("acr", "phr").sign();
    let signed_in = || acr(["phr"]).within(3 * MINUTE);
    pair.knows(&young).await;
    assert_eq!(pair.kind_by(signed_in(), &twin).await, None);
    pair.advance(2 * MINUTE + 10 * SECOND).await;
    assert_eq!(pair.kind(&young).await, None);
    assert_eq!(pair.kind_by(signed_in(), &twin).await, None);
    pair.advance(SECOND).await;
    assert_eq!(pair.kind(&young).await, Some(Kind::TooOld));
    assert_eq!(pair.kind(&twin).await, None);
    pair.advance(MINUTE).await;
    let refused = pair.kind_by(signed_in(), &twin).await;
    assert_eq!(refused, Some(Kind::InsufficientAuthentication));
    assert_eq!(pair.kind_by(allow_all(), &twin).await, None);
    // The clock is set back: it is young again, as it would be without being known.
    pair.clock.set(pair.now().minus(2 * MINUTE));
    assert_eq!(pair.kind(&young).await, None);
}

/// Attack 39: what was found not to be revoked is asked about again once the clock was set back, though
/// nothing was said of revocation since: a record that was over counts again.
#[tokio::test]
async fn nothing_is_believed_of_another_time() {
    let pair = Pair::with(|builder, _| builder.revocation(Revocation::new())).await;
    let start = pair.now();
    // The token lives long after it was revoked, which its issuer should not have let it.
    let token = pair
        .token()
        .claim("jti", "again")
        .issued_at(start.plus(100 * MINUTE))
        .expires_at(start.plus(160 * MINUTE))
        .sign();
    pair.revoke(Record::token(ISSUER, "again", start)).await;
    pair.clock.set(start.plus(105 * MINUTE));
    assert_eq!(pair.kind(&token).await, Some(Kind::Revoked));
    let mut later = start.plus(120 * MINUTE);
    while pair.kind(&token).await == Some(Kind::Revoked) {
        later = later.plus(MINUTE);
        assert!(later < start.plus(160 * MINUTE), "the record is over before the token is");
        pair.clock.set(later);
    }
    assert_eq!(pair.kind(&token).await, None);
    assert_eq!(pair.known(), 1);
    pair.clock.set(start.plus(105 * MINUTE));
    assert_eq!(pair.kind(&token).await, Some(Kind::Revoked));
}
