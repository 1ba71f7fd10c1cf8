//! Types of events (SSF §8.1.4, §8.1.5, CAEP §3, RISC §2), and what of each matters.

use std::fmt;

use super::error::SetError;
use crate::jose::json::{Object, Value};

/// What happened, by its event type. Its `Debug` is its name.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum EventKind {
    /// CAEP `session-revoked`.
    SessionRevoked,
    /// CAEP `token-claims-change`.
    TokenClaimsChange,
    /// CAEP `credential-change`.
    CredentialChange(CredentialChange),
    /// CAEP `assurance-level-change`.
    AssuranceLevelChange(AssuranceChange),
    /// CAEP `device-compliance-change`.
    DeviceComplianceChange(Compliance),
    /// CAEP `session-established`.
    SessionEstablished,
    /// CAEP `session-presented`.
    SessionPresented,
    /// CAEP `risk-level-change`.
    #[non_exhaustive]
    RiskLevelChange {
        /// Whose risk, such as `USER`: it tells which member of the subject is meant.
        principal: Box<str>,
        /// The level now.
        level: RiskLevel,
    },
    /// RISC `account-credential-change-required`.
    AccountCredentialChangeRequired,
    /// RISC `account-purged`.
    AccountPurged,
    /// RISC `account-disabled`.
    AccountDisabled,
    /// RISC `account-enabled`.
    AccountEnabled,
    /// RISC `identifier-changed`.
    IdentifierChanged,
    /// RISC `identifier-recycled`.
    IdentifierRecycled,
    /// RISC `credential-compromise`.
    CredentialCompromise,
    /// RISC `sessions-revoked`, which is deprecated.
    SessionsRevoked,
    /// RISC `opt-in`, `opt-out-initiated`, `opt-out-cancelled`, `opt-out-effective`: whether events
    /// about somebody are exchanged.
    OptInOrOut,
    /// RISC `recovery-activated`, `recovery-information-changed`.
    Recovery,
    /// SSF `verification`.
    #[non_exhaustive]
    Verification {
        /// What it was asked for with; `None`: nobody asked.
        state: Option<Box<str>>,
    },
    /// SSF `stream-updated`.
    StreamUpdated(StreamStatus),
    /// Another type, which has no meaning here.
    Other,
}

/// What became of a credential.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum CredentialChange {
    /// There is a further one.
    Create,
    /// It is revoked.
    Revoke,
    /// It is another one.
    Update,
    /// It is gone.
    Delete,
}

/// Which way an assurance level went.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum AssuranceChange {
    /// Up, or it stayed.
    Increase,
    /// Down.
    Decrease,
    /// The transmitter does not know, or does not say: it may have gone down.
    Unknown,
}

/// Whether a device complies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Compliance {
    /// It does.
    Compliant,
    /// It does not.
    NotCompliant,
}

/// How high a risk is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum RiskLevel {
    /// `LOW`.
    Low,
    /// `MEDIUM`.
    Medium,
    /// `HIGH`.
    High,
}

/// Whether a stream transmits (SSF §8.1.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum StreamStatus {
    /// It does.
    Enabled,
    /// It holds events back.
    Paused,
    /// It does not, and events are lost.
    Disabled,
}

impl StreamStatus {
    /// The word for it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Enabled => "enabled",
            Self::Paused => "paused",
            Self::Disabled => "disabled",
        }
    }

    pub(super) fn parse(status: &str) -> Option<Self> {
        [Self::Enabled, Self::Paused, Self::Disabled]
            .into_iter()
            .find(|known| known.as_str() == status)
    }
}

const CAEP: &str = "https://schemas.openid.net/secevent/caep/event-type/";
const RISC: &str = "https://schemas.openid.net/secevent/risc/event-type/";
const SSF: &str = "https://schemas.openid.net/secevent/ssf/event-type/";
/// Before it was final, SSF was called SSE: the same types under another name.
const SSE: &str = "https://schemas.openid.net/secevent/sse/event-type/";

impl EventKind {
    /// Reads an event: the name of its type, and what is said of it. Members that the type does not
    /// have are ignored (SSF §4.2.3).
    ///
    /// # Errors
    /// If a member is absent that the type wants, is of another type, or has a value that its
    /// definition does not have.
    pub fn parse(event_type: &str, event: &Object<'_>) -> Result<Self, SetError> {
        let members = Members(event);
        if let Some(name) = event_type.strip_prefix(CAEP) {
            return Self::caep(name, &members);
        }
        if let Some(name) = event_type.strip_prefix(RISC) {
            return Self::risc(name, &members);
        }
        let name = event_type.strip_prefix(SSF).or_else(|| event_type.strip_prefix(SSE));
        Ok(match name {
            Some("verification") => Self::Verification { state: members.text("state")? },
            Some("stream-updated") => {
                let status = members.required("status")?;
                let status =
                    StreamStatus::parse(&status).ok_or_else(|| Members::value("status"))?;
                Self::StreamUpdated(status)
            }
            _ => Self::Other,
        })
    }

