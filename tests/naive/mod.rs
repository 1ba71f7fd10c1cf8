//! A slow and obvious second reading of the token decision, for differential tests.
//!
//! It shares no code, no cryptography and no JSON reader with the crate. Everything is read anew on
//! every call, the allow-list and the JWKS included; clarity wins over speed everywhere.
//!
//! The steps, with the rows of the requirements that each one reads:
//!
//! 1. one `Authorization` field, the Bearer scheme, a token68 of bounded size
//!    (AUTH-03, AUTH-12, AUTH-16, AUTH-17, AUTH-18, JWS-55)
//! 2. compact JWS and its header (JWS-01 to JWS-13, JWS-35, JWS-55, AT-01, AT-02, AT-03), with the
//!    types that the issuer's profile takes (JWS-42, decision 7)
//! 3. issuer, allow-list, one key (AT-05, JWS-14, JWS-15, JWS-17 to JWS-22, JWS-26, JWS-30 to
//!    JWS-33, JWS-38, JWS-51, decision 3)
//! 4. signature (AT-07, JWS-27, JWS-28, JWS-29)
//! 5. claims present and of the right type (AT-09, AT-10, AT-15, AT-17, DEL-01, DEL-02, DEL-05,
//!    RAR-02, SCOPE-01, JWS-43), where the issuer's profile has them (decision 7)
//! 6. audience, time, token classes (AT-06, AT-08, AT-18, NHI-07, JWS-44, JWS-45, JWS-46)
//! 7. a `cnf` claim, whatever it holds, is refused (JWS-53, decision 12); a token without one is
//!    refused where server, class or route want a bound one, and no exception holds (BCP-01)
//! 9. scopes, and how the user authenticated (AUTH-14, SCOPE-01, STEP-01 to STEP-04, STEP-06); then
//!    the client, the subject, the actor, the authorization details (DEL-01, DEL-04, RAR-01, RAR-03, RAR-04,
//!    RAR-05, RAR-07, RAR-08)
//!
//! One key it judges earlier than the crate: an RSA key with an even modulus is unusable here, and
//! verifies nothing there. An Ed25519 key that is no point is usable here, and verifies nothing. It
//! has no notion of a faulty configuration: a text that is no JWK Set, a set without any usable key
//! and a second issuer of one name are refused by the crate when a server is built.
//!
//! A required claim that is a number it compares as it is written.
//!
//! It knows nothing of sender proofs, introspection, revocation, replay, or of other checks that a
//! route brings along.
#![allow(
    clippy::indexing_slicing,
    reason = "slices are matched or cut where their length is known"
)]

use std::collections::BTreeMap;
use std::net::IpAddr;

mod json;
mod keys;
mod policy;
mod token;
mod world;

use token::{Claims, verified_claims};

#[allow(unused_imports, reason = "a fuzz target's world is simpler than a generated one")]
pub(crate) use world::{
    NaiveActor, NaiveClass, NaiveDetail, NaiveException, NaiveIssuer, NaiveNames, NaiveProfile,
    NaiveStepUp, NaiveTest, World,
};

/// What is decided about.
#[derive(Debug, Clone)]
pub(crate) struct NaiveRequest {
    /// The values of its `Authorization` field lines.
    pub(crate) authorization: Vec<Vec<u8>>,
    /// Where it comes from, if that is known.
    pub(crate) peer: Option<IpAddr>,
}

/// The answer to a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// The token gives access.
    Pass(Granted),
    /// The request is refused.
    Refuse {
        /// The status code.
        status: u16,
        /// The `error` parameter of the challenge.
        error: Option<&'static str>,
        /// `scope`, `acr_values` and `max_age` of the challenge, where it has them.
        params: BTreeMap<&'static str, String>,
        /// The reason, in this reading's own words.
        why: &'static str,
    },
}

/// What an accepted token says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Granted {
    pub(crate) iss: String,
    pub(crate) sub: String,
    pub(crate) kind: String,
    pub(crate) client_id: Option<String>,
    pub(crate) jti: Option<String>,
    pub(crate) audiences: Vec<String>,
    pub(crate) scopes: Vec<String>,
    pub(crate) acr: Option<String>,
    /// Issuer and subject of the current actor.
    pub(crate) actor: Option<(String, String)>,
}

/// Every reason for which a token is refused that is well-formed, signed by its issuer, and meant
/// for an API.
pub(crate) const REASONS: [&str; 40] = [
    "type",
    "another kind of token by name",
    "another kind of token by its claims",
    "another kind of token by claims that an access token by type may have",
    "an ID token",
    "another kind of token as its issuer calls it",
    "a required claim",
    "sub",
    "client",
    "no client",
    "jti",
    "no jti",
    "iat",
    "no iat",
    "exp",
    "nbf",
    "audience",
    "no audience",
    "scope",
    "auth_time",
    "acr",
    "act",
    "authorization_details",
    "another audience",
    "expired",
    "not valid yet",
    "issued in the future",
    "no lifetime",
    "lives too long",
    "of unknown age",
    "too old",
    "a sender that nobody proves",
    "not bound",
    "authentication",
    "authentication and scope",
    "scope missing",
    "a client that may not",
    "a subject that may not",
    "an actor that may not",
    "no authorization detail",
];

