//! The operator's own reconciles against an API server in memory, on schedules that seeds decide: deaths after any call, partitions, stale
//! caches, late garbage collection, clock jumps, refusals, strangers, evictions, lost nodes. `cargo xtask simulate` runs more of them.

mod dice;
mod invariants;
mod schedule;
mod server;
mod world;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use obelysk_operator::metrics::Metrics;
use schedule::Tally;
use server::Plant;

/// Schedules of the test, unless `OBELYSK_SCHEDULES` says how many.
const SCHEDULES: u64 = 10_000;
/// Seed of the first, unless `OBELYSK_SEED` says which.
const SEED: u64 = 1;

fn variable(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().map_or(default, |text| text.parse().unwrap_or_else(|_| panic!("{name}={text}: a number")))
}

/// Run schedules on all cores. Returns the first seed that fails with what it breaks, how many were run, and what they came through.
fn run(first: u64, count: u64, plant: Plant) -> (Option<(u64, String)>, u64, Tally) {
    let (next, stop, run) = (AtomicU64::new(first), AtomicBool::new(false), AtomicU64::new(0));
    let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let tally = std::sync::Mutex::new(Tally::default());
    let failed = std::sync::Mutex::new(None::<(u64, String)>);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                let metrics = Arc::new(Metrics::default());
                while !stop.load(Ordering::Relaxed) {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed - first >= count {
                        return;
                    }
                    run.fetch_add(1, Ordering::Relaxed);
                    match schedule::run(seed, plant, &metrics, false) {
                        Ok(of) => tally.lock().unwrap().add(of),
                        Err(what) => {
                            stop.store(true, Ordering::Relaxed);
                            let mut failed = failed.lock().unwrap();
                            if failed.as_ref().is_none_or(|(earlier, _)| seed < *earlier) {
                                *failed = Some((seed, what));
                            }
                        }
                    }
                }
            });
        }
    });
    (failed.into_inner().unwrap(), run.into_inner(), tally.into_inner().unwrap())
}

#[test]
fn no_schedule_makes_the_operator_believe_double_lose_or_forget_anything() {
    let (seed, count) = (variable("OBELYSK_SEED", SEED), variable("OBELYSK_SCHEDULES", SCHEDULES));
    let start = Instant::now();
    let (failed, run, tally) = run(seed, count, Plant::Nothing);
    let seconds = start.elapsed().max(Duration::from_millis(1)).as_secs_f64();
    println!("{run} schedules from seed {seed} in {seconds:.1} s, {:.0} a second: {tally:?}", run as f64 / seconds);
    if let Some((seed, what)) = failed {
        let metrics = Arc::new(Metrics::default());
        let log = schedule::run(seed, Plant::Nothing, &metrics, true).unwrap_err();
        panic!("{what}\n{log}\nreplay: cargo xtask simulate --schedules 1 --seed {seed}");
    }
    let Tally { succeeded, failed, charged, free, deaths, refusals } = tally;
    let least = [succeeded, failed, charged, free, deaths, refusals].into_iter().min();
    assert!(count < SCHEDULES || least >= Some(count / 50), "schedules meet with too little: {tally:?}");
}

#[test]
fn a_defect_of_each_kind_is_found() {
    for plant in [Plant::BelievesLabels, Plant::LosesDeletions, Plant::IgnoresVersions] {
        let (failed, run, _) = run(SEED, SCHEDULES, plant);
        let (seed, what) = failed.unwrap_or_else(|| panic!("{plant:?} is not found in {run} schedules"));
        println!("{plant:?}: found by seed {seed}, {run} schedules: {what}");
    }
}
