use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Map, Value, json};

use crate::check::{AsyncCheck, Check, Needs, allow_all};
use crate::context::{ChallengeVisibility, PolicyContext};
use crate::error::{ConfigFault, Faults};
use crate::revocation::{Demand, OnStale};
use crate::sender::{Binding, Mechanisms, RouteNonces};
use crate::stripe::Striped;
use crate::time::{AGES, shown_duration};
use crate::verify::{Revocable, RouteRules};

/// What a route or a router wants of a request: a check, and how the request is treated.
///
/// Every [`Check`] is a policy as it stands.
///
/// ```
/// use portcullis::check::scope;
/// use portcullis::{Policy, Preflight};
///
/// let policy = Policy::new(scope("notes:read"))
///     .optional()
///     .preflight(Preflight::Pass)
///     .strip_credentials();
/// ```
#[derive(Clone)]
#[must_use = "a policy does nothing until it is given to `protect`"]
pub struct Policy {
    /// `None`: its scopes name it.
    pub(super) name: Option<String>,
    pub(super) check: Arc<dyn Check>,
    pub(super) later: Vec<Arc<dyn AsyncCheck>>,
    pub(super) timeout: Duration,
    pub(super) binding: Option<Binding>,
    pub(super) nonces: RouteNonces,
    pub(super) uses: Uses,
    pub(super) demand: Demand,
    /// Whose the opaque tokens are that come here.
    pub(super) opaque_of: Option<String>,
    /// Found when the policy was looked up by name.
    pub(super) fault: Option<ConfigFault>,
    pub(super) presence: Presence,
    pub(super) preflight: Preflight,
    pub(super) credentials: CredentialFields,
    pub(super) visibility: ChallengeVisibility,
}

/// The server that a policy is checked for.
#[derive(Clone, Copy)]
pub(super) struct Beside<'a> {
    /// Whether a name of a client or a subject alone says who is meant.
    pub(super) one_issuer: bool,
    pub(super) mechanisms: &'a Mechanisms,
    pub(super) revocable: Revocable,
    /// Whether this issuer is asked about tokens.
    pub(super) introspects: &'a dyn Fn(&str) -> bool,
}

/// Whether a request without credentials is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Presence {
    Required,
    Optional,
}

/// How often a token may be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Uses {
    Any,
    Single,
}

/// What becomes of a CORS preflight, which can never carry a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum Preflight {
    /// It is refused like any request without credentials.
    #[default]
    Refuse,
    /// It passes undecided, without an [`crate::Access`], for a CORS layer or handler inside.
    /// Whatever answers `OPTIONS` there can be reached by everybody; handlers that want an
    /// [`crate::Access`], or an optional one, still refuse it.
    Pass,
}

/// What the inner service sees of the credentials.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CredentialFields {
    Keep,
    Strip,
}

impl Policy {
    /// How long the async checks of a policy have, all together, unless it says otherwise.
    pub const ASYNC_TIMEOUT: Duration = Duration::from_secs(5);

    /// A policy that wants this of an accepted token.
    pub fn new(check: impl Check + 'static) -> Self {
        Self {
            name: None,
            check: Arc::new(check),
            later: Vec::new(),
            timeout: Self::ASYNC_TIMEOUT,
            binding: None,
            nonces: RouteNonces::AsServer,
            uses: Uses::Any,
            demand: Demand::default(),
            opaque_of: None,
            fault: None,
            presence: Presence::Required,
            preflight: Preflight::Refuse,
            credentials: CredentialFields::Keep,
            visibility: ChallengeVisibility::SameOrigin,
        }
    }

