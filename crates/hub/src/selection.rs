//! Which files of a repository are downloaded: an allow-list, because repositories also hold the weights in other
//! formats, some of which run code when they are opened.

use crate::repository::RemoteFile;

/// Name of the list of shards.
pub(crate) const INDEX: &str = "model.safetensors.index.json";

/// Small files that a model consists of, where the repository has them.
const SMALL: [&str; 8] = [
    "chat_template.jinja",
    "config.json",
    "generation_config.json",
    "special_tokens_map.json",
    "tokenizer.json",
    "tokenizer.model",
    "tokenizer_config.json",
    INDEX,
];

/// The files of a model: configuration, tokenizer, and `model.safetensors` or its shards.
#[must_use]
pub fn select(files: &[RemoteFile]) -> Vec<RemoteFile> {
    let sharded = files.iter().any(|file| file.path == INDEX);
    let wanted =
        |path: &str| SMALL.contains(&path) || if sharded { is_shard(path) } else { path == "model.safetensors" };
    files.iter().filter(|file| wanted(&file.path)).cloned().collect()
}

/// `model-00001-of-00008.safetensors`.
pub(crate) fn is_shard(path: &str) -> bool {
    let Some(numbers) = path.strip_prefix("model-").and_then(|rest| rest.strip_suffix(".safetensors")) else {
        return false;
    };
    let digits = |text: &str| !text.is_empty() && text.chars().all(|c| c.is_ascii_digit());
    numbers.split_once("-of-").is_some_and(|(number, count)| digits(number) && digits(count))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::repository::StatedDigest;

    fn files(paths: &[&str]) -> Vec<RemoteFile> {
        let file =
            |path: &&str| RemoteFile { path: (*path).into(), bytes: 1, digest: StatedDigest::Git("0".repeat(40)) };
        paths.iter().map(file).collect()
    }

    fn selected(paths: &[&str]) -> Vec<String> {
        select(&files(paths)).into_iter().map(|file| file.path).collect()
    }

    #[test]
    fn weights_in_other_formats_are_left_where_they_are() {
        let names = selected(&[
            "README.md",
            "config.json",
            "consolidated.safetensors",
            "model-00001-of-00002.safetensors",
            "model-00002-of-00002.safetensors",
            "model.safetensors.index.json",
            "original/consolidated.00.pth",
            "pytorch_model.bin",
            "tokenizer.json",
        ]);
        assert_eq!(
            names,
            [
                "config.json",
                "model-00001-of-00002.safetensors",
                "model-00002-of-00002.safetensors",
                "model.safetensors.index.json",
                "tokenizer.json"
            ]
        );
        assert_eq!(selected(&["model.safetensors", "model.fp16.safetensors"]), ["model.safetensors"]);
        assert!(!is_shard("model-x-of-2.safetensors") && !is_shard("model-1-of-2.bin"));
    }
}
