//! Which files of a repository are downloaded: an allow-list, because repositories also hold the weights in other
//! formats, some of which run code when they are opened.

use std::collections::BTreeSet;

use crate::repository::RemoteFile;

/// Name of the list of shards.
pub const INDEX: &str = "model.safetensors.index.json";
/// Name of weights in one file.
pub const SINGLE: &str = "model.safetensors";

/// Small files that a model consists of, where there are any: configuration and tokenizer.
pub const SMALL_FILES: [&str; 8] = [
    "added_tokens.json",
    "chat_template.jinja",
    "config.json",
    "generation_config.json",
    "special_tokens_map.json",
    "tokenizer.json",
    "tokenizer_config.json",
    INDEX,
];

/// The files of a model: configuration, tokenizer, and these files of weights.
#[must_use]
pub fn select(files: &[RemoteFile], weights: &BTreeSet<String>) -> Vec<RemoteFile> {
    let is_wanted =
        |path: &str| SMALL_FILES.contains(&path) || (weights.contains(path) && path.ends_with(".safetensors"));
    files.iter().filter(|file| is_wanted(&file.path)).cloned().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::repository::StatedDigest;

    #[test]
    fn weights_in_other_formats_are_left_where_they_are() {
        let paths = [
            "README.md",
            "added_tokens.json",
            "config.json",
            "consolidated.safetensors",
            "original/consolidated.00.pth",
            "part-1.safetensors",
            "pytorch_model.bin",
            "tokenizer.json",
        ];
        let file = |path: &str| RemoteFile { path: path.into(), bytes: 1, digest: StatedDigest::Git("0".repeat(40)) };
        let weights = ["part-1.safetensors", "pytorch_model.bin"].map(str::to_owned).into();
        let selected: Vec<String> = select(&paths.map(file), &weights).into_iter().map(|file| file.path).collect();
        assert_eq!(selected, ["added_tokens.json", "config.json", "part-1.safetensors", "tokenizer.json"]);
    }
}
