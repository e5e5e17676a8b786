//! Many at once: conditions have one winner, units stay together, followers miss nothing.

pub(crate) mod appends;
pub(crate) mod commits;
pub(crate) mod followers;
pub(crate) mod writes;

use std::future::Future;

use futures_util::future::join_all;

use crate::failure::{Failure, Outcome};

/// How many run at once.
pub(crate) const MANY: u64 = 16;

/// Runs `each` at once in [`MANY`] tasks; their outputs, in order.
///
/// # Errors
/// The first failure of one.
pub(crate) async fn at_once<T, F>(each: impl FnMut(u64) -> F) -> Outcome<Vec<T>>
where
    T: Send + 'static,
    F: Future<Output = folio::Result<T>> + Send + 'static,
{
    let tasks: Vec<_> = (0..MANY).map(each).map(tokio::spawn).collect();
    let mut outputs = Vec::new();
    for joined in join_all(tasks).await {
        outputs.push(joined.map_err(|e| Failure::new(format!("one of {MANY} tasks: {e}")))??);
    }
    Ok(outputs)
}
