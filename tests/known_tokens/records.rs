//! Revocation: what is said of a known token counts from the very next request on, and what is taken back
//! counts no more.

use std::time::Duration;

use portcullis::RejectionKind as Kind;
use portcullis::revocation::{
    Claim, Claims, Effect, Hold, Record, Revocation, StatusLists, Target,
};
use portcullis::testing::{ManualClock, TestIssuer, TestNetwork, TestStatusList};
use portcullis::time::Timestamp;

use crate::pair::{MINUTE, Pair, SECOND};
use crate::support::{ISSUER, present};

async fn pair() -> Pair {
    Pair::with(|builder, _| builder.revocation(Revocation::new().claim("tid"))).await
}

/// A token that each of the records below is about, and one that only the whole issuer's is about.
fn tokens(pair: &Pair) -> (String, String) {
    let token = pair
        .token()
        .claim("jti", "t-1")
        .subject("ann")
        .client_id("app")
        .claim("sid", "s-1")
        .claim("tid", "tenant-1")
        .sign();
    let other =
        pair.token().claim("jti", "t-2").subject("bob").client_id("web").claim("sid", "s-2");
    (token, other.claim("tid", "tenant-2").sign())
}

/// Every kind of record that there is.
fn records(at: Timestamp) -> Vec<(&'static str, Record)> {
    let about = |claims, effect| Record::new(ISSUER, Target::Claims(claims), effect, at);
    vec![
        ("token", Record::token(ISSUER, "t-1", at)),
        ("subject", Record::matching(ISSUER, Claims::subject("ann"), at)),
        ("client", Record::matching(ISSUER, Claims::client("app"), at)),
        ("session", Record::matching(ISSUER, Claims::session("s-1"), at)),
        ("subject in a session", about(Claims::subject("ann").and_session("s-1"), Effect::Refuse)),
        ("named claim", about(Claims::one(Claim::Named("tid".into()), "tenant-1"), Effect::Refuse)),
        ("signing key", Record::key(ISSUER, "k1", at)),
        ("issuer", Record::issuer(ISSUER, at)),
        ("purge", about(Claims::subject("ann"), Effect::Purge)),
        ("hold", about(Claims::subject("ann"), Effect::Hold(Hold::Account))),
        ("hold for step-up", about(Claims::subject("ann"), Effect::HoldForStepUp(Hold::Risk))),
        ("step-up", about(Claims::subject("ann"), Effect::StepUp)),
    ]
}

fn refused_as(record: &Record) -> Kind {
    match record.effect() {
        Effect::Hold(_) => Kind::Suspended,
        Effect::StepUp | Effect::HoldForStepUp(_) => Kind::StepUpDemanded,
        _ => Kind::Revoked,
    }
}

/// Attack 41 (GHSA-339w-3hqm-9pjc: one path that did not ask): every kind of record reaches a token that
/// is known, with the very next request; one that it is not about stays known, and a record that is taken
/// back is.
#[tokio::test]
async fn every_record_reaches_what_is_known() {
    for (name, record) in records(portcullis::time::Clock::now(&ManualClock::new())) {
        let pair = pair().await;
        let (token, other) = tokens(&pair);
        pair.knows(&token).await;
        pair.knows(&other).await;
        pair.revoke(record.clone()).await;
        let expected = Some(refused_as(&record));
        let is_for_all = matches!(record.target(), Target::Issuer | Target::Key(_));
        let of_other = if is_for_all { expected } else { None };
        for round in 0..3 {
            assert_eq!(pair.kind(&token).await, expected, "{name}, {round}");
            assert_eq!(pair.kind(&other).await, of_other, "{name}, {round}: the other token");
        }
        assert_eq!(pair.known(), if is_for_all { 0 } else { 1 }, "{name}: it is forgotten");
        let lifted = record.lifted(pair.now().plus(SECOND));
        pair.advance(2 * SECOND).await;
        pair.revoke(lifted).await;
        assert_eq!(pair.kind(&token).await, None, "{name}: taken back");
        assert_eq!(pair.kind(&other).await, None, "{name}: the other token");
        assert_eq!(pair.known(), 2, "{name}");
    }
}

