//! What went wrong, for two readers.
//!
//! 1. A request that is refused gets a [`Rejection`]: its [`RejectionKind`] and [`Step`] are
//!    `Copy`, fit for a metric label; its text is for operators and holds no token, proof or
//!    secret. What an operator does about it says [`RejectionKind::advice`]; what the *client* may
//!    know of it is decided in one place, [`crate::challenge`].
//! 2. A check that refuses gives a [`Denial`] ("no": 401 or 403), one that cannot tell gives
//!    [`Unavailable`] (503). They are different types: an outage never becomes a bad token, and
//!    never a yes.
//! 3. Configuration faults are [`ConfigFault`]s, all reported at once by a [`BuildError`].

mod advice;
mod denial;
mod fault;
mod rejection;

pub use denial::{CheckError, Denial, DenialKind, StepUp, Unavailable};
pub use fault::{BuildError, ConfigFault};
pub(crate) use fault::{Faults, key};
pub(crate) use rejection::Refusal;
pub use rejection::{Outcome, Rejection, RejectionKind, Step};
