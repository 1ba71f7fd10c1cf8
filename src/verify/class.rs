use std::sync::Arc;
use std::time::Duration;

use crate::access::{Facts, SubjectKind};
use crate::error::{ConfigFault, Faults};
use crate::issuer::IssuerNames;
use crate::name::{Audience, Scope};
use crate::sender::Binding;
use crate::time::{AGES, shown_duration};

/// How long tokens may live, and how they have to be bound: a bound on the harm that a stolen one
/// can do.
///
/// One default class is mandatory. Further classes describe tokens by issuer, client, scope,
/// subject kind or audience, and want something of them. Of all classes that describe a token the
/// strictest value of each kind applies; what none of them says, the default class says.
///
/// ```
/// use std::time::Duration;
/// use portcullis::{Binding, ResourceServer, TokenClass};
///
/// // People: 15 minutes. Batch jobs: an hour. Agents: 10 minutes, and bound to their key.
/// let builder = ResourceServer::builder("https://api.example.com")
///     .class(TokenClass::default_at_most(Duration::from_mins(15)))
///     .class(TokenClass::named("batch").clients(["nightly"]).at_most(Duration::from_hours(1)))
///     .class(TokenClass::named("agents").scopes(["agent"]).at_most(Duration::from_mins(10)).binding(Binding::Either));
/// # let _ = builder;
/// ```
///
/// Describe tokens by what their bearer cannot choose: a scope that a client may leave out when it
/// asks for a token leaves out the class as well.
#[derive(Clone, Debug, PartialEq)]
#[must_use = "a class does nothing until it is given to `ResourceServer::builder(...).class`"]
pub struct TokenClass {
    /// `None`: the default class.
    name: Option<String>,
    issuers: Vec<String>,
    clients: Vec<String>,
    scopes: Vec<String>,
    subjects: Vec<SubjectKind>,
    audiences: Vec<String>,
    max_lifetime: Option<Duration>,
    max_age: Option<Duration>,
    freshness: Option<Duration>,
    binding: Option<Binding>,
}

impl TokenClass {
    /// The name of the default class, in events and reports.
    pub const DEFAULT: &'static str = "default";

    /// The default class: `exp - iat` is at most this long, unless another class that describes
    /// the token says how long.
    pub const fn default_at_most(max_lifetime: Duration) -> Self {
        let mut class = Self::empty(None);
        class.max_lifetime = Some(max_lifetime);
        class
    }

    /// A class of this name, which stands in events and metric labels. Say next which tokens it
    /// describes, and what it wants of them.
    pub fn named(name: impl Into<String>) -> Self {
        Self::empty(Some(name.into()))
    }

    const fn empty(name: Option<String>) -> Self {
        Self {
            name,
            issuers: Vec::new(),
            clients: Vec::new(),
            scopes: Vec::new(),
            subjects: Vec::new(),
            audiences: Vec::new(),
            max_lifetime: None,
            max_age: None,
            freshness: None,
            binding: None,
        }
    }

    /// Tokens of one of these issuers.
    pub fn issuers<T: Into<String>>(mut self, issuers: impl IntoIterator<Item = T>) -> Self {
        self.issuers.extend(issuers.into_iter().map(Into::into));
        self
    }

    /// Tokens of one of these clients. Where a server has more than one issuer, [`Self::issuers`] has
    /// to say whose: two issuers can have clients of one name.
    pub fn clients<T: Into<String>>(mut self, clients: impl IntoIterator<Item = T>) -> Self {
        self.clients.extend(clients.into_iter().map(Into::into));
        self
    }

    /// Tokens that name at least one of these scopes. An implication between scopes is not applied.
    pub fn scopes<T: Into<String>>(mut self, scopes: impl IntoIterator<Item = T>) -> Self {
        self.scopes.extend(scopes.into_iter().map(Into::into));
        self
    }

    /// Tokens that speak for a subject of one of these kinds.
    pub fn subject_kinds(mut self, kinds: impl IntoIterator<Item = SubjectKind>) -> Self {
        self.subjects.extend(kinds);
        self
    }

    /// Tokens that name at least one of these audiences.
    pub fn audiences<T: Into<String>>(mut self, audiences: impl IntoIterator<Item = T>) -> Self {
        self.audiences.extend(audiences.into_iter().map(Into::into));
        self
    }

