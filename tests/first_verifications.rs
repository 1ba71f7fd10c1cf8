//! Tokens that are not known have their signature verified so many at a time; tokens that are known do not
//! notice.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

mod support;

use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use http::HeaderValue;
use http::header::RETRY_AFTER;
use portcullis::check::{allow_all, scope};
use portcullis::introspection::{ClientAuth, Introspection};
use portcullis::jose::Algorithm;
use portcullis::layer::ProtectLayer;
use portcullis::observe::{Decision, DecisionRecord, Observer};
use portcullis::secret::{Secret, SecretSource};
use portcullis::testing::{
    ClientKey, HeldVerifications, ManualClock, TestIntrospection, TestIssuer, TestNetwork,
    TokenBuilder,
};
use portcullis::time::Clock as _;
use portcullis::{
    Binding, ConfigFault, Dpop, FirstVerificationHealth, FirstVerifications, Outcome,
    RejectionKind as Kind, ResourceServer, ServerBuilder, Step,
};
use support::{ISSUER, RESOURCE, Sent, anonymous, bearer, builder, send, with_field};
use tokio::task::unconstrained;

const WAIT: Duration = Duration::from_millis(500);
const MOMENT: Duration = Duration::from_millis(1);

type Sending<'a> = Pin<Box<dyn Future<Output = Sent> + 'a>>;

/// An issuer and a server that has its keys.
struct World {
    clock: ManualClock,
    issuer: TestIssuer,
    api: ResourceServer,
}

/// One at a time; four wait.
fn narrow() -> FirstVerifications {
    FirstVerifications::new().max_at_once(1).queue_at_most(4).wait_at_most(WAIT)
}

impl World {
    fn new() -> Self {
        Self::with(|builder| builder)
    }

    fn with(settings: impl FnOnce(ServerBuilder) -> ServerBuilder) -> Self {
        let clock = ManualClock::new();
        let issuer = TestIssuer::new(ISSUER, &clock);
        let base = builder(&clock).issuer(issuer.fixed_keys()).first_verifications(narrow());
        let api = settings(base).transport(TestNetwork::of(&[&issuer])).build().unwrap();
        Self { clock, issuer, api }
    }

    fn token(&self) -> TokenBuilder {
        self.issuer.token(RESOURCE)
    }

    /// A good token that nobody saw yet.
    fn unknown(&self) -> String {
        self.token().sign()
    }

    /// A token that was accepted before.
    async fn known(&self) -> String {
        let token = self.unknown();
        assert!(send(&self.api.layer(), bearer(&token)).await.passed());
        token
    }

    fn health(&self) -> FirstVerificationHealth {
        self.api.first_verification_health().unwrap()
    }

    /// Starts a request through the layer.
    fn start<'a>(&'a self, layer: &'a ProtectLayer, token: &str) -> Sending<'a> {
        Box::pin(unconstrained(send(layer, bearer(token))))
    }
}

/// Counts how often it is woken.
#[derive(Default)]
struct Woken(AtomicUsize);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

impl Woken {
    fn times(&self) -> usize {
        self.0.load(Ordering::SeqCst)
    }
}

fn poll_once<T>(future: Pin<&mut (impl Future<Output = T> + ?Sized)>) -> Poll<T> {
    future.poll(&mut Context::from_waker(Waker::noop()))
}

fn poll_with<T>(
    future: Pin<&mut (impl Future<Output = T> + ?Sized)>,
    woken: &Arc<Woken>,
) -> Poll<T> {
    future.poll(&mut Context::from_waker(&Waker::from(Arc::clone(woken))))
}

/// 503 with `Retry-After`, of its own kind, and not a word about the token.
#[track_caller]
fn assert_is_overloaded(sent: &Sent) {
    assert_eq!(sent.kind(), Some(Kind::VerificationOverloaded));
    assert!(!sent.passed(), "the inner service was called");
    assert_eq!(sent.response.status(), 503);
    assert_eq!(sent.response.headers()[RETRY_AFTER], "1");
    assert!(sent.response.headers().get("www-authenticate").is_none());
}

#[track_caller]
fn ended<T>(poll: Poll<T>) -> T {
    match poll {
        Poll::Ready(outcome) => outcome,
        Poll::Pending => panic!("it still waits"),
    }
}

