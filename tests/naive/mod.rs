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

use rsa::sha2::{Digest, Sha256, Sha384, Sha512};
use rsa::signature::Verifier;
use rsa::traits::PublicKeyParts;
use rsa::{BigUint, Pkcs1v15Sign, Pss, RsaPublicKey};

mod policy;
mod world;

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
const MAX_HEADER_CHARS: usize = 8_192;
const MAX_JSON_DEPTH: usize = 16;
const NANOS_PER_SECOND: u128 = 1_000_000_000;
/// The last second of the year 9999.
const MAX_NUMERIC_DATE: u128 = 253_402_300_799;

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

// ---- steps 2 to 5: the token

/// What a token of a believed issuer says.
struct Claims {
    iss: String,
    sub: String,
    kind: &'static str,
    client_id: Option<String>,
    jti: Option<String>,
    audiences: Vec<String>,
    scopes: Vec<String>,
    iat: Option<u128>,
    exp: u128,
    nbf: Option<u128>,
    auth_time: Option<u128>,
    acr: Option<String>,
    actor: Option<(String, String)>,
    details: Vec<Members>,
    has_cnf: bool,
}

impl Claims {
    fn granted(self) -> Granted {
        Granted {
            iss: self.iss,
            sub: self.sub,
            kind: self.kind.to_owned(),
            client_id: self.client_id,
            jti: self.jti,
            audiences: self.audiences,
            scopes: self.scopes,
            acr: self.acr,
            actor: self.actor,
        }
    }
}

fn verified_claims(world: &World, token: &str) -> Result<Claims, &'static str> {
    let (header, payload) = signed_objects(world, token).ok_or("form, key or signature")?;
    let iss = non_empty_string(&payload, "iss").ok_or("issuer")?;
    let issuer = world.issuers.iter().find(|issuer| issuer.id == iss).ok_or("issuer")?;
    let profile = &issuer.profile;

    // 2, for this issuer
    let typ = text(&header, "typ").map(|typ| bare_type(&typ));
    if typ.as_ref().is_some_and(|typ| OTHER_TYPES.contains(&typ.as_str())) {
        return Err("another kind of token by name");
    }
    let takes_type = match &typ {
        None => profile.untyped,
        Some(typ) => {
            typ == "at+jwt" || profile.more_types.iter().any(|known| bare_type(known) == *typ)
        }
    };
    if !takes_type {
        return Err("type");
    }

    // 5
    if OTHER_CLAIMS.iter().any(|name| member(&payload, name).is_some()) {
        return Err("another kind of token by its claims");
    }
    // a token that says it is an access token is one
    if typ.as_deref() != Some("at+jwt") {
        if OTHER_CLAIMS_UNLESS_TYPED.iter().any(|name| member(&payload, name).is_some()) {
            return Err("another kind of token by claims that an access token by type may have");
        }
        let like_an_id_token = ID_TOKEN_CLAIMS.iter().any(|name| member(&payload, name).is_some());
        if like_an_id_token && !profile.id_tokens {
            return Err("an ID token");
        }
        let called = |name: &str| text(&payload, name).unwrap_or_default();
        let (typ, token_use) = (called("typ"), called("token_use"));
        let other = ["ID", "Logout", "Offline", "Refresh"].contains(&typ.as_str())
            || ["id", "refresh"].contains(&token_use.as_str());
        if other && !profile.id_tokens {
            return Err("another kind of token as its issuer calls it");
        }
    }
    for (name, wanted) in &profile.required {
        let wanted = wanted.iter().filter_map(|json| parse_json(json.as_bytes()));
        let found = member(&payload, name);
        if !wanted.into_iter().any(|wanted| found.is_some_and(|found| is_same(found, &wanted))) {
            return Err("a required claim");
        }
    }
    let sub = non_empty_string(&payload, "sub").ok_or("sub")?;
    let may_lack = |name: &str| profile.may_lack.iter().any(|claim| claim == name);
    let client_id = match first_member(&payload, &profile.client_claims) {
        Some(value) => Some(non_empty(value).ok_or("client")?),
        None if may_lack("client_id") => None,
        None => return Err("no client"),
    };
    let jti = match member(&payload, "jti") {
        Some(value) => Some(non_empty(value).ok_or("jti")?),
        None if may_lack("jti") => None,
        None => return Err("no jti"),
    };
    let iat = match member(&payload, "iat") {
        Some(value) => Some(numeric_date(value).ok_or("iat")?),
        None if may_lack("iat") => None,
        None => return Err("no iat"),
    };
    let audiences = match first_member(&payload, &profile.audience_claims) {
        Some(Json::Text(one)) => vec![one.clone()],
        Some(Json::Array(items)) => strings(items).ok_or("audience")?,
        Some(_) => return Err("audience"),
        None => return Err("no audience"),
    };
    let scopes = match first_member(&payload, &profile.scope_claims) {
        None => Vec::new(),
        Some(Json::Text(text)) => split_scopes(text).ok_or("scope")?,
        Some(Json::Array(items)) if profile.scope_arrays => {
            items.iter().map(one_scope).collect::<Option<Vec<_>>>().ok_or("scope")?
        }
        Some(_) => return Err("scope"),
    };
    let exp = member(&payload, "exp").and_then(numeric_date).ok_or("exp")?;
    let nbf = absent_or(&payload, "nbf", numeric_date).ok_or("nbf")?;
    let auth_time = absent_or(&payload, "auth_time", numeric_date).ok_or("auth_time")?;
    let acr = absent_or(&payload, "acr", non_empty).ok_or("acr")?;
    let actor = absent_or(&payload, "act", |value| actor(value, &iss)).ok_or("act")?;
    let details = absent_or(&payload, "authorization_details", typed_objects)
        .ok_or("authorization_details")?
        .unwrap_or_default();
    let by_rule = profile.kinds.iter().find(|(_, test)| holds(test, &payload));
    let kind = match (by_rule, &client_id) {
        (Some((kind, _)), _) => ["client", "person", "workload", "unknown"]
            .into_iter()
            .find(|known| known == kind)
            .unwrap_or("no kind"),
        (None, Some(client)) if *client == sub => "client",
        (None, Some(_)) => "person",
        (None, None) => "unknown",
    };
    let has_cnf = member(&payload, "cnf").is_some();
    Ok(Claims {
        iss,
        sub,
        kind,
        client_id,
        jti,
        audiences,
        scopes,
        iat,
        exp,
        nbf,
        auth_time,
        acr,
        actor,
        details,
        has_cnf,
    })
}

