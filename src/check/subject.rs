use super::client::{issuer_fault, list_fault, named};
use super::{Check, CheckContext, CheckError, Denial, Needs};
use crate::access::SubjectKind;
use crate::error::ConfigFault;

/// The token's subject is one of these; else 403. With none, it is a fault of the policy.
///
/// A subject is unique only together with its issuer (RFC 7519 §4.1.2): with more than one issuer,
/// say [`RequireSubject::of_issuer`].
///
/// ```
/// use portcullis::check::subjects;
///
/// let operators = subjects(["248289761001"]).of_issuer("https://login.example.com");
/// # let _ = operators;
/// ```
#[must_use]
pub fn subjects<S: Into<String>>(subjects: impl IntoIterator<Item = S>) -> RequireSubject {
    RequireSubject::new(subjects.into_iter().map(Into::into).collect(), None)
}

/// The token is one of these issuers; else 403. With none, it is a fault of the policy.
///
/// It narrows a route: an issuer that the server does not trust is refused with 401 before any
/// check is asked.
///
/// ```
/// use portcullis::check::{Check, issuers, scope};
///
/// let staff = scope("admin").and(issuers(["https://staff.example.com"]));
/// # let _ = staff;
/// ```
#[must_use]
pub fn issuers<I: Into<String>>(issuers: impl IntoIterator<Item = I>) -> RequireIssuer {
    let issuers: Vec<String> = issuers.into_iter().map(Into::into).collect();
    let fault = list_fault("issuer", &issuers)
        .or_else(|| issuers.iter().find_map(|issuer| issuer_fault(Some(issuer))));
    RequireIssuer { issuers, fault }
}

/// The token speaks for one of these kinds of subject; else 403. With none, it is a fault of the
/// policy.
///
/// Without it, a client that acts for itself under an id that somebody also has as a user name
/// passes for that user (RFC 9068 §5, RFC 9700 §4.15). See [`SubjectKind`] for how the kind is
/// known; [`SubjectKind::Unknown`] is a kind of its own, and nothing else matches it.
///
/// ```
/// use portcullis::SubjectKind;
/// use portcullis::check::subject_kinds;
///
/// let users_only = subject_kinds([SubjectKind::Person]);
///
/// # #[cfg(feature = "testing")] {
/// use portcullis::testing::{TestAccess, check};
/// let alice = TestAccess::new().subject("alice").client_id("app").build();
/// let app = TestAccess::new().subject("app").client_id("app").build();
/// assert!(check(&users_only, &alice, "GET", "/").is_ok());
/// assert!(check(&users_only, &app, "GET", "/").is_err());
/// # }
/// ```
#[must_use]
pub fn subject_kinds(kinds: impl IntoIterator<Item = SubjectKind>) -> RequireSubjectKind {
    RequireSubjectKind(kinds.into_iter().collect())
}

/// The token speaks for this kind of subject: see [`subject_kinds`].
#[must_use]
pub fn subject_kind(kind: SubjectKind) -> RequireSubjectKind {
    subject_kinds([kind])
}

/// The check of [`subjects`].
#[derive(Clone, Debug)]
pub struct RequireSubject {
    subjects: Vec<String>,
    issuer: Option<String>,
    fault: Option<String>,
}

impl RequireSubject {
    fn new(subjects: Vec<String>, issuer: Option<String>) -> Self {
        let fault = list_fault("subject", &subjects).or_else(|| issuer_fault(issuer.as_deref()));
        Self { subjects, issuer, fault }
    }

    /// And the token is one of this issuer.
    #[must_use]
    pub fn of_issuer(self, issuer: impl Into<String>) -> Self {
        Self::new(self.subjects, Some(issuer.into()))
    }
}

impl Check for RequireSubject {
    fn check(&self, request: &CheckContext<'_>) -> Result<(), CheckError> {
        let access = request.access();
        let listed = self.subjects.iter().any(|subject| access.subject() == subject.as_str());
        let issuer = self.issuer.as_deref().is_none_or(|issuer| access.issuer() == issuer);
        if listed && issuer && self.fault.is_none() {
            return Ok(());
        }
        Err(Denial::forbidden("the token's subject is not one of those that may").into())
    }

    fn needs(&self, needs: &mut Needs) {
        if let Some(fault) = &self.fault {
            needs.fault(ConfigFault::Policy(fault.clone()));
        }
        if self.issuer.is_none() {
            needs.one_issuer("subjects");
        }
        needs.rule("subjects", named(&self.subjects, self.issuer.as_deref()));
    }
}

/// The check of [`issuers`].
#[derive(Clone, Debug)]
pub struct RequireIssuer {
    issuers: Vec<String>,
    fault: Option<String>,
}

impl Check for RequireIssuer {
    fn check(&self, request: &CheckContext<'_>) -> Result<(), CheckError> {
        let listed = self.issuers.iter().any(|issuer| request.access().issuer() == issuer.as_str());
        if listed && self.fault.is_none() {
            return Ok(());
        }
        Err(Denial::forbidden("the token's issuer is not one of those that may").into())
    }

    fn needs(&self, needs: &mut Needs) {
        if let Some(fault) = &self.fault {
            needs.fault(ConfigFault::Policy(fault.clone()));
        }
        needs.rule("issuers", &self.issuers);
    }
}

/// The check of [`subject_kinds`] and [`subject_kind`].
#[derive(Clone, Debug)]
pub struct RequireSubjectKind(Vec<SubjectKind>);

impl Check for RequireSubjectKind {
    fn check(&self, request: &CheckContext<'_>) -> Result<(), CheckError> {
        let kind = request.access().subject_kind();
        if self.0.contains(&kind) {
            return Ok(());
        }
        let found = kind.as_str();
        let wanted: Vec<_> = self.0.iter().map(|kind| kind.as_str()).collect();
        let wanted = wanted.join(" or ");
        Err(Denial::forbidden(format!("the subject is of kind {found}, wanted {wanted}")).into())
    }

    fn needs(&self, needs: &mut Needs) {
        if self.0.is_empty() {
            let fault = "no kind of subject is named; name at least one";
            needs.fault(ConfigFault::Policy(fault.to_owned()));
        }
        let kinds: Vec<_> = self.0.iter().map(|kind| kind.as_str()).collect();
        needs.rule("subject_kinds", kinds);
    }
}
