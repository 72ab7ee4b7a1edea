//! What the operator asks of an API server. [`super::kubernetes::Kubernetes`] asks a real one; a simulation is another.

use std::fmt::Debug;
use std::sync::Arc;

use k8s_openapi::api::core::v1::{Node, ObjectReference};
use kube::Resource;
use kube::core::DeserializeGuard;
use obelysk_api::crd::ProofJob;
use obelysk_api::job::Progress;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::Error;
use crate::controllers::Note;
use crate::scheduling::placement::Cluster;

/// A kind of objects.
pub trait Object:
    Resource<DynamicType = ()> + Clone + Debug + Serialize + DeserializeOwned + Send + Sync + 'static
{
}

impl<K> Object for K where
    K: Resource<DynamicType = ()> + Clone + Debug + Serialize + DeserializeOwned + Send + Sync + 'static
{
}

/// Which objects of a namespace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Selector {
    /// All.
    All,
    /// Those with a label.
    Labelled(String),
    /// Those with a label of this value.
    Label(String, String),
    /// Events of pods that could not be made for the Job of this uid.
    FailedCreates(String),
}

/// An API server. A namespace is empty for objects of the cluster. Every write may be refused, and may have happened although its
/// answer is an error.
pub trait Server: Send + Sync + 'static {
    /// An object, if it is there.
    fn get<K: Object>(&self, namespace: &str, name: &str) -> impl Future<Output = Result<Option<K>, Error>> + Send;

    /// Objects; one that this version cannot read concerns itself alone.
    fn list<K: Object>(
        &self,
        namespace: &str,
        which: Selector,
    ) -> impl Future<Output = Result<Vec<Result<K, Error>>, Error>> + Send;

    /// An object in whatever form it has.
    fn form<K: Object>(&self, namespace: &str, name: &str)
    -> impl Future<Output = Result<Option<Value>, Error>> + Send;

    /// All objects of a namespace, in whatever form they have.
    fn forms<K: Object>(&self, namespace: &str) -> impl Future<Output = Result<Vec<Value>, Error>> + Send;

    /// Make an object.
    fn create<K: Object>(&self, object: &K) -> impl Future<Output = Result<(), Error>> + Send;

    /// Delete an object, and then what it owns; only the one of this uid, where one is given.
    fn delete<K: Object>(
        &self,
        namespace: &str,
        name: &str,
        uid: Option<&str>,
    ) -> impl Future<Output = Result<(), Error>> + Send;

    /// Replace the status of an object, if it still has the version that it is given with.
    fn replace_status<K: Object>(&self, object: &K) -> impl Future<Output = Result<K, Error>> + Send;

    /// Merge a patch into the status of an object.
    fn patch_status<K: Object>(
        &self,
        namespace: &str,
        name: &str,
        patch: Value,
    ) -> impl Future<Output = Result<(), Error>> + Send;

    /// Merge a patch into an object.
    fn patch<K: Object>(
        &self,
        namespace: &str,
        name: &str,
        patch: Value,
    ) -> impl Future<Output = Result<K, Error>> + Send;

    /// Publish an Event. Events are for people; one that cannot be published holds nothing up.
    fn publish(&self, note: &Note, about: &ObjectReference) -> impl Future<Output = ()> + Send;

    /// Pools, what pods have, and devices: what is kept of them, without a call.
    fn cluster(&self) -> Cluster;

    /// Nodes of the cluster, as they are kept.
    fn nodes(&self) -> Vec<Arc<Node>>;

    /// ProofJobs of all namespaces, as they are kept.
    fn proof_jobs(&self) -> Vec<Arc<DeserializeGuard<ProofJob>>>;

    /// The progress page of a pod, if it can be read.
    fn progress(&self, address: &str) -> impl Future<Output = Option<Progress>> + Send;
}
