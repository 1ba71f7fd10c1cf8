use std::sync::Arc;
use std::time::Duration;

use super::AnswerGap;
use super::client::CheckedClient;
use crate::name::LoopbackHttp;
use crate::transport::Transport;

/// An introspection without faults.
pub(crate) struct Checked {
    pub(super) issuer: Box<str>,
    pub(super) endpoint: Box<str>,
    pub(super) client: CheckedClient,
    pub(super) choice: Choice,
    pub(super) jwts: Jwts,
    pub(super) answers: Answers,
    pub(super) gaps: Box<[AnswerGap]>,
    pub(super) without_audience: bool,
    pub(super) ttl: Duration,
    pub(super) negative_ttl: Duration,
    pub(super) cache_bytes: u64,
    pub(super) timeout: Duration,
    pub(super) max_at_once: usize,
    pub(super) transport: Option<Arc<dyn Transport>>,
    pub(super) loopback_http: LoopbackHttp,
}

/// Which opaque tokens are of an issuer.
#[derive(Clone, Debug)]
pub(super) enum Choice {
    /// All that are of no other.
    Rest,
    /// Those that begin so.
    Prefixes(Box<[String]>),
    /// Those on routes that name it.
    WhereNamed,
}

/// What becomes of JWTs that name the issuer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Jwts {
    /// They are read here and never sent.
    ReadHere,
    /// They are sent.
    AskedAbout,
}

/// Which answers count.
#[derive(Clone, Debug)]
pub(super) enum Answers {
    /// Plain JSON (RFC 7662 §2.2).
    Json,
    /// Signed ones for this audience (RFC 9701 §5).
    Signed(Box<str>),
}
