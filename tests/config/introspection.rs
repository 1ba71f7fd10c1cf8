//! What a file says of introspection is how tokens are asked about.

use std::time::Duration;

use http::header::AUTHORIZATION;
use portcullis::testing::{
    ManualClock, TestIntrospection, TestIntrospectionRequest, TestIssuer, TestNetwork, TokenBuilder,
};
use portcullis::{RejectionKind as Kind, ResourceServer};
use serde_json::{Value, json};

use super::support::{ISSUER, RESOURCE, bearer, present, send};
use super::{Directory, config, faults, least, told, with};

const OTHER: &str = "https://other.example";
/// What is in the environment variable that the secrets of these files are in.
const SHOWN: &str = env!("CARGO_PKG_NAME");

/// An issuer, its endpoint, and that of another one.
struct World {
    clock: ManualClock,
    issuer: TestIssuer,
    endpoint: TestIntrospection,
    other: TestIntrospection,
    network: TestNetwork,
}

impl World {
    fn new() -> Self {
        let clock = ManualClock::new();
        let issuer = TestIssuer::new(ISSUER, &clock);
        let endpoint = TestIntrospection::of(&issuer, &clock);
        let other = TestIntrospection::new(format!("{OTHER}/introspect"), &clock);
        let network = TestNetwork::of(&[&issuer]).with_introspection(&endpoint);
        let network = network.with_introspection(&other);
        Self { clock, issuer, endpoint, other, network }
    }

    fn serve(&self, file: &Value) -> ResourceServer {
        let builder = config(file).unwrap().builder().unwrap();
        builder.clock(self.clock.clone()).transport(self.network.clone()).build().unwrap()
    }

    fn claims(&self) -> TokenBuilder {
        self.issuer.token(RESOURCE)
    }

    /// What a token with these claims gets from a server of this file.
    async fn decides(&self, file: &Value, claims: TokenBuilder) -> Option<Kind> {
        kind(&self.serve(file), &self.endpoint.active(claims)).await
    }
}

async fn kind(api: &ResourceServer, token: &str) -> Option<Kind> {
    present(api, token).await.err().map(|refused| refused.kind())
}

/// The least that asks: one issuer, which is opaque.
fn asked() -> Value {
    let file = with(least(), "/issuers/0/opaque", json!(true));
    with(file, "/introspection", json!([one(ISSUER)]))
}

fn one(issuer: &str) -> Value {
    let endpoint = format!("{issuer}/introspect");
    let client = json!({ "method": "insecure_unauthenticated" });
    json!({ "issuer": issuer, "endpoint": endpoint, "client": client })
}

/// The same with this member.
fn asking(member: &str, value: Value) -> Value {
    with(asked(), &format!("/introspection/0/{member}"), value)
}

/// INT-01, INT-04: an opaque token of a file's issuer is good as long as its issuer says so.
#[tokio::test]
async fn an_opaque_token_is_asked_about() {
    let world = World::new();
    let api = world.serve(&asking("negative_ttl", json!("1s")));
    let token = world.endpoint.active(world.claims());
    assert_eq!(kind(&api, &token).await, None);
    world.endpoint.revoke(&token);
    world.clock.advance(Duration::from_secs(31));
    assert_eq!(kind(&api, &token).await, Some(Kind::Inactive));
    // Without `opaque` the issuer has keys, and its JWTs are read here.
    let file = with(asked(), "/issuers/0/opaque", json!(false));
    assert_eq!(kind(&world.serve(&file), &world.claims().sign()).await, None);
    assert!(kind(&api, &world.claims().sign()).await.is_some());
}