/// While every place is taken, a token that is known passes at once; one that is not waits, passes when a
/// place is free, and is known then.
#[tokio::test]
async fn a_known_token_passes_and_an_unknown_one_waits() {
    let world = World::new();
    let layer = world.api.layer();
    let (known, unknown) = (world.known().await, world.unknown());
    let held = HeldVerifications::of(&world.api);
    assert_eq!((held.held(), world.health().under_way), (1, 1));

    assert!(ended(poll_once(world.start(&layer, &known).as_mut())).passed());
    let woken = Arc::new(Woken::default());
    let mut waiting = world.start(&layer, &unknown);
    assert!(poll_with(waiting.as_mut(), &woken).is_pending());
    assert!(poll_with(waiting.as_mut(), &woken).is_pending());
    assert_eq!((world.health().waiting, woken.times()), (1, 0));
    drop(held);
    assert_eq!(woken.times(), 1);
    assert!(ended(poll_with(waiting.as_mut(), &woken)).passed());

    let health = world.health();
    assert_eq!((health.max_at_once, health.under_way, health.waiting), (1, 0, 0));
    assert_eq!((health.waited, health.turned_away), (1, 0));
    let _held = HeldVerifications::of(&world.api);
    assert!(ended(poll_once(world.start(&layer, &unknown).as_mut())).passed());
}

/// The twin of a wait that ends well: a forged token waits as well, and is refused for what it is.
#[tokio::test]
async fn a_forged_token_that_waited_is_refused() {
    let world = World::new();
    let layer = world.api.layer();
    let held = HeldVerifications::of(&world.api);
    let mut waiting = world.start(&layer, &world.token().tampered());
    assert!(poll_once(waiting.as_mut()).is_pending());
    drop(held);
    assert_eq!(ended(poll_once(waiting.as_mut())).kind(), Some(Kind::BadSignature));
    assert_eq!(world.health().waiting, 0);
}

/// Without tower it is the same.
#[tokio::test]
async fn a_guard_waits_as_a_layer_does() {
    let world = World::new();
    let guard = world.api.guard(allow_all()).unwrap();
    let (known, unknown) = (bearer(&world.known().await), bearer(&world.unknown()));
    let held = HeldVerifications::of(&world.api);
    assert!(ended(poll_once(pin!(guard.verify(&known)))).is_ok());
    let mut waiting = pin!(unconstrained(guard.verify(&unknown)));
    assert!(poll_once(waiting.as_mut()).is_pending());
    let mut late = pin!(unconstrained(guard.verify_optional(&unknown)));
    assert!(poll_once(late.as_mut()).is_pending());
    world.clock.advance(WAIT - MOMENT);
    assert!(poll_once(late.as_mut()).is_pending());
    drop(held);
    assert!(ended(poll_once(waiting)).is_ok());
    let held = HeldVerifications::of(&world.api);
    // It is known by now.
    assert!(ended(poll_once(late)).unwrap().is_some());

    let other = bearer(&world.unknown());
    let mut late = pin!(unconstrained(guard.verify(&other)));
    assert!(poll_once(late.as_mut()).is_pending());
    world.clock.advance(WAIT);
    let refused = ended(poll_once(late)).unwrap_err();
    assert_eq!(refused.kind(), Kind::VerificationOverloaded);
    assert_eq!((refused.outcome(), refused.step()), (Outcome::Unavailable, Some(Step::Signature)));
    assert_eq!(refused.retry_after(), Some(Duration::from_secs(1)));
    drop(held);
}

/// Whoever waited as long as may be is told to come again, and not a moment earlier. The twin: a place that
/// is free by then is taken.
#[tokio::test]
async fn a_wait_ends() {
    let world = World::new();
    let layer = world.api.layer();
    let held = HeldVerifications::of(&world.api);
    let mut late = world.start(&layer, &world.unknown());
    let mut in_time = world.start(&layer, &world.unknown());
    assert!(poll_once(late.as_mut()).is_pending());
    world.clock.advance(MOMENT);
    assert!(poll_once(in_time.as_mut()).is_pending());
    world.clock.advance(WAIT - 2 * MOMENT);
    assert!(poll_once(late.as_mut()).is_pending());
    world.clock.advance(MOMENT);
    assert_is_overloaded(&ended(poll_once(late.as_mut())));
    let health = world.health();
    assert_eq!((health.waiting, health.waited, health.turned_away), (1, 2, 1));

    world.clock.advance(MOMENT);
    drop(held);
    assert!(ended(poll_once(in_time.as_mut())).passed(), "its time is over, and there is a place");
    assert_eq!(world.health().turned_away, 1);
}

