//! The model under test, and the programs that users have.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::OnceLock;

use obelysk_model::quantize::QuantizedModel;
use serde_json::Value;

/// Names the folder of the model.
const VARIABLE: &str = "OBELYSK_REAL_MODEL";

/// A model's folder, and a place for what these tests derive from it.
pub struct RealModel {
    pub folder: PathBuf,
    /// Emptied before the first test.
    pub work: PathBuf,
    programs: PathBuf,
}

/// The model that the environment names.
pub fn real_model() -> &'static RealModel {
    static MODEL: OnceLock<RealModel> = OnceLock::new();
    MODEL.get_or_init(|| {
        let folder = std::env::var_os(VARIABLE)
            .unwrap_or_else(|| panic!("{VARIABLE} names no folder: run `cargo xtask test --only real-model`"));
        let work = Path::new(env!("CARGO_TARGET_TMPDIR")).join("real-model");
        if work.exists() {
            fs::remove_dir_all(&work).unwrap();
        }
        fs::create_dir_all(&work).unwrap();
        let build = ["build", "--release", "--quiet", "--package", "obelysk", "--package", "obelysk-verifier"];
        assert!(Command::new(env!("CARGO")).args(build).status().unwrap().success(), "the programs do not build");
        // This test lies in the folder `deps` beside the programs.
        let programs = std::env::current_exe().unwrap().ancestors().nth(2).unwrap().to_owned();
        RealModel { folder: folder.into(), work, programs }
    })
}

impl RealModel {
    /// Run `obelysk --json ARGUMENTS` and expect it to succeed.
    #[track_caller]
    pub fn obelysk<S: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = S>) -> Value {
        let mut command = Command::new(self.programs.join("obelysk"));
        command.env_remove("HF_ENDPOINT").env_remove("HF_TOKEN").arg("--home").arg(self.work.join("home"));
        let output = command.args(["--json", "--quiet"]).args(arguments).output().expect("obelysk starts");
        assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
        serde_json::from_slice(&output.stdout).expect("stdout is one JSON object")
    }

    /// Run `obelysk-verify FOLDER ARGUMENTS`.
    pub fn verify(&self, folder: &Path, arguments: &[&str]) -> Output {
        let mut command = Command::new(self.programs.join("obelysk-verify"));
        command.arg(folder).args(arguments).output().expect("obelysk-verify starts")
    }

    /// The options that name the model.
    pub fn option(&self) -> [&str; 2] {
        ["--model-dir", self.folder.to_str().expect("the path is text")]
    }

    /// The integer model that proofs are about.
    pub fn quantized(&self) -> QuantizedModel {
        let prepared = self.obelysk([&["model", "prepare"], &self.option()[..]].concat());
        QuantizedModel::load(Path::new(prepared["folder"].as_str().unwrap())).unwrap()
    }
}

/// Token ids of a report.
pub fn ids(tokens: &Value) -> Vec<u32> {
    serde_json::from_value(tokens.clone()).expect("token ids")
}
