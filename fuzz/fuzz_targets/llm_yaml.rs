//! Feeds [`infer_fuzz_laws::llm_yaml`].

#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| infer_fuzz_laws::llm_yaml(input));
