//! What events do to tokens: CAEP §3 and RISC §2 leave it to the receiver (SSF §4.1.5). Pure.

use super::error::SetError;
use super::kind::{AssuranceChange, Compliance, CredentialChange, EventKind, RiskLevel};
use super::matching::Miss;
use super::subject::SubjectId;
use super::subjects::Subjects;
use super::token::SecurityEvent;
use crate::revocation::record::{Effect, Hold, Record, Target};

/// What a high risk does (CAEP §3.8). A lower one takes it back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum RiskAction {
    /// All tokens are refused, until the risk is lower.
    #[default]
    Refuse,
    /// The user has to authenticate again (RFC 9470), until the risk is lower.
    StepUp,
    /// Nothing.
    Ignore,
}

/// What it does when the assurance level of a user has gone down, or may have (CAEP §3.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum AssuranceAction {
    /// Tokens that were issued up to then need the user to authenticate again (RFC 9470).
    #[default]
    StepUp,
    /// They are refused.
    Refuse,
}

impl RiskAction {
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Refuse => "refuse",
            Self::StepUp => "step_up",
            Self::Ignore => "ignore",
        }
    }
}

impl AssuranceAction {
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::StepUp => "step_up",
            Self::Refuse => "refuse",
        }
    }
}

/// What events are made of.
#[derive(Clone, Debug)]
pub(super) struct Effects {
    pub(super) subjects: Subjects,
    pub(super) risk: RiskAction,
    pub(super) assurance: AssuranceAction,
    /// The token issuers that the source speaks for.
    pub(super) issuers: Box<[Box<str>]>,
    /// The members of complex subjects without which an event is thrown away (SSF §3.6), beside those
    /// of the metadata.
    pub(super) critical: Vec<Box<str>>,
}

/// What an event says of tokens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Said {
    /// This. There is at least one.
    Records(Vec<Record>),
    /// Nothing, by its nature.
    Nothing,
    /// Nothing that could be used.
    Unusable(String),
}

impl Effects {
    /// What an event says of tokens. `critical` are the critical members of the metadata.
    pub(super) fn of(
        &self,
        event: &SecurityEvent,
        critical: &[Box<str>],
    ) -> Result<Said, SetError> {
        let kind = event.kind();
        if matches!(kind, EventKind::IdentifierChanged | EventKind::IdentifierRecycled)
            && !is_identifier(event.subject())
        {
            // RISC §2.5, §2.6.
            return Err(SetError::request("the subject is neither `email` nor `phone_number`"));
        }
        let effects = self.of_kind(kind);
        if effects.is_empty() {
            return Ok(match kind {
                EventKind::Other => Said::Unusable("an event of an unknown type".to_owned()),
                _ => Said::Nothing,
            });
        }
        let unusable = |why: &str| {
            let (kind, format) = (kind.as_str(), shown(event.subject()));
            Ok(Said::Unusable(format!("{kind} about a subject `{format}`: {why}")))
        };
        let principal = principal(kind);
        let subjects = &self.subjects;
        let critical = [&self.critical, critical].concat();
        let targets = subjects.targets(event.subject(), &principal, &self.issuers, &critical)?;
        let matched = match targets {
            Ok(matched) => matched,
            Err(Miss::NoClaim) => return unusable("no claim of tokens is known for it"),
            Err(Miss::Critical(member)) => {
                // It is one of the names that the metadata has.
                return unusable(&format!("no claim is known for `{member}`, which is critical"));
            }
        };
        let mut records = Vec::new();
        for one in matched {
            let effects = effects.iter().copied();
            for effect in effects.filter_map(|effect| restricted(effect, &one.target, one.blurred))
            {
                let mut record = |issuer: &str| {
                    records.push(Record::new(issuer, one.target.clone(), effect, event.at()));
                };
                match &one.issuer {
                    Some(issuer) => record(issuer),
                    None => self.issuers.iter().for_each(|issuer| record(issuer)),
                }
            }
        }
        if records.is_empty() {
            return unusable("whose state it is cannot be told");
        }
        Ok(Said::Records(records))
    }

