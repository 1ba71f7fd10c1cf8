//! What changes: keys, revocations by every way, outages and their ends, tenants, the clock.

use std::time::Duration;

use portcullis::RejectionKind as Kind;
use portcullis::revocation::{Claims, Effect, Record as Said, Target};
use portcullis::testing::TestKey;
use portcullis::time::{Clock as _, Timestamp};

use crate::conductor::Conductor;
use crate::mint::{CLIENTS, SESSIONS, SUBJECTS};
use crate::record::{About, Record, Who};
use crate::support::RESOURCE;
use crate::world::{KEPT, OUTAGE, STATUSES};

const SECOND: Duration = Duration::from_secs(1);
/// The most keys of an issuer.
const KEYS: usize = 3;
/// Who has keys that are fetched and that stay trusted.
const FETCHED: [Who; 5] = [Who::Es256, Who::Ed25519, Who::Rs256, Who::Fed, Who::Listed];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    Time,
    Rotate,
    Withdraw,
    RevokeToken,
    Lift,
    CutOff,
    Event,
    Feed,
    Status,
    Deactivate,
    Tenant,
    FeedOutage,
    ListOutage,
    EndpointOutage,
    KeyOutage,
    LongKeyOutage,
    Clock,
    Nudge,
}

impl Change {
    pub(crate) const ALL: [Self; 18] = [
        Self::Time,
        Self::Rotate,
        Self::Withdraw,
        Self::RevokeToken,
        Self::Lift,
        Self::CutOff,
        Self::Event,
        Self::Feed,
        Self::Status,
        Self::Deactivate,
        Self::Tenant,
        Self::FeedOutage,
        Self::ListOutage,
        Self::EndpointOutage,
        Self::KeyOutage,
        Self::LongKeyOutage,
        Self::Clock,
        Self::Nudge,
    ];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Time => "time passes",
            Self::Rotate => "a new key",
            Self::Withdraw => "a key goes",
            Self::RevokeToken => "a token is revoked",
            Self::Lift => "a revocation is lifted",
            Self::CutOff => "a cut-off",
            Self::Event => "a pushed event",
            Self::Feed => "a feed says something",
            Self::Status => "a status changes",
            Self::Deactivate => "an opaque token ends",
            Self::Tenant => "a tenant comes or goes",
            Self::FeedOutage => "the feed's outage, or its end",
            Self::ListOutage => "the list's outage, or its end",
            Self::EndpointOutage => "the endpoint's outage, or its end",
            Self::KeyOutage => "an outage of keys, or its end",
            Self::LongKeyOutage => "keys that grow too old",
            Self::Clock => "the clock is set",
            Self::Nudge => "the clock is set a little",
        }
    }

    /// Those that are tried most are those that cost least.
    pub(crate) fn pick(conductor: &mut Conductor) -> Self {
        use Change as C;
        let often = [C::Time, C::RevokeToken, C::CutOff, C::Event, C::Nudge, C::Status, C::Tenant];
        if conductor.offset != 0 {
            // Back to the right time soon: by a wrong one nothing is to happen that takes long.
            let few = [C::Clock, C::RevokeToken, C::Lift, C::Tenant];
            return conductor.dice.pick(&few);
        }
        match conductor.dice.below(100) {
            0..65 => conductor.dice.pick(&often),
            65..66 => C::LongKeyOutage,
            _ => conductor
                .dice
                .pick(&C::ALL[..15].iter().chain(&[C::Clock]).copied().collect::<Vec<_>>()),
        }
    }

    /// Whether it can come while requests are under way, without a third answer.
    pub(crate) const fn needs_no_barrier(self) -> bool {
        use Change as C;
        matches!(self, C::RevokeToken | C::CutOff | C::Event | C::Tenant | C::Deactivate | C::Nudge)
    }

    /// Makes it, and waits until the server has noticed.
    pub(crate) async fn make(self, conductor: &mut Conductor, record: &mut Record) {
        if self.needs_no_barrier() {
            let plan = self.plan(conductor, record);
            plan.make(conductor).await;
            return plan.settle(conductor, record).await;
        }
        let asks_a_token =
            matches!(self, Self::Feed | Self::FeedOutage | Self::Status | Self::ListOutage);
        if asks_a_token && conductor.silent.is_some() {
            // What these look at has to be verified.
            self.key_outage(conductor, record).await;
        }
        let world = std::sync::Arc::clone(&conductor.world);
        match self {
            Self::Time => {
                let seconds = u64::try_from(conductor.dice.below(15)).unwrap();
                conductor.pass(SECOND * 2 + SECOND * u32::try_from(seconds).unwrap(), record).await;
            }
            Self::Rotate => self.rotate(conductor, record).await,
            Self::Withdraw => self.withdraw(conductor, record).await,
            Self::Lift => {
                let now = world.clock.now();
                let all = record.revoked.iter().filter(|(_, at)| **at <= now);
                let Some(((who, jti), at)) = all.min() else { return };
                let (who, jti, at) = (*who, jti.clone(), *at);
                let said = Said::token(world.issuer(who).id(), jti.as_str(), at);
                conductor.says(said.lifted(now)).await;
                record.revoked.remove(&(who, jti));
            }
            Self::Feed if record.feed_is_up => {
                let probe = world.issuer(Who::Fed).token(RESOURCE);
                let mut jtis = vec![format!("told-{}", record.now)];
                let text = probe.claim("jti", &jtis[0]).sign();
                jtis.extend(conductor.victim(&[Who::Fed]).map(|(_, jti, _)| jti));
                conductor.publish(&jtis);
                let now = world.clock.now();
                record.revoked.extend(jtis.into_iter().map(|jti| ((Who::Fed, jti), now)));
                conductor.until(record, Some(Kind::Revoked), || text.clone()).await;
            }
            Self::Feed => {}
            Self::Status if record.list_is_up => {
                let index = conductor.dice.below(STATUSES);
                let (status, probe) = (conductor.dice.pick(&[0, 0, 1, 2]), STATUSES - 1);
                // The last one is nobody's but the probe's, which changes with every change.
                let flip = if record.statuses[probe] == 2 { 0 } else { 2 };
                for (index, status) in [(index, status), (probe, flip)] {
                    record.statuses[index] = status;
                    world.list.set(u64::try_from(index).unwrap(), status);
                }
                let wants = (flip == 2).then_some(Kind::Suspended);
                conductor.until(record, wants, || listed(conductor, probe)).await;
            }
            Self::Status => {}
            Self::FeedOutage if record.feed_is_up => {
                let down = crate::publisher::Answer::status(503);
                world.wire.publisher.answer(crate::wire::FEED, down);
                record.feed_is_up = false;
                conductor.pass(SECOND * 61, record).await;
            }
            Self::FeedOutage => {
                conductor.publish_again();
                conductor
                    .until(record, None, || world.issuer(Who::Fed).token(RESOURCE).sign())
                    .await;
                record.feed_is_up = true;
            }
            Self::ListOutage => {
                let wants = if record.list_is_up {
                    world.list.fail(portcullis::testing::Failure::Connection);
                    Some(Kind::RevocationUnavailable)
                } else {
                    world.list.recover();
                    (record.statuses[STATUSES - 1] == 2).then_some(Kind::Suspended)
                };
                record.list_is_up = !record.list_is_up;
                conductor.until(record, wants, || listed(conductor, STATUSES - 1)).await;
            }
            Self::EndpointOutage if record.endpoint_is_up => {
                world.wire.take_down(true);
                record.endpoint_is_up = false;
                conductor.pass(KEPT + SECOND, record).await;
            }
            Self::EndpointOutage => {
                world.wire.take_down(false);
                world.wire.activate("probe", &world.issuer(Who::Asked).token(RESOURCE).payload());
                conductor.until(record, None, || "probe".to_owned()).await;
                world.wire.deactivate("probe");
                record.endpoint_is_up = true;
            }
            Self::KeyOutage => self.key_outage(conductor, record).await,
            Self::LongKeyOutage => {
                let who = conductor.silent.unwrap_or_else(|| conductor.dice.pick(&FETCHED));
                conductor.fail_keys(Some(who));
                conductor.pass(OUTAGE + SECOND, record).await;
                record.keys.insert(who, None);
            }
            Self::Clock => {
                let offset = match conductor.offset {
                    // Tokens of a time to come are there once it is set back.
                    0 if !conductor.first.is_empty() => 600,
                    0 => conductor.dice.pick(&[-200, -25, 25, 600]),
                    _ => 0,
                };
                conductor.set_offset(offset, record).await;
            }
            _ => unreachable!("{self:?} needs no barrier"),
        }
    }

    async fn rotate(self, conductor: &mut Conductor, record: &mut Record) {
        let mut who = conductor.dice.pick(&FETCHED);
        // An RSA key takes its time.
        if who == Who::Rs256 && !conductor.dice.percent(20) {
            who = Who::Ed25519;
        }
        let Some(Some(keys)) = record.keys.get(&who) else { return };
        if conductor.silent == Some(who) || keys.len() >= KEYS {
            return;
        }
        let world = std::sync::Arc::clone(&conductor.world);
        let issuer = world.issuer(who);
        let kid = issuer.rotate();
        // What was revoked may be about everything: a token that is refused for that is verified.
        let began = std::time::Instant::now();
        while matches!(conductor.kind(&issuer.token(RESOURCE).sign()).await, Some(Kind::UnknownKey))
        {
            assert!(began.elapsed() < SECOND * 30, "a new key is not noticed");
            conductor.pass(SECOND * 5, record).await;
        }
        if let Some(Some(keys)) = record.keys.get_mut(&who) {
            keys.insert(kid);
        }
    }

    async fn withdraw(self, conductor: &mut Conductor, record: &mut Record) {
        let who = conductor.dice.pick(&FETCHED);
        let Some(Some(keys)) = record.keys.get_mut(&who) else { return };
        if conductor.silent == Some(who) || keys.len() < 2 {
            return;
        }
        let world = std::sync::Arc::clone(&conductor.world);
        let issuer = world.issuer(who);
        // Not that which signs: its name stays, whatever it is signed with.
        let signs = issuer.key().kid().to_owned();
        let kid = keys.iter().find(|kid| **kid != signs).unwrap().clone();
        keys.remove(&kid);
        let other = TestKey::generate(issuer.key().algorithm(), &kid);
        let forged = || issuer.token(RESOURCE).header("kid", &kid).sign_with(&other);
        issuer.withdraw(&kid);
        let began = std::time::Instant::now();
        while conductor.kind(&forged()).await != Some(Kind::UnknownKey) {
            assert!(began.elapsed() < SECOND * 30, "a key that went is still there");
            conductor.pass(SECOND * 5, record).await;
            conductor.kind(&conductor.junk(who)).await;
        }
    }

    async fn key_outage(self, conductor: &mut Conductor, record: &mut Record) {
        let Some(who) = conductor.silent else {
            let who = conductor.dice.pick(&FETCHED);
            conductor.fail_keys(Some(who));
            // Longer than keys are fresh: they are kept through the outage.
            return conductor.pass(SECOND * 700, record).await;
        };
        conductor.fail_keys(None);
        let world = std::sync::Arc::clone(&conductor.world);
        let issuer = world.issuer(who);
        let began = std::time::Instant::now();
        let mut tried = None;
        let fetches = issuer.fetches();
        while tried != Some(Some(Kind::UnknownKey)) || issuer.fetches() == fetches {
            assert!(
                began.elapsed() < SECOND * 30,
                "the end of an outage is not noticed: {tried:?}"
            );
            conductor.pass(SECOND * 30, record).await;
            tried = Some(conductor.kind(&conductor.junk(who)).await);
        }
        let published = issuer.jwk_set();
        let kids = published["keys"].as_array().unwrap().iter();
        let kids = kids.map(|key| key["kid"].as_str().unwrap().to_owned()).collect();
        record.keys.insert(who, Some(kids));
    }

    /// What it does to the record, and what is to be done for it.
    pub(crate) fn plan(self, conductor: &mut Conductor, record: &mut Record) -> Plan {
        let world = std::sync::Arc::clone(&conductor.world);
        let now = world.clock.now();
        match self {
            Self::RevokeToken => {
                let Some((who, jti, _)) = conductor.victim(&Who::ALL) else { return Plan::Nothing };
                record.revoked.insert((who, jti.clone()), now);
                Plan::Say(Said::token(world.issuer(who).id(), jti, now))
            }
            Self::CutOff => {
                let who = conductor.dice.pick(&Who::ALL);
                let (subject, session, client) = (
                    conductor.dice.below(SUBJECTS),
                    conductor.dice.below(SESSIONS),
                    conductor.dice.below(CLIENTS),
                );
                let (about, target) = match conductor.dice.below(20) {
                    0 => (About::Issuer, Target::Issuer),
                    1 | 2 if who != Who::Asked => {
                        let kid = world.issuer(who).key().kid().to_owned();
                        (About::Key(kid.clone()), Target::Key(kid.into()))
                    }
                    0..5 => {
                        let name = format!("client-{client}");
                        (About::Client(client), Target::Claims(Claims::client(name)))
                    }
                    5..12 => {
                        let name = format!("session-{session}");
                        (About::Session(session), Target::Claims(Claims::session(name)))
                    }
                    _ => {
                        let name = format!("subject-{subject}");
                        (About::Subject(subject), Target::Claims(Claims::subject(name)))
                    }
                };
                cut_off(record, who, about, now);
                Plan::Say(Said::new(world.issuer(who).id(), target, Effect::Refuse, now))
            }
            Self::Event => {
                let who = conductor.dice.pick(&[Who::Ed25519, Who::Es256]);
                let subject = conductor.dice.below(SUBJECTS);
                let whole = Timestamp::from_secs(now.as_secs());
                cut_off(record, who, About::Subject(subject), whole);
                let name = format!("subject-{subject}");
                let issuer = world.issuer(who).id();
                Plan::Push(world.transmitter.session_revoked(issuer, &name).sign())
            }
            Self::Tenant => {
                record.is_tenant = !record.is_tenant;
                Plan::Tenant(record.is_tenant)
            }
            Self::Deactivate => {
                let Some((_, jti, token)) = conductor.victim(&[Who::Asked]) else {
                    return Plan::Nothing;
                };
                record.inactive.insert(jti.clone(), now);
                Plan::Deactivate(token, jti)
            }
            _ => {
                // Within every leeway, and within no time-out: the steady time does not notice.
                let by = Duration::from_secs(u64::try_from(1 + conductor.dice.below(6)).unwrap());
                let to = if conductor.dice.percent(50) { now.plus(by) } else { now.minus(by) };
                record.now = to;
                Plan::Nudge(to)
            }
        }
    }
}