/// Steps 2 to 4: header and payload, if a key of the issuer signed them.
fn signed_objects(world: &World, token: &str) -> Option<(Members, Members)> {
    // 2
    let parts: Vec<&str> = token.split('.').collect();
    let [header_part, payload_part, signature_part] = parts[..] else {
        return None;
    };
    require(parts.iter().all(|part| !part.is_empty()))?;
    require(header_part.len() <= MAX_HEADER_CHARS)?;
    let header = strict_object(&base64url(header_part)?)?;
    let payload = strict_object(&base64url(payload_part)?)?;
    let signature = base64url(signature_part)?;
    let (alg, kid) = read_header(&header)?;

    // 3
    let iss = non_empty_string(&payload, "iss")?;
    let issuer = world.issuers.iter().find(|issuer| issuer.id == iss)?;
    require(issuer.algorithms.contains(&alg))?;
    let keys = usable_keys(&issuer.jwks)?;
    let mut candidates = Vec::new();
    for key in &keys {
        let kid_fits = kid.is_none() || kid == key.kid;
        if kid_fits && key.has_algorithm(&alg, &issuer.algorithms) {
            candidates.push(key);
        }
    }
    let [key] = candidates[..] else { return None };

    // 4
    let signed = format!("{header_part}.{payload_part}");
    require(key.public.verifies(&alg, signed.as_bytes(), &signature))?;
    Some((header, payload))
}

/// Types that no profile can take.
const OTHER_TYPES: [&str; 20] = [
    "client-authentication+jwt",
    "dc+sd-jwt",
    "dpop+jwt",
    "entity-statement+jwt",
    "id+jwt",
    "kb+jwt",
    "logout+jwt",
    "oauth-client-attestation+jwt",
    "oauth-client-attestation-pop+jwt",
    "oauth-id-jag+jwt",
    "oauth-authz-req+jwt",
    "secevent+jwt",
    "statuslist+jwt",
    "token-introspection+jwt",
    "txntoken+jwt",
    "vc+jwt",
    "vc+sd-jwt",
    "vp+jwt",
    "wit+jwt",
    "wpt+jwt",
];
/// A security event or logout token, an introspection answer, a status list, proofs.
const OTHER_CLAIMS: [&str; 5] = ["events", "htu", "status_list", "token_introspection", "wth"];
/// A transaction token, a security event, credentials.
const OTHER_CLAIMS_UNLESS_TYPED: [&str; 4] = ["_sd_alg", "req_wl", "toe", "vct"];
const ID_TOKEN_CLAIMS: [&str; 4] = ["at_hash", "c_hash", "nonce", "s_hash"];

