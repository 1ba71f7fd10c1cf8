//! Who this server is at the endpoint, end to end.

use std::path::PathBuf;

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::header::AUTHORIZATION;
use jsonwebtoken::{DecodingKey, Validation};
use portcullis::introspection::{ClientAuth, EndpointState};
use portcullis::jose::{Algorithm, base64url};
use portcullis::secret::SecretSource;
use portcullis::time::Clock as _;
use portcullis::{RejectionKind as Kind, ResourceServer};
use serde_json::Value;

use crate::support::ISSUER;
use crate::world::{Parts, World};

/// A file that is removed in the end.
pub(crate) struct SecretFile(PathBuf);

impl SecretFile {
    pub(crate) fn new(name: &str, text: impl AsRef<[u8]>) -> Self {
        let name = format!("portcullis-introspection-{name}-{}", std::process::id());
        let file = Self(std::env::temp_dir().join(name));
        file.write(text);
        file
    }

    pub(crate) fn write(&self, text: impl AsRef<[u8]>) {
        std::fs::write(&self.0, text).unwrap();
    }

    pub(crate) fn source(&self) -> SecretSource {
        SecretSource::file(&self.0)
    }
}

impl Drop for SecretFile {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

fn world(client: ClientAuth) -> World {
    World::with(|introspection| introspection.client(client))
}

/// INT-02, RFC 6749 §2.3.1: identifier and secret in the field, whatever characters they have. A wrong
/// secret is an outage, for it says nothing of the token.
#[tokio::test]
async fn basic_opens_the_endpoint() {
    for (id, secret) in [("notes-api", "s3cret"), ("a:b c", "p%+&=\u{e9}:/\u{1f511}")] {
        let file = SecretFile::new("basic", secret);
        let world = world(ClientAuth::basic(id, file.source()));
        world.kit.require_client(id, secret);
        world.assert_passes(&world.token(), id).await;
        let request = &world.kit.requests()[0];
        assert_eq!(request.client(), Some((id.to_owned(), secret.to_owned())));
        assert_eq!(request.headers().get_all(AUTHORIZATION).iter().count(), 1);
        assert!(request.form("client_id").is_none() && request.form("client_secret").is_none());

        world.kit.require_client(id, "another");
        world.assert_unavailable(&world.token(), id).await;
        // A rotated secret is read without a restart.
        file.write("another\n");
        world.assert_passes(&world.token(), id).await;
    }
}

/// INT-02: the same in the body.
#[tokio::test]
async fn post_opens_the_endpoint() {
    let file = SecretFile::new("post", "p%+&=\u{e9}");
    let world = world(ClientAuth::post("notes api", file.source()));
    world.kit.require_client_in_form("notes api", "p%+&=\u{e9}");
    world.assert_passes(&world.token(), "post").await;
    let request = &world.kit.requests()[0];
    assert!(!request.headers().contains_key(AUTHORIZATION));
    assert_eq!(request.form("client_id").as_deref(), Some("notes api"));
    world.kit.require_client("notes api", "p%+&=\u{e9}");
    world.assert_unavailable(&world.token(), "not in the field").await;
}

/// INT-02, RFC 7662 §2.1: an access token of our own.
#[tokio::test]
async fn bearer_opens_the_endpoint() {
    let file = SecretFile::new("bearer", "own-token\n");
    let world = world(ClientAuth::bearer(file.source()));
    world.kit.require_bearer("own-token");
    world.assert_passes(&world.token(), "bearer").await;
    assert_eq!(world.kit.requests()[0].headers()[AUTHORIZATION], "Bearer own-token");
    world.kit.require_bearer("another");
    world.assert_unavailable(&world.token(), "another").await;
}

/// INT-02, RFC 7523 §3: an assertion for this issuer, signed anew each time, that another implementation
/// verifies.
#[tokio::test]
#[expect(clippy::disallowed_methods, reason = "an oracle for the assertion")]
async fn an_assertion_is_verified_by_another_implementation() {
    let pair = pair();
    let file = SecretFile::new("assertion", &pair.private_pem);
    let world = world(ClientAuth::private_key_jwt("notes-api", file.source()).key_id("2026"));
    for _ in 0..2 {
        world.assert_passes(&world.token(), "assertion").await;
    }
    let key = pair.public;
    let other = self::pair().public;
    let mut ids = Vec::new();
    for request in world.kit.requests() {
        assert!(!request.headers().contains_key(AUTHORIZATION));
        assert_eq!(
            request.form("client_assertion_type").unwrap(),
            "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
        );
        assert_eq!(request.form("client_id").unwrap(), "notes-api");
        let assertion = request.form("client_assertion").unwrap();
        let mut validation = Validation::new(jsonwebtoken::Algorithm::ES256);
        validation.set_audience(&[ISSUER]);
        validation.set_issuer(&["notes-api"]);
        validation.validate_exp = false;
        let decoded =
            jsonwebtoken::decode::<Value>(&assertion, &key, &validation).expect("it verifies");
        assert_eq!(decoded.header.kid.as_deref(), Some("2026"));
        let claims = decoded.claims;
        let now = world.clock.now().as_secs();
        assert_eq!(claims["sub"], "notes-api");
        let exp = claims["exp"].as_u64().unwrap();
        assert!((now + 1..=now + 60).contains(&exp), "{exp}");
        assert!(claims["iat"].as_u64().unwrap() <= now);
        ids.push(claims["jti"].as_str().unwrap().to_owned());
        assert!(jsonwebtoken::decode::<Value>(&assertion, &other, &validation).is_err());
        validation.set_audience(&["https://other.example"]);
        assert!(jsonwebtoken::decode::<Value>(&assertion, &key, &validation).is_err());
    }
    assert_ne!(ids[0], ids[1], "each is used once");
}

struct Pair {
    private_pem: String,
    public: DecodingKey,
}

fn pair() -> Pair {
    let signing = &ECDSA_P256_SHA256_FIXED_SIGNING;
    let der = EcdsaKeyPair::generate_pkcs8(signing, &SystemRandom::new()).unwrap();
    let pair = EcdsaKeyPair::from_pkcs8(signing, der.as_ref()).unwrap();
    let text = STANDARD.encode(der.as_ref());
    // An uncompressed point.
    let (x, y) = pair.public_key().as_ref()[1..].split_at(32);
    let public =
        DecodingKey::from_ec_components(&base64url::encode(x), &base64url::encode(y)).unwrap();
    let private_pem = format!("-----BEGIN PRIVATE KEY-----\n{text}\n-----END PRIVATE KEY-----\n");
    Pair { private_pem, public }
}

/// INT-02: mutual TLS shows nothing but the client id in the body; the certificate is the transport's.
#[tokio::test]
async fn mutual_tls_names_the_client() {
    let world = world(ClientAuth::mtls("notes-api"));
    world.assert_passes(&world.token(), "mtls").await;
    let request = &world.kit.requests()[0];
    assert_eq!(request.form("client_id").as_deref(), Some("notes-api"));
    assert!(!request.headers().contains_key(AUTHORIZATION));
    assert!(request.form("client_secret").is_none());
}

/// INT-11, AUTH-32: a secret that cannot be read is our own fault, and no call is made without it.
#[tokio::test]
async fn without_its_secret_nothing_is_asked() {
    let file = SecretFile::new("missing", "s3cret");
    let client = [
        ClientAuth::basic("a", file.source()),
        ClientAuth::post("a", file.source()),
        ClientAuth::bearer(file.source()),
        ClientAuth::private_key_jwt("a", file.source()).algorithm(Algorithm::Es256),
    ];
    drop(file);
    for client in client {
        let name = format!("{client:?}");
        let world = world(client);
        for _ in 0..7 {
            world.assert_unavailable(&world.token(), &name).await;
        }
        assert_eq!(world.calls(), 0, "{name}");
        assert_eq!(world.health().state, EndpointState::Working, "{name}");
    }
}

/// INT-02: who this server is has to be said, and that it is nobody as well.
#[test]
fn a_client_is_mandatory() {
    let build = |client: Option<ClientAuth>| -> Result<ResourceServer, portcullis::BuildError> {
        let parts = Parts::new();
        let introspection = portcullis::introspection::Introspection::at(ISSUER, parts.kit.url());
        let introspection = match client {
            None => introspection,
            Some(client) => introspection.client(client),
        };
        parts.builder().introspection(introspection).build()
    };
    let error = build(None).unwrap_err();
    let places: Vec<_> = error.places().map(|(place, _)| place.to_owned()).collect();
    assert_eq!(places, ["introspection[0].client"], "{error}");
    assert!(error.to_string().contains("answers only whom it knows"), "{error}");
    assert!(build(Some(ClientAuth::insecure_unauthenticated())).is_ok());
}

/// INT-11: an endpoint that refuses our credentials says nothing of the token: 401 and 403 alike.
#[tokio::test]
async fn refused_credentials_are_an_outage() {
    let file = SecretFile::new("refused", "wrong");
    let world = world(ClientAuth::basic("notes-api", file.source()));
    world.kit.require_client("notes-api", "right");
    let token = world.token();
    world.assert_unavailable(&token, "401").await;
    assert_ne!(world.kind(&token).await, Some(Kind::Inactive));
    file.write("right");
    world.assert_passes(&token, "200").await;
}