/// INT-02: each way to say who asks, as the file says it.
#[tokio::test]
async fn each_method_shows_what_the_file_says() {
    type Shows = fn(&TestIntrospectionRequest) -> bool;
    let directory = Directory::new();
    let jwk = r#"{"kty":"OKP","crv":"Ed25519","d":"nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}"#;
    std::fs::write(directory.path("key.jwk"), jwk).unwrap();
    let key = json!({ "file": directory.path("key.jwk") });
    let secret = json!({ "env": "CARGO_PKG_NAME" });
    let rows: [(Value, Shows); 7] = [
        (
            json!({ "method": "client_secret_basic", "client_id": "notes", "secret": secret }),
            |asked| asked.client() == Some(("notes".to_owned(), SHOWN.to_owned())),
        ),
        (
            json!({ "method": "client_secret_post", "client_id": "notes", "secret": secret }),
            |asked| {
                asked.form("client_id").as_deref() == Some("notes")
                    && asked.form("client_secret").as_deref() == Some(SHOWN)
            },
        ),
        (json!({ "method": "private_key_jwt", "client_id": "notes", "key": key }), |asked| {
            let claims = assertion(asked, 1);
            assertion(asked, 0).get("kid").is_none()
                && claims["sub"] == "notes"
                && claims["aud"] == ISSUER
        }),
        (
            json!({
                "method": "private_key_jwt", "client_id": "notes", "key": key, "key_id": "k-1",
                "audience": "https://as.example/token", "algorithm": "Ed25519",
            }),
            |asked| {
                let header = assertion(asked, 0);
                header["kid"] == "k-1"
                    && header["alg"] == "Ed25519"
                    && assertion(asked, 1)["aud"] == "https://as.example/token"
            },
        ),
        (json!({ "method": "tls_client_auth", "client_id": "notes" }), |asked| {
            asked.form("client_id").as_deref() == Some("notes")
                && asked.form("client_secret").is_none()
                && asked.form("client_assertion").is_none()
        }),
        (json!({ "method": "bearer", "token": secret }), |asked| {
            let shown = asked.headers().get(AUTHORIZATION);
            shown.is_some_and(|shown| *shown == *format!("Bearer {SHOWN}"))
        }),
        (json!({ "method": "insecure_unauthenticated" }), |asked| {
            asked.form("client_id").is_none() && !asked.headers().contains_key(AUTHORIZATION)
        }),
    ];
    for (index, (client, _)) in rows.iter().enumerate() {
        let world = World::new();
        let file = asking("client", client.clone());
        let api = world.serve(&file);
        assert_eq!(api.effective_policy()["introspection"][0]["client"], *client);
        assert_eq!(kind(&api, &world.endpoint.active(world.claims())).await, None, "{client}");
        let asked = &world.endpoint.requests()[0];
        // It shows what this row says, and what no other row does.
        for (other, (_, shows)) in rows.iter().enumerate() {
            assert_eq!(shows(asked), other == index, "{client}, {other}");
        }
        let printed = format!("{:?} {}", config(&file).unwrap(), api.effective_policy());
        assert!(!printed.contains("nWGxne"), "{printed}");
    }
}

/// The header or the claims of the assertion that was shown.
fn assertion(asked: &TestIntrospectionRequest, part: usize) -> Value {
    use base64::Engine as _;
    let assertion = asked.form("client_assertion").unwrap_or_default();
    let part = assertion.split('.').nth(part).unwrap_or_default();
    let octets = base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(part).unwrap();
    serde_json::from_slice(&octets).unwrap_or_default()
}

/// AT-12: whose a token is, by what it begins with, or by the policy.
#[tokio::test]
async fn the_file_says_whose_a_token_is() {
    let mut file = asked();
    file["issuers"] = json!([{ "id": ISSUER, "opaque": true }, { "id": OTHER, "opaque": true }]);
    file["introspection"] = json!([one(ISSUER), one(OTHER)]);
    assert_eq!(faults(&file)[0].0, "introspection", "nobody could say whose a token is");

    let prefixed = with(file.clone(), "/introspection/1/prefixes", json!(["o_", "oo_"]));
    let named = with(file, "/introspection/1/only_where_named", json!(true));
    let policies = json!({
        "of_other": { "allow_all": true, "introspected_by": OTHER },
        "of_any": { "allow_all": true },
    });
    let named = with(named, "/policies", policies);
    for (name, file, policy, token, asked) in [
        ("another beginning", &prefixed, None, "x_1", [1, 0]),
        ("the beginning", &prefixed, None, "o_1", [0, 1]),
        ("the other beginning", &prefixed, None, "oo_1", [0, 1]),
        ("not named", &named, Some("of_any"), "o_1", [1, 0]),
        ("named", &named, Some("of_other"), "o_1", [0, 1]),
    ] {
        let world = World::new();
        let api = world.serve(file);
        let layer = match policy {
            Some(policy) => api.guard(api.policy(policy)).unwrap().layer(),
            None => api.layer(),
        };
        let _ = send(&layer, bearer(token)).await;
        assert_eq!([world.endpoint.calls(), world.other.calls()], asked, "{name}");
    }
}

