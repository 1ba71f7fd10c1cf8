//! This crate: every check of RFC 9068, one scope, and DPoP where a token is bound.

use portcullis::check::scope;
use portcullis::layer::ProtectLayer;
use portcullis::sender::MemoryReplayStore;
use portcullis::{Binding, Dpop, FirstVerifications, Issuer, ResourceServer, TokenClass};

use crate::tokens::{ISSUER, Keys, LIFE, RESOURCE, SCOPE};

/// Whether a token is known that was accepted before.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Tokens {
    /// As it comes: what a token says is verified once.
    Remembered,
    /// Every token is verified as if it had never been seen: so many at once as it comes, which is one
    /// fewer than the machine has threads.
    Forgotten,
    /// The same, and any number at once, as with every peer.
    Unbounded,
}

/// More than are used here by one user in a minute; without it he is refused at some point, as he should.
const USED_PROOFS: usize = 1 << 22;

pub fn layer(keys: &Keys, tokens: Tokens) -> ProtectLayer {
    let store = MemoryReplayStore::with_capacity(USED_PROOFS).client_share(USED_PROOFS);
    let builder = ResourceServer::builder(RESOURCE)
        .issuer(Issuer::fixed_keys(ISSUER, keys.jwks.clone()))
        .class(TokenClass::default_at_most(LIFE))
        .binding(Binding::WhereBound)
        .dpop(Dpop::new())
        .replay_store(store);
    let builder = match tokens {
        Tokens::Remembered => builder,
        Tokens::Forgotten => builder.known_tokens_bytes(0),
        Tokens::Unbounded => {
            builder.known_tokens_bytes(0).first_verifications(FirstVerifications::unbounded())
        }
    };
    builder.build().expect("portcullis").protect(scope(SCOPE))
}
