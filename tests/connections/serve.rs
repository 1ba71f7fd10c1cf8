//! A service with the layer on connections, and what it is made of.

use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::Router;
use axum::routing::get;
use http::Request;
use http::header::HeaderValue;
use hyper::server::conn::http1;
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use portcullis::introspection::{ClientAuth, Introspection};
use portcullis::jose::Algorithm;
use portcullis::testing::{
    ClientKey, HeldVerifications, ManualClock, TestIntrospection, TestIssuer, TestNetwork,
};
use portcullis::{Access, Dpop, FirstVerifications, Issuer, ResourceServer};
use tokio::io::duplex;
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::{Builder, Handle};
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::client::{Client, Io};
use crate::support::{ISSUER, RESOURCE, bearer, builder, until, with_field};

/// What the two routes answer with, in octets.
pub(crate) const NOTES: usize = 5;
pub(crate) const LARGE: usize = 256 * 1024;

/// Whatever takes longer hangs.
const A_MINUTE: Duration = Duration::from_mins(1);

/// Two threads; and no task is left at the end of what is done on them.
pub(crate) fn on_two_threads(test: impl AsyncFnOnce()) {
    let runtime = Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let bounded = tokio::time::timeout(A_MINUTE, test());
        assert!(bounded.await.is_ok(), "it hangs");
        until("no task is left", || Handle::current().metrics().num_alive_tasks() == 0).await;
    });
}

/// Issuers and a server that knows them: one whose keys are fetched, one that is asked about its tokens.
pub(crate) struct World {
    pub(crate) clock: ManualClock,
    pub(crate) issuer: TestIssuer,
    pub(crate) opaque: TestIntrospection,
    pub(crate) asked: TestIssuer,
    pub(crate) owner: ClientKey,
    pub(crate) api: ResourceServer,
}

impl World {
    /// Its keys were not fetched yet. Two signatures are verified at once.
    pub(crate) fn cold() -> Self {
        let clock = ManualClock::new();
        let issuer = TestIssuer::new(ISSUER, &clock);
        let asked = TestIssuer::new("https://asked.example", &clock);
        let opaque = TestIntrospection::of(&asked, &clock);
        let owner = ClientKey::generate(Algorithm::Es256, &clock);
        let introspection = Introspection::at(asked.id(), opaque.url())
            .client(ClientAuth::insecure_unauthenticated())
            .max_at_once(1_024);
        let api = builder(&clock)
            .issuer(issuer.jwks())
            .issuer(Issuer::opaque(asked.id()))
            .introspection(introspection)
            .dpop(Dpop::new())
            .first_verifications(FirstVerifications::new().max_at_once(2))
            .transport(TestNetwork::of(&[&issuer]).with_introspection(&opaque))
            .build()
            .unwrap();
        Self { clock, issuer, opaque, asked, owner, api }
    }

    pub(crate) async fn warm() -> Self {
        let world = Self::cold();
        world.api.warm_up().await.unwrap();
        world
    }

    /// A request with a good token that nobody sent yet.
    pub(crate) fn unknown(&self) -> Request<String> {
        bearer(&self.issuer.token(RESOURCE).sign())
    }

    pub(crate) fn forged(&self) -> Request<String> {
        bearer(&self.issuer.token(RESOURCE).tampered())
    }

    /// A request with an opaque token that is active.
    pub(crate) fn active(&self) -> Request<String> {
        bearer(&self.opaque.active(self.asked.token(RESOURCE)))
    }

    /// A request with a bound token that nobody sent yet, and a proof.
    pub(crate) fn proven(&self) -> Request<String> {
        let token = self.issuer.token(RESOURCE).claim("cnf", self.owner.confirmation()).sign();
        let proof = self.owner.proof("GET", &format!("{RESOURCE}/notes")).token(&token).sign();
        let mut request = with_field("authorization", format!("DPoP {token}"));
        request.headers_mut().insert("dpop", HeaderValue::try_from(proof).unwrap());
        request
    }

