#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| sctp_user_core::fuzz::run("sending", data));
