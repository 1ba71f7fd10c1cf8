//! Ratios of one run, on a machine that is not quiet.
//!
//! Every case of a group runs once in a round, in rotating order, so that whatever else the machine
//! does meets all of them alike. A ratio is the median over the rounds of a case's time to the
//! first case's, its floor. Nanoseconds are medians too; they are worth what the machine was worth. The
//! time in which a thread was ready and another one ran is not counted, where the system tells it.
//!
//! `cargo bench --bench <name> -- [--quick] [part of a name]...`: quick is for finding out whether it
//! runs at all. `--rounds=2000` is for a profiler: but `known_dpop` has proofs, and
//! `growth_known_tokens_.._unknown` has tokens, for about a hundred rounds, and stops with a panic where they
//! end. The floor of a group runs whenever one of its cases does.
//!
//! What has a goal or a floor is told again at the end, and kept for scripts: see [`summary`].

#![allow(dead_code, unreachable_pub, reason = "every benchmark uses a part of it")]

pub mod floor;
pub mod summary;

use std::alloc::System;
use std::hint::black_box;
use std::time::{Duration, Instant};

use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};

#[allow(unused_imports, reason = "every benchmark uses a part of it")]
pub use self::summary::{Goal, Summary};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// What the command line asks for.
pub struct Effort {
    pub quick: bool,
    wanted: Vec<String>,
    rounds: usize,
    slice: Duration,
}

impl Effort {
    /// `--bench` comes from `cargo bench`; without it the measurement is quick.
    pub fn from_command_line() -> Self {
        let (flags, wanted): (Vec<_>, Vec<_>) =
            std::env::args().skip(1).partition(|argument| argument.starts_with("--"));
        let quick =
            flags.iter().any(|flag| flag == "--quick") || !flags.contains(&"--bench".into());
        let (rounds, slice) = if quick { (5, 500) } else { (41, 4_000) };
        let said = flags.iter().find_map(|flag| flag.strip_prefix("--rounds=")?.parse().ok());
        let rounds = said.unwrap_or(rounds);
        Self { quick, wanted, rounds, slice: Duration::from_micros(slice) }
    }

    /// Whether everything that there is is wanted.
    pub fn is_whole(&self) -> bool {
        self.wanted.is_empty()
    }

    pub fn wants(&self, name: &str) -> bool {
        self.wanted.is_empty() || self.wanted.iter().any(|wanted| name.contains(wanted.as_str()))
    }
}

/// Cases that are compared with the first of them.
pub struct Group<'a> {
    title: String,
    cases: Vec<Case<'a>>,
}

struct Case<'a> {
    name: String,
    run: Box<dyn FnMut(usize) + 'a>,
}

/// What was measured of a case.
pub struct Row {
    pub name: String,
    pub nanoseconds: f64,
    pub ratio: f64,
    pub allocations: f64,
    /// The first case of its group, which is its own floor.
    pub floor: String,
    pub floor_nanoseconds: f64,
}

impl<'a> Group<'a> {
    pub fn new(title: impl Into<String>) -> Self {
        Self { title: title.into(), cases: Vec::new() }
    }

    /// One more case, which does something once. The first is the floor.
    #[must_use]
    pub fn case<T>(mut self, name: impl Into<String>, mut once: impl FnMut() -> T + 'a) -> Self {
        let run = move |times| {
            for _ in 0..times {
                black_box(once());
            }
        };
        self.cases.push(Case { name: name.into(), run: Box::new(run) });
        self
    }

