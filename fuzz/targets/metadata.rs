//! Metadata of an issuer, as discovery fetches it.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderValue, Request, Response, StatusCode};
use portcullis::testing::ManualClock;
use portcullis::transport::{Fetch, FetchLimits, Transport};
use portcullis::{Binding, Issuer, ResourceServer, TokenClass};

use super::tree::{self, Reading, Tree, member};

const ISSUER: &str = "https://as.example";
const METADATA: &str = "https://as.example/.well-known/oauth-authorization-server";
const KEYS: &str =
    r#"{"keys":[{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}"#;

/// Keys are fetched from the `jwks_uri` of a document of the right issuer, over `https`, or not at
/// all.
pub fn metadata(data: &[u8]) {
    let network = Network { document: Bytes::copy_from_slice(data), fetched: Arc::default() };
    let fetched = Arc::clone(&network.fetched);
    let warm = RUNTIME.with(|runtime| {
        runtime.block_on(async {
            let server = ResourceServer::builder("https://rs.example")
                .issuer(Issuer::discover(ISSUER))
                .binding(Binding::WhereBound)
                .class(TokenClass::default_at_most(Duration::from_mins(5)))
                .clock(ManualClock::new())
                .transport(network)
                .build()
                .unwrap();
            server.warm_up().await.is_ok()
        })
    });
    let members = match tree::read(data) {
        Reading::Unknown => return,
        Reading::Refused => Vec::new(),
        Reading::Object(members) => members,
    };
    let text = |name| member(&members, name).and_then(Tree::as_text);
    let fetched = fetched.lock().unwrap();
    assert_eq!(warm, fetched.len() == 1, "{fetched:?}");
    if warm {
        assert_eq!(text("issuer"), Some(ISSUER));
        let jwks_uri = text("jwks_uri").unwrap();
        assert!(jwks_uri.get(..8).unwrap().eq_ignore_ascii_case("https://"), "{jwks_uri}");
        assert!(!jwks_uri.contains('#'), "{jwks_uri}");
        let uri: http::Uri = jwks_uri.parse().unwrap();
        assert_eq!(fetched[0], uri);
        assert!(!uri.authority().unwrap().as_str().contains('@'), "{jwks_uri}");
    }
}

thread_local! {
    static RUNTIME: tokio::runtime::Runtime =
        tokio::runtime::Builder::new_current_thread().build().unwrap();
}

/// One metadata document, and keys everywhere else.
struct Network {
    document: Bytes,
    /// What was fetched beside metadata.
    fetched: Arc<Mutex<Vec<http::Uri>>>,
}

impl Transport for Network {
    fn fetch(&self, request: Request<Bytes>, _: FetchLimits) -> Fetch<'_> {
        let uri = request.into_parts().0.uri;
        let mut response = Response::new(Bytes::new());
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        if uri == METADATA {
            *response.body_mut() = self.document.clone();
        } else if uri.path() == "/.well-known/openid-configuration" {
            *response.status_mut() = StatusCode::NOT_FOUND;
        } else {
            assert_eq!(uri.scheme_str(), Some("https"));
            self.fetched.lock().unwrap().push(uri);
            *response.body_mut() = Bytes::from_static(KEYS.as_bytes());
        }
        Box::pin(std::future::ready(Ok(response)))
    }
}
