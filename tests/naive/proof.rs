//! One DPoP proof (RFC 9449, 4.3). Its faults are looked for in the order in which the crate says
//! that it does; several of one place are all named, and nobody has to say which came first.

use rsa::sha2::{Digest, Sha256};
use rsa::traits::PublicKeyParts;

use super::NaiveRequest;
use super::json::{
    Json, Members, NANOS_PER_SECOND, absent_or, absent_or_text, bare_type, base64url, member,
    non_empty, numeric_date, require, strict_object, text,
};
use super::keys::{PublicKey, usable_key};
use super::memory::Memory;
use super::reasons::Why;
use super::uri;
use super::world::{NaiveDpop, NaiveNonces, World};

const MAX_PROOF_OCTETS: usize = 8_192;
const MOST_SECONDS_AHEAD: u64 = 60;
/// How far ahead the clock of another server may be that makes the same nonces.
const NONCE_SECONDS_AHEAD: u128 = 10;

/// A proof of somebody.
pub(super) struct GoodProof {
    /// The thumbprint of its key (RFC 7638).
    pub(super) key: String,
    pub(super) jti: String,
    /// In normal form.
    pub(super) htu: String,
    /// From then on nobody takes it.
    pub(super) until: u128,
    /// Whether its sender is to be given another nonce.
    pub(super) wants_nonce: bool,
}

/// The claims that a proof has to have.
struct ProofClaims {
    jti: String,
    htm: String,
    htu: String,
    ath: String,
    iat: u128,
    exp: Option<u128>,
    nbf: Option<u128>,
}

/// Reads the proof of a request with this token.
pub(super) fn read(
    world: &World,
    dpop: &NaiveDpop,
    memory: &Memory,
    request: &NaiveRequest,
    token: &str,
) -> Result<GoodProof, Vec<Why>> {
    let one = |why| vec![why];
    // 1
    let proof = the_only_field(&request.dpop).map_err(one)?;
    // 2
    let (header, payload, signature) = signed_parts(proof).ok_or(one("no proof by form"))?;
    let alg = text(&header, "alg").unwrap_or_default();
    let mut faults = faults_of_header(dpop, &header);
    let payload = strict_object(&payload).unwrap_or_else(|| {
        faults.push("no proof by form");
        Members::new()
    });
    if !faults.is_empty() {
        return Err(faults);
    }
    // 3
    let claims = claims_of(&payload).ok_or(one("a claim of the proof"))?;
    let htu = uri::normal(&claims.htu).ok_or(one("a claim of the proof"))?;
    // 4
    if claims.htm != request.method {
        return Err(one("another method"));
    }
    // 5
    if !uri::of_request(world, dpop, request).contains(&htu) {
        return Err(one("another URI"));
    }
    // 6
    let nonce_until = match &dpop.nonces {
        None => None,
        Some(nonces) => nonce_end(world, nonces, memory, &payload).map_err(one)?,
    };
    // 7
    let until = end_of(world, dpop, &claims, nonce_until).ok_or(one("a proof of another time"))?;
    // 8
    let (key, thumbprint) = key_of(&header, &alg).ok_or(one("an unusable key of a proof"))?;
    // 9
    let signed = &proof[..proof.rfind('.').unwrap_or(0)];
    if !key.verifies(&alg, signed.as_bytes(), &signature) {
        return Err(one("a signature of another key"));
    }
    // 10
    if base64url(&claims.ath) != Some(Sha256::digest(token).to_vec()) {
        return Err(one("a proof for another token"));
    }
    let is_young = |nonces: &NaiveNonces, until: u128| {
        let lifetime = u128::from(nonces.lifetime_secs) * NANOS_PER_SECOND;
        // less than half of its life is over
        until.saturating_sub(world.now_nanos) * 2 > lifetime
    };
    let wants_nonce = match (&dpop.nonces, nonce_until) {
        (None, _) => false,
        (Some(_), None) => true,
        (Some(nonces), Some(until)) => !is_young(nonces, until),
    };
    Ok(GoodProof { key: thumbprint, jti: claims.jti, htu, until, wants_nonce })
}

// ---- 1: the field

fn the_only_field(lines: &[Vec<u8>]) -> Result<&str, Why> {
    let line = match lines {
        [] => return Err("no proof"),
        [line] => line,
        _ => return Err("two proofs"),
    };
    if line.len() > MAX_PROOF_OCTETS {
        return Err("no proof by form");
    }
    if line.contains(&b',') {
        return Err("two proofs");
    }
    let is_legal = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    match std::str::from_utf8(line) {
        Ok(text) if !text.is_empty() && text.chars().all(is_legal) => Ok(text),
        _ => Err("no proof by form"),
    }
}

// ---- 2: form and header

/// The header, the octets of the payload, and the signature.
fn signed_parts(proof: &str) -> Option<(Members, Vec<u8>, Vec<u8>)> {
    let parts: Vec<&str> = proof.split('.').collect();
    let [header, payload, signature] = parts[..] else {
        return None;
    };
    require(!payload.is_empty() && !signature.is_empty())?;
    Some((strict_object(&base64url(header)?)?, base64url(payload)?, base64url(signature)?))
}

