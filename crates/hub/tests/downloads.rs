//! Downloads from a hub that misbehaves.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use obelysk_hub::{
    Client, Downloaded, Endpoint, HubError, Patience, Progress, Reference, Revision, SINGLE, Store, download, select,
};
use obelysk_stand_in_hub::{Faults, Ranges, Server};
use tempfile::TempDir;

/// Length of the large file.
const LARGE: usize = 8 << 20;

#[derive(Default)]
struct Counter {
    total: AtomicU64,
    held: AtomicU64,
    fetched: AtomicU64,
}

impl Progress for Counter {
    fn planned(&self, total: u64, held: u64) {
        self.total.store(total, Ordering::Relaxed);
        self.held.store(held, Ordering::Relaxed);
    }

    fn fetched(&self, bytes: u64) {
        self.fetched.fetch_add(bytes, Ordering::Relaxed);
    }

    fn lost(&self, _: u64) {}
}

/// A hub with one repository, and a folder to download to.
struct Place {
    server: Server,
    root: TempDir,
    home: TempDir,
}

fn content(length: usize) -> Vec<u8> {
    (0..length as u32).flat_map(|i| i.wrapping_mul(2_654_435_761).to_le_bytes()).take(length).collect()
}

fn store<'a>(client: &'a Client, reference: &'a Reference, revision: &'a Revision) -> Store<'a> {
    Store::Repository { client, reference, commit: &revision.commit }
}

fn fetch_files(store: &Store, revision: &Revision, folder: &Path, counter: &Counter) -> Result<Downloaded, HubError> {
    let files = store.measure(select(&revision.files, &[SINGLE.to_owned()].into()))?;
    download(store, &files, folder, counter)
}

impl Place {
    fn new() -> Self {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().join("tiny-org/big");
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join("config.json"), r#"{"a": 1}"#).unwrap();
        fs::write(folder.join("README.md"), "not wanted").unwrap();
        fs::write(folder.join("tokenizer.json"), content(300_000)).unwrap();
        fs::write(folder.join("model.safetensors"), content(LARGE)).unwrap();
        let server = Server::start(root.path().into(), &[("tiny-org/big", "hf_good")]);
        Self { server, root, home: tempfile::tempdir().unwrap() }
    }

    fn client(&self, token: Option<&str>) -> Client {
        let patience = Patience {
            attempts: 4,
            first_wait: Duration::from_millis(5),
            longest_wait: Duration::from_millis(100),
            stall: Duration::from_secs(2),
        };
        Client::new(Endpoint::new(&self.server.endpoint(), token.map(str::to_owned)).unwrap(), patience).unwrap()
    }

    fn folder(&self) -> PathBuf {
        self.home.path().join("model")
    }

    fn fetch_counted(&self) -> (Result<Downloaded, HubError>, u64) {
        let counter = Counter::default();
        let reference: Reference = "tiny-org/big".parse().unwrap();
        let client = self.client(Some("hf_good"));
        let outcome = client.revision(&reference).and_then(|revision| {
            fetch_files(&store(&client, &reference, &revision), &revision, &self.folder(), &counter)
        });
        (outcome, counter.fetched.load(Ordering::Relaxed))
    }

    fn fetch(&self) -> Result<Downloaded, HubError> {
        self.fetch_counted().0
    }

    fn is_right(&self) -> bool {
        let same = |name: &str| {
            fs::read(self.folder().join(name)).unwrap()
                == fs::read(self.root.path().join("tiny-org/big").join(name)).unwrap()
        };
        ["config.json", "tokenizer.json", "model.safetensors"].into_iter().all(same)
            && !self.folder().join("README.md").exists()
            && !fs::read_dir(self.folder()).unwrap().any(|entry| is_part(&entry.unwrap().path()))
    }
}

fn is_part(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "part")
}

#[test]
fn a_download_brings_the_files_of_the_model_and_no_others() {
    let place = Place::new();
    let (outcome, fetched) = place.fetch_counted();
    let names: Vec<String> = outcome.unwrap().files.into_iter().map(|file| file.path).collect();
    assert_eq!(names, ["config.json", "model.safetensors", "tokenizer.json"]);
    assert!(place.is_right());
    assert_eq!(fetched, 8 + 300_000 + LARGE as u64);
    let (again, fetched) = place.fetch_counted();
    assert!(again.is_ok() && fetched == 0, "what is there is kept");
}

#[test]
fn the_token_goes_to_the_hub_and_not_to_its_store() {
    let place = Place::new();
    place.fetch().unwrap();
    let log = place.server.take_log();
    assert!(log.iter().any(|request| request.to_store) && log.iter().any(|request| !request.to_store));
    for request in log {
        assert_eq!(request.authorised, !request.to_store, "{request:?}");
    }
}

