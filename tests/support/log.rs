//! What is logged, as text.
#![allow(dead_code, reason = "each test uses its own part")]

use std::io::Write;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tracing::subscriber::DefaultGuard;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::fmt::format::FmtSpan;

/// Everything that is logged while it lives, down to the last level.
pub(crate) struct Log {
    text: Buffer,
    _guard: Option<DefaultGuard>,
    /// What `tracing` thinks of each call site is shared by all threads: one log at a time.
    _alone: MutexGuard<'static, ()>,
    /// With one dispatcher alone, a call site that another thread meets first is judged by that
    /// thread's, which has none, and is off for all.
    _second: tracing::Dispatch,
}

static ALONE: Mutex<()> = Mutex::new(());

#[derive(Clone, Default)]
struct Buffer(Arc<Mutex<Vec<u8>>>);

impl Write for Buffer {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Buffer {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

impl Log {
    /// What this thread logs.
    pub(crate) fn start() -> Self {
        Self::with(|dispatch| Some(tracing::dispatcher::set_default(dispatch)))
    }

    /// What any thread logs. There is one such log in a process, and it lives as long.
    pub(crate) fn of_all_threads() -> Self {
        Self::with(|dispatch| {
            tracing::dispatcher::set_global_default(dispatch.clone()).unwrap();
            None
        })
    }

    fn with(begin: impl FnOnce(&tracing::Dispatch) -> Option<DefaultGuard>) -> Self {
        let alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
        let text = Buffer::default();
        let subscriber = tracing_subscriber::fmt()
            .with_max_level(tracing::Level::TRACE)
            .with_span_events(FmtSpan::FULL)
            .with_ansi(false)
            .with_writer(text.clone())
            .finish();
        let second = tracing::Dispatch::new(tracing_subscriber::registry());
        let guard = begin(&tracing::Dispatch::new(subscriber));
        tracing::callsite::rebuild_interest_cache();
        tracing::trace!("the log works");
        let log = Self { text, _guard: guard, _alone: alone, _second: second };
        assert!(log.take().contains("the log works"));
        log
    }

    /// What was logged since it was last asked.
    pub(crate) fn take(&self) -> String {
        let bytes = std::mem::take(&mut *self.text.0.lock().unwrap());
        String::from_utf8(bytes).unwrap()
    }
}
