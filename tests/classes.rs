//! Token classes, the binding policy and its exceptions: what a server wants of a token beyond what
//! is true of it.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

mod support;

use std::net::IpAddr;
use std::time::Duration;

use http::Request;
use portcullis::check::allow_all;
use portcullis::issuer::{OptionalClaim, TenantList, TokenProfile};
use portcullis::jose::Algorithm;
use portcullis::revocation::{Revocation, StatusLists};
use portcullis::testing::{ManualClock, TestIssuer, TestNetwork, TokenBuilder};
use portcullis::time::{Clock as _, Timestamp};
use portcullis::{
    Binding, ConfigFault, Dpop, Exception, Mtls, PeerAddr, Policy, Rejection,
    RejectionKind as Kind, ResourceServer, ServerBuilder, SubjectKind, TokenClass,
};
use serde_json::json;
use support::Wants::{self, Pass};
use support::{ISSUER, RESOURCE, bearer, row, send};

const MINUTE: Duration = Duration::from_mins(1);

struct World {
    clock: ManualClock,
    issuer: TestIssuer,
    api: ResourceServer,
}

impl World {
    fn new(settings: impl FnOnce(ServerBuilder) -> ServerBuilder) -> Self {
        let clock = ManualClock::new();
        let issuer = TestIssuer::new(ISSUER, &clock);
        let api = settings(bare(&clock).issuer(issuer.fixed_keys())).build().unwrap();
        Self { clock, issuer, api }
    }

    fn token(&self) -> TokenBuilder {
        self.issuer.token(RESOURCE)
    }

    /// A good token that lives so long.
    fn living(&self, time: Duration) -> TokenBuilder {
        let now = self.clock.now();
        self.token().issued_at(now).expires_at(now.plus(time))
    }

    async fn kind(&self, token: &TokenBuilder) -> Option<Kind> {
        send(&self.api.layer(), bearer(&token.sign())).await.kind()
    }
}

fn bare(clock: &ManualClock) -> ServerBuilder {
    ResourceServer::builder(RESOURCE).dpop(Dpop::new()).mtls(Mtls::direct()).clock(clock.clone())
}

/// The three lines of the documentation.
fn three_classes(builder: ServerBuilder) -> ServerBuilder {
    builder
        .binding(Binding::WhereBound)
        .class(TokenClass::default_at_most(15 * MINUTE))
        .class(TokenClass::named("batch").clients(["nightly"]).at_most(60 * MINUTE))
        .class(
            TokenClass::named("agents")
                .scopes(["agent"])
                .at_most(10 * MINUTE)
                .binding(Binding::Either),
        )
}

/// NHI-07: each class bounds its own tokens, and the default class the rest.
#[tokio::test]
async fn people_batch_jobs_and_agents_live_as_long_as_their_class() {
    let world = World::new(three_classes);
    let person = |time| world.living(time);
    let batch = |time| world.living(time).client_id("nightly");
    let agent = |time| world.living(time).scope("notes:read agent");
    let second = Duration::from_secs(1);
    let rows = [
        ("a person's", person(15 * MINUTE), Pass),
        ("a person's, longer", person(15 * MINUTE + second), Kind::LifetimeTooLong.into()),
        ("a batch job's", batch(60 * MINUTE), Pass),
        ("a batch job's, longer", batch(60 * MINUTE + second), Kind::LifetimeTooLong.into()),
        ("an agent's, unbound", agent(10 * MINUTE), Kind::NotBound.into()),
        ("an agent's, longer", agent(10 * MINUTE + second), Kind::LifetimeTooLong.into()),
        ("nearly an agent's", world.living(15 * MINUTE).scope("agents"), Pass),
        // The strictest of all that describe the token.
        ("an agent's batch job's", batch(11 * MINUTE).scope("agent"), Kind::LifetimeTooLong.into()),
        // What no class says, the default says.
        (
            "nearly a batch job's",
            world.living(16 * MINUTE).client_id("nightly2"),
            Kind::LifetimeTooLong.into(),
        ),
    ];
    let rows =
        rows.map(|(name, token, wants): (_, _, Wants)| row("NHI-07", name, token.sign(), wants));
    support::check_rows(&world.api, rows).await;
}

