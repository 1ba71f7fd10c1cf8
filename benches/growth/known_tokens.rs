//! `growth_known_tokens_..`: so many tokens are known, and asked for all over. `.._unknown`: one more
//! comes, and enters. `growth_known_tokens_bytes_..`: what each takes. `growth_known_tokens_bound_..`: what
//! is held when more came than there is room for, as a share of `known_tokens_bytes`.
//!
//! What a known token says has places of its own in memory. With one token all of them are in the nearest
//! cache, with a million they are in none: `.._map` is what one look into a map of as many costs then.
//!
//! Every token is signed and verified, on as many threads as there are: with Ed25519, which is quickest
//! to do both (a million take most of a minute on two cores), and signs the same octets each time, so that
//! none has to be kept here.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::available_parallelism;

use http::header::AUTHORIZATION;
use http::{HeaderValue, Request};
use portcullis::jose::Algorithm;
use portcullis::testing::{ManualClock, TestIssuer, TokenBuilder};
use portcullis::{FirstVerifications, Guard, ResourceServer};

use crate::harness::floor::ready;
use crate::harness::{Effort, Goal, Group, Summary, weigh};
use crate::walk::{RESOURCE, SCOPE, STRIDE, Walk, bearer, builder, guards};
use crate::{Growth, table, wanted};

/// What the documentation counts for a token.
const EACH: u64 = 2_048;

struct World {
    clock: ManualClock,
    issuer: TestIssuer,
    token: TokenBuilder,
}

impl World {
    fn new() -> Self {
        let clock = ManualClock::new();
        let issuer = TestIssuer::with_algorithm("https://as.example", &clock, Algorithm::Ed25519);
        let token = issuer.token(RESOURCE).scope("openid profile notes:read notes:write");
        Self { clock, issuer, token }
    }

    fn server(&self, known_tokens_bytes: u64) -> ResourceServer {
        builder(&self.clock)
            .issuer(self.issuer.fixed_keys())
            .known_tokens_bytes(known_tokens_bytes)
            .first_verifications(FirstVerifications::unbounded())
            .build()
            .unwrap()
    }

    /// The token of this number: the same octets each time.
    fn field(&self, number: usize) -> HeaderValue {
        bearer(
            &self.token.clone().claim("jti", format!("dbe39bf3a3ba4238a513f5{number:010}")).sign(),
        )
    }

    /// Lets these tokens be accepted, one after the other.
    fn fill(&self, guard: &Guard, tokens: usize) {
        let next = AtomicUsize::new(0);
        std::thread::scope(|threads| {
            for _ in 0..available_parallelism().unwrap().get() {
                threads.spawn(|| {
                    let mut request = Request::get("/notes").body(()).unwrap();
                    loop {
                        let number = next.fetch_add(1, Ordering::Relaxed);
                        if number >= tokens {
                            break;
                        }
                        request.headers_mut().insert(AUTHORIZATION, self.field(number));
                        ready(guard.verify(&request)).unwrap();
                    }
                });
            }
        });
    }

    /// A server with room for so many and its only route, filled; and the bytes that the tokens take.
    fn filled(&self, bytes: u64, tokens: usize) -> (Vec<Guard>, usize) {
        let (_, empty) = weigh(|| guards(&self.server(0), 1));
        let (guards, held) = weigh(|| {
            let guards = guards(&self.server(bytes), 1);
            self.fill(&guards[0], tokens);
            guards
        });
        (guards, held.saturating_sub(empty))
    }
}

