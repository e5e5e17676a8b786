//! Telling subscribers of changes: one bounded channel per project or collection, shared by all readers.

use futures_util::{StreamExt, stream};
use tokio::sync::broadcast;
use tokio::sync::broadcast::error::RecvError;

use crate::change::{Change, ChangeStream, Target};

/// Changes kept for readers that are behind; one further behind is told to list again.
const CAPACITY: usize = 1024;

/// Which changes a subscriber wants.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Filter {
    All,
    Files,
    Docs,
}

impl Filter {
    fn wants(self, change: &Change) -> bool {
        match (self, change.target()) {
            (Self::All, _) | (_, None) => true,
            (Self::Files, Some(target)) => matches!(target, Target::File(_)),
            (Self::Docs, Some(target)) => matches!(target, Target::Doc(_)),
        }
    }
}

/// Where changes are published. Dropping it ends the streams, once they were read to the end.
#[derive(Debug)]
pub(crate) struct Hub {
    sender: broadcast::Sender<Change>,
}

impl Default for Hub {
    fn default() -> Self {
        Self { sender: broadcast::Sender::new(CAPACITY) }
    }
}

impl Hub {
    /// Tells all who are subscribed now. Never waits.
    pub(crate) fn publish(&self, change: Change) {
        // An error only says that nobody listens.
        let _ = self.sender.send(change);
    }

    /// True while someone is subscribed.
    #[cfg_attr(not(target_os = "linux"), allow(dead_code))]
    pub(crate) fn has_subscribers(&self) -> bool {
        self.sender.receiver_count() > 0
    }

    /// Begins with [`Change::Ready`]; everything published after this returned is told, or [`Change::Rescan`] instead.
    pub(crate) fn subscribe(&self, filter: Filter) -> ChangeStream {
        let changes = stream::unfold(self.sender.subscribe(), |mut receiver| async {
            let change = match receiver.recv().await {
                Ok(change) => change,
                Err(RecvError::Lagged(_)) => Change::Rescan,
                Err(RecvError::Closed) => return None,
            };
            Some((change, receiver))
        });
        let wanted = changes.filter(move |change| std::future::ready(filter.wants(change)));
        stream::once(async { Change::Ready }).chain(wanted).map(Ok).boxed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::name::{DocKey, FilePath};

    fn file(path: &str) -> Change {
        Change::Delete { target: Target::File(FilePath::new(path).unwrap()) }
    }

    fn doc(key: &str) -> Change {
        Change::Delete { target: Target::Doc(DocKey::new(key).unwrap()) }
    }

    async fn all(stream: ChangeStream) -> Vec<Change> {
        stream.map(Result::unwrap).collect().await
    }

    #[tokio::test]
    async fn each_filter_tells_its_kind_and_rescans() {
        let hub = Hub::default();
        hub.publish(file("before"));
        let streams = [Filter::All, Filter::Files, Filter::Docs].map(|filter| hub.subscribe(filter));
        let told = [file("a"), doc("b"), Change::Rescan];
        told.iter().for_each(|change| hub.publish(change.clone()));
        drop(hub);
        let [everything, files, docs] = streams;
        assert_eq!(all(everything).await, [Change::Ready, file("a"), doc("b"), Change::Rescan]);
        assert_eq!(all(files).await, [Change::Ready, file("a"), Change::Rescan]);
        assert_eq!(all(docs).await, [Change::Ready, doc("b"), Change::Rescan]);
    }

    #[tokio::test]
    async fn a_reader_that_falls_behind_is_told_to_list_again_and_gets_the_newest() {
        let hub = Hub::default();
        let slow = hub.subscribe(Filter::All);
        for n in 0..CAPACITY * 2 {
            hub.publish(file(&format!("f{n}")));
        }
        drop(hub);
        let told = all(slow).await;
        assert_eq!(told[..2], [Change::Ready, Change::Rescan]);
        assert_eq!(told.len(), CAPACITY + 2);
        assert_eq!(told.last(), Some(&file(&format!("f{}", CAPACITY * 2 - 1))));
    }

    #[tokio::test]
    async fn listeners_are_known() {
        let hub = Hub::default();
        assert!(!hub.has_subscribers());
        let stream = hub.subscribe(Filter::Docs);
        assert!(hub.has_subscribers());
        drop(stream);
        assert!(!hub.has_subscribers());
    }
}
