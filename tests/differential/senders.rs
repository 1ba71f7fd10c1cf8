//! Senders: how servers prove them, what tokens are bound to, and good proofs.

use portcullis::certificate::Certificate;
use portcullis::jose::{Algorithm, PublicKey, base64url};
use portcullis::testing::TestKey;
use rsa::sha2::{Digest as _, Sha256};

use super::dice::Dice;
use super::keys::{self, material};
use super::members::{Members, odd_value, quoted, quoted_oddly};
use super::request::{Draft, Surroundings};
use super::times::{self, seconds};
use crate::naive::{NaiveDpop, NaiveNonces, NaiveOrigin, World};

const NANOS_PER_SECOND: u128 = 1_000_000_000;
/// The secrets of nonces: that of a server, and of another one.
pub(crate) const NONCE_KEYS: [&str; 2] =
    ["the first secret, of 32 octets or more", "another secret, of 32 octets or more"];
const DEFAULT_ALGORITHMS: [&str; 3] = ["ES256", "EdDSA", "Ed25519"];
const ALGORITHMS: [&str; 6] = ["ES256", "EdDSA", "Ed25519", "ES384", "PS256", "RS256"];
const ORIGINS: [(&str, &str, &str); 6] = [
    ("https://api.example", "", ""),
    ("HTTPS://Api.Example:443", "", ""),
    ("https://api.example:8443", "/v1", ""),
    ("https://api.example", "", "/internal"),
    ("http://mesh.internal:80", "/v1/x", "/internal"),
    ("https://[2001:DB8::1]:8443", "", ""),
];
/// What clients ask for, behind whatever proxies remove and add.
const PATHS: [&str; 20] = [
    "/notes",
    "/notes",
    "/notes",
    "/",
    "",
    "/notes?x=1&y=/../",
    "/a/b",
    "/a%2Fb",
    "/a%2fb",
    "/a//b",
    "/A",
    "/a/",
    "/~u",
    "/%7Eu",
    "/%7eu/%e2%82%ac",
    "/a/./b/../c",
    "/../../a/..",
    "/a;v=1/b,c@d:e",
    "/{x}|\"",
    "/...",
];
const METHODS: [&str; 7] = ["GET", "GET", "GET", "POST", "HEAD", "get", "M-SEARCH"];
/// Names of proofs that clients use again and again.
const JTIS: [&str; 4] = ["one", "two", "One", "\u{1f600}"];

/// Adds to a world whose issuers are known how it proves senders, and what it remembers of them.
pub(crate) fn add(world: &mut World, dice: &mut Dice) {
    world.mtls = dice.percent(45);
    if dice.percent(70) {
        let nonces = dice.percent(45).then(|| NaiveNonces {
            required: dice.percent(50),
            lifetime_secs: dice.pick(&[10, 60, 300, 3_600]),
            key: NONCE_KEYS[0].to_owned(),
        });
        world.route_nonce = nonces.is_some() && dice.percent(25);
        let mut algorithms = match dice.below(4) {
            0 => ALGORITHMS.to_vec(),
            1 => vec![dice.pick(&["ES256", "EdDSA", "Ed25519", "PS256", "RS256"])],
            _ => DEFAULT_ALGORITHMS.to_vec(),
        };
        if dice.percent(30) {
            dice.shuffle(&mut algorithms);
        }
        let mut origins = Vec::new();
        if dice.percent(35) {
            for _ in 0..dice.pick(&[1, 1, 2, 3]) {
                let (origin, removes, adds) = dice.pick(&ORIGINS);
                origins.push(NaiveOrigin {
                    origin: origin.to_owned(),
                    proxy_removes: removes.to_owned(),
                    proxy_adds: adds.to_owned(),
                });
            }
        }
        world.dpop = Some(NaiveDpop {
            algorithms: algorithms.iter().map(ToString::to_string).collect(),
            max_age_secs: dice.pick(&[1, 60, 60, 60, 300]),
            nonces,
            origins,
        });
    }
    world.single_use = dice.percent(20);
    if dice.percent(20) {
        let room = dice.pick(&[1, 2, 3, 5]);
        world.replay_room = Some((room, dice.pick(&[1, 2, room]).min(room)));
    }
}

