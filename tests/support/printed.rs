//! What a test searches for secrets: what is logged, and what is printed of a value or an error.

use std::error::Error;
use std::fmt::Debug;
use std::io::Write;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tracing::subscriber::DefaultGuard;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::fmt::format::FmtSpan;

/// Everything that this thread logs while it lives, down to the last level.
pub(crate) struct Log {
    text: Buffer,
    _guard: DefaultGuard,
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
    pub(crate) fn start() -> Self {
        let alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
        let text = Buffer::default();
        let subscriber = tracing_subscriber::fmt()
            .with_max_level(tracing::Level::TRACE)
            .with_span_events(FmtSpan::FULL)
            .with_ansi(false)
            .with_writer(text.clone())
            .finish();
        let second = tracing::Dispatch::new(tracing_subscriber::registry());
        let guard = tracing::subscriber::set_default(subscriber);
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

/// In every way in which it can be printed.
pub(crate) fn printed(value: &impl Debug) -> String {
    format!("{value:?}\n{value:#?}")
}

/// The same of an error, and of what it came from.
pub(crate) fn printed_error(error: &impl Error) -> String {
    let mut text = format!("{error}\n{error:#}\n{}", printed(error));
    let mut source = error.source();
    while let Some(error) = source {
        text.push_str(&format!("\n{error}\n{error:?}"));
        source = error.source();
    }
    text
}
