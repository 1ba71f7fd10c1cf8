//! `growth_issuers_..`, `growth_keys_..`, `growth_routes_..`, `growth_scopes_..`.
//!
//! All issuers have the same key pair, and all keys of a set too: parsed one by one, and each in a place
//! of its own. To make a thousand RSA pairs would take minutes.

use http::HeaderValue;
use portcullis::jose::{Algorithm, MAX_KEYS};
use portcullis::testing::{ManualClock, TestIssuer, TokenBuilder};
use portcullis::{Guard, Issuer, ResourceServer, ServerBuilder};
use serde_json::json;

use crate::harness::{Effort, Summary};
use crate::walk::{RESOURCE, SCOPE, Walk, bearer, builder, guards};
use crate::{Growth, Line, table, wanted};

/// Room for every token here.
const ROOM: u64 = 64 << 20;

/// One size of a table: a server that knows tokens again and one that does not, and who asks them.
struct Size {
    size: usize,
    name: String,
    known: Vec<Guard>,
    unknown: Vec<Guard>,
    fields: Vec<HeaderValue>,
}

impl Size {
    fn new(
        (size, name): (usize, String),
        routes: usize,
        server: impl Fn() -> ServerBuilder,
        tokens: impl Iterator<Item = TokenBuilder>,
    ) -> Self {
        let of = |bytes| -> ResourceServer { server().known_tokens_bytes(bytes).build().unwrap() };
        let (known, unknown) = (guards(&of(ROOM), routes), guards(&of(0), routes));
        let fields = tokens.map(|token| bearer(&token.sign())).collect();
        Self { size, name, known, unknown, fields }
    }

    fn known(&self) -> Line<'_> {
        (self.size, self.name.clone(), Walk::new(&self.known, &self.fields).met())
    }

    fn unknown(&self) -> Line<'_> {
        let name = format!("{}_unknown", self.name);
        (self.size, name, Walk::new(&self.unknown, &self.fields).met())
    }
}

/// Two tables of these sizes.
fn tables(what: &str, known: Growth, sizes: &[Size], effort: &Effort, summary: &mut Summary) {
    let lines = sizes.iter().map(Size::known).collect();
    table(&format!("{what}, a known token"), known, lines, effort, summary);
    let lines = sizes.iter().map(Size::unknown).collect();
    table(&format!("{what}, an unknown token"), Growth::Flat, lines, effort, summary);
}

fn signer(clock: &ManualClock) -> TestIssuer {
    TestIssuer::with_algorithm("https://as.example", clock, Algorithm::Rs256)
}

fn token(signer: &TestIssuer) -> TokenBuilder {
    signer.token(RESOURCE).scope(SCOPE)
}

/// As many tokens in each row as the largest has issuers, or keys.
fn asked(effort: &Effort) -> usize {
    if effort.quick { 100 } else { 1_000 }
}

pub fn issuers(effort: &Effort, summary: &mut Summary) {
    let sizes: &[usize] = if effort.quick { &[1, 10, 100] } else { &[1, 10, 100, 1_000] };
    if !wanted(effort, "growth_issuers", sizes) {
        return;
    }
    let clock = ManualClock::new();
    let signer = signer(&clock);
    let id = |number: usize| format!("https://issuer-{number}.example/tenant");
    let keys = signer.jwk_set().to_string();
    let size = |&issuers: &usize| {
        let server = || {
            let issuer = |number| Issuer::fixed_keys(id(number), keys.clone());
            (0..issuers).map(issuer).fold(builder(&clock), ServerBuilder::issuer)
        };
        let tokens =
            (0..asked(effort)).map(|number| token(&signer).claim("iss", id(number % issuers)));
        Size::new((issuers, format!("growth_issuers_{issuers}")), 1, server, tokens)
    };
    let sizes: Vec<_> = sizes.iter().map(size).collect();
    tables("issuers", Growth::Flat, &sizes, effort, summary);
}

pub fn keys(effort: &Effort, summary: &mut Summary) {
    let sizes: &[usize] = if effort.quick { &[1, 10, 100] } else { &[1, 10, 100, 1_000] };
    if !wanted(effort, "growth_keys", sizes) {
        return;
    }
    assert!(sizes.iter().all(|keys| *keys <= MAX_KEYS));
    let clock = ManualClock::new();
    let signer = signer(&clock);
    let kid = |number: usize| format!("2026-11-21-key-{number}");
    let jwk = signer.key().public_jwk();
    let size = |&keys: &usize| {
        let named = |number| {
            let mut jwk = jwk.clone();
            jwk["kid"] = json!(kid(number));
            jwk
        };
        let set = json!({ "keys": (0..keys).map(named).collect::<Vec<_>>() }).to_string();
        let server = || builder(&clock).issuer(Issuer::fixed_keys(signer.id(), set.clone()));
        let tokens =
            (0..asked(effort)).map(|number| token(&signer).header("kid", kid(number % keys)));
        Size::new((keys, format!("growth_keys_{keys}")), 1, server, tokens)
    };
    let sizes: Vec<_> = sizes.iter().map(size).collect();
    tables("keys of one issuer", Growth::Flat, &sizes, effort, summary);
}

pub fn routes(effort: &Effort, summary: &mut Summary) {
    let sizes: &[usize] = if effort.quick { &[1, 100] } else { &[1, 100, 10_000] };
    if !wanted(effort, "growth_routes", sizes) {
        return;
    }
    let clock = ManualClock::new();
    let signer = signer(&clock);
    let tokens: Vec<_> = (0..100).map(|_| token(&signer)).collect();
    let size = |&routes: &usize| {
        let server = || builder(&clock).issuer(signer.fixed_keys());
        Size::new(
            (routes, format!("growth_routes_{routes}")),
            routes,
            server,
            tokens.iter().cloned(),
        )
    };
    let sizes: Vec<_> = sizes.iter().map(size).collect();
    tables("routes", Growth::Logarithmic, &sizes, effort, summary);
}

pub fn scopes(effort: &Effort, summary: &mut Summary) {
    let sizes = [1, 20, 200];
    if !wanted(effort, "growth_scopes", &sizes) {
        return;
    }
    let clock = ManualClock::new();
    let signer = signer(&clock);
    let server = || builder(&clock).issuer(signer.fixed_keys());
    // The one that is wanted comes last.
    let names = |scopes: usize| {
        let others = (1..scopes).map(|number| format!("scope-{number:03}"));
        others.chain([SCOPE.to_owned()]).collect::<Vec<_>>().join(" ")
    };
    let size = |&scopes: &usize| {
        let tokens = (0..100).map(|_| token(&signer).scope(&names(scopes)));
        Size::new((scopes, format!("growth_scopes_{scopes}")), 1, server, tokens)
    };
    let mut sizes: Vec<_> = sizes.iter().map(size).collect();
    // What the length alone costs.
    let padding = "x".repeat(names(200).len() - SCOPE.len());
    let tokens = (0..100).map(|_| token(&signer).claim("padding", &padding));
    sizes.push(Size::new((1, "growth_scopes_1_as_long_as_200".into()), 1, server, tokens));
    let octets: Vec<_> =
        sizes.iter().map(|size| (size.fields[0].len() - "Bearer ".len()).to_string()).collect();
    let title = format!("scopes, in tokens of {} octets", octets.join(", "));
    tables(&title, Growth::Logarithmic, &sizes, effort, summary);
}
