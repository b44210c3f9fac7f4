//! Writes random histories of consumer groups, with what this engine's coordinator answers, as JSON lines.
//!
//! usage: `cargo run -p vnotch-engine --example group_histories -- [HISTORIES] [FIRST_SEED] [STEPS]`

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a failing example says enough by its panic")]

#[path = "../tests/groups/history/mod.rs"]
mod history;

use history::generate::{history, settings};
use history::{Kind, json};
use std::io::{BufWriter, Write as _};

fn main() {
    let numbers: Vec<u64> =
        std::env::args().skip(1).map(|text| text.parse().expect("arguments are numbers")).collect();
    let number = |place: usize, default: u64| numbers.get(place).copied().unwrap_or(default);
    let (count, first, steps) = (number(0, 10), number(1, 0), number(2, 160));
    let mut out = BufWriter::new(std::io::stdout().lock());
    for seed in first..first + count {
        let settings = settings(seed, Kind::Comparable, usize::try_from(steps).unwrap());
        writeln!(out, "{}", json::start(&settings)).unwrap();
        let mut number = 0;
        let mut run = history(settings, |_, step| {
            writeln!(out, "{}", json::step(number, step)).unwrap();
            number += 1;
        });
        let parked = run.end();
        let parked: Vec<u64> = parked.iter().map(|token| token.0).collect();
        writeln!(out, "{}", serde_json::json!({"end": seed, "parked": parked})).unwrap();
    }
}
