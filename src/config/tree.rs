//! From a text to the structure: every fault, each with its path.

use std::fmt;

use serde::de::{DeserializeOwned, DeserializeSeed, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};
use serde_path_to_error::Segment;

use crate::error::key;

/// The longest text of a configuration, in bytes. A large one, with a thousand tenants, has 200 KiB.
pub(super) const LONGEST: usize = 1024 * 1024;

/// More faults than that are not found at once: whoever has as many corrects some first.
const MOST_FAULTS: usize = 100;

/// A step into the structure.
#[derive(Clone, Debug)]
enum Step {
    Member(String),
    Element(usize),
}

/// Where something is.
type Path = Vec<Step>;

/// What is wrong at a place, and whether something was taken away there without which more may
/// seem wrong than is.
#[derive(Clone, Debug)]
pub(super) struct Fault {
    pub(super) path: String,
    pub(super) what: String,
    pub(super) gap: bool,
}

/// A structure, and what had to be taken out of its text for it.
#[derive(Debug)]
pub(super) struct Read<T> {
    pub(super) structure: T,
    pub(super) faults: Vec<Fault>,
    pub(super) cuts: Cuts,
}

/// Reads TOML. A syntax error is told by its place, never by its text: it may be a pasted secret.
pub(super) fn toml(text: &str) -> Result<Source, String> {
    bounded(text)?;
    let table: toml::Table = toml::from_str(text).map_err(|error| {
        let at = error.span().map_or(0, |span| span.start);
        let before = text.get(..at).unwrap_or(text);
        let line = before.matches('\n').count().saturating_add(1);
        let last = before.rsplit('\n').next().unwrap_or_default();
        let column = last.chars().count().saturating_add(1);
        // A key written twice is the one error whose message could hold a word of the text.
        let what = error.message().lines().next().unwrap_or_default();
        let what =
            if what.contains('`') { what.split('`').next().unwrap_or_default() } else { what };
        format!("it is not TOML: line {line}, column {column}: {}", what.trim())
    })?;
    Ok(Source { value: from_toml(toml::Value::Table(table)), faults: Vec::new() })
}

/// Reads JSON. A member that stands twice is a fault: readers disagree on which one counts.
pub(super) fn json(text: &str) -> Result<Source, String> {
    bounded(text)?;
    let mut path = Path::new();
    let mut twice = Vec::new();
    let mut reader = serde_json::Deserializer::from_str(text);
    let value = Whole { path: &mut path, twice: &mut twice }
        .deserialize(&mut reader)
        .and_then(|value| reader.end().map(|()| value))
        .map_err(|error| {
            let (line, column) = (error.line(), error.column());
            format!("it is not JSON: line {line}, column {column}")
        })?;
    let faults = twice
        .into_iter()
        .take(MOST_FAULTS)
        .map(|path| Fault {
            path: shown(&path),
            what: "it stands there twice: keep one".to_owned(),
            gap: false,
        })
        .collect();
    Ok(Source { value, faults })
}

fn bounded(text: &str) -> Result<(), String> {
    match text.len() {
        found if found > LONGEST => {
            Err(format!("a text of {found} bytes is longer than {LONGEST}"))
        }
        _ => Ok(()),
    }
}

/// What a text says, before it is known to mean something.
#[derive(Debug)]
pub(super) struct Source {
    value: Value,
    faults: Vec<Fault>,
}

impl Source {
    /// The structure of it, without what is wrong in it. `T` has no mandatory member, so that
    /// nothing is wrong only because something else was taken away.
    pub(super) fn read<T: DeserializeOwned + Default>(self) -> Read<T> {
        let Self { mut value, mut faults } = self;
        let mut cuts = Cuts::default();
        let mut nulls = Vec::new();
        find_nulls(&value, &mut Path::new(), &mut nulls);
        // The last first: what stands before it keeps its place.
        for path in nulls.into_iter().rev() {
            let what = "`null` is no value: leave the member out".to_owned();
            faults.push(Fault { path: shown(&path), what, gap: true });
            cuts.cut(&mut value, &path);
        }
        loop {
            let error = match serde_path_to_error::deserialize::<_, T>(&value) {
                Ok(structure) => return Read { structure, faults, cuts },
                Err(error) => error,
            };
            let path = existing(&value, error.path());
            let what = message(error.inner());
            let gap = !what.starts_with("unknown field");
            let place = cuts.original(&shown(&path));
            // A list that is empty only now says nothing of its own.
            if !faults.iter().any(|fault| fault.gap && is_within(&fault.path, &place)) {
                faults.push(Fault { path: place, what, gap });
            }
            if path.is_empty() || !cuts.cut(&mut value, &path) {
                return Read { structure: T::default(), faults, cuts };
            }
            if faults.len() >= MOST_FAULTS {
                let what = format!("{MOST_FAULTS} faults and more: the rest was not looked for");
                faults.push(Fault { path: String::new(), what, gap: true });
                return Read { structure: T::default(), faults, cuts };
            }
        }
    }
}

