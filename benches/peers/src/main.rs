//! What this crate and its peers cost on the same tokens, on the same machine, in the same minutes.
//!
//! ```sh
//! cargo run --release --manifest-path benches/peers/Cargo.toml                     # as tower services
//! cargo run --release --manifest-path benches/peers/Cargo.toml -- http             # over HTTP, with wrk
//! cargo run --release --manifest-path benches/peers/Cargo.toml -- unknown-keys     # fetches of keys
//! ```
//!
//! `--quick` finds out whether it runs at all. `--rust-crypto` has the peers that use jsonwebtoken 10 or 11
//! verify with RustCrypto, which is what axum-jwt-auth and tower-oauth2-resource-server come with; without
//! it they have aws-lc-rs, as this crate does.
//!
//! The tokens are those of the test kit: claims of RFC 9068, keys that were made when the program started.

mod floor;
mod http;
mod key_set;
mod layers;
mod measure;
mod peers;
mod report;
mod store;
mod tokens;
mod unknown_keys;

use std::process::ExitCode;

use key_set::KeySet;
use store::Length;
use tokens::{Keys, World};
use tokio::runtime::{Builder, Runtime};

/// What verifies signatures for the peers that have a choice.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Backend {
    AwsLc,
    RustCrypto,
}

impl Backend {
    /// As this program is told.
    pub fn argument(self) -> Option<&'static str> {
        match self {
            Self::AwsLc => None,
            Self::RustCrypto => Some("--rust-crypto"),
        }
    }
}

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), String> {
    let (flags, words): (Vec<_>, Vec<_>) =
        std::env::args().skip(1).partition(|argument| argument.starts_with("--"));
    let quick = flags.iter().any(|flag| flag == "--quick");
    let rust_crypto = flags.iter().any(|flag| flag == "--rust-crypto");
    let backend = if rust_crypto { Backend::RustCrypto } else { Backend::AwsLc };
    backend.install();
    let length = if quick { Length::Quick } else { Length::Whole };
    let words: Vec<_> = words.iter().map(String::as_str).collect();
    let (name, rows, goals) = match words[..] {
        ["serve", served] => {
            let served = http::Served::from_argument(served);
            http::serve(served.ok_or("nothing of this name is served")?);
            return Ok(());
        }
        [] => {
            let (runtime, world) = (runtime()?, World::new());
            let keys = keys_of(&world);
            let effort = if quick { measure::Effort::QUICK } else { measure::Effort::WHOLE };
            let measured = layers::measure(&runtime, &world, &keys, effort);
            let name = if rust_crypto { "peers-rust-crypto" } else { "peers" };
            (name, report::layers(&measured, effort.rounds), Vec::new())
        }
        ["http"] => {
            http::check()?;
            let world = World::new();
            let keys = keys_of(&world);
            let effort = if quick { http::Effort::QUICK } else { http::Effort::WHOLE };
            let rows = http::measure(&world, &keys, backend, effort)?;
            ("peers-http", report::http(&rows, effort.rounds), report::goals(&rows))
        }
        ["unknown-keys"] => {
            let floods = unknown_keys::flood_all(&runtime()?, &World::new());
            ("peers-unknown-keys", report::unknown_keys(&floods), Vec::new())
        }
        _ => return Err(format!("{words:?}: say `http`, `unknown-keys`, or nothing")),
    };
    let path = store::write(name, length, &rows).map_err(|error| error.to_string())?;
    if !goals.is_empty() {
        store::merge(length, &goals).map_err(|error| error.to_string())?;
    }
    eprintln!("\n{}", path.display());
    Ok(())
}

fn keys_of(world: &World) -> Keys {
    let jwks = world.issuer.jwk_set().to_string();
    let url = KeySet::serve(jwks.clone()).url;
    Keys { jwks, url }
}

fn runtime() -> Result<Runtime, String> {
    Builder::new_current_thread().enable_all().build().map_err(|error| error.to_string())
}
