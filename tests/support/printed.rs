//! What is printed of a value or an error.

use std::error::Error;
use std::fmt::Debug;

/// In every way in which it can be printed.
pub(crate) fn printed(value: &impl Debug) -> String {
    format!("{value:?}\n{value:#?}")
}

/// The same of an error, and of what it came from.
pub(crate) fn printed_error(error: &impl Error) -> String {
    let mut text = format!("{error}\n{error:#}\n{}", printed(error));
    let mut source = error.source();
    while let Some(error) = source {
        text.push_str(&format!("\n{error}\n{error:?}"));
        source = error.source();
    }
    text
}
