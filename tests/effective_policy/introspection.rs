//! Each line of the effective policy on introspection is enforced.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::pin::Pin;
use std::time::Duration;

use portcullis::check::allow_all;
use portcullis::introspection::{AnswerGap, ClientAuth, Introspection};
use portcullis::jose::Algorithm;
use portcullis::secret::SecretSource;
use portcullis::testing::{ManualClock, TestIntrospection, TestIssuer, TestNetwork};
use portcullis::time::Clock as _;
use portcullis::{Issuer, Policy, ResourceServer};
use serde_json::{Value, json};

use super::leaves;
use crate::support::{self, RESOURCE, bearer, send, settle};

/// Has keys, and is asked about everything.
const SIGNED: &str = "https://signed.example";
/// Is known by its answers alone.
const OPAQUE: &str = "https://opaque.example";
/// Has whatever is of no other.
const REST: &str = "https://rest.example";
/// Is not asked.
const SILENT: &str = "https://silent.example";
const SECOND: Duration = Duration::from_secs(1);
/// What is in the environment variable that secrets are in.
const SHOWN: &str = env!("CARGO_PKG_NAME");

/// Every setting of introspection that stands in the effective policy.
#[derive(Clone)]
struct Settings {
    issuer: &'static str,
    endpoint: &'static str,
    client: fn(&'static str, SecretSource) -> ClientAuth,
    client_id: &'static str,
    secret: &'static str,
    /// `None`: only where it is named.
    prefix: Option<&'static str>,
    jwts: bool,
    /// `None`: plain JSON.
    signed_for: Option<&'static str>,
    gap: AnswerGap,
    without_audience: bool,
    ttl: [Duration; 2],
    cache_bytes: u64,
    timeout: Duration,
    max_at_once: usize,
    // Of the second issuer.
    opaque: bool,
    key: &'static str,
    algorithm: Algorithm,
    key_id: &'static str,
    audience: &'static str,
    // Of the third.
    token: &'static str,
    // Of the policy.
    named: &'static str,
}

impl Settings {
    fn base() -> Self {
        Self {
            issuer: SIGNED,
            endpoint: "https://signed.example/introspect",
            client: |id, secret| ClientAuth::basic(id, secret),
            client_id: "notes",
            secret: "CARGO_PKG_NAME",
            prefix: Some("s_"),
            jwts: true,
            signed_for: Some("rs"),
            gap: AnswerGap::TokenType,
            without_audience: true,
            ttl: [20 * SECOND, 4 * SECOND],
            cache_bytes: 1 << 20,
            timeout: 3 * SECOND,
            max_at_once: 2,
            opaque: true,
            key: "good.jwk",
            algorithm: Algorithm::EdDsa,
            key_id: "k-1",
            audience: "https://opaque.example/token",
            token: "CARGO_PKG_NAME",
            named: OPAQUE,
        }
    }

    fn build(&self, world: &World) -> ResourceServer {
        let opaque = match self.opaque {
            true => Issuer::opaque(OPAQUE),
            false => world.opaque.fixed_keys(),
        };
        let key = SecretSource::file(world.directory.join(self.key));
        let key = ClientAuth::private_key_jwt("notes", key)
            .algorithm(self.algorithm)
            .key_id(self.key_id)
            .audience(self.audience);
        let token = ClientAuth::bearer(SecretSource::env(self.token));
        let at = |issuer: &str| Introspection::at(issuer, format!("{issuer}/introspect"));
        support::builder(&world.clock)
            .issuer(world.signed.fixed_keys())
            .issuer(opaque)
            .issuer(world.rest.fixed_keys())
            .issuer(TestIssuer::new(SILENT, &world.clock).fixed_keys())
            .introspection(self.introspection())
            .introspection(at(OPAQUE).client(key).prefix("o_"))
            .introspection(at(REST).client(token))
            .transport(world.network.clone())
            .build()
            .unwrap_or_else(|error| panic!("{error}"))
    }

    fn introspection(&self) -> Introspection {
        let client = (self.client)(self.client_id, SecretSource::env(self.secret));
        let mut one = Introspection::at(self.issuer, self.endpoint)
            .client(client)
            .may_lack(self.gap)
            .ttl(self.ttl[0])
            .negative_ttl(self.ttl[1])
            .cache_bytes(self.cache_bytes)
            .timeout(self.timeout)
            .max_at_once(self.max_at_once);
        one = match self.prefix {
            Some(prefix) => one.prefix(prefix),
            None => one.only_where_named(),
        };
        if self.jwts {
            one = one.jwts();
        }
        if let Some(audience) = self.signed_for {
            one = one.signed_for(audience);
        }
        if self.without_audience {
            one = one.dangerous().insecure_without_audience();
        }
        one
    }

