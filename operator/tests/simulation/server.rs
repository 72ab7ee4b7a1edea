//! An API server in memory, as its clients see it: versions, uids, finalizers, preconditions. It may refuse, be out of reach, and see its
//! client die at any call.

use std::any::{Any, TypeId};
use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard};

use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{Node, ObjectReference, PersistentVolumeClaim};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::Timestamp;
use kube::core::response::StatusSummary;
use kube::core::{DeserializeGuard, Status};
use kube::{Resource, ResourceExt};
use obelysk_api::crd::{ModelCache, ProofJob};
use obelysk_api::job::Progress;
use obelysk_operator::controllers::Note;
use obelysk_operator::kube::Error;
use obelysk_operator::kube::server::{Object, Selector, Server};
use obelysk_operator::scheduling::placement::Cluster;
use serde_json::Value;

use crate::dice::Dice;

/// Namespace of everything that has one.
pub const NAMESPACE: &str = "default";

/// A defect that a test plants into the server, so that the operator behaves as if it had one of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Plant {
    Nothing,
    /// Whoever carries our labels is shown as ours: as if children were believed by label.
    BelievesLabels,
    /// Deletions are answered and not done: as if a status were written and the deletion forgotten.
    LosesDeletions,
    /// A status is written whatever version it was made from.
    IgnoresVersions,
}

type Table<K> = BTreeMap<String, Arc<K>>;

/// What the server holds, and what it does to its client.
pub struct State {
    pub dice: Dice,
    pub now: Timestamp,
    pub plant: Plant,
    /// Calls until the client dies.
    pub calls_left: Option<usize>,
    /// Nobody reaches the server.
    pub is_cut_off: bool,
    /// Creations that are refused, by kind.
    pub refused_kinds: Vec<&'static str>,
    /// Deletions of Jobs are refused.
    pub refuses_deletions: bool,
    /// Whether a call of the running reconcile was refused or went wrong.
    pub went_wrong: bool,
    /// How often the client died, and how often it was refused something.
    pub deaths: u64,
    pub refusals: u64,
    /// Objects that could not be read or planned for: never, here.
    pub stalled: Vec<String>,
    /// Versions of ProofJobs and ModelCaches, which reach the client late.
    versions: HashMap<TypeId, Box<dyn Any + Send>>,
    tables: HashMap<TypeId, Box<dyn Any + Send>>,
    version: u64,
}

impl State {
    pub fn new(seed: u64, plant: Plant) -> Self {
        Self {
            dice: Dice::new(seed),
            now: Timestamp::from_second(1_800_000_000).expect("a time"),
            plant,
            calls_left: None,
            is_cut_off: false,
            refused_kinds: Vec::new(),
            refuses_deletions: false,
            went_wrong: false,
            deaths: 0,
            refusals: 0,
            stalled: Vec::new(),
            versions: HashMap::new(),
            tables: HashMap::new(),
            version: 0,
        }
    }

    pub fn table<K: Object>(&mut self) -> &mut Table<K> {
        let table = self.tables.entry(TypeId::of::<K>()).or_insert_with(|| Box::new(Table::<K>::new()));
        table.downcast_mut().expect("tables are kept by type")
    }

    pub fn all<K: Object>(&mut self) -> Vec<Arc<K>> {
        self.table::<K>().values().cloned().collect()
    }

    pub fn find<K: Object>(&mut self, name: &str) -> Option<K> {
        self.table::<K>().get(name).map(|object| K::clone(object))
    }

    /// All versions of an object, the newest last.
    pub fn versions_of<K: Object>(&mut self) -> &mut BTreeMap<String, Vec<Arc<K>>> {
        let kept =
            self.versions.entry(TypeId::of::<K>()).or_insert_with(|| Box::new(BTreeMap::<String, Vec<Arc<K>>>::new()));
        kept.downcast_mut().expect("versions are kept by type")
    }

    /// Put an object, with a new version.
    pub fn put<K: Object>(&mut self, mut object: K) -> K {
        self.version += 1;
        object.meta_mut().resource_version = Some(self.version.to_string());
        let name = object.name_any();
        let kept = Arc::new(object.clone());
        if ["ProofJob", "ModelCache"].contains(&&*K::kind(&())) {
            self.versions_of::<K>().entry(name.clone()).or_default().push(Arc::clone(&kept));
        }
        self.table::<K>().insert(name, kept);
        object
    }

