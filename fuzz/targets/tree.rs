//! JSON as `serde_json` reads it, with its duplicates and its depth.

use std::fmt;

use portcullis::jose::json::MAX_DEPTH;
use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};

/// A value; objects keep the order and the repeats of their members.
#[derive(Debug, PartialEq)]
pub(super) enum Tree {
    Null,
    Boolean,
    Number(f64),
    Text(String),
    Array(Vec<Tree>),
    Object(Vec<(String, Tree)>),
}

/// What a document is.
pub(super) enum Reading {
    /// One object, unique in its names and not too deep.
    Object(Vec<(String, Tree)>),
    /// Something else, or nothing.
    Refused,
    /// A number that `serde_json` cannot hold, so that it cannot tell.
    Unknown,
}

pub(super) fn read(document: &[u8]) -> Reading {
    match serde_json::from_slice::<Tree>(document) {
        Err(error) if error.to_string().starts_with("number out of range") => Reading::Unknown,
        Ok(tree) if tree.depth() > MAX_DEPTH || tree.has_duplicates() => Reading::Refused,
        Ok(Tree::Object(members)) => Reading::Object(members),
        _ => Reading::Refused,
    }
}

pub(super) fn member<'a>(members: &'a [(String, Tree)], name: &str) -> Option<&'a Tree> {
    members.iter().find(|(known, _)| known == name).map(|(_, value)| value)
}

impl Tree {
    pub(super) fn as_text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }

    fn children(&self) -> Vec<&Tree> {
        match self {
            Self::Array(elements) => elements.iter().collect(),
            Self::Object(members) => members.iter().map(|(_, value)| value).collect(),
            _ => Vec::new(),
        }
    }

    /// Levels of arrays and objects.
    fn depth(&self) -> usize {
        let own = usize::from(matches!(self, Self::Array(_) | Self::Object(_)));
        own + self.children().into_iter().map(Tree::depth).max().unwrap_or(0)
    }

    fn has_duplicates(&self) -> bool {
        let mut names: Vec<&str> = match self {
            Self::Object(members) => members.iter().map(|(name, _)| name.as_str()).collect(),
            _ => Vec::new(),
        };
        names.sort_unstable();
        names.windows(2).any(|pair| pair[0] == pair[1])
            || self.children().into_iter().any(Tree::has_duplicates)
    }
}

impl<'de> Deserialize<'de> for Tree {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(TreeVisitor)
    }
}

struct TreeVisitor;

impl<'de> Visitor<'de> for TreeVisitor {
    type Value = Tree;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Tree, E> {
        Ok(Tree::Null)
    }

    fn visit_bool<E>(self, _: bool) -> Result<Tree, E> {
        Ok(Tree::Boolean)
    }

    #[expect(clippy::cast_precision_loss, reason = "compared to that precision only")]
    fn visit_i64<E>(self, number: i64) -> Result<Tree, E> {
        Ok(Tree::Number(number as f64))
    }

    #[expect(clippy::cast_precision_loss, reason = "compared to that precision only")]
    fn visit_u64<E>(self, number: u64) -> Result<Tree, E> {
        Ok(Tree::Number(number as f64))
    }

    fn visit_f64<E>(self, number: f64) -> Result<Tree, E> {
        Ok(Tree::Number(number))
    }

    fn visit_str<E>(self, text: &str) -> Result<Tree, E> {
        Ok(Tree::Text(text.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut array: A) -> Result<Tree, A::Error> {
        let mut elements = Vec::new();
        while let Some(element) = array.next_element()? {
            elements.push(element);
        }
        Ok(Tree::Array(elements))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut object: A) -> Result<Tree, A::Error> {
        let mut members = Vec::new();
        while let Some(member) = object.next_entry()? {
            members.push(member);
        }
        Ok(Tree::Object(members))
    }
}
