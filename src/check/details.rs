use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::client::list_fault;
use super::{Check, CheckContext, CheckError, Denial, Needs};
use crate::error::ConfigFault;
use crate::jose::{ClaimsSet, json as jose};
use crate::name::Audience;

/// The token's `authorization_details` (RFC 9396 §2) have an object of this type, with everything
/// that the methods of [`RequireDetail`] add; else 403 `insufficient_scope` without a scope, for
/// want of a code of its own.
///
/// 1. One object has to grant all of it: what several grant is not added up.
/// 2. An object whose `locations` are there and name none of this resource's audiences grants
///    nothing here (RFC 9396 §2.2).
/// 3. Objects of other types grant nothing and are no error. Neither is one whose common fields
///    are of another JSON type than RFC 9396 §2.2 says: it grants nothing.
/// 4. Texts are compared exactly, without case folding.
///
/// The metadata document lists the type in `authorization_details_types_supported`
/// (RFC 9728 §2). A claim that is not an array of objects with a `type` each is refused with 401
/// before any check is asked.
///
/// ```
/// use portcullis::check::{Check, CheckContext, authorization_detail, scope};
///
/// let payment = authorization_detail("payment_initiation").action("initiate").when(
///     |request: &CheckContext<'_>, detail| {
///         let currency = detail.member("instructedAmount").map(|amount| amount["currency"].clone());
///         request.method() == "POST" && currency.is_some_and(|currency| currency == "EUR")
///     },
/// );
///
/// # #[cfg(feature = "testing")] {
/// use portcullis::testing::{TestAccess, check};
/// use serde_json::json;
/// let detail = |actions: &[&str]| json!([{
///     "type": "payment_initiation",
///     "actions": actions,
///     "instructedAmount": { "currency": "EUR", "amount": "123.50" },
/// }]);
/// let may = TestAccess::new().claim("authorization_details", detail(&["initiate"])).build();
/// let may_not = TestAccess::new().claim("authorization_details", detail(&["status"])).build();
/// assert!(check(&payment, &may, "POST", "/payments").is_ok());
/// assert!(check(&payment, &may_not, "POST", "/payments").is_err());
/// # }
///
/// // Where both are wanted, both have to suffice.
/// let both = scope("payments").and(payment);
/// # let _ = both;
/// ```
#[must_use]
pub fn authorization_detail(detail_type: impl Into<String>) -> RequireDetail {
    RequireDetail {
        detail_type: detail_type.into(),
        actions: Vec::new(),
        locations: Vec::new(),
        datatypes: Vec::new(),
        privileges: Vec::new(),
        identifier: None,
        conditions: Vec::new(),
        fault: None,
    }
    .judged()
}

/// The check of [`authorization_detail`].
#[derive(Clone)]
pub struct RequireDetail {
    detail_type: String,
    actions: Vec<String>,
    locations: Vec<String>,
    datatypes: Vec<String>,
    privileges: Vec<String>,
    identifier: Option<String>,
    conditions: Vec<Arc<Condition>>,
    fault: Option<String>,
}

type Condition = dyn Fn(&CheckContext<'_>, &AuthorizationDetail<'_>) -> bool + Send + Sync;

impl RequireDetail {
    /// The object's `actions` have this one. Of several, all are wanted of one object.
    #[must_use]
    pub fn action(mut self, action: impl Into<String>) -> Self {
        self.actions.push(action.into());
        self.judged()
    }

    /// The object's `locations` have this one, or one of those given. They are wanted in place of
    /// this resource's audiences, and an object without `locations` grants nothing then.
    #[must_use]
    pub fn location(mut self, location: impl Into<String>) -> Self {
        self.locations.push(location.into());
        self.judged()
    }

    /// The object's `datatypes` have this one. Of several, all are wanted of one object.
    #[must_use]
    pub fn datatype(mut self, datatype: impl Into<String>) -> Self {
        self.datatypes.push(datatype.into());
        self.judged()
    }

    /// The object's `privileges` have this one. Of several, all are wanted of one object.
    #[must_use]
    pub fn privilege(mut self, privilege: impl Into<String>) -> Self {
        self.privileges.push(privilege.into());
        self.judged()
    }

