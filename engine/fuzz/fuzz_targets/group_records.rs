//! The libFuzzer binary of [`vnotch_engine_fuzz::group_records`].

#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| vnotch_engine_fuzz::group_records::check(input));
