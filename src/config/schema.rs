//! The JSON Schema of a configuration, from the structure that reads it.

use std::borrow::Cow;

use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

use super::secret::{SecretRef, SecretRefs};
use super::shape::File;
use super::value::{Actor, Count, Names, NamesOfIssuer, Some1, Switch, Table, Time, Way, WordOr};
use super::word::PresenceWord;

/// `PORTCULLIS_WRITE_SCHEMA=1 cargo test --lib config::schema` writes it.
#[test]
fn the_schema_is_that_of_the_code() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/src/config/schema.json");
    let schema = SchemaSettings::draft2020_12().into_generator().into_root_schema_for::<File>();
    let mut schema = schema.to_value();
    // With some features of the crate another one has `serde_json` keep members in their order.
    schema.sort_all_objects();
    let current = format!("{schema:#}\n");
    if std::env::var_os("PORTCULLIS_WRITE_SCHEMA").is_some() {
        std::fs::write(path, current).unwrap();
        return;
    }
    assert!(
        current == super::JSON_SCHEMA,
        "src/config/schema.json is not what the code says: write it with \
         `PORTCULLIS_WRITE_SCHEMA=1 cargo test --lib config::schema`"
    );
}

/// A type that stands in the schema where it is used. Its name is for recursion only, and has to
/// tell what it is of.
macro_rules! inline {
    ([$($of:ident),*] $name:ty, $generator:ident => $schema:expr) => {
        impl<$($of: JsonSchema),*> JsonSchema for $name {
            fn schema_name() -> Cow<'static, str> {
                let of: Vec<Cow<'static, str>> = vec![$($of::schema_id()),*];
                format!("{}({})", stringify!($name), of.join(",")).into()
            }

            fn inline_schema() -> bool {
                true
            }

            fn json_schema($generator: &mut SchemaGenerator) -> Schema {
                $schema
            }
        }
    };
}

inline!([] Time, _generator => json_schema!({ "type": "string", "examples": ["15m", "1h 30m"] }));
inline!([] Count, _generator => json_schema!({ "type": "integer", "minimum": 0 }));
inline!([T] Table<T>, generator => generator.subschema_for::<T>());
inline!([T] Some1<T>, generator => json_schema!({
    "type": "array",
    "items": generator.subschema_for::<T>(),
    "minItems": 1,
}));
inline!([T] Switch<T>, generator => json_schema!({
    "anyOf": [{ "type": "boolean" }, generator.subschema_for::<T>()],
}));
inline!([W, T] WordOr<W, T>, generator => json_schema!({
    "anyOf": [generator.subschema_for::<W>(), generator.subschema_for::<T>()],
}));
inline!([] Names, generator => json_schema!({
    "anyOf": [
        generator.subschema_for::<Some1<String>>(),
        generator.subschema_for::<NamesOfIssuer>(),
    ],
}));
inline!([] Actor, generator => json_schema!({
    "anyOf": [generator.subschema_for::<PresenceWord>(), generator.subschema_for::<Names>()],
}));
inline!([] Way, generator => json_schema!({
    "anyOf": [{ "type": "string" }, generator.subschema_for::<Some1<String>>()],
}));
inline!([] SecretRefs, generator => generator.subschema_for::<Some1<SecretRef>>());
inline!([] SecretRef, _generator => json_schema!({
    "anyOf": [
        {
            "type": "object",
            "properties": { "env": { "type": "string", "pattern": "^[A-Za-z_][A-Za-z0-9_]*$" } },
            "required": ["env"],
            "additionalProperties": false,
        },
        {
            "type": "object",
            "properties": { "file": { "type": "string", "minLength": 1 } },
            "required": ["file"],
            "additionalProperties": false,
        },
    ],
}));
