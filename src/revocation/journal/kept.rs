//! What is kept of a source, and how it is written.

use std::sync::Arc;
use std::time::Duration;

use super::error::Fault;
use crate::time::Timestamp;

/// What was kept of a source.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct KeptSource {
    pub(crate) synchronised: Option<Timestamp>,
    pub(crate) state: Option<Arc<[u8]>>,
}

impl KeptSource {
    const VERSION: u8 = 1;

    pub(super) fn encode(&self) -> Vec<u8> {
        let mut value = vec![Self::VERSION, u8::from(self.synchronised.is_some())];
        if let Some(at) = self.synchronised {
            write_duration(at.as_duration(), &mut value);
        }
        if let Some(state) = &self.state {
            value.push(1);
            value.extend_from_slice(state);
        }
        value
    }

    pub(super) fn decode(value: &[u8]) -> Result<Self, Fault> {
        let read = |value: &[u8]| {
            let (&[version, synchronised], mut rest) = value.split_first_chunk()?;
            let synchronised = match synchronised {
                0 => None,
                1 => Some(Timestamp::from_duration(read_duration(&mut rest)?)),
                _ => return None,
            };
            let state = match rest {
                [] => None,
                [1, state @ ..] => Some(state.into()),
                _ => return None,
            };
            (version == Self::VERSION).then_some(Self { synchronised, state })
        };
        read(value).ok_or_else(|| Fault::unreadable("the state of a source"))
    }
}

pub(super) fn write_duration(time: Duration, onto: &mut Vec<u8>) {
    onto.extend_from_slice(&time.as_secs().to_be_bytes());
    onto.extend_from_slice(&time.subsec_nanos().to_be_bytes());
}

pub(super) fn read_duration(rest: &mut &[u8]) -> Option<Duration> {
    let (seconds, behind) = rest.split_first_chunk::<8>()?;
    let (nanos, behind) = behind.split_first_chunk::<4>()?;
    *rest = behind;
    let nanos = u32::from_be_bytes(*nanos);
    (nanos < 1_000_000_000).then(|| Duration::new(u64::from_be_bytes(*seconds), nanos))
}
