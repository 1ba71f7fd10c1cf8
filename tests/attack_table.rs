//! The table of attacks in SECURITY.md: every number has a row, and every test that a row names is one
//! that runs.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

use std::fs;
use std::path::{Path, PathBuf};

const ROOT: &str = env!("CARGO_MANIFEST_DIR");
const HEADING: &str = "## Forty-four attacks";
const ATTACKS: usize = 44;

/// What a row says of itself where no test can show it, in place of one.
const NOT_APPLICABLE: &str = "not applicable: ";

/// A row: its number, the attack, why it fails, and the tests that show it.
struct Row {
    number: String,
    attack: String,
    why: String,
    shown_by: String,
}

/// The rows of the table below [`HEADING`].
fn rows(document: &str) -> Vec<Row> {
    let section = document.split(HEADING).nth(1).unwrap_or_default();
    let section = section.split("\n## ").next().unwrap();
    let table = section.lines().filter(|line| line.starts_with('|'));
    table
        .map(|line| {
            line.trim_matches('|').split(" | ").map(|cell| cell.trim().to_owned()).collect()
        })
        .filter_map(|cells: Vec<String>| {
            let [number, attack, why, shown_by] = <[String; 4]>::try_from(cells).ok()?;
            (number != "#").then_some(Row { number, attack, why, shown_by })
        })
        .filter(|row| !row.number.starts_with("--"))
        .collect()
}

/// Where a file of tests is, if it is a program or a module of one.
fn file_of(tests: &Path, file: &str) -> Option<PathBuf> {
    let path = tests.join(file);
    if let Some((directory, name)) = file.split_once('/') {
        let module = format!("mod {};", name.strip_suffix(".rs")?);
        let declares = |root: &PathBuf| {
            let text = fs::read_to_string(root).unwrap_or_default();
            text.lines().any(|line| line.trim() == module)
        };
        let programs =
            [tests.join(directory).join("main.rs"), tests.join(format!("{directory}.rs"))];
        programs.iter().find(|root| declares(root))?;
    }
    path.is_file().then_some(path)
}

/// Whether a text has a test of this name that runs: not one that is a comment, or ignored.
fn has_test(text: &str, name: &str) -> bool {
    let lines: Vec<_> = text.lines().map(str::trim).collect();
    let signatures = [format!("fn {name}()"), format!("async fn {name}()")];
    let is_it =
        |line: &str| signatures.iter().any(|signature| line.starts_with(signature.as_str()));
    lines.iter().enumerate().any(|(index, line)| {
        let above = lines[..index].iter().rev().take_while(|line| line.starts_with("#["));
        let attributes: Vec<_> = above.collect();
        let runs =
            |line: &&&str| ["#[test]", "#[tokio::test"].iter().any(|run| line.starts_with(run));
        is_it(line)
            && attributes.iter().any(runs)
            && !attributes.iter().any(|line| line.starts_with("#[ignore"))
    })
}

/// What is wrong with the table of a document.
fn faults(document: &str, tests: &Path) -> Vec<String> {
    let rows = rows(document);
    let mut faults = Vec::new();
    let numbers: Vec<_> = rows.iter().map(|row| row.number.clone()).collect();
    let wanted: Vec<_> = (1..=ATTACKS).map(|number| number.to_string()).collect();
    for number in &wanted {
        match numbers.iter().filter(|found| *found == number).count() {
            1 => {}
            found => faults.push(format!("{number}: {found} rows, and one is wanted")),
        }
    }
    faults.extend(
        numbers
            .iter()
            .filter(|found| !wanted.contains(found))
            .map(|found| format!("{found}: no number")),
    );
    if faults.is_empty() && numbers != wanted {
        faults.push("the rows are not in the order of their numbers".to_owned());
    }
    for Row { number, attack, why, shown_by } in rows {
        if attack.is_empty() || why.is_empty() {
            faults.push(format!("{number}: an attack and why it fails are wanted"));
        }
        if shown_by.starts_with(NOT_APPLICABLE) {
            continue;
        }
        for named in shown_by.split(", ") {
            let name = named.strip_prefix('`').and_then(|rest| rest.strip_suffix('`'));
            let Some((file, test)) = name.and_then(|name| name.split_once("::")) else {
                faults.push(format!("{number}: {named:?} is not `file::function`"));
                continue;
            };
            match file_of(tests, file) {
                None => faults.push(format!("{number}: {file} is no part of a program of tests")),
                Some(path) => {
                    if !has_test(&fs::read_to_string(path).unwrap(), test) {
                        faults.push(format!("{number}: {file} has no test {test}"));
                    }
                }
            }
        }
    }
    faults
}

