//! Whether a SET is the transmitter's, and what it says.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::effects::Said;
use super::error::{SetError, SetErrorCode};
use super::kind::{EventKind, StreamStatus};
use super::stream::Stream;
use super::subject::SubjectId;
use super::token::{SecurityEvent, SecurityEventToken};
use crate::issuer::{Attempt, IssuerKeys, KeyMiss, KeySearchError, KeyState, Remedy};
use crate::jose::KeyChoiceError;
use crate::revocation::record::Record;
use crate::revocation::source::SourceHandle;
use crate::time::{Moment, Timestamp};

/// A SET that is good, and what it says.
pub(super) struct Judged {
    pub(super) jti: Box<str>,
    pub(super) at: Timestamp,
    pub(super) meaning: Meaning,
}

/// What a good SET says.
pub(super) enum Meaning {
    /// Of tokens.
    Records(Vec<Record>),
    /// Nothing of tokens.
    Nothing,
    /// Nothing that could be used.
    Unusable(String),
    /// That the stream is alive; it is `stream_id` that says so.
    Verification { state: Option<Box<str>>, stream_id: Box<str> },
    /// What the stream does; it is `stream_id` that says so.
    Updated { status: StreamStatus, stream_id: Box<str> },
}

/// Why a SET is not taken.
#[derive(Clone, Debug)]
pub(super) enum NotTaken {
    /// It is not proven to be the transmitter's: anybody can have made it.
    Unproven(SetError),
    /// It is the transmitter's, and bad.
    Refused(SetError),
    /// It cannot be told whose it is: it has to come again.
    NotJudged(String),
    /// It is the transmitter's, can be good, and has to come again.
    NotNow(String),
}

/// Who gave a SET.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Giver {
    /// Whoever answers at the transmitter's URL, or showed what the transmitter shows.
    Transmitter,
    /// Anybody.
    Stranger,
}

impl NotTaken {
    /// In words.
    pub(super) fn why(self) -> String {
        match self {
            Self::Unproven(error) | Self::Refused(error) => error.to_string(),
            Self::NotJudged(why) | Self::NotNow(why) => why,
        }
    }
}

impl From<SetError> for NotTaken {
    fn from(error: SetError) -> Self {
        Self::Refused(error)
    }
}

impl Stream {
    /// Reads a SET that came at this moment, and verifies it. Nothing has happened yet; what has to come
    /// again is owed from now on. Of what strangers give this is said only where it is proven to be the
    /// transmitter's.
    pub(super) async fn judge(
        &self,
        set: &str,
        came: Moment,
        giver: Giver,
        handle: &SourceHandle,
    ) -> Result<Judged, NotTaken> {
        let judged = self.only_judge(set, came).await;
        let jti = || SecurityEventToken::read(set, &self.rules).ok()?.jti();
        let known = giver == Giver::Transmitter;
        match &judged {
            Ok(judged) => self.owed.judged(&judged.jti),
            Err(NotTaken::Unproven(_)) if known => {
                jti().inspect(|jti| self.owed.judged(jti));
            }
            Err(NotTaken::NotJudged(_)) if known => {
                let within = handle.max_age().saturating_mul(2);
                jti().inspect(|jti| self.owed.not_judged(jti, came, within));
            }
            Err(NotTaken::Unproven(_) | NotTaken::NotJudged(_)) => {}
            Err(NotTaken::Refused(_)) => {
                jti().inspect(|jti| self.owed.ended(jti));
            }
            Err(NotTaken::NotNow(_)) => {
                jti().inspect(|jti| self.owed.not_taken(jti));
            }
        }
        judged
    }

    async fn only_judge(&self, set: &str, came: Moment) -> Result<Judged, NotTaken> {
        let set = SecurityEventToken::read(set, &self.rules).map_err(NotTaken::Unproven)?;
        let known = self.transmitter.known().await;
        let known = known.map_err(|error| NotTaken::NotJudged(error.to_string()))?;
        let event = self.verify(&set, &known.keys, came).await?;
        let own = || match event.subject() {
            // SSF §8.1.4.1, §8.1.5.
            SubjectId::Opaque(stream_id) => Ok(stream_id.clone()),
            _ => Err(SetError::request("the subject of an event about a stream is not `opaque`")),
        };
        let meaning = match event.kind() {
            EventKind::Verification { state } => {
                Meaning::Verification { state: state.clone(), stream_id: own()? }
            }
            EventKind::StreamUpdated(status) => {
                Meaning::Updated { status: *status, stream_id: own()? }
            }
            _ => match self.effects.of(&event, &known.metadata.critical)? {
                Said::Records(records) => Meaning::Records(records),
                Said::Nothing => Meaning::Nothing,
                Said::Unusable(why) => Meaning::Unusable(why),
            },
        };
        Ok(Judged { jti: event.jti().into(), at: event.at(), meaning })
    }

    /// Verifies a SET. Before it is refused for its key, keys that were read before it came are read
    /// again, as often as any unknown key lets them be: a key can change under its name.
    async fn verify(
        &self,
        set: &SecurityEventToken<'_>,
        keys: &Arc<IssuerKeys>,
        came: Moment,
    ) -> Result<SecurityEvent, NotTaken> {
        let clock = self.transmitter.clock();
        let mut attempt = Attempt::First;
        loop {
            let key = keys.find_or_fetch(set.kid(), set.algorithm(), &**clock).await;
            let were_read = were_read(keys, clock.moment().since(came));
            let error = match key {
                Ok(key) => match set.verify(&key, clock.now()) {
                    Ok(event) => return Ok(event),
                    Err(error) if error.code() == SetErrorCode::InvalidKey => error,
                    Err(error) if error.is_early() => {
                        return Err(NotTaken::NotNow(error.description().to_owned()));
                    }
                    Err(error) => return Err(NotTaken::Refused(error)),
                },
                Err(KeySearchError::Choice(KeyChoiceError::Unknown)) if !were_read => {
                    return Err(not_read(KeyChoiceError::Unknown));
                }
                Err(KeySearchError::Choice(choice)) => {
                    let error = SetError::new(SetErrorCode::InvalidKey, choice.to_string());
                    return Err(NotTaken::Unproven(error));
                }
                Err(error @ KeySearchError::NoKeys(_)) => {
                    return Err(NotTaken::NotJudged(error.to_string()));
                }
            };
            if were_read {
                return Err(NotTaken::Unproven(error));
            }
            let miss = KeyMiss::Choice(KeyChoiceError::Unknown);
            match keys.remedy(miss, clock.moment(), attempt) {
                Remedy::Wait(wait) => wait.await,
                Remedy::Again | Remedy::None | Remedy::Later { .. } => {
                    return Err(not_read(error.description()));
                }
            }
            attempt = Attempt::AfterWait;
        }
    }
}

fn not_read(what: impl fmt::Display) -> NotTaken {
    NotTaken::NotJudged(format!("{what}, and the transmitter's keys were not read again yet"))
}

/// Whether the transmitter was asked for its keys within this time, or never is: then a key that is not
/// among them is not its. A SET with a new key must not be refused because its key could not be asked
/// for: whoever hears "bad" sends it no more.
fn were_read(keys: &IssuerKeys, within: Duration) -> bool {
    let health = keys.health();
    health.state == KeyState::Fixed || health.age.is_some_and(|age| age <= within)
}
