//! Which tokens a subject is about. Pure.

use super::error::SetError;
use super::subject::SubjectId;
use super::subjects::Subjects;
use crate::revocation::record::{Claim, Claims, Target};

/// Why a subject says nothing of tokens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Miss {
    /// No claim is known for it, or not for enough of it.
    NoClaim,
    /// Nor for this member, which the transmitter calls critical (SSF §3.6).
    Critical(Box<str>),
}

/// Tokens that a subject is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Matched {
    /// `None`: any issuer that the source speaks for.
    pub(super) issuer: Option<Box<str>>,
    pub(super) target: Target,
    /// Whether that whose state an event tells of could not be told apart from others: a device, say,
    /// of whose user nothing but the name is known.
    pub(super) blurred: bool,
}

/// One way to read one identifier.
struct Reading<'a> {
    issuer: Option<&'a str>,
    claim: &'a Claim,
    value: &'a str,
}

/// What the members of a complex subject add up to so far.
#[derive(Clone, Default)]
struct Sum {
    issuer: Option<Box<str>>,
    claims: Option<Claims>,
    /// Whether a user or a session is among them.
    somebody: bool,
    left_out: Vec<Box<str>>,
}

impl Subjects {
    /// The most tokens, or sets of tokens, that one event can name.
    const MOST: usize = 64;

    /// The tokens that a subject is about. `principal` is the member that the event tells of; a simple
    /// subject is that member. `issuers` are those that the source speaks for.
    pub(super) fn targets(
        &self,
        subject: &SubjectId,
        principal: &str,
        issuers: &[Box<str>],
        critical: &[Box<str>],
    ) -> Result<Result<Vec<Matched>, Miss>, SetError> {
        match subject {
            SubjectId::Complex(members) => self.complex(members, principal, issuers, critical),
            simple => {
                let matched = self.simple(simple, principal);
                Ok(if matched.is_empty() { Err(Miss::NoClaim) } else { Ok(matched) })
            }
        }
    }

    fn simple(&self, subject: &SubjectId, principal: &str) -> Vec<Matched> {
        if let SubjectId::Aliases(aliases) = subject {
            return aliases.iter().flat_map(|alias| self.simple(alias, principal)).collect();
        }
        if let SubjectId::JwtId { issuer, jti } = subject {
            let (issuer, target) = (Some(issuer.clone()), Target::Token(jti.clone()));
            return vec![Matched { issuer, target, blurred: false }];
        }
        let readings = match (principal, subject) {
            // CAEP §3.1.2: an opaque subject is the session; and it is a user where that was said.
            ("session", SubjectId::Opaque(_)) => {
                let mut readings = self.readings(subject, principal);
                readings.extend(self.readings(subject, "user"));
                readings
            }
            // Others name somebody, all of whose sessions are meant.
            ("session", _) => self.readings(subject, "user"),
            _ => self.readings(subject, principal),
        };
        let matched = readings.into_iter().map(|Reading { issuer, claim, value }| Matched {
            issuer: issuer.map(Into::into),
            target: Target::Claims(Claims::one(claim.clone(), value)),
            blurred: false,
        });
        let mut unique: Vec<Matched> = Vec::new();
        for one in matched {
            if !unique.contains(&one) {
                unique.push(one);
            }
        }
        unique
    }

    /// CAEP-03: all members that claims are known for. If there are others, the rest counts only if a
    /// user or a session is in it.
    fn complex(
        &self,
        members: &[(Box<str>, SubjectId)],
        principal: &str,
        issuers: &[Box<str>],
        critical: &[Box<str>],
    ) -> Result<Result<Vec<Matched>, Miss>, SetError> {
        let somebody = |name: &str| matches!(name, "user" | "session");
        // The issuer of a user is the issuer of the tokens. That of a device need not be: then tokens
        // do not say what the device is called there.
        let mut ordered: Vec<_> = members.iter().collect();
        ordered.sort_by_key(|(name, _)| (**name != *"user", !somebody(name)));
        let known = |name: &str, reading: &Reading<'_>| {
            somebody(name)
                || reading
                    .issuer
                    .is_none_or(|issuer| issuers.iter().any(|known| **known == *issuer))
        };
        let mut sums = vec![Sum::default()];
        for (name, subject) in ordered {
            let mut next = Vec::new();
            for sum in sums {
                let readings = self.readings(subject, name).into_iter();
                let fits = |reading: &Reading<'_>| sum.agrees(reading) && known(name, reading);
                let mut fitting = readings.filter(fits).peekable();
                if fitting.peek().is_none() {
                    next.push(sum.without(name));
                    continue;
                }
                next.extend(fitting.map(|reading| sum.with(&reading, somebody(name))));
                if next.len() > Self::MOST {
                    let what = "the subject has more aliases than can be told apart";
                    return Err(SetError::request(what));
                }
            }
            sums = next;
        }
        let lost = |sum: &Sum| sum.left_out.iter().find(|name| critical.contains(name)).cloned();
        if let Some(member) = sums.iter().find_map(lost) {
            return Ok(Err(Miss::Critical(member)));
        }
        let matched: Vec<Matched> = sums
            .into_iter()
            .filter(|sum| sum.left_out.is_empty() || sum.somebody)
            .filter_map(|sum| {
                let blurred = sum.left_out.iter().any(|name| **name == *principal);
                Some(Matched { issuer: sum.issuer, target: Target::Claims(sum.claims?), blurred })
            })
            .collect();
        Ok(if matched.is_empty() { Err(Miss::NoClaim) } else { Ok(matched) })
    }

    /// Every way to read an identifier that stands for this member.
    fn readings<'a>(&'a self, subject: &'a SubjectId, member: &str) -> Vec<Reading<'a>> {
        if let SubjectId::Aliases(aliases) = subject {
            return aliases.iter().flat_map(|alias| self.readings(alias, member)).collect();
        }
        let (issuer, value) = match subject {
            SubjectId::IssuerSubject { issuer, subject } => (Some(&**issuer), subject),
            SubjectId::Account(value)
            | SubjectId::Email(value)
            | SubjectId::Opaque(value)
            | SubjectId::PhoneNumber(value)
            | SubjectId::Did(value)
            | SubjectId::Uri(value) => (None, value),
            _ => return Vec::new(),
        };
        let claim = match (member, issuer) {
            ("user", Some(_)) => Some(&Claim::Subject),
            ("user", None) => {
                let format = subject.format();
                self.formats.iter().find(|(known, _)| *known == format).map(|(_, claim)| claim)
            }
            _ => self.members.iter().find(|(known, _)| **known == *member).map(|(_, claim)| claim),
        };
        claim.map(|claim| Reading { issuer, claim, value }).into_iter().collect()
    }
}

impl Sum {
    fn agrees(&self, reading: &Reading<'_>) -> bool {
        match (&self.issuer, reading.issuer) {
            (Some(known), Some(other)) => **known == *other,
            _ => true,
        }
    }

    fn with(&self, reading: &Reading<'_>, somebody: bool) -> Self {
        let mut sum = self.clone();
        sum.issuer = sum.issuer.or_else(|| reading.issuer.map(Into::into));
        sum.somebody |= somebody;
        let (claim, value) = (reading.claim.clone(), reading.value);
        sum.claims = Some(match sum.claims.take() {
            Some(claims) => claims.and(claim, value),
            None => Claims::one(claim, value),
        });
        sum
    }

    fn without(mut self, name: &str) -> Self {
        self.left_out.push(name.into());
        self
    }
}
