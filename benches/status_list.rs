//! What a status list of ten million entries costs: one look into it, and to load it.
//!
//! The floor of the load is what no server can do without: the ES256 signature over the list as it was
//! sent, with a key that is parsed already, and the inflation of its octets into memory that is there
//! already. The rest is what that does not do: base64 twice, a strict reading of the claims, and the memory
//! itself. One entry in a hundred is set; each has one bit.
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

mod harness;

use std::hint::black_box;

use flate2::{Decompress, FlushDecompress, Status};
use harness::{Effort, Goal, Group, Summary, weigh};
use portcullis::jose::{Algorithm, ClaimsSet, Compact, PublicKey, base64url};
use portcullis::revocation::{ExpectedStatusList, StatusList, StatusListToken};
use portcullis::testing::{ManualClock, TestIssuer, TestStatusList};
use portcullis::time::Clock as _;

/// How many places are looked at in turn: more than a cache of the processor remembers.
const LOOKS: usize = 1 << 20;
const ENTRIES: usize = 10_000_000;
const URI: &str = "https://as.example/lists/1";

/// Numbers that look like chance and are the same in each run.
struct Dice(u64);

impl Dice {
    fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % end
    }
}

fn main() {
    let effort = Effort::from_command_line();
    let mut summary = Summary::new(&effort);
    let clock = ManualClock::new();
    let issuer = TestIssuer::new("https://as.example", &clock);
    let made = TestStatusList::new(URI, &issuer, &clock);
    made.resize(1, ENTRIES);
    let mut dice = Dice(0x2545_f491_4f6c_dd1d);
    for _ in 0..ENTRIES / 100 {
        made.set(dice.below(ENTRIES as u64), 1);
    }
    let text = made.token();
    let key =
        PublicKey::parse(issuer.key().public_jwk().to_string().as_bytes(), &[Algorithm::Es256])
            .unwrap();
    let expected = ExpectedStatusList::new(URI, clock.now()).issuer("https://as.example");
    let load =
        || StatusListToken::parse(black_box(&text)).unwrap().verify(&key, &expected).unwrap();
    let (list, held) = weigh(|| load().into_list());
    println!("{ENTRIES} entries: {} octets as sent, {held} held", text.len());

    let mut indices: Vec<u64> = (0..LOOKS).map(|_| dice.below(ENTRIES as u64)).collect();
    indices.push(0);
    let mut turn = 0_usize;
    let rows = Group::new("one look into a list of ten million")
        .case("an array of octets", {
            // Written, so that each page of it is one of its own.
            let octets: Vec<u8> = (0..ENTRIES / 8).map(|place| place as u8).collect();
            let (indices, mut turn) = (&indices, 0_usize);
            move || {
                turn = (turn + 1) & (LOOKS - 1);
                let index = indices[turn] as usize;
                (octets[index / 8] >> (index % 8)) & 1
            }
        })
        .case("status_bit_10m", || {
            turn = (turn + 1) & (LOOKS - 1);
            black_box(&list).get(indices[turn]).unwrap()
        })
        .run(&effort);
    summary.row(&rows, "status_bit_10m", Goal::ratio(1.2));

    let jws = Compact::parse(&text).unwrap();
    let claims = ClaimsSet::parse(jws.payload()).unwrap();
    let status_list = claims.value("status_list").unwrap().as_object().unwrap();
    let lst = status_list.member("lst").unwrap().as_str().unwrap();
    let zlib = base64url::decode(&*lst).unwrap();
    let mut room = vec![0_u8; ENTRIES / 8];
    let mut inflate = || {
        let mut inflater = Decompress::new(true);
        let status = inflater.decompress(black_box(&zlib), &mut room, FlushDecompress::Finish);
        assert_eq!(status.unwrap(), Status::StreamEnd);
    };
    let verify = || key.verify(Algorithm::Es256, black_box(&jws)).unwrap();
    let rows = Group::new("to load a list of ten million")
        .case("inflation and signature", || {
            inflate();
            verify();
        })
        .case("status_load_10m", load)
        .run(&effort);
    summary.row(&rows, "status_load_10m", Goal::none());

    Group::new("parts of status_load_10m")
        .case("the signature", verify)
        .case("base64 of the token", || Compact::parse(black_box(&text)).unwrap())
        .case("claims", || ClaimsSet::parse(black_box(jws.payload())).unwrap())
        .case("claims and their list", || {
            let claims = ClaimsSet::parse(black_box(jws.payload())).unwrap();
            claims.value("status_list").unwrap().as_object().unwrap().has("lst")
        })
        .case("base64 of the list", || base64url::decode(black_box(&*lst)).unwrap())
        .case("inflation with its memory", || {
            StatusList::from_compressed(1, black_box(&zlib), StatusList::MAX_ENTRIES).unwrap()
        })
        .run(&effort);
    summary.finish();
}