/// The keys of clients and their thumbprints, made once.
pub(crate) struct Clients {
    keys: Vec<(TestKey, String)>,
    /// Places in `keys`, as often as they are to be chosen: P-384 is slow to verify.
    weighted: Vec<usize>,
}

impl Clients {
    pub(crate) fn new() -> Self {
        let (mut keys, mut weighted) = (Vec::new(), Vec::new());
        for (algorithm, count, weight) in [
            (Algorithm::Es256, 3, 8),
            (Algorithm::EdDsa, 3, 8),
            (Algorithm::Es384, 2, 1),
            (Algorithm::Ps256, 1, 3),
            (Algorithm::Rs256, 1, 3),
            // which no proof may have
            (Algorithm::Es512, 1, 2),
        ] {
            for _ in 0..count {
                weighted.extend(std::iter::repeat_n(keys.len(), weight));
                let key = TestKey::generate(algorithm, "");
                let jwk = material(&key).to_json();
                let public = PublicKey::parse(jwk.as_bytes(), &[algorithm]).unwrap();
                keys.push((key, public.thumbprint().as_str().to_owned()));
            }
        }
        Self { keys, weighted }
    }

    pub(crate) fn key(&self, place: usize) -> &TestKey {
        &self.keys[place].0
    }

    pub(crate) fn thumbprint(&self, place: usize) -> &str {
        &self.keys[place].1
    }

    pub(crate) fn any(&self, dice: &mut Dice) -> usize {
        dice.pick(&self.weighted)
    }

    /// A key whose proofs the server takes.
    fn fitting(&self, dpop: &NaiveDpop, dice: &mut Dice) -> usize {
        let fits = |place: &usize| !names(self.key(*place).algorithm(), dpop).is_empty();
        let fitting: Vec<usize> = self.weighted.iter().copied().filter(fits).collect();
        dice.pick(&fitting)
    }
}

/// The names of an algorithm that the server takes.
fn names(algorithm: Algorithm, dpop: &NaiveDpop) -> Vec<String> {
    let is_name = |name: &&String| {
        Algorithm::parse(name).is_some_and(|named| named.same_operation(algorithm))
    };
    dpop.algorithms.iter().filter(is_name).cloned().collect()
}

/// Nobody looks inside a certificate.
pub(crate) const CERTIFICATES: [&[u8]; 3] =
    [b"0\x82 the certificate of a client", b"0\x82 the certificate of another client", b""];

fn certificate_thumbprint(certificate: &[u8]) -> String {
    Certificate::from_der(certificate).thumbprint().as_str().to_owned()
}

/// A proof that is being made.
#[derive(Clone)]
pub(crate) struct ProofDraft {
    pub(crate) header: Members,
    pub(crate) payload: Members,
    /// The place of the signing key among those of the clients.
    pub(crate) key: usize,
    pub(crate) signature: Vec<u8>,
    pub(crate) text: String,
}

impl ProofDraft {
    pub(crate) fn signing_input(&self) -> String {
        let (header, payload) = (self.header.to_json(), self.payload.to_json());
        format!("{}.{}", base64url::encode(header), base64url::encode(payload))
    }

    /// Writes it down with the signature that it has.
    pub(crate) fn put_together(&mut self) {
        self.text = format!("{}.{}", self.signing_input(), base64url::encode(&self.signature));
    }
}