/// AT-11: JWTs are read here, unless the file has them asked about.
#[tokio::test]
async fn jwts_are_asked_about_where_the_file_says_so() {
    for (jwts, expected, calls) in [(false, None, 0), (true, Some(Kind::Inactive), 1)] {
        let world = World::new();
        let file = with(asking("jwts", json!(jwts)), "/issuers/0/opaque", json!(false));
        let api = world.serve(&file);
        assert_eq!(kind(&api, &world.claims().sign()).await, expected);
        assert_eq!(world.endpoint.calls(), calls);
        let open = api.effective_policy().get("not_enforced").is_some();
        assert_eq!(open, !jwts, "whoever asks about every token knows what is revoked");
    }
}

/// INT-16, INT-22: signed answers, for whom the file says.
#[tokio::test]
async fn answers_are_signed_where_the_file_says_so() {
    let secret = json!({ "env": "CARGO_PKG_NAME" });
    let client = json!({ "method": "client_secret_basic", "client_id": "notes", "secret": secret });
    let keyed = with(asking("client", client), "/issuers/0/opaque", json!(false));
    let at = |member: &str, value: Value| {
        with(keyed.clone(), &format!("/introspection/0/{member}"), value)
    };
    for (name, file, signed_for, passes) in [
        ("plain", keyed.clone(), None, true),
        ("not signed", at("signed_answers", json!(true)), None, false),
        ("off", at("signed_answers", json!(false)), None, true),
        ("of the client", at("signed_answers", json!(true)), Some("notes"), true),
        ("of another", at("signed_answers", json!(true)), Some("rs-1"), false),
        ("said", at("signed_for", json!("rs-1")), Some("rs-1"), true),
        ("said, of another", at("signed_for", json!("rs-1")), Some("notes"), false),
    ] {
        let world = World::new();
        if let Some(client) = signed_for {
            world.endpoint.sign_with(&world.issuer, client);
        }
        let decided = world.decides(&file, world.claims()).await;
        let expected = (!passes).then_some(Kind::IntrospectionUnavailable);
        assert_eq!(decided, expected, "{name}");
    }
    let opaque = asking("signed_for", json!("rs-1"));
    assert_eq!(faults(&opaque)[0].0, "introspection[0].signed_answers");
    let found = faults(&asking("signed_answers", json!(true)));
    let places: Vec<_> = found.iter().map(|(place, _)| place.as_str()).collect();
    assert_eq!(places, ["introspection[0].signed_answers", "introspection[0].signed_for"]);
}

/// INT-05: what answers may lack, and what they may not.
#[tokio::test]
async fn answers_may_lack_what_the_file_says() {
    for (member, value, lacks) in [
        ("may_lack", json!(["token_type"]), "token_type"),
        ("may_lack", json!(["exp"]), "exp"),
        ("may_lack", json!(["sub"]), "sub"),
        ("dangerous", json!({ "insecure_without_audience": true }), "aud"),
    ] {
        for (file, passes) in [(asking(member, value), true), (asked(), false)] {
            let world = World::new();
            let mut answer = json!({
                "active": true, "iss": ISSUER, "sub": "alice", "aud": RESOURCE,
                "client_id": "app", "token_type": "Bearer", "scope": "a", "jti": "1",
            });
            let now = portcullis::time::Clock::now(&world.clock).as_secs();
            answer["iat"] = json!(now);
            answer["exp"] = json!(now + 300);
            answer.as_object_mut().unwrap().remove(lacks);
            world.endpoint.set("opaque", answer);
            let decided = kind(&world.serve(&file), "opaque").await;
            assert_eq!(decided.is_none(), passes, "{lacks}: {decided:?}");
        }
    }
}

