//! Issuers that are asked about their tokens, what they answer, and their endpoints.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderValue, Method, Request, Response, StatusCode};
use portcullis::introspection::{AnswerGap, ClientAuth, Introspection};
use portcullis::transport::{Fetch, FetchError, FetchErrorKind, FetchLimits, Transport};

use super::dice::Dice;
use super::members::{Members, quoted};
use super::request::{Draft, Surroundings};
use super::times::seconds;
use super::world::Scene;
use crate::naive::{NaiveAsked, NaiveClass, NaiveReply, NaiveRequest};

const NANOS_PER_SECOND: u128 = 1_000_000_000;
const PREFIXES: [&[&str]; 5] = [&["opq_"], &["opq_a"], &["ghp-", "gho-"], &["eyJ"], &["Opq_", "~"]];
const OWN: [(&str, &str); 10] = [
    ("act", "{\"sub\":\"gateway\"}"),
    ("act", "{\"sub\":\"gateway\",\"act\":{\"sub\":\"before\"}}"),
    ("act", "{\"sub\":\"other\"}"),
    ("act", "{\"sub\":\"gateway\",\"iss\":\"https://x.example\"}"),
    ("act", "{}"),
    ("act", "null"),
    ("jti", "\"another\""),
    ("jti", "5"),
    ("sid", "\"another\""),
    ("sid", "[]"),
];
const FRESHNESS: [u64; 5] = [1, 5, 10, 30, 3_600];
pub(crate) const INACTIVE: &[u8] = b"{\"active\":false}";

/// Lets some worlds ask some of their issuers. None of these times is so short that a cache with a clock
/// of its own could notice.
pub(crate) fn add(scene: &mut Scene, dice: &mut Dice) {
    if !dice.percent(45) {
        return;
    }
    let mut prefixes = PREFIXES.to_vec();
    dice.shuffle(&mut prefixes);
    let mut rest = dice.percent(60);
    for place in 0..scene.world.issuers.len() {
        if place > 0 && dice.percent(40) {
            continue;
        }
        let issuer = &mut scene.world.issuers[place];
        if dice.percent(45) {
            issuer.jwks.clear();
            for signer in scene.signers.iter_mut().filter(|signer| signer.issuer == place) {
                signer.healthy = true;
            }
        }
        let takes_rest = std::mem::take(&mut rest);
        let only_where_named = !takes_rest && dice.percent(40);
        let own_prefixes = match takes_rest || only_where_named {
            true => Vec::new(),
            false => prefixes.pop().unwrap_or_default().iter().map(ToString::to_string).collect(),
        };
        let ttl_secs = dice.pick(&[0, 10, 30, 30, 60, 600]);
        let negative = dice.pick(&[0, 5, 10, ttl_secs]);
        // one of both says how long it lives
        let is_dated = issuer.profile.may_lack.iter().all(|claim| claim != "iat");
        let gaps: &[&str] =
            if is_dated { &["token_type", "exp", "sub"] } else { &["token_type", "sub"] };
        scene.world.asked.push(NaiveAsked {
            issuer: issuer.id.clone(),
            prefixes: own_prefixes,
            only_where_named,
            jwts: dice.percent(55),
            may_lack: gaps.iter().filter(|_| dice.percent(35)).map(ToString::to_string).collect(),
            without_audience: dice.percent(20),
            ttl_secs,
            negative_ttl_secs: dice.percent(60).then_some(negative.min(ttl_secs)),
        });
    }
    let asked = &scene.world.asked;
    let needs_name = asked.iter().any(|one| one.only_where_named);
    if dice.percent(if needs_name { 80 } else { 15 }) {
        scene.world.route_asks = Some(asked[dice.below(asked.len())].issuer.clone());
    }

    let freshness = |chance, dice: &mut Dice| dice.percent(chance).then(|| dice.pick(&FRESHNESS));
    match &mut scene.revocation {
        Some(revocation) if revocation.sources.is_empty() => {
            revocation.route_freshness_secs = freshness(25, dice);
            revocation.default_freshness_secs = freshness(10, dice);
        }
        Some(_) => return,
        None => scene.world.route_freshness_secs = freshness(25, dice),
    }
    if scene.world.classes.is_empty() && dice.percent(30) {
        let issuers = scene.world.issuers.iter().map(|issuer| issuer.id.clone()).collect();
        scene.world.classes.push(NaiveClass { issuers, ..NaiveClass::default() });
    }
    for class in &mut scene.world.classes {
        let wants_nothing = class.max_lifetime_secs.is_none()
            && class.max_age_secs.is_none()
            && class.binding.is_none();
        class.freshness_secs = freshness(if wants_nothing { 100 } else { 40 }, dice);
    }
}

