//! What is sent to the endpoint.

use http::Method;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_LENGTH, CONTENT_TYPE, COOKIE};
use portcullis::testing::TestIntrospection;
use portcullis::{Binding, Issuer, RejectionKind as Kind, ResourceServer};

use crate::support::{RESOURCE, bearer, send};
use crate::world::{Parts, World, asked_at};

/// INT-01: POST of a form with `token` and a hint, whatever characters the token has; INT-12: no query.
#[tokio::test]
async fn a_question_is_a_form() {
    let world = World::new();
    let tokens = ["plain", "a.b-c_d~e+f/g", "padded==", "%41", "a+b", "x".repeat(4_000).as_str()]
        .map(str::to_owned);
    for (index, token) in tokens.iter().filter(|token| !token.contains('%')).enumerate() {
        world.kit.active_as(token, world.claims());
        world.assert_passes(token, token).await;
        let requests = world.kit.requests();
        assert_eq!(requests.len(), index + 1);
        let request = requests.last().unwrap();
        assert_eq!(request.method(), Method::POST);
        assert_eq!(request.uri().to_string(), world.kit.url());
        assert_eq!(request.uri().query(), None);
        assert_eq!(request.headers()[CONTENT_TYPE], "application/x-www-form-urlencoded");
        assert_eq!(request.headers()[ACCEPT], "application/json");
        let parameters = [("token", token.as_str()), ("token_type_hint", "access_token")]
            .map(|(name, value)| (name.to_owned(), value.to_owned()));
        assert_eq!(request.parameters(), parameters);
        // What has a meaning in a form is escaped: another reader of forms finds the same token.
        let body = request.body();
        assert!(!body.contains(['+', '/', '~']) && body.matches('=').count() == 2, "{body}");
    }
    // A token that no field can carry is not asked about.
    world.assert_sent_nothing("Bearer a%41").await;
}

impl World {
    async fn assert_sent_nothing(&self, field: &str) {
        let before = self.calls();
        let sent =
            send(&self.api.layer(), crate::support::with_field("authorization", field)).await;
        assert!(!sent.passed(), "{field}");
        assert_eq!(self.calls(), before, "{field}");
    }
}

/// INT-12, AUTH-22: nothing of the client's request is passed on but the token, and that in the body.
#[tokio::test]
async fn the_endpoint_sees_the_token_and_nothing_else_of_the_request() {
    let world = World::new();
    let token = world.token();
    let mut request = bearer(&token);
    let headers = request.headers_mut();
    headers.insert(COOKIE, "session=1".parse().unwrap());
    headers.insert("dpop", "proof".parse().unwrap());
    headers.insert("x-forwarded-host", "evil.example".parse().unwrap());
    headers.insert("traceparent", "00-1-2-3".parse().unwrap());
    *request.uri_mut() = "/notes?access_token=other".parse().unwrap();
    assert!(send(&world.api.layer(), request).await.passed());
    let request = &world.kit.requests()[0];
    let mut names: Vec<_> = request.headers().keys().map(|name| name.as_str()).collect();
    names.retain(|name| *name != CONTENT_LENGTH.as_str());
    names.sort_unstable();
    assert_eq!(names, ["accept", "content-type"]);
    assert!(!request.headers().contains_key(AUTHORIZATION));
    assert!(!request.uri().to_string().contains(&token));
    for (_, value) in request.headers() {
        assert!(!value.to_str().unwrap().contains(&token));
    }
}

/// INT-03: an endpoint without TLS is a fault of the configuration, but at a loopback host, where a test
/// says that it is one.
#[test]
fn an_endpoint_needs_tls() {
    let build = |url: &str, loopback: bool| {
        let parts = Parts::new();
        let introspection = asked_at("https://as.example", url);
        let introspection = match loopback {
            true => introspection.dangerous().insecure_loopback_http(),
            false => introspection,
        };
        parts.builder().introspection(introspection).build()
    };
    for (url, loopback, good) in [
        ("https://as.example/introspect", false, true),
        ("http://as.example/introspect", false, false),
        ("http://as.example/introspect", true, false),
        ("http://127.0.0.1:9000/introspect", false, false),
        ("http://127.0.0.1:9000/introspect", true, true),
        ("http://[::1]:9000/introspect", true, true),
        ("http://127.0.0.1.example/introspect", true, false),
        ("as.example/introspect", false, false),
        ("file:///introspect", false, false),
        ("https://user:secret@as.example/introspect", false, false),
        ("https://as.example/introspect#x", false, false),
        ("", false, false),
    ] {
        let built: Result<ResourceServer, _> = build(url, loopback);
        assert_eq!(built.is_ok(), good, "{url} {loopback}");
        if let Err(error) = built {
            let places: Vec<_> = error.places().map(|(place, _)| place.to_owned()).collect();
            assert_eq!(places, ["introspection[0].endpoint"], "{url}: {error}");
        }
    }
}

/// INT-15: who wants signed answers says so, and who does not, does not.
#[tokio::test]
async fn signed_answers_are_asked_for_where_they_are_wanted() {
    for (signed, accept) in [(false, "application/json"), (true, TestIntrospection::MEDIA_TYPE)] {
        let world = World::with_keys(|introspection| match signed {
            true => introspection.signed_for("rs"),
            false => introspection,
        });
        world.kit.sign_with(&world.issuer, "rs");
        let token = world.token();
        world.assert_passes(&token, accept).await;
        assert_eq!(world.kit.requests()[0].headers()[ACCEPT], accept);
        assert_eq!(world.kit.requests()[0].headers().get_all(ACCEPT).iter().count(), 1);
    }
}

/// AUTH-31: a token that is no JWT is asked about where somebody can be asked, and refused as what it is
/// where nobody can.
#[tokio::test]
async fn an_opaque_token_is_asked_about_where_somebody_can_be_asked() {
    let world = World::new();
    for token in ["x", "2YotnFZFEjr1zCsicMWpAA", "abc/def+ghi=="] {
        world.assert_invalid(token, Kind::Inactive, token).await;
        world.kit.active_as(&format!("{token}="), world.claims());
        world.assert_passes(&format!("{token}="), token).await;
    }
    assert_eq!(world.calls(), 6);

    let parts = Parts::new();
    let builder = parts.builder_with(parts.issuer.fixed_keys()).binding(Binding::WhereBound);
    let world = parts.build(builder);
    let token = world.token();
    world.assert_invalid(&token, Kind::OpaqueToken, "nobody is asked").await;
    world.assert_passes(&world.claims().sign(), "JWTs are read").await;
    assert_eq!(world.calls(), 0);
    // An issuer without keys whom nobody asks is a fault.
    let lonely = Parts::new();
    assert!(lonely.builder_with(Issuer::opaque(RESOURCE)).build().is_err());
}
