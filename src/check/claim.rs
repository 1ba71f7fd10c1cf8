use std::fmt::{self, Write as _};

use serde_json::{Number, Value, json};

use super::{Check, CheckContext, CheckError, Denial, Needs};
use crate::access::Access;
use crate::error::ConfigFault;
use crate::jose::{ClaimsSet, json as jose};

/// A condition on a claim: see the methods of [`ClaimAt`] for what can be asked of it. Refused
/// with 403 `insufficient_scope` without a scope, since no scope would help.
///
/// One text is the name of one claim, whatever characters it has: names can be URLs (RFC 7519
/// §4.2) and hold dots and slashes. A list is a path into nested objects.
///
/// Values are compared exactly: strings by code points without folding, arrays in order, objects
/// member by member, numbers as JSON text (`1` is not `1.0`), and nothing equals a value of
/// another type.
///
/// ```
/// use portcullis::check::claim;
///
/// let admin = claim("roles").contains("admin");
/// let keycloak = claim(["realm_access", "roles"]).contains("admin");
/// let tenant = claim("https://example.com/tenant").one_of(["blue", "green"]);
///
/// # #[cfg(feature = "testing")] {
/// use portcullis::testing::{TestAccess, check};
/// let alice = TestAccess::new().claim("roles", ["admin"]).build();
/// let bob = TestAccess::new().claim("roles", ["administrator"]).build();
/// assert!(check(&admin, &alice, "GET", "/").is_ok());
/// assert!(check(&admin, &bob, "GET", "/").is_err());
/// # }
/// ```
pub fn claim(path: impl Into<ClaimPath>) -> ClaimAt {
    ClaimAt(path.into())
}

/// Where a claim is: its name, or the names on the way into nested objects.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ClaimPath(Vec<String>);

/// One claim name.
impl From<&str> for ClaimPath {
    fn from(name: &str) -> Self {
        Self(vec![name.to_owned()])
    }
}

/// One claim name.
impl From<String> for ClaimPath {
    fn from(name: String) -> Self {
        Self(vec![name])
    }
}

/// A path, the outermost name first.
impl<S: Into<String>, const N: usize> From<[S; N]> for ClaimPath {
    fn from(names: [S; N]) -> Self {
        Self(names.into_iter().map(Into::into).collect())
    }
}

/// A path, the outermost name first.
impl<S: Into<String>> From<Vec<S>> for ClaimPath {
    fn from(names: Vec<S>) -> Self {
        Self(names.into_iter().map(Into::into).collect())
    }
}

impl ClaimPath {
    /// The value there, if every name on the way but the last is one of an object.
    fn value_in<'a>(&self, access: &'a Access) -> Option<jose::Value<'a>> {
        let (first, rest) = self.0.split_first()?;
        let claims = ClaimsSet::checked(access.raw_claims()).ok()?;
        rest.iter().try_fold(claims.value(first)?, |value, name| value.as_object()?.member(name))
    }
}

/// A claim of which something is to be asked: made by [`claim`]. It is no check by itself.
///
/// A list of values that is empty, a value that is `null`, and a name that is empty are faults of
/// the policy: see [`crate::ResourceServer::guard`].
#[derive(Clone, Debug)]
#[must_use = "it asks nothing of the claim yet"]
pub struct ClaimAt(ClaimPath);

impl ClaimAt {
    /// The claim is this value.
    #[must_use]
    pub fn equals(self, value: impl Into<Value>) -> RequireClaim {
        self.wants(Wanted::Equals(value.into()))
    }

    /// The claim is one of these values.
    #[must_use]
    pub fn one_of<V: Into<Value>>(self, values: impl IntoIterator<Item = V>) -> RequireClaim {
        self.wants(Wanted::OneOf(list(values)))
    }

    /// The claim is an array with this member. A single string counts as an array of it; it is
    /// never split at spaces, so `scope` and its like are not for this.
    #[must_use]
    pub fn contains(self, value: impl Into<Value>) -> RequireClaim {
        self.wants(Wanted::Contains(value.into()))
    }

    /// The claim is an array with at least one of these members, or one of these as a single
    /// string.
    #[must_use]
    pub fn contains_any<V: Into<Value>>(self, values: impl IntoIterator<Item = V>) -> RequireClaim {
        self.wants(Wanted::ContainsAny(list(values)))
    }

    /// The claim is an array with every one of these members. A single string counts as an array
    /// of it.
    #[must_use]
    pub fn contains_all<V: Into<Value>>(self, values: impl IntoIterator<Item = V>) -> RequireClaim {
        self.wants(Wanted::ContainsAll(list(values)))
    }

    /// The claim is there, and is not `null`.
    #[must_use]
    pub fn present(self) -> RequireClaim {
        self.wants(Wanted::Present)
    }

    fn wants(self, wanted: Wanted) -> RequireClaim {
        let fault = wanted.fault(&self.0.0);
        RequireClaim { path: self.0, wanted, fault }
    }
}

fn list<V: Into<Value>>(values: impl IntoIterator<Item = V>) -> Vec<Value> {
    values.into_iter().map(Into::into).collect()
}

/// The check of [`claim`].
#[derive(Clone, Debug)]
pub struct RequireClaim {
    path: ClaimPath,
    wanted: Wanted,
    fault: Option<String>,
}