/// INT-06, INT-08, INT-09: how long an answer counts.
#[tokio::test]
async fn answers_count_as_long_as_the_file_says() {
    let seconds = Duration::from_secs;
    for (name, file, calls) in [
        ("usual", asked(), 1),
        ("shorter", asking("ttl", json!("5s")), 2),
        ("never", asking("ttl", json!("0s")), 2),
        ("no room", asking("cache_bytes", json!(0)), 2),
        ("fresher", with(asked(), "/policy", json!({ "allow_all": true, "freshness": "5s" })), 2),
    ] {
        let world = World::new();
        let api = world.serve(&file);
        let token = world.endpoint.active(world.claims());
        for _ in 0..2 {
            assert_eq!(send(&api.layer(), bearer(&token)).await.kind(), None, "{name}");
            world.clock.advance(seconds(10));
        }
        assert_eq!(world.endpoint.calls(), calls, "{name}");
    }
    for (file, calls) in [(asked(), 1), (asking("negative_ttl", json!("1s")), 2)] {
        let world = World::new();
        let api = world.serve(&file);
        for _ in 0..2 {
            assert_eq!(kind(&api, "unknown").await, Some(Kind::Inactive));
            world.clock.advance(seconds(3));
        }
        assert_eq!(world.endpoint.calls(), calls);
    }
}

/// What stands in the effective policy is what a file would say, and builds the same.
#[test]
fn a_file_of_the_effective_policy_builds_the_same() {
    let secret = json!({ "env": "CARGO_PKG_NAME" });
    let basic = json!({ "method": "client_secret_basic", "client_id": "notes", "secret": secret });
    let rich = json!({
        "issuer": ISSUER, "endpoint": "http://127.0.0.1:9000/introspect", "client": basic,
        "prefixes": ["a_"], "jwts": true, "signed_answers": true, "may_lack": ["sub", "exp"],
        "dangerous": { "insecure_loopback_http": true, "insecure_without_audience": true },
        "ttl": "20s", "max_at_once": 3, "timeout": "700ms", "cache_bytes": 4096,
    });
    let keyed = with(asked(), "/issuers/0/opaque", json!(false));
    for file in [
        asked(),
        asking("only_where_named", json!(true)),
        asking("ttl", json!("0s")),
        with(keyed, "/introspection", json!([rich])),
    ] {
        let report = |file: &Value| config(file).unwrap().build().unwrap().effective_policy();
        let first = report(&file);
        let again = with(file, "/introspection", first["introspection"].clone());
        assert_eq!(report(&again)["introspection"], first["introspection"]);
        let opaque = &first["issuers"][0];
        assert_eq!(opaque.get("opaque").is_some(), opaque.get("keys").is_none());
    }
}

