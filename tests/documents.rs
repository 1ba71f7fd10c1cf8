//! What the documents say of the checkout is so.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

use std::fs;
use std::path::Path;

const ROOT: &str = env!("CARGO_MANIFEST_DIR");
const DOCUMENTS: [&str; 5] =
    ["README.md", "DESIGN.md", "SECURITY.md", "CHANGELOG.md", "COMPARE.md"];
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
