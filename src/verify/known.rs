//! Tokens that were accepted before: what they say is known, and is decided anew.
//!
//! 1. Only a token that was accepted enters, so that nobody can fill it with what he invents; and of an
//!    encrypted one only where the issuer encrypts all its tokens: else whoever has one could put it into
//!    as many envelopes as he likes.
//! 2. What is kept is what the token says, and the key that it was verified with. Everything that a
//!    request, a route, time or a record has a say in is decided again, by the same code: nothing of a
//!    decision is kept.
//! 3. A token is found by its length and a hash with a secret key of this server ([`super::digest`]). No
//!    octet of it is kept; two tokens do not meet, and nobody can make them.
//! 4. It counts as long as its issuer is the same and has the same key for it, under the same `kid`, and
//!    as long as that key may be used: a withdrawn key, a tenant that was changed or removed, keys that
//!    are too old are looked at with every use.
//! 5. It counts from the time on at which it was verified: what was found out then is not known of a time
//!    before, to which a clock was set back.
//! 6. It is bounded in bytes, all that a token takes among them; what is used least goes first.

use std::mem::size_of;
use std::sync::Arc;

use quick_cache::Weighter;
use quick_cache::sync::{Cache, DefaultLifecycle};

use super::basis::ProvenKey;
use super::digest::{Digest, DigestKey};
use crate::access::{Actor, Confirmation, Facts};
use crate::issuer::{Attempt, Registry};
use crate::name::Audience;
use crate::place::BuildPlaceHasher;
use crate::revocation::ClearAt;
use crate::sender::KnownSender;
use crate::time::{Moment, Timestamp};

/// Tokens that were accepted.
pub(crate) struct KnownTokens {
    bytes_at_most: u64,
    /// `None`: none is kept.
    tokens: Option<Tokens>,
}

/// How many tokens a server knows by having accepted them, for operators.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct KnownTokensHealth {
    /// Tokens, with those that are over and were not seen since.
    pub tokens: usize,
    /// The bytes that they take, rather more than less.
    pub bytes: u64,
    /// How many bytes they may take: see [`crate::ServerBuilder::known_tokens_bytes`]. Zero where none
    /// is kept.
    pub bytes_at_most: u64,
}

struct Tokens {
    key: DigestKey,
    cache: Cache<Digest, Arc<KnownToken>, Weight, BuildPlaceHasher>,
}

/// A token that was accepted, and with which key it was verified.
pub(super) struct KnownToken {
    facts: Arc<Facts>,
    key: ProvenKey,
    clear: ClearAt,
    /// When it was verified.
    since: Timestamp,
    bytes: u64,
    sender: KnownSender,
}

impl KnownTokens {
    /// A place for so many bytes, none for zero, of tokens of at most so many octets.
    pub(crate) fn new(bytes: u64, longest: usize) -> Self {
        // Without random numbers every token is verified each time.
        let key = if bytes > 0 { DigestKey::random(longest) } else { None };
        if bytes > 0 && key.is_none() {
            tracing::error!(
                "the machine has no random numbers: no token is known from an earlier use"
            );
        }
        let tokens = key.map(|key| {
            let about = usize::try_from(bytes / KnownToken::USUAL).unwrap_or(usize::MAX);
            let lifecycle = DefaultLifecycle::default();
            let places = BuildPlaceHasher::default();
            Tokens { key, cache: Cache::with(about, bytes, Weight, places, lifecycle) }
        });
        Self { bytes_at_most: if tokens.is_some() { bytes } else { 0 }, tokens }
    }

    /// What this token is found by; `None` if none is kept.
    pub(super) fn digest(&self, token: &[u8]) -> Option<Digest> {
        self.tokens.as_ref()?.key.digest(token)
    }

    pub(super) fn get(&self, token: &Digest) -> Option<Arc<KnownToken>> {
        self.tokens.as_ref()?.cache.get(token)
    }

    pub(super) fn keep(&self, token: Digest, known: Arc<KnownToken>) {
        if let Some(tokens) = &self.tokens {
            tokens.cache.insert(token, known);
        }
    }

    pub(super) fn forget(&self, token: &Digest) {
        if let Some(tokens) = &self.tokens {
            tokens.cache.remove(token);
        }
    }