/// serde's message in the words of files, cut: it can hold a value of the file.
fn message(error: &serde_json::Error) -> String {
    const SHOWN: usize = 600;
    let text = error.to_string();
    let text = match text.strip_suffix("expected a sequence") {
        Some(found) => format!("{found}expected a list"),
        None => text,
    };
    let text = match text.strip_prefix("invalid type: sequence") {
        Some(wanted) => format!("invalid type: list{wanted}"),
        None => text,
    };
    let text = match text.strip_prefix("invalid type: map") {
        Some(wanted) => format!("invalid type: table{wanted}"),
        None => text,
    };
    match text.char_indices().nth(SHOWN) {
        Some((at, _)) => format!("{}…", text.get(..at).unwrap_or_default()),
        None => text,
    }
}

/// The part of the path that leads to something.
fn existing(value: &Value, path: &serde_path_to_error::Path) -> Path {
    let mut here = value;
    let mut found = Path::new();
    for segment in path {
        let step = match segment {
            Segment::Seq { index } => Step::Element(*index),
            Segment::Map { key } => Step::Member(key.clone()),
            Segment::Enum { .. } | Segment::Unknown => break,
        };
        let Some(next) = child(here, &step) else { break };
        here = next;
        found.push(step);
    }
    found
}

fn child<'a>(value: &'a Value, step: &Step) -> Option<&'a Value> {
    match step {
        Step::Member(name) => value.get(name.as_str()),
        Step::Element(index) => value.get(*index),
    }
}

fn find_nulls(value: &Value, path: &mut Path, nulls: &mut Vec<Path>) {
    match value {
        // A text that is nothing but `null` is no table, and told so.
        Value::Null if path.is_empty() => {}
        Value::Null => nulls.push(path.clone()),
        Value::Array(list) => {
            for (index, value) in list.iter().enumerate() {
                path.push(Step::Element(index));
                find_nulls(value, path, nulls);
                path.pop();
            }
        }
        Value::Object(members) => {
            for (name, value) in members {
                path.push(Step::Member(name.clone()));
                find_nulls(value, path, nulls);
                path.pop();
            }
        }
        _ => {}
    }
}

/// The elements that were taken out of lists, so that the place of what is left is known.
#[derive(Clone, Debug, Default)]
pub(super) struct Cuts {
    /// A list, and an index of it, both as they were in the text.
    elements: Vec<(String, usize)>,
}

impl Cuts {
    /// The place in the text of a place in what is left.
    pub(super) fn original(&self, path: &str) -> String {
        let mut original = String::new();
        for part in parts(path) {
            let Some(index) = part.strip_prefix('[').and_then(|text| text.strip_suffix(']')) else {
                original.push_str(part);
                continue;
            };
            let gone = self.elements.iter().filter(|(list, _)| *list == original);
            let mut gone: Vec<usize> = gone.map(|(_, index)| *index).collect();
            gone.sort_unstable();
            let mut place: usize = index.parse().unwrap_or_default();
            for gone in gone {
                if gone <= place {
                    place = place.saturating_add(1);
                }
            }
            original.push_str(&format!("[{place}]"));
        }
        original
    }

    fn cut(&mut self, value: &mut Value, path: &[Step]) -> bool {
        let Some((last, way)) = path.split_last() else { return false };
        let mut here = value;
        for step in way {
            let next = match step {
                Step::Member(name) => here.get_mut(name.as_str()),
                Step::Element(index) => here.get_mut(*index),
            };
            let Some(next) = next else { return false };
            here = next;
        }
        match (here, last) {
            (Value::Object(members), Step::Member(name)) => members.remove(name).is_some(),
            (Value::Array(elements), Step::Element(index)) if *index < elements.len() => {
                let original = self.original(&shown(path));
                elements.remove(*index);
                if let Some((list, index)) = original.rsplit_once('[') {
                    let index = index.trim_end_matches(']').parse().unwrap_or_default();
                    self.elements.push((list.to_owned(), index));
                }
                true
            }
            _ => false,
        }
    }
}

