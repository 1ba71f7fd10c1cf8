//! Servers to be asked: issuers, their keys and lists, the resource, the time.

use std::collections::BTreeMap;

use portcullis::jose::Algorithm;

use super::asked;
use super::dice::Dice;
use super::keys::{self, KIDS, Pool};
use super::members::{Members, quoted, quoted_oddly};
use super::mint::Mint;
use super::policies;
use super::revocations;
use super::senders;
use super::times::Passing;
use crate::naive::{NaiveIssuer, NaiveProfile, NaiveRecord, NaiveRevocation, World};

/// A world and who can sign in it.
pub(crate) struct Scene {
    pub(crate) world: World,
    /// What the server looks at of revocation.
    pub(crate) revocation: Option<NaiveRevocation>,
    /// What it was told of it.
    pub(crate) said: Vec<NaiveRecord>,
    /// Whether that is of most interest.
    pub(crate) revokes: bool,
    pub(crate) signers: Vec<Signer>,
    /// Every nonce that its servers made, and when.
    pub(crate) nonces: BTreeMap<String, u128>,
    /// One of another server.
    pub(crate) foreign_nonce: String,
    /// Whether nothing but the sender is of interest.
    pub(crate) plain: bool,
    /// Whether the time of day is set while requests come.
    pub(crate) jumps: bool,
}

/// A published key.
pub(crate) struct Signer {
    /// Its place in the world.
    pub(crate) issuer: usize,
    /// Its place in the pool.
    pub(crate) key: usize,
    pub(crate) kid: Option<String>,
    /// Whether the key was published without a blemish, and its algorithm is on the list.
    pub(crate) healthy: bool,
}

const ISSUERS: [&str; 7] = [
    "https://as.example",
    "https://as.example",
    "https://as.example/",
    "https://AS.example",
    "https://as.example:443",
    "https://other.example/tenant",
    "https://as.example.evil.example",
];
const RESOURCES: [&str; 3] =
    ["https://rs.example", "https://rs.example/", "https://rs.example/api?v=1"];
const SCOPES: [&[&str]; 7] =
    [&[], &[], &["a"], &["notes:read"], &["a", "b"], &["a", "a"], &["!#[]~"]];
const NANOS_PER_SECOND: u128 = 1_000_000_000;
const END_OF_TIME: u128 = 253_402_300_799;

impl Scene {
    pub(crate) fn new(pool: &Pool, mint: &mut Mint, dice: &mut Dice) -> Self {
        let plain = dice.percent(40);
        let mut scene = Self {
            world: World {
                resource: dice.pick(&RESOURCES).to_owned(),
                other_names: Vec::new(),
                no_other_audience: false,
                issuers: Vec::new(),
                leeway_secs: dice.pick(&[0, 1, 10, 60, 300]),
                max_lifetime_secs: dice.pick(&[1, 60, 300, 900, 900, 86_400, 31_622_400]),
                max_age_secs: None,
                default_binding: None,
                classes: Vec::new(),
                binding: "where_bound".to_owned(),
                route_binding: None,
                exceptions: Vec::new(),
                dpop: None,
                mtls: false,
                replay_room: None,
                needed_scopes: dice.pick(&SCOPES).iter().map(ToString::to_string).collect(),
                step_up: None,
                clients: None,
                subjects: None,
                actor: None,
                detail: None,
                route_nonce: false,
                single_use: false,
                asked: Vec::new(),
                route_asks: None,
                route_freshness_secs: None,
                now_nanos: now(dice),
                // where a clock set by hand begins
                steady_nanos: 1_000 * NANOS_PER_SECOND,
            },
            revocation: None,
            said: Vec::new(),
            revokes: false,
            signers: Vec::new(),
            nonces: BTreeMap::new(),
            foreign_nonce: String::new(),
            plain,
            jumps: dice.percent(if plain { 25 } else { 5 }),
        };
        if plain {
            scene.world.max_lifetime_secs = 86_400;
            scene.world.needed_scopes.clear();
            scene.add_plain_issuer(pool, dice);
        }
        while scene.world.issuers.is_empty() {
            scene.add_issuers(pool, dice);
        }
        senders::add(&mut scene.world, dice);
        match plain {
            true => policies::add_bindings(&mut scene.world, dice),
            false => policies::add(&mut scene.world, dice),
        }
        scene.revocation = revocations::add(&mut scene.world, dice);
        scene.revokes = scene.revocation.is_some() && dice.percent(50);
        asked::add(&mut scene, dice);
        if scene.jumps {
            // what was forgotten once is no longer counted
            scene.world.replay_room = None;
        }
        scene.nonces.extend(mint.of_world(&scene.world));
        scene.foreign_nonce = mint.foreign(&scene.world, dice);
        scene
    }

    fn add_issuers(&mut self, pool: &Pool, dice: &mut Dice) {
        for _ in 0..dice.pick(&[1, 1, 2, 2, 3]) {
            let id = dice.pick(&ISSUERS);
            if self.world.issuers.iter().all(|issuer| issuer.id != id) {
                self.add_issuer(id, pool, dice);
            }
        }
    }

    /// Lets time pass; never past the last second that is a date, nor before the first.
    pub(crate) fn pass(&mut self, passing: Passing) {
        let world = &mut self.world;
        match passing {
            Passing::Back(nanos) => world.now_nanos = world.now_nanos.saturating_sub(nanos),
            Passing::Ahead(nanos) => world.now_nanos += nanos,
            Passing::On(nanos) => {
                world.now_nanos += nanos;
                world.steady_nanos += nanos;
            }
        }
        world.now_nanos = world.now_nanos.min(END_OF_TIME * NANOS_PER_SECOND - 1);
    }

