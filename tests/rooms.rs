//! The direction of imports: a room names only rooms below it.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// Every room and its level. Rooms of one level do not see each other, except as `SIBLINGS` says.
const LEVELS: [(&str, u8); 29] = [
    ("time", 0),
    ("name", 0),
    ("secret", 0),
    ("place", 0),
    ("stripe", 0),
    ("certificate", 1),
    ("transport", 1),
    ("context", 2),
    ("error", 2),
    ("observe", 2),
    ("access", 3),
    ("credentials", 4),
    ("jose", 4),
    ("challenge", 4),
    ("issuer", 5),
    ("jwe", 5),
    ("sender", 5),
    ("introspection", 6),
    ("revocation", 6),
    ("check", 7),
    ("verify", 7),
    ("server", 8),
    ("layer", 9),
    ("config", 9),
    ("rustls", 9),
    ("axum", 10),
    ("tonic", 10),
    ("testing", 10),
    ("guide", 11),
];

/// Who may see whom on one level. The first four are a knot: a rejection carries the context that answers
/// it, a context the observers who are told of rejections.
const SIBLINGS: [(&str, &str); 6] = [
    ("context", "error"),
    ("context", "observe"),
    ("error", "context"),
    ("observe", "error"),
    ("challenge", "credentials"),
    ("verify", "check"),
];

/// What pure rooms must not name.
const PURE: [&str; 6] = ["jose", "credentials", "challenge", "check", "verify", "sender"];
const IMPURE: [&str; 5] = ["tokio::", "crate::transport", "Clock", "SystemTime", "Instant"];

#[test]
fn rooms_import_only_from_below() {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let (mut seen, mut met) = (0, BTreeSet::new());
    for (room, level) in LEVELS {
        for file in files(&source, room) {
            let text = fs::read_to_string(&file).unwrap();
            // A `mod tests;` stands at the top, before the code.
            let code = text.split("#[cfg(test)]\nmod tests {").next().unwrap();
            let code: Vec<_> =
                code.lines().filter(|line| !line.trim_start().starts_with("//")).collect();
            let named = named(&code.join("\n"));
            for (other, below) in LEVELS {
                if other == room || !named.iter().any(|name| name == other) {
                    continue;
                }
                seen += 1;
                let sibling = SIBLINGS.contains(&(room, other));
                met.extend(sibling.then_some((room, other)));
                let allowed = below < level || (below == level && sibling);
                assert!(allowed, "{} names {other}", file.display());
            }
            for line in code {
                let impure =
                    IMPURE.iter().find(|name| PURE.contains(&room) && line.contains(**name));
                assert_eq!(impure, None, "{}: {line}", file.display());
            }
        }
    }
    assert!(seen > 50, "the table was compared with something: {seen} imports");
    assert_eq!(met, BTreeSet::from(SIBLINGS), "whoever is listed sees the other");
}

/// A room that is not in the table could import what it likes.
#[test]
fn every_room_has_a_level() {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut rooms: Vec<String> = fs::read_dir(source)
        .unwrap()
        .map(|entry| entry.unwrap().path().file_stem().unwrap().to_str().unwrap().to_owned())
        .filter(|room| room != "lib")
        .collect();
    rooms.sort();
    rooms.dedup();
    let mut levels: Vec<_> = LEVELS.iter().map(|(room, _)| *room).collect();
    levels.sort_unstable();
    assert_eq!(rooms, levels);
}

#[test]
fn a_room_is_seen_however_it_is_named() {
    for (code, rooms) in [
        ("use crate::jose::Header;", &["jose"][..]),
        ("let x = crate::time::now();", &["time"]),
        ("use crate::{jose, time::{Clock, Moment},\n    name::{self}};", &["jose", "time", "name"]),
        ("use crate::{\n    check::{a, b},\n};", &["check"]),
        ("pub(crate) use jose::Header;", &[]),
    ] {
        assert_eq!(named(code), rooms, "{code}");
    }
}

/// What a text names of the crate: the first name of each path from its root.
fn named(code: &str) -> Vec<String> {
    let name = |path: &str| -> String {
        path.trim()
            .chars()
            .take_while(|letter| letter.is_alphanumeric() || *letter == '_')
            .collect()
    };
    let mut found = Vec::new();
    for path in code.split("crate::").skip(1) {
        let Some(list) = path.strip_prefix('{') else {
            found.push(name(path));
            continue;
        };
        let (mut depth, mut element) = (1, String::new());
        for letter in list.chars() {
            depth += i32::from(letter == '{') - i32::from(letter == '}');
            if depth == 0 {
                break;
            }
            match letter {
                ',' if depth == 1 => found.push(name(&std::mem::take(&mut element))),
                letter => element.push(letter),
            }
        }
        found.push(name(&element));
    }
    found.retain(|name| !name.is_empty());
    found
}

/// Only the challenge room writes challenges, and only `verify` and the test kit make an access.
#[test]
fn one_room_writes_challenges_and_one_makes_access() {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    for (needle, allowed) in [
        ("WWW_AUTHENTICATE", &["challenge.rs", "testing/challenge.rs"][..]),
        ("Access::new(", &["verify/authorize.rs", "testing/access.rs"][..]),
    ] {
        let mut found = Vec::new();
        for file in all(&source) {
            let text = fs::read_to_string(&file).unwrap();
            // `TestAccess` is another name.
            let named = |at: usize| !text[..at].ends_with(char::is_alphanumeric);
            if text.match_indices(needle).any(|(at, _)| named(at)) {
                found.push(file.strip_prefix(&source).unwrap().to_str().unwrap().to_owned());
            }
        }
        found.sort();
        let mut allowed = allowed.to_vec();
        allowed.sort_unstable();
        assert_eq!(found, allowed, "{needle}");
    }
}

/// A room is a file, a directory, or both.
fn files(source: &Path, room: &str) -> Vec<PathBuf> {
    let (file, directory) = (source.join(format!("{room}.rs")), source.join(room));
    let mut found = if directory.is_dir() { all(&directory) } else { Vec::new() };
    found.extend(file.exists().then_some(file));
    assert!(!found.is_empty(), "no room {room}");
    found
}

fn all(directory: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(all(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
    found
}
