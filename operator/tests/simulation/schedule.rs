//! One schedule: a seed decides who does what next, first amid every kind of trouble, then in peace until nothing happens any more.

use std::collections::BTreeMap;
use std::sync::Arc;

use clap::Parser;
use futures::FutureExt;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{Node, Pod};
use k8s_openapi::jiff::{SignedDuration, Timestamp};
use kube::ResourceExt;
use kube::core::DeserializeGuard;
use obelysk_api::crd::{ModelCache, ProofJob};
use obelysk_operator::controllers::conditions::is_true;
use obelysk_operator::controllers::kind::Kind;
use obelysk_operator::kube::Context;
use obelysk_operator::metrics::Metrics;
use obelysk_operator::reconcile::reconcile;
use obelysk_operator::settings::Settings;

use crate::invariants::{self, Memory};
use crate::server::{Fake, Plant, State};
use crate::world;

/// Steps amid trouble.
const TROUBLE: usize = 110;
/// Rounds in peace after which what has not ended never will.
const PEACE: usize = 400;
const IMAGE: &str = "obelysk:1";
const WRONG_IMAGE: &str = "obelysk:wrong";
const NODES: [(&str, usize); 3] = [("a", 1), ("b", 2), ("c", 0)];
const JOBS: [&str; 2] = ["j", "k"];

/// What schedules have come through, so that a test can tell that they meet with something.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    pub succeeded: u64,
    pub failed: u64,
    /// Retries that were charged, and those that were not.
    pub charged: u64,
    pub free: u64,
    pub deaths: u64,
    pub refusals: u64,
}

impl Tally {
    pub fn add(&mut self, other: Self) {
        self.succeeded += other.succeeded;
        self.failed += other.failed;
        self.charged += other.charged;
        self.free += other.free;
        self.deaths += other.deaths;
        self.refusals += other.refusals;
    }
}

struct Run {
    server: Fake,
    context: Context<Fake>,
    memory: Memory,
    /// How far the operator's cache has got with each object.
    seen: BTreeMap<String, usize>,
    log: Vec<String>,
    is_logged: bool,
}

/// Run a schedule. `Err` is what does not hold, after which step.
pub fn run(seed: u64, plant: Plant, metrics: &Arc<Metrics>, is_logged: bool) -> Result<Tally, String> {
    let server = Fake::new(seed, plant);
    let settings = Settings::parse_from(["obelysk-operator", "--image", IMAGE]);
    let context = Context { server: server.clone(), settings, metrics: Arc::clone(metrics) };
    let mut run = Run { server, context, memory: Memory::default(), seen: BTreeMap::new(), log: Vec::new(), is_logged };
    run.set_up();
    let result = run.prepare_model().and_then(|()| run.trouble()).and_then(|()| run.peace()).map(|()| run.tally());
    result.map_err(|what| match run.log.is_empty() {
        true => what,
        false => format!("{what}\n{}", run.log.join("\n")),
    })
}

impl Run {
    fn set_up(&mut self) {
        let mut state = self.server.state();
        for (name, gpus) in NODES {
            state.add(world::node(name, gpus));
        }
        state.add(world::model_cache());
        for name in JOBS {
            new_job(&mut state, name);
        }
    }

    /// In most schedules the model is ready before trouble begins: else trouble would be over before any proof.
    fn prepare_model(&mut self) -> Result<(), String> {
        if self.server.state().dice.once_in(4) {
            return Ok(());
        }
        for _ in 0..60 {
            self.look::<ModelCache>("m", true)?;
            let mut state = self.server.state();
            let status = state.find::<ModelCache>("m").and_then(|cache| cache.status).unwrap_or_default();
            if is_true(&status.conditions, "Ready") {
                break;
            }
            world::job_controller(&mut state);
            world::scheduler(&mut state);
            world::kubelet(&mut state, false);
        }
        Ok(())
    }

    fn say(&mut self, what: impl FnOnce() -> String) {
        if self.is_logged {
            let now = self.server.state().now;
            self.log.push(format!("{now} {}", what()));
        }
    }

    fn trouble(&mut self) -> Result<(), String> {
        for step in 0..TROUBLE {
            let choice = self.server.state().dice.below(20);
            let done = match choice {
                0..=6 => self.look_at_any()?,
                7..=9 => self.the_cluster_works(true),
                10 => self.the_cluster_works(true),
                11 | 12 => self.time_passes(),
                13 | 14 => self.the_cluster_breaks(),
                15 | 16 => self.somebody_acts(),
                17 => self.a_stranger_acts(),
                _ => self.the_cluster_works(true),
            };
            self.say(|| format!("{step}: {done}"));
            self.check()?;
        }
        Ok(())
    }

    fn check(&mut self) -> Result<(), String> {
        let mut state = self.server.state();
        invariants::check(&mut state, &mut self.memory)
    }