    fn of_kind(&self, kind: &EventKind) -> &'static [Effect] {
        match kind {
            EventKind::SessionRevoked
            | EventKind::SessionsRevoked
            | EventKind::TokenClaimsChange
            | EventKind::AccountCredentialChangeRequired
            | EventKind::CredentialCompromise
            | EventKind::IdentifierChanged
            | EventKind::IdentifierRecycled => &[Effect::Refuse],
            EventKind::CredentialChange(change) => match change {
                CredentialChange::Revoke | CredentialChange::Update | CredentialChange::Delete => {
                    &[Effect::Refuse]
                }
                CredentialChange::Create => &[],
            },
            EventKind::AssuranceLevelChange(change) => match (change, self.assurance) {
                (AssuranceChange::Increase, _) => &[],
                (_, AssuranceAction::StepUp) => &[Effect::StepUp],
                (_, AssuranceAction::Refuse) => &[Effect::Refuse],
            },
            EventKind::DeviceComplianceChange(Compliance::NotCompliant) => {
                &[Effect::Hold(Hold::Device)]
            }
            EventKind::DeviceComplianceChange(Compliance::Compliant) => {
                &[Effect::Release(Hold::Device)]
            }
            EventKind::RiskLevelChange { level, .. } => match (level, self.risk) {
                (_, RiskAction::Ignore) => &[],
                (RiskLevel::High, RiskAction::Refuse) => &[Effect::Hold(Hold::Risk)],
                (RiskLevel::High, RiskAction::StepUp) => &[Effect::HoldForStepUp(Hold::Risk)],
                (RiskLevel::Low | RiskLevel::Medium, _) => &[Effect::Release(Hold::Risk)],
            },
            // What was issued before stays refused when the account is enabled again.
            EventKind::AccountDisabled => &[Effect::Hold(Hold::Account), Effect::Refuse],
            EventKind::AccountEnabled => &[Effect::Release(Hold::Account)],
            EventKind::AccountPurged => &[Effect::Purge],
            EventKind::SessionEstablished
            | EventKind::SessionPresented
            | EventKind::OptInOrOut
            | EventKind::Recovery
            | EventKind::Verification { .. }
            | EventKind::StreamUpdated(_)
            | EventKind::Other => &[],
        }
    }
}

/// The member of a complex subject that the event tells of; a simple subject is that member.
fn principal(kind: &EventKind) -> String {
    match kind {
        EventKind::SessionRevoked => "session".to_owned(),
        EventKind::DeviceComplianceChange(_) => "device".to_owned(),
        EventKind::RiskLevelChange { principal, .. } => principal.to_ascii_lowercase(),
        _ => "user".to_owned(),
    }
}

/// What is left of an effect on this target.
///
/// A state of something that cannot be told apart from others is not kept: the next event about one
/// of the others would take it back. What it would refuse is refused up to then.
///
/// A token has no state: whatever is said against it ends it.
fn restricted(effect: Effect, target: &Target, blurred: bool) -> Option<Effect> {
    let token = matches!(target, Target::Token(_));
    match effect {
        Effect::Release(_) if token || blurred => None,
        _ if token => Some(Effect::Refuse),
        Effect::Hold(_) if blurred => Some(Effect::Refuse),
        Effect::HoldForStepUp(_) if blurred => Some(Effect::StepUp),
        other => Some(other),
    }
}

/// What identifier events are about.
fn is_identifier(subject: &SubjectId) -> bool {
    match subject {
        SubjectId::Email(_) | SubjectId::PhoneNumber(_) => true,
        SubjectId::Aliases(aliases) => aliases.iter().all(is_identifier),
        _ => false,
    }
}

/// A format is the transmitter's to choose: only known ones are named.
fn shown(subject: &SubjectId) -> &str {
    match subject {
        SubjectId::Other(_) => "other",
        known => known.format(),
    }
}
