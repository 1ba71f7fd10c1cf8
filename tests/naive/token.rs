//! Steps 2 to 5: what a token says, and whether its issuer said it.

use super::json::{
    Json, Members, absent_or, absent_or_text, bare_type, base64url, is_same, member, non_empty,
    non_empty_string, numeric_date, parse_json, require, strict_object, strings, text,
};
use super::keys::usable_keys;
use super::reasons::Why;
use super::world::{NaiveIssuer, NaiveProfile, NaiveTest, World};

const MAX_HEADER_CHARS: usize = 8_192;

/// What a token of a believed issuer says.
pub(super) struct Claims {
    pub(super) iss: String,
    pub(super) sub: String,
    pub(super) kind: &'static str,
    pub(super) client_id: Option<String>,
    pub(super) jti: Option<String>,
    pub(super) audiences: Vec<String>,
    pub(super) scopes: Vec<String>,
    pub(super) iat: Option<u128>,
    pub(super) exp: u128,
    pub(super) nbf: Option<u128>,
    pub(super) auth_time: Option<u128>,
    pub(super) acr: Option<String>,
    pub(super) actor: Option<(String, String)>,
    pub(super) details: Vec<Members>,
    /// What it is tied to, as often as that is said. All of it counts.
    pub(super) cnf: Vec<Json>,
    /// The scheme that it is for, where its issuer says that.
    pub(super) token_type: Option<&'static str>,
    pub(super) session: Option<String>,
    /// The `kid` of the key that signed it, or that it says did, if its issuer has no keys.
    pub(super) key_id: Option<String>,
    /// Claims that records can name: each with one of its values.
    pub(super) named: Vec<(String, String)>,
    /// Whether its issuer was asked, and says so now.
    pub(super) is_answer: bool,
    /// Whether it is for whoever knows of it.
    pub(super) is_unaddressed: bool,
}

/// `nameable`: the claims that records can name, and that are read for it; `None` where nothing is
/// known of revocation.
pub(super) fn verified_claims(jwt: &Jwt<'_>, nameable: Option<&[String]>) -> Result<Claims, Why> {
    // 3 and 4
    let key_id = jwt.signing_key().ok_or("form, key or signature")?;
    // 2, for this issuer
    jwt.takes_type()?;
    // 5
    let profile = &jwt.issuer.profile;
    if let Some(why) = jwt.other_kind() {
        return Err(why);
    }
    let claims = claims_of(&jwt.payload, &jwt.issuer.id, profile, nameable, &StandIns::default());
    let claims = claims.map_err(|wrong| wrong[0].why())?;
    Ok(Claims { key_id, ..claims })
}

/// Something wrong with a claim.
pub(super) enum Wrong {
    Missing(Why),
    Malformed(Why),
}

impl Wrong {
    fn why(&self) -> Why {
        match self {
            Self::Missing(why) | Self::Malformed(why) => why,
        }
    }
}

/// What may be absent because something stands in for it. Of a token that is read here there is none.
#[derive(Default)]
pub(super) struct StandIns {
    /// The client is the subject.
    pub(super) client_as_subject: bool,
    pub(super) exp: Option<u128>,
    /// It is what somebody answers: who can be asked about a token needs no name for it, and an empty
    /// list of audiences is none.
    pub(super) is_answer: bool,
    /// It is for whoever knows of it.
    pub(super) unaddressed: bool,
}

