//! A server with everything switched on, the issuers around it, and the record of what should be.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::sync::Mutex;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use portcullis::check::{CheckError, CheckRequest, allow_all, scope};
use portcullis::introspection::{ClientAuth, Introspection};
use portcullis::issuer::{KeyRefresh, TenantList};
use portcullis::jose::Algorithm;
use portcullis::layer::ProtectLayer;
use portcullis::revocation::{JsonFeed, OnStale, Push, Revocation, Source, StatusLists};
use portcullis::secret::Secret;
use portcullis::sender::{MemoryReplayStore, Nonces};
use portcullis::testing::{
    ClientKey, ManualClock, TestCertificate, TestIssuer, TestNetwork, TestStatusList,
    TestTransmitter,
};
use portcullis::time::Clock as _;
use portcullis::{
    Binding, Dpop, FirstVerifications, Issuer, Mtls, Policy, ResourceServer, TokenClass,
};
use serde_json::{Value, json};
use tokio::sync::{RwLock, Semaphore};

use crate::record::{Epoch, Flaw, LIFE, Record, Token, Who};
use crate::support::RESOURCE;
use crate::wire::{ENDPOINT, FEED, Wire};

/// Statuses in the list.
pub(crate) const STATUSES: usize = 32;
/// How long an answer of the endpoint is kept.
pub(crate) const KEPT: Duration = Duration::from_secs(30);
/// How long keys outlive an outage.
pub(crate) const OUTAGE: Duration = Duration::from_hours(2);
const SECRET: &str = "Bearer of-the-transmitter";

/// The layers that requests go through, in the order of [`crate::record::Route`].
pub(crate) struct Layers {
    pub(crate) plain: ProtectLayer,
    pub(crate) later: ProtectLayer,
    pub(crate) write: ProtectLayer,
    pub(crate) nonce: ProtectLayer,
    pub(crate) once: ProtectLayer,
}

/// What workers and the conductor share.
pub(crate) struct World {
    pub(crate) clock: ManualClock,
    pub(crate) issuers: HashMap<Who, TestIssuer>,
    pub(crate) tenants: TenantList,
    pub(crate) list: TestStatusList,
    pub(crate) transmitter: TestTransmitter,
    pub(crate) wire: Wire,
    pub(crate) api: ResourceServer,
    pub(crate) layers: Layers,
    pub(crate) owners: Vec<ClientKey>,
    pub(crate) certificate: TestCertificate,
    pub(crate) other_certificate: TestCertificate,
    /// Requests read it, changes write it.
    pub(crate) epoch: RwLock<Epoch>,
    /// One for each request that was answered.
    pub(crate) answered: Semaphore,
    /// Tokens that were made lately, for whoever revokes one.
    pub(crate) lately: Mutex<VecDeque<Made>>,
    /// Opaque tokens that were used, and since when no more, in steady time.
    names: Mutex<VecDeque<(Duration, String)>>,
    pub(crate) made: AtomicU64,
    pub(crate) wrong: Mutex<Vec<String>>,
}

/// A token that was made: by whom, its `jti`, and its text.
pub(crate) type Made = (Who, String, String);

impl World {
    /// An opaque token. The server remembers for an hour which were active, as many as 65 536: so that this
    /// is full after a moment, tokens come again when nothing that was said of them counts any more.
    pub(crate) fn opaque(&self, number: u64) -> String {
        let mut names = self.names.lock().unwrap();
        let is_over = |(since, _): &(Duration, String)| *since + KEPT * 2 < self.clock.steady();
        match names.front() {
            Some(name) if is_over(name) => names.pop_front().unwrap().1,
            _ => format!("opaque-{number}"),
        }
    }

    /// Nobody will use this token any more.
    pub(crate) fn release(&self, token: &Token) {
        if token.who == Who::Asked && token.flaw == Flaw::None {
            self.wire.deactivate(&token.text);
            let mut names = self.names.lock().unwrap();
            names.push_back((self.clock.steady(), token.text.clone()));
        }
    }

    pub(crate) fn issuer(&self, who: Who) -> &TestIssuer {
        &self.issuers[&who]
    }

