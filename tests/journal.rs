//! The journal through the whole of a server: what was acknowledged is known after any end of the process.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::indexing_slicing,
    reason = "a test fails by panicking, and a child tells its parent what it did"
)]

mod support;

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use portcullis::RejectionKind;
use portcullis::revocation::{
    ApplyError, Claims, Journal, JournalError, Record, Revocation, RevokeError, Target, WhenFull,
};
use portcullis::testing::{ManualClock, TestIssuer};
use portcullis::{ResourceServer, TokenClass};
use support::{ISSUER, RESOURCE, bearer, builder};

/// A journal of one test, which is removed with it.
struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Self {
        let directory = format!("portcullis-journal-test-{}-{name}", std::process::id());
        let directory = std::env::temp_dir().join(directory);
        std::fs::create_dir_all(&directory).unwrap();
        Self(directory)
    }

    fn file(&self) -> PathBuf {
        self.0.join("revocations.redb")
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        drop(std::fs::remove_dir_all(&self.0));
    }
}

struct World {
    clock: ManualClock,
    issuer: TestIssuer,
    api: ResourceServer,
}

impl World {
    fn new(journal: Journal) -> Self {
        Self::at(ManualClock::new(), journal)
    }

    fn at(clock: ManualClock, journal: Journal) -> Self {
        let issuer = TestIssuer::new(ISSUER, &clock);
        let api = builder(&clock)
            .issuer(issuer.fixed_keys())
            .revocation(Revocation::new().journal(journal))
            .build()
            .unwrap();
        Self { clock, issuer, api }
    }

    async fn revoke(&self, jti: &str) -> Result<(), RevokeError> {
        let revocations = self.api.revocations();
        revocations.revoke(Record::token(ISSUER, jti, revocations.now())).await
    }

    async fn is_revoked(&self, jti: &str) -> bool {
        let token = self.issuer.token(RESOURCE).claim("jti", jti).sign();
        match self.api.verify(&bearer(&token)).await {
            Ok(_) => false,
            Err(rejection) => {
                assert_eq!(rejection.kind(), RejectionKind::Revoked);
                true
            }
        }
    }
}

/// The journal, once those who had it are gone.
async fn opened(path: &Path) -> Journal {
    loop {
        match Journal::open(path) {
            Ok(journal) => return journal,
            Err(JournalError::Locked { .. }) => tokio::task::yield_now().await,
            Err(error) => panic!("{error}"),
        }
    }
}

/// Where a child finds its journal.
const PATH: &str = "PORTCULLIS_TEST_JOURNAL";

/// A process of this executable that runs one test of it: see `child_*` below.
fn child(test: &str, path: &Path, by_shell: Option<&str>) -> Child {
    let this = std::env::current_exe().unwrap();
    let arguments = [test, "--exact", "--ignored", "--nocapture", "--test-threads=1"];
    let mut command = match by_shell {
        None => Command::new(this),
        Some(first) => {
            let mut command = Command::new("sh");
            command.arg("-c").arg(format!("{first}; exec \"$0\" \"$@\"")).arg(this);
            command
        }
    };
    let command = command.args(arguments).env(PATH, path);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap()
}

/// Revokes token after token, each once the one before was acknowledged.
#[tokio::test]
#[ignore = "a child of `nothing_acknowledged_is_lost_when_the_process_is_killed`"]
async fn child_revokes() {
    let Some(path) = std::env::var_os(PATH) else { return };
    let world = World::new(Journal::open(Path::new(&path)).unwrap());
    let first = world.api.revocations().records();
    for number in first.. {
        world.revoke(&number.to_string()).await.unwrap();
        println!("acknowledged {number}");
        std::io::stdout().flush().unwrap();
    }
}

