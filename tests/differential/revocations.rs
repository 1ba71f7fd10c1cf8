//! What servers look at of revocation, and what is said of tokens.

use serde_json::Value;

use super::dice::Dice;
use super::members::{Members, quoted};
use super::request::{Draft, Made};
use super::world::Scene;
use crate::naive::{
    NaiveClaim, NaiveEffect, NaiveRecord, NaiveRevocation, NaiveSource, NaiveStale, NaiveTarget,
    World,
};

const NANOS_PER_SECOND: u128 = 1_000_000_000;
const END_OF_TIME: u128 = 253_402_300_799;
const CLAIMS: [&[&str]; 6] =
    [&[], &["tid"], &["groups", "tid"], &["tid", "groups"], &["groups", "aud"], &["azp"]];
const REASONS: [&str; 5] = ["account", "account", "account", "device", "risk"];
const SESSIONS: [&str; 3] = ["s-1", "s-1", "s-2"];
pub(crate) const VALUES: [&str; 4] = ["tenant-1", "tenant-1", "tenant-2", "staff"];

/// What a server is told, in some worlds.
pub(crate) fn add(world: &mut World, dice: &mut Dice) -> Option<NaiveRevocation> {
    if !dice.percent(33) {
        return None;
    }
    let claims = dice.pick(&CLAIMS).iter().map(ToString::to_string).collect();
    let mut revocation = NaiveRevocation { claims, ..NaiveRevocation::default() };
    // who tells of times tells nothing of tokens without one
    let says_when = |profile: &[String]| profile.iter().all(|claim| claim != "iat");
    let issuers = world.issuers.iter().filter(|issuer| says_when(&issuer.profile.may_lack));
    let issuers: Vec<String> = issuers.map(|issuer| issuer.id.clone()).collect();
    if !issuers.is_empty() && dice.percent(25) {
        add_sources(world, &mut revocation, &issuers, dice);
    }
    Some(revocation)
}

fn add_sources(
    world: &mut World,
    revocation: &mut NaiveRevocation,
    issuers: &[String],
    dice: &mut Dice,
) {
    for _ in 0..dice.pick(&[1, 1, 1, 2]) {
        let mut speaks_for = issuers.to_vec();
        dice.shuffle(&mut speaks_for);
        speaks_for.truncate(1 + dice.below(issuers.len()));
        let on_stale = stale(40, dice);
        revocation.sources.push(NaiveSource { speaks_for, on_stale });
    }
    revocation.on_stale = stale(40, dice);
    revocation.route_on_stale = stale(35, dice);
    let freshness = |chance, dice: &mut Dice| {
        dice.percent(chance).then(|| dice.pick(&[1, 60, 3_600, 31_622_400]))
    };
    revocation.route_freshness_secs = freshness(12, dice);
    revocation.default_freshness_secs = freshness(8, dice);
    for class in &mut world.classes {
        class.freshness_secs = freshness(40, dice);
    }
}

fn stale(chance: usize, dice: &mut Dice) -> Option<NaiveStale> {
    let all = [NaiveStale::Deny, NaiveStale::AllowFor(86_400), NaiveStale::InsecureUnbounded];
    let unbounded = dice.percent(55);
    let said = if unbounded { NaiveStale::InsecureUnbounded } else { dice.pick(&all) };
    dice.percent(chance).then_some(said)
}

/// Adds what records can name.
pub(crate) fn add_claims(
    payload: &mut Members,
    revocation: Option<&NaiveRevocation>,
    traits: &mut Vec<&'static str>,
    dice: &mut Dice,
) {
    if dice.percent(if revocation.is_some() { 40 } else { 5 }) {
        traits.push("a session");
        payload.set("sid", quoted(dice.pick(&SESSIONS)));
    }
    let Some(revocation) = revocation else { return };
    traits.push("a server that looks at revocation");
    if !revocation.sources.is_empty() {
        traits.push("a source that never spoke");
    }
    if let Some(iat) = payload.value("iat").map(str::to_owned).filter(|_| dice.percent(30)) {
        payload.set("iat", format!("{iat}{}", dice.pick(&[".000000001", ".5", ".499999999"])));
    }
    for name in ["tid", "groups"] {
        if !revocation.claims.iter().any(|known| known == name) || dice.percent(30) {
            continue;
        }
        if name == "tid" || dice.percent(20) {
            traits.push("a claim that records can name");
            payload.set(name, quoted(dice.pick(&VALUES)));
        } else {
            traits.push("an array that records can name");
            let values: Vec<_> =
                (0..dice.pick(&[1, 2, 2, 3])).map(|_| quoted(dice.pick(&VALUES))).collect();
            payload.set(name, format!("[{}]", values.join(",")));
        }
    }
}