    fn policy(&self) -> Policy {
        Policy::new(allow_all()).named("by name").introspected_by(self.named)
    }
}

/// What a server has around it, new for each probe.
struct World {
    clock: ManualClock,
    signed: TestIssuer,
    opaque: TestIssuer,
    rest: TestIssuer,
    /// Of these, in their order.
    endpoints: [TestIntrospection; 3],
    network: TestNetwork,
    directory: PathBuf,
}

impl World {
    fn new() -> Self {
        let clock = ManualClock::new();
        let [signed, opaque, rest] = [SIGNED, OPAQUE, REST].map(|id| TestIssuer::new(id, &clock));
        let endpoints = [&signed, &opaque, &rest].map(|of| TestIntrospection::of(of, &clock));
        endpoints[0].sign_with(&signed, "rs");
        endpoints[0].require_client("notes", SHOWN);
        endpoints[2].require_bearer(SHOWN);
        let network = TestNetwork::of(&[]);
        let network = endpoints.iter().fold(network, TestNetwork::with_introspection);
        let name = format!("portcullis-effective-introspection-{}", std::process::id());
        let directory = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&directory).unwrap();
        let jwk = r#"{"kty":"OKP","crv":"Ed25519","d":"nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}"#;
        std::fs::write(directory.join("good.jwk"), jwk).unwrap();
        std::fs::write(directory.join("bad.jwk"), "{}").unwrap();
        Self { clock, signed, opaque, rest, endpoints, network, directory }
    }

    /// The first endpoint takes this token for a good one.
    fn knows(&self, token: &str) {
        self.endpoints[0].active_as(token, self.signed.token(RESOURCE));
    }

    /// The first endpoint says this of a token, and not the member of this name.
    fn says_all_but(&self, token: &str, member: &str) {
        let now = self.clock.now().as_secs();
        let mut answer = json!({
            "active": true, "iss": SIGNED, "sub": "alice", "aud": RESOURCE, "client_id": "app",
            "scope": "a", "iat": now, "exp": now + 600, "jti": "1", "token_type": "Bearer",
        });
        answer.as_object_mut().unwrap().remove(member);
        self.endpoints[0].set(token, answer);
    }

    /// Who was asked how often.
    fn asked(&self) -> String {
        format!("{:?}", self.endpoints.each_ref().map(TestIntrospection::calls))
    }

    /// What the second endpoint was shown: a part of the assertion.
    fn assertion(&self, part: usize, member: &str) -> Value {
        use base64::Engine as _;
        let asked = self.endpoints[1].requests();
        let assertion = asked.first().and_then(|asked| asked.form("client_assertion"));
        let assertion = assertion.unwrap_or_default();
        let part = assertion.split('.').nth(part).unwrap_or_default();
        let octets = base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(part).unwrap();
        serde_json::from_slice::<Value>(&octets).unwrap_or_default()[member].clone()
    }
}

/// What a token gets.
async fn kind(api: &ResourceServer, token: &str) -> String {
    format!("{:?} ", send(&api.layer(), bearer(token)).await.kind())
}

/// Starts requests with these tokens, which run in tasks of their own.
async fn start(api: &ResourceServer, tokens: &[&str]) -> Vec<tokio::task::JoinHandle<String>> {
    let mut started = Vec::new();
    for token in tokens {
        let (api, token) = (api.clone(), (*token).to_owned());
        started.push(tokio::spawn(async move { kind(&api, &token).await }));
    }
    settle().await;
    started
}

type Probe = for<'a> fn(
    &'a World,
    &'a ResourceServer,
    &'a Settings,
) -> Pin<Box<dyn Future<Output = String> + 'a>>;

/// A setting: its lines, a change of it, and requests that show the difference.
struct Line {
    pointers: &'static [&'static str],
    change: fn(&mut Settings),
    probe: Probe,
}

macro_rules! line {
    ([$($pointer:literal),+], $change:expr, |$world:ident, $api:ident, $settings:ident| $probe:expr) => {
        Line {
            pointers: &[$($pointer),+],
            change: $change,
            probe: |$world, $api, $settings| Box::pin(async move { $probe }),
        }
    };
}

/// A good token of the first issuer.
async fn known(w: &World, api: &ResourceServer) -> String {
    w.knows("s_1");
    kind(api, "s_1").await
}

/// The same, after it was revoked so long ago.
async fn revoked(w: &World, api: &ResourceServer, time: Duration) -> String {
    let before = known(w, api).await;
    w.endpoints[0].revoke("s_1");
    w.clock.advance(time);
    before + &kind(api, "s_1").await
}