/// EVT-01: kill -9, at any moment: every record that was acknowledged is known.
#[tokio::test]
async fn nothing_acknowledged_is_lost_when_the_process_is_killed() {
    let scratch = Scratch::new("killed");
    let mut acknowledged = None;
    let mut spin = 0_u64;
    for round in 0..25_u64 {
        let mut child = child("child_revokes", &scratch.file(), None);
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut read = |line: Option<std::io::Result<String>>| {
            let line = line?.ok()?;
            if let Some((_, number)) = line.split_once("acknowledged ") {
                acknowledged = Some(number.parse::<u64>().unwrap());
            }
            Some(())
        };
        // Sometimes before the first one, sometimes amid many; each time at another place of a write.
        for _ in 0..(round * 7) % 23 {
            if read(lines.next()).is_none() {
                break;
            }
        }
        for _ in 0..round * 10_000 {
            spin = std::hint::black_box(spin + 1);
        }
        child.kill().unwrap();
        child.wait().unwrap();
        while read(lines.next()).is_some() {}

        let world = World::new(opened(&scratch.file()).await);
        let known = u64::try_from(world.api.revocations().records()).unwrap();
        let told = acknowledged.map_or(0, |last| last + 1);
        assert!(told <= known, "round {round}: {told} acknowledged, {known} known");
        assert!(known <= told + 1, "round {round}: one was not acknowledged yet");
        for number in [0, told / 2, told.saturating_sub(1)] {
            assert!(told == 0 || world.is_revoked(&number.to_string()).await, "{number} of {told}");
        }
        assert!(!world.is_revoked(&(known + 1).to_string()).await);
        acknowledged = known.checked_sub(1);
    }
    assert!(acknowledged > Some(30), "{acknowledged:?}");
}

/// Revokes until there is no room, tells so, waits for a line, and revokes on.
#[tokio::test]
#[ignore = "a child of `a_full_disk_is_told_and_survived`"]
async fn child_fills() {
    let Some(path) = std::env::var_os(PATH) else { return };
    let world = World::new(Journal::open(Path::new(&path)).unwrap());
    let long = "x".repeat(2_000);
    let mut number = 0;
    let error = loop {
        let records = (0..50).map(|place| {
            let target = Target::Claims(Claims::subject(format!("{number}-{place}-{long}")));
            let at = world.api.revocations().now();
            Record::new(ISSUER, target, portcullis::revocation::Effect::Refuse, at)
        });
        match world.api.revocations().revoke_all(records).await {
            Ok(()) => number += 1,
            Err(error) => break error,
        }
    };
    let RevokeError::Apply(ApplyError::Journal(error)) = error else { panic!("{error:?}") };
    assert!(matches!(*error, JournalError::Full { .. }), "{error:?}");
    println!("full after {number}: {error}");
    std::io::stdout().flush().unwrap();
    std::io::stdin().read_line(&mut String::new()).unwrap();
    world.revoke("afterwards").await.unwrap();
    println!("acknowledged afterwards");
    std::io::stdout().flush().unwrap();
}

/// EVT-01: no room for the file is an error that says so; the process lives, what was acknowledged is known,
/// and with room again it goes on.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_full_disk_is_told_and_survived() {
    let raises = Command::new("prlimit").arg("--version").output();
    if raises.is_err() {
        eprintln!("no `prlimit` here to give room again: not tested");
        return;
    }
    let scratch = Scratch::new("full");
    // No file of the child's is larger than 4 MiB, until it is allowed to be; the signal that says so is
    // ignored, and the write fails.
    let mut child = child("child_fills", &scratch.file(), Some("trap '' XFSZ; ulimit -S -f 8192"));
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut found =
        |words: &str| lines.by_ref().map(Result::unwrap).find(|line| line.contains(words));
    let full = found("full after").expect("it ends with no room");
    assert!(full.contains("no room") && full.contains("revocations.redb"), "{full}");
    let pid = child.id().to_string();
    let raised = Command::new("prlimit").args(["--pid", &pid, "--fsize=unlimited"]).status();
    assert!(raised.unwrap().success());
    child.stdin.take().unwrap().write_all(b"\n").unwrap();
    assert!(found("acknowledged afterwards").is_some(), "with room again it goes on");
    assert!(child.wait().unwrap().success());

    let stored: u64 = full
        .split_once("full after ")
        .and_then(|(_, text)| text.split_once(':'))
        .map(|(number, _)| number.parse().unwrap())
        .unwrap();
    assert!(stored > 0);
    let world = World::new(opened(&scratch.file()).await);
    assert_eq!(u64::try_from(world.api.revocations().records()).unwrap(), stored * 50 + 1);
    assert!(world.is_revoked("afterwards").await);
}

