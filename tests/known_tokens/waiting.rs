//! Requests that wait after they were decided: what their decision rests on has to be there still, as a known
//! token needs it.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use http::{Request, Response};
use portcullis::check::{CheckError, CheckRequest, allow_all};
use portcullis::introspection::{ClientAuth, Introspection};
use portcullis::issuer::{KeyRefresh, TenantList, TokenProfile};
use portcullis::jose::Algorithm;
#[cfg(feature = "jwe")]
use portcullis::jwe::{ContentEncryption, Decryption, KeyManagement};
use portcullis::revocation::{Record, Revocation};
use portcullis::sender::{ReplayAnswer, ReplayEntry, ReplayStore, Sighting};
#[cfg(feature = "jwe")]
use portcullis::testing::TestDecryptionKey;
use portcullis::testing::{Failure, ManualClock, TestIntrospection, TestIssuer, TestNetwork};
use portcullis::time::Clock as _;
use portcullis::{Issuer, Policy, Rejection, RejectionKind as Kind, ResourceServer, ServerBuilder};
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;
use tower::limit::ConcurrencyLimit;
use tower::{Layer as _, Service as _, service_fn};

use crate::pair::MINUTE;
use crate::support::{ISSUER, RESOURCE, bearer, builder, present, settle, until};

/// What a request waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum For {
    Check,
    Service,
    Memory,
}

const EVERYTHING: [For; 3] = [For::Check, For::Service, For::Memory];

/// Which token it has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Token {
    New,
    Known,
    /// By a server that keeps none.
    NotKept,
    AskedAbout,
    #[cfg(feature = "jwe")]
    Sealed,
    #[cfg(feature = "jwe")]
    KnownSealed,
}

const EACH: &[Token] = &[
    Token::New,
    Token::Known,
    Token::NotKept,
    Token::AskedAbout,
    #[cfg(feature = "jwe")]
    Token::Sealed,
    #[cfg(feature = "jwe")]
    Token::KnownSealed,
];

/// What is waited for: shut until somebody opens it, once for each who waits.
#[derive(Clone)]
struct Gate {
    places: Arc<Semaphore>,
    /// How many have come to it.
    come: Arc<AtomicUsize>,
}

impl Gate {
    fn shut() -> Self {
        Self { places: Arc::new(Semaphore::new(0)), come: Arc::default() }
    }

    async fn pass(&self) {
        self.come();
        self.places.acquire().await.unwrap().forget();
    }

    fn come(&self) {
        self.come.fetch_add(1, Ordering::SeqCst);
    }

    fn open(&self) {
        self.places.add_permits(1);
    }
}

/// A replay memory on another machine, behind a gate.
struct Far(Gate);

impl ReplayStore for Far {
    fn record(&self, _: &ReplayEntry<'_>) -> ReplayAnswer {
        let gate = self.0.clone();
        ReplayAnswer::Later(Box::pin(async move {
            gate.pass().await;
            Ok(Sighting::First)
        }))
    }
}

struct World {
    clock: ManualClock,
    issuer: TestIssuer,
    api: ResourceServer,
    gate: Gate,
    token: Token,
    kit: TestIntrospection,
    #[cfg(feature = "jwe")]
    key: TestDecryptionKey,
}

