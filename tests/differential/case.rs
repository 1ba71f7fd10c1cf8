//! One request in one world: what both say about it, and how it is kept.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use http::header::AUTHORIZATION;
use http::{HeaderValue, Request};
use portcullis::check::{all_scopes, allow_all};
use portcullis::jose::Algorithm;
use portcullis::testing::{ManualClock, challenges};
use portcullis::time::Timestamp;
use portcullis::{Binding, Guard, Issuer, Policy, RejectionKind, ResourceServer, TokenClass};
use serde_json::{Value, json};

use crate::naive::{self, NaiveIssuer, Verdict, World};

/// What the crate says, with the kind of a refusal.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    Pass { iss: String, sub: String },
    Refuse { status: u16, error: Option<String>, kind: RejectionKind },
    Panic,
}

impl Answer {
    pub(crate) fn agrees_with(&self, verdict: &Verdict) -> bool {
        match (self, verdict) {
            (Self::Pass { iss, sub }, Verdict::Pass { iss: naive_iss, sub: naive_sub }) => {
                iss == naive_iss && sub == naive_sub
            }
            (
                Self::Refuse { status, error, .. },
                Verdict::Refuse { status: naive_status, error: naive_error },
            ) => status == naive_status && error.as_deref() == *naive_error,
            _ => false,
        }
    }
}

/// The crate's server for a world. Its policy is the server's own and a guard's.
pub(crate) struct Server {
    api: ResourceServer,
    guard: Guard,
}

impl Server {
    pub(crate) fn new(world: &World) -> Self {
        let clock = ManualClock::new();
        clock.set(Timestamp::from_duration(Duration::new(
            u64::try_from(world.now_nanos / 1_000_000_000).unwrap(),
            u32::try_from(world.now_nanos % 1_000_000_000).unwrap(),
        )));
        let policy = || match world.needed_scopes.as_slice() {
            [] => Policy::from(allow_all()),
            scopes => Policy::from(all_scopes(scopes.iter().cloned())),
        };
        let mut builder = ResourceServer::builder(&world.resource)
            .binding(Binding::WhereBound)
            .class(TokenClass::default_at_most(Duration::from_secs(world.max_lifetime_secs)))
            .leeway(Duration::from_secs(world.leeway_secs))
            .policy(policy())
            .clock(clock);
        for issuer in &world.issuers {
            let algorithms = issuer.algorithms.iter().map(|name| Algorithm::parse(name).unwrap());
            let issuer =
                Issuer::fixed_keys(&issuer.id, issuer.jwks.as_str()).algorithms(algorithms);
            builder = builder.issuer(issuer);
        }
        let api = builder.build().unwrap_or_else(|fault| panic!("{fault}\n{world:#?}"));
        let guard = api.guard(policy()).unwrap();
        Self { api, guard }
    }

    /// Decides by the server or by the guard, which is the same.
    pub(crate) fn decide(&self, authorization: &[Vec<u8>], by_guard: bool) -> Answer {
        let mut request = Request::new(());
        for line in authorization {
            let line = HeaderValue::from_bytes(line).expect("octets that a field may have");
            request.headers_mut().append(AUTHORIZATION, line);
        }
        let (parts, ()) = request.into_parts();
        let decide = || match by_guard {
            true => ready(self.guard.verify(&parts)),
            false => ready(self.api.verify(&parts)),
        };
        match catch_unwind(AssertUnwindSafe(decide)) {
            Err(_) => Answer::Panic,
            Ok(Ok(access)) => Answer::Pass {
                iss: access.issuer().as_str().to_owned(),
                sub: access.subject().as_str().to_owned(),
            },
            Ok(Err(rejection)) => {
                let response = rejection.to_response::<()>();
                assert_eq!(response.status(), rejection.status());
                let challenges = challenges(response.headers());
                assert_eq!(challenges.len(), 1, "{challenges:?}");
                Answer::Refuse {
                    status: rejection.status().as_u16(),
                    error: challenges[0].param("error").map(str::to_owned),
                    kind: rejection.kind(),
                }
            }
        }
    }
}

/// With fixed keys there is nothing to wait for.
fn ready<T>(future: impl Future<Output = T>) -> T {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(output) => output,
        Poll::Pending => panic!("a decision with fixed keys waits"),
    }
}

/// A request in a world, as it is kept in a file.
#[derive(Debug)]
pub(crate) struct Case {
    pub(crate) world: World,
    pub(crate) authorization: Vec<Vec<u8>>,
}

impl Case {
    pub(crate) fn verdicts(&self) -> (Answer, Answer, Verdict) {
        let server = Server::new(&self.world);
        let by_server = server.decide(&self.authorization, false);
        let by_guard = server.decide(&self.authorization, true);
        (by_server, by_guard, naive::decide(&self.world, &self.authorization))
    }

    pub(crate) fn to_json(&self, name: &str) -> String {
        let (by_server, by_guard, naive) = self.verdicts();
        let issuers: Vec<Value> = self
            .world
            .issuers
            .iter()
            .map(|issuer| {
                json!({ "id": issuer.id, "algorithms": issuer.algorithms, "jwks": issuer.jwks })
            })
            .collect();
        let lines: Vec<String> = self
            .authorization
            .iter()
            .map(|line| line.iter().map(|octet| format!("{octet:02x}")).collect())
            .collect();
        let case = json!({
            "name": name,
            "crate": { "server": format!("{by_server:?}"), "guard": format!("{by_guard:?}") },
            "reference": format!("{naive:?}"),
            "authorization_hex": lines,
            "world": {
                "resource": self.world.resource,
                "issuers": issuers,
                "leeway_secs": self.world.leeway_secs,
                "max_lifetime_secs": self.world.max_lifetime_secs,
                "needed_scopes": self.world.needed_scopes,
                "now_nanos": self.world.now_nanos.to_string(),
            },
        });
        serde_json::to_string_pretty(&case).unwrap() + "\n"
    }

    pub(crate) fn from_json(text: &str) -> Self {
        let case: Value = serde_json::from_str(text).unwrap();
        let world = &case["world"];
        let issuers = world["issuers"].as_array().unwrap().iter().map(|issuer| NaiveIssuer {
            id: string(&issuer["id"]),
            algorithms: strings(&issuer["algorithms"]),
            jwks: string(&issuer["jwks"]),
        });
        Self {
            world: World {
                resource: string(&world["resource"]),
                issuers: issuers.collect(),
                leeway_secs: world["leeway_secs"].as_u64().unwrap(),
                max_lifetime_secs: world["max_lifetime_secs"].as_u64().unwrap(),
                needed_scopes: strings(&world["needed_scopes"]),
                now_nanos: string(&world["now_nanos"]).parse().unwrap(),
            },
            authorization: strings(&case["authorization_hex"])
                .iter()
                .map(|hex| {
                    let octet = |at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap();
                    (0..hex.len()).step_by(2).map(octet).collect()
                })
                .collect(),
        }
    }

    /// Prints the case and keeps it beside the others.
    pub(crate) fn keep(&self, seed: u64, number: usize, name: &str) {
        let json = self.to_json(name);
        let path = directory().join(format!("seed-{seed}-case-{number}.json"));
        eprintln!("{json}");
        match std::fs::write(&path, json) {
            Ok(()) => eprintln!("kept as {}", path.display()),
            Err(error) => eprintln!("not kept as {}: {error}", path.display()),
        }
    }
}

pub(crate) fn directory() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/differential-regressions")
}

fn string(value: &Value) -> String {
    value.as_str().unwrap().to_owned()
}

fn strings(value: &Value) -> Vec<String> {
    value.as_array().unwrap().iter().map(string).collect()
}
