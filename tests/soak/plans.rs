//! Changes that can come while requests are under way: what the record says before, and what is done then.

use std::sync::Arc;
use std::time::Duration;

use portcullis::revocation::{Claims, Effect, Record as Said, Target};
use portcullis::time::{Clock as _, Timestamp};

use crate::changes::Change;
use crate::conductor::Conductor;
use crate::mint::{CLIENTS, SESSIONS, SUBJECTS};
use crate::record::{About, Record, Who};
use crate::world::KEPT;

const SECOND: Duration = Duration::from_secs(1);

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
        let world = Arc::clone(&conductor.world);
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

impl Change {
    /// What it does to the record, and what is to be done for it.
    pub(crate) fn plan(self, conductor: &mut Conductor, record: &mut Record) -> Plan {
        let world = Arc::clone(&conductor.world);
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
                    1..5 => {
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
                record.see(to);
                Plan::Nudge(to)
            }
        }
    }
}

fn cut_off(record: &mut Record, who: Who, about: About, at: Timestamp) {
    let known = record.cut_offs.entry((who, about)).or_insert(at);
    *known = (*known).max(at);
}