/// What is said before this request: mostly nothing, or of its token, or of one like it. Where nothing
/// but revocation is of interest there is always something.
pub(crate) fn said_before(
    scene: &Scene,
    made: &Made,
    before: &[Made],
    dice: &mut Dice,
) -> Vec<NaiveRecord> {
    let Some(revocation) = &scene.revocation else {
        return Vec::new();
    };
    let counts = if scene.revokes { [0, 1, 1, 1, 2] } else { [0, 0, 0, 1, 2] };
    let mut records = Vec::new();
    for _ in 0..dice.pick(&counts) {
        let draft = match before.is_empty() || dice.percent(80) {
            true => &made.draft,
            false => &before[dice.below(before.len())].draft,
        };
        let own_jti = texts(&draft.payload, "jti").pop();
        let may_be_meant = |record: &&NaiveRecord| match &record.target {
            NaiveTarget::Token(jti) => Some(jti) == own_jti.as_ref(),
            _ => true,
        };
        let known: Vec<&NaiveRecord> = scene.said.iter().filter(may_be_meant).collect();
        let record = match known.is_empty() || dice.percent(60) {
            true => about_a_token(scene, revocation, draft, dice),
            false => about_the_same(scene, dice.pick(&known), dice),
        };
        // and at once another word, of the same or of the same reason
        let next = dice.percent(40).then(|| {
            let next = about_the_same(scene, &record, dice);
            let target = about_a_token(scene, revocation, draft, dice).target;
            if dice.percent(30) { NaiveRecord { target, ..next } } else { next }
        });
        records.push(record);
        records.extend(next);
    }
    records
}

/// Something else about what something was said of already.
fn about_the_same(scene: &Scene, known: &NaiveRecord, dice: &mut Dice) -> NaiveRecord {
    let reason = match &known.effect {
        NaiveEffect::Hold(reason)
        | NaiveEffect::HoldForStepUp(reason)
        | NaiveEffect::Release(reason) => Some(reason.clone()),
        _ => None,
    };
    let effect = match (dice.below(10), reason) {
        (0..=4, None) | (0 | 1, Some(_)) => NaiveEffect::Lift,
        (2..=4, Some(reason)) => NaiveEffect::Release(reason),
        (5..=7, Some(reason)) => {
            dice.pick(&[NaiveEffect::Hold(reason.clone()), NaiveEffect::HoldForStepUp(reason)])
        }
        _ => effect(dice),
    };
    let mut target = known.target.clone();
    if let NaiveTarget::Claims(claims) = &mut target {
        // the same however they are written
        dice.shuffle(claims);
        if dice.percent(20) {
            claims.push(claims[0].clone());
        }
    }
    let at_nanos = match dice.percent(75) {
        true => around(known.at_nanos, dice),
        false => around(scene.world.now_nanos, dice),
    };
    let (issuer, until_nanos) = (known.issuer.clone(), known.until_nanos);
    NaiveRecord { issuer, target, effect, at_nanos, until_nanos }
}

fn about_a_token(
    scene: &Scene,
    revocation: &NaiveRevocation,
    draft: &Draft,
    dice: &mut Dice,
) -> NaiveRecord {
    let world = &scene.world;
    let own = texts(&draft.payload, "iss").pop().unwrap_or_default();
    let issuer = match dice.below(100) {
        0..=79 => own.clone(),
        80..=97 => world.issuers[dice.below(world.issuers.len())].id.clone(),
        98 => String::new(),
        _ => "https://other.example".to_owned(),
    };
    let target = match dice.below(100) {
        0..=19 => NaiveTarget::Token(value(&draft.payload, "jti", &["x"], dice)),
        20..=29 => {
            let kid = scene.signers[dice.below(scene.signers.len())].kid.clone();
            NaiveTarget::Key(kid.unwrap_or_else(|| "k1".to_owned()))
        }
        30..=35 => NaiveTarget::Issuer,
        _ => NaiveTarget::Claims(claims(scene, revocation, &own, draft, dice)),
    };
    let date = |name| plain_date(draft.payload.value(name)?);
    let at_nanos = match (date("iat"), dice.below(10)) {
        (Some(iat), 0..=6) => around(iat, dice),
        (_, 9) => dice.pick(&[0, 1, world.now_nanos / 2, END_OF_TIME * NANOS_PER_SECOND]),
        _ => around(world.now_nanos, dice),
    };
    let until_nanos = match dice.below(10) {
        0..=3 => date("exp"),
        4 => Some(around(world.now_nanos, dice)),
        _ => None,
    };
    NaiveRecord { issuer, target, effect: effect(dice), at_nanos, until_nanos }
}

