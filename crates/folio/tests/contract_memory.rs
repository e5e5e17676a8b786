//! The contract suite on the memory driver.

use std::process::ExitCode;
use std::sync::Arc;

use folio::memory::{MemoryDriver, MemoryOptions};
use folio::{Driver, Limits, ManualClock};
use folio_contract::{Harness, Need};

struct Memory {
    driver: Arc<MemoryDriver>,
    clock: Arc<ManualClock>,
}

impl Memory {
    fn new() -> Self {
        let clock = Arc::new(ManualClock::new(1_763_900_000_000));
        let options = MemoryOptions { limits: Limits::default(), clock: clock.clone() };
        Self { driver: Arc::new(MemoryDriver::new(options)), clock }
    }
}

impl Harness for Memory {
    fn driver(&self) -> Arc<dyn Driver> {
        self.driver.clone()
    }

    fn lacks(&self, need: Need) -> Option<&'static str> {
        match need {
            Need::Clock => None,
            Need::Reopen | Need::Crash => Some("what is kept in memory is gone with the driver"),
            Need::PlainFiles => Some("nothing is kept on disk"),
        }
    }

    fn clock(&self) -> Option<Arc<ManualClock>> {
        Some(self.clock.clone())
    }
}

fn main() -> ExitCode {
    folio_contract::main("memory", || async { Ok(Memory::new()) })
}
