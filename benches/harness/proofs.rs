//! Uses of DPoP proofs, one after the other, for a replay memory: included where one is measured, by
//! `#[path = "harness/proofs.rs"]`.

#![allow(dead_code, unreachable_pub, reason = "every benchmark uses a part of it")]

use std::time::Duration;

use portcullis::name::{ClientId, IssuerId, Thumbprint};
use portcullis::sender::{
    MemoryReplayStore, ReplayAnswer, ReplayEntry, ReplayStore as _, Sighting, Used,
};
use portcullis::testing::TestAccess;
use portcullis::time::{Moment, Timestamp};

const HTU: &str = "https://api.example.com/v1/notes/42";
/// How long a proof is remembered.
pub const LIFE: Duration = Duration::from_mins(1);

/// Proofs of a thousand clients, each alive for a minute; so many arrive in one.
pub struct Proofs {
    issuer: IssuerId,
    clients: Vec<ClientId>,
    keys: Vec<Thumbprint>,
    start: Moment,
    pub every: Duration,
}

impl Proofs {
    pub fn new(a_minute: u64) -> Self {
        let client = |number: u32| {
            let name = format!("client-{number:08}");
            TestAccess::new().client_id(&name).build().client_id().unwrap().clone()
        };
        Self {
            issuer: IssuerId::parse("https://login.example.com/tenant").unwrap(),
            clients: (0..1_000).map(client).collect(),
            keys: (0..250).map(|number| Thumbprint::of_sha256(&[number; 32])).collect(),
            start: Moment::new(Timestamp::from_secs(1_800_000_000), Duration::from_secs(100)),
            every: LIFE / a_minute as u32,
        }
    }

    pub fn moment(&self, number: u64) -> Moment {
        let passed = Duration::from_nanos(self.every.as_nanos() as u64 * number);
        Moment::new(self.start.wall().plus(passed), self.start.steady() + passed)
    }

    /// The proof of this number, presented when its time has come.
    pub fn with<T>(&self, number: u64, then: impl FnOnce(&ReplayEntry<'_>) -> T) -> T {
        self.with_at(number, number, then)
    }

    pub fn with_at<T>(&self, number: u64, at: u64, then: impl FnOnce(&ReplayEntry<'_>) -> T) -> T {
        // 22 characters: 128 bits in base64url.
        let mut jti = *b"0000000000000000e1j3V_";
        let mut rest = number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        for octet in &mut jti[..16] {
            *octet = b"ABCDEFGHIJKLMNOP"[(rest & 15) as usize];
            rest >>= 4;
        }
        let key = &self.keys[(number % 250) as usize];
        let used = Used::Proof { jkt: key, jti: str::from_utf8(&jti).unwrap(), htu: HTU };
        let client = Some(&self.clients[(number % 1_000) as usize]);
        let issued_at = self.moment(number).wall();
        let expires_at = issued_at.plus(LIFE);
        let now = self.moment(at);
        then(&ReplayEntry::new(&self.issuer, client, used, issued_at, expires_at, now))
    }

    pub fn record(&self, store: &MemoryReplayStore, number: u64) -> Sighting {
        self.record_at(store, number, number)
    }

    pub fn record_at(&self, store: &MemoryReplayStore, number: u64, at: u64) -> Sighting {
        self.with_at(number, at, |entry| match store.record(entry) {
            ReplayAnswer::Now(answer) => answer.unwrap(),
            other => panic!("{other:?}"),
        })
    }
}
