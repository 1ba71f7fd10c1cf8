//! Signed answers (RFC 9701).

use std::time::Duration;

use http::StatusCode;
use portcullis::RejectionKind as Kind;
use portcullis::check::scope;
use portcullis::introspection::EndpointState;
use portcullis::issuer::TokenProfile;
use portcullis::jose::Algorithm;
use portcullis::testing::{Failure, TestIntrospection, TestIssuer, TestKey, TokenBuilder};
use portcullis::time::Timestamp;
use serde_json::{Value, json};

use crate::support::ISSUER;
use crate::world::{Parts, SECOND, World};

type Edit = Box<dyn Fn(TokenBuilder) -> TokenBuilder + Send + Sync>;

fn edit(edit: impl Fn(TokenBuilder) -> TokenBuilder + Send + Sync + 'static) -> Edit {
    Box::new(edit)
}

/// A server that wants signed answers for `rs`, and an endpoint that gives them.
fn world() -> World {
    let world = World::with_keys(|introspection| introspection.signed_for("rs"));
    world.kit.sign_with(&world.issuer, "rs");
    world
}

/// INT-16, INT-20: type, issuer, audience, time and content of a signed answer. Each fault alone is an
/// outage, and says nothing of the token.
#[tokio::test]
async fn a_signed_answer_is_for_this_server_now() {
    let world = world();
    let now = world.now();
    let set = |name: &'static str, value: Value| edit(move |jwt| jwt.claim(name, value.clone()));
    let typ = |typ: &'static str| edit(move |jwt| jwt.header("typ", typ));
    let without = |name: &'static str| edit(move |jwt| jwt.without(name));
    let at = |time: Timestamp| edit(move |jwt| jwt.issued_at(time));
    let rows: Vec<(&str, Edit, bool)> = vec![
        ("as it is", edit(|jwt| jwt), true),
        ("typ in other case", typ("Token-Introspection+JWT"), true),
        ("typ in full", typ("application/token-introspection+jwt"), true),
        ("typ of an access token", typ("at+jwt"), false),
        ("typ of a JWT", typ("JWT"), false),
        ("no typ", edit(|jwt| jwt.without_header("typ")), false),
        ("another issuer", set("iss", json!("https://other.example")), false),
        ("the issuer with a slash", set("iss", json!("https://as.example/")), false),
        ("no issuer", without("iss"), false),
        ("another audience", set("aud", json!("other")), false),
        ("prefix of the audience", set("aud", json!("r")), false),
        ("one of two audiences", set("aud", json!(["other", "rs"])), true),
        ("no audience", without("aud"), false),
        ("no time", without("iat"), false),
        ("a minute old", at(now.minus(60 * SECOND)), true),
        ("older", at(now.minus(61 * SECOND)), false),
        ("a minute ahead", at(now.plus(60 * SECOND)), true),
        ("further ahead", at(now.plus(61 * SECOND)), false),
        ("no answer", without("token_introspection"), false),
        ("an answer that is text", set("token_introspection", json!("{\"active\":true}")), false),
        ("an answer that is empty", set("token_introspection", json!({})), false),
        ("an answer of another type", set("token_introspection", json!({"active": 1})), false),
        ("a critical extension", edit(|jwt| jwt.header("crit", ["b64"])), false),
        ("`exp` and `sub` at the top", edit(|jwt| jwt.claim("sub", "x").claim("exp", 1)), true),
    ];
    for (name, change, good) in rows {
        world.kit.edit(change);
        let token = world.token();
        match good {
            true => world.assert_passes(&token, name).await,
            false => world.assert_unavailable(&token, name).await,
        }
        assert_eq!(world.health().state, EndpointState::Working, "{name}");
    }
    // What is inside says that the token is not active: that is no outage.
    world.kit.mend();
    world.assert_invalid("unknown", Kind::Inactive, "inside").await;
}

