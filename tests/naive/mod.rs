//! A slow and obvious second reading of the token decision, for differential tests.
//!
//! It shares no code, no cryptography, no JSON and no URI reader with the crate. Everything is read
//! anew on every call, the allow-list and the JWKS included; clarity wins over speed everywhere.
//!
//! The steps, with the rows of the requirements that each one reads:
//!
//! 1. one `Authorization` field, a scheme that is offered, a token68 of bounded size
//!    (AUTH-03, AUTH-12, AUTH-16, AUTH-17, AUTH-18, JWS-55, DPOP-25)
//!    Then whose it is to say what it means: an opaque token, and a JWT by choice, is its issuer's
//!    (AUTH-31), which is asked about it unless its answer is known and young enough (INT-04 to INT-09,
//!    INT-11); what it answers is read as the claims of a JWT are (INT-13, INT-14, DPOP-35, MTLS-05)
//! 2. compact JWS and its header (JWS-01 to JWS-13, JWS-35, JWS-55, AT-01, AT-02, AT-03), with the
//!    types that the issuer's profile takes (JWS-42, decision 7)
//! 3. issuer, allow-list, one key (AT-05, JWS-14, JWS-15, JWS-17 to JWS-22, JWS-26, JWS-30 to
//!    JWS-33, JWS-38, JWS-51, decision 3)
//! 4. signature (AT-07, JWS-27, JWS-28, JWS-29)
//! 5. claims present and of the right type (AT-09, AT-10, AT-15, AT-17, DEL-01, DEL-02, DEL-05,
//!    RAR-02, SCOPE-01, JWS-43), where the issuer's profile has them (decision 7)
//! 6. audience, time, token classes (AT-06, AT-08, AT-18, NHI-07, JWS-44, JWS-45, JWS-46)
//! 7. the sender: everything in `cnf` is proven, or the token is refused (JWS-53, decisions 12 and
//!    16, MTLS-01 to MTLS-06, MTLS-24); the scheme fits (DPOP-21, DPOP-22); the token is bound as
//!    server, class and route want it, unless an exception holds (BCP-01); one proof, in every detail
//!    (DPOP-C01 to DPOP-C12b, DPOP-13, DPOP-15, DPOP-16, DPOP-20, DPOP-33, DPOP-34, DPOP-36,
//!    DPOP-39, DPOP-40, decisions 3, 5 and 6)
//! 8. what was said of tokens with this `jti`, of this key, issuer, session, subject, client or other
//!    claim: the strictest of it, and times compared exactly (CAEP-02, CAEP-06, EVT-02, RISC-02,
//!    decisions 11 and 15); then whether enough is known to say that it is not revoked (decision 13)
//! 9. scopes, and how the user authenticated (AUTH-14, SCOPE-01, STEP-01 to STEP-04, STEP-06); then
//!    the client, the subject, the actor, the authorization details (DEL-01, DEL-04, RAR-01, RAR-03, RAR-04,
//!    RAR-05, RAR-07, RAR-08)
//! 10. a proof is used once, and a token where the route says so (DPOP-17, DPOP-19, DPOP-38,
//!     DPOP-41)
//!
//! What the client sees: one challenge for each scheme that is offered, the error in that of the
//! scheme that was used (DPOP-23 to DPOP-26), a nonce where one was wanted (DPOP-29, DPOP-32).
//!
//! One key it judges later than the crate: an Ed25519 key of an issuer that is a point of small
//! order is unusable there, and verifies nothing here. It has no notion of a faulty configuration: a
//! text that is no JWK Set, a set without any usable key and a second issuer of one name are refused
//! by the crate when a server is built.
//!
//! A required claim that is a number it compares as it is written.
//!
//! What a nonce is it does not know: it is told which ones servers made, and when.
//!
//! Of revocation it hears what this process itself says, one record after the other, and keeps all of
//! it for ever. What a server need not remember of a single token any more (EVT-01) it can be told to
//! pass over. Its sources never said a word: how old what they said may be it does not know, nor status
//! lists, events, feeds, a journal, or what becomes of records that there is no room for. A claim that
//! records can name it reads as it reads `aud`: an empty array is malformed. A hold for a step-up ends
//! with its release, whenever the user authenticated.
//!
//! What an endpoint would answer it is told with each request, and it says whether it was asked. It
//! knows nothing of signed answers (RFC 9701), nor of what time calls take and how many there are at once.
//!
//! It knows nothing of forwarded certificates and origins, encrypted tokens, or of other checks that a
//! route brings along.
#![allow(
    clippy::indexing_slicing,
    reason = "slices are matched or cut where their length is known"
)]

