//! What a reader costs that waits.

use super::Subject::Server;
use super::fanout::{Crowd, READABLE};
use super::{Scene, Subject, Work};
use crate::Result;
use crate::peers::results::{Figures, Metric};
use crate::peers::servers::Kind;

pub(super) fn works() -> Vec<Work> {
    vec![Work::new("idle", "5,000 readers that wait", "reader", &READABLE, |scene, subject| match subject {
        Server(kind) => measure(scene, kind),
        Subject::Raw => Err("the machine alone has no readers".into()),
    })]
}

#[expect(clippy::cast_precision_loss, reason = "figures for people")]
fn measure(scene: &Scene, kind: Kind) -> Result<Figures> {
    let count = if scene.quick { 2_000 } else { 5_000 };
    let mut server = scene.start(kind)?;
    server.make_logs(2)?;
    let (port, mut buffer) = (server.process().port(), vec![0; 16 << 10]);
    // what the first reader and the first append of all need is there before
    let mut first = Crowd::gather(port, &server.follow(0)?, 10)?;
    server.appender(0, 0)?.append(&mut buffer)?;
    first.read(|| Some(1))?;
    let before = server.process().memory();
    let mut crowd = Crowd::gather(port, &server.follow(1)?, count)?;
    let waiting = server.process().memory();
    // those that wait are there: each gets the next entry
    server.appender(1, 0)?.append(&mut buffer)?;
    crowd.read(|| Some(1))?;
    let used = server.process().memory();
    drop((crowd, first));
    server.process_mut().stop()?;
    let each = |after: u64| after.saturating_sub(before) as f64 / 1_024.0 / count as f64;
    Ok(Figures::default().set(Metric::PerReader, each(waiting)).set(Metric::PerReaderUsed, each(used)))
}
