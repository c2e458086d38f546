#![no_main]

#[path = "../../../gossip-testkit/tests/fuzzing/scenario.rs"]
mod body;

libfuzzer_sys::fuzz_target!(|text: &str| body::scenario(text));
