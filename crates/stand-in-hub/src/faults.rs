//! How a server misbehaves.

use serde::Deserialize;

/// Faults of the store and of the hub; counts go down as they are used.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
pub struct Faults {
    /// Break the store's next answers off ...
    pub cuts: u32,
    /// ... after this many bytes.
    pub cut_after: u64,
    /// Answer the next requests for files with this status ...
    pub failures: u32,
    /// ... 503 if none is given ...
    pub status: Option<u16>,
    /// ... and ask to come back after this many seconds.
    pub retry_after: Option<u64>,
    /// Refuse the store's next answers as if their address had expired.
    pub expired: u32,
    /// Flip a byte in the middle of the store's next answers.
    pub flips: u32,
    /// Answer whole files where a range is asked for.
    pub ignore_ranges: bool,
    /// Answer ranges in this way.
    pub ranges: Ranges,
    /// Answer requests for a repository's description with this status.
    pub refusal: Option<u16>,
    /// Have no list of files with their digests, as some mirrors.
    pub no_tree: bool,
    /// State no digest with a file.
    pub no_digests: bool,
    /// Answer large files with the text that stands for them in a Git repository.
    pub pointers: bool,
    /// Send one byte less than announced for the next ranges.
    pub short_ranges: u32,
    /// Bytes per second of each of the store's answers.
    pub rate: Option<u64>,
    /// Entries of a page of a tree.
    pub page: Option<usize>,
}

/// What is wrong with the answer to a request for a range.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Ranges {
    /// Nothing.
    #[default]
    Right,
    /// The range comes with the status of a whole file.
    Whole,
    /// The range comes without saying which one it is.
    Unnamed,
    /// The answer begins one byte late, and says so.
    Late,
}

/// Use a count up by one.
pub(crate) fn take(count: &mut u32) -> bool {
    let left = *count > 0;
    *count -= u32::from(left);
    left
}