/// INT-02, INT-03: each fault once, at its place.
#[test]
fn each_fault_is_told_at_its_place() {
    let secret = json!({ "env": "CARGO_PKG_NAME" });
    let client = |members: Value| asking("client", members);
    let other = |member: &str, value: Value| {
        let issuers = json!([{ "id": ISSUER, "opaque": true }, { "id": OTHER, "opaque": true }]);
        let mut other = one(OTHER);
        other["prefixes"] = json!(["o_"]);
        let file = with(asked(), "/issuers", issuers);
        let file = with(file, "/introspection", json!([one(ISSUER), other]));
        with(file, &format!("/introspection/1/{member}"), value)
    };
    let basic = |secret: Value| {
        client(json!({ "method": "client_secret_basic", "client_id": "a", "secret": secret }))
    };
    for (file, places) in [
        (asked(), &[][..]),
        (other("prefixes", json!(["o_"])), &[]),
        (other("jwts", json!(false)), &[]),
        // Members of the table.
        (with(asked(), "/introspection", json!({})), &["introspection"]),
        (asking("surprise", json!(1)), &["introspection[0].surprise"]),
        (asking("issuer", json!(1)), &["introspection[0].issuer"]),
        (
            asking("issuer", json!("https://x.example")),
            &["introspection[0].issuer", "introspection"],
        ),
        (other("issuer", json!(ISSUER)), &["introspection[1].issuer", "introspection"]),
        (asking("endpoint", json!("http://as.example/x")), &["introspection[0].endpoint"]),
        (asking("endpoint", json!(1)), &["introspection[0].endpoint"]),
        (asking("prefixes", json!([])), &["introspection[0].prefixes"]),
        (asking("prefixes", json!("a_")), &["introspection[0].prefixes"]),
        (asking("prefixes", json!(["a b"])), &["introspection[0].prefixes[0]"]),
        (asking("prefixes", json!(["a_", "b_", "a_"])), &["introspection[0].prefixes[2]"]),
        (other("only_where_named", json!(true)), &["introspection[1].only_where_named"]),
        (other("prefixes", json!(7)), &["introspection[1].prefixes"]),
        (other("only_where_named", json!("no")), &["introspection[1].only_where_named"]),
        (asking("jwts", json!("yes")), &["introspection[0].jwts"]),
        (asking("signed_answers", json!("yes")), &["introspection[0].signed_answers"]),
        (asking("may_lack", json!(["iss"])), &["introspection[0].may_lack[0]"]),
        (asking("may_lack", json!([])), &["introspection[0].may_lack"]),
        (asking("ttl", json!(20)), &["introspection[0].ttl"]),
        (asking("ttl", json!("11m")), &["introspection[0].ttl"]),
        (asking("negative_ttl", json!("31s")), &["introspection[0].negative_ttl"]),
        (with(asking("negative_ttl", json!("31s")), "/introspection/0/ttl", json!("31s")), &[]),
        (
            with(asking("negative_ttl", json!("31s")), "/introspection/0/ttl", json!(31)),
            &["introspection[0].ttl"],
        ),
        (asking("cache_bytes", json!("1 MiB")), &["introspection[0].cache_bytes"]),
        (asking("cache_bytes", json!(1_u64 << 33)), &["introspection[0].cache_bytes"]),
        (asking("timeout", json!("49ms")), &["introspection[0].timeout"]),
        (asking("timeout", json!("50ms")), &[]),
        (asking("max_at_once", json!(0)), &["introspection[0].max_at_once"]),
        (asking("max_at_once", json!(1025)), &["introspection[0].max_at_once"]),
        (asking("max_at_once", json!(-1)), &["introspection[0].max_at_once"]),
        (asking("ca_file", json!("nowhere.pem")), &["introspection[0].ca_file"]),
        (asking("ca_file", json!("tests/config/ca.pem")), &[]),
        (asking("dangerous", json!(true)), &["introspection[0].dangerous"]),
        (
            asking("dangerous", json!({ "insecure_jwts": true })),
            &["introspection[0].dangerous.insecure_jwts"],
        ),
        // Who asks.
        (asking("client", json!("notes")), &["introspection[0].client"]),
        (asking("client", json!({})), &["introspection[0].client.method"]),
        (client(json!({ "method": "none" })), &["introspection[0].client.method"]),
        (basic(secret.clone()), &[]),
        (basic(json!("hunter2")), &["introspection[0].client.secret"]),
        (basic(json!({ "env": "PORTCULLIS_UNSET" })), &["introspection[0].client.secret"]),
        (
            client(json!({ "method": "client_secret_basic" })),
            &["introspection[0].client.client_id", "introspection[0].client.secret"],
        ),
        (
            client(json!({ "method": "client_secret_post", "client_id": "", "secret": secret })),
            &["introspection[0].client.client_id"],
        ),
        (
            client(json!({ "method": "bearer", "token": secret, "secret": secret })),
            &["introspection[0].client.secret"],
        ),
        (
            client(json!({ "method": "tls_client_auth", "client_id": "a", "key": secret })),
            &["introspection[0].client.key"],
        ),
        (
            client(json!({ "method": "tls_client_auth", "client_id": "a", "key_id": "k" })),
            &["introspection[0].client.key_id"],
        ),
        (
            client(json!({ "method": "private_key_jwt", "client_id": "a", "secret": secret })),
            &["introspection[0].client.key", "introspection[0].client.secret"],
        ),
        (
            client(json!({
                "method": "private_key_jwt", "client_id": "a", "key": secret, "algorithm": "HS256",
            })),
            &["introspection[0].client.algorithm"],
        ),
        (
            client(json!({ "method": "insecure_unauthenticated", "client_id": "a" })),
            &["introspection[0].client.client_id"],
        ),
        (
            client(json!({ "method": "insecure_unauthenticated", "audience": "a" })),
            &["introspection[0].client.audience"],
        ),
    ] {
        let mut found = faults(&file);
        found.sort();
        let at: Vec<_> = found.iter().map(|(place, _)| place.as_str()).collect();
        let mut places = places.to_vec();
        places.sort_unstable();
        assert_eq!(at, places, "{found:?}\n{file:#}");
        assert!(!format!("{found:?}").contains("hunter2"), "{found:?}");
    }
    for member in ["issuer", "endpoint", "client"] {
        let mut file = asked();
        file["introspection"][0].as_object_mut().unwrap().remove(member);
        let found = faults(&file);
        assert!(found.len() == 1, "{found:?}");
        assert_eq!(found[0].0, format!("introspection[0].{member}"));
    }
    let text = asked().to_string().replacen("\"jwts\"", "", 1);
    let twice = text.replacen("\"endpoint\":", "\"ttl\":\"1s\",\"ttl\":\"2s\",\"endpoint\":", 1);
    let error = portcullis::config::ServerConfig::from_json(&twice).unwrap_err();
    assert_eq!(told(&error)[0].0, "introspection[0].ttl");
}

