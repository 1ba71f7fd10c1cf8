//! `growth_revocation_..`: so many tokens were revoked, none of them the one that is asked about.
//!
//! A known token is not looked for again while no record was added; `.._asked` is what it costs when one
//! was, since each token was last asked about. The same thousand tokens are asked about, and what they need
//! of the index is near; a look at what is far away is `revocation_miss_10m` of the benchmark `revocation`.

use portcullis::jose::Algorithm;
use portcullis::revocation::{Record, Revocation};
use portcullis::testing::{ManualClock, TestIssuer};
use portcullis::{Guard, ResourceServer};
use tokio::runtime::Runtime;

use crate::harness::{Effort, Summary};
use crate::walk::{RESOURCE, SCOPE, Walk, bearer, builder, guards};
use crate::{Growth, table, wanted};

/// Some that come at once.
const BATCH: usize = 100_000;
const TOKENS: usize = 1_000;

struct Size {
    records: usize,
    known: (ResourceServer, Vec<Guard>),
    unknown: (ResourceServer, Vec<Guard>),
}

pub fn measure(effort: &Effort, summary: &mut Summary) {
    let sizes: &[usize] = match effort.quick {
        true => &[1_000, 10_000, 100_000],
        false => &[1_000, 10_000, 100_000, 1_000_000, 10_000_000],
    };
    if !wanted(effort, "growth_revocation", sizes) {
        return;
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let clock = ManualClock::new();
    let issuer = TestIssuer::with_algorithm("https://as.example", &clock, Algorithm::Rs256);
    let server = |records: usize, known_tokens_bytes: u64| {
        let server = builder(&clock)
            .issuer(issuer.fixed_keys())
            .known_tokens_bytes(known_tokens_bytes)
            .revocation(Revocation::new().max_records(Revocation::MAX_RECORDS))
            .build()
            .unwrap();
        fill(&server, issuer.id(), records, &runtime);
        let guards = guards(&server, 1);
        (server, guards)
    };
    let size = |&records: &usize| Size {
        records,
        known: server(records, 32 << 20),
        unknown: server(records, 0),
    };
    let sizes: Vec<_> = sizes.iter().map(size).collect();
    let fields: Vec<_> =
        (0..TOKENS).map(|_| bearer(&issuer.token(RESOURCE).scope(SCOPE).sign())).collect();

    let name = |size: &Size| format!("growth_revocation_{}", size.records);
    // The smallest has a thousand.
    let times = |size: &Size| size.records / 1_000;
    let lines =
        sizes.iter().map(|size| (times(size), name(size), Walk::new(&size.known.1, &fields).met()));
    table("records, a known token", Growth::Flat, lines.collect(), effort, summary);

    let asked = sizes.iter().map(|size| {
        let (server, guards) = &size.known;
        let (id, mut number) = (issuer.id(), size.records);
        let (revocations, runtime) = (server.revocations(), &runtime);
        let add = move || {
            number += 1;
            let record = Record::token(id, jti(number), revocations.now());
            runtime.block_on(revocations.revoke(record)).unwrap();
        };
        let walk = Walk::new(guards, &fields).before_each_round(add).met();
        (times(size), format!("{}_asked", name(size)), walk)
    });
    let title = "records, a known token that is looked for";
    table(title, Growth::Flat, asked.collect(), effort, summary);

    let lines = sizes.iter().map(|size| {
        let walk = Walk::new(&size.unknown.1, &fields);
        (times(size), format!("{}_unknown", name(size)), walk)
    });
    table("records, an unknown token", Growth::Flat, lines.collect(), effort, summary);
}

fn fill(server: &ResourceServer, issuer: &str, records: usize, runtime: &Runtime) {
    let revocations = server.revocations();
    let now = revocations.now();
    for from in (0..records).step_by(BATCH) {
        let batch =
            (from..records.min(from + BATCH)).map(|number| Record::token(issuer, jti(number), now));
        runtime.block_on(revocations.revoke_all(batch)).unwrap();
    }
}

/// Of none of the tokens here.
fn jti(number: usize) -> String {
    format!("revoked-{number}")
}