#[test]
fn an_answer_that_breaks_off_is_continued() {
    let place = Place::new();
    place.server.set(Faults { cuts: 5, cut_after: 1 << 20, ..Faults::default() });
    let (outcome, fetched) = place.fetch_counted();
    outcome.unwrap();
    assert!(place.is_right());
    assert_eq!(fetched, 8 + 300_000 + LARGE as u64, "no byte is fetched twice");
}

#[test]
fn a_range_that_ends_early_is_continued() {
    let place = Place::new();
    place.server.set(Faults { cuts: 1, cut_after: 1 << 20, short_ranges: 2, ..Faults::default() });
    place.fetch().unwrap();
    assert!(place.is_right());
}

#[test]
fn an_address_that_has_expired_is_asked_for_again() {
    let place = Place::new();
    place.server.set(Faults { expired: 2, ..Faults::default() });
    place.fetch().unwrap();
    assert!(place.is_right());
}

#[test]
fn a_busy_hub_is_asked_again_when_it_says_so() {
    let place = Place::new();
    place.server.set(Faults { failures: 3, status: Some(429), retry_after: Some(0), ..Faults::default() });
    place.fetch().unwrap();
    assert!(place.is_right());
}

#[test]
fn a_server_that_ignores_ranges_starts_the_file_over() {
    let place = Place::new();
    place.server.set(Faults { cuts: 1, cut_after: 1 << 20, ignore_ranges: true, ..Faults::default() });
    place.fetch().unwrap();
    assert!(place.is_right());
}

#[test]
fn an_answer_that_is_no_continuation_starts_the_file_afresh_once_and_then_says_why() {
    let faults = |cuts, ranges| Faults { cuts, cut_after: 1 << 20, ranges, ..Faults::default() };
    for (ranges, said) in [
        (Ranges::Whole, "with the status of a whole file"),
        (Ranges::Unnamed, "without a Content-Range"),
        (Ranges::Late, "where bytes from"),
    ] {
        let place = Place::new();
        place.server.set(faults(1, ranges));
        place.fetch().unwrap();
        assert!(place.is_right(), "{ranges:?}");

        let place = Place::new();
        // The second cut falls on the range.
        place.server.set(faults(3, ranges));
        let error = place.fetch().unwrap_err();
        assert!(matches!(&error, HubError::NotTheFile { reason, .. } if reason.contains(said)), "{ranges:?}: {error}");
        // What it left behind is no obstacle.
        place.server.set(Faults::default());
        place.fetch().unwrap();
        assert!(place.is_right(), "{ranges:?}");
    }
}

#[test]
fn a_server_that_always_begins_again_is_no_progress() {
    let place = Place::new();
    place.server.set(Faults { cuts: 100, cut_after: 1 << 20, ignore_ranges: true, ..Faults::default() });
    assert!(matches!(place.fetch().unwrap_err(), HubError::Network { attempts: 4, .. }));
}

#[test]
fn a_pointer_of_git_is_not_taken_for_the_weights() {
    let place = Place::new();
    place.server.set(Faults { pointers: true, ..Faults::default() });
    let error = place.fetch().unwrap_err();
    assert!(matches!(&error, HubError::Pointer { what } if what.ends_with("model.safetensors")), "{error}");
    let asked = place.server.take_log().iter().filter(|request| request.to_store).count();
    assert_eq!(asked, 1, "it is not asked for again");
}

#[test]
fn a_refusal_that_stays_is_not_asked_for_again() {
    for status in [400, 404, 410, 451, 501] {
        let place = Place::new();
        place.server.set(Faults { refusal: Some(status), ..Faults::default() });
        let error = place.fetch().unwrap_err();
        match status {
            404 => assert!(matches!(error, HubError::NotFound(_)), "{error}"),
            _ => assert!(matches!(error, HubError::Refused { status: said, .. } if said == status), "{error}"),
        }
        assert_eq!(place.server.take_log().len(), 1, "{status}");
        place.server.set(Faults { failures: 100, status: Some(status), ..Faults::default() });
        place.fetch().unwrap_err();
        let files = 3;
        let asked = place.server.take_log().iter().filter(|request| request.path.contains("/resolve/")).count();
        assert!((1..=files).contains(&asked), "{status}: {asked}");
    }
}

#[test]
fn a_connection_that_cannot_be_secure_is_not_tried_again() {
    let place = Place::new();
    let address = place.server.endpoint().replace("http://", "https://");
    let client = Client::new(Endpoint::new(&address, None).unwrap(), Patience::default()).unwrap();
    let error = client.revision(&"tiny-org/big".parse().unwrap()).unwrap_err();
    assert!(matches!(error, HubError::Insecure { .. }), "{error:?}");
    assert!(error.hint().contains("http://"));
}

