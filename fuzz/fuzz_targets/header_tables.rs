//! Feeds [`infer_fuzz_laws::header_tables`].

#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| infer_fuzz_laws::header_tables(input));