/// An issuer without keys has nothing to say of them, and has to be asked.
#[test]
fn an_opaque_issuer_has_no_keys() {
    for (member, value) in [
        ("jwks_uri", json!("https://as.example/jwks")),
        ("keys", json!("tests/config/keys.json")),
        ("algorithms", json!(["ES256"])),
        ("key_refresh", json!({ "fresh_at_most": "1h" })),
        ("ca_file", json!("tests/config/ca.pem")),
        ("fetch_token", json!({ "env": "CARGO_PKG_NAME" })),
    ] {
        let file = with(asked(), &format!("/issuers/0/{member}"), value);
        let found = faults(&file);
        assert!(found.len() == 1 && found[0].0 == format!("issuers[0].{member}"), "{found:?}");
        let keyed = with(file, "/issuers/0/opaque", json!(false));
        assert_eq!(faults(&keyed), [], "{member}");
    }
    assert_eq!(faults(&with(asked(), "/issuers/0/profile", json!("hydra"))), []);
    let alone = with(asked(), "/introspection", json!([]));
    assert_eq!(faults(&alone)[0].0, "introspection");
    // Where nobody asks about it, an issuer needs its keys.
    let tenant = json!({ "id": OTHER, "opaque": true });
    let tenants = json!({ "at_most": 1, "issuers": [tenant] });
    assert_eq!(faults(&with(least(), "/tenants", tenants))[0].0, "tenants.issuers[0].opaque");
    let signer = json!({ "id": OTHER, "opaque": true });
    let feed = json!({ "url": "https://feed.example", "signed_by": signer });
    let found = faults(&super::revocation::source(json!({ "feed": feed })));
    let place = "revocation.sources[0].feed.signed_by.opaque";
    assert!(found.iter().any(|(at, _)| at == place), "{found:?}");
}

/// What only seems wrong because something cannot be read is not told, and its twin is.
#[test]
fn what_follows_from_an_introspection_that_cannot_be_read_is_not_told() {
    let policy =
        json!({ "p": { "allow_all": true, "introspected_by": ISSUER, "freshness": "5s" } });
    let file = with(asked(), "/policies", policy);
    assert_eq!(faults(&file), []);
    let keyed = with(file.clone(), "/issuers/0/opaque", json!(false));
    for (place, value, fault) in [
        ("/introspection", json!(1), "introspection"),
        ("/introspection/0", json!(1), "introspection[0]"),
        ("/introspection/0/issuer", json!(1), "introspection[0].issuer"),
        ("/issuers/0/id", json!(1), "issuers[0].id"),
    ] {
        for file in [&file, &keyed] {
            let mut file = file.clone();
            *file.pointer_mut(place).unwrap() = value.clone();
            let found = faults(&file);
            assert!(found.len() == 1 && found[0].0 == fault, "{place}: {found:?}");
        }
    }
    let found = faults(&with(keyed, "/introspection", json!([])));
    let places: Vec<_> = found.iter().map(|(place, _)| place.as_str()).collect();
    assert_eq!(places, ["policies.p.introspected_by", "policies.p.freshness"], "its twin");
    // Whose tokens are all asked about knows what is revoked, as a security profile wants it.
    let mut file = with(asking("jwts", json!(true)), "/security_profile", json!("fapi2"));
    file["binding"] = json!("dpop");
    file["dpop"] = json!({});
    assert_eq!(faults(&file), []);
    file["introspection"][0]["ttl"] = json!(1);
    assert_eq!(faults(&file).len(), 1);
    file["introspection"] = json!([]);
    assert!(faults(&file).iter().any(|(place, _)| place == "revocation"));
}