/// A wait is one, however often another is faster: its end does not move.
#[tokio::test]
async fn a_wait_that_was_interrupted_ends_when_it_should() {
    let world = World::new();
    let layer = world.api.layer();
    let mut held = HeldVerifications::of(&world.api);
    let mut waiting = world.start(&layer, &world.unknown());
    assert!(poll_once(waiting.as_mut()).is_pending());
    for _ in 0..5 {
        world.clock.advance(WAIT / 10);
        held.release_one();
        held = HeldVerifications::of(&world.api);
        assert_eq!(held.held(), 1);
        assert!(poll_once(waiting.as_mut()).is_pending());
    }
    assert_eq!((world.health().waiting, world.health().waited), (1, 1));
    world.clock.advance(WAIT / 2 - MOMENT);
    assert!(poll_once(waiting.as_mut()).is_pending());
    world.clock.advance(MOMENT);
    assert_is_overloaded(&ended(poll_once(waiting.as_mut())));
}

/// So many wait; one more is told to come again at once, until somebody leaves. With no room at all nobody
/// waits.
#[tokio::test]
async fn there_is_room_for_so_many() {
    let world = World::new();
    let layer = world.api.layer();
    let held = HeldVerifications::of(&world.api);
    let mut waiting: Vec<_> = (0..4).map(|_| world.start(&layer, &world.unknown())).collect();
    assert!(waiting.iter_mut().all(|request| poll_once(request.as_mut()).is_pending()));
    for _ in 0..3 {
        assert_is_overloaded(&ended(poll_once(world.start(&layer, &world.unknown()).as_mut())));
    }
    let health = world.health();
    assert_eq!((health.waiting, health.waited, health.turned_away), (4, 4, 3));
    drop(waiting.remove(1));
    let mut other = world.start(&layer, &world.unknown());
    assert!(poll_once(other.as_mut()).is_pending());
    waiting.push(other);
    drop(held);
    for mut request in waiting {
        assert!(ended(poll_once(request.as_mut())).passed());
    }

    let nobody = World::with(|builder| builder.first_verifications(narrow().queue_at_most(0)));
    let layer = nobody.api.layer();
    let token = nobody.unknown();
    let held = HeldVerifications::of(&nobody.api);
    assert_is_overloaded(&ended(poll_once(nobody.start(&layer, &token).as_mut())));
    drop(held);
    assert!(ended(poll_once(nobody.start(&layer, &token).as_mut())).passed());
}

/// Whoever came first is called first, one for each place; each of them calls the next.
#[tokio::test]
async fn the_first_is_served_first() {
    let world = World::new();
    let layer = world.api.layer();
    let held = HeldVerifications::of(&world.api);
    let mut line: Vec<_> = (0..4)
        .map(|_| (world.start(&layer, &world.unknown()), Arc::new(Woken::default())))
        .collect();
    for (request, woken) in &mut line {
        assert!(poll_with(request.as_mut(), woken).is_pending());
    }
    drop(held);
    for number in 0..4 {
        let woken: Vec<_> = line.iter().map(|(_, woken)| woken.times()).collect();
        assert_eq!(woken, (0..4).map(|at| usize::from(at <= number)).collect::<Vec<_>>());
        let (request, woken) = &mut line[number];
        assert!(ended(poll_with(request.as_mut(), woken)).passed());
    }
}