use std::collections::BTreeMap;
use std::net::IpAddr;

mod asked;
mod json;
mod keys;
mod memory;
mod policy;
mod proof;
mod reasons;
mod revocation;
mod sender;
mod token;
mod uri;
mod world;

pub(crate) use memory::Memory;
#[allow(unused_imports, reason = "a fuzz target does not count them")]
pub(crate) use reasons::REASONS;
use reasons::{NO_SCOPE_HELPS, Refused, Why};
use sender::Sender;
use token::Claims;

#[allow(unused_imports, reason = "a fuzz target's world is simpler than a generated one")]
pub(crate) use world::{
    NaiveActor, NaiveAsked, NaiveClaim, NaiveClass, NaiveDetail, NaiveDpop, NaiveEffect,
    NaiveException, NaiveIssuer, NaiveNames, NaiveNonces, NaiveOrigin, NaiveProfile, NaiveRecord,
    NaiveReply, NaiveRevocation, NaiveSource, NaiveStale, NaiveStepUp, NaiveTarget, NaiveTest,
    World,
};

/// What is decided about.
#[derive(Debug, Clone)]
pub(crate) struct NaiveRequest {
    pub(crate) method: String,
    /// The target of the request.
    pub(crate) target: String,
    /// What the target was before something in the process changed it, if something did.
    pub(crate) original: Option<String>,
    /// The values of its `Authorization` field lines.
    pub(crate) authorization: Vec<Vec<u8>>,
    /// The values of its `DPoP` field lines.
    pub(crate) dpop: Vec<Vec<u8>>,
    /// The certificate whose key the other end of the connection has.
    pub(crate) certificate: Option<Vec<u8>>,
    /// Where it comes from, if that is known.
    pub(crate) peer: Option<IpAddr>,
    /// What is answered if somebody is asked about its token; nothing if there is none.
    pub(crate) reply: Option<NaiveReply>,
}

impl NaiveRequest {
    /// A request for `/` with nothing but these fields.
    pub(crate) fn with_lines(authorization: Vec<Vec<u8>>) -> Self {
        Self {
            method: "GET".to_owned(),
            target: "/".to_owned(),
            original: None,
            authorization,
            dpop: Vec::new(),
            certificate: None,
            peer: None,
            reply: None,
        }
    }
}

/// The answer to a request.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(clippy::large_enum_variant, reason = "there is one at a time")]
pub(crate) enum Verdict {
    /// The token gives access.
    Pass(Granted),
    /// The request is refused.
    Refuse {
        /// The status code.
        status: u16,
        /// The challenges, in order.
        challenges: Vec<NaiveChallenge>,
        /// `scope`, `acr_values` and `max_age` of the first one, where it has them.
        params: BTreeMap<&'static str, String>,
        /// Whether the client is given a nonce.
        nonce: bool,
        /// The reason, in this reading's own words.
        why: Why,
        /// What the crate may call it: more than one thing where several are wrong at once.
        kinds: Vec<&'static str>,
        /// The issuer that was asked about the token, if one was.
        asked: Option<String>,
        /// What may be said in place of this, where several things are wrong at once.
        or: Vec<Verdict>,
    },
}

impl Verdict {
    /// The issuer that was asked about the token, if one was.
    #[allow(dead_code, reason = "each user of this reading uses a part of it")]
    pub(crate) fn asked(&self) -> Option<&String> {
        match self {
            Self::Pass(granted) => granted.asked.as_ref(),
            Self::Refuse { asked, .. } => asked.as_ref(),
        }
    }
}

/// What a client is told of one scheme.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct NaiveChallenge {
    pub(crate) scheme: String,
    pub(crate) error: Option<String>,
    pub(crate) algs: Option<String>,
}

/// What an accepted token says, and who sent it.
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
    pub(crate) binding: String,
    /// Thumbprints of the key and of the certificate that the sender has.
    pub(crate) key: Option<String>,
    pub(crate) certificate: Option<String>,
    /// Whether the client is given a nonce.
    pub(crate) nonce: bool,
    /// The issuer that was asked about the token, if one was.
    pub(crate) asked: Option<String>,
}

