//! A token that is used too much is locked out here, before anybody revokes it.
//!
//! A stolen token is used more often than its owner ever did, and often by several at once. An
//! observer counts the uses of each token by its keyed hash; what a minute's allowance does not
//! cover is quarantined, and a check refuses it from then on.
//!
//! `cargo run --example volume`: no network; it decides some requests, prints what came of them, and
//! ends.

use std::collections::HashMap;
use std::error::Error;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use portcullis::check::{Check, CheckContext, CheckError, Denial, scope};
use portcullis::observe::{Decision, DecisionOutcome, Observer, TokenHash};
use portcullis::testing::{ManualClock, TestIssuer};
use portcullis::time::Timestamp;
use portcullis::{Binding, ResourceServer, TokenClass};

/// How often a token may be used in a minute.
const ALLOWANCE: u32 = 20;
/// How many tokens are watched at once: a bound on memory, and on what a flood can make of it.
const WATCHED: usize = 100_000;

/// Counts the uses of tokens, and remembers those that were used too much.
#[derive(Clone, Default)]
struct Watch {
    tokens: Arc<Mutex<HashMap<TokenHash, Uses>>>,
}

#[derive(Clone, Copy)]
struct Uses {
    since: Timestamp,
    count: u32,
    quarantined: bool,
}

impl Watch {
    fn is_quarantined(&self, token: TokenHash) -> bool {
        let tokens = self.tokens.lock().unwrap_or_else(PoisonError::into_inner);
        tokens.get(&token).is_some_and(|uses| uses.quarantined)
    }

    /// The check that keeps quarantined tokens out.
    fn lets_pass(self) -> impl Check {
        move |request: &CheckContext<'_>| -> Result<(), CheckError> {
            match request.access().token_hash() {
                Some(token) if self.is_quarantined(token) => {
                    Err(Denial::invalid_token("used too often within a minute").into())
                }
                _ => Ok(()),
            }
        }
    }
}

impl Observer for Watch {
    fn observe(&self, decision: &Decision<'_>) {
        let Some(token) = decision.token_hash() else { return };
        if decision.outcome != DecisionOutcome::Accepted {
            return;
        }
        let mut tokens = self.tokens.lock().unwrap_or_else(PoisonError::into_inner);
        let minute = Duration::from_mins(1);
        if tokens.len() >= WATCHED && !tokens.contains_key(&token) {
            // Whoever was quarantined stays so; the others begin anew.
            tokens.retain(|_, uses| uses.quarantined);
            if tokens.len() >= WATCHED {
                return;
            }
        }
        let uses = tokens.entry(token).or_insert(Uses {
            since: decision.at,
            count: 0,
            quarantined: false,
        });
        if decision.at.since(uses.since).is_some_and(|passed| passed >= minute) {
            *uses = Uses { since: decision.at, count: 0, ..*uses };
        }
        uses.count = uses.count.saturating_add(1);
        if uses.count > ALLOWANCE && !uses.quarantined {
            uses.quarantined = true;
            println!("  token {token} of {:?} is quarantined", decision.client_id);
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
    let watch = Watch::default();
    let api = ResourceServer::builder("https://api.example.com")
        .issuer(issuer.fixed_keys())
        .binding(Binding::WhereBound)
        .class(TokenClass::default_at_most(Duration::from_mins(15)))
        .observer(watch.clone())
        .clock(clock.clone())
        .build()?;
    let guard = api.guard(scope("notes:read").and(watch.lets_pass()))?;

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
        }
        Ok::<u32, Box<dyn Error>>(passed)
    };

    println!("an app that asks every five seconds:");
    let passed = uses(&calm, 40, Duration::from_secs(5)).await?;
    println!("  {passed} of 40 requests passed");
    assert_eq!(passed, 40);

    println!("a token that many use at once:");
    let passed = uses(&stolen, 40, Duration::from_millis(50)).await?;
    println!("  {passed} of 40 requests passed");
    assert_eq!(passed, ALLOWANCE + 1);

    let passed = uses(&calm, 1, Duration::from_secs(5)).await?;
    println!("the first app goes on: {passed} of 1 request passed");
    assert_eq!(passed, 1);
    Ok(())
}
