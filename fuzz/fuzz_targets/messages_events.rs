//! Feeds [`infer_fuzz_laws::messages_events`].

#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| infer_fuzz_laws::messages_events(input));