/// Binds the token to somebody, mostly as the world wants it, and chooses where the request goes.
pub(crate) fn bind(
    draft: &mut Draft,
    around: &Surroundings<'_>,
    traits: &mut Vec<&'static str>,
    dice: &mut Dice,
) {
    let world = &around.scene.world;
    let (key, certificate) = bound_to(world, dice);
    draft.client = match &world.dpop {
        Some(dpop) if dice.percent(97) => around.clients.fitting(dpop, dice),
        _ => around.clients.any(dice),
    };
    let shown = dice.below(2);
    let mut members = Vec::new();
    if key {
        traits.push("a token with a key");
        let thumbprint = around.clients.thumbprint(draft.client);
        members.push(format!("\"jkt\":{}", quoted(thumbprint)));
        draft.scheme = "DPoP";
    }
    if certificate {
        traits.push("a token with a certificate");
        let thumbprint = certificate_thumbprint(CERTIFICATES[shown]);
        members.push(format!("\"x5t#S256\":{}", quoted(&thumbprint)));
    }
    if key && certificate {
        traits.push("a token with both");
    }
    if !members.is_empty() {
        if dice.percent(15) {
            traits.push("a member of cnf that nobody knows");
            let (name, value) = dice.pick(&[
                ("kid", "\"k1\""),
                ("jkt#S512", "\"x\""),
                ("x5t", "null"),
                ("jwk", "{\"kty\":\"oct\"}"),
                ("JKT", "5"),
            ]);
            members.push(format!("\"{name}\":{value}"));
        }
        dice.shuffle(&mut members);
        draft.payload.set("cnf", format!("{{{}}}", members.join(",")));
    }
    if certificate || dice.percent(20) {
        draft.certificate = Some(CERTIFICATES[shown].to_vec());
        if !certificate {
            traits.push("a certificate that the token is not bound to");
        }
    }
    draft.method = dice.pick(&METHODS).to_owned();
    let path = dice.pick(&PATHS);
    let origins = world.dpop.as_ref().map_or(&[][..], |dpop| &dpop.origins);
    let origin = match origins {
        [] => {
            let end =
                world.resource[8..].find(['/', '?']).map_or(world.resource.len(), |at| at + 8);
            NaiveOrigin { origin: world.resource[..end].to_owned(), ..NaiveOrigin::default() }
        }
        origins => dice.pick(origins),
    };
    let target = format!("{}{path}", origin.proxy_adds);
    let target = if target.is_empty() { "/".to_owned() } else { target };
    match dice.below(14) {
        0 => {
            // something in the process takes the front away, and says so
            draft.original = Some(target);
            draft.target = "/inside".to_owned();
        }
        1 if target.starts_with('/') => draft.target = format!("https://evil.example:1{target}"),
        _ => draft.target = target,
    }
    let asked = path.split('?').next().unwrap_or_default();
    draft.uri = format!("{}{}{asked}", origin.origin, origin.proxy_removes);
}

/// Whether the token is to have a key and a certificate.
fn bound_to(world: &World, dice: &mut Dice) -> (bool, bool) {
    if dice.percent(12) {
        return (dice.percent(50), dice.percent(50));
    }
    let of_classes = world.classes.iter().filter_map(|class| class.binding.as_deref());
    let others = [world.default_binding.as_deref(), world.route_binding.as_deref()];
    let mut wanted: Vec<&str> = of_classes.chain(others.into_iter().flatten()).collect();
    if world.exceptions.is_empty() || dice.percent(50) {
        wanted.push(&world.binding);
    }
    // an exception is for who has nothing at all
    let is_excepted = !world.exceptions.is_empty() && !wanted.contains(&world.binding.as_str());
    let wants = |names: &[&str]| wanted.iter().any(|name| names.contains(name));
    let mut key = wants(&["dpop", "both"]);
    let mut certificate = wants(&["mtls", "both"]);
    if !is_excepted {
        key |= world.dpop.is_some() && dice.percent(60);
        certificate |= world.mtls && dice.percent(30);
    }
    if wants(&["either"]) && !key && !certificate {
        key = world.dpop.is_some() && (!world.mtls || dice.percent(50));
        certificate = !key;
    }
    (key, certificate)
}

