use std::fmt;

use sha2::{Digest as _, Sha256};

use crate::name::{ClientId, IssuerId, JwtId, Subject, Thumbprint};
use crate::time::{Moment, Timestamp};

/// One use of something that may be used once, for a [`ReplayStore`](super::ReplayStore) to record.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct ReplayEntry<'a> {
    /// Who issued the token of the request.
    pub issuer: &'a IssuerId,
    /// The token's client; with the issuer it is whose share of the store is used. Tokens without a
    /// client share one.
    pub client_id: Option<&'a ClientId>,
    /// The token's subject, where the client acts for somebody; within the client's share it has one
    /// of its own. `None` where the client acts for itself.
    pub subject: Option<&'a Subject>,
    /// What is used.
    pub used: Used<'a>,
    /// Its `iat`; the time of the request, where it has none.
    pub issued_at: Timestamp,
    /// From then on it cannot be accepted any more, whatever speaks for it: its own age and its
    /// nonce, with every leeway, and two seconds more. It is the same whenever one and the same thing is used.
    pub expires_at: Timestamp,
    /// The time of the request.
    pub now: Moment,
}

/// What may be used once.
#[derive(Clone, Copy)]
#[non_exhaustive]
pub enum Used<'a> {
    /// A DPoP proof (RFC 9449 §11.1): `jti` is unique to a key and a target only.
    Proof {
        /// The thumbprint of the key that signed it.
        jkt: &'a Thumbprint,
        /// Its `jti`, of any length.
        jti: &'a str,
        /// Its `htu`.
        htu: &'a str,
    },
    /// A token that may be used once: `jti` is unique to its issuer only (RFC 7519 §4.1.7).
    Token {
        /// Its `jti`.
        jti: &'a JwtId,
    },
}

/// A `jti` and an `htu` are what the client wrote: their lengths are shown.
impl fmt::Debug for Used<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Proof { jkt, jti, htu } => f
                .debug_struct("Proof")
                .field("jkt", jkt)
                .field("jti_octets", &jti.len())
                .field("htu_octets", &htu.len())
                .finish(),
            Self::Token { jti } => {
                f.debug_struct("Token").field("jti_octets", &jti.as_str().len()).finish()
            }
        }
    }
}

impl<'a> ReplayEntry<'a> {
    /// A use of `used` at `now`, with a token of this issuer and this client.
    #[must_use]
    pub const fn new(
        issuer: &'a IssuerId,
        client_id: Option<&'a ClientId>,
        used: Used<'a>,
        issued_at: Timestamp,
        expires_at: Timestamp,
        now: Moment,
    ) -> Self {
        let subject = None;
        Self { issuer, client_id, subject, used, issued_at, expires_at, now }
    }

    /// The same by a client that acts for this subject.
    #[must_use]
    pub const fn of_subject(mut self, subject: &'a Subject) -> Self {
        self.subject = Some(subject);
        self
    }

    /// What is used, in 32 octets: the key of an entry for a store on another machine. It stays the
    /// same from version to version.
    ///
    /// SHA-256 over `portcullis-replay-1`, one octet `P` (proof) or `T` (token), and the three
    /// texts `jkt`, `jti`, `htu`, or issuer, `jti` and nothing; before each its length in octets,
    /// in eight octets, the highest first.
    #[must_use]
    pub fn digest(&self) -> [u8; 32] {
        let (kind, texts) = self.identity();
        let mut hash = Sha256::new();
        hash.update(b"portcullis-replay-1");
        hash.update([kind.octet()]);
        for text in texts {
            hash.update(octets(text).to_be_bytes());
            hash.update(text);
        }
        hash.finalize().into()
    }

    /// What tells it from every other use.
    pub(super) fn identity(&self) -> (Kind, [&'a str; 3]) {
        match self.used {
            Used::Proof { jkt, jti, htu } => (Kind::Proof, [jkt.as_str(), jti, htu]),
            Used::Token { jti } => (Kind::Token, [self.issuer.as_str(), jti.as_str(), ""]),
        }
    }
}

/// Keeps hashes of different things apart.
#[derive(Clone, Copy)]
pub(super) enum Kind {
    Proof,
    Token,
    Client,
    Clientless,
    Subject,
}

impl Kind {
    pub(super) const fn octet(self) -> u8 {
        match self {
            Self::Proof => b'P',
            Self::Token => b'T',
            Self::Client => b'C',
            Self::Clientless => b'N',
            Self::Subject => b'S',
        }
    }
}

pub(super) fn octets(text: &str) -> u64 {
    u64::try_from(text.len()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn digest(issuer: &str, used: Used<'_>) -> [u8; 32] {
        let issuer = IssuerId::parse(issuer).unwrap();
        let now = Moment::new(Timestamp::from_secs(1), Duration::ZERO);
        ReplayEntry::new(&issuer, None, used, now.wall(), now.wall(), now).digest()
    }

    /// DPOP-17. The values are from another implementation of the encoding: shared stores depend on
    /// it.
    #[test]
    fn a_digest_is_the_same_in_every_version() {
        let jkt = Thumbprint::of_sha256(&[0; 32]);
        let proof = Used::Proof { jkt: &jkt, jti: "one", htu: "https://rs.example/a" };
        let token = JwtId::from_token("one");
        for (name, used, expected) in [
            ("proof", proof, "8f3dd627780e717e8e0d6f8731a348503c1fd4ced030b536ef9ac067411b7b63"),
            (
                "token",
                Used::Token { jti: &token },
                "f757875a7ed5cb26cc2f86cad1424a41945a63c4f23283ec575d10b6e3bb0793",
            ),
        ] {
            let digest = digest("https://as.example", used);
            let hex: String = digest.iter().map(|octet| format!("{octet:02x}")).collect();
            assert_eq!(hex, expected, "{name}");
        }
    }

    /// DPOP-17, JWS-47: where one text ends and the next begins is part of it.
    #[test]
    fn digests_of_different_things_differ() {
        let (one, other) = (Thumbprint::of_sha256(&[0; 32]), Thumbprint::of_sha256(&[1; 32]));
        let proof = |jkt, jti, htu| digest("https://as.example", Used::Proof { jkt, jti, htu });
        let token = |issuer, jti| digest(issuer, Used::Token { jti: &JwtId::from_token(jti) });
        let all = [
            proof(&one, "a", "b"),
            proof(&one, "ab", ""),
            proof(&one, "", "ab"),
            proof(&one, "a", "c"),
            proof(&other, "a", "b"),
            token("https://as.example", "a"),
            token("https://as.example/a", ""),
            token("https://as.example", "b"),
        ];
        for (at, digest) in all.iter().enumerate() {
            assert!(!all[..at].contains(digest), "{at}");
        }
        assert_eq!(all[0], proof(&one, "a", "b"));
    }
}