/// The same records before the token is known: it is not let in, and so is not known.
#[tokio::test]
async fn what_is_revoked_before_is_never_known() {
    for (name, record) in records(portcullis::time::Clock::now(&ManualClock::new())) {
        let pair = pair().await;
        let (token, _) = tokens(&pair);
        pair.revoke(record.clone()).await;
        assert_eq!(pair.kind(&token).await, Some(refused_as(&record)), "{name}");
        assert_eq!(pair.known(), 0, "{name}");
    }
}

/// Records about others change nothing but that everybody is asked about again.
#[tokio::test]
async fn records_about_others_leave_a_token_known() {
    let pair = pair().await;
    let (token, _) = tokens(&pair);
    pair.knows(&token).await;
    for number in 0..100 {
        pair.revoke(Record::token(ISSUER, format!("x-{number}"), pair.now())).await;
        assert_eq!(pair.kind(&token).await, None, "{number}");
        assert_eq!(pair.known(), 1);
    }
    pair.revoke(Record::token(ISSUER, "t-1", pair.now())).await;
    assert_eq!(pair.kind(&token).await, Some(Kind::Revoked));
}

/// RISC-02, CAEP-07: holds come and go, each reason by itself, and a known token with them.
#[tokio::test]
async fn a_hold_holds_while_it_lasts() {
    let pair = pair().await;
    let (token, _) = tokens(&pair);
    pair.knows(&token).await;
    let says = async |effect: Effect| {
        pair.advance(SECOND).await;
        let target = Target::Claims(Claims::subject("ann"));
        pair.revoke(Record::new(ISSUER, target, effect, pair.now())).await;
        pair.kind(&token).await
    };
    for round in 0..3 {
        assert_eq!(says(Effect::Hold(Hold::Account)).await, Some(Kind::Suspended), "{round}");
        assert_eq!(says(Effect::Hold(Hold::Device)).await, Some(Kind::Suspended), "{round}");
        assert_eq!(says(Effect::Release(Hold::Account)).await, Some(Kind::Suspended), "{round}");
        assert_eq!(says(Effect::Release(Hold::Device)).await, None, "{round}");
        assert_eq!(pair.known(), 1, "{round}");
    }
}

/// A token that its bearer revokes by what the decision gave it.
#[tokio::test]
async fn who_was_let_in_can_be_let_out() {
    let pair = pair().await;
    let (token, twin) = tokens(&pair);
    pair.knows(&token).await;
    pair.knows(&twin).await;
    let request = crate::support::bearer(&token);
    for api in [&pair.keeps, &pair.verifies] {
        let access = api.verify(&request).await.unwrap();
        api.revocations().revoke_access(&access).await.unwrap();
    }
    assert_eq!(pair.kind(&token).await, Some(Kind::Revoked));
    assert_eq!(pair.kind(&twin).await, None);
}

/// TSL-20: the status of a known token is looked up with every request, in the list as it is now.
#[tokio::test]
async fn a_status_is_looked_up_for_a_known_token() {
    let clock = ManualClock::new();
    let issuer = TestIssuer::new(ISSUER, &clock);
    let list = TestStatusList::new("https://as.example/lists/1", &issuer, &clock);
    list.resize(2, 512).ttl(MINUTE);
    let pair = Pair::of(clock, issuer, |builder, issuer| {
        builder
            .issuer(issuer.jwks())
            .revocation(Revocation::new().status_lists(StatusLists::new()))
            .transport(TestNetwork::of(&[issuer]).with_list(&list))
    });
    pair.warm_up().await;
    let (token, twin) = (
        pair.token().claim("status", list.reference(7)).sign(),
        pair.token().claim("status", list.reference(8)).sign(),
    );
    pair.knows(&token).await;
    pair.knows(&twin).await;
    for (status, expected) in
        [(1, Some(Kind::Revoked)), (0, None), (2, Some(Kind::Suspended)), (0, None)]
    {
        list.set(7, status);
        // Each server fetches the list for itself.
        for api in [&pair.keeps, &pair.verifies] {
            let mut waited = Duration::ZERO;
            while present(api, &token).await.err().map(|refused| refused.kind()) != expected {
                pair.advance(10 * SECOND).await;
                waited += 10 * SECOND;
                assert!(waited < 5 * MINUTE, "{status} was not seen");
            }
        }
        assert_eq!(pair.kind(&twin).await, None, "{status}");
        assert_eq!(pair.kind(&token).await, expected, "{status}");
    }
}