/// A scheme and a token.
struct Presented {
    scheme: &'static str,
    token: String,
}

const MAX_TOKEN_BYTES: usize = 16_384;

/// Decides a request, and remembers what it uses up.
pub(crate) fn decide(world: &World, memory: &mut Memory, request: &NaiveRequest) -> Verdict {
    (memory.asked, memory.doubtful) = (None, None);
    match steps(world, memory, request) {
        Ok((claims, sender)) => {
            Verdict::Pass(Granted { asked: memory.asked.clone(), ..granted(claims, sender) })
        }
        Err(refused) => {
            let mut verdicts = refused.each().into_iter();
            let first = verdicts.next().unwrap_or(refused);
            let others: Vec<_> =
                verdicts.map(|one| refusal(world, memory, request, &one, Vec::new())).collect();
            refusal(world, memory, request, &first, others)
        }
    }
}

fn steps(
    world: &World,
    memory: &mut Memory,
    request: &NaiveRequest,
) -> Result<(Claims, Sender), Refused> {
    // 1
    let presented = credentials(world, &request.authorization)?;
    // 2 to 5
    let claims = asked::claims(world, memory, &presented, request)?;
    // 6
    if !policy::audience_fits(world, &claims) {
        return Err(Refused::new("another audience"));
    }
    if let Some(why) = policy::wrong_time(world, &claims) {
        return Err(Refused::new(why));
    }
    // 7
    let sender = sender::prove(world, memory, &claims, &presented, request)?;
    // 8
    if let Err(refused) = revocation::check(world, memory, &claims) {
        if !refused.is_unavailable() {
            memory.doubt_answer(&claims.iss, &presented.token);
        }
        return Err(refused);
    }
    // 9
    let has_scopes = world.needed_scopes.iter().all(|needed| claims.scopes.contains(needed));
    match (policy::authenticated_well(world, &claims), has_scopes) {
        (true, true) => {}
        (true, false) => return Err(Refused::new("scope missing")),
        (false, true) => return Err(Refused::new("authentication")),
        (false, false) => return Err(Refused::new("authentication and scope")),
    }
    if let Some(why) = policy::not_for_route(world, &claims) {
        return Err(Refused::new(why));
    }
    // 10
    memory.record(world, &claims, sender.proof.as_ref())?;
    Ok((claims, sender))
}

fn granted(claims: Claims, sender: Sender) -> Granted {
    Granted {
        iss: claims.iss,
        sub: claims.sub,
        kind: claims.kind.to_owned(),
        client_id: claims.client_id,
        jti: claims.jti,
        audiences: claims.audiences,
        scopes: claims.scopes,
        acr: claims.acr,
        actor: claims.actor,
        binding: sender.binding.to_owned(),
        nonce: sender.proof.as_ref().is_some_and(|proof| proof.wants_nonce),
        asked: None,
        key: sender.proof.map(|proof| proof.key),
        certificate: sender.certificate,
    }
}

// ---- what the client is told

fn refusal(
    world: &World,
    memory: &Memory,
    request: &NaiveRequest,
    refused: &Refused,
    or: Vec<Verdict>,
) -> Verdict {
    let (status, error) = refused.answer();
    let mut params = BTreeMap::new();
    let wants_scope = !matches!(status, 400 | 503) && !NO_SCOPE_HELPS.contains(&refused.why());
    // each scope once, in the order of the route, whatever the token has of them
    let mut scopes: Vec<&str> = Vec::new();
    for scope in &world.needed_scopes {
        if wants_scope && !scopes.contains(&scope.as_str()) {
            scopes.push(scope);
        }
    }
    if !scopes.is_empty() {
        params.insert("scope", scopes.join(" "));
    }
    if error == Some("insufficient_user_authentication") {
        let mut ages = Vec::from_iter(refused.max_age);
        if let Some(wanted) = &world.step_up {
            if !wanted.acr_values.is_empty() {
                params.insert("acr_values", wanted.acr_values.join(" "));
            }
            ages.extend(wanted.max_age_secs.map(u128::from));
        }
        // one authentication has to be enough for all that want one
        if let Some(least) = ages.into_iter().min() {
            params.insert("max_age", least.to_string());
        }
    }
    let challenges = match status {
        503 => Vec::new(),
        _ => challenges(world, &request.authorization, error),
    };
    Verdict::Refuse {
        status,
        challenges,
        params,
        nonce: error == Some("use_dpop_nonce"),
        why: refused.why(),
        kinds: refused.kinds(),
        asked: memory.asked.clone(),
        or,
    }
}

