//! Why a request is refused, what its client is told, and what the crate calls it.

/// A reason, in this reading's own words.
pub(super) type Why = &'static str;

/// Status and error code.
type Answer = (u16, Option<&'static str>);

const NO_CREDENTIALS: Answer = (401, None);
const INVALID_REQUEST: Answer = (400, Some("invalid_request"));
const INVALID_TOKEN: Answer = (401, Some("invalid_token"));
const INVALID_PROOF: Answer = (401, Some("invalid_dpop_proof"));
const USE_NONCE: Answer = (401, Some("use_dpop_nonce"));
const INSUFFICIENT_SCOPE: Answer = (403, Some("insufficient_scope"));
const INSUFFICIENT_AUTHENTICATION: Answer = (401, Some("insufficient_user_authentication"));
const UNAVAILABLE: Answer = (503, None);

/// What can be wrong with a token before its signature is good.
const UNSIGNED: &[&str] = &[
    "opaque_token",
    "encrypted_token",
    "malformed_token",
    "unsupported_header",
    "wrong_type",
    "algorithm_not_allowed",
    "unknown_issuer",
    "unknown_key",
    "ambiguous_key",
    "bad_signature",
];
const CLAIM: &[&str] = &["missing_claim", "malformed_claim"];
const OTHER_KIND: &[&str] = &["other_token_kind"];

const NO_ANSWER: &[&str] = &["introspection_unavailable"];

/// Every reason, with what the client is told, and what the crate may call it.
#[rustfmt::skip]
pub(crate) const REASONS: &[(Why, Answer, &[&str])] = &[
    ("no field", NO_CREDENTIALS, &["no_credentials"]),
    ("two fields", INVALID_REQUEST, &["several_credentials"]),
    ("another scheme", NO_CREDENTIALS, &["unsupported_scheme"]),
    ("no field by form", INVALID_REQUEST, &["malformed_credentials"]),
    ("a long token", INVALID_REQUEST, &["token_too_long"]),
    ("form, key or signature", INVALID_TOKEN, UNSIGNED),
    ("type", INVALID_TOKEN, &["wrong_type"]),
    ("another kind of token by name", INVALID_TOKEN, &["wrong_type"]),
    ("another kind of token by its claims", INVALID_TOKEN, OTHER_KIND),
    ("another kind of token by claims that an access token by type may have", INVALID_TOKEN, OTHER_KIND),
    ("an ID token", INVALID_TOKEN, OTHER_KIND),
    ("another kind of token as its issuer calls it", INVALID_TOKEN, OTHER_KIND),
    ("a required claim", INVALID_TOKEN, OTHER_KIND),
    ("sub", INVALID_TOKEN, CLAIM),
    ("client", INVALID_TOKEN, CLAIM),
    ("no client", INVALID_TOKEN, CLAIM),
    ("jti", INVALID_TOKEN, CLAIM),
    ("no jti", INVALID_TOKEN, CLAIM),
    ("iat", INVALID_TOKEN, CLAIM),
    ("no iat", INVALID_TOKEN, CLAIM),
    ("exp", INVALID_TOKEN, CLAIM),
    ("nbf", INVALID_TOKEN, CLAIM),
    ("audience", INVALID_TOKEN, CLAIM),
    ("no audience", INVALID_TOKEN, CLAIM),
    ("scope", INVALID_TOKEN, CLAIM),
    ("auth_time", INVALID_TOKEN, CLAIM),
    ("acr", INVALID_TOKEN, CLAIM),
    ("act", INVALID_TOKEN, CLAIM),
    ("authorization_details", INVALID_TOKEN, CLAIM),
    ("sid", INVALID_TOKEN, CLAIM),
    ("a claim that records can name", INVALID_TOKEN, CLAIM),
    ("no answer about it", UNAVAILABLE, NO_ANSWER),
    ("an answer that nobody can read", UNAVAILABLE, NO_ANSWER),
    ("not active", INVALID_TOKEN, &["inactive"]),
    ("an answer of another issuer", INVALID_TOKEN, &["unknown_issuer"]),
    ("an answer about another kind of token", INVALID_TOKEN, OTHER_KIND),
    ("an answer that does not say the kind of token", INVALID_TOKEN, OTHER_KIND),
    ("an answer that lacks something", INVALID_TOKEN, &["missing_claim"]),
    ("an answer with something malformed", UNAVAILABLE, NO_ANSWER),
    ("an answer about another token", UNAVAILABLE, NO_ANSWER),
    ("another audience", INVALID_TOKEN, &["wrong_audience"]),
    ("expired", INVALID_TOKEN, &["expired"]),
    ("not valid yet", INVALID_TOKEN, &["not_yet_valid"]),
    ("issued in the future", INVALID_TOKEN, &["issued_in_future"]),
    ("no lifetime", INVALID_TOKEN, &["lifetime_too_long"]),
    ("lives too long", INVALID_TOKEN, &["lifetime_too_long"]),
    ("of unknown age", INVALID_TOKEN, &["too_old"]),
    ("too old", INVALID_TOKEN, &["too_old"]),
    ("a sender that nobody proves", INVALID_TOKEN, &["sender_not_proven"]),
    ("a token with a key as a bearer token", INVALID_TOKEN, &["bearer_downgrade"]),
    ("a token without a key under DPoP", INVALID_TOKEN, &["unbound_under_dpop"]),
    ("not bound", INVALID_TOKEN, &["not_bound"]),
    ("no certificate", INVALID_TOKEN, &["certificate_missing"]),
    ("another certificate", INVALID_TOKEN, &["other_certificate"]),
    ("no proof", INVALID_PROOF, &["proof_missing"]),
    ("two proofs", INVALID_PROOF, &["several_proofs"]),
    ("no proof by form", INVALID_PROOF, &["proof_malformed"]),
    ("no proof by type", INVALID_PROOF, &["proof_malformed"]),
    ("an algorithm that proofs may not have", INVALID_PROOF, &["proof_algorithm_not_allowed"]),
    ("a claim of the proof", INVALID_PROOF, &["proof_malformed"]),
    ("another method", INVALID_PROOF, &["proof_for_other_method"]),
    ("another URI", INVALID_PROOF, &["proof_for_other_uri"]),
    ("no nonce", USE_NONCE, &["nonce_missing"]),
    ("another nonce", USE_NONCE, &["nonce_not_accepted"]),
    ("a proof of another time", INVALID_PROOF, &["proof_not_fresh"]),
    ("an unusable key of a proof", INVALID_PROOF, &["proof_key_unusable"]),
    ("a signature of another key", INVALID_PROOF, &["proof_bad_signature"]),
    ("a proof for another token", INVALID_PROOF, &["proof_for_other_token"]),
    ("a proof of another key", INVALID_TOKEN, &["other_key"]),
    ("revoked by its name", INVALID_TOKEN, &["revoked"]),
    ("revoked for ever", INVALID_TOKEN, &["revoked"]),
    ("on hold", INVALID_TOKEN, &["suspended"]),
    ("issued before it was revoked", INVALID_TOKEN, &["revoked"]),
    ("a step-up that was demanded", INSUFFICIENT_AUTHENTICATION, &["step_up_demanded"]),
    ("nobody knows whether it is revoked", UNAVAILABLE, &["revocation_unavailable"]),
    ("authentication", INSUFFICIENT_AUTHENTICATION, &["insufficient_user_authentication"]),
    ("authentication and scope", INSUFFICIENT_AUTHENTICATION, &["insufficient_user_authentication"]),
    ("scope missing", INSUFFICIENT_SCOPE, &["insufficient_scope"]),
    ("a client that may not", INSUFFICIENT_SCOPE, &["insufficient_scope"]),
    ("a subject that may not", INSUFFICIENT_SCOPE, &["insufficient_scope"]),
    ("an actor that may not", INSUFFICIENT_SCOPE, &["insufficient_scope"]),
    ("no authorization detail", INSUFFICIENT_SCOPE, &["insufficient_scope"]),
    ("a proof that was used", INVALID_PROOF, &["proof_replayed"]),
    ("a token that was used", INVALID_TOKEN, &["token_used"]),
    ("a token for one use without a name", INVALID_TOKEN, &["no_token_id"]),
    ("no room to remember a use", UNAVAILABLE, &["replay_unavailable"]),
];

/// Reasons against which no scope would help.
pub(super) const NO_SCOPE_HELPS: [Why; 4] = [
    "a client that may not",
    "a subject that may not",
    "an actor that may not",
    "no authorization detail",
];

/// What is wrong with a request: one thing, or several of one step.
#[derive(Debug)]
pub(super) struct Refused {
    whys: Vec<Why>,
    /// How long ago the user may have authenticated, in seconds, where that is not the route's to say.
    pub(super) max_age: Option<u128>,
}

impl Refused {
    pub(super) fn new(why: Why) -> Self {
        Self::one_of(vec![why])
    }

    pub(super) fn one_of(whys: Vec<Why>) -> Self {
        Self { whys, max_age: None }
    }

    pub(super) fn for_step_up(why: Why, max_age: u128) -> Self {
        Self { max_age: Some(max_age), ..Self::new(why) }
    }

    pub(super) fn why(&self) -> Why {
        self.whys[0]
    }

    /// Whether it is not the client's fault.
    pub(super) fn is_unavailable(&self) -> bool {
        self.answer() == UNAVAILABLE
    }

    pub(super) fn answer(&self) -> Answer {
        row(self.why()).1
    }

    /// Where several things are wrong that clients are told differently, any of them may be told: each
    /// by itself.
    pub(super) fn each(&self) -> Vec<Self> {
        let mut parts: Vec<Self> = Vec::new();
        for why in &self.whys {
            match parts.iter_mut().find(|part| part.answer() == row(why).1) {
                Some(part) => part.whys.push(why),
                None => parts.push(Self { whys: vec![why], max_age: self.max_age }),
            }
        }
        parts
    }

    pub(super) fn kinds(&self) -> Vec<&'static str> {
        self.whys.iter().flat_map(|why| row(why).2).copied().collect()
    }
}

fn row(why: Why) -> &'static (Why, Answer, &'static [&'static str]) {
    let found = REASONS.iter().find(|(name, ..)| *name == why);
    found.unwrap_or_else(|| panic!("`{why}` stands in no row"))
}
