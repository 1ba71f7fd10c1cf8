//! The same over HTTP/1.1 on loopback: a bare server, and one with each peer in front of the same handler,
//! driven by `wrk`.
//!
//! 1. In a round each server is started, driven and ended, one after the other, in rotating order. Runs
//!    are short and many: what the machine does beside them changes from second to second.
//! 2. A ratio is the median over the rounds of a server's figure to the bare server's of the same round.
//! 3. The client has as many threads as the server, so that neither waits for the other, and shares the
//!    machine's cores with it: requests a second say what a request costs both of them.

mod client;
mod server;

use portcullis::jose::Algorithm;

pub use client::check;
pub use server::{Served, serve};

use crate::Backend;
use crate::measure::median;
use crate::peers::named;
use crate::tokens::{Keys, World};
use client::{Load, Run, run};

/// How long is measured.
#[derive(Clone, Copy)]
pub struct Effort {
    pub rounds: usize,
    load: Load,
}

impl Effort {
    pub const QUICK: Self =
        Self { rounds: 1, load: Load { threads: 2, connections: 64, seconds: 1 } };
    pub const WHOLE: Self =
        Self { rounds: 21, load: Load { threads: 2, connections: 64, seconds: 1 } };
}

/// The goals for a known token: at least this share of the bare server's requests a second,
pub const LEAST_RATE: f64 = 0.90;
/// and at most this multiple of its time for a request.
pub const MOST_CPU: f64 = 1.30;

pub struct Row {
    pub served: Served,
    pub name: String,
    pub requests_a_second: f64,
    pub microseconds: f64,
    /// To the bare server of the same axum.
    pub rate: f64,
    pub cpu: f64,
}

pub fn measure(
    world: &World,
    keys: &Keys,
    backend: Backend,
    effort: Effort,
) -> Result<Vec<Row>, String> {
    check()?;
    let token = &world.token(Algorithm::Rs256).text;
    let mut runs: Vec<Vec<Run>> = Served::ALL.iter().map(|_| Vec::new()).collect();
    for round in 0..effort.rounds {
        eprintln!("round {} of {}", round + 1, effort.rounds);
        for turn in 0..Served::ALL.len() {
            let at = (turn + round) % Served::ALL.len();
            runs[at].push(run(Served::ALL[at], keys, backend, token, effort.load)?);
        }
    }
    let of = |served| {
        let at = Served::ALL.iter().position(|other| *other == served);
        &runs[at.unwrap_or_default()]
    };
    Ok(Served::ALL
        .into_iter()
        .map(|served| {
            let bare = match served {
                Served::Bare07 | Served::JwtAuthorizer => of(Served::Bare07),
                _ => of(Served::Bare),
            };
            let over = |what: fn(&Run) -> f64| {
                let pairs = of(served).iter().zip(bare);
                median(pairs.map(|(one, other)| what(one) / what(other)).collect())
            };
            let middle = |what: fn(&Run) -> f64| median(of(served).iter().map(what).collect());
            Row {
                served,
                name: name(served),
                requests_a_second: middle(|run| run.requests_a_second),
                microseconds: middle(|run| run.microseconds),
                rate: over(|run| run.requests_a_second),
                cpu: over(|run| run.microseconds),
            }
        })
        .collect())
}

fn name(served: Served) -> String {
    match served {
        Served::Bare => "axum 0.8 alone".to_owned(),
        Served::HandOn => "axum 0.8, a layer that does nothing".to_owned(),
        Served::Known => "portcullis, known token".to_owned(),
        Served::Unknown => "portcullis, token never seen".to_owned(),
        Served::Unbounded => "portcullis, token never seen, any number at once".to_owned(),
        Served::TowerOauth2 => named("tower-oauth2-resource-server"),
        Served::AxumJwtAuth => named("axum-jwt-auth"),
        Served::OauthResourceServer => named("oauth-resource-server"),
        Served::Huskarl => named("huskarl-resource-server"),
        Served::Bare07 => "axum 0.7 alone".to_owned(),
        Served::JwtAuthorizer => format!("{}, in axum 0.7", named("jwt-authorizer")),
    }
}
