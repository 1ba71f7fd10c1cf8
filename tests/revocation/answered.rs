//! Revoked tokens that their issuer is asked about: what an answer says of their end is not the end of them.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use portcullis::introspection::{AnswerGap, ClientAuth, Introspection};
use portcullis::issuer::{OptionalClaim, TokenProfile};
use portcullis::observe::{Decision, DecisionReceiver, Observer, channel};
use portcullis::revocation::{Record, Revocation};
use portcullis::testing::{ManualClock, TestIntrospection, TestIssuer, TestNetwork};
use portcullis::time::{Clock as _, Timestamp};
use portcullis::{Issuer, RejectionKind as Kind, ResourceServer};

use crate::interleavings::opened;
use crate::source::{Directory, MINUTE};
use crate::support::{ISSUER, RESOURCE, bearer, builder, present, send, settle, until};

/// What the issuer says of the end of its tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ends {
    /// Nothing: they end with each answer.
    WithTheAnswer,
    /// A minute from now, whenever it is asked.
    Later,
    /// The same, and it does not say when they were issued.
    LaterWithoutIat,
}

/// Who revokes.
#[derive(Clone, Copy, Debug)]
enum By {
    Access,
    EndOfTask,
    Observer,
    Channel,
    /// Somebody who believes the answer.
    OwnUntil,
}

#[derive(Clone, Default)]
struct Odd(Arc<Mutex<Option<Record>>>);

impl Observer for Odd {
    fn observe(&self, decision: &Decision<'_>) {
        if let Some(record) = Record::of_decision(decision) {
            *self.0.lock().unwrap() = Some(record);
        }
    }
}

/// A server that asks, with a journal, and what outlives it.
struct World {
    ends: Ends,
    directory: Directory,
    clock: ManualClock,
    issuer: TestIssuer,
    kit: TestIntrospection,
    issued_at: Timestamp,
    odd: Odd,
    running: Option<(ResourceServer, DecisionReceiver)>,
}

impl World {
    async fn new(ends: Ends) -> Self {
        let clock = ManualClock::new();
        let issuer = TestIssuer::new(ISSUER, &clock);
        let kit = TestIntrospection::of(&issuer, &clock);
        let (directory, odd, issued_at) = (Directory::new(), Odd::default(), clock.now());
        let mut world = Self { ends, directory, clock, issuer, kit, issued_at, odd, running: None };
        world.start();
        assert_eq!(world.kind("before").await, None);
        // The clock is believed.
        world.later(61 * MINUTE).await;
        world.issued_at = world.clock.now();
        world
    }

    fn start(&mut self) {
        let network = TestNetwork::of(&[&self.issuer]).with_introspection(&self.kit);
        let asked = Introspection::at(ISSUER, self.kit.url())
            .client(ClientAuth::insecure_unauthenticated());
        let mut issuer = Issuer::opaque(ISSUER);
        let asked = match self.ends {
            Ends::WithTheAnswer => asked.may_lack(AnswerGap::ExpiresAt),
            Ends::Later => asked,
            Ends::LaterWithoutIat => {
                let profile = TokenProfile::relaxed().may_lack(OptionalClaim::IssuedAt);
                issuer = issuer.profile(profile);
                asked
            }
        };
        let journal = opened(&self.directory.path().join("revocations.redb"));
        let (observer, decisions) = channel(100);
        let api = builder(&self.clock)
            .issuer(issuer)
            .introspection(asked)
            .transport(network)
            .observer(self.odd.clone())
            .observer(observer)
            .revocation(Revocation::new().journal(journal))
            .build()
            .unwrap();
        self.running = Some((api, decisions));
    }

    /// The process ends, and another begins.
    async fn restart(&mut self) {
        self.running = None;
        settle().await;
        self.start();
    }

    fn api(&self) -> &ResourceServer {
        &self.running.as_ref().unwrap().0
    }

    /// The token of this `jti`, of which the issuer says that it is active.
    fn token(&self, jti: &str) -> String {
        let claims = self.issuer.token(RESOURCE).claim("jti", jti).issued_at(self.issued_at);
        let claims = claims.expires_at(self.clock.now().plus(MINUTE));
        let claims = match self.ends {
            Ends::WithTheAnswer => claims.without("exp"),
            Ends::Later => claims,
            Ends::LaterWithoutIat => claims.without("iat"),
        };
        self.kit.active_as(jti, claims);
        jti.to_owned()
    }

    async fn kind(&self, jti: &str) -> Option<Kind> {
        send(&self.api().layer(), bearer(&self.token(jti))).await.kind()
    }