/// A place is never kept by a request that nobody looks at any more: it was called, and is neither polled nor
/// dropped. Others take the place, and it loses nothing but its time.
#[tokio::test]
async fn a_request_that_is_called_and_forgotten_stops_nobody() {
    let world = World::new();
    let layer = world.api.layer();
    let held = HeldVerifications::of(&world.api);
    let (first, second) = (Arc::new(Woken::default()), Arc::new(Woken::default()));
    let mut forgotten = world.start(&layer, &world.unknown());
    let mut next = world.start(&layer, &world.unknown());
    assert!(poll_with(forgotten.as_mut(), &first).is_pending());
    assert!(poll_with(next.as_mut(), &second).is_pending());
    drop(held);
    assert_eq!((first.times(), second.times()), (1, 0));
    for _ in 0..3 {
        let mut newcomer = world.start(&layer, &world.unknown());
        assert!(ended(poll_once(newcomer.as_mut())).passed());
    }
    assert_eq!((first.times(), second.times()), (1, 1), "the end of the newcomer's turn called it");
    assert!(ended(poll_with(next.as_mut(), &second)).passed());
    assert!(ended(poll_with(forgotten.as_mut(), &first)).passed());
    assert_eq!(world.health().waiting, 0);
}

/// A request that is dropped leaves its place in the line, and hands on the call that it did not follow.
#[tokio::test]
async fn a_dropped_request_leaves() {
    let world = World::new();
    let layer = world.api.layer();
    let held = HeldVerifications::of(&world.api);
    let (first, second) = (Arc::new(Woken::default()), Arc::new(Woken::default()));
    let mut dropped = world.start(&layer, &world.unknown());
    let mut next = world.start(&layer, &world.unknown());
    assert!(poll_with(dropped.as_mut(), &first).is_pending());
    assert!(poll_with(next.as_mut(), &second).is_pending());
    drop(held);
    assert_eq!((first.times(), second.times()), (1, 0));
    drop(dropped);
    assert_eq!((second.times(), world.health().waiting), (1, 1));
    assert!(ended(poll_with(next.as_mut(), &second)).passed());
}

/// Ever so many that are dropped leave nothing behind: no place, no one in the line, no sleeper.
#[tokio::test]
async fn nothing_leaks() {
    let world = World::new();
    let layer = world.api.layer();
    let token = world.unknown();
    let guard = world.api.guard(allow_all()).unwrap();
    let request = bearer(&token);
    for round in 0..10 {
        let held = HeldVerifications::of(&world.api);
        assert_eq!(held.held(), 1, "{round}");
        for _ in 0..500 {
            assert!(poll_once(world.start(&layer, &token).as_mut()).is_pending());
            assert!(poll_once(pin!(unconstrained(guard.verify(&request)))).is_pending());
        }
        // One that is called, and dropped at that.
        let mut called = world.start(&layer, &token);
        assert!(poll_once(called.as_mut()).is_pending());
        drop(held);
        drop(called);
        let health = world.health();
        assert_eq!((health.under_way, health.waiting), (0, 0), "{round}");
        assert_eq!(world.clock.sleepers(), 0, "{round}");
    }
    assert_eq!(world.health().turned_away, 0);
    assert!(send(&layer, bearer(&token)).await.passed());
}

/// What is refused before its signature is verified needs no place, and is refused for what it is.
/// The twin needs one: whatever is found after the signature.
#[tokio::test]
async fn what_is_refused_before_takes_no_place() {
    let world = World::with(|builder| builder.first_verifications(narrow().queue_at_most(0)));
    let layer = world.api.layer();
    let now = world.clock.now();
    let ago = |minutes| now.minus(Duration::from_mins(minutes));
    let token = || world.token();
    let signed = token().sign();
    let before = [
        (Kind::OpaqueToken, "opaque".to_owned()),
        (Kind::EncryptedToken, format!("{signed}.e.e")),
        (Kind::MalformedToken, format!("{}.x", token().signing_input())),
        (Kind::WrongType, token().header("typ", "nothing").sign()),
        (Kind::AlgorithmNotAllowed, token().header("alg", "none").sign()),
        (Kind::UnknownIssuer, token().claim("iss", "https://other.example").sign()),
        (Kind::UnknownKey, token().header("kid", "other").sign()),
    ];
    let after = [
        (Kind::BadSignature, token().tampered()),
        (Kind::MissingClaim, token().without("jti").sign()),
        (Kind::WrongAudience, token().claim("aud", "https://other.example").sign()),
        (Kind::Expired, token().issued_at(ago(10)).expires_at(ago(5)).sign()),
    ];
    let held = HeldVerifications::of(&world.api);
    for (kind, token) in &before {
        assert_eq!(send(&layer, bearer(token)).await.kind(), Some(*kind));
    }
    assert_eq!(send(&layer, anonymous()).await.kind(), Some(Kind::NoCredentials));
    let other = with_field("authorization", "Basic x");
    assert_eq!(send(&layer, other).await.kind(), Some(Kind::UnsupportedScheme));
    for (_, token) in &after {
        assert_is_overloaded(&send(&layer, bearer(token)).await);
    }
    drop(held);
    for (kind, token) in &after {
        assert_eq!(send(&layer, bearer(token)).await.kind(), Some(*kind));
    }
}

