//! The numbers of issuers: they are many times fewer than rows, and each row has the number of its own.

use std::collections::HashMap;

use redb::{Database, ReadableDatabase as _};

use super::disk::ISSUERS;
use super::error::Fault;

/// The issuers that rows are about.
pub(super) struct Issuers {
    numbers: HashMap<Box<str>, u32>,
    names: Vec<Box<str>>,
}

impl Issuers {
    pub(super) fn read(database: &Database) -> Result<Self, Fault> {
        let transaction = database.begin_read()?;
        let table = transaction.open_table(ISSUERS)?;
        let mut issuers = Self { numbers: HashMap::new(), names: Vec::new() };
        let mut names: Vec<Box<str>> = Vec::new();
        for found in table.range::<u32>(..)? {
            let (number, name) = found?;
            if usize::try_from(number.value()) != Ok(names.len()) {
                return Err(Fault::unreadable("the issuers"));
            }
            names.push(name.value().into());
        }
        issuers.add(names);
        Ok(issuers)
    }

    pub(super) fn add(&mut self, names: Vec<Box<str>>) {
        for name in names {
            // INVARIANT: fewer than 2^32; `NewIssuers` gives out no others.
            let Ok(number) = u32::try_from(self.names.len()) else { return };
            self.numbers.insert(name.clone(), number);
            self.names.push(name);
        }
    }

    pub(super) fn name(&self, number: u32) -> Option<&str> {
        self.names.get(usize::try_from(number).ok()?).map(AsRef::as_ref)
    }
}

/// Issuers that a commit is the first to name.
pub(super) struct NewIssuers<'a> {
    known: &'a Issuers,
    pub(super) new: Vec<&'a str>,
    numbers: HashMap<&'a str, u32>,
}

impl<'a> NewIssuers<'a> {
    pub(super) fn beside(known: &'a Issuers) -> Self {
        Self { known, new: Vec::new(), numbers: HashMap::new() }
    }

    pub(super) fn number(&mut self, name: &'a str) -> Result<u32, Fault> {
        if let Some(number) = self.known.numbers.get(name) {
            return Ok(*number);
        }
        if let Some(number) = self.numbers.get(name) {
            return Ok(*number);
        }
        let number = self.known.names.len().saturating_add(self.new.len());
        let number =
            u32::try_from(number).map_err(|_| Fault::unreadable("the number of issuers"))?;
        self.new.push(name);
        self.numbers.insert(name, number);
        Ok(number)
    }

    pub(super) fn numbered(&self) -> impl Iterator<Item = (u32, &'a str)> {
        let first = u32::try_from(self.known.names.len()).unwrap_or(u32::MAX);
        (first..).zip(self.new.iter().copied())
    }
}
