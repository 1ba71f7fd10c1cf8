//! A source that says what a test wants it to say, and a server that listens.

use std::future::pending;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use portcullis::revocation::{
    Batch, Record, Revocation, RevocationSource, Running, Source, SourceHandle,
};
use portcullis::testing::{ManualClock, TestIssuer, TokenBuilder};
use portcullis::time::{Clock as _, Timestamp};
use portcullis::{Policy, RejectionKind as Kind, ResourceServer, ServerBuilder};

use crate::support::{ISSUER, RESOURCE, bearer, builder, send};

/// A source by hand.
#[derive(Clone, Default)]
pub(crate) struct Hand {
    handle: Arc<Mutex<Option<SourceHandle>>>,
}

impl RevocationSource for Hand {
    fn run(&self, handle: SourceHandle) -> Running<'_> {
        *self.handle.lock().unwrap() = Some(handle);
        Box::pin(pending())
    }
}

impl Hand {
    /// What the server gave it; it waits until it was started.
    pub(crate) async fn handle(&self) -> SourceHandle {
        loop {
            if let Some(handle) = self.handle.lock().unwrap().clone() {
                return handle;
            }
            tokio::task::yield_now().await;
        }
    }

    pub(crate) async fn says(&self, records: impl IntoIterator<Item = Record>) {
        self.handle().await.apply(Batch::of(records)).await.unwrap();
    }

    /// Everything is known up to now.
    pub(crate) async fn synchronised(&self) {
        let handle = self.handle().await;
        handle.synchronised(handle.clock().moment());
    }
}

/// A server with one source by hand, which was synchronised.
pub(crate) struct World {
    pub(crate) clock: ManualClock,
    pub(crate) issuer: TestIssuer,
    pub(crate) hand: Hand,
    pub(crate) api: ResourceServer,
}

pub(crate) const MINUTE: Duration = Duration::from_mins(1);

/// The source of a [`World`].
pub(crate) fn source(hand: &Hand) -> Source {
    Source::own("hand", hand.clone()).speaks_for([ISSUER])
}

impl World {
    pub(crate) async fn new() -> Self {
        Self::with(|revocation| revocation, |builder| builder).await
    }

    pub(crate) async fn with(
        revocation: impl FnOnce(Revocation) -> Revocation,
        settings: impl FnOnce(ServerBuilder) -> ServerBuilder,
    ) -> Self {
        let (clock, hand) = (ManualClock::new(), Hand::default());
        let issuer = TestIssuer::new(ISSUER, &clock);
        let known = revocation(Revocation::new().source(source(&hand)));
        let server = builder(&clock).issuer(issuer.fixed_keys()).revocation(known);
        let api = settings(server).build().unwrap();
        let world = Self { clock, issuer, hand, api };
        // The first request starts the sources.
        world.kind(&world.token()).await;
        world.hand.synchronised().await;
        assert_eq!(world.kind(&world.token()).await, None, "a good token, before anything is said");
        world
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    pub(crate) fn token(&self) -> TokenBuilder {
        self.issuer.token(RESOURCE)
    }

    /// Why the token is refused; `None`: it passes.
    pub(crate) async fn kind(&self, token: &TokenBuilder) -> Option<Kind> {
        send(&self.api.layer(), bearer(&token.sign())).await.kind()
    }

    /// The same on a route of this policy.
    pub(crate) async fn kind_on(&self, policy: Policy, token: &TokenBuilder) -> Option<Kind> {
        send(&self.api.protect(policy), bearer(&token.sign())).await.kind()
    }
}

/// So many seconds before.
pub(crate) fn ago(world: &World, seconds: u64) -> Timestamp {
    world.now().minus(Duration::from_secs(seconds))
}

/// A directory of this test, which goes with it.
pub(crate) struct Directory(PathBuf);

impl Directory {
    pub(crate) fn new() -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("portcullis-revocation-{}-{number}", std::process::id());
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
