//! What this process revokes itself: an admin's handler, a job that ended, a rule about use.

use std::sync::{Arc, Mutex};

use portcullis::observe::{Decision, Observer, channel};
use portcullis::revocation::{Record, Revocation, RevokeError};
use portcullis::testing::{ManualClock, TestAccess, TestIssuer};
use portcullis::{Access, RejectionKind as Kind};

use crate::source::World;
use crate::support::{ISSUER, RESOURCE, bearer, builder, present, send};

async fn accepted(world: &World, jti: &str) -> Access {
    present(&world.api, &world.token().claim("jti", jti).sign()).await.unwrap()
}

/// "Revoke when this task is done" is one line, whatever ends the task.
#[tokio::test]
async fn a_token_ends_with_its_task() {
    let world = World::new().await;
    let revocations = world.api.revocations();
    let token = |jti: &str| world.token().claim("jti", jti);

    let access = accepted(&world, "t-1").await;
    {
        let _task = revocations.revoke_when_dropped(&access).unwrap();
        assert_eq!(world.kind(&token("t-1")).await, None, "the task goes on");
    }
    assert_eq!(world.kind(&token("t-1")).await, Some(Kind::Revoked));

    let access = accepted(&world, "t-2").await;
    let task = revocations.revoke_when_dropped(&access).unwrap();
    let failed = tokio::spawn(async move {
        let _task = task;
        panic!("the job failed");
    });
    assert!(failed.await.is_err());
    assert_eq!(world.kind(&token("t-2")).await, Some(Kind::Revoked));

    let access = accepted(&world, "t-3").await;
    revocations.revoke_when_dropped(&access).unwrap().keep();
    assert_eq!(world.kind(&token("t-3")).await, None);
    revocations.revoke_access(&access).await.unwrap();
    assert_eq!(world.kind(&token("t-3")).await, Some(Kind::Revoked));
    let record = Record::of(&access).unwrap();
    revocations.lift(&record).await.unwrap();
    assert_eq!(world.kind(&token("t-3")).await, None);
}

/// What an observer finds odd it can revoke: at once, and through a channel.
#[tokio::test]
async fn an_observers_finding_becomes_a_record() {
    #[derive(Clone, Default)]
    struct Odd(Arc<Mutex<Vec<Record>>>);
    impl Observer for Odd {
        fn observe(&self, decision: &Decision<'_>) {
            self.0.lock().unwrap().extend(Record::of_decision(decision));
        }
    }
    let odd = Odd::default();
    let (observer, mut decisions) = channel(100);
    let watching = odd.clone();
    let world = World::with(
        |revocation| revocation,
        move |server| server.observer(watching).observer(observer),
    )
    .await;
    while decisions.recv().await.is_some_and(|decision| decision.kind.is_some()) {}
    odd.0.lock().unwrap().clear();

    let token = world.token().claim("jti", "t-1");
    assert_eq!(world.kind(&token).await, None);
    let by_channel = Record::of_decided(&decisions.recv().await.unwrap()).unwrap();
    let found = odd.0.lock().unwrap().pop().unwrap();
    assert_eq!(found, by_channel);
    assert!(!format!("{found:?}").contains("t-1"), "no `jti` in a log: {found:?}");
    world.api.revocations().revoke(found).await.unwrap();
    assert_eq!(world.kind(&token).await, Some(Kind::Revoked));
    assert_eq!(world.kind(&world.token().claim("jti", "t-2")).await, None);

    // Nothing is known of a token whose signature is bad.
    odd.0.lock().unwrap().clear();
    send(&world.api.layer(), bearer(&world.token().tampered())).await;
    assert!(odd.0.lock().unwrap().is_empty());
}

/// Without revocation, and without a `jti`, nothing pretends to be revoked.
#[tokio::test]
async fn what_cannot_be_revoked_is_an_error() {
    let clock = ManualClock::new();
    let issuer = TestIssuer::new(ISSUER, &clock);
    let api = builder(&clock).issuer(issuer.fixed_keys()).build().unwrap();
    let access = present(&api, &issuer.token(RESOURCE).sign()).await.unwrap();
    let error = api.revocations().revoke_access(&access).await.unwrap_err();
    assert!(matches!(error, RevokeError::NotConfigured), "{error}");
    assert!(api.revocations().health().is_empty());

    let api = builder(&clock).issuer(issuer.fixed_keys()).revocation(Revocation::new()).build();
    let nameless = TestAccess::new().without("jti").build();
    let error = api.unwrap().revocations().revoke_access(&nameless).await.unwrap_err();
    assert!(matches!(error, RevokeError::NoTokenId), "{error}");
}
