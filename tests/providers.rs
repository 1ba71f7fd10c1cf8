//! The tokens of real issuers, in their real shapes, under the profiles that are named for them.
//!
//! `tests/providers/` has a file for each issuer: its tokens with every member that they have in
//! life and invented values, and the twins that are refused. A sample that is `like` another is
//! that one with members set and removed.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

mod support;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use http::header::AUTHORIZATION;
use http::{Request, Response};
use portcullis::issuer::{ClaimTest, OptionalClaim, TenantList, TokenProfile};
use portcullis::jose::Algorithm;
use portcullis::secret::SecretSource;
use portcullis::testing::{
    ManualClock, TestAccess, TestIssuer, TestKey, TestNetwork, TokenBuilder,
};
use portcullis::transport::{Fetch, FetchLimits, ReqwestTransport, Transport};
use portcullis::{
    Access, Binding, Issuer, RejectionKind, ResourceServer, ServerBuilder, SubjectKind, TokenClass,
};
use serde_json::{Map, Value, json};
use support::{RESOURCE, Row, Wants, check_rows, present, row};

const TENANT: &str = "72f988bf-86f1-41af-91ab-2d7cd011db47";
const OTHER_TENANT: &str = "fa15d692-e9c7-4460-a743-29f2956fd429";
const SERVICE_ACCOUNT: &str = "107517467455664443765";
const API_SERVER_KEYS: &str = "https://kubernetes.default.svc/openid/v1/jwks";

/// Each issuer as its users configure it.
fn configured(name: &str) -> Issuer {
    match name {
        "keycloak" => Issuer::keycloak("https://kc.example.com/", "shop"),
        "auth0" => Issuer::auth0("acme.eu.auth0.com"),
        "entra_v2" => Issuer::entra_id(&TENANT.to_uppercase()),
        "entra_v1" => Issuer::entra_id_v1(OTHER_TENANT),
        "okta" => Issuer::okta("acme.okta.com", "default"),
        "cognito" => Issuer::cognito("eu-west-1", "eu-west-1_AbCdEfGhI"),
        "google" => Issuer::google_id_token([SERVICE_ACCOUNT]),
        "kubernetes" => {
            Issuer::jwks("https://kubernetes.default.svc.cluster.local", API_SERVER_KEYS)
                .profile(TokenProfile::kubernetes())
        }
        "oidc_provider" => {
            Issuer::discover("https://op.example.com").profile(TokenProfile::oidc_provider())
        }
        "hydra" => Issuer::discover("https://hydra.example.com").profile(TokenProfile::hydra()),
        _ => panic!("no issuer {name}"),
    }
}

const PROVIDERS: [&str; 10] = [
    "keycloak",
    "auth0",
    "entra_v2",
    "entra_v1",
    "okta",
    "cognito",
    "google",
    "kubernetes",
    "oidc_provider",
    "hydra",
];

/// A network on which keys are where the real issuer has them, and which keeps what it was asked.
#[derive(Clone)]
struct Wire {
    network: TestNetwork,
    /// From a real URL to the one at which a test issuer has its keys.
    routes: Vec<(String, String)>,
    /// Members that the issuer leaves out of its keys.
    keys_without: Vec<String>,
    seen: Arc<Mutex<Vec<Seen>>>,
}

/// The URL and the `Authorization` of a fetch.
type Seen = (String, Option<String>);

impl Wire {
    fn of(issuers: &[&TestIssuer]) -> Self {
        Self {
            network: TestNetwork::of(issuers),
            routes: Vec::new(),
            keys_without: Vec::new(),
            seen: Arc::default(),
        }
    }

    fn route(mut self, from: &str, to: &str) -> Self {
        self.routes.push((from.to_owned(), to.to_owned()));
        self
    }

    fn take_seen(&self) -> Vec<Seen> {
        std::mem::take(&mut *self.seen.lock().unwrap())
    }
}

impl Transport for Wire {
    fn fetch(&self, mut request: Request<Bytes>, limits: FetchLimits) -> Fetch<'_> {
        let url = request.uri().to_string();
        let authorization = request.headers().get(AUTHORIZATION);
        let authorization = authorization.map(|value| value.to_str().unwrap().to_owned());
        self.seen.lock().unwrap().push((url.clone(), authorization));
        if let Some((_, to)) = self.routes.iter().find(|(from, _)| *from == url) {
            *request.uri_mut() = to.parse().unwrap();
        }
        Box::pin(async move {
            let response = self.network.fetch(request, limits).await?;
            let (parts, body) = response.into_parts();
            let Ok(mut document) = serde_json::from_slice::<Value>(&body) else {
                return Ok(Response::from_parts(parts, body));
            };
            for key in document["keys"].as_array_mut().into_iter().flatten() {
                for name in &self.keys_without {
                    key.as_object_mut().unwrap().remove(name);
                }
            }
            Ok(Response::from_parts(parts, document.to_string().into()))
        })
    }
}

