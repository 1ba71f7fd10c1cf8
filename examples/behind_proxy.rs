//! An API behind a proxy that ends TLS and cuts a prefix off: tokens that are bound to a certificate
//! (RFC 8705), which the proxy forwards (RFC 9440), or to a key (RFC 9449), whose proofs name the public URI.
//!
//! `cargo run --example behind_proxy` plays clients, proxy and API over loopback, prints what was sent and
//! what came of it, and exits with 0 only if every request came out as it should.
//!
//! ```text
//! client -- TLS, https://localhost:port/v1/notes --> proxy -- from 127.0.0.2, /notes --> API
//! ```
//!
//! The proxy has a loopback address of its own, so that its address is a reason to trust it. (Where a
//! system has 127.0.0.1 alone, give it the other one first: on macOS `ifconfig lo0 alias 127.0.0.2`.)
//!
//! The issuer, the certificates and the keys are the test kit's. A real service has
//! `Issuer::discover("https://login.example.com")`, no `.transport(...)`, its public name as origin, the
//! addresses of its proxies alone, and instead of [`proxy`] one of these. The chapter `behind_a_proxy` of
//! the guide says more about each.
//!
//! nginx has no variable in the form of RFC 9440. It writes percent-encoded PEM, which is read with
//! `ForwardedCertificate::escaped_pem("ssl-client-cert", proxies)`:
//!
//! ```text
//! ssl_verify_client optional_no_ca;    # ask for a certificate; the token names it, so no chain matters
//! location /v1/ {
//!     proxy_pass http://10.0.0.2:3000/;                             # cuts /v1 off
//!     proxy_set_header Ssl-Client-Cert $ssl_client_escaped_cert;    # over what a client wrote
//!     proxy_set_header Client-Cert "";
//!     proxy_next_upstream off;                                      # a proof that is sent twice is a replay
//! }
//! location = /.well-known/oauth-protected-resource { proxy_pass http://10.0.0.2:3000; }
//! ```
//!
//! Envoy writes a field of its own, which is read with `ForwardedCertificate::envoy(proxies)`. As
//! many elements as trusted hops are wanted, so the outermost Envoy has to replace the field:
//!
//! ```text
//! forward_client_cert_details: SANITIZE_SET          # the HTTP connection manager: over what a client wrote
//! set_current_client_cert_details: { cert: true }    # and neither `uri` nor `dns`
//! routes: [{ match: { prefix: "/v1/" }, route: { cluster: notes, prefix_rewrite: "/" } }]
//! validation_context: { trust_chain_verification: ACCEPT_UNTRUSTED }    # the TLS context: ask for one
//! ```
//!
//! HAProxy can write RFC 9440: `http-request set-header Client-Cert :%[ssl_c_der,base64]: if { ssl_c_used }`,
//! after `http-request del-header Client-Cert`.

use std::convert::Infallible;
use std::error::Error;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::routing::get;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderValue, Request, Response, StatusCode, Uri, header};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper::service::service_fn;
use hyper_util::client::legacy::{Client, connect::HttpConnector};
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use portcullis::axum::PeerLayer;
use portcullis::check::scope;
use portcullis::jose::Algorithm;
use portcullis::rustls::{ClientCertificates, ServerCertificate, TlsAcceptor, TlsListener};
use portcullis::sender::{ForwardedCertificate, PublicOrigin, TrustedPeers};
use portcullis::testing::{ClientKey, TestCertificate, TestIssuer, TestNetwork, challenges};
use portcullis::time::SystemClock;
use portcullis::transport::Transport;
use portcullis::{Access, Binding, Dpop, Issuer, Mtls, ResourceServer, TokenClass};
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio_rustls::TlsConnector;

/// What tokens name in `aud`.
pub const RESOURCE: &str = "https://notes.example";

/// What clients write before every path, and the proxy takes away.
pub const PREFIX: &str = "/v1";

/// Where requests of the proxy come from.
pub const PROXY: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);
/// Where those of everybody else come from.
const ANYWHERE: Ipv4Addr = Ipv4Addr::LOCALHOST;

/// The configuration: every token is bound, to a certificate or to a key. `origin` is how clients call the
/// proxy; the certificates that `proxy` says they have are believed, and nobody else's word is.
pub fn api(
    issuer: Issuer,
    origin: &str,
    proxy: IpAddr,
    transport: impl Transport,
) -> Result<ResourceServer, Box<dyn Error>> {
    let proxies = TrustedPeers::networks([proxy.to_string()]);
    let origin = PublicOrigin::new(origin).proxy_removes(PREFIX);
    Ok(ResourceServer::builder(RESOURCE)
        .issuer(issuer)
        .class(TokenClass::default_at_most(Duration::from_mins(15)))
        .binding(Binding::Either)
        .mtls(Mtls::forwarded(ForwardedCertificate::client_cert(proxies)))
        .dpop(Dpop::new().public_origin(origin))
        .transport(transport)
        .build()?)
}