/// One claim, or several.
fn claims(
    scene: &Scene,
    revocation: &NaiveRevocation,
    issuer: &str,
    draft: &Draft,
    dice: &mut Dice,
) -> Vec<(NaiveClaim, String)> {
    let issuer = scene.world.issuers.iter().find(|known| known.id == issuer);
    let of_clients = issuer.map(|issuer| issuer.profile.client_claims.clone());
    let of_clients = of_clients.unwrap_or_default();
    let client = of_clients.iter().find(|name| draft.payload.value(name).is_some());
    let client = client.map_or("client_id", String::as_str);
    let mut claims = Vec::new();
    for _ in 0..dice.pick(&[1, 1, 1, 1, 2, 2, 2, 3]) {
        let payload = &draft.payload;
        claims.push(match dice.below(10) {
            0..=2 => (NaiveClaim::Subject, value(payload, "sub", &["alice", "bob"], dice)),
            3 | 4 => (NaiveClaim::Session, value(payload, "sid", &SESSIONS, dice)),
            5 | 6 => (NaiveClaim::Client, value(payload, client, &["client-7", "x"], dice)),
            _ if revocation.claims.is_empty() && dice.percent(90) => {
                (NaiveClaim::Subject, value(payload, "sub", &["alice"], dice))
            }
            _ => {
                let mut names = revocation.claims.clone();
                if names.is_empty() || dice.percent(4) {
                    names = vec!["nothing".to_owned()];
                }
                let name = dice.pick(&names);
                let value = value(payload, &name, &VALUES, dice);
                (NaiveClaim::Named(name), value)
            }
        });
    }
    if dice.percent(1) {
        // eight may be named, and these are nine
        claims.extend((0..9).map(|number| (NaiveClaim::Session, number.to_string())));
    }
    claims
}

/// A value of this claim, mostly one that the token has.
fn value(payload: &Members, name: &str, others: &[&str], dice: &mut Dice) -> String {
    let found = texts(payload, name);
    match dice.below(100) {
        0 => String::new(),
        1 => "x".repeat(dice.pick(&[2_048, 2_049])),
        2..=4 => format!("{} ", dice.pick(others)),
        5..=14 => dice.pick(others).to_owned(),
        _ if found.is_empty() => dice.pick(others).to_owned(),
        _ => dice.pick(&found),
    }
}

/// A date that is written as most are.
fn plain_date(json: &str) -> Option<u128> {
    let (whole, fraction) = json.split_once('.').unwrap_or((json, ""));
    let nanos: u128 = format!("{fraction:0<9}").get(..9)?.parse().ok()?;
    Some(whole.parse::<u128>().ok()?.min(END_OF_TIME - 1) * NANOS_PER_SECOND + nanos)
}

/// A string, or the strings of an array.
fn texts(payload: &Members, name: &str) -> Vec<String> {
    let value = payload.value(name).and_then(|json| serde_json::from_str::<Value>(json).ok());
    match value {
        Some(Value::String(text)) => vec![text],
        Some(Value::Array(items)) => {
            items.iter().filter_map(Value::as_str).map(str::to_owned).collect()
        }
        _ => Vec::new(),
    }
}

fn effect(dice: &mut Dice) -> NaiveEffect {
    let reason = dice.pick(&REASONS).to_owned();
    match dice.below(100) {
        0..=34 => NaiveEffect::Refuse,
        35..=56 => NaiveEffect::StepUp,
        57..=66 => NaiveEffect::Hold(reason),
        67..=76 => NaiveEffect::HoldForStepUp(reason),
        77..=84 => NaiveEffect::Release(reason),
        85..=89 => NaiveEffect::Purge,
        _ => NaiveEffect::Lift,
    }
}

/// This time, or one that is next to it.
pub(crate) fn around(nanos: u128, dice: &mut Dice) -> u128 {
    const HALF: u128 = NANOS_PER_SECOND / 2;
    let at = match dice.below(12) {
        0..=2 => nanos,
        3 => nanos + 1,
        4 => nanos.saturating_sub(1),
        5 => nanos + HALF,
        6 => nanos.saturating_sub(HALF),
        7 => nanos + NANOS_PER_SECOND,
        8 => nanos.saturating_sub(NANOS_PER_SECOND),
        9 => nanos.saturating_sub(90 * NANOS_PER_SECOND),
        10 => nanos.saturating_sub(100_000 * NANOS_PER_SECOND),
        _ => nanos + 60 * NANOS_PER_SECOND,
    };
    at.min(END_OF_TIME * NANOS_PER_SECOND)
}