/// A media type in small letters, without `application/`.
fn bare_type(typ: &str) -> String {
    let lower = typ.to_ascii_lowercase();
    lower.strip_prefix("application/").unwrap_or(&lower).to_owned()
}

/// The first of these members that is there, whatever it is.
fn first_member<'a>(members: &'a Members, names: &[String]) -> Option<&'a Json> {
    names.iter().find_map(|name| member(members, name))
}

/// For optional members: the outer `None` if it is there and is not what it has to be.
#[allow(clippy::option_option, reason = "absent is no fault")]
fn absent_or<T>(
    members: &Members,
    name: &str,
    read: impl Fn(&Json) -> Option<T>,
) -> Option<Option<T>> {
    match member(members, name) {
        None => Some(None),
        Some(value) => read(value).map(Some),
    }
}

fn non_empty(value: &Json) -> Option<String> {
    match value {
        Json::Text(text) if !text.is_empty() => Some(text.clone()),
        _ => None,
    }
}

/// Issuer and subject of an actor; without `iss` it is one of the token's issuer.
fn actor(value: &Json, token_iss: &str) -> Option<(String, String)> {
    let Json::Object(members) = value else {
        return None;
    };
    let iss = absent_or(members, "iss", non_empty)?.unwrap_or(token_iss.to_owned());
    Some((iss, non_empty_string(members, "sub")?))
}

/// An array of objects that each say their `type`.
fn typed_objects(value: &Json) -> Option<Vec<Members>> {
    let Json::Array(items) = value else {
        return None;
    };
    let mut objects = Vec::new();
    for item in items {
        let Json::Object(members) = item else {
            return None;
        };
        non_empty_string(members, "type")?;
        objects.push(members.clone());
    }
    Some(objects)
}

fn holds(test: &NaiveTest, payload: &Members) -> bool {
    match test {
        NaiveTest::Equals(claim, value) => text(payload, claim).as_ref() == Some(value),
        NaiveTest::StartsWith(claim, prefix) => {
            text(payload, claim).is_some_and(|text| text.starts_with(prefix))
        }
        NaiveTest::Present(claim) => member(payload, claim).is_some(),
        NaiveTest::Absent(claim) => member(payload, claim).is_none(),
        NaiveTest::Same(one, other) => {
            text(payload, one).is_some() && text(payload, one) == text(payload, other)
        }
        NaiveTest::SameWithSuffix(long, short, suffix) => {
            let expected = text(payload, short).map(|short| format!("{short}{suffix}"));
            expected.is_some() && text(payload, long) == expected
        }
    }
}

/// The same JSON value. Numbers are the same if they are written the same.
fn is_same(one: &Json, other: &Json) -> bool {
    match (one, other) {
        (Json::Null, Json::Null) => true,
        (Json::Boolean(one), Json::Boolean(other)) => one == other,
        (Json::Number(one), Json::Number(other)) | (Json::Text(one), Json::Text(other)) => {
            one == other
        }
        (Json::Array(one), Json::Array(other)) => {
            one.len() == other.len() && one.iter().zip(other).all(|(a, b)| is_same(a, b))
        }
        (Json::Object(one), Json::Object(other)) => {
            one.len() == other.len()
                && one.iter().all(|(name, a)| member(other, name).is_some_and(|b| is_same(a, b)))
        }
        _ => false,
    }
}

/// What is required and not so is a refusal.
fn require(holds: bool) -> Option<()> {
    holds.then_some(())
}

/// `alg` and `kid` of a header that is acceptable otherwise.
fn read_header(header: &Members) -> Option<(String, Option<String>)> {
    for forbidden in ["crit", "b64", "zip", "enc", "cty"] {
        require(member(header, forbidden).is_none())?;
    }
    require(absent_or_text(header, "typ"))?;
    require(absent_or_text(header, "kid"))?;
    Some((text(header, "alg")?, text(header, "kid")))
}