#[test]
fn a_token_that_cannot_be_sent_is_refused_before_any_request() {
    let place = Place::new();
    let error = Endpoint::new(&place.server.endpoint(), Some("hf_abc\nhf_def".into())).unwrap_err();
    assert!(matches!(&error, HubError::BadToken(message) if !message.contains("hf_")), "{error}");
    Endpoint::new(&place.server.endpoint(), Some("hf_abc\n".into())).unwrap();
}

#[test]
fn an_address_that_is_none_gets_advice_about_addresses() {
    for bad in ["", "huggingface.co", "ftp://huggingface.co", "https://"] {
        let error = Endpoint::new(bad, None).unwrap_err();
        assert!(error.hint().contains("HF_ENDPOINT"), "{bad}: {error}: {}", error.hint());
    }
}

#[test]
fn a_mirror_without_a_tree_is_asked_for_each_file() {
    let place = Place::new();
    place.server.set(Faults { no_tree: true, flips: 1, ..Faults::default() });
    place.fetch().unwrap();
    assert!(place.is_right(), "digests come with the files: a flipped byte is noticed");
    let place = Place::new();
    place.server.set(Faults { no_tree: true, no_digests: true, ..Faults::default() });
    place.fetch().unwrap();
    assert!(place.is_right());
}

#[test]
fn a_flipped_byte_is_fetched_again() {
    let place = Place::new();
    place.server.set(Faults { flips: 1, ..Faults::default() });
    place.fetch().unwrap();
    assert!(place.is_right());
}

#[test]
fn a_byte_that_is_always_flipped_is_never_accepted() {
    let place = Place::new();
    place.server.set(Faults { flips: 100, ..Faults::default() });
    let error = place.fetch().unwrap_err();
    assert!(matches!(&error, HubError::Digest { file, .. } if file == "model.safetensors"), "{error}");
    assert!(!place.folder().join("model.safetensors").exists());
}

#[test]
fn bytes_from_another_file_in_front_of_a_part_are_noticed() {
    let place = Place::new();
    fs::create_dir_all(place.folder()).unwrap();
    fs::write(place.folder().join("model.safetensors.part"), vec![7; 1 << 20]).unwrap();
    place.fetch().unwrap();
    assert!(place.is_right());
}

#[test]
fn a_file_that_was_damaged_on_disk_is_repaired() {
    let place = Place::new();
    place.fetch().unwrap();
    let path = place.folder().join("model.safetensors");
    let mut bytes = fs::read(&path).unwrap();
    bytes[12_345] ^= 1;
    fs::write(&path, bytes).unwrap();
    place.fetch().unwrap();
    assert!(place.is_right());
}

#[test]
fn a_hub_that_stays_away_is_given_up_and_what_was_fetched_stays() {
    let place = Place::new();
    place.server.set(Faults { cuts: 1, cut_after: 3 << 20, ..Faults::default() });
    let client = place.client(Some("hf_good"));
    let reference: Reference = "tiny-org/big".parse().unwrap();
    let revision = client.revision(&reference).unwrap();
    place.server.set(Faults { failures: 1000, ..Faults::default() });
    let fetch = || fetch_files(&store(&client, &reference, &revision), &revision, &place.folder(), &Counter::default());
    let error = fetch().unwrap_err();
    assert!(matches!(error, HubError::Network { attempts: 4, .. }), "{error}");
    assert!(error.hint().contains("--model-dir"), "{}", error.hint());
    place.server.set(Faults::default());
    fetch().unwrap();
    assert!(place.is_right());
}

#[test]
fn a_long_tree_is_read_page_by_page() {
    let place = Place::new();
    place.server.set(Faults { page: Some(1), ..Faults::default() });
    place.fetch().unwrap();
    assert!(place.is_right());
}

#[test]
fn a_missing_token_a_wrong_token_and_a_wrong_name_are_told_apart() {
    let place = Place::new();
    let ask = |name: &str, token: Option<&str>| place.client(token).revision(&name.parse().unwrap()).unwrap_err();
    assert!(matches!(ask("tiny-org/big", None), HubError::Unauthorised { .. }));
    assert!(matches!(ask("tiny-org/big", Some("hf_bad")), HubError::Gated { .. }));
    assert!(matches!(ask("tiny-org/none", Some("hf_good")), HubError::NotFound(_)));
    assert!(matches!(ask("tiny-org/none", None), HubError::NotFound(_)));
    let error = ask("tiny-org/big@v9", Some("hf_good"));
    assert!(matches!(&error, HubError::NotFound(message) if message.contains("revision")), "{error}");
}

#[test]
fn the_token_is_in_no_message() {
    let place = Place::new();
    let endpoint = Endpoint::new(&place.server.endpoint(), Some("hf_secret".into())).unwrap();
    assert!(!format!("{endpoint:?}").contains("hf_secret"));
    let error = place.client(Some("hf_secret")).revision(&"tiny-org/big".parse().unwrap()).unwrap_err();
    assert!(!format!("{error} {error:?}").contains("hf_secret"), "{error:?}");
}
