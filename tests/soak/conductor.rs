//! Changes the world, and the record with it.
//!
//! 1. A change behind the barrier: no request is under way, and when the next begins, there is one right
//!    answer. What the server has to notice (a key, a list, a feed) is waited for.
//! 2. A change without it: requests are under way, before it, beside it and after it. Either of the two
//!    answers is right, and no other.
//! 3. Between two changes so many requests are answered.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use http_body_util::BodyExt as _;
use portcullis::RejectionKind as Kind;
use portcullis::revocation::Record as Said;
use portcullis::testing::Failure;
use portcullis::time::{Clock as _, Timestamp};
use tokio::task::yield_now;

use crate::changes::{Change, listed};
use crate::dice::Dice;
use crate::record::{Record, Who};
use crate::support::present;
use crate::wire::FEED;
use crate::world::{Made, STATUSES, World, feed};

/// Requests between two changes.
const REQUESTS: u32 = 48;
/// Whatever the server takes longer to notice it does not notice.
const NOTICED_WITHIN: Duration = Duration::from_secs(30);
/// How often the feed is asked: a third of the age that it may have. While it is younger nobody asks, and no
/// answer that was asked for by another time of day is on its way.
const ASKED_EVERY: Duration = Duration::from_secs(20);

pub(crate) struct Conductor {
    pub(crate) world: Arc<World>,
    pub(crate) dice: Dice,
    /// Time of day and steady time at the beginning.
    began: (Timestamp, Duration),
    /// How far the time of day is off, and which way.
    pub(crate) offset: i64,
    /// What the feed says, and how often it said something else.
    told: Vec<(String, u64)>,
    sequence: u64,
    /// Whose keys cannot be had.
    pub(crate) silent: Option<Who>,
    /// What comes before the dice choose: each change once, outages and their ends.
    pub(crate) first: Vec<Change>,
    pub(crate) counts: HashMap<&'static str, u64>,
}

impl Conductor {
    pub(crate) fn new(world: &Arc<World>, dice: Dice) -> Self {
        let began = (world.clock.now(), world.clock.steady());
        Self {
            world: Arc::clone(world),
            dice,
            began,
            offset: 0,
            told: Vec::new(),
            sequence: 1,
            silent: None,
            first: Change::ALL.iter().chain(&Change::ALL).rev().copied().collect(),
            counts: HashMap::new(),
        }
    }

    /// Loads every key, once. Nobody sends yet.
    pub(crate) async fn begin(&mut self) {
        self.world.api.warm_up().await.unwrap();
    }

    /// Makes changes until this time, and calls `rest` while no request is under way.
    pub(crate) async fn conduct(&mut self, until: Instant, mut rest: impl FnMut()) {
        let world = Arc::clone(&self.world);
        while (Instant::now() < until || !self.first.is_empty())
            && world.wrong.lock().unwrap().is_empty()
        {
            let change = self.first.pop().unwrap_or_else(|| Change::pick(self));
            *self.counts.entry(change.name()).or_default() += 1;
            if change.needs_no_barrier() && self.dice.percent(40) {
                *self.counts.entry("without a barrier").or_default() += 1;
                self.change_meanwhile(&world, change).await;
            } else {
                let mut epoch = world.epoch.write().await;
                rest();
                epoch.number += 1;
                epoch.change = change.name();
                change.make(self, &mut epoch.before).await;
                self.see(&mut epoch.before);
                drop(epoch);
            }
            world.wire.publisher.asked();
            self.let_them_ask().await;
        }
    }

    async fn change_meanwhile(&mut self, world: &World, change: Change) {
        let mut epoch = world.epoch.write().await;
        epoch.number += 1;
        epoch.change = change.name();
        let mut after = epoch.before.clone();
        let plan = change.plan(self, &mut after);
        epoch.after = Some(after);
        drop(epoch);
        yield_now().await;
        plan.make(self).await;
        self.let_them_ask().await;

        let mut epoch = world.epoch.write().await;
        epoch.before = epoch.after.take().unwrap();
        plan.settle(self, &mut epoch.before).await;
        self.see(&mut epoch.before);
    }

    /// Waits until so many requests were answered.
    async fn let_them_ask(&self) {
        self.world.answered.acquire_many(REQUESTS).await.unwrap().forget();
    }

    /// What the record has to see of the clocks.
    fn see(&self, record: &mut Record) {
        record.see(self.world.clock.now());
        record.kept_from = record.kept_from.max(self.right().min(record.now));
        record.tidy();
    }

    /// What time it would be if nobody had set the clock.
    fn right(&self) -> Timestamp {
        let (wall, steady) = self.began;
        wall.plus(self.world.clock.steady().saturating_sub(steady))
    }

    /// Lets time pass, and what has to happen in it.
    pub(crate) async fn pass(&self, time: Duration, record: &mut Record) {
        self.world.clock.advance(time);
        self.catch_up(record).await;
    }