impl World {
    /// A server whose issuer is one of these settings, by `of`.
    async fn of(
        token: Token,
        of: impl FnOnce(ServerBuilder, &TestIssuer) -> ServerBuilder,
    ) -> Self {
        let clock = ManualClock::new();
        let issuer = TestIssuer::new(ISSUER, &clock);
        let kit = TestIntrospection::of(&issuer, &clock);
        let network = TestNetwork::of(&[&issuer]).with_introspection(&kit);
        let gate = Gate::shut();
        let builder = of(builder(&clock), &issuer);
        let mut builder = builder.transport(network).replay_store(Far(gate.clone()));
        #[cfg(feature = "jwe")]
        let key = TestDecryptionKey::generate(KeyManagement::EcdhEs, "ec");
        match token {
            Token::New | Token::Known => {}
            Token::NotKept => builder = builder.known_tokens_bytes(0),
            Token::AskedAbout => {
                let asked = Introspection::at(ISSUER, kit.url()).jwts();
                let asked = asked.client(ClientAuth::insecure_unauthenticated());
                builder = builder.introspection(asked);
            }
            #[cfg(feature = "jwe")]
            Token::Sealed | Token::KnownSealed => {
                builder = builder.decryption(Decryption::new().key(key.decryption_key()));
            }
        }
        let api = builder.build().unwrap();
        api.warm_up().await.unwrap();
        settle().await;
        let world = Self {
            clock,
            issuer,
            api,
            gate,
            token,
            kit,
            #[cfg(feature = "jwe")]
            key,
        };
        // The first token costs keys of a tenant.
        assert_eq!(world.now(&world.mint()).await, None);
        world
    }

    /// A server that fetches the keys of a configured issuer.
    async fn new(token: Token) -> Self {
        Self::of(token, |builder, issuer| builder.issuer(set_up(token, issuer.jwks()))).await
    }

    /// A token that outlives everything here.
    fn mint(&self) -> String {
        let end = self.clock.now().plus(55 * MINUTE);
        let claims = self.issuer.token(RESOURCE).expires_at(end);
        let token = claims.sign();
        match self.token {
            Token::New | Token::Known | Token::NotKept => token,
            Token::AskedAbout => {
                self.kit.active_as(&token, claims.without("jti"));
                token
            }
            #[cfg(feature = "jwe")]
            Token::Sealed | Token::KnownSealed => {
                self.key.encrypt(&token, ContentEncryption::A256Gcm)
            }
        }
    }

    /// What a new request gets.
    async fn now(&self, token: &str) -> Option<Kind> {
        present(&self.api, token).await.err().map(|rejection| rejection.kind())
    }

    /// A request that was decided, and waits for this.
    async fn waiting(&self, what: For, token: &str) -> JoinHandle<Option<Kind>> {
        if self.token == Token::Known || self.is_known_sealed() {
            assert_eq!(self.now(token).await, None);
        }
        let (gate, before) = (self.gate.clone(), self.gate.come.load(Ordering::SeqCst));
        let policy = Policy::new(allow_all());
        // The one that is ready stays for the next request.
        let places = Arc::new(Semaphore::new(2));
        let policy = match what {
            For::Check => policy.and_async(move |_: CheckRequest| {
                let gate = gate.clone();
                async move {
                    gate.pass().await;
                    Ok::<(), CheckError>(())
                }
            }),
            // A request that waited for nothing is called at once.
            For::Service => policy.and_async(move |_: CheckRequest| {
                let gate = gate.clone();
                async move {
                    settle().await;
                    gate.come();
                    Ok::<(), CheckError>(())
                }
            }),
            For::Memory => policy.single_use(),
        };
        let inner = service_fn(async |_: Request<String>| {
            Ok::<_, Infallible>(Response::new("inner".to_owned()))
        });
        let places = if what == For::Service { Arc::clone(&self.gate.places) } else { places };
        let limited = ConcurrencyLimit::with_semaphore(inner, places);
        let mut service = self.api.protect(policy).layer(limited);
        let request = bearer(token);
        let waiting = tokio::spawn(async move {
            if what != For::Service {
                std::future::poll_fn(|context| service.poll_ready(context)).await.unwrap();
            }
            // Whoever calls has else seen that the service is ready for others, not for this request.
            let response = service.call(request).await.unwrap();
            response.extensions().get::<Rejection>().map(Rejection::kind)
        });
        let come = Arc::clone(&self.gate.come);
        until("it waits", move || come.load(Ordering::SeqCst) > before).await;
        settle().await;
        assert!(!waiting.is_finished());
        waiting
    }