/// INT-16: a signature of the issuer's key, and of no other.
#[tokio::test]
async fn a_signed_answer_is_signed_by_the_issuer() {
    let world = world();
    let other = TestKey::generate(Algorithm::Es256, "k1");
    let unknown = TestKey::generate(Algorithm::Es256, "unknown");
    type Sign = Box<dyn Fn(&TokenBuilder) -> String + Send + Sync>;
    let rows: Vec<(&str, Sign, bool)> = vec![
        ("as it is", Box::new(TokenBuilder::sign), true),
        ("another key", Box::new(move |jwt| jwt.sign_with(&other)), false),
        (
            "another key by its own name",
            Box::new(move |jwt| jwt.clone().header("kid", "unknown").sign_with(&unknown)),
            false,
        ),
        ("none", Box::new(|jwt| jwt.unsigned("none")), false),
        ("tampered", Box::new(|jwt| jwt.tampered()), false),
        ("a shared secret", Box::new(|jwt| jwt.sign_with_hmac(b"secret")), false),
        ("no JWT", Box::new(|_| "{\"active\":true}".to_owned()), false),
        ("two parts", Box::new(|jwt| jwt.signing_input()), false),
        ("a line end after it", Box::new(|jwt| format!("{}\n", jwt.sign())), true),
        ("nothing", Box::new(|_| String::new()), false),
    ];
    for (name, sign, good) in rows {
        world.kit.sign_by(sign);
        let token = world.token();
        match good {
            true => world.assert_passes(&token, name).await,
            false => world.assert_unavailable(&token, name).await,
        }
    }
}

/// INT-17: nothing beside `token_introspection` decides anything.
#[tokio::test]
async fn only_what_is_inside_counts() {
    let world = world();
    let end = world.now().plus(Duration::from_mins(9)).as_secs();
    world.kit.edit(move |jwt| {
        jwt.claim("scope", "admin")
            .claim("active", true)
            .claim("sub", "root")
            .claim("exp", end)
            .claim("client_id", "other")
            .claim("token_type", "Bearer")
    });
    let token = world.kit.active(world.claims().scope("read"));
    let access = world.present(&token).await.unwrap();
    assert_eq!(access.scopes().collect::<Vec<_>>(), ["read"]);
    assert_eq!(access.subject(), &"alice");
    assert_eq!(access.client_id().unwrap(), &"test-client");
    assert_eq!(access.expires_at(), world.now().plus(Duration::from_mins(5)));
    assert_eq!(world.kind_by(scope("read"), &token).await, None);
    assert_eq!(world.kind_by(scope("admin"), &token).await, Some(Kind::InsufficientScope));
    // Nor does a yes outside make one of a no inside, or of an audience that is missing there.
    world.assert_invalid("unknown", Kind::Inactive, "inside").await;
    let token = world.kit.active(world.claims().without("aud"));
    world.assert_invalid(&token, Kind::MissingClaim, "the `aud` outside is this server").await;
    let token = world.kit.active(world.claims().without("exp"));
    world.assert_invalid(&token, Kind::MissingClaim, "the `exp` outside").await;
}

