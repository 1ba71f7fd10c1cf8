//! Every public trait, implemented as a user of the crate has to: outside it, with what is public, and
//! through the layer. A yes passes, a no is refused, an outage is 503 and never a yes.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

#[path = "../support/mod.rs"]
mod support;

mod deciding;
mod reaching;
mod remembering;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use http::header::RETRY_AFTER;
use portcullis::RejectionKind as Kind;

use support::{Sent, told};

/// What somebody else's service answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Says {
    Yes,
    No,
    /// It cannot be reached.
    Nothing,
    /// It can be reached, and does not answer.
    Silence,
}

/// The traits that nobody outside can implement: of those `reaching.rs` shows what there is.
const SEALED: [&str; 1] = ["RefusalStyle"];

/// A trait that is added to the crate is implemented here, or sealed.
#[test]
fn every_public_trait_is_implemented_outside_the_crate() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let read = |files: Vec<PathBuf>| -> String {
        files.iter().map(|file| fs::read_to_string(file).unwrap()).collect()
    };
    let declared = declared(&read(files(&root.join("src"))));
    let here = read(files(&root.join("tests/public_traits")));
    let mut missing = Vec::new();
    for name in &declared {
        let implemented = here.lines().any(|line| line.starts_with(&format!("impl {name} for ")));
        if implemented == SEALED.contains(&name.as_str()) {
            missing.push(name);
        }
    }
    assert!(missing.is_empty(), "not implemented outside the crate, or not sealed: {missing:?}");
    let sealed: BTreeSet<_> = SEALED.iter().map(|name| (*name).to_owned()).collect();
    assert!(sealed.is_subset(&declared), "{declared:?}");
    assert!(declared.len() >= 9, "the traits were found: {declared:?}");
}

#[test]
fn a_trait_is_seen_however_it_is_declared() {
    for (code, names) in [
        ("pub trait Check: Send {", &["Check"][..]),
        ("    pub trait Sealed {}", &[]),
        ("pub(crate) trait Inner {}\ntrait Own {}", &[]),
        ("pub trait Style<B>: Clone {\npub unsafe trait Raw {}", &["Raw", "Style"]),
        ("/// pub trait Told {}\npub struct Trait;", &[]),
    ] {
        assert_eq!(declared(code).iter().collect::<Vec<_>>(), names, "{code}");
    }
}

/// The public traits of a text. Those of an inner module have no path to the outside: the lint
/// `unreachable_pub` sees to it that those at the top have one.
fn declared(code: &str) -> BTreeSet<String> {
    let of_name = |letter: char| letter.is_alphanumeric() || letter == '_';
    code.lines()
        .filter_map(|line| line.strip_prefix("pub "))
        .filter_map(|line| line.strip_prefix("unsafe ").unwrap_or(line).strip_prefix("trait "))
        .map(|rest| rest.split(|letter| !of_name(letter)).next().unwrap().to_owned())
        .collect()
}

fn files(directory: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
    found
}

/// Without a kind the inner service was called. With one it was not, and the client is told what the
/// kind stands for.
fn assert_told(name: &str, sent: &Sent, wanted: Option<Kind>) {
    assert_eq!(sent.kind(), wanted, "{name}");
    assert_eq!(sent.passed(), wanted.is_none(), "{name}");
    let status = wanted.map_or(200, |kind| told(kind).0);
    assert_eq!(sent.response.status(), status, "{name}");
    assert_eq!(sent.response.headers().contains_key(RETRY_AFTER), status == 503, "{name}");
}
