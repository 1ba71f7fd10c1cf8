//! A server from a file: what is enforced with it, and what a faulty file is told.
//!
//! `cargo run --example config`
//!
//! It opens no connection: nothing is fetched before the first token, or a warm-up.

use std::error::Error;

use portcullis::ResourceServer;
use portcullis::config::ServerConfig;

const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/config.toml");

/// Words that are no members, a time without unit, an algorithm that is none for access tokens, and
/// a secret that must not stand here.
const MISTYPED: &str = r#"
resource = "https://notes.example"
bindng = "where_bound"
leeway = "10"
token_hash_key = "correct horse battery staple"

[[issuers]]
id = "https://login.example"
algorithms = ["ES256", "HS256"]

[default_class]
at_most = "15m"

[policies.read]
all_scope = ["notes:read"]
"#;

/// Well-formed, and without sense: it wants bound tokens, and has nothing to prove them with.
const CONTRADICTORY: &str = r#"
resource = "http://notes.example"
binding = "dpop"
token_hash_key = { env = "A_VARIABLE_THAT_NOBODY_SET" }

[[issuers]]
id = "https://login.example"
key_refresh = { fresh_at_most = "48h" }

[[issuers]]
id = "https://login.example"

[default_class]
at_most = "10000days"

[[exceptions]]
clients = ["partner"]
until = "next year"
because = ""

[policies.read]
all_scopes = ["notes:read notes:write"]
"#;

fn api() -> Result<ResourceServer, Box<dyn Error>> {
    let builder = ServerConfig::from_file(FILE)?.builder()?;
    // What no file can say would be added here: a transport, a clock, observers.
    let api = builder.build()?;
    // A policy stands in the file, and where it is mounted stands here. A name that is not in the
    // file is an error now, and not with the first request.
    for name in ["read", "share", "audit"] {
        api.guard(api.policy(name))?;
    }
    Ok(api)
}

/// Prints everything, and returns how many faults the two faulty files have.
pub fn run() -> Result<[usize; 2], Box<dyn Error>> {
    println!("{:#}", api()?.effective_policy());
    let mut found = [0; 2];
    for (text, found) in [MISTYPED, CONTRADICTORY].into_iter().zip(&mut found) {
        match ServerConfig::from_toml(text).and_then(ServerConfig::build) {
            Ok(_) => return Err("a faulty file was taken".into()),
            Err(error) => {
                println!("\n{error}");
                *found = error.faults().len();
            }
        }
    }
    Ok(found)
}

fn main() -> Result<(), Box<dyn Error>> {
    run().map(|_| ())
}