/// A known token is decided as ever: time, scope and sender are looked at, with every place taken.
#[tokio::test]
async fn a_known_token_is_decided_as_ever() {
    let world = World::with(|builder| builder.dpop(Dpop::new()).binding(Binding::WhereBound));
    let layer = world.api.layer();
    let known = world.known().await;
    let client = ClientKey::generate(Algorithm::Es256, &world.clock);
    let bound = world.token().claim("cnf", client.confirmation()).sign();
    let with_proof = |proof: String| {
        let mut request = with_field("authorization", format!("DPoP {bound}"));
        request.headers_mut().insert("dpop", HeaderValue::try_from(proof).unwrap());
        request
    };
    let proof = || client.proof("GET", &format!("{RESOURCE}/notes")).token(&bound);
    let first = send(&layer, with_proof(proof().sign())).await;
    assert_eq!(first.kind(), None);

    let _held = HeldVerifications::of(&world.api);
    let narrower = world.api.protect(scope("notes:read"));
    assert_eq!(send(&narrower, bearer(&known)).await.kind(), Some(Kind::InsufficientScope));
    assert_eq!(send(&layer, bearer(&bound)).await.kind(), Some(Kind::BearerDowngrade));
    assert!(send(&layer, with_proof(proof().sign())).await.passed());
    let forged = send(&layer, with_proof(proof().tampered())).await;
    assert_eq!(forged.kind(), Some(Kind::ProofSignature));
    assert!(send(&layer, bearer(&known)).await.passed());
    world.clock.advance(Duration::from_hours(2));
    // It is not known any more, and waits with the others.
    assert_eq!(send(&layer, bearer(&known)).await.kind(), Some(Kind::Expired));
    let mut forgotten = world.start(&layer, &known);
    assert!(poll_once(forgotten.as_mut()).is_pending());
}

/// A token that somebody stole is worth no more to him than forged ones: once a proof that came with it was
/// forged, the next needs a place. Its owner's next proof waits for that one, and none after it; and the
/// owners of other tokens do not notice.
#[tokio::test]
async fn forged_proofs_for_a_known_token_need_a_place() {
    let world = World::with(|builder| {
        builder.dpop(Dpop::new()).first_verifications(narrow().queue_at_most(1))
    });
    let layer = world.api.layer();
    let [owner, thief] = [(); 2].map(|()| ClientKey::generate(Algorithm::Es256, &world.clock));
    let [stolen, other] = [(); 2].map(|()| world.token().claim("cnf", owner.confirmation()).sign());
    let url = format!("{RESOURCE}/notes");
    let with = |token: &str, proof: String| {
        let mut request = with_field("authorization", format!("DPoP {token}"));
        request.headers_mut().insert("dpop", HeaderValue::try_from(proof).unwrap());
        request
    };
    let proof = |key: &ClientKey, token: &str| key.proof("GET", &url).token(token);
    let good = |token: &str| with(token, proof(&owner, token).sign());
    for token in [&stolen, &other] {
        // One place is enough for a token that is not known and its proof.
        assert!(send(&layer, good(token)).await.passed());
    }
    let mut private = owner.public_jwk();
    private["d"] = "AAAA".into();
    let forged = [
        (Kind::ProofSignature, proof(&owner, &stolen).tampered()),
        (Kind::OtherKey, proof(&thief, &stolen).sign()),
        (Kind::ProofToken, proof(&owner, &other).sign()),
        (Kind::ProofKey, proof(&owner, &stolen).jwk(private).sign()),
    ];
    for (kind, proof) in forged {
        let held = HeldVerifications::of(&world.api);
        assert!(send(&layer, good(&stolen)).await.passed(), "{kind}: nobody disputes it");
        assert_eq!(send(&layer, with(&stolen, proof.clone())).await.kind(), Some(kind));
        let again = send(&layer, with(&stolen, proof));
        let mut again = Box::pin(unconstrained(again));
        assert!(poll_once(again.as_mut()).is_pending(), "{kind}");
        assert_is_overloaded(&send(&layer, good(&stolen)).await);
        assert!(send(&layer, good(&other)).await.passed());
        // What needs no signature needs no place.
        assert_eq!(send(&layer, bearer(&stolen)).await.kind(), Some(Kind::BearerDowngrade));
        drop(held);
        assert_eq!(ended(poll_once(again.as_mut())).kind(), Some(kind));
        assert!(send(&layer, good(&stolen)).await.passed(), "{kind}: there is a place");
    }
}