/// Every condition on its own, met and not met.
#[tokio::test]
async fn a_class_describes_tokens_by_each_of_its_conditions() {
    let short = |class: TokenClass| class.at_most(MINUTE);
    let named = || TokenClass::named("short");
    let other = "https://other.example";
    type Edit = fn(TokenBuilder) -> TokenBuilder;
    #[rustfmt::skip]
    let cases: [(&str, TokenClass, Edit, Edit); 6] = [
        ("issuer", named().issuers([ISSUER]), |token| token, |token| token),
        ("client", named().issuers([ISSUER]).clients(["a", "b"]), |token| token.client_id("b"), |token| token.client_id("ab")),
        ("scope", named().scopes(["a", "b"]), |token| token.scope("x b"), |token| token.scope("x ab")),
        ("a client of its own", named().subject_kinds([SubjectKind::Client]), |token| token.subject("app").client_id("app"), |token| token.subject("alice").client_id("app")),
        ("a person", named().subject_kinds([SubjectKind::Person]), |token| token.subject("alice").client_id("app"), |token| token.subject("app").client_id("app")),
        ("audience", named().audiences(["https://two.example"]), |token| token.claim("aud", [RESOURCE, "https://two.example"]), |token| token.claim("aud", RESOURCE)),
    ];
    for (name, class, described, not_described) in cases {
        let clock = ManualClock::new();
        let issuer = TestIssuer::new(ISSUER, &clock);
        let second = TestIssuer::new(other, &clock);
        let api = bare(&clock)
            .binding(Binding::WhereBound)
            .class(TokenClass::default_at_most(60 * MINUTE))
            .class(short(class))
            .issuer(issuer.fixed_keys())
            .issuer(second.fixed_keys())
            .build()
            .unwrap();
        let long = |issuer: &TestIssuer| {
            issuer.token(RESOURCE).issued_at(clock.now()).expires_at(clock.now().plus(2 * MINUTE))
        };
        let sent = send(&api.layer(), bearer(&described(long(&issuer)).sign())).await;
        assert_eq!(sent.kind(), Some(Kind::LifetimeTooLong), "{name}");
        // The twin of the issuer condition is another issuer's token.
        let by = if name == "issuer" { &second } else { &issuer };
        let sent = send(&api.layer(), bearer(&not_described(long(by)).sign())).await;
        assert_eq!(sent.kind(), None, "{name}");
    }
}

#[tokio::test]
async fn all_conditions_of_a_class_have_to_hold() {
    let world = World::new(|builder| {
        builder
            .binding(Binding::WhereBound)
            .class(TokenClass::default_at_most(60 * MINUTE))
            .class(TokenClass::named("both").clients(["a"]).scopes(["b"]).at_most(MINUTE))
    });
    let token = || world.living(2 * MINUTE);
    let both = token().client_id("a").scope("b");
    assert_eq!(world.kind(&both).await, Some(Kind::LifetimeTooLong));
    assert_eq!(world.kind(&token().client_id("a").scope("c")).await, None);
    assert_eq!(world.kind(&token().client_id("c").scope("b")).await, None);
}

/// A maximum age counts from `iat`, whatever `exp` says, with the leeway.
#[tokio::test]
async fn a_token_is_refused_past_its_maximum_age() {
    let world = World::new(|builder| {
        builder
            .binding(Binding::WhereBound)
            .leeway(Duration::from_secs(10))
            .class(TokenClass::default_at_most(60 * MINUTE).max_age(5 * MINUTE))
    });
    let now = world.clock.now();
    let aged = |age: Duration| world.token().issued_at(now.minus(age)).expires_at(now.plus(MINUTE));
    let limit = 5 * MINUTE + Duration::from_secs(10);
    assert_eq!(world.kind(&aged(limit)).await, None);
    let older = limit + Duration::from_secs(1);
    assert_eq!(world.kind(&aged(older)).await, Some(Kind::TooOld));
    // An `iat` a little ahead is no age at all.
    let ahead = world.token().issued_at(now.plus(Duration::from_secs(10)));
    assert_eq!(world.kind(&ahead).await, None);
}

