//! Odd paths, places and machines: no file and no device makes a program panic, hang, or lose its answer. With `--nocapture`
//! a table of all cases.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use obelysk_statement::SPECIFICATION;
use serde_json::Value;
use tempfile::TempDir;

use crate::model::copy_of_fixture;
use crate::program::{Outcome, command, obelysk, obelysk_verify, verifier};

/// The shortest run.
const SHORT: [&str; 6] = ["run", "--tokens", "1,2", "--max-new-tokens", "1", "--skip-inference"];

fn short_run(home: &Path, model: &Path, out: &Path) -> Outcome {
    let paths = [OsStr::new("--model-dir"), model.as_os_str(), OsStr::new("--out"), out.as_os_str()];
    obelysk(home, SHORT.iter().map(OsStr::new).chain(paths))
}

fn renamed_fixture(folder: &Path, name: &OsStr) -> PathBuf {
    let model = folder.join(name);
    fs::rename(copy_of_fixture(folder, "qwen3"), &model).unwrap();
    model
}

fn pipe(path: &Path) {
    assert!(Command::new("mkfifo").arg(path).status().unwrap().success());
}

#[test]
fn paths_that_are_no_text_are_like_any_other() {
    let folder = tempfile::tempdir().unwrap();
    let odd = |name: &str| folder.path().join(OsStr::from_bytes(&[name.as_bytes(), b"\xff"].concat()));
    let model = renamed_fixture(folder.path(), odd("model").file_name().unwrap());
    let out = odd("out");
    short_run(&odd("home"), &model, &out).told("path-not-utf8-model").ok();
    obelysk(&odd("home"), [OsStr::new("audit"), out.as_os_str()]).told("path-not-utf8-model, audit").ok();
    let prepare = [OsStr::new("model"), OsStr::new("prepare"), OsStr::new("--model-dir"), model.as_os_str()];
    obelysk(&odd("home"), prepare).told("path-not-utf8-model, prepare").ok();
    obelysk(&odd("home"), ["model", "pull", "--preset", "tiny-chat"]).told("path-not-utf8-home").ok();
    obelysk(&odd("home"), ["setup"]).told("path-not-utf8-home, setup").ok();
}

#[test]
fn the_longest_name_of_a_folder_is_like_any_other() {
    let folder = tempfile::tempdir().unwrap();
    let home = folder.path().join("home");
    let model = renamed_fixture(folder.path(), OsStr::new(&"n".repeat(250)));
    let infer = ["infer", "--tokens", "1,2", "--engine", "integer", "--model-dir", model.to_str().unwrap()];
    obelysk(&home, infer).told("dir-name-long").ok();
}

#[test]
fn a_digest_needs_no_home_that_can_be_written() {
    let home = tempfile::tempdir().unwrap();
    let digest = ["model", "digest", "--preset", "tiny-chat"];
    let expected = obelysk(home.path(), digest).ok()["modelDigest"].clone();
    let Some(_mounted) = ReadOnly::mount(home.path()) else { return };
    let outcome = obelysk(home.path(), digest).told("home-read-only-digest");
    assert_eq!(outcome.ok()["modelDigest"], expected);
}

/// A folder that cannot be written, even by root. Mounting needs root.
struct ReadOnly<'a>(&'a Path);

impl<'a> ReadOnly<'a> {
    fn mount(folder: &'a Path) -> Option<Self> {
        let mount = |options: &[&str]| {
            Command::new("mount").args(options).arg(folder).status().is_ok_and(|status| status.success())
        };
        if !mount(&["--bind", folder.to_str().unwrap()]) {
            eprintln!("SKIPPED: mounting needs root; a home that cannot be written is not tested");
            return None;
        }
        let mounted = Self(folder);
        assert!(mount(&["-o", "remount,ro,bind"]), "the volume becomes read-only");
        Some(mounted)
    }
}

impl Drop for ReadOnly<'_> {
    fn drop(&mut self) {
        // A failed unmount must not hide why a test failed.
        let _ = Command::new("umount").arg(self.0).status();
    }
}

