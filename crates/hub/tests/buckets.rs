//! Folders of buckets: signed for, resumed, checked.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use obelysk_hub::{
    AccessKey, Bucket, Downloaded, HubError, Location, Patience, Progress, SINGLE, Store, download, select,
};
use obelysk_stand_in_hub::{BucketServer, Faults, Ranges, write_sums};
use tempfile::TempDir;

struct Silent;

impl Progress for Silent {
    fn planned(&self, _: u64, _: u64) {}
    fn fetched(&self, _: u64) {}
    fn lost(&self, _: u64) {}
}

/// A bucket with one model in it, and a folder to download to.
struct Place {
    server: BucketServer,
    root: TempDir,
    home: TempDir,
}

impl Place {
    fn new() -> Self {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().join("models/tiny/v1");
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join("config.json"), r#"{"a": 1}"#).unwrap();
        fs::write(folder.join("README.md"), "not wanted").unwrap();
        fs::write(folder.join("tokenizer.json"), vec![7; 300_000]).unwrap();
        fs::write(folder.join("model.safetensors"), vec![9; 4 << 20]).unwrap();
        write_sums(&folder);
        let server = BucketServer::start(root.path().into(), "id", "secret");
        Self { server, root, home: tempfile::tempdir().unwrap() }
    }

    fn bucket(&self, location: &str, secret: Option<&str>) -> Bucket {
        let location = Location { endpoint: Some(self.server.endpoint()), ..location.parse().unwrap() };
        let key = secret.map(|secret| AccessKey { id: "id".into(), secret: secret.into(), session_token: None });
        let patience = Patience {
            attempts: 4,
            first_wait: Duration::from_millis(5),
            longest_wait: Duration::from_millis(100),
            stall: Duration::from_secs(2),
        };
        Bucket::new(location, key, patience).unwrap()
    }

    fn folder(&self) -> PathBuf {
        self.home.path().join("model")
    }

    fn fetch(&self) -> Result<Downloaded, HubError> {
        let bucket = self.bucket("s3://models/tiny/v1", Some("secret"));
        let store = Store::Bucket(&bucket);
        let files = store.measure(select(&bucket.files()?, &[SINGLE.to_owned()].into()))?;
        download(&store, &files, &self.folder(), &Silent)
    }

    fn is_right(&self) -> bool {
        let stored = self.root.path().join("models/tiny/v1");
        ["config.json", "tokenizer.json", "model.safetensors"]
            .iter()
            .all(|name| fs::read(stored.join(name)).unwrap() == fs::read(self.folder().join(name)).unwrap())
    }
}

#[test]
fn the_models_files_are_fetched_and_nothing_else() {
    let place = Place::new();
    let downloaded = place.fetch().unwrap();
    let names: Vec<&str> = downloaded.files.iter().map(|file| file.path.as_str()).collect();
    assert_eq!(names, ["config.json", "model.safetensors", "tokenizer.json"]);
    assert!(place.is_right());
    assert!(!place.folder().join("README.md").exists());
}

#[test]
fn broken_answers_are_continued_and_flipped_bytes_are_noticed() {
    let place = Place::new();
    place.server.set(Faults { cuts: 3, cut_after: 1 << 20, flips: 2, ..Faults::default() });
    place.fetch().unwrap();
    assert!(place.is_right());
}

#[test]
fn a_range_that_is_no_continuation_starts_the_file_afresh() {
    for ranges in [Ranges::Whole, Ranges::Unnamed, Ranges::Late] {
        let place = Place::new();
        place.server.set(Faults { cuts: 1, cut_after: 1 << 20, ranges, ..Faults::default() });
        place.fetch().unwrap();
        assert!(place.is_right(), "{ranges:?}");
    }
}

#[test]
fn a_refusal_that_stays_says_so_at_once_and_with_its_own_words() {
    let place = Place::new();
    place.server.set(Faults { refusal: Some(400), ..Faults::default() });
    let error = place.bucket("s3://models/tiny/v1", Some("secret")).files().unwrap_err();
    assert!(matches!(&error, HubError::Refused { status: 400, message, .. } if message == "NotHere"), "{error:?}");
}

#[test]
fn a_key_with_a_line_break_is_refused_and_one_around_it_is_not() {
    let place = Place::new();
    place.bucket("s3://models/tiny/v1", Some("secret\n")).files().unwrap();
    let key = AccessKey { id: "id".into(), secret: "sec\nret".into(), session_token: None };
    let error = Bucket::new("s3://models/x".parse().unwrap(), Some(key), Patience::default()).err().unwrap();
    assert!(matches!(&error, HubError::BadToken(message) if message.contains("AWS_SECRET_ACCESS_KEY")), "{error}");
}

#[test]
fn a_location_that_is_none_gets_advice_about_buckets() {
    let error = "s3://models/../x".parse::<Location>().unwrap_err();
    assert!(error.hint().contains("s3://"), "{}", error.hint());
    let location = Location { endpoint: Some(String::new()), .."s3://models/x".parse().unwrap() };
    let error = Bucket::new(location, None, Patience::default()).err().unwrap();
    assert!(error.hint().contains("AWS_ENDPOINT_URL"), "{}", error.hint());
}

#[test]
fn a_file_that_differs_from_its_sum_never_arrives() {
    let place = Place::new();
    fs::write(place.root.path().join("models/tiny/v1/tokenizer.json"), vec![8; 300_000]).unwrap();
    assert!(matches!(place.fetch(), Err(HubError::Digest { file, .. }) if file == "tokenizer.json"));
    assert!(!place.folder().join("tokenizer.json").exists());
}

#[test]
fn a_wrong_key_and_no_key_are_refused_with_advice() {
    let place = Place::new();
    for secret in [Some("wrong"), None] {
        let error = place.bucket("s3://models/tiny/v1", secret).files().unwrap_err();
        assert!(matches!(error, HubError::BucketRefuses { status: 403, .. }), "{error:?}");
        assert!(error.hint().contains("AWS_ACCESS_KEY_ID"));
        assert!(!error.to_string().contains("Signature"), "a signed address is a secret: {error}");
    }
}

#[test]
fn a_folder_without_sums_is_refused_with_advice() {
    let place = Place::new();
    let error = place.bucket("s3://models/tiny", Some("secret")).files().unwrap_err();
    assert!(error.to_string().contains("has no SHA256SUMS"), "{error}");
    assert!(error.hint().contains("sha256sum"));
}
