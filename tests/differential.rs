//! The decision, compared with a slow and independent second reading of it on generated requests.
//!
//! A request begins as a good token of a generated world (issuers, key sets, allow-lists, profiles,
//! classes, binding, exceptions, scopes, step-up, DPoP, mutual TLS, single use, revocation, introspection,
//! time), with the proof and the certificate that it needs, and what its issuer would answer about it, and
//! suffers up to three edits on its way. Ten requests
//! go to one server, while time passes and tokens are revoked; some of them are one that came before.
//! Both readings have to give the same verdict: what is granted, or the kind of the refusal, its status,
//! the scheme that tells the error, whether there is a nonce, and which issuer was asked about the token.
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

use answer::Answer;
use case::{Case, Step, reference};
use dice::Dice;
use keys::Pool;
use known::Known;
use mint::{Mint, in_milliseconds};
use naive::{Memory, Verdict, World};
use request::Made;
use senders::Clients;
use server::{By, Server};
use world::Scene;

#[path = "differential/again.rs"]
mod again;
#[path = "differential/answer.rs"]
mod answer;
#[path = "differential/asked.rs"]
mod asked;
#[path = "differential/asked_edits.rs"]
mod asked_edits;
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
#[path = "differential/known.rs"]
mod known;
#[path = "differential/members.rs"]
mod members;
#[path = "differential/mint.rs"]
mod mint;
mod naive;
#[path = "differential/octet_edits.rs"]
mod octet_edits;
#[path = "differential/policies.rs"]
mod policies;
#[path = "differential/policy_edits.rs"]
mod policy_edits;
#[path = "differential/proof_edits.rs"]
mod proof_edits;
#[path = "differential/request.rs"]
mod request;
#[path = "differential/revocation_edits.rs"]
mod revocation_edits;
#[path = "differential/revocations.rs"]
mod revocations;
#[path = "differential/sender_edits.rs"]
mod sender_edits;
#[path = "differential/senders.rs"]
mod senders;
#[path = "differential/server.rs"]
mod server;
#[path = "differential/times.rs"]
mod times;
#[path = "differential/told.rs"]
mod told;
#[path = "support/wait.rs"]
mod wait;
#[path = "differential/wire_edits.rs"]
mod wire_edits;
#[path = "differential/world.rs"]
mod world;

