//! Requests: a good token of a world, and what is done to it on its way to the server.

use std::net::IpAddr;

use portcullis::jose::{Algorithm, base64url};

use super::again;
use super::asked::{self, Form};
use super::dice::Dice;
use super::edits::{self, Edit, Stage};
use super::keys::Pool;
use super::members::{Members, odd_value, quoted};
use super::policies::{self, CLIENTS, KIND_CLAIM};
use super::revocations;
use super::senders::{self, Clients, ProofDraft};
use super::times::seconds;
use super::world::{Scene, Signer};
use crate::naive::{NaiveProfile, NaiveReply, NaiveRequest, World};

/// A request that is being made.
#[derive(Clone)]
pub(crate) struct Draft {
    pub(crate) header: Members,
    pub(crate) payload: Members,
    pub(crate) header_octets: Vec<u8>,
    pub(crate) payload_octets: Vec<u8>,
    /// The place of the signing key in the pool.
    pub(crate) key: usize,
    pub(crate) signature: Vec<u8>,
    pub(crate) token: String,
    pub(crate) scheme: &'static str,
    /// The place of its client's key.
    pub(crate) client: usize,
    pub(crate) method: String,
    pub(crate) target: String,
    pub(crate) original: Option<String>,
    /// What the client calls it.
    pub(crate) uri: String,
    pub(crate) certificate: Option<Vec<u8>>,
    pub(crate) proof: Option<ProofDraft>,
    /// The lines of the `DPoP` field.
    pub(crate) fields: Vec<Vec<u8>>,
    /// The lines of the `Authorization` field.
    pub(crate) lines: Vec<Vec<u8>>,
    /// The members of what is answered about the token.
    pub(crate) answer: Members,
    pub(crate) reply: Option<NaiveReply>,
}

impl Draft {
    pub(crate) fn request(&self, peer: Option<IpAddr>) -> NaiveRequest {
        NaiveRequest {
            method: self.method.clone(),
            target: self.target.clone(),
            original: self.original.clone(),
            authorization: self.lines.clone(),
            dpop: self.fields.clone(),
            certificate: self.certificate.clone(),
            peer,
            reply: self.reply.clone(),
        }
    }
}

/// What an edit may know.
pub(crate) struct Surroundings<'a> {
    pub(crate) pool: &'a Pool,
    pub(crate) clients: &'a Clients,
    pub(crate) scene: &'a Scene,
    pub(crate) signer: &'a Signer,
}

/// A request, how it came to be, and what is special about the token that it began as.
pub(crate) struct Made {
    pub(crate) request: NaiveRequest,
    pub(crate) draft: Draft,
    pub(crate) edits: Vec<&'static str>,
    pub(crate) traits: Vec<&'static str>,
    /// Whether it passed.
    pub(crate) accepted: bool,
}

