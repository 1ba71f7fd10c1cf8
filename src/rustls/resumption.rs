//! What sessions are kept for clients that come back (RFC 8446 §2.2, RFC 5246 §7.3).

use std::sync::Arc;

use ::rustls::ServerConfig;
use ::rustls::server::{NoServerSessionStorage, ProducesTickets, ServerSessionMemoryCache};

/// How many sessions are kept in memory, with their certificates: as many as rustls itself keeps.
/// With one TLS message of 64 KiB each, the longest chain that rustls reads, these are 16 MiB.
const MAX_SESSIONS: usize = 256;

/// Sessions of this config, and of no other: one that another config began may have been begun with
/// other certificates.
pub(super) fn of_its_own(config: &mut ServerConfig) {
    config.session_storage = ServerSessionMemoryCache::new(MAX_SESSIONS);
    config.ticketer = Arc::new(NoTickets);
}

/// No session is resumed.
pub(super) fn none(config: &mut ServerConfig) {
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.ticketer = Arc::new(NoTickets);
    config.send_tls13_tickets = 0;
    config.max_tls13_tickets = 0;
}

/// Tickets that carry a session in themselves, which nobody makes.
#[derive(Debug)]
struct NoTickets;

impl ProducesTickets for NoTickets {
    fn enabled(&self) -> bool {
        false
    }

    fn lifetime(&self) -> u32 {
        0
    }

    fn encrypt(&self, _: &[u8]) -> Option<Vec<u8>> {
        None
    }

    fn decrypt(&self, _: &[u8]) -> Option<Vec<u8>> {
        None
    }
}
