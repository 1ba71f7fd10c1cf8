//! The journal against a naive model, against disks that fail, and against files that are not its own.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

use proptest::prelude::*;
use redb::StorageBackend;

use super::super::record::{Claim, Claims, Effect, Hold, Target};
use super::super::{LEEWAYS_MOST, RELEASES_ARE_KEPT};
use super::row::Row;
use super::*;
use crate::time::Moment;

const LIFE: Duration = Duration::from_hours(1);

/// A directory of this test, which is removed with it.
struct Scratch(PathBuf);

impl Scratch {
    fn new() -> Self {
        static NUMBER: AtomicUsize = AtomicUsize::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("portcullis-journal-{}-{number}", std::process::id());
        let path = std::env::temp_dir().join(name);
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn file(&self) -> PathBuf {
        self.0.join("revocations.redb")
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        drop(fs::remove_dir_all(&self.0));
    }
}

fn at(seconds: u64) -> Timestamp {
    Timestamp::from_secs(seconds)
}

fn token(jti: &str, time: u64) -> Record {
    Record::token("https://as.example", jti, at(time))
}

fn commit(
    journal: &Journal,
    records: impl IntoIterator<Item = Record>,
) -> Result<(), JournalError> {
    journal.commit(&[Entry { source: "local", batch: &Batch::of(records) }])
}

/// Everything that is kept, in an order that says nothing of how it is kept.
fn kept(journal: &Journal) -> Vec<Said> {
    let mut all = Vec::new();
    journal.load(&mut |record| all.push(said(&record))).unwrap();
    all.sort();
    all
}

/// A record as values that can be ordered and printed.
type Said = (String, Target, Effect, Timestamp, Option<Timestamp>);

fn said(record: &Record) -> Said {
    let Record { issuer, target, effect, at, until } = record.clone();
    (issuer.into(), target, effect, at, until)
}

/// All that was ever said, read anew for each question.
#[derive(Default)]
struct Naive {
    log: Vec<Record>,
    /// How long tokens matter, also of what was lifted.
    untils: BTreeMap<(String, Target), Vec<Option<Timestamp>>>,
}

impl Naive {
    fn say(&mut self, record: &Record) {
        self.log.push(record.clone());
        if let (Target::Token(_), Effect::Refuse | Effect::StepUp) = (&record.target, record.effect)
        {
            let target = (record.issuer.to_string(), record.target.clone());
            self.untils.entry(target).or_default().push(record.until);
        }
    }

    /// `None` inside: nobody knows.
    fn until(&self, about: &(String, Target)) -> Option<Option<Timestamp>> {
        let untils = self.untils.get(about)?;
        Some(if untils.contains(&None) { None } else { *untils.iter().max().unwrap() })
    }

    fn kept(&self) -> Vec<Said> {
        let mut all = Vec::new();
        let mut targets: Vec<_> = self
            .log
            .iter()
            .map(|record| (record.issuer.to_string(), record.target.clone()))
            .collect();
        targets.sort();
        targets.dedup();
        for about in targets {
            let of_it = |record: &&Record| *record.issuer == *about.0 && record.target == about.1;
            let said: Vec<_> = self.log.iter().filter(of_it).collect();
            let lifted = said
                .iter()
                .filter(|record| record.effect == Effect::Lift)
                .map(|record| record.at)
                .max();
            let counts: Vec<_> = said.iter().filter(|record| Some(record.at) > lifted).collect();
            let mut tell =
                |effect, at, until| all.push((about.0.clone(), about.1.clone(), effect, at, until));
            if let Some(at) = lifted {
                tell(Effect::Lift, at, None);
            }
            for effect in [Effect::Refuse, Effect::StepUp, Effect::Purge] {
                let latest = counts
                    .iter()
                    .filter(|record| record.effect == effect)
                    .map(|record| record.at)
                    .max();
                if let Some(at) = latest {
                    let until =
                        if effect == Effect::Purge { None } else { self.until(&about).flatten() };
                    tell(effect, at, until);
                }
            }
            for hold in Hold::ALL {
                // The stricter last: `max_by_key` takes the last of equals.
                let words =
                    [Effect::Release(*hold), Effect::HoldForStepUp(*hold), Effect::Hold(*hold)];
                let last = words
                    .iter()
                    .flat_map(|word| counts.iter().filter(move |record| record.effect == *word))
                    .max_by_key(|record| record.at);
                if let Some(record) = last {
                    tell(record.effect, record.at, None);
                }
            }
        }
        all.sort();
        all
    }