/// INT-18, JWS-42: a signed answer about somebody's token, presented as an access token, is none: not by
/// a server that reads JWTs, and not by one that asks about them; nor is an access token an answer.
#[tokio::test]
async fn an_answer_is_no_access_token_and_an_access_token_no_answer() {
    let answer = |world: &World, change: fn(TokenBuilder) -> TokenBuilder| {
        let inner = crate::answers::answer_of(&world.claims());
        // The best case for the attacker: every claim of an access token beside it.
        let jwt = world.claims().header("typ", "token-introspection+jwt");
        change(jwt.claim("token_introspection", inner)).sign()
    };
    let relaxed = || {
        let parts = Parts::new();
        let profile = TokenProfile::relaxed().accept_type("JWT").accept_no_type();
        let builder = parts.builder_with(parts.issuer.jwks().profile(profile));
        let builder = builder.introspection(parts.introspection().jwts());
        parts.build(builder)
    };
    for (name, world) in [
        ("signed answers", world()),
        ("JWTs are asked about", World::with_keys(portcullis::introspection::Introspection::jwts)),
        ("relaxed", relaxed()),
    ] {
        let claims = world.claims();
        let good = claims.sign();
        world.kit.active_as(&good, claims);
        world.assert_passes(&good, name).await;
        let typed = answer(&world, |jwt| jwt);
        world.assert_invalid(&typed, Kind::WrongType, name).await;
        for (typ, kind) in [("at+jwt", Kind::OtherTokenKind), ("JWT", Kind::WrongType)] {
            let kind = if name == "relaxed" { Kind::OtherTokenKind } else { kind };
            let untyped = match typ {
                "at+jwt" => answer(&world, |jwt| jwt.header("typ", "at+jwt")),
                _ => answer(&world, |jwt| jwt.header("typ", "JWT")),
            };
            world.assert_invalid(&untyped, kind, name).await;
        }
    }

    // The other way round.
    let world = world();
    let inner = crate::answers::answer_of(&world.claims());
    world.kit.edit(move |jwt| jwt.header("typ", "at+jwt").claim("token_introspection", &inner));
    world.assert_unavailable(&world.token(), "an access token as an answer").await;
    let token = world.claims().claim("aud", "rs").sign();
    world.kit.mend();
    world.kit.sign_by(move |_| token.clone());
    world.assert_unavailable(&world.token(), "the issuer's own access token").await;
}

/// INT-21: an answer that is encrypted as well has five parts, and is not read: 503, and a word about it
/// for operators.
#[tokio::test]
async fn an_encrypted_answer_is_named_as_what_it_is() {
    let world = world();
    world.kit.sign_by(|jwt| format!("{}.e30.e30", jwt.sign()));
    let token = world.token();
    world.assert_unavailable(&token, "five parts").await;
    let rejection = world.present(&token).await.unwrap_err();
    let text = source_texts(&rejection);
    assert!(text.contains("encrypted, which is not supported"), "{text}");
    assert!(text.contains("the issuer has to sign answers only"), "{text}");
    world.kit.mend();
    world.assert_passes(&token, "three parts").await;
}

fn source_texts(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text.push_str(&format!("\n{error}"));
        source = error.source();
    }
    text
}

/// INT-22: plain JSON where a JWT was asked for is a downgrade; INT-15: a JWT where JSON was asked for is
/// no answer either.
#[tokio::test]
async fn a_plain_answer_is_no_signed_one() {
    let world = world();
    let token = world.token();
    world.kit.answer_json();
    world.assert_unavailable(&token, "downgrade").await;
    // Whatever the content type says.
    world.kit.sign_by(|_| "{\"active\":true}".to_owned());
    world.kit.answer_jwt();
    world.assert_unavailable(&token, "JSON under the other name").await;
    world.kit.mend();
    world.kit.fail_once(portcullis::testing::IntrospectionFailure::ContentType(
        "application/jwt".to_owned(),
    ));
    world.assert_unavailable(&token, "another name").await;
    world.assert_passes(&token, "signed").await;

    let plain = World::with_keys(|introspection| introspection);
    plain.kit.sign_with(&plain.issuer, "rs");
    let token = plain.token();
    plain.kit.answer_jwt();
    plain.assert_unavailable(&token, "a JWT").await;
    plain.kit.mend();
    plain.assert_passes(&token, "JSON").await;
}

