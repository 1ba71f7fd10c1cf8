//! Whatever the order of events, repeats, expiries and restarts: the decisions are those of a naive
//! reader who keeps the whole log and looks through it for each token.

use std::path::Path;
use std::time::Duration;

use portcullis::RejectionKind as Kind;
use portcullis::revocation::{
    Batch, Claim, Claims, Effect, Hold, Journal, JournalError, Record, Revocation, Target,
};
use portcullis::testing::{ManualClock, TestIssuer, TokenBuilder};
use portcullis::time::{Clock as _, Timestamp};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestCaseError, TestRunner};

use crate::source::{Directory, Hand, source};
use crate::support::{ISSUER, RESOURCE, bearer, builder, send, settle};

const USERS: [&str; 3] = ["ann", "bob", "cyd"];
const SESSIONS: [&str; 2] = ["s-1", "s-2"];
const TOKENS: [&str; 3] = ["t-1", "t-2", "t-3"];

#[derive(Clone, Debug)]
enum Step {
    /// Records, with their times as seconds before now.
    Say(Vec<(usize, Effect, u64)>),
    /// What was said so long ago is said again.
    Repeat(usize),
    /// Time passes, in steps that housekeeping sees.
    Wait(u64),
    /// The server ends and starts again, with its journal.
    Restart,
    /// Every token is presented.
    Present,
}

/// Every target that a step can name.
fn target(number: usize) -> Target {
    let user = USERS[number % 3];
    match number {
        0..3 => Target::Token(TOKENS[number].into()),
        3..6 => Target::Claims(Claims::subject(user)),
        6..9 => Target::Claims(Claims::subject(user).and_session("s-1")),
        9 => Target::Claims(Claims::one(Claim::Session, "s-2")),
        10 => Target::Claims(Claims::client("app")),
        11 => Target::Claims(Claims::one(Claim::Named("tid".into()), "t")),
        12 => Target::Key("another".into()),
        _ => Target::Issuer,
    }
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let effect = prop_oneof![
        6 => Just(Effect::Refuse),
        2 => Just(Effect::StepUp),
        1 => Just(Effect::Purge),
        2 => Just(Effect::Lift),
        2 => prop::sample::select(Hold::ALL).prop_map(Effect::Hold),
        1 => prop::sample::select(Hold::ALL).prop_map(Effect::HoldForStepUp),
        3 => prop::sample::select(Hold::ALL).prop_map(Effect::Release),
    ];
    // A whole issuer is named seldom: it hides everything else.
    let number = prop_oneof![12 => 0_usize..13, 1 => Just(13_usize)];
    let record = (number, effect, 0_u64..4_000);
    let step = prop_oneof![
        8 => prop::collection::vec(record, 1..4).prop_map(Step::Say),
        3 => (0_usize..20).prop_map(Step::Repeat),
        3 => (1_u64..3_000).prop_map(Step::Wait),
        2 => Just(Step::Restart),
        6 => Just(Step::Present),
    ];
    prop::collection::vec(step, 1..24)
}

/// The naive reader: the log, as it was said.
#[derive(Default)]
struct Log(Vec<(Record, Timestamp)>);

struct Shown<'a> {
    jti: &'a str,
    user: &'a str,
    session: Option<&'a str>,
    tenant: Option<&'a str>,
    issued_at: Timestamp,
}

impl Log {
    fn is_about(record: &Record, token: &Shown<'_>) -> bool {
        match record.target() {
            Target::Token(jti) => **jti == *token.jti,
            Target::Issuer => true,
            Target::Claims(claims) => claims.iter().all(|(claim, value)| match claim {
                Claim::Subject => value == token.user,
                Claim::Session => Some(value) == token.session,
                Claim::Client => value == "app",
                Claim::Named(_) => Some(value) == token.tenant,
                _ => false,
            }),
            _ => false,
        }
    }

