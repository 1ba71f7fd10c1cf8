//! What a run found, beside what was wanted: one table at its end, and one file for scripts.
//!
//! 1. A row stands in it that has a goal or a floor. Its goal is written once, where it is measured.
//! 2. [`Summary::finish`] prints the table and writes `bench/summary.json` in the target directory of the
//!    executable that runs; a quick run writes `bench/summary-quick.json` instead: its times say little.
//! 3. The file is one JSON array, sorted by name, of objects with these members:
//!    - `name`; `bench`: who wrote it.
//!    - `ratio`, `ns`, `allocs`: the median to its floor, the median of the nanoseconds, the allocations;
//!      null where that was not measured. `floor`, `floor_ns`: the name of its floor, and its time.
//!    - `value` and `unit` instead of a ratio, where the goal is about something else.
//!    - `goal`: what the ratio, or the value, has to be; null if nothing was wanted. `bound` says whether
//!      it is to be `most` or `least`. `allocs_goal`: the most allocations, where that is wanted too.
//!    - `met`: whether all that was wanted is so; null if nothing was.
//! 4. Merging: a row takes the place of the one of its name, and all others stay, so that one benchmark
//!    after the other makes one file. A run of a whole benchmark (no names on the command line) also takes
//!    out what the same benchmark wrote before and no longer has.
//! 5. The file is replaced as a whole, by one process at a time. What cannot be read is begun anew. An
//!    executable that stands in no target directory writes none, and says so.
//! 6. What the allocator counts does not depend on what else the machine does: after all that,
//!    [`Summary::finish`] fails if a goal on allocations, or on what was [`Summary::counted`], is missed, in a
//!    quick run too. Whether a ratio or a time meets its goal is told, and fails nothing.
//!
//! It does not say what machine it was, and compares nothing with an earlier run.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use serde_json::{Map, Value, json};

use super::{Effort, Row};

/// What is wanted of a row.
#[derive(Clone, Copy)]
pub struct Goal {
    measured: Option<Bound>,
    allocations: Option<f64>,
}

#[derive(Clone, Copy)]
enum Bound {
    Most(f64),
    Least(f64),
}

impl Goal {
    /// Nothing: it is only told.
    pub const fn none() -> Self {
        Self { measured: None, allocations: None }
    }

    /// A ratio to the floor of at most this.
    pub const fn ratio(most: f64) -> Self {
        Self::at_most(most)
    }

    /// A ratio, or a value, of at most this.
    pub const fn at_most(most: f64) -> Self {
        Self { measured: Some(Bound::Most(most)), allocations: None }
    }

    /// A ratio, or a value, of at least this.
    pub const fn at_least(least: f64) -> Self {
        Self { measured: Some(Bound::Least(least)), allocations: None }
    }

    /// And at most so many allocations. Of a mean, a two-hundredth more is none.
    pub const fn allocations(self, most: f64) -> Self {
        Self { measured: self.measured, allocations: Some(most) }
    }

    fn is_met(&self, measured: f64, allocations: Option<f64>) -> Option<bool> {
        let measured = self.measured.map(|bound| match bound {
            Bound::Most(most) => measured <= most,
            Bound::Least(least) => measured >= least,
        });
        match (measured, self.allocations_are_met(allocations)) {
            (None, None) => None,
            (one, other) => Some(one.unwrap_or(true) && other.unwrap_or(true)),
        }
    }

    fn allocations_are_met(&self, found: Option<f64>) -> Option<bool> {
        self.allocations.map(|most| found.is_some_and(|found| found < most + 0.005))
    }

    fn to_text(self) -> String {
        let measured = self.measured.map(|bound| match bound {
            Bound::Most(most) => format!("at most {most}"),
            Bound::Least(least) => format!("at least {least}"),
        });
        let allocations = self.allocations.map(|most| format!("{most} allocs"));
        [measured, allocations].into_iter().flatten().collect::<Vec<_>>().join(", ")
    }
}

