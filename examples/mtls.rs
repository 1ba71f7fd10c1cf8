//! Tokens that are bound to a certificate of their client (mutual TLS, RFC 8705), in one process: an API
//! that ends TLS itself, a client with a certificate, and others who try without.
//!
//! `cargo run --example mtls` plays all of it over TLS on loopback, prints what was sent and what came of
//! it, and exits with 0 only if every request came out as it should. `cargo run --example mtls -- serve`
//! keeps serving, writes certificates and keys to `target/mtls`, and prints `curl` lines.
//!
//! The issuer and all certificates are the test kit's, so that nothing else has to run. A real service has
//! `Issuer::discover("https://login.example.com")`, no `.transport(...)`, and the certificate of its own host
//! from files: `ServerCertificate::from_pem(fs::read("server.pem")?, fs::read("server.key")?)`. A real client
//! gets its token from the authorization server over mutual TLS too, which binds it to the certificate that
//! it sees there. Where a proxy ends TLS, see `behind_proxy`.

use std::error::Error;
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::routing::get;
use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt as _, Empty};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use portcullis::axum::PeerLayer;
use portcullis::check::scope;
use portcullis::rustls::{
    ClientCertificates, PeerInfo, ServerCertificate, TlsAcceptor, TlsFault, TlsListener,
};
use portcullis::testing::{TestCertificate, TestIssuer, TestNetwork, challenges};
use portcullis::time::SystemClock;
use portcullis::transport::Transport;
use portcullis::{Access, Binding, Issuer, Mtls, ResourceServer, TokenClass};
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{ClientConfig, RootCertStore};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsConnector;

/// What tokens name in `aud`.
pub const RESOURCE: &str = "https://notes.example";

/// The configuration: every token is bound to a certificate, which is that of the connection.
pub fn api(issuer: Issuer, transport: impl Transport) -> Result<ResourceServer, Box<dyn Error>> {
    Ok(ResourceServer::builder(RESOURCE)
        .issuer(issuer)
        .class(TokenClass::default_at_most(Duration::from_mins(15)))
        .binding(Binding::Mtls)
        .mtls(Mtls::direct())
        .transport(transport)
        .build()?)
}

/// `PeerLayer` hands the certificate of a connection to the policies of its routes.
pub fn app(api: &ResourceServer) -> Router {
    Router::new()
        .route("/notes", get(list).layer(api.protect(scope("notes:read"))))
        .route_service(&api.metadata_path(), api.metadata_service())
        .layer(PeerLayer)
}

async fn list(access: Access) -> String {
    format!("the notes of {}", access.subject())
}

/// Every client is asked for a certificate and may do without: then the answer says what is wrong with its
/// token, and the metadata can be read by everybody. Who issued the certificate does not matter, since the
/// token names it (RFC 8705 §6.2).
pub fn acceptor(server: ServerCertificate) -> Result<TlsAcceptor, TlsFault> {
    TlsAcceptor::new(server, ClientCertificates::requested())
}

/// `into_make_service_with_connect_info::<PeerInfo>()` is what `PeerLayer` needs.
pub async fn listen(
    listener: TcpListener,
    acceptor: TlsAcceptor,
    app: Router,
) -> Result<(), io::Error> {
    let app = app.into_make_service_with_connect_info::<PeerInfo>();
    axum::serve(TlsListener::new(listener, acceptor), app).await
}

/// An authority that clients trust, and the server's certificate from it.
fn of_server() -> Result<(TestCertificate, ServerCertificate), TlsFault> {
    let authority = TestCertificate::named("authority").authority().self_signed();
    let server = TestCertificate::named("server").dns("localhost").issued_by(&authority);
    let certificate = ServerCertificate::from_pem(server.pem(), server.key_pem())?;
    Ok((authority, certificate))
}

/// What a client presents: a certificate, and whose key it signs the handshake with.
type Presented<'a> = Option<(&'a TestCertificate, &'a TestCertificate)>;

