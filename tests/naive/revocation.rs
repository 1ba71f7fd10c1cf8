//! Step 8: what was said of tokens like this one, and whether enough is known to say "not revoked".
//!
//! Nothing is summed up: every record that was ever said is kept as it was, and all of them are looked
//! through for each token. What counts is decided anew each time.

use super::json::NANOS_PER_SECOND;
use super::memory::Memory;
use super::policy;
use super::reasons::{Refused, Why};
use super::token::Claims;
use super::world::{
    NaiveClaim, NaiveEffect, NaiveRecord, NaiveRevocation, NaiveStale, NaiveTarget, World,
};

/// The longest name or value of a record, in bytes.
const LONGEST_NAME: usize = 2_048;
/// Where seconds have 32 bits no more.
const YEAR_2106: u128 = (1 << 32) * NANOS_PER_SECOND;
/// The most claims that a record names.
const MOST_CLAIMS: usize = 8;

/// Whether some token could be meant: no name in it is empty or too long, and every claim is looked at.
pub(super) fn can_be_meant(
    world: &World,
    revocation: &NaiveRevocation,
    record: &NaiveRecord,
) -> bool {
    let is_name = |name: &str| !name.is_empty() && name.len() <= LONGEST_NAME;
    let is_claim = |claim: &NaiveClaim| match claim {
        NaiveClaim::Named(name) => is_name(name) && revocation.claims.contains(name),
        NaiveClaim::Session | NaiveClaim::Subject | NaiveClaim::Client => true,
    };
    let target = match &record.target {
        NaiveTarget::Token(name) | NaiveTarget::Key(name) => is_name(name),
        NaiveTarget::Issuer => true,
        NaiveTarget::Claims(_) => {
            let claims = each_once(&record.target);
            claims.len() <= MOST_CLAIMS
                && claims.iter().all(|(claim, value)| is_claim(claim) && is_name(value))
        }
    };
    // a name that no issuer has is a slip of the pen
    let is_known = world.issuers.iter().any(|issuer| issuer.id == record.issuer);
    // no clock is so far ahead
    let is_past = record.at_nanos <= world.now_nanos + 300 * NANOS_PER_SECOND;
    is_known && is_past && target
}

/// What speaks against the token: the strictest first, then what is not known.
pub(super) fn check(world: &World, memory: &Memory, claims: &Claims) -> Result<(), Refused> {
    let revocation = memory.revocation.as_ref();
    let mut about = Vec::new();
    for (place, record) in memory.said.iter().enumerate() {
        if is_about(record, claims) && !is_lifted(world, memory, place) {
            about.push(record);
        }
    }

    let by_name = |record: &&&NaiveRecord| {
        matches!(record.target, NaiveTarget::Token(_))
            && !matches!(record.effect, NaiveEffect::Release(_))
            && !(memory.is_forgetful && need_not_be_remembered(world, record))
    };
    if about.iter().any(|record| by_name(&record)) {
        return Err(Refused::new("revoked by its name"));
    }
    about.retain(|record| !matches!(record.target, NaiveTarget::Token(_)));
    about.retain(|record| !(memory.is_forgetful && is_past(world, record)));

    let holds = holds(&about);
    let mut states: Vec<Why> = Vec::new();
    if about.iter().any(|record| record.effect == NaiveEffect::Purge) {
        states.push("revoked for ever");
    }
    if holds.iter().any(|record| matches!(record.effect, NaiveEffect::Hold(_))) {
        states.push("on hold");
    }
    if !states.is_empty() {
        return Err(Refused::one_of(states));
    }

    let was_issued_by_then =
        |record: &NaiveRecord| claims.iat.is_none_or(|iat| iat <= record.at_nanos);
    let of_old = |effect: NaiveEffect| {
        about.iter().filter(move |one| one.effect == effect && was_issued_by_then(one))
    };
    if of_old(NaiveEffect::Refuse).next().is_some() {
        return Err(Refused::new("issued before it was revoked"));
    }

    let for_step_up = holds.iter().filter(|one| {
        let did_since = claims.auth_time.is_some_and(|at| at > one.at_nanos);
        matches!(one.effect, NaiveEffect::HoldForStepUp(_)) && !did_since
    });
    let is_weak = |record: &NaiveRecord| {
        was_issued_by_then(record) || claims.auth_time.is_some_and(|at| at <= record.at_nanos)
    };
    let of_weak = about.iter().filter(|one| one.effect == NaiveEffect::StepUp && is_weak(one));
    let since = for_step_up.chain(of_weak).map(|record| record.at_nanos).max();
    if let Some(since) = since {
        // an authentication at that very time is too old
        let age = world.now_nanos.saturating_sub(since) / NANOS_PER_SECOND;
        return Err(Refused::for_step_up("a step-up that was demanded", age));
    }

    if is_unknown(world, revocation, claims) {
        return Err(Refused::new("nobody knows whether it is revoked"));
    }
    Ok(())
}