/// What a token looks like.
pub(crate) enum Form {
    Jwt,
    Opaque(String),
}

/// Chooses what the token looks like, and what its issuer says of it: what it says itself, with what was
/// done to it, or as it was before, which is `good`.
pub(crate) fn form(
    draft: &mut Draft,
    good: &Members,
    around: &Surroundings<'_>,
    traits: &mut Vec<&'static str>,
    dice: &mut Dice,
) -> Form {
    let world = &around.scene.world;
    let issuer = &world.issuers[around.signer.issuer];
    let Some(asked) = world.asked.iter().find(|asked| asked.issuer == issuer.id) else {
        return Form::Jwt;
    };
    let has_keys = !issuer.jwks.is_empty();
    let is_opaque = dice.percent(match (has_keys, asked.jwts) {
        (false, false) => 97,
        (false, true) => 50,
        (true, false) => 60,
        (true, true) => 35,
    });
    draft.answer = match dice.percent(if is_opaque { 95 } else { 50 }) {
        true => draft.payload.clone(),
        false => good.clone(),
    };
    let answer = &mut draft.answer;
    answer.0.insert(0, (quoted("active"), "true".to_owned()));
    let names: &[&str] = match draft.scheme {
        "DPoP" => &["DPoP", "DPoP", "dpop"],
        _ => &["Bearer", "Bearer", "bearer", "BEARER"],
    };
    answer.set("token_type", quoted(dice.pick(names)));
    if dice.percent(40) {
        answer.remove("iss");
    }
    let may_lack = |name: &str| asked.may_lack.iter().any(|known| known == name);
    for (name, told) in [
        ("token_type", "an answer without a token type"),
        ("exp", "an answer without exp"),
        ("sub", "an answer without sub"),
    ] {
        if may_lack(name) && dice.percent(50) {
            answer.remove(name);
            traits.push(told);
        }
    }
    if asked.without_audience && dice.percent(50) {
        issuer.profile.audience_claims.iter().for_each(|name| answer.remove(name));
        traits.push("an answer without an audience");
    }
    if dice.percent(10) {
        dice.shuffle(&mut answer.0);
    }
    if is_opaque {
        traits.push("an opaque token");
        return Form::Opaque(opaque(asked, traits, dice));
    }
    if asked.jwts {
        traits.push("a JWT that its issuer is asked about");
        if !has_keys {
            traits.push("a JWT of an issuer without keys");
        }
        match dice.below(6) {
            0 | 1 => answer.remove("cnf"),
            2 => draft.payload.remove("cnf"),
            _ => {}
        }
        // or is something else than what its issuer says
        if dice.percent(25) {
            let (name, value) = dice.pick(&OWN);
            draft.payload.set(name, value);
            if dice.percent(40) {
                draft.answer.remove(name);
            }
        }
        // what a token says itself is not needed
        for name in ["sub", "aud", "exp", "jti", "client_id", "iat"] {
            if dice.percent(8) {
                draft.payload.remove(name);
            }
        }
    }
    Form::Jwt
}

fn opaque(asked: &NaiveAsked, traits: &mut Vec<&'static str>, dice: &mut Dice) -> String {
    let mut token = format!("{:016x}", dice.roll());
    match dice.below(12) {
        0 => token.push_str(dice.pick(&["=", "+/~-._", ".", "..", "/=="])),
        1 => {
            token.insert_str(0, dice.pick(&["a.b.", "e30.e30.", "eyJ.", "ICAg.", "a.b.c.d.", "."]))
        }
        // the start of an object, and no other part
        2 => token.insert_str(0, dice.pick(&["eyJh", "e30"])),
        _ => {}
    }
    if !asked.prefixes.is_empty() && dice.percent(95) {
        traits.push("a token with a prefix");
        token.insert_str(0, &dice.pick(&asked.prefixes));
    }
    token
}

/// Writes the answer down. Of a token that nobody knows it is that it is not active.
pub(crate) fn reply(draft: &mut Draft, dice: &mut Dice) {
    let body = match draft.answer.0.as_slice() {
        [] => INACTIVE.to_vec(),
        _ if dice.percent(5) => draft.answer.to_spaced_json(dice).into_bytes(),
        _ => draft.answer.to_json().into_bytes(),
    };
    let types = ["application/json", "application/json", "Application/JSON;charset=UTF-8"];
    let content_type = Some(dice.pick(&types).to_owned());
    draft.reply = Some(NaiveReply { status: 200, content_type, body });
}

