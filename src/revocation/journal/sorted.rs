//! Records in the order in which they are written.

use super::error::Fault;
use super::issuers::NewIssuers;
use super::key;
use crate::revocation::record::Record;

/// Records in the order of their keys: neighbours are on one page.
pub(super) struct Sorted<'a> {
    /// One key after the other.
    keys: Vec<u8>,
    /// Where in `keys` each begins and ends, and its record.
    records: Vec<(usize, usize, &'a Record)>,
}

impl<'a> Sorted<'a> {
    pub(super) fn of(
        records: impl Iterator<Item = &'a Record>,
        issuers: &mut NewIssuers<'a>,
    ) -> Result<Self, Fault> {
        let mut sorted = Self { keys: Vec::new(), records: Vec::new() };
        for record in records {
            let issuer = issuers.number(&record.issuer)?;
            let start = sorted.keys.len();
            key::encode(issuer, &record.target, &mut sorted.keys);
            sorted.records.push((start, sorted.keys.len(), record));
        }
        let Self { keys, records } = &mut sorted;
        records.sort_by_key(|(start, end, _)| keys.get(*start..*end));
        Ok(sorted)
    }

    /// Each key with its records.
    pub(super) fn by_key(&self) -> impl Iterator<Item = (&[u8], impl Iterator<Item = &'a Record>)> {
        let key = |(start, end, _): &(usize, usize, &Record)| self.keys.get(*start..*end);
        self.records.chunk_by(move |one, other| key(one) == key(other)).filter_map(move |chunk| {
            let key = key(chunk.first()?)?;
            Some((key, chunk.iter().map(|(_, _, record)| *record)))
        })
    }
}