fn is_about(record: &NaiveRecord, claims: &Claims) -> bool {
    let is = |found: &Option<String>, value: &String| found.as_ref() == Some(value);
    let has = |claim: &NaiveClaim, value: &String| match claim {
        NaiveClaim::Session => is(&claims.session, value),
        NaiveClaim::Subject => claims.sub == *value,
        NaiveClaim::Client => is(&claims.client_id, value),
        NaiveClaim::Named(name) => {
            claims.named.iter().any(|(known, found)| known == name && found == value)
        }
    };
    let target = match &record.target {
        NaiveTarget::Token(jti) => is(&claims.jti, jti),
        NaiveTarget::Key(kid) => is(&claims.key_id, kid),
        NaiveTarget::Issuer => true,
        NaiveTarget::Claims(wanted) => wanted.iter().all(|(claim, value)| has(claim, value)),
    };
    record.issuer == claims.iss && target
}

/// Whether what this record says was taken back: up to a time, whenever that was said. Of one token times
/// count in whole seconds, if it is taken back after it was said; and one that is said to expire later than two
/// tokens of that time live counts as revoked later, though none can be accepted for so long.
fn is_lifted(world: &World, memory: &Memory, place: usize) -> bool {
    let record = &memory.said[place];
    let is_token = matches!(record.target, NaiveTarget::Token(_));
    record.effect == NaiveEffect::Lift
        || memory.said.iter().enumerate().any(|(other_place, other)| {
            let is_later = other_place > place;
            let unit = if is_token && is_later { NANOS_PER_SECOND } else { 1 };
            // from then on the record of a token is for ever
            let is_for_ever = is_token && is_later && record.at_nanos >= YEAR_2106;
            let lives = longest_life(world) + 2 * u128::from(world.leeway_secs) * NANOS_PER_SECOND;
            let end = record.until_nanos.unwrap_or_default().div_ceil(NANOS_PER_SECOND);
            let is_beyond = end > (other.at_nanos + 2 * lives) / NANOS_PER_SECOND + 1;
            other.effect == NaiveEffect::Lift
                && !is_for_ever
                && !(is_token && is_later && is_beyond)
                && is_same_target(other, record)
                && record.at_nanos / unit <= other.at_nanos / unit
        })
}

/// The longest that a token may live.
pub(super) fn longest_life(world: &World) -> u128 {
    let of_classes = world.classes.iter().filter_map(|class| class.max_lifetime_secs);
    let longest = of_classes.chain([world.max_lifetime_secs]).max().unwrap_or_default();
    u128::from(longest) * NANOS_PER_SECOND
}

/// Whether it takes back what was said of a token that cannot live any more.
pub(super) fn is_idle(world: &World, record: &NaiveRecord) -> bool {
    record.effect == NaiveEffect::Lift
        && matches!(record.target, NaiveTarget::Token(_))
        && record.at_nanos < world.now_nanos.saturating_sub(longest_life(world))
}