fn whose_lines() -> Vec<Line> {
    vec![
        line!(["/introspection/0/issuer"], |s| s.issuer = SILENT, |w, api, _s| {
            known(w, api).await
        }),
        line!(
            ["/introspection/0/endpoint"],
            |s| s.endpoint = "https://signed.example/other",
            |w, api, _s| known(w, api).await
        ),
        line!(["/introspection/0/prefixes/0"], |s| s.prefix = Some("x_"), |w, api, _s| {
            known(w, api).await + &w.asked()
        }),
        line!(["/introspection/0/only_where_named"], |s| s.prefix = None, |w, api, _s| {
            known(w, api).await + &w.asked()
        }),
        line!(["/introspection/0/jwts"], |s| s.jwts = false, |w, api, _s| {
            kind(api, &w.signed.token(RESOURCE).sign()).await
        }),
        line!(["/issuers/1/opaque"], |s| s.opaque = false, |w, api, _s| {
            kind(api, &w.opaque.token(RESOURCE).sign()).await
        }),
        line!(["/mounted/0/introspected_by"], |s| s.named = REST, |w, api, s| {
            let sent = send(&api.protect(s.policy()), bearer("o_1")).await;
            format!("{:?} {}", sent.kind(), w.asked())
        }),
    ]
}

fn client_lines() -> Vec<Line> {
    /// A good token of the second issuer.
    async fn second(w: &World, api: &ResourceServer) -> String {
        w.endpoints[1].active_as("o_1", w.opaque.token(RESOURCE));
        kind(api, "o_1").await
    }
    vec![
        line!(
            ["/introspection/0/client/method"],
            |s| s.client = |id, secret| ClientAuth::post(id, secret),
            |w, api, _s| known(w, api).await
        ),
        line!(["/introspection/0/client/client_id"], |s| s.client_id = "x", |w, api, _s| {
            known(w, api).await
        }),
        line!(
            ["/introspection/0/client/secret/env"],
            |s| s.secret = "CARGO_PKG_VERSION",
            |w, api, _s| known(w, api).await
        ),
        line!(["/introspection/1/client/key/file"], |s| s.key = "bad.jwk", |w, api, _s| {
            second(w, api).await
        }),
        line!(
            ["/introspection/1/client/algorithm"],
            |s| s.algorithm = Algorithm::Ed25519,
            |w, api, _s| second(w, api).await + &w.assertion(0, "alg").to_string()
        ),
        line!(["/introspection/1/client/key_id"], |s| s.key_id = "k-2", |w, api, _s| {
            second(w, api).await + &w.assertion(0, "kid").to_string()
        }),
        line!(["/introspection/1/client/audience"], |s| s.audience = OPAQUE, |w, api, _s| {
            second(w, api).await + &w.assertion(1, "aud").to_string()
        }),
        line!(
            ["/introspection/2/client/token/env"],
            |s| s.token = "CARGO_PKG_VERSION",
            |w, api, _s| {
                w.endpoints[2].active_as("r_1", w.rest.token(RESOURCE));
                kind(api, "r_1").await
            }
        ),
    ]
}

fn answer_lines() -> Vec<Line> {
    vec![
        line!(["/introspection/0/signed_answers"], |s| s.signed_for = None, |w, api, _s| {
            w.endpoints[0].answer_jwt();
            known(w, api).await
        }),
        line!(["/introspection/0/signed_for"], |s| s.signed_for = Some("x"), |w, api, _s| {
            known(w, api).await
        }),
        line!(["/introspection/0/may_lack/0"], |s| s.gap = AnswerGap::Subject, |w, api, _s| {
            w.says_all_but("s_1", "token_type");
            kind(api, "s_1").await
        }),
        line!(
            ["/introspection/0/dangerous/insecure_without_audience"],
            |s| s.without_audience = false,
            |w, api, _s| {
                w.says_all_but("s_1", "aud");
                kind(api, "s_1").await
            }
        ),
        line!(["/introspection/0/ttl"], |s| s.ttl[0] = 5 * SECOND, |w, api, _s| {
            revoked(w, api, 10 * SECOND).await
        }),
        line!(["/introspection/0/cache_bytes"], |s| s.cache_bytes = 0, |w, api, _s| {
            revoked(w, api, Duration::ZERO).await
        }),
        line!(["/introspection/0/negative_ttl"], |s| s.ttl[1] = SECOND, |w, api, _s| {
            let before = kind(api, "s_1").await;
            w.clock.advance(2 * SECOND);
            before + &known(w, api).await
        }),
        line!(["/introspection/0/timeout"], |s| s.timeout = SECOND, |w, api, _s| {
            w.endpoints[0].hold();
            let started = start(api, &["s_1"]).await;
            w.endpoints[0].called(1).await;
            w.clock.advance(2 * SECOND);
            settle().await;
            let ended = started[0].is_finished();
            w.endpoints[0].release();
            format!("{ended}")
        }),
        line!(["/introspection/0/max_at_once"], |s| s.max_at_once = 1, |w, api, s| {
            w.endpoints[0].hold();
            let started = start(api, &["s_1", "s_2"]).await;
            w.endpoints[0].called(s.max_at_once).await;
            settle().await;
            let under_way = w.endpoints[0].under_way();
            w.endpoints[0].release();
            for one in started {
                one.await.unwrap();
            }
            format!("{under_way}")
        }),
    ]
}

