//! What servers are told of revocation, in the words of the crate.

use std::future::pending;

use portcullis::Policy;
use portcullis::revocation::{
    Claim, Claims, Effect, Hold, OnStale, Record, Revocation, RevocationSource, Running, Source,
    SourceHandle, Target,
};

use super::mint::timestamp;
use super::server::seconds;
use crate::naive::{
    NaiveClaim, NaiveEffect, NaiveRecord, NaiveRevocation, NaiveStale, NaiveTarget,
};

/// A source that never says a word.
struct Silent;

impl RevocationSource for Silent {
    fn run(&self, _: SourceHandle) -> Running<'_> {
        Box::pin(pending())
    }
}

pub(super) fn revocation(naive: &NaiveRevocation) -> Revocation {
    let mut revocation = Revocation::new();
    for name in &naive.claims {
        revocation = revocation.claim(name);
    }
    for (index, one) in naive.sources.iter().enumerate() {
        let mut source =
            Source::own(format!("silent {index}"), Silent).speaks_for(one.speaks_for.clone());
        if let Some(stale) = one.on_stale {
            source = source.on_stale(on_stale(stale));
        }
        revocation = revocation.source(source);
    }
    match naive.on_stale {
        Some(stale) => revocation.on_stale(on_stale(stale)),
        None => revocation,
    }
}

/// What the route wants of what is known.
pub(super) fn wanting(policy: Policy, naive: &NaiveRevocation) -> Policy {
    let policy = match naive.route_freshness_secs {
        Some(time) => policy.freshness(seconds(time)),
        None => policy,
    };
    match naive.route_on_stale {
        Some(stale) => policy.on_stale(on_stale(stale)),
        None => policy,
    }
}

pub(super) fn record(naive: &NaiveRecord) -> Record {
    let target = match &naive.target {
        NaiveTarget::Token(jti) => Target::Token(jti.as_str().into()),
        NaiveTarget::Key(kid) => Target::Key(kid.as_str().into()),
        NaiveTarget::Issuer => Target::Issuer,
        NaiveTarget::Claims(all) => {
            let ((first, value), others) = all.split_first().expect("at least one claim");
            let first = Claims::one(claim(first), value.as_str());
            let claims = others.iter().fold(first, |claims, (other, value)| match other {
                NaiveClaim::Session => claims.and_session(value.as_str()),
                other => claims.and(claim(other), value.as_str()),
            });
            Target::Claims(claims)
        }
    };
    let at = timestamp(naive.at_nanos);
    let record = Record::new(naive.issuer.as_str(), target, effect(&naive.effect), at);
    match naive.until_nanos {
        Some(until) => record.until(timestamp(until)),
        None => record,
    }
}

fn claim(naive: &NaiveClaim) -> Claim {
    match naive {
        NaiveClaim::Session => Claim::Session,
        NaiveClaim::Subject => Claim::Subject,
        NaiveClaim::Client => Claim::Client,
        NaiveClaim::Named(name) => Claim::Named(name.as_str().into()),
    }
}

fn effect(naive: &NaiveEffect) -> Effect {
    let hold =
        |name: &String| *Hold::ALL.iter().find(|hold| hold.as_str() == name).expect("a reason");
    match naive {
        NaiveEffect::Refuse => Effect::Refuse,
        NaiveEffect::StepUp => Effect::StepUp,
        NaiveEffect::Hold(name) => Effect::Hold(hold(name)),
        NaiveEffect::HoldForStepUp(name) => Effect::HoldForStepUp(hold(name)),
        NaiveEffect::Release(name) => Effect::Release(hold(name)),
        NaiveEffect::Purge => Effect::Purge,
        NaiveEffect::Lift => Effect::Lift,
    }
}

fn on_stale(naive: NaiveStale) -> OnStale {
    match naive {
        NaiveStale::Deny => OnStale::Deny,
        NaiveStale::AllowFor(time) => OnStale::AllowFor(seconds(time)),
        NaiveStale::InsecureUnbounded => OnStale::InsecureUnbounded,
    }
}