    /// Waits until the feed was asked lately and the list is known, if they can be.
    pub(crate) async fn catch_up(&self, record: &mut Record) {
        let began = Instant::now();
        self.catch_up_with_the_feed(record).await;
        // A fetch that was under way when the clock was set has taken too long by it, and the next one rests:
        // while the clock stands, the list would not be asked for again.
        let token = || listed(self, STATUSES - 1);
        while record.list_is_up && self.kind(&token()).await == Some(Kind::RevocationUnavailable) {
            assert!(began.elapsed() < NOTICED_WITHIN, "the list is not asked for");
            self.world.clock.advance(Duration::from_secs(5));
            self.catch_up_with_the_feed(record).await;
        }
    }

    async fn catch_up_with_the_feed(&self, record: &mut Record) {
        let (world, began, mut fruitless) = (&self.world, Instant::now(), 0_u32);
        record.see(world.clock.now());
        while record.feed_is_up && self.age_of_feed() >= ASKED_EVERY {
            let health = || world.api.revocations().health();
            assert!(began.elapsed() < NOTICED_WITHIN, "the feed is not asked: {:?}", health());
            breathe().await;
            fruitless += 1;
            // It was being asked when the clock was set: by the old time, which says nothing now.
            if fruitless % 500 == 0 {
                world.clock.advance(Duration::from_secs(5));
                record.see(world.clock.now());
            }
        }
    }

    fn age_of_feed(&self) -> Duration {
        let health = self.world.api.revocations().health();
        let feed = health.into_iter().find(|source| &*source.name == "feed").unwrap();
        feed.age.unwrap_or(Duration::MAX)
    }

    /// Lets seconds pass until a token gets this; everything else is as the record says.
    pub(crate) async fn until(
        &self,
        record: &mut Record,
        wants: Option<Kind>,
        token: impl Fn() -> String,
    ) {
        let began = Instant::now();
        loop {
            let found = self.kind(&token()).await;
            if found == wants {
                return;
            }
            assert!(began.elapsed() < NOTICED_WITHIN, "wanted {wants:?}, and it stays {found:?}");
            self.pass(Duration::from_secs(5), record).await;
            breathe().await;
        }
    }

    pub(crate) async fn kind(&self, token: &str) -> Option<Kind> {
        present(&self.world.api, token).await.err().map(|rejection| rejection.kind())
    }

    /// Sets the time of day so far off, and lets every source be asked by that time.
    pub(crate) async fn set_offset(&mut self, offset: i64, record: &mut Record) {
        let right = self.right();
        record.kept_from = record.kept_from.max(right.min(self.world.clock.now()));
        let off = Duration::from_secs(offset.unsigned_abs());
        let set = if offset < 0 { right.minus(off) } else { right.plus(off) };
        self.world.clock.set(set);
        self.offset = offset;
        record.see(set);
        self.pass(Duration::from_secs(20), record).await;
    }

    /// Sets the time of day at once, and nothing else.
    pub(crate) fn nudge(&mut self, set: Timestamp) {
        self.world.clock.set(set);
    }

    pub(crate) async fn says(&self, said: Said) {
        self.world.api.revocations().revoke(said).await.unwrap();
    }

    /// Delivers an event, which has to be accepted.
    pub(crate) async fn push(&self, set: String) {
        let receiver = self.world.api.event_receiver("events").unwrap();
        let answer = receiver.receive(self.world.transmitter.push(set)).await;
        let status = answer.status();
        let body = answer.into_body().collect().await.unwrap().to_bytes();
        assert_eq!(status, 202, "{body:?}");
    }

    /// Publishes that these were revoked, in a whole that does not grow without end.
    pub(crate) fn publish(&mut self, jtis: &[String]) {
        let at = self.world.clock.now().as_secs();
        self.told.extend(jtis.iter().map(|jti| (jti.clone(), at)));
        let too_many = self.told.len().saturating_sub(60);
        self.told.drain(..too_many);
        self.sequence += 1;
        let document = feed(self.sequence, at.saturating_sub(1), &self.told);
        self.world.wire.publisher.document(FEED, &document);
    }

    pub(crate) fn publish_again(&self) {
        let at = self.world.clock.now().as_secs();
        let document = feed(self.sequence, at.saturating_sub(1), &self.told);
        self.world.wire.publisher.document(FEED, &document);
    }

    /// One of the tokens that were made lately, of one of these.
    pub(crate) fn victim(&mut self, of: &[Who]) -> Option<Made> {
        let lately = self.world.lately.lock().unwrap();
        let of_them: Vec<_> = lately.iter().filter(|(who, ..)| of.contains(who)).collect();
        (!of_them.is_empty()).then(|| self.dice.pick(&of_them).clone())
    }

    /// A junk token that makes the server ask for the keys of an issuer.
    pub(crate) fn junk(&self, who: Who) -> String {
        crate::support::junk(self.world.issuer(who), "not-a-key")
    }

    pub(crate) fn fail_keys(&mut self, who: Option<Who>) {
        if let Some(who) = self.silent {
            self.world.issuer(who).recover();
        }
        if let Some(who) = who {
            self.world.issuer(who).fail(Failure::Connection);
        }
        self.silent = who;
    }
}

/// Lets tasks and threads go on.
async fn breathe() {
    for _ in 0..20 {
        yield_now().await;
    }
    std::thread::yield_now();
}
