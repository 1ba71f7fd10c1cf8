//! Tables in Markdown on the standard output, and the same as JSON under the target directory.

use std::fs;
use std::path::PathBuf;

use serde_json::{Value, json};

use crate::http;
use crate::layers::Measured;
use crate::measure::Row;
use crate::unknown_keys::Flood;

pub fn layers(measured: &Measured, rounds: usize) -> Vec<Value> {
    println!(
        "{rounds} interleaved rounds. x layer: to a layer that does nothing; x signature: to the"
    );
    println!("bare verification of the signature. Medians of the ratios of each round.\n");
    println!("| | ns | x layer | x signature | allocations |");
    println!("|---|--:|--:|--:|--:|");
    let mut objects = Vec::new();
    let mut group = "";
    for row in &measured.rows {
        if row.group != group {
            group = &row.group;
            println!("| **{group}** | | | | |");
        }
        let Row { name, nanoseconds, to_layer, to_signature, allocations, .. } = row;
        println!(
            "| {name} | {nanoseconds:.0} | {to_layer:.2} | {to_signature:.3} | {allocations:.0} |"
        );
        objects.push(json!({
            "name": format!("{group}: {name}"),
            "ns": nanoseconds,
            "ratio": to_layer,
            "ratio_to_signature": to_signature,
            "allocs": allocations,
            "floor": "a layer that does nothing",
            "goal": null,
        }));
    }
    for reason in &measured.left_out {
        println!("\nLeft out: {reason}.");
    }
    objects
}

pub fn unknown_keys(floods: &[Flood]) -> Vec<Value> {
    println!("Tokens that name keys which nobody has, each another one, as each peer comes.\n");
    println!("| | fetches before | fetches for them | ms | answers | a good token after |");
    println!("|---|--:|--:|--:|---|--:|");
    floods
        .iter()
        .map(|flood| {
            let answers = flood.answers.iter().map(|(status, times)| format!("{times} x {status}"));
            let answers = answers.collect::<Vec<_>>().join(", ");
            let (name, good) = (&flood.name, flood.good_after.as_u16());
            println!(
                "| {name} | {} | {} | {:.1} | {answers} | {good} |",
                flood.fetches_before, flood.fetches, flood.milliseconds
            );
            json!({ "name": name, "fetches": flood.fetches, "answers": answers })
        })
        .collect()
}

pub fn http(rows: &[http::Row], rounds: usize) -> Vec<Value> {
    println!(
        "HTTP/1.1 on loopback, two worker threads, `wrk` with two threads and 64 connections,"
    );
    println!("{rounds} interleaved rounds. Ratios: to the bare server of the same axum.\n");
    println!("| RS256, a token of 742 octets | requests/s | x | CPU us a request | x |");
    println!("|---|--:|--:|--:|--:|");
    let (goal, rate_goal, cpu_goal) = http::GOAL;
    let mut objects = Vec::new();
    for row in rows {
        let http::Row { name, requests_a_second, rate, microseconds, cpu, .. } = row;
        println!("| {name} | {requests_a_second:.0} | {rate:.2} | {microseconds:.2} | {cpu:.2} |");
        let has_goal = row.served == goal;
        objects.push(json!({
            "name": if has_goal { "end_to_end_known" } else { name },
            "requests_per_second": requests_a_second,
            "cpu_us": microseconds,
            "ratio": rate,
            "cpu_ratio": cpu,
            "floor": "a bare server of the same axum",
            "goal": has_goal.then_some(rate_goal),
            "cpu_goal": has_goal.then_some(cpu_goal),
        }));
    }
    if let Some(row) = rows.iter().find(|row| row.served == goal) {
        let met = row.rate >= rate_goal && row.cpu <= cpu_goal;
        let (rate, cpu) = (row.rate, row.cpu);
        println!(
            "\nend_to_end_known: {rate:.2} of the requests/s, {cpu:.2} times the CPU; {} {rate_goal:.2} and {cpu_goal:.2}",
            if met { "within" } else { "beyond" }
        );
    }
    objects
}

/// Writes rows where a script finds them: `bench/<name>.json` of the target directory.
pub fn save(name: &str, rows: Vec<Value>) -> std::io::Result<PathBuf> {
    let program = std::env::current_exe()?;
    let target = program.ancestors().nth(2).map_or_else(PathBuf::new, |path| path.to_owned());
    let directory = target.join("bench");
    fs::create_dir_all(&directory)?;
    let path = directory.join(format!("{name}.json"));
    fs::write(&path, serde_json::to_vec_pretty(&Value::Array(rows))?)?;
    Ok(path)
}
