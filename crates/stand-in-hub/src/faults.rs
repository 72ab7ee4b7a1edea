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
    /// Send one byte less than announced for the next ranges.
    pub short_ranges: u32,
    /// Bytes per second of each of the store's answers.
    pub rate: Option<u64>,
    /// Entries of a page of a tree.
    pub page: Option<usize>,
}

/// Use a count up by one.
pub(crate) fn take(count: &mut u32) -> bool {
    let left = *count > 0;
    *count -= u32::from(left);
    left
}
