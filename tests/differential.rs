//! The decision, compared with a slow and independent second reading of it on generated requests.
//!
//! A request begins as a good token of a generated world (issuers, key sets, allow-lists, profiles,
//! classes, binding, exceptions, scopes, step-up, time) and suffers up to three edits on its way. Both readings have to give the same verdict.
//!
//! `PORTCULLIS_CASES` says how many requests, `PORTCULLIS_SEED` which. Keys are random, so a seed
//! alone does not bring a case back: a case on which the readings differ is printed and written to
//! `tests/differential-regressions`, and every file there is decided again.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::as_conversions,
    reason = "a test fails by panicking"
)]

use std::collections::{BTreeMap, BTreeSet};

use portcullis::RejectionKind;

use case::{Answer, Case, Server};
use dice::Dice;
use keys::Pool;
use naive::Verdict;
use request::Made;
use world::Scene;

#[path = "differential/case.rs"]
mod case;
#[path = "differential/claim_edits.rs"]
mod claim_edits;
#[path = "differential/dice.rs"]
mod dice;
#[path = "differential/edits.rs"]
mod edits;
#[path = "differential/header_edits.rs"]
mod header_edits;
#[path = "differential/keys.rs"]
mod keys;
#[path = "differential/members.rs"]
mod members;
mod naive;
#[path = "differential/octet_edits.rs"]
mod octet_edits;
#[path = "differential/policies.rs"]
mod policies;
#[path = "differential/policy_edits.rs"]
mod policy_edits;
#[path = "differential/request.rs"]
mod request;
#[path = "differential/times.rs"]
mod times;
#[path = "differential/wire_edits.rs"]
mod wire_edits;
#[path = "differential/world.rs"]
mod world;

const DEFAULT_CASES: usize = 20_000;
const DEFAULT_SEED: u64 = 6750;
/// How many requests are made for one world.
const REQUESTS_PER_WORLD: usize = 10;
/// A run at least this long has to pass often, to meet every kind of refusal and every reason of the
/// reference, and to pass and refuse every trait of a token.
const ENOUGH: usize = 20_000;
/// How many cases are kept before a run is given up.
const MOST_KEPT: usize = 5;
/// Kinds that need an outage, issuers that are not configured, a check of one's own, or a wrongly mounted layer.
const UNREACHABLE: [RejectionKind; 5] = [
    RejectionKind::KeysUnavailable,
    RejectionKind::IssuerUnavailable,
    RejectionKind::NotAccepted,
    RejectionKind::CheckUnavailable,
    RejectionKind::Misconfigured,
];

#[test]
fn crate_and_reference_agree_on_generated_requests() {
    let cases = setting("PORTCULLIS_CASES").unwrap_or(DEFAULT_CASES);
    let seed = setting("PORTCULLIS_SEED").unwrap_or(DEFAULT_SEED);
    let pool = Pool::new();
    let mut seen = Seen::default();
    let mut kept = 0;
    for part in 0..cases.div_ceil(REQUESTS_PER_WORLD) {
        let mut dice = Dice::of_part(seed, part as u64);
        let scene = Scene::new(&pool, &mut dice);
        let server = Server::new(&scene.world);
        let first = part * REQUESTS_PER_WORLD;
        for number in first..cases.min(first + REQUESTS_PER_WORLD) {
            let made = request::request(&pool, &scene, &mut dice);
            let answer = server.decide(&made.request, number % 2 == 1);
            let verdict = naive::decide(&scene.world, &made.request);
            seen.add(&made, &answer, &verdict);
            if !answer.agrees_with(&verdict) {
                kept += 1;
                let case = Case { world: scene.world.clone(), request: made.request };
                case.keep(seed, number, &made.edits.join(", "));
                assert!(
                    kept < MOST_KEPT,
                    "PORTCULLIS_SEED={seed}: {kept} cases differ, and no more are looked for"
                );
            }
        }
    }
    eprintln!("{cases} requests of seed {seed}: {} passed", seen.passed);
    eprintln!("refused, as the crate names it: {:?}", seen.kinds);
    eprintln!("refused, as the reference names it: {:?}", seen.reasons);
    eprintln!("edits, how often they passed and were refused: {:?}", seen.edits);
    eprintln!("traits, how often they passed and were refused: {:?}", seen.traits);
    assert_eq!(kept, 0, "PORTCULLIS_SEED={seed}: so many cases differ");
    if cases >= ENOUGH {
        seen.assert_enough(cases, seed);
    }
}

