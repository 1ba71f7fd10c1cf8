//! What a whole decision costs, through the layer: the request is made, passes the layer, and reaches a
//! service that does nothing.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::as_conversions,
    clippy::print_stdout,
    unreachable_pub,
    dead_code,
    reason = "a benchmark fails by panicking, prints what it measured, and uses a part of the harness"
)]

mod harness;

use std::hint::black_box;
use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED, ParsedPublicKey};
use harness::floor::{DO_NOTHING, Nothing, nothing, ready};
use harness::{Effort, Goal, Group, Summary, waited};
use http::header::AUTHORIZATION;
use http::{HeaderValue, Method, Request, Response};
use portcullis::certificate::{ChainCheck, PeerCertificate};
use portcullis::check::scope;
use portcullis::jose::{Algorithm, Compact, base64url};
use portcullis::layer::ProtectLayer;
use portcullis::name::{IssuerId, Thumbprint};
use portcullis::observe::{Decision, Observer};
use portcullis::revocation::{Record, Revocation, StatusLists};
use portcullis::sender::{MemoryReplayStore, ReplayAnswer, ReplayEntry, ReplayStore as _, Used};
use portcullis::testing::{
    ClientKey, TestCertificate, TestIssuer, TestNetwork, TestStatusList, TokenBuilder,
};
use portcullis::time::{Clock as _, SystemClock};
use portcullis::{Binding, Dpop, Mtls, ResourceServer, TokenClass};
use serde::Deserialize;
use tower::{Layer, Service, service_fn};

const RESOURCE: &str = "https://api.example.com";
const URI: &str = "https://api.example.com/notes";
const ENTRIES: usize = 1 << 20;

/// An observer who does nothing with what it is told.
struct Nobody;

impl Observer for Nobody {
    fn observe(&self, decision: &Decision<'_>) {
        black_box(decision.outcome);
    }
}

/// A server as one would run it: keys from a key set, records of a million revoked tokens, a status
/// list of a million entries, an observer who does nothing.
struct World {
    runtime: tokio::runtime::Runtime,
    issuer: TestIssuer,
    list: TestStatusList,
    server: ResourceServer,
}

impl World {
    fn new(algorithm: Algorithm, records: usize) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let clock = SystemClock::new();
        let issuer = TestIssuer::with_algorithm("https://as.example", &clock, algorithm);
        let list = TestStatusList::new("https://as.example/lists/1", &issuer, &clock);
        list.resize(1, ENTRIES);
        let network = TestNetwork::of(&[&issuer]).with_list(&list);
        let server = runtime.block_on(async {
            let server = ResourceServer::builder(RESOURCE)
                .issuer(issuer.discover())
                .binding(Binding::WhereBound)
                .dpop(Dpop::new())
                .replay_store(used_replay_memory(records))
                .mtls(Mtls::direct())
                .class(TokenClass::default_at_most(Duration::from_hours(1)))
                .revocation(
                    Revocation::new().max_records(2_000_000).status_lists(StatusLists::new()),
                )
                .observer(Nobody)
                .transport(network)
                .build()
                .unwrap();
            server.warm_up().await.unwrap();
            let (id, now) = (issuer.id(), server.revocations().now());
            let revoked = (0..records).map(|number| Record::token(id, number.to_string(), now));
            server.revocations().revoke_all(revoked).await.unwrap();
            server
        });
        Self { runtime, issuer, list, server }
    }

    fn token(&self) -> TokenBuilder {
        let token = self.issuer.token(RESOURCE).scope("notes:read notes:write");
        token.claim("status", self.list.reference(4_711))
    }

    /// Uses a token once, so that it and its list are known.
    fn meet(&self, request: Request<()>) {
        let guard = self.server.guard(scope("notes:read")).unwrap();
        self.runtime.block_on(guard.verify(&request)).unwrap();
    }
}

