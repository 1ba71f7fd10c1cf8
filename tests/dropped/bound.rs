//! What is for one use, with a replay memory on another machine: it counts as used or it does not, and never
//! counts twice. And everything that a request can wait for, one after the other.

use std::collections::HashSet;
use std::sync::{Arc, Mutex};

use http::header::HeaderValue;
use portcullis::check::allow_all;
use portcullis::issuer::TenantList;
use portcullis::jose::Algorithm;
use portcullis::revocation::{Revocation, StatusLists};
use portcullis::sender::{Nonces, ReplayAnswer, ReplayEntry, ReplayStore, Sighting};
use portcullis::testing::{ClientKey, HeldVerifications, TestIssuer, TestNetwork, TestStatusList};
use portcullis::{Dpop, Policy, RejectionKind as Kind, ResourceServer};
use tokio::task::yield_now;
use tower::{Layer as _, ServiceExt as _};

use crate::harness::{Setup, drop_everywhere, ends, nothing, step, used_once};
use crate::shapes::{Ground, gate};
use crate::support::{RESOURCE, anonymous, bearer, with_field};

const URL: &str = "https://rs.example/notes";

/// A replay memory that takes its time, before it records and after.
#[derive(Clone, Default)]
struct Far(Arc<Mutex<HashSet<[u8; 32]>>>);

impl Far {
    fn recorded(&self) -> usize {
        self.0.lock().unwrap().len()
    }
}

impl ReplayStore for Far {
    fn record(&self, entry: &ReplayEntry<'_>) -> ReplayAnswer {
        let (all, digest) = (Arc::clone(&self.0), entry.digest());
        ReplayAnswer::Later(Box::pin(async move {
            yield_now().await;
            let is_new = all.lock().unwrap().insert(digest);
            yield_now().await;
            Ok(if is_new { Sighting::First } else { Sighting::Repeated })
        }))
    }
}

/// A request with this token and this proof.
fn dpop(token: &str, proof: String) -> http::Request<String> {
    let mut request = with_field("authorization", format!("DPoP {token}"));
    request.headers_mut().insert("dpop", HeaderValue::try_from(proof).unwrap());
    request
}

/// A nonce of this server, told to somebody whose keys are there.
async fn nonce(api: &ResourceServer, issuer: &TestIssuer, client: &ClientKey) -> String {
    let token = issuer.token(RESOURCE).claim("cnf", client.confirmation()).sign();
    let inner = tower::service_fn(|_: http::Request<String>| async {
        Ok::<_, std::convert::Infallible>(http::Response::new(String::new()))
    });
    let request = dpop(&token, client.proof("GET", URL).token(&token).sign());
    let response = api.layer().layer(inner).oneshot(request).await.unwrap();
    response.headers()["dpop-nonce"].to_str().unwrap().to_owned()
}

/// DPOP-17, attack 31: a proof with a nonce. Dropped before its decision it counts as used or not, as the
/// store has it by then; dropped after that it is used. It is accepted once.
#[tokio::test]
async fn a_proof_and_a_memory_far_away() {
    for wants in [None, Some(Kind::ProofUri)] {
        let pending = if wants.is_none() { 2 } else { 0 };
        drop_everywhere("a proof", pending, async || {
            let ground = Ground::new();
            let far = Far::default();
            let api = ground
                .builder()
                .issuer(ground.issuer.fixed_keys())
                .dpop(Dpop::new().nonces(Nonces::required()))
                .replay_store(far.clone())
                .build()
                .unwrap();
            let client = ClientKey::generate(Algorithm::Es256, &ground.clock);
            let nonce = nonce(&api, &ground.issuer, &client).await;
            let token = ground.issuer.token(RESOURCE).claim("cnf", client.confirmation()).sign();
            let proof = client.proof("GET", URL).token(&token).nonce(&nonce);
            let proof = match wants {
                None => proof,
                Some(_) => proof.claim("htu", "https://rs.example/other"),
            };
            assert_eq!(far.recorded(), 0, "who lacks a nonce used up nothing");
            let once = used_once(Kind::ProofReplayed, move || far.recorded());
            let setup = ground.setup(api, &token, Vec::new(), wants);
            Setup { request: dpop(&token, proof.sign()), once, ..setup }
        })
        .await;
    }
}