/// `PeerLayer` says who is at the other end of a connection. Serve it with
/// `into_make_service_with_connect_info::<SocketAddr>()`.
pub fn app(api: &ResourceServer) -> Router {
    Router::new()
        .route("/notes", get(list).layer(api.protect(scope("notes:read"))))
        .route_service(&api.metadata_path(), api.metadata_service())
        .layer(PeerLayer)
}

async fn list(access: Access) -> String {
    format!("the notes of {}", access.subject())
}

/// Everything between TLS and the API: as little of a proxy as shows what one has to do here.
pub async fn proxy(mut listener: TlsListener, upstream: SocketAddr) {
    let mut connector = HttpConnector::new();
    connector.set_local_address(Some(PROXY.into()));
    let client = Client::builder(TokioExecutor::new()).build(connector);
    loop {
        let connection = listener.accept().await;
        let peer = connection.peer().certificate();
        let der = peer.and_then(|peer| peer.certificate().der());
        let field = der.map(|der| format!(":{}:", STANDARD.encode(der)));
        let field = field.and_then(|field| HeaderValue::try_from(field).ok());
        let client = client.clone();
        let service = service_fn(move |request: Request<Incoming>| {
            let (client, field) = (client.clone(), field.clone());
            async move { Ok::<_, Infallible>(forward(request, field, upstream, &client).await) }
        });
        tokio::spawn(async move {
            let server = auto::Builder::new(TokioExecutor::new());
            if let Err(error) = server.serve_connection(TokioIo::new(connection), service).await {
                eprintln!("a connection broke: {error}");
            }
        });
    }
}

async fn forward(
    mut request: Request<Incoming>,
    certificate: Option<HeaderValue>,
    upstream: SocketAddr,
    client: &Client<HttpConnector, Incoming>,
) -> Response<Body> {
    let answer = |status: StatusCode| {
        let mut response = Response::new(Body::empty());
        *response.status_mut() = status;
        response
    };
    // Whatever a client wrote there, in any spelling, is not forwarded (RFC 9440 §4).
    for name in ["client-cert", "client-cert-chain", "client_cert", "client_cert_chain"] {
        request.headers_mut().remove(name);
    }
    if let Some(certificate) = certificate {
        request.headers_mut().insert("client-cert", certificate);
    }
    request.headers_mut().remove(header::HOST);
    request.headers_mut().remove(header::CONNECTION);

    let target = request.uri().path_and_query().map_or("/", |target| target.as_str());
    let rest = target.strip_prefix(PREFIX).filter(|rest| rest.starts_with('/'));
    let Some(rest) = rest.or(target.starts_with("/.well-known/").then_some(target)) else {
        return answer(StatusCode::NOT_FOUND);
    };
    let Ok(uri) = Uri::try_from(format!("http://{upstream}{rest}")) else {
        return answer(StatusCode::BAD_REQUEST);
    };
    *request.uri_mut() = uri;
    *request.version_mut() = http::Version::HTTP_11;
    match client.request(request).await {
        Ok(response) => response.map(Body::new),
        Err(_) => answer(StatusCode::BAD_GATEWAY),
    }
}

/// How a request is sent.
enum Way<'a> {
    /// To the proxy, over TLS, with this certificate.
    Proxy(Option<&'a TestCertificate>),
    /// To the API itself, from this address.
    Direct(Ipv4Addr),
}

/// The proxy, whose certificate is of this authority, and the API.
struct Addresses {
    proxy: SocketAddr,
    authority: TestCertificate,
    api: SocketAddr,
}

impl Addresses {
    /// Status, error code, and what else was said.
    async fn ask(
        &self,
        way: &Way<'_>,
        fields: &[(&str, String)],
    ) -> Result<(u16, String, String), Box<dyn Error>> {
        let (path, port) = match way {
            Way::Proxy(_) => (format!("{PREFIX}/notes"), self.proxy.port()),
            Way::Direct(_) => ("/notes".to_owned(), self.api.port()),
        };
        let mut request = Request::get(path).header("host", format!("localhost:{port}"));
        for (name, value) in fields {
            request = request.header(*name, value);
        }
        let request = request.body(Body::empty())?;
        let response = match way {
            Way::Proxy(certificate) => {
                let stream = TcpStream::connect(self.proxy).await?;
                let name = ServerName::try_from("localhost")?;
                let stream = connector(&self.authority, *certificate)?.connect(name, stream);
                exchange(stream.await?, request).await?
            }
            Way::Direct(from) => {
                let socket = TcpSocket::new_v4()?;
                socket.bind(SocketAddr::from((*from, 0)))?;
                exchange(socket.connect(self.api).await?, request).await?
            }
        };
        let (head, body) = response.into_parts();
        let body = String::from_utf8(body.collect().await?.to_bytes().into())?;
        let challenges = challenges(&head.headers);
        let param = |name| challenges.iter().find_map(|challenge| challenge.param(name));
        let text = param("error_description").map_or(body, str::to_owned);
        Ok((head.status.as_u16(), param("error").unwrap_or_default().to_owned(), text))
    }
}

async fn exchange(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    request: Request<Body>,
) -> Result<Response<Incoming>, hyper::Error> {
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    tokio::spawn(connection);
    sender.send_request(request).await
}