/// One element of an array of scopes.
fn one_scope(value: &Json) -> Option<String> {
    let scope = non_empty(value)?;
    (split_scopes(&scope)? == [scope.clone()]).then_some(scope)
}

/// Tokens of `%x21 / %x23-5B / %x5D-7E`, separated by any number of spaces.
fn split_scopes(text: &str) -> Option<Vec<String>> {
    let allowed = |c| matches!(c, '\x20' | '\x21' | '\x23'..='\x5b' | '\x5d'..='\x7e');
    require(text.chars().all(allowed))?;
    let scopes = text.split(' ').filter(|scope| !scope.is_empty());
    Some(scopes.map(String::from).collect())
}

/// A `NumericDate` in nanoseconds, cut toward zero: the decimal point is moved in the digits.
fn numeric_date(value: &Json) -> Option<u128> {
    let Json::Number(number) = value else {
        return None;
    };
    require(!number.starts_with('-'))?;
    let lower = number.to_ascii_lowercase();
    let (mantissa, exponent) = lower.split_once('e').unwrap_or((&lower, "0"));
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let all_digits = format!("{whole}{fraction}");
    let mut digits = all_digits.trim_start_matches('0').to_owned();
    if digits.is_empty() {
        return Some(0);
    }
    let exponent_is_negative = exponent.starts_with('-');
    let exponent = exponent.trim_start_matches(['+', '-']).trim_start_matches('0');
    // a token has fewer than 10^5 digits, so an exponent of 7 digits or more decides alone
    let exponent: usize = match exponent.len() {
        0 => 0,
        1..=6 => exponent.parse().ok()?,
        _ if exponent_is_negative => return Some(0),
        _ => return None,
    };
    // value in nanoseconds = digits * 10^(9 + exponent - number of fraction digits)
    let (mut zeros, mut cut) = (9, fraction.len());
    if exponent_is_negative {
        cut += exponent;
    } else {
        zeros += exponent;
    }
    digits.extend(std::iter::repeat_n('0', zeros));
    digits.truncate(digits.len().saturating_sub(cut));
    // the largest date has 12 digits, and 9 more for the nanoseconds
    require(digits.len() <= 21)?;
    let nanos = format!("0{digits}").parse().ok()?;
    require(nanos <= MAX_NUMERIC_DATE * NANOS_PER_SECOND)?;
    Some(nanos)
}

// ---- keys

struct Key {
    kid: Option<String>,
    alg: Option<String>,
    public: PublicKey,
}

enum PublicKey {
    Rsa(RsaPublicKey),
    P256(p256::ecdsa::VerifyingKey),
    P384(p384::ecdsa::VerifyingKey),
    P521(p521::ecdsa::VerifyingKey),
    Ed25519([u8; 32]),
}

/// The keys of a JWKS that can be used; none at all of a text that is no JWKS.
fn usable_keys(jwks: &str) -> Option<Vec<Key>> {
    let Json::Object(set) = parse_json(jwks.as_bytes())? else {
        return None;
    };
    // a duplicate inside a key makes that key unusable, one beside the keys the whole set
    require(!has_duplicate_names(&set))?;
    require(set.iter().all(|(name, value)| name == "keys" || !has_duplicates(value)))?;
    let Json::Array(keys) = member(&set, "keys")? else {
        return None;
    };
    Some(keys.iter().filter_map(usable_key).collect())
}

fn usable_key(jwk: &Json) -> Option<Key> {
    let Json::Object(members) = jwk else {
        return None;
    };
    require(!has_duplicates(jwk))?;
    for private in ["d", "p", "q", "dp", "dq", "qi", "oth", "k"] {
        require(member(members, private).is_none())?;
    }
    for optional in ["use", "kid", "alg"] {
        require(absent_or_text(members, optional))?;
    }
    require(text(members, "use").is_none_or(|value| value == "sig"))?;
    if let Some(value) = member(members, "key_ops") {
        let Json::Array(items) = value else {
            return None;
        };
        let names = strings(items)?;
        require(names.iter().any(|name| name == "verify"))?;
        require(all_differ(names.iter()))?;
    }
    let kty = text(members, "kty")?;
    let crv = text(members, "crv").unwrap_or_default();
    let public = match (kty.as_str(), crv.as_str()) {
        ("RSA", _) => PublicKey::Rsa(rsa_key(members)?),
        ("EC", "P-256") => PublicKey::P256(
            p256::ecdsa::VerifyingKey::from_sec1_bytes(&ec_point(members, 32)?).ok()?,
        ),
        ("EC", "P-384") => PublicKey::P384(
            p384::ecdsa::VerifyingKey::from_sec1_bytes(&ec_point(members, 48)?).ok()?,
        ),
        ("EC", "P-521") => PublicKey::P521(
            p521::ecdsa::VerifyingKey::from_sec1_bytes(&ec_point(members, 66)?).ok()?,
        ),
        ("OKP", "Ed25519") => PublicKey::Ed25519(base64url(&text(members, "x")?)?.try_into().ok()?),
        _ => return None,
    };
    let alg = text(members, "alg");
    require(alg.as_ref().is_none_or(|alg| public.fits(alg)))?;
    Some(Key { kid: text(members, "kid"), alg, public })
}

