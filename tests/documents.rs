//! What the documents say of the checkout is so.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

const ROOT: &str = env!("CARGO_MANIFEST_DIR");
/// What the ids of requirements stand for.
const LEGEND: &str = "tests/REQUIREMENTS.md";
const DOCUMENTS: [&str; 6] =
    ["README.md", "DESIGN.md", "SECURITY.md", "CHANGELOG.md", "COMPARE.md", LEGEND];
/// Where the chapters of the guide are.
const GUIDE: &str = "src/guide";
/// Where a path begins that a document can name.
const PLACES: [&str; 5] = ["src/", "tests/", "fuzz/", "examples/", "benches/"];

fn text(document: &str) -> String {
    fs::read_to_string(Path::new(ROOT).join(document)).unwrap()
}

/// The documents at the top, and the chapters of the guide.
fn documents() -> Vec<String> {
    let mut all: Vec<_> = DOCUMENTS.map(str::to_owned).into();
    for entry in fs::read_dir(Path::new(ROOT).join(GUIDE)).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        all.push(format!("{GUIDE}/{name}"));
    }
    all.sort_unstable();
    all
}

/// The paths in a text.
fn paths(text: &str) -> Vec<&str> {
    let of_path = |letter: char| letter.is_ascii_alphanumeric() || "_-./".contains(letter);
    text.split(|letter| !of_path(letter))
        .map(|word| word.trim_end_matches('.'))
        .filter(|word| PLACES.iter().any(|place| word.starts_with(place)))
        .collect()
}

/// A file that was moved takes the sentence about it along.
#[test]
fn every_path_that_a_document_names_is_there() {
    let mut missing = Vec::new();
    for document in documents() {
        let text = text(&document);
        for path in paths(&text) {
            let found = Path::new(ROOT).join(path);
            let there = if path.ends_with('/') { found.is_dir() } else { found.exists() };
            if !there {
                missing.push(format!("{document}: {path}"));
            }
        }
    }
    assert_eq!(missing, [""; 0]);
    assert!(documents().len() > DOCUMENTS.len() + 5, "{:?}", documents());
    for (document, least) in [("SECURITY.md", 20), ("DESIGN.md", 1)] {
        let found = paths(&text(document)).len();
        assert!(found >= least, "{document} names {found} paths");
    }
    assert_eq!(paths("see `tests/a.rs`, or src/b/. Not pretests/c."), ["tests/a.rs", "src/b/"]);
}

/// The README says which versions of its neighbours it goes with, and has some in its `Cargo.toml`: those
/// are the crate's own.
#[test]
fn the_versions_of_the_readme_are_those_of_the_manifest() {
    let (manifest, readme) = (text("Cargo.toml"), text("README.md"));
    let (_, own) = manifest.split_once("\n[dependencies]\n").unwrap();
    let (own, _) = own.split_once("\n[dev-dependencies]\n").unwrap();
    let version = |name: &str| {
        let line = own.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(" = "));
        line.unwrap().split('"').nth(1).unwrap()
    };
    let is_of =
        |said: &str, name: &str| format!("{}.", version(name)).starts_with(&format!("{said}."));
    let sentence = readme.split_once("It goes with ").unwrap().1.split_once(".\n").unwrap().0;
    let said: Vec<_> = sentence
        .split(", ")
        .flat_map(|part| part.split(" and "))
        .filter_map(|part| part.split_once(' '))
        .collect();
    let names: Vec<_> = said.iter().map(|(name, _)| *name).collect();
    assert_eq!(names, ["axum", "http", "tower", "tonic"]);
    for (name, found) in said {
        assert!(is_of(found, name), "{name} {found}, and {} in Cargo.toml", version(name));
    }
    for name in ["axum", "http", "serde", "tokio"] {
        let line = readme.lines().find(|line| line.starts_with(&format!("{name} = "))).unwrap();
        let found = line.split('"').nth(1).unwrap();
        assert!(is_of(found, name), "{line}, and {} in Cargo.toml", version(name));
    }
    assert!(is_of("0", "axum") && !is_of("0.7", "axum") && !is_of("0.", "axum"));
}