/// The rows of this run.
#[must_use = "it is printed and written by `finish`"]
pub struct Summary {
    quick: bool,
    whole: bool,
    lines: Vec<String>,
    rows: Vec<Map<String, Value>>,
    /// Rows whose goal is missed, and no noise is why.
    missed: Vec<String>,
}

impl Summary {
    pub fn new(effort: &Effort) -> Self {
        Self {
            quick: effort.quick,
            whole: effort.is_whole(),
            lines: Vec::new(),
            rows: Vec::new(),
            missed: Vec::new(),
        }
    }

    /// The case of this name among those measured; nothing if it was not wanted.
    pub fn row(&mut self, rows: &[Row], name: &str, goal: Goal) {
        let Some(row) = rows.iter().find(|row| row.name == name) else { return };
        let met = goal.is_met(row.ratio, Some(row.allocations));
        if goal.allocations_are_met(Some(row.allocations)) == Some(false) {
            let (found, goal) = (row.allocations, goal.to_text());
            self.missed.push(format!("{name}: {found:.3} allocations, wanted {goal}"));
        }
        self.line(name, Some(row), &format!("{:.3}", row.ratio), met, goal);
        let measured = json!({
            "ratio": row.ratio,
            "ns": row.nanoseconds,
            "allocs": row.allocations,
            "floor": row.floor,
            "floor_ns": row.floor_nanoseconds,
        });
        self.push(name, measured, goal, met);
    }

    /// A ratio that no group measured: to what is said.
    pub fn ratio(&mut self, name: &str, ratio: f64, floor: &str, goal: Goal) {
        let met = goal.is_met(ratio, None);
        self.line(name, None, &format!("{ratio:.3}"), met, goal);
        let measured =
            json!({ "ratio": ratio, "ns": null, "allocs": null, "floor": floor, "floor_ns": null });
        self.push(name, measured, goal, met);
    }

    /// What is no ratio, in a unit of its own.
    pub fn value(&mut self, name: &str, value: f64, unit: &str, goal: Goal) {
        let met = goal.is_met(value, None);
        self.line(name, None, &format!("{value:.2} {unit}"), met, goal);
        let measured = json!({
            "ratio": null,
            "ns": null,
            "allocs": null,
            "floor": null,
            "floor_ns": null,
            "value": value,
            "unit": unit,
        });
        self.push(name, measured, goal, met);
    }

    /// The same, of what the allocator counted.
    pub fn counted(&mut self, name: &str, value: f64, unit: &str, goal: Goal) {
        if goal.is_met(value, None) == Some(false) {
            self.missed.push(format!("{name}: {value:.3} {unit}, wanted {}", goal.to_text()));
        }
        self.value(name, value, unit, goal);
    }

    /// Prints the table, and writes the file.
    ///
    /// # Panics
    /// If what the allocator counted misses its goal.
    pub fn finish(self) {
        if self.rows.is_empty() {
            return;
        }
        println!("\n### Summary\n");
        println!("| name | ns/op | x floor | allocs/op | goal | met |\n|---|--:|--:|--:|--:|---|");
        self.lines.iter().for_each(|line| println!("{line}"));
        if self.quick {
            println!(
                "\n(a quick run: whether a ratio or a time meets its goal is not to be read off it)"
            );
        }
        let missed = self.missed.join("\n");
        let executable = std::env::current_exe().unwrap();
        match directory(&executable) {
            Some(directory) => println!("\n{}", self.write(&directory, &executable).display()),
            None => println!(
                "\n(written to no file: {} is not in a target directory of cargo)",
                executable.display()
            ),
        }
        assert!(missed.is_empty(), "goals of what the allocator counts are missed:\n{missed}");
    }

    /// Puts the rows into the file of this directory.
    fn write(self, directory: &Path, executable: &Path) -> PathBuf {
        fs::create_dir_all(directory).unwrap();
        let file = if self.quick { "summary-quick.json" } else { "summary.json" };
        let file = directory.join(file);
        let _one_at_a_time = lock(&file);
        let kept = read(&file);
        let merged = merge(kept, self.rows, self.whole.then(|| bench(executable)));
        let text = serde_json::to_string_pretty(&merged).unwrap() + "\n";
        let beside = file.with_extension(format!("{}.tmp", std::process::id()));
        fs::write(&beside, text).unwrap();
        fs::rename(&beside, &file).unwrap();
        file
    }