#[derive(Clone, Debug)]
enum Wanted {
    Present,
    Equals(Value),
    OneOf(Vec<Value>),
    Contains(Value),
    ContainsAny(Vec<Value>),
    ContainsAll(Vec<Value>),
}

impl Wanted {
    fn values(&self) -> &[Value] {
        match self {
            Self::Present => &[],
            Self::Equals(value) | Self::Contains(value) => std::slice::from_ref(value),
            Self::OneOf(values) | Self::ContainsAny(values) | Self::ContainsAll(values) => values,
        }
    }

    /// What makes it impossible to want this at this path.
    fn fault(&self, path: &[String]) -> Option<String> {
        if path.is_empty() || path.iter().any(String::is_empty) {
            return Some("a claim without a name is wanted: say which".to_owned());
        }
        let path = path.join("` in `");
        let values = self.values();
        if values.is_empty() && !matches!(self, Self::Present) {
            // "All of none" would let everything through.
            return Some(format!("claim `{path}`: no value is wanted; name at least one"));
        }
        values
            .contains(&Value::Null)
            .then(|| format!("claim `{path}`: `null` is not a value: name another"))
    }

    fn is_met_by(&self, found: jose::Value<'_>) -> bool {
        match self {
            Self::Present => found.text() != "null",
            Self::Equals(wanted) => same(found, wanted),
            Self::OneOf(wanted) => wanted.iter().any(|wanted| same(found, wanted)),
            Self::Contains(wanted) => of_members(found, |members| holds(members, wanted)),
            Self::ContainsAny(wanted) => {
                of_members(found, |members| wanted.iter().any(|wanted| holds(members, wanted)))
            }
            Self::ContainsAll(wanted) => {
                of_members(found, |members| wanted.iter().all(|wanted| holds(members, wanted)))
            }
        }
    }
}

impl Check for RequireClaim {
    fn check(&self, request: &CheckContext<'_>) -> Result<(), CheckError> {
        if self.fault.is_some() {
            return Err(Denial::forbidden("the policy wants an impossible claim").into());
        }
        match self.path.value_in(request.access()) {
            Some(found) if self.wanted.is_met_by(found) => Ok(()),
            found => {
                let what = found.map_or("absent", |_| "not what is wanted");
                let path = self.path.0.join("`.`");
                Err(Denial::forbidden(format!("claim `{path}` is {what}")).into())
            }
        }
    }

    fn needs(&self, needs: &mut Needs) {
        if let Some(fault) = &self.fault {
            needs.fault(ConfigFault::Policy(fault.clone()));
        }
        let path = match self.path.0.as_slice() {
            [name] => json!(name),
            names => json!(names),
        };
        let rule = match &self.wanted {
            Wanted::Present => json!({ "path": path, "present": true }),
            Wanted::Equals(value) => json!({ "path": path, "equals": value }),
            Wanted::OneOf(values) => json!({ "path": path, "one_of": values }),
            Wanted::Contains(value) => json!({ "path": path, "contains": value }),
            Wanted::ContainsAny(values) => json!({ "path": path, "contains_any": values }),
            Wanted::ContainsAll(values) => json!({ "path": path, "contains_all": values }),
        };
        needs.rule("claims", [rule]);
    }
}

/// Whether something is true of the members of an array; a string is an array of itself.
fn of_members(found: jose::Value<'_>, is_true: impl Fn(&[jose::Value<'_>]) -> bool) -> bool {
    match found.as_array() {
        Some(members) => is_true(&members),
        None => found.as_str().is_some() && is_true(&[found]),
    }
}

fn holds(members: &[jose::Value<'_>], wanted: &Value) -> bool {
    members.iter().any(|member| same(*member, wanted))
}

/// Whether a value of a token is this value. Its depth is bounded by the token's
/// ([`jose::MAX_DEPTH`]).
fn same(found: jose::Value<'_>, wanted: &Value) -> bool {
    match wanted {
        Value::Null => found.text() == "null",
        Value::Bool(wanted) => found.text() == if *wanted { "true" } else { "false" },
        // By text: reading a number can round it, and two numbers would be one.
        Value::Number(wanted) => found.as_number().is_some_and(|found| is_text_of(found, wanted)),
        Value::String(wanted) => found.as_str().is_some_and(|found| found == *wanted),
        Value::Array(wanted) => found.as_array().is_some_and(|found| {
            found.len() == wanted.len()
                && found.iter().zip(wanted).all(|(found, wanted)| same(*found, wanted))
        }),
        Value::Object(wanted) => found.as_object().is_some_and(|found| {
            found.members().count() == wanted.len()
                && wanted.iter().all(|(name, wanted)| {
                    found.member(name).is_some_and(|found| same(found, wanted))
                })
        }),
    }
}

/// Whether a number is written exactly so, found out without writing it.
fn is_text_of(text: &str, number: &Number) -> bool {
    struct Rest<'a>(&'a str);
    impl fmt::Write for Rest<'_> {
        fn write_str(&mut self, written: &str) -> fmt::Result {
            self.0 = self.0.strip_prefix(written).ok_or(fmt::Error)?;
            Ok(())
        }
    }
    let mut rest = Rest(text);
    write!(rest, "{number}").is_ok() && rest.0.is_empty()
}
