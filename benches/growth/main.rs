//! What a decision costs as work grows, and what memory grows by.
//!
//! Each table changes one thing, and its floor is its own smallest row: issuers, keys of one issuer,
//! routes, scopes of a token, tokens that are known, records of revocation. Two decisions are measured,
//! each polled by hand through `Guard::verify`: of a token that is known, and of one that is not
//! (`.._unknown`), with RS256, whose verification is the cheapest, so that what is beside it shows.
//!
//! 1. Whatever does not grow is the same in each row of a table: as many tokens are asked about, each
//!    in a place of its own in memory, and put into the same request. What a row costs more is found in
//!    what has grown, not in the tokens that ask.
//! 2. What has grown is asked for all over, each as often as any other: the worst case, in which a row
//!    pays for memory that is far away. Real traffic asks for some of it most of the time. (The records
//!    of revocation are not: see there.)
//! 3. Where a token itself grows with its scopes, so does what is hashed and read; beside it stands a
//!    token of the same length with one scope.
//! 4. Issuers, keys and records are to cost nothing, and so is anything for a token that is not known. What
//!    has a place in memory of its own for each (routes, known tokens), or is read (scopes), is to grow with
//!    the logarithm: [`Growth`]. Beside the known tokens stands what one look into a map of as many costs.
//! 5. Memory is weighed by the allocator.
//!
//! Time is a clock set by hand; nothing is fetched.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::as_conversions,
    clippy::print_stdout,
    unreachable_pub,
    dead_code,
    reason = "a benchmark fails by panicking, prints what it measured, and uses a part of the harness"
)]

#[path = "../harness/mod.rs"]
mod harness;
#[path = "../harness/proofs.rs"]
mod proofs;

mod configuration;
mod known_tokens;
mod replay;
mod revocation;
mod walk;

use harness::{Effort, Goal, Group, Summary};
use walk::Walk;

fn main() {
    let effort = Effort::from_command_line();
    let mut summary = Summary::new(&effort);
    configuration::issuers(&effort, &mut summary);
    configuration::keys(&effort, &mut summary);
    configuration::routes(&effort, &mut summary);
    configuration::scopes(&effort, &mut summary);
    revocation::measure(&effort, &mut summary);
    known_tokens::measure(&effort, &mut summary);
    known_tokens::bounds(&effort, &mut summary);
    replay::bytes(&effort, &mut summary);
    summary.finish();
}

/// What is wanted of a table.
#[derive(Clone, Copy)]
enum Growth {
    /// No row more than half as much again as the smallest.
    Flat,
    /// Half of the smallest row more for each factor of ten: what is asked for all over comes from memory
    /// that is farther away.
    Logarithmic,
}

impl Growth {
    fn goal(self, size: usize) -> Goal {
        match self {
            _ if size <= 1 => Goal::none(),
            Self::Flat => Goal::ratio(1.5),
            Self::Logarithmic => {
                let most = 1.0 + 0.5 * (size as f64).log10();
                Goal::ratio((most * 100.0).round() / 100.0)
            }
        }
    }
}

/// One row: how many times the smallest it is, its name, and what it does.
type Line<'a> = (usize, String, Walk<'a>);

/// Rows of one table, the smallest first.
fn table(
    title: &str,
    growth: Growth,
    lines: Vec<Line<'_>>,
    effort: &Effort,
    summary: &mut Summary,
) {
    let names: Vec<_> = lines.iter().map(|(size, name, _)| (*size, name.clone())).collect();
    let group = lines.into_iter().fold(Group::new(title), |group, (_, name, mut walk)| {
        group.case(name, move || walk.step())
    });
    let rows = group.run(effort);
    for (size, name) in &names {
        summary.row(&rows, name, growth.goal(*size));
    }
}

/// Whether something is wanted of a table whose rows begin with this.
fn wanted(effort: &Effort, prefix: &str, sizes: &[usize]) -> bool {
    let names = |size| ["unknown", "asked", "map"].map(|what| format!("{prefix}_{size}_{what}"));
    sizes.iter().flat_map(names).any(|name| effort.wants(&name))
}