/// Where a profile lets `iat` go, the life that is left is measured, and no age is believed.
#[tokio::test]
async fn a_token_without_iat_is_measured_by_the_life_it_has_left() {
    let clock = ManualClock::new();
    let issuer = TestIssuer::new(ISSUER, &clock);
    let lacking = || {
        let profile = TokenProfile::relaxed().may_lack(OptionalClaim::IssuedAt);
        bare(&clock).binding(Binding::WhereBound).issuer(issuer.fixed_keys().profile(profile))
    };
    let by_life = lacking().class(TokenClass::default_at_most(5 * MINUTE)).build().unwrap();
    let by_age =
        lacking().class(TokenClass::default_at_most(5 * MINUTE).max_age(MINUTE)).build().unwrap();
    let left = |time| issuer.token(RESOURCE).without("iat").expires_at(clock.now().plus(time));
    for (name, api, token, expected) in [
        ("short enough", &by_life, left(5 * MINUTE), None),
        ("too long", &by_life, left(6 * MINUTE), Some(Kind::LifetimeTooLong)),
        ("of no age", &by_age, left(5 * MINUTE), Some(Kind::TooOld)),
        ("with iat", &by_age, issuer.token(RESOURCE), None),
    ] {
        assert_eq!(send(&api.layer(), bearer(&token.sign())).await.kind(), expected, "{name}");
    }
}

/// BCP-01, ASVS-10: the strictest of server, class and route.
#[tokio::test]
async fn the_strictest_binding_of_server_class_and_route_is_wanted() {
    let unbound = Some(Kind::NotBound);
    for (name, server, class, route, expected) in [
        ("nobody wants one", Binding::WhereBound, None, None, None),
        ("the server", Binding::Either, None, None, unbound),
        ("the class", Binding::WhereBound, Some(Binding::Dpop), None, unbound),
        ("the route", Binding::WhereBound, None, Some(Binding::Mtls), unbound),
        ("all", Binding::Either, Some(Binding::Dpop), Some(Binding::Both), unbound),
        ("a route cannot loosen", Binding::Either, None, Some(Binding::WhereBound), unbound),
        ("a class cannot loosen", Binding::Either, Some(Binding::WhereBound), None, unbound),
    ] {
        let world = World::new(|builder| {
            let default = TokenClass::default_at_most(60 * MINUTE);
            builder.binding(server).class(match class {
                Some(binding) => default.binding(binding),
                None => default,
            })
        });
        let mut policy = Policy::new(allow_all());
        if let Some(binding) = route {
            policy = policy.binding(binding);
        }
        let sent = send(&world.api.protect(policy), bearer(&world.token().sign())).await;
        assert_eq!(sent.kind(), expected, "{name}");
    }
}

/// BCP-01, ASVS-10: of several classes that describe a token the strictest binding is wanted, in
/// whatever order they stand, and the operator is told whose it is.
#[tokio::test]
async fn the_strictest_binding_of_several_classes_is_wanted() {
    use Binding::{Dpop, Either, Mtls, WhereBound};
    for (name, server, classes, by) in [
        ("the first", WhereBound, [Dpop, WhereBound], Some("by class `one`")),
        ("the second", WhereBound, [WhereBound, Dpop], Some("by class `two`")),
        ("of two alike the first", WhereBound, [Either, Either], Some("by class `one`")),
        ("two that differ", WhereBound, [Dpop, Mtls], Some("by class `two`")),
        (
            "the server and a class",
            Either,
            [Mtls, WhereBound],
            Some("by the server and class `one`"),
        ),
        ("none", WhereBound, [WhereBound, WhereBound], None),
    ] {
        let world = World::new(|builder| {
            let class = |name, binding| TokenClass::named(name).scopes(["a"]).binding(binding);
            let builder = builder.binding(server).class(TokenClass::default_at_most(60 * MINUTE));
            builder.class(class("one", classes[0])).class(class("two", classes[1]))
        });
        let sent = send(&world.api.layer(), bearer(&world.token().scope("a").sign())).await;
        assert_eq!(sent.kind(), by.map(|_| Kind::NotBound), "{name}");
        if let Some(by) = by {
            let reason = sent.response.extensions().get::<Rejection>().unwrap().to_string();
            assert!(reason.contains(by), "{name}: {reason}");
        }
    }
}