    /// The object's `identifier` is this.
    #[must_use]
    pub fn identifier(mut self, identifier: impl Into<String>) -> Self {
        self.identifier = Some(identifier.into());
        self.judged()
    }

    /// And this is true of the request and the object. It is asked of an object that grants all
    /// the rest; of several conditions, all are wanted of one object.
    ///
    /// A false yes lets a request through that the detail does not grant. Where a member is absent
    /// or not understood, say no.
    #[must_use]
    pub fn when<F>(mut self, condition: F) -> Self
    where
        F: Fn(&CheckContext<'_>, &AuthorizationDetail<'_>) -> bool + Send + Sync + 'static,
    {
        self.conditions.push(Arc::new(condition));
        self
    }

    fn lists(&self) -> [(&'static str, &[String]); 4] {
        [
            ("action", &self.actions),
            ("location", &self.locations),
            ("datatype", &self.datatypes),
            ("privilege", &self.privileges),
        ]
    }

    /// Finds the fault while the check is made, so that no request looks for it.
    fn judged(mut self) -> Self {
        self.fault = self.find_fault();
        self
    }

    fn find_fault(&self) -> Option<String> {
        let singles = [("type", Some(&self.detail_type)), ("identifier", self.identifier.as_ref())];
        let of_single = singles.into_iter().find_map(|(what, text)| {
            text?.is_empty().then(|| {
                format!("the {what} of an authorization detail is empty: say it, or leave it out")
            })
        });
        let of_list = || {
            let given = self.lists().into_iter().filter(|(_, texts)| !texts.is_empty());
            let mut faults = given.filter_map(|(what, texts)| list_fault(what, texts));
            faults.next()
        };
        of_single.or_else(of_list)
    }

    fn is_granted_by(&self, detail: &AuthorizationDetail<'_>, request: &CheckContext<'_>) -> bool {
        detail.detail_type() == self.detail_type
            && has_all(&detail.actions, &self.actions)
            && self.is_here(detail, &request.access().context().server.audiences)
            && has_all(&detail.datatypes, &self.datatypes)
            && has_all(&detail.privileges, &self.privileges)
            && self.identifier.as_deref().is_none_or(|wanted| detail.identifier() == Some(wanted))
            && self.conditions.iter().all(|condition| condition(request, detail))
    }

    fn is_here(&self, detail: &AuthorizationDetail<'_>, audiences: &[Audience]) -> bool {
        let Some(locations) = &detail.locations else {
            return self.locations.is_empty();
        };
        locations.iter().any(|location| match self.locations.is_empty() {
            true => audiences.iter().any(|audience| audience == location.as_ref()),
            false => self.locations.iter().any(|wanted| wanted == location),
        })
    }
}

fn has_all(found: &Option<Vec<Cow<'_, str>>>, wanted: &[String]) -> bool {
    let found = found.as_deref().unwrap_or_default();
    wanted.iter().all(|wanted| found.iter().any(|found| found == wanted))
}

impl Check for RequireDetail {
    fn check(&self, request: &CheckContext<'_>) -> Result<(), CheckError> {
        let denied = |reason: &'static str| Err(Denial::forbidden(reason).into());
        if self.fault.is_some() {
            return denied("the policy wants an impossible authorization detail");
        }
        let claims = ClaimsSet::checked(request.access().raw_claims());
        let details = claims.ok().and_then(|claims| claims.value("authorization_details"));
        let Some(details) = details.and_then(jose::Value::as_array) else {
            return denied("the token has no authorization details");
        };
        let mut details = details.into_iter().filter_map(AuthorizationDetail::read);
        match details.any(|detail| self.is_granted_by(&detail, request)) {
            true => Ok(()),
            false => denied("no authorization detail grants the request"),
        }
    }

