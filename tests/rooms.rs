//! The direction of imports: a room names only rooms below it.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

use std::fs;
use std::path::{Path, PathBuf};

/// Every room and its level. Rooms of one level do not see each other, except as `SIBLINGS` says.
const LEVELS: [(&str, u8); 21] = [
    ("time", 0),
    ("name", 0),
    ("error", 0),
    ("secret", 0),
    ("observe", 0),
    ("transport", 0),
    ("context", 0),
    ("access", 0),
    ("credentials", 1),
    ("jose", 1),
    ("challenge", 1),
    ("issuer", 2),
    ("sender", 2),
    ("check", 4),
    ("verify", 4),
    ("server", 5),
    ("layer", 6),
    ("config", 6),
    ("axum", 7),
    ("tonic", 7),
    ("testing", 7),
];

/// Who may see whom on one level.
const SIBLINGS: [(&str, &str); 15] = [
    ("context", "name"),
    ("error", "name"),
    ("error", "context"),
    ("transport", "name"),
    ("access", "context"),
    ("access", "name"),
    ("access", "time"),
    ("access", "observe"),
    ("context", "error"),
    ("context", "observe"),
    ("observe", "error"),
    ("observe", "name"),
    ("observe", "time"),
    ("challenge", "credentials"),
    ("verify", "check"),
];

/// What pure rooms must not name.
const PURE: [&str; 6] = ["jose", "credentials", "challenge", "check", "verify", "sender"];
const IMPURE: [&str; 4] = ["tokio::", "crate::transport", "Clock", "SystemTime"];

#[test]
fn rooms_import_only_from_below() {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut seen = 0;
    for (room, level) in LEVELS {
        for file in files(&source, room) {
            let text = fs::read_to_string(&file).unwrap();
            let code = text.split("#[cfg(test)]").next().unwrap();
            let code = code.lines().filter(|line| !line.trim_start().starts_with("//"));
            for line in code {
                for (other, below) in LEVELS {
                    if other == room || !line.contains(&format!("crate::{other}")) {
                        continue;
                    }
                    seen += 1;
                    let sibling = SIBLINGS.contains(&(room, other));
                    let allowed = below < level || (below == level && sibling);
                    assert!(allowed, "{} names {other}: {line}", file.display());
                }
                let impure =
                    IMPURE.iter().find(|name| PURE.contains(&room) && line.contains(**name));
                assert_eq!(impure, None, "{}: {line}", file.display());
            }
        }
    }
    assert!(seen > 50, "the table was compared with something: {seen} imports");
}

/// Only the challenge room writes challenges, and only `verify` and the test kit make an access.
#[test]
fn one_room_writes_challenges_and_one_makes_access() {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    for (needle, allowed) in [
        ("WWW_AUTHENTICATE", &["challenge.rs", "testing/challenge.rs"][..]),
        ("Access::new(", &["verify/mod.rs", "testing/access.rs"][..]),
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

fn files(source: &Path, room: &str) -> Vec<PathBuf> {
    let file = source.join(format!("{room}.rs"));
    let found = if file.exists() { vec![file] } else { all(&source.join(room)) };
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
