//! A key set on loopback, by HTTP/1.1, for peers that fetch theirs. It counts how often it is fetched.

use std::net::{Ipv4Addr, TcpListener as StdListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use axum::Router;
use axum::routing::get;
use http::header::CONTENT_TYPE;
use tokio::net::TcpListener;
use tokio::runtime::Builder;

#[derive(Clone)]
pub struct KeySet {
    pub url: String,
    fetches: Arc<AtomicUsize>,
}

impl KeySet {
    /// Serves it until the program ends, by a thread of its own: whoever fetches may block his.
    pub fn serve(jwks: String) -> Self {
        let listener = StdListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port on loopback");
        listener.set_nonblocking(true).expect("a listener that does not block");
        let url = format!("http://{}/jwks.json", listener.local_addr().expect("an address"));
        let fetches = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&fetches);
        let answer = move || {
            count.fetch_add(1, Ordering::SeqCst);
            let jwks = jwks.clone();
            async move { ([(CONTENT_TYPE, "application/jwk-set+json")], jwks) }
        };
        thread::spawn(move || {
            let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
            runtime.block_on(async {
                let listener = TcpListener::from_std(listener).expect("a listener");
                let app = Router::new().route("/jwks.json", get(answer));
                axum::serve(listener, app).await.expect("a server");
            });
        });
        Self { url, fetches }
    }

    pub fn fetches(&self) -> usize {
        self.fetches.load(Ordering::SeqCst)
    }
}