    /// The policy's name, which stands in events, metric labels and the effective policy. Unless
    /// it has one, its scopes stand for it.
    pub fn named(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into());
        self
    }

    pub(super) fn named_unless_named(self, name: &str) -> Self {
        if self.name.is_some() { self } else { self.named(name) }
    }

    /// Wants the token bound to its sender like this. It can only tighten: the strictest of the
    /// server, the token's class and the policy applies.
    pub fn binding(mut self, binding: Binding) -> Self {
        self.binding = Some(binding);
        self
    }

    /// Wants a nonce in every DPoP proof (RFC 9449 §9), also where the server only takes one. The
    /// server has to make nonces: see [`crate::Dpop::nonces`].
    pub fn require_nonce(mut self) -> Self {
        self.nonces = RouteNonces::Required;
        self
    }

    /// Accepts each token once, by issuer and `jti`: for tokens that are made for one task. It is used
    /// up when everything else has said yes, also if the handler then fails; no second request with it
    /// passes any policy of this kind that shares the replay memory, until it has expired.
    ///
    /// A token without `jti` is refused: 401. See [`crate::ServerBuilder::replay_store`].
    pub fn single_use(mut self) -> Self {
        self.uses = Uses::Single;
        self
    }

    /// What is known of the token's revocation has to be no older than this, 1 second to 366 days: 503
    /// otherwise, whatever [`OnStale`] says. The strictest of the policy and the token's classes applies. A token that its
    /// issuer is asked about is asked about again where the answer is older.
    ///
    /// Sources ask about every third of their maximum age: less than half of that age is 503 now and
    /// then also when all is well. A status list that is older is fetched while the request waits.
    pub fn freshness(mut self, freshness: Duration) -> Self {
        self.demand.freshness = Some(freshness);
        self
    }

    /// What becomes of requests when what is known of revocation is older than its source's maximum
    /// age, in place of what the source and the server say: reads may live with what is ten minutes
    /// old, payments may not.
    pub fn on_stale(mut self, on_stale: OnStale) -> Self {
        self.demand.on_stale = Some(on_stale);
        self
    }

    /// Sends opaque tokens to this issuer, which the server has an
    /// [`Introspection`](crate::introspection::Introspection) of, and to no other: for services that know by
    /// the route whose tokens come. Of an issuer with prefixes, only those that begin so.
    pub fn introspected_by(mut self, issuer: impl Into<String>) -> Self {
        self.opaque_of = Some(issuer.into());
        self
    }

    /// A further check, which has to ask somebody. It runs after every other check said yes; of
    /// several, one after the other.
    pub fn and_async(mut self, check: impl AsyncCheck) -> Self {
        self.later.push(Arc::new(check));
        self
    }

    /// How long the async checks have, all together; 5 seconds unless said otherwise. After that
    /// the answer is 503.
    pub fn async_timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Lets a request without an `Authorization` field pass, without an [`crate::Access`] and
    /// without asking the checks. A bad token, and another scheme, are still refused.
    pub fn optional(mut self) -> Self {
        self.presence = Presence::Optional;
        self
    }

    /// What becomes of a CORS preflight.
    pub fn preflight(mut self, preflight: Preflight) -> Self {
        self.preflight = preflight;
        self
    }

    /// Removes `Authorization` and `DPoP` from what the inner service sees, so that a proxy cannot pass the
    /// token on and a handler cannot log it.
    pub fn strip_credentials(mut self) -> Self {
        self.credentials = CredentialFields::Strip;
        self
    }

    /// Lists `WWW-Authenticate` and `Retry-After` in `Access-Control-Expose-Headers` of refusals, and
    /// `DPoP-Nonce` wherever it is sent, so that scripts of other origins can read them.
    pub fn expose_challenge(mut self) -> Self {
        self.visibility = ChallengeVisibility::Exposed;
        self
    }

    /// A policy that refuses everything, for a name that nobody defined.
    pub(super) fn unknown<'a>(name: &str, known: impl Iterator<Item = &'a String>) -> Self {
        let known: Vec<_> = known.map(|known| format!("`{known}`")).collect();
        let known = if known.is_empty() { "none is".to_owned() } else { known.join(", ") };
        let fault = ConfigFault::UnknownPolicy { name: name.to_owned(), known };
        Self { fault: Some(fault), ..Self::new(allow_all()).named(name) }
    }

    pub(super) fn check(&self, beside: &Beside<'_>, faults: &mut Faults) {
        let Beside { one_issuer, mechanisms, revocable, introspects } = *beside;
        faults.extend(self.fault.clone());
        let needs = Needs::of(&*self.check);
        faults.extend(needs.faults().iter().cloned());
        for member in needs.wanting_one_issuer().iter().filter(|_| !one_issuer) {
            let what = format!(
                "`{member}` names no issuer, and the server has more than one: say `of_issuer`"
            );
            faults.push_at(member, ConfigFault::Policy(what));
        }
        if let Some(name) = self.name.as_ref().filter(|name| !(1..=200).contains(&name.len())) {
            let what = format!("a name of {} bytes, 1 to 200 are wanted", name.len());
            faults.push(ConfigFault::Policy(what));
        }
        if let Some(fault) = self.binding.and_then(|binding| mechanisms.fault(binding)) {
            faults.push_at("binding", fault);
        }
        let makes_nonces = mechanisms.dpop.as_ref().is_some_and(|dpop| dpop.nonces().is_some());
        if self.nonces == RouteNonces::Required && !makes_nonces && !mechanisms.faulty {
            let what = "wants a nonce in proofs, and the server makes none: say \
                        `.dpop(Dpop::new().nonces(Nonces::optional()))`";
            faults.push_at("require_nonce", ConfigFault::Policy(what.to_owned()));
        }
        let allowed = match self.demand.on_stale {
            Some(OnStale::AllowFor(time)) => Some(time),
            _ => None,
        };
        for (member, age) in [("freshness", self.demand.freshness), ("on_stale", allowed)] {
            if let Some(age) = age.filter(|age| !AGES.contains(age)) {
                let what = format!(
                    "{member}: {age:?} is not between 1 second and 366 days: say one in between"
                );
                faults.push_at(member, ConfigFault::Policy(what));
            }
        }
        if let Some(issuer) = self.opaque_of.as_deref().filter(|issuer| !introspects(issuer)) {
            let what = format!(
                "{issuer:?} is nobody whom the server asks about tokens: add it with \
                                `.introspection(...)`"
            );
            faults.push_at("introspected_by", ConfigFault::Policy(what));
        }
        for (member, is_said) in [
            ("freshness", self.demand.freshness.is_some() && revocable == Revocable::No),
            ("on_stale", self.demand.on_stale.is_some() && revocable != Revocable::Yes),
        ] {
            if is_said {
                let what = "wants to know of revocation, and no source of it is configured: add one \
                            with `.revocation(...)`, or have the issuer asked with \
                            `.introspection(...)`";
                faults.push_at(member, ConfigFault::Policy(what.to_owned()));
            }
        }
        let timeouts = Duration::from_millis(1)..=Duration::from_mins(1);
        if !timeouts.contains(&self.timeout) {
            let found = self.timeout;
            let what = format!(
                "async checks have {found:?}: not between 1 ms and 1 minute: say one in between"
            );
            faults.push(ConfigFault::Policy(what));
        }
    }

    /// What it demands beside the server.
    pub(super) fn rules<'a>(&'a self, context: &'a Striped<PolicyContext>) -> RouteRules<'a> {
        RouteRules {
            check: &*self.check,
            binding: self.binding,
            nonces: self.nonces,
            demand: self.demand,
            opaque_of: self.opaque_of.as_deref(),
            context,
        }
    }

    /// What stands for it in events: its name, or its scopes.
    pub(super) fn label(&self, needs: &Needs) -> Arc<str> {
        match &self.name {
            Some(name) => name.as_str().into(),
            None if needs.scopes().is_empty() => "unnamed".into(),
            None => {
                let scopes: Vec<_> = needs.scopes().iter().map(AsRef::as_ref).collect();
                scopes.join(" ").into()
            }
        }
    }

    /// What it says, in the words of a file: what it asks at the member that asks it. What no file
    /// can say, and what is asked a second time, is in `all_of`.
    pub(super) fn report(&self, needs: &Needs) -> Value {
        let mut report = Map::new();
        let mut others = Vec::new();
        for rule in needs.rules() {
            if !add_rule(&mut report, rule) {
                others.push(rule.clone());
            }
        }
        others.extend(self.later.iter().map(|check| json!({ "async": check.name() })));
        let mut member = |name: &str, value: Value| report.insert(name.to_owned(), value);
        member("name", (*self.label(needs)).into());
        let credentials = match self.presence {
            Presence::Required => "required",
            Presence::Optional => "optional",
        };
        member("credentials", credentials.into());
        let preflight = match self.preflight {
            Preflight::Refuse => "refuse",
            Preflight::Pass => "pass",
        };
        member("preflight", preflight.into());
        let strip = self.credentials == CredentialFields::Strip;
        member("strip_credentials", strip.into());
        let expose = self.visibility == ChallengeVisibility::Exposed;
        member("expose_challenge", expose.into());
        member("single_use", (self.uses == Uses::Single).into());
        member("require_nonce", (self.nonces == RouteNonces::Required).into());
        if let Some(freshness) = self.demand.freshness {
            member("freshness", shown_duration(freshness).into());
        }
        if let Some(on_stale) = self.demand.on_stale {
            member("on_stale", on_stale.report());
        }
        if let Some(issuer) = &self.opaque_of {
            member("introspected_by", issuer.as_str().into());
        }
        if let Some(binding) = self.binding {
            member("binding", binding.as_str().into());
        }
        // Without an async check there is nothing that it bounds.
        if !self.later.is_empty() {
            member("async_timeout", shown_duration(self.timeout).into());
        }
        if !others.is_empty() {
            member("all_of", others.into());
        }
        report.into()
    }
}

