//! Configuration from a file: TOML or JSON, every fault at once, each with its place.
//!
//! 1. The members of a file are the methods of [`crate::ServerBuilder`] and mean the same. What a
//!    file does not say is as it is without a file.
//! 2. A member that is not known is a fault, and so are a member that stands twice, `null`, and an
//!    empty list where one would be read as "nothing" by some and as "anything" by others.
//! 3. Every fault is reported at once, with its place in the file: `issuers[1].algorithms[0]`. The
//!    faults of the text and those of what it says come together; what only seems wrong because
//!    something else is, is left out.
//! 4. A secret stands in a file by reference only: `{ env = "NAME" }` or `{ file = "/path" }`. What
//!    stands in its place is a fault, and is not shown. A text that is no TOML or JSON at all is
//!    not shown either: it may be a pasted secret.
//! 5. Times are texts such as `"15m"` or `"1h 30m"`; there is no bare number for a time.
//! 6. A policy asks everything that it names, all of it. One that names nothing is a fault, unless
//!    it says `allow_all = true`.
//! 7. A scope grants another one only by `scope_implications`, by whole names, and what that one
//!    grants as well.
//! 8. Paths of files are looked for from the directory of the configuration, where it came from a
//!    file, and are read once, when the server is built. What is shown to others (`fetch_token`,
//!    `authorization`, `bearer`, and what is in `client` of an introspection) has to be there then, and is
//!    read again when it is shown.
//! 9. The journal of revocations is opened by [`ServerConfig::builder`], and begun where there is none
//!    unless the file has faults. One server has it at a time: build one server of such a file. It
//!    blocks while the journal is read.
//! 10. A text is at most 1 MiB.
//!
//! What a file says of revocation: who says what is revoked (streams of security events, JSON feeds,
//! status lists), whose tokens each is believed about, how old what is known may become and what becomes
//! of tokens then, in general and for a class or a policy, and where all of it is kept.
//!
//! What a file says of introspection: which issuers are asked about their tokens, as whom, which tokens are
//! whose, and how long an answer counts. An issuer that writes no JWTs is `opaque`, and has no keys.
//!
//! What a file says of encrypted tokens, with the feature `jwe`: the private keys in `[decryption]`, and by
//! `encrypted_only` which issuers encrypt all their tokens. Without the feature these two are faults.
//!
//! What a file cannot say: transports but for a private authority (so the certificate that
//! `tls_client_auth` of an introspection wants is for [`crate::ServerBuilder::transport`] to show), clocks, observers, resolvers of
//! issuers, replay memories that processes share, checks of your own; nor sources of revocation of your
//! own ([`crate::revocation::RevocationSource`]), what this process revokes itself
//! ([`crate::ResourceServer::revocations`]), and where events are pushed to
//! ([`crate::ResourceServer::event_receiver`]). [`ServerConfig::builder`] gives the builder to add them
//! to, but for sources: [`crate::ServerBuilder::revocation`] takes the place of all that the file says of
//! revocation. [`crate::ResourceServer::policy`] gives a policy of the file to extend: its name stands in
//! the file, and where it is mounted stands in the code.
//!
//! A schema for editors is [`JSON_SCHEMA`].
//!
//! ```
//! use portcullis::config::ServerConfig;
//!
//! let config = ServerConfig::from_toml(r#"
//!     resource = "https://api.example.com"
//!     accept_audiences = ["https://api.example.com/v1"]
//!     binding = "either"
//!     leeway = "10s"
//!     scope_implications = { "notes:admin" = ["notes:write"], "notes:write" = ["notes:read"] }
//!
//!     [[issuers]]
//!     id = "https://login.example.com"
//!     algorithms = ["ES256", "EdDSA"]
//!     key_refresh = { keep_through_outage = "6h" }
//!
//!     [[issuers]]
//!     id = "https://keycloak.example.com/realms/partners"
//!     profile = "keycloak"
//!
//!     [[issuers]]
//!     id = "https://opaque.example.com"
//!     opaque = true
//!
//!     [dpop]
//!     nonces = { mode = "optional", lifetime = "5m" }
//!     public_origins = [{ origin = "https://api.example.com", proxy_removes = "/v1" }]
//!
//!     [mtls]
//!     direct = true
//!
//!     [revocation]
//!     on_stale = { allow_for = "5m" }
//!     status_lists = { allow_uris_at = ["https://lists.example.com"] }
//!
//!     [[introspection]]
//!     issuer = "https://opaque.example.com"
//!     endpoint = "https://opaque.example.com/introspect"
//!     client = { method = "client_secret_basic", client_id = "notes", secret = { env = "CARGO_PKG_NAME" } }
//!     ttl = "20s"
//!
//!     [[revocation.sources]]
//!     name = "partners"
//!     speaks_for = ["https://keycloak.example.com/realms/partners"]
//!     events = { id = "https://events.example.com", audience = ["https://api.example.com"], poll = {} }
//!
//!     [default_class]
//!     at_most = "15m"
//!
//!     [[classes]]
//!     name = "agents"
//!     scopes = ["agent"]
//!     at_most = "10m"
//!
//!     [policies.read]
//!     all_scopes = ["notes:read"]
//!     credentials = "optional"
//!
//!     [policies.pay]
//!     all_scopes = ["payments"]
//!     subject_kinds = ["person"]
//!     actor = "forbidden"
//!     require_nonce = true
//!     freshness = "1m"
//!     claims = [{ path = ["realm_access", "roles"], contains = "payer" }]
//!     step_up = { acr_values = ["phr"], max_age = "5m" }
//!
//!     [challenge]
//!     realm = "example"
//!
//!     [metadata]
//!     resource_name = "Notes"
//!     localized.de.resource_name = "Notizen"
//! "#)?;
//! let api = config.builder()?.build()?;
//! let pay = api.policy("pay");
//! assert!(api.guard(pay).is_ok());
//! assert_eq!(api.effective_policy()["classes"][0]["at_most"], "10m");
//! assert_eq!(api.effective_policy()["dpop"]["max_age"], "1m");
//! assert_eq!(api.effective_policy()["introspection"][0]["negative_ttl"], "5s");
//! assert_eq!(api.effective_policy()["revocation"]["sources"][0]["max_age"], "1m");
//!
//! let error = ServerConfig::from_toml(r#"
//!     resource = "https://api.example.com"
//!     bindng = "either"
//!     issuers = [{ id = "https://login.example.com", algorithms = ["HS256"] }]
//!     token_hash_key = "correct horse battery staple"
//! "#).unwrap_err();
//! let mut places: Vec<_> = error.places().map(|(place, _)| place).collect();
//! places.sort_unstable();
//! assert_eq!(
//!     places,
//!     ["binding", "bindng", "default_class", "issuers[0].algorithms[0]", "token_hash_key"],
//! );
//! assert!(!error.to_string().contains("horse"));
//! # Ok::<(), portcullis::BuildError>(())
//! ```