const DEFAULT_CASES: usize = 24_000;
const DEFAULT_SEED: u64 = 6750;
/// How many requests are made for one world.
const REQUESTS_PER_WORLD: usize = 10;
/// A run at least this long has to pass often, to meet every kind of refusal and every reason of the
/// reference, and to pass and refuse every trait of a token.
const ENOUGH: usize = 20_000;
/// How many cases are kept before a run is given up.
const MOST_KEPT: usize = 5;
/// Kinds that need an outage, issuers that are not configured, a check of one's own, or a wrongly mounted
/// layer, or more threads than one; and those of status lists and of encrypted tokens, of which the
/// reference knows nothing.
const UNREACHABLE: [RejectionKind; 13] = [
    RejectionKind::VerificationOverloaded,
    RejectionKind::EncryptionNotAccepted,
    RejectionKind::Undecryptable,
    RejectionKind::DecryptionUnavailable,
    RejectionKind::NotEncrypted,
    RejectionKind::StatusIndex,
    RejectionKind::StatusMissing,
    RejectionKind::StatusUri,
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
    let (pool, clients, mut mint) = (Pool::new(), Clients::new(), Mint::default());
    let mut seen = Seen::default();
    let mut kept = 0;
    for part in 0..cases.div_ceil(REQUESTS_PER_WORLD) {
        let mut dice = Dice::of_part(seed, part as u64);
        let mut scene = Scene::new(&pool, &mut mint, &mut dice);
        let server = Server::new(&scene.world, scene.revocation.as_ref());
        let mut memory = Memory::new(scene.nonces.clone(), scene.revocation.clone());
        let mut before = Vec::new();
        let mut steps = Vec::new();
        let mut known = Known::default();
        let first = part * REQUESTS_PER_WORLD;
        for number in first..cases.min(first + REQUESTS_PER_WORLD) {
            if number > first {
                scene.pass(times::between_requests(&scene, &mut dice));
            }
            let mut made = request::request(&pool, &clients, &scene, &before, &mut dice);
            let said = revocations::said_before(&scene, &made, &before, &mut dice);
            if !said.is_empty() {
                let is_heard = memory.hear(&scene.world, &said);
                assert_eq!(
                    server.hear(&scene.world, &said),
                    is_heard,
                    "PORTCULLIS_SEED={seed}: {said:?}"
                );
                seen.unheard += usize::from(!is_heard);
                scene.said.extend(said.iter().filter(|_| is_heard).cloned());
            }
            let was_known = memory.knows(&made.draft.token);
            let answered = known::token_of(&made.request).is_some_and(|token| memory.knows(token));
            if !scene.said.is_empty() {
                made.traits.push("something was said of revocation");
            }
            if known.has(&made.request) {
                made.traits.push("a known token");
                seen.known += 1;
            }
            let by = if number % 2 == 1 { By::Guard } else { By::Server };
            let answer = server.decide(&scene.world, &made.request, by);
            let verdict = reference(&scene.world, &mut memory, &made.request, &answer);
            match (was_known, verdict.asked()) {
                (true, None) => made.traits.push("an answer of before"),
                (true, Some(_)) => made.traits.push("asked again"),
                (false, _) => {}
            }
            seen.add(&made, &answer, &verdict);
            if verdict.asked().is_none() && !answered {
                known.decided(&made.request, &answer);
            }
            assert!(
                server.known() <= known.len(),
                "PORTCULLIS_SEED={seed}: something is known that was not accepted: {:?}",
                made.edits
            );
            assert!(
                known.is_empty() || server.known() > 0,
                "PORTCULLIS_SEED={seed}: none is known"
            );
            let World { now_nanos, steady_nanos, .. } = scene.world;
            if scene.jumps && answer.cannot_tell(&verdict) {
                seen.forgotten += 1;
                // from here on both remember different things
                break;
            }
            if !answer.agrees_with(&verdict) {
                kept += 1;
                let case = Case {
                    world: scene.world.clone(),
                    revocation: scene.revocation.clone(),
                    said,
                    request: made.request,
                    before: steps,
                    nonces: memory.nonces,
                };
                case.keep(seed, number, &made.edits.join(", "));
                assert!(
                    kept < MOST_KEPT,
                    "PORTCULLIS_SEED={seed}: {kept} cases differ, and no more are looked for"
                );
                break;
            }
            if let Some(nonce) = answer.nonce() {
                let made_at = in_milliseconds(now_nanos);
                scene.nonces.insert(nonce.clone(), made_at);
                memory.nonces.insert(nonce.clone(), made_at);
            }
            steps.push(Step { now_nanos, steady_nanos, said, request: made.request.clone() });
            made.accepted = matches!(verdict, Verdict::Pass(_));
            before.push(made);
        }
    }
    eprintln!("{cases} requests of seed {seed}: {} passed", seen.passed);
    eprintln!("with a token that was known: {}", seen.known);
    eprintln!("said of revocation, and not taken: {}", seen.unheard);
    eprintln!("not known after the clock was set back: {}", seen.forgotten);
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
    known: usize,
    forgotten: usize,
    unheard: usize,
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
        // The reference verifies each of them: it says what is right of those that the crate did not.
        let known = self.known;
        assert!(
            known * 100 >= cases * 8,
            "PORTCULLIS_SEED={seed}: only {known} of {cases} were known"
        );
        let missed: Vec<_> = RejectionKind::ALL
            .iter()
            .filter(|kind| !UNREACHABLE.contains(kind) && !self.kinds.contains_key(kind.as_str()))
            .collect();
        assert!(missed.is_empty(), "PORTCULLIS_SEED={seed}: never refused as {missed:?}");
        let rare =
            naive::REASONS.iter().filter(|(why, ..)| self.reasons.get(why).is_none_or(|n| *n < 5));
        let rare: Vec<_> = rare.map(|(why, ..)| why).collect();
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
        let verdicts = case.verdicts();
        if case.differs(&verdicts) {
            let name = path.file_name().unwrap().display().to_string();
            differ.push(format!("{name}: {verdicts:#?}"));
        }
    }
    assert!(differ.is_empty(), "{differ:#?}");
}

fn setting<T: std::str::FromStr<Err: std::fmt::Debug>>(name: &str) -> Option<T> {
    std::env::var(name).ok().map(|value| value.parse().unwrap())
}