/// A JWT that its issuer is asked about has its signature verified with every use: the first time it needs a
/// place, and never again once the issuer said that it is active.
#[tokio::test]
async fn a_token_that_was_asked_about_needs_no_place() {
    let clock = ManualClock::new();
    let issuer = TestIssuer::new(ISSUER, &clock);
    let endpoint = TestIntrospection::of(&issuer, &clock);
    let network = TestNetwork::of(&[&issuer]).with_introspection(&endpoint);
    let client = ClientAuth::basic("rs", SecretSource::given(Secret::new("a secret of ours")));
    let introspection = Introspection::at(ISSUER, endpoint.url()).client(client).jwts();
    let api = builder(&clock)
        .issuer(issuer.fixed_keys())
        .introspection(introspection)
        .first_verifications(narrow().queue_at_most(0))
        .transport(network)
        .build()
        .unwrap();
    let layer = api.layer();
    let [known, unknown] = [(); 2].map(|()| {
        let claims = issuer.token(RESOURCE);
        let token = claims.sign();
        endpoint.active_as(&token, claims);
        token
    });
    assert!(send(&layer, bearer(&known)).await.passed());
    let held = HeldVerifications::of(&api);
    assert!(send(&layer, bearer(&known)).await.passed());
    assert_is_overloaded(&send(&layer, bearer(&unknown)).await);
    drop(held);
    assert!(send(&layer, bearer(&unknown)).await.passed());
    // What the issuer took back is worth no more than one that it never knew.
    endpoint.revoke(&known);
    clock.advance(Duration::from_secs(31));
    assert_eq!(send(&layer, bearer(&known)).await.kind(), Some(Kind::Inactive));
    let held = HeldVerifications::of(&api);
    assert_is_overloaded(&send(&layer, bearer(&known)).await);
    drop(held);
    assert_eq!(send(&layer, bearer(&known)).await.kind(), Some(Kind::Inactive));
}

/// INT-05: of an opaque token nothing is known of its sender's proofs. Each needs a place: whoever stole one
/// could send forged proofs with it for ever.
#[tokio::test]
async fn a_proof_for_an_opaque_token_needs_a_place() {
    let clock = ManualClock::new();
    let issuer = TestIssuer::new(ISSUER, &clock);
    let endpoint = TestIntrospection::of(&issuer, &clock);
    let network = TestNetwork::of(&[&issuer]).with_introspection(&endpoint);
    let client = ClientAuth::basic("rs", SecretSource::given(Secret::new("a secret of ours")));
    let api = builder(&clock)
        .issuer(issuer.fixed_keys())
        .introspection(Introspection::at(ISSUER, endpoint.url()).client(client))
        .dpop(Dpop::new())
        .first_verifications(narrow().queue_at_most(0))
        .transport(network)
        .build()
        .unwrap();
    let layer = api.layer();
    let owner = ClientKey::generate(Algorithm::Es256, &clock);
    let bound = issuer.token(RESOURCE).claim("cnf", owner.confirmation());
    let stolen = endpoint.active(&bound);
    let unbound = endpoint.active(issuer.token(RESOURCE));
    let url = format!("{RESOURCE}/notes");
    let with = |proof: String| {
        let mut request = with_field("authorization", format!("DPoP {stolen}"));
        request.headers_mut().insert("dpop", HeaderValue::try_from(proof).unwrap());
        request
    };
    let proof = || owner.proof("GET", &url).token(&stolen);
    assert!(send(&layer, with(proof().sign())).await.passed());
    assert!(send(&layer, bearer(&unbound)).await.passed());
    let held = HeldVerifications::of(&api);
    for proof in [proof().tampered(), proof().sign()] {
        assert_is_overloaded(&send(&layer, with(proof)).await);
    }
    assert!(send(&layer, bearer(&unbound)).await.passed(), "it has no proof to be verified");
    drop(held);
    let forged = send(&layer, with(proof().tampered())).await;
    assert_eq!(forged.kind(), Some(Kind::ProofSignature));
    assert!(send(&layer, with(proof().sign())).await.passed());
}