    /// Make an object, as anybody does.
    pub fn add<K: Object>(&mut self, mut object: K) -> K {
        self.version += 1;
        let uid = format!("{:08x}-0000-4000-8000-000000000000", self.version);
        let created = Time(self.now);
        let metadata = object.meta_mut();
        metadata.uid = Some(uid);
        metadata.creation_timestamp = Some(created);
        metadata.generation = Some(1);
        self.put(object)
    }

    /// Delete an object, as anybody does.
    pub fn remove<K: Object>(&mut self, name: &str) {
        let Some(mut object) = self.find::<K>(name) else { return };
        if object.finalizers().is_empty() {
            self.table::<K>().remove(name);
        } else if object.meta().deletion_timestamp.is_none() {
            object.meta_mut().deletion_timestamp = Some(Time(self.now));
            self.put(object);
        }
    }

    fn refusal(&mut self, code: u16, reason: &str) -> Error {
        self.went_wrong = true;
        self.refusals += 1;
        let message = format!("the server says {reason}");
        let status =
            Status { status: Some(StatusSummary::Failure), code, reason: reason.into(), message, ..Status::default() };
        Error::Api(kube::Error::Api(Box::new(status)))
    }

    fn replace_status<K: Object>(&mut self, object: &K) -> Result<K, Error> {
        let Some(there) = self.find::<K>(&object.name_any()) else { return Err(self.refusal(404, "NotFound")) };
        let is_other = there.meta().uid != object.meta().uid;
        let is_stale = there.meta().resource_version != object.meta().resource_version;
        if is_other || is_stale && self.plant != Plant::IgnoresVersions {
            return Err(self.refusal(409, "Conflict"));
        }
        // Only the status of what is sent counts.
        let mut merged = object.clone();
        *merged.meta_mut() = there.meta().clone();
        Ok(self.put(merged))
    }

    fn create<K: Object>(&mut self, object: &K) -> Result<(), Error> {
        let kind = K::kind(&());
        if self.refused_kinds.contains(&&*kind) {
            return Err(self.refusal(403, "Forbidden"));
        }
        if self.table::<K>().contains_key(&object.name_any()) {
            return Err(self.refusal(409, "AlreadyExists"));
        }
        self.add(object.clone());
        Ok(())
    }

    fn delete<K: Object>(&mut self, name: &str, uid: Option<&str>) -> Result<(), Error> {
        let Some(there) = self.find::<K>(name) else { return Err(self.refusal(404, "NotFound")) };
        if uid.is_some_and(|uid| there.uid().as_deref() != Some(uid)) {
            return Err(self.refusal(409, "Conflict"));
        }
        if self.refuses_deletions && K::kind(&()) == "Job" {
            return Err(self.refusal(403, "Forbidden"));
        }
        if self.plant != Plant::LosesDeletions {
            self.remove::<K>(name);
        }
        Ok(())
    }

    fn matches<K: Object>(object: &K, which: &Selector) -> bool {
        match which {
            Selector::All => true,
            Selector::Labelled(label) => object.labels().contains_key(label),
            Selector::Label(label, value) => object.labels().get(label) == Some(value),
            // No pod is refused here.
            Selector::FailedCreates(_) => false,
        }
    }
}

/// The server.
#[derive(Clone)]
pub struct Fake(Arc<Mutex<State>>);

impl Fake {
    pub fn new(seed: u64, plant: Plant) -> Self {
        Self(Arc::new(Mutex::new(State::new(seed, plant))))
    }

    pub fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// Answer a call, unless the client dies at it, before or after it was heard.
    async fn answer<T>(&self, call: impl FnOnce(&mut State) -> Result<T, Error>) -> Result<T, Error> {
        let answered = {
            let mut state = self.state();
            let dies = state.calls_left == Some(0);
            state.calls_left = state.calls_left.map(|left| left.saturating_sub(1));
            state.deaths += u64::from(dies);
            let is_heard = !(dies || state.is_cut_off) || state.dice.once_in(2);
            if state.is_cut_off {
                state.went_wrong = true;
            }
            let answer = is_heard.then(|| call(&mut state));
            match (dies, state.is_cut_off) {
                (true, _) => None,
                (false, true) => Some(Err(Error::Slow(2))),
                (false, false) => answer,
            }
        };
        match answered {
            Some(answer) => answer,
            None => std::future::pending().await,
        }
    }
}

impl Server for Fake {
    async fn get<K: Object>(&self, _: &str, name: &str) -> Result<Option<K>, Error> {
        self.answer(|state| Ok(state.find(name))).await
    }

