//! Tables in Markdown on the standard output, and what of them scripts are told.

use serde_json::{Value, json};

use crate::http;
use crate::layers::Measured;
use crate::measure::Row;
use crate::store::{Goal, Wanted};
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
            "bench": "peers",
            "ratio": to_layer,
            "ratio_to_signature": to_signature,
            "ns": nanoseconds,
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
            json!({
                "name": name,
                "bench": "peers",
                "value": flood.fetches,
                "unit": "fetches",
                "answers": answers,
            })
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
    rows.iter()
        .map(|row| {
            let http::Row { name, requests_a_second, rate, microseconds, cpu, .. } = row;
            println!(
                "| {name} | {requests_a_second:.0} | {rate:.2} | {microseconds:.2} | {cpu:.2} |"
            );
            json!({
                "name": name,
                "bench": "peers",
                "ratio": rate,
                "cpu_ratio": cpu,
                "requests_a_second": requests_a_second,
                "cpu_us": microseconds,
                "floor": "a bare server of the same axum",
                "goal": null,
            })
        })
        .collect()
}

/// What is wanted of a known token over HTTP.
pub fn goals(rows: &[http::Row]) -> Vec<Goal> {
    let Some(row) = rows.iter().find(|row| row.served == http::Served::Known) else {
        return Vec::new();
    };
    let floor = "a bare server of the same axum";
    let goals = vec![
        Goal {
            name: "end_to_end_known",
            ratio: row.rate,
            floor,
            wanted: Wanted::Least(http::LEAST_RATE),
        },
        Goal {
            name: "end_to_end_known_cpu",
            ratio: row.cpu,
            floor,
            wanted: Wanted::Most(http::MOST_CPU),
        },
    ];
    println!();
    for goal in &goals {
        let bound = if goal.is_met() { "within" } else { "beyond" };
        let (Wanted::Most(wanted) | Wanted::Least(wanted)) = goal.wanted;
        println!("{}: {:.3} of {floor}, {bound} {wanted:.2}", goal.name, goal.ratio);
    }
    goals
}