    fn purge(&mut self, now: Timestamp, life: Duration) {
        let old = |at: Timestamp, kept: Duration| at.plus(kept) < now;
        let before = self.kept();
        for (issuer, target, effect, said_at, _) in &before {
            let (about, effect, said_at) = ((issuer.clone(), target.clone()), *effect, *said_at);
            let until = self.until(&about);
            let is_over = until.flatten().is_some_and(|until| until.plus(LEEWAYS_MOST) <= now);
            let could_live = before.iter().any(|said| {
                let cuts_off = matches!(said.2, Effect::Refuse | Effect::StepUp);
                (&said.0, &said.1) == (issuer, target) && cuts_off && !old(said.3, life)
            });
            let goes = match (until, effect) {
                _ if is_over && !could_live => true,
                (Some(Some(_)), Effect::Refuse | Effect::StepUp) if !is_over => false,
                (_, Effect::Refuse | Effect::StepUp) => old(said_at, life),
                (_, Effect::Lift | Effect::Release(_)) => old(said_at, life + RELEASES_ARE_KEPT),
                _ => false,
            };
            if goes {
                let register = |effect| match effect {
                    Effect::Hold(hold) | Effect::HoldForStepUp(hold) | Effect::Release(hold) => {
                        Some(hold)
                    }
                    _ => None,
                };
                self.log.retain(|record| {
                    // What was lifted stays lifted: it goes with the lift at the latest.
                    let lifted = effect == Effect::Lift && record.at <= said_at;
                    let same = lifted
                        || register(record.effect)
                            .map_or(record.effect == effect, |hold| register(effect) == Some(hold));
                    !(*record.issuer == *about.0 && record.target == about.1 && same)
                });
            }
        }
        let alive = self.kept();
        self.untils
            .retain(|about, _| alive.iter().any(|said| said.0 == about.0 && said.1 == about.1));
    }
}

fn effects() -> impl Strategy<Value = Effect> {
    let hold = || prop::sample::select(Hold::ALL);
    prop_oneof![
        4 => Just(Effect::Refuse),
        2 => Just(Effect::StepUp),
        1 => Just(Effect::Purge),
        2 => Just(Effect::Lift),
        1 => hold().prop_map(Effect::Hold),
        1 => hold().prop_map(Effect::HoldForStepUp),
        1 => hold().prop_map(Effect::Release),
    ]
}

fn records() -> impl Strategy<Value = Record> {
    let target = prop_oneof![
        3 => prop::sample::select(vec!["a", "ab", "f81d4fae-7dec-11d0-a765-00a0c91e6bf6"])
            .prop_map(|jti| Target::Token(jti.into())),
        1 => Just(Target::Key("a".into())),
        1 => Just(Target::Issuer),
        2 => prop::sample::select(vec!["ann", "bob"]).prop_map(|sub| Target::Claims(Claims::subject(sub))),
        1 => Just(Target::Claims(Claims::subject("ann").and_session("1"))),
        1 => Just(Target::Claims(Claims::one(Claim::Named("sub".into()), "ann"))),
    ];
    let issuer = prop::sample::select(vec!["https://as.example", "https://b.example"]);
    // Times that meet, some of them not whole seconds, over as many weeks as anything is kept.
    let time = || {
        let step = prop_oneof![0_u64..6, (0_u64..400).prop_map(|hour| hour * 3_600)];
        (step, prop::sample::select(vec![0_u32, 1])).prop_map(|(seconds, nanos)| {
            Timestamp::from_duration(Duration::new(10_000 + seconds, nanos))
        })
    };
    (issuer, target, effects(), time(), prop::option::of(time())).prop_map(
        |(issuer, target, effect, at, until)| Record {
            until,
            ..Record::new(issuer, target, effect, at)
        },
    )
}

#[derive(Clone, Debug)]
enum Step {
    Commit(Vec<Vec<Record>>),
    Purge(u64),
    Restart,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let batch = || prop::collection::vec(records(), 0..6);
    let step = prop_oneof![
        6 => prop::collection::vec(batch(), 1..3).prop_map(Step::Commit),
        1 => (0_u64..700).prop_map(|hours| Step::Purge(10_000 + hours * 3_600)),
        1 => Just(Step::Restart),
    ];
    prop::collection::vec(step, 1..12)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    /// EVT-01: what is kept is what the whole log says, whatever was committed, repeated, lifted, purged,
    /// and however often it was started anew.
    #[test]
    fn it_keeps_what_a_log_of_everything_says(steps in steps()) {
        let disk = SimulatedDisk::default();
        let mut journal = disk.journal();
        let mut naive = Naive::default();
        for step in steps {
            match step {
                Step::Commit(batches) => {
                    let batches: Vec<_> = batches.into_iter().map(Batch::of).collect();
                    let entries: Vec<_> =
                        batches.iter().map(|batch| Entry { source: "s", batch }).collect();
                    journal.commit(&entries).unwrap();
                    batches.iter().flat_map(|batch| &batch.records).for_each(|record| naive.say(record));
                }
                Step::Purge(now) => {
                    journal.purge(at(now), LIFE).unwrap();
                    naive.purge(at(now), LIFE);
                }
                Step::Restart => {
                    drop(journal);
                    journal = disk.journal();
                }
            }
            prop_assert_eq!(kept(&journal), naive.kept());
        }
    }