    /// `exp - iat` is at most this long. The leeway does not add to it: both values are the
    /// issuer's. For a token without `iat`, `exp` is at most this far ahead.
    pub const fn at_most(mut self, max_lifetime: Duration) -> Self {
        self.max_lifetime = Some(max_lifetime);
        self
    }

    /// The token was issued at most this long ago, however long it lives; the leeway adds to it. A
    /// token without `iat` is refused.
    pub const fn max_age(mut self, max_age: Duration) -> Self {
        self.max_age = Some(max_age);
        self
    }

    /// What is known of the token's revocation has to be no older than this, 1 second to 366 days.
    ///
    /// A token for which that cannot be said gets 503, whatever [`crate::revocation::OnStale`] says
    /// elsewhere. It builds only on a server with [`crate::ServerBuilder::revocation`] or
    /// [`crate::ServerBuilder::introspection`]; a token that is asked about is asked about again where the
    /// answer is older.
    pub const fn freshness(mut self, freshness: Duration) -> Self {
        self.freshness = Some(freshness);
        self
    }

    /// The token has to be bound to its sender like this.
    pub const fn binding(mut self, binding: Binding) -> Self {
        self.binding = Some(binding);
        self
    }

    /// The class's name.
    #[must_use]
    pub fn name(&self) -> &str {
        self.name.as_deref().unwrap_or(Self::DEFAULT)
    }

    /// The longest `exp - iat` that is accepted, if this class says so.
    #[must_use]
    pub const fn max_lifetime(&self) -> Option<Duration> {
        self.max_lifetime
    }

    fn is_default(&self) -> bool {
        self.name.is_none()
    }
}

/// The classes of a server, without faults.
#[derive(Debug)]
pub(crate) struct Classes {
    default: CheckedClass,
    others: Vec<CheckedClass>,
    freshness: Freshness,
}

/// Whether any class wants fresh knowledge of revocation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Freshness {
    Unwanted,
    Wanted,
}

#[derive(Debug)]
struct CheckedClass {
    name: Arc<str>,
    class: TokenClass,
}

/// Whether the server knows anything of revocation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Revocable {
    No,
    /// As far as issuers are asked about tokens.
    Asked,
    /// By sources.
    Yes,
}

/// What the classes that describe a token want of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Applied<'a> {
    /// The class that bounds the token's life.
    pub(crate) name: &'a str,
    pub(crate) place: ClassPlace,
    pub(crate) max_lifetime: Duration,
    pub(crate) max_age: Option<Duration>,
    /// How old what is known of its revocation may be.
    pub(crate) freshness: Option<Duration>,
    /// What one of them wants of the sender, and which.
    pub(crate) binding: Option<(Binding, &'a str)>,
}

/// Which class it is, among those of a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ClassPlace {
    Default,
    Other(usize),
}

impl Classes {
    /// More classes than that nobody can keep in mind, and each is a metric label.
    const MOST: usize = 64;
    /// Each name of a condition is compared with each token: more belong into a claim of the token.
    const MOST_NAMES: usize = 1_000;

    /// The checked form; every fault is reported at its place in the list.
    pub(crate) fn check(
        classes: Vec<TokenClass>,
        issuers: &IssuerNames<'_>,
        means: Revocable,
        faults: &mut Faults,
    ) -> Option<Self> {
        let before = faults.len();
        let defaults = classes.iter().filter(|class| class.is_default()).count();
        match defaults {
            0 => faults.push_at("default_class", ConfigFault::NoTokenClass),
            1 => {}
            several => faults.push_at("default_class", ConfigFault::SeveralTokenClasses(several)),
        }
        if classes.len() > Self::MOST {
            let found = classes.len();
            let fault =
                ConfigFault::Bound { what: "number of token classes", found, maximum: Self::MOST };
            faults.push_at("classes", fault);
        }
        for (index, class) in classes.iter().enumerate() {
            faults.at(&Self::place(&classes, index), |faults| {
                Self::check_one(class, issuers, means, faults);
                let mut others = classes.iter().take(index);
                if !class.is_default() && others.any(|other| other.name() == class.name()) {
                    faults.push(fault(class, "another class has this name: give each its own"));
                }
            });
        }
        if faults.len() > before {
            return None;
        }
        let freshness = match classes.iter().any(|class| class.freshness.is_some()) {
            true => Freshness::Wanted,
            false => Freshness::Unwanted,
        };
        let checked = |class: TokenClass| CheckedClass { name: class.name().into(), class };
        let (default, others): (Vec<_>, Vec<_>) =
            classes.into_iter().partition(TokenClass::is_default);
        let default = default.into_iter().next().map(checked)?;
        Some(Self { default, others: others.into_iter().map(checked).collect(), freshness })
    }

