use super::RejectionKind;

impl RejectionKind {
    /// What the operator of this server does next, in one sentence for each kind: whom to ask, what to
    /// configure, where to look. The text of a [`super::Rejection`] says what was found and what was
    /// wanted; this says what to do about it.
    ///
    /// It is the field `advice` of a refusal's line in the log (target `portcullis::decision`). It is
    /// never sent to a client.
    ///
    /// ```
    /// use portcullis::RejectionKind;
    ///
    /// assert!(RejectionKind::WrongAudience.advice().contains("accept_audience"));
    /// assert!(RejectionKind::KeysUnavailable.advice().contains("health()"));
    /// ```
    #[must_use]
    pub const fn advice(self) -> &'static str {
        match self {
            // 1. Credentials.
            Self::NoCredentials => {
                "have the client send its access token in `Authorization`; if it does, find the proxy \
                 that drops the field"
            }
            Self::UnsupportedScheme => {
                "have the client present an access token as `Bearer`, or as `DPoP` once `.dpop(...)` \
                 is configured"
            }
            Self::SeveralCredentials => {
                "find out who adds the second `Authorization` field, the client or a proxy, and stop it"
            }
            Self::MalformedCredentials => {
                "have the client send the scheme, a space and the token, with nothing quoted, appended \
                 or joined by a comma"
            }
            Self::TokenTooLong => {
                "have the issuer write less into its tokens, or raise `max_token_bytes`, which ends at \
                 16384"
            }

            // 2. The token's shape and header.
            Self::OpaqueToken => {
                "have the client ask for a JWT (RFC 9068), or configure `.introspection(...)` for the \
                 issuer of such tokens"
            }
            Self::EncryptedToken => {
                "have the issuer leave its tokens unencrypted, or configure `.decryption(...)` (feature \
                 `jwe`)"
            }
            Self::EncryptionNotAccepted => {
                "compare how the issuer encrypts for this server with the keys and algorithms of \
                 `.decryption(...)`; while keys change, name the old and the new one"
            }
            Self::Undecryptable => {
                "see that the issuer encrypts signed tokens, and to the public half of this server's \
                 key; single ones were changed on their way"
            }
            Self::DecryptionUnavailable => {
                "look for a flood of encrypted tokens; if they are good ones, allow more at once or a \
                 longer wait with `Decryption`"
            }
            Self::NotEncrypted => {
                "see that the issuer still has the public key of this server: `encrypted_only` refuses \
                 what is not encrypted"
            }
            Self::MalformedToken => {
                "look at what the client sends: a part of a token, or something else; if the issuer \
                 wrote it so, the issuer has to mend it"
            }
            Self::UnsupportedHeader => {
                "have the issuer leave that member out of its headers for this server: it is not \
                 implemented, and never passed over"
            }
            Self::WrongType => {
                "have the client send its access token and no other; if the issuer writes access tokens \
                 so, say it in its `TokenProfile`"
            }
            Self::AlgorithmNotAllowed => {
                "have the issuer sign with an algorithm that it may use here, or allow its own with \
                 `Issuer::algorithms`"
            }

            // 3. The key.
            Self::IssuerUnavailable => {
                "see what keeps the resolver of tenants from saying who is trusted; an issuer of its \
                 own that is faulty is in the log, at level error"
            }
            Self::UnknownIssuer => {
                "add the issuer with `.issuer(...)`, letter for letter as its `iss`, if its tokens are \
                 meant for this server; if not, the client asked the wrong one"
            }
            Self::UnknownKey => {
                "see in `health()` which keys of the issuer were fetched, and which of them cannot be \
                 used; many invented key ids at once are an attack"
            }
            Self::AmbiguousKey => {
                "have the issuer give each of its keys a `kid` of its own, and name it in its tokens"
            }
            Self::KeysUnavailable => {
                "see in `health()` what was wrong with the last fetch of the issuer's keys, and mend the \
                 way there"
            }

            // 4. The signature.
            Self::VerificationOverloaded => {
                "look for a flood of forged tokens; if they are good ones, give more threads or a longer \
                 wait with `FirstVerifications`"
            }
            Self::BadSignature => {
                "take single ones for forged or cut; if every token of the issuer fails, it signs with \
                 another key than it publishes under that `kid`"
            }
            Self::Inactive => {
                "have the client get a new token; if it just did, see that this server's client may ask \
                 about it at the issuer (RFC 7662 §2.2)"
            }
            Self::IntrospectionUnavailable => {
                "see in `introspection_health()` how the issuer's endpoint is doing, and what its last \
                 error was"
            }

            // 5. The claims.
            Self::MissingClaim => {
                "have the issuer write the claim (RFC 9068 §2.2), `aud` by asking for a token for this \
                 resource or a mapper; for others its `TokenProfile` can say which may lack, or where they are"
            }
            Self::MalformedClaim => {
                "have the issuer write the claim in the form that is wanted: one of another form is \
                 never guessed at"
            }
            Self::OtherTokenKind => {
                "have the client send its access token and no ID or refresh token; the issuer's \
                 `TokenProfile` says what its access tokens have"
            }

            // 6. Audience, times, token class.
            Self::WrongAudience => {
                "have the client ask for a token for this resource (RFC 8707); if the name found is \
                 another one of it, and none that every token has (as `account`), add \
                 `.accept_audience(...)`"
            }
            Self::Expired => {
                "have the client get a new token; if it just did, compare the clocks of the issuer and \
                 this server"
            }
            Self::NotYetValid => {
                "have the client wait until `nbf`; if that should have come, compare the clocks of the \
                 issuer and this server"
            }
            Self::IssuedInFuture => {
                "have the clocks of the issuer and this server synchronised; `leeway` bridges what is \
                 left, at most 5 minutes"
            }
            Self::LifetimeTooLong => {
                "have the issuer give such tokens a shorter life, or allow a longer one in the token \
                 class that is named"
            }
            Self::TooOld => {
                "have the client get a new token, or raise `max_age` of the token classes that want a \
                 younger one"
            }

            // 7. The sender.
            Self::NotBound => {
                "have the client ask for a token that is bound to its key or certificate; an `Exception` \
                 lets it do without for a while"
            }
            Self::SenderNotProven => {
                "configure `.dpop(...)` or `.mtls(...)` if that is what lacks; a malformed `cnf` is the \
                 issuer's to mend"
            }
            Self::BearerDowngrade => {
                "have the token's client use the scheme `DPoP` with a proof; if it already does, somebody \
                 else has the token"
            }
            Self::UnboundUnderDpop => {
                "have the client ask the issuer for its token with a proof (RFC 9449 §5), or present \
                 this one as `Bearer`"
            }
            Self::ProofMissing => {
                "have the client send a proof in the field `DPoP`; if it does, find the proxy that drops \
                 the field"
            }
            Self::SeveralProofs => {
                "find out who adds the second proof, the client or a proxy, and stop it"
            }
            Self::ProofMalformed => "have the client write its proofs as RFC 9449 §4.2 has them",
            Self::ProofAlgorithm => {
                "have the client sign its proofs with an algorithm of the challenge, or allow its own \
                 with `Dpop::algorithms`"
            }
            Self::ProofKey => {
                "have the client make a key pair for its proofs and show the public half alone (RFC 9449 \
                 §4.2)"
            }
            Self::ProofSignature => {
                "take single ones for forged; if every proof of the client fails, it signs with another \
                 key than it shows in `jwk`"
            }
            Self::ProofMethod => {
                "have the client make a proof for each request, with that request's method in `htm`"
            }
            Self::ProofUri => {
                "behind a proxy say what clients call, with `public_origin` or `forwarded_origin`; if that \
                 is right, the client has to name in `htu` what it calls"
            }
            Self::ProofNotFresh => {
                "have the client make each proof when it sends it, by a right clock; with `Nonces` its \
                 clock does not matter"
            }
            Self::ProofToken => {
                "have the client make its proofs for the token that it sends, with the SHA-256 of that in \
                 `ath`"
            }
            Self::NonceMissing => {
                "nothing, if it is once for a client: it tries again with the nonce of the answer; one \
                 that never does has to learn it (RFC 9449 §9)"
            }
            Self::NonceNotAccepted => {
                "have the client use the nonce of the last answer; if replicas refuse each other's, share \
                 `Nonces::keys` and compare their clocks"
            }
            Self::OtherKey => {
                "have the client sign its proofs with the key that its token was asked for with; if it \
                 does, somebody else has the token"
            }
            Self::CertificateMissing => {
                "see that the listener asks for a client certificate and hands it on, or that the trusted \
                 proxy forwards it in the field that is configured"
            }
            Self::OtherCertificate => {
                "have the client get a new token with its new certificate (RFC 8705 §6.3); if it has no \
                 new one, somebody else has the token"
            }

            // 8. Revocation.
            Self::Revoked => {
                "nothing, if that was meant: the client needs a new token; if not, ask whoever revokes at \
                 the source"
            }
            Self::Suspended => {
                "nothing, if that was meant: it ends when the hold does; if not, have it lifted where it \
                 was told"
            }
            Self::StatusIndex => {
                "have the issuer mend `status` in its tokens, or its list: they name an index that the \
                 list does not have"
            }
            Self::StatusMissing => {
                "have the issuer write `status` into its tokens, or take `StatusLists::require` back"
            }
            Self::StatusUri => {
                "allow that place with `StatusLists::allow_uris_at`, if it is where the issuer has its \
                 lists"
            }
            Self::StepUpDemanded => {
                "have the client send its user to authenticate again, as the challenge says: a record of \
                 revocation wants it"
            }
            Self::RevocationUnavailable => {
                "see `last_error` in `revocations().health()` and `status_lists()`; with no source at \
                 all, add one that speaks for the issuer"
            }

            // 9. Checks.
            Self::InsufficientScope => {
                "nothing, if the client may not do this; if it may, have it ask for a token that grants \
                 it"
            }
            Self::InsufficientAuthentication => {
                "have the client send its user to the issuer with `acr_values` and `max_age` of the \
                 challenge (RFC 9470 §4)"
            }
            Self::NotAccepted => {
                "see what the check or the handler knows of the token's subject or claims that the \
                 issuer does not"
            }
            Self::CheckUnavailable => {
                "see what the check asks and why that gives no answer; `async_timeout` says how long it \
                 may take"
            }

            // 10. Replay memory and single use.
            Self::ProofReplayed => {
                "have the client make a new proof for each request; if it does, find who sends requests \
                 twice: a proxy, or somebody who copied one"
            }
            Self::TokenUsed => {
                "have the client get a new token for each task; if it does, find who sends requests \
                 twice: a proxy, or somebody who copied one"
            }
            Self::NoTokenId => {
                "have the issuer write `jti`, and `iat` into its answers, or take `single_use` off the \
                 policy"
            }
            Self::ReplayUnavailable => {
                "see in `replay_health()` whether a client floods the memory, it is too small, or the \
                 store does not answer"
            }

            // No step.
            Self::Misconfigured => {
                "mend in the code what is said of the route's layers or policy: until then it answers 500 \
                 to everybody"
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    /// Whoever reads a refusal in the log is told what to do, and not the same for everything.
    #[test]
    fn every_kind_has_advice_of_its_own() {
        let mut seen = HashSet::new();
        for kind in RejectionKind::ALL {
            let advice = kind.advice();
            assert!((40..=200).contains(&advice.len()), "{kind}: {} bytes", advice.len());
            assert!(!advice.ends_with(['.', ' ']), "{kind}: it is no sentence with a full stop");
            assert!(!advice.contains("  ") && !advice.contains('\n'), "{kind}: it is one line");
            let first = advice.split([' ', ',']).next().unwrap_or_default();
            const VERBS: [&str; 15] = [
                "add",
                "allow",
                "behind",
                "compare",
                "configure",
                "find",
                "have",
                "look",
                "mend",
                "nothing",
                "see",
                "take",
                "give",
                "read",
                "ask",
            ];
            assert!(VERBS.contains(&first), "{kind}: {first:?} is nothing to do");
            assert!(seen.insert(advice), "{kind}: it is the advice of another kind");
        }
        assert_eq!(seen.len(), RejectionKind::ALL.len());
    }
}