    async fn list<K: Object>(&self, _: &str, which: Selector) -> Result<Vec<Result<K, Error>>, Error> {
        self.answer(|state| {
            let matching = state.table::<K>().values().filter(|object| State::matches(object.as_ref(), &which));
            let mut found: Vec<K> = matching.map(|object| K::clone(object)).collect();
            if state.plant == Plant::BelievesLabels && K::kind(&()) == "Job" {
                let owners = state.table::<ProofJob>();
                for job in found.iter_mut().filter(|job| job.labels().contains_key("stranger")) {
                    let owner = job.labels().get("proving.obelysk.dev/proofjob").and_then(|name| owners.get(name));
                    job.meta_mut().owner_references =
                        owner.and_then(|owner| owner.controller_owner_ref(&())).map(|of| vec![of]);
                }
            }
            Ok(found.into_iter().map(Ok).collect())
        })
        .await
    }

    async fn form<K: Object>(&self, _: &str, name: &str) -> Result<Option<Value>, Error> {
        self.answer(|state| Ok(state.find::<K>(name).map(|object| serde_json::to_value(object).expect("plain data"))))
            .await
    }

    async fn forms<K: Object>(&self, _: &str) -> Result<Vec<Value>, Error> {
        self.answer(|state| {
            Ok(state
                .all::<K>()
                .iter()
                .map(|object| serde_json::to_value(object.as_ref()).expect("plain data"))
                .collect())
        })
        .await
    }

    async fn create<K: Object>(&self, object: &K) -> Result<(), Error> {
        self.answer(|state| state.create(object)).await
    }

    async fn delete<K: Object>(&self, _: &str, name: &str, uid: Option<&str>) -> Result<(), Error> {
        self.answer(|state| state.delete::<K>(name, uid)).await
    }

    async fn replace_status<K: Object>(&self, object: &K) -> Result<K, Error> {
        self.answer(|state| state.replace_status(object)).await
    }

    async fn patch_status<K: Object>(&self, _: &str, name: &str, patch: Value) -> Result<(), Error> {
        self.answer(|state| {
            state.stalled.push(format!("{} {name}: {patch}", K::kind(&())));
            Ok(())
        })
        .await
    }

    async fn patch<K: Object>(&self, _: &str, name: &str, patch: Value) -> Result<K, Error> {
        self.answer(|state| {
            let Some(mut there) = state.find::<K>(name) else { return Err(state.refusal(404, "NotFound")) };
            let metadata = &patch["metadata"];
            if metadata["resourceVersion"].as_str() != there.meta().resource_version.as_deref() {
                return Err(state.refusal(409, "Conflict"));
            }
            let finalizers: Vec<String> = serde_json::from_value(metadata["finalizers"].clone()).expect("finalizers");
            there.meta_mut().finalizers = Some(finalizers).filter(|of| !of.is_empty());
            let there = state.put(there);
            if there.meta().deletion_timestamp.is_some() {
                state.remove::<K>(name);
            }
            Ok(there)
        })
        .await
    }

    async fn publish(&self, _: &Note, _: &ObjectReference) {}

    fn cluster(&self) -> Cluster {
        Cluster::default()
    }

    fn nodes(&self) -> Vec<Arc<Node>> {
        self.state().all()
    }

    fn proof_jobs(&self) -> Vec<Arc<DeserializeGuard<ProofJob>>> {
        unreachable!("pools ask for them, and schedules have none")
    }

    async fn progress(&self, _: &str) -> Option<Progress> {
        None
    }
}

/// What a garbage collector asks: whether an owner of this kind is still there.
pub fn owner_is_gone<K: Object>(state: &mut State, child: &impl Resource) -> bool {
    let Some(owner) = child.owner_references().iter().find(|of| of.controller == Some(true)) else { return false };
    if owner.kind != K::kind(&()) {
        return false;
    }
    state.table::<K>().get(&owner.name).and_then(|there| there.uid()).as_ref() != Some(&owner.uid)
}

/// Names of Jobs and claims whose owners are gone.
pub fn orphans(state: &mut State) -> (Vec<String>, Vec<String>) {
    let jobs = state.all::<Job>();
    let claims = state.all::<PersistentVolumeClaim>();
    let jobs = jobs.into_iter().filter(|job| {
        owner_is_gone::<ProofJob>(state, job.as_ref()) || owner_is_gone::<ModelCache>(state, job.as_ref())
    });
    let jobs: Vec<String> = jobs.map(|job| job.name_any()).collect();
    let claims = claims.into_iter().filter(|claim| owner_is_gone::<ProofJob>(state, claim.as_ref()));
    (jobs, claims.map(|claim| claim.name_any()).collect())
}
