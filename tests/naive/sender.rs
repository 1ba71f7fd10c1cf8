//! Step 7: what ties the token to a sender is proven, and the token is tied as it has to be.

use std::net::IpAddr;

use rsa::sha2::{Digest, Sha256};

use super::json::{Json, absent_or, base64url};
use super::memory::Memory;
use super::policy;
use super::proof::{self, GoodProof, to_base64url};
use super::reasons::Refused;
use super::token::Claims;
use super::world::World;
use super::{NaiveRequest, Presented};

/// What a token is tied to: the thumbprints of a key and of a certificate.
#[derive(Default, PartialEq)]
struct Tied {
    key: Option<String>,
    certificate: Option<String>,
}

/// Who sent a request, as far as that is known.
#[derive(Default)]
pub(super) struct Sender {
    pub(super) binding: &'static str,
    pub(super) proof: Option<GoodProof>,
    /// The thumbprint of the certificate that came along, whether the token is tied to it or not.
    pub(super) certificate: Option<String>,
}

/// Who sent this token, or why nobody can tell.
pub(super) fn prove(
    world: &World,
    memory: &Memory,
    claims: &Claims,
    presented: &Presented,
    request: &NaiveRequest,
) -> Result<Sender, Refused> {
    let refuse = |why| Err(Refused::new(why));
    let Some(tied) = tied_to_all(&claims.cnf) else {
        return refuse("a sender that nobody proves");
    };
    // what the issuer calls it, where it does, is what it is
    let is_called_wrong = match claims.token_type {
        None => false,
        Some("DPoP") => tied.key.is_none(),
        Some(_) => tied.key.is_some(),
    };
    if is_called_wrong {
        return refuse("a sender that nobody proves");
    }
    // whatever the token is tied to has to be provable
    if (tied.key.is_some() && world.dpop.is_none()) || (tied.certificate.is_some() && !world.mtls) {
        return refuse("a sender that nobody proves");
    }
    // a key is proven under the scheme DPoP, and nothing else is
    match (presented.scheme, &tied.key) {
        ("Bearer", Some(_)) => return refuse("a token with a key as a bearer token"),
        ("DPoP", None) => return refuse("a token without a key under DPoP"),
        _ => {}
    }
    for wanted in wanted_bindings(world, claims, request.peer) {
        let is_met = match wanted {
            "where_bound" => true,
            "either" => tied.key.is_some() || tied.certificate.is_some(),
            "dpop" => tied.key.is_some(),
            "mtls" => tied.certificate.is_some(),
            _ => tied.key.is_some() && tied.certificate.is_some(),
        };
        if !is_met {
            return refuse("not bound");
        }
    }

    let shown = request.certificate.as_ref().filter(|_| world.mtls);
    let shown = shown.map(|der| to_base64url(&Sha256::digest(der)));
    match (&tied.certificate, &shown) {
        (Some(_), None) => return refuse("no certificate"),
        (Some(wanted), Some(found)) if wanted != found => return refuse("another certificate"),
        _ => {}
    }
    let binding = match (&tied.key, &tied.certificate) {
        (None, None) => "bearer",
        (Some(_), None) => "dpop",
        (None, Some(_)) => "mtls",
        (Some(_), Some(_)) => "dpop_and_mtls",
    };
    let proof = match (&world.dpop, &tied.key) {
        (Some(dpop), Some(key)) => {
            let proof = proof::read(world, dpop, memory, request, &presented.token);
            let proof = proof.map_err(Refused::one_of)?;
            if proof.key != *key {
                return refuse("a proof of another key");
            }
            Some(proof)
        }
        _ => None,
    };
    Ok(Sender { binding, proof, certificate: shown })
}

/// Whether what came with a token could prove the sender of some token that is bound as server and route
/// want it. Nothing of it is looked at. For whom the server makes an exception nobody knows yet.
pub(super) fn could_be_proven(
    world: &World,
    presented: &Presented,
    request: &NaiveRequest,
) -> Result<(), Refused> {
    let by_key = presented.scheme == "DPoP";
    let by_certificate = world.mtls && request.certificate.is_some();
    let mut whys = Vec::new();
    if by_key && request.dpop.is_empty() {
        whys.push("no proof");
    }
    let of_server = world.exceptions.is_empty().then_some(&world.binding);
    for wanted in of_server.into_iter().chain(&world.route_binding) {
        let wanted = wanted.as_str();
        if matches!(wanted, "dpop" | "both") && !by_key
            || wanted == "either" && !by_key && !by_certificate
        {
            whys.push("not bound");
        }
        if matches!(wanted, "mtls" | "both") && !by_certificate {
            whys.push("no certificate");
        }
    }
    if whys.is_empty() { Ok(()) } else { Err(Refused::one_of(whys)) }
}

/// `None`: one of these has no meaning here, or one means something else than another.
fn tied_to_all(all: &[Json]) -> Option<Tied> {
    let mut tied = all.iter().map(tied_to).collect::<Option<Vec<_>>>()?;
    let is_same = tied.windows(2).all(|pair| pair[0] == pair[1]);
    is_same.then(|| tied.pop().unwrap_or_default())
}

/// `None`: nothing or not everything of it has a meaning here.
fn tied_to(cnf: &Json) -> Option<Tied> {
    let Json::Object(members) = cnf else {
        return None;
    };
    let key = absent_or(members, "jkt", sha256)?;
    let certificate = absent_or(members, "x5t#S256", sha256)?;
    let is_tied = key.is_some() || certificate.is_some();
    is_tied.then_some(Tied { key, certificate })
}

/// The text of a SHA-256 in base64url.
fn sha256(value: &Json) -> Option<String> {
    let Json::Text(text) = value else {
        return None;
    };
    (base64url(text)?.len() == 32).then(|| text.clone())
}

/// Everything that somebody wants: the server, unless an exception lets the token do without; the
/// classes of the token; the route.
fn wanted_bindings<'a>(world: &'a World, claims: &Claims, peer: Option<IpAddr>) -> Vec<&'a str> {
    let mut wanted = policy::bindings_of_classes(world, claims);
    let is_free = claims.cnf.is_empty() && policy::is_excepted(world, claims, peer);
    if !is_free {
        wanted.push(&world.binding);
    }
    wanted.extend(world.route_binding.as_deref());
    wanted
}