    /// Lets time pass, until what is over was dropped.
    async fn later(&self, time: Duration) {
        settle().await;
        let asleep = self.clock.sleepers();
        assert!(asleep > 0, "whoever tidies up");
        self.clock.advance(time);
        until("it is tidied up", || self.clock.sleepers() >= asleep).await;
    }

    async fn revoke(&mut self, jti: &str, by: By) {
        let access = present(self.api(), &self.token(jti)).await.unwrap();
        let revocations = self.api().revocations();
        let decisions = &mut self.running.as_mut().unwrap().1;
        match by {
            By::Access => revocations.revoke_access(&access).await.unwrap(),
            By::EndOfTask => {
                let task = revocations.revoke_when_dropped(&access).unwrap();
                assert!(!format!("{task:?}").contains(jti));
                self.later(20 * MINUTE).await;
                drop(task);
                let records = || self.api().revocations().records();
                until("it is revoked", || records() == 1).await;
            }
            By::Observer => {
                let found = self.odd.0.lock().unwrap().take().unwrap();
                revocations.revoke(found).await.unwrap();
            }
            By::Channel => {
                let last = loop {
                    let decision = decisions.recv().await.unwrap();
                    let record = Record::of_decided(&decision).unwrap();
                    if record == Record::token(ISSUER, jti, record.at()) {
                        break record;
                    }
                };
                revocations.revoke(last).await.unwrap();
            }
            By::OwnUntil => {
                let record = Record::token(ISSUER, jti, revocations.now());
                revocations.revoke(record.until(access.expires_at())).await.unwrap();
            }
        }
    }
}

/// EVT-01, INT-05: a token that was revoked stays so after a restart, for as long as its issuer can say that
/// it is active, whoever revoked it and whatever the answer of then said of its end. It is forgotten after
/// that.
#[tokio::test]
async fn a_revoked_token_outlives_the_answer_about_it_and_a_restart() {
    for ends in [Ends::WithTheAnswer, Ends::Later] {
        for by in [By::Access, By::EndOfTask, By::Observer, By::Channel, By::OwnUntil] {
            let case = format!("{ends:?}, {by:?}");
            let mut world = World::new(ends).await;
            world.revoke("t-1", by).await;
            assert_eq!(world.kind("t-1").await, Some(Kind::Revoked), "{case}");
            world.later(13 * MINUTE).await;
            world.restart().await;
            assert_eq!(world.api().revocations().records(), 1, "{case}");
            assert_eq!(world.kind("t-1").await, Some(Kind::Revoked), "{case}");
            // The twin.
            assert_eq!(world.kind("t-2").await, None, "{case}");

            world.later(61 * MINUTE).await;
            world.later(6 * MINUTE).await;
            world.restart().await;
            assert_eq!(world.api().revocations().records(), 0, "{case}");
            assert_eq!(world.kind("t-1").await, Some(Kind::LifetimeTooLong), "{case}");
        }
    }
}

/// Where nothing says from when on the life of a token counts, one that is revoked stays so for longer than
/// any token may live: but not in records that know no more than a `jti`.
#[tokio::test]
async fn a_revoked_token_without_iat_stays_revoked() {
    let after_four_hours = async |by: By| {
        let mut world = World::new(Ends::LaterWithoutIat).await;
        world.revoke("t-1", by).await;
        for _ in 0..2 {
            world.later(61 * MINUTE).await;
            world.later(59 * MINUTE).await;
            world.restart().await;
            assert_eq!(world.kind("t-2").await, None, "{by:?}");
        }
        world.kind("t-1").await
    };
    for by in [By::Access, By::EndOfTask] {
        assert_eq!(after_four_hours(by).await, Some(Kind::Revoked), "{by:?}");
    }
    assert_eq!(after_four_hours(By::OwnUntil).await, None);
}

/// A token that says itself when it ends is remembered until then, and one that its issuer is asked about for
/// 367 days at most.
#[tokio::test]
async fn a_record_says_the_end_of_a_token_where_it_is_one() {
    let world = World::new(Ends::LaterWithoutIat).await;
    let record = Record::of(&present(world.api(), &world.token("t-1")).await.unwrap()).unwrap();
    let days = Duration::from_hours(24 * 367);
    assert_eq!(record.expires_at(), Some(world.clock.now().plus(days)));

    let world = World::new(Ends::Later).await;
    let record = Record::of(&present(world.api(), &world.token("t-1")).await.unwrap()).unwrap();
    assert_eq!(record.expires_at(), None);

    let api = builder(&world.clock).issuer(world.issuer.fixed_keys()).build().unwrap();
    let access = present(&api, &world.issuer.token(RESOURCE).sign()).await.unwrap();
    assert_eq!(Record::of(&access).unwrap().expires_at(), Some(access.expires_at()));
}
