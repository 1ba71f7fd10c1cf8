//! Threads: whatever they do at once, no decision that begins after a revocation or a withdrawal returned is
//! a yes.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::thread;

use portcullis::issuer::TenantList;
use portcullis::revocation::{Claims, Effect, Hold, Record, Revocation, Target};
use portcullis::testing::{ManualClock, TestIssuer};
use portcullis::time::Clock as _;
use portcullis::{RejectionKind as Kind, ResourceServer};

use crate::support::{ISSUER, RESOURCE, bearer, builder};

/// How many users, each with a token of each of two issuers.
const USERS: usize = 8;
/// How often each of the two that change something does so.
const CHANGES: u64 = 200;
/// How often each of the six that ask does so at most.
const QUESTIONS: usize = 1_000_000;

/// On a thread that has nothing else to do: a first signature may have to wait for its turn.
fn ready<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(future)
}

/// What is true, and since when: an odd number while it is refused for sure.
#[derive(Default)]
struct State(AtomicU64);

impl State {
    /// From now on, after it was said.
    fn refused(&self) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }

    /// No longer, before it is taken back.
    fn open(&self) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }

    fn read(&self) -> u64 {
        self.0.load(Ordering::SeqCst)
    }
}

/// Attacks 27 and 41, against the clock of the machine: six threads use twenty tokens, one holds and
/// releases users, one withdraws and publishes keys.
#[test]
fn no_decision_after_a_revocation_is_a_yes() {
    let clock = ManualClock::new();
    let issuer = TestIssuer::new(ISSUER, &clock);
    let tenant = TestIssuer::new("https://tenant.example", &clock);
    let other_keys = TestIssuer::new("https://tenant.example", &clock);
    let tenants = TenantList::new();
    tenants.add(tenant.fixed_keys()).unwrap();
    let api = builder(&clock)
        .issuer(issuer.fixed_keys())
        .tenants(tenants.clone(), 10)
        .revocation(Revocation::new())
        .build()
        .unwrap();
    let user = |number: usize| format!("user-{number}");
    let tokens = |issuer: &TestIssuer| -> Vec<_> {
        (0..USERS).map(|n| bearer(&issuer.token(RESOURCE).subject(&user(n)).sign())).collect()
    };
    let (plain, of_tenant) = (tokens(&issuer), tokens(&tenant));
    let held: Vec<State> = (0..USERS).map(|_| State::default()).collect();
    let withdrawn = State::default();
    let (changing, yes, no) = (AtomicUsize::new(2), AtomicUsize::new(0), AtomicUsize::new(0));

    let ask = |turn: usize| {
        let number = turn % USERS;
        let is_of_tenant = turn / USERS % 2 == 1;
        let request = if is_of_tenant { &of_tenant[number] } else { &plain[number] };
        let state = if is_of_tenant { &withdrawn } else { &held[number] };
        let before = state.read();
        let decided = ready(api.verify(request)).map_err(|rejection| rejection.kind());
        let same = before == state.read();
        match decided {
            Ok(_) => {
                assert!(!same || before % 2 == 0, "a yes to what is refused: {number}");
                yes.fetch_add(1, Ordering::Relaxed);
            }
            Err(kind) => {
                assert!(!same || before % 2 == 1 || kind == Kind::Suspended || is_of_tenant);
                let expected = if is_of_tenant { Kind::BadSignature } else { Kind::Suspended };
                assert!(kind == expected || is_of_tenant && kind == Kind::UnknownKey, "{kind:?}");
                no.fetch_add(1, Ordering::Relaxed);
            }
        }
    };
    thread::scope(|scope| {
        for offset in 0..6 {
            let (ask, changing) = (&ask, &changing);
            scope.spawn(move || {
                for turn in 0..QUESTIONS {
                    ask(turn + offset * 3);
                    if changing.load(Ordering::Relaxed) == 0 && turn > 1_000 {
                        break;
                    }
                }
            });
        }
        scope.spawn(|| {
            for change in 0..CHANGES {
                let number = usize::try_from(change).unwrap() % USERS;
                let record = |effect, more: u64| {
                    let at = clock.now().plus(std::time::Duration::from_millis(2 * change + more));
                    let target = Target::Claims(Claims::subject(user(number)));
                    Record::new(ISSUER, target, effect, at)
                };
                ready(api.revocations().revoke(record(Effect::Hold(Hold::Account), 0))).unwrap();
                held[number].refused();
                thread::yield_now();
                held[number].open();
                let release = record(Effect::Release(Hold::Account), 1);
                ready(api.revocations().revoke(release)).unwrap();
            }
            changing.fetch_sub(1, Ordering::Relaxed);
        });
        scope.spawn(|| {
            for _ in 0..CHANGES {
                tenants.add(other_keys.fixed_keys()).unwrap();
                withdrawn.refused();
                thread::yield_now();
                withdrawn.open();
                tenants.add(tenant.fixed_keys()).unwrap();
                thread::yield_now();
            }
            changing.fetch_sub(1, Ordering::Relaxed);
        });
    });
    let passes = |api: &ResourceServer| {
        plain.iter().chain(&of_tenant).filter(|token| ready(api.verify(*token)).is_ok()).count()
    };
    assert_eq!(passes(&api), 2 * USERS, "all was taken back");
    assert_eq!(api.known_tokens_health().tokens, 2 * USERS);
    let (yes, no) = (yes.into_inner(), no.into_inner());
    assert!(yes > 1_000 && no > 100, "{yes} and {no}: both were met");

    // And for good.
    let revoked = &State::default();
    thread::scope(|scope| {
        let ask = || {
            let before = revoked.read();
            let decided = ready(api.verify(&plain[0]));
            assert!(before == 0 || decided.is_err(), "a yes to what was revoked");
        };
        for _ in 0..6 {
            scope.spawn(move || (0..5_000).for_each(|_| ask()));
        }
        let record = Record::matching(ISSUER, Claims::subject(user(0)), clock.now());
        ready(api.revocations().revoke(record)).unwrap();
        revoked.refused();
    });
    assert_eq!(passes(&api), 2 * USERS - 1);
}
