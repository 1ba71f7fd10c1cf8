use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::num::NonZeroU16;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::task::{AbortHandle, JoinError, JoinSet};

use super::acceptor::TlsAcceptor;
use super::connection::TlsConnection;
use crate::sender::PeerAddr;
use crate::time::Sleep;

/// How many handshakes may be under way: with the 64 KiB that rustls reads of one message of a
/// handshake, these are 32 MiB.
const MAX_HANDSHAKES: NonZeroU16 = match NonZeroU16::new(512) {
    Some(handshakes) => handshakes,
    None => NonZeroU16::MIN,
};

/// How long no connection is accepted after the system had no file descriptor for one.
const PAUSE: Duration = Duration::from_secs(1);

/// Accepts TCP connections, and does their handshakes beside each other.
///
/// 1. A handshake that takes its time, or fails, holds up no other. What failed is a line in the log
///    at level debug.
/// 2. There is a limit on handshakes under way. Past it the one that began first is dropped: a client
///    that means to finish does so in a fraction of a second, and one that does not loses its place
///    to others before they lose theirs to it.
/// 3. Handshakes end with the listener.
///
/// With the feature `axum` it is an `axum::serve::Listener`; `PeerInfo` is its address.
#[derive(Debug)]
pub struct TlsListener {
    listener: TcpListener,
    acceptor: TlsAcceptor,
    max_handshakes: NonZeroU16,
    handshakes: JoinSet<Option<TlsConnection<TcpStream>>>,
    /// Oldest first; of handshakes that are done, some.
    started: VecDeque<AbortHandle>,
    pause: Pause,
}

impl TlsListener {
    /// Connections that come in here.
    #[must_use]
    pub fn new(listener: TcpListener, acceptor: TlsAcceptor) -> Self {
        Self {
            listener,
            acceptor,
            max_handshakes: MAX_HANDSHAKES,
            handshakes: JoinSet::new(),
            started: VecDeque::new(),
            pause: Pause(None),
        }
    }

    /// How many handshakes may be under way at once; 512 unless set.
    #[must_use]
    pub fn max_handshakes(mut self, handshakes: NonZeroU16) -> Self {
        self.max_handshakes = handshakes;
        self
    }

    /// Where it listens.
    ///
    /// # Errors
    /// As the system says.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// The next connection whose handshake is done. Nothing is lost when the future is dropped.
    ///
    /// Handshakes proceed at all times, but connections are accepted only while this is waited for.
    pub async fn accept(&mut self) -> TlsConnection<TcpStream> {
        loop {
            // Of those past the limit one is dropped and not gone yet.
            let room = self.handshakes.len() <= usize::from(self.max_handshakes.get());
            tokio::select! {
                biased;
                Some(done) = self.handshakes.join_next() => {
                    if let Some(connection) = finished(done) {
                        return connection;
                    }
                }
                () = self.pause.over(), if self.pause.0.is_some() => self.pause.0 = None,
                accepted = self.listener.accept(), if room && self.pause.0.is_none() => {
                    match accepted {
                        Ok((stream, address)) => self.start(stream, address),
                        Err(error) => self.failed(&error),
                    }
                }
                // INVARIANT: without a handshake there is room, or a pause.
                else => tokio::task::yield_now().await,
            }
        }
    }

    fn start(&mut self, stream: TcpStream, address: SocketAddr) {
        // A record of TLS is written whole: waiting to fill a packet only delays it.
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "a connection was gone at once");
            return;
        }
        let limit = usize::from(self.max_handshakes.get());
        if self.started.len() >= limit.saturating_mul(2) {
            self.started.retain(|handshake| !handshake.is_finished());
        }
        let acceptor = self.acceptor.clone();
        let peer = PeerAddr::new(address.ip());
        self.started.push_back(self.handshakes.spawn(async move {
            let accepted = acceptor.accept(stream, peer).await;
            accepted.inspect_err(|error| tracing::debug!(%address, %error, "no connection")).ok()
        }));
        if self.handshakes.len() > limit {
            self.drop_oldest();
        }
    }

    /// The oldest that is under way, but never the newest.
    fn drop_oldest(&mut self) {
        while self.started.len() > 1
            && let Some(oldest) = self.started.pop_front()
        {
            if !oldest.is_finished() {
                tracing::debug!(limit = self.max_handshakes, "too many handshakes: one is dropped");
                oldest.abort();
                return;
            }
        }
    }

    fn failed(&mut self, error: &io::Error) {
        use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
        if matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset) {
            return;
        }
        // Most likely no file descriptor is left: trying again at once would only burn the processor.
        tracing::error!(%error, "no connection can be accepted");
        self.pause.0 = Some(self.acceptor.its_clock().sleep(PAUSE));
    }
}

/// The connection, if its handshake came to one.
fn finished(
    done: Result<Option<TlsConnection<TcpStream>>, JoinError>,
) -> Option<TlsConnection<TcpStream>> {
    done.unwrap_or_else(|error| {
        if error.is_panic() {
            tracing::error!(%error, "a handshake panicked");
        }
        None
    })
}

/// Until when no connection is accepted.
struct Pause(Option<Sleep>);

impl Pause {
    async fn over(&mut self) {
        match &mut self.0 {
            Some(sleep) => sleep.as_mut().await,
            None => std::future::pending().await,
        }
    }
}

impl std::fmt::Debug for Pause {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Pause").field(&self.0.is_some()).finish()
    }
}