    /// Attack 40: the order in which it was said makes no difference, nor that it was said twice.
    #[test]
    fn order_and_repetition_make_no_difference(
        records in prop::collection::vec(records(), 1..12),
        again in prop::collection::vec(any::<prop::sample::Index>(), 1..12),
    ) {
        let (one, other) = (SimulatedDisk::default().journal(), SimulatedDisk::default().journal());
        commit(&one, records.clone()).unwrap();
        for index in again {
            commit(&other, [index.get(&records).clone()]).unwrap();
        }
        for record in records.iter().rev() {
            commit(&other, [record.clone()]).unwrap();
        }
        prop_assert_eq!(kept(&one), kept(&other));
    }

    /// EVT-01: what was said comes back as it was said.
    #[test]
    fn a_row_is_read_as_it_was_written(records in prop::collection::vec(records(), 0..8)) {
        let mut row = Row::default();
        records.iter().for_each(|record| row.apply(record));
        let mut bytes = Vec::new();
        row.encode(&mut bytes);
        prop_assert_eq!(Row::decode(&bytes), (!records.is_empty()).then_some(row));
    }

    /// Whatever is on the disk, reading it is no panic, and what is read is written so.
    #[test]
    fn bytes_are_a_row_in_one_spelling_or_none(
        bytes in prop::collection::vec(prop_oneof![0_u8..30, Just(0x81), any::<u8>()], 0..24),
    ) {
        if let Some(row) = Row::decode(&bytes) {
            let mut again = Vec::new();
            row.encode(&mut again);
            prop_assert_eq!(again, bytes);
        }
    }
}

/// A row is read in the one spelling in which it is written, and a time within its bounds.
/// Whatever differs from that is damage.
#[test]
fn a_row_has_one_spelling_and_its_times_have_bounds() {
    let time = |tag: u8, seconds: u64, nanos: &[u8]| {
        let mut row = vec![tag];
        row.extend_from_slice(&seconds.to_be_bytes()[3..]);
        row.extend_from_slice(nanos);
        row
    };
    let (last, most) = (Timestamp::MAX_SECONDS, 999_999_999_u32.to_be_bytes());
    for (name, row, is_read) in [
        ("whole second", time(1, 5, b""), true),
        ("the last second", time(1, last, b""), true),
        ("a second more", time(1, last + 1, b""), false),
        ("a nanosecond", time(0x81, 5, &1_u32.to_be_bytes()), true),
        ("a nanosecond before the last second", time(0x81, last - 1, &most), true),
        ("a nanosecond more", time(0x81, last, &1_u32.to_be_bytes()), false),
        ("no nanosecond", time(0x81, 5, &[0; 4]), false),
        ("a second of nanoseconds", time(0x81, 5, &1_000_000_000_u32.to_be_bytes()), false),
        ("until", [time(1, 5, b""), time(5, 9, b"")].concat(), true),
        ("until nobody knows", [time(1, 5, b""), vec![6]].concat(), true),
        ("both", [time(5, 9, b""), vec![6]].concat(), false),
        ("both, with a time", [time(5, 9, b""), time(6, 9, b"")].concat(), false),
        ("nothing", Vec::new(), false),
        ("out of order", [time(2, 5, b""), time(1, 5, b"")].concat(), false),
        ("cut short", time(1, 5, b"")[..5].to_vec(), false),
    ] {
        let found = Row::decode(&row);
        assert_eq!(found.is_some(), is_read, "{name}: {found:?}");
        if let Some(found) = found {
            let mut again = Vec::new();
            found.encode(&mut again);
            assert_eq!(again, row, "{name}");
        }
    }
    // Of every tag: holds are nine, three words for each of three places.
    let holds = [16, 17, 18, 20, 21, 22, 24, 25, 26];
    for tag in 0..0x80 {
        let is_tag = (1..=5).contains(&tag) || holds.contains(&tag);
        assert_eq!(Row::decode(&time(tag, 5, b"")).is_some(), is_tag, "{tag}");
    }
}

/// Of a time with a whole second of nanoseconds there is another spelling.
#[test]
fn a_duration_has_less_than_a_second_of_nanoseconds() {
    for (nanos, expected) in [
        (0, Some(Duration::from_secs(7))),
        (999_999_999, Some(Duration::new(7, 999_999_999))),
        (1_000_000_000, None),
    ] {
        let bytes = [&7_u64.to_be_bytes()[..], &u32::to_be_bytes(nanos)].concat();
        assert_eq!(read_duration(&mut &*bytes), expected, "{nanos}");
    }
}

/// EVT-01: each kind of record lives for as long as it can matter, and no shorter by a second.
#[test]
fn what_can_matter_no_more_is_dropped_and_nothing_else() {
    let week = Duration::from_hours(24 * 7);
    let ann = || Target::Claims(Claims::subject("ann"));
    let said = |target, effect| Record::new("https://as.example", target, effect, at(1_000_000));
    for (name, record, last) in [
        (
            "token with an exp within its life",
            token("a", 1_000_000).until(at(1_000_500)),
            Some(3_600),
        ),
        (
            "token with an exp past its life",
            token("a", 1_000_000).until(at(2_000_000)),
            Some(1_000_599),
        ),
        ("token without exp", token("a", 1_000_000), Some(3_600)),
        ("cut-off", said(ann(), Effect::Refuse), Some(3_600)),
        ("cut-off for a step-up", said(ann(), Effect::StepUp), Some(3_600)),
        ("whole issuer", said(Target::Issuer, Effect::Refuse), Some(3_600)),
        ("release", said(ann(), Effect::Release(Hold::Risk)), Some(3_600 + week.as_secs())),
        ("lift", said(ann(), Effect::Lift), Some(3_600 + week.as_secs())),
        ("hold", said(ann(), Effect::Hold(Hold::Account)), None),
        ("hold for a step-up", said(ann(), Effect::HoldForStepUp(Hold::Device)), None),
        ("purged", said(ann(), Effect::Purge), None),
        ("key", Record::key("https://as.example", "k", at(1_000_000)), None),
    ] {
        let disk = SimulatedDisk::default();
        let journal = disk.journal();
        commit(&journal, [record]).unwrap();
        let before = kept(&journal);
        let Some(last) = last else {
            assert_eq!(journal.purge(at(Timestamp::MAX_SECONDS), LIFE).unwrap(), 0, "{name}");
            assert_eq!(kept(&journal), before, "{name}");
            continue;
        };
        assert_eq!(journal.purge(at(1_000_000 + last), LIFE).unwrap(), 0, "{name}");
        assert_eq!(kept(&journal), before, "{name}");
        assert_eq!(journal.purge(at(1_000_000 + last + 1), LIFE).unwrap(), 1, "{name}");
        assert_eq!(kept(&journal), [], "{name}");
    }
}

/// EVT-01: bounded memory, bounded work: what is over goes bit by bit, and every row has its turn.
#[test]
fn a_purge_ends_before_everything_is_gone_and_the_next_goes_on() {
    let disk = SimulatedDisk::default();
    let journal = disk.journal();
    let old = |number: usize| token(&format!("old-{number}"), 1_000).until(at(2_000));
    let live = |number: usize| token(&format!("live-{number}"), 1_000).until(at(9_000));
    let all = (0..Journal::DROPPED + 100).flat_map(|number| [old(number), live(number)]);
    commit(&journal, all).unwrap();
    assert_eq!(journal.purge(at(5_000), LIFE).unwrap(), Journal::DROPPED);
    assert_eq!(journal.purge(at(5_000), LIFE).unwrap(), 100);
    assert_eq!(journal.purge(at(5_000), LIFE).unwrap(), 0);
    assert_eq!(kept(&journal).len(), Journal::DROPPED + 100, "the others");
    let mut calls = 0;
    while !kept(&journal).is_empty() {
        journal.purge(at(10_000), LIFE).unwrap();
        calls += 1;
    }
    assert_eq!(calls, 2, "it begins anew when it has seen all");
}

/// EVT-01: what a source wants to find again is found, with the records and not without them.
#[test]
fn a_source_finds_again_what_it_left() {
    let scratch = Scratch::new();
    let journal = Journal::open(scratch.file()).unwrap();
    assert_eq!(journal.source("feed").unwrap(), KeptSource::default());
    assert_eq!(journal.longest_life().unwrap(), None);
    let asked = Moment::new(Timestamp::from_duration(Duration::new(1_000, 7)), Duration::ZERO);
    let with_state = Batch::of([token("a", 5)]).state(*b"forty-two").synchronised(asked);
    let other = Batch::default().state(*b"");
    journal
        .commit(&[
            Entry { source: "feed", batch: &with_state },
            Entry { source: "other", batch: &other },
        ])
        .unwrap();
    journal.set_longest_life(LIFE).unwrap();
    let later = Moment::new(at(900), Duration::ZERO);
    commit(&journal, [token("b", 5)]).unwrap();
    drop(journal);

    let journal = Journal::open(scratch.file()).unwrap();
    let found = journal.source("feed").unwrap();
    assert_eq!(found.state.as_deref(), Some(&b"forty-two"[..]));
    assert_eq!(found.synchronised, Some(asked.wall()));
    assert_eq!(journal.source("other").unwrap().state.as_deref(), Some(&b""[..]));
    assert_eq!(journal.source("local").unwrap(), KeptSource::default());
    assert_eq!(journal.longest_life().unwrap(), Some(LIFE));
    // Without a state the old one stays; a clock that was put back is believed.
    journal
        .commit(&[Entry { source: "feed", batch: &Batch::default().synchronised(later) }])
        .unwrap();
    let found = journal.source("feed").unwrap();
    assert_eq!(found.state.as_deref(), Some(&b"forty-two"[..]));
    assert_eq!(found.synchronised, Some(later.wall()));
    assert_eq!(kept(&journal).len(), 2);
    assert!(format!("{journal:?}").contains("revocations.redb"));
}

/// Attack 41: a journal that cannot be read is an error that says so, and never an empty one.
#[test]
fn nothing_is_begun_anew_in_place_of_what_is_there() {
    let scratch = Scratch::new();
    let path = scratch.file();
    let error = || Journal::open(&path).unwrap_err();

    fs::write(&path, "").unwrap();
    assert!(matches!(error(), JournalError::Damaged { .. }), "empty");
    assert_eq!(fs::read(&path).unwrap(), b"");
    fs::write(&path, "{\"revoked\": []}").unwrap();
    assert!(matches!(error(), JournalError::NotAJournal { .. }), "other file");
    assert_eq!(fs::read(&path).unwrap(), b"{\"revoked\": []}");
    fs::remove_file(&path).unwrap();
    fs::create_dir(&path).unwrap();
    assert!(!matches!(error(), JournalError::Damaged { .. }), "directory");
    fs::remove_dir(&path).unwrap();

    // A database of somebody else, with a table of the same name or without.
    let table = redb::TableDefinition::<u64, u64>::new("meta");
    let database = Database::create(&path).unwrap();
    drop(database);
    assert!(matches!(error(), JournalError::NotAJournal { .. }));
    let database = Database::create(&path).unwrap();
    let transaction = database.begin_write().unwrap();
    transaction.open_table(table).unwrap().insert(1, 2).unwrap();
    transaction.commit().unwrap();
    drop(database);
    assert!(matches!(error(), JournalError::NotAJournal { .. }));
    let database = Database::open(&path).unwrap();
    let reading = database.begin_read().unwrap();
    let meta = reading.open_table(table).unwrap();
    assert_eq!(meta.get(1).unwrap().unwrap().value(), 2, "it is left as it was");
    drop((meta, reading, database));
    fs::remove_file(&path).unwrap();

    // A version of tomorrow.
    drop(Journal::open(&path).unwrap());
    let database = Database::open(&path).unwrap();
    let transaction = database.begin_write().unwrap();
    transaction
        .open_table(META)
        .unwrap()
        .insert("format", &b"portcullis revocations 2"[..])
        .unwrap();
    transaction.commit().unwrap();
    drop(database);
    let found = error();
    assert!(matches!(found, JournalError::Version { .. }), "{found}");
    assert!(found.to_string().contains("format 2"), "{found}");

    let nowhere = Journal::open(scratch.0.join("no/such/directory/journal"));
    assert!(matches!(nowhere.unwrap_err(), JournalError::Io { .. }));
    assert!(matches!(
        Journal::open("/").unwrap_err(),
        JournalError::Io { .. }
            | JournalError::NotAJournal { .. }
            | JournalError::Permission { .. }
    ));
}

/// EVT-01: what an attempt to begin one left behind is no hindrance, and no journal.
#[test]
fn a_new_journal_is_whole_from_its_first_moment() {
    let scratch = Scratch::new();
    let new = scratch.0.join("revocations.redb.new");
    for left in [&b""[..], b"redb", b"redb\x1a\x0a\xa9\x0d\x0a", &[0; 4_096]] {
        fs::write(&new, left).unwrap();
        let journal = Journal::open(scratch.file()).unwrap();
        commit(&journal, [token("a", 1)]).unwrap();
        drop(journal);
        assert!(!new.exists());
        assert_eq!(kept(&Journal::open(scratch.file()).unwrap()).len(), 1);
        fs::remove_file(scratch.file()).unwrap();
    }
    // Whoever else is about to begin one has it.
    let other = Database::create(&new).unwrap();
    assert!(matches!(Journal::open(scratch.file()), Err(JournalError::Locked { .. })));
    drop(other);
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        let journal = Journal::open(scratch.file()).unwrap();
        let mode = fs::metadata(scratch.file()).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "for its owner only");
        drop(journal);
    }
}

