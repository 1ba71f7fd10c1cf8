//! What workers send: tokens that are known and tokens that nobody saw, each presented well and badly, and
//! each answer held against the record.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use http::Request;
use http::header::HeaderValue;
use portcullis::RejectionKind as Kind;
use portcullis::certificate::{ChainCheck, PeerCertificate};
use tokio::task::yield_now;

use crate::dice::Dice;
use crate::judge::{Counts, layer};
use crate::mint::mint;
use crate::record::{Bound, Epoch, Flaw, LIFE, Route, Shown, Token, again};
use crate::support::{RESOURCE, anonymous, bearer, send, with_field};
use crate::world::World;

/// Tokens that a worker uses again and again.
const SLOTS: usize = 12;
/// Somebody who sends requests.
pub(crate) struct Worker {
    pub(crate) world: Arc<World>,
    dice: Dice,
    slots: Vec<Token>,
    pub(crate) counts: Counts,
}

impl Worker {
    pub(crate) fn new(world: &Arc<World>, dice: Dice) -> Self {
        Self { world: Arc::clone(world), dice, slots: Vec::new(), counts: Counts::default() }
    }

    /// Sends until it is told to stop.
    pub(crate) async fn work(mut self, stop: Arc<AtomicBool>) -> Counts {
        while !stop.load(Ordering::Relaxed) {
            let world = Arc::clone(&self.world);
            // The world stands still, or changes in one way, until the answers are there.
            let epoch = world.epoch.read().await;
            self.one(&epoch).await;
            drop(epoch);
            world.answered.add_permits(1);
        }
        self.counts
    }

    async fn one(&mut self, epoch: &Epoch) {
        match self.dice.below(100) {
            0..50 => self.known(epoch).await,
            50..85 => self.unknown(epoch).await,
            85..90 => self.once(epoch).await,
            90..95 => self.dropped(epoch).await,
            _ => self.not_even_a_token(epoch).await,
        }
    }

    /// A token of before, well or badly presented. Those that are over make room for new ones.
    async fn known(&mut self, epoch: &Epoch) {
        let at = self.dice.below(SLOTS);
        if at >= self.slots.len() {
            let token = mint(&self.world, &mut self.dice, Flaw::None);
            self.slots.push(token);
            return;
        }
        let wants = epoch.wants(&self.slots[at], Shown::Bearer, Route::Plain);
        let is_long_over = epoch.before.now > self.slots[at].expires_at.plus(LIFE * 2);
        let chance = match wants[0] {
            // The record forgets what was said of it.
            _ if is_long_over => 100,
            None | Some(Kind::BearerDowngrade | Kind::CertificateMissing) => 2,
            Some(_) => 25,
        };
        if self.dice.percent(chance) {
            let token = mint(&self.world, &mut self.dice, Flaw::None);
            let old = std::mem::replace(&mut self.slots[at], token);
            self.world.release(&old);
        }
        let token = self.slots[at].clone();
        self.present("a known token", epoch, &token).await;
    }

    async fn unknown(&mut self, epoch: &Epoch) {
        let flaws = [
            Flaw::None,
            Flaw::None,
            Flaw::None,
            Flaw::Malformed,
            Flaw::Issuer,
            Flaw::Kid,
            Flaw::Signature,
            Flaw::Audience,
            Flaw::Unknown,
        ];
        let flaw = self.dice.pick(&flaws);
        let token = mint(&self.world, &mut self.dice, flaw);
        self.present("an unknown token", epoch, &token).await;
        self.world.release(&token);
    }

    /// Presents a token as it has to be, or otherwise.
    async fn present(&mut self, what: &'static str, epoch: &Epoch, token: &Token) {
        let route = self.dice.pick(&[Route::Plain, Route::Plain, Route::Later, Route::Write]);
        match token.bound {
            Bound::Key if self.dice.percent(80) => self.proofs(epoch, token).await,
            Bound::Certificate if self.dice.percent(90) => {
                let good = self.dice.percent(80);
                let shown = if good { Shown::Certificate } else { Shown::OtherCertificate };
                let request = self.request(token, shown, None);
                let wants = epoch.wants(token, shown, route);
                self.send("a certificate", epoch, route, request, &wants, Some(token)).await;
            }
            _ => {
                let wants = epoch.wants(token, Shown::Bearer, route);
                let request = bearer(&token.text);
                self.send(what, epoch, route, request, &wants, Some(token)).await;
            }
        }
    }