/// A replay memory that others use as well: one whose pages were never touched is slower.
fn used_replay_memory(entries: usize) -> MemoryReplayStore {
    let (store, now) = (MemoryReplayStore::with_capacity(2 * entries), SystemClock::new().moment());
    let issuer = |of: usize| IssuerId::parse(&format!("https://as{of}.example")).unwrap();
    let issuers: Vec<_> = (0..100).map(issuer).collect();
    let key = Thumbprint::parse(&"A".repeat(43)).unwrap();
    for number in 0..entries {
        let jti = number.to_string();
        let used = Used::Proof { jkt: &key, jti: &jti, htu: URI };
        let until = now.wall().plus(Duration::from_mins(5));
        let entry = ReplayEntry::new(&issuers[number % 100], None, used, now.wall(), until, now);
        assert!(matches!(store.record(&entry), ReplayAnswer::Now(Ok(_))));
    }
    store
}

fn with_token(scheme: &str, token: &str) -> impl Fn() -> Request<()> + Clone + use<> {
    let field = HeaderValue::try_from(format!("{scheme} {token}")).unwrap();
    move || {
        let mut request = Request::get("/notes").body(()).unwrap();
        request.headers_mut().insert(AUTHORIZATION, field.clone());
        request
    }
}

fn main() {
    let effort = Effort::from_command_line();
    let records = if effort.quick { 10_000 } else { 1_000_000 };
    let world = World::new(Algorithm::Rs256, records);
    let mut summary = Summary::new(&effort);
    known_bearer(&effort, &world, &mut summary);
    known_dpop(&effort, &world, &mut summary);
    two_threads(&effort, &world, &mut summary);
    summary.finish();
}

/// What a request of this layer reaches; whoever calls it sees that the token was accepted.
fn served(layer: &ProtectLayer) -> impl FnMut(Request<()>) -> Response<()> + Clone + use<> {
    let mut service = layer.layer(service_fn(nothing));
    move |request| {
        let answer = ready(service.call(request)).unwrap();
        assert_eq!(answer.status(), 200, "{:?}", answer.headers());
        answer
    }
}

/// `known_bearer`, `known_mtls`, `known_bearer_feed_busy`.
fn known_bearer(effort: &Effort, world: &World, summary: &mut Summary) {
    let token = world.token().sign();
    let bearer = with_token("Bearer", &token);
    world.meet(bearer());
    let certificate = TestCertificate::named("client").self_signed();
    let bound = world.token().claim("cnf", certificate.confirmation()).sign();
    let presented = PeerCertificate::new(certificate.certificate(), ChainCheck::Unchecked);
    let bound = with_token("Bearer", &bound);
    let over_tls = || {
        let mut request = bound();
        request.extensions_mut().insert(presented.clone());
        request
    };
    world.meet(over_tls());

    let layer = world.server.protect(scope("notes:read"));
    let mut floor = Nothing(service_fn(nothing));
    let (mut known, mut known_mtls) = (served(&layer), served(&layer));
    let rows = Group::new(format!("a known token of {} octets", token.len()))
        .case(DO_NOTHING, || ready(floor.call(bearer())).unwrap())
        .case("known_bearer", || known(bearer()))
        .run(effort);
    // As many as the floor has for the request, and three.
    summary.row(&rows, "known_bearer", Goal::ratio(2.2).allocations(6.0));
    let mut room = served(&layer);
    let mut floor_room = Nothing(service_fn(nothing));
    let with_room = || {
        let mut request = bearer();
        // What a server has put there before, as most do.
        request.extensions_mut().insert(0_u8);
        request
    };
    let rows = Group::new("a known token, where the request has other extensions")
        .case(DO_NOTHING, || ready(floor_room.call(with_room())).unwrap())
        .case("known_bearer_with_room", || room(with_room()))
        .run(effort);
    // As many as the floor, and one.
    summary.row(&rows, "known_bearer_with_room", Goal::none().allocations(7.0));
    let mut known = served(&layer);
    let rows = Group::new("a known token that is bound to a certificate")
        .case("known_bearer", || known(bearer()))
        .case("known_mtls", || known_mtls(over_tls()))
        .run(effort);
    summary.row(&rows, "known_mtls", Goal::ratio(1.3));

    let (mut known, stop) = (served(&layer), AtomicBool::new(false));
    let (name, applied) = ("known_bearer_feed_busy", AtomicU64::new(0));
    if !effort.wants(name) {
        return;
    }
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let (start, revocations) = (Instant::now(), world.server.revocations());
            while !stop.load(Ordering::Relaxed) {
                let number = applied.fetch_add(1, Ordering::Relaxed);
                let record =
                    Record::token(world.issuer.id(), format!("busy {number}"), revocations.now());
                world.runtime.block_on(revocations.revoke(record)).unwrap();
                let next = Duration::from_millis(number + 1);
                std::thread::sleep(next.saturating_sub(start.elapsed()));
            }
        });
        let mut floor = Nothing(service_fn(nothing));
        let start = (Instant::now(), applied.load(Ordering::Relaxed));
        let rows = Group::new("while the index changes 1 000 times a second")
            .case(DO_NOTHING, || ready(floor.call(bearer())).unwrap())
            .case(name, || known(bearer()))
            .run(effort);
        summary.row(&rows, name, Goal::ratio(2.6));
        let changes = (applied.load(Ordering::Relaxed) - start.1) as f64;
        println!("\n{:.0} changes a second", changes / start.0.elapsed().as_secs_f64());
        stop.store(true, Ordering::Relaxed);
    });
}