    /// Everything is mended, and everybody gets turns until all has ended.
    fn peace(&mut self) -> Result<(), String> {
        {
            let mut state = self.server.state();
            state.is_cut_off = false;
            state.refused_kinds.clear();
            state.refuses_deletions = false;
            world::strangers_leave(&mut state);
            for (name, gpus) in NODES {
                if state.find::<Node>(name).is_none() {
                    state.add(world::node(name, gpus));
                }
                world::set_ready(&mut state, name, true);
            }
            for name in JOBS {
                world::edit(&mut state, name, |job| job.spec.suspend = None);
            }
        }
        self.context.settings.image = IMAGE.into();
        for round in 0..PEACE {
            for kind in 0..4 {
                let mut state = self.server.state();
                match kind {
                    0 => world::job_controller(&mut state),
                    1 => world::scheduler(&mut state),
                    2 => world::kubelet(&mut state, false),
                    _ => world::garbage_collector(&mut state),
                }
                world::pod_collector(&mut state);
            }
            if round % 3 == 0 {
                let waited = self.server.state().now.checked_add(SignedDuration::from_secs(20));
                self.server.state().now = waited.expect("a time");
                for name in JOBS {
                    let what = self.look::<ProofJob>(name, true)?;
                    self.say(|| format!("peace {round}: {what}"));
                }
                self.look::<ModelCache>("m", true)?;
                self.check()?;
                if self.has_everything_ended() {
                    break;
                }
            }
        }
        invariants::check_end(&mut self.server.state())
    }

    fn tally(&self) -> Tally {
        let mut state = self.server.state();
        let mut tally = Tally { deaths: state.deaths, refusals: state.refusals, ..Tally::default() };
        for status in state.all::<ProofJob>().iter().filter_map(|job| job.status.as_ref()) {
            match status.phase.as_deref() {
                Some("Succeeded") => tally.succeeded += 1,
                _ => tally.failed += 1,
            }
            let retries = status.retries.clone().unwrap_or_default();
            tally.charged += u64::try_from(retries.infra + retries.gpu + retries.prover).unwrap_or(0);
            tally.free += u64::try_from(retries.free).unwrap_or(0);
        }
        tally
    }

    fn has_everything_ended(&self) -> bool {
        let mut state = self.server.state();
        let jobs = state.all::<ProofJob>();
        jobs.iter().all(|job| invariants::has_job_ended(job))
            && state.all::<Pod>().iter().all(|pod| world::is_over(pod))
    }

    /// A look at an object in the version that the operator's cache has, with a death or a partition on the way, if the dice say so.
    fn look_at_any(&mut self) -> Result<String, String> {
        let (name, is_fresh) = {
            let mut state = self.server.state();
            let name = state.dice.pick(&["j", "j", "k", "m"]).unwrap_or("j");
            state.calls_left = if state.dice.once_in(4) { Some(state.dice.below(14)) } else { None };
            (name, !state.dice.once_in(3))
        };
        let done = match name {
            "m" => self.look::<ModelCache>(name, is_fresh),
            _ => self.look::<ProofJob>(name, is_fresh),
        };
        self.server.state().calls_left = None;
        done
    }

    fn look<K: Kind>(&mut self, name: &str, is_fresh: bool) -> Result<String, String> {
        let (object, is_newest, now) = {
            let mut state = self.server.state();
            let last = state.versions_of::<K>().get(name).map_or(0, Vec::len).saturating_sub(1);
            let least = self.seen.get(name).copied().unwrap_or(0);
            let at = if is_fresh { last } else { least + state.dice.below(last + 1 - least) };
            self.seen.insert(name.to_owned(), at);
            let Some(object) = state.versions_of::<K>().get(name).and_then(|all| all.get(at)).cloned() else {
                return Ok(format!("{name} is not there"));
            };
            // The newest version of what is gone is not looked at for ever.
            if at == last && state.find::<K>(name).is_none() {
                return Ok(format!("{name} is gone"));
            }
            state.went_wrong = false;
            (object, at == last, state.now)
        };
        let guarded = DeserializeGuard(Ok(K::clone(&object)));
        let looked = reconcile(&self.context, &guarded, now).now_or_never();
        let mut state = self.server.state();
        let done = match &looked {
            None => "the operator dies".to_owned(),
            Some(Ok(_)) => "looked".to_owned(),
            Some(Err(error)) => format!("looked: {error}"),
        };
        if matches!(looked, Some(Ok(_))) && is_newest && !state.went_wrong && K::CONTROLLER == ProofJob::CONTROLLER {
            invariants::check_settled(&mut state, name)?;
        }
        if looked.is_none() {
            // Its successor lists everything.
            self.seen.clear();
        }
        let summary = state.find::<ProofJob>(name).and_then(|job| job.status?.summary).unwrap_or_default();
        Ok(format!("{name} ({}) {done}: {summary}", if is_newest { "newest" } else { "stale" }))
    }

