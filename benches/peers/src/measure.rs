//! Ratios of one run, on a machine that is not quiet.
//!
//! 1. Every case of a group runs once in a round, in rotating order, so that whatever else the machine
//!    does meets all of them alike.
//! 2. A ratio is the median over the rounds of a case's time to that of another in the same round. There
//!    are two: to the first case of the group, a layer that does nothing, and to the second, the bare
//!    verification of the signature.
//! 3. Nanoseconds are medians too; they are worth what the machine was worth. Ratios of different groups
//!    are not compared.
//! 4. Allocations are those of the whole process while a case runs: nothing else of weight runs then.

use std::alloc::System;
use std::hint::black_box;
use std::time::{Duration, Instant};

use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// How long is measured.
#[derive(Clone, Copy)]
pub struct Effort {
    pub rounds: usize,
    /// What a case takes in a round.
    slice: Duration,
}

impl Effort {
    pub const QUICK: Self = Self { rounds: 5, slice: Duration::from_micros(500) };
    pub const WHOLE: Self = Self { rounds: 81, slice: Duration::from_millis(4) };
}

/// What one turn of a case took.
pub struct Sample {
    elapsed: Duration,
    allocations: usize,
}

/// Measures what is done, and nothing of how it was made ready.
pub fn sample<T>(work: impl FnOnce() -> T) -> Sample {
    let region = Region::new(ALLOCATOR);
    let start = Instant::now();
    black_box(work());
    let elapsed = start.elapsed();
    let change = region.change();
    Sample { elapsed, allocations: change.allocations + change.reallocations }
}

/// Does something so many times.
pub type Turn<'a> = Box<dyn FnMut(usize) -> Sample + 'a>;

/// A turn of something that needs no preparation.
pub fn repeat<'a, T>(mut once: impl FnMut() -> T + 'a) -> Turn<'a> {
    Box::new(move |times| {
        sample(|| {
            for _ in 0..times {
                black_box(once());
            }
        })
    })
}

/// Cases that are compared with each other.
pub struct Group<'a> {
    title: String,
    cases: Vec<(String, Turn<'a>)>,
}

/// What was measured of a case.
pub struct Row {
    pub group: String,
    pub name: String,
    pub nanoseconds: f64,
    /// To the first case of the group.
    pub to_layer: f64,
    /// To the second case of the group.
    pub to_signature: f64,
    pub allocations: f64,
}

impl<'a> Group<'a> {
    pub fn new(title: impl Into<String>, layer: Turn<'a>, signature: Turn<'a>) -> Self {
        let cases = vec![
            ("a layer that does nothing".to_owned(), layer),
            ("bare verification of the signature".to_owned(), signature),
        ];
        Self { title: title.into(), cases }
    }

    pub fn title(&self) -> &str {
        &self.title
    }

    pub fn case(&mut self, name: impl Into<String>, turn: Turn<'a>) {
        self.cases.push((name.into(), turn));
    }

    pub fn run(mut self, effort: Effort) -> Vec<Row> {
        eprintln!("measuring: {}", self.title);
        let times: Vec<_> =
            self.cases.iter_mut().map(|(_, turn)| calibrate(turn, effort.slice)).collect();
        let mut taken = vec![Vec::with_capacity(effort.rounds); self.cases.len()];
        let mut allocated = vec![Vec::with_capacity(effort.rounds); self.cases.len()];
        for round in 0..effort.rounds {
            for turn in 0..self.cases.len() {
                let at = (turn + round) % self.cases.len();
                let sample = (self.cases[at].1)(times[at]);
                taken[at].push(sample.elapsed.as_nanos() as f64 / times[at] as f64);
                allocated[at].push(sample.allocations as f64 / times[at] as f64);
            }
        }
        let ratio = |at: usize, to: usize| {
            let pairs = taken[at].iter().zip(&taken[to]);
            median(pairs.map(|(one, other)| one / other).collect())
        };
        self.cases
            .into_iter()
            .enumerate()
            .map(|(at, (name, _))| Row {
                group: self.title.clone(),
                name,
                nanoseconds: median(taken[at].clone()),
                to_layer: ratio(at, 0),
                to_signature: ratio(at, 1),
                allocations: median(allocated[at].clone()),
            })
            .collect()
    }
}

/// How often it is done in a slice of time. What it does first is for its caches.
fn calibrate(turn: &mut Turn<'_>, slice: Duration) -> usize {
    turn(3);
    let mut times = 1;
    loop {
        let taken = turn(times).elapsed;
        if taken * 4 > slice {
            let fit = times as f64 * slice.as_secs_f64() / taken.as_secs_f64();
            return fit.ceil() as usize;
        }
        times *= 2;
    }
}

pub fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