/// A new request, or one of those before it again.
pub(crate) fn request(
    pool: &Pool,
    clients: &Clients,
    scene: &Scene,
    before: &[Made],
    dice: &mut Dice,
) -> Made {
    let healthy: Vec<&Signer> = scene.signers.iter().filter(|signer| signer.healthy).collect();
    let signer = match dice.percent(85) {
        true => dice.pick(&healthy),
        false => &scene.signers[dice.below(scene.signers.len())],
    };
    let around = Surroundings { pool, clients, scene, signer };
    let repeats = if scene.jumps {
        50
    } else if scene.revokes {
        40
    } else if !scene.world.asked.is_empty() {
        45
    } else if scene.plain {
        35
    } else {
        12
    };
    // What was accepted comes back.
    let repeats = if before.iter().any(|made| made.accepted) { repeats + 20 } else { repeats };
    if !before.is_empty() && dice.percent(repeats) {
        return again::again(before, &around, dice);
    }
    let counts = match scene.revokes {
        true => [0, 0, 0, 0, 0, 0, 0, 1, 1, 2],
        false => [0, 0, 1, 1, 1, 1, 1, 2, 2, 3],
    };
    let edits: Vec<&Edit> = (0..dice.pick(&counts)).map(|_| edits::choose(scene, dice)).collect();
    let mut traits = Vec::new();
    let mut draft = good(&around, &mut traits, dice);
    let apply = |draft: &mut Draft, stage: Stage, dice: &mut Dice| {
        for edit in edits.iter().filter(|edit| edit.stage == stage) {
            (edit.apply)(draft, &around, dice);
        }
    };

    let good = draft.payload.clone();
    apply(&mut draft, Stage::Members, dice);
    let form = asked::form(&mut draft, &good, &around, &mut traits, dice);
    apply(&mut draft, Stage::Answer, dice);
    asked::reply(&mut draft, dice);
    apply(&mut draft, Stage::Reply, dice);
    let spaced = dice.percent(5);
    let text = |members: &Members, dice: &mut Dice| match spaced {
        true => members.to_spaced_json(dice).into_bytes(),
        false => members.to_json().into_bytes(),
    };
    draft.header_octets = text(&draft.header, dice);
    draft.payload_octets = text(&draft.payload, dice);
    apply(&mut draft, Stage::Octets, dice);
    let input = format!(
        "{}.{}",
        base64url::encode(&draft.header_octets),
        base64url::encode(&draft.payload_octets)
    );
    draft.signature = pool.key(draft.key).sign(input.as_bytes());
    apply(&mut draft, Stage::Signature, dice);
    draft.token = match form {
        Form::Jwt => format!("{input}.{}", base64url::encode(&draft.signature)),
        Form::Opaque(token) => token,
    };
    apply(&mut draft, Stage::Token, dice);
    if draft.scheme == "DPoP" || dice.percent(5) {
        draft.proof = Some(senders::proof(&draft, &around, &mut traits, dice));
        apply(&mut draft, Stage::Proof, dice);
        if let Some(proof) = &mut draft.proof {
            sign_proof(proof, &around);
        }
        apply(&mut draft, Stage::ProofSignature, dice);
        if let Some(proof) = &mut draft.proof {
            proof.put_together();
        }
        apply(&mut draft, Stage::ProofText, dice);
        draft.fields.extend(draft.proof.as_ref().map(|proof| proof.text.clone().into_bytes()));
        apply(&mut draft, Stage::Fields, dice);
    }
    draft.lines = vec![format!("{} {}", draft.scheme, draft.token).into_bytes()];
    apply(&mut draft, Stage::Lines, dice);
    apply(&mut draft, Stage::Head, dice);
    let peer = policies::peer(&scene.world, dice);
    Made {
        request: draft.request(peer),
        draft,
        edits: edits.iter().map(|edit| edit.name).collect(),
        traits,
        accepted: false,
    }
}

/// Signs the proof as it is now, and writes it down.
pub(crate) fn sign_proof(proof: &mut ProofDraft, around: &Surroundings<'_>) {
    let input = proof.signing_input();
    proof.signature = around.clients.key(proof.key).sign(input.as_bytes());
    proof.put_together();
}

/// Every trait that a token can have from the beginning.
pub(crate) const TRAITS: [&str; 60] = [
    "wanted clients",
    "wanted subjects",
    "wanted actors",
    "wanted details",
    "a scope too few",
    "another typ",
    "no typ",
    "an ID token's marker",
    "a mark that only an access token by type may have",
    "no client",
    "no jti",
    "no iat",
    "a client from another claim",
    "a client and another claim that is not read",
    "an audience from another claim",
    "another name of the resource",
    "an array of scopes",
    "a scope from another claim",
    "a required claim",
    "rules for kinds",
    "classes",
    "a bound age",
    "a binding with exceptions",
    "exceptions with networks",
    "a step-up",
    "an actor",
    "authorization details",
    "a token with a key",
    "a token with a certificate",
    "a token with both",
    "a member of cnf that nobody knows",
    "a certificate that the token is not bound to",
    "an htu spelled otherwise",
    "a proof with exp or nbf",
    "a nonce",
    "a nonce in its second half",
    "a nonce and a wrong clock",
    "a nonce that nobody looks at",
    "a token for one use",
    "little room to remember uses",
    "another origin than the resource's",
    "again as it was",
    "again with another proof",
    "a server that looks at revocation",
    "something was said of revocation",
    "a source that never spoke",
    "a session",
    "a claim that records can name",
    "an array that records can name",
    "an opaque token",
    "a JWT that its issuer is asked about",
    "a JWT of an issuer without keys",
    "a token with a prefix",
    "an answer without a token type",
    "an answer without exp",
    "an answer without sub",
    "an answer without an audience",
    "an answer of before",
    "asked again",
    "a known token",
];

