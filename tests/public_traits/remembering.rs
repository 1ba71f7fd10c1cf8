//! What remembers: stores of what was used, and sources of revocation.

use std::collections::HashSet;
use std::future::pending;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use portcullis::check::allow_all;
use portcullis::revocation::{
    Batch, Record, Revocation, RevocationSource, Running, Source, SourceHandle,
};
use portcullis::sender::{
    ReplayAnswer, ReplayEntry, ReplayError, ReplayErrorKind, ReplayHealth, ReplayStore, Sighting,
};
use portcullis::testing::{ManualClock, TestIssuer};
use portcullis::time::Clock as _;
use portcullis::{Policy, RejectionKind as Kind, ResourceServer, ServerBuilder};

use crate::support::{ISSUER, RESOURCE, bearer, builder, send, settle};
use crate::{Says, assert_told};

/// A store that others share: it answers later, or not.
#[derive(Clone)]
struct Ledger {
    says: Says,
    later: Later,
    used: Arc<Mutex<HashSet<[u8; 32]>>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Later {
    Now,
    Awaited,
}

impl Ledger {
    fn new(says: Says, later: Later) -> Self {
        Self { says, later, used: Arc::default() }
    }

    fn answer(&self, digest: [u8; 32]) -> Result<Sighting, ReplayError> {
        match self.says {
            Says::Yes if self.used.lock().unwrap().insert(digest) => Ok(Sighting::First),
            Says::Yes | Says::No => Ok(Sighting::Repeated),
            Says::Nothing | Says::Silence => {
                Err(ReplayError::new(ReplayErrorKind::Unavailable, "no connection"))
            }
        }
    }
}

impl ReplayStore for Ledger {
    fn record(&self, entry: &ReplayEntry<'_>) -> ReplayAnswer {
        assert!(entry.expires_at > entry.now.wall());
        let digest = entry.digest();
        if self.later == Later::Now {
            return self.answer(digest).into();
        }
        let ledger = self.clone();
        ReplayAnswer::Later(Box::pin(async move {
            if ledger.says == Says::Silence {
                pending::<()>().await;
            }
            tokio::task::yield_now().await;
            ledger.answer(digest)
        }))
    }

    fn occupancy(&self) -> Option<ReplayHealth> {
        let mut health = ReplayHealth::default();
        health.entries = self.used.lock().unwrap().len();
        Some(health)
    }
}

/// A token for one use is used once, and not at all where nobody can say whether it was.
#[tokio::test]
async fn a_replay_store_decides() {
    for (says, later, first, second) in [
        (Says::Yes, Later::Now, None, Some(Kind::TokenUsed)),
        (Says::Yes, Later::Awaited, None, Some(Kind::TokenUsed)),
        (Says::No, Later::Now, Some(Kind::TokenUsed), Some(Kind::TokenUsed)),
        (Says::Nothing, Later::Now, Some(Kind::ReplayUnavailable), Some(Kind::ReplayUnavailable)),
        (
            Says::Nothing,
            Later::Awaited,
            Some(Kind::ReplayUnavailable),
            Some(Kind::ReplayUnavailable),
        ),
        (
            Says::Silence,
            Later::Awaited,
            Some(Kind::ReplayUnavailable),
            Some(Kind::ReplayUnavailable),
        ),
    ] {
        let (clock, name) = (ManualClock::new(), format!("{says:?}, {later:?}"));
        let issuer = TestIssuer::new(ISSUER, &clock);
        let api = builder(&clock)
            .issuer(issuer.fixed_keys())
            .replay_store(Ledger::new(says, later))
            .build()
            .unwrap();
        let layer = api.protect(Policy::new(allow_all()).single_use());
        let token = issuer.token(RESOURCE).sign();
        for kind in [first, second] {
            let late = async {
                settle().await;
                clock.advance(Duration::from_secs(30));
            };
            let (sent, ()) = tokio::join!(send(&layer, bearer(&token)), late);
            assert_told(&name, &sent, kind);
        }
        let used = usize::from(says == Says::Yes);
        assert_eq!(api.replay_health().unwrap().entries, used, "{name}");
    }
}

/// A source that says one thing and then nothing.
struct Bulletin {
    says: Says,
    handle: Arc<Mutex<Option<SourceHandle>>>,
    revoked: Option<Record>,
}

impl RevocationSource for Bulletin {
    fn run(&self, handle: SourceHandle) -> Running<'_> {
        *self.handle.lock().unwrap() = Some(handle.clone());
        Box::pin(async move {
            let asked = handle.clock().moment();
            match self.says {
                Says::Yes | Says::No => {
                    let batch = Batch::of(self.revoked.clone()).synchronised(asked);
                    let applied = handle.apply(batch).await.unwrap();
                    assert_eq!(applied.applied, usize::from(self.revoked.is_some()));
                }
                Says::Nothing => handle.failed("no connection"),
                Says::Silence => {}
            }
            pending().await
        })
    }
}

/// A server that hears a [`Bulletin`].
pub(crate) struct Board {
    clock: ManualClock,
    issuer: TestIssuer,
    api: ResourceServer,
    handle: Arc<Mutex<Option<SourceHandle>>>,
}

impl Board {
    const MAX_AGE: Duration = Duration::from_mins(1);

    pub(crate) async fn with(
        says: Says,
        settings: impl FnOnce(ServerBuilder) -> ServerBuilder,
    ) -> Self {
        let clock = ManualClock::new();
        let issuer = TestIssuer::new(ISSUER, &clock);
        let revoked = (says == Says::No).then(|| Record::token(ISSUER, "stolen", clock.now()));
        let handle = Arc::default();
        let bulletin = Bulletin { says, handle: Arc::clone(&handle), revoked };
        let source = Source::own("bulletin", bulletin).speaks_for([ISSUER]).max_age(Self::MAX_AGE);
        let server = builder(&clock)
            .issuer(issuer.fixed_keys())
            .revocation(Revocation::new().source(source));
        let api = settings(server).build().unwrap();
        let board = Self { clock, issuer, api, handle };
        // The first request starts the source.
        send(&board.api.layer(), bearer(&board.token("first"))).await;
        settle().await;
        board
    }

    fn token(&self, jti: &str) -> String {
        self.issuer.token(RESOURCE).client_id("app").claim("jti", jti).sign()
    }

    pub(crate) async fn assert(&self, name: &str, jti: &str, wanted: Option<Kind>) {
        let sent = send(&self.api.layer(), bearer(&self.token(jti))).await;
        assert_told(name, &sent, wanted);
    }
}

/// REV-01: what was not said by a source that was heard is no yes, whether it failed, never spoke,
/// or spoke too long ago.
#[tokio::test]
async fn a_source_of_revocation_decides() {
    let gone = Some(Kind::RevocationUnavailable);
    for (says, stolen, other) in [
        (Says::Yes, None, None),
        (Says::No, Some(Kind::Revoked), None),
        (Says::Nothing, gone, gone),
        (Says::Silence, gone, gone),
    ] {
        let (board, name) = (Board::with(says, |builder| builder).await, format!("{says:?}"));
        board.assert(&name, "stolen", stolen).await;
        board.assert(&name, "other", other).await;
        board.clock.advance(Board::MAX_AGE + Duration::from_secs(1));
        board.assert(&format!("{name}, and grew old"), "other", gone).await;
        let handle = board.handle.lock().unwrap().clone().unwrap();
        handle.synchronised(handle.clock().moment());
        board.assert(&format!("{name}, and was heard again"), "other", None).await;
    }
}