    #[cfg(feature = "jwe")]
    fn is_known_sealed(&self) -> bool {
        self.token == Token::KnownSealed
    }

    #[cfg(not(feature = "jwe"))]
    fn is_known_sealed(&self) -> bool {
        false
    }

    /// What becomes of it, once nothing is in its way.
    async fn ended(&self, waiting: JoinHandle<Option<Kind>>) -> Option<Kind> {
        self.gate.open();
        waiting.await.unwrap()
    }
}

/// Where every token is encrypted, an envelope is known.
fn set_up(token: Token, issuer: Issuer) -> Issuer {
    #[cfg(feature = "jwe")]
    if token == Token::KnownSealed {
        return issuer.encrypted_only();
    }
    let _ = token;
    issuer
}

/// DISC-11, attack 27: a request that waited since it was decided is one of a withdrawn key as a new request
/// is, whatever it waited for and however its token came; with the key where it was it passes.
#[tokio::test]
async fn a_key_that_is_withdrawn_meanwhile_is_gone() {
    for token in EACH.iter().copied() {
        for what in EVERYTHING {
            for withdrawn in [false, true] {
                let world = World::new(token).await;
                let old = world.mint();
                let waiting = world.waiting(what, &old).await;
                world.issuer.rotate();
                if withdrawn {
                    world.issuer.withdraw("k1");
                }
                // A new key is fetched at once.
                assert_eq!(world.now(&world.mint()).await, None);
                let expected = withdrawn.then_some(Kind::UnknownKey);
                let case = format!("{token:?}, {what:?}, withdrawn: {withdrawn}");
                assert_eq!(world.ended(waiting).await, expected, "{case}");
                assert_eq!(world.now(&old).await, expected, "{case}: a new request");
            }
        }
    }
}

/// Attack 27, AUTH-32: keys that grew too old while a request waited, which nobody asked about: 503, and they
/// are asked about now. In an outage that was seen they count as long as for others.
#[tokio::test]
async fn keys_that_grow_too_old_meanwhile_are_no_keys() {
    let refreshed = |issuer: &TestIssuer| {
        let refresh = KeyRefresh::new().fresh_at_least(MINUTE).fresh_at_most(5 * MINUTE);
        issuer.jwks().key_refresh(refresh.keep_through_outage(30 * MINUTE))
    };
    for token in EACH.iter().copied() {
        for what in EVERYTHING {
            let world = World::of(token, |builder, issuer| {
                builder.issuer(set_up(token, refreshed(issuer)))
            });
            let world = world.await;
            let old = world.mint();
            let waiting = world.waiting(what, &old).await;
            let fetches = world.issuer.fetches();
            // A machine that sleeps: nothing goes on meanwhile.
            world.clock.advance(20 * MINUTE);
            let case = format!("{token:?}, {what:?}");
            assert_eq!(world.ended(waiting).await, Some(Kind::KeysUnavailable), "{case}");
            settle().await;
            assert_eq!(world.issuer.fetches(), fetches + 1, "{case}");
            if token != Token::AskedAbout {
                assert_eq!(world.now(&old).await, None, "{case}: a new request");
            }
        }
        if token == Token::AskedAbout {
            // Its answer is too old before its keys are.
            continue;
        }
        for (minutes, expected) in [(27, None), (32, Some(Kind::KeysUnavailable))] {
            let world = World::of(token, |builder, issuer| {
                builder.issuer(set_up(token, refreshed(issuer)))
            });
            let world = world.await;
            let old = world.mint();
            let waiting = world.waiting(For::Service, &old).await;
            world.issuer.fail(Failure::Connection);
            for _ in 0..minutes {
                world.clock.advance(MINUTE);
                settle().await;
            }
            let case = format!("{token:?}, an outage of {minutes} minutes");
            assert_eq!(world.ended(waiting).await, expected, "{case}");
            assert_eq!(world.now(&old).await, expected, "{case}: a new request");
        }
    }
}

