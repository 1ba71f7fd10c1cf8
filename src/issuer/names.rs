//! The issuers that a setting can name.

use crate::name::IssuerId;

/// The names of a server's issuers, as far as they are known before it runs.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct IssuerNames<'a> {
    pub(crate) configured: &'a [String],
    /// Whether more become known at run time.
    pub(crate) open: bool,
}

impl IssuerNames<'_> {
    /// What is wrong with a setting that names this issuer: `None` where it is one of the server's, or can
    /// become one at run time.
    pub(crate) fn fault(&self, issuer: &str) -> Option<String> {
        let is_name = || IssuerId::parse_with_loopback(issuer).is_ok();
        let can_be = self.configured.iter().any(|name| name == issuer) || (self.open && is_name());
        (!can_be).then(|| {
            let names: Vec<_> = self.configured.iter().take(5).map(|name| format!("{name:?}")).collect();
            let names = if names.is_empty() { "none".to_owned() } else { names.join(", ") };
            format!(
                "issuer {issuer:?} is none of the server's, of which there are {names}: add it, or correct it"
            )
        })
    }

    /// Whether a client id alone says which client is meant.
    pub(crate) fn is_one(&self) -> bool {
        !self.open && self.configured.len() <= 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_issuer_that_can_be_none_of_the_servers_is_a_fault() {
        let configured = ["https://as.example".to_owned()];
        for (name, issuer, closed, open) in [
            ("configured", "https://as.example", true, true),
            ("written otherwise", "https://as.example/", false, true),
            ("a tenant's", "https://tenant.example/a", false, true),
            ("on this machine", "http://127.0.0.1:8080", false, true),
            ("in plain text", "http://tenant.example", false, false),
            ("no URL", "tenant", false, false),
            ("nothing", "", false, false),
        ] {
            for (open, can_be) in [(false, closed), (true, open)] {
                let fault = IssuerNames { configured: &configured, open }.fault(issuer);
                assert_eq!(fault.is_none(), can_be, "{name}, open {open}: {fault:?}");
                assert!(fault.is_none_or(|fault| fault.contains(&format!("{issuer:?}"))));
            }
        }
    }

    #[test]
    fn one_issuer_is_one() {
        let two = ["https://a.example".to_owned(), "https://b.example".to_owned()];
        for (configured, open, is_one) in [
            (&two[..0], false, true),
            (&two[..1], false, true),
            (&two, false, false),
            (&two[..1], true, false),
        ] {
            assert_eq!(IssuerNames { configured, open }.is_one(), is_one, "{configured:?} {open}");
        }
    }
}