/// A gRPC client is told UNAVAILABLE, with when to come again.
#[tokio::test]
async fn grpc_is_told_that_it_is_unavailable() {
    let world = World::with(|builder| builder.first_verifications(narrow().queue_at_most(0)));
    let layer = world.api.layer().grpc();
    let token = world.unknown();
    let _held = HeldVerifications::of(&world.api);
    let sent = send(&layer, bearer(&token)).await;
    assert_eq!(sent.kind(), Some(Kind::VerificationOverloaded));
    let headers = sent.response.headers();
    assert_eq!(sent.response.status(), 200);
    assert_eq!(headers["grpc-status"], "14");
    assert_eq!(headers["grpc-retry-pushback-ms"], "1000");
    assert!(headers.get("www-authenticate").is_none());
}

/// Keeps what it is told.
#[derive(Clone, Default)]
struct Kept(Arc<Mutex<Vec<DecisionRecord>>>);

impl Observer for Kept {
    fn observe(&self, decision: &Decision<'_>) {
        self.0.lock().unwrap().push(DecisionRecord::from(decision));
    }
}

/// An observer is told of one decision for each request, whatever it waited for; what a token that was turned
/// away says of itself is not believed.
#[tokio::test]
async fn an_observer_is_told_once() {
    let kept = Kept::default();
    let world = World::with(|builder| builder.observer(kept.clone()));
    let layer = world.api.layer();
    let held = HeldVerifications::of(&world.api);
    let mut late = world.start(&layer, &world.unknown());
    assert!(poll_once(late.as_mut()).is_pending());
    assert!(kept.0.lock().unwrap().is_empty());
    world.clock.advance(WAIT);
    assert_is_overloaded(&ended(poll_once(late.as_mut())));
    let told = std::mem::take(&mut *kept.0.lock().unwrap());
    let [record] = &told[..] else { panic!("{told:?}") };
    assert_eq!(record.kind, Some(Kind::VerificationOverloaded));
    assert_eq!(record.step(), Some(Step::Signature));
    assert_eq!((&record.client_id, record.issuer_proven), (&None, false));
    assert_eq!(record.duration, WAIT);
    assert!(record.reason.as_ref().unwrap().contains("500ms"), "{record:?}");

    let mut served = world.start(&layer, &world.unknown());
    assert!(poll_once(served.as_mut()).is_pending());
    drop(held);
    assert!(ended(poll_once(served.as_mut())).passed());
    let told = std::mem::take(&mut *kept.0.lock().unwrap());
    assert_eq!(told.len(), 1);
    assert_eq!(told[0].kind, None);
}

/// Where nothing bounds them, nothing can be taken and nobody waits.
#[tokio::test]
async fn without_a_bound_nobody_waits() {
    let world = World::with(|builder| builder.first_verifications(FirstVerifications::unbounded()));
    let held = HeldVerifications::of(&world.api);
    assert_eq!(held.held(), 0);
    assert!(world.api.first_verification_health().is_none());
    let layer = world.api.layer();
    assert!(ended(poll_once(world.start(&layer, &world.unknown()).as_mut())).passed());
    assert_eq!(
        send(&layer, bearer(&world.token().tampered())).await.kind(),
        Some(Kind::BadSignature)
    );
}

/// Outside a tokio runtime, where there is no timer, a request waits for its turn and nothing else.
#[test]
fn without_a_runtime_a_turn_comes_too() {
    let world = World::new();
    let guard = world.api.guard(allow_all()).unwrap();
    let request = bearer(&world.unknown());
    let held = HeldVerifications::of(&world.api);
    let mut waiting = pin!(guard.verify(&request));
    let woken = Arc::new(Woken::default());
    assert!(poll_with(waiting.as_mut(), &woken).is_pending());
    assert_eq!(world.clock.sleepers(), 0);
    drop(held);
    assert_eq!(woken.times(), 1);
    assert!(ended(poll_with(waiting.as_mut(), &woken)).is_ok());
}