/// A client with a token that is bound to its key.
struct Sender {
    client: ClientKey,
    token: String,
    field: HeaderValue,
}

impl Sender {
    fn new(world: &World) -> Self {
        let client = ClientKey::generate(Algorithm::Es256, &SystemClock::new());
        // A client that acts for itself: all of its share of the replay memory is one's.
        let token = world.token().subject("pipeline").client_id("pipeline");
        let token = token.claim("cnf", client.confirmation()).sign();
        let field = HeaderValue::try_from(format!("DPoP {token}")).unwrap();
        let sender = Self { client, token, field };
        world.meet(sender.request(&sender.proof()));
        sender
    }

    fn proof(&self) -> HeaderValue {
        let proof = self.client.proof(Method::GET, URI).token(&self.token).sign();
        HeaderValue::try_from(proof).unwrap()
    }

    fn proofs(&self, count: usize) -> Vec<HeaderValue> {
        (0..count).map(|_| self.proof()).collect()
    }

    fn request(&self, proof: &HeaderValue) -> Request<()> {
        let mut request = Request::get("/notes").body(()).unwrap();
        request.headers_mut().insert(AUTHORIZATION, self.field.clone());
        request.headers_mut().insert("dpop", proof.clone());
        request
    }
}

#[derive(Deserialize)]
struct ProofClaims<'a> {
    #[serde(borrow)]
    jti: &'a str,
    htm: &'a str,
    htu: &'a str,
    iat: u64,
    ath: &'a str,
}

/// `known_dpop`: each request has a new proof, which is remembered.
fn known_dpop(effort: &Effort, world: &World, summary: &mut Summary) {
    if !effort.wants("known_dpop") {
        return;
    }
    let sender = Sender::new(world);
    let proofs = sender.proofs(if effort.quick { 1_000 } else { 12_000 });
    let mut unused = proofs.iter();
    let jwk = sender.client.public_jwk();
    let octets = |name: &str| base64url::decode(jwk[name].as_str().unwrap()).unwrap();
    let point = [vec![4], octets("x"), octets("y")].concat();
    let key = ParsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, &point).unwrap();
    // As many different ones: a processor learns the way of a signature that it sees again and again.
    let others = sender.proofs(proofs.len());
    let parsed = |proof: &HeaderValue| {
        let jws = Compact::parse(proof.to_str().unwrap()).unwrap();
        let (message, signature) = (jws.signing_input().to_owned(), jws.signature().to_owned());
        (message, signature, jws.payload().to_owned())
    };
    let parsed: Vec<_> = others.iter().map(parsed).collect();
    let mut next = parsed.iter().cycle();

    let mut known = served(&world.server.protect(scope("notes:read")));
    let rows = Group::new("a known token that is bound to a key, with a new proof")
        .case("one ES256 verification, one reading of the claims", || {
            let (message, signature, claims) = next.next().unwrap();
            key.verify_sig(message.as_bytes(), signature).unwrap();
            serde_json::from_slice::<ProofClaims<'_>>(claims).unwrap().iat
        })
        .case("known_dpop", || known(sender.request(unused.next().expect("enough proofs"))))
        .run(effort);
    summary.row(&rows, "known_dpop", Goal::ratio(1.12));
}

