//! Files that lose their bytes while somebody may be about to open them under an earlier name.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// How often blanking began in a root.
#[derive(Clone, Debug, Default)]
pub(super) struct Begun(Arc<AtomicU64>);

/// The right to blank files that had lost their names before it was given ([`Dir::begin_blanking`](super::Dir)).
///
/// Who has looked a name up and not opened the file yet counts nowhere. So [`Begun::opened`] looks a name up again where
/// blanking began meanwhile: then the name leads elsewhere. Where it begins later, the file is seen to be open.
#[derive(Debug)]
pub(crate) struct Blanking(());

impl Begun {
    pub(super) fn begin(&self) -> Blanking {
        self.0.fetch_add(1, Ordering::SeqCst);
        Blanking(())
    }

    /// What `open` opens, which is no file that is being blanked.
    pub(super) fn opened<T>(&self, open: impl Fn() -> T) -> T {
        loop {
            let before = self.0.load(Ordering::SeqCst);
            let opened = open();
            if self.0.load(Ordering::SeqCst) == before {
                return opened;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    #[test]
    fn a_name_is_looked_up_again_where_blanking_began_meanwhile() {
        let (begun, count) = (Begun::default(), Cell::new(0));
        let opened = begun.opened(|| {
            count.set(count.get() + 1);
            if count.get() < 3 {
                begun.begin();
            }
            count.get()
        });
        assert_eq!(opened, 3);
    }
}