/// EVT-01: nothing is acknowledged that is written to a file that nobody will find.
#[cfg(unix)]
#[test]
fn a_file_that_is_taken_away_acknowledges_nothing() {
    let scratch = Scratch::new();
    let journal = Journal::open(scratch.file()).unwrap();
    commit(&journal, [token("a", 1)]).unwrap();
    let aside = scratch.0.join("aside");
    fs::rename(scratch.file(), &aside).unwrap();
    assert!(matches!(commit(&journal, [token("b", 1)]), Err(JournalError::Gone { .. })));
    fs::copy(&aside, scratch.file()).unwrap();
    assert!(matches!(commit(&journal, [token("b", 1)]), Err(JournalError::Gone { .. })));
    fs::rename(&aside, scratch.file()).unwrap();
    commit(&journal, [token("b", 1)]).unwrap();
    assert_eq!(kept(&journal).len(), 2);
}

/// Attack 41: a file that is torn or was changed has everything that was acknowledged, or is an error.
#[test]
fn a_torn_file_is_an_error_or_knows_everything() {
    let scratch = Scratch::new();
    let (torn, path) = (scratch.0.join("torn"), scratch.file());
    let journal = Journal::open(&path).unwrap();
    let mut expected = Vec::new();
    for number in 0..40_u64 {
        let batch: Vec<_> = (0..50)
            .map(|place| {
                token(
                    &format!("{:x}", (number * 50 + place).wrapping_mul(0x9e37_79b9_7f4a_7c15)),
                    1,
                )
            })
            .collect();
        expected.extend(batch.iter().map(said));
        commit(&journal, batch).unwrap();
    }
    expected.sort();
    // As the end of the power leaves it, and as the end of the process does.
    let unclean = fs::read(&path).unwrap();
    drop(journal);
    let clean = fs::read(&path).unwrap();
    let mut dice = Dice(7);
    let (mut errors, mut whole) = (0, 0);
    for round in 0..120 {
        let mut bytes = if round % 2 == 0 { unclean.clone() } else { clean.clone() };
        let length = bytes.len();
        match dice.below(5) {
            0 => bytes.truncate(dice.below(length)),
            1 => bytes.truncate(length - length.min(4_096 * (1 + dice.below(8)))),
            2 => bytes.extend(vec![0; 1 + dice.below(8_192)]),
            3 => {
                let page = dice.below(length / 4_096) * 4_096;
                bytes[page..page + 4_096].fill(0);
            }
            _ => {
                for _ in 0..=dice.below(20) {
                    bytes[dice.below(length)] ^= 1 << dice.below(8);
                }
            }
        }
        fs::write(&torn, &bytes).unwrap();
        match Journal::open(&torn) {
            Err(
                JournalError::Damaged { .. }
                | JournalError::NotAJournal { .. }
                | JournalError::Version { .. },
            ) => errors += 1,
            Err(other) => panic!("round {round}: {other:?}"),
            Ok(journal) => {
                assert_eq!(kept(&journal), expected, "round {round}");
                whole += 1;
            }
        }
        fs::remove_file(&torn).unwrap();
    }
    assert!(errors > 20 && whole > 5, "both happened: {errors}, {whole}");
}

