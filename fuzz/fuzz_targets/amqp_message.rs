#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| hikyaku::fuzzing::amqp_message(bytes));
