//! From a specification to what this version can do.

use obelysk_api::crd::model_cache::{HuggingFace, ModelCacheSpec, NewClaim, Profile, RetentionPolicy, Source};
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
}

/// A specification that can be acted upon.
#[derive(Clone, Debug, PartialEq)]
pub struct Valid {
    /// Source.
    pub origin: Origin,
    /// Storage.
    pub place: Place,
    /// Whether a created claim goes with the cache.
    pub delete_claim: bool,
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
        (prepare.profiles.iter().any(|profile| *profile != Profile::Blake3), "spec.prepare.profiles", "use [Blake3]"),
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
    let storage = &spec.storage;
    let place = match (&storage.claim, &storage.existing_claim) {
        (Some(claim), _) => Place::New(claim.clone()),
        (None, Some(claim)) => Place::Existing(claim.clone()),
        (None, None) => {
            return Err(Unsupported { field: "spec.storage.nodeLocal", advice: "use claim or existingClaim" });
        }
    };
    let min_top1_agreement = prepare.quantize.and_then(|quantize| quantize.min_top1_agreement);
    Ok(Valid {
        origin,
        place,
        delete_claim: retention.policy != Some(RetentionPolicy::Retain),
        pool: spec.placement.as_ref().and_then(|placement| placement.pool_ref.as_ref()).map(|pool| pool.name.clone()),
        evict_after: retention.evict_after_unused_seconds,
        min_top1_agreement: min_top1_agreement.map(|text| text.parse().expect("the schema allows decimal numbers")),
    })
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
        assert!(valid.delete_claim);
        assert!(validate(&spec(r#"{"existingClaim":{"name":"models"}}"#, CLAIM)).is_ok());
        let hub = validate(&spec(r#"{"huggingFace":{"repo":"a/b"}}"#, CLAIM)).unwrap();
        assert!(matches!(hub.origin, Origin::Hub(repository) if repository.repo == "a/b"));
        let bucket = validate(&spec(r#"{"s3":{"bucket":"models","prefix":"a"}}"#, CLAIM)).unwrap();
        assert!(matches!(bucket.origin, Origin::Bucket(s3) if s3.prefix.as_deref() == Some("a")));
    }

    #[test]
    fn later_sources_and_storage_are_refused_by_name() {
        for (source, storage, field) in [
            ("{}", CLAIM, "spec.source"),
            (r#"{"bundled":{"name":"x"}}"#, r#"{"nodeLocal":{"poolRef":{"name":"p"}}}"#, "spec.storage.nodeLocal"),
        ] {
            assert_eq!(validate(&spec(source, storage)).unwrap_err().field, field);
        }
    }
}