mod build;
mod decryption;
mod dpop;
mod events;
mod feed;
mod files;
mod introspection;
mod issuer;
mod merged;
mod mtls;
mod policy;
mod replay;
mod revocation;
#[cfg(test)]
mod schema;
mod secret;
mod shape;
mod status_lists;
mod tree;
mod value;
mod verifications;
mod word;

use std::io::Read as _;
use std::path::{Path, PathBuf};

use crate::error::{BuildError, ConfigFault, Faults};
use crate::server::{ResourceServer, ServerBuilder};

use build::Made;
use merged::Merged;
use revocation::Journals;
use shape::File;
use tree::{Cuts, Fault, Read, Source};
use value::Table;

/// The JSON Schema (draft 2020-12) of a configuration, for editors and for checks before a
/// deployment. What it lets through can still be faulty: an issuer that is no URL, say.
pub const JSON_SCHEMA: &str = include_str!("schema.json");

/// A configuration as a file has it: well-formed, and not yet known to make sense. It holds no
/// secret, only where secrets are.
///
/// See the [module's documentation](self) for what a file can say.
#[derive(Clone, Debug)]
pub struct ServerConfig {
    file: File,
    /// Where the files are that it names.
    directory: Option<PathBuf>,
}

impl ServerConfig {
    /// Reads TOML. Paths in it are looked for from the working directory.
    ///
    /// # Errors
    /// Every fault of the text and, if there is one, of what it says as well, as far as it can be
    /// known: as if code added nothing to it.
    pub fn from_toml(text: &str) -> Result<Self, BuildError> {
        Self::read(tree::toml(text), None)
    }

