//! Files that lose their bytes while somebody may be about to open them under an earlier name.

use std::sync::atomic::{AtomicU64, Ordering};

static BEGUN: AtomicU64 = AtomicU64::new(0);

/// The right to empty files that had lost their names before it was given.
///
/// Who has looked a name up and not opened the file yet counts nowhere. So [`opened`] looks a name up again where
/// emptying began meanwhile: then the name leads elsewhere. Where it begins later, the file is seen to be open.
#[derive(Debug)]
pub(crate) struct Emptying(());

impl Emptying {
    pub(crate) fn begin() -> Self {
        BEGUN.fetch_add(1, Ordering::SeqCst);
        Self(())
    }
}

/// What `open` opens, which is no file that is being emptied.
pub(super) fn opened<T>(open: impl Fn() -> T) -> T {
    loop {
        let before = BEGUN.load(Ordering::SeqCst);
        let opened = open();
        if BEGUN.load(Ordering::SeqCst) == before {
            return opened;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    #[test]
    fn a_name_is_looked_up_again_where_emptying_began_meanwhile() {
        let count = Cell::new(0);
        let opened = opened(|| {
            count.set(count.get() + 1);
            if count.get() < 3 {
                Emptying::begin();
            }
            count.get()
        });
        assert!(opened >= 3);
    }
}