/// The scheme that was used comes first, and tells the error. Where nobody knows which one was meant,
/// each does.
fn challenges(world: &World, lines: &[Vec<u8>], error: Option<&str>) -> Vec<NaiveChallenge> {
    let used = error.and(scheme_used(world, lines));
    let mut schemes = Vec::from_iter(used);
    for offered in schemes_offered(world) {
        if Some(offered) != used {
            schemes.push(offered);
        }
    }
    let mut all = Vec::new();
    for scheme in schemes {
        let is_told = used.is_none() || used == Some(scheme);
        let algs = world.dpop.as_ref().map(|dpop| dpop.algorithms.join(" "));
        all.push(NaiveChallenge {
            scheme: scheme.to_owned(),
            error: error.filter(|_| is_told).map(str::to_owned),
            algs: algs.filter(|_| scheme == "DPoP"),
        });
    }
    all
}

/// The schemes under which some token can meet what server and route want, of any token.
fn schemes_offered(world: &World) -> Vec<&'static str> {
    let wants =
        |binding: &str| world.binding == binding || world.route_binding.as_deref() == Some(binding);
    let (key, certificate) = (wants("dpop") || wants("both"), wants("mtls") || wants("both"));
    let key = key || (wants("either") && !certificate && !world.mtls);
    let mut offered = Vec::new();
    if !key {
        offered.push("Bearer");
    }
    if world.dpop.is_some() && (key || !certificate) {
        offered.push("DPoP");
    }
    offered
}

/// The scheme of the only line, if it is one that the server knows, whatever is behind it.
fn scheme_used(world: &World, lines: &[Vec<u8>]) -> Option<&'static str> {
    let [line] = lines else {
        return None;
    };
    let scheme = leading_token(line);
    schemes_known(world).into_iter().find(|known| scheme.eq_ignore_ascii_case(known.as_bytes()))
}

fn leading_token(line: &[u8]) -> &[u8] {
    let end = line.iter().position(|byte| !is_tchar(*byte)).unwrap_or(line.len());
    &line[..end]
}

fn schemes_known(world: &World) -> Vec<&'static str> {
    let mut known = vec!["Bearer"];
    known.extend(world.dpop.as_ref().map(|_| "DPoP"));
    known
}

// ---- step 1: credentials

fn credentials(world: &World, lines: &[Vec<u8>]) -> Result<Presented, Refused> {
    let line = match lines {
        [] => return Err(Refused::new("no field")),
        [line] => line,
        _ => return Err(Refused::new("two fields")),
    };
    // behind a scheme that is not offered may stand anything, wherever it begins
    if world.dpop.is_none() && leading_token(line).eq_ignore_ascii_case(b"DPoP") {
        return Err(Refused::new("another scheme"));
    }
    // the scheme is what stands before the first space, and must be an RFC 9110 token
    let end = line.iter().position(|byte| *byte == b' ').unwrap_or(line.len());
    let (scheme, rest) = line.split_at(end);
    if scheme.is_empty() || !scheme.iter().all(|byte| is_tchar(*byte)) {
        return Err(Refused::new("no field by form"));
    }
    let mut known = schemes_known(world).into_iter();
    let known = known.find(|known| scheme.eq_ignore_ascii_case(known.as_bytes()));
    let scheme = known.ok_or_else(|| Refused::new("another scheme"))?;
    let spaces = rest.iter().take_while(|byte| **byte == b' ').count();
    let token = &rest[spaces..];
    let mut faults = Vec::new();
    if token.len() > MAX_TOKEN_BYTES {
        faults.push("a long token");
    }
    let token = String::from_utf8(token.to_vec()).ok().filter(|token| is_token68(token));
    match token {
        Some(token) if faults.is_empty() => Ok(Presented { scheme, token }),
        Some(_) => Err(Refused::one_of(faults)),
        None => {
            faults.push("no field by form");
            Err(Refused::one_of(faults))
        }
    }
}

fn is_tchar(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

/// `1*( ALPHA / DIGIT / "-" / "." / "_" / "~" / "+" / "/" ) *"="`
fn is_token68(text: &str) -> bool {
    let body = text.trim_end_matches('=');
    !body.is_empty() && body.chars().all(|c| c.is_ascii_alphanumeric() || "-._~+/".contains(c))
}
