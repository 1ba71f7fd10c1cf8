//! A gRPC service and its client, in one process: calls over HTTP/2 on loopback, and what the
//! client saw of each.
//!
//! `cargo run --example tonic`
//!
//! The service is `grpc.health.v1.Health` of tonic-health, which needs no protoc. The issuers are
//! the test kit's. It exits with 0 only if every call came out as it should.

use std::error::Error;
use std::process::ExitCode;
use std::time::Duration;

use portcullis::check::scope;
use portcullis::testing::{Failure, TestIssuer, TestNetwork, challenges};
use portcullis::time::SystemClock;
use portcullis::{Binding, Issuer, ResourceServer, TokenClass};
use tokio::net::TcpListener;
use tonic::transport::Channel;
use tonic::transport::server::{Server, TcpIncoming};
use tonic::{Code, Request, Status};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;

const RESOURCE: &str = "https://health.example";

#[tokio::main]
async fn main() -> ExitCode {
    match run().await {
        Ok(0) => ExitCode::SUCCESS,
        Ok(wrong) => {
            eprintln!("{wrong} call(s) came out otherwise than they should");
            ExitCode::FAILURE
        }
        Err(error) => {
            eprintln!("the calls broke off: {error}");
            ExitCode::FAILURE
        }
    }
}

/// The configuration: who issues tokens, and how long they may live.
fn api(issuers: &[&TestIssuer]) -> Result<ResourceServer, Box<dyn Error>> {
    let mut builder = ResourceServer::builder(RESOURCE);
    for issuer in issuers {
        builder = builder.issuer(Issuer::discover(issuer.id()));
    }
    Ok(builder
        .binding(Binding::WhereBound)
        .class(TokenClass::default_at_most(Duration::from_mins(15)))
        .transport(TestNetwork::of(issuers))
        .build()?)
}

/// Every method of every service behind one policy, refusals as gRPC wants them.
async fn serve(listener: TcpListener, api: ResourceServer) -> Result<(), tonic::transport::Error> {
    let (_, health) = tonic_health::server::health_reporter();
    Server::builder()
        .layer(api.protect(scope("health:read")).grpc())
        .add_service(health)
        .serve_with_incoming(TcpIncoming::from(listener))
        .await
}

/// Makes every call and prints what came of it; returns how many came out otherwise than they
/// should.
pub async fn run() -> Result<usize, Box<dyn Error>> {
    let clock = SystemClock::new();
    let login = TestIssuer::new("https://login.example", &clock);
    let down = TestIssuer::new("https://down.example", &clock);
    down.fail(Failure::Connection);

    let api = api(&[&login, &down])?;
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let url = format!("http://{}", listener.local_addr()?);
    let server = tokio::spawn(serve(listener, api));

    println!("{RESOURCE} on {url}, gRPC over HTTP/2\n");
    let mut client = HealthClient::new(Channel::from_shared(url)?.connect().await?);
    let mut wrong = 0;
    for call in calls(&login, &down) {
        let seen = call.make(&mut client).await?;
        let (code, told) = match &seen {
            Ok(()) => (Code::Ok, String::new()),
            Err(status) => (status.code(), told(status)),
        };
        println!("{} -> {code:?}", call.sent);
        if let Err(status) = &seen {
            println!("    message: {}", status.message());
            for name in ["www-authenticate", "retry-after", "grpc-retry-pushback-ms"] {
                if let Some(value) = status.metadata().get(name) {
                    println!("    {name}: {}", value.to_str()?);
                }
            }
        }
        if (code, told.as_str()) != call.expected {
            println!("    WRONG: {:?} was expected", call.expected);
            wrong += 1;
        }
    }
    server.abort();
    if wrong == 0 {
        println!("\nevery call came out as it should");
    }
    Ok(wrong)
}

/// What the metadata asks a client to do next, as its code would read it.
fn told(status: &Status) -> String {
    let headers = status.metadata().clone().into_headers();
    match challenges(&headers).first() {
        Some(challenge) => challenge.param("error").unwrap_or("no error code").to_owned(),
        None if headers.contains_key("grpc-retry-pushback-ms") => "try again".to_owned(),
        None => String::new(),
    }
}

#[derive(Clone, Copy)]
enum Method {
    /// One request, one response.
    Check,
    /// One request, a stream of responses.
    Watch,
}

/// A call, and what should come of it: the code, and what the metadata says.
struct Call {
    sent: &'static str,
    method: Method,
    token: Option<String>,
    expected: (Code, &'static str),
}

impl Call {
    /// Whether the service answered, or how the call was refused. The other error is that of a
    /// token that fits into no header field.
    async fn make(
        &self,
        client: &mut HealthClient<Channel>,
    ) -> Result<Result<(), Status>, Box<dyn Error>> {
        let mut request = Request::new(HealthCheckRequest { service: String::new() });
        if let Some(token) = &self.token {
            request.metadata_mut().insert("authorization", format!("Bearer {token}").parse()?);
        }
        Ok(match self.method {
            Method::Check => client.check(request).await.map(drop),
            Method::Watch => match client.watch(request).await {
                Ok(response) => response.into_inner().message().await.map(drop),
                Err(status) => Err(status),
            },
        })
    }
}

fn calls(login: &TestIssuer, down: &TestIssuer) -> Vec<Call> {
    use Method::{Check, Watch};
    let call =
        |sent, method, token, code, told| Call { sent, method, token, expected: (code, told) };
    let good = login.token(RESOURCE).scope("health:read").sign();
    let other = login.token(RESOURCE).scope("health:write").sign();
    let unknown = down.token(RESOURCE).scope("health:read").sign();
    let changed = login.token(RESOURCE).scope("health:read").tampered();
    vec![
        call("Check with a good token", Check, Some(good.clone()), Code::Ok, ""),
        call("Check without a token", Check, None, Code::Unauthenticated, "no error code"),
        call(
            "Check with a changed signature",
            Check,
            Some(changed),
            Code::Unauthenticated,
            "invalid_token",
        ),
        call(
            "Check with another scope",
            Check,
            Some(other),
            Code::PermissionDenied,
            "insufficient_scope",
        ),
        call(
            "Check with a token of an issuer that is down",
            Check,
            Some(unknown),
            Code::Unavailable,
            "try again",
        ),
        call("Watch with a good token", Watch, Some(good), Code::Ok, ""),
        call("Watch without a token", Watch, None, Code::Unauthenticated, "no error code"),
    ]
}