/// A token that this signer's issuer would give out for this resource.
fn good(around: &Surroundings<'_>, traits: &mut Vec<&'static str>, dice: &mut Dice) -> Draft {
    let world = &around.scene.world;
    let issuer = &world.issuers[around.signer.issuer];
    let profile = &issuer.profile;
    let mut header = Members::new();
    let alg = match around.pool.algorithm(around.signer.key) {
        Algorithm::EdDsa => {
            let mut names = issuer.algorithms.iter().filter(|name| name.starts_with("Ed"));
            let first = names.next().map_or("EdDSA", String::as_str);
            if dice.percent(50) { names.next().map_or(first, String::as_str) } else { first }
        }
        other => other.as_str(),
    };
    header.set("alg", quoted(alg));
    if let Some(typ) = typ(profile, traits, dice) {
        header.set("typ", quoted(&typ));
    }
    if let Some(kid) = &around.signer.kid {
        header.set("kid", quoted(kid));
    }

    let mut payload = Members::new();
    payload.set("iss", quoted(&issuer.id));
    let subjects = ["alice", "alice", "42", "bob@example", "\u{1f600}"];
    let subjects_of_kinds = ["alice", "client-7", "client-7@clients", "system:node", "client-8"];
    let by_kind = !profile.kinds.is_empty() || dice.percent(15);
    payload.set("sub", quoted(dice.pick(if by_kind { &subjects_of_kinds } else { &subjects })));
    if !profile.kinds.is_empty() {
        traits.push("rules for kinds");
        if dice.percent(50) {
            payload.set(KIND_CLAIM, dice.pick(&["\"app\"", "\"user\"", "\"client-7\""]));
        }
    }
    if !profile.may_lack.iter().any(|claim| claim == "jti") || dice.percent(50) {
        payload.set("jti", quoted(&format!("{:016x}", dice.roll())));
    } else {
        traits.push("no jti");
    }
    add_client(&mut payload, profile, traits, dice);
    add_audience(&mut payload, profile, world, traits, dice);
    add_times(&mut payload, profile, world, traits, dice);
    add_scope(&mut payload, profile, world, traits, dice);
    for (name, values) in &profile.required {
        traits.push("a required claim");
        payload.set(name, dice.pick(values));
    }
    let has_other_type =
        header.value("typ").is_none_or(|typ| !typ.to_lowercase().contains("at+jwt"));
    if dice.percent(if profile.id_tokens { 40 } else { 5 })
        && (profile.id_tokens || !has_other_type)
    {
        traits.push("an ID token's marker");
        payload.set(dice.pick(&["nonce", "at_hash", "c_hash", "s_hash"]), "\"x\"");
    }
    if dice.percent(5) && !has_other_type {
        let (name, value) = dice.pick(&[
            ("req_wl", "\"app\""),
            ("toe", "1"),
            ("_sd_alg", "null"),
            ("vct", "\"x\""),
            ("typ", "\"ID\""),
            ("token_use", "\"refresh\""),
        ]);
        if profile.required.iter().all(|(required, _)| required != name) {
            traits.push("a mark that only an access token by type may have");
            payload.set(name, value);
        }
    }
    if dice.percent(20) {
        let (name, value) = dice.pick(&[
            ("act", "{\"sub\":\"gateway\"}"),
            ("act", "{\"sub\":\"gateway\",\"iss\":\"x\",\"act\":{\"sub\":\"y\"}}"),
            ("authorization_details", "[{\"type\":\"x\",\"actions\":[\"read\"]}]"),
            ("authorization_details", "[]"),
            ("auth_time", "1"),
            ("acr", "\"phr\""),
            ("groups", "[\"admin\"]"),
            ("Exp", "1"),
            ("cnf ", "{}"),
            ("big", "123456789012345678901234567890.5e-300"),
        ]);
        payload.set(name, value);
        match name {
            "act" => traits.push("an actor"),
            "authorization_details" => traits.push("authorization details"),
            _ => {}
        }
    }
    if let Some(wanted) = &world.step_up {
        traits.push("a step-up");
        if !wanted.acr_values.is_empty() && dice.percent(85) {
            payload.set("acr", quoted(&dice.pick(&wanted.acr_values)));
        }
        if dice.percent(85) {
            let age = u128::from(dice.pick(&[0, 0, 1, wanted.max_age_secs.unwrap_or(1_000)]));
            payload.set(
                "auth_time",
                seconds((world.now_nanos / 1_000_000_000 + 1).saturating_sub(age)),
            );
        }
    }
    if world.clients.is_some() {
        traits.push("wanted clients");
    }
    if world.subjects.is_some() {
        traits.push("wanted subjects");
    }
    if world.actor.is_some() {
        traits.push("wanted actors");
        let other = quoted(&issuer.id);
        let issued = format!("{{\"iss\":{other},\"sub\":\"gateway\"}}");
        let foreign = "{\"sub\":\"gateway\",\"iss\":\"https://other.example\"}".to_owned();
        let inside = "{\"sub\":\"x\",\"act\":{\"sub\":\"gateway\"}}".to_owned();
        let plain = "{\"sub\":\"gateway\"}".to_owned();
        if dice.percent(70) {
            payload.set("act", dice.pick(&[plain.clone(), plain, issued, foreign, inside]));
        }
    }
    if world.detail.is_some() {
        traits.push("wanted details");
        if dice.percent(90) {
            payload.set("authorization_details", policies::details(world, dice));
        }
    }
    if !world.classes.is_empty() {
        traits.push("classes");
    }
    revocations::add_claims(&mut payload, around.scene.revocation.as_ref(), traits, dice);
    if world.single_use {
        traits.push("a token for one use");
    }
    if world.replay_room.is_some() && (world.single_use || world.dpop.is_some()) {
        traits.push("little room to remember uses");
    }
    if world.dpop.as_ref().is_some_and(|dpop| !dpop.origins.is_empty()) {
        traits.push("another origin than the resource's");
    }
    if world.binding != "where_bound" && !world.exceptions.is_empty() {
        traits.push("a binding with exceptions");
        if world.exceptions.iter().all(|exception| !exception.networks.is_empty()) {
            traits.push("exceptions with networks");
        }
    }
    let mut draft = Draft {
        header,
        payload,
        header_octets: Vec::new(),
        payload_octets: Vec::new(),
        key: around.signer.key,
        signature: Vec::new(),
        token: String::new(),
        scheme: "Bearer",
        client: 0,
        method: String::new(),
        target: String::new(),
        original: None,
        uri: String::new(),
        certificate: None,
        proof: None,
        fields: Vec::new(),
        lines: Vec::new(),
        answer: Members::new(),
        reply: None,
    };
    senders::bind(&mut draft, around, traits, dice);
    if dice.percent(10) {
        dice.shuffle(&mut draft.header.0);
        dice.shuffle(&mut draft.payload.0);
    }
    draft
}

