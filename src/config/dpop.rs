//! Proofs of keys: DPoP.

use std::path::Path;

use serde::Deserialize;

use super::issuer::wanted;
use super::mtls::{PeersTable, peers};
use super::secret::SecretRefs;
use super::value::{Count, Some1, Table, Time};
use super::word::{AlgorithmWord, words};
use crate::error::{ConfigFault, Faults};
use crate::secret::Secret;
use crate::sender::{Dpop, ForwardedOrigin, Nonces, PublicOrigin, TrustedPeers};

/// DPoP: an empty table is enough.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[cfg_attr(test, schemars(rename = "Dpop"))]
pub(super) struct DpopTable {
    /// The algorithms that proofs may be signed with: ES256, EdDSA and Ed25519 unless said
    /// otherwise; ES384, PS256 and RS256 are possible too.
    algorithms: Option<Some1<AlgorithmWord>>,
    /// How old a proof may be, "1s" to "5m"; "1m" unless said otherwise.
    max_age: Option<Time>,
    /// Makes nonces, and wants them in proofs or takes them. Without it there are none.
    nonces: Option<Table<NoncesTable>>,
    /// The origins by which clients call this server; that of `resource` unless said otherwise.
    public_origins: Option<Some1<Table<PublicOriginTable>>>,
    /// Takes the origin from what trusted proxies say in header fields.
    forwarded: Option<Table<ForwardedOriginTable>>,
}

/// Nonces of proofs (RFC 9449 §9).
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[cfg_attr(test, schemars(rename = "Nonces", extend("required" = ["mode"])))]
struct NoncesTable {
    /// Whether a proof needs one.
    mode: Option<NonceModeWord>,
    /// How long a nonce is accepted, "10s" to "1h"; "5m" unless said otherwise.
    lifetime: Option<Time>,
    /// The keys that all processes of a service share, at least 32 random bytes each: the first
    /// makes nonces, each is accepted. Without them each process has a key of its own.
    keys: Option<SecretRefs>,
}

/// An origin by which clients call this server, and what a proxy does to the front of paths.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[cfg_attr(test, schemars(rename = "PublicOrigin", extend("required" = ["origin"])))]
struct PublicOriginTable {
    /// Scheme, host and, if it is not the default one, port.
    origin: Option<String>,
    /// The path prefix that clients write and the proxy takes away.
    proxy_removes: Option<String>,
    /// The path prefix that the proxy puts before what clients write.
    proxy_adds: Option<String>,
}

/// Header fields in which trusted proxies say by which URI a client called.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[cfg_attr(
    test,
    schemars(rename = "ForwardedOrigin", extend("required" = ["style", "hosts", "peers"]))
)]
struct ForwardedOriginTable {
    /// Which fields: `Forwarded` (RFC 7239), or `X-Forwarded-Proto`, `-Host` and `-Port`.
    style: Option<StyleWord>,
    /// The hosts that are believed; `*.` at the beginning stands for one label.
    hosts: Option<Some1<String>>,
    /// The path prefixes that are believed of `X-Forwarded-Prefix`. Without any that field is not
    /// looked at.
    prefixes: Option<Some1<String>>,
    /// How many proxies add an element of their own, 1 to 10: this one from the end counts; 1
    /// unless said otherwise.
    trusted_hops: Option<Count>,
    /// The proxies.
    peers: Option<Table<PeersTable>>,
}

type Mode = fn() -> Nonces;

words! {
    /// Whether a proof needs a nonce.
    NonceModeWord(Mode):
        "optional" => Nonces::optional,
        "required" => Nonces::required,
}

type Style = fn(TrustedPeers) -> ForwardedOrigin;

words! {
    /// The fields that say by which URI a client called.
    StyleWord(Style):
        "forwarded" => ForwardedOrigin::forwarded,
        "x_forwarded" => ForwardedOrigin::x_forwarded,
}

impl DpopTable {
    pub(super) fn dpop(&self, directory: Option<&Path>, faults: &mut Faults) -> Dpop {
        let mut dpop = Dpop::new();
        if let Some(Some1(algorithms)) = &self.algorithms {
            dpop = dpop.algorithms(algorithms.iter().map(|word| word.0));
        }
        if let Some(Time(age)) = self.max_age {
            dpop = dpop.max_age(age);
        }
        if let Some(Table(nonces)) = &self.nonces {
            dpop = dpop.nonces(faults.at("nonces", |faults| nonces.nonces(directory, faults)));
        }
        let origins = self.public_origins.iter().flat_map(|Some1(list)| list).enumerate();
        for (index, Table(origin)) in origins {
            let look = |faults: &mut Faults| origin.origin(faults);
            dpop = dpop.public_origin(faults.at_element("public_origins", index, look));
        }
        if let Some(Table(forwarded)) = &self.forwarded {
            dpop = dpop.forwarded_origin(faults.at("forwarded", |faults| forwarded.origin(faults)));
        }
        dpop
    }
}

impl NoncesTable {
    fn nonces(&self, directory: Option<&Path>, faults: &mut Faults) -> Nonces {
        wanted("mode", self.mode.is_some(), faults);
        let mut nonces = self.mode.map_or_else(Nonces::optional, |NonceModeWord(mode)| mode());
        if let Some(Time(lifetime)) = self.lifetime {
            nonces = nonces.lifetime(lifetime);
        }
        let Some(SecretRefs(keys)) = &self.keys else { return nonces };
        let read = keys.iter().enumerate().map(|(index, key)| {
            let source = key.from(directory);
            let key = source.read().unwrap_or_else(|error| {
                let fault = ConfigFault::Secret(error.to_string());
                faults.at_element("keys", index, |faults| faults.push(fault));
                // Good in itself, so that the others keep their places; nothing is built with it.
                Secret::new([0; 32])
            });
            (source, key)
        });
        nonces.keys_from(read.collect::<Vec<_>>())
    }
}

impl PublicOriginTable {
    fn origin(&self, faults: &mut Faults) -> PublicOrigin {
        wanted("origin", self.origin.is_some(), faults);
        let mut origin = PublicOrigin::new(self.origin.clone().unwrap_or_default());
        if let Some(prefix) = &self.proxy_removes {
            origin = origin.proxy_removes(prefix);
        }
        if let Some(prefix) = &self.proxy_adds {
            origin = origin.proxy_adds(prefix);
        }
        origin
    }
}

impl ForwardedOriginTable {
    fn origin(&self, faults: &mut Faults) -> ForwardedOrigin {
        wanted("style", self.style.is_some(), faults);
        // The one that takes every other member, so that nothing follows from it.
        let style = match self.style {
            Some(StyleWord(style)) => style,
            None => ForwardedOrigin::x_forwarded,
        };
        let list = |list: &Option<Some1<String>>| {
            list.as_ref().map(|Some1(list)| list.clone()).unwrap_or_default()
        };
        let mut origin = style(peers(&self.peers, faults))
            .hosts(list(&self.hosts))
            .prefixes(list(&self.prefixes));
        if let Some(Count(hops)) = self.trusted_hops {
            origin = origin.trusted_hops(hops);
        }
        origin
    }
}