/// DPOP-17, attack 31: the same with the memory of this process. The proof is used if and only if the inner
/// service was called.
#[tokio::test]
async fn a_proof_and_a_memory_here() {
    drop_everywhere("a proof, here", 0, async || {
        let ground = Ground::new();
        let server = ground.builder().issuer(ground.issuer.fixed_keys()).dpop(Dpop::new());
        let api = server.build().unwrap();
        let client = ClientKey::generate(Algorithm::Es256, &ground.clock);
        let token = ground.issuer.token(RESOURCE).claim("cnf", client.confirmation()).sign();
        let health = api.clone();
        let recorded = move || health.replay_health().unwrap().entries;
        let once = used_once(Kind::ProofReplayed, recorded);
        let setup = ground.setup(api, &token, Vec::new(), None);
        let request = dpop(&token, client.proof("GET", URL).token(&token).sign());
        Setup { request, once, ..setup }
    })
    .await;
}

/// Attack 31: a token for one use, with a memory far away.
#[tokio::test]
async fn a_token_for_one_use() {
    drop_everywhere("a token for one use", 2, async || {
        let ground = Ground::new();
        let far = Far::default();
        let server = ground.builder().issuer(ground.issuer.fixed_keys());
        let api = server.replay_store(far.clone()).build().unwrap();
        let token = ground.token(None);
        let once = used_once(Kind::TokenUsed, move || far.recorded());
        let setup = ground.setup(api, &token, Vec::new(), None);
        Setup { policy: Policy::new(allow_all()).single_use(), once, ..setup }
    })
    .await;
}

/// AUTH-32, DPOP-17, attacks 28 and 31: a bound token of a tenant whose keys are to be fetched, which waits for
/// a turn, a status list and an async check, with a proof for a memory far away. At each of these points a
/// request can be dropped. The twin has no account.
#[tokio::test]
async fn everything_in_turn() {
    for wants in [None, Some(Kind::NotAccepted)] {
        drop_everywhere("everything", 5, async || {
            let ground = Ground::new();
            let (far, tenants) = (Far::default(), TenantList::new());
            let known = TestIssuer::new("https://known.example", &ground.clock);
            let list =
                TestStatusList::new("https://as.example/lists/1", &ground.issuer, &ground.clock);
            let api = ground
                .builder()
                .issuer(known.fixed_keys())
                .tenants(tenants.clone(), 2)
                .revocation(Revocation::new().status_lists(StatusLists::new()))
                .dpop(Dpop::new().nonces(Nonces::required()))
                .replay_store(far.clone())
                .transport(TestNetwork::of(&[&ground.issuer]).with_list(&list))
                .build()
                .unwrap();
            tenants.add(ground.issuer.discover()).unwrap();
            let client = ClientKey::generate(Algorithm::Es256, &ground.clock);
            let nonce = nonce(&api, &known, &client).await;
            let held = HeldVerifications::of(&api);
            ground.issuer.hold();
            list.hold();
            let (open, check) = gate(wants);
            let token = ground
                .issuer
                .token(RESOURCE)
                .claim("cnf", client.confirmation())
                .claim("status", list.reference(7))
                .sign();
            let proof = client.proof("GET", URL).token(&token).nonce(&nonce).sign();
            let issuer = ground.issuer.clone();
            let steps = vec![
                nothing(),
                step(move || issuer.release()),
                nothing(),
                ends(held),
                nothing(),
                step(move || list.release()),
                nothing(),
                step(move || assert!(!open.send_replace(true))),
            ];
            let once = used_once(Kind::ProofReplayed, move || far.recorded());
            let setup = ground.setup(api, &token, steps, wants);
            let policy = Policy::new(allow_all()).and_async(check);
            Setup { request: dpop(&token, proof), policy, once, ..setup }
        })
        .await;
    }
}

/// AUTH-02: a request without a token, and one that is known, wait for nothing: there is no point to drop them at.
#[tokio::test]
async fn who_waits_for_nothing_is_not_dropped() {
    for (known, wants) in [(true, None), (false, Some(Kind::NoCredentials))] {
        drop_everywhere("nothing to wait for", 0, async || {
            let ground = Ground::new();
            let api = ground.builder().issuer(ground.issuer.fixed_keys()).build().unwrap();
            let token = ground.token(None);
            api.verify(&bearer(&token)).await.unwrap();
            let setup = ground.setup(api, &token, Vec::new(), wants);
            let request = if known { bearer(&token) } else { anonymous() };
            Setup { request, ..setup }
        })
        .await;
    }
}
