//! Changes of keys: one comes, one goes, and none can be had.

use std::sync::Arc;
use std::time::{Duration, Instant};

use portcullis::RejectionKind as Kind;
use portcullis::testing::TestKey;

use crate::changes::{Change, FETCHED};
use crate::conductor::Conductor;
use crate::record::{Record, Who};
use crate::support::RESOURCE;

const SECOND: Duration = Duration::from_secs(1);
/// The most keys of an issuer.
const KEYS: usize = 3;

impl Change {
    pub(crate) async fn rotate(self, conductor: &mut Conductor, record: &mut Record) {
        let mut who = conductor.dice.pick(&FETCHED);
        // An RSA key takes its time.
        if who == Who::Rs256 && !conductor.dice.percent(20) {
            who = Who::Ed25519;
        }
        let Some(Some(keys)) = record.keys.get(&who) else { return };
        if conductor.silent == Some(who) || keys.len() >= KEYS {
            return;
        }
        let world = Arc::clone(&conductor.world);
        let issuer = world.issuer(who);
        let kid = issuer.rotate();
        // What was revoked may be about everything: a token that is refused for that is verified.
        let began = Instant::now();
        while matches!(conductor.kind(&issuer.token(RESOURCE).sign()).await, Some(Kind::UnknownKey))
        {
            assert!(began.elapsed() < SECOND * 30, "a new key is not noticed");
            conductor.pass(SECOND * 5, record).await;
        }
        if let Some(Some(keys)) = record.keys.get_mut(&who) {
            keys.insert(kid);
        }
    }

    pub(crate) async fn withdraw(self, conductor: &mut Conductor, record: &mut Record) {
        let who = conductor.dice.pick(&FETCHED);
        let Some(Some(keys)) = record.keys.get_mut(&who) else { return };
        if conductor.silent == Some(who) || keys.len() < 2 {
            return;
        }
        let world = Arc::clone(&conductor.world);
        let issuer = world.issuer(who);
        // Not that which signs: its name stays, whatever it is signed with.
        let signs = issuer.key().kid().to_owned();
        let kid = keys.iter().find(|kid| **kid != signs).unwrap().clone();
        keys.remove(&kid);
        let other = TestKey::generate(issuer.key().algorithm(), &kid);
        let forged = || issuer.token(RESOURCE).header("kid", &kid).sign_with(&other);
        issuer.withdraw(&kid);
        let began = Instant::now();
        while conductor.kind(&forged()).await != Some(Kind::UnknownKey) {
            assert!(began.elapsed() < SECOND * 30, "a key that went is still there");
            conductor.pass(SECOND * 5, record).await;
            conductor.kind(&conductor.junk(who)).await;
        }
    }

    pub(crate) async fn key_outage(self, conductor: &mut Conductor, record: &mut Record) {
        let Some(who) = conductor.silent else {
            let who = conductor.dice.pick(&FETCHED);
            conductor.fail_keys(Some(who));
            // Longer than keys are fresh: they are kept through the outage.
            return conductor.pass(SECOND * 700, record).await;
        };
        conductor.fail_keys(None);
        let world = Arc::clone(&conductor.world);
        let issuer = world.issuer(who);
        let began = Instant::now();
        let mut tried = None;
        let fetches = issuer.fetches();
        while tried != Some(Some(Kind::UnknownKey)) || issuer.fetches() == fetches {
            assert!(
                began.elapsed() < SECOND * 30,
                "the end of an outage is not noticed: {tried:?}"
            );
            conductor.pass(SECOND * 30, record).await;
            tried = Some(conductor.kind(&conductor.junk(who)).await);
        }
        let published = issuer.jwk_set();
        let kids = published["keys"].as_array().unwrap().iter();
        let kids = kids.map(|key| key["kid"].as_str().unwrap().to_owned()).collect();
        record.keys.insert(who, Some(kids));
    }
}
