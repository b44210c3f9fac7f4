//! The checks of the fuzz targets, over their seeds. Here they need neither libFuzzer nor a nightly toolchain.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may fail by panic")]

#[allow(dead_code, unreachable_pub, reason = "they are a crate of their own for libFuzzer")]
#[path = "../fuzz/src/lib.rs"]
mod targets;

use targets::TARGETS;

#[test]
fn every_seed_passes_its_check() {
    for target in TARGETS {
        let seeds = (target.seeds)();
        assert!(!seeds.is_empty(), "{} has no seeds", target.name);
        for seed in seeds {
            (target.check)(&seed);
        }
    }
}

#[test]
fn every_cut_and_every_flipped_byte_of_the_smallest_seed_passes() {
    for target in TARGETS {
        let seeds = (target.seeds)();
        let smallest = seeds.iter().min_by_key(|seed| seed.len()).expect("there are seeds");
        let step = smallest.len() / 60 + 1;
        for place in (0..smallest.len()).step_by(step) {
            (target.check)(&smallest[..place]);
            let mut flipped = smallest.clone();
            flipped[place] ^= 0xff;
            (target.check)(&flipped);
        }
    }
}