    fn the_cluster_works(&mut self, faults: bool) -> String {
        let mut state = self.server.state();
        for _ in 0..4 {
            match state.dice.below(5) {
                0 | 1 => world::job_controller(&mut state),
                2 => world::scheduler(&mut state),
                3 => world::kubelet(&mut state, faults),
                _ => match state.dice.once_in(3) {
                    true => world::garbage_collector(&mut state),
                    false => world::kubelet(&mut state, faults),
                },
            }
        }
        "the cluster works".into()
    }

    fn time_passes(&mut self) -> String {
        let mut state = self.server.state();
        let seconds = match state.dice.below(12) {
            0 => 7_200,
            1 => -3_600,
            _ => 1 + state.dice.below(60) as i64,
        };
        state.now = state.now.checked_add(SignedDuration::from_secs(seconds)).unwrap_or(Timestamp::UNIX_EPOCH);
        format!("{seconds} s pass")
    }

    fn the_cluster_breaks(&mut self) -> String {
        let mut state = self.server.state();
        let (node, gpus) = NODES[state.dice.below(NODES.len())];
        match state.dice.below(8) {
            0 => {
                state.is_cut_off = !state.is_cut_off;
                format!("cut off: {}", state.is_cut_off)
            }
            1 => {
                state.refused_kinds = match state.refused_kinds.is_empty() {
                    true => state
                        .dice
                        .pick(&[vec!["Job"], vec!["PersistentVolumeClaim"], vec!["Job", "ConfigMap"]])
                        .unwrap_or_default(),
                    false => Vec::new(),
                };
                format!("refused: {:?}", state.refused_kinds)
            }
            2 => {
                state.refuses_deletions = !state.refuses_deletions;
                format!("deletions refused: {}", state.refuses_deletions)
            }
            3 => {
                world::lose_node(&mut state, node);
                format!("node {node} is gone")
            }
            4 | 5 => match state.find::<Node>(node) {
                None => {
                    state.add(world::node(node, gpus));
                    format!("node {node} comes")
                }
                Some(_) => {
                    let ready = state.dice.once_in(2);
                    world::set_ready(&mut state, node, ready);
                    format!("node {node} reports: {ready}")
                }
            },
            6 => {
                world::pod_collector(&mut state);
                "pods of lost nodes go".into()
            }
            _ => {
                let mut pods = state.all::<Pod>();
                pods.retain(|pod| !world::is_over(pod) && pod.metadata.deletion_timestamp.is_none());
                match state.dice.pick(&pods) {
                    Some(pod) => {
                        world::disrupt(&mut state, Pod::clone(&pod));
                        format!("{} is evicted", pod.name_any())
                    }
                    None => "nobody is evicted".into(),
                }
            }
        }
    }

    fn somebody_acts(&mut self) -> String {
        let mut state = self.server.state();
        let name = state.dice.pick(&JOBS).unwrap_or("j");
        match state.dice.below(9) {
            0 | 1 => {
                world::edit(&mut state, name, |job| job.spec.suspend = Some(job.spec.suspend != Some(true)));
                format!("{name} is suspended or goes on")
            }
            2 => {
                if state.dice.once_in(3) {
                    world::edit(&mut state, name, |job| job.spec.cancel = Some(true));
                }
                format!("{name} is cancelled, perhaps")
            }
            3 => {
                state.remove::<ProofJob>(name);
                new_job(&mut state, name);
                format!("{name} is made anew")
            }
            4 => {
                world::ask_again(&mut state, name);
                format!("{name} is asked again")
            }
            5 => {
                drop(state);
                let image = if self.context.settings.image == IMAGE { WRONG_IMAGE } else { IMAGE };
                self.context.settings.image = image.into();
                format!("the image is {image}")
            }
            6 => {
                let jobs = state.all::<Job>();
                if let Some(job) = state.dice.pick(&jobs) {
                    state.remove::<Job>(&job.name_any());
                    return format!("Job {} is deleted by hand", job.name_any());
                }
                "nothing".into()
            }
            7 => {
                let pods = state.all::<Pod>();
                if let Some(pod) = state.dice.pick(&pods) {
                    world::terminate(&mut state, Pod::clone(&pod));
                    return format!("pod {} is deleted by hand", pod.name_any());
                }
                "nothing".into()
            }
            _ => {
                world::edit(&mut state, name, |job| job.spec.active_deadline_seconds = Some(300));
                format!("{name} gets a deadline")
            }
        }
    }

    fn a_stranger_acts(&mut self) -> String {
        let mut state = self.server.state();
        let name = state.dice.pick(&JOBS).unwrap_or("j");
        match state.dice.once_in(3) {
            true => world::strangers_leave(&mut state),
            false => world::strange_job(&mut state, name),
        }
        format!("a stranger meddles with {name}")
    }
}

fn new_job(state: &mut State, name: &str) {
    let (on_gpu, number) = (state.dice.once_in(2), state.dice.below(1000));
    let deadline = if state.dice.once_in(4) { Some(60 + state.dice.below(600) as i64) } else { None };
    state.add(world::proof_job(name, &format!("prompt {number}"), on_gpu, deadline));
}
