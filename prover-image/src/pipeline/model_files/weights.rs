//! Which files hold a model's weights: the shards that its index names, whatever their names, or the single file. An index
//! whose shards are gone is stale, and the single file beside it holds the weights. Where both are complete, both belong
//! to the model, so that whoever opens it sees whether they agree.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use obelysk_hub::{INDEX, SINGLE};
use serde::Deserialize;

use crate::failure::{ExitCode, Failure};

/// The shard of every tensor, as the text of an index at `place` states them.
pub(super) fn parse_index(place: &str, text: &[u8]) -> Result<BTreeMap<String, String>, Failure> {
    #[derive(Deserialize)]
    struct Index {
        weight_map: BTreeMap<String, String>,
    }
    let bad = |reason: String| {
        let hint = "download the model again, or take it from its publisher";
        Failure::new(ExitCode::ModelMismatch, format!("{place} {reason}"), hint)
    };
    let parsed: Index = serde_json::from_slice(text).map_err(|error| bad(format!("is not an index: {error}")))?;
    let leaves = |name: &str| Path::new(name).components().count() != 1 || name.starts_with('.') || name.contains('/');
    let shards = parsed.weight_map.values();
    if let Some(name) = shards.clone().find(|name| leaves(name)) {
        return Err(bad(format!("names a shard outside of its folder: {name}")));
    }
    match shards.clone().find(|name| !name.ends_with(".safetensors")) {
        Some(name) => Err(bad(format!("names a shard that is no safetensors file: {name}"))),
        None => Ok(parsed.weight_map),
    }
}

/// The files of weights, of those that are there, by an index that names these shards (none without an index).
///
/// # Errors
/// The name of what is missing.
pub(super) fn choose<'a>(
    shards: impl IntoIterator<Item = &'a String>,
    is_there: impl Fn(&str) -> bool,
) -> Result<BTreeSet<String>, String> {
    let mut weights: BTreeSet<String> = shards.into_iter().cloned().collect();
    let missing = weights.iter().find(|name| !is_there(name)).cloned();
    match (missing, is_there(SINGLE)) {
        (Some(_), true) => weights = BTreeSet::from([SINGLE.to_owned()]),
        (Some(missing), false) => return Err(format!("{missing}, which {INDEX} names")),
        (None, true) => drop(weights.insert(SINGLE.to_owned())),
        (None, false) if weights.is_empty() => return Err(SINGLE.into()),
        (None, false) => {}
    }
    Ok(weights)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chosen(shards: &[&str], there: &[&str]) -> Result<Vec<String>, String> {
        let shards: Vec<String> = shards.iter().map(|&name| name.into()).collect();
        choose(&shards, |name| there.contains(&name)).map(|weights| weights.into_iter().collect())
    }

    #[test]
    fn an_index_names_the_shards_and_a_stale_one_does_not() {
        let (one, two) = ("model.safetensors-1-of-2.safetensors", "model.safetensors-2-of-2.safetensors");
        assert_eq!(chosen(&[one, two], &[one, two]).unwrap(), [one, two]);
        assert_eq!(chosen(&[one, two], &[one, SINGLE]).unwrap(), [SINGLE], "the index is stale");
        assert_eq!(chosen(&[one], &[one, SINGLE]).unwrap(), [SINGLE, one], "whether they agree is seen later");
        assert_eq!(chosen(&[], &[SINGLE]).unwrap(), [SINGLE]);
        assert!(chosen(&[one, two], &[one]).unwrap_err().starts_with(two));
        assert_eq!(chosen(&[], &[]).unwrap_err(), SINGLE);
    }

    #[test]
    fn an_index_names_safetensors_of_its_own_folder() {
        let index = |shard: &str| parse_index("index", format!(r#"{{"weight_map": {{"w": "{shard}"}}}}"#).as_bytes());
        assert_eq!(index("a.safetensors").unwrap()["w"], "a.safetensors");
        for bad in ["../a.safetensors", "/a.safetensors", ".a.safetensors", "b/a.safetensors", "", "a.bin"] {
            assert_eq!(index(bad).unwrap_err().code, ExitCode::ModelMismatch, "{bad}");
        }
    }
}
