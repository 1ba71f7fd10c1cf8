//! What was found, for scripts: `bench/peers.json`, `bench/peers-http.json` and `bench/peers-unknown-keys.json`
//! of the target directory, or the same with `-quick`. Each is one JSON array of objects.
//!
//! Rows with a goal stand in `bench/summary.json` too, beside those of the crate's own benchmarks and with
//! the same members: `name`, `bench`, `ratio`, `ns`, `allocs`, `floor`, `floor_ns`, `goal`, `bound`, `met`.
//! A row takes the place of the one of its name, and all others stay.

use std::fs::{self, File};
use std::io::{Error, Result};
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

/// Whether a run was as long as it should be: what a quick one finds is kept apart.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Length {
    Quick,
    Whole,
}

/// A ratio for which there is a goal.
pub struct Goal {
    pub name: &'static str,
    pub ratio: f64,
    pub floor: &'static str,
    pub wanted: Wanted,
}

/// What a ratio has to be.
#[derive(Clone, Copy)]
pub enum Wanted {
    Most(f64),
    Least(f64),
}

impl Goal {
    pub fn is_met(&self) -> bool {
        match self.wanted {
            Wanted::Most(most) => self.ratio <= most,
            Wanted::Least(least) => self.ratio >= least,
        }
    }

    fn to_row(&self) -> Value {
        let (bound, goal) = match self.wanted {
            Wanted::Most(most) => ("most", most),
            Wanted::Least(least) => ("least", least),
        };
        json!({
            "name": self.name,
            "bench": "peers",
            "ratio": self.ratio,
            "ns": null,
            "allocs": null,
            "floor": self.floor,
            "floor_ns": null,
            "goal": goal,
            "bound": bound,
            "met": self.is_met(),
        })
    }
}

/// Writes the rows of a table.
pub fn write(name: &str, length: Length, rows: &[Value]) -> Result<PathBuf> {
    let path = directory()?.join(file_name(name, length));
    replace(&path, rows)?;
    Ok(path)
}

/// Puts rows with a goal beside those of the crate's own benchmarks.
pub fn merge(length: Length, goals: &[Goal]) -> Result<()> {
    let path = directory()?.join(file_name("summary", length));
    // Held until the end, as each of those benchmarks does.
    let lock = File::create(path.with_extension("lock"))?;
    lock.lock()?;
    let kept = fs::read(&path).ok().and_then(|text| serde_json::from_slice(&text).ok());
    let mut rows: Vec<Value> = kept.unwrap_or_default();
    rows.retain(|row| goals.iter().all(|goal| row["name"] != goal.name));
    rows.extend(goals.iter().map(Goal::to_row));
    rows.sort_by_key(|row| row["name"].as_str().unwrap_or_default().to_owned());
    replace(&path, &rows)
}

fn file_name(name: &str, length: Length) -> String {
    match length {
        Length::Quick => format!("{name}-quick.json"),
        Length::Whole => format!("{name}.json"),
    }
}

fn replace(path: &Path, rows: &[Value]) -> Result<()> {
    let beside = path.with_extension(format!("{}.tmp", std::process::id()));
    fs::write(&beside, serde_json::to_string_pretty(rows)? + "\n")?;
    fs::rename(&beside, path)
}

/// `<target>/bench`: the program is `<target>/release/<name>`, or has a triple in between.
fn directory() -> Result<PathBuf> {
    let program = std::env::current_exe()?;
    let is_marked = |directory: &&Path| directory.join("CACHEDIR.TAG").is_file();
    let marked = program.ancestors().skip(2).take(2).find(is_marked);
    let target = marked.or_else(|| program.ancestors().nth(2));
    let directory = target.ok_or_else(|| Error::other("no target directory"))?.join("bench");
    fs::create_dir_all(&directory)?;
    Ok(directory)
}
