//! `ModelPreset`: a named model, as GitOps keeps it.

use kube::{CustomResource, KubeSchema};
use serde::{Deserialize, Serialize};

use super::model_cache::{Source, Storage};

/// A named model.
#[derive(CustomResource, Serialize, Deserialize, Clone, Debug, PartialEq, KubeSchema)]
#[kube(
    group = "proving.obelysk.dev", version = "v1alpha1", kind = "ModelPreset", plural = "modelpresets",
    shortname = "mp", category = "obelysk",
    printcolumn(name = "Description", type_ = "string", json_path = ".spec.description"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    validation = Rule::new("!has(self.spec.source.preset)")
        .message("spec.source: a preset cannot name another preset; set huggingFace, s3, existingClaim or bundled")
        .reason(Reason::FieldValueForbidden).field_path(".spec.source.preset"),
)]
#[serde(rename_all = "camelCase")]
pub struct ModelPresetSpec {
    /// One line for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 256))]
    pub description: Option<String>,
    /// Where the model comes from.
    pub source: Source,
    /// Where a ModelCache made for a ProofJob keeps it; absent for the operator's default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub storage: Option<Storage>,
}