    fn line(
        &mut self,
        name: &str,
        row: Option<&Row>,
        measured: &str,
        met: Option<bool>,
        goal: Goal,
    ) {
        let number = |of: fn(&Row) -> String| row.map(of).unwrap_or_default();
        self.lines.push(format!(
            "| {name} | {} | {measured} | {} | {} | {} |",
            number(|row| format!("{:.1}", row.nanoseconds)),
            number(|row| format!("{:.2}", row.allocations)),
            goal.to_text(),
            match met {
                None => "",
                Some(true) => "yes",
                Some(false) => "NO",
            },
        ));
    }

    fn push(&mut self, name: &str, measured: Value, goal: Goal, met: Option<bool>) {
        let Value::Object(mut row) = measured else { return };
        let (bound, goal_of) = match goal.measured {
            None => (Value::Null, Value::Null),
            Some(Bound::Most(most)) => (json!("most"), json!(most)),
            Some(Bound::Least(least)) => (json!("least"), json!(least)),
        };
        row.insert("name".into(), json!(name));
        row.insert("bench".into(), json!(bench(&std::env::current_exe().unwrap())));
        row.insert("goal".into(), goal_of);
        row.insert("bound".into(), bound);
        if let Some(most) = goal.allocations {
            row.insert("allocs_goal".into(), json!(most));
        }
        row.insert("met".into(), json!(met));
        self.rows.push(row);
    }
}

/// What is in the file afterwards. `whole`: the benchmark that was run as a whole.
fn merge(
    mut kept: Vec<Map<String, Value>>,
    new: Vec<Map<String, Value>>,
    whole: Option<String>,
) -> Vec<Map<String, Value>> {
    let name = |row: &Map<String, Value>| row["name"].as_str().unwrap_or_default().to_owned();
    kept.retain(|row| {
        let of_this = whole.as_ref().is_some_and(|whole| row["bench"] == **whole);
        !of_this && !new.iter().any(|newer| newer["name"] == row["name"])
    });
    kept.extend(new);
    kept.sort_by_key(name);
    kept
}

/// The rows that are there; none if the file is not what it should be.
fn read(file: &Path) -> Vec<Map<String, Value>> {
    let rows = fs::read(file).ok();
    let rows: Vec<Map<String, Value>> =
        rows.and_then(|text| serde_json::from_slice(&text).ok()).unwrap_or_default();
    let is_row = |row: &Map<String, Value>| row.contains_key("name") && row.contains_key("bench");
    rows.into_iter().filter(is_row).collect()
}

/// Held until it is dropped.
fn lock(file: &Path) -> File {
    let lock = File::create(file.with_extension("lock")).unwrap();
    lock.lock().unwrap();
    lock
}

/// `<target>/bench`, where `<target>` is said by the place of the executable: it is
/// `<target>/release/deps/<name>`, or has a triple in between, or is beside `deps`. Cargo marks the directory
/// that it makes; where somebody made it before, `deps` says what it is. `None` anywhere else.
fn directory(executable: &Path) -> Option<PathBuf> {
    let is_marked = |directory: &&Path| directory.join("CACHEDIR.TAG").is_file();
    let marked = executable.ancestors().skip(2).take(3).filter(is_marked).last();
    let unmarked = || match executable.parent()?.ends_with("deps") {
        true => executable.ancestors().nth(3),
        false => None,
    };
    Some(marked.or_else(unmarked)?.join("bench"))
}

/// The name of a benchmark, without the hash that cargo adds.
fn bench(executable: &Path) -> String {
    let name = executable.file_stem().unwrap().to_string_lossy();
    name.rsplit_once('-').map_or(&*name, |(name, _)| name).to_owned()
}
