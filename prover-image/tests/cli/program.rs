//! Starting the binaries and reading what they say.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::OnceLock;

use serde_json::Value;

/// What a program left behind.
pub struct Outcome {
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

impl Outcome {
    pub fn of(output: Output) -> Self {
        Self {
            code: output.status.code().expect("it was not killed"),
            stdout: String::from_utf8(output.stdout).expect("stdout is text"),
            stderr: String::from_utf8(output.stderr).expect("stderr is text"),
        }
    }

    /// One line of a table that `--nocapture` shows: the case, the exit status, and what was said.
    pub fn told(self, case: &str) -> Self {
        let object: Value = serde_json::from_str(self.stdout.trim()).unwrap_or_default();
        let text = |name: &str| object[name].as_str().unwrap_or_default();
        let first = self.stderr.lines().chain(self.stdout.lines()).find(|line| !line.starts_with("qemu"));
        let said = match text("message") {
            "" if text("status").is_empty() => first.unwrap_or_default().to_owned(),
            "" => text("status").to_owned(),
            message => format!("{message}  ({})", text("hint")),
        };
        println!("{case:<34} {:>3}  {said}", self.code);
        self
    }

    /// The JSON object on stdout, which is the only line there.
    pub fn json(&self) -> Value {
        let mut lines = self.stdout.lines();
        let line = lines.next().unwrap_or_else(|| panic!("stdout is empty; stderr: {}", self.stderr));
        assert_eq!(lines.next(), None, "stdout has one line: {}", self.stdout);
        let object: Value = serde_json::from_str(line).expect("the line is JSON");
        assert!(object.is_object());
        object
    }

    /// The JSON object of a success.
    #[track_caller]
    pub fn ok(&self) -> Value {
        assert_eq!(self.code, 0, "{}", self.stderr);
        let object = self.json();
        assert_eq!(object["status"], "ok");
        object
    }

    /// The JSON object of a failure with this exit code.
    #[track_caller]
    pub fn fails_with(&self, code: i32) -> Failure {
        assert_eq!(self.code, code, "stdout: {}\nstderr: {}", self.stdout, self.stderr);
        let object = self.json();
        assert_eq!(object["status"], "error");
        assert_eq!(object["code"], code);
        assert!(object["class"].is_string());
        let text = |name: &str| object[name].as_str().expect("messages are text").to_string();
        let failure = Failure { message: text("message"), hint: text("hint") };
        assert!(self.stderr.contains(&failure.message), "stderr repeats the message: {}", self.stderr);
        assert!(!failure.hint.is_empty(), "`{}` has no hint", failure.message);
        failure
    }
}

/// What a failure tells the user.
#[derive(Debug)]
pub struct Failure {
    pub message: String,
    pub hint: String,
}

/// Run `obelysk --json --home HOME ARGUMENTS`.
pub fn obelysk<S: AsRef<OsStr>>(home: &Path, arguments: impl IntoIterator<Item = S>) -> Outcome {
    let output = command(home).arg("--json").args(arguments).output().expect("obelysk starts");
    Outcome::of(output)
}

/// `obelysk` with a home of its own and nothing of the environment that it reads.
pub fn command(home: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_obelysk"));
    let variables = ["OBELYSK_HOME", "HF_ENDPOINT", "HF_TOKEN", "ALL_PROXY", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY"];
    variables.into_iter().chain(["all_proxy", "http_proxy", "https_proxy", "no_proxy"]).for_each(|name| {
        command.env_remove(name);
    });
    command.arg("--home").arg(home);
    command
}

/// Run `obelysk-verify ARGUMENTS`.
pub fn obelysk_verify<S: AsRef<OsStr>>(arguments: impl IntoIterator<Item = S>) -> Outcome {
    let output = Command::new(verifier()).args(arguments).output().expect("obelysk-verify starts");
    Outcome::of(output)
}

/// The verifier belongs to another package, so cargo has not built it for these tests.
pub fn verifier() -> &'static Path {
    static BINARY: OnceLock<PathBuf> = OnceLock::new();
    BINARY.get_or_init(|| {
        let status = Command::new(env!("CARGO"))
            .args(["build", "--release", "--quiet", "--package", "obelysk-verifier", "--bin", "obelysk-verify"])
            .status()
            .expect("cargo starts");
        assert!(status.success(), "obelysk-verify does not build");
        Path::new(env!("CARGO_BIN_EXE_obelysk")).with_file_name("obelysk-verify")
    })
}
