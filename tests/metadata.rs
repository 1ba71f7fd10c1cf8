//! Protected resource metadata (RFC 9728): derived from what is enforced, served to everybody.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

use std::time::Duration;

use axum::body::Body;
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full};
use portcullis::check::{Check as _, all_scopes, any_scope, scope};
use portcullis::{Binding, Issuer, Metadata, ResourceServer, ServerBuilder, TokenClass};
use serde_json::{Value, json};
use tower::ServiceExt as _;

fn builder(resource: &str) -> ServerBuilder {
    ResourceServer::builder(resource)
        .issuer(Issuer::discover("https://as.example"))
        .issuer(Issuer::discover("https://other.example/tenant/"))
        .binding(Binding::WhereBound)
        .class(TokenClass::default_at_most(Duration::from_mins(15)))
}

async fn fetch(api: &ResourceServer, method: Method) -> Response<Full<bytes::Bytes>> {
    let request = Request::builder().method(method).body(Body::empty()).unwrap();
    api.metadata_service().oneshot(request).await.unwrap()
}

async fn document(api: &ResourceServer) -> Value {
    let body = fetch(api, Method::GET).await.into_body().collect().await.unwrap().to_bytes();
    serde_json::from_slice(&body).unwrap()
}

/// PRM-05, PRM-06, PRM-08, PRM-10, PRM-11, MCP-01
#[tokio::test]
async fn the_document_says_what_is_enforced_and_nothing_else() {
    let api = builder("https://rs.example").build().unwrap();
    assert_eq!(
        document(&api).await,
        json!({
            "resource": "https://rs.example",
            "authorization_servers": ["https://as.example", "https://other.example/tenant/"],
            "bearer_methods_supported": ["header"],
        }),
    );
    let _ = api.protect(scope("notes:read"));
    let _ = api.protect(all_scopes(["notes:read", "notes:write"]).or(scope("unsaid")));
    let _ = api.guard(any_scope(["first", "second"])).unwrap();
    assert_eq!(
        document(&api).await["scopes_supported"],
        json!(["first", "notes:read", "notes:write", "second", "unsaid"]),
    );
    assert_eq!(document(&api).await, api.metadata());
}

/// PRM-04, PRM-05, PRM-20
#[tokio::test]
async fn it_is_served_to_get_and_head_from_every_origin() {
    let api = builder("https://rs.example").build().unwrap();
    let response = fetch(&api, Method::GET).await;
    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(response.headers()["content-type"], "application/json");
    assert_eq!(response.headers()["access-control-allow-origin"], "*");
    let length = response.into_body().collect().await.unwrap().to_bytes().len();

    let response = fetch(&api, Method::HEAD).await;
    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(response.headers()["content-length"], length.to_string());
    assert!(response.into_body().collect().await.unwrap().to_bytes().is_empty());

    let response = fetch(&api, Method::OPTIONS).await;
    assert_eq!(response.status(), StatusCode::NO_CONTENT);
    assert_eq!(response.headers()["access-control-allow-origin"], "*");
    for method in [Method::POST, Method::PUT, Method::DELETE] {
        let response = fetch(&api, method).await;
        assert_eq!(response.status(), StatusCode::METHOD_NOT_ALLOWED);
        assert_eq!(response.headers()["allow"], "GET, HEAD, OPTIONS");
    }
}

/// PRM-01, PRM-02, PRM-03, PRM-15
#[test]
fn the_path_is_inserted_between_host_and_path() {
    for (resource, path, url) in [
        (
            "https://rs.example",
            "/.well-known/oauth-protected-resource",
            "https://rs.example/.well-known/oauth-protected-resource",
        ),
        (
            "https://rs.example/",
            "/.well-known/oauth-protected-resource",
            "https://rs.example/.well-known/oauth-protected-resource",
        ),
        (
            "https://rs.example:8443/a/b/",
            "/.well-known/oauth-protected-resource/a/b/",
            "https://rs.example:8443/.well-known/oauth-protected-resource/a/b/",
        ),
        (
            "https://rs.example/a?x=1",
            "/.well-known/oauth-protected-resource/a",
            "https://rs.example/.well-known/oauth-protected-resource/a?x=1",
        ),
    ] {
        let api = builder(resource).build().unwrap();
        assert_eq!(api.metadata_path(), path, "{resource}");
        assert_eq!(api.resource().metadata_url(), url, "{resource}");
        assert_eq!(api.metadata()["resource"], resource, "byte for byte");
    }
}

/// PRM-14
#[tokio::test]
async fn names_come_in_languages() {
    let metadata = Metadata::new()
        .resource_name("Notes")
        .localized("resource_name", "de", "Notizen")
        .resource_documentation("https://rs.example/docs")
        .without_scopes();
    let api = builder("https://rs.example").metadata(metadata).build().unwrap();
    let _ = api.protect(scope("secret:scope"));
    let document = document(&api).await;
    assert_eq!(document["resource_name"], "Notes");
    assert_eq!(document["resource_name#de"], "Notizen");
    assert_eq!(document["resource_documentation"], "https://rs.example/docs");
    assert_eq!(document.get("scopes_supported"), None);
}

#[test]
fn a_member_that_is_none_of_rfc_9728_is_a_fault() {
    for metadata in [
        Metadata::new().localized("resource", "de", "x"),
        Metadata::new().localized("resource_name", "", "x"),
        Metadata::new().localized("resource_name", "d e", "x"),
        Metadata::new().resource_name(""),
        Metadata::new().resource_name("a").resource_name("b"),
    ] {
        assert!(builder("https://rs.example").metadata(metadata).build().is_err());
    }
}
