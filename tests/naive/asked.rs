//! Tokens that mean what their issuer says of them: whose they are, whether it has to be asked, and what
//! its answer says (RFC 7662).
//!
//! Nothing is forgotten: every answer that could be kept is kept, and whether it is young enough is
//! found out anew each time.

use super::json::{
    Json, Members, NANOS_PER_SECOND, absent_or, base64url, member, non_empty, numeric_date,
    strict_object,
};
use super::memory::Memory;
use super::reasons::{Refused, Why};
use super::token::{
    Claims, Jwt, StandIns, Wrong, actor, any_texts, claims_of, one_or_several_texts, other_kind,
    verified_claims,
};
use super::world::{NaiveAsked, NaiveReply, World};
use super::{NaiveRequest, Presented, policy, revocation, sender};

/// The longest answer, in octets.
const LONGEST_ANSWER: usize = 65_536;
/// So many faults in a row, and an endpoint is left alone.
const MOST_FAULTS: u32 = 5;
/// No date is later.
const END_OF_TIME_NANOS: u128 = 253_402_300_799 * NANOS_PER_SECOND;
/// The longest that a call takes.
const CALL_SECS: u64 = 2;
const LONGEST_REST_SECS: u128 = 30;

/// What an issuer answered about a token, and when it was asked.
#[derive(Debug, Clone)]
pub(super) struct Kept {
    issuer: String,
    token: String,
    /// `None`: that it is not active.
    members: Option<Members>,
    now_nanos: u128,
    steady_nanos: u128,
    /// Whether a record spoke against the token since.
    is_doubted: bool,
}

impl Kept {
    pub(super) fn doubt(&mut self) {
        self.is_doubted = true;
    }

    pub(super) fn is_about(&self, issuer: &str, token: &str) -> bool {
        self.issuer == issuer && self.token == token
    }

    pub(super) fn is_of(&self, token: &str) -> bool {
        self.token == token
    }

    /// By the time of day or by the steady time, whichever is longer.
    fn age(&self, world: &World) -> u128 {
        let by_day = world.now_nanos.saturating_sub(self.now_nanos);
        by_day.max(world.steady_nanos.saturating_sub(self.steady_nanos))
    }

    /// Whether it may be used without asking again, whatever route and classes want.
    fn is_good(&self, asked: &NaiveAsked, world: &World) -> bool {
        let Some(members) = &self.members else {
            let ttl = asked.negative_ttl_secs.unwrap_or(asked.ttl_secs.min(5));
            return self.age(world) < nanos(ttl);
        };
        let has_ended = |exp: u128| world.now_nanos >= exp;
        self.age(world) < nanos(asked.ttl_secs) && !date(members, "exp").is_some_and(has_ended)
    }
}

/// How an endpoint does.
#[derive(Debug, Clone, Default)]
pub(super) struct Endpoint {
    faults_in_a_row: u32,
    /// How long it was left alone last, and until which steady time.
    rest: Option<(u128, u128)>,
}

impl Endpoint {
    fn failed(&mut self, world: &World) {
        self.faults_in_a_row += 1;
        let seconds = match self.rest {
            None if self.faults_in_a_row < MOST_FAULTS => return,
            None => 1,
            Some((seconds, _)) => (seconds * 2).min(LONGEST_REST_SECS),
        };
        self.rest = Some((seconds, world.steady_nanos + seconds * NANOS_PER_SECOND));
    }
}

/// What a JWT says itself, that is asked about.
struct Own<'a> {
    payload: &'a Members,
    key_id: Option<String>,
    /// Whether its issuer signed it, as far as anybody here can tell.
    is_signed: bool,
}