fn faults_of_header(dpop: &NaiveDpop, header: &Members) -> Vec<Why> {
    let mut faults = Vec::new();
    let forbidden = ["crit", "b64", "zip", "enc", "cty"];
    if forbidden.iter().any(|name| member(header, name).is_some()) || !absent_or_text(header, "kid")
    {
        faults.push("no proof by form");
    }
    if text(header, "typ").is_none_or(|typ| bare_type(&typ) != "dpop+jwt") {
        faults.push("no proof by type");
    }
    if text(header, "alg").is_none_or(|alg| !dpop.algorithms.contains(&alg)) {
        faults.push("an algorithm that proofs may not have");
    }
    faults
}

// ---- 3: claims

fn claims_of(payload: &Members) -> Option<ProofClaims> {
    let wanted = |name| member(payload, name).and_then(non_empty);
    Some(ProofClaims {
        jti: wanted("jti")?,
        htm: wanted("htm")?,
        htu: wanted("htu")?,
        ath: wanted("ath")?,
        iat: member(payload, "iat").and_then(numeric_date)?,
        exp: absent_or(payload, "exp", numeric_date)?,
        nbf: absent_or(payload, "nbf", numeric_date)?,
    })
}

// ---- 6: the nonce

/// When the nonce of the proof ends, if it has one.
fn nonce_end(
    world: &World,
    nonces: &NaiveNonces,
    memory: &Memory,
    payload: &Members,
) -> Result<Option<u128>, Why> {
    let nonce = absent_or(payload, "nonce", non_empty).ok_or("a claim of the proof")?;
    let Some(nonce) = nonce else {
        let wanted = nonces.required || world.route_nonce;
        return if wanted { Err("no nonce") } else { Ok(None) };
    };
    // nobody but the server can tell what a nonce is; it is known when it was made
    let made = memory.nonces.get(&nonce).ok_or("another nonce")?;
    let until = made + u128::from(nonces.lifetime_secs) * NANOS_PER_SECOND;
    let too_soon = *made > world.now_nanos + NONCE_SECONDS_AHEAD * NANOS_PER_SECOND;
    if world.now_nanos >= until || too_soon {
        return Err("another nonce");
    }
    Ok(Some(until))
}

// ---- 7: the time

/// Until when the proof is good; it is good now.
fn end_of(
    world: &World,
    dpop: &NaiveDpop,
    claims: &ProofClaims,
    nonce_until: Option<u128>,
) -> Option<u128> {
    let now = world.now_nanos;
    let leeway = u128::from(world.leeway_secs.min(MOST_SECONDS_AHEAD)) * NANOS_PER_SECOND;
    let last = claims.iat + u128::from(dpop.max_age_secs) * NANOS_PER_SECOND;
    let is_in_window = claims.iat <= now + leeway && now <= last;
    require(is_in_window || nonce_until.is_some())?;
    require(claims.exp.is_none_or(|exp| now < exp + leeway))?;
    require(claims.nbf.is_none_or(|nbf| nbf <= now + leeway))?;
    // a proof that its nonce keeps alive may be good by its age too, now or before the nonce ends
    let may_be_in_window = nonce_until.is_none_or(|end| claims.iat <= end + leeway);
    let by_age = if may_be_in_window { last + 1 } else { 0 };
    let until = by_age.max(nonce_until.unwrap_or(0));
    Some(claims.exp.map_or(until, |exp| until.min(exp + leeway)))
}

// ---- 8: the key

fn key_of(header: &Members, alg: &str) -> Option<(PublicKey, String)> {
    let jwk = member(header, "jwk")?;
    let key = usable_key(jwk)?;
    let is_ed25519 = |alg: &str| alg == "EdDSA" || alg == "Ed25519";
    let own = key.alg.as_deref().unwrap_or(alg);
    require(key.public.fits(alg))?;
    require(own == alg || (is_ed25519(own) && is_ed25519(alg)))?;
    match &key.public {
        PublicKey::Rsa(key) => require(key.n().bits() <= 4_096)?,
        // under a point of small order one signature is good for many messages
        PublicKey::Ed25519(octets) => {
            let point = ed25519_dalek::VerifyingKey::from_bytes(octets);
            require(!point.is_ok_and(|point| point.is_weak()))?;
        }
        _ => {}
    }
    let Json::Object(members) = jwk else {
        return None;
    };
    let thumbprint = thumbprint(members)?;
    Some((key.public, thumbprint))
}

/// RFC 7638: the required members, by name, without anything between them.
fn thumbprint(jwk: &Members) -> Option<String> {
    let names: &[&str] = match text(jwk, "kty")?.as_str() {
        "RSA" => &["e", "kty", "n"],
        "EC" => &["crv", "kty", "x", "y"],
        _ => &["crv", "kty", "x"],
    };
    let mut members = Vec::new();
    for name in names {
        members.push(format!("\"{name}\":\"{}\"", text(jwk, name)?));
    }
    let digest = Sha256::digest(format!("{{{}}}", members.join(",")));
    Some(to_base64url(&digest))
}

/// Base64url without padding.
pub(super) fn to_base64url(octets: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let mut bits: Vec<bool> = Vec::new();
    for octet in octets {
        bits.extend((0..8).rev().map(|at| (octet >> at) & 1 == 1));
    }
    while !bits.len().is_multiple_of(6) {
        bits.push(false);
    }
    let six = |bits: &[bool]| bits.iter().fold(0, |six, bit| six * 2 + usize::from(*bit));
    bits.chunks(6).map(|bits| char::from(ALPHABET[six(bits)])).collect()
}
