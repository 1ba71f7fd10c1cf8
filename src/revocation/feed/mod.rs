//! A JSON feed: a document that says what is revoked, for issuers that have neither status lists nor
//! event streams. [`FeedDocument`] says what it looks like, [`JsonFeed`] how it is asked for.

mod config;
mod document;
mod entry;
mod get;
mod known;
mod poller;
mod shape;
mod signed;

pub use config::{DangerousJsonFeed, JsonFeed};
pub use document::{FeedDocument, FeedError};

/// The JSON Schema (draft 2020-12) of a document of a [`JsonFeed`].
pub const FEED_SCHEMA: &str = include_str!("schema.json");