    /// Looks through the whole log, target by target. `None`: both would be right.
    fn says(&self, token: &Shown<'_>, now: Timestamp) -> Option<Option<Kind>> {
        let about: Vec<_> =
            self.0.iter().filter(|(record, _)| Self::is_about(record, token)).collect();
        let mut targets: Vec<_> = about.iter().map(|(record, _)| record.target()).collect();
        targets.sort();
        targets.dedup();
        let mut worst: Option<(u8, Kind)> = None;
        for target in targets {
            let of_target: Vec<_> = about
                .iter()
                .filter(|(record, _)| record.target() == target)
                .map(|(record, heard)| (record, *heard))
                .collect();
            let found = match target {
                Target::Token(_) => Self::of_token(&of_target, now)?,
                _ => Self::of_claims(&of_target, token.issued_at),
            };
            worst = worst.max_by_rank(found);
        }
        Some(worst.map(|(_, kind)| kind))
    }

    /// `None`: the token is over that was revoked, and its record may be kept or not.
    fn of_token(records: &[(&Record, Timestamp)], now: Timestamp) -> Option<Option<(u8, Kind)>> {
        // An hour is what a token may live that was issued when it was heard.
        let hour = Duration::from_hours(1);
        // A lift takes back what was said up to its time, before it or after it. One that is older than
        // a token can live, when it is heard, is about none that lives.
        let lifts = records.iter().filter(|(record, heard)| {
            record.effect() == Effect::Lift && record.at() >= heard.minus(hour)
        });
        let lift = lifts.map(|(record, _)| record.at()).max();
        let counts = records.iter().filter(|(record, _)| {
            !matches!(record.effect(), Effect::Lift | Effect::Release(_))
                && Some(record.at()) > lift
        });
        match counts.map(|(_, heard)| heard.plus(hour)).max() {
            None => Some(None),
            Some(until) if now < until => Some(Some((4, Kind::Revoked))),
            Some(_) => None,
        }
    }

    fn of_claims(records: &[(&Record, Timestamp)], issued_at: Timestamp) -> Option<(u8, Kind)> {
        let records: Vec<_> = records.iter().map(|(record, _)| *record).collect();
        // A lift takes back what was said up to its time, before it or after it.
        let lifts = records.iter().filter(|record| record.effect() == Effect::Lift);
        let lift = lifts.map(|record| record.at()).max();
        let counts: Vec<_> =
            records.iter().filter(|record| Some(record.at()) > lift).copied().collect();
        let with = |effect| counts.iter().filter(move |record| record.effect() == effect);
        if with(Effect::Purge).next().is_some() {
            return Some((3, Kind::Revoked));
        }
        let mut step_up = with(Effect::StepUp).any(|record| issued_at <= record.at());
        for hold in Hold::ALL {
            let last = [Effect::Release(*hold), Effect::HoldForStepUp(*hold), Effect::Hold(*hold)]
                .into_iter()
                .enumerate()
                .filter_map(|(strictness, effect)| {
                    let at = with(effect).map(|record| record.at()).max()?;
                    Some((at, strictness))
                })
                .max();
            match last {
                Some((_, 2)) => return Some((3, Kind::Suspended)),
                Some((_, 1)) => step_up = true,
                _ => {}
            }
        }
        if with(Effect::Refuse).any(|record| issued_at <= record.at()) {
            return Some((2, Kind::Revoked));
        }
        step_up.then_some((1, Kind::StepUpDemanded))
    }
}

trait ByRank: Sized {
    fn max_by_rank(self, other: Self) -> Self;
}

impl ByRank for Option<(u8, Kind)> {
    fn max_by_rank(self, other: Self) -> Self {
        let rank = |one: &Self| one.map_or(0, |(rank, _)| rank);
        if rank(&other) > rank(&self) { other } else { self }
    }
}

/// The strictest of several targets: two of one rank can differ in their kind only where one purges and
/// the other holds.
fn agree(found: Option<Kind>, expected: Option<Kind>) -> bool {
    let held = |kind| matches!(kind, Some(Kind::Suspended | Kind::Revoked));
    found == expected || (held(found) && held(expected))
}

