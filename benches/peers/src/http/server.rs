//! The server of one run, in a process of its own: two worker threads, one route, one peer in front of it.
//!
//! It is told of the keys on its standard input, says on which port of loopback it listens, and ends by itself.

use std::io::{Write as _, stdin, stdout};
use std::net::Ipv4Addr;
use std::time::Duration;

use portcullis::jose::Algorithm;
use tokio::net::TcpListener;
use tokio::runtime::Builder;
use tokio::time::timeout;

use crate::floor::HandOn;
use crate::peers::{self, portcullis::Tokens};
use crate::tokens::Keys;

/// Longer than any run: whoever started it is gone then.
const LIFE: Duration = Duration::from_secs(90);
const WORKERS: usize = 2;

/// What is served.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Served {
    Bare,
    /// With a layer that does nothing: what axum takes for a layer.
    HandOn,
    Known,
    Unknown,
    /// No bound on how many signatures are verified at once.
    Unbounded,
    TowerOauth2,
    AxumJwtAuth,
    OauthResourceServer,
    Huskarl,
    /// On axum 0.7.
    Bare07,
    /// On axum 0.7.
    JwtAuthorizer,
}

impl Served {
    pub const ALL: [Self; 11] = [
        Self::Bare,
        Self::Known,
        Self::HandOn,
        Self::Unknown,
        Self::Unbounded,
        Self::TowerOauth2,
        Self::AxumJwtAuth,
        Self::OauthResourceServer,
        Self::Huskarl,
        Self::Bare07,
        Self::JwtAuthorizer,
    ];

    /// Whether a request without a token passes.
    pub fn is_open(self) -> bool {
        matches!(self, Self::Bare | Self::HandOn | Self::Bare07)
    }

    /// As this program is told by the process that starts it.
    pub fn argument(self) -> String {
        format!("{self:?}")
    }

    pub fn from_argument(argument: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|served| served.argument() == argument)
    }
}

pub fn serve(served: Served) {
    let mut line = String::new();
    stdin().read_line(&mut line).expect("the keys");
    let keys: Keys = serde_json::from_str(&line).expect("the keys as JSON");
    let runtime = Builder::new_multi_thread().worker_threads(WORKERS).enable_all().build();
    runtime.expect("a runtime").block_on(async {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let server = tokio::spawn(async move {
            match served {
                Served::Bare07 | Served::JwtAuthorizer => seven(served, &keys, listener).await,
                _ => eight(served, &keys, listener).await,
            }
        });
        println!("{port}");
        stdout().flush().expect("standard output");
        // That it ends is no error.
        let _ = timeout(LIFE, server).await;
    });
}

async fn eight(served: Served, keys: &Keys, listener: TcpListener) {
    use axum::{Router, routing::get};
    let app = Router::new().route("/orders", get(|| async {}));
    let app = match served {
        Served::HandOn => app.layer(HandOn),
        Served::Known => app.layer(peers::portcullis::layer(keys, Tokens::Remembered)),
        Served::Unknown => app.layer(peers::portcullis::layer(keys, Tokens::Forgotten)),
        Served::Unbounded => app.layer(peers::portcullis::layer(keys, Tokens::Unbounded)),
        Served::TowerOauth2 => app.layer(peers::tower_oauth2_resource_server::layer(keys).await),
        Served::AxumJwtAuth => app.layer(peers::axum_jwt_auth::layer(keys, Algorithm::Rs256).await),
        Served::OauthResourceServer => app.layer(peers::oauth_resource_server::layer(keys).await),
        Served::Huskarl => {
            app.layer(peers::huskarl::layer(peers::huskarl::Memory::new(keys)).await)
        }
        Served::Bare | Served::Bare07 | Served::JwtAuthorizer => app,
    };
    axum::serve(listener, app).await.expect("a server");
}

async fn seven(served: Served, keys: &Keys, listener: TcpListener) {
    use axum_07::{Router, routing::get};
    let app = Router::new().route("/orders", get(|| async {}));
    let app = match served {
        Served::JwtAuthorizer => app.layer(peers::jwt_authorizer::layer(keys).await),
        _ => app,
    };
    axum_07::serve(listener, app).await.expect("a server");
}