fn rsa_key(members: &Members) -> Option<RsaPublicKey> {
    let n = base64url(&text(members, "n")?)?;
    let e = base64url(&text(members, "e")?)?;
    require(n.first() != Some(&0) && e.first() != Some(&0))?;
    let n = BigUint::from_bytes_be(&n);
    let e = BigUint::from_bytes_be(&e);
    require((2048..=8192).contains(&n.bits()))?;
    require(e >= BigUint::from(65_537_u32) && e < BigUint::from(1_u64 << 33))?;
    // the library refuses an even exponent, and an even modulus, which is no RSA modulus
    RsaPublicKey::new_with_max_size(n, e, 8192).ok()
}

/// The point in SEC 1 form, uncompressed; the libraries refuse one that is not on the curve.
fn ec_point(members: &Members, width: usize) -> Option<Vec<u8>> {
    let x = base64url(&text(members, "x")?)?;
    let y = base64url(&text(members, "y")?)?;
    (x.len() == width && y.len() == width).then(|| [vec![4], x, y].concat())
}

impl Key {
    /// A key is used with one algorithm: its own, else the first that fits on the allow-list.
    fn has_algorithm(&self, alg: &str, allow_list: &[String]) -> bool {
        if let PublicKey::Ed25519(_) = self.public {
            // two names of one operation; the caller has asked the allow-list for this name
            return self.public.fits(alg);
        }
        match &self.alg {
            Some(own) => own == alg,
            None => allow_list
                .iter()
                .find(|name| self.public.fits(name))
                .is_some_and(|first| first == alg),
        }
    }
}

impl PublicKey {
    fn fits(&self, alg: &str) -> bool {
        match self {
            Self::Rsa(_) => ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512"].contains(&alg),
            Self::P256(_) => alg == "ES256",
            Self::P384(_) => alg == "ES384",
            Self::P521(_) => alg == "ES512",
            Self::Ed25519(_) => alg == "EdDSA" || alg == "Ed25519",
        }
    }

    fn verifies(&self, alg: &str, signed: &[u8], signature: &[u8]) -> bool {
        match self {
            Self::Rsa(key) => rsa_verifies(key, alg, signed, signature),
            // `from_slice` takes fixed-width R || S only, and refuses zero and out-of-range values
            Self::P256(key) => p256::ecdsa::Signature::from_slice(signature)
                .is_ok_and(|s| key.verify(signed, &s).is_ok()),
            Self::P384(key) => p384::ecdsa::Signature::from_slice(signature)
                .is_ok_and(|s| key.verify(signed, &s).is_ok()),
            Self::P521(key) => p521::ecdsa::Signature::from_slice(signature)
                .is_ok_and(|s| key.verify(signed, &s).is_ok()),
            Self::Ed25519(bytes) => {
                let key = ed25519_dalek::VerifyingKey::from_bytes(bytes);
                let signature = ed25519_dalek::Signature::from_slice(signature);
                matches!((key, signature), (Ok(key), Ok(signature)) if key.verify_strict(signed, &signature).is_ok())
            }
        }
    }
}

