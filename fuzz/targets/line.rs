//! One line of a log: what parses prints and parses again to the same.
#![no_main]

use folio_fuzz::sums;
use libfuzzer_sys::{fuzz_mutator, fuzz_target};

fuzz_target!(|bytes: &[u8]| {
    for line in bytes.split(|&byte| byte == b'\n') {
        folio::fuzzing::line(line);
    }
});

fuzz_mutator!(|data: &mut [u8], size: usize, max_size: usize, seed: u32| { sums::mutate(data, size, max_size, seed) });
