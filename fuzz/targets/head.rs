//! Heads of requests: what is answered beside the HTTP stack means the same to it.
#![no_main]

use std::cell::LazyCell;

use libfuzzer_sys::fuzz_target;
use tokio::runtime::{Builder, Runtime};

thread_local! {
    static RUNTIME: LazyCell<Runtime> =
        LazyCell::new(|| Builder::new_current_thread().enable_time().build().expect("a runtime"));
}

fuzz_target!(|bytes: &[u8]| {
    RUNTIME.with(|runtime| folio_server::fuzzing::head(runtime, bytes));
});
