//! As much of JSON Schema (draft 2020-12) as the schema of feeds uses.

use serde_json::{Value, json};

pub(crate) struct Schema<'a> {
    pub(crate) root: &'a Value,
}

impl Schema<'_> {
    pub(crate) fn check(&self, schema: &Value, value: &Value) -> Result<(), String> {
        let Some(schema) = schema.as_object() else {
            return if schema == &json!(true) { Ok(()) } else { Err(format!("{schema}: {value}")) };
        };
        let holds = |schema: &Value, value: &Value| self.check(schema, value).is_ok();
        for (word, wanted) in schema {
            let list = || wanted.as_array().unwrap();
            let number = || wanted.as_f64().unwrap();
            let length = || usize::try_from(wanted.as_u64().unwrap()).unwrap();
            let good = match word.as_str() {
                "$schema" | "title" | "description" | "$defs" => true,
                "$ref" => {
                    let place = wanted.as_str().unwrap().strip_prefix('#').unwrap();
                    holds(self.root.pointer(place).unwrap(), value)
                }
                "type" => is(wanted.as_str().unwrap(), value),
                "const" => value == wanted,
                "enum" => list().contains(value),
                "not" => !holds(wanted, value),
                "allOf" => list().iter().all(|one| holds(one, value)),
                "anyOf" => list().iter().any(|one| holds(one, value)),
                "oneOf" => list().iter().filter(|one| holds(one, value)).count() == 1,
                "minimum" => value.as_f64().is_none_or(|found| found >= number()),
                "maximum" => value.as_f64().is_none_or(|found| found <= number()),
                "minLength" => value.as_str().is_none_or(|text| text.chars().count() >= length()),
                "maxLength" => value.as_str().is_none_or(|text| text.chars().count() <= length()),
                "minProperties" => value.as_object().is_none_or(|table| table.len() >= length()),
                "maxProperties" => value.as_object().is_none_or(|table| table.len() <= length()),
                // One pattern there is, and no library here reads another.
                "pattern" => {
                    assert_eq!(wanted, "^[A-Za-z][A-Za-z0-9+.-]*:[!-~]+$");
                    value.as_str().is_none_or(is_uri)
                }
                "items" => {
                    value.as_array().is_none_or(|all| all.iter().all(|one| holds(wanted, one)))
                }
                "required" => value.as_object().is_none_or(|table| {
                    list().iter().all(|name| table.contains_key(name.as_str().unwrap()))
                }),
                "properties" => {
                    wanted.as_object().unwrap().iter().all(|(name, wanted)| {
                        value.get(name).is_none_or(|value| holds(wanted, value))
                    })
                }
                "additionalProperties" => {
                    let known = schema.get("properties").and_then(Value::as_object);
                    value.as_object().is_none_or(|table| {
                        let known =
                            |name: &str| known.is_some_and(|known| known.contains_key(name));
                        table.iter().all(|(name, value)| known(name) || holds(wanted, value))
                    })
                }
                "propertyNames" => value
                    .as_object()
                    .is_none_or(|table| table.keys().all(|name| holds(wanted, &json!(name)))),
                other => panic!("`{other}` is not checked here yet"),
            };
            if !good {
                return Err(format!("{value} is not as `{word}` wants it: {wanted}"));
            }
        }
        Ok(())
    }
}

fn is(kind: &str, value: &Value) -> bool {
    match kind {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "number" => value.is_number(),
        "integer" => value.is_i64() || value.is_u64(),
        other => panic!("`{other}` is not checked here yet"),
    }
}

fn is_uri(text: &str) -> bool {
    let Some((scheme, rest)) = text.split_once(':') else { return false };
    let mut letters = scheme.chars();
    letters.next().is_some_and(|first| first.is_ascii_alphabetic())
        && letters.all(|letter| letter.is_ascii_alphanumeric() || "+.-".contains(letter))
        && !rest.is_empty()
        && rest.chars().all(|letter| ('!'..='~').contains(&letter))
}

/// Every member is described.
#[test]
fn the_schema_says_what_each_member_is_for() {
    let schema: Value = serde_json::from_str(portcullis::revocation::FEED_SCHEMA).unwrap();
    let mut bare = Vec::new();
    for (name, table) in [
        ("", &schema),
        ("Record", &schema["$defs"]["Record"]),
        ("Removed", &schema["$defs"]["Removed"]),
    ] {
        for (member, said) in table["properties"].as_object().unwrap() {
            let described = said.get("description").is_some() || member == "claims";
            if !described {
                bare.push(format!("{name}.{member}"));
            }
        }
    }
    assert_eq!(bare, [""; 0]);
}