fn connector(
    authority: &TestCertificate,
    presented: Presented<'_>,
) -> Result<TlsConnector, Box<dyn Error>> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from(authority.der().to_vec()))?;
    let config = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots);
    let config = match presented {
        None => config.with_no_client_auth(),
        Some((certificate, owner)) => {
            let chain = vec![CertificateDer::from(certificate.der().to_vec())];
            let key = PrivateKeyDer::from_pem_slice(owner.key_pem().as_bytes())?;
            let key = provider.key_provider.load_private_key(key)?;
            // An honest client says `with_client_auth_cert`, which compares the two.
            let resolver = SingleCertAndKey::from(CertifiedKey::new(chain, key));
            config.with_client_cert_resolver(Arc::new(resolver))
        }
    };
    Ok(Arc::new(config).into())
}

/// An answer, as a client reads it.
struct Answer {
    /// `None`: the server ended the handshake.
    status: Option<u16>,
    /// The error code of the challenge.
    told: String,
    text: String,
}

/// Sends a request over a connection of its own.
async fn ask(
    address: SocketAddr,
    connector: &TlsConnector,
    path: &str,
    fields: &[(&str, String)],
) -> Result<Answer, Box<dyn Error>> {
    let mut request = Request::get(path).header("host", "localhost");
    for (name, value) in fields {
        request = request.header(*name, value);
    }
    let request = request.body(Empty::new())?;
    let stream = TcpStream::connect(address).await?;
    match exchange(stream, connector, request).await {
        Ok(answer) => Ok(answer),
        Err(error) => {
            let mut cause: &dyn Error = &*error;
            while let Some(deeper) = cause.source() {
                cause = deeper;
            }
            Ok(Answer { status: None, told: String::new(), text: cause.to_string() })
        }
    }
}

async fn exchange(
    stream: TcpStream,
    connector: &TlsConnector,
    request: Request<Empty<Bytes>>,
) -> Result<Answer, Box<dyn Error>> {
    let stream = connector.connect(ServerName::try_from("localhost")?, stream).await?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    let connection = tokio::spawn(connection);
    let response = match sender.send_request(request).await {
        Ok(response) => response,
        Err(error) => {
            // Under TLS 1.3 the handshake is done for a client before the server has looked at its
            // certificate: it learns of a refusal when it reads. What it read says more.
            connection.await??;
            return Err(error.into());
        }
    };
    let (head, body) = response.into_parts();
    let body = String::from_utf8(body.collect().await?.to_bytes().into())?;
    let challenges = challenges(&head.headers);
    let param = |name| challenges.iter().find_map(|challenge| challenge.param(name));
    let text = param("error_description").map_or(body, str::to_owned);
    let told = param("error").unwrap_or_default().to_owned();
    Ok(Answer { status: Some(head.status.as_u16()), told, text })
}