/// Lets the issuer say something else of the token than before, some of the time.
pub(crate) fn again(draft: &mut Draft, around: &Surroundings<'_>, dice: &mut Dice) {
    if draft.answer.0.is_empty() || dice.percent(45) {
        return;
    }
    let now = around.scene.world.now_nanos / NANOS_PER_SECOND;
    match dice.below(10) {
        0 | 1 => draft.answer.set("active", "false"),
        2 | 3 => draft.answer.set("active", "true"),
        4 => {
            draft.answer.set("iat", seconds(now));
            draft.answer.set("exp", seconds(now + 1 + u128::from(dice.pick(&[0_u32, 1, 9, 60]))));
        }
        5 => draft.answer.remove("cnf"),
        6 => draft.answer.remove("token_type"),
        7 => draft.answer.set("sub", dice.pick(&["\"bob@example\"", "5"])),
        8 => return draft.reply = None,
        _ => {
            reply(draft, dice);
            if let Some(reply) = &mut draft.reply {
                reply.status = dice.pick(&[503, 429, 401, 400]);
            }
            return;
        }
    }
    reply(draft, dice);
}

/// The endpoints of all issuers of a server. They answer what they are told to, whoever is asked.
#[derive(Clone, Default)]
pub(crate) struct Endpoints(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    reply: Option<NaiveReply>,
    /// Which issuer was asked about which token.
    questions: Vec<(String, String)>,
}

struct Endpoint {
    issuer: String,
    all: Endpoints,
}

impl Endpoints {
    pub(crate) fn introspection(&self, naive: &NaiveAsked) -> Introspection {
        let endpoint = Endpoint { issuer: naive.issuer.clone(), all: self.clone() };
        let mut introspection =
            Introspection::at(&naive.issuer, "https://login.example/introspect")
                .client(ClientAuth::mtls("rs"))
                .ttl(Duration::from_secs(naive.ttl_secs))
                .transport(endpoint);
        for prefix in &naive.prefixes {
            introspection = introspection.prefix(prefix);
        }
        if naive.only_where_named {
            introspection = introspection.only_where_named();
        }
        if naive.jwts {
            introspection = introspection.jwts();
        }
        for gap in AnswerGap::ALL {
            if naive.may_lack.iter().any(|name| name == gap.as_str()) {
                introspection = introspection.may_lack(*gap);
            }
        }
        if let Some(ttl) = naive.negative_ttl_secs {
            introspection = introspection.negative_ttl(Duration::from_secs(ttl));
        }
        match naive.without_audience {
            true => introspection.dangerous().insecure_without_audience(),
            false => introspection,
        }
    }

    /// What is answered from now on.
    pub(crate) fn answer(&self, reply: Option<NaiveReply>) {
        self.0.lock().unwrap().reply = reply;
    }

    /// Who was asked for this request, once and about its token.
    pub(crate) fn asked(&self, request: &NaiveRequest) -> Option<String> {
        let mut questions = std::mem::take(&mut self.0.lock().unwrap().questions);
        let (issuer, token) = questions.pop()?;
        assert!(questions.is_empty(), "more than one question");
        assert!(request.authorization[0].ends_with(format!(" {token}").as_bytes()));
        Some(issuer)
    }
}

impl Transport for Endpoint {
    fn fetch(&self, request: Request<Bytes>, _: FetchLimits) -> Fetch<'_> {
        assert_eq!(request.method(), Method::POST);
        assert_eq!(request.uri(), "https://login.example/introspect");
        let mut form = form_urlencoded::parse(request.body());
        let token = form.find(|(name, _)| name == "token").unwrap().1.into_owned();
        let mut state = self.all.0.lock().unwrap();
        state.questions.push((self.issuer.clone(), token));
        let reply = state.reply.clone();
        Box::pin(async move {
            let reply = reply.ok_or_else(|| FetchError::new(FetchErrorKind::Connection))?;
            let mut response = Response::new(Bytes::from(reply.body));
            *response.status_mut() = StatusCode::from_u16(reply.status).unwrap();
            if let Some(content_type) = &reply.content_type {
                let value = HeaderValue::from_str(content_type).unwrap();
                response.headers_mut().insert(CONTENT_TYPE, value);
            }
            Ok(response)
        })
    }
}
