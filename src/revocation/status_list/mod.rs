//! Token Status Lists: one bit, or a few, for each token of an issuer, in a document that everybody
//! fetches (draft-ietf-oauth-status-list, section numbers of its version 21).
//!
//! 1. A token whose claim `status` names a list ([`StatusLists`]) is looked up in it, on every
//!    request, after everything that the token itself says: an expired token causes no fetch, and a
//!    valid status makes no token live longer.
//! 2. Where the claim is malformed the token is refused. One without a list passes, and one whose
//!    `status` has other mechanisms only, unless lists are required.
//! 3. A list is fetched from its issuer's own origin and from those that are allowed beside it, by
//!    `https`, without a credential and without a query of ours. Redirects are followed within these,
//!    three at most. A token that names another place is refused, and nothing is fetched.
//! 4. A list is a JWT (§5.1): `typ` `statuslist+jwt`, signed with a key of the issuer of the tokens,
//!    `sub` exactly the URI that the token names, `iat`, not expired; no MAC. Its `lst` is one zlib
//!    stream with its checksum; what it inflates to is bounded while it is inflated.
//! 5. It is fetched ahead of the end of its freshness, by `ttl`, else `exp`, within configured bounds,
//!    whatever HTTP's caching fields say, as long as it is used or to be prefetched; and from then on
//!    no request waits for it. A request waits two seconds at most for a list that was never seen, or
//!    is too old; one fetch serves all that wait.
//! 6. A list does not go back. A copy with an earlier `iat` than that of the list that is held is a
//!    failed fetch, also once that one has ended. One with the same `iat` is taken, unless a status
//!    that was not valid would be valid or gone with it: then it is a failed fetch too. A failed fetch
//!    makes nothing younger. What was let go to make room, and what an earlier process held, is
//!    forgotten.
//! 7. A list that cannot be had, or cannot be trusted, is never a yes and never a bad token: 503, or
//!    what was known before as far as [`super::OnStale`] lets it count. An index past its end is
//!    401 (§8.3).
//! 8. The number of lists, of their octets, of what is inflated, of what is fetched at once, by
//!    one issuer and by all: each has a bound. A fetch that a request waits for comes before those
//!    ahead of need.
//!
//! What it does not do: a list in a CWT (§5.2) is not read, and refused by its content type; a token
//! in a CWT is no access token here. There is no look into the past (§8.4, `?time=`): a decision is
//! about now. No key is taken from a certificate in a list, nor from anywhere but the issuer's own
//! (§11.3).
//!
//! Nor does it notice that a list stands still. Whoever stores it on the way (a cache, a CDN: TLS ends
//! there) can go on to send the one that it has, or "not modified", and the answer is that of a list
//! in which nothing changed: it is fresh again for its `ttl`, as often as it is fetched. The list's
//! `exp` bounds that, and so does [`StatusLists::max_age`], from its `iat` on. With neither, a list can
//! be frozen for ever, and what is revoked after that passes until the token's own `exp`, or until
//! another source of revocation tells of it: set `max_age` where the issuer's lists have no `exp`.

mod checked;
mod config;
mod error;
mod fetches;
mod flight;
mod get;
mod held;
mod list;
mod lists;
mod load;
mod place;
mod prefetch;
mod reference;
mod refresh;
mod slot;
mod token;

/// The name under which observers are told of lists: no source has it.
pub(crate) const SOURCE: &str = "status_lists";

pub(crate) use checked::CheckedLists;
pub use config::{DangerousStatusLists, StatusAction, StatusLists};
pub use error::StatusListError;
pub use list::StatusList;
pub(crate) use lists::Lists;
pub use lists::StatusListHealth;
pub(crate) use reference::{Reference, reference_of};
pub(crate) use slot::ListSlot;
pub use token::{ExpectedStatusList, SignedStatusList, StatusListToken};
