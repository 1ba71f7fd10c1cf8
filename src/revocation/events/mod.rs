//! Security events: SETs (RFC 8417) of the Shared Signals Framework (SSF 1.0), with the events of CAEP
//! and RISC, pushed (RFC 8935) or fetched (RFC 8936).
//!
//! 1. A SET is taken from one transmitter, by its own issuer, its own keys and its own audience, and
//!    says something about the tokens of the issuers that the source speaks for, and of no other.
//! 2. What costs little is looked at first; nothing that is not signed is believed. A SET is
//!    acknowledged when what it says is applied and, where there is a journal, on disk.
//! 3. What is bad is refused with its reason, alone. What cannot be told, or not stored, now is asked
//!    for again; until it was taken the stream does not count as synchronised, whatever it says. A SET
//!    whose signature could not be judged is waited for during twice the maximum age, and not at all if
//!    anybody can have sent it. None of this outlives the process. What has no meaning here is acknowledged, counted and thrown away.
//! 4. A stream is fresh from the moment in which it was asked, if it then gave all it had, or sent the
//!    verification event that was asked for. One that says it is paused or disabled is not.
//! 5. What is known in the end does not depend on the order of SETs, nor on how often each came.
//!
//! What events do ([`EventKind`]), to tokens that their subject ([`Subjects`]) is about; "before" is: at
//! the time of the event or before, by `iat`.
//!
//! | event | tokens |
//! |---|---|
//! | CAEP `session-revoked`, `token-claims-change`; RISC `sessions-revoked`, `credential-compromise`, `account-credential-change-required`, `identifier-changed`, `identifier-recycled` | those of before are refused |
//! | CAEP `credential-change` | `revoke`, `update`, `delete`: those of before are refused; `create`: nothing |
//! | CAEP `assurance-level-change` | down, or not known: those of before need the user to authenticate again ([`AssuranceAction`]); up: nothing |
//! | CAEP `device-compliance-change` | all are refused until the device complies |
//! | CAEP `risk-level-change` | `HIGH`: all are refused until it is lower ([`RiskAction`]) |
//! | RISC `account-disabled` | all are refused until the account is enabled, those of before for ever |
//! | RISC `account-purged` | all are refused, for ever |
//! | CAEP `session-established`, `session-presented`; RISC `opt-in`, `opt-out-*`, `recovery-*` | nothing |
//!
//! One token (`jwt_id`) is refused by whatever is said against it. Of a complex subject all members
//! count; if claims are known for some only, these count if a user or a session is among them, and
//! then no state is kept of what could not be told apart: a hold of it is a refusal of what was issued
//! before.
//!
//! Limits: what happened while a stream was disabled is never told (SSF §8.1.2). When it is enabled
//! again that is a failure of the source, and no more: its tokens are accepted as soon as it is
//! verified. Whoever runs the server decides what may have been missed, and revokes it, such as with
//! [`super::Record::issuer`]. What a paused stream holds back comes when it is enabled.
//!
//! What it does not do: it creates no stream and adds no subject at the transmitter; it passes nothing
//! on to other processes; it reads no events as they were before SSF 1.0, whose subject is inside the
//! event.
//!
//! Deployment: a pushed stream proves nothing before the server takes requests, so that a warm-up
//! before that cannot see it fresh; with a journal it is as fresh as it was before the restart.

mod check;
mod config;
mod delivery;
mod effects;
mod error;
mod exchange;
mod inbound;
mod judging;
mod kind;
mod liveness;
mod matching;
mod outbound;
mod owed;
mod poller;
mod receiver;
mod stream;
mod streams;
mod subject;
mod subjects;
mod token;
mod transmitter;
mod verifying;

#[cfg(test)]
mod tests;

pub(crate) use check::StreamSetting;
pub use config::{DangerousEventStream, EventStream};
pub use delivery::{Poll, Push, Verification};
pub use effects::{AssuranceAction, RiskAction};
pub use error::{SetError, SetErrorCode};
pub use inbound::AuthorizationValue;
pub use kind::{AssuranceChange, Compliance, CredentialChange, EventKind, RiskLevel, StreamStatus};
pub use receiver::EventReceiver;
pub(crate) use stream::Stream;
pub use subject::SubjectId;
pub use subjects::Subjects;
pub use token::{SecurityEvent, SecurityEventToken, SetRules};
