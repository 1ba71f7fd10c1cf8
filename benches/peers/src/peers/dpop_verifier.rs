//! dpop-verifier: the check of a DPoP proof, and no more: the token and `cnf` are left to the caller, and so
//! is the memory of used proofs.

use std::collections::HashSet;

use dpop_verifier::{DpopError, DpopVerifier, ReplayContext, ReplayStore};

use crate::tokens::URI;

/// Used proofs. The peer has none of its own; this one forgets nothing.
#[derive(Default)]
struct Used(HashSet<[u8; 32]>);

#[async_trait::async_trait]
impl ReplayStore for Used {
    async fn insert_once(
        &mut self,
        jti_hash: [u8; 32],
        _: ReplayContext<'_>,
    ) -> Result<bool, DpopError> {
        Ok(self.0.insert(jti_hash))
    }
}

pub struct Verifier {
    verifier: DpopVerifier,
    used: Used,
}

impl Verifier {
    pub fn new() -> Self {
        Self { verifier: DpopVerifier::new(), used: Used::default() }
    }

    /// The thumbprint of the key.
    pub async fn verify(&mut self, proof: &str, token: &str) -> String {
        let verified = self.verifier.verify(&mut self.used, proof, URI, "GET", Some(token)).await;
        verified.expect("a good proof").jkt
    }
}
