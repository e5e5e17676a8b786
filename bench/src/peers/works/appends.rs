//! Durable appends of 256 bytes: every connection waits for its acknowledgement before it sends the next entry.

use super::Subject::{Raw, Server};
use super::{Scene, Subject, Work, load};
use crate::peers::results::Figures;
use crate::peers::servers::Kind;
use crate::peers::wire::payload::{LENGTH, Tally};
use crate::{Result, raw};

const ALL: [Subject; 5] = [Raw, Server(Kind::Folio), Server(Kind::DurableStreams), Server(Kind::Redis), Server(Kind::Nats)];

pub(super) fn works() -> Vec<Work> {
    vec![
        work("append-1", "durable appends, one log, 1 connection", 1, 1),
        work("append-16", "durable appends, one log, 16 connections", 16, 1),
        work("append-128", "durable appends, one log, 128 connections", 128, 1),
        work("append-32-logs", "durable appends, 32 logs, 32 connections", 32, 32),
    ]
}

fn work(id: &'static str, title: &'static str, connections: usize, logs: usize) -> Work {
    Work::new(id, title, "append", &ALL, move |scene, subject| match subject {
        Raw => raw_appends(scene),
        Server(kind) => measure(scene, kind, connections, logs),
    })
}

/// The disk alone.
pub(super) fn raw_appends(scene: &Scene) -> Result<Figures> {
    let mut raw = raw::Raw::new(&scene.place)?;
    raw.run(scene.time() / 2)?;
    Ok(Figures::default().rate(raw.finish()))
}

fn measure(scene: &Scene, kind: Kind, connections: usize, logs: usize) -> Result<Figures> {
    let mut server = scene.start(kind)?;
    server.make_logs(logs)?;
    let appenders: Result<Vec<_>> = (0..connections).map(|writer| server.appender(writer % logs, writer)).collect();
    let driven = load::drive(scene, server.process(), appenders?)?;
    let mut acknowledged = vec![vec![0; connections]; logs];
    for (writer, appender) in driven.callers.iter().enumerate() {
        acknowledged[writer % logs][writer] = appender.acknowledged();
    }
    for (log, acknowledged) in acknowledged.iter().enumerate() {
        let mut tally = Tally::new(connections);
        server.read_back(log, &mut tally)?;
        tally.check(acknowledged)?;
    }
    server.process_mut().stop()?;
    Ok(driven.figures)
}

const _: () = assert!(LENGTH == crate::workload::PAYLOAD, "the raw loop writes entries of the same length");
