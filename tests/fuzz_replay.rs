//! Every file of every fuzz corpus, through its target, without a fuzzer.
#![allow(
    clippy::unwrap_used,
    clippy::as_conversions,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
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
    if !cfg!(feature = "jwe") {
        known.insert("jwe_header".to_owned());
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

/// `PORTCULLIS_MUTATIONS` says how many of each target, `PORTCULLIS_TARGET` of which one alone.
#[test]
#[ignore = "it takes as long as it is told to"]
fn mutations_of_the_corpus_pass_their_targets() {
    let count = std::env::var("PORTCULLIS_MUTATIONS").map_or(1_000, |count| count.parse().unwrap());
    let only = std::env::var("PORTCULLIS_TARGET").ok();
    for (name, target) in targets::ALL {
        if only.as_ref().is_some_and(|only| only != name) {
            continue;
        }
        let files = files(&Path::new("fuzz/corpus").join(name));
        let corpus: Vec<Vec<u8>> = files.iter().map(|file| std::fs::read(file).unwrap()).collect();
        let mut dice = Dice(6750);
        for number in 0..count {
            let mutation = dice.mutation(&corpus);
            let passed = catch_unwind(AssertUnwindSafe(|| target(&mutation)));
            let shown = String::from_utf8_lossy(&mutation);
            assert!(passed.is_ok(), "{name}, mutation {number}: {shown:?}");
        }
        eprintln!("{name}: {count} mutations of {} files", corpus.len());
    }
}

/// SplitMix64 (Steele, Lea and Flood, 2014).
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((z ^ (z >> 31)) >> 33).unwrap() % bound.max(1)
    }

    /// A file of the corpus after some changes: of bits, of pieces, of pieces of another file.
    fn mutation(&mut self, corpus: &[Vec<u8>]) -> Vec<u8> {
        const PIECES: [&[u8]; 24] = [
            b"{",
            b"}",
            b"[",
            b"]",
            b"\"",
            b":",
            b",",
            b".",
            b"\\u0061",
            b"\\",
            b"true",
            b"false",
            b"null",
            b"0",
            b"-1",
            b"1e9",
            b"1.5",
            b"\n",
            b"\0",
            b"\xff",
            b"A",
            b"=",
            b"\xc3\xa9",
            b" ",
        ];
        let mut octets = corpus[self.below(corpus.len())].clone();
        for _ in 0..=self.below(4) {
            let from = self.below(octets.len() + 1);
            let to = (from + self.below(12)).min(octets.len());
            match self.below(7) {
                0 if from < octets.len() => octets[from] ^= 1 << self.below(8),
                1 => octets.drain(from..to).for_each(drop),
                2 => {
                    octets.splice(from..from, PIECES[self.below(24)].iter().copied()).for_each(drop)
                }
                3 => octets.splice(from..to, PIECES[self.below(24)].iter().copied()).for_each(drop),
                4 => {
                    let piece = octets[from..to].to_vec();
                    octets.splice(from..from, piece).for_each(drop);
                }
                5 => {
                    let other = &corpus[self.below(corpus.len())];
                    let start = self.below(other.len() + 1);
                    let end = (start + self.below(40)).min(other.len());
                    octets.splice(from..to, other[start..end].iter().copied()).for_each(drop);
                }
                6 => octets.truncate(octets.len() - self.below(octets.len().min(8))),
                _ => {}
            }
        }
        octets
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
