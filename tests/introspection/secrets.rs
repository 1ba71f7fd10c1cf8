//! AUTH-22: what is logged and printed holds neither the token nor the answer nor a secret.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::StatusCode;
use portcullis::Rejection;
use portcullis::introspection::ClientAuth;
use portcullis::testing::{Failure, IntrospectionFailure as Fails};
use serde_json::json;

use crate::clients::SecretFile;
use crate::support::{Log, PRIVATE, bearer, printed, printed_error, send};
use crate::world::{SECOND, World};

/// The secret of this server at the endpoint.
const SECRET: &str = "zQ7ClientSecretMarker";
/// In every token.
const TOKEN: &str = "zQ7TokenMarker";

fn assert_no_secret(what: &str, text: &str) {
    let basic = STANDARD.encode(format!("notes-api:{SECRET}"));
    // The client is named by decisions, once its issuer has vouched for it.
    let text = text.replace(&format!("client=\"{PRIVATE}-client\""), "");
    for secret in [SECRET, TOKEN, PRIVATE, &*basic] {
        assert!(!text.contains(secret), "{what}: {text}");
    }
}

struct Secretive {
    world: World,
    _file: SecretFile,
}

fn secretive(name: &str) -> Secretive {
    let file = SecretFile::new(name, SECRET);
    let client = ClientAuth::basic("notes-api", file.source());
    let world = World::with_keys(|introspection| introspection.client(client).jwts());
    world.kit.require_client("notes-api", SECRET);
    Secretive { world, _file: file }
}

/// An opaque token whose answer is full of what is nobody's business.
fn token(world: &World, number: usize) -> String {
    let token = format!("{TOKEN}-{number}");
    let claims = world
        .claims()
        .subject(&format!("{PRIVATE}-sub"))
        .client_id(&format!("{PRIVATE}-client"))
        .claim("jti", format!("{PRIVATE}-jti"))
        .claim("username", format!("{PRIVATE}-name"))
        .scope(&format!("{PRIVATE}-scope"));
    world.kit.active_as(&token, claims);
    token
}

#[test]
fn the_search_finds_what_it_looks_for() {
    let basic = STANDARD.encode(format!("notes-api:{SECRET}"));
    for text in [SECRET, TOKEN, PRIVATE, &*basic] {
        let found = std::panic::catch_unwind(|| assert_no_secret("", &format!("a {text} b")));
        assert!(found.is_err(), "{text}");
    }
    assert_no_secret("", "introspection: status 500");
}

/// AUTH-22, BCP-04, NHI-02: accepted, refused, and every way in which the endpoint fails.
#[tokio::test]
async fn no_log_line_holds_a_token_an_answer_or_a_secret() {
    let log = Log::start();
    let Secretive { world, _file } = secretive("log");
    world.assert_passes(&token(&world, 0), "accepted").await;
    assert!(world.kind(&format!("{TOKEN}-unknown")).await.is_some());
    let wrong = format!("{TOKEN}-wrong");
    world.kit.active_as(&wrong, world.claims().claim("aud", "https://b.example"));
    assert!(world.kind(&wrong).await.is_some());
    let body = json!({"active": true, "exp": PRIVATE, "sub": PRIVATE}).to_string();
    let faults: Vec<Fails> = vec![
        StatusCode::UNAUTHORIZED.into(),
        StatusCode::BAD_REQUEST.into(),
        StatusCode::INTERNAL_SERVER_ERROR.into(),
        Failure::Connection.into(),
        Fails::Redirect(format!("https://b.example/?token={TOKEN}")),
        Fails::Body(body.into()),
        Fails::Body(format!("{{\"active\":\"{PRIVATE}\"}}").into()),
        Fails::Body(format!("{PRIVATE}{{").into()),
        Fails::ContentType(format!("text/{PRIVATE}")),
        Fails::Overlong,
    ];
    for (number, fault) in faults.into_iter().enumerate() {
        let name = format!("{fault:?}");
        world.kit.fail_once(fault);
        let token = token(&world, number + 1);
        let sent = send(&world.api.layer(), bearer(&token)).await;
        let rejection = sent.response.extensions().get::<Rejection>().unwrap();
        let text = log.take();
        assert!(text.contains("introspection"), "{name}: {text}");
        assert_no_secret(&name, &text);
        assert_no_secret(&name, &printed_error(rejection));
        assert_no_secret(&name, &printed(&sent.response));
        assert_no_secret(&name, &printed(&world.api.introspection_health()));
    }
    // A malformed member, which the decision reads.
    let odd = format!("{TOKEN}-odd");
    world.kit.active_as(&odd, world.claims().claim("acr", json!([PRIVATE])).subject(PRIVATE));
    let sent = send(&world.api.layer(), bearer(&odd)).await;
    assert_no_secret("odd", &printed_error(sent.response.extensions().get::<Rejection>().unwrap()));
    assert_no_secret("odd", &log.take());
}

