use serde::Serialize;
use serde_json::{Map, Value, json};

use super::Check;
use crate::error::{ConfigFault, StepUp};
use crate::name::Scope;

/// What a policy wants of a client, gathered from its checks.
#[derive(Clone, Debug, Default)]
pub struct Needs {
    scopes: Vec<Scope>,
    alternatives: Vec<Scope>,
    step_ups: Vec<StepUp>,
    detail_types: Vec<String>,
    rules: Vec<Value>,
    one_issuer: Vec<String>,
    faults: Vec<ConfigFault>,
}

impl Needs {
    /// The client needs this scope: challenges ask for it. A text that is no scope token is a
    /// fault of the policy.
    pub fn scope(&mut self, scope: &str) {
        match Scope::parse(scope) {
            Ok(scope) => add(&mut self.scopes, scope),
            Err(fault) => self.faults.push(fault.into()),
        }
    }

    /// The client may bring this scope in place of what it needs: metadata lists it, challenges
    /// do not ask for it.
    pub fn alternative(&mut self, scope: &str) {
        match Scope::parse(scope) {
            Ok(scope) => add(&mut self.alternatives, scope),
            Err(fault) => self.faults.push(fault.into()),
        }
    }

    /// The user has to have authenticated like this. One that no challenge can carry is a fault of
    /// the policy.
    pub fn step_up(&mut self, step_up: &StepUp) {
        let faults = step_up.faults();
        if faults.is_empty() {
            add(&mut self.step_ups, step_up.clone());
        }
        self.faults.extend(faults.into_iter().map(ConfigFault::from));
    }

    /// The check reads authorization details of this type: metadata lists it (RFC 9728 §2).
    pub fn detail_type(&mut self, detail_type: &str) {
        add(&mut self.detail_types, detail_type.to_owned());
    }

    /// The check names clients or subjects without their issuer, which says who is meant only where
    /// a server has one issuer: on another it is a fault. `what` names the check.
    pub fn one_issuer(&mut self, what: &str) {
        add(&mut self.one_issuer, what.to_owned());
    }

    /// How the check stands in the effective policy: a name, and what it wants.
    pub fn rule(&mut self, name: &str, wanted: impl Serialize) {
        let wanted = serde_json::to_value(wanted).unwrap_or(Value::Null);
        let mut rule = Map::new();
        rule.insert(name.to_owned(), wanted);
        self.rules.push(Value::Object(rule));
    }

    /// What the client needs, in the order in which it was added.
    #[must_use]
    pub fn scopes(&self) -> &[Scope] {
        &self.scopes
    }

    /// What it may bring instead, in the order in which it was added.
    #[must_use]
    pub fn alternatives(&self) -> &[Scope] {
        &self.alternatives
    }

    /// How its user has to have authenticated.
    pub fn step_ups(&self) -> &[StepUp] {
        &self.step_ups
    }

    /// The types of the authorization details that are read.
    #[must_use]
    pub fn detail_types(&self) -> &[String] {
        &self.detail_types
    }

    /// How the policy stands in the effective policy: each rule has to hold.
    #[must_use]
    pub fn rules(&self) -> &[Value] {
        &self.rules
    }

    /// The policy is faulty: see [`crate::ResourceServer::guard`].
    pub fn fault(&mut self, fault: ConfigFault) {
        self.faults.push(fault);
    }

    /// The checks that name somebody without an issuer.
    pub(crate) fn wanting_one_issuer(&self) -> &[String] {
        &self.one_issuer
    }

    pub(crate) fn faults(&self) -> &[ConfigFault] {
        &self.faults
    }

    pub(crate) fn of(check: &(impl Check + ?Sized)) -> Self {
        let mut needs = Self::default();
        check.needs(&mut needs);
        needs
    }

    /// Either of two sides: a client is told the left one, since with it the request passes.
    pub(super) fn either(&mut self, left: Self, right: Self) {
        for scope in left.scopes {
            add(&mut self.scopes, scope);
        }
        let others = left.alternatives.into_iter().chain(right.scopes).chain(right.alternatives);
        for scope in others {
            add(&mut self.alternatives, scope);
        }
        // Neither side's authentication is needed whatever happens, so none is announced.
        for detail_type in left.detail_types.into_iter().chain(right.detail_types) {
            add(&mut self.detail_types, detail_type);
        }
        for what in left.one_issuer.into_iter().chain(right.one_issuer) {
            add(&mut self.one_issuer, what);
        }
        self.faults.extend(left.faults.into_iter().chain(right.faults));
        self.rules.push(json!({ "any_of": [{ "all_of": left.rules }, { "all_of": right.rules }] }));
    }
}

fn add<T: PartialEq>(known: &mut Vec<T>, new: T) {
    if !known.contains(&new) {
        known.push(new);
    }
}