/// Of two classes that let a token live equally long, the first is the one that is named.
#[tokio::test]
async fn of_two_equal_classes_the_first_is_named() {
    let world = World::new(|builder| {
        let class = |name| TokenClass::named(name).scopes(["a"]).at_most(5 * MINUTE);
        let builder = builder.binding(Binding::WhereBound);
        let builder = builder.class(TokenClass::default_at_most(60 * MINUTE));
        builder.class(class("one")).class(class("two"))
    });
    let token = world.living(6 * MINUTE).scope("a").sign();
    let sent = send(&world.api.layer(), bearer(&token)).await;
    assert_eq!(sent.kind(), Some(Kind::LifetimeTooLong));
    let reason = sent.response.extensions().get::<Rejection>().unwrap().to_string();
    assert!(reason.contains("class `one`"), "{reason}");
}

fn exceptional(
    edit: impl FnOnce(Exception) -> Exception,
) -> impl FnOnce(ServerBuilder) -> ServerBuilder {
    move |builder| {
        let exception = Exception::for_clients(["partner-x", "partner-y"])
            .until("2027-01-31")
            .because("cannot do DPoP; SEC-112");
        builder
            .binding(Binding::Either)
            .class(TokenClass::default_at_most(60 * MINUTE))
            .class(TokenClass::named("strict").scopes(["strict"]).binding(Binding::Either))
            .exception(edit(exception))
    }
}

/// BCP-01: an exception is for the named clients, as long and as far as it says.
#[tokio::test]
async fn an_exception_lets_its_clients_pass_and_nobody_else() {
    let world = World::new(exceptional(|exception| exception.at_most(5 * MINUTE)));
    let partner = |time| world.living(time).client_id("partner-x");
    let bound = json!({"jkt": "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I"});
    let strict = world.api.protect(Policy::new(allow_all()).binding(Binding::Dpop));
    for (name, token, expected) in [
        ("its client", partner(5 * MINUTE), None),
        ("its other client", partner(5 * MINUTE).client_id("partner-y"), None),
        ("another client", partner(5 * MINUTE).client_id("partner-z"), Some(Kind::NotBound)),
        ("a client in other case", partner(MINUTE).client_id("Partner-X"), Some(Kind::NotBound)),
        ("too long a life", partner(6 * MINUTE), Some(Kind::NotBound)),
        ("a bound token", partner(MINUTE).claim("cnf", &bound), Some(Kind::BearerDowngrade)),
        ("a class that wants more", partner(MINUTE).scope("strict"), Some(Kind::NotBound)),
    ] {
        assert_eq!(world.kind(&token).await, expected, "{name}");
        // A route that wants more is not lowered.
        let sent = send(&strict, bearer(&token.sign())).await;
        assert!(matches!(sent.kind(), Some(Kind::NotBound | Kind::BearerDowngrade)), "{name}");
    }
}

/// It ends at 24:00 UTC of its last day, by itself.
#[tokio::test]
async fn an_exception_ends_with_its_last_day() {
    let world = World::new(exceptional(|exception| exception));
    let partner = || world.living(MINUTE).client_id("partner-x");
    // 2027-02-01T00:00:00Z
    let end = Timestamp::from_secs(1_801_440_000);
    world.clock.set(end.minus(Duration::from_nanos(1)));
    assert_eq!(world.kind(&partner()).await, None);
    world.clock.set(end);
    assert_eq!(world.kind(&partner()).await, Some(Kind::NotBound));
}

/// The network is that of the peer, which nobody but the acceptor says.
#[tokio::test]
async fn an_exception_can_be_for_networks() {
    let networks = ["203.0.113.0/24", "2001:db8::/32", "198.51.100.7"];
    let world = World::new(exceptional(|exception| exception.from_networks(networks)));
    let token = world.living(MINUTE).client_id("partner-x").sign();
    for (peer, expected) in [
        (Some("203.0.113.9"), None),
        (Some("::ffff:203.0.113.9"), None),
        (Some("2001:db8::1"), None),
        (Some("198.51.100.7"), None),
        (Some("198.51.100.8"), Some(Kind::NotBound)),
        (Some("203.0.114.9"), Some(Kind::NotBound)),
        (Some("::1"), Some(Kind::NotBound)),
        (None, Some(Kind::NotBound)),
    ] {
        let mut request = bearer(&token);
        request.headers_mut().insert("x-forwarded-for", "203.0.113.9".parse().unwrap());
        request.headers_mut().insert("forwarded", "for=203.0.113.9".parse().unwrap());
        if let Some(peer) = peer {
            request.extensions_mut().insert(PeerAddr::new(peer.parse::<IpAddr>().unwrap()));
        }
        assert_eq!(send(&world.api.layer(), request).await.kind(), expected, "{peer:?}");
    }
}

