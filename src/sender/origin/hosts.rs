use crate::error::Faults;
use crate::name::NameError;
use crate::sender::uri::{Authority, Origin};

/// Hosts that are believed of forwarded fields.
#[derive(Clone, Debug)]
pub(super) struct Hosts(Vec<Host>);

#[derive(Clone, Debug)]
struct Host {
    /// In lower case.
    name: Name,
    /// `None`: the default one of the scheme.
    port: Option<u16>,
}

#[derive(Clone, Debug)]
enum Name {
    Exactly(String),
    /// One label, and this, which begins with a dot.
    OneLabelAnd(String),
}

impl Hosts {
    pub(super) fn check(texts: &[String], faults: &mut Faults) -> Self {
        let mut hosts = Vec::new();
        for (index, text) in texts.iter().enumerate() {
            match Host::parse(text) {
                Ok(host) => hosts.push(host),
                Err(wanted) => faults.at_element("hosts", index, |faults| {
                    faults.push(NameError::new("forwarded host", text, wanted));
                }),
            }
        }
        Self(hosts)
    }

    pub(super) fn hold(&self, origin: &Origin<'_>) -> bool {
        self.0.iter().any(|host| host.is(origin))
    }

    pub(super) fn texts(&self) -> impl Iterator<Item = String> {
        self.0.iter().map(|host| {
            let port = host.port.map(|port| format!(":{port}")).unwrap_or_default();
            match &host.name {
                Name::Exactly(name) => format!("{name}{port}"),
                Name::OneLabelAnd(suffix) => format!("*{suffix}{port}"),
            }
        })
    }
}

impl Host {
    fn parse(text: &str) -> Result<Self, &'static str> {
        let domain = text.strip_prefix("*.");
        let authority = Authority::parse(domain.unwrap_or(text))
            .map_err(|_| "is not a host such as api.example.com, *.example.com or [::1]:8443")?;
        let name = authority.host.to_ascii_lowercase();
        let name = match domain {
            None => Name::Exactly(name),
            Some(_) if name.starts_with('[') => return Err("is an address; no name is below it"),
            Some(_) if !name.trim_end_matches('.').contains('.') => {
                return Err("stands for a whole top-level domain; name a domain below it");
            }
            Some(_) => Name::OneLabelAnd(format!(".{name}")),
        };
        Ok(Self { name, port: authority.port })
    }

    fn is(&self, origin: &Origin<'_>) -> bool {
        let default = origin.scheme.default_port();
        if self.port.unwrap_or(default) != origin.port.unwrap_or(default) {
            return false;
        }
        match &self.name {
            Name::Exactly(name) => origin.host.eq_ignore_ascii_case(name),
            Name::OneLabelAnd(suffix) => {
                let split = origin.host.len().checked_sub(suffix.len());
                let parts = split.and_then(|at| origin.host.split_at_checked(at));
                parts.is_some_and(|(label, rest)| {
                    !label.is_empty() && !label.contains('.') && rest.eq_ignore_ascii_case(suffix)
                })
            }
        }
    }
}
