//! A token that is used far too much is revoked here, before its issuer knows of it.
//!
//! A stolen token is used more often than its owner ever did, and often by several at once. An
//! observer counts the uses of each token by its keyed hash; what a minute's allowance does not
//! cover it names as a record of revocation, and a task revokes it: on every route, and with a journal
//! or a shared source on every server.
//!
//! `cargo run --example volume`: no network; it decides some requests, prints what came of them, and
//! ends.

use std::collections::HashMap;
use std::error::Error;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use portcullis::check::scope;
use portcullis::observe::{Decision, DecisionOutcome, Observer, TokenHash};
use portcullis::revocation::{Record, Revocation};
use portcullis::testing::{ManualClock, TestIssuer};
use portcullis::time::Timestamp;
use portcullis::{Binding, ResourceServer, TokenClass};
use tokio::sync::mpsc;

/// How often a token may be used in a minute.
const ALLOWANCE: u32 = 20;
/// How many tokens are watched at once: a bound on memory, and on what a flood can make of it.
const WATCHED: usize = 100_000;

/// Counts the uses of tokens, and names those that were used too much.
struct Watch {
    tokens: Mutex<HashMap<TokenHash, Uses>>,
    odd: mpsc::Sender<Record>,
}

#[derive(Clone, Copy)]
struct Uses {
    since: Timestamp,
    count: u32,
}

impl Observer for Watch {
    fn observe(&self, decision: &Decision<'_>) {
        let Some(token) = decision.token_hash() else { return };
        if decision.outcome != DecisionOutcome::Accepted {
            return;
        }
        let mut tokens = self.tokens.lock().unwrap_or_else(PoisonError::into_inner);
        let minute = Duration::from_mins(1);
        let over =
            |uses: &Uses| decision.at.since(uses.since).is_none_or(|passed| passed >= minute);
        if tokens.len() >= WATCHED && !tokens.contains_key(&token) {
            tokens.retain(|_, uses| !over(uses));
            if tokens.len() >= WATCHED {
                return;
            }
        }
        let fresh = Uses { since: decision.at, count: 0 };
        let uses = tokens.entry(token).or_insert(fresh);
        if over(uses) {
            *uses = fresh;
        }
        uses.count = uses.count.saturating_add(1);
        if uses.count == ALLOWANCE + 1 {
            println!("  token {token} of {:?} is used too much", decision.client_id);
            // An observer does not wait: should there be no room, its next use is as odd as this one.
            if let Some(record) = Record::of_decision(decision)
                && self.odd.try_send(record).is_err()
            {
                uses.count = ALLOWANCE;
            }
        }
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    run().await
}

/// The whole example, asserting what it prints.
pub async fn run() -> Result<(), Box<dyn Error>> {
    let clock = ManualClock::new();
    let issuer = TestIssuer::new("https://login.example.com", &clock);
    let (odd, mut records) = mpsc::channel(1_000);
    let api = ResourceServer::builder("https://api.example.com")
        .issuer(issuer.fixed_keys())
        .binding(Binding::WhereBound)
        .class(TokenClass::default_at_most(Duration::from_mins(15)))
        .observer(Arc::new(Watch { tokens: Mutex::default(), odd }))
        .revocation(Revocation::new())
        .clock(clock.clone())
        .build()?;
    let revocations = api.revocations();
    tokio::spawn(async move {
        while let Some(record) = records.recv().await {
            if let Err(error) = revocations.revoke(record).await {
                eprintln!("not revoked: {error}");
            }
        }
    });
    let guard = api.guard(scope("notes:read"))?;

    let token = |client: &str| {
        issuer.token("https://api.example.com").client_id(client).scope("notes:read").sign()
    };
    let (calm, stolen) = (token("calm-app"), token("stolen-app"));
    let uses = async |token: &str, times: u32, pause: Duration| {
        let mut passed = 0;
        for _ in 0..times {
            clock.advance(pause);
            let request = http::Request::get("/notes")
                .header("authorization", format!("Bearer {token}"))
                .body(())?;
            passed += u32::from(guard.verify(&request).await.is_ok());
            // A service does something else between two requests.
            tokio::task::yield_now().await;
        }
        Ok::<u32, Box<dyn Error>>(passed)
    };

    println!("an app that asks every five seconds:");
    let passed = uses(&calm, 40, Duration::from_secs(5)).await?;
    println!("  {passed} of 40 requests passed");
    assert_eq!(passed, 40);

    println!("a token that many use at once:");
    let passed = uses(&stolen, 40, Duration::from_millis(50)).await?;
    println!("  {passed} of 40 requests passed; the rest is 401, \"revoked\"");
    assert_eq!(passed, ALLOWANCE + 1);

    let passed = uses(&calm, 1, Duration::from_secs(5)).await?;
    println!("the first app goes on: {passed} of 1 request passed");
    assert_eq!(passed, 1);
    Ok(())
}