/// INT-23: RS256 is what most sign with, and needs no setting; an algorithm that the issuer may not use
/// is none here either.
#[tokio::test]
async fn answers_are_signed_with_the_issuers_algorithms() {
    let signed = |algorithm: Algorithm, allowed: Option<Vec<Algorithm>>| {
        let mut parts = Parts::new();
        parts.issuer = TestIssuer::with_algorithm(ISSUER, &parts.clock, algorithm);
        parts.kit = TestIntrospection::of(&parts.issuer, &parts.clock);
        parts.network =
            portcullis::testing::TestNetwork::of(&[&parts.issuer]).with_introspection(&parts.kit);
        let issuer = match allowed {
            None => parts.issuer.jwks(),
            Some(allowed) => parts.issuer.jwks().algorithms(allowed),
        };
        let introspection = parts.introspection().signed_for("rs");
        let builder = parts.builder_with(issuer).introspection(introspection);
        let world = parts.build(builder);
        world.kit.sign_with(&world.issuer, "rs");
        world
    };
    for algorithm in [Algorithm::Es256, Algorithm::Rs256, Algorithm::Ps256, Algorithm::EdDsa] {
        let world = signed(algorithm, None);
        world.assert_passes(&world.token(), algorithm.as_str()).await;
        let other = match algorithm {
            Algorithm::Es256 => Algorithm::Ps256,
            _ => Algorithm::Es256,
        };
        let world = signed(algorithm, Some(vec![other]));
        world.assert_unavailable(&world.token(), algorithm.as_str()).await;
    }
}

/// INT-24: who does not show who it is gets 400 of such a server: an outage, and a hint for operators.
#[tokio::test]
async fn a_refused_question_is_told_to_operators() {
    let world = world();
    world.kit.require_client("rs", "s3cret");
    let token = world.token();
    world.assert_unavailable(&token, "400").await;
    let text = source_texts(&world.present(&token).await.unwrap_err());
    assert!(text.contains("status 400"), "{text}");
    let hint = "the endpoint takes the call, who makes it, or the kind of the token, for malformed";
    assert!(text.contains(hint), "{text}");
    assert_eq!(world.health().state, EndpointState::Working);
    world.kit.require_nothing();
    world.assert_passes(&token, "answered").await;
    world.kit.fail(StatusCode::NOT_FOUND);
    let text = source_texts(&world.present(&world.token()).await.unwrap_err());
    assert!(text.contains("status 404") && !text.contains("malformed"), "{text}");
}

/// The keys of signed answers are fetched where they are not there yet, and where they are new; without
/// them an answer is an outage.
#[tokio::test]
async fn the_keys_of_answers_come_and_go() {
    let world = world();
    assert_eq!(world.issuer.fetches(), 0);
    world.assert_passes(&world.token(), "cold").await;
    assert_eq!(world.issuer.fetches(), 1);
    world.issuer.rotate();
    world.assert_passes(&world.token(), "rotated").await;
    assert_eq!(world.issuer.fetches(), 2);

    let world = self::world();
    world.issuer.fail(Failure::Connection);
    let token = world.token();
    world.assert_unavailable(&token, "no keys").await;
    world.issuer.recover();
    world.advance(Duration::from_mins(1)).await;
    world.assert_passes(&token, "keys").await;
}

/// What the endpoint calls this server is its client id, unless it was said otherwise.
#[tokio::test]
async fn an_answer_names_the_client() {
    let secret = crate::clients::SecretFile::new("signed", "s3cret");
    let client = || portcullis::introspection::ClientAuth::basic("notes-api", secret.source());
    for (said, named, good) in [
        (None, "notes-api", true),
        (None, "rs", false),
        (Some("rs"), "rs", true),
        (Some("rs"), "notes-api", false),
    ] {
        let world = World::with_keys(|introspection| {
            let introspection = introspection.client(client()).signed_answers();
            match said {
                None => introspection,
                Some(said) => introspection.signed_for(said).signed_answers(),
            }
        });
        world.kit.sign_with(&world.issuer, named);
        let token = world.token();
        match good {
            true => world.assert_passes(&token, named).await,
            false => world.assert_unavailable(&token, named).await,
        }
    }
}
