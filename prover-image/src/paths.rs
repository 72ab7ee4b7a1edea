//! Paths in JSON. A path of Linux is bytes, mostly of text: one that is no text is kept as its bytes where it is read again,
//! and shown as far as it is text where people read it.

use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// The two forms.
#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum Form {
    Text(String),
    Bytes(Vec<u8>),
}

/// For `serde(with)`.
///
/// # Errors
/// Those of the serialiser.
pub fn serialize<S: Serializer>(path: &Path, serializer: S) -> Result<S::Ok, S::Error> {
    let form = match path.to_str() {
        Some(text) => Form::Text(text.into()),
        None => Form::Bytes(path.as_os_str().as_bytes().into()),
    };
    form.serialize(serializer)
}

/// For `serde(with)`.
///
/// # Errors
/// Neither text nor bytes.
pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<PathBuf, D::Error> {
    Ok(match Form::deserialize(deserializer)? {
        Form::Text(text) => text.into(),
        Form::Bytes(bytes) => OsString::from_vec(bytes).into(),
    })
}

/// As an answer shows it.
#[must_use]
pub fn shown(path: &Path) -> String {
    path.display().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Serialize, Deserialize)]
    struct Holder(#[serde(with = "super")] PathBuf);

    #[test]
    fn every_path_comes_back_as_it_was() {
        for (bytes, text) in [(&b"/a/b"[..], r#""/a/b""#), (&b"/a\xff"[..], "[47,97,255]")] {
            let path = PathBuf::from(OsString::from_vec(bytes.to_vec()));
            let json = serde_json::to_string(&Holder(path.clone())).unwrap();
            assert_eq!(json, text);
            assert_eq!(serde_json::from_str::<Holder>(&json).unwrap().0, path);
        }
    }
}