    /// The most bytes that they may take.
    pub(crate) const fn bytes_at_most(&self) -> u64 {
        self.bytes_at_most
    }

    pub(crate) fn health(&self) -> KnownTokensHealth {
        let size = |tokens: &Tokens| (tokens.cache.len(), tokens.cache.weight());
        let (tokens, bytes) = self.tokens.as_ref().map_or((0, 0), size);
        KnownTokensHealth { tokens, bytes, bytes_at_most: self.bytes_at_most }
    }
}

impl KnownToken {
    /// What a token of usual size takes.
    const USUAL: u64 = 2_048;

    pub(super) fn new(facts: Arc<Facts>, key: ProvenKey, at: Moment) -> Self {
        Self {
            bytes: bytes_of(&facts),
            facts,
            key,
            clear: ClearAt::default(),
            since: at.wall(),
            sender: KnownSender::default(),
        }
    }

    /// What is known of its sender's proofs.
    pub(super) fn sender(&self) -> &KnownSender {
        &self.sender
    }

    /// Up to where no record spoke against it.
    pub(super) fn clear(&self) -> &ClearAt {
        &self.clear
    }

    pub(super) fn facts(&self) -> &Arc<Facts> {
        &self.facts
    }

    /// The key that it was verified with.
    pub(super) fn key(&self) -> &ProvenKey {
        &self.key
    }

    /// Whether its issuer is one of ours as it was, and would be asked for the same key.
    pub(super) fn counts(&self, issuers: &Registry, at: Moment, attempt: Attempt) -> bool {
        at.wall() >= self.since && self.key.holds(issuers, &self.facts.issuer, at, attempt)
    }
}

/// The bytes that a token takes: each allocation, its place, and its part of what the places leave free
/// and of the traces of tokens that went.
fn bytes_of(facts: &Facts) -> u64 {
    // A place has some hundred; there are up to twice as many places as tokens, and a table of them.
    const PLACE: usize = 256;
    // Counts of references stand before what is shared.
    const SHARED: usize = 2 * size_of::<usize>();
    let Facts {
        issuer: _,
        subject,
        subject_kind: _,
        client_id,
        jwt_id,
        audiences,
        scope,
        issued_at: _,
        not_before: _,
        expires_at: _,
        auth_time: _,
        acr,
        actor,
        confirmation,
        // It is its key's, as the issuer is the issuer's.
        key_id: _,
        session,
        named,
        status,
        origin: _,
        addressed: _,
        claims,
    } = facts;
    let texts = [
        Some(subject.as_str()),
        client_id.as_ref().map(AsRef::as_ref),
        jwt_id.as_ref().map(AsRef::as_ref),
        Some(&**scope),
        acr.as_deref(),
        actor.as_ref().map(Actor::issuer),
        actor.as_ref().map(|actor| actor.subject().as_str()),
        session.as_deref(),
        status.as_ref().map(|status| &*status.uri),
    ];
    let audience_list = audiences.capacity().saturating_mul(size_of::<Audience>());
    // Its sender's key, once a proof was seen.
    let sender = match confirmation {
        Confirmation::Bound { key: Some(_), .. } => KnownSender::BYTES,
        _ => 0,
    };
    let all = [
        sender,
        size_of::<KnownToken>().saturating_add(SHARED),
        size_of::<Facts>().saturating_add(SHARED),
        claims.len(),
        audience_list,
        size_of_val(&**named),
    ]
    .into_iter()
    .chain(texts.into_iter().flatten().map(str::len))
    .chain(audiences.iter().map(|audience| audience.as_str().len()))
    .chain(named.iter().map(|(_, value)| value.len()))
    .map(allocated)
    .fold(PLACE, usize::saturating_add);
    u64::try_from(all.saturating_add(all / 16)).unwrap_or(u64::MAX)
}

/// What an allocator takes for so many bytes, about.
const fn allocated(bytes: usize) -> usize {
    const STEP: usize = 16;
    match bytes {
        0 => 0,
        bytes => bytes.saturating_add(STEP).next_multiple_of(STEP),
    }
}

#[derive(Clone)]
struct Weight;

impl Weighter<Digest, Arc<KnownToken>> for Weight {
    fn weight(&self, _: &Digest, known: &Arc<KnownToken>) -> u64 {
        known.bytes
    }
}
