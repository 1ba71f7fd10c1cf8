//! A notes API with axum: a scope for each route, a check of its own, a public route.
//!
//! `cargo run --example axum`, then the `curl` lines that it prints. What was decided of each request, and
//! why, is what it prints then.
//!
//! The issuer is the test kit's, so that nothing else has to run. A real service has
//! `Issuer::discover("https://login.example.com")` and no `.transport(...)`.

use std::error::Error;
use std::time::Duration;

use axum::Router;
use axum::extract::Path;
use axum::routing::{delete, get};
use portcullis::check::{Check as _, CheckContext, CheckError, Denial, allow_all, scope};
use portcullis::testing::{TestIssuer, TestNetwork};
use portcullis::time::SystemClock;
use portcullis::{Access, Binding, Issuer, Policy, ResourceServer, TokenClass};

const RESOURCE: &str = "https://notes.example";

/// Each policy stands beside its route.
pub fn app(api: &ResourceServer) -> Router {
    Router::new()
        .route("/notes", get(list).layer(api.protect(scope("notes:read"))))
        .route(
            "/notes/{id}",
            delete(remove).layer(api.protect(scope("notes:write").and(no_robots))),
        )
        .route("/", get(welcome).layer(api.protect(Policy::new(allow_all()).optional())))
        .route_service(&api.metadata_path(), api.metadata_service())
}

async fn list(access: Access) -> String {
    format!("the notes of {}\n", access.subject())
}

async fn remove(access: Access, Path(id): Path<u32>) -> String {
    format!("{} removed note {id}\n", access.subject())
}

async fn welcome(access: Option<Access>) -> String {
    match access {
        Some(access) => format!("welcome back, {}\n", access.subject()),
        None => "welcome\n".to_owned(),
    }
}

/// A check is a function: yes, or why not. The reason is for the log, not for the client.
fn no_robots(request: &CheckContext<'_>) -> Result<(), CheckError> {
    if request.access().client_id().is_some_and(|client| client == "robot") {
        return Err(Denial::forbidden("robots remove nothing").into());
    }
    Ok(())
}

/// The configuration: who issues tokens, and how long they may live.
pub fn api(issuer: &TestIssuer) -> Result<ResourceServer, Box<dyn Error>> {
    Ok(ResourceServer::builder(RESOURCE)
        .issuer(Issuer::discover(issuer.id()))
        .binding(Binding::WhereBound)
        .class(TokenClass::default_at_most(Duration::from_mins(15)))
        .transport(TestNetwork::of(&[issuer]))
        .build()?)
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    // Where "why 401?" is answered: each decision is a line of this target, at level `debug`.
    tracing_subscriber::fmt().with_env_filter("info,portcullis::decision=debug").init();
    let issuer = TestIssuer::new("https://login.example", &SystemClock::new());
    let api = api(&issuer)?;
    api.warm_up().await?;

    let listener = tokio::net::TcpListener::bind("127.0.0.1:3000").await?;
    let token = |resource| issuer.token(resource).scope("notes:read").sign();
    println!("# No token; a good one; one for another API.");
    println!("curl -i http://127.0.0.1:3000/notes");
    for resource in [RESOURCE, "https://other.example"] {
        let token = token(resource);
        println!("curl -i http://127.0.0.1:3000/notes -H 'Authorization: Bearer {token}'");
    }
    axum::serve(listener, app(&api)).await?;
    Ok(())
}