/// The steps of a path, as they are written.
fn parts(path: &str) -> Vec<&str> {
    let mut parts = Vec::new();
    let mut rest = path;
    while !rest.is_empty() {
        let dot = usize::from(rest.starts_with('.'));
        let name = rest.get(dot..).unwrap_or_default();
        let end = if name.starts_with('[') {
            name.find(']').map_or(name.len(), |at| at.saturating_add(1))
        } else if name.starts_with('"') {
            closing_quote(name)
        } else {
            name.find(['.', '[']).unwrap_or(name.len())
        };
        let (part, after) = rest.split_at(dot.saturating_add(end));
        // INVARIANT: a part is never empty, unless two dots follow each other, which none writes.
        parts.push(part);
        rest = after.get(usize::from(part.is_empty())..).unwrap_or_default();
    }
    parts
}

/// `issuers[1].algorithms[0]`. A name that is not bare is quoted.
fn shown(path: &[Step]) -> String {
    let mut text = String::new();
    for step in path {
        match step {
            Step::Element(index) => text.push_str(&format!("[{index}]")),
            Step::Member(name) => {
                if !text.is_empty() {
                    text.push('.');
                }
                text.push_str(&key(name));
            }
        }
    }
    text
}

/// Whether a place is this one or one in it.
pub(super) fn is_within(place: &str, around: &str) -> bool {
    match place.strip_prefix(around) {
        Some(rest) => rest.is_empty() || around.is_empty() || rest.starts_with(['.', '[']),
        None => false,
    }
}

/// Where a quoted text ends, in bytes.
fn closing_quote(text: &str) -> usize {
    let mut escaped = false;
    for (at, letter) in text.char_indices().skip(1) {
        match letter {
            '"' if !escaped => return at.saturating_add(1),
            '\\' => escaped = !escaped,
            _ => escaped = false,
        }
    }
    text.len()
}

fn from_toml(value: toml::Value) -> Value {
    match value {
        toml::Value::String(text) => Value::String(text),
        toml::Value::Integer(number) => number.into(),
        // TOML has `nan` and `inf`, JSON has not: no member is either.
        toml::Value::Float(number) => serde_json::Number::from_f64(number)
            .map_or_else(|| Value::String(number.to_string()), Value::Number),
        toml::Value::Boolean(value) => value.into(),
        // `until = 2027-03-31` is as good as `until = "2027-03-31"`.
        toml::Value::Datetime(time) => Value::String(time.to_string()),
        toml::Value::Array(list) => list.into_iter().map(from_toml).collect(),
        toml::Value::Table(table) => {
            table.into_iter().map(|(name, value)| (name, from_toml(value))).collect()
        }
    }
}

/// Any JSON, with the places of members that stand twice.
struct Whole<'a> {
    path: &'a mut Path,
    twice: &'a mut Vec<Path>,
}

impl<'de> DeserializeSeed<'de> for Whole<'_> {
    type Value = Value;

    fn deserialize<D: serde::Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Whole<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Value, A::Error> {
        let Self { path, twice } = self;
        let mut elements = Vec::new();
        loop {
            path.push(Step::Element(elements.len()));
            let element = list.next_element_seed(Whole { path: &mut *path, twice: &mut *twice });
            path.pop();
            match element? {
                Some(element) => elements.push(element),
                None => return Ok(Value::Array(elements)),
            }
        }
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        /// How `serde_json` hands on numbers if another crate switched `arbitrary_precision` on.
        const NUMBER: &str = "$serde_json::private::Number";
        let Self { path, twice } = self;
        let mut members = Map::new();
        while let Some(name) = map.next_key::<String>()? {
            if name == NUMBER {
                let text: String = map.next_value()?;
                return serde_json::from_str(&text).map_err(A::Error::custom);
            }
            path.push(Step::Member(name.clone()));
            let value = map.next_value_seed(Whole { path: &mut *path, twice: &mut *twice });
            if members.insert(name, value?).is_some() {
                twice.push(path.clone());
            }
            path.pop();
        }
        Ok(Value::Object(members))
    }
}