/// JWS-47 for clients: a client of the same name at another issuer is another client.
#[tokio::test]
async fn an_exception_is_for_clients_of_one_issuer() {
    let clock = ManualClock::new();
    let issuer = TestIssuer::new(ISSUER, &clock);
    let other = TestIssuer::new("https://other.example", &clock);
    let build = |exception: Exception| {
        bare(&clock)
            .issuer(issuer.fixed_keys())
            .issuer(other.fixed_keys())
            .binding(Binding::Either)
            .class(TokenClass::default_at_most(60 * MINUTE))
            .exception(exception.until("2027-02-28").because("a reason"))
            .build()
    };
    let exception = || Exception::for_clients(["partner-x"]);
    let fault = build(exception()).unwrap_err();
    assert!(fault.to_string().contains("more than one issuer: say `of_issuer`"), "{fault}");

    let api = build(exception().of_issuer(ISSUER)).unwrap();
    let token = |issuer: &TestIssuer| issuer.token(RESOURCE).client_id("partner-x").sign();
    assert_eq!(send(&api.layer(), bearer(&token(&issuer))).await.kind(), None);
    let sent = send(&api.layer(), bearer(&token(&other))).await;
    assert_eq!(sent.kind(), Some(Kind::NotBound));
}

fn faults(settings: impl FnOnce(ServerBuilder) -> ServerBuilder) -> Vec<String> {
    let clock = ManualClock::new();
    let issuer = TestIssuer::new(ISSUER, &clock);
    let built = settings(bare(&clock).issuer(issuer.fixed_keys())).build();
    let Err(error) = built else { return Vec::new() };
    error.places().map(|(place, fault)| format!("{place}: {fault}")).collect()
}

#[test]
fn a_class_that_says_nothing_or_the_impossible_is_a_fault_at_its_place() {
    let with = |class: TokenClass| {
        faults(|builder| {
            builder
                .binding(Binding::WhereBound)
                .class(TokenClass::default_at_most(MINUTE))
                .class(class)
        })
    };
    let named = || TokenClass::named("x");
    for (name, class, wanted) in [
        ("no conditions", named().at_most(MINUTE), "classes[0]: token class `x`: it describes no"),
        ("no demands", named().clients(["a"]), "classes[0]: token class `x`: it wants nothing"),
        ("no name", TokenClass::named("").clients(["a"]).at_most(MINUTE), "classes[0].name"),
        (
            "the default's name",
            TokenClass::named("default").clients(["a"]).at_most(MINUTE),
            "classes[0].name",
        ),
        ("zero", named().clients(["a"]).at_most(Duration::ZERO), "classes[0].at_most: token class"),
        ("for ever", named().clients(["a"]).max_age(Duration::MAX), "classes[0].max_age"),
        (
            "a stranger's",
            named().issuers(["https://x.example"]).at_most(MINUTE),
            "classes[0].issuers",
        ),
        (
            "freshness",
            named().clients(["a"]).freshness(MINUTE),
            "classes[0].freshness: token class `x`: it wants to know of revocation",
        ),
        (
            "no freshness",
            named().clients(["a"]).freshness(Duration::ZERO),
            "classes[0].freshness: token class `x`: a freshness of 0ns",
        ),
        ("no scope", named().scopes(["a b"]).at_most(MINUTE), "classes[0].scopes: scope \"a b\""),
        ("no audience", named().audiences([""]).at_most(MINUTE), "classes[0].audiences"),
        ("no client", named().clients([""]).at_most(MINUTE), "classes[0].clients"),
        (
            "a condition on the default",
            TokenClass::default_at_most(MINUTE).clients(["a"]),
            "the default class describes every token",
        ),
    ] {
        let found = with(class);
        assert!(found.iter().any(|fault| fault.contains(wanted)), "{name}: {found:?}");
    }
    assert_eq!(with(named().clients(["a"]).at_most(MINUTE)), Vec::<String>::new());

    let twice = faults(|builder| {
        let class = || named().clients(["a"]).at_most(MINUTE);
        let default = TokenClass::default_at_most(MINUTE);
        builder.binding(Binding::WhereBound).class(default).class(class()).class(class())
    });
    assert_eq!(
        twice,
        ["classes[1]: token class `x`: another class has this name: give each its own"]
    );
    let so_many = |builder: ServerBuilder, count: usize| {
        (0..count).fold(builder.binding(Binding::WhereBound), |builder, number| {
            let class = TokenClass::named(format!("c{number}")).clients(["a"]).at_most(MINUTE);
            builder.class(class)
        })
    };
    let with_default = |count: usize| {
        faults(|builder| so_many(builder.class(TokenClass::default_at_most(MINUTE)), count))
    };
    assert_eq!(with_default(63), Vec::<String>::new());
    let one_more = with_default(64);
    assert!(
        matches!(&one_more[..], [only] if only.contains("number of token classes of 65")),
        "{one_more:?}"
    );
    let many = faults(|builder| so_many(builder, 70));
    assert!(many.iter().any(|fault| fault.contains("number of token classes of 70")), "{many:?}");
    assert!(
        many.iter().any(|fault| fault.starts_with("default_class: no token class")),
        "{many:?}"
    );
}

