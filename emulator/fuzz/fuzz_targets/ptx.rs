//! PTX of any bytes: see `body.rs`.
#![no_main]

#[path = "../body.rs"]
mod body;

libfuzzer_sys::fuzz_target!(|text: &[u8]| body::ptx(text));