/// AUTH-22: signed answers, the breaker, and a secret that cannot be used.
#[tokio::test]
async fn no_log_line_of_a_signed_answer_holds_it() {
    let log = Log::start();
    let world = World::with_keys(|introspection| introspection.signed_for("rs"));
    world.kit.sign_with(&world.issuer, "rs");
    world.assert_passes(&token(&world, 0), "accepted").await;
    world.kit.edit(|jwt| jwt.claim("aud", PRIVATE).claim("username", PRIVATE));
    assert!(world.kind(&token(&world, 1)).await.is_some());
    world.kit.edit(|jwt| jwt.claim("iat", PRIVATE));
    assert!(world.kind(&token(&world, 2)).await.is_some());
    world.kit.edit(|jwt| jwt.claim("token_introspection", PRIVATE));
    assert!(world.kind(&token(&world, 3)).await.is_some());
    world.kit.mend();
    world.kit.sign_by(|jwt| jwt.tampered());
    assert!(world.kind(&token(&world, 4)).await.is_some());
    world.kit.fail(StatusCode::BAD_GATEWAY);
    for number in 5..15 {
        assert!(world.kind(&token(&world, number)).await.is_some());
    }
    world.advance(SECOND).await;
    let text = log.take();
    assert!(text.contains("the signed answer"), "{text}");
    assert_no_secret("signed", &text);
    assert_no_secret("health", &printed(&world.api.introspection_health()));

    let file = SecretFile::new("unusable", format!("{SECRET}\n{SECRET}"));
    let client = ClientAuth::post("notes-api", file.source());
    let world = World::with(|introspection| introspection.client(client));
    let sent = send(&world.api.layer(), bearer(&token(&world, 0))).await;
    let rejection = sent.response.extensions().get::<Rejection>().unwrap();
    let text = printed_error(rejection) + &log.take();
    assert!(text.contains("control character"), "{text}");
    assert_no_secret("secret", &text);
}

/// INT-11: one warning for each time that an endpoint begins to fail; what comes after it is for who looks
/// closer.
#[tokio::test]
async fn an_endpoint_that_begins_to_fail_is_warned_of_once() {
    let log = Log::start();
    let world = World::new();
    let count = || {
        let text = log.take();
        ["WARN", "DEBUG"].map(|level| {
            let wanted = format!(" {level} portcullis::introspection");
            text.lines().filter(|line| line.contains(&wanted)).count()
        })
    };
    for round in 0..2 {
        for (number, fault) in
            [StatusCode::NOT_FOUND, StatusCode::BAD_GATEWAY].into_iter().enumerate()
        {
            world.kit.fail_once(fault);
            world.assert_unavailable(&world.token(), "fault").await;
            assert_eq!(count(), if number == 0 { [1, 0] } else { [0, 1] }, "{round} {number}");
        }
        world.assert_passes(&world.token(), "it works").await;
        assert_eq!(count(), [0, 0], "{round}");
    }
}

/// AUTH-22: what holds tokens, answers and secrets does not print them.
#[tokio::test]
async fn what_holds_a_secret_does_not_print_it() {
    let Secretive { world, _file } = secretive("print");
    let token = token(&world, 0);
    world.kit.hold();
    let waiting = world.spawn(&token);
    world.kit.called(1).await;
    let guard = world.api.guard(portcullis::check::allow_all()).unwrap();
    for (what, text) in [
        ("server", printed(&world.api)),
        ("guard", printed(&guard)),
        ("layer", printed(&world.api.layer())),
        ("health", printed(&world.health())),
        ("policy", world.api.effective_policy().to_string()),
        ("endpoint", printed(&world.kit)),
        ("requests", printed(&world.kit.requests())),
    ] {
        assert_no_secret(what, &text);
    }
    world.kit.release();
    assert_eq!(waiting.await.unwrap(), None);
    assert_no_secret("server", &printed(&world.api));
    let access = world.present(&token).await.unwrap();
    assert!(access.subject().as_str().contains(PRIVATE), "it is there");
    assert!(!printed(&access).contains(TOKEN));
}
