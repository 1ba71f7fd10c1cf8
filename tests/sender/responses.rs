use std::convert::Infallible;

use http::{HeaderMap, Request, Response};
use portcullis::Dpop;
use portcullis::sender::Nonces;
use tower::{Layer as _, ServiceExt as _, service_fn};

use super::support::bearer;
use super::{World, dpop};

async fn answered(world: &World, request: Request<String>, inner: HeaderMap) -> HeaderMap {
    let service = service_fn(move |_: Request<String>| {
        let mut response = Response::new(String::new());
        *response.headers_mut() = inner.clone();
        async { Ok::<_, Infallible>(response) }
    });
    let response = world.api.layer().layer(service).oneshot(request).await.unwrap();
    assert_eq!(response.status(), 200);
    response.headers().clone()
}

fn inner_fields() -> HeaderMap {
    let mut fields = HeaderMap::new();
    fields.append("dpop-nonce", "of-another-server".parse().unwrap());
    fields.append("dpop-nonce", "and-another".parse().unwrap());
    fields.append("cache-control", "public, max-age=60".parse().unwrap());
    fields
}

/// DPOP-31, DPOP-32, AUTH-26: exactly one nonce leaves the server, its own, and in no cache.
#[tokio::test]
async fn exactly_one_nonce_leaves_the_server() {
    let world = World::with(|builder| builder.dpop(Dpop::new().nonces(Nonces::optional())));
    let token = world.bound().sign();
    let request = dpop(&token, [world.proof(&token).sign()]);
    let fields = answered(&world, request, inner_fields()).await;
    let nonces: Vec<_> = fields.get_all("dpop-nonce").iter().collect();
    assert_eq!(nonces.len(), 1);
    assert_ne!(nonces[0], "of-another-server");
    assert_eq!(fields["cache-control"], "no-store");

    // With a fresh nonce there is nothing to send, and another server's is still none of ours.
    let nonce = nonces[0].to_str().unwrap().to_owned();
    let request = dpop(&token, [world.proof(&token).nonce(&nonce).sign()]);
    let fields = answered(&world, request, inner_fields()).await;
    assert_eq!(fields.get("dpop-nonce"), None);
    assert_eq!(fields["cache-control"], "public, max-age=60");
}

/// What has no nonces leaves the service's own response alone.
#[tokio::test]
async fn a_response_is_left_alone_where_there_are_no_nonces() {
    let world = World::new();
    let token = world.bound().sign();
    for request in [dpop(&token, [world.proof(&token).sign()]), bearer(&world.unbound().sign())] {
        assert_eq!(answered(&world, request, inner_fields()).await, inner_fields());
    }
}

/// Without tower, the fields of the response are asked for.
#[tokio::test]
async fn a_guard_says_what_the_response_needs() {
    let world = World::with(|builder| builder.dpop(Dpop::new().nonces(Nonces::optional())));
    let token = world.bound().sign();
    let (parts, _) = dpop(&token, [world.proof(&token).sign()]).into_parts();
    let access = world.api.verify(&parts).await.unwrap();
    let mut fields = inner_fields();
    access.complete_response(&mut fields);
    assert_eq!(fields.get_all("dpop-nonce").iter().count(), 1);
    assert_eq!(fields["cache-control"], "no-store");
}
