//! Steps 2 to 5: what a token says, and whether its issuer said it.

use super::json::{
    Json, Members, absent_or, absent_or_text, bare_type, base64url, is_same, member, non_empty,
    non_empty_string, numeric_date, parse_json, require, strict_object, strings, text,
};
use super::keys::usable_keys;
use super::reasons::Why;
use super::world::{NaiveTest, World};

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
    pub(super) cnf: Option<Json>,
    pub(super) session: Option<String>,
    /// The `kid` of the key that signed it.
    pub(super) key_id: Option<String>,
    /// Claims that records can name: each with one of its values.
    pub(super) named: Vec<(String, String)>,
}

/// `nameable`: the claims that records can name, and that are read for it; `None` where nothing is
/// known of revocation.
pub(super) fn verified_claims(
    world: &World,
    nameable: Option<&[String]>,
    token: &str,
) -> Result<Claims, Why> {
    let signed = signed_objects(world, token).ok_or("form, key or signature")?;
    let Signed { header, payload, key_id } = signed;
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
        Some(value) => one_or_several_texts(value).ok_or("audience")?,
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
    let session = match nameable {
        None => None,
        Some(_) => absent_or(&payload, "sid", non_empty).ok_or("sid")?,
    };
    let mut named = Vec::new();
    for name in nameable.into_iter().flatten() {
        let values = absent_or(&payload, name, any_texts);
        let values = values.ok_or("a claim that records can name")?;
        named.extend(values.into_iter().flatten().map(|value| (name.clone(), value)));
    }
    let names = [Some(&sub), jti.as_ref(), client_id.as_ref(), session.as_ref()];
    let values = named.iter().map(|(_, value)| Some(value));
    let is_long = |name: &String| name.len() > 2_048;
    if nameable.is_some() && names.into_iter().chain(values).flatten().any(is_long) {
        // what no record could name could not be revoked
        return Err("a claim that records can name");
    }
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
    let cnf = member(&payload, "cnf").cloned();
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
        cnf,
        session,
        key_id,
        named,
    })
}

/// What a key of the issuer signed.
struct Signed {
    header: Members,
    payload: Members,
    key_id: Option<String>,
}

/// Steps 2 to 4: header and payload, if a key of the issuer signed them.
fn signed_objects(world: &World, token: &str) -> Option<Signed> {
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
    Some(Signed { header, payload, key_id: key.kid.clone() })
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
fn one_or_several_texts(value: &Json) -> Option<Vec<String>> {
    match value {
        Json::Text(one) => Some(vec![one.clone()]),
        Json::Array(items) => strings(items),
        _ => None,
    }
}

/// A string, or an array of strings.
fn any_texts(value: &Json) -> Option<Vec<String>> {
    match value {
        Json::Array(items) if items.is_empty() => Some(Vec::new()),
        value => one_or_several_texts(value),
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
