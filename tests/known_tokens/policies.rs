//! Policies: each decides for itself, whoever let the token in before.

use portcullis::check::{acr, allow_all, claim, clients, scope};
use portcullis::revocation::{Revocation, StatusLists};
use portcullis::sender::Nonces;
use portcullis::{Binding, Dpop, Exception, Mtls, Policy, RejectionKind as Kind, TokenClass};

use crate::pair::{MINUTE, Pair, SECOND};
use crate::support::bearer;

/// Attack 26 (CVE-2021-32701: a cached answer that skips the scope of another route): that a token is known
/// says nothing of what it may do.
#[tokio::test]
async fn another_policy_decides_anew() {
    let pair = Pair::with(|builder, _| {
        builder.dpop(Dpop::new().nonces(Nonces::optional())).mtls(Mtls::direct())
    })
    .await;
    let token = pair
        .token()
        .scope("read")
        .client_id("app")
        .claim("acr", "pwd")
        .claim("auth_time", pair.now().as_secs())
        .sign();
    pair.knows(&token).await;
    type Row = (&'static str, fn() -> Policy, fn() -> Policy, Kind);
    let rows: [Row; 6] = [
        ("scope", || scope("read").into(), || scope("write").into(), Kind::InsufficientScope),
        ("client", || clients(["app"]).into(), || clients(["App"]).into(), Kind::InsufficientScope),
        (
            "claim",
            || claim("acr").equals("pwd").into(),
            || claim("acr").equals("otp").into(),
            Kind::InsufficientScope,
        ),
        (
            "authentication",
            || acr(["pwd"]).within(5 * MINUTE).into(),
            || acr(["phr"]).into(),
            Kind::InsufficientAuthentication,
        ),
        (
            "binding to a key",
            || Policy::new(allow_all()).binding(Binding::WhereBound),
            || Policy::new(allow_all()).binding(Binding::Dpop),
            Kind::NotBound,
        ),
        (
            "binding to a certificate",
            || Policy::new(allow_all()).binding(Binding::WhereBound),
            || Policy::new(allow_all()).binding(Binding::Mtls),
            Kind::NotBound,
        ),
    ];
    for (name, takes, refuses, kind) in rows {
        for round in 0..3 {
            assert_eq!(pair.kind_by(takes(), &token).await, None, "{name}, {round}");
            assert_eq!(pair.kind_by(refuses(), &token).await, Some(kind), "{name}, {round}");
        }
    }
    assert_eq!(pair.known(), 1, "a refusal by a policy forgets nothing");
}

/// A token that no policy has let in is not known: each refuses it for its own reason, and the first that
/// lets it in makes it known.
#[tokio::test]
async fn what_is_refused_is_not_known() {
    let pair = Pair::new().await;
    let token = pair.token().scope("read").sign();
    for _ in 0..3 {
        assert_eq!(pair.kind_by(scope("write"), &token).await, Some(Kind::InsufficientScope));
        assert_eq!(pair.known(), 0);
    }
    assert_eq!(pair.kind_by(scope("read"), &token).await, None);
    assert_eq!(pair.known(), 1);
    assert_eq!(pair.kind_by(scope("write"), &token).await, Some(Kind::InsufficientScope));
}

/// How fresh what is known of revocation has to be is the route's to say, of a known token too.
#[tokio::test]
async fn a_policy_that_wants_fresh_knowledge_gets_it() {
    let pair = Pair::with(|builder, _| {
        builder.revocation(Revocation::new().status_lists(StatusLists::new()))
    })
    .await;
    let token = pair.token().sign();
    pair.knows(&token).await;
    // Nobody tells anything of tokens without a status.
    let fresh = Policy::new(allow_all()).freshness(MINUTE);
    assert_eq!(pair.kind_by(fresh, &token).await, Some(Kind::RevocationUnavailable));
    assert_eq!(pair.kind(&token).await, None);
}

/// Classes are matched with every request, and bind a known token as they would a new one.
#[tokio::test]
async fn a_class_binds_what_is_known() {
    let pair = Pair::with(|builder, _| {
        let strict = TokenClass::named("strict").clients(["partner"]).max_age(MINUTE);
        let exception = Exception::for_clients(["partner", "app"])
            .until("2027-03-31")
            .because("cannot do DPoP yet");
        builder.dpop(Dpop::new()).binding(Binding::Dpop).class(strict).exception(exception)
    })
    .await;
    let (partner, app) =
        (pair.token().client_id("partner").sign(), pair.token().client_id("app").sign());
    let stranger = pair.token().client_id("stranger").sign();
    pair.knows(&partner).await;
    pair.knows(&app).await;
    assert_eq!(pair.kind(&stranger).await, Some(Kind::NotBound));
    pair.advance(2 * MINUTE).await;
    assert_eq!(pair.kind(&partner).await, Some(Kind::TooOld));
    assert_eq!(pair.kind(&app).await, None);
}

/// BCP-01: an exception ends for known tokens when it ends.
#[tokio::test]
async fn an_exception_ends_for_known_tokens_too() {
    let pair = Pair::with(|builder, _| {
        let exception =
            Exception::for_clients(["partner"]).until("2027-01-15").because("cannot do DPoP yet");
        builder.dpop(Dpop::new()).binding(Binding::Dpop).exception(exception)
    })
    .await;
    // The clock begins at eight in the morning of that day.
    let midnight = pair.now().plus(16 * 60 * MINUTE);
    pair.advance(16 * 60 * MINUTE - 20 * MINUTE).await;
    let lives = midnight.plus(20 * MINUTE);
    let token = pair.token().client_id("partner").expires_at(lives).sign();
    pair.knows(&token).await;
    pair.clock.set(midnight.minus(SECOND));
    assert_eq!(pair.kind(&token).await, None, "the last second of the day");
    pair.clock.set(midnight);
    assert_eq!(pair.kind(&token).await, Some(Kind::NotBound));
    pair.clock.set(midnight.minus(SECOND));
    assert_eq!(pair.kind(&token).await, None);
}

/// Attack 31: what is good for one use is used once, whether it is known or not, on whatever route it was
/// known before.
#[tokio::test]
async fn a_known_token_for_one_use_is_used_once() {
    let pair = Pair::new().await;
    let once = || Policy::new(allow_all()).single_use();
    let (token, twin) = (pair.token().sign(), pair.token().sign());
    pair.knows(&token).await;
    assert_eq!(pair.kind_by(once(), &token).await, None);
    assert_eq!(pair.kind_by(once(), &token).await, Some(Kind::TokenUsed));
    assert_eq!(pair.kind_by(once(), &token).await, Some(Kind::TokenUsed));
    assert_eq!(pair.kind_by(once(), &twin).await, None, "another token");
    assert_eq!(pair.kind_by(once(), &twin).await, Some(Kind::TokenUsed));
    assert_eq!(pair.kind_of(&bearer(&twin)).await, None, "where it is not for one use");
}
