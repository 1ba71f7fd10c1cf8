use serde::Serialize;

/// JSON members as text, in order: a test may want two of one name, or numbers no type holds.
#[derive(Clone, Default)]
pub(super) struct Members(Vec<(String, String)>);

impl Members {
    /// A member, instead of the one of this name.
    pub(super) fn set(&mut self, name: &str, json: String) {
        match self.0.iter_mut().find(|(known, _)| known == name) {
            Some((_, value)) => *value = json,
            None => self.push(name, json),
        }
    }

    /// A member, beside one of the same name.
    pub(super) fn push(&mut self, name: &str, json: String) {
        self.0.push((name.to_owned(), json));
    }

    pub(super) fn rename(&mut self, from: &str, to: &str) {
        if let Some((name, _)) = self.0.iter_mut().find(|(name, _)| name == from) {
            *name = to.to_owned();
        }
    }

    pub(super) fn remove(&mut self, name: &str) {
        self.0.retain(|(known, _)| known != name);
    }

    pub(super) fn to_json(&self) -> String {
        let members: Vec<String> =
            self.0.iter().map(|(name, value)| format!("{}:{value}", json(name))).collect();
        format!("{{{}}}", members.join(","))
    }
}

pub(super) fn json(value: impl Serialize) -> String {
    serde_json::to_string(&value).expect("a value that is JSON")
}
