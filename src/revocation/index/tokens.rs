//! STAND-IN
#![allow(missing_docs, dead_code, unused_variables, clippy::unused_self, unreachable_pub)]
use crate::time::Timestamp;
#[derive(Default)]
pub struct RevokedTokens(std::sync::Mutex<std::collections::HashMap<(String, String), Timestamp>>);
#[derive(Clone, Debug)]
pub struct TokenFingerprint(String, String);
#[derive(Clone, Copy, Debug)]
pub enum Inserted {
    New,
    Extended,
    Known,
}
#[derive(Clone, Copy, Debug)]
pub struct Purged(());
impl RevokedTokens {
    pub fn new() -> Self {
        Self::default()
    }
    pub fn fingerprint(&self, issuer: &str, jti: &str) -> TokenFingerprint {
        TokenFingerprint(issuer.into(), jti.into())
    }
    pub fn contains(&self, token: TokenFingerprint, now: Timestamp) -> bool {
        self.0
            .lock()
            .is_ok_and(|map| map.get(&(token.0, token.1)).is_some_and(|until| now < *until))
    }
    pub fn insert(&self, token: TokenFingerprint, until: Timestamp) -> Inserted {
        if let Ok(mut map) = self.0.lock() {
            map.insert((token.0, token.1), until);
        }
        Inserted::New
    }
    pub fn remove(&self, token: TokenFingerprint) -> bool {
        self.0.lock().is_ok_and(|mut map| map.remove(&(token.0, token.1)).is_some())
    }
    pub fn purge(&self, now: Timestamp, most: usize) -> Purged {
        Purged(())
    }
    pub fn len(&self) -> usize {
        self.0.lock().map_or(0, |map| map.len())
    }
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}
