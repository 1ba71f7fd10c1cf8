use std::collections::VecDeque;
use std::fmt;
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

/// How long a handshake keeps its place from others who wait for one: a few round trips over a
/// mobile link. Were it nothing, many clients that come at once would drive each other out.
const GRACE: Duration = Duration::from_secs(2);

/// How long no connection is accepted after the system had no file descriptor for one.
const PAUSE: Duration = Duration::from_secs(1);

/// Accepts TCP connections, and does their handshakes beside each other.
///
/// 1. A handshake that takes its time, or fails, holds up no other. What failed is a line in the log
///    at level debug.
/// 2. There is a limit on handshakes under way. Past it connections wait, in the queue of the system,
///    until one is done; or, if one has taken more than two seconds, until the oldest is dropped for
///    them: who holds connections open and says nothing does not hold the listener.
/// 3. Handshakes end with the listener.
///
/// With the feature `axum` it is an `axum::serve::Listener`; `PeerInfo` is its address.
pub struct TlsListener {
    listener: TcpListener,
    acceptor: TlsAcceptor,
    max_handshakes: NonZeroU16,
    handshakes: JoinSet<Option<TlsConnection<TcpStream>>>,
    /// Oldest first, with the steady time of their beginning; of those that are done, some.
    started: VecDeque<(AbortHandle, Duration)>,
    /// Accepted, without a place.
    waiting: Option<(TcpStream, SocketAddr)>,
    /// One was dropped and is not gone yet.
    dropping: bool,
    pause: Option<Sleep>,
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
            waiting: None,
            dropping: false,
            pause: None,
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
            let room = self.handshakes.len() < self.limit();
            if let Some((stream, address)) = self.waiting.take_if(|_| room) {
                self.start(stream, address);
            }
            let mut room_is_made = self.room_is_made();
            tokio::select! {
                biased;
                Some(done) = self.handshakes.join_next() => {
                    self.dropping = false;
                    if let Some(connection) = finished(done) {
                        return connection;
                    }
                }
                () = over(&mut room_is_made) => self.drop_oldest(),
                () = over(&mut self.pause) => self.pause = None,
                accepted = self.listener.accept(),
                    if self.waiting.is_none() && self.pause.is_none() =>
                {
                    match accepted {
                        Ok(accepted) => self.waiting = Some(accepted),
                        Err(error) => self.failed(&error),
                    }
                }
            }
        }
    }

    fn limit(&self) -> usize {
        self.max_handshakes.get().into()
    }

    fn start(&mut self, stream: TcpStream, address: SocketAddr) {
        // A record of TLS is written whole: waiting to fill a packet only delays it.
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%address, %error, "a connection was gone at once");
            return;
        }
        if self.started.len() >= self.limit().saturating_mul(2) {
            self.started.retain(|(handshake, _)| !handshake.is_finished());
        }
        let acceptor = self.acceptor.clone();
        let peer = PeerAddr::new(address.ip());
        let handshake = self.handshakes.spawn(async move {
            let accepted = acceptor.accept(stream, peer).await;
            accepted.inspect_err(|error| tracing::debug!(%address, %error, "no connection")).ok()
        });
        self.started.push_back((handshake, self.acceptor.its_clock().steady()));
    }

    /// When the oldest handshake loses its place to one that waits for it; `None` if none waits, or
    /// a place is about to be free.
    fn room_is_made(&mut self) -> Option<Sleep> {
        if self.waiting.is_none() || self.dropping {
            return None;
        }
        while self.started.front().is_some_and(|(handshake, _)| handshake.is_finished()) {
            self.started.pop_front();
        }
        let (_, since) = self.started.front()?;
        let clock = self.acceptor.its_clock();
        let age = clock.steady().saturating_sub(*since);
        Some(clock.sleep(GRACE.saturating_sub(age)))
    }

    fn drop_oldest(&mut self) {
        if let Some((oldest, _)) = self.started.pop_front() {
            tracing::debug!(limit = self.max_handshakes, "too many handshakes: one is dropped");
            oldest.abort();
            self.dropping = true;
        }
    }

    fn failed(&mut self, error: &io::Error) {
        use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
        if matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset) {
            return;
        }
        // Most likely no file descriptor is left: trying again at once would only burn the processor.
        tracing::error!(%error, "no connection can be accepted");
        self.pause = Some(self.acceptor.its_clock().sleep(PAUSE));
    }
}

impl fmt::Debug for TlsListener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsListener")
            .field("listener", &self.listener)
            .field("acceptor", &self.acceptor)
            .field("handshakes", &self.handshakes.len())
            .finish_non_exhaustive()
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

/// The end of a time, where there is one.
async fn over(time: &mut Option<Sleep>) {
    match time {
        Some(time) => time.as_mut().await,
        None => std::future::pending().await,
    }
}