/// A line that begins a table is its head: an empty line would cut a table in two, and show the
/// second half as text.
#[test]
fn every_table_has_a_head() {
    for document in documents() {
        let text = text(&document);
        let lines: Vec<_> = text.lines().collect();
        for (index, line) in lines.iter().enumerate() {
            let begins =
                line.starts_with('|') && (index == 0 || !lines[index - 1].starts_with('|'));
            let headed = || lines.get(index + 1).is_some_and(|next| next.starts_with("|---"));
            assert!(!begins || headed(), "{document}: {line}");
        }
    }
}

/// The ids of the legend, each in a row of its own.
fn explained() -> BTreeSet<String> {
    let text = text(LEGEND);
    let rows = text.lines().filter(|line| line.starts_with("| ") && !line.starts_with("| id "));
    let mut ids = BTreeSet::new();
    for row in rows {
        let cells: Vec<_> = row.split(" | ").collect();
        assert_eq!(cells.len(), 3, "{row}");
        let id = cells[0].trim_start_matches("| ");
        assert!(id.split_once('-').is_some_and(|(_, number)| is_number(number)), "{row}");
        assert!(ids.insert(id.to_owned()), "twice: {row}");
    }
    ids
}

/// `38`, `C05` or `C12a`.
fn is_number(text: &str) -> bool {
    let text = text.strip_prefix('C').unwrap_or(text);
    let text = text.strip_suffix(|letter: char| letter.is_ascii_lowercase()).unwrap_or(text);
    text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// The ids in a text: words of one of the prefixes and a number. `SHA-256` is none.
fn cited<'a>(text: &'a str, prefixes: &BTreeSet<&str>) -> BTreeSet<&'a str> {
    text.split(|letter: char| !letter.is_ascii_alphanumeric() && letter != '-' && letter != '_')
        .filter(|word| {
            let parts = word.split_once('-');
            parts.is_some_and(|(prefix, number)| prefixes.contains(prefix) && is_number(number))
        })
        .collect()
}

/// All code below a directory, but for what others wrote, what is built, and this file.
fn code(directory: &Path, all: &mut String) {
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap();
        if path.is_dir() {
            if !name.starts_with('.') && name != "node_modules" && name != "target" {
                code(&path, all);
            }
        } else if name.ends_with(".rs") && !path.ends_with(file!()) {
            all.push_str(&fs::read_to_string(path).unwrap());
        }
    }
}

/// An id that a test names is explained, and no explanation outlives what it is for.
#[test]
fn the_legend_has_the_ids_that_code_names_and_no_others() {
    let explained = explained();
    let prefixes: BTreeSet<_> = explained.iter().map(|id| id.split_once('-').unwrap().0).collect();
    let mut all = String::new();
    for place in ["src", "tests", "benches", "fuzz"] {
        code(&Path::new(ROOT).join(place), &mut all);
    }
    let cited_in_code = cited(&all, &prefixes);
    let explained: BTreeSet<_> = explained.iter().map(String::as_str).collect();
    let unexplained: Vec<_> = cited_in_code.difference(&explained).collect();
    assert!(unexplained.is_empty(), "not in {LEGEND}: {unexplained:?}");
    let unused: Vec<_> = explained.difference(&cited_in_code).collect();
    assert!(unused.is_empty(), "in {LEGEND}, and named nowhere: {unused:?}");
    assert!(cited_in_code.len() >= 300, "{} ids were found", cited_in_code.len());
    let text = "(JWS-38, DPOP-C12a): SHA-256, xJWS-38, JWS-380, JWS-38-a, jws_38.";
    assert_eq!(cited(text, &prefixes), BTreeSet::from(["DPOP-C12a", "JWS-38"]));
}