/// Plays every client and prints what came of it; returns how many requests came out otherwise than they
/// should.
pub async fn run() -> Result<usize, Box<dyn Error>> {
    const REFUSED: (Option<u16>, &str) = (Some(401), "invalid_token");
    const GOOD: (Option<u16>, &str) = (Some(200), "");
    const NO_CONNECTION: (Option<u16>, &str) = (None, "");

    let issuer = TestIssuer::new("https://login.example", &SystemClock::new());
    let api = api(issuer.discover(), TestNetwork::of(&[&issuer]))?;
    api.warm_up().await?;
    let (authority, certificate) = of_server()?;
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    let server = tokio::spawn(listen(listener, acceptor(certificate)?, app(&api)));
    println!(
        "{RESOURCE} on https://localhost:{}: tokens are bound to a certificate\n",
        address.port()
    );

    // A certificate that the client has made itself is enough: the token names it.
    let alice = TestCertificate::named("alice").self_signed();
    let mallory = TestCertificate::named("mallory").self_signed();
    let renewed = alice.renewed();
    let token = issuer.token(RESOURCE).scope("notes:read");
    let bound = token.clone().claim("cnf", alice.confirmation()).sign();
    let unbound = token.sign();
    println!("Alice's client gets a token that is bound to its certificate:");
    println!("  \"cnf\": {}", alice.confirmation());

    let notes = "/notes";
    let metadata = api.metadata_path();
    let bearer = |token: &str| ("authorization", format!("Bearer {token}"));
    let forged = ("client-cert", alice.client_cert_field());
    #[rustfmt::skip]
    let rows = [
        ("her token, with her certificate", Some((&alice, &alice)), notes, vec![bearer(&bound)], GOOD),
        ("her token, without a certificate", None, notes, vec![bearer(&bound)], REFUSED),
        ("the same, and a field that says whose it is", None, notes, vec![bearer(&bound), forged], REFUSED),
        ("her token, with Mallory's certificate", Some((&mallory, &mallory)), notes, vec![bearer(&bound)], REFUSED),
        ("her token and certificate, Mallory's key", Some((&alice, &mallory)), notes, vec![bearer(&bound)], NO_CONNECTION),
        ("her token, with her renewed certificate", Some((&renewed, &renewed)), notes, vec![bearer(&bound)], REFUSED),
        ("a token that is bound to nothing", Some((&alice, &alice)), notes, vec![bearer(&unbound)], REFUSED),
        ("the metadata, without anything", None, &metadata, vec![], GOOD),
    ];
    let mut wrong = 0;
    for (sent, presented, path, fields, expected) in rows {
        let Answer { status, told, text } =
            ask(address, &connector(&authority, presented)?, path, &fields).await?;
        let got = match status {
            None => "no connection:".to_owned(),
            Some(status) if told.is_empty() => status.to_string(),
            Some(status) => format!("{status} {told}:"),
        };
        println!("  {sent:<46} {got} {text}");
        if (status, told.as_str()) != expected {
            println!("    WRONG: {expected:?} was expected");
            wrong += 1;
        }
    }
    server.abort();
    if wrong == 0 {
        println!("\nevery request came out as it should");
    }
    Ok(wrong)
}

/// Serves, and prints what can be sent by hand.
async fn serve() -> Result<(), Box<dyn Error>> {
    let issuer = TestIssuer::new("https://login.example", &SystemClock::new());
    let api = api(issuer.discover(), TestNetwork::of(&[&issuer]))?;
    let (authority, certificate) = of_server()?;
    let listener = TcpListener::bind("127.0.0.1:3443").await?;

    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/mtls");
    std::fs::create_dir_all(&directory)?;
    let alice = TestCertificate::named("alice").self_signed();
    let mallory = TestCertificate::named("mallory").self_signed();
    for (name, text) in [
        ("authority.pem", authority.pem()),
        ("alice.pem", alice.pem()),
        ("alice.key", alice.key_pem()),
        ("mallory.pem", mallory.pem()),
        ("mallory.key", mallory.key_pem()),
    ] {
        std::fs::write(directory.join(name), text)?;
    }
    let token =
        issuer.token(RESOURCE).scope("notes:read").claim("cnf", alice.confirmation()).sign();
    println!("cd {}", directory.display());
    let curl = "curl -i --cacert authority.pem https://localhost:3443/notes";
    let curl = format!("{curl} -H 'Authorization: Bearer {token}'");
    println!("# for five minutes 200\n{curl} --cert alice.pem --key alice.key\n");
    println!("# 401\n{curl}\n");
    println!("# 401\n{curl} --cert mallory.pem --key mallory.key");
    listen(listener, acceptor(certificate)?, app(&api)).await?;
    Ok(())
}

#[tokio::main]
async fn main() -> ExitCode {
    let outcome = match std::env::args().nth(1).as_deref() {
        None => run().await,
        Some("serve") => serve().await.map(|()| 0),
        Some(other) => Err(format!("`{other}`: say `serve`, or nothing").into()),
    };
    match outcome {
        Ok(0) => ExitCode::SUCCESS,
        Ok(wrong) => {
            eprintln!("{wrong} request(s) came out otherwise than they should");
            ExitCode::FAILURE
        }
        Err(error) => {
            eprintln!("the example broke off: {error}");
            ExitCode::FAILURE
        }
    }
}
