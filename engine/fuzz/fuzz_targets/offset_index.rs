//! The libFuzzer binary of [`vnotch_engine_fuzz::offset_index`].

#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| vnotch_engine_fuzz::offset_index::check(input));
