use std::fmt;
use std::sync::Arc;

use crate::server::ResourceServer;
use crate::verify::Turns;

/// Keeps a server as busy as a flood of forged tokens does: every place among those whose signature is
/// verified for the first time is taken, as long as this is there ([`crate::FirstVerifications`]).
///
/// ```
/// use std::time::Duration;
/// use http::Request;
/// use portcullis::testing::{HeldVerifications, ManualClock, TestIssuer, TestNetwork};
/// use portcullis::{Binding, FirstVerifications, RejectionKind, ResourceServer, TokenClass};
///
/// # tokio::runtime::Builder::new_current_thread().build()?.block_on(async {
/// let clock = ManualClock::new();
/// let issuer = TestIssuer::new("https://as.example", &clock);
/// let api = ResourceServer::builder("https://rs.example")
///     .issuer(issuer.discover())
///     .binding(Binding::WhereBound)
///     .class(TokenClass::default_at_most(Duration::from_mins(15)))
///     .first_verifications(FirstVerifications::new().queue_at_most(0))
///     .transport(TestNetwork::of(&[&issuer]))
///     .clock(clock)
///     .build()?;
/// let request = |token: String| {
///     Request::get("/").header("authorization", format!("Bearer {token}")).body(())
/// };
/// let known = request(issuer.token("https://rs.example").sign())?;
/// assert!(api.verify(&known).await.is_ok());
///
/// let held = HeldVerifications::of(&api);
/// assert!(api.verify(&known).await.is_ok());
/// let unknown = request(issuer.token("https://rs.example").sign())?;
/// let refused = api.verify(&unknown).await.unwrap_err();
/// assert_eq!(refused.kind(), RejectionKind::VerificationOverloaded);
/// drop(held);
/// assert!(api.verify(&unknown).await.is_ok());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[must_use = "the places are given back when it is dropped"]
pub struct HeldVerifications {
    turns: Option<Arc<Turns>>,
    held: usize,
}

impl HeldVerifications {
    /// Takes every place that is free: none, where nothing bounds first verifications.
    pub fn of(server: &ResourceServer) -> Self {
        let turns = server.shared.rules.turns.clone();
        let held = turns.as_ref().map_or(0, |turns| turns.take_all());
        Self { turns, held }
    }

    /// How many places it has.
    #[must_use]
    pub fn held(&self) -> usize {
        self.held
    }

    /// Gives one place back, if it has one.
    pub fn release_one(&mut self) {
        if let (Some(turns), Some(rest)) = (&self.turns, self.held.checked_sub(1)) {
            self.held = rest;
            turns.give_back();
        }
    }
}

impl Drop for HeldVerifications {
    fn drop(&mut self) {
        (0..self.held).for_each(|_| self.release_one());
    }
}

impl fmt::Debug for HeldVerifications {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HeldVerifications").field("held", &self.held).finish_non_exhaustive()
    }
}
