//! Connections that append are served on the thread that commits, and come back from there.

use std::sync::Arc;

use folio::Driver;
use folio::fs::{FsDriver, FsOptions};

use crate::client::{Connection, Request, within};
use crate::server::{TestServer, config};

const L: &str = "/v1/projects/p/logs/l";

struct Rig {
    server: TestServer,
    driver: FsDriver,
    _folder: tempfile::TempDir,
}

impl Rig {
    async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let driver = FsDriver::open(folder.path().join("root"), FsOptions { tasks: true, ..FsOptions::default() }).await.unwrap();
        let server = TestServer::over(Arc::new(driver.clone()), config()).await;
        server.furnish().await;
        let rig = Self { server, driver, _folder: folder };
        rig.until_there_are(0).await;
        rig
    }

    /// With a connection that has appended once.
    async fn appending() -> (Self, Connection) {
        let rig = Self::start().await;
        let mut connection = rig.server.connect().await;
        assert_eq!(append(&mut connection).await, 2);
        rig.until_there_are(1).await;
        (rig, connection)
    }

    /// Waits until so many connections are served on the thread that commits; its own work is a task there, too.
    async fn until_there_are(&self, connections: usize) {
        let there = self.driver.committing().unwrap();
        let same = async {
            while there.metrics().num_alive_tasks() != connections + 1 {
                tokio::task::yield_now().await;
            }
        };
        within("connections are where they should be", same).await;
    }
}

async fn append(connection: &mut Connection) -> u64 {
    connection.send(&Request::new("POST", L).body(b"1")).await;
    connection.answer().await.json()["last_seq"].as_u64().unwrap()
}

#[tokio::test]
async fn appends_take_a_connection_there_and_anything_else_brings_it_back() {
    for other in ["/v1/projects/p/files/a.txt", "/v1/projects/p/history", "/nothing"] {
        let (rig, mut connection) = Rig::appending().await;
        for seq in 3..5 {
            assert_eq!(append(&mut connection).await, seq);
            rig.until_there_are(1).await;
        }
        connection.send(&Request::new("GET", other)).await;
        assert_eq!(connection.answer().await.status, if other == "/nothing" { 404 } else { 200 });
        rig.until_there_are(0).await;
        // It stays where it is from then on.
        assert_eq!(append(&mut connection).await, 5);
        rig.until_there_are(0).await;
    }
}

#[tokio::test]
async fn a_silent_connection_makes_room_and_may_come_again() {
    let (rig, mut connection) = Rig::appending().await;
    rig.until_there_are(0).await;
    assert_eq!(append(&mut connection).await, 3);
    rig.until_there_are(1).await;
    drop(connection);
    rig.until_there_are(0).await;
}

#[tokio::test]
async fn there_is_room_for_some_and_all_are_served() {
    let rig = Rig::start().await;
    let mut connections = Vec::new();
    for seq in 2..62 {
        let mut connection = rig.server.connect().await;
        assert_eq!(append(&mut connection).await, seq);
        connections.push(connection);
    }
    for connection in &mut connections {
        connection.send(&Request::new("POST", L).body(b"1")).await;
    }
    let mut seqs = Vec::new();
    for connection in &mut connections {
        seqs.push(connection.answer().await.json()["last_seq"].as_u64().unwrap());
    }
    seqs.sort_unstable();
    assert_eq!(seqs, (62..122).collect::<Vec<_>>());
    assert!(rig.driver.committing().unwrap().metrics().num_alive_tasks() <= 33);
}

#[tokio::test]
async fn who_found_no_room_gets_some_later() {
    let rig = Rig::start().await;
    let mut early = Vec::new();
    for _ in 0..32 {
        let mut connection = rig.server.connect().await;
        append(&mut connection).await;
        early.push(connection);
    }
    rig.until_there_are(32).await;
    let mut late = rig.server.connect().await;
    append(&mut late).await;
    drop(early);
    rig.until_there_are(0).await;
    for _ in 0..1_000 {
        append(&mut late).await;
    }
    rig.until_there_are(1).await;
}

#[tokio::test]
async fn the_end_of_the_server_closes_them() {
    let (mut rig, mut connection) = Rig::appending().await;
    rig.server.stop();
    assert!(connection.ended().await);
    rig.server.stopped().await;
    rig.until_there_are(0).await;
}

#[tokio::test]
async fn a_server_that_is_dropped_leaves_none_behind() {
    let (mut rig, mut connection) = Rig::appending().await;
    rig.server = TestServer::start().await;
    assert!(connection.ended().await);
    rig.until_there_are(0).await;
}

#[tokio::test]
async fn the_end_of_the_store_ends_them_and_others_are_told_why() {
    let (rig, mut connection) = Rig::appending().await;
    rig.driver.close().await.unwrap();
    assert!(connection.ended().await);
    assert!(rig.driver.committing().is_none());
    let refused = rig.server.send("POST", L, &[], "1").await;
    assert!(refused.refused(400, "invalid").contains("closed"), "{refused:?}");
}