#[test]
fn a_model_that_has_moved_is_named_to_audit_and_prove() {
    let folder = tempfile::tempdir().unwrap();
    let [home, out, moved] = ["home", "out", "moved"].map(|name| folder.path().join(name));
    let model = copy_of_fixture(folder.path(), "qwen3");
    short_run(&home, &model, &out).ok();
    fs::rename(model, &moved).unwrap();
    let [out, moved] = [&out, &moved].map(|path| path.to_str().unwrap());
    for command in [&["audit", out][..], &["prove", "--out", out]] {
        let case = format!("audit-model-moved, {}", command[0]);
        let failure = obelysk(&home, command).told(&case).fails_with(10);
        assert!(failure.hint.contains("--model-dir"), "{failure:?}");
        obelysk(&home, command.iter().chain(&["--model-dir", moved])).told(&case).ok();
    }
}

#[test]
fn an_answer_that_cannot_be_written_is_an_error() {
    let home = tempfile::tempdir().unwrap();
    let infer = ["infer", "--preset", "tiny-chat", "--tokens", "1,2", "--max-new-tokens", "4"];
    for arguments in
        [&[&infer[..], &["--json"]].concat()[..], &infer, &["model", "list", "--json"], &["completions", "bash"]]
    {
        let full = File::options().write(true).open("/dev/full").unwrap();
        let output = command(home.path()).args(arguments).stdout(full).output().unwrap();
        let outcome = Outcome::of(output).told(&format!("stdout-full, {}", arguments[0]));
        assert_eq!(outcome.code, 40, "{}", outcome.stderr);
        assert!(outcome.stderr.contains("stdout"), "{}", outcome.stderr);
    }
    let mut child = command(home.path()).args(["model", "list"]).stdout(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    assert_eq!(child.wait().unwrap().code(), Some(0), "a reader that went away has seen enough");
}

/// Run `obelysk`, which must not wait for ever.
fn ends(home: &Path, case: &str, arguments: &[&str]) -> Outcome {
    let start = Instant::now();
    let mut child =
        command(home).arg("--json").args(arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    while child.try_wait().unwrap().is_none() {
        if start.elapsed() > Duration::from_secs(60) {
            child.kill().unwrap();
            panic!("{case} does not end");
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    Outcome::of(child.wait_with_output().unwrap()).told(case)
}

#[test]
fn pipes_and_folders_in_place_of_files_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let home = folder.path().join("home");
    for file in ["config.json", "model.safetensors"] {
        let kinds: [fn(&Path); 2] = [pipe, |path| fs::create_dir(path).unwrap()];
        for make in kinds {
            let kind = TempDir::new().unwrap();
            let model = copy_of_fixture(kind.path(), "qwen3");
            fs::remove_file(model.join(file)).unwrap();
            make(&model.join(file));
            ends(&home, &format!("odd {file}"), &["validate", "--model-dir", model.to_str().unwrap()]).fails_with(12);
        }
    }
    let prompt = folder.path().join("prompt");
    pipe(&prompt);
    let infer = ["infer", "--preset", "tiny-chat", "--prompt-file"];
    ends(&home, "prompt-file is a pipe", &[&infer[..], &[prompt.to_str().unwrap()]].concat()).fails_with(10);
    ends(&home, "prompt-file is a folder", &[&infer[..], &["/"]].concat()).fails_with(10);
    let logits = ["infer", "--preset", "tiny-chat", "--tokens", "1", "--max-new-tokens", "1", "--logits", "/"];
    ends(&home, "logits are a folder", &logits).fails_with(10);
    let script = format!(
        "'{}' --home '{}' infer --preset tiny-chat --json --prompt-file <(printf 'What is 7 + 5?')",
        env!("CARGO_BIN_EXE_obelysk"),
        home.display()
    );
    let output = Command::new("bash").args(["-c", &script]).output().unwrap();
    Outcome::of(output).told("prompt-file of the shell").ok();
}

#[test]
fn a_run_with_pipes_in_it_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let home = folder.path().join("home");
    let model = copy_of_fixture(folder.path(), "qwen3");
    let out = folder.path().join("out");
    short_run(&home, &model, &out).ok();
    fs::remove_file(out.join("SHA256SUMS")).unwrap();
    for file in ["proof.bin", "model.json", "log/matrices.bin", "run.json"] {
        let kept = fs::read(out.join(file)).unwrap();
        fs::remove_file(out.join(file)).unwrap();
        pipe(&out.join(file));
        let outcome = ends(&home, &format!("audit with a pipe {file}"), &["audit", out.to_str().unwrap()]);
        assert!([21, 41, 42].contains(&outcome.code), "{file}: {}", outcome.stderr);
        fs::remove_file(out.join(file)).unwrap();
        fs::write(out.join(file), kept).unwrap();
    }
}

#[test]
fn another_specification_cannot_be_judged() {
    /// One that this program cannot know.
    const NEWER: u32 = SPECIFICATION + 1;
    let folder = tempfile::tempdir().unwrap();
    let home = folder.path().join("home");
    let out = folder.path().join("out");
    short_run(&home, &copy_of_fixture(folder.path(), "qwen3"), &out).ok();
    for file in ["model.json", "statement.json"] {
        let path = out.join(file);
        let kept = fs::read(&path).unwrap();
        let mut object: Value = serde_json::from_slice(&kept).unwrap();
        object["specification"] = NEWER.into();
        object["unheardOf"] = true.into();
        fs::write(&path, object.to_string()).unwrap();
        let outcome =
            obelysk_verify([out.to_str().unwrap(), "--json"]).told(&format!("verify-newer-specification, {file}"));
        assert_eq!((outcome.code, outcome.json()["status"].as_str()), (2, Some("unsupported")), "{}", outcome.stderr);
        let failure = obelysk(&home, ["verify", out.to_str().unwrap()]).told("obelysk verify").fails_with(13);
        assert!(
            failure.message.contains(&format!("specification {NEWER}")) && failure.hint.contains("version"),
            "{failure:?}"
        );
        fs::write(&path, kept).unwrap();
    }
    assert_eq!(obelysk_verify([&out]).code, 0);
}

#[test]
fn a_prompt_file_is_the_same_whatever_ends_its_last_line() {
    let folder = tempfile::tempdir().unwrap();
    let home = folder.path().join("home");
    let tokens = |name: &str, text: &str| {
        let file = folder.path().join(name);
        fs::write(&file, text).unwrap();
        let infer =
            ["infer", "--preset", "tiny-chat", "--max-new-tokens", "1", "--prompt-file", file.to_str().unwrap()];
        obelysk(&home, infer).told(&format!("prompt-file-{name}")).ok()["promptTokens"].clone()
    };
    let expected = tokens("bare", "What is 7 + 5?");
    let ends = [("lf", "What is 7 + 5?\n"), ("crlf", "What is 7 + 5?\r\n"), ("bom", "\u{feff}What is 7 + 5?\r\n")];
    for (name, text) in ends {
        assert_eq!(tokens(name, text), expected, "{name}");
    }
}

#[test]
fn an_old_cpu_is_named_before_anything_else() {
    if Command::new("qemu-x86_64").arg("--version").output().is_err() {
        eprintln!("SKIPPED: there is no qemu-x86_64 (package qemu-user); old processors are not tested");
        return;
    }
    for program in [Path::new(env!("CARGO_BIN_EXE_obelysk")), verifier()] {
        for cpu in ["kvm64", "Nehalem", "IvyBridge"] {
            let output = Command::new("qemu-x86_64").args(["-cpu", cpu]).arg(program).arg("--version").output();
            let name = program.file_name().unwrap().display();
            let outcome = Outcome::of(output.unwrap()).told(&format!("cpu-without-avx, {cpu}, {name}"));
            assert_eq!(outcome.code, 132, "{}", outcome.stderr);
            let said = outcome.stderr.contains("needs a CPU of level x86-64-v3") && outcome.stderr.contains("AVX2");
            assert!(said, "{cpu}: {}", outcome.stderr);
        }
    }
}
