//! From a specification to what this version can do.

use obelysk_api::crd::model_cache::{
    HuggingFace, ModelCacheSpec, NewClaim, NodeLocal, Profile, RetentionPolicy, Source, Storage,
};
use obelysk_api::crd::schema::{ClaimRef, S3};

use crate::controllers::proof_job::validate::Unsupported;

/// Where the files come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// The image.
    Bundled(String),
    /// A volume.
    Claim(ClaimRef),
    /// A preset that says.
    Preset(String),
    /// A repository of a hub.
    Hub(HuggingFace),
    /// A folder of a bucket.
    Bucket(S3),
}

/// Where the model is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// A claim to create.
    New(NewClaim),
    /// A claim that exists.
    Existing(ClaimRef),
    /// Disks of nodes.
    Nodes(NodeLocal),
}

/// A specification that can be acted upon.
#[derive(Clone, Debug, PartialEq)]
pub struct Valid {
    /// Source.
    pub origin: Origin,
    /// Storage.
    pub place: Place,
    /// Whether the model goes with the cache.
    pub delete_model: bool,
    /// Seconds without use after which the created claim goes.
    pub evict_after: Option<i64>,
    /// The pool whose nodes fetch and prepare.
    pub pool: Option<String>,
    /// Least agreement with the float engine.
    pub min_top1_agreement: Option<f64>,
}

/// Validate a specification.
///
/// # Errors
/// The first field that this version does not act upon.
pub fn validate(spec: &ModelCacheSpec) -> Result<Valid, Unsupported> {
    let prepare = spec.prepare.clone().unwrap_or_default();
    let retention = spec.retention.clone().unwrap_or_default();
    let calibration = prepare.quantize.as_ref().is_some_and(|quantize| quantize.calibration.is_some());
    let later = [
        (calibration, "spec.prepare.quantize.calibration", "leave it out: the quantiser has texts of its own"),
        (
            prepare.profiles.iter().any(|profile| !matches!(profile, Profile::Blake2s | Profile::Blake3)),
            "spec.prepare.profiles",
            "use [Blake2s]",
        ),
        (
            retention.evict_after_unused_seconds.is_some() && spec.storage.claim.is_none(),
            "spec.retention.evictAfterUnusedSeconds",
            "use storage.claim: only a claim that was created for the cache is evicted",
        ),
    ];
    if let Some((_, field, advice)) = later.into_iter().find(|(used, _, _)| *used) {
        return Err(Unsupported { field, advice });
    }
    let origin = origin(&spec.source)?;
    let place = place(&spec.storage)?;
    let placement = spec.placement.as_ref().and_then(|placement| placement.pool_ref.as_ref());
    let pool = match &place {
        Place::Nodes(local) if placement.is_some_and(|placement| *placement != local.pool_ref) => {
            let advice = "leave it out: storage.nodeLocal.poolRef says which nodes";
            return Err(Unsupported { field: "spec.placement.poolRef", advice });
        }
        Place::Nodes(local) => Some(&local.pool_ref),
        _ => placement,
    };
    // Whoever brought a claim decides when something on it goes.
    let delete_model = match &place {
        Place::Existing(_) => retention.policy == Some(RetentionPolicy::Delete),
        Place::New(_) | Place::Nodes(_) => retention.policy != Some(RetentionPolicy::Retain),
    };
    let min_top1_agreement = prepare.quantize.and_then(|quantize| quantize.min_top1_agreement);
    let min_top1_agreement = min_top1_agreement.map(|text| text.parse()).transpose().map_err(|_| {
        let advice = "write a decimal number such as \"0.99\"";
        Unsupported { field: "spec.prepare.quantize.minTop1Agreement", advice }
    })?;
    Ok(Valid {
        origin,
        pool: pool.map(|pool| pool.name.clone()),
        place,
        delete_model,
        evict_after: retention.evict_after_unused_seconds,
        min_top1_agreement,
    })
}