    /// Nobody waits, nobody asks, every place is free, and so many proofs were used.
    #[track_caller]
    pub(crate) fn assert_at_rest(&self, proofs: usize) {
        let health = self.api.first_verification_health().unwrap();
        assert_eq!((health.under_way, health.waiting), (0, 0));
        assert_eq!(HeldVerifications::of(&self.api).held(), health.max_at_once);
        assert_eq!(self.api.introspection_health()[0].under_way, 0);
        assert_eq!(self.api.replay_health().unwrap().entries, proofs);
    }

    /// How many requests wait for their turn.
    pub(crate) fn waiting(&self) -> usize {
        self.api.first_verification_health().unwrap().waiting
    }
}

/// A service on connections, until it is told to close.
pub(crate) struct Service {
    app: Router,
    listener: Arc<TcpListener>,
    address: SocketAddr,
    closing: watch::Sender<bool>,
    open: Arc<AtomicUsize>,
    connections: JoinSet<()>,
}

impl Service {
    pub(crate) async fn of(api: &ResourceServer) -> Self {
        let app = Router::new()
            .route("/notes", get(async |_: Access| "notes"))
            .route("/large", get(async |_: Access| vec![0; LARGE]))
            .layer(api.layer());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (closing, open) = (watch::Sender::new(false), Arc::default());
        let listener = Arc::new(listener);
        Self { app, listener, address, closing, open, connections: JoinSet::new() }
    }

    /// A new connection: a socket.
    pub(crate) async fn connect(&mut self) -> Client {
        let listener = Arc::clone(&self.listener);
        let (ours, theirs) = tokio::join!(listener.accept(), TcpStream::connect(self.address));
        let (ours, theirs) = (ours.unwrap().0, theirs.unwrap());
        ours.set_nodelay(true).unwrap();
        theirs.set_nodelay(true).unwrap();
        self.serve(ours);
        Client::new(Box::new(theirs))
    }

    /// A new connection: a pipe, which takes no file.
    pub(crate) fn connect_by_pipe(&mut self) -> Client {
        let (ours, theirs) = duplex(16 * 1024);
        self.serve(ours);
        Client::new(Box::new(theirs))
    }

    fn serve(&mut self, io: impl Io + 'static) {
        let service = TowerToHyperService::new(self.app.clone());
        let mut closing = self.closing.subscribe();
        let open = Counted::new(&self.open);
        self.connections.spawn(async move {
            let _open = open;
            let mut connection =
                pin!(http1::Builder::new().serve_connection(TokioIo::new(io), service));
            let closing = async { closing.wait_for(|closing| *closing).await.is_ok() };
            tokio::select! {
                // How it ends is the client's to see.
                _ = connection.as_mut() => return,
                _ = closing => connection.as_mut().graceful_shutdown(),
            }
            let _ = connection.await;
        });
    }

    /// How many connections are open.
    pub(crate) fn open(&self) -> usize {
        self.open.load(Ordering::SeqCst)
    }

    /// Takes no more requests, and waits until those that it has are answered.
    pub(crate) async fn close(self) {
        self.begin_to_close();
        self.finish().await;
    }

    pub(crate) fn begin_to_close(&self) {
        self.closing.send_replace(true);
    }

    /// Waits until every connection has ended. A task that panicked fails the test.
    pub(crate) async fn finish(mut self) {
        while let Some(ended) = self.connections.join_next().await {
            ended.unwrap();
        }
        assert_eq!(self.open(), 0);
    }

    /// Ends every connection, whatever it is doing.
    pub(crate) async fn abort(mut self) {
        self.connections.shutdown().await;
        assert_eq!(self.open(), 0);
    }
}

/// One more, as long as it is there.
struct Counted(Arc<AtomicUsize>);

impl Counted {
    fn new(count: &Arc<AtomicUsize>) -> Self {
        count.fetch_add(1, Ordering::SeqCst);
        Self(Arc::clone(count))
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}
