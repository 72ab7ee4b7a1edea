//! Pins: what a name of a model stood for when it was first asked for, so that later commands need no network and mean
//! the same files. A pin belongs to the server, the model and the revision: the same name elsewhere is another model.

use std::fs;
use std::path::{Path, PathBuf};

use obelysk_model::regular;
use sha2::{Digest, Sha256};

use crate::atomic;
use crate::failure::Failure;
use crate::home::short;

/// Folder of a model's pins.
pub(super) const PINS: &str = "refs";
/// Longest name of a revision that is kept as it is.
const NAME_MAX: usize = 150;

/// The pin of a revision, in the folder of a model's pins; `origin` says where the model comes from.
pub(super) fn path(folder: &Path, revision: &str, origin: &str) -> PathBuf {
    let name = revision.replace('%', "%25").replace('/', "%2F");
    let name = if name.len() > NAME_MAX { digest(&name) } else { name };
    folder.join(format!("{name}@{}", short(&digest(origin))))
}

fn digest(text: &str) -> String {
    hex::encode(Sha256::digest(text))
}

/// What a pin keeps, if there is one.
pub(super) fn read(path: &Path) -> Result<Option<String>, Failure> {
    match regular::read(path, 4096) {
        Ok(text) => Ok(Some(String::from_utf8_lossy(&text).trim().to_owned())),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Failure::io("read", path, &error)),
    }
}

/// Keep a pin.
pub(super) fn write(path: &Path, revision: &str) -> Result<(), Failure> {
    atomic::write(path, format!("{revision}\n").as_bytes())
}

/// Remove the pins to a revision.
pub(super) fn remove(pins: impl IntoIterator<Item = PathBuf>, revision: &str) -> Result<(), Failure> {
    for pin in pins {
        if read(&pin).is_ok_and(|kept| kept.as_deref() == Some(revision)) {
            fs::remove_file(&pin).map_err(|error| Failure::io("remove", &pin, &error))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_pins_have_one_name() {
        let name = |revision: &str, origin: &str| path(Path::new("refs"), revision, origin);
        assert_ne!(name("main", "https://a"), name("main", "https://b"));
        assert_ne!(name("a/b", "https://a"), name("a--b", "https://a"));
        assert_ne!(name("a/b", "https://a"), name("a%2Fb", "https://a"));
        let (one, other) = (format!("{}1", "é/".repeat(80)), format!("{}2", "é/".repeat(80)));
        assert_ne!(name(&one, "https://a"), name(&other, "https://a"));
        assert!(name(&one, "https://a").file_name().unwrap().len() < 200);
    }
}