/// `two_threads_known_bearer`, `two_threads_known_dpop`: the work of two threads to the work of one, each
/// with a token of its own. Beside them what two threads do of what needs nothing of each other.
fn two_threads(effort: &Effort, world: &World, summary: &mut Summary) {
    let layer = world.server.protect(scope("notes:read"));
    let rounds = if effort.quick { 3 } else { 21 };
    let each = if effort.quick { 2_000 } else { 20_000 };
    println!("\n### two threads\n\n({rounds} interleaved rounds)\n");
    println!("| what | one thread, ns | the work of two to that of one |\n|---|--:|--:|");
    if effort.wants("two_threads_do_nothing") {
        let job = || {
            let bearer = with_token("Bearer", &"t".repeat(742));
            let mut floor = Nothing(service_fn(nothing));
            move || {
                black_box(ready(floor.call(bearer())).unwrap());
            }
        };
        scaling("two_threads_do_nothing", (rounds, each), job, summary);
    }
    if effort.wants("two_threads_known_bearer") {
        let job = || {
            let bearer = with_token("Bearer", &world.token().sign());
            world.meet(bearer());
            let mut known = served(&layer);
            move || {
                black_box(known(bearer()));
            }
        };
        scaling("two_threads_known_bearer", (rounds, each), job, summary);
    }
    if effort.wants("two_threads_known_dpop") {
        let (rounds, each) = (rounds.min(7), each / 40);
        let job = || {
            let sender = Sender::new(world);
            let mut unused = sender.proofs(each * (2 * rounds + 2)).into_iter();
            let mut known = served(&layer);
            move || {
                black_box(known(sender.request(&unused.next().expect("enough proofs"))));
            }
        };
        scaling("two_threads_known_dpop", (rounds, each), job, summary);
    }
}

fn scaling<J: FnMut() + Send>(
    name: &str,
    (rounds, each): (usize, usize),
    job: impl Fn() -> J,
    summary: &mut Summary,
) {
    let mut jobs = [job(), job()];
    let mut run = |threads: usize| {
        let begin = Barrier::new(threads + 1);
        std::thread::scope(|scope| {
            let running: Vec<_> = jobs
                .iter_mut()
                .take(threads)
                .map(|job| {
                    let begin = &begin;
                    scope.spawn(move || {
                        begin.wait();
                        let (start, before) = (Instant::now(), waited());
                        (0..each).for_each(|_| job());
                        start.elapsed().saturating_sub(waited().saturating_sub(before))
                    })
                })
                .collect();
            begin.wait();
            let taken = running.into_iter().map(|thread| thread.join().unwrap()).max().unwrap();
            taken.as_nanos() as f64 / each as f64
        })
    };
    let (mut alone, mut ratios) = (Vec::new(), Vec::new());
    for _ in 0..rounds {
        let (one, two) = (run(1), run(2));
        alone.push(one);
        ratios.push(2.0 * one / two);
    }
    alone.sort_by(f64::total_cmp);
    ratios.sort_by(f64::total_cmp);
    println!("| {name} | {:.0} | {:.2} |", alone[rounds / 2], ratios[rounds / 2]);
    let goal = if name.ends_with("do_nothing") { Goal::none() } else { Goal::at_least(1.9) };
    summary.ratio(name, ratios[rounds / 2], "the work of one thread", goal);
}