pub fn measure(effort: &Effort, summary: &mut Summary) {
    let sizes: &[usize] =
        if effort.quick { &[1, 1_000, 10_000] } else { &[1, 1_000, 10_000, 100_000, 1_000_000] };
    let of_bytes = |size: usize| format!("growth_known_tokens_bytes_{size}");
    if !wanted(effort, "growth_known_tokens", sizes)
        && !sizes.iter().any(|size| effort.wants(&of_bytes(*size)))
    {
        return;
    }
    let world = World::new();
    let filled: Vec<_> = sizes
        .iter()
        .map(|&tokens| (tokens, world.filled(EACH * tokens.max(1_000) as u64, tokens)))
        .collect();

    println!("\n### memory of known tokens\n");
    println!("| tokens | bytes | bytes/token | of known_tokens_bytes |\n|--:|--:|--:|--:|");
    for (tokens, (_, held)) in filled.iter().filter(|(tokens, _)| *tokens >= 1_000) {
        let each = *held as f64 / *tokens as f64;
        println!("| {tokens} | {held} | {each:.0} | {:.2} |", each / EACH as f64);
        summary.counted(&of_bytes(*tokens), each, "bytes/token", Goal::at_most(EACH as f64));
    }

    // More than the caches of the processor hold, however many are known.
    let asked = if effort.quick { 1 << 12 } else { 1 << 16 };
    let lines = filled.iter().map(|(tokens, (guards, _))| {
        let fields = match *tokens {
            1 => vec![world.field(0); asked],
            tokens => (0..asked).map(|at| world.field(at * STRIDE % tokens)).collect(),
        };
        (*tokens, format!("growth_known_tokens_{tokens}"), Walk::new(guards, &fields).met())
    });
    let title = "tokens that are known, one of them";
    table(title, Growth::Logarithmic, lines.collect(), effort, summary);
    maps(sizes, asked, effort);

    let fresh = if effort.quick { 1 << 10 } else { 1 << 14 };
    let lines = filled.iter().map(|(tokens, (guards, _))| {
        let fields: Vec<_> = (0..fresh).map(|at| world.field(2_000_000 + at)).collect();
        let mut round = 0;
        let walk = Walk::new(guards, &fields).before_each_round(move || {
            round += 1;
            assert_eq!(round, 1, "in so many rounds every token becomes known");
        });
        (*tokens, format!("growth_known_tokens_{tokens}_unknown"), walk)
    });
    table("tokens that are known, one more", Growth::Flat, lines.collect(), effort, summary);
}

/// What memory itself costs: one look into a map of as many, and at what it leads to.
fn maps(sizes: &[usize], asked: usize, effort: &Effort) {
    let key = |number: usize| (number as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let maps: Vec<_> = sizes
        .iter()
        .map(|&size| {
            let map: HashMap<u64, Box<[u64; 16]>> =
                (0..size).map(|number| (key(number), Box::new([number as u64; 16]))).collect();
            let keys: Vec<_> = (0..asked).map(|at| key(at * STRIDE % size)).collect();
            (size, map, keys)
        })
        .collect();
    let group = Group::new("maps of as many, one look");
    maps.iter()
        .fold(group, |group, (size, map, keys)| {
            let mut at = 0;
            group.case(format!("growth_known_tokens_{size}_map"), move || {
                at += 1;
                map[&keys[at % keys.len()]][7]
            })
        })
        .run(effort);
}

/// Twice as many tokens as there is room for: usual ones, some with two hundred scopes, and some with three
/// hundred audiences.
pub fn bounds(effort: &Effort, summary: &mut Summary) {
    let sizes: &[u64] = if effort.quick { &[1] } else { &[1, 4, 16] };
    let name = |of: &str, mebibytes: u64| format!("growth_known_tokens_bound_{mebibytes}mib{of}");
    let names = |size: &u64| ["", "_long", "_parts"].map(|of| name(of, *size));
    if !sizes.iter().flat_map(names).any(|name| effort.wants(&name)) {
        return;
    }
    let [usual, mut long, mut parts] = [World::new(), World::new(), World::new()];
    let scopes: Vec<_> = (0..200).map(|number| format!("scope-{number}")).collect();
    long.token = long.token.scope(&format!("{} {SCOPE}", scopes.join(" ")));
    let others = (0..300).map(|number| format!("a{number}"));
    parts.token = parts.token.claim("aud", others.chain([RESOURCE.to_owned()]).collect::<Vec<_>>());
    println!("\n### memory of more known tokens than there is room for\n");
    println!("| known_tokens_bytes | octets of a token | bytes held | share |\n|--:|--:|--:|--:|");
    for &mebibytes in sizes {
        for (of, world) in [("", &usual), ("_long", &long), ("_parts", &parts)] {
            let octets = world.field(0).len() - "Bearer ".len();
            let bytes = mebibytes << 20;
            // Each takes at least as much as its own octets.
            let offered = 2 * bytes as usize / octets.max(1_000);
            let (_, held) = world.filled(bytes, offered);
            let share = held as f64 / bytes as f64;
            println!("| {bytes} | {octets} | {held} | {share:.2} |");
            summary.counted(&name(of, mebibytes), share, "of the bound", Goal::at_most(1.0));
        }
    }
}
