//! Where blocking work runs: off the async runtime.

use tokio::task::JoinHandle;

/// Where blocking work runs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Pace {
    /// On threads that may block.
    Thread,
    /// On the runtime's own and only thread, one piece after the other: so a run can be repeated step by step.
    #[cfg(test)]
    Inline,
}

impl Pace {
    /// What holds for work that is begun on this thread.
    pub(crate) fn here() -> Self {
        #[cfg(test)]
        if inline::holds() {
            return Self::Inline;
        }
        Self::Thread
    }

    /// As [`Pace::start`], from a thread that is none of the runtime's.
    pub(crate) fn start_on<T: Send + 'static>(
        self,
        runtime: &tokio::runtime::Handle,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> JoinHandle<T> {
        match self {
            Self::Thread => runtime.spawn_blocking(work),
            #[cfg(test)]
            Self::Inline => runtime.spawn(async move { work() }),
        }
    }

    /// Begins `work`; it goes on to its end, whoever waits for it.
    pub(crate) fn start<T: Send + 'static>(self, work: impl FnOnce() -> T + Send + 'static) -> JoinHandle<T> {
        match self {
            Self::Thread => tokio::task::spawn_blocking(work),
            #[cfg(test)]
            Self::Inline => tokio::spawn(async move { work() }),
        }
    }
}

#[cfg(test)]
pub(crate) use inline::{Inline, count};

#[cfg(test)]
mod inline {
    use std::cell::Cell;
    use std::marker::PhantomData;

    thread_local! {
        static HOLDS: Cell<bool> = const { Cell::new(false) };
        static COUNT: Cell<u64> = const { Cell::new(0) };
    }

    pub(super) fn holds() -> bool {
        HOLDS.get()
    }

    /// A number that no other call got since inline work began: for names that are the same in each run.
    pub(crate) fn count() -> Option<u64> {
        HOLDS.get().then(|| {
            COUNT.set(COUNT.get() + 1);
            COUNT.get()
        })
    }

    /// While it lives, work that is begun on this thread runs on this thread.
    pub(crate) struct Inline(PhantomData<*const ()>);

    impl Inline {
        pub(crate) fn begin() -> Self {
            HOLDS.set(true);
            COUNT.set(0);
            Self(PhantomData)
        }
    }

    impl Drop for Inline {
        fn drop(&mut self) {
            HOLDS.set(false);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn inline_work_runs_on_this_thread_while_it_is_asked_for() {
        let here = std::thread::current().id();
        let inline = Inline::begin();
        assert_eq!(Pace::here().start(|| std::thread::current().id()).await.unwrap(), here);
        drop(inline);
        assert_ne!(Pace::here().start(|| std::thread::current().id()).await.unwrap(), here);
    }

    #[tokio::test]
    async fn a_store_opens_in_an_open_folder_and_works_inline() {
        use crate::fs::vfs::Dir;
        use crate::{AppendLogExt, Driver, ProjectExt, ProjectId};
        let _inline = Inline::begin();
        let temp = tempfile::tempdir().unwrap();
        let root = Dir::open_root(temp.path()).unwrap();
        let driver = crate::fs::FsDriver::open_in(root, crate::fs::FsOptions::default()).await.unwrap();
        let id = ProjectId::new("p").unwrap();
        driver.create_project(&id).await.unwrap();
        assert_eq!(driver.project(&id).history().append_value("x").await.unwrap().cursor.seq, 1);
        driver.close().await.unwrap();
    }
}