fn security() -> String {
    fs::read_to_string(Path::new(ROOT).join("SECURITY.md")).unwrap()
}

fn tests() -> PathBuf {
    Path::new(ROOT).join("tests")
}

#[test]
fn every_attack_has_a_row_and_every_test_of_it_runs() {
    assert_eq!(faults(&security(), &tests()), [""; 0]);
}

/// Each change of the table that would make it say less is found.
#[test]
fn a_table_that_says_less_is_found_out() {
    let good = security();
    let line = |number: usize| {
        let start = format!("| {number} | ");
        good.lines().find(|line| line.starts_with(&start)).unwrap().to_owned()
    };
    let test = "`attacks/keys.rs::a_kid_is_a_name_and_never_a_place`";
    assert!(line(6).contains(test));
    let without_tests = line(6).replace(test, "");
    let swapped =
        good.replace(&line(6), "SIX").replace(&line(7), &line(6)).replace("SIX", &line(7));
    for (name, bad, wanted) in [
        ("no row", good.replace(&format!("{}\n", line(44)), ""), "44: 0 rows"),
        ("two rows", good.replace(&line(6), &format!("{0}\n{0}", line(6))), "6: 2 rows"),
        (
            "another number",
            good.replace(&line(6), &line(6).replacen('6', "45", 1)),
            "45: no number",
        ),
        ("another order", swapped, "not in the order"),
        ("no heading", good.replace(HEADING, "## Attacks"), "1: 0 rows"),
        ("no test", good.replace(&line(6), &without_tests), "is not `file::function`"),
        ("no such test", good.replace(test, "`attacks/keys.rs::a_kid`"), "has no test a_kid"),
        ("no test at all", good.replace(test, "`attacks/keys.rs::take`"), "has no test take"),
        ("no such file", good.replace(test, "`attacks/kids.rs::a_kid`"), "kids.rs is no part"),
        ("no program", good.replace(test, "`vectors/mod.rs::a_kid`"), "mod.rs is no part"),
        ("no path", good.replace(test, "`a_kid_is_a_name_and_never_a_place`"), "is not `file"),
    ] {
        let found = faults(&bad, &tests());
        assert!(found.iter().any(|fault| fault.contains(wanted)), "{name}: {found:?}");
    }
    let explained = good.replace(test, "not applicable: there is no `kid`");
    assert_eq!(faults(&explained, &tests()), [""; 0]);
}

/// A test is a function with the attribute of one, and runs.
#[test]
fn a_test_is_told_from_what_looks_like_one() {
    for (text, is_one) in [
        ("#[test]\nfn a() {", true),
        ("#[tokio::test]\nasync fn a() {", true),
        ("#[tokio::test(flavor = \"multi_thread\")]\n#[cfg(unix)]\n    async fn a() {", true),
        ("fn a() {", false),
        ("#[test]\nfn ab() {", false),
        ("#[test]\nfn b() {\n}\n\nfn a() {", false),
        ("#[test]\n#[ignore = \"slow\"]\nfn a() {", false),
        ("#[test]\n// fn a() {", false),
    ] {
        assert_eq!(has_test(text, "a"), is_one, "{text}");
    }
}