    /// Measures what is wanted and prints it as a table.
    pub fn run(mut self, effort: &Effort) -> Vec<Row> {
        let whole = effort.wants(&self.title);
        let mut cases = 0;
        self.cases.retain(|case| {
            cases += 1;
            cases == 1 || whole || effort.wants(&case.name)
        });
        let floor_is_wanted = self.cases.first().is_some_and(|floor| effort.wants(&floor.name));
        if !whole && self.cases.len() < 2 && !floor_is_wanted {
            return Vec::new();
        }
        let measured: Vec<_> =
            self.cases.iter_mut().map(|case| case.calibrate(effort.slice)).collect();
        let mut times = vec![Vec::with_capacity(effort.rounds); self.cases.len()];
        for round in 0..effort.rounds {
            for turn in 0..self.cases.len() {
                let at = (turn + round) % self.cases.len();
                times[at].push(self.cases[at].time(measured[at].0));
            }
        }
        println!("\n### {}\n", self.title);
        println!("({} interleaved rounds; x: to the first row)\n", effort.rounds);
        println!("| case | ns/op | p10..p90 | x | allocs/op | bytes/op |");
        println!("|---|--:|--:|--:|--:|--:|");
        let mut rows = Vec::new();
        let floor = self.cases.first().map_or_else(String::new, |case| case.name.clone());
        let floor_nanoseconds = times.first().map_or(f64::NAN, |times| quantile(times, 0.5));
        for (at, case) in self.cases.into_iter().enumerate() {
            let ratios: Vec<_> =
                times[at].iter().zip(&times[0]).map(|(one, to)| one / to).collect();
            let quantile = |share| quantile(&times[at], share);
            let (nanoseconds, ratio) = (quantile(0.5), self::quantile(&ratios, 0.5));
            let (allocations, bytes) = measured[at].1;
            println!(
                "| {} | {nanoseconds:.1} | {:.1}..{:.1} | {ratio:.2} | {allocations:.2} | {bytes:.0} |",
                case.name,
                quantile(0.1),
                quantile(0.9),
            );
            rows.push(Row {
                name: case.name,
                nanoseconds,
                ratio,
                allocations,
                floor: floor.clone(),
                floor_nanoseconds,
            });
        }
        rows
    }
}

impl Case<'_> {
    /// How often it is done in a slice of time, and what it allocates: how often, and how much.
    fn calibrate(&mut self, slice: Duration) -> (usize, (f64, f64)) {
        let mut times = 1;
        let per_slice = loop {
            let taken = self.time(times) * times as f64;
            if taken * 4.0 > slice.as_nanos() as f64 {
                break (times as f64 * slice.as_nanos() as f64 / taken).ceil() as usize;
            }
            times *= 2;
        };
        // The allocator counts for all threads; what another one does now and then is not in two of three.
        let mut counts = [(); 3].map(|()| {
            let region = Region::new(ALLOCATOR);
            (self.run)(per_slice);
            let change = region.change();
            (change.allocations + change.reallocations, change.bytes_allocated)
        });
        counts.sort_unstable();
        let per = |count: usize| count as f64 / per_slice as f64;
        (per_slice, (per(counts[1].0), per(counts[1].1)))
    }

    /// Nanoseconds each, without those in which another had the processor.
    fn time(&mut self, times: usize) -> f64 {
        let before = waited();
        let start = Instant::now();
        (self.run)(times);
        let taken = start.elapsed();
        let taken = taken.saturating_sub(waited().saturating_sub(before));
        taken.as_nanos().max(1) as f64 / times as f64
    }
}

/// How long this thread was ready and another one ran, where the system tells: not the time of what it
/// does. It takes some microseconds.
pub fn waited() -> Duration {
    let told = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    let nanoseconds = told.split_whitespace().nth(1).and_then(|text| text.parse().ok());
    Duration::from_nanos(nanoseconds.unwrap_or(0))
}

/// What is made, and the octets that it holds when it is made.
pub fn weigh<T>(make: impl FnOnce() -> T) -> (T, usize) {
    let region = Region::new(ALLOCATOR);
    let made = make();
    let change = region.change();
    (made, change.bytes_allocated - change.bytes_deallocated)
}

fn quantile(values: &[f64], share: f64) -> f64 {
    let mut values = values.to_vec();
    values.sort_by(f64::total_cmp);
    values[((values.len() - 1) as f64 * share).round() as usize]
}