/// Steps 2 to 5: what a token says, whoever it is to say what that is.
pub(super) fn claims(
    world: &World,
    memory: &mut Memory,
    presented: &Presented,
    request: &NaiveRequest,
) -> Result<Claims, Refused> {
    let (token, reply) = (presented.token.as_str(), request.reply.as_ref());
    let asked = whose(world, token);
    if let Some(asked) = asked {
        // before it costs anything
        sender::could_be_proven(world, presented, request)?;
        return told(world, memory, asked, token, None, reply);
    }
    let Some(jwt) = Jwt::read(world, token) else {
        return Err(Refused::new("form, key or signature"));
    };
    let asked = world.asked.iter().find(|one| one.issuer == jwt.issuer.id && one.jwts);
    let Some(asked) = asked else {
        let nameable = nameable(memory);
        return verified_claims(&jwt, nameable.as_deref()).map_err(Refused::new);
    };
    jwt.takes_type().map_err(Refused::new)?;
    // nobody is asked about what has ended, or what nobody signed that could be asked about it
    let mut whys: Vec<Why> = Vec::new();
    let leeway = nanos(world.leeway_secs);
    if date(&jwt.payload, "exp").is_some_and(|exp| world.now_nanos >= exp + leeway) {
        whys.push("expired");
    }
    if date(&jwt.payload, "nbf").is_some_and(|nbf| nbf > world.now_nanos + leeway) {
        whys.push("not valid yet");
    }
    // what it says itself of its time has to be a time
    for (name, why) in [("exp", "exp"), ("nbf", "nbf")] {
        if absent_or(&jwt.payload, name, numeric_date).is_none() {
            whys.push(why);
        }
    }
    // without keys there is but its word for it
    let mut key_id = jwt.kid.clone();
    if !jwt.issuer.jwks.is_empty() {
        match jwt.signing_key() {
            Some(signing_key) => key_id = signing_key,
            None => whys.push("form, key or signature"),
        }
    }
    whys.extend(jwt.other_kind());
    if !whys.is_empty() {
        return Err(Refused::one_of(whys));
    }
    // before it costs a question
    sender::could_be_proven(world, presented, request)?;
    let is_signed = !jwt.issuer.jwks.is_empty();
    let own = Own { payload: &jwt.payload, key_id, is_signed };
    told(world, memory, asked, token, Some(&own), reply)
}

/// Who is to be asked about a token that nobody else could read.
fn whose<'a>(world: &'a World, token: &str) -> Option<&'a NaiveAsked> {
    let has_prefix = |asked: &NaiveAsked| asked.prefixes.iter().any(|one| token.starts_with(one));
    let owner = match &world.route_asks {
        Some(name) => {
            let named = world.asked.iter().find(|asked| asked.issuer == *name);
            named.filter(|asked| asked.prefixes.is_empty() || has_prefix(asked))
        }
        None => {
            let mut longest: Option<(&str, &NaiveAsked)> = None;
            for asked in &world.asked {
                for prefix in &asked.prefixes {
                    let is_longer = longest.is_none_or(|(other, _)| prefix.len() > other.len());
                    if token.starts_with(prefix) && is_longer {
                        longest = Some((prefix, asked));
                    }
                }
            }
            let rest = world
                .asked
                .iter()
                .find(|asked| asked.prefixes.is_empty() && !asked.only_where_named);
            longest.map(|(_, asked)| asked).or(rest)
        }
    };
    match says_what_it_is(token) {
        false => owner,
        // nothing is decrypted here
        true if token.matches('.').count() == 4 => owner.filter(|asked| asked.jwts),
        true => None,
    }
}

/// Whether it has parts, of which the first begins as an object does, within the first three octets; or
/// with nothing but space.
fn says_what_it_is(token: &str) -> bool {
    let Some((header, _)) = token.split_once('.') else {
        return false;
    };
    let Some(octets) = header.get(..4).and_then(base64url) else {
        return false;
    };
    let text = String::from_utf8_lossy(&octets);
    let begun = text.trim_start_matches([' ', '\t', '\n', '\r', '\x0c']);
    begun.is_empty() || begun.starts_with('{')
}