    /// Where a class is: the default class is not in the list of the others.
    pub(crate) fn place(classes: &[TokenClass], index: usize) -> String {
        match classes.get(index) {
            Some(class) if class.is_default() => "default_class".to_owned(),
            _ => {
                let before = classes.iter().take(index).filter(|class| !class.is_default());
                format!("classes[{}]", before.count())
            }
        }
    }

    fn check_one(
        class: &TokenClass,
        issuers: &IssuerNames<'_>,
        means: Revocable,
        faults: &mut Faults,
    ) {
        if let Some(lifetime) = class.max_lifetime.filter(|time| !AGES.contains(time)) {
            faults.push_at("at_most", ConfigFault::TokenClassLifetime(lifetime));
        }
        if let Some(age) = class.max_age.filter(|time| !AGES.contains(time)) {
            let what = format!(
                "a maximum age of {age:?} is not between 1 second and 366 days: say one in between"
            );
            faults.push_at("max_age", fault(class, what));
        }
        if let Some(freshness) = class.freshness {
            if !AGES.contains(&freshness) {
                let what = format!(
                    "a freshness of {freshness:?} is not between 1 second and 366 days: say one between"
                );
                faults.push_at("freshness", fault(class, what));
            }
            if means == Revocable::No {
                let what = "it wants to know of revocation, and no source of it is configured: add \
                            one with `Revocation::source` or `status_lists`, or have the issuer asked \
                            with `.introspection(...)`";
                faults.push_at("freshness", fault(class, what));
            }
        }
        let describes = !class.issuers.is_empty()
            || !class.clients.is_empty()
            || !class.scopes.is_empty()
            || !class.subjects.is_empty()
            || !class.audiences.is_empty();
        if class.is_default() {
            if describes {
                faults.push(fault(
                    class,
                    "the default class describes every token: name it, or take the conditions away",
                ));
            }
        } else {
            if class.name().is_empty() || class.name() == TokenClass::DEFAULT {
                faults.push_at(
                    "name",
                    fault(
                        class,
                        "a class needs a name of its own: say it with `TokenClass::named(...)`",
                    ),
                );
            }
            if !describes {
                faults.push(fault(class, "it describes no token: say of which issuers, clients, scopes, subject kinds or audiences"));
            }
            let wants = [class.max_lifetime, class.max_age, class.freshness];
            if wants.iter().all(Option::is_none) && class.binding.is_none() {
                faults.push(fault(
                    class,
                    "it wants nothing: say `at_most`, `max_age`, `freshness` or `binding`",
                ));
            }
        }
        for (member, names) in [
            ("issuers", class.issuers.len()),
            ("clients", class.clients.len()),
            ("scopes", class.scopes.len()),
            ("audiences", class.audiences.len()),
        ] {
            if names > Self::MOST_NAMES {
                let what = format!(
                    "{names} names; at most {} are looked through: name fewer, or use a scope",
                    Self::MOST_NAMES
                );
                faults.push_at(member, fault(class, what));
            }
        }
        for issuer in &class.issuers {
            if let Some(what) = issuers.fault(issuer) {
                faults.push_at("issuers", fault(class, what));
            }
        }
        for scope in &class.scopes {
            if let Err(error) = Scope::parse(scope) {
                faults.push_at("scopes", error);
            }
        }
        for audience in &class.audiences {
            if let Err(error) = Audience::parse(audience) {
                faults.push_at("audiences", error);
            }
        }
        if !class.clients.is_empty() && class.issuers.is_empty() && !issuers.is_one() {
            let what = "the server has more than one issuer: say with `issuers` whose clients";
            faults.push_at("clients", fault(class, what));
        }
        if class.clients.iter().any(String::is_empty) {
            faults.push_at(
                "clients",
                fault(class, "a client id is empty: remove it, or name the client"),
            );
        }
    }

