//! JSON objects as text: two members of one name, numbers that no type holds, any spelling.

use super::dice::Dice;

/// The members of an object: the name as JSON text, the value as JSON text.
#[derive(Clone)]
pub(crate) struct Members(pub(crate) Vec<(String, String)>);

impl Members {
    pub(crate) fn new() -> Self {
        Self(Vec::new())
    }

    /// The member of this name, instead of the one that is there.
    pub(crate) fn set(&mut self, name: &str, json: impl Into<String>) {
        let name = quoted(name);
        match self.0.iter_mut().find(|(known, _)| *known == name) {
            Some((_, value)) => *value = json.into(),
            None => self.0.push((name, json.into())),
        }
    }

    /// The member of this name, beside the one that is there.
    pub(crate) fn repeat(&mut self, name: String, json: impl Into<String>) {
        self.0.push((name, json.into()));
    }

    pub(crate) fn remove(&mut self, name: &str) {
        let name = quoted(name);
        self.0.retain(|(known, _)| *known != name);
    }

    pub(crate) fn value(&self, name: &str) -> Option<&str> {
        let name = quoted(name);
        self.0.iter().find(|(known, _)| *known == name).map(|(_, value)| value.as_str())
    }

    pub(crate) fn to_json(&self) -> String {
        let members: Vec<String> =
            self.0.iter().map(|(name, value)| format!("{name}:{value}")).collect();
        format!("{{{}}}", members.join(","))
    }

    /// The same with white space where JSON allows it.
    pub(crate) fn to_spaced_json(&self, dice: &mut Dice) -> String {
        let mut space = || dice.pick(&["", "", " ", "\n", "\t \r\n"]);
        let members: Vec<String> = self
            .0
            .iter()
            .map(|(name, value)| {
                let (a, b, c, d) = (space(), space(), space(), space());
                format!("{a}{name}{b}:{c}{value}{d}")
            })
            .collect();
        let (before, after) = (space(), space());
        format!("{before}{{{}}}{after}", members.join(","))
    }
}

/// `text` as a JSON string.
pub(crate) fn quoted(text: &str) -> String {
    serde_json::to_string(text).unwrap()
}

/// `text` as a JSON string that escapes one character more than it has to.
pub(crate) fn quoted_oddly(text: &str, dice: &mut Dice) -> String {
    let at = dice.below(text.chars().count().max(1));
    let mut json = String::from("\"");
    for (index, c) in text.chars().enumerate() {
        match c {
            '/' if dice.percent(50) => json.push_str("\\/"),
            _ if index == at => {
                let mut units = [0; 2];
                for unit in c.encode_utf16(&mut units) {
                    json.push_str(&match dice.below(2) {
                        0 => format!("\\u{unit:04x}"),
                        _ => format!("\\u{unit:04X}"),
                    });
                }
            }
            _ => {
                let one = quoted(&c.to_string());
                json.push_str(&one[1..one.len() - 1]);
            }
        }
    }
    json.push('"');
    json
}

/// A value of another type than is wanted, mostly.
pub(crate) fn odd_value(dice: &mut Dice) -> &'static str {
    dice.pick(&[
        "null",
        "true",
        "false",
        "0",
        "1",
        "-1",
        "1.5",
        "\"\"",
        "\" \"",
        "\"x\"",
        "\"1800000000\"",
        "[]",
        "[null]",
        "[\"x\"]",
        "[[]]",
        "{}",
        "{\"x\":1}",
        "1e400",
    ])
}