/// What these members say, or everything that is wrong with them.
pub(super) fn claims_of(
    payload: &Members,
    iss: &str,
    profile: &NaiveProfile,
    nameable: Option<&[String]>,
    stand_ins: &StandIns,
) -> Result<Claims, Vec<Wrong>> {
    let mut wrong = Vec::new();
    let may_lack = |name: &str| profile.may_lack.iter().any(|claim| claim == name);
    let mut present = |found: Option<&Json>, missing: Option<Why>, malformed: Why| match found {
        None => {
            wrong.extend(missing.map(Wrong::Missing));
            None
        }
        Some(value) => {
            let text = non_empty(value);
            if text.is_none() {
                wrong.push(Wrong::Malformed(malformed));
            }
            text
        }
    };
    let of_client = first_member(payload, &profile.client_claims);
    let stands_in = stand_ins.client_as_subject && of_client.is_some();
    let sub = present(member(payload, "sub"), (!stands_in).then_some("sub"), "sub");
    let no_client = (!may_lack("client_id")).then_some("no client");
    let client_id = present(of_client, no_client, "client");
    let no_jti = (!may_lack("jti") && !stand_ins.is_answer).then_some("no jti");
    let jti = present(member(payload, "jti"), no_jti, "jti");
    let sub = match member(payload, "sub") {
        None if stands_in => client_id.clone(),
        _ => sub,
    };

    let optional = |wrong: &mut Vec<Wrong>, name: &str, why: Why| {
        let date = absent_or(payload, name, numeric_date);
        if date.is_none() {
            wrong.push(Wrong::Malformed(why));
        }
        date.flatten()
    };
    let iat = optional(&mut wrong, "iat", "iat");
    if member(payload, "iat").is_none() && !may_lack("iat") {
        wrong.push(Wrong::Missing("no iat"));
    }
    let names_none = |name: &&String| {
        let found = member(payload, name);
        stand_ins.is_answer && matches!(found, Some(Json::Array(items)) if items.is_empty())
    };
    let names: Vec<String> =
        profile.audience_claims.iter().filter(|name| !names_none(name)).cloned().collect();
    let of_audience = first_member(payload, &names);
    let audiences = of_audience.map(one_or_several_texts);
    match &audiences {
        None if !stand_ins.unaddressed => wrong.push(Wrong::Missing("no audience")),
        Some(None) => wrong.push(Wrong::Malformed("audience")),
        _ => {}
    }
    let scopes = match first_member(payload, &profile.scope_claims) {
        None => Some(Vec::new()),
        Some(Json::Text(text)) => split_scopes(text),
        Some(Json::Array(items)) if profile.scope_arrays => {
            items.iter().map(one_scope).collect::<Option<Vec<_>>>()
        }
        Some(_) => None,
    };
    if scopes.is_none() {
        wrong.push(Wrong::Malformed("scope"));
    }
    let exp = optional(&mut wrong, "exp", "exp");
    if member(payload, "exp").is_none() && stand_ins.exp.is_none() {
        wrong.push(Wrong::Missing("exp"));
    }
    let nbf = optional(&mut wrong, "nbf", "nbf");
    let auth_time = optional(&mut wrong, "auth_time", "auth_time");
    let acr = absent_or(payload, "acr", non_empty);
    let actor = absent_or(payload, "act", |value| actor(value, iss));
    let details = absent_or(payload, "authorization_details", typed_objects);
    let session = match nameable {
        None => Some(None),
        Some(_) => absent_or(payload, "sid", non_empty),
    };
    for (is_good, why) in [
        (acr.is_some(), "acr"),
        (actor.is_some(), "act"),
        (details.is_some(), "authorization_details"),
        (session.is_some(), "sid"),
    ] {
        if !is_good {
            wrong.push(Wrong::Malformed(why));
        }
    }
    let mut named = Vec::new();
    for name in nameable.into_iter().flatten() {
        match absent_or(payload, name, any_texts) {
            None => wrong.push(Wrong::Malformed("a claim that records can name")),
            Some(values) => {
                named.extend(values.into_iter().flatten().map(|value| (name.clone(), value)));
            }
        }
    }
    let session = session.flatten();
    let names = [sub.as_ref(), jti.as_ref(), client_id.as_ref(), session.as_ref()];
    let values = named.iter().map(|(_, value)| Some(value));
    let is_long = |name: &String| name.len() > 2_048;
    if nameable.is_some() && names.into_iter().chain(values).flatten().any(is_long) {
        // what no record could name could not be revoked
        wrong.push(Wrong::Malformed("a claim that records can name"));
    }
    if !wrong.is_empty() {
        return Err(wrong);
    }

    let sub = sub.unwrap_or_default();
    let by_rule = profile.kinds.iter().find(|(_, test)| holds(test, payload));
    let kind = match (by_rule, &client_id) {
        (Some((kind, _)), _) => ["client", "person", "workload", "unknown"]
            .into_iter()
            .find(|known| known == kind)
            .unwrap_or("no kind"),
        (None, Some(client)) if *client == sub => "client",
        (None, Some(_)) => "person",
        (None, None) => "unknown",
    };
    Ok(Claims {
        iss: iss.to_owned(),
        sub,
        kind,
        client_id,
        jti,
        is_unaddressed: audiences.is_none(),
        audiences: audiences.flatten().unwrap_or_default(),
        scopes: scopes.unwrap_or_default(),
        iat,
        exp: exp.or(stand_ins.exp).unwrap_or_default(),
        nbf,
        auth_time,
        acr: acr.flatten(),
        actor: actor.flatten(),
        details: details.flatten().unwrap_or_default(),
        cnf: Vec::from_iter(member(payload, "cnf").cloned()),
        token_type: None,
        session,
        key_id: None,
        named,
        is_answer: false,
    })
}