    /// Reads JSON. Paths in it are looked for from the working directory.
    ///
    /// # Errors
    /// As [`ServerConfig::from_toml`].
    pub fn from_json(text: &str) -> Result<Self, BuildError> {
        Self::read(tree::json(text), None)
    }

    /// Reads a file whose name ends with `.toml` or `.json`. Paths in it are looked for from its
    /// directory.
    ///
    /// # Errors
    /// If it cannot be read, is longer than 1 MiB, or has another name; else as
    /// [`ServerConfig::from_toml`].
    pub fn from_file(path: impl AsRef<Path>) -> Result<Self, BuildError> {
        let path = path.as_ref();
        let fault = |what: &str| {
            let name = path.display().to_string();
            single(&format!("configuration file {name:?}: {what}"))
        };
        let parse = match path.extension().and_then(|extension| extension.to_str()) {
            Some("toml") => tree::toml,
            Some("json") => tree::json,
            _ => return Err(fault("its name ends neither with `.toml` nor with `.json`")),
        };
        let most = u64::try_from(tree::LONGEST).unwrap_or(u64::MAX).saturating_add(1);
        let mut bytes = Vec::new();
        std::fs::File::open(path)
            .and_then(|file| file.take(most).read_to_end(&mut bytes))
            .map_err(|error| fault(&error.to_string()))?;
        let text = String::from_utf8(bytes).map_err(|_| fault("it is not UTF-8"))?;
        Self::read(parse(&text), path.parent())
    }

    fn read(source: Result<Source, String>, directory: Option<&Path>) -> Result<Self, BuildError> {
        let Read { structure: Table(file), faults, cuts } =
            source.map_err(|what| single(&what))?.read::<Table<File>>();
        let config = Self { file, directory: directory.map(Path::to_owned) };
        if faults.is_empty() { Ok(config) } else { Err(config.all_faults(&faults, &cuts)) }
    }

    /// The builder, with everything that the file says. Add what a file cannot say: a transport, a
    /// clock, observers.
    ///
    /// # Errors
    /// What a builder cannot be told: a secret or a file that cannot be read, a member that is
    /// missing, a policy that asks nothing. Faults that [`ServerBuilder::build`] would find come
    /// with them, as far as they are known.
    pub fn builder(self) -> Result<ServerBuilder, BuildError> {
        let made = self.file.made(self.directory.as_deref(), Journals::Opened);
        if made.faults.len() == 0 && !made.misplaces {
            return Ok(made.builder);
        }
        let mut merged = Merged::new(&[]);
        self.add_to(&mut merged, made, &Cuts::default());
        Err(merged.into_error())
    }

    /// The server, with nothing added to what the file says.
    ///
    /// # Errors
    /// Every fault.
    pub fn build(self) -> Result<ResourceServer, BuildError> {
        self.builder()?.build()
    }

    /// What was wrong with the text, with each member, and with all of it together.
    fn all_faults(&self, read: &[Fault], cuts: &Cuts) -> BuildError {
        let mut merged = Merged::new(read);
        // Nothing is known of a text that is no table, or that has faults without end.
        if !read.iter().any(|fault| fault.path.is_empty()) {
            let made = self.file.made(self.directory.as_deref(), Journals::LookedAt);
            self.add_to(&mut merged, made, cuts);
        }
        merged.into_error()
    }

    /// What was wrong with each member, and with all of it together.
    fn add_to(&self, merged: &mut Merged, made: Made, cuts: &Cuts) {
        if let Err(error) = made.faults.unless_none(()) {
            merged.add(&error, str::to_owned, cuts);
        }
        if let Err(error) = made.builder.build() {
            merged.add(&error, |place| self.file.place(place), cuts);
        }
    }
}

fn single(what: &str) -> BuildError {
    let mut faults = Faults::new();
    faults.push(ConfigFault::File(what.to_owned()));
    faults.into_error()
}
