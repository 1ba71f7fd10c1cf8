//! What a server knows of requests before this one: the nonces that it made, and step 10, what was
//! used. What it was told of revocation, and answered about tokens.

use std::collections::BTreeMap;

use super::asked::{Endpoint, Kept};
use super::json::NANOS_PER_SECOND;
use super::policy;
use super::proof::GoodProof;
use super::reasons::{Refused, Why};
use super::revocation;
use super::token::Claims;
use super::world::{NaiveRecord, NaiveRevocation, World};

/// How much longer something is remembered than it is good: for memories that are far away.
const LONGER_SECONDS: u128 = 2;

/// What a server knows of requests before this one, and of revocation.
#[derive(Debug, Clone, Default)]
pub(crate) struct Memory {
    /// Every nonce that a server of this resource with this key made, and when.
    pub(crate) nonces: BTreeMap<String, u128>,
    /// What it looks at of revocation; nothing at all unless it is said.
    pub(super) revocation: Option<NaiveRevocation>,
    /// What was said of tokens, in this order.
    pub(super) said: Vec<NaiveRecord>,
    /// Whether it remembers of single tokens only what it has to.
    pub(super) is_forgetful: bool,
    used: Vec<Used>,
    /// What issuers answered about tokens.
    pub(super) answers: Vec<Kept>,
    /// How their endpoints do.
    pub(super) endpoints: BTreeMap<String, Endpoint>,
    /// Which of them was asked for this request.
    pub(super) asked: Option<String>,
    /// Issuer and token of an answer with which several things are wrong, that was kept for now: it is
    /// not if what was said of it is that the issuer has to mend it.
    pub(super) doubtful: Option<(String, String)>,
}

/// Something that was used.
#[derive(Debug, Clone)]
struct Used {
    /// What tells it from everything else.
    what: Vec<String>,
    /// Issuer and client.
    whose: (String, Option<String>),
    /// It is over when the time of day and the steady time have come to these, in whole seconds.
    until: u128,
    steady_until: u128,
}

impl Memory {
    #[allow(dead_code, reason = "each user of this reading uses a part of it")]
    pub(crate) fn new(nonces: BTreeMap<String, u128>, revocation: Option<NaiveRevocation>) -> Self {
        Self { nonces, revocation, ..Self::default() }
    }

    /// It is told all of these, or none of them if one could mean no token.
    #[allow(dead_code, reason = "each user of this reading uses a part of it")]
    pub(crate) fn hear(&mut self, world: &World, records: &[NaiveRecord]) -> bool {
        let usable = self.revocation.as_ref().is_some_and(|revocation| {
            records.iter().all(|record| revocation::can_be_meant(world, revocation, record))
        });
        if usable {
            let counts = records.iter().filter(|record| !revocation::is_idle(world, record));
            self.said.extend(counts.cloned());
        }
        usable
    }

    /// The same for one request, of a server that keeps the record of a single token as long as it has
    /// to: as long as a token can live that was issued by the time of the record (EVT-01).
    #[allow(dead_code, reason = "each user of this reading uses a part of it")]
    pub(crate) fn forgetful(&self) -> Self {
        Self { is_forgetful: true, ..self.clone() }
    }

    /// The same for the next request.
    #[allow(dead_code, reason = "each user of this reading uses a part of it")]
    pub(crate) fn no_more_forgetful(self) -> Self {
        Self { is_forgetful: false, ..self }
    }

    /// Whether an issuer ever said something of this token that was kept.
    #[allow(dead_code, reason = "each user of this reading uses a part of it")]
    pub(crate) fn knows(&self, token: &str) -> bool {
        self.answers.iter().any(|kept| kept.is_of(token))
    }

    /// Whether the request was refused for what is not the client's fault: so says who decides it
    /// elsewhere.
    #[allow(dead_code, reason = "each user of this reading uses a part of it")]
    pub(crate) fn settle(&mut self, is_unavailable: bool) {
        if let Some((issuer, token)) = self.doubtful.take().filter(|_| is_unavailable) {
            self.forget_answer(&issuer, &token);
        }
    }

    /// Something speaks against this token, whatever its issuer said.
    pub(super) fn doubt_answer(&mut self, issuer: &str, token: &str) {
        self.answers.iter_mut().filter(|kept| kept.is_about(issuer, token)).for_each(Kept::doubt);
    }

    pub(super) fn forget_answer(&mut self, issuer: &str, token: &str) {
        self.answers.retain(|kept| !kept.is_about(issuer, token));
    }

    /// Step 10: a proof is good once, and a token where the route says so. The proof comes first.
    pub(super) fn record(
        &mut self,
        world: &World,
        claims: &Claims,
        proof: Option<&GoodProof>,
    ) -> Result<(), Refused> {
        if let Some(proof) = proof {
            let what = ["proof", &proof.key, &proof.jti, &proof.htu];
            self.use_up(world, claims, &what, proof.until, "a proof that was used")?;
        }
        if world.single_use {
            let Some(jti) = &claims.jti else {
                return Err(Refused::new("a token for one use without a name"));
            };
            let leeway = u128::from(world.leeway_secs) * NANOS_PER_SECOND;
            let mut until = claims.exp + leeway;
            if claims.is_answer {
                // another answer may name another end
                let Some(iat) = claims.iat else {
                    return Err(Refused::new("a token for one use without a name"));
                };
                until = until.max(iat + policy::longest_life(world, claims) + leeway);
            }
            let what = ["token", &claims.iss, jti];
            self.use_up(world, claims, &what, until, "a token that was used")?;
        }
        Ok(())
    }

    fn use_up(
        &mut self,
        world: &World,
        claims: &Claims,
        what: &[&str],
        until: u128,
        twice: Why,
    ) -> Result<(), Refused> {
        let whole_seconds = |nanos: u128| nanos.div_ceil(NANOS_PER_SECOND);
        let what: Vec<String> = what.iter().map(ToString::to_string).collect();
        let whose = (claims.iss.clone(), claims.client_id.clone());
        // both clocks have to come to an end, for one of them can be set
        let is_over = |used: &&Used| {
            used.until <= world.now_nanos / NANOS_PER_SECOND
                && used.steady_until <= world.steady_nanos / NANOS_PER_SECOND
        };
        let alive: Vec<&Used> = self.used.iter().filter(|used| !is_over(used)).collect();
        if alive.iter().any(|used| used.what == what) {
            return Err(Refused::new(twice));
        }
        if let Some((room, share)) = world.replay_room {
            let of_client = alive.iter().filter(|used| used.whose == whose).count();
            if alive.len() >= room || of_client >= share {
                return Err(Refused::new("no room to remember a use"));
            }
        }
        let until = until + LONGER_SECONDS * NANOS_PER_SECOND;
        let steady_until = world.steady_nanos + (until - world.now_nanos);
        self.used.push(Used {
            what,
            whose,
            until: whole_seconds(until),
            steady_until: whole_seconds(steady_until),
        });
        Ok(())
    }
}