/// Many at once on two threads, with one place: each gets what it should, and in the end nobody waits.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_at_once_get_what_each_should() {
    let world = Arc::new(World::with(|builder| {
        builder.first_verifications(narrow().queue_at_most(1_000).wait_at_most(WAIT))
    }));
    let known = world.known().await;
    let tasks: Vec<_> = (0..600)
        .map(|number| {
            let (token, wanted) = match number % 3 {
                0 => (known.clone(), None),
                1 => (world.unknown(), None),
                _ => (world.token().tampered(), Some(Kind::BadSignature)),
            };
            let world = Arc::clone(&world);
            tokio::spawn(
                async move { (send(&world.api.layer(), bearer(&token)).await.kind(), wanted) },
            )
        })
        .collect();
    for task in tasks {
        let (found, wanted) = task.await.unwrap();
        assert_eq!(found, wanted);
    }
    let health = world.health();
    assert_eq!((health.under_way, health.waiting, health.turned_away), (0, 0, 0));
}

/// Every fault of the bound is reported at its place, and the ends of each range are in it.
#[test]
fn a_bound_that_cannot_be_is_a_fault() {
    let faults = |bound: FirstVerifications| -> Vec<(String, ConfigFault)> {
        let clock = ManualClock::new();
        let issuer = TestIssuer::new(ISSUER, &clock);
        let base = builder(&clock).issuer(issuer.fixed_keys()).first_verifications(bound);
        match base.transport(TestNetwork::of(&[&issuer])).build() {
            Ok(_) => Vec::new(),
            Err(error) => {
                error.places().map(|(place, fault)| (place.to_owned(), fault.clone())).collect()
            }
        }
    };
    let new = FirstVerifications::new;
    let second = Duration::from_secs;
    for (place, wrong, right) in [
        ("max_at_once", new().max_at_once(0), new().max_at_once(1)),
        ("max_at_once", new().max_at_once(1_025), new().max_at_once(1_024)),
        ("queue_at_most", new().queue_at_most(65_537), new().queue_at_most(65_536)),
        ("wait_at_most", new().wait_at_most(Duration::ZERO), new().wait_at_most(MOMENT)),
        ("wait_at_most", new().wait_at_most(second(10) + MOMENT), new().wait_at_most(second(10))),
    ] {
        let found = faults(wrong);
        assert_eq!(found.len(), 1, "{wrong:?}");
        assert_eq!(found[0].0, format!("first_verifications.{place}"));
        assert!(faults(right).is_empty(), "{right:?}");
    }
    let all = faults(new().max_at_once(0).queue_at_most(1 << 20).wait_at_most(second(11)));
    assert_eq!(all.len(), 3);
}

/// One thread is left to others, unless there is no other.
#[test]
fn the_default_leaves_a_thread() {
    let clock = ManualClock::new();
    let issuer = TestIssuer::new(ISSUER, &clock);
    let base = builder(&clock).issuer(issuer.fixed_keys());
    let api = base.transport(TestNetwork::of(&[&issuer])).build().unwrap();
    let threads = std::thread::available_parallelism().unwrap().get();
    let health = api.first_verification_health().unwrap();
    assert_eq!(health.max_at_once, (threads - 1).max(1));
}

/// After a start every token is a new one. With the bound as it comes, thousands that arrive at once are all
/// decided: time turns requests away, by a clock that stands still here, and not their number.
#[test]
fn a_burst_of_good_tokens_waits_and_is_decided() {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let world = World::with(|builder| builder.first_verifications(FirstVerifications::new()));
    let tokens: Vec<_> = (0..3_000).map(|_| world.issuer.token(RESOURCE).sign()).collect();
    runtime.block_on(async {
        let tasks: Vec<_> = tokens
            .into_iter()
            .map(|token| {
                let api = world.api.clone();
                tokio::spawn(async move {
                    api.verify(&bearer(&token)).await.map(drop).map_err(|refused| refused.kind())
                })
            })
            .collect();
        for task in tasks {
            assert_eq!(task.await.unwrap(), Ok(()));
        }
    });
}
