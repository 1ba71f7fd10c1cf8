//! Whatever a file says, it is read or refused.

use std::collections::BTreeSet;

use portcullis::config::ServerConfig;
use proptest::prelude::{Just, Strategy, any, prop_oneof, proptest};
use serde_json::Value;

use super::{DIRECTORY, config, tables_of};

fn words() -> impl Strategy<Value = String> {
    let known: Vec<String> = ["full.json", "faulty.toml"]
        .into_iter()
        .flat_map(|name| {
            let text = std::fs::read_to_string(format!("{DIRECTORY}/{name}")).unwrap();
            let words = text.split(|letter: char| !letter.is_alphanumeric() && letter != '_');
            // With a journal files would be made, wherever the next word says.
            let words = words.filter(|word| !word.is_empty() && *word != "journal");
            words.map(str::to_owned).collect::<Vec<_>>()
        })
        .collect::<BTreeSet<_>>()
        .into_iter()
        .collect();
    let one = proptest::sample::select(known);
    prop_oneof![8 => one, 1 => any::<String>(), 1 => Just("a\"b].c[0".to_owned())]
}

fn values() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        1 => Just(Value::Null),
        1 => any::<bool>().prop_map(Value::from),
        1 => any::<i64>().prop_map(Value::from),
        1 => any::<f64>().prop_map(Value::from),
        4 => words().prop_map(Value::from),
    ];
    leaf.prop_recursive(5, 60, 6, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            proptest::collection::vec((words(), inner), 0..6)
                .prop_map(|members| members.into_iter().collect()),
        ]
    })
}

proptest! {
    #[test]
    fn no_text_panics(text in any::<String>()) {
        let _ = ServerConfig::from_toml(&text);
        let _ = ServerConfig::from_json(&text);
    }

    /// Any value in place of any part of a good file, and any value at all.
    #[test]
    fn no_value_panics(value in values(), at in any::<proptest::sample::Index>()) {
        let _ = config(&value).map(ServerConfig::build);
        let full = std::fs::read_to_string(format!("{DIRECTORY}/full.json")).unwrap();
        let mut full: Value = serde_json::from_str(&full).unwrap();
        let mut tables = Vec::new();
        tables_of(&full, "", &mut tables);
        let table = full.pointer_mut(at.get(&tables).as_str()).unwrap();
        let names: Vec<_> = table.as_object().unwrap().keys().cloned().collect();
        match names.is_empty() {
            true => *table = value,
            false => table[at.get(&names)] = value,
        }
        let _ = config(&full).map(ServerConfig::build);
    }
}