fn typ(profile: &NaiveProfile, traits: &mut Vec<&'static str>, dice: &mut Dice) -> Option<String> {
    if profile.untyped && dice.percent(40) {
        traits.push("no typ");
        return None;
    }
    if !profile.more_types.is_empty() && dice.percent(60) {
        traits.push("another typ");
        let typ = dice.pick(&profile.more_types);
        let has_prefix = typ.to_ascii_lowercase().starts_with("application/");
        return Some(match dice.below(4) {
            0 => typ.to_ascii_lowercase(),
            1 => typ.to_ascii_uppercase(),
            2 if !has_prefix => format!("application/{typ}"),
            2 => typ["application/".len()..].to_owned(),
            _ => typ,
        });
    }
    Some(dice.pick(&["at+jwt", "at+jwt", "at+JWT", "application/at+jwt"]).to_owned())
}

/// Puts a value where the profile looks first, or second where the first is absent; what stands
/// behind it is not read, whatever it is.
fn put(
    payload: &mut Members,
    claims: &[String],
    value: String,
    traits: &mut Vec<&'static str>,
    names: [&'static str; 2],
    dice: &mut Dice,
) {
    let place = dice.below(claims.len());
    payload.set(&claims[place], value);
    if place > 0 || claims.len() > 1 {
        traits.push(names[0]);
    }
    for behind in &claims[place + 1..] {
        if dice.percent(40) {
            payload.set(behind, odd_value(dice));
            traits.push(names[1]);
        }
    }
}

fn add_client(
    payload: &mut Members,
    profile: &NaiveProfile,
    traits: &mut Vec<&'static str>,
    dice: &mut Dice,
) {
    // where the subject is the client there is nothing to add
    if profile.client_claims == ["sub"] {
        return traits.push("a client from another claim");
    }
    if profile.may_lack.iter().any(|claim| claim == "client_id") && dice.percent(40) {
        return traits.push("no client");
    }
    let client = quoted(dice.pick(&[CLIENTS[0], CLIENTS[0], CLIENTS[0], CLIENTS[1]]));
    let names = ["a client from another claim", "a client and another claim that is not read"];
    put(payload, &profile.client_claims, client, traits, names, dice);
}

fn add_audience(
    payload: &mut Members,
    profile: &NaiveProfile,
    world: &World,
    traits: &mut Vec<&'static str>,
    dice: &mut Dice,
) {
    let name = match world.other_names.as_slice() {
        [] => &world.resource,
        names if dice.percent(40) => {
            traits.push("another name of the resource");
            &names[dice.below(names.len())]
        }
        _ => &world.resource,
    };
    let audience = match dice.percent(20) {
        true => format!("[\"x\",{}]", quoted(name)),
        false => quoted(name),
    };
    if profile.audience_claims == ["aud"] {
        return payload.set("aud", audience);
    }
    let names = ["an audience from another claim"; 2];
    put(payload, &profile.audience_claims, audience, traits, names, dice);
}

/// Good for now, and no longer than the classes allow, where the time of day permits it.
fn add_times(
    payload: &mut Members,
    profile: &NaiveProfile,
    world: &World,
    traits: &mut Vec<&'static str>,
    dice: &mut Dice,
) {
    let lifetimes = policies::lifetimes(world);
    let lifetime = match dice.percent(75) {
        true => lifetimes.iter().copied().min().unwrap(),
        false => dice.pick(&lifetimes),
    };
    let mut ages = lifetime.min(1_000);
    if let Some(most) = policies::ages(world).into_iter().min() {
        traits.push("a bound age");
        if dice.percent(80) {
            ages = ages.min(most);
        }
    }
    let age = u128::try_from(dice.below(usize::try_from(ages).unwrap())).unwrap();
    let iat = (world.now_nanos / 1_000_000_000).saturating_sub(age);
    if profile.may_lack.iter().any(|claim| claim == "iat") && dice.percent(40) {
        traits.push("no iat");
    } else {
        payload.set("iat", seconds(iat));
    }
    payload.set("exp", seconds(iat + u128::from(lifetime)));
    if dice.percent(20) {
        payload.set("nbf", seconds(iat));
    }
}

fn add_scope(
    payload: &mut Members,
    profile: &NaiveProfile,
    world: &World,
    traits: &mut Vec<&'static str>,
    dice: &mut Dice,
) {
    if world.needed_scopes.is_empty() && dice.percent(80) {
        return;
    }
    let mut granted = world.needed_scopes.clone();
    if !granted.is_empty() && dice.percent(12) {
        traits.push("a scope too few");
        granted.remove(dice.below(granted.len()));
    }
    let value = if profile.scope_arrays && dice.percent(60) {
        traits.push("an array of scopes");
        let mut scopes: Vec<String> = granted.iter().map(|scope| quoted(scope)).collect();
        scopes.extend(dice.percent(40).then(|| "\"other\"".to_owned()));
        format!("[{}]", scopes.join(","))
    } else {
        quoted(&format!("{}{}", granted.join(" "), dice.pick(&["", " other", " "])))
    };
    if profile.scope_claims == ["scope"] {
        return payload.set("scope", value);
    }
    let names = ["a scope from another claim"; 2];
    put(payload, &profile.scope_claims, value, traits, names, dice);
    if profile.scope_claims == ["scp"] {
        traits.push("a scope from another claim");
    }
}
