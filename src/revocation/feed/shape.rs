//! How large the parts of a document are, before and while it is read.

use super::FeedError;

/// The most members of any object in a document. A record has ten at most; what is not looked at can
/// have more of its own.
const MOST_MEMBERS: usize = 256;

/// Refuses objects with so many members that looking for repeated ones would take more memory than the
/// document has. Whether it is JSON is not looked at: that is found out next.
pub(super) fn bounded(text: &[u8]) -> Result<(), FeedError> {
    // Of each object or array around: how many commas, and whether they are counted.
    let mut around: Vec<(usize, bool)> = Vec::new();
    let mut bytes = text.iter();
    while let Some(byte) = bytes.next() {
        match byte {
            b'"' => skip_string(&mut bytes),
            // Deeper than any reader goes, the next one refuses it.
            b'{' | b'[' if around.len() > crate::jose::json::MAX_DEPTH => return Ok(()),
            b'{' => around.push((1, true)),
            b'[' => around.push((1, false)),
            b'}' | b']' => drop(around.pop()),
            b',' => {
                if let Some((count, true)) = around.last_mut() {
                    *count = count.saturating_add(1);
                    if *count > MOST_MEMBERS {
                        return Err(FeedError::Members { most: MOST_MEMBERS });
                    }
                }
            }
            _ => {}
        }
    }
    Ok(())
}

/// The elements of an array one after the other, without a list of them. The text was checked before.
pub(super) fn elements(array: &str) -> Option<impl Iterator<Item = &str>> {
    let mut rest = array.strip_prefix('[')?.strip_suffix(']')?.trim_ascii();
    Some(std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let (element, behind) = rest.split_at_checked(first_comma(rest))?;
        rest = behind.get(1..).unwrap_or_default();
        Some(element.trim_ascii())
    }))
}

/// Where the first comma is that is in nothing; the length if there is none.
fn first_comma(text: &str) -> usize {
    let mut depth = 0_usize;
    let mut bytes = text.as_bytes().iter();
    while let Some(byte) = bytes.next() {
        match byte {
            b'"' => skip_string(&mut bytes),
            b'{' | b'[' => depth = depth.saturating_add(1),
            b'}' | b']' => depth = depth.saturating_sub(1),
            b',' if depth == 0 => {
                return text.len().saturating_sub(bytes.len()).saturating_sub(1);
            }
            _ => {}
        }
    }
    text.len()
}

fn skip_string(bytes: &mut std::slice::Iter<'_, u8>) {
    while let Some(byte) = bytes.next() {
        match byte {
            b'"' => return,
            b'\\' => drop(bytes.next()),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn elements_are_told_apart_by_the_commas_between_them() {
        for (array, expected) in [
            ("[]", &[][..]),
            ("[ ]", &[]),
            ("[1]", &["1"]),
            (
                r#"[ {"a":1,"b":[2,3]} , "x,\"]" ,null]"#,
                &[r#"{"a":1,"b":[2,3]}"#, r#""x,\"]""#, "null"],
            ),
            (r#"["\\",[[],{}]]"#, &[r#""\\""#, "[[],{}]"]),
            ("[\"\u{e9},\",2]", &["\"\u{e9},\"", "2"]),
        ] {
            assert_eq!(elements(array).unwrap().collect::<Vec<_>>(), expected, "{array}");
        }
        assert!(elements("{}").is_none());
        assert!(elements("null").is_none());
    }

    #[test]
    fn an_object_of_very_many_members_is_not_read() {
        let object = |members: usize| {
            let members: Vec<_> =
                (0..members).map(|number| format!("\"{number}\":[1,2]")).collect();
            format!("{{{}}}", members.join(","))
        };
        for text in [object(256), format!("[{}]", "1,".repeat(1_000)), "}}}],,,\"".to_owned()] {
            assert!(bounded(text.as_bytes()).is_ok());
        }
        for text in [object(257), format!("{{\"a\":[{}]}}", object(257))] {
            assert!(matches!(bounded(text.as_bytes()), Err(FeedError::Members { most: 256 })));
        }
    }

    /// Attack 19: what stands in a text neither counts nor hides what does.
    #[test]
    fn what_stands_in_a_text_is_no_member() {
        let many = "0,".repeat(1_000);
        assert!(bounded(format!("{{\"a\":\"{many}\"}}").as_bytes()).is_ok());
        let members: Vec<_> = (0..300).map(|number| format!("\"{number}\":0")).collect();
        for text in ["}", "[", "\\\"}", "\\\\"] {
            let object = format!("{{\"a\":\"{text}\",{}}}", members.join(","));
            let read = bounded(object.as_bytes());
            assert!(matches!(read, Err(FeedError::Members { .. })), "{object}");
        }
    }

    /// Attack 19: what is nested deeper than any reader goes is not followed, however deep it is: the
    /// reader refuses it.
    #[test]
    fn what_is_nested_too_deep_is_left_to_the_reader() {
        use crate::jose::json::{MAX_DEPTH, Object};
        let members: Vec<_> = (0..300).map(|number| format!("\"{number}\":0")).collect();
        let wide = format!("{{{}}}", members.join(","));
        let within = |levels: usize| {
            format!("{{\"a\":{}{wide}{}}}", "[".repeat(levels - 1), "]".repeat(levels - 1))
        };
        let deep = within(MAX_DEPTH + 2);
        assert!(bounded(deep.as_bytes()).is_ok());
        assert!(Object::parse(deep.as_bytes()).is_err());
        assert!(bounded(within(MAX_DEPTH - 1).as_bytes()).is_err(), "as deep as can be read");
    }
}