/// NHI-07: what is looked through with every token is bounded, member by member.
#[test]
fn a_class_names_a_thousand_at_most() {
    let names = |count: usize| (0..count).map(|number| format!("name-{number}"));
    let found = |class: TokenClass| {
        faults(|builder| {
            let builder = builder.binding(Binding::WhereBound);
            builder.class(TokenClass::default_at_most(MINUTE)).class(class.at_most(MINUTE))
        })
    };
    type Of = fn(TokenClass, Vec<String>) -> TokenClass;
    let members: [(&str, Of); 2] = [
        ("clients", |class, names| class.clients(names)),
        ("scopes", |class, names| class.scopes(names)),
    ];
    for (member, of) in members {
        let class = |count| of(TokenClass::named("many"), names(count).collect());
        assert_eq!(found(class(1_000)), Vec::<String>::new(), "{member}");
        let faults = found(class(1_002));
        let [fault] = faults.as_slice() else { panic!("{member}: {faults:?}") };
        assert!(fault.contains(&format!(".{member}: ")) && fault.contains("1002"), "{fault}");
    }
}

#[test]
fn an_exception_that_does_not_say_it_all_is_a_fault_at_its_place() {
    let exception = || Exception::for_clients(["a"]).until("2027-03-31").because("ticket 1");
    let none: [&str; 0] = [];
    for (name, exception, wanted) in [
        (
            "nobody",
            Exception::for_clients(none).until("2027-03-31").because("x"),
            "exceptions[0].clients",
        ),
        (
            "no end",
            Exception::for_clients(["a"]).because("x"),
            "exceptions[0].until: exception for a: say `until",
        ),
        ("no day", exception().until("tomorrow"), "\"tomorrow\" is not a day"),
        ("no such day", exception().until("2027-02-30"), "\"2027-02-30\" is not a day"),
        ("far away", exception().until("2028-06-01"), "2028-06-01 is more than a year ahead"),
        ("no reason", exception().because("  "), "exceptions[0].because"),
        (
            "no network",
            exception().from_networks(["10.0.0.1/8"]),
            "exceptions[0].from_networks: network \"10.0.0.1/8\" has bits",
        ),
        (
            "not a network",
            exception().from_networks(["ten"]),
            "exceptions[0].from_networks: network \"ten\" is not",
        ),
        ("no life", exception().at_most(Duration::ZERO), "exceptions[0].at_most"),
        ("a stranger's", exception().of_issuer("https://x.example"), "exceptions[0].of_issuer"),
    ] {
        let found = faults(|builder| {
            let class = TokenClass::default_at_most(MINUTE);
            builder.binding(Binding::Either).class(class).exception(exception)
        });
        assert!(found.iter().any(|fault| fault.contains(wanted)), "{name}: {found:?}");
    }
    let two = faults(|builder| {
        let class = TokenClass::default_at_most(MINUTE);
        let builder = builder.binding(Binding::Either).class(class);
        builder.exception(exception()).exception(exception())
    });
    assert_eq!(
        two,
        [
            "exceptions[1].because: exception for a: another exception has this very reason: give each its own"
        ]
    );
    // One that has ended is no reason not to start: it lets nobody pass.
    let ended = faults(|builder| {
        let class = TokenClass::default_at_most(MINUTE);
        builder.binding(Binding::Either).class(class).exception(exception().until("2020-01-01"))
    });
    assert_eq!(ended, Vec::<String>::new());

    // The bounds themselves: a thousand clients, and a last day that ends in 366 days.
    let bounded = |clients: usize, now: Timestamp| {
        let clock = ManualClock::new();
        clock.set(now);
        let issuer = TestIssuer::new(ISSUER, &clock);
        let clients: Vec<_> = (0..clients).map(|number| format!("client-{number}")).collect();
        bare(&clock)
            .issuer(issuer.fixed_keys())
            .binding(Binding::Either)
            .class(TokenClass::default_at_most(MINUTE))
            .exception(Exception::for_clients(clients).until("2027-01-31").because("ticket 1"))
            .build()
            .map_err(|error| error.to_string())
    };
    // 2027-02-01T00:00:00Z
    let end = Timestamp::from_secs(1_801_440_000);
    let earliest = end.minus(Duration::from_hours(24 * 366));
    assert!(bounded(1_000, earliest).is_ok());
    let error = bounded(1_001, end).unwrap_err();
    assert!(error.contains("more than 1000 are no exception"), "{error}");
    let error = bounded(1, earliest.minus(Duration::from_nanos(1))).unwrap_err();
    assert!(error.contains("2027-01-31 is more than a year ahead"), "{error}");
}

