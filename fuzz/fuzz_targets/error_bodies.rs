//! Feeds [`infer_fuzz_laws::error_bodies`].

#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| infer_fuzz_laws::error_bodies(input));