/// What the issuer says of a token, now or a short while ago.
fn told(
    world: &World,
    memory: &mut Memory,
    asked: &NaiveAsked,
    token: &str,
    own: Option<&Own<'_>>,
    reply: Option<&NaiveReply>,
) -> Result<Claims, Refused> {
    let nameable = nameable(memory);
    let read = |kept: &Kept| match &kept.members {
        None => Err(Refused::new("not active")),
        Some(members) => answered(world, asked, members, kept, own, nameable.as_deref()),
    };
    let known = memory.answers.iter().find(|kept| kept.is_about(&asked.issuer, token));
    if let Some(kept) = known.filter(|kept| kept.is_good(asked, world)) {
        let revocation = memory.revocation.as_ref();
        let is_fresh = |most: Option<u64>| most.is_none_or(|most| kept.age(world) <= nanos(most));
        // what is not active does not become active
        if kept.members.is_none() {
            return read(kept);
        }
        if is_fresh(policy::freshness_of_route(world, revocation)) {
            let claims = read(kept)?;
            let is_fresh = is_fresh(policy::freshness(world, revocation, &claims));
            // once nothing speaks against the token any more, its issuer may still
            let is_doubted = kept.is_doubted && revocation::check(world, memory, &claims).is_ok();
            if is_fresh && !is_doubted {
                return Ok(claims);
            }
        }
    }

    let members = ask(world, memory, asked, reply).map_err(Refused::new)?;
    let (now_nanos, steady_nanos) = (world.now_nanos, world.steady_nanos);
    let (issuer, token) = (asked.issuer.clone(), token.to_owned());
    let kept = Kept { issuer, token, members, now_nanos, steady_nanos, is_doubted: false };
    let claims = read(&kept);
    let parts = claims.as_ref().err().map(Refused::each).unwrap_or_default();
    // what the issuer has to mend is asked for again
    let is_mended = !parts.is_empty() && parts.iter().all(Refused::is_unavailable);
    if kept.is_good(asked, world) && !is_mended {
        memory.forget_answer(&kept.issuer, &kept.token);
        memory.doubtful = (parts.len() > 1).then(|| (kept.issuer.clone(), kept.token.clone()));
        memory.answers.push(kept);
    } else {
        // the last word counts also where it is not kept: a yes of before is none any more
        memory
            .answers
            .retain(|known| known.members.is_none() || !known.is_about(&kept.issuer, &kept.token));
    }
    claims
}

/// Asks; the members of the answer, or none of a token that is not active.
#[allow(clippy::option_option, reason = "the answer is a part of it")]
fn ask(
    world: &World,
    memory: &mut Memory,
    asked: &NaiveAsked,
    reply: Option<&NaiveReply>,
) -> Result<Option<Members>, Why> {
    let endpoint = memory.endpoints.entry(asked.issuer.clone()).or_default();
    if endpoint.rest.is_some_and(|(_, until)| world.steady_nanos < until) {
        return Err("no answer about it");
    }
    memory.asked = Some(asked.issuer.clone());
    let Some(reply) = reply else {
        endpoint.failed(world);
        return Err("no answer about it");
    };
    if matches!(reply.status, 300..=399 | 401 | 429 | 502..=504) {
        endpoint.failed(world);
        return Err("no answer about it");
    }
    *endpoint = Endpoint::default();
    if reply.status != 200 {
        return Err("no answer about it");
    }
    let media_type = reply.content_type.as_deref().unwrap_or_default();
    let media_type = media_type.split(';').next().unwrap_or_default().trim();
    let members = strict_object(&reply.body);
    let members = members.ok_or("an answer that nobody can read")?;
    if !media_type.eq_ignore_ascii_case("application/json") || reply.body.len() > LONGEST_ANSWER {
        return Err("an answer that nobody can read");
    }
    match member(&members, "active") {
        Some(Json::Boolean(false)) => Ok(None),
        Some(Json::Boolean(true)) => match member(&members, "exp") {
            Some(exp) if numeric_date(exp).is_none() => Err("an answer that nobody can read"),
            _ => Ok(Some(members)),
        },
        _ => Err("an answer that nobody can read"),
    }
}

