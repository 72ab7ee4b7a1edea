//! Downloads end: with the model, or within seconds with the reason. With `--nocapture` a table of all cases.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use obelysk_stand_in_hub::{BucketServer, Faults, Ranges, Server, write_sums};
use serde_json::Value;
use tempfile::TempDir;

use crate::model::{copy_of_fixture, shard_by_layer};
use crate::program::{Failure, Outcome, command, obelysk};

/// No failure that stays may take longer.
const SECONDS: Duration = Duration::from_secs(30);

/// A hub with one repository, `tiny-org/qwen3`, and a home to pull it to.
struct Place {
    server: Server,
    root: TempDir,
    home: TempDir,
}

impl Place {
    fn new() -> Self {
        let root = tempfile::tempdir().unwrap();
        let organisation = root.path().join("tiny-org");
        fs::create_dir(&organisation).unwrap();
        copy_of_fixture(&organisation, "qwen3");
        let server = Server::start(root.path().into(), &[]);
        Self { server, root, home: tempfile::tempdir().unwrap() }
    }

    fn with(faults: Faults) -> Self {
        let place = Self::new();
        place.server.set(faults);
        place
    }

    fn command(&self, subcommand: &[&str], revision: &str) -> Command {
        let mut command = command(self.home.path());
        command.env("HF_ENDPOINT", self.server.endpoint()).env("HF_TOKEN_PATH", self.home.path().join("no-token"));
        command.arg("--json").args(subcommand).args(["--hf-model", &format!("tiny-org/qwen3{revision}")]);
        command
    }

    fn pull(&self, case: &str) -> Outcome {
        told(case, &mut self.command(&["model", "pull"], ""))
    }
}

fn told(case: &str, command: &mut Command) -> Outcome {
    let start = Instant::now();
    let outcome = Outcome::of(command.output().unwrap()).told(case);
    assert!(start.elapsed() < SECONDS, "{case} took {:?}", start.elapsed());
    outcome
}

#[test]
fn an_answer_that_is_no_continuation_is_no_obstacle_once_and_named_twice() {
    for (case, ranges, said) in [
        ("hub-200-slice", Ranges::Whole, "status of a whole file"),
        ("hub-206-without-content-range", Ranges::Unnamed, "without a Content-Range"),
        ("hub-206-other-range", Ranges::Late, "where bytes from"),
    ] {
        let place = Place::with(Faults { cuts: 1, cut_after: 100_000, ranges, ..Faults::default() });
        place.pull(case).ok();
        let place = Place::with(Faults { cuts: 100, cut_after: 100_000, ranges, ..Faults::default() });
        let failure = place.pull(&format!("{case}, always")).fails_with(43);
        assert!(failure.message.contains(said), "{failure:?}");
        place.server.set(Faults::default());
        place.pull(&format!("{case}, afterwards")).ok();
    }
}

#[test]
fn a_refusal_is_passed_on_at_once() {
    for status in [400, 404, 410, 451] {
        let place = Place::with(Faults { refusal: Some(status), ..Faults::default() });
        let failure = place.pull(&format!("hub-{status}")).fails_with(10);
        assert_eq!(place.server.take_log().len(), 1, "{status} is not asked for again");
        assert!(!failure.hint.contains("try again"), "{failure:?}");
    }
}

#[test]
fn a_pointer_in_place_of_weights_is_called_one_wherever_it_comes_from() {
    let place = Place::with(Faults { pointers: true, ..Faults::default() });
    let failure = place.pull("hub-lfs-pointer").fails_with(12);
    assert!(failure.message.contains("Git LFS pointer"), "{failure:?}");
    let clone = place.root.path().join("tiny-org/qwen3");
    let pointer = format!("version https://git-lfs.github.com/spec/v1\noid sha256:{}\nsize 606024\n", "0".repeat(64));
    fs::write(clone.join("model.safetensors"), pointer).unwrap();
    let validate = ["validate", "--model-dir", clone.to_str().unwrap()];
    let failure = obelysk(place.home.path(), validate).told("lfs-pointer in a folder").fails_with(12);
    assert!(failure.hint.contains("git lfs pull"), "{failure:?}");
}