    /// Proofs: fresh, replayed one after the other and at once, with a nonce, forged.
    async fn proofs(&mut self, epoch: &Epoch, token: &Token) {
        let used = Kind::ProofReplayed;
        match self.dice.below(4) {
            0 => {
                let request = self.request(token, Shown::ForgedProof, None);
                let wants = epoch.wants(token, Shown::ForgedProof, Route::Plain);
                let what = "a forged proof";
                self.send(what, epoch, Route::Plain, request, &wants, Some(token)).await;
            }
            1 => {
                let route = Route::Nonce;
                let request = self.request(token, Shown::Proof, None);
                let wants = epoch.wants(token, Shown::Proof, route);
                let what = "a proof without a nonce";
                let sent = self.send(what, epoch, route, request, &wants, Some(token)).await;
                if sent.kind() != Some(Kind::NonceMissing) {
                    return;
                }
                let nonce = sent.response.headers()["dpop-nonce"].to_str().unwrap().to_owned();
                let request = self.request(token, Shown::ProofWithNonce, Some(&nonce));
                let wants = epoch.wants_once(token, Shown::ProofWithNonce, route);
                let what = "a proof with a nonce";
                self.send(what, epoch, route, request, &wants, Some(token)).await;
            }
            2 => {
                let request = self.request(token, Shown::Proof, None);
                let wants = epoch.wants_once(token, Shown::Proof, Route::Plain);
                let plain = Arc::clone(&self.world);
                let plain = &plain.layers.plain;
                let (one, other) =
                    tokio::join!(send(plain, request.clone()), send(plain, request.clone()));
                let (one, other) = match one.kind() {
                    None => (one, other),
                    _ => (other, one),
                };
                let what = "a proof twice at once";
                let then = again(&wants, one.kind(), used);
                self.judge(what, epoch, Route::Plain, &one, &wants, Some(token));
                self.judge(what, epoch, Route::Plain, &other, &then, Some(token));
            }
            _ => {
                let request = self.request(token, Shown::Proof, None);
                let wants = epoch.wants_once(token, Shown::Proof, Route::Plain);
                let (what, same) = ("a fresh proof", request.clone());
                let sent = self.send(what, epoch, Route::Plain, request, &wants, Some(token)).await;
                let then = again(&wants, sent.kind(), used);
                let what = "a replayed proof";
                self.send(what, epoch, Route::Plain, same, &then, Some(token)).await;
            }
        }
    }

    /// A token for one use, twice.
    async fn once(&mut self, epoch: &Epoch) {
        let mut token = mint(&self.world, &mut self.dice, Flaw::None);
        while token.bound != Bound::No {
            token = mint(&self.world, &mut self.dice, Flaw::None);
        }
        let route = Route::Once;
        let wants = epoch.wants_once(&token, Shown::Bearer, route);
        let what = "a token for one use";
        let request = bearer(&token.text);
        let sent = self.send(what, epoch, route, request, &wants, Some(&token)).await;
        let then = again(&wants, sent.kind(), Kind::TokenUsed);
        let (what, request) = ("the same again", bearer(&token.text));
        self.send(what, epoch, route, request, &then, Some(&token)).await;
        self.world.release(&token);
    }

    /// A request that is dropped on its way, unless it is faster.
    async fn dropped(&mut self, epoch: &Epoch) {
        let flaw = self.dice.pick(&[Flaw::None, Flaw::Signature, Flaw::Kid, Flaw::Unknown]);
        let token = mint(&self.world, &mut self.dice, flaw);
        let route = self.dice.pick(&[Route::Plain, Route::Later]);
        let wants = epoch.wants(&token, Shown::Bearer, route);
        let yields = self.dice.below(4);
        let world = Arc::clone(&self.world);
        let sent = {
            let mut sending = pin!(send(layer(&world, route), bearer(&token.text)));
            let leaves = async {
                for _ in 0..yields {
                    yield_now().await;
                }
            };
            tokio::select! {
                biased;
                sent = &mut sending => Some(sent),
                () = leaves => None,
            }
        };
        match sent {
            Some(sent) => {
                self.judge("faster than its drop", epoch, route, &sent, &wants, Some(&token));
            }
            None => *self.counts.sent.entry("dropped").or_default() += 1,
        }
        self.world.release(&token);
    }

    async fn not_even_a_token(&mut self, epoch: &Epoch) {
        let (request, wants) = match self.dice.below(3) {
            0 => (anonymous(), Kind::NoCredentials),
            1 => (with_field("authorization", "Basic x"), Kind::UnsupportedScheme),
            _ => (with_field("authorization", "Bearer a b"), Kind::MalformedCredentials),
        };
        let wants = vec![Some(wants)];
        self.send("no token", epoch, Route::Plain, request, &wants, None).await;
    }

    fn request(&mut self, token: &Token, shown: Shown, nonce: Option<&str>) -> Request<String> {
        let world = &self.world;
        let mut request = match shown {
            Shown::Bearer | Shown::Certificate | Shown::OtherCertificate => bearer(&token.text),
            _ => with_field("authorization", format!("DPoP {}", token.text)),
        };
        let certificate = match shown {
            Shown::Certificate => Some(&world.certificate),
            Shown::OtherCertificate => Some(&world.other_certificate),
            _ => None,
        };
        if let Some(certificate) = certificate {
            let peer = PeerCertificate::new(certificate.certificate(), ChainCheck::Unchecked);
            request.extensions_mut().insert(peer);
        }
        if request.headers()["authorization"].as_bytes().starts_with(b"DPoP") {
            let owner = &world.owners[0];
            let proof = owner.proof("GET", &format!("{RESOURCE}/notes")).token(&token.text);
            let proof = match nonce {
                Some(nonce) => proof.nonce(nonce),
                None => proof,
            };
            let proof = match shown {
                Shown::ForgedProof => proof.sign_with(world.owners[1].key()),
                _ => proof.sign(),
            };
            request.headers_mut().insert("dpop", HeaderValue::try_from(proof).unwrap());
        }
        request
    }
}
