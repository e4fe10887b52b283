//! Feeds [`infer_fuzz_laws::sse_framing`].

#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| infer_fuzz_laws::sse_framing(input));
