use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use folio::memory::MemoryDriver;
use folio::{AppendLog, Driver, LogName, ProjectId};
use tokio::sync::watch;

use super::Place;
use crate::config::ServerConfig;
use crate::state::App;

const ROUNDS: usize = 5_000;

/// Whoever asks for a feed may be the last to hold the one that has ended.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_feed_goes_while_another_is_asked_for() {
    let (project, name) = (ProjectId::new("p").unwrap(), LogName::history());
    let driver: Arc<dyn Driver> = Arc::new(MemoryDriver::default());
    driver.create_project(&project).await.unwrap();
    let log = driver.project(&project).log(&name);
    log.close().await.unwrap();
    let (_drain, draining) = watch::channel(false);
    let app = Arc::new(App::new(driver, ServerConfig::default(), "127.0.0.1:1".parse().unwrap(), draining));
    let place = Place { project, name };
    let asked = |app: &Arc<App>, place: &Place, log: &Arc<dyn AppendLog>| {
        let team = app.fanout.start(app).unwrap();
        app.fanout.feed(place, log, team)
    };
    for round in 0..ROUNDS {
        let feed = asked(&app, &place, &log);
        loop {
            let mut moves = feed.moves();
            if feed.has_ended() {
                break;
            }
            moves.changed().await.unwrap();
        }
        let meeting = Arc::new(AtomicUsize::new(0));
        let met = Arc::clone(&meeting);
        let letting_go = tokio::task::spawn_blocking(move || {
            meet(&met);
            // A little later each time.
            (0..round % 100).for_each(|_| std::hint::spin_loop());
            drop(feed);
        });
        let (app, place, log) = (Arc::clone(&app), place.clone(), Arc::clone(&log));
        let asking = tokio::task::spawn_blocking(move || {
            meet(&meeting);
            drop(asked(&app, &place, &log));
        });
        letting_go.await.unwrap();
        asking.await.unwrap();
    }
}

/// Waits for the other one without sleep, so that both go on at the same moment.
fn meet(count: &AtomicUsize) {
    count.fetch_add(1, Ordering::AcqRel);
    while count.load(Ordering::Acquire) < 2 {
        std::hint::spin_loop();
    }
}
