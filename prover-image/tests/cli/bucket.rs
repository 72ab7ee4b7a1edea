//! Models of a bucket, from a stand-in on the loopback.

use std::fs;

use obelysk_stand_in_hub::{BucketServer, write_sums};
use tempfile::TempDir;

use crate::model::copy_of_fixture;
use crate::program::{Outcome, command};

struct Place {
    server: BucketServer,
    root: TempDir,
    home: TempDir,
}

impl Place {
    fn new() -> Self {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir(root.path().join("models")).unwrap();
        write_sums(&copy_of_fixture(&root.path().join("models"), "qwen3"));
        let server = BucketServer::start(root.path().into(), "id", "secret");
        Self { server, root, home: tempfile::tempdir().unwrap() }
    }

    fn obelysk(&self, arguments: &[&str], secret: &str) -> Outcome {
        let mut command = command(self.home.path());
        command.env("AWS_ENDPOINT_URL", self.server.endpoint()).env_remove("AWS_SESSION_TOKEN");
        command.env("AWS_ACCESS_KEY_ID", "id").env("AWS_SECRET_ACCESS_KEY", secret);
        Outcome::of(command.arg("--json").args(arguments).args(["--s3-model", "s3://models/qwen3"]).output().unwrap())
    }
}

#[test]
fn a_model_of_a_bucket_is_proven_and_later_commands_need_no_bucket() {
    let place = Place::new();
    let run = ["run", "--tokens", "5,6,7", "--max-new-tokens", "1", "--accept-quality"];
    let report = place.obelysk(&run, "secret").ok();
    let folder = place.root.path().join("models/qwen3");
    let same = command(place.home.path())
        .args(["--json", "model", "digest", "--model-dir", folder.to_str().unwrap()])
        .output()
        .unwrap();
    assert_eq!(Outcome::of(same).ok()["modelDigest"], report["modelDigest"], "where a model lies is no property of it");
    fs::remove_dir_all(folder).unwrap();
    place.obelysk(&run, "secret").ok();
}

#[test]
fn a_key_that_is_refused_is_named_with_advice() {
    let place = Place::new();
    let failure = place.obelysk(&["model", "pull"], "wrong").fails_with(11);
    assert!(failure.message.contains("s3://models/qwen3 refuses access"), "{failure:?}");
}