/// A server for tokens that live up to a day.
fn builder(clock: &ManualClock) -> ServerBuilder {
    ResourceServer::builder(RESOURCE)
        .binding(Binding::WhereBound)
        .class(TokenClass::default_at_most(Duration::from_hours(24)))
        .clock(clock.clone())
}

/// One of the files, the issuer that it describes, and a server that accepts it.
struct Provider {
    name: &'static str,
    file: Value,
    clock: ManualClock,
    issuer: TestIssuer,
    wire: Wire,
}

impl Provider {
    fn load(name: &'static str) -> Self {
        let path =
            Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/providers/{name}.json"));
        let file: Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
        let clock = ManualClock::new();
        let id = file["issuer"].as_str().unwrap();
        let issuer = TestIssuer::with_algorithm(id, &clock, Algorithm::Rs256);
        if let Some(kid) = file["kid"].as_str() {
            issuer.add_key(TestKey::generate(Algorithm::Rs256, kid));
        }
        // Keys that are there for another use, as Keycloak publishes one.
        issuer.publish(json!({"kty": "RSA", "kid": "e1", "use": "enc", "alg": "RSA-OAEP", "n": "AQAB", "e": "AQAB"}));
        let mut wire = Wire::of(&[&issuer]).route(API_SERVER_KEYS, issuer.jwks_uri()).route(
            &format!("https://login.microsoftonline.com/{OTHER_TENANT}/discovery/keys"),
            issuer.jwks_uri(),
        );
        wire.keys_without = texts(&file["keys_without"]);
        Self { name, file, clock, issuer, wire }
    }

    fn server(&self, issuer: Issuer) -> ResourceServer {
        assert_eq!(issuer.id(), self.issuer.id(), "{}", self.name);
        builder(&self.clock)
            .accept_audience(self.file["audience"].as_str().unwrap())
            .issuer(issuer)
            .transport(self.wire.clone())
            .build()
            .unwrap()
    }

    fn samples(&self) -> impl Iterator<Item = &Value> {
        self.file["samples"].as_array().unwrap().iter()
    }

    fn sample(&self, name: &str) -> &Value {
        let mut samples = self.samples();
        samples.find(|sample| sample["name"] == name).unwrap_or_else(|| panic!("no sample {name}"))
    }

    fn accepted(&self) -> impl Iterator<Item = &Value> {
        self.samples().filter(|sample| sample["wants"].is_object())
    }

    /// Header and payload, with everything that it takes over from others.
    fn parts(&self, sample: &Value) -> (Map<String, Value>, Map<String, Value>) {
        let (mut header, mut payload) = match sample["like"].as_str() {
            Some(other) => self.parts(self.sample(other)),
            None => Default::default(),
        };
        if let Some(own) = sample["header"].as_object() {
            header = own.clone();
        }
        if let Some(own) = sample["payload"].as_object() {
            payload = own.clone();
        }
        for name in texts(&sample["without"]) {
            payload.remove(&name).unwrap_or_else(|| panic!("{sample} has no {name}"));
        }
        payload.extend(sample["set"].as_object().cloned().unwrap_or_default());
        (header, payload)
    }

    fn sign(&self, sample: &Value) -> String {
        let (header, payload) = self.parts(sample);
        self.sign_parts(header, payload)
    }

    fn sign_parts(&self, header: Map<String, Value>, payload: Map<String, Value>) -> String {
        sign(&self.issuer, header, payload)
    }
}

/// A token of exactly these members; the header has `alg` and `kid` of the issuer's key unless it
/// says otherwise.
fn sign(issuer: &TestIssuer, own: Map<String, Value>, payload: Map<String, Value>) -> String {
    let key = issuer.key();
    let mut header = Map::new();
    header.insert("alg".to_owned(), json!(key.algorithm().as_str()));
    header.insert("kid".to_owned(), json!(key.kid()));
    header.extend(own);
    issuer
        .token(RESOURCE)
        .raw_header(Value::Object(header).to_string())
        .raw_payload(Value::Object(payload).to_string())
        .sign()
}

fn texts(value: &Value) -> Vec<String> {
    let texts = value.as_array().into_iter().flatten();
    texts.map(|text| text.as_str().unwrap().to_owned()).collect()
}

fn object(value: Value) -> Map<String, Value> {
    value.as_object().unwrap().clone()
}

/// What a server said, in the words of the files.
async fn answer(api: &ResourceServer, token: &str) -> String {
    match present(api, token).await {
        Ok(_) => "accepted".to_owned(),
        Err(rejection) => rejection.kind().to_string(),
    }
}

fn facts(access: &Access) -> Value {
    json!({
        "subject": access.subject().as_str(),
        "client": access.client_id().map(|client| client.as_str()),
        "scopes": access.scopes().collect::<Vec<_>>(),
        "kind": access.subject_kind().as_str(),
    })
}