    fn needs(&self, needs: &mut Needs) {
        match &self.fault {
            Some(fault) => needs.fault(ConfigFault::Policy(fault.clone())),
            None => needs.detail_type(&self.detail_type),
        }
        let mut rule = json!({ "type": self.detail_type });
        let members = [
            ("actions", json!(self.actions), self.actions.is_empty()),
            ("locations", json!(self.locations), self.locations.is_empty()),
            ("datatypes", json!(self.datatypes), self.datatypes.is_empty()),
            ("privileges", json!(self.privileges), self.privileges.is_empty()),
            ("identifier", json!(self.identifier), self.identifier.is_none()),
            ("conditions", json!(self.conditions.len()), self.conditions.is_empty()),
        ];
        if let Some(rule) = rule.as_object_mut() {
            for (name, value, _) in members.into_iter().filter(|(_, _, unsaid)| !unsaid) {
                rule.insert(name.to_owned(), value);
            }
        }
        needs.rule("authorization_details", [rule]);
    }
}

impl fmt::Debug for RequireDetail {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RequireDetail")
            .field("detail_type", &self.detail_type)
            .field("actions", &self.actions)
            .field("conditions", &self.conditions.len())
            .finish_non_exhaustive()
    }
}

/// One object of a token's `authorization_details` (RFC 9396 §2), its common fields (§2.2) of the
/// JSON types that they have to be.
#[derive(Clone)]
pub struct AuthorizationDetail<'a> {
    object: jose::Object<'a>,
    text: &'a str,
    detail_type: Cow<'a, str>,
    actions: Option<Vec<Cow<'a, str>>>,
    locations: Option<Vec<Cow<'a, str>>>,
    datatypes: Option<Vec<Cow<'a, str>>>,
    privileges: Option<Vec<Cow<'a, str>>>,
    identifier: Option<Cow<'a, str>>,
}

impl<'a> AuthorizationDetail<'a> {
    /// `None` if a common field is of another JSON type: what its issuer meant cannot be known.
    fn read(value: jose::Value<'a>) -> Option<Self> {
        let object = value.as_object()?;
        let texts = |name| match object.member(name) {
            None => Some(None),
            Some(value) => {
                let texts: Option<Vec<_>> =
                    value.as_array()?.into_iter().map(jose::Value::as_str).collect();
                texts.map(Some)
            }
        };
        let (actions, locations) = (texts("actions")?, texts("locations")?);
        let (datatypes, privileges) = (texts("datatypes")?, texts("privileges")?);
        let identifier = match object.member("identifier") {
            None => None,
            Some(value) => Some(value.as_str()?),
        };
        let detail_type = object.member("type")?.as_str()?;
        let text = value.text();
        Some(Self {
            object,
            text,
            detail_type,
            actions,
            locations,
            datatypes,
            privileges,
            identifier,
        })
    }

    /// Its `type`.
    #[must_use]
    pub fn detail_type(&self) -> &str {
        &self.detail_type
    }

    /// Its `actions`; none if it has no such member.
    pub fn actions(&self) -> impl ExactSizeIterator<Item = &str> {
        texts_of(&self.actions)
    }

    /// Its `locations`; none if it has no such member.
    pub fn locations(&self) -> impl ExactSizeIterator<Item = &str> {
        texts_of(&self.locations)
    }

    /// Its `datatypes`; none if it has no such member.
    pub fn datatypes(&self) -> impl ExactSizeIterator<Item = &str> {
        texts_of(&self.datatypes)
    }

    /// Its `privileges`; none if it has no such member.
    pub fn privileges(&self) -> impl ExactSizeIterator<Item = &str> {
        texts_of(&self.privileges)
    }

    /// Its `identifier`.
    #[must_use]
    pub fn identifier(&self) -> Option<&str> {
        self.identifier.as_deref()
    }

    /// A member of it, if there. A fraction may come out rounded; [`AuthorizationDetail::parse`]
    /// with a type that keeps text does not round strings.
    #[must_use]
    pub fn member(&self, name: &str) -> Option<Value> {
        serde_json::from_str(self.object.member(name)?.text()).ok()
    }

    /// The object as a type of yours.
    ///
    /// # Errors
    /// If it does not have the shape of `T`.
    pub fn parse<T: DeserializeOwned>(&self) -> Result<T, serde_json::Error> {
        serde_json::from_str(self.text)
    }
}

fn texts_of<'a>(texts: &'a Option<Vec<Cow<'_, str>>>) -> impl ExactSizeIterator<Item = &'a str> {
    texts.as_deref().unwrap_or_default().iter().map(AsRef::as_ref)
}

/// Its type only: what it grants is somebody's.
impl fmt::Debug for AuthorizationDetail<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AuthorizationDetail")
            .field("detail_type", &self.detail_type)
            .finish_non_exhaustive()
    }
}
