//! What changes: keys, revocations by every way, outages and their ends, tenants, the clock.

use std::sync::Arc;
use std::time::Duration;

use portcullis::RejectionKind as Kind;
use portcullis::revocation::Record as Said;
use portcullis::time::Clock as _;

use crate::conductor::Conductor;
use crate::record::{Record, Who};
use crate::support::RESOURCE;
use crate::world::{KEPT, OUTAGE, STATUSES};

const SECOND: Duration = Duration::from_secs(1);
/// Who has keys that are fetched and that stay trusted.
pub(crate) const FETCHED: [Who; 5] = [Who::Es256, Who::Ed25519, Who::Rs256, Who::Fed, Who::Listed];

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
        let world = Arc::clone(&conductor.world);
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
}

/// A good token at this place of the list.
pub(crate) fn listed(conductor: &Conductor, index: usize) -> String {
    let world = &conductor.world;
    let reference = world.list.reference(u64::try_from(index).unwrap());
    world.issuer(Who::Listed).token(RESOURCE).claim("status", reference).sign()
}