fn rsa_verifies(key: &RsaPublicKey, alg: &str, signed: &[u8], signature: &[u8]) -> bool {
    // RFC 8017, 8.1.2 and 8.2.2: as long as the modulus, and smaller than it as a number
    if signature.len() != key.size() || BigUint::from_bytes_be(signature) >= *key.n() {
        return false;
    }
    let sha256 = Sha256::digest(signed);
    let sha384 = Sha384::digest(signed);
    let sha512 = Sha512::digest(signed);
    let result = match alg {
        "RS256" => key.verify(Pkcs1v15Sign::new::<Sha256>(), &sha256, signature),
        "RS384" => key.verify(Pkcs1v15Sign::new::<Sha384>(), &sha384, signature),
        "RS512" => key.verify(Pkcs1v15Sign::new::<Sha512>(), &sha512, signature),
        "PS256" => key.verify(Pss::new_with_salt::<Sha256>(32), &sha256, signature),
        "PS384" => key.verify(Pss::new_with_salt::<Sha384>(48), &sha384, signature),
        "PS512" => key.verify(Pss::new_with_salt::<Sha512>(64), &sha512, signature),
        _ => return false,
    };
    result.is_ok()
}

// ---- encodings

/// Base64url without padding; unused bits of the last character must be zero (RFC 4648, 3.5).
fn base64url(text: &str) -> Option<Vec<u8>> {
    const ALPHABET: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let mut bits = Vec::new();
    for c in text.chars() {
        let six = ALPHABET.find(c)?;
        bits.extend((0..6).rev().map(|i| (six >> i) & 1 == 1));
    }
    let rest = bits.split_off(bits.len() / 8 * 8);
    require(rest.len() < 6 && !rest.contains(&true))?;
    let octet = |bits: &[bool]| bits.iter().fold(0, |octet, bit| octet * 2 + u8::from(*bit));
    Some(bits.chunks(8).map(octet).collect())
}

type Members = Vec<(String, Json)>;

/// JSON as it was written: numbers keep their text, objects the order and the repeats of members.
#[derive(Clone)]
enum Json {
    Null,
    Boolean(bool),
    Number(String),
    Text(String),
    Array(Vec<Json>),
    Object(Members),
}

fn member<'a>(members: &'a Members, name: &str) -> Option<&'a Json> {
    members.iter().find(|(found, _)| found == name).map(|(_, value)| value)
}

fn text(members: &Members, name: &str) -> Option<String> {
    match member(members, name) {
        Some(Json::Text(text)) => Some(text.clone()),
        _ => None,
    }
}

/// For optional members: present with another type is a fault.
fn absent_or_text(members: &Members, name: &str) -> bool {
    matches!(member(members, name), None | Some(Json::Text(_)))
}

fn non_empty_string(members: &Members, name: &str) -> Option<String> {
    text(members, name).filter(|text| !text.is_empty())
}

/// The strings of an array that holds at least one value and nothing but strings.
fn strings(items: &[Json]) -> Option<Vec<String>> {
    let mut found = Vec::new();
    for item in items {
        let Json::Text(text) = item else { return None };
        found.push(text.clone());
    }
    (!found.is_empty()).then_some(found)
}

fn all_differ<'a>(names: impl Iterator<Item = &'a String>) -> bool {
    let mut seen = Vec::new();
    for name in names {
        if seen.contains(&name) {
            return false;
        }
        seen.push(name);
    }
    true
}

fn has_duplicate_names(members: &Members) -> bool {
    !all_differ(members.iter().map(|(name, _)| name))
}

fn has_duplicates(value: &Json) -> bool {
    match value {
        Json::Null | Json::Boolean(_) | Json::Number(_) | Json::Text(_) => false,
        Json::Array(items) => items.iter().any(has_duplicates),
        Json::Object(members) => {
            has_duplicate_names(members) || members.iter().any(|(_, value)| has_duplicates(value))
        }
    }
}

/// A JSON object without duplicate members at any level.
fn strict_object(bytes: &[u8]) -> Option<Members> {
    match parse_json(bytes)? {
        value if has_duplicates(&value) => None,
        Json::Object(members) => Some(members),
        _ => None,
    }
}

/// RFC 8259, one value, in UTF-8 without a byte order mark, of bounded depth.
fn parse_json(bytes: &[u8]) -> Option<Json> {
    let chars = std::str::from_utf8(bytes).ok()?.chars().collect();
    let mut reader = JsonReader { chars, at: 0 };
    let value = reader.value(0)?;
    (reader.at == reader.chars.len()).then_some(value)
}

struct JsonReader {
    chars: Vec<char>,
    at: usize,
}

impl JsonReader {
    fn peek(&self) -> Option<char> {
        self.chars.get(self.at).copied()
    }

