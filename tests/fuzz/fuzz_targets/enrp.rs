#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| rserpool_core::fuzz::run("enrp", data));