/// What a run met.
#[derive(Default)]
struct Seen {
    passed: usize,
    kinds: BTreeMap<&'static str, usize>,
    reasons: BTreeMap<&'static str, usize>,
    edits: BTreeMap<&'static str, (usize, usize)>,
    traits: BTreeMap<&'static str, (usize, usize)>,
}

impl Seen {
    fn add(&mut self, made: &Made, answer: &Answer, verdict: &Verdict) {
        if let Answer::Refuse { kind, .. } = answer {
            *self.kinds.entry(kind.as_str()).or_default() += 1;
        }
        let pass = match verdict {
            Verdict::Pass(_) => true,
            Verdict::Refuse { why, .. } => {
                *self.reasons.entry(why).or_default() += 1;
                false
            }
        };
        self.passed += usize::from(pass);
        for (counts, names) in [(&mut self.edits, &made.edits), (&mut self.traits, &made.traits)] {
            for name in names.iter().collect::<BTreeSet<_>>() {
                let (passed, refused) = counts.entry(name).or_default();
                *passed += usize::from(pass);
                *refused += usize::from(!pass);
            }
        }
    }

    /// A generator that makes only junk compares nothing, and one that never takes a branch says
    /// nothing about it.
    fn assert_enough(&self, cases: usize, seed: u64) {
        let passed = self.passed;
        assert!(passed * 10 >= cases, "PORTCULLIS_SEED={seed}: only {passed} of {cases} passed");
        let missed: Vec<_> = RejectionKind::ALL
            .iter()
            .filter(|kind| !UNREACHABLE.contains(kind) && !self.kinds.contains_key(kind.as_str()))
            .collect();
        assert!(missed.is_empty(), "PORTCULLIS_SEED={seed}: never refused as {missed:?}");
        let rare =
            naive::REASONS.iter().filter(|why| self.reasons.get(*why).is_none_or(|n| *n < 5));
        let rare: Vec<_> = rare.collect();
        assert!(rare.is_empty(), "PORTCULLIS_SEED={seed}: hardly ever refused for {rare:?}");
        let one_sided = request::TRAITS.iter().filter(|name| {
            self.traits.get(*name).is_none_or(|(passed, refused)| *passed < 10 || *refused < 10)
        });
        let one_sided: Vec<_> = one_sided.collect();
        assert!(
            one_sided.is_empty(),
            "PORTCULLIS_SEED={seed}: hardly ever or always {one_sided:?}"
        );
    }
}

#[test]
fn crate_and_reference_agree_on_every_kept_case() {
    let mut differ = Vec::new();
    for entry in std::fs::read_dir(case::directory()).unwrap() {
        let path = entry.unwrap().path();
        let case = Case::from_json(&std::fs::read_to_string(&path).unwrap());
        let (by_server, by_guard, verdict) = case.verdicts();
        if !by_server.agrees_with(&verdict) || by_guard != by_server {
            let name = path.file_name().unwrap().display().to_string();
            differ.push(format!(
                "{name}: {by_server:?} by the server, {by_guard:?} by the guard, {verdict:?} by the reference"
            ));
        }
    }
    assert!(differ.is_empty(), "{differ:#?}");
}

fn setting<T: std::str::FromStr<Err: std::fmt::Debug>>(name: &str) -> Option<T> {
    std::env::var(name).ok().map(|value| value.parse().unwrap())
}