/// Lines that the first of their kind shows.
fn explained(pointer: &str) -> bool {
    ["/introspection/1/", "/introspection/2/"].iter().any(|twin| {
        let rest = pointer.strip_prefix(twin);
        rest.is_some_and(|rest| {
            !rest.starts_with("client/") || ["client/method", "client/client_id"].contains(&rest)
        })
    })
}

#[tokio::test]
async fn each_line_on_introspection_is_enforced() {
    let base = Settings::base();
    let report = |settings: &Settings, world: &World| {
        let server = settings.build(world);
        let _ = server.protect(settings.policy());
        (server.effective_policy(), server)
    };
    let (policy, _) = report(&base, &World::new());

    let mut shown = BTreeSet::new();
    for line in whose_lines().into_iter().chain(client_lines()).chain(answer_lines()) {
        let mut changed = base.clone();
        (line.change)(&mut changed);
        let run = async |settings: &Settings| {
            let world = World::new();
            let (policy, server) = report(settings, &world);
            let outcome = (line.probe)(&world, &server, settings).await;
            (policy, outcome)
        };
        let (before, was) = run(&base).await;
        let (after, is) = run(&changed).await;
        assert_eq!(before, policy, "the base is always the same");
        assert_ne!(was, is, "{:?} is not enforced", line.pointers);
        for pointer in line.pointers {
            let value = before.pointer(pointer);
            assert!(value.is_some(), "no line {pointer}\n{before:#}");
            assert_ne!(value, after.pointer(pointer), "{pointer} does not show the change");
            shown.insert((*pointer).to_owned());
        }
    }
    let mut all = BTreeSet::new();
    leaves(&policy["introspection"], "/introspection", &mut all);
    let unproven: Vec<_> = all.difference(&shown).filter(|pointer| !explained(pointer)).collect();
    assert!(unproven.is_empty(), "lines that nothing proves: {unproven:#?}\n{policy:#}");
    std::fs::remove_dir_all(World::new().directory).unwrap();
}

/// What sends the calls, and where they may go: each stands where it is otherwise than usual, and only
/// there.
#[tokio::test]
async fn the_way_to_an_endpoint_stands_as_it_is_taken() {
    const LOCAL: &str = "http://127.0.0.1:9000/introspect";
    let clock = ManualClock::new();
    let issuer = TestIssuer::new(SIGNED, &clock);
    let build = |introspection: Introspection, network: TestNetwork| {
        let introspection = introspection.client(ClientAuth::insecure_unauthenticated());
        let builder = support::builder(&clock).issuer(Issuer::opaque(SIGNED));
        builder.introspection(introspection).transport(network).build()
    };
    let endpoint = TestIntrospection::of(&issuer, &clock);
    let network = || TestNetwork::of(&[]).with_introspection(&endpoint);
    let token = endpoint.active(issuer.token(RESOURCE));
    let at = || Introspection::at(SIGNED, endpoint.url());
    for (introspection, network, own, passes) in [
        (at(), network(), None, true),
        (at(), TestNetwork::of(&[]), None, false),
        (at().transport(network()), TestNetwork::of(&[]), Some(json!("own")), true),
        (at().transport(TestNetwork::of(&[])), network(), Some(json!("own")), false),
    ] {
        let api = build(introspection, network).unwrap();
        let line = &api.effective_policy()["introspection"][0];
        assert_eq!(line.get("transport"), own.as_ref());
        assert_eq!(line.get("dangerous"), None);
        assert_eq!(line["client"], json!({ "method": "insecure_unauthenticated" }));
        assert_eq!(send(&api.layer(), bearer(&token)).await.passed(), passes);
    }
    assert!(build(Introspection::at(SIGNED, LOCAL), network()).is_err());
    let local = Introspection::at(SIGNED, LOCAL).dangerous().insecure_loopback_http();
    let policy = build(local, network()).unwrap().effective_policy();
    let hazard = json!({ "insecure_loopback_http": true });
    assert_eq!(policy["introspection"][0]["dangerous"], hazard);
    // Nobody is asked about anything.
    let api = support::builder(&clock).issuer(issuer.fixed_keys()).build().unwrap();
    assert_eq!(api.effective_policy().get("introspection"), None);
}