/// A proof that this client would make for this request.
pub(crate) fn proof(
    draft: &Draft,
    around: &Surroundings<'_>,
    traits: &mut Vec<&'static str>,
    dice: &mut Dice,
) -> ProofDraft {
    let world = &around.scene.world;
    let key = around.clients.key(draft.client);
    let mut header = Members::new();
    let typ = dice.pick(&["dpop+jwt", "dpop+jwt", "dpop+jwt", "DPoP+JWT", "application/dpop+jwt"]);
    header.set("typ", quoted(typ));
    let names = world.dpop.as_ref().map(|dpop| names(key.algorithm(), dpop)).unwrap_or_default();
    let alg = match names.as_slice() {
        [] => key.algorithm().as_str().to_owned(),
        names => dice.pick(names),
    };
    header.set("alg", quoted(&alg));
    let mut jwk = material(key);
    if dice.percent(10) {
        keys::embellish(&mut jwk, dice);
        if dice.percent(30) {
            jwk.set("alg", quoted(&alg));
        }
    }
    header.set("jwk", jwk.to_json());
    if dice.percent(8) {
        let (name, value) = dice.pick(&[
            ("kid", "\"k1\""),
            ("x5c", "[\"TUlJQg==\"]"),
            ("nonce", "5"),
            ("url", "{}"),
        ]);
        header.set(name, value);
    }

    let mut payload = Members::new();
    // where the time of day is set, a name that was over may or may not be forgotten
    let jti = match dice.percent(25) && !around.scene.jumps {
        true => dice.pick(&JTIS).to_owned(),
        false => format!("{:016x}", dice.roll()),
    };
    payload.set("jti", quoted(&jti));
    payload.set("htm", quoted(&draft.method));
    let htu = match dice.percent(25) {
        true => {
            traits.push("an htu spelled otherwise");
            spelled_otherwise(&draft.uri, dice)
        }
        false => draft.uri.clone(),
    };
    payload.set("htu", quoted(&htu));
    let now = world.now_nanos / NANOS_PER_SECOND;
    payload.set("iat", seconds(now.saturating_sub(dice.pick(&[0, 0, 0, 0, 1, 5]))));
    payload.set("ath", quoted(&ath(&draft.token)));
    add_nonce(&mut payload, around, traits, dice);
    if dice.percent(10) {
        let (name, at) = dice.pick(&[("exp", now + 1), ("exp", now + 30), ("nbf", now)]);
        traits.push("a proof with exp or nbf");
        payload.set(name, times::spelled(at * NANOS_PER_SECOND, dice));
    }
    if dice.percent(10) {
        let (name, value) = dice.pick(&[
            ("iss", "5"),
            ("aud", "[]"),
            ("Htm", "\"PUT\""),
            ("cnf", "null"),
            ("deep", "{\"a\":[{\"b\":1e400}]}"),
        ]);
        payload.set(name, value);
    }
    if dice.percent(10) {
        dice.shuffle(&mut header.0);
        dice.shuffle(&mut payload.0);
    }
    ProofDraft { header, payload, key: draft.client, signature: Vec::new(), text: String::new() }
}

/// The hash of a token.
pub(crate) fn ath(token: &str) -> String {
    base64url::encode(Sha256::digest(token))
}