    pub(crate) fn new() -> Self {
        let clock = ManualClock::new();
        let issuers: HashMap<Who, TestIssuer> = Who::ALL
            .into_iter()
            .map(|who| {
                let (name, algorithm) = match who {
                    Who::Es256 => ("as", Algorithm::Es256),
                    Who::Ed25519 => ("ed", Algorithm::Ed25519),
                    Who::Rs256 => ("rsa", Algorithm::Rs256),
                    Who::Fed => ("fed", Algorithm::Ed25519),
                    Who::Listed => ("listed", Algorithm::Es256),
                    Who::Tenant => ("tenant", Algorithm::Ed25519),
                    Who::Asked => ("asked", Algorithm::Ed25519),
                };
                let id = format!("https://{name}.example");
                (who, TestIssuer::with_algorithm(id, &clock, algorithm))
            })
            .collect();
        let list =
            TestStatusList::new("https://listed.example/list", &issuers[&Who::Listed], &clock);
        list.resize(2, STATUSES).ttl(Duration::from_secs(20));
        let statuses: Vec<u8> = [0, 0, 1, 2].into_iter().cycle().take(STATUSES).collect();
        for (index, status) in (0..).zip(&statuses) {
            list.set(index, *status);
        }
        let transmitter =
            TestTransmitter::new("https://tx.example", "https://rs.example/e", &clock);
        transmitter.authorization(SECRET);
        let network = TestNetwork::of(&issuers.values().collect::<Vec<_>>()).with_list(&list);
        let wire = Wire::new(network);
        wire.publisher.document(FEED, &feed(1, clock.now().as_secs(), &[]));
        let tenants = TenantList::new();
        let api = server(&clock, &issuers, &tenants, &transmitter, &wire);
        let layers = Layers {
            plain: api.layer(),
            later: api.protect(Policy::new(allow_all()).and_async(later)),
            write: api.protect(scope("write")),
            nonce: api.protect(Policy::new(allow_all()).require_nonce()),
            once: api.protect(Policy::new(allow_all()).single_use()),
        };
        let owners = (0..4).map(|_| ClientKey::generate(Algorithm::Es256, &clock)).collect();
        let keys = issuers.iter().map(|(who, issuer)| {
            let kid = issuer.key().kid().to_owned();
            (*who, Some(BTreeSet::from([kid])))
        });
        let record = Record {
            now: clock.now(),
            keys: keys.collect(),
            is_tenant: false,
            revoked: HashMap::new(),
            cut_offs: HashMap::new(),
            statuses,
            list_is_up: true,
            feed_is_up: true,
            endpoint_is_up: true,
            inactive: HashMap::new(),
            latest: clock.now(),
            kept_from: clock.now(),
        };
        let epoch = Epoch { number: 0, change: "the beginning", before: record, after: None };
        Self {
            clock,
            issuers,
            tenants,
            list,
            transmitter,
            wire,
            api,
            layers,
            owners,
            certificate: TestCertificate::named("client").self_signed(),
            other_certificate: TestCertificate::named("other").self_signed(),
            epoch: RwLock::new(epoch),
            answered: Semaphore::new(0),
            lately: Mutex::default(),
            names: Mutex::default(),
            made: AtomicU64::new(0),
            wrong: Mutex::default(),
        }
    }
}

/// Caches small enough to be full soon, and everything that a token can be asked.
fn server(
    clock: &ManualClock,
    issuers: &HashMap<Who, TestIssuer>,
    tenants: &TenantList,
    transmitter: &TestTransmitter,
    wire: &Wire,
) -> ResourceServer {
    let id = |who: Who| issuers[&who].id().to_owned();
    let events = transmitter.fixed_keys().push(Push::new().authorization(Secret::new(SECRET)));
    let events = Source::new("events", events)
        .speaks_for([id(Who::Ed25519), id(Who::Es256)])
        .on_stale(OnStale::InsecureUnbounded);
    let feed = Source::new("feed", JsonFeed::over_tls(FEED)).speaks_for([id(Who::Fed)]);
    let revocation = Revocation::new()
        .source(events)
        .source(feed)
        .status_lists(StatusLists::new().issuers([id(Who::Listed)]))
        .max_records(50_000);
    let introspection = Introspection::at(id(Who::Asked), ENDPOINT)
        .client(ClientAuth::insecure_unauthenticated())
        .ttl(KEPT)
        .cache_bytes(128 * 1024);
    let replay = MemoryReplayStore::with_capacity(1 << 16).client_share(1 << 16);
    let mut builder = ResourceServer::builder(RESOURCE)
        .binding(Binding::WhereBound)
        .class(TokenClass::default_at_most(LIFE))
        .known_tokens_bytes(256 * 1024)
        .first_verifications(FirstVerifications::new().max_at_once(1).queue_at_most(256))
        .introspection(introspection)
        .revocation(revocation)
        .tenants(tenants.clone(), 4)
        .dpop(Dpop::new().nonces(Nonces::optional()))
        .mtls(Mtls::direct())
        .replay_store(replay)
        .transport(wire.clone())
        .clock(clock.clone());
    for who in Who::ALL {
        let refresh = KeyRefresh::new().keep_through_outage(OUTAGE);
        builder = match who {
            Who::Tenant => builder,
            Who::Asked => builder.issuer(Issuer::opaque(id(who))),
            Who::Es256 => builder.issuer(issuers[&who].discover().key_refresh(refresh)),
            _ => builder.issuer(issuers[&who].jwks().key_refresh(refresh)),
        };
    }
    builder.build().unwrap()
}

/// A check that takes its time and says yes.
async fn later(_: CheckRequest) -> Result<(), CheckError> {
    tokio::task::yield_now().await;
    Ok(())
}

/// The document of the feed: these tokens were revoked.
pub(crate) fn feed(sequence: u64, issued_at: u64, jtis: &[(String, u64)]) -> Value {
    let records: Vec<Value> = jtis
        .iter()
        .map(|(jti, at)| json!({ "jti": jti, "at": at, "exp": at + LIFE.as_secs() }))
        .collect();
    json!({
        "feed": "urn:example:feed",
        "sequence": sequence,
        "issued_at": issued_at,
        "count": records.len(),
        "records": records,
    })
}