/// The place that a storage names.
fn place(storage: &Storage) -> Result<Place, Unsupported> {
    let Storage { claim, existing_claim, node_local } = storage;
    let places = [
        claim.clone().map(Place::New),
        existing_claim.clone().map(Place::Existing),
        node_local.clone().map(Place::Nodes),
    ];
    let advice = "set one of claim, existingClaim, nodeLocal";
    places.into_iter().flatten().next().ok_or(Unsupported { field: "spec.storage", advice })
}

/// The origin that a source names.
///
/// # Errors
/// A source without a member: objects from a server have exactly one.
pub fn origin(source: &Source) -> Result<Origin, Unsupported> {
    let Source { preset, hugging_face, s3, existing_claim, bundled } = source;
    let origins = [
        bundled.as_ref().map(|bundled| Origin::Bundled(bundled.name.clone())),
        existing_claim.clone().map(Origin::Claim),
        preset.as_ref().map(|preset| Origin::Preset(preset.name.clone())),
        hugging_face.clone().map(Origin::Hub),
        s3.clone().map(Origin::Bucket),
    ];
    let advice = "set one of preset, huggingFace, s3, existingClaim, bundled";
    origins.into_iter().flatten().next().ok_or(Unsupported { field: "spec.source", advice })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(source: &str, storage: &str) -> ModelCacheSpec {
        serde_json::from_str(&format!(r#"{{"source":{source},"storage":{storage}}}"#)).unwrap()
    }

    const CLAIM: &str = r#"{"claim":{"accessMode":"ReadWriteOnce","size":"1Gi"}}"#;

    #[test]
    fn bundled_models_and_volumes_and_hubs_are_sources() {
        let valid = validate(&spec(r#"{"bundled":{"name":"tiny-chat"}}"#, CLAIM)).unwrap();
        assert_eq!(valid.origin, Origin::Bundled("tiny-chat".into()));
        assert!(valid.delete_model);
        assert!(validate(&spec(r#"{"existingClaim":{"name":"models"}}"#, CLAIM)).is_ok());
        let hub = validate(&spec(r#"{"huggingFace":{"repo":"a/b"}}"#, CLAIM)).unwrap();
        assert!(matches!(hub.origin, Origin::Hub(repository) if repository.repo == "a/b"));
        let bucket = validate(&spec(r#"{"s3":{"bucket":"models","prefix":"a"}}"#, CLAIM)).unwrap();
        assert!(matches!(bucket.origin, Origin::Bucket(s3) if s3.prefix.as_deref() == Some("a")));
    }

    #[test]
    fn later_sources_and_storage_are_refused_by_name() {
        for (source, storage, field) in
            [("{}", CLAIM, "spec.source"), (r#"{"bundled":{"name":"x"}}"#, "{}", "spec.storage")]
        {
            assert_eq!(validate(&spec(source, storage)).unwrap_err().field, field);
        }
    }

    #[test]
    fn a_model_on_nodes_has_one_pool() {
        let mut spec = spec(r#"{"bundled":{"name":"x"}}"#, r#"{"nodeLocal":{"poolRef":{"name":"p"}}}"#);
        let placement = |pool: &str| serde_json::from_str(&format!(r#"{{"poolRef":{{"name":"{pool}"}}}}"#)).unwrap();
        for same in [None, Some(placement("p"))] {
            spec.placement = same;
            assert_eq!(validate(&spec).unwrap().pool.as_deref(), Some("p"));
        }
        spec.placement = Some(placement("q"));
        assert_eq!(validate(&spec).unwrap_err().field, "spec.placement.poolRef");
    }

    #[test]
    fn files_on_a_claim_that_existed_go_only_if_that_is_asked_for() {
        let mut spec = spec(r#"{"bundled":{"name":"x"}}"#, r#"{"existingClaim":{"name":"shared"}}"#);
        for (retention, deleted) in [("{}", false), (r#"{"policy":"Retain"}"#, false), (r#"{"policy":"Delete"}"#, true)]
        {
            spec.retention = serde_json::from_str(retention).unwrap();
            assert_eq!(validate(&spec).unwrap().delete_model, deleted, "{retention}");
        }
    }
}