/// Why these members are not those of an access token of this type and profile.
pub(super) fn other_kind(
    typ: Option<&str>,
    payload: &Members,
    profile: &NaiveProfile,
) -> Option<Why> {
    if OTHER_CLAIMS.iter().any(|name| member(payload, name).is_some()) {
        return Some("another kind of token by its claims");
    }
    // a token that says it is an access token is one
    if typ != Some("at+jwt") {
        if OTHER_CLAIMS_UNLESS_TYPED.iter().any(|name| member(payload, name).is_some()) {
            return Some("another kind of token by claims that an access token by type may have");
        }
        let like_an_id_token = ID_TOKEN_CLAIMS.iter().any(|name| member(payload, name).is_some());
        if like_an_id_token && !profile.id_tokens {
            return Some("an ID token");
        }
        let called = |name: &str| text(payload, name).unwrap_or_default();
        let (typ, token_use) = (called("typ"), called("token_use"));
        let is_id_token = typ == "ID" || token_use == "id";
        let is_other =
            ["Logout", "Offline", "Refresh"].contains(&typ.as_str()) || token_use == "refresh";
        if is_other || (is_id_token && !profile.id_tokens) {
            return Some("another kind of token as its issuer calls it");
        }
    }
    for (name, wanted) in &profile.required {
        let wanted = wanted.iter().filter_map(|json| parse_json(json.as_bytes()));
        let found = member(payload, name);
        if !wanted.into_iter().any(|wanted| found.is_some_and(|found| is_same(found, &wanted))) {
            return Some("a required claim");
        }
    }
    None
}

/// A JWT of a believed issuer, which may sign with its algorithm. Nothing says yet that it did.
pub(super) struct Jwt<'a> {
    pub(super) issuer: &'a NaiveIssuer,
    pub(super) payload: Members,
    header: Members,
    /// The key that it says it is signed with.
    pub(super) kid: Option<String>,
    alg: String,
    signed: String,
    signature: Vec<u8>,
}

impl<'a> Jwt<'a> {
    /// Step 2, and the issuer of step 3.
    pub(super) fn read(world: &'a World, token: &str) -> Option<Self> {
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

        let iss = non_empty_string(&payload, "iss")?;
        let issuer = world.issuers.iter().find(|issuer| issuer.id == iss)?;
        require(issuer.algorithms.contains(&alg))?;
        let signed = format!("{header_part}.{payload_part}");
        Some(Self { issuer, payload, header, alg, kid, signed, signature })
    }

    /// Steps 3 and 4: the `kid` of the key that signed it; nothing if none of the issuer's did.
    #[allow(clippy::option_option, reason = "a key need not have a name")]
    pub(super) fn signing_key(&self) -> Option<Option<String>> {
        let keys = usable_keys(&self.issuer.jwks)?;
        let mut candidates = Vec::new();
        for key in &keys {
            let kid_fits = self.kid.is_none() || self.kid == key.kid;
            if kid_fits && key.has_algorithm(&self.alg, &self.issuer.algorithms) {
                candidates.push(key);
            }
        }
        let [key] = candidates[..] else { return None };
        require(key.public.verifies(&self.alg, self.signed.as_bytes(), &self.signature))?;
        Some(key.kid.clone())
    }

    fn typ(&self) -> Option<String> {
        text(&self.header, "typ").map(|typ| bare_type(&typ))
    }

    /// Step 2, for this issuer.
    pub(super) fn takes_type(&self) -> Result<(), Why> {
        let (typ, profile) = (self.typ(), &self.issuer.profile);
        if typ.as_ref().is_some_and(|typ| OTHER_TYPES.contains(&typ.as_str())) {
            return Err("another kind of token by name");
        }
        let takes_type = match &typ {
            None => profile.untyped,
            Some(typ) => {
                typ == "at+jwt" || profile.more_types.iter().any(|known| bare_type(known) == *typ)
            }
        };
        if takes_type { Ok(()) } else { Err("type") }
    }

    /// Why it is not an access token of the issuer, by its claims.
    pub(super) fn other_kind(&self) -> Option<Why> {
        other_kind(self.typ().as_deref(), &self.payload, &self.issuer.profile)
    }
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

/// The first of these members that is there, whatever it is.
fn first_member<'a>(members: &'a Members, names: &[String]) -> Option<&'a Json> {
    names.iter().find_map(|name| member(members, name))
}

/// A string, or an array of strings that holds at least one.
pub(super) fn one_or_several_texts(value: &Json) -> Option<Vec<String>> {
    match value {
        Json::Text(one) => Some(vec![one.clone()]),
        Json::Array(items) => strings(items),
        _ => None,
    }
}

/// A string, or an array of strings.
pub(super) fn any_texts(value: &Json) -> Option<Vec<String>> {
    match value {
        Json::Array(items) if items.is_empty() => Some(Vec::new()),
        value => one_or_several_texts(value),
    }
}

/// Issuer and subject of an actor; without `iss` it is one of the token's issuer.
pub(super) fn actor(value: &Json, token_iss: &str) -> Option<(String, String)> {
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