/// JWS-47 for clients: where there are several issuers, or tenants, a client id alone says nothing.
#[test]
fn with_several_issuers_a_class_of_clients_names_theirs() {
    let second = |builder: ServerBuilder| {
        let clock = ManualClock::new();
        builder.issuer(TestIssuer::new("https://two.example", &clock).fixed_keys())
    };
    let tenants = |builder: ServerBuilder| builder.tenants(TenantList::new(), 10);
    let with = |class: TokenClass, more: &dyn Fn(ServerBuilder) -> ServerBuilder| {
        faults(|builder| {
            let default = TokenClass::default_at_most(MINUTE);
            more(builder.binding(Binding::WhereBound)).class(default).class(class)
        })
    };
    let batch = || TokenClass::named("batch").at_most(MINUTE).clients(["nightly"]);
    let wanted = "classes[0].clients: token class `batch`: the server has more than one issuer: \
                  say with `issuers` whose clients";
    type More<'a> = &'a dyn Fn(ServerBuilder) -> ServerBuilder;
    let several: [(&str, More<'_>); 2] = [("two issuers", &second), ("tenants", &tenants)];
    for (name, more) in several {
        assert_eq!(with(batch(), more), [wanted], "{name}");
        assert_eq!(with(batch().issuers([ISSUER]), more), Vec::<String>::new(), "{name}");
        // A class of anything else needs none.
        let scopes = TokenClass::named("batch").at_most(MINUTE).scopes(["nightly"]);
        assert_eq!(with(scopes, more), Vec::<String>::new(), "{name}");
    }
    assert_eq!(with(batch(), &|builder| builder), Vec::<String>::new(), "one issuer");
}

/// Where issuers come and go, a client id alone says nothing.
#[test]
fn with_tenants_an_exception_names_its_issuer() {
    let found = faults(|builder| {
        builder
            .binding(Binding::Either)
            .class(TokenClass::default_at_most(MINUTE))
            .tenants(TenantList::new(), 10)
            .exception(Exception::for_clients(["a"]).until("2027-03-31").because("x"))
    });
    assert!(found.iter().any(|fault| fault.starts_with("exceptions[0].of_issuer")), "{found:?}");
}

/// FAPI-02, FAPI-03, FAPI-05, FAPI-06, BCP-01, decision 18: everything the profile asks is named,
/// and it does not build without a way to prove senders and to see revocation.
#[test]
fn fapi2_names_every_demand_that_is_not_met() {
    let found = faults(|builder| {
        builder
            .issuer(
                TestIssuer::new("https://two.example", &ManualClock::new())
                    .fixed_keys()
                    .algorithms([Algorithm::Rs256, Algorithm::Es256]),
            )
            .fapi2()
            .binding(Binding::WhereBound)
            .leeway(Duration::from_secs(5))
            .class(TokenClass::default_at_most(2 * 60 * MINUTE))
            .exception(
                Exception::for_clients(["a"]).of_issuer(ISSUER).until("2027-03-31").because("x"),
            )
    });
    for wanted in [
        "issuers[1].algorithms[0]: issuer `https://two.example`: `RS256` is not allowed by FAPI 2.0 §5.4.1",
        "default_class.at_most: FAPI 2.0: tokens of 7200s",
        "binding: FAPI 2.0: only sender-constrained tokens",
        "exceptions[0]: FAPI 2.0: it knows no plain bearer token",
        "leeway: FAPI 2.0: a leeway of 5s",
        "revocation: FAPI 2.0: no way to see that a token was revoked",
    ] {
        assert!(found.iter().any(|fault| fault.contains(wanted)), "{wanted}: {found:#?}");
    }
    assert_eq!(found.len(), 6, "{found:#?}");

    // With the rest in order this remains; what this process revokes itself is no source.
    let rest = faults(|builder| {
        let class = TokenClass::default_at_most(10 * MINUTE);
        builder.fapi2().binding(Binding::Dpop).class(class).revocation(Revocation::new())
    });
    assert_eq!(rest.len(), 1, "{rest:#?}");
    assert!(rest[0].starts_with("revocation: FAPI 2.0: no way to see"), "{rest:#?}");

    // And with that it builds.
    let clock = ManualClock::new();
    let issuer = TestIssuer::new(ISSUER, &clock);
    let known = Revocation::new().status_lists(StatusLists::new());
    ResourceServer::builder(RESOURCE)
        .clock(clock.clone())
        .issuer(issuer.fixed_keys())
        .fapi2()
        .binding(Binding::Dpop)
        .dpop(Dpop::new())
        .class(TokenClass::default_at_most(10 * MINUTE))
        .revocation(known)
        .transport(TestNetwork::of(&[&issuer]))
        .build()
        .unwrap();

    // The algorithms of proofs are held to it too.
    let proofs = faults(|builder| {
        let dpop = Dpop::new().algorithms([Algorithm::Es256, Algorithm::Es384]);
        let class = TokenClass::default_at_most(10 * MINUTE);
        builder.fapi2().dpop(dpop).binding(Binding::Dpop).class(class)
    });
    assert!(proofs.iter().any(|fault| fault.starts_with("dpop.algorithms[1]")), "{proofs:#?}");

    // And without a mechanism no sender can be proven.
    let clock = ManualClock::new();
    let error = ResourceServer::builder(RESOURCE)
        .clock(clock.clone())
        .issuer(TestIssuer::new(ISSUER, &clock).fixed_keys())
        .fapi2()
        .binding(Binding::Either)
        .class(TokenClass::default_at_most(10 * MINUTE))
        .build()
        .unwrap_err();
    let wanted = "FAPI 2.0: no way to prove a sender";
    assert!(error.faults().iter().any(|fault| fault.to_string().contains(wanted)), "{error}");
}

/// FAPI-06: an RS256 key is no usable key under the profile.
#[test]
fn fapi2_narrows_the_algorithms_of_issuers_that_name_none() {
    let clock = ManualClock::new();
    let issuer = TestIssuer::with_algorithm(ISSUER, &clock, Algorithm::Rs256);
    let build = |builder: ServerBuilder| {
        let class = TokenClass::default_at_most(MINUTE);
        builder.issuer(issuer.fixed_keys()).binding(Binding::Dpop).class(class).build()
    };
    let error = build(bare(&clock).fapi2()).unwrap_err();
    let no_key = |fault: &ConfigFault| matches!(fault, ConfigFault::NoUsableKey { .. });
    assert!(error.faults().iter().any(no_key), "{error}");
    assert!(build(bare(&clock)).is_ok());
}

/// An unknown address is in no network, however wide.
#[tokio::test]
async fn a_request_without_a_peer_has_no_network() {
    let world = World::new(exceptional(|exception| exception.from_networks(["0.0.0.0/0", "::/0"])));
    let token = world.living(MINUTE).client_id("partner-x").sign();
    let (parts, ()) = Request::get("/")
        .header("authorization", format!("Bearer {token}"))
        .body(())
        .unwrap()
        .into_parts();
    assert_eq!(world.api.verify(&parts).await.unwrap_err().kind(), Kind::NotBound);
}
