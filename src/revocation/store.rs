//! The one place where records are stored and applied, whoever tells them.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::oneshot;

use super::config::WhenFull;
use super::index::{Index, Room};
use super::journal::{Entry, Journal, JournalError};
use super::prepare::Setting;
use super::source::{ApplyError, Batch};
use crate::time::{Clock, Timestamp};

/// Index and journal. Whatever is applied is first on disk, in the same order.
pub(crate) struct Store {
    index: Index,
    journal: Option<Arc<Journal>>,
    longest_life: Duration,
    most: usize,
    when_full: WhenFull,
    clock: Arc<dyn Clock>,
    queue: Mutex<Queue>,
    /// Whether the journal is this store's, and no other's.
    has_journal: AtomicBool,
}

#[derive(Default)]
struct Queue {
    waiting: Vec<Waiting>,
    /// Whether somebody writes what waits.
    writing: bool,
    stopped: bool,
}

/// Who tells.
#[derive(Clone)]
pub(super) struct Teller {
    /// As the journal knows it.
    pub(super) kept_as: Arc<str>,
    /// The issuers that it speaks for; `None`: this process, which speaks for all.
    pub(super) issuers: Option<Arc<[Box<str>]>>,
}

/// A batch that is to be stored, and who wants to know.
struct Waiting {
    source: Teller,
    batch: Batch,
    done: oneshot::Sender<Result<(), ApplyError>>,
}

impl Store {
    /// How many records one transaction of the journal takes at most, unless one batch has more.
    const TOGETHER: usize = 100_000;
    /// How many are brought back at a time.
    const RESTORED_TOGETHER: usize = 100_000;
    /// How many records are applied on the thread of whoever tells them, where there is no journal.
    const AT_ONCE: usize = 1_000;

    pub(super) fn new(
        index: Index,
        journal: Option<Arc<Journal>>,
        most: usize,
        when_full: WhenFull,
        setting: &Setting<'_>,
    ) -> Self {
        let clock = Arc::clone(setting.clock);
        let longest_life = setting.longest_life;
        Self {
            index,
            journal,
            longest_life,
            most,
            when_full,
            clock,
            queue: Mutex::default(),
            has_journal: AtomicBool::new(false),
        }
    }

    /// The longest that a token may live.
    pub(super) fn longest_life(&self) -> Duration {
        self.longest_life
    }

    pub(super) fn index(&self) -> &Index {
        &self.index
    }

    pub(super) fn journal(&self) -> Option<&Arc<Journal>> {
        self.journal.as_ref()
    }

    /// Takes the journal for this store alone; false if another has it.
    pub(super) fn claim_journal(&self) -> bool {
        let claimed = self.journal.as_ref().is_none_or(|journal| journal.claim());
        self.has_journal.store(claimed, Ordering::Release);
        claimed
    }

    /// Brings back what was kept.
    pub(super) fn restore(&self, journal: &Journal) -> Result<(), JournalError> {
        let mut some = Vec::new();
        journal.load(&mut |record| {
            if self.index.can_match(&record) {
                some.push(record);
            }
            if some.len() >= Self::RESTORED_TOGETHER {
                self.index.apply(&some);
                some.clear();
            }
        })?;
        self.index.apply(&some);
        let fits_folded = || self.index.len_folded(None, &[], self.clock.now()) <= self.most;
        if self.index.len() > self.most && self.when_full == WhenFull::FoldCutOffs && fits_folded()
        {
            while self.index.len() > self.most && self.fold(None) {}
        }
        Ok(())
    }

    /// Stores and applies a batch: whoever comes while others write waits for the next write, which
    /// takes all that wait.
    pub(super) async fn commit(
        self: &Arc<Self>,
        source: &Teller,
        batch: Batch,
    ) -> Result<(), ApplyError> {
        if batch.records.is_empty() && batch.state.is_none() && batch.synchronised.is_none() {
            return Ok(());
        }
        let records = batch.records.len();
        let (done, answer) = oneshot::channel();
        let lead = {
            let mut queue = self.queue();
            if queue.stopped {
                return Err(ApplyError::Ended);
            }
            queue.waiting.push(Waiting { source: source.clone(), batch, done });
            !std::mem::replace(&mut queue.writing, true)
        };
        if lead {
            let lead = Lead { store: Arc::clone(self), finished: false };
            let blocks = self.journal.is_some() || records > Self::AT_ONCE;
            match Handle::try_current() {
                // On a thread that may block. Once begun it ends, whoever is gone meanwhile.
                Ok(runtime) if blocks => drop(runtime.spawn_blocking(move || lead.write_all())),
                _ => lead.write_all(),
            }
        }
        answer.await.unwrap_or(Err(ApplyError::Ended))
    }