#[tokio::test]
async fn each_token_of_each_issuer_gets_what_it_should() {
    let mut wrong = Vec::new();
    let (mut accepted, mut refused) = (0, 0);
    for name in PROVIDERS {
        let provider = Provider::load(name);
        let api = provider.server(configured(name));
        api.warm_up().await.unwrap();
        for sample in provider.samples() {
            let found = match present(&api, &provider.sign(sample)).await {
                Ok(access) => facts(&access),
                Err(rejection) => json!(rejection.kind().as_str()),
            };
            match sample["wants"].is_object() {
                true => accepted += 1,
                false => refused += 1,
            }
            if found != sample["wants"] {
                let (what, wants) = (&sample["name"], &sample["wants"]);
                wrong.push(format!("{name} {what}: wanted {wants}, found {found}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(accepted >= 30 && refused >= 80, "{accepted} accepted, {refused} refused");
}

/// AT-01, AT-09: what a profile lets go, the strict one does not.
#[tokio::test]
async fn the_strict_profile_takes_only_what_is_written_to_the_letter() {
    let mut wrong = Vec::new();
    for name in PROVIDERS {
        let provider = Provider::load(name);
        let strict = provider.server(provider.issuer.fixed_keys());
        for sample in provider.accepted() {
            let found = answer(&strict, &provider.sign(sample)).await;
            let wanted = sample["strict"].as_str().expect("what the strict profile says");
            if found != wanted {
                wrong.push(format!("{name} {}: wanted {wanted}, found {found}", sample["name"]));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// JWS-42: nothing that an issuer's profile lets go opens it to another kind of token.
#[tokio::test]
async fn no_profile_takes_another_kind_of_token() {
    const TYPES: [&str; 22] = [
        "dpop+jwt",
        "secevent+jwt",
        "statuslist+jwt",
        "revocation-feed+jwt",
        "logout+jwt",
        "token-introspection+jwt",
        "txntoken+jwt",
        "wit+jwt",
        "wpt+jwt",
        "oauth-authz-req+jwt",
        "entity-statement+jwt",
        "client-authentication+jwt",
        "id+jwt",
        "kb+jwt",
        "dc+sd-jwt",
        "vc+sd-jwt",
        "vc+jwt",
        "vp+jwt",
        "oauth-client-attestation+jwt",
        "oauth-client-attestation-pop+jwt",
        "oauth-id-jag+jwt",
        "application/SecEvent+JWT",
    ];
    let events = json!({"http://schemas.openid.net/event/backchannel-logout": {}});
    for name in PROVIDERS {
        let provider = Provider::load(name);
        let api = provider.server(configured(name));
        let sample = provider.accepted().next().unwrap();
        let (header, payload) = provider.parts(sample);
        let token = |header: &Value, claim: Option<(&str, Value)>| {
            let mut payload = payload.clone();
            payload.extend(claim.map(|(name, value)| (name.to_owned(), value)));
            provider.sign_parts(object(header.clone()), payload)
        };
        let own = json!(header);
        let mut rows =
            vec![row("JWS-42", format!("{name}: its own"), token(&own, None), Wants::Pass)];
        for typ in TYPES {
            let token = token(&json!({ "typ": typ }), None);
            rows.push(row("JWS-42", format!("{name}: {typ}"), token, RejectionKind::WrongType));
        }
        let other = RejectionKind::OtherTokenKind;
        for (what, claim, value) in [
            ("a logout token or security event", "events", events.clone()),
            ("an introspection answer", "token_introspection", json!({"active": true})),
            ("a status list", "status_list", json!({"bits": 1, "lst": "eNrbuRgAAhcBXQ"})),
            ("a DPoP proof", "htu", json!("https://rs.example/notes")),
        ] {
            let token = token(&own, Some((claim, value)));
            rows.push(row("JWS-42", format!("{name}: {what} of its typ"), token, other));
        }
        // A token that says `at+jwt` is one, whatever it carries; Google's are ID tokens by name.
        let says_so = own["typ"] == "at+jwt";
        for claim in ["req_wl", "toe", "_sd_alg", "vct"] {
            let wants = if says_so { Wants::Pass } else { other.into() };
            let token = token(&own, Some((claim, json!("x"))));
            rows.push(row("JWS-42", format!("{name}: {claim}"), token, wants));
        }
        let takes_id_tokens = provider.file["takes_id_tokens"] == true;
        for (claim, value) in [
            ("typ", "ID"),
            ("typ", "Refresh"),
            ("typ", "Offline"),
            ("typ", "Logout"),
            ("token_use", "id"),
            ("token_use", "refresh"),
        ] {
            let is_taken = takes_id_tokens && value.eq_ignore_ascii_case("id");
            let wants = if is_taken || says_so { Wants::Pass } else { other.into() };
            let token = token(&own, Some((claim, json!(value))));
            rows.push(row("JWS-42", format!("{name}: {claim} {value}"), token, wants));
        }
        for claim in ["nonce", "at_hash", "c_hash", "s_hash"] {
            let wants = match takes_id_tokens || says_so {
                true => Wants::Pass,
                false => other.into(),
            };
            let token = token(&own, Some((claim, json!("n-0S6_WzA2Mj"))));
            rows.push(row("JWS-42", format!("{name}: {claim}"), token, wants));
        }
        check_rows(&api, rows).await;
    }
}

/// Everything let go that can be.
fn most_relaxed() -> TokenProfile {
    widest_for_access_tokens().accept_id_tokens().require_claim("iss", "https://as.example")
}

/// The same, but for ID tokens.
fn widest_for_access_tokens() -> TokenProfile {
    TokenProfile::relaxed()
        .accept_type("JWT")
        .accept_no_type()
        .may_lack(OptionalClaim::ClientId)
        .may_lack(OptionalClaim::IssuedAt)
        .may_lack(OptionalClaim::JwtId)
        .client_id_from(["azp", "client_id", "cid", "appid"])
        .scope_from(["scp", "scope"])
        .accept_scope_array()
}

fn with_profile(clock: &ManualClock, issuer: &TestIssuer, profile: TokenProfile) -> ResourceServer {
    builder(clock).issuer(issuer.fixed_keys().profile(profile)).build().unwrap()
}

#[tokio::test]
async fn the_most_relaxed_profile_there_is_still_wants_an_access_token_for_this_resource() {
    let clock = ManualClock::new();
    let issuer = TestIssuer::new("https://as.example", &clock);
    let api = with_profile(&clock, &issuer, most_relaxed());
    let token = || issuer.token(RESOURCE).header("typ", "JWT");
    let mut rows = vec![
        row("JWS-42", "JWT", token().sign(), Wants::Pass),
        row("JWS-42", "an ID token, by name", token().claim("nonce", "n-0S6").sign(), Wants::Pass),
        row("AT-09", "no typ", token().without_header("typ").sign(), Wants::Pass),
        row("AT-06", "aud is the client", token().claim("aud", "test-client").sign(), {
            RejectionKind::WrongAudience
        }),
    ];
    for typ in [
        "dpop+jwt",
        "secevent+jwt",
        "statuslist+jwt",
        "revocation-feed+jwt",
        "logout+jwt",
        "token-introspection+jwt",
        "txntoken+jwt",
        "wit+jwt",
        "wpt+jwt",
    ] {
        let token = token().header("typ", typ).sign();
        rows.push(row("JWS-42", typ, token, RejectionKind::WrongType));
    }
    for claim in ["events", "token_introspection", "status_list", "htu", "wth"] {
        let token = token().claim(claim, json!({})).sign();
        rows.push(row("JWS-42", claim, token, RejectionKind::OtherTokenKind));
    }
    for claim in ["req_wl", "toe", "_sd_alg", "vct"] {
        let marked = token().claim(claim, json!({}));
        rows.push(row("JWS-42", claim, marked.sign(), RejectionKind::OtherTokenKind));
        let untyped = marked.clone().without_header("typ").sign();
        rows.push(row(
            "JWS-42",
            format!("{claim}, no typ"),
            untyped,
            RejectionKind::OtherTokenKind,
        ));
        let typed = marked.header("typ", "at+jwt").sign();
        rows.push(row("JWS-42", format!("{claim}, at+jwt"), typed, Wants::Pass));
    }
    for claim in ["client_id", "iat", "jti"] {
        rows.push(row("AT-09", claim, token().without(claim).sign(), Wants::Pass));
    }
    for claim in ["sub", "aud", "exp"] {
        let token = token().without(claim).sign();
        rows.push(row("AT-09", claim, token, RejectionKind::MissingClaim));
    }
    let token = token().without("iss").sign();
    rows.push(row("AT-09", "iss", token, RejectionKind::UnknownIssuer));
    check_rows(&api, rows).await;
}

/// JWS-42: what is no ID token by type is told by its claims, and by what its issuer calls it.
#[tokio::test]
async fn under_the_widest_profile_an_id_or_refresh_token_is_refused_where_it_says_what_it_is() {
    let clock = ManualClock::new();
    let issuer = TestIssuer::new("https://as.example", &clock);
    let takes_none = with_profile(&clock, &issuer, widest_for_access_tokens());
    let takes_them = with_profile(&clock, &issuer, most_relaxed());
    let other = Wants::from(RejectionKind::OtherTokenKind);
    let mut refused_here = Vec::new();
    let mut passing_there = Vec::new();
    for (claim, value, wants) in [
        ("nonce", json!("n-0S6"), other),
        ("at_hash", json!("x"), other),
        ("c_hash", json!("x"), other),
        ("s_hash", json!(null), other),
        ("typ", json!("ID"), other),
        ("typ", json!("Refresh"), other),
        ("typ", json!("Offline"), other),
        ("typ", json!("Logout"), other),
        ("token_use", json!("id"), other),
        ("token_use", json!("refresh"), other),
        ("typ", json!("Bearer"), Wants::Pass),
        ("typ", json!("id"), Wants::Pass),
        ("typ", json!(["ID"]), Wants::Pass),
        ("token_use", json!("access"), Wants::Pass),
        ("token_use", json!("ID"), Wants::Pass),
    ] {
        let name = |typ: &str| format!("{claim} {value}, {typ}");
        let token = issuer.token(RESOURCE).claim(claim, &value);
        let as_jwt = token.clone().header("typ", "JWT").sign();
        let untyped = token.clone().without_header("typ").sign();
        refused_here.push(row("JWS-42", name("at+jwt"), token.sign(), Wants::Pass));
        refused_here.push(row("JWS-42", name("JWT"), as_jwt.clone(), wants));
        refused_here.push(row("JWS-42", name("no typ"), untyped.clone(), wants));
        // Who takes ID tokens takes no refresh token for that.
        let is_id_token = !["Refresh", "Offline", "Logout", "refresh"]
            .contains(&value.as_str().unwrap_or_default());
        let wants = if is_id_token { Wants::Pass } else { other };
        passing_there.push(row("JWS-42", name("JWT"), as_jwt, wants));
        passing_there.push(row("JWS-42", name("no typ"), untyped, wants));
    }
    // However it is spelled, it is the same word.
    let escaped = issuer.token(RESOURCE).header("typ", "JWT").raw_claim("typ", r#""\u0049D""#);
    refused_here.push(row("JWS-42", "typ ID, escaped", escaped.sign(), other));
    // What is no token for a client either stays out.
    let event = issuer.token(RESOURCE).header("typ", "JWT").claim("typ", "ID").claim("toe", 1);
    passing_there.push(row("JWS-42", "typ ID, toe", event.sign(), other));
    check_rows(&takes_none, refused_here).await;
    check_rows(&takes_them, passing_there).await;
}

/// Of most issuers anybody can get an ID token.
#[test]
fn a_profile_that_takes_id_tokens_says_whose() {
    let fault = |profile: TokenProfile| {
        let clock = ManualClock::new();
        let issuer = TestIssuer::new("https://as.example", &clock);
        let built = builder(&clock).issuer(issuer.fixed_keys().profile(profile)).build();
        built.err().map(|error| error.to_string())
    };
    let nobody = fault(TokenProfile::relaxed().accept_id_tokens()).unwrap();
    let wanted =
        "issuers[0].profile: issuer `https://as.example`: ID tokens are taken, and anybody";
    assert!(nobody.contains(wanted), "{nobody}");
    let profile = TokenProfile::relaxed().accept_id_tokens().require_claim_in("sub", ["alice"]);
    assert_eq!(fault(profile), None);
}

#[tokio::test]
async fn a_claim_is_let_go_by_its_name_and_no_other_with_it() {
    let clock = ManualClock::new();
    let issuer = TestIssuer::new("https://as.example", &clock);
    let all = [OptionalClaim::ClientId, OptionalClaim::IssuedAt, OptionalClaim::JwtId];
    for let_go in all {
        let api = with_profile(&clock, &issuer, TokenProfile::relaxed().may_lack(let_go));
        let rows = all.map(|claim| {
            let wants = match claim == let_go {
                true => Wants::Pass,
                false => RejectionKind::MissingClaim.into(),
            };
            let token = issuer.token(RESOURCE).without(claim.as_str()).sign();
            row("AT-09", format!("{let_go:?} let go, {claim:?} absent"), token, wants)
        });
        let untyped = issuer.token(RESOURCE).without_header("typ").sign();
        let untyped = row("AT-09", "no typ", untyped, RejectionKind::WrongType);
        // Let go is not unread: one that is there has to be of its type.
        let malformed = issuer.token(RESOURCE).claim(let_go.as_str(), json!([1])).sign();
        let malformed = row("AT-10", "malformed", malformed, RejectionKind::MalformedClaim);
        check_rows(&api, rows.into_iter().chain([untyped, malformed])).await;
    }
}

#[tokio::test]
async fn a_scope_array_is_taken_only_where_the_profile_says_so() {
    let clock = ManualClock::new();
    let issuer = TestIssuer::new("https://as.example", &clock);
    let strict = with_profile(&clock, &issuer, TokenProfile::rfc9068());
    let named = TokenProfile::relaxed().scope_from(["scp"]);
    let lenient = with_profile(&clock, &issuer, named.clone().accept_scope_array());
    let named = with_profile(&clock, &issuer, named);
    let token = |claim: &str, scope: Value| issuer.token(RESOURCE).claim(claim, scope).sign();
    let rows = |claim: &'static str, array: Wants| -> Vec<Row> {
        let malformed = Wants::from(RejectionKind::MalformedClaim);
        [
            ("a string", json!("a b"), Wants::Pass),
            ("an array", json!(["a", "b"]), array),
            ("an empty array", json!([]), array),
            ("a space in an element", json!(["a b"]), malformed),
            ("an empty element", json!(["a", ""]), malformed),
            ("a number in an array", json!(["a", 1]), malformed),
            ("an array in an array", json!([["a"]]), malformed),
            ("an object", json!({"a": true}), malformed),
        ]
        .map(|(name, scope, wants)| row("DEL-05", name, token(claim, scope), wants))
        .into()
    };
    check_rows(&strict, rows("scope", RejectionKind::MalformedClaim.into())).await;
    check_rows(&named, rows("scp", RejectionKind::MalformedClaim.into())).await;
    check_rows(&lenient, rows("scp", Wants::Pass)).await;

    let access = present(&lenient, &token("scp", json!(["a", "b"]))).await.unwrap();
    assert_eq!(access.scopes().collect::<Vec<_>>(), ["a", "b"]);
    // The claim that the profile does not name grants nothing.
    let access = present(&lenient, &token("scope", json!("a b"))).await.unwrap();
    assert_eq!(access.scopes().count(), 0);
}

#[test]
fn a_claim_with_a_suffix_is_compared_whole() {
    let rule = ClaimTest::same_with_suffix("sub", "azp", "@clients");
    let profile =
        TokenProfile::relaxed().client_id_from(["azp"]).subject_kind(SubjectKind::Workload, rule);
    for (sub, azp, wanted) in [
        ("c1@clients", "c1", SubjectKind::Workload),
        ("c2@clients", "c1", SubjectKind::Person),
        ("x|c1@clients", "c1", SubjectKind::Person),
        ("c1@clients@clients", "c1", SubjectKind::Person),
        ("c1", "c1", SubjectKind::Client),
    ] {
        let access =
            TestAccess::new().subject(sub).claim("azp", azp).profile(profile.clone()).build();
        assert_eq!(access.subject_kind(), wanted, "{sub} {azp}");
    }
}

#[test]
fn what_cannot_be_an_issuer_of_the_vendor_does_not_build() {
    let fault = |issuer: Issuer| {
        let clock = ManualClock::new();
        let built = builder(&clock).issuer(issuer).transport(TestNetwork::of(&[])).build();
        built.err().map(|error| error.to_string())
    };
    let guid = "wanted a GUID";
    let part = "wanted one without scheme, slash or space";
    let no_subject: [&str; 0] = [];
    for (issuer, wanted) in [
        (Issuer::entra_id("common"), guid),
        (Issuer::entra_id("9188040D-6C67-4C5B-B112-36A304B66DAD"), "all personal accounts"),
        (Issuer::entra_id("organizations"), guid),
        (Issuer::entra_id_v1("contoso.onmicrosoft.com"), guid),
        (Issuer::entra_id(""), guid),
        (Issuer::entra_id("72f988bf86f141af91ab2d7cd011db47"), guid),
        (Issuer::keycloak("https://kc.example.com", "shop/protocol"), part),
        (Issuer::keycloak("https://kc.example.com", ""), part),
        (Issuer::keycloak("http://kc.example.com", "shop"), "https"),
        (Issuer::auth0("https://acme.eu.auth0.com"), part),
        (Issuer::auth0("acme.eu.auth0.com/"), part),
        (Issuer::okta("acme.okta.com", ""), part),
        (Issuer::okta("acme.okta.com/oauth2", "default"), part),
        (Issuer::cognito("eu-west-1", "eu-west-1_AbCdEfGhI/"), part),
        (Issuer::google_id_token(no_subject), "claim `sub` may have no value at all"),
    ] {
        let found = fault(issuer.clone());
        assert!(
            found.as_deref().is_some_and(|found| found.contains(wanted)),
            "{issuer:?}: {found:?}"
        );
    }
    for name in PROVIDERS {
        assert_eq!(fault(configured(name)), None, "{name}");
    }
}

/// Cognito without a bound resource: the client stands for the audience, by name.
#[tokio::test]
async fn an_audience_can_be_taken_from_the_client_as_a_named_hazard() {
    const CLIENT: &str = "7cg4g8vorirlhelebcriqnj95a";
    let provider = Provider::load("cognito");
    let hazard = || {
        let profile = TokenProfile::cognito();
        let profile = profile.dangerous().insecure_audience_from(["aud", "client_id"]);
        Issuer::cognito("eu-west-1", "eu-west-1_AbCdEfGhI").profile(profile)
    };
    let api = builder(&provider.clock)
        .accept_audience("https://orders.example.com")
        .accept_audience(CLIENT)
        .issuer(hazard())
        .transport(provider.wire.clone())
        .build()
        .unwrap();
    let sign = |name: &str| provider.sign(provider.sample(name));
    let client = present(&api, &sign("a client's own token, which has no aud")).await.unwrap();
    assert_eq!(client.subject_kind(), SubjectKind::Client);
    assert_eq!(client.audiences().map(|aud| aud.as_str()).collect::<Vec<_>>(), [CLIENT]);

    for (name, wanted) in [
        ("a person's token without a bound resource", "accepted"),
        ("a person's token bound to this resource", "accepted"),
        // Where `aud` is there, it decides.
        ("a person's token bound to another resource", "wrong_audience"),
        ("an ID token", "other_token_kind"),
    ] {
        assert_eq!(answer(&api, &sign(name)).await, wanted, "{name}");
    }
    let (header, mut payload) =
        provider.parts(provider.sample("a client's own token, which has no aud"));
    payload.insert("client_id".to_owned(), json!("1example23456789"));
    let other = provider.sign_parts(header, payload);
    assert_eq!(answer(&api, &other).await, "wrong_audience", "another client of the pool");

    // Half of it opens nothing: the client has to be named as an audience too.
    let half = provider.server(hazard());
    let token = sign("a client's own token, which has no aud");
    assert_eq!(answer(&half, &token).await, "wrong_audience");
}

/// Entra ID for several tenants: a list, and not a pattern.
#[tokio::test]
async fn tenants_are_trusted_one_by_one() {
    const STRANGER: &str = "00000000-1111-2222-3333-444444444444";
    let clock = ManualClock::new();
    let issuer = |tenant: &str| {
        let id = format!("https://login.microsoftonline.com/{tenant}/v2.0");
        TestIssuer::with_algorithm(id, &clock, Algorithm::Rs256)
    };
    let (blue, green, stranger) = (issuer(TENANT), issuer(OTHER_TENANT), issuer(STRANGER));
    let wire = Wire::of(&[&blue, &green, &stranger]);
    let tenants = TenantList::new();
    tenants.add(Issuer::entra_id(TENANT)).unwrap();
    tenants.add(Issuer::entra_id(OTHER_TENANT)).unwrap();
    let sample = Provider::load("entra_v2");
    let api = builder(&clock)
        .accept_audience(sample.file["audience"].as_str().unwrap())
        .tenants(tenants.clone(), 10)
        .transport(wire.clone())
        .build()
        .unwrap();

    let (header, payload) = sample.parts(sample.sample("a person's token"));
    let token = |issuer: &TestIssuer, tid: &str| {
        let mut payload = payload.clone();
        payload.insert("iss".to_owned(), json!(issuer.id()));
        payload.insert("tid".to_owned(), json!(tid));
        sign(issuer, header.clone(), payload)
    };
    assert_eq!(answer(&api, &token(&stranger, STRANGER)).await, "unknown_issuer");
    assert_eq!(wire.take_seen(), [], "nothing is fetched for a tenant that nobody listed");

    assert_eq!(answer(&api, &token(&blue, TENANT)).await, "accepted");
    assert_eq!(answer(&api, &token(&green, OTHER_TENANT)).await, "accepted");
    assert_eq!((blue.fetches(), green.fetches(), stranger.fetches()), (1, 1, 0));

    // One tenant's keys sign nothing for another, whatever the token says of itself.
    assert_eq!(answer(&api, &token(&green, TENANT)).await, "other_token_kind");
    let mut forged = payload.clone();
    forged.insert("iss".to_owned(), json!(blue.id()));
    assert_eq!(answer(&api, &sign(&green, header.clone(), forged)).await, "bad_signature");

    let fetches = wire.take_seen().len();
    assert!(fetches > 0);
    tenants.remove(green.id());
    assert_eq!(answer(&api, &token(&green, OTHER_TENANT)).await, "unknown_issuer");
    assert_eq!(answer(&api, &token(&blue, TENANT)).await, "accepted");
    assert_eq!(wire.take_seen(), [], "the last tenant's going away costs no fetch");
}

/// A file that is removed with the test.
struct TokenFile(PathBuf);

impl TokenFile {
    fn new(name: &str, text: &str) -> Self {
        let path = std::env::temp_dir().join(format!("portcullis-{name}-{}", std::process::id()));
        let file = Self(path);
        file.write(text);
        file
    }

    fn write(&self, text: &str) {
        std::fs::write(&self.0, text).unwrap();
    }

    fn remove(&self) {
        // Gone is what it has to be.
        let _ = std::fs::remove_file(&self.0);
    }
}

impl Drop for TokenFile {
    fn drop(&mut self) {
        self.remove();
    }
}

#[tokio::test]
async fn keys_of_a_cluster_are_fetched_with_the_token_of_the_file_as_it_is_then() {
    let provider = Provider::load("kubernetes");
    let file = TokenFile::new("rotated", "first-token\n");
    let api = provider.server(configured("kubernetes").fetch_token(SecretSource::file(&file.0)));
    let pod = provider.sample("a pod's projected token");
    assert_eq!(answer(&api, &provider.sign(pod)).await, "accepted");
    let fetched = |token: &str| (API_SERVER_KEYS.to_owned(), Some(format!("Bearer {token}")));
    assert_eq!(provider.wire.take_seen(), [fetched("first-token")]);

    // The kubelet rotates the token, and the API server its keys.
    file.write("second-token\n");
    provider.issuer.rotate();
    assert_eq!(answer(&api, &provider.sign(pod)).await, "accepted");
    assert_eq!(provider.wire.take_seen(), [fetched("second-token")]);
}

#[tokio::test]
async fn the_token_for_the_fetch_goes_to_the_configured_host_and_to_no_other() {
    let provider = Provider::load("kubernetes");
    let id = provider.issuer.id();
    let file = TokenFile::new("host", "first-token");
    for (jwks_uri, gets_token) in [
        (format!("{id}/openid/v1/jwks"), true),
        ("https://keys.example/openid/v1/jwks".to_owned(), false),
        (format!("{id}:6443/openid/v1/jwks"), false),
        (format!("{id}.evil.example/openid/v1/jwks"), false),
    ] {
        provider.issuer.metadata(json!({ "issuer": id, "jwks_uri": jwks_uri }));
        let wire = provider.wire.clone().route(&jwks_uri, provider.issuer.jwks_uri());
        let api = builder(&provider.clock)
            .accept_audience("https://orders.example.com")
            .issuer(
                Issuer::discover(id)
                    .profile(TokenProfile::kubernetes())
                    .fetch_token(SecretSource::file(&file.0)),
            )
            .transport(wire.clone())
            .build()
            .unwrap();
        api.warm_up().await.unwrap();
        let seen = wire.take_seen();
        let (keys, metadata) = seen.split_last().unwrap();
        let bearer = Some("Bearer first-token".to_owned());
        assert!(metadata.iter().all(|(_, token)| *token == bearer), "{metadata:?}");
        assert_eq!(*keys, (jwks_uri, bearer.filter(|_| gets_token)));
    }
}

#[tokio::test]
async fn an_unreadable_file_is_an_outage_and_not_a_bad_token() {
    let provider = Provider::load("kubernetes");
    let pod = provider.sample("a pod's projected token");
    let file = TokenFile::new("unreadable", "");
    file.remove();
    let shown = file.0.display().to_string();
    for (text, why) in [
        (None, "No such file"),
        (Some(""), "it is empty"),
        (Some(" \n"), "it is empty"),
        (Some("zQ7\u{1}secret"), "characters that no header field may have"),
        (Some("zQ7\nsecret"), "characters that no header field may have"),
    ] {
        if let Some(text) = text {
            file.write(text);
        }
        let issuer = configured("kubernetes").fetch_token(SecretSource::file(&file.0));
        let api = provider.server(issuer);
        let rejection = present(&api, &provider.sign(pod)).await.unwrap_err();
        assert_eq!(rejection.kind(), RejectionKind::KeysUnavailable, "{text:?}");
        assert_eq!(rejection.status(), 503, "{text:?}");

        let health = api.health().remove(0);
        let error = health.last_error.unwrap();
        assert!(error.contains(&shown) && error.contains(why), "{text:?}: {error}");
        assert!(!format!("{error} {rejection} {rejection:?}").contains("zQ7"), "{error}");
        assert_eq!(provider.wire.take_seen(), [], "nothing is asked without the token");
    }

    // It is there again: the next fetch has it, and no restart was needed.
    file.remove();
    let api = provider.server(configured("kubernetes").fetch_token(SecretSource::file(&file.0)));
    assert_eq!(answer(&api, &provider.sign(pod)).await, "keys_unavailable");
    file.write("third-token");
    provider.clock.advance(Duration::from_mins(1));
    assert_eq!(answer(&api, &provider.sign(pod)).await, "accepted");
}

#[test]
fn a_private_ca_has_to_be_one() {
    let error = |pem: &str| {
        let transport = ReqwestTransport::with_root_certificates(pem.as_bytes());
        transport.err().map(|error| error.to_string())
    };
    let certificate = include_str!("providers/ca.pem");
    assert_eq!(error(certificate), None);
    assert_eq!(error(&format!("{certificate}\n{certificate}")), None);
    for (name, pem) in [
        ("nothing", ""),
        ("something else", "zQ7 not PEM"),
        ("a key", "-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEA\n-----END PUBLIC KEY-----\n"),
        ("no certificate inside", "-----BEGIN CERTIFICATE-----\nelE3\n-----END CERTIFICATE-----\n"),
        ("no base64", "-----BEGIN CERTIFICATE-----\n!!!!\n-----END CERTIFICATE-----\n"),
    ] {
        let found = error(pem);
        assert!(found.is_some(), "{name}");
        assert!(!found.unwrap().contains("zQ7"), "{name}");
    }
}

/// The test kit's shapes are those that the profiles read, and no others.
#[tokio::test]
async fn the_test_kit_writes_what_keycloak_and_entra_write() {
    const TENANT: &str = "72f988bf-86f1-41af-91ab-2d7cd011db47";
    let clock = ManualClock::new();
    let entra = format!("https://login.microsoftonline.com/{TENANT}/v2.0");
    type Shape = fn(TokenBuilder) -> TokenBuilder;
    let cases: [(&str, TokenProfile, Shape); 2] = [
        ("https://kc.example.com/realms/shop", TokenProfile::keycloak(), TokenBuilder::keycloak),
        (&entra, TokenProfile::entra_id(), |token| token.entra_id(TENANT)),
    ];
    for (id, profile, shape) in cases {
        let issuer = TestIssuer::new(id, &clock);
        let api = with_profile(&clock, &issuer, profile);
        let plain = || issuer.token(RESOURCE).client_id("web").scope("notes:read");
        let access = present(&api, &shape(plain()).sign()).await.unwrap();
        assert_eq!(access.client_id().unwrap(), "web", "{id}");
        assert_eq!(access.scopes().collect::<Vec<_>>(), ["notes:read"], "{id}");
        assert_eq!(access.subject_kind(), SubjectKind::Person, "{id}");
        assert!(present(&api, &plain().header("typ", "JWT").sign()).await.is_err(), "{id}");
    }
}
