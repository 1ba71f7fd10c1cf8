//! The file while it is open: what is read from it, and written to it.

use std::ops::Bound;

use redb::{Database, Durability, ReadableDatabase as _, ReadableTable as _, WriteTransaction};

use super::disk::{ISSUERS, RECORDS, SOURCES};
use super::error::Fault;
use super::issuers::{Issuers, NewIssuers};
use super::kept::KeptSource;
use super::key;
use super::row::{Horizon, Row};
use super::sorted::Sorted;
use super::{Entry, Journal};
use crate::revocation::record::Record;
use crate::time::Moment;

pub(super) struct Open {
    pub(super) database: Database,
    issuers: Issuers,
}

/// A key, behind which others are looked at.
pub(super) type Place = Option<Vec<u8>>;

impl Open {
    pub(super) fn new(database: Database) -> Result<Self, Fault> {
        let issuers = Issuers::read(&database)?;
        Ok(Self { database, issuers })
    }

    pub(super) fn begin(&self) -> Result<WriteTransaction, Fault> {
        let mut transaction = self.database.begin_write()?;
        transaction.set_durability(Durability::Immediate)?;
        // With one phase a last write that is damaged later would be taken for one that never ended.
        transaction.set_two_phase_commit(true);
        Ok(transaction)
    }

    pub(super) fn commit(&mut self, entries: &[Entry<'_>]) -> Result<(), Fault> {
        let nothing = |entry: &Entry<'_>| {
            let batch = entry.batch;
            batch.records.is_empty() && batch.state.is_none() && batch.synchronised.is_none()
        };
        if entries.iter().all(nothing) {
            return Ok(());
        }
        let transaction = self.begin()?;
        let mut issuers = NewIssuers::beside(&self.issuers);
        {
            let records = entries.iter().flat_map(|entry| &entry.batch.records);
            let sorted = Sorted::of(records, &mut issuers)?;
            let mut rows = transaction.open_table(RECORDS)?;
            let mut value = Vec::new();
            for (key, records) in sorted.by_key() {
                let before = match rows.get(key)? {
                    Some(value) => decode_row(value.value())?,
                    None => Row::default(),
                };
                let mut row = before.clone();
                records.for_each(|record| row.apply(record));
                // What is known already costs no write.
                if row != before {
                    value.clear();
                    row.encode(&mut value);
                    rows.insert(key, &*value)?;
                }
            }
            let mut numbers = transaction.open_table(ISSUERS)?;
            for (number, name) in issuers.numbered() {
                numbers.insert(number, name)?;
            }
            let mut sources = transaction.open_table(SOURCES)?;
            for Entry { source, batch } in entries {
                let mut kept = match sources.get(*source)? {
                    Some(kept) => KeptSource::decode(kept.value())?,
                    None => KeptSource::default(),
                };
                let before = kept.clone();
                kept.state = batch.state.as_deref().map(Into::into).or(kept.state);
                let synchronised = batch.synchronised.map(Moment::wall);
                kept.synchronised = synchronised.or(kept.synchronised);
                if kept != before {
                    sources.insert(*source, &*kept.encode())?;
                }
            }
        }
        let new: Vec<Box<str>> = issuers.new.into_iter().map(Into::into).collect();
        transaction.commit()?;
        self.issuers.add(new);
        Ok(())
    }

    /// Some records behind this key, and the last key that was looked at unless there are no more.
    pub(super) fn some(&self, behind: Option<&[u8]>) -> Result<(Vec<Record>, Place), Fault> {
        let transaction = self.database.begin_read()?;
        let rows = transaction.open_table(RECORDS)?;
        let mut records = Vec::with_capacity(Journal::LOADED);
        for found in rows.range::<&[u8]>(from(behind))? {
            let (key, value) = found?;
            let (issuer, target) =
                key::decode(key.value()).ok_or_else(|| Fault::unreadable("a key"))?;
            let issuer = self.issuers.name(issuer).ok_or_else(|| Fault::unreadable("an issuer"))?;
            let row = decode_row(value.value())?;
            row.records(issuer, target, &mut |record| records.push(record));
            if records.len() >= Journal::LOADED {
                return Ok((records, Some(key.value().to_vec())));
            }
        }
        Ok((records, None))
    }

    pub(super) fn purge(
        &self,
        behind: Option<&[u8]>,
        horizon: Horizon,
    ) -> Result<(usize, Place), Fault> {
        let mut old: Vec<(Vec<u8>, Row)> = Vec::new();
        let mut last = None;
        {
            let transaction = self.database.begin_read()?;
            let rows = transaction.open_table(RECORDS)?;
            for (number, found) in (1_usize..).zip(rows.range::<&[u8]>(from(behind))?) {
                let (key, value) = found?;
                let mut row = decode_row(value.value())?;
                if row.expire(horizon) {
                    old.push((key.value().to_vec(), row));
                }
                if number >= Journal::LOOKED_AT || old.len() >= Journal::DROPPED {
                    last = Some(key.value().to_vec());
                    break;
                }
            }
        }
        if !old.is_empty() {
            let transaction = self.begin()?;
            {
                let mut rows = transaction.open_table(RECORDS)?;
                let mut value = Vec::new();
                for (key, row) in &old {
                    if row.is_empty() {
                        rows.remove(&**key)?;
                    } else {
                        value.clear();
                        row.encode(&mut value);
                        rows.insert(&**key, &*value)?;
                    }
                }
            }
            transaction.commit()?;
        }
        Ok((old.len(), last))
    }
}

fn from(behind: Option<&[u8]>) -> (Bound<&[u8]>, Bound<&[u8]>) {
    (behind.map_or(Bound::Unbounded, Bound::Excluded), Bound::Unbounded)
}

fn decode_row(value: &[u8]) -> Result<Row, Fault> {
    Row::decode(value).ok_or_else(|| Fault::unreadable("a row"))
}