    /// Some that wait; if nobody does, nobody writes any more.
    fn take_some(&self) -> Vec<Waiting> {
        let mut queue = self.queue();
        let mut records = 0_usize;
        let mut count = 0;
        for waiting in &queue.waiting {
            records = records.saturating_add(waiting.batch.records.len());
            if count > 0 && records > Self::TOGETHER {
                break;
            }
            count += 1;
        }
        if count == 0 {
            queue.writing = false;
        }
        queue.waiting.drain(..count).collect()
    }

    fn write(&self, waiting: Vec<Waiting>) {
        let now = self.clock.now();
        let mut taken = Vec::with_capacity(waiting.len());
        // What the batches before it in this very write will add.
        let mut coming = 0_usize;
        for waiting in waiting {
            match self.make_room(coming, &waiting, now) {
                Ok(new) => {
                    coming = coming.saturating_add(new);
                    taken.push(waiting);
                }
                Err(error) => drop(waiting.done.send(Err(error))),
            }
        }
        if let Some(journal) = &self.journal {
            let entries: Vec<_> = taken
                .iter()
                .map(|waiting| Entry { source: &waiting.source.kept_as, batch: &waiting.batch })
                .collect();
            if let Err(error) = journal.commit(&entries) {
                let error = Arc::new(error);
                for waiting in taken {
                    let error = ApplyError::Journal(Arc::clone(&error));
                    drop(waiting.done.send(Err(error)));
                }
                return;
            }
        }
        for Waiting { batch, done, .. } in taken {
            self.index.apply(&batch.records);
            drop(done.send(Ok(())));
        }
    }

    /// Makes sure that this batch fits beside so many that are coming; tells how many it adds. Where it does
    /// not it folds, if that was chosen. Sources leave an eighth to this process, so that none of them can keep
    /// it from revoking.
    fn make_room(
        &self,
        coming: usize,
        waiting: &Waiting,
        now: Timestamp,
    ) -> Result<usize, ApplyError> {
        let (issuers, records) = (waiting.source.issuers.as_deref(), &waiting.batch.records);
        let mut new = self.index.new_among(records, now);
        if new == 0 {
            return Ok(0);
        }
        let reserved = match issuers {
            None => 0,
            Some(_) => self.most.checked_div(8).unwrap_or_default(),
        };
        let most = self.most.saturating_sub(reserved);
        let fits = |records: usize| records.saturating_add(coming) <= most;
        let fits_beside = |new: usize| fits(self.index.len().saturating_add(new));
        if fits_beside(new) {
            return Ok(new);
        }
        let full = || ApplyError::Full { records: self.index.len(), most };
        // First what folding can do at most: what it costs is not paid where that makes no room.
        let folds = self.when_full == WhenFull::FoldCutOffs;
        if !folds || !fits(self.index.len_folded(issuers, records, now)) {
            return Err(full());
        }
        while !fits_beside(new) {
            if !self.fold(issuers) {
                return Err(full());
            }
            // What this batch says of a target that was folded is new again.
            new = self.index.new_among(records, now);
        }
        Ok(new)
    }

    /// Folds cut-offs of one of these issuers, or of any; whether it did. It does not where there is none, and
    /// where one for the whole issuer would be no fewer: with each fold there are fewer. What the journal has
    /// stays there until it is too old to matter.
    fn fold(&self, issuers: Option<&[Box<str>]>) -> bool {
        let Some((issuer, at)) = self.index.fold(issuers) else { return false };
        let at = at.as_secs();
        tracing::warn!(
            issuer,
            at,
            "revocation: no room: cut-offs were folded into one for the whole issuer"
        );
        true
    }

    /// Scarce where less than a quarter is left.
    pub(super) fn room(&self) -> Room {
        match self.index.len() > self.most.saturating_mul(3).checked_div(4).unwrap_or_default() {
            true => Room::Scarce,
            false => Room::Ample,
        }
    }

    /// Drops some of what can matter no more.
    pub(super) async fn purge(self: Arc<Self>, now: Timestamp) {
        let purged = tokio::task::spawn_blocking(move || {
            self.index.purge(now);
            let life = self.index.life();
            self.journal.as_ref().map_or(Ok(0), |journal| journal.purge(now, life))
        });
        if let Ok(Err(error)) = purged.await {
            tracing::warn!("revocation: the journal could not be purged: {error}");
        }
    }

    /// Takes no more.
    pub(super) fn stop(&self) {
        let mut queue = self.queue();
        queue.stopped = true;
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        let has_journal = *self.has_journal.get_mut();
        if let Some(journal) = self.journal.as_ref().filter(|_| has_journal) {
            journal.release();
        }
    }
}

/// Whoever writes for all that wait.
struct Lead {
    store: Arc<Store>,
    finished: bool,
}

