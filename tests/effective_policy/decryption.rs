//! Each line of the effective policy on encrypted tokens is enforced.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::mpsc;
use std::time::Duration;

use portcullis::ResourceServer;
use portcullis::jwe::{ContentEncryption, Decryption, DecryptionKey, KeyManagement};
use portcullis::secret::SecretSource;
use portcullis::testing::{ManualClock, TestDecryptionKey, TestIssuer};
use tokio::runtime::{Builder, Runtime};

use super::leaves;
use crate::support::{self, RESOURCE, bearer, send, settle};

const SECOND: Duration = Duration::from_secs(1);

/// Every setting of decryption that stands in the effective policy.
#[derive(Clone)]
struct Settings {
    jwk: &'static str,
    kid: &'static str,
    algorithm: KeyManagement,
    encryption: ContentEncryption,
    max_at_once: usize,
    wait: Duration,
    encrypted_only: bool,
}

struct World {
    clock: ManualClock,
    issuer: TestIssuer,
    key: TestDecryptionKey,
    directory: PathBuf,
}

impl World {
    fn new() -> Self {
        let clock = ManualClock::new();
        let issuer = TestIssuer::new("https://as.example", &clock);
        let generate = || TestDecryptionKey::generate(KeyManagement::EcdhEs, "k-1");
        let (key, other) = (generate(), generate());
        let name = format!("portcullis-effective-decryption-{}", std::process::id());
        let directory = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&directory).unwrap();
        // Without `alg` and `kid`, which the settings say.
        for (name, key) in [("good", &key), ("other", &other)] {
            let mut jwk: serde_json::Value = serde_json::from_str(&key.private_jwk()).unwrap();
            jwk.as_object_mut().unwrap().retain(|name, _| name != "alg" && name != "kid");
            std::fs::write(directory.join(name), jwk.to_string()).unwrap();
        }
        Self { clock, issuer, key, directory }
    }

    fn serve(&self, settings: &Settings) -> ResourceServer {
        let key = DecryptionKey::jwk(SecretSource::file(self.directory.join(settings.jwk)))
            .kid(settings.kid)
            .algorithms([settings.algorithm])
            .encryptions([settings.encryption]);
        let decryption = Decryption::new()
            .key(key)
            .max_at_once(settings.max_at_once)
            .wait_at_most(settings.wait);
        let issuer = self.issuer.fixed_keys();
        let issuer = if settings.encrypted_only { issuer.encrypted_only() } else { issuer };
        let builder = support::builder(&self.clock).issuer(issuer);
        builder.decryption(decryption).build().unwrap()
    }

    /// A good token in an envelope.
    fn sealed(&self) -> String {
        self.key.encrypt(&self.issuer.token(RESOURCE).sign(), ContentEncryption::A256Gcm)
    }
}

async fn kind(api: &ResourceServer, token: &str) -> String {
    format!("{:?}", send(&api.layer(), bearer(token)).await.kind())
}

/// With one thread that may block.
fn runtime() -> Runtime {
    Builder::new_current_thread().max_blocking_threads(1).build().unwrap()
}

fn sealed(world: &World, api: &ResourceServer) -> String {
    runtime().block_on(kind(api, &world.sealed()))
}

fn plain(world: &World, api: &ResourceServer) -> String {
    runtime().block_on(kind(api, &world.issuer.token(RESOURCE).sign()))
}

/// How many of so many requests have ended after a while in which nothing can be decrypted.
fn ended(world: &World, api: &ResourceServer, requests: usize, time: Duration) -> String {
    let (release, held) = mpsc::channel::<()>();
    let ended = runtime().block_on(async {
        let thread = tokio::task::spawn_blocking(move || held.recv());
        let token = world.sealed();
        let started: Vec<_> = (0..requests)
            .map(|_| {
                let (api, token) = (api.clone(), token.clone());
                tokio::spawn(async move { kind(&api, &token).await })
            })
            .collect();
        settle().await;
        world.clock.advance(time);
        settle().await;
        let ended = started.iter().filter(|request| request.is_finished()).count();
        drop(release);
        let _ = thread.await;
        for request in started {
            request.await.unwrap();
        }
        ended
    });
    format!("{ended}")
}

type Probe = fn(&World, &ResourceServer) -> String;
type Change = fn(&mut Settings);

#[test]
fn each_line_on_decryption_is_enforced() {
    let base = Settings {
        jwk: "good",
        kid: "k-1",
        algorithm: KeyManagement::EcdhEs,
        encryption: ContentEncryption::A256Gcm,
        max_at_once: 1,
        wait: 2 * SECOND,
        encrypted_only: true,
    };
    let world = World::new();
    let lines: [(&str, Change, Probe); 7] = [
        ("/decryption/keys/0/jwk/file", |s| s.jwk = "other", sealed),
        ("/decryption/keys/0/kid", |s| s.kid = "k-2", sealed),
        ("/decryption/keys/0/algorithms/0", |s| s.algorithm = KeyManagement::EcdhEsA256Kw, sealed),
        ("/decryption/keys/0/encryptions/0", |s| s.encryption = ContentEncryption::A128Gcm, sealed),
        // One has its turn, 256 wait for theirs, and one more is told to come again.
        (
            "/decryption/max_at_once",
            |s| s.max_at_once = 2,
            |world, api| ended(world, api, 258, Duration::ZERO),
        ),
        (
            "/decryption/wait_at_most",
            |s| s.wait = 5 * SECOND,
            |world, api| ended(world, api, 1, 3 * SECOND),
        ),
        ("/issuers/0/encrypted_only", |s| s.encrypted_only = false, plain),
    ];
    let policy = world.serve(&base).effective_policy();
    // What the key is, for its reader.
    let mut shown = BTreeSet::from(["/decryption/keys/0/type".to_owned()]);
    for (pointer, change, probe) in lines {
        let mut changed = base.clone();
        change(&mut changed);
        let (before, after) = (world.serve(&base), world.serve(&changed));
        assert_eq!(before.effective_policy(), policy, "the base is always the same");
        assert_ne!(probe(&world, &before), probe(&world, &after), "{pointer} is not enforced");
        assert!(policy.pointer(pointer).is_some(), "no line {pointer}\n{policy:#}");
        let shows = after.effective_policy();
        assert_ne!(policy.pointer(pointer), shows.pointer(pointer), "{pointer}");
        shown.insert(pointer.to_owned());
    }
    let mut all = BTreeSet::new();
    leaves(&policy["decryption"], "/decryption", &mut all);
    let unproven: Vec<_> = all.difference(&shown).collect();
    assert!(unproven.is_empty(), "lines that nothing proves: {unproven:#?}\n{policy:#}");
    std::fs::remove_dir_all(&world.directory).unwrap();
}