/// EVT-01: the power goes at any write, and any part of what was not yet on the disk is lost: what was
/// acknowledged is known, and of what was not either all or nothing.
#[test]
fn the_end_of_the_power_takes_nothing_that_was_acknowledged() {
    let mut dice = Dice(11);
    let mut seen = [0; 2];
    for round in 0..150 {
        let disk = SimulatedDisk::default();
        let journal = disk.journal();
        disk.fail_after(dice.below(60));
        let mut acknowledged = 0_u64;
        let batch = |number: u64| (0..20).map(move |place| token(&format!("{number}-{place}"), 1));
        while commit(&journal, batch(acknowledged)).is_ok() {
            acknowledged += 1;
        }
        drop(journal);
        disk.lose_power(&mut dice);
        let found = kept(&disk.journal());
        let known = |number| {
            let of_it = batch(number).map(|record| said(&record));
            of_it.filter(|said| found.binary_search(said).is_ok()).count()
        };
        for number in 0..acknowledged {
            assert_eq!(known(number), 20, "round {round}, {number} of {acknowledged}");
        }
        match known(acknowledged) {
            0 => seen[0] += 1,
            20 => seen[1] += 1,
            some => panic!("round {round}: {some} of 20"),
        }
        assert_eq!(known(acknowledged + 1), 0);
    }
    assert!(seen[0] > 0, "{seen:?}");
}