impl Lead {
    fn write_all(mut self) {
        self.write_waiting();
        self.finished = true;
    }

    /// Writes until nobody waits.
    fn write_waiting(&self) {
        loop {
            let some = self.store.take_some();
            if some.is_empty() {
                return;
            }
            self.store.write(some);
        }
    }
}

impl Drop for Lead {
    fn drop(&mut self) {
        if self.finished {
            return;
        }
        if !std::thread::panicking() {
            // The runtime ended before it began: what was told is stored all the same.
            self.write_waiting();
            return;
        }
        let mut queue = self.store.queue();
        queue.writing = false;
        let lost = std::mem::take(&mut queue.waiting);
        drop(queue);
        // Dropped, they say that nothing was stored.
        drop(lost);
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;
    use std::task::{Context, Poll, Waker};

    use super::super::config::Issuers;
    use super::super::record::Record;
    use super::*;
    use crate::testing::ManualClock;
    use crate::time::Sleep;

    /// A clock that panics the first time that it is asked.
    struct Faulty {
        clock: ManualClock,
        panics: AtomicBool,
    }

    impl Clock for Faulty {
        fn now(&self) -> Timestamp {
            assert!(!self.panics.swap(false, Ordering::Relaxed), "the clock is broken");
            self.clock.now()
        }

        fn steady(&self) -> Duration {
            self.clock.steady()
        }

        fn sleep(&self, time: Duration) -> Sleep {
            self.clock.sleep(time)
        }
    }

    fn store() -> Store {
        store_at(Arc::new(ManualClock::new()))
    }

    fn store_at(clock: Arc<dyn Clock>) -> Store {
        let setting = Setting {
            issuers: Issuers::default(),
            longest_life: Duration::from_hours(1),
            leeway: Duration::ZERO,
            transport: None,
            clock: &clock,
        };
        let index = Index::new(Arc::default(), Duration::from_hours(1));
        Store::new(index, None, 1_000_000, WhenFull::Refuse, &setting)
    }

    /// A write that panics is not said to have stored anything, and those after it are written.
    #[tokio::test]
    async fn a_write_that_panics_keeps_nobody_from_writing() {
        let clock = Faulty { clock: ManualClock::new(), panics: AtomicBool::new(true) };
        let store = Arc::new(store_at(Arc::new(clock)));
        let source = Teller { kept_as: "local".into(), issuers: None };
        let batch =
            |token: &str| Batch::of([Record::token("https://as.example", token, Timestamp::EPOCH)]);
        let (first, told, lost) = (Arc::clone(&store), source.clone(), batch("a"));
        let first = tokio::spawn(async move { first.commit(&told, lost).await });
        assert!(first.await.unwrap_err().is_panic());
        let mut second = pin!(store.commit(&source, batch("b")));
        let stored = second.as_mut().poll(&mut Context::from_waker(Waker::noop()));
        assert!(matches!(stored, Poll::Ready(Ok(()))), "{stored:?}");
        assert_eq!(store.index().len(), 1);
    }

    /// One write takes all that wait, up to its bound, in their order; a batch that is larger by itself is
    /// taken alone. While anything was taken somebody writes, and then nobody.
    #[test]
    fn a_write_is_bounded_and_every_batch_has_its_turn() {
        let record = Record::token("https://as.example", "a", Timestamp::EPOCH);
        for (batches, writes) in [
            (vec![], vec![]),
            (vec![1, 1, 1], vec![3]),
            (vec![Store::TOGETHER], vec![1]),
            (vec![Store::TOGETHER + 1], vec![1]),
            (vec![Store::TOGETHER + 1, 1], vec![1, 1]),
            (vec![Store::TOGETHER - 1, 1], vec![2]),
            (vec![Store::TOGETHER - 1, 1, 1], vec![2, 1]),
            (vec![1, Store::TOGETHER, 1], vec![1, 1, 1]),
        ] {
            let store = store();
            {
                let mut queue = store.queue();
                queue.writing = true;
                for records in &batches {
                    let batch = Batch::of(std::iter::repeat_n(record.clone(), *records));
                    let source = Teller { kept_as: "local".into(), issuers: None };
                    let (done, _) = oneshot::channel();
                    queue.waiting.push(Waiting { source, batch, done });
                }
            }
            let mut left = batches.iter().copied();
            for taken in &writes {
                let some: Vec<_> =
                    store.take_some().iter().map(|waiting| waiting.batch.records.len()).collect();
                assert_eq!(some.len(), *taken, "{batches:?}: {some:?}");
                assert!(some.into_iter().eq(left.by_ref().take(*taken)), "{batches:?}");
                assert!(store.queue().writing, "{batches:?}");
            }
            assert!(store.take_some().is_empty(), "{batches:?}");
            assert!(!store.queue().writing, "{batches:?}");
        }
    }
}