fn add_nonce(
    payload: &mut Members,
    around: &Surroundings<'_>,
    traits: &mut Vec<&'static str>,
    dice: &mut Dice,
) {
    let world = &around.scene.world;
    let Some(nonces) = world.dpop.as_ref().and_then(|dpop| dpop.nonces.as_ref()) else {
        if dice.percent(5) {
            traits.push("a nonce that nobody looks at");
            payload.set("nonce", odd_value(dice));
        }
        return;
    };
    let is_wanted = nonces.required || world.route_nonce;
    if dice.percent(if is_wanted { 92 } else { 60 }) {
        let lifetime = u128::from(nonces.lifetime_secs) * NANOS_PER_SECOND;
        let is_good = |made: u128| made <= world.now_nanos && world.now_nanos < made + lifetime;
        let all: Vec<_> = around.scene.nonces.iter().collect();
        let good: Vec<_> = all.iter().copied().filter(|(_, made)| is_good(**made)).collect();
        let known = if good.is_empty() || dice.percent(20) { &all } else { &good };
        if let Some(&(nonce, made)) = (!known.is_empty()).then(|| dice.pick(known)).as_ref() {
            traits.push("a nonce");
            if world.now_nanos.saturating_sub(*made) * 2 >= lifetime {
                traits.push("a nonce in its second half");
            }
            payload.set("nonce", quoted(nonce));
            if dice.percent(25) {
                traits.push("a nonce and a wrong clock");
                let wrong = dice.pick(&[0, 1_000, 1_700_000_000, 1_800_100_000, 4_000_000_000]);
                payload.set("iat", seconds(wrong));
            }
        }
    }
}

/// The same URI (RFC 3986, 6.2.2 and 6.2.3, and RFC 9449, 4.2), in other letters.
pub(crate) fn spelled_otherwise(uri: &str, dice: &mut Dice) -> String {
    let (scheme, rest) = uri.split_once("://").unwrap_or(("https", uri));
    let (mut scheme, path_at) = (scheme.to_owned(), rest.find('/').unwrap_or(rest.len()));
    let (mut authority, mut path) = (rest[..path_at].to_owned(), rest[path_at..].to_owned());
    let mut tail = String::new();
    for _ in 0..dice.pick(&[1, 1, 2, 3]) {
        match dice.below(9) {
            0 => scheme = scheme.to_ascii_uppercase(),
            1 => authority = authority.to_ascii_uppercase(),
            2 if !authority.trim_end_matches(']').contains(':') || authority.ends_with(']') => {
                let default = if scheme.eq_ignore_ascii_case("https") { ":443" } else { ":80" };
                authority.push_str(dice.pick(&[":", default]));
            }
            3 if !path.is_empty() => {
                let slashes: Vec<_> = path.match_indices('/').map(|(at, _)| at).collect();
                let at = dice.pick(&slashes);
                path.insert_str(
                    at,
                    dice.pick(&["/.", "/./.", "/x/..", "/x/y/../..", "/%2e", "/q/%2E."]),
                );
            }
            4 if path == "/" => path.clear(),
            4 if path.is_empty() => path.push('/'),
            5 | 6 => {
                let plain = |c: char| c.is_ascii_alphanumeric() || "-._~".contains(c);
                // not inside of what is encoded already
                let letters: Vec<_> = path
                    .char_indices()
                    .filter(|(at, c)| plain(*c) && !path[at.saturating_sub(2)..*at].contains('%'))
                    .collect();
                if !letters.is_empty() {
                    let (at, c) = dice.pick(&letters);
                    let octet = u32::from(c);
                    let spelled = match dice.percent(50) {
                        true => format!("%{octet:02x}"),
                        false => format!("%{octet:02X}"),
                    };
                    path.replace_range(at..at + 1, &spelled);
                }
            }
            7 => {
                let lower = path.replace("%E2%82%AC", "%e2%82%aC").replace("%2F", "%2f");
                path = lower.replace("%7E", "~");
            }
            _ if tail.is_empty() => {
                let tails = ["?", "#", "?a=1", "?a=/../b?c#d", "#https://x", "?%41"];
                tail = dice.pick(&tails).to_owned();
            }
            _ => {}
        }
    }
    format!("{scheme}://{authority}{path}{tail}")
}

/// JSON text of an odd spelling.
pub(crate) fn spelled_text(json: &str, dice: &mut Dice) -> Option<String> {
    let text = serde_json::from_str::<String>(json).ok()?;
    Some(quoted_oddly(&text, dice))
}