/// EVT-01: a full disk is an error that says so, at whichever write; nothing of it counts, everything
/// before does, and with room again later writes work.
#[test]
fn a_full_disk_is_told_and_survived() {
    let mut dice = Dice(13);
    let mut full = 0;
    for round in 0..100 {
        let disk = SimulatedDisk::default();
        let journal = disk.journal();
        commit(&journal, [token("before", 1)]).unwrap();
        disk.fail_after(dice.below(25));
        let mut stored = vec![said(&token("before", 1))];
        for number in 0..4 {
            let record = token(&format!("during-{number}"), 1);
            match commit(&journal, [record.clone()]) {
                Ok(()) => stored.push(said(&record)),
                Err(JournalError::Full { .. }) => full += 1,
                Err(other) => panic!("round {round}: {other:?}"),
            }
        }
        disk.disk().fail_at = None;
        let found = kept(&journal);
        assert!(stored.iter().all(|said| found.contains(said)), "round {round}");
        commit(&journal, [token("after", 1)]).unwrap();
        stored.push(said(&token("after", 1)));
        drop(journal);
        let found = kept(&disk.journal());
        assert!(stored.iter().all(|said| found.contains(said)), "round {round}");
    }
    assert!(full > 100, "{full}");
}

/// What the system says becomes what an operator can act upon.
#[test]
fn errors_say_what_to_do() {
    let path = Path::new("/var/lib/revocations");
    for (kind, words) in [
        (io::ErrorKind::StorageFull, "no room"),
        (io::ErrorKind::QuotaExceeded, "no room"),
        (io::ErrorKind::FileTooLarge, "no room"),
        (io::ErrorKind::PermissionDenied, "has to read and write"),
        (io::ErrorKind::ReadOnlyFilesystem, "has to read and write"),
        (io::ErrorKind::UnexpectedEof, "damaged"),
        (io::ErrorKind::TimedOut, "timed out"),
    ] {
        let error = Fault::from(io::Error::from(kind)).of(path).to_string();
        assert!(error.contains(words) && error.contains("/var/lib/revocations"), "{error}");
    }
}

