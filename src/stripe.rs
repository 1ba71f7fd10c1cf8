//! One value that all threads hold handles of, counted by each for itself.
//!
//! A handle that every request takes and gives back is a count that every core writes: on many cores
//! they would wait for each other there more than for anything else of a decision.

use std::ops::Deref;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread::available_parallelism;

/// A value, and for each of some threads handles of its own.
pub(crate) struct Striped<T> {
    value: Arc<T>,
    stripes: Box<[OnceLock<Handle<T>>]>,
}

/// A handle of a shared value; its clones are counted apart from those of other stripes.
pub(crate) struct Handle<T>(Arc<Counted<T>>);

/// As large as what processors exchange at once, so that no two counts are in one.
#[repr(align(64))]
struct Counted<T>(Arc<T>);

impl<T> Striped<T> {
    /// More threads than that share stripes.
    const MOST: usize = 16;

    pub(crate) fn new(value: T) -> Self {
        let threads = available_parallelism().map_or(1, usize::from).min(Self::MOST);
        Self { value: Arc::new(value), stripes: (0..threads).map(|_| OnceLock::new()).collect() }
    }

    pub(crate) fn value(&self) -> &Arc<T> {
        &self.value
    }

    /// The handle of this thread.
    pub(crate) fn handle(&self) -> Handle<T> {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        thread_local! {
            static MINE: usize = NEXT.fetch_add(1, Ordering::Relaxed);
        }
        let place = MINE.with(|mine| mine.checked_rem(self.stripes.len()));
        let new = || Handle::of(Arc::clone(&self.value));
        let stripe = place.and_then(|place| self.stripes.get(place));
        stripe.map_or_else(new, |stripe| stripe.get_or_init(new).clone())
    }
}

impl<T> Handle<T> {
    pub(crate) fn of(value: Arc<T>) -> Self {
        Self(Arc::new(Counted(value)))
    }

    pub(crate) fn value(&self) -> &Arc<T> {
        &self.0.0
    }
}

impl<T> Clone for Handle<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<T> Deref for Handle<T> {
    type Target = T;

    fn deref(&self) -> &T {
        self.value()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_thread_gets_the_one_value_and_nothing_of_it_stays() {
        let striped = Striped::new("the value".to_owned());
        let handles: Vec<_> = std::thread::scope(|scope| {
            let ask = || scope.spawn(|| striped.handle());
            let threads: Vec<_> = (0..40).map(|_| ask()).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        for handle in &handles {
            assert!(Arc::ptr_eq(handle.value(), striped.value()));
            assert_eq!(**handle, "the value");
        }
        assert!(Arc::strong_count(striped.value()) <= 1 + Striped::<String>::MOST);
        let value = Arc::downgrade(striped.value());
        drop((striped, handles));
        assert!(value.upgrade().is_none());
    }
}
