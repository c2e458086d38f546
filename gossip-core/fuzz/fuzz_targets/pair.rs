#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| gossip_core::fuzzing::pair(bytes));