/// Numbers without a pattern, the same in each run (xorshift).
struct Dice(u64);

impl Dice {
    fn below(&mut self, most: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 8).unwrap() % most.max(1)
    }
}

/// A disk in memory that fails when it is told to, and knows what of it was not yet synchronised.
#[derive(Clone, Debug, Default)]
struct SimulatedDisk(Arc<Mutex<Disk>>);

#[derive(Debug, Default)]
struct Disk {
    bytes: Vec<u8>,
    synchronised: Vec<u8>,
    pending: Vec<Pending>,
    /// Changes so far, tried ones too.
    done: usize,
    /// From this change on none succeeds.
    fail_at: Option<usize>,
}

#[derive(Debug)]
enum Pending {
    Length(usize),
    Bytes(usize, Vec<u8>),
}

impl Pending {
    fn apply(&self, bytes: &mut Vec<u8>, length: usize) {
        match self {
            Self::Length(length) => bytes.resize(*length, 0),
            Self::Bytes(offset, new) => {
                let end = offset + length.min(new.len());
                if bytes.len() < end {
                    bytes.resize(end, 0);
                }
                bytes[*offset..end].copy_from_slice(&new[..end - offset]);
            }
        }
    }
}

impl SimulatedDisk {
    fn disk(&self) -> MutexGuard<'_, Disk> {
        self.0.lock().unwrap()
    }

    /// So many changes succeed, and no more.
    fn fail_after(&self, changes: usize) {
        let mut disk = self.disk();
        disk.fail_at = Some(disk.done + 1 + changes);
    }

    /// The journal on it, which is a new one on a new disk.
    fn journal(&self) -> Journal {
        if self.disk().bytes.is_empty() {
            let database = Database::builder().create_with_backend(self.clone()).unwrap();
            disk::initialise(&database).unwrap();
        }
        let again = self.clone();
        let open = Open::new(disk::verified(self.clone()).unwrap()).unwrap();
        let inner = Inner {
            open: Some(open),
            reopen: Box::new(move |_| disk::verified(again.clone())),
            identity: None,
            purged: None,
        };
        Journal {
            path: "simulated".into(),
            inner: Mutex::new(inner),
            claimed: AtomicBool::new(false),
        }
    }

    /// Of what was not synchronised each change is there, is not, or is there up to a sector.
    fn lose_power(&self, dice: &mut Dice) {
        let mut disk = self.disk();
        let mut bytes = disk.synchronised.clone();
        for pending in std::mem::take(&mut disk.pending) {
            match dice.below(3) {
                0 => {}
                1 => pending.apply(&mut bytes, usize::MAX),
                _ => pending.apply(&mut bytes, 512 * dice.below(8)),
            }
        }
        *disk = Disk { synchronised: bytes.clone(), bytes, ..Disk::default() };
    }
}