#[test]
fn a_file_system_without_locks_is_enough() {
    let place = Place::new();
    let folder = tempfile::tempdir().unwrap();
    let (source, library) = (folder.path().join("no.c"), folder.path().join("no.so"));
    fs::write(&source, "#include <errno.h>\nint flock(int file, int kind) { errno = ENOSYS; return -1; }\n").unwrap();
    let built = Command::new("cc").args(["-shared", "-fPIC", "-o"]).arg(&library).arg(&source).status();
    assert!(built.unwrap().success(), "the linker of every build is there");
    told("hub-no-flock", place.command(&["model", "pull"], "").env("LD_PRELOAD", library)).ok();
}

#[test]
fn a_mirror_without_a_list_of_files_is_enough() {
    let place = Place::with(Faults { no_tree: true, ..Faults::default() });
    place.pull("hub-no-tree").ok();
    let place = Place::with(Faults { no_tree: true, no_digests: true, ..Faults::default() });
    let outcome = place.pull("hub-no-tree, no digests");
    outcome.ok();
    assert!(outcome.stderr.contains("states no digest of"), "{}", outcome.stderr);
}

#[test]
fn the_weights_are_the_files_that_the_index_names() {
    let place = Place::new();
    let model = place.root.path().join("tiny-org/qwen3");
    let whole = fs::read(model.join("model.safetensors")).unwrap();
    shard_by_layer(&model);
    let index = model.join("model.safetensors.index.json");
    for number in [1, 2] {
        let [usual, odd] = ["model-", "model.safetensors-"]
            .map(|prefix| model.join(format!("{prefix}0000{number}-of-00002.safetensors")));
        fs::rename(usual, odd).unwrap();
    }
    let text = fs::read_to_string(&index).unwrap().replace("\"model-", "\"model.safetensors-");
    fs::write(&index, text).unwrap();
    let pulled = place.pull("shards-suffix-in-middle").ok();
    assert!(
        Path::new(pulled["folder"].as_str().unwrap()).join("model.safetensors-00002-of-00002.safetensors").is_file()
    );

    let place = Place::new();
    let stale = place.root.path().join("tiny-org/qwen3");
    fs::copy(&index, stale.join("model.safetensors.index.json")).unwrap();
    let pulled = place.pull("shards-stale-index").ok();
    assert_eq!(fs::read(Path::new(pulled["folder"].as_str().unwrap()).join("model.safetensors")).unwrap(), whole);
}

#[test]
fn a_pin_belongs_to_its_hub() {
    let (one, other) = (Place::new(), Place::new());
    fs::write(other.root.path().join("tiny-org/qwen3/generation_config.json"), "{}").unwrap();
    let show = |place: &Place, case: &str| -> Value {
        let mut command = one.command(&["model", "show"], "");
        told(case, command.env("HF_ENDPOINT", place.server.endpoint())).ok()["revision"].clone()
    };
    let first = show(&one, "hub-pin-endpoint, one");
    let second = show(&other, "hub-pin-endpoint, other");
    assert_ne!(first, second);
    assert!(!other.server.take_log().is_empty(), "the other hub was asked");
    let _ = one.server.take_log();
    assert_eq!((show(&one, "hub-pin-endpoint, again"), show(&other, "hub-pin-endpoint, again")), (first, second));
    assert!(one.server.take_log().is_empty() && other.server.take_log().is_empty(), "both are pinned");
}

#[test]
fn a_pin_belongs_to_its_bucket() {
    let pull = |home: &Path, server: &BucketServer, case: &str| {
        let mut command = command(home);
        command.env("AWS_ENDPOINT_URL", server.endpoint()).env_remove("AWS_SESSION_TOKEN");
        command.env("AWS_ACCESS_KEY_ID", "id").env("AWS_SECRET_ACCESS_KEY", "secret\n");
        told(case, command.args(["--json", "model", "show", "--s3-model", "s3://models/qwen3"])).ok()["revision"]
            .clone()
    };
    let home = tempfile::tempdir().unwrap();
    let roots = [(); 2].map(|()| tempfile::tempdir().unwrap());
    let servers: Vec<BucketServer> = roots
        .iter()
        .enumerate()
        .map(|(number, root)| {
            fs::create_dir(root.path().join("models")).unwrap();
            let folder = copy_of_fixture(&root.path().join("models"), "qwen3");
            fs::write(folder.join("generation_config.json"), format!("{{\"number\": {number}}}")).unwrap();
            write_sums(&folder);
            BucketServer::start(root.path().into(), "id", "secret")
        })
        .collect();
    assert_ne!(pull(home.path(), &servers[0], "s3-pin, one"), pull(home.path(), &servers[1], "s3-pin, other"));
}

