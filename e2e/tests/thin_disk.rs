//! Syncs that really fail: a disk that holds less than it says, under load. After the first failure nothing is written any
//! more, also once the disk would sync again; what was acknowledged is there when the root is opened again.

#![expect(clippy::print_stdout, reason = "the seed, and what a sweep saw")]

use fastrand::Rng;
use folio_e2e::daemon::Plan;
use folio_e2e::load::{End, Load};
use folio_e2e::thin::Thin;
use folio_e2e::{Result, number, seed};
use libtest_mimic::{Arguments, Completion, Failed, Trial};

const POINTS: usize = 3;
const READ_ONLY: &str = "Read-only file system";

fn main() {
    // A child process that another test starts would hold this one's disk open until it runs its own program.
    let arguments = Arguments { test_threads: Some(1), ..Arguments::from_args() };
    let trials = vec![Trial::ignorable_test("a_sync_that_really_failed_stops_the_writes", failed_syncs)];
    libtest_mimic::run(&arguments, trials).exit();
}

fn failed_syncs() -> Result<Completion, Failed> {
    let seed = seed();
    let mut random = Rng::with_seed(seed);
    let points = number("FOLIO_THIN_POINTS").unwrap_or(POINTS);
    println!("FOLIO_SEED={seed} FOLIO_THIN_POINTS={points}");
    let (mut acknowledged, mut recovered) = (0, 0);
    for point in 0..points {
        let thin = match Thin::new() {
            Err(why) if point == 0 => return Ok(Completion::ignored_with(why)),
            thin => thin?,
        };
        let of = tokio::runtime::Runtime::new()?.block_on(fail(&thin, &mut random));
        let of = of.map_err(|e| format!("point {point}, FOLIO_SEED={seed}: {e}"))?;
        (acknowledged, recovered) = (acknowledged + of.0, recovered + of.1);
    }
    println!("SWEEP kind=fault of=thin points={points} acknowledged={acknowledged} recovered={recovered}");
    Ok(Completion::Completed)
}

/// Writes that were acknowledged, and found in the end.
async fn fail(thin: &Thin, random: &mut Rng) -> Result<(usize, usize)> {
    let plan = Plan { silent: true, ..Plan::new(&thin.root().join("studio")) };
    let daemon = plan.start().await?;
    let api = daemon.api();
    let load = Load::default();
    load.prepare(&api).await?;
    // The writers go on until they are refused.
    let writers = load.run(&api, End::PowerCut, random).await?;
    thin.fill()?;
    writers.join_all().await.into_iter().collect::<Result<()>>()?;
    stopped(&api).await?;
    thin.free()?;
    for _ in 0..3 {
        refused(&api).await?;
    }
    let reply = api.get("/v1/projects/crash").await?;
    if !reply.status.is_success() {
        return Err(format!("reads do not go on: {} {}", reply.status, reply.text()).into());
    }
    daemon.kill().await?;
    thin.restart()?;
    let daemon = plan.start().await?;
    let found = load.check(&daemon.api()).await?;
    daemon.api().append("/v1/projects/crash/logs/more", "\"goes on\"", &[]).await?;
    assert!(daemon.stop().await?.success());
    Ok((load.acknowledged(), found))
}

/// Writes until the store says that it has stopped, or ext4 has: it makes itself read-only where its own journal failed.
/// Other refusals before that point leave the store going.
async fn stopped(api: &folio_e2e::Api) -> Result<()> {
    for n in 0..1_000 {
        let ready = api.get("/readyz").await?;
        if ready.status == 503 && ready.text().contains("store_failed") {
            return refused(api).await;
        }
        let body = vec![b'x'; 100_000];
        let reply = api.send("PUT", &format!("/v1/projects/crash/files/more{n}"), &[], body).await?;
        if reply.text().contains(READ_ONLY) {
            return refused(api).await;
        }
        if !reply.status.is_success() && !reply.status.is_server_error() {
            return Err(format!("{} {}", reply.status, reply.text()).into());
        }
    }
    Err("no sync failed".into())
}

async fn refused(api: &folio_e2e::Api) -> Result<()> {
    let headers = [("content-type", "application/json")];
    let reply = api.send("POST", "/v1/projects/crash/logs/more", &headers, "\"refused\"").await?;
    if reply.json()?["code"] == "store_failed" || reply.text().contains(READ_ONLY) {
        return Ok(());
    }
    Err(format!("{} {} instead of a refusal", reply.status, reply.text()).into())
}