/// EVT-01: after a restart the first request already meets what was revoked before; without a journal it
/// does not. What was lifted stays lifted.
#[tokio::test]
async fn a_restart_forgets_nothing() {
    let scratch = Scratch::new("restart");
    let world = World::new(opened(&scratch.file()).await);
    let now = world.api.revocations().now();
    let ann = Record::matching(ISSUER, Claims::subject("ann"), now);
    let bob = Record::matching(ISSUER, Claims::subject("bob"), now);
    world.api.revocations().revoke_all([ann, bob.clone()]).await.unwrap();
    world.revoke("a").await.unwrap();
    world.clock.advance(std::time::Duration::from_secs(1));
    world.api.revocations().lift(&bob).await.unwrap();
    let (clock, issued) = (world.clock.clone(), now.as_secs());
    drop(world);

    let world = World::at(clock.clone(), opened(&scratch.file()).await);
    let of = |subject: &str| {
        let token = world.issuer.token(RESOURCE).subject(subject).claim("iat", issued);
        bearer(&token.sign())
    };
    assert!(world.is_revoked("a").await && !world.is_revoked("b").await);
    let refused = world.api.verify(&of("ann")).await.unwrap_err();
    assert_eq!(refused.kind(), RejectionKind::Revoked);
    assert!(world.api.verify(&of("bob")).await.is_ok(), "lifted");
    drop(world);

    let issuer = TestIssuer::new(ISSUER, &clock);
    let without = builder(&clock).issuer(issuer.fixed_keys()).revocation(Revocation::new());
    let token = issuer.token(RESOURCE).claim("jti", "a").sign();
    assert!(without.build().unwrap().verify(&bearer(&token)).await.is_ok());
}

/// A journal with more cut-offs than there is room for is folded as the server says, and never forgotten:
/// what it refused is refused. Where nothing is folded all of them come back.
#[tokio::test]
async fn a_restart_with_less_room_folds_where_it_may() {
    let scratch = Scratch::new("less-room");
    let world = World::new(opened(&scratch.file()).await);
    let (clock, now) = (world.clock.clone(), world.api.revocations().now());
    let user = |number: usize| format!("user-{number}");
    let records =
        (0..20).map(|number| Record::matching(ISSUER, Claims::subject(user(number)), now));
    world.api.revocations().revoke_all(records).await.unwrap();
    drop(world);

    for (when_full, left, bystander_passes) in
        [(WhenFull::FoldCutOffs, 0..=10, false), (WhenFull::Refuse, 20..=20, true)]
    {
        let issuer = TestIssuer::new(ISSUER, &clock);
        let journal = opened(&scratch.file()).await;
        let revocation = Revocation::new().journal(journal).max_records(10).when_full(when_full);
        let api = builder(&clock).issuer(issuer.fixed_keys()).revocation(revocation);
        let api = api.build().unwrap();
        let found = api.revocations().records();
        assert!(left.contains(&found), "{when_full:?}: {found}");
        let of = |subject: &str| bearer(&issuer.token(RESOURCE).subject(subject).sign());
        for number in 0..20 {
            let refused = api.verify(&of(&user(number))).await.unwrap_err();
            assert_eq!(refused.kind(), RejectionKind::Revoked, "{when_full:?}");
        }
        assert_eq!(api.verify(&of("bystander")).await.is_ok(), bystander_passes, "{when_full:?}");
    }
}

/// Decision 11: cut-offs were dropped by the lifetime that tokens had; a longer one would let old tokens pass.
#[tokio::test]
async fn a_longer_lifetime_than_before_is_a_fault() {
    let scratch = Scratch::new("life");
    let clock = ManualClock::new();
    let issuer = TestIssuer::new(ISSUER, &clock);
    let built = |hours: u64, journal: Journal| {
        let class = TokenClass::default_at_most(std::time::Duration::from_hours(hours));
        ResourceServer::builder(RESOURCE)
            .binding(portcullis::Binding::WhereBound)
            .class(class)
            .clock(clock.clone())
            .issuer(issuer.fixed_keys())
            .revocation(Revocation::new().journal(journal))
            .build()
    };
    drop(built(2, opened(&scratch.file()).await).unwrap());
    drop(built(2, opened(&scratch.file()).await).unwrap());
    let error = built(3, opened(&scratch.file()).await).unwrap_err();
    let places: Vec<_> = error.places().map(|(place, _)| place).collect();
    assert_eq!(places, ["revocation.journal"], "{error}");
    drop(built(1, opened(&scratch.file()).await).unwrap());
    assert!(built(2, opened(&scratch.file()).await).is_err());
}