    fn next(&mut self) -> Option<char> {
        let c = self.peek()?;
        self.at += 1;
        Some(c)
    }

    /// Steps over `wanted` if it is next.
    fn take(&mut self, wanted: char) -> bool {
        let found = self.peek() == Some(wanted);
        self.at += usize::from(found);
        found
    }

    fn skip_whitespace(&mut self) {
        while matches!(self.peek(), Some(' ' | '\t' | '\n' | '\r')) {
            self.at += 1;
        }
    }

    /// `ws value ws`, inside `depth` open arrays and objects.
    fn value(&mut self, depth: usize) -> Option<Json> {
        self.skip_whitespace();
        let value = match self.peek()? {
            '{' | '[' if depth == MAX_JSON_DEPTH => return None,
            '{' => self.object(depth + 1)?,
            '[' => self.array(depth + 1)?,
            '"' => Json::Text(self.string()?),
            't' => self.literal("true", Json::Boolean(true))?,
            'f' => self.literal("false", Json::Boolean(false))?,
            'n' => self.literal("null", Json::Null)?,
            _ => self.number()?,
        };
        self.skip_whitespace();
        Some(value)
    }

    fn literal(&mut self, word: &str, value: Json) -> Option<Json> {
        word.chars().all(|c| self.take(c)).then_some(value)
    }

    fn object(&mut self, depth: usize) -> Option<Json> {
        let mut members = Vec::new();
        self.take('{');
        self.skip_whitespace();
        if self.take('}') {
            return Some(Json::Object(members));
        }
        loop {
            self.skip_whitespace();
            let name = self.string()?;
            self.skip_whitespace();
            require(self.take(':'))?;
            members.push((name, self.value(depth)?));
            match self.next()? {
                ',' => {}
                '}' => return Some(Json::Object(members)),
                _ => return None,
            }
        }
    }

    fn array(&mut self, depth: usize) -> Option<Json> {
        let mut items = Vec::new();
        self.take('[');
        self.skip_whitespace();
        if self.take(']') {
            return Some(Json::Array(items));
        }
        loop {
            items.push(self.value(depth)?);
            match self.next()? {
                ',' => {}
                ']' => return Some(Json::Array(items)),
                _ => return None,
            }
        }
    }

    /// `[ minus ] int [ frac ] [ exp ]`, kept as text.
    fn number(&mut self) -> Option<Json> {
        let start = self.at;
        self.take('-');
        if !self.take('0') {
            self.digits()?;
        }
        if self.take('.') {
            self.digits()?;
        }
        if self.take('e') || self.take('E') {
            let _ = self.take('+') || self.take('-');
            self.digits()?;
        }
        Some(Json::Number(self.chars[start..self.at].iter().collect()))
    }

    /// At least one digit.
    fn digits(&mut self) -> Option<()> {
        let start = self.at;
        while self.peek().is_some_and(|c| c.is_ascii_digit()) {
            self.at += 1;
        }
        (self.at > start).then_some(())
    }

    fn string(&mut self) -> Option<String> {
        require(self.take('"'))?;
        let mut text = String::new();
        loop {
            match self.next()? {
                '"' => return Some(text),
                '\\' => text.push(self.escape()?),
                '\0'..='\u{1f}' => return None,
                c => text.push(c),
            }
        }
    }

    fn escape(&mut self) -> Option<char> {
        Some(match self.next()? {
            c @ ('"' | '\\' | '/') => c,
            'b' => '\u{8}',
            'f' => '\u{c}',
            'n' => '\n',
            'r' => '\r',
            't' => '\t',
            'u' => match self.four_hex_digits()? {
                high @ 0xd800..=0xdbff => {
                    require(self.take('\\') && self.take('u'))?;
                    let low @ 0xdc00..=0xdfff = self.four_hex_digits()? else {
                        return None;
                    };
                    char::from_u32(0x1_0000 + (high - 0xd800) * 0x400 + (low - 0xdc00))?
                }
                // a lone low surrogate is no char
                unit => char::from_u32(unit)?,
            },
            _ => return None,
        })
    }

    fn four_hex_digits(&mut self) -> Option<u32> {
        let mut unit = 0;
        for _ in 0..4 {
            unit = unit * 16 + self.next()?.to_digit(16)?;
        }
        Some(unit)
    }
}
