//! Requests one after the other, and what they are decided by.

use std::time::Duration;

use http::header::AUTHORIZATION;
use http::{HeaderValue, Request};
use portcullis::check::scope;
use portcullis::testing::ManualClock;
use portcullis::{Access, Binding, Guard, Policy, ResourceServer, ServerBuilder, TokenClass};

use crate::harness::floor::ready;

pub const RESOURCE: &str = "https://api.example.com";
/// What every route here wants.
pub const SCOPE: &str = "notes:read";
/// Steps in the order of memory would be foreseen by the processor. A prime.
pub const STRIDE: usize = 7_919;

/// Requests with one token after the other to one route after the other, without end.
pub struct Walk<'a> {
    guards: &'a [Guard],
    fields: Vec<HeaderValue>,
    request: Request<()>,
    step: usize,
    /// Done before the first token and whenever all were asked about.
    before: Box<dyn FnMut() + 'a>,
}

impl<'a> Walk<'a> {
    pub fn new(guards: &'a [Guard], fields: &[HeaderValue]) -> Self {
        // A copy of their own, in the order in which they are asked about.
        let own = |field: &HeaderValue| HeaderValue::from_bytes(field.as_bytes()).unwrap();
        Self {
            guards,
            fields: fields.iter().map(own).collect(),
            request: Request::get("/notes").body(()).unwrap(),
            step: 0,
            before: Box::new(|| ()),
        }
    }

    #[must_use]
    pub fn before_each_round(mut self, before: impl FnMut() + 'a) -> Self {
        self.before = Box::new(before);
        self
    }

    /// Decides about each token once, so that it is known, and at each route.
    #[must_use]
    pub fn met(mut self) -> Self {
        for _ in 0..self.fields.len().max(self.guards.len()) {
            self.step();
        }
        self
    }

    pub fn step(&mut self) -> Access {
        let at = self.step % self.fields.len();
        if at == 0 {
            (self.before)();
        }
        let guard = &self.guards[(self.step * STRIDE) % self.guards.len()];
        self.step += 1;
        self.request.headers_mut().insert(AUTHORIZATION, self.fields[at].clone());
        ready(guard.verify(&self.request)).unwrap()
    }
}

/// A server that waits for its issuers.
pub fn builder(clock: &ManualClock) -> ServerBuilder {
    ResourceServer::builder(RESOURCE)
        .binding(Binding::WhereBound)
        .class(TokenClass::default_at_most(Duration::from_hours(1)))
        .clock(clock.clone())
}

/// So many routes of this server.
pub fn guards(server: &ResourceServer, routes: usize) -> Vec<Guard> {
    let guard = |number: usize| {
        server.guard(Policy::new(scope(SCOPE)).named(format!("route-{number}"))).unwrap()
    };
    (0..routes).map(guard).collect()
}

pub fn bearer(token: &str) -> HeaderValue {
    HeaderValue::try_from(format!("Bearer {token}")).unwrap()
}