    /// What the names of one type have in common, and of two types not.
    pub(super) fn one_name(event_type: &str) -> &str {
        let ssf = event_type.strip_prefix(SSF).or_else(|| event_type.strip_prefix(SSE));
        ssf.unwrap_or(event_type)
    }

    fn caep(name: &str, members: &Members<'_>) -> Result<Self, SetError> {
        Ok(match name {
            "session-revoked" => Self::SessionRevoked,
            "token-claims-change" => {
                let claims = members.0.member("claims").and_then(Value::as_object);
                claims.ok_or_else(|| SetError::request("the event has no object `claims`"))?;
                Self::TokenClaimsChange
            }
            "credential-change" => {
                members.required("credential_type")?;
                Self::CredentialChange(match &*members.required("change_type")? {
                    "create" => CredentialChange::Create,
                    "revoke" => CredentialChange::Revoke,
                    "update" => CredentialChange::Update,
                    "delete" => CredentialChange::Delete,
                    _ => return Err(Members::value("change_type")),
                })
            }
            "assurance-level-change" => {
                members.required("namespace")?;
                let current = members.required("current_level")?;
                let previous = members.text("previous_level")?;
                let direction = members.text("change_direction")?;
                Self::AssuranceLevelChange(match direction.as_deref() {
                    Some("increase") => AssuranceChange::Increase,
                    Some("decrease") => AssuranceChange::Decrease,
                    Some(_) => return Err(Members::value("change_direction")),
                    None if previous.as_deref() == Some(&*current) => AssuranceChange::Increase,
                    None => AssuranceChange::Unknown,
                })
            }
            "device-compliance-change" => {
                let status = |name| match &*members.required(name)? {
                    "compliant" => Ok(Compliance::Compliant),
                    "not-compliant" => Ok(Compliance::NotCompliant),
                    _ => Err(Members::value(name)),
                };
                status("previous_status")?;
                Self::DeviceComplianceChange(status("current_status")?)
            }
            "session-established" => Self::SessionEstablished,
            "session-presented" => Self::SessionPresented,
            "risk-level-change" => Self::RiskLevelChange {
                principal: members.required("principal")?,
                level: match &*members.required("current_level")? {
                    "LOW" => RiskLevel::Low,
                    "MEDIUM" => RiskLevel::Medium,
                    "HIGH" => RiskLevel::High,
                    _ => return Err(Members::value("current_level")),
                },
            },
            _ => Self::Other,
        })
    }

    fn risc(name: &str, members: &Members<'_>) -> Result<Self, SetError> {
        Ok(match name {
            "account-credential-change-required" => Self::AccountCredentialChangeRequired,
            "account-purged" => Self::AccountPurged,
            "account-disabled" => Self::AccountDisabled,
            "account-enabled" => Self::AccountEnabled,
            "identifier-changed" => Self::IdentifierChanged,
            "identifier-recycled" => Self::IdentifierRecycled,
            "credential-compromise" => {
                members.required("credential_type")?;
                Self::CredentialCompromise
            }
            "sessions-revoked" => Self::SessionsRevoked,
            "opt-in" | "opt-out-initiated" | "opt-out-cancelled" | "opt-out-effective" => {
                Self::OptInOrOut
            }
            "recovery-activated" | "recovery-information-changed" => Self::Recovery,
            _ => Self::Other,
        })
    }

    /// A short name in snake case, for logs and metric labels.
    #[must_use]
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::SessionRevoked => "session_revoked",
            Self::TokenClaimsChange => "token_claims_change",
            Self::CredentialChange(_) => "credential_change",
            Self::AssuranceLevelChange(_) => "assurance_level_change",
            Self::DeviceComplianceChange(_) => "device_compliance_change",
            Self::SessionEstablished => "session_established",
            Self::SessionPresented => "session_presented",
            Self::RiskLevelChange { .. } => "risk_level_change",
            Self::AccountCredentialChangeRequired => "account_credential_change_required",
            Self::AccountPurged => "account_purged",
            Self::AccountDisabled => "account_disabled",
            Self::AccountEnabled => "account_enabled",
            Self::IdentifierChanged => "identifier_changed",
            Self::IdentifierRecycled => "identifier_recycled",
            Self::CredentialCompromise => "credential_compromise",
            Self::SessionsRevoked => "sessions_revoked",
            Self::OptInOrOut => "opt_in_or_out",
            Self::Recovery => "recovery",
            Self::Verification { .. } => "verification",
            Self::StreamUpdated(_) => "stream_updated",
            Self::Other => "other",
        }
    }
}