/// JWS-38, FAPI-11: a tenant that is changed or removed while a request waits is another, or none, as for a new
/// request; one that is described anew and is as it was is the same.
#[tokio::test]
async fn a_tenant_that_is_changed_meanwhile_is_another() {
    type Change = fn(&TenantList, &TestIssuer);
    let rows: [(&str, Change, Option<Kind>); 6] = [
        ("nothing", |_, _| {}, None),
        ("described anew", |tenants, issuer| tenants.add(issuer.fixed_keys()).unwrap(), None),
        ("removed", |tenants, _| tenants.remove(ISSUER), Some(Kind::UnknownIssuer)),
        (
            "its algorithms",
            |tenants, issuer| tenants.add(issuer.jwks().algorithms([Algorithm::Ps256])).unwrap(),
            Some(Kind::AlgorithmNotAllowed),
        ),
        (
            "its profile",
            |tenants, issuer| {
                let profile = TokenProfile::rfc9068().require_claim("use", "access");
                tenants.add(issuer.fixed_keys().profile(profile)).unwrap();
            },
            Some(Kind::OtherTokenKind),
        ),
        (
            "its keys",
            |tenants, _| {
                let other = TestIssuer::new(ISSUER, &ManualClock::new());
                tenants.add(other.fixed_keys()).unwrap();
            },
            Some(Kind::BadSignature),
        ),
    ];
    for token in [Token::New, Token::Known, Token::NotKept] {
        for what in EVERYTHING {
            for (name, change, expected) in rows {
                let tenants = TenantList::new();
                let world = World::of(token, |builder, issuer| {
                    tenants.add(issuer.fixed_keys()).unwrap();
                    builder.tenants(tenants.clone(), 10)
                });
                let world = world.await;
                let old = world.mint();
                let waiting = world.waiting(what, &old).await;
                change(&tenants, &world.issuer);
                let case = format!("{token:?}, {what:?}: {name}");
                assert_eq!(world.ended(waiting).await, expected, "{case}");
                assert_eq!(world.now(&old).await, expected, "{case}: a new request");
            }
        }
    }
}

/// What the checks said yes to is what passes: a tenant whose settings make another of the same token is 503
/// for a request that waited, though a new one would pass.
#[tokio::test]
async fn a_token_that_says_something_else_by_new_settings_is_asked_for_again() {
    for (name, by_scope, expected) in
        [("as before", "scope", None), ("otherwise", "more", Some(Kind::IssuerUnavailable))]
    {
        let tenants = TenantList::new();
        let world = World::of(Token::New, |builder, issuer| {
            tenants.add(issuer.fixed_keys()).unwrap();
            builder.tenants(tenants.clone(), 10)
        });
        let world = world.await;
        let claims = world.issuer.token(RESOURCE).scope("read").claim("more", "read write");
        let token = claims.sign();
        let waiting = world.waiting(For::Check, &token).await;
        let profile = TokenProfile::rfc9068().scope_from([by_scope]);
        tenants.add(world.issuer.fixed_keys().profile(profile)).unwrap();
        assert_eq!(world.ended(waiting).await, expected, "{name}");
        assert_eq!(world.now(&token).await, None, "{name}");
    }
}

/// What was revoked while a request waited for its replay memory is revoked for it too.
#[tokio::test]
async fn a_record_meets_who_waited_for_the_replay_memory() {
    for revoked in [false, true] {
        let world = World::of(Token::New, |builder, issuer| {
            builder.issuer(issuer.jwks()).revocation(Revocation::new())
        });
        let world = world.await;
        let token = world.issuer.token(RESOURCE).claim("jti", "one").sign();
        let waiting = world.waiting(For::Memory, &token).await;
        let name = if revoked { "one" } else { "another" };
        let record = Record::token(ISSUER, name, world.clock.now());
        world.api.revocations().revoke(record).await.unwrap();
        assert_eq!(world.ended(waiting).await, revoked.then_some(Kind::Revoked));
    }
}