fn is_same_target(one: &NaiveRecord, other: &NaiveRecord) -> bool {
    let is_same = match (&one.target, &other.target) {
        (NaiveTarget::Claims(_), NaiveTarget::Claims(_)) => {
            each_once(&one.target) == each_once(&other.target)
        }
        (one, other) => one == other,
    };
    one.issuer == other.issuer && is_same
}

/// The claims of a target in one order, each once.
fn each_once(target: &NaiveTarget) -> Vec<(NaiveClaim, String)> {
    let mut claims = match target {
        NaiveTarget::Claims(claims) => claims.clone(),
        _ => Vec::new(),
    };
    claims.sort();
    claims.dedup();
    claims
}

/// Of each target and each reason what was said last; for one time the strictest.
fn holds<'a>(about: &[&'a NaiveRecord]) -> Vec<&'a NaiveRecord> {
    let mut last = Vec::new();
    for one in about {
        let Some((reason, strictness)) = hold(one) else { continue };
        let is_outdone = about.iter().any(|other| {
            is_same_target(one, other)
                && hold(other).is_some_and(|(other_reason, other_strictness)| {
                    other_reason == reason
                        && (other.at_nanos, other_strictness) > (one.at_nanos, strictness)
                })
        });
        if !is_outdone {
            last.push(*one);
        }
    }
    last
}

/// The reason, and how strict the word about it is.
fn hold(record: &NaiveRecord) -> Option<(&str, u8)> {
    match &record.effect {
        NaiveEffect::Release(reason) => Some((reason.as_str(), 0)),
        NaiveEffect::HoldForStepUp(reason) => Some((reason.as_str(), 1)),
        NaiveEffect::Hold(reason) => Some((reason.as_str(), 2)),
        _ => None,
    }
}

/// Whether a token that was issued by the time of the record has expired for certain: as long as any
/// class lets it live, or as the record itself says.
fn need_not_be_remembered(world: &World, record: &NaiveRecord) -> bool {
    let of_classes = world.classes.iter().filter_map(|class| class.max_lifetime_secs);
    let longest = of_classes.chain([world.max_lifetime_secs]).max().unwrap_or_default();
    let latest = record.at_nanos + u128::from(longest) * NANOS_PER_SECOND;
    let end = record.until_nanos.map_or(latest, |until| until.min(latest));
    world.now_nanos >= end + u128::from(world.leeway_secs) * NANOS_PER_SECOND
}

/// Whether a cut-off or a step-up is so old that a token that was issued by its time has expired for certain:
/// a server that drops it then tells only tokens that do not say when they were issued, and those for an
/// authentication of back then.
fn is_past(world: &World, record: &NaiveRecord) -> bool {
    let life = longest_life(world) + 2 * u128::from(world.leeway_secs) * NANOS_PER_SECOND;
    matches!(record.effect, NaiveEffect::Refuse | NaiveEffect::StepUp)
        && record.at_nanos + life < world.now_nanos
}

/// Whether a source that speaks for the issuer would have to be known better than it is: none of them
/// ever said a word. Where nobody speaks for the issuer, nobody is fresh either, unless the issuer
/// itself was asked.
fn is_unknown(world: &World, revocation: Option<&NaiveRevocation>, claims: &Claims) -> bool {
    let wants_fresh = policy::freshness_of_route(world, revocation).is_some()
        || policy::freshness(world, revocation, claims).is_some();
    let sources = revocation.map(|known| known.sources.as_slice()).unwrap_or_default();
    let speaking: Vec<_> =
        sources.iter().filter(|source| source.speaks_for.contains(&claims.iss)).collect();
    if speaking.is_empty() && claims.is_answer {
        return false;
    }
    let mut where_stale = speaking.into_iter().map(|source| {
        let of_route = revocation.and_then(|known| known.route_on_stale);
        let of_server = revocation.and_then(|known| known.on_stale);
        of_route.or(source.on_stale).or(of_server).unwrap_or(NaiveStale::Deny)
    });
    wants_fresh || where_stale.any(|said| said != NaiveStale::InsecureUnbounded)
}
