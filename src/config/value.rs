//! Values that a file writes in its own way.

use std::fmt;
use std::marker::PhantomData;
use std::time::Duration;

use serde::de::value::{MapAccessDeserializer, SeqAccessDeserializer};
use serde::de::{Error, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};

use super::word::{Presence, PresenceWord};

/// A value as a message shows it: escaped, and not more of it than its start.
pub(super) fn shown(found: &str) -> String {
    const SHOWN: usize = 100;
    let mut text: String = found.chars().take(SHOWN).collect();
    if text.len() < found.len() {
        text.push('…');
    }
    format!("{text:?}")
}

/// A time such as `15m` or `1h 30m`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Time(pub(super) Duration);

impl<'de> Deserialize<'de> for Time {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;
        impl Visitor<'_> for Text {
            type Value = Time;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a time such as \"15m\" or \"1h 30m\"")
            }

            fn visit_str<E: Error>(self, found: &str) -> Result<Time, E> {
                humantime::parse_duration(found).map(Time).map_err(|_| {
                    let found = shown(found);
                    E::custom(format_args!(
                        "found {found}, wanted a time such as \"15m\" or \"1h 30m\""
                    ))
                })
            }
        }
        deserializer.deserialize_str(Text)
    }
}

/// A whole number that counts something.
#[derive(Clone, Copy, Debug)]
pub(super) struct Count(pub(super) usize);

impl<'de> Deserialize<'de> for Count {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Number;
        impl Visitor<'_> for Number {
            type Value = Count;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a whole number, not negative")
            }

            fn visit_u64<E: Error>(self, found: u64) -> Result<Count, E> {
                usize::try_from(found).map(Count).map_err(E::custom)
            }
        }
        deserializer.deserialize_u64(Number)
    }
}

/// A list with at least one element. An empty one would mean "nothing", or, read carelessly,
/// "anything": whoever means either leaves the member out.
#[derive(Clone, Debug)]
pub(super) struct Some1<T>(pub(super) Vec<T>);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Some1<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match Vec::<T>::deserialize(deserializer)? {
            none if none.is_empty() => {
                Err(D::Error::custom("an empty list: name at least one, or leave the member out"))
            }
            some => Ok(Self(some)),
        }
    }
}

/// A table, by its members' names only. What serde derives would take a list as well, and read
/// members by their order.
#[derive(Clone, Debug, Default)]
pub(super) struct Table<T>(pub(super) T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Table<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Members<T>(PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for Members<T> {
            type Value = Table<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a table (in JSON: an object)")
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Table<T>, A::Error> {
                T::deserialize(MapAccessDeserializer::new(map)).map(Table)
            }
        }
        deserializer.deserialize_map(Members(PhantomData))
    }
}

/// `false`, or a table.
#[derive(Clone, Debug)]
pub(super) enum Switch<T> {
    Off,
    On(T),
}

impl<'de, T: Deserialize<'de> + Default> Deserialize<'de> for Switch<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Either<T>(PhantomData<T>);
        impl<'de, T: Deserialize<'de> + Default> Visitor<'de> for Either<T> {
            type Value = Switch<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("`true`, `false`, or a table (in JSON: an object)")
            }

            fn visit_bool<E: Error>(self, on: bool) -> Result<Switch<T>, E> {
                Ok(if on { Switch::On(T::default()) } else { Switch::Off })
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Switch<T>, A::Error> {
                T::deserialize(MapAccessDeserializer::new(map)).map(Switch::On)
            }
        }
        deserializer.deserialize_any(Either(PhantomData))
    }
}

/// A word or a table: a name, or what starts from one.
#[derive(Clone, Debug)]
pub(super) enum WordOr<W, T> {
    Word(W),
    Table(T),
}

impl<'de, W: Deserialize<'de>, T: Deserialize<'de>> Deserialize<'de> for WordOr<W, T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Either<W, T>(PhantomData<(W, T)>);
        impl<'de, W: Deserialize<'de>, T: Deserialize<'de>> Visitor<'de> for Either<W, T> {
            type Value = WordOr<W, T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a name, or a table (in JSON: an object)")
            }

            fn visit_str<E: Error>(self, word: &str) -> Result<Self::Value, E> {
                let word = serde::de::value::StrDeserializer::<E>::new(word);
                let or_table =
                    |error: E| E::custom(format_args!("{error}, or a table (in JSON: an object)"));
                W::deserialize(word).map(WordOr::Word).map_err(or_table)
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
                T::deserialize(MapAccessDeserializer::new(map)).map(WordOr::Table)
            }
        }
        deserializer.deserialize_any(Either(PhantomData))
    }
}

/// Names, and whose they are: a list of names, or `{ one_of = [...], of_issuer = "https://..." }`.
#[derive(Clone, Debug)]
pub(super) struct Names {
    pub(super) one_of: Vec<String>,
    pub(super) of_issuer: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(super) struct NamesOfIssuer {
    /// The names, at least one.
    #[serde(default)]
    one_of: Option<Some1<String>>,
    /// The issuer whose they are.
    #[serde(default)]
    of_issuer: Option<String>,
}

impl<'de> Deserialize<'de> for Names {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Either;
        impl<'de> Visitor<'de> for Either {
            type Value = Names;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list of names, or { one_of = [...], of_issuer = \"https://...\" }")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, list: A) -> Result<Names, A::Error> {
                let Some1(one_of) = Some1::deserialize(SeqAccessDeserializer::new(list))?;
                Ok(Names { one_of, of_issuer: None })
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Names, A::Error> {
                let names = NamesOfIssuer::deserialize(MapAccessDeserializer::new(map))?;
                // The check refuses an empty list, at this place.
                let one_of = names.one_of.map(|Some1(names)| names).unwrap_or_default();
                Ok(Names { one_of, of_issuer: names.of_issuer })
            }
        }
        deserializer.deserialize_any(Either)
    }
}

/// Whether there has to be an actor, or who it may be.
#[derive(Clone, Debug)]
pub(super) enum Actor {
    Presence(Presence),
    Names(Names),
}

impl<'de> Deserialize<'de> for Actor {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Either;
        impl<'de> Visitor<'de> for Either {
            type Value = Actor;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(
                    "`required`, `forbidden`, a list of names, or { one_of = [...], of_issuer = \
                     \"https://...\" }",
                )
            }

            fn visit_str<E: Error>(self, word: &str) -> Result<Actor, E> {
                let word = serde::de::value::StrDeserializer::new(word);
                PresenceWord::deserialize(word).map(|word| Actor::Presence(word.0))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, list: A) -> Result<Actor, A::Error> {
                Names::deserialize(SeqAccessDeserializer::new(list)).map(Actor::Names)
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Actor, A::Error> {
                Names::deserialize(MapAccessDeserializer::new(map)).map(Actor::Names)
            }
        }
        deserializer.deserialize_any(Either)
    }
}

/// The name of a claim, or the names on the way into nested objects.
#[derive(Clone, Debug)]
pub(super) struct Way(pub(super) Vec<String>);

impl<'de> Deserialize<'de> for Way {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Either;
        impl<'de> Visitor<'de> for Either {
            type Value = Way;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("the name of a claim, or a list of names into nested objects")
            }

            fn visit_str<E: Error>(self, name: &str) -> Result<Way, E> {
                Ok(Way(vec![name.to_owned()]))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, list: A) -> Result<Way, A::Error> {
                Some1::deserialize(SeqAccessDeserializer::new(list)).map(|Some1(names)| Way(names))
            }
        }
        deserializer.deserialize_any(Either)
    }
}