fn connector(
    authority: &TestCertificate,
    certificate: Option<&TestCertificate>,
) -> Result<TlsConnector, Box<dyn Error>> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from(authority.der().to_vec()))?;
    let config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots);
    let config = match certificate {
        None => config.with_no_client_auth(),
        Some(certificate) => {
            let chain = vec![CertificateDer::from(certificate.der().to_vec())];
            let key = PrivateKeyDer::from_pem_slice(certificate.key_pem().as_bytes())?;
            config.with_client_auth_cert(chain, key)?
        }
    };
    Ok(Arc::new(config).into())
}

/// Plays every client and prints what came of it; returns how many requests came out otherwise than they
/// should.
pub async fn run() -> Result<usize, Box<dyn Error>> {
    const GOOD: (u16, &str) = (200, "");
    const REFUSED: (u16, &str) = (401, "invalid_token");
    const INVALID_PROOF: (u16, &str) = (401, "invalid_dpop_proof");

    let clock = SystemClock::new();
    let issuer = TestIssuer::new("https://login.example", &clock);
    let front = TcpListener::bind((ANYWHERE, 0)).await?;
    let back = TcpListener::bind((ANYWHERE, 0)).await?;
    let authority = TestCertificate::named("authority").authority().self_signed();
    let at = Addresses { proxy: front.local_addr()?, authority, api: back.local_addr()? };
    let public = format!("https://localhost:{}", at.proxy.port());
    let internal = format!("http://{}", at.api);

    let api = api(issuer.discover(), &public, PROXY.into(), TestNetwork::of(&[&issuer]))?;
    api.warm_up().await?;
    let app = app(&api).into_make_service_with_connect_info::<SocketAddr>();
    let server = tokio::spawn(async move { axum::serve(back, app).await });
    let certificate = TestCertificate::named("proxy").dns("localhost").issued_by(&at.authority);
    let certificate = ServerCertificate::from_pem(certificate.pem(), certificate.key_pem())?;
    let acceptor = TlsAcceptor::new(certificate, ClientCertificates::requested())?;
    let proxy = tokio::spawn(proxy(TlsListener::new(front, acceptor), at.api));
    println!("{RESOURCE}: clients call {public}{PREFIX}, the proxy asks {internal} from {PROXY}\n");

    let alice = TestCertificate::named("alice").self_signed();
    let mallory = TestCertificate::named("mallory").self_signed();
    let key = ClientKey::generate(Algorithm::Es256, &clock);
    let token = |cnf| issuer.token(RESOURCE).scope("notes:read").claim("cnf", cnf).sign();
    let bound = token(alice.confirmation());
    let bearer = ("authorization", format!("Bearer {bound}"));
    let forged = ("client-cert", alice.client_cert_field());
    let of_alice = || vec![bearer.clone()];
    let and_forged = || vec![bearer.clone(), forged.clone()];
    let keyed = token(key.confirmation());
    let with_proof_for = |uri: String| {
        let proof = key.proof("GET", &uri).token(&keyed).sign();
        vec![("authorization", format!("DPoP {keyed}")), ("dpop", proof)]
    };
    #[rustfmt::skip]
    let rows = [
        ("A token that is bound to Alice's certificate, by the proxy:", vec![
            ("with her certificate", Way::Proxy(Some(&alice)), of_alice(), GOOD),
            ("without a certificate", Way::Proxy(None), of_alice(), REFUSED),
            ("without, and `Client-Cert` with hers", Way::Proxy(None), and_forged(), REFUSED),
            ("with Mallory's, and `Client-Cert` with hers", Way::Proxy(Some(&mallory)), and_forged(), REFUSED),
        ]),
        ("The same token, straight to the API:", vec![
            ("`Client-Cert` with hers, from 127.0.0.1", Way::Direct(ANYWHERE), and_forged(), REFUSED),
            ("the same from 127.0.0.2: nobody else may be there", Way::Direct(PROXY), and_forged(), GOOD),
        ]),
        ("A token that is bound to a key, by the proxy:", vec![
            ("a proof for the public URI", Way::Proxy(None), with_proof_for(format!("{public}{PREFIX}/notes")), GOOD),
            ("a proof for the public origin without the prefix", Way::Proxy(None), with_proof_for(format!("{public}/notes")), INVALID_PROOF),
            ("a proof for the internal URI", Way::Proxy(None), with_proof_for(format!("{internal}/notes")), INVALID_PROOF),
        ]),
    ];
    let mut wrong = 0;
    for (title, rows) in rows {
        println!("{title}");
        for (sent, way, fields, expected) in rows {
            let (status, told, text) = at.ask(&way, &fields).await?;
            let colon = if told.is_empty() { "" } else { ": " };
            println!("  {sent:<50} {status} {told}{colon}{text}");
            if (status, told.as_str()) != expected {
                println!("    WRONG: {expected:?} was expected");
                wrong += 1;
            }
        }
    }
    server.abort();
    proxy.abort();
    if wrong == 0 {
        println!("\nevery request came out as it should");
    }
    Ok(wrong)
}

#[tokio::main]
async fn main() -> ExitCode {
    match run().await {
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
