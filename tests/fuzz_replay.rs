//! Every file of every fuzz corpus, through its target, without a fuzzer.
#![allow(clippy::unwrap_used, clippy::as_conversions, reason = "a test fails by panicking")]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

#[path = "../fuzz/targets.rs"]
mod targets;

#[test]
fn every_corpus_file_passes_its_target() {
    for (name, target) in targets::ALL {
        for file in files(&Path::new("fuzz/corpus").join(name)) {
            eprintln!("{name}: {}", file.display());
            target(&std::fs::read(file).unwrap());
        }
    }
}

#[test]
fn every_target_has_a_fuzzer_and_a_corpus() {
    let mut known: BTreeSet<String> =
        targets::ALL.iter().map(|(name, _)| (*name).to_owned()).collect();
    if !cfg!(feature = "config") {
        known.insert("config".to_owned());
    }
    let stem = |path: PathBuf| path.file_stem().unwrap().to_str().unwrap().to_owned();
    let fuzzers: BTreeSet<String> =
        files(Path::new("fuzz/fuzz_targets")).into_iter().map(stem).collect();
    assert_eq!(fuzzers, known);
    let corpora: BTreeSet<String> = files(Path::new("fuzz/corpus")).into_iter().map(stem).collect();
    assert_eq!(corpora, known);
    for name in known {
        assert!(files(&Path::new("fuzz/corpus").join(&name)).len() >= 10, "{name}");
    }
}

/// What a directory of the repository holds, in order.
fn files(directory: &Path) -> Vec<PathBuf> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join(directory);
    let entries = std::fs::read_dir(directory).unwrap();
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths
}