type Refusal = (u16, Option<&'static str>);
const NO_CREDENTIALS: Refusal = (401, None);
const INVALID_REQUEST: Refusal = (400, Some("invalid_request"));
const INVALID_TOKEN: Refusal = (401, Some("invalid_token"));
const INSUFFICIENT_SCOPE: Refusal = (403, Some("insufficient_scope"));
const INSUFFICIENT_USER_AUTHENTICATION: Refusal = (401, Some("insufficient_user_authentication"));

const MAX_TOKEN_BYTES: usize = 16_384;

/// Decides a request.
pub(crate) fn decide(world: &World, request: &NaiveRequest) -> Verdict {
    let (refusal, why) = match steps(world, request) {
        Ok(claims) => return Verdict::Pass(claims.granted()),
        Err(refused) => refused,
    };
    let mut params = BTreeMap::new();
    // no scope would help against the last four reasons
    if refusal != INVALID_REQUEST && !REASONS[REASONS.len() - 4..].contains(&why) {
        // each scope once, in the order of the route, whatever the token has of them
        let mut scopes: Vec<&str> = Vec::new();
        for scope in &world.needed_scopes {
            if !scopes.contains(&scope.as_str()) {
                scopes.push(scope);
            }
        }
        if !scopes.is_empty() {
            params.insert("scope", scopes.join(" "));
        }
    }
    if let (INSUFFICIENT_USER_AUTHENTICATION, Some(wanted)) = (refusal, &world.step_up) {
        if !wanted.acr_values.is_empty() {
            params.insert("acr_values", wanted.acr_values.join(" "));
        }
        if let Some(most) = wanted.max_age_secs {
            params.insert("max_age", most.to_string());
        }
    }
    let (status, error) = refusal;
    Verdict::Refuse { status, error, params, why }
}

fn steps(world: &World, request: &NaiveRequest) -> Result<Claims, (Refusal, &'static str)> {
    // 1
    let token = bearer_token(&request.authorization).map_err(|refusal| (refusal, "no token"))?;
    // 2 to 7: every fault is the same refusal
    let bad = |why| (INVALID_TOKEN, why);
    let claims = verified_claims(world, &token).map_err(bad)?;
    // 6
    if !policy::audience_fits(world, &claims) {
        return Err(bad("another audience"));
    }
    if let Some(why) = policy::wrong_time(world, &claims) {
        return Err(bad(why));
    }
    // 7
    if claims.has_cnf {
        return Err(bad("a sender that nobody proves"));
    }
    if !policy::may_be_unbound(world, &claims, request.peer) {
        return Err(bad("not bound"));
    }
    // 9
    let has_scopes = world.needed_scopes.iter().all(|needed| claims.scopes.contains(needed));
    match (policy::authenticated_well(world, &claims), has_scopes) {
        (true, true) => match policy::not_for_route(world, &claims) {
            None => Ok(claims),
            Some(why) => Err((INSUFFICIENT_SCOPE, why)),
        },
        (true, false) => Err((INSUFFICIENT_SCOPE, "scope missing")),
        (false, true) => Err((INSUFFICIENT_USER_AUTHENTICATION, "authentication")),
        (false, false) => Err((INSUFFICIENT_USER_AUTHENTICATION, "authentication and scope")),
    }
}

// ---- step 1: credentials

fn bearer_token(lines: &[Vec<u8>]) -> Result<String, Refusal> {
    let line = match lines {
        [] => return Err(NO_CREDENTIALS),
        [line] => line,
        _ => return Err(INVALID_REQUEST),
    };
    // the scheme is what stands before the first space, and must be an RFC 9110 token
    let end = line.iter().position(|byte| *byte == b' ').unwrap_or(line.len());
    let (scheme, rest) = line.split_at(end);
    if scheme.is_empty() || !scheme.iter().all(|byte| is_tchar(*byte)) {
        return Err(INVALID_REQUEST);
    }
    if !scheme.eq_ignore_ascii_case(b"Bearer") {
        return Err(NO_CREDENTIALS);
    }
    let spaces = rest.iter().take_while(|byte| **byte == b' ').count();
    let token = String::from_utf8(rest[spaces..].to_vec()).map_err(|_| INVALID_REQUEST)?;
    if !is_token68(&token) || token.len() > MAX_TOKEN_BYTES {
        return Err(INVALID_REQUEST);
    }
    Ok(token)
}

fn is_tchar(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

/// `1*( ALPHA / DIGIT / "-" / "." / "_" / "~" / "+" / "/" ) *"="`
fn is_token68(text: &str) -> bool {
    let body = text.trim_end_matches('=');
    !body.is_empty() && body.chars().all(|c| c.is_ascii_alphanumeric() || "-._~+/".contains(c))
}
