//! Configuration from a file: every member does something, and every fault is told at once.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

#[path = "../support/mod.rs"]
mod support;

mod arbitrary;
mod decryption;
mod faults;
mod introspection;
mod members;
mod policies;
mod report;
mod revocation;
mod schema;
mod secrets;
mod senders;
mod sources;

use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};

use http::Request;
use portcullis::config::ServerConfig;
use portcullis::testing::{ManualClock, TestIssuer, TestNetwork, TokenBuilder};
use portcullis::{Access, BuildError, PeerAddr, Rejection, ResourceServer, ServerBuilder};
use serde_json::{Value, json};
use support::{ISSUER, RESOURCE};

const DIRECTORY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/config");

/// The least that builds.
fn least() -> Value {
    json!({
        "resource": RESOURCE,
        "binding": "where_bound",
        "issuers": [{ "id": ISSUER }],
        "default_class": { "at_most": "15m" },
    })
}

/// The least, and a policy `p` that asks this.
fn asking(policy: Value) -> Value {
    with(least(), "/policies", json!({ "p": policy }))
}

/// The same with this at this place; the table around it has to be there.
fn with(mut file: Value, place: &str, value: Value) -> Value {
    let (around, name) = place.rsplit_once('/').unwrap();
    let around = file.pointer_mut(around).unwrap_or_else(|| panic!("nothing around {place}"));
    match around {
        Value::Array(list) => list.push(value),
        around => around[name] = value,
    }
    file
}

fn config(file: &Value) -> Result<ServerConfig, BuildError> {
    ServerConfig::from_json(&file.to_string())
}

fn built(file: &Value) -> Result<ResourceServer, BuildError> {
    config(file)?.builder()?.clock(ManualClock::new()).build()
}

fn faults(file: &Value) -> Vec<(String, String)> {
    match built(file) {
        Ok(_) => Vec::new(),
        Err(error) => told(&error),
    }
}

fn told(error: &BuildError) -> Vec<(String, String)> {
    error.places().map(|(place, fault)| (place.to_owned(), fault.to_string())).collect()
}

/// A directory that goes with the test.
struct Directory(PathBuf);

impl Directory {
    fn new() -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("portcullis-config-{}-{number}", std::process::id());
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    /// A path in it.
    fn path(&self, name: &str) -> String {
        self.0.join(name).to_str().unwrap().to_owned()
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// A server from a file, an issuer with its keys, on a clock of its own.
struct Desk {
    api: ResourceServer,
    issuer: TestIssuer,
}

impl Desk {
    async fn new(file: &Value) -> Self {
        Self::with(file, |builder| builder).await
    }

    async fn with(file: &Value, more: impl FnOnce(ServerBuilder) -> ServerBuilder) -> Self {
        let clock = ManualClock::new();
        let issuer = TestIssuer::new(ISSUER, &clock);
        let builder = config(file).unwrap().builder().unwrap();
        let builder = builder.clock(clock.clone()).transport(TestNetwork::of(&[&issuer]));
        let api = more(builder).build().unwrap();
        Self { api, issuer }
    }

    fn token(&self) -> TokenBuilder {
        self.issuer.token(RESOURCE)
    }

    /// What the policy `p` says.
    async fn ask(&self, token: &TokenBuilder, peer: Option<&str>) -> Result<Access, Rejection> {
        let field = format!("Bearer {}", token.sign());
        let mut request = Request::get("/").header("authorization", field).body(()).unwrap();
        if let Some(peer) = peer {
            request.extensions_mut().insert(PeerAddr::new(peer.parse().unwrap()));
        }
        let guard = self.api.guard(self.api.policy("p")).unwrap();
        guard.verify(&request.into_parts().0).await
    }
}

fn tables_of(value: &Value, place: &str, tables: &mut Vec<String>) {
    match value {
        Value::Object(members) => {
            tables.push(place.to_owned());
            for (name, value) in members {
                tables_of(value, &format!("{place}/{name}"), tables);
            }
        }
        Value::Array(list) => {
            for (index, value) in list.iter().enumerate() {
                tables_of(value, &format!("{place}/{index}"), tables);
            }
        }
        _ => {}
    }
}