    /// One issuer to the letter of RFC 9068, with one key without a blemish.
    fn add_plain_issuer(&mut self, pool: &Pool, dice: &mut Dice) {
        let key = pool.choose(dice);
        let algorithms = allow_list(pool.algorithm(key), dice);
        let mut jwk = pool.material(key);
        let name = match pool.algorithm(key) {
            Algorithm::EdDsa => "EdDSA",
            other => other.as_str(),
        };
        jwk.set("kid", "\"k1\"");
        jwk.set("alg", quoted(name));
        self.signers.push(Signer {
            issuer: self.world.issuers.len(),
            key,
            kid: Some("k1".to_owned()),
            healthy: true,
        });
        self.world.issuers.push(NaiveIssuer {
            id: ISSUERS[0].to_owned(),
            algorithms: algorithms.iter().map(|algorithm| algorithm.as_str().to_owned()).collect(),
            jwks: format!("{{\"keys\":[{}]}}", jwk.to_json()),
            profile: NaiveProfile::default(),
        });
    }

    fn add_issuer(&mut self, id: &str, pool: &Pool, dice: &mut Dice) {
        let issuer = self.world.issuers.len();
        let first = pool.choose(dice);
        let algorithms = allow_list(pool.algorithm(first), dice);
        let mut published = Vec::new();
        // The first key is usable: a server is not built with an issuer that has none.
        for place in 0..dice.pick(&[1, 1, 2, 2, 3, 4, 6]) {
            // A twin has the name of the first key, which can be told from it only if one of both is
            // unusable.
            let twin = place > 0 && dice.percent(30);
            let key = if place == 0 || twin { first } else { pool.choose(dice) };
            let algorithm = pool.algorithm(key);
            let kid = match self.signers.iter().find(|signer| signer.issuer == issuer) {
                Some(first) if twin => first.kid.clone(),
                _ => dice.percent(85).then(|| dice.pick(&KIDS).to_owned()),
            };
            let first_that_fits =
                algorithms.iter().find(|allowed| allowed.key_shape() == algorithm.key_shape());
            let needs_alg = first_that_fits.is_none_or(|first| !first.same_operation(algorithm));
            let must_have = place == 0 || twin || dice.percent(80);
            let has_alg = dice.percent(50) || (needs_alg && must_have);
            let mut jwk = pool.material(key);
            if let Some(kid) = &kid {
                jwk.set("kid", quoted(kid));
            }
            if has_alg {
                let name = match algorithm {
                    Algorithm::EdDsa => dice.pick(&["EdDSA", "Ed25519"]),
                    other => other.as_str(),
                };
                jwk.set("alg", quoted(name));
            }
            keys::embellish(&mut jwk, dice);
            let blemished = twin || (place > 0 && dice.percent(30));
            if blemished {
                keys::blemish(&mut jwk, dice);
            }
            let listed = algorithms.iter().any(|listed| listed.same_operation(algorithm));
            published.push(match dice.percent(10) {
                true => jwk.to_spaced_json(dice),
                false => jwk.to_json(),
            });
            self.signers.push(Signer { issuer, key, kid, healthy: listed && !blemished });
        }
        if dice.percent(10) {
            let other =
                dice.pick(&["null", "5", "\"x\"", "[]", "{}", "true", "[{\"kty\":\"EC\"}]"]);
            published.push(other.to_owned());
        }
        if dice.percent(30) {
            dice.shuffle(&mut published);
        }
        let mut set = Members::new();
        if dice.percent(10) {
            set.set("x", "{\"keys\":[]}");
        }
        let name = if dice.percent(5) { quoted_oddly("keys", dice) } else { quoted("keys") };
        set.repeat(name, format!("[{}]", published.join(",")));
        if dice.percent(10) {
            set.set("next", "null");
        }
        self.world.issuers.push(NaiveIssuer {
            id: id.to_owned(),
            algorithms: algorithms.iter().map(|algorithm| algorithm.as_str().to_owned()).collect(),
            jwks: if dice.percent(10) { set.to_spaced_json(dice) } else { set.to_json() },
            profile: policies::profile(dice),
        });
    }
}

/// A list on which this algorithm, or its other name, stands.
fn allow_list(wanted: Algorithm, dice: &mut Dice) -> Vec<Algorithm> {
    let mut list = match dice.below(8) {
        0..=2 => Algorithm::ACCESS_TOKEN_DEFAULTS.to_vec(),
        3 => Algorithm::ALL.to_vec(),
        4 | 5 => {
            let mut list = Algorithm::ALL.to_vec();
            dice.shuffle(&mut list);
            list.truncate(1 + dice.below(list.len()));
            list
        }
        6 => vec![Algorithm::Ps256, Algorithm::Rs256, Algorithm::Es256],
        _ => Vec::new(),
    };
    if !list.iter().any(|listed| listed.same_operation(wanted)) {
        let name = match wanted {
            Algorithm::EdDsa if dice.percent(50) => Algorithm::Ed25519,
            other => other,
        };
        list.insert(dice.below(list.len() + 1), name);
    }
    list
}

fn now(dice: &mut Dice) -> u128 {
    let nanos = dice.pick(&[0, 0, 1, 500_000_000, 999_999_999]);
    let seconds = match dice.below(20) {
        0 => u128::from(dice.pick(&[0_u32, 1, 59, 1_000])),
        1 => END_OF_TIME - u128::from(dice.pick(&[1_u32, 2, 60, 1_000])),
        // where a day begins, and where the one before it ends
        2 | 3 => 1_799_971_200,
        4 => return 1_799_971_200 * NANOS_PER_SECOND - 1,
        _ => 1_800_000_000,
    };
    seconds * NANOS_PER_SECOND + nanos
}
