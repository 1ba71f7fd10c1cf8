//! A protected service with hyper and tower alone.
//!
//! `cargo run --example hyper`, then the `curl` lines that it prints.
//!
//! The issuer is the test kit's, so that nothing else has to run.

use std::convert::Infallible;
use std::error::Error;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto::Builder;
use hyper_util::service::TowerToHyperService;
use portcullis::check::scope;
use portcullis::testing::{TestIssuer, TestNetwork};
use portcullis::time::SystemClock;
use portcullis::{Access, Binding, Issuer, ResourceServer, TokenClass};
use tokio::net::TcpListener;
use tower::{ServiceBuilder, service_fn};

const RESOURCE: &str = "https://hello.example";

async fn hello(request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    // The layer below has put it there, or this is never called.
    let name = match request.extensions().get::<Access>() {
        Some(access) => access.subject().to_string(),
        None => "nobody".to_owned(),
    };
    Ok(Response::new(Full::from(format!("hello {name}\n"))))
}

/// Serves HTTP/1.1 and HTTP/2, every request by one policy.
pub async fn serve(listener: TcpListener, api: ResourceServer) -> Result<(), Box<dyn Error>> {
    let service =
        ServiceBuilder::new().layer(api.protect(scope("hello"))).service(service_fn(hello));
    loop {
        let (connection, _) = listener.accept().await?;
        let service = TowerToHyperService::new(service.clone());
        tokio::spawn(async move {
            let connection = TokioIo::new(connection);
            let server = Builder::new(TokioExecutor::new());
            if let Err(error) = server.serve_connection(connection, service).await {
                eprintln!("a connection broke: {error}");
            }
        });
    }
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
    let issuer = TestIssuer::new("https://login.example", &SystemClock::new());
    let api = api(&issuer)?;
    api.warm_up().await?;

    let listener = TcpListener::bind("127.0.0.1:3000").await?;
    let token = issuer.token(RESOURCE).scope("hello").sign();
    println!("curl -i http://127.0.0.1:3000/");
    println!("curl -i http://127.0.0.1:3000/ -H 'Authorization: Bearer {token}'");
    serve(listener, api).await
}
