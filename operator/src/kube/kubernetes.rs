//! A real API server, over HTTP. Only the holder of the lease writes, and a write that is not answered in time is given up: it must not
//! arrive after another process has begun.

use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::{Node, ObjectReference};
use kube::api::{DeleteParams, GetParams, ListParams, Patch, PatchParams, PostParams, Preconditions, Request};
use kube::core::{DeserializeGuard, ObjectList, PartialObjectMeta};
use kube::runtime::events::{Event, EventType, Recorder, Reporter};
use kube::{Client, ResourceExt};
use obelysk_api::crd::ProofJob;
use obelysk_api::job::Progress;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::fleet::Fleet;
use super::server::{Object, Selector, Server};
use super::{Error, lease, progress};
use crate::controllers::job::PROGRESS_PORT;
use crate::controllers::{Note, clip};
use crate::scheduling::placement::Cluster;

/// Name under which the API server records what this program writes.
pub const FIELD_MANAGER: &str = "obelysk-operator";
/// Longest wait for the answer to a write: shorter than what is left of the lease after the last moment at which one may begin.
const WRITE_PATIENCE: Duration = Duration::from_secs(2);
/// Bytes of an Event's note and of its action, by its API.
const NOTE_BYTES: usize = 1024;
const ACTION_BYTES: usize = 128;

/// A real API server.
pub struct Kubernetes {
    client: Client,
    recorder: Recorder,
    lease: lease::Held,
    /// What all jobs share.
    pub fleet: Fleet,
}

impl Kubernetes {
    /// What a client reaches; writes need the lease.
    #[must_use]
    pub fn new(client: Client, identity: &str, lease: lease::Held) -> Self {
        let reporter = Reporter { controller: FIELD_MANAGER.into(), instance: Some(identity.into()) };
        let recorder = Recorder::new(client.clone(), reporter);
        Self { client, recorder, lease, fleet: Fleet::default() }
    }

    async fn ask<T: DeserializeOwned>(&self, request: Result<http::Request<Vec<u8>>, BuildError>) -> Result<T, Error> {
        let request = request.map_err(kube::Error::BuildRequest)?;
        Ok(self.client.request(request).await?)
    }

    /// `None` for what is not there.
    async fn find<T: DeserializeOwned>(
        &self,
        request: Result<http::Request<Vec<u8>>, BuildError>,
    ) -> Result<Option<T>, Error> {
        match self.ask(request).await {
            Ok(found) => Ok(Some(found)),
            Err(Error::Api(kube::Error::Api(status))) if status.code == 404 => Ok(None),
            Err(error) => Err(error),
        }
    }

    async fn write<T: DeserializeOwned>(
        &self,
        request: Result<http::Request<Vec<u8>>, BuildError>,
    ) -> Result<T, Error> {
        if !self.lease.may_write() {
            return Err(Error::NotLeading);
        }
        match tokio::time::timeout(WRITE_PATIENCE, self.ask(request)).await {
            Ok(answer) => answer,
            Err(_) => Err(Error::Slow(WRITE_PATIENCE.as_secs())),
        }
    }
}

type BuildError = kube::core::request::Error;

/// Requests about a kind in a namespace.
fn of<K: Object>(namespace: &str) -> Request {
    Request::new(K::url_path(&(), Some(namespace).filter(|namespace| !namespace.is_empty())))
}

fn post_params() -> PostParams {
    PostParams { field_manager: Some(FIELD_MANAGER.into()), ..PostParams::default() }
}

fn patch_params() -> PatchParams {
    PatchParams { field_manager: Some(FIELD_MANAGER.into()), ..PatchParams::default() }
}

fn body<K: Object>(object: &K) -> Result<Vec<u8>, Error> {
    serde_json::to_vec(object).map_err(|error| kube::Error::SerdeError(error).into())
}

fn readable<K: Object>(object: DeserializeGuard<K>) -> Result<K, Error> {
    object.0.map_err(|invalid| Error::undecodable::<K>(&invalid))
}