#[test]
fn a_revision_is_a_name_that_git_allows() {
    let place = Place::new();
    for revision in ["..", ".", "a/../../b", "a//b"] {
        let mut command = place.command(&["model", "pull"], &format!("@{revision}"));
        let failure = told(&format!("hub-revision-dotdot, {revision}"), &mut command).fails_with(10);
        assert!(failure.message.contains("no branch, tag or commit"), "{failure:?}");
    }
    assert!(place.server.take_log().is_empty());
}

#[test]
fn a_commit_in_upper_case_is_pinned_by_itself() {
    let place = Place::new();
    let commit = place.pull("hub-revision-upper-case, pulled").ok()["revision"].as_str().unwrap().to_uppercase();
    let _ = place.server.take_log();
    told("hub-revision-upper-case", &mut place.command(&["model", "show"], &format!("@{commit}"))).ok();
    assert!(place.server.take_log().is_empty(), "nothing is left to ask");
}

fn of_endpoint(case: &str, endpoint: &str, variables: &[(&str, &str)]) -> (i32, Failure) {
    let home = tempfile::tempdir().unwrap();
    let mut command = command(home.path());
    command.env("HF_TOKEN_PATH", home.path().join("no-token")).envs(variables.iter().copied()).stdin(Stdio::null());
    command.env("HF_ENDPOINT", endpoint).args(["--json", "model", "pull", "--hf-model", "a/b"]);
    let outcome = told(case, &mut command);
    (outcome.code, outcome.fails_with(outcome.code))
}

#[test]
fn what_keeps_every_request_from_being_sent_is_said_at_once() {
    let server = Server::start(tempfile::tempdir().unwrap().path().into(), &[]);
    let socks = [("ALL_PROXY", "socks5://127.0.0.1:9")];
    let (code, failure) = of_endpoint("hub-socks-proxy", "http://hub.example", &socks);
    assert!(code == 43 && failure.hint.contains("socks is not supported"), "{failure:?}");
    let (code, failure) = of_endpoint("hub-socks-proxy, https", "https://hub.example", &socks);
    assert!(code == 43 && failure.hint.contains("ALL_PROXY"), "{failure:?}");
    let (code, failure) = of_endpoint("hub-token-line-break", &server.endpoint(), &[("HF_TOKEN", "hf_abc\nhf_def")]);
    assert!(code == 11 && failure.message.contains("line break") && !failure.message.contains("hf_"), "{failure:?}");
    let (code, failure) = of_endpoint("hub-tls", &server.endpoint().replace("http:", "https:"), &[]);
    assert!(code == 43 && failure.hint.contains("SSL_CERT_FILE"), "{failure:?}");
    assert!(server.take_log().is_empty());
}

#[test]
fn an_address_that_is_none_gets_advice_about_addresses() {
    for endpoint in ["", "huggingface.co", "ftp://hub.example"] {
        let (code, failure) = of_endpoint(&format!("endpoint-hint, `{endpoint}`"), endpoint, &[]);
        assert!(code == 10 && failure.hint.contains("HF_ENDPOINT"), "{failure:?}");
    }
    let home = tempfile::tempdir().unwrap();
    let s3 = ["--s3-model", "s3://models/x", "--s3-endpoint", ""];
    let failure = obelysk(home.path(), ["model", "pull"].iter().chain(&s3)).told("s3-endpoint-hint").fails_with(10);
    assert!(failure.hint.contains("AWS_ENDPOINT_URL"), "{failure:?}");
}
