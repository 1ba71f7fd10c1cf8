//! Names of configuration, and what is made of them.

use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use http::{Request, Uri};
use portcullis::issuer::discovery_urls;
use portcullis::name::{Audience, IssuerId, Resource, Scope, Thumbprint};
use portcullis::testing::challenges;
use portcullis::{Binding, Issuer, ResourceServer, TokenClass};

/// No name panics, and a URL made of one stays `https` and on its host.
pub fn names(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    for url in discovery_urls(text) {
        assert!(url.contains("/.well-known/"));
    }
    if let Ok(issuer) = IssuerId::parse(text) {
        assert_eq!(issuer, text);
        assert!(!text.contains(['?', '#']));
        for url in discovery_urls(text) {
            assert_stays(text, &url);
        }
    }
    if let Ok(resource) = Resource::parse(text) {
        assert_eq!(resource, text);
        assert!(!text.contains('#'));
        let url = resource.metadata_url();
        assert_stays(text, &url);
        let uri: Uri = url.parse().unwrap();
        assert!(uri.path().starts_with("/.well-known/oauth-protected-resource"), "{url}");
    }
    assert_eq!(Audience::parse(text).is_ok(), (1..=8_000).contains(&text.len()));
    let legal = |b: u8| matches!(b, 0x21 | 0x23..=0x5b | 0x5d..=0x7e);
    assert_eq!(Scope::parse(text).is_ok(), !text.is_empty() && text.bytes().all(legal));
    if let Some(thumbprint) = Thumbprint::parse(text) {
        assert_eq!(text.len(), 43);
        assert_eq!(Thumbprint::parse_uri(&thumbprint.to_uri()), Some(thumbprint));
    }
    let _ = Thumbprint::parse_uri(text);
}

fn assert_stays(from: &str, to: &str) {
    let (from, to): (Uri, Uri) = (from.parse().unwrap(), to.parse().unwrap());
    assert_eq!(to.scheme_str(), Some("https"));
    assert_eq!(from.authority(), to.authority());
    assert!(!from.host().unwrap().is_empty());
    assert!(!from.authority().unwrap().as_str().contains('@'));
}

/// A server that can be built has a challenge that a client can read.
pub fn resource(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    let (resource, realm) = text.split_once('\n').unwrap_or((text, "realm"));
    let keys = r#"{"keys":[{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}"#;
    let server = ResourceServer::builder(resource)
        .issuer(Issuer::fixed_keys("https://as.example", keys))
        .binding(Binding::WhereBound)
        .class(TokenClass::default_at_most(Duration::from_mins(5)))
        .realm(realm)
        .build();
    let Ok(server) = server else {
        return;
    };
    assert!(server.metadata_path().starts_with("/.well-known/oauth-protected-resource"));
    assert_eq!(server.metadata()["resource"], resource);
    let (request, ()) = Request::new(()).into_parts();
    let decision = pin!(server.verify(&request));
    let Poll::Ready(decision) = decision.poll(&mut Context::from_waker(Waker::noop())) else {
        panic!("a request without credentials waits");
    };
    let response = decision.unwrap_err().to_response::<()>();
    let challenges = challenges(response.headers());
    assert_eq!(challenges.len(), 1);
    assert_eq!(challenges[0].param("realm"), Some(realm));
    let metadata_url = server.resource().metadata_url();
    assert_eq!(challenges[0].param("resource_metadata"), Some(metadata_url.as_str()));
}