impl Server for Kubernetes {
    async fn get<K: Object>(&self, namespace: &str, name: &str) -> Result<Option<K>, Error> {
        let found: Option<DeserializeGuard<K>> = self.find(of::<K>(namespace).get(name, &GetParams::default())).await?;
        found.map(readable).transpose()
    }

    async fn list<K: Object>(&self, namespace: &str, which: Selector) -> Result<Vec<Result<K, Error>>, Error> {
        let params = match which {
            Selector::All => ListParams::default(),
            Selector::Labelled(label) => ListParams::default().labels(&label),
            Selector::Label(label, value) => ListParams::default().labels(&format!("{label}={value}")),
            Selector::FailedCreates(uid) => {
                ListParams::default().fields(&format!("involvedObject.uid={uid},reason=FailedCreate"))
            }
        };
        let found: ObjectList<DeserializeGuard<K>> = self.ask(of::<K>(namespace).list(&params)).await?;
        Ok(found.items.into_iter().map(readable).collect())
    }

    async fn form<K: Object>(&self, namespace: &str, name: &str) -> Result<Option<Value>, Error> {
        self.find(of::<K>(namespace).get(name, &GetParams::default())).await
    }

    async fn forms<K: Object>(&self, namespace: &str) -> Result<Vec<Value>, Error> {
        let mut found: Value = self.ask(of::<K>(namespace).list(&ListParams::default())).await?;
        Ok(found["items"].as_array_mut().map(std::mem::take).unwrap_or_default())
    }

    async fn create<K: Object>(&self, object: &K) -> Result<(), Error> {
        let namespace = object.namespace().unwrap_or_default();
        let _: PartialObjectMeta<K> = self.write(of::<K>(&namespace).create(&post_params(), body(object)?)).await?;
        Ok(())
    }

    async fn delete<K: Object>(&self, namespace: &str, name: &str, uid: Option<&str>) -> Result<(), Error> {
        let mut params = DeleteParams::background();
        if let Some(uid) = uid {
            params = params.preconditions(Preconditions { uid: Some(uid.into()), ..Preconditions::default() });
        }
        let _: Value = self.write(of::<K>(namespace).delete(name, &params)).await?;
        Ok(())
    }

    async fn replace_status<K: Object>(&self, object: &K) -> Result<K, Error> {
        let requests = of::<K>(&object.namespace().unwrap_or_default());
        self.write(requests.replace_subresource("status", &object.name_any(), &post_params(), body(object)?)).await
    }

    async fn patch_status<K: Object>(&self, namespace: &str, name: &str, patch: Value) -> Result<(), Error> {
        let patch = Patch::Merge(patch);
        let _: Value =
            self.write(of::<K>(namespace).patch_subresource("status", name, &patch_params(), &patch)).await?;
        Ok(())
    }

    async fn patch<K: Object>(&self, namespace: &str, name: &str, patch: Value) -> Result<K, Error> {
        self.write(of::<K>(namespace).patch(name, &patch_params(), &Patch::Merge(patch))).await
    }

    async fn publish(&self, note: &Note, about: &ObjectReference) {
        if !self.lease.may_write() {
            return;
        }
        let event = Event {
            type_: if note.warning { EventType::Warning } else { EventType::Normal },
            reason: note.reason.clone(),
            note: Some(clip(&note.message, NOTE_BYTES)),
            // Events of one reason and action are counted in one, with the words of the first.
            action: clip(&note.message, ACTION_BYTES),
            secondary: None,
        };
        match tokio::time::timeout(WRITE_PATIENCE, self.recorder.publish(&event, about)).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::debug!(%error, "an event cannot be published"),
            Err(_) => tracing::debug!("an event cannot be published in time"),
        }
    }

    fn cluster(&self) -> Cluster {
        self.fleet.cluster()
    }

    fn nodes(&self) -> Vec<Arc<Node>> {
        self.fleet.nodes()
    }

    fn proof_jobs(&self) -> Vec<Arc<DeserializeGuard<ProofJob>>> {
        self.fleet.proof_jobs()
    }

    async fn progress(&self, address: &str) -> Option<Progress> {
        progress::read(address, PROGRESS_PORT).await
    }
}