impl fmt::Debug for EventKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The members of an event.
struct Members<'a>(&'a Object<'a>);

impl Members<'_> {
    /// A string, if it is there.
    fn text(&self, name: &'static str) -> Result<Option<Box<str>>, SetError> {
        let Some(value) = self.0.member(name) else { return Ok(None) };
        let text = value.as_str().map(Into::into);
        let wrong = || SetError::request(format!("`{name}` of the event is not a string"));
        text.map(Some).ok_or_else(wrong)
    }

    fn required(&self, name: &'static str) -> Result<Box<str>, SetError> {
        let text = self.text(name)?.filter(|text| !text.is_empty());
        text.ok_or_else(|| SetError::request(format!("the event has no `{name}`")))
    }

    /// A value that the definition of the event does not have.
    fn value(name: &'static str) -> SetError {
        SetError::request(format!("`{name}` of the event has a value that its definition lacks"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(event_type: &str, event: &str) -> Result<EventKind, SetError> {
        EventKind::parse(event_type, &Object::parse(event.as_bytes()).unwrap())
    }

    /// CAEP-04 to CAEP-07, CAEP-09, RISC-01 to RISC-05: what each type wants, and each member that
    /// it wants missing, of another type, or with a value that there is not.
    #[test]
    fn events_have_the_members_that_their_definition_wants() {
        use EventKind as Kind;
        let risk = |level| Kind::RiskLevelChange { principal: "USER".into(), level };
        let assurance = Kind::AssuranceLevelChange;
        for (event_type, event, expected, wanted) in [
            ("caep/event-type/session-revoked", "{}", Kind::SessionRevoked, &[][..]),
            (
                "caep/event-type/token-claims-change",
                r#"{"claims":{"role":"x"}}"#,
                Kind::TokenClaimsChange,
                &["claims"],
            ),
            (
                "caep/event-type/credential-change",
                r#"{"credential_type":"pin","change_type":"create"}"#,
                Kind::CredentialChange(CredentialChange::Create),
                &["credential_type", "change_type"],
            ),
            (
                "caep/event-type/credential-change",
                r#"{"credential_type":"any","change_type":"delete"}"#,
                Kind::CredentialChange(CredentialChange::Delete),
                &[],
            ),
            (
                "caep/event-type/assurance-level-change",
                r#"{"namespace":"x","current_level":"1","change_direction":"decrease"}"#,
                assurance(AssuranceChange::Decrease),
                &["namespace", "current_level"],
            ),
            (
                "caep/event-type/assurance-level-change",
                r#"{"namespace":"x","current_level":"1","change_direction":"increase"}"#,
                assurance(AssuranceChange::Increase),
                &[],
            ),
            (
                "caep/event-type/assurance-level-change",
                r#"{"namespace":"x","current_level":"1"}"#,
                assurance(AssuranceChange::Unknown),
                &[],
            ),
            (
                "caep/event-type/assurance-level-change",
                r#"{"namespace":"x","current_level":"1","previous_level":"2"}"#,
                assurance(AssuranceChange::Unknown),
                &[],
            ),
            (
                "caep/event-type/assurance-level-change",
                r#"{"namespace":"x","current_level":"1","previous_level":"1"}"#,
                assurance(AssuranceChange::Increase),
                &[],
            ),
            (
                "caep/event-type/device-compliance-change",
                r#"{"previous_status":"compliant","current_status":"not-compliant"}"#,
                Kind::DeviceComplianceChange(Compliance::NotCompliant),
                &["previous_status", "current_status"],
            ),
            (
                "caep/event-type/risk-level-change",
                r#"{"principal":"USER","current_level":"HIGH"}"#,
                risk(RiskLevel::High),
                &["principal", "current_level"],
            ),
            (
                "caep/event-type/risk-level-change",
                r#"{"principal":"USER","current_level":"MEDIUM"}"#,
                risk(RiskLevel::Medium),
                &[],
            ),
            ("caep/event-type/session-established", "{}", Kind::SessionEstablished, &[]),
            ("caep/event-type/session-presented", "{}", Kind::SessionPresented, &[]),
            (
                "risc/event-type/account-credential-change-required",
                "{}",
                Kind::AccountCredentialChangeRequired,
                &[],
            ),
            ("risc/event-type/account-purged", "{}", Kind::AccountPurged, &[]),
            (
                "risc/event-type/account-disabled",
                r#"{"reason":"hijacking"}"#,
                Kind::AccountDisabled,
                &[],
            ),
            ("risc/event-type/account-enabled", "{}", Kind::AccountEnabled, &[]),
            ("risc/event-type/identifier-changed", "{}", Kind::IdentifierChanged, &[]),
            ("risc/event-type/identifier-recycled", "{}", Kind::IdentifierRecycled, &[]),
            (
                "risc/event-type/credential-compromise",
                r#"{"credential_type":"password"}"#,
                Kind::CredentialCompromise,
                &["credential_type"],
            ),
            ("risc/event-type/sessions-revoked", "{}", Kind::SessionsRevoked, &[]),
            ("risc/event-type/opt-in", "{}", Kind::OptInOrOut, &[]),
            ("risc/event-type/opt-out-initiated", "{}", Kind::OptInOrOut, &[]),
            ("risc/event-type/opt-out-cancelled", "{}", Kind::OptInOrOut, &[]),
            ("risc/event-type/opt-out-effective", "{}", Kind::OptInOrOut, &[]),
            ("risc/event-type/recovery-activated", "{}", Kind::Recovery, &[]),
            ("risc/event-type/recovery-information-changed", "{}", Kind::Recovery, &[]),
            (
                "ssf/event-type/verification",
                r#"{"state":"s"}"#,
                Kind::Verification { state: Some("s".into()) },
                &[],
            ),
            ("ssf/event-type/verification", "{}", Kind::Verification { state: None }, &[]),
            ("sse/event-type/verification", "{}", Kind::Verification { state: None }, &[]),
            (
                "ssf/event-type/stream-updated",
                r#"{"status":"paused"}"#,
                Kind::StreamUpdated(StreamStatus::Paused),
                &["status"],
            ),
            ("caep/event-type/something-new", "{}", Kind::Other, &[]),
            ("risc/event-type/session-revoked", "{}", Kind::Other, &[]),
            ("caep/event-type/Session-Revoked", "{}", Kind::Other, &[]),
        ] {
            let event_type = format!("https://schemas.openid.net/secevent/{event_type}");
            assert_eq!(read(&event_type, event), Ok(expected), "{event_type} {event}");
            for name in wanted {
                let named = format!("\"{name}\":");
                for other in [
                    event.replacen(&named, "\"absent\":", 1),
                    event.replacen(&named, &format!("\"{name}\":7,\"absent\":"), 1),
                    event.replacen(&named, &format!("\"{name}\":\"\",\"absent\":"), 1),
                ] {
                    let error = read(&event_type, &other).unwrap_err();
                    assert_eq!(error.code().as_str(), "invalid_request", "{other}");
                }
            }
        }
        assert_eq!(read("urn:example:event", "{}"), Ok(Kind::Other));
    }

    /// CAEP-05, CAEP-06, CAEP-07, CAEP-09, SSF-03.
    #[test]
    fn values_that_a_definition_lacks_are_refused() {
        for (event_type, event) in [
            ("caep/event-type/token-claims-change", r#"{"claims":["role"]}"#),
            (
                "caep/event-type/credential-change",
                r#"{"credential_type":"pin","change_type":"REVOKE"}"#,
            ),
            (
                "caep/event-type/assurance-level-change",
                r#"{"namespace":"x","current_level":"1","change_direction":"sideways"}"#,
            ),
            (
                "caep/event-type/assurance-level-change",
                r#"{"namespace":"x","current_level":"1","previous_level":2}"#,
            ),
            (
                "caep/event-type/device-compliance-change",
                r#"{"previous_status":"compliant","current_status":"unknown"}"#,
            ),
            ("caep/event-type/risk-level-change", r#"{"principal":"USER","current_level":"high"}"#),
            ("ssf/event-type/stream-updated", r#"{"status":"gone"}"#),
            ("ssf/event-type/verification", r#"{"state":7}"#),
        ] {
            let event_type = format!("https://schemas.openid.net/secevent/{event_type}");
            assert!(read(&event_type, event).is_err(), "{event_type} {event}");
        }
    }

    /// What a transmitter echoes is not printed.
    #[test]
    fn a_state_is_not_printed() {
        let kind = EventKind::Verification { state: Some("s3cret".into()) };
        assert_eq!(format!("{kind:?}"), "verification");
    }
}