    /// What applies to this token: the strictest of each kind.
    pub(crate) fn applied(&self, facts: &Facts) -> Applied<'_> {
        let mut life: Option<(Duration, &str, ClassPlace)> = None;
        let mut max_age: Option<Duration> = None;
        let mut freshness: Option<Duration> = None;
        let mut binding: Option<(Binding, &str)> = None;
        for (place, CheckedClass { name, class }) in self.others.iter().enumerate() {
            let name: &str = name;
            if !class.describes(facts) {
                continue;
            }
            if let Some(lifetime) = class.max_lifetime
                && life.is_none_or(|(shortest, ..)| lifetime < shortest)
            {
                life = Some((lifetime, name, ClassPlace::Other(place)));
            }
            if let Some(age) = class.max_age {
                max_age = Some(max_age.map_or(age, |shortest| shortest.min(age)));
            }
            if let Some(wanted) = class.freshness {
                freshness = Some(freshness.map_or(wanted, |shortest| shortest.min(wanted)));
            }
            if let Some(wanted) = class.binding {
                binding = Some(match binding {
                    Some((other, who)) if other.strictest(wanted) == other => (other, who),
                    Some((other, _)) => (other.strictest(wanted), name),
                    None => (wanted, name),
                });
            }
        }
        let default = &self.default.class;
        let (max_lifetime, name, place) = life.unwrap_or((
            // INVARIANT: the default class is made with one.
            default.max_lifetime.unwrap_or_default(),
            &self.default.name,
            ClassPlace::Default,
        ));
        Applied {
            name,
            place,
            max_lifetime,
            max_age: max_age.or(default.max_age),
            freshness: freshness.or(default.freshness),
            binding: binding.or(default.binding.map(|binding| (binding, &*self.default.name))),
        }
    }

    /// How old what is known of this token's revocation may be: as [`Self::applied`] says. Where no class
    /// says anything of it, none is looked at.
    pub(crate) fn freshness(&self, facts: &Facts) -> Option<Duration> {
        match self.freshness {
            Freshness::Unwanted => None,
            Freshness::Wanted => self.applied(facts).freshness,
        }
    }

    /// The name of a class.
    pub(crate) fn name(&self, place: ClassPlace) -> &str {
        let other = match place {
            ClassPlace::Default => None,
            ClassPlace::Other(place) => self.others.get(place),
        };
        &other.unwrap_or(&self.default).name
    }

    pub(crate) fn default_class(&self) -> &TokenClass {
        &self.default.class
    }

    /// All but the default one.
    pub(crate) fn others(&self) -> impl Iterator<Item = &TokenClass> {
        self.others.iter().map(|checked| &checked.class)
    }
}

impl TokenClass {
    fn describes(&self, facts: &Facts) -> bool {
        let is_one = |names: &[String], found: &str| names.iter().any(|name| name == found);
        let client = facts.client_id.as_ref();
        (self.issuers.is_empty() || is_one(&self.issuers, facts.issuer.as_str()))
            && (self.clients.is_empty()
                || client.is_some_and(|client| is_one(&self.clients, client.as_str())))
            && (self.scopes.is_empty()
                || facts.scope.split(' ').any(|scope| is_one(&self.scopes, scope)))
            && (self.subjects.is_empty() || self.subjects.contains(&facts.subject_kind))
            && (self.audiences.is_empty()
                || facts.audiences.iter().any(|name| is_one(&self.audiences, name.as_str())))
    }

    /// What it says, for a report.
    pub(crate) fn report(&self) -> serde_json::Value {
        let mut report = serde_json::Map::new();
        let mut member = |name: &str, value: serde_json::Value| {
            if !matches!(&value, serde_json::Value::Array(list) if list.is_empty())
                && !value.is_null()
            {
                report.insert(name.to_owned(), value);
            }
        };
        let kinds: Vec<_> = self.subjects.iter().map(|kind| kind.as_str()).collect();
        member("name", self.name.clone().into());
        member("issuers", self.issuers.clone().into());
        member("clients", self.clients.clone().into());
        member("scopes", self.scopes.clone().into());
        member("subject_kinds", kinds.into());
        member("audiences", self.audiences.clone().into());
        member("at_most", self.max_lifetime.map(shown_duration).into());
        member("max_age", self.max_age.map(shown_duration).into());
        member("freshness", self.freshness.map(shown_duration).into());
        member("binding", self.binding.map(Binding::as_str).into());
        report.into()
    }

    /// How it wants tokens bound.
    pub(crate) const fn bound_as(&self) -> Option<Binding> {
        self.binding
    }
}

fn fault(class: &TokenClass, what: impl Into<String>) -> ConfigFault {
    ConfigFault::TokenClass { class: class.name().to_owned(), what: what.into() }
}