impl Disk {
    fn change(&mut self) -> io::Result<()> {
        self.done += 1;
        match self.fail_at {
            Some(at) if self.done >= at => Err(io::ErrorKind::StorageFull.into()),
            _ => Ok(()),
        }
    }
}

impl StorageBackend for SimulatedDisk {
    fn len(&self) -> io::Result<u64> {
        Ok(self.disk().bytes.len().try_into().unwrap())
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let start = usize::try_from(offset).unwrap();
        let disk = self.disk();
        let found = disk.bytes.get(start..start + out.len());
        out.copy_from_slice(found.ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }

    fn set_len(&self, length: u64) -> io::Result<()> {
        let mut disk = self.disk();
        disk.change()?;
        let length = usize::try_from(length).unwrap();
        disk.bytes.resize(length, 0);
        disk.pending.push(Pending::Length(length));
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        let mut disk = self.disk();
        disk.change()?;
        disk.pending.clear();
        disk.synchronised = disk.bytes.clone();
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let mut disk = self.disk();
        disk.change()?;
        let pending = Pending::Bytes(offset.try_into().unwrap(), data.to_vec());
        pending.apply(&mut disk.bytes, usize::MAX);
        disk.pending.push(pending);
        Ok(())
    }
}

/// `cargo test --release --all-features --lib -- --ignored --nocapture journal::tests::ten_million`
/// prints how large ten million tokens are, and how long they take.
#[test]
#[ignore = "a measurement"]
#[expect(clippy::print_stdout, reason = "a measurement")]
fn ten_million() {
    let scratch = Scratch::new();
    let total: u128 =
        std::env::var("PORTCULLIS_TOKENS").map_or(10_000_000, |text| text.parse().unwrap());
    for (name, text) in [("uuid", true), ("22 characters", false)] {
        let path = scratch.0.join(name);
        let journal = Journal::open(&path).unwrap();
        let start = std::time::Instant::now();
        let jti = |number: u128| {
            let mixed = (number + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835);
            let digits = format!("{mixed:032x}");
            let (a, b, c, d, e) =
                (&digits[..8], &digits[8..12], &digits[12..16], &digits[16..20], &digits[20..]);
            if text { format!("{a}-{b}-{c}-{d}-{e}") } else { digits[..22].to_owned() }
        };
        let step = 500_000;
        for first in (0..total).step_by(step) {
            let last = total.min(first + u128::try_from(step).unwrap());
            commit(
                &journal,
                (first..last).map(|number| token(&jti(number), 1_000).until(at(5_000))),
            )
            .unwrap();
        }
        let written = start.elapsed();
        let start = std::time::Instant::now();
        for number in 0..100_u64 {
            commit(&journal, [token(&number.to_string(), 1)]).unwrap();
        }
        let one = start.elapsed() / 100;
        let start = std::time::Instant::now();
        journal.purge(at(4_000), LIFE).unwrap();
        let looked = start.elapsed();
        let start = std::time::Instant::now();
        journal.purge(at(9_000), LIFE).unwrap();
        let purged = start.elapsed();
        drop(journal);
        let size = fs::metadata(&path).unwrap().len();
        #[cfg(unix)]
        {
            use std::os::unix::fs::MetadataExt as _;
            println!("on disk: {} MB", fs::metadata(&path).unwrap().blocks() * 512 / 1_000_000);
        }
        let start = std::time::Instant::now();
        let journal = Journal::open(&path).unwrap();
        let opened = start.elapsed();
        let start = std::time::Instant::now();
        let mut count = 0;
        journal.load(&mut |_| count += 1).unwrap();
        let loaded = start.elapsed();
        println!(
            "{name}: {count} tokens, {} MB, {} B each; written in {written:?} ({one:?} for one more), opened in {opened:?}, \
             loaded in {loaded:?}; purge that looks {looked:?}, that drops {purged:?}",
            size / 1_000_000,
            size / u64::try_from(total).unwrap(),
        );
        let stats = {
            let inner = journal.inner();
            let transaction = inner.open.as_ref().unwrap().database.begin_write().unwrap();
            let stats = transaction.stats().unwrap();
            transaction.abort().unwrap();
            stats
        };
        println!("{stats:?}");
        fs::remove_file(&path).unwrap();
    }
}