fn cut_off(record: &mut Record, who: Who, about: About, at: Timestamp) {
    let known = record.cut_offs.entry((who, about)).or_insert(at);
    *known = (*known).max(at);
}

/// A good token at this place of the list.
fn listed(conductor: &Conductor, index: usize) -> String {
    let world = &conductor.world;
    let reference = world.list.reference(u64::try_from(index).unwrap());
    world.issuer(Who::Listed).token(RESOURCE).claim("status", reference).sign()
}

/// What is to be done while requests are under way.
pub(crate) enum Plan {
    Nothing,
    Say(Said),
    Push(String),
    Tenant(bool),
    Deactivate(String, String),
    Nudge(Timestamp),
}

impl Plan {
    pub(crate) async fn make(&self, conductor: &mut Conductor) {
        let world = std::sync::Arc::clone(&conductor.world);
        match self {
            Self::Nothing => {}
            Self::Say(said) => conductor.says(said.clone()).await,
            Self::Push(set) => conductor.push(set.clone()).await,
            Self::Tenant(true) => world.tenants.add(world.issuer(Who::Tenant).jwks()).unwrap(),
            Self::Tenant(false) => world.tenants.remove(world.issuer(Who::Tenant).id()),
            Self::Deactivate(token, jti) => world.wire.deactivate_if(token, jti),
            Self::Nudge(to) => conductor.nudge(*to),
        }
    }

    /// What has to follow, with no request under way.
    pub(crate) async fn settle(&self, conductor: &mut Conductor, record: &mut Record) {
        match self {
            // What was kept of it is over.
            Self::Deactivate(..) => conductor.pass(KEPT + SECOND, record).await,
            Self::Nudge(_) => conductor.set_offset(0, record).await,
            // So that tokens of the next second are not met.
            _ => conductor.pass(SECOND, record).await,
        }
    }
}
