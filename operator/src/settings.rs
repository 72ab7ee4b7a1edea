//! What the administrator decides.

use clap::Parser;

/// Turns ProofJobs and ModelCaches into running provers.
#[derive(Clone, Debug, Parser)]
#[command(name = "obelysk-operator", version)]
pub struct Settings {
    /// Image of prover pods.
    #[arg(long, env = "OBELYSK_IMAGE")]
    pub image: String,
    /// Pull policy of prover pods.
    #[arg(long, env = "OBELYSK_IMAGE_PULL_POLICY", default_value = "IfNotPresent")]
    pub image_pull_policy: String,
    /// Processors that the image is for, as `kubernetes.io/arch` names them, with commas between.
    #[arg(long, env = "OBELYSK_IMAGE_ARCHITECTURES", value_delimiter = ',', default_value = "amd64")]
    pub image_architectures: Vec<String>,
    /// Storage class of artifacts and of models that no ModelPreset places; empty for the cluster's default.
    #[arg(long, env = "OBELYSK_STORAGE_CLASS", default_value = "")]
    pub storage_class: String,
    /// Size of an artifacts claim that the ProofJob does not size.
    #[arg(long, env = "OBELYSK_ARTIFACTS_SIZE", default_value = "1Gi")]
    pub artifacts_size: String,
    /// Size of a model claim that no ModelPreset sizes.
    #[arg(long, env = "OBELYSK_MODEL_SIZE", default_value = "2Gi")]
    pub model_size: String,
    /// Hub of models that name none; empty for the public one.
    #[arg(long, env = "OBELYSK_HUB_ENDPOINT", default_value = "")]
    pub hub_endpoint: String,
    /// Let ModelCaches keep models on the disks of nodes: needs the right to create and delete PersistentVolumes.
    #[arg(long, env = "OBELYSK_NODE_LOCAL")]
    pub node_local: bool,
    /// Namespace of the leader's Lease.
    #[arg(long, env = "OBELYSK_NAMESPACE", default_value = "default")]
    pub namespace: String,
    /// Name of this process in the Lease; the pod's name in a cluster.
    #[arg(long, env = "OBELYSK_IDENTITY", default_value = "obelysk-operator")]
    pub identity: String,
    /// Address of `/metrics`, `/healthz` and `/readyz`.
    #[arg(long, env = "OBELYSK_METRICS_ADDRESS", default_value = "0.0.0.0:9090")]
    pub metrics_address: std::net::SocketAddr,
    /// Log as JSON lines.
    #[arg(long, env = "OBELYSK_LOG_JSON")]
    pub log_json: bool,
}

impl Settings {
    /// Storage class of new claims, `None` for the cluster's default.
    #[must_use]
    pub fn storage_class(&self) -> Option<String> {
        Some(self.storage_class.clone()).filter(|class| !class.is_empty())
    }
}