/// What the members of an answer say, as if they were the claims of a token of the issuer; `own`: what
/// the token says itself.
fn answered(
    world: &World,
    asked: &NaiveAsked,
    members: &Members,
    kept: &Kept,
    own: Option<&Own<'_>>,
    nameable: Option<&[String]>,
) -> Result<Claims, Refused> {
    let issuer = world.issuers.iter().find(|issuer| issuer.id == asked.issuer);
    let Some(profile) = issuer.map(|issuer| &issuer.profile) else {
        return Err(Refused::new("form, key or signature"));
    };
    let may_lack = |name: &str| asked.may_lack.iter().any(|known| known == name);
    let mut whys: Vec<Why> = Vec::new();
    match member(members, "iss").map(non_empty) {
        None => {}
        Some(None) => whys.push("an answer with something malformed"),
        Some(Some(iss)) if iss == asked.issuer => {}
        Some(Some(_)) => whys.push("an answer of another issuer"),
    }
    if other_kind(None, members, profile).is_some() {
        whys.push("an answer about another kind of token");
    }
    let mut token_type = None;
    match member(members, "token_type").map(non_empty) {
        None if may_lack("token_type") => {}
        None => whys.push("an answer that does not say the kind of token"),
        Some(None) => whys.push("an answer with something malformed"),
        Some(Some(name)) => {
            token_type = ["Bearer", "DPoP"].into_iter().find(|one| name.eq_ignore_ascii_case(one));
            if token_type.is_none() {
                whys.push("an answer about another kind of token");
            }
        }
    }
    // it is good for as long as the answer, and for as long as a call may take where answers are not kept
    let exp = (kept.now_nanos + nanos(asked.ttl_secs.max(CALL_SECS))).min(END_OF_TIME_NANOS);
    let stand_ins = StandIns {
        client_as_subject: may_lack("sub"),
        exp: may_lack("exp").then_some(exp),
        is_answer: true,
        unaddressed: asked.without_audience,
    };
    match claims_of(members, &asked.issuer, profile, nameable, &stand_ins) {
        Err(wrong) => whys.extend(wrong.iter().map(|wrong| match wrong {
            Wrong::Missing(_) => "an answer that lacks something",
            Wrong::Malformed(_) => "an answer with something malformed",
        })),
        Ok(mut claims) if whys.is_empty() => {
            claims.key_id = own.and_then(|own| own.key_id.clone());
            if let Some(own) = own {
                whys.extend(add_own(&mut claims, own.payload, nameable).err());
                whys.extend(add_name(&mut claims, own.payload));
                whys.extend(add_actor(&mut claims, own));
            }
            if nameable.is_some() && has_long_name(&claims) {
                whys.push("a claim that records can name");
            }
            if whys.is_empty() {
                return Ok(Claims { token_type, is_answer: true, ..claims });
            }
        }
        Ok(_) => {}
    }
    Err(Refused::one_of(whys))
}

/// Whether the answer is about a token of this name; one that it leaves out is the token's.
fn add_name(claims: &mut Claims, jwt: &Members) -> Option<Why> {
    let Some(jti) = absent_or(jwt, "jti", non_empty) else {
        return Some("jti");
    };
    if claims.jti.is_some() && jti.is_some() && claims.jti != jti {
        return Some("an answer about another token");
    }
    claims.jti = claims.jti.take().or(jti);
    None
}

/// What a JWT says itself beside the answer about it: an issuer that leaves something out does not take it
/// back. What cannot be read of it is the token's own fault, as that of any token.
fn add_own(claims: &mut Claims, jwt: &Members, nameable: Option<&[String]>) -> Result<(), Why> {
    claims.cnf.extend(member(jwt, "cnf").cloned());
    if nameable.is_some() && claims.session.is_none() {
        claims.session = absent_or(jwt, "sid", non_empty).ok_or("sid")?;
    }
    for name in nameable.into_iter().flatten() {
        let values = absent_or(jwt, name, any_texts).ok_or("a claim that records can name")?;
        claims.named.extend(values.into_iter().flatten().map(|value| (name.clone(), value)));
    }
    if claims.is_unaddressed
        && let Some(audiences) = absent_or(jwt, "aud", one_or_several_texts).ok_or("audience")?
    {
        claims.audiences = audiences;
        claims.is_unaddressed = false;
    }
    Ok(())
}

/// Who acts is whom the token names, if its issuer signed that; the answer may name the same, and may not
/// leave out what nobody signed.
fn add_actor(claims: &mut Claims, own: &Own<'_>) -> Option<Why> {
    let named = absent_or(own.payload, "act", |value| actor(value, &claims.iss));
    match (named, &claims.actor) {
        (None, _) => Some("act"),
        (Some(None), _) => None,
        (Some(Some(named)), Some(told)) => {
            (named != *told).then_some("an answer about another token")
        }
        (Some(Some(_)), None) if !own.is_signed => Some("an answer that lacks something"),
        (Some(named), None) => {
            claims.actor = named;
            None
        }
    }
}

/// What no record could name could not be revoked.
fn has_long_name(claims: &Claims) -> bool {
    let names = claims.jti.iter().chain(&claims.session);
    names.chain(claims.named.iter().map(|(_, value)| value)).any(|name| name.len() > 2_048)
}

/// The claims that records can name.
fn nameable(memory: &Memory) -> Option<Vec<String>> {
    memory.revocation.as_ref().map(|revocation| revocation.claims.clone())
}

fn date(members: &Members, name: &str) -> Option<u128> {
    member(members, name).and_then(numeric_date)
}

fn nanos(seconds: u64) -> u128 {
    u128::from(seconds) * NANOS_PER_SECOND
}
