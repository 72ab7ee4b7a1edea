//! The only place that talks to the API server.

pub mod apply;
pub mod fleet;
pub mod kubernetes;
pub mod lease;
pub mod progress;
pub mod read;
pub mod server;

use std::sync::Arc;

use kube::Resource;
use kube::core::error_boundary::InvalidObject;

use crate::controllers::stalled::{OPERATOR_BUG, UNDECODABLE};
use crate::metrics::Metrics;
use crate::settings::Settings;

/// What a controller works with.
pub struct Context<S> {
    /// The API server.
    pub server: S,
    /// What the administrator decides.
    pub settings: Settings,
    /// Counters.
    pub metrics: Arc<Metrics>,
}

/// A call to the API server that failed, or a write that this process may not make.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The server said no, or nothing.
    #[error(transparent)]
    Api(#[from] kube::Error),
    /// Another process leads.
    #[error("this process does not hold the lease")]
    NotLeading,
    /// An object that is needed is of a form that this version does not know.
    #[error("{kind} {name} cannot be read by this version: {reason}")]
    Undecodable {
        /// Its kind.
        kind: String,
        /// Its name.
        name: String,
        /// What is unknown.
        reason: String,
    },
    /// A defect of this program.
    #[error("a defect of the operator, which should be reported: {0}")]
    Defect(String),
    /// The object has changed since it was read.
    #[error("the object has changed since it was read")]
    Stale,
    /// The reconcile took too long.
    #[error("no answer within {0} s")]
    Slow(u64),
}

impl Error {
    /// An object that cannot be read.
    #[must_use]
    pub fn undecodable<K>(invalid: &InvalidObject) -> Self
    where
        K: Resource<DynamicType = ()>,
    {
        let name = invalid.metadata.name.clone().unwrap_or_default();
        Self::Undecodable { kind: K::kind(&()).into(), name, reason: invalid.error.clone() }
    }

    /// The reason with which an object stalls that nothing can be done about until somebody changes something.
    #[must_use]
    pub fn stalls(&self) -> Option<&'static str> {
        match self {
            Self::Undecodable { .. } => Some(UNDECODABLE),
            Self::Defect(_) => Some(OPERATOR_BUG),
            _ => None,
        }
    }

    /// Whether the object changed under our feet: look again at once.
    #[must_use]
    pub fn is_conflict(&self) -> bool {
        matches!(self, Self::Stale) || matches!(self, Self::Api(kube::Error::Api(status)) if status.code == 409)
    }
}
