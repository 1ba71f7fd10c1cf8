//! Nonces as servers make them, of any moment. What is inside of one only its server can tell, so
//! that one is asked.

use std::collections::HashMap;
use std::time::Duration;

use http::Request;
use portcullis::secret::Secret;
use portcullis::sender::Nonces;
use portcullis::testing::{ClientKey, ManualClock, TestIssuer};
use portcullis::time::Timestamp;
use portcullis::{Binding, Dpop, ResourceServer, TokenClass};

use super::dice::Dice;
use super::senders::NONCE_KEYS;
use super::wait::ready;
use crate::naive::World;

const NANOS_PER_SECOND: u128 = 1_000_000_000;
/// A nonce knows the time to the millisecond.
const NANOS_PER_MILLISECOND: u128 = 1_000_000;
const END_OF_TIME: u128 = 253_402_300_799;

/// Servers that make nonces, and the nonces that they made.
#[derive(Default)]
pub(crate) struct Mint {
    presses: HashMap<(String, String), Press>,
    made: HashMap<(String, String, u128), String>,
}

impl Mint {
    /// The nonces of this world's servers that its clients have, and when each was made: next to
    /// where they begin, age and end.
    pub(crate) fn of_world(&mut self, world: &World) -> Vec<(String, u128)> {
        let Some(nonces) = world.dpop.as_ref().and_then(|dpop| dpop.nonces.as_ref()) else {
            return Vec::new();
        };
        let now = world.now_nanos;
        let lifetime = u128::from(nonces.lifetime_secs) * NANOS_PER_SECOND;
        let mut moments = vec![now, now.saturating_sub(lifetime / 4), now + 9 * NANOS_PER_SECOND];
        for border in [
            now.checked_sub(lifetime / 2),
            now.checked_sub(lifetime),
            Some(now + 10 * NANOS_PER_SECOND),
        ] {
            let around = |at| [at, at + NANOS_PER_MILLISECOND];
            moments.extend(border.into_iter().flat_map(around));
        }
        let is_date = |at: &u128| *at < END_OF_TIME * NANOS_PER_SECOND;
        let moments: Vec<_> = moments.into_iter().filter(is_date).collect();
        let made = |at| (self.nonce(&world.resource, &nonces.key, at), in_milliseconds(at));
        moments.into_iter().map(made).collect()
    }

    /// A nonce of another server, or of this one for something else.
    pub(crate) fn foreign(&mut self, world: &World, dice: &mut Dice) -> String {
        match dice.percent(50) {
            true => self.nonce(&world.resource, NONCE_KEYS[1], world.now_nanos),
            false => self.nonce("https://rs.example/other", NONCE_KEYS[0], world.now_nanos),
        }
    }

    fn nonce(&mut self, resource: &str, key: &str, at: u128) -> String {
        let at = in_milliseconds(at);
        let (resource, key) = (resource.to_owned(), key.to_owned());
        let known = (resource.clone(), key.clone(), at);
        let press = self.presses.entry((resource.clone(), key.clone()));
        let press = press.or_insert_with(|| Press::new(resource, &key));
        self.made.entry(known).or_insert_with(|| press.nonce(at)).clone()
    }
}

/// When a nonce was made that was made now.
pub(crate) fn in_milliseconds(nanos: u128) -> u128 {
    nanos / NANOS_PER_MILLISECOND * NANOS_PER_MILLISECOND
}

/// A server that refuses every proof without a nonce.
struct Press {
    resource: String,
    clock: ManualClock,
    issuer: TestIssuer,
    client: ClientKey,
    api: ResourceServer,
}

impl Press {
    fn new(resource: String, key: &str) -> Self {
        let clock = ManualClock::new();
        let algorithm = portcullis::jose::Algorithm::Ed25519;
        let issuer = TestIssuer::with_algorithm("https://as.example", &clock, algorithm);
        let client = ClientKey::generate(algorithm, &clock);
        let api = ResourceServer::builder(&resource)
            .issuer(issuer.fixed_keys())
            .binding(Binding::Dpop)
            .class(TokenClass::default_at_most(Duration::from_hours(24)))
            .dpop(Dpop::new().nonces(Nonces::required().keys([Secret::new(key)])))
            .clock(clock.clone())
            .build()
            .unwrap();
        Self { resource, clock, issuer, client, api }
    }

    fn nonce(&self, at: u128) -> String {
        self.clock.set(timestamp(at));
        let token = self.issuer.token(&self.resource);
        let token = token.claim("cnf", self.client.confirmation()).sign();
        let proof = self.client.proof("GET", "https://rs.example/").token(&token).sign();
        let request = Request::get("/")
            .header("authorization", format!("DPoP {token}"))
            .header("dpop", proof)
            .body(())
            .unwrap();
        let refused = ready(self.api.verify(&request)).unwrap_err();
        let response = refused.to_response::<()>();
        let nonce = response.headers().get("dpop-nonce");
        nonce.unwrap_or_else(|| panic!("{refused}")).to_str().unwrap().to_owned()
    }
}

pub(crate) fn timestamp(nanos: u128) -> Timestamp {
    Timestamp::from_duration(Duration::new(
        u64::try_from(nanos / NANOS_PER_SECOND).unwrap(),
        u32::try_from(nanos % NANOS_PER_SECOND).unwrap(),
    ))
}
