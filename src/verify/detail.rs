//! What a refusal says to operators.

use std::fmt::{self, Write as _};

/// Writes a text into one piece of memory: nearly all are shorter. Refusals are what an attacker can
/// ask for most often.
pub(super) fn detail(text: fmt::Arguments<'_>) -> String {
    const USUAL: usize = 192;
    let mut detail = String::with_capacity(USUAL);
    // INVARIANT: to write into a `String` does not fail, nor do the values that are shown here.
    let _ = detail.write_fmt(text);
    detail
}

/// A value of a request for an operator's log: quoted, escaped and cut.
pub(super) fn shown(value: Option<&str>) -> Shown<'_> {
    Shown(value)
}

#[derive(Clone, Copy)]
pub(super) struct Shown<'a>(Option<&'a str>);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const SHOWN: usize = 100;
        match self.0 {
            None => f.write_str("absent"),
            Some(value) if value.len() <= SHOWN => write!(f, "{value:?}"),
            Some(value) => {
                let end = value.char_indices().nth(SHOWN).map_or(value.len(), |(at, _)| at);
                write!(f, "{:?}…", value.get(..end).unwrap_or_default())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_quoted_escaped_and_cut() {
        let (long, wide) = ("k".repeat(101), "é".repeat(60));
        for (value, expected) in [
            (None, "absent".to_owned()),
            (Some(""), "\"\"".to_owned()),
            (Some("a\"b\n\u{202e}"), "\"a\\\"b\\n\\u{202e}\"".to_owned()),
            (Some(&long[..100]), format!("\"{}\"", &long[..100])),
            (Some(&long), format!("\"{}\"…", &long[..100])),
            // Which is more than a hundred octets.
            (Some(&wide), format!("\"{wide}\"…")),
        ] {
            assert_eq!(detail(format_args!("{}", shown(value))), expected);
        }
        let text = detail(format_args!("{}", shown(Some(&"\u{7f}".repeat(100)))));
        assert_eq!(text.len(), 602, "however long it becomes");
    }
}