#[test]
fn any_interleaving_gives_what_a_replay_of_the_log_gives() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let cases = std::env::var("PORTCULLIS_INTERLEAVINGS")
        .map_or(60, |cases| cases.parse().expect("a number of interleavings"));
    let config = Config { cases, failure_persistence: None, ..Config::default() };
    TestRunner::new(config)
        .run(&steps(), |steps| runtime.block_on(interleave(&steps)))
        .unwrap_or_else(|error| panic!("{error}"));
}

async fn interleave(steps: &[Step]) -> Result<(), TestCaseError> {
    let directory = Directory::new();
    let path = directory.path().join("revocations");
    let clock = ManualClock::new();
    let issuer = TestIssuer::new(ISSUER, &clock);
    let start = || {
        let hand = Hand::default();
        let known = Revocation::new()
            .source(source(&hand).max_age(Duration::from_hours(48)))
            .claim("tid")
            .journal(opened(&path));
        let api = builder(&clock).issuer(issuer.fixed_keys()).revocation(known).build().unwrap();
        (api, hand)
    };
    let (mut api, mut hand) = start();
    let first = issuer.token(RESOURCE).sign();
    send(&api.layer(), bearer(&first)).await;
    let known = Batch::default().synchronised(clock.moment());
    hand.handle().await.apply(known).await.unwrap();
    let (mut log, mut said) = (Log::default(), Vec::new());
    for step in steps {
        match step {
            Step::Say(records) => {
                let now = clock.now();
                let records: Vec<_> = records
                    .iter()
                    .map(|(number, effect, before)| {
                        let at = now.minus(Duration::from_secs(*before));
                        Record::new(ISSUER, target(*number), *effect, at)
                    })
                    .collect();
                said.push(records.clone());
                log.0.extend(records.iter().cloned().map(|record| (record, now)));
                hand.handle().await.apply(Batch::of(records)).await.unwrap();
            }
            Step::Repeat(which) => {
                let Some(records) = said.get(*which) else { continue };
                // A lift that is said again takes back what was said since: it is a new word.
                let now = clock.now();
                log.0.extend(records.iter().cloned().map(|record| (record, now)));
                let batch = Batch::of(records.clone());
                hand.handle().await.apply(batch).await.unwrap();
            }
            Step::Wait(seconds) => {
                for _ in 0..seconds / 30 {
                    clock.advance(Duration::from_secs(30));
                    settle().await;
                }
            }
            Step::Restart => {
                drop((api, hand));
                settle().await;
                (api, hand) = start();
                send(&api.layer(), bearer(&first)).await;
                hand.handle().await;
            }
            Step::Present => {
                for (number, user) in USERS.iter().enumerate() {
                    for age in [5_u64, 400, 1_800, 3_300] {
                        let issued_at = clock.now().minus(Duration::from_secs(age));
                        let session = SESSIONS.get(number % 3).copied();
                        let tenant = (number == 2).then_some("t");
                        let shown = Shown { jti: TOKENS[number], user, session, tenant, issued_at };
                        let token = written(&issuer, &shown);
                        let kind = send(&api.layer(), bearer(&token.sign())).await.kind();
                        let Some(expected) = log.says(&shown, clock.now()) else { continue };
                        prop_assert!(
                            agree(kind, expected),
                            "{user}, {age} s old: {kind:?}, the log says {expected:?}: {:?}",
                            log.0
                        );
                    }
                }
            }
        }
    }
    Ok(())
}

/// A server that just ended may have a thread that still tidies up.
pub(crate) fn opened(path: &Path) -> Journal {
    for _ in 0..1_000_000 {
        match Journal::open(path) {
            Err(JournalError::Locked { .. }) => std::thread::yield_now(),
            opened => return opened.unwrap(),
        }
    }
    panic!("the journal is not free again")
}

fn written(issuer: &TestIssuer, shown: &Shown<'_>) -> TokenBuilder {
    let mut token = issuer
        .token(RESOURCE)
        .subject(shown.user)
        .client_id("app")
        .claim("jti", shown.jti)
        .issued_at(shown.issued_at)
        .expires_at(shown.issued_at.plus(Duration::from_hours(1)));
    if let Some(session) = shown.session {
        token = token.claim("sid", session);
    }
    if let Some(tenant) = shown.tenant {
        token = token.claim("tid", tenant);
    }
    token
}