/// The checks that a file can name.
const OF_FILES: [&str; 12] = [
    "allow_all",
    "all_scopes",
    "any_scope",
    "issuers",
    "clients",
    "subjects",
    "subject_kinds",
    "actor",
    "claims",
    "authorization_details",
    "peer_in",
    "step_up",
];

/// Adds a rule at its own member, if a file could say it there beside the rest.
fn add_rule(report: &mut Map<String, Value>, rule: &Value) -> bool {
    // Every rule has one member: of several none would be the first.
    let members = rule.as_object().filter(|members| members.len() == 1);
    let sole = members.and_then(|members| members.iter().next());
    let Some((name, wanted)) = sole.filter(|(name, _)| OF_FILES.contains(&&***name)) else {
        return false;
    };
    // Of these lists everything has to hold, so that two of them are one.
    let all_hold = ["all_scopes", "claims", "authorization_details"].contains(&&**name);
    match (report.get_mut(name), wanted) {
        (None, _) => {
            report.insert(name.clone(), wanted.clone());
            true
        }
        (Some(Value::Array(there)), Value::Array(more)) if all_hold => {
            there.extend(more.iter().cloned());
            true
        }
        (Some(_), _) => false,
    }
}

impl<C: Check + 'static> From<C> for Policy {
    fn from(check: C) -> Self {
        Self::new(check)
    }
}

impl fmt::Debug for Policy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Policy")
            .field("name", &self.name)
            .field("presence", &self.presence)
            .field("preflight", &self.preflight)
            .field("authorization", &self.credentials)
            .field("visibility", &self.visibility)
            .finish_non_exhaustive()
    }
}
