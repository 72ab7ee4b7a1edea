//! The entry point inside pods: what the operator relies on, from outside.

use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use obelysk_api::job::{
    Finish, GpuUse, Input, JOB_VARIABLE, JOB_VERSION, JobSpec, ModelLocation, Prepare, Progress, Prove,
    QUALITY_REFUSED, Question, RESULT_BYTES_MAX, Remove, StepResult, Work,
};

use crate::model::copy_of_tiny_chat;

/// How long a test waits for what must come.
const PATIENCE: Duration = Duration::from_secs(60);

/// The volumes of one job's pods.
struct Volumes {
    folder: tempfile::TempDir,
}

impl Volumes {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn spec(&self, work: Work) -> JobSpec {
        JobSpec {
            version: JOB_VERSION,
            owner: "default/test".into(),
            attempt: 1,
            home: self.path("home"),
            model: ModelLocation::Bundled("tiny-chat".into()),
            artifacts: Some(self.path("artifacts")),
            termination_message: self.path("termination-log"),
            progress_address: None,
            no_progress_timeout_seconds: 600,
            work,
        }
    }

    /// Run a pod to its end.
    fn run(&self, spec: &JobSpec) -> (i32, StepResult) {
        let mut pod = start(spec);
        let code = pod.wait().unwrap().code().expect("the pod exits by itself");
        (code, self.result())
    }

    fn result(&self) -> StepResult {
        let text = fs::read_to_string(self.path("termination-log")).expect("there is a termination message");
        assert!(text.len() <= RESULT_BYTES_MAX, "{} bytes", text.len());
        serde_json::from_str(&text).unwrap()
    }

    /// Fetch and prepare, and return the model's digest.
    fn prepared(&self) -> String {
        for work in [Work::Fetch, Work::Prepare(Prepare::default())] {
            let (code, result) = self.run(&self.spec(work));
            assert_eq!(code, 0, "{result:?}");
        }
        self.result().model.unwrap().model_digest.unwrap()
    }

    fn prove(&self, model_digest: &str) -> JobSpec {
        self.spec(Work::Prove(Prove {
            question: question(model_digest),
            min_top1_agreement: None,
            gpu: GpuUse::None,
            gpus: 1,
        }))
    }

    fn finish(&self, question: Question, audit: bool) -> JobSpec {
        self.spec(Work::Finish(Finish { question, audit }))
    }

    /// A job that hangs: its model's tokenizer is a pipe that nobody writes to.
    fn hanging(&self) -> JobSpec {
        let model = copy_of_tiny_chat(self.folder.path());
        let tokenizer = model.join("tokenizer.json");
        fs::remove_file(&tokenizer).unwrap();
        assert!(Command::new("mkfifo").arg(&tokenizer).status().unwrap().success());
        JobSpec { model: ModelLocation::Directory(model), ..self.spec(Work::Fetch) }
    }
}

fn question(model_digest: &str) -> Question {
    Question {
        model_digest: model_digest.into(),
        inputs: vec![Input::Prompt("What is 7 + 5?".into())],
        chat: true,
        day: "2026-11-28".into(),
        max_new_tokens: 2,
        count: 1,
        mode: "gkr".into(),
        nonce: "ab".repeat(32),
    }
}

fn start(spec: &JobSpec) -> Child {
    Command::new(env!("CARGO_BIN_EXE_obelysk"))
        .args(["job", "--from-env"])
        .env(JOB_VARIABLE, serde_json::to_string(spec).unwrap())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

/// A running pod; dropped, it is gone.
struct Pod(Child);

impl Drop for Pod {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Ask for the progress page until it comes.
fn progress(address: &str) -> Progress {
    let start = Instant::now();
    loop {
        assert!(start.elapsed() < PATIENCE, "no progress page");
        let Ok(mut connection) = TcpStream::connect(address) else {
            thread::sleep(Duration::from_millis(20));
            continue;
        };
        connection.write_all(b"GET /progress HTTP/1.1\r\nhost: pod\r\n\r\n").unwrap();
        let mut answer = String::new();
        connection.read_to_string(&mut answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with("HTTP/1.1 200"), "{head}");
        return serde_json::from_str(body).unwrap();
    }
}

fn free_address() -> String {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string()
}

#[test]
fn a_pod_proves_several_prompts_at_once() {
    let volumes = Volumes::new();
    let mut spec = volumes.prove(&volumes.prepared());
    let Work::Prove(prove) = &mut spec.work else { unreachable!() };
    prove.question.inputs.push(Input::Prompt("What is 2 + 9?".into()));
    let asked = prove.question.clone();
    let (code, result) = volumes.run(&spec);
    assert_eq!(code, 0, "{result:?}");
    let inference = result.inference.unwrap();
    assert_eq!((inference.log_entries, inference.output_tokens), (2, 4));
    assert_eq!(inference.integer_matches_float, "4/4");
    assert_eq!(volumes.run(&volumes.finish(asked.clone(), false)).0, 0);
    // Another order or a part of it is another question.
    let reversed = asked.inputs.iter().rev().cloned().collect();
    for inputs in [reversed, vec![asked.inputs[0].clone()]] {
        let (code, refused) = volumes.run(&volumes.finish(Question { inputs, ..asked.clone() }, false));
        assert_eq!(code, 21, "{refused:?}");
    }
}

#[test]
fn caches_of_one_model_on_one_volume_share_its_files() {
    let root = tempfile::tempdir().unwrap();
    let organisation = root.path().join("org");
    std::fs::create_dir(&organisation).unwrap();
    crate::model::copy_of_fixture(&organisation, "qwen3");
    let hub = obelysk_stand_in_hub::Server::start(root.path().into(), &[]);
    let volumes = Volumes::new();
    let mut spec = volumes.spec(Work::Fetch);
    spec.model = ModelLocation::Hub(obelysk_api::job::Hub {
        reference: "org/qwen3".into(),
        endpoint: Some(hub.endpoint()),
        layers: None,
    });
    let mut sent = Vec::new();
    for owner in ["default/first", "default/second"] {
        spec.owner = owner.into();
        let before = hub.sent();
        let (code, result) = volumes.run(&spec);
        assert_eq!(code, 0, "{result:?}");
        sent.push(hub.sent() - before);
    }
    assert!(sent[0] > 0);
    assert_eq!(sent[1], 0, "the second cache finds the files of the first");
}

#[test]
fn a_removed_model_leaves_the_others_of_its_volume_alone() {
    let volumes = Volumes::new();
    let digest = volumes.prepared();
    let root = tempfile::tempdir().unwrap();
    fs::create_dir(root.path().join("org")).unwrap();
    crate::model::copy_of_fixture(&root.path().join("org"), "qwen3");
    let hub = obelysk_stand_in_hub::Server::start(root.path().into(), &[]);
    let of_hub = |work: Work| JobSpec {
        model: ModelLocation::Hub(obelysk_api::job::Hub {
            reference: "org/qwen3".into(),
            endpoint: Some(hub.endpoint()),
            layers: None,
        }),
        ..volumes.spec(work)
    };
    let (code, fetched) = volumes.run(&of_hub(Work::Fetch));
    assert_eq!(code, 0, "{fetched:?}");
    assert_eq!(volumes.run(&of_hub(Work::Prepare(Prepare { min_top1_agreement: Some("0".into()) }))).0, 0);
    let models = volumes.path("home/models");
    let names = || fs::read_dir(&models).unwrap().map(|entry| entry.unwrap().file_name()).collect::<Vec<_>>();
    assert_eq!(names().len(), 2);

    let of_another = of_hub(Work::Remove(Remove::Revision("0".repeat(40))));
    assert_eq!(volumes.run(&of_another).0, 0, "nothing there is as good as removed");
    assert_eq!(names().len(), 2, "another revision is another model");

    let remove = of_hub(Work::Remove(Remove::Revision(fetched.model.unwrap().revision)));
    for _ in 0..2 {
        let (code, removed) = volumes.run(&remove);
        assert_eq!(code, 0, "{removed:?}");
        assert!(removed.succeeded);
        assert_eq!(names(), ["obelysk--tiny-chat"], "files, pin and what was prepared are gone");
    }
    let (code, proved) = volumes.run(&volumes.prove(&digest));
    assert_eq!(code, 0, "{proved:?}");

    let (code, removed) = volumes.run(&volumes.spec(Work::Remove(Remove::Everything)));
    assert_eq!(code, 0, "{removed:?}");
    assert_eq!(fs::read_dir(volumes.path("home")).unwrap().count(), 0);
}

#[test]
fn a_source_volume_keeps_its_files_when_its_model_is_removed() {
    let volumes = Volumes::new();
    let source = copy_of_tiny_chat(volumes.folder.path());
    let inside = copy_of_tiny_chat(&{
        fs::create_dir(volumes.path("home")).unwrap();
        volumes.path("home")
    });
    for folder in [source, inside] {
        let before = fs::read_dir(&folder).unwrap().count();
        let of = |work: Work| JobSpec { model: ModelLocation::Directory(folder.clone()), ..volumes.spec(work) };
        let (code, prepared) = volumes.run(&of(Work::Prepare(Prepare::default())));
        assert_eq!(code, 0, "{prepared:?}");
        let revision = prepared.model.unwrap().revision;
        let (code, removed) = volumes.run(&of(Work::Remove(Remove::Revision(revision))));
        assert_eq!(code, 0, "{removed:?}");
        assert_eq!(fs::read_dir(&folder).unwrap().count(), before);
        assert!(!volumes.path("home/models/local--tiny").exists());
    }
}

#[test]
fn a_link_that_leads_out_of_the_volume_is_not_followed() {
    let volumes = Volumes::new();
    let elsewhere = volumes.path("elsewhere/models/obelysk--tiny-chat/0000");
    fs::create_dir_all(&elsewhere).unwrap();
    fs::create_dir(volumes.path("home")).unwrap();
    std::os::unix::fs::symlink(volumes.path("elsewhere/models"), volumes.path("home/models")).unwrap();
    for remove in [Remove::Revision("0000".into()), Remove::Everything] {
        let (code, result) = volumes.run(&volumes.spec(Work::Remove(remove)));
        assert_eq!(code, 10, "{result:?}");
        assert!(elsewhere.exists());
    }
}

#[test]
fn four_pods_bring_a_model_to_an_audited_proof() {
    let volumes = Volumes::new();
    let digest = volumes.prepared();
    let quality = volumes.result().model.unwrap().quality.unwrap();
    assert!(quality.top1_agreement > 0.9 && quality.perplexity_float > 1.0, "{quality:?}");

    let (code, proved) = volumes.run(&volumes.prove(&digest));
    assert_eq!(code, 0, "{proved:?}");
    assert!(proved.succeeded);
    let inference = proved.inference.unwrap();
    assert_eq!((inference.prompt_tokens, inference.output_tokens, inference.log_entries), (24, 2, 1));
    assert_eq!(inference.integer_matches_float, "2/2");
    let proof = proved.proof.unwrap();
    assert!(proof.verified && proof.security_bits >= 100.0, "{proof:?}");
    assert_eq!(proof.device, "CPU", "wherever the pod runs");
    let names: Vec<&str> = proved.steps.iter().map(|step| step.name.as_str()).collect();
    assert_eq!(names, ["model", "validate", "inference", "capture", "prove", "verify"]);
    assert!(proved.artifacts.iter().any(|file| file.name == "proof.bin" && file.sha256 == proof.sha256));

    let (code, finished) = volumes.run(&volumes.finish(question(&digest), true));
    assert_eq!(code, 0, "{finished:?}");
    assert_eq!(finished.audit.unwrap().verdict, "Passed");
    let again = finished.inference.unwrap();
    assert_eq!(
        (&again.text, again.prompt_tokens, again.output_tokens, &again.log_head),
        (&inference.text, 24, 2, &inference.log_head)
    );
    assert_eq!(finished.proof.unwrap().sha256, proof.sha256);
    let copy = fs::read_to_string(volumes.path("artifacts/results/finish-1.json")).unwrap();
    assert_eq!(copy, fs::read_to_string(volumes.path("termination-log")).unwrap());
    assert!(volumes.path("artifacts/SHA256SUMS").is_file());
}

/// The only file of this name on a volume.
fn quality_file(volumes: &Volumes) -> PathBuf {
    let models = fs::read_dir(volumes.path("home/models/obelysk--tiny-chat")).unwrap();
    let quant = models.map(|entry| entry.unwrap().path().join("quant")).find(|path| path.is_dir()).unwrap();
    let kept = fs::read_dir(quant).unwrap().map(|entry| entry.unwrap().path().join("quality.json"));
    kept.into_iter().find(|path| path.is_file()).unwrap()
}

#[test]
fn pods_refuse_a_model_that_misses_the_gate_unless_the_cache_accepts_any() {
    let volumes = Volumes::new();
    let digest = volumes.prepared();
    crate::quality::spoil(&quality_file(&volumes));
    let words = "text: KL 9.2500, at most 0.01";
    let prepare = |least: &str| volumes.spec(Work::Prepare(Prepare { min_top1_agreement: Some(least.into()) }));
    let (code, refused) = volumes.run(&prepare("0.5"));
    assert_eq!(code, 13, "{refused:?}");
    let failure = refused.failure.unwrap();
    assert_eq!((failure.reason.as_str(), failure.class.name()), (QUALITY_REFUSED, "User"));
    assert!(failure.message.contains(words) && failure.message.contains("of layer 1"), "{failure:?}");
    assert!(refused.model.unwrap().quality.is_some(), "the numbers come along");
    assert_eq!(volumes.run(&prepare("much")).0, 10);
    assert_eq!(volumes.run(&volumes.prove(&digest)).0, 13, "the pod that proves asks for the same");

    let (code, accepted) = volumes.run(&prepare("0"));
    assert_eq!(code, 0, "{accepted:?}");
    assert!(accepted.model.unwrap().quality_note.unwrap().contains(words));
    let mut spec = volumes.prove(&digest);
    let Work::Prove(prove) = &mut spec.work else { unreachable!("it is a proof") };
    prove.min_top1_agreement = Some("0".into());
    let (code, proved) = volumes.run(&spec);
    assert_eq!(code, 0, "{proved:?}");
    assert!(proved.model.unwrap().quality_note.unwrap().contains(words));
    assert_eq!(volumes.run(&volumes.finish(question(&digest), false)).0, 0);
    let verification = fs::read_to_string(volumes.path("artifacts/verification.json")).unwrap();
    assert!(verification.contains(words), "a fresh process says so too: {verification}");
}

#[test]
fn a_pod_proves_from_a_read_only_model_volume() {
    let volumes = Volumes::new();
    let digest = volumes.prepared();
    let home = volumes.path("home");
    let Some(_mounted) = ReadOnly::mount(&home) else { return };
    assert!(fs::write(home.join("file"), "").is_err(), "the volume is read-only");
    let (code, proved) = volumes.run(&volumes.prove(&digest));
    assert_eq!(code, 0, "{proved:?}");
    let (code, finished) = volumes.run(&volumes.finish(question(&digest), true));
    assert_eq!(code, 0, "{finished:?}");
}

#[test]
fn a_second_attempt_reports_the_finished_proof() {
    let volumes = Volumes::new();
    let digest = volumes.prepared();
    let (_, first) = volumes.run(&volumes.prove(&digest));
    let (code, second) = volumes.run(&JobSpec { attempt: 2, ..volumes.prove(&digest) });
    assert_eq!(code, 0, "{second:?}");
    assert_eq!(first.proof, second.proof);
    assert_eq!(first.inference, second.inference);
    assert!(second.steps.iter().all(|step| step.name != "prove"), "{:?}", second.steps);
}

#[test]
fn a_damaged_proof_of_an_earlier_attempt_is_made_again() {
    let volumes = Volumes::new();
    let digest = volumes.prepared();
    let (_, first) = volumes.run(&volumes.prove(&digest));
    let path = volumes.path("artifacts/proof.bin");
    let mut bytes = fs::read(&path).unwrap();
    bytes[1000] ^= 1;
    fs::write(path, bytes).unwrap();
    let (code, second) = volumes.run(&volumes.prove(&digest));
    assert_eq!(code, 0, "{second:?}");
    assert_eq!(first.proof.unwrap().sha256, second.proof.unwrap().sha256, "equal nonces give equal proofs");
    assert!(second.steps.iter().any(|step| step.name == "prove"));
}

#[test]
fn a_model_that_nobody_fetched_or_prepared_is_a_missing_cache() {
    let volumes = Volumes::new();
    let (code, result) = volumes.run(&volumes.prove(&"00".repeat(32)));
    assert_eq!(code, 42, "{result:?}");
    volumes.run(&volumes.spec(Work::Fetch));
    let (code, result) = volumes.run(&volumes.prove(&"00".repeat(32)));
    assert_eq!(code, 42);
    assert!(result.failure.unwrap().message.contains("not prepared"));
}

#[test]
fn another_model_than_the_job_asks_for_is_a_mismatch() {
    let volumes = Volumes::new();
    let digest = volumes.prepared();
    let (code, result) = volumes.run(&volumes.prove(&"00".repeat(32)));
    assert_eq!(code, 12);
    let failure = result.failure.unwrap();
    assert!(failure.message.contains(&digest), "{failure:?}");
    assert_eq!((failure.step.as_str(), failure.reason.as_str()), ("model", "ModelMismatch"));
}

#[test]
fn an_audit_that_fails_says_so_and_still_reports() {
    let volumes = Volumes::new();
    let digest = volumes.prepared();
    volumes.run(&volumes.prove(&digest));
    let matrices = volumes.path("artifacts/log/matrices.bin");
    let mut bytes = fs::read(&matrices).unwrap();
    bytes[0] ^= 1;
    fs::write(matrices, bytes).unwrap();
    let (code, result) = volumes.run(&volumes.finish(question(&digest), true));
    assert_eq!(code, 21);
    assert!(!result.succeeded);
    assert_eq!(result.audit.unwrap().verdict, "Failed");
    assert!(result.failure.unwrap().message.contains("other logits"));
}

#[test]
fn a_proof_of_something_else_is_refused_with_what_was_asked_and_what_it_says() {
    let volumes = Volumes::new();
    let digest = volumes.prepared();
    assert_eq!(volumes.run(&volumes.prove(&digest)).0, 0);
    let asked = question(&digest);
    let (other_nonce, other_digest) = ("cd".repeat(32), "00".repeat(32));
    let prompt = |text: &str| vec![Input::Prompt(text.into())];
    for (other, code, words) in [
        (Question { nonce: other_nonce.clone(), ..asked.clone() }, 21, vec![asked.nonce.clone(), other_nonce]),
        (Question { model_digest: other_digest.clone(), ..asked.clone() }, 12, vec![digest.clone(), other_digest]),
        (
            Question { inputs: prompt("What is 2 + 9?"), ..asked.clone() },
            21,
            vec!["the prompt 1 from its token".into(), "should be [".into(), "the statement says [".into()],
        ),
        (
            Question { inputs: vec![Input::Tokens(vec![1, 2])], chat: false, ..asked.clone() },
            21,
            vec!["should be [2] of 2 tokens".into()],
        ),
        (
            Question { max_new_tokens: 3, ..asked.clone() },
            21,
            vec!["the answer 1 should be 3 tokens".into(), "of 2 tokens".into()],
        ),
        (Question { mode: "direct".into(), ..asked.clone() }, 21, vec!["direct".into(), "gkr".into()]),
    ] {
        let (exit, result) = volumes.run(&volumes.finish(other, false));
        assert_eq!(exit, code, "{result:?}");
        let failure = result.failure.clone().unwrap();
        assert!(words.iter().all(|word| failure.message.contains(word)), "{words:?} in {failure:?}");
        assert!(result.proof.is_none() && result.inference.is_none() && !result.succeeded);
        assert!(!volumes.path("artifacts/verification.json").exists(), "nothing says that it holds");
    }
    assert_eq!(volumes.run(&volumes.finish(asked, false)).0, 0);
}

#[test]
fn what_a_finish_reports_is_read_in_the_files_that_it_checked() {
    let volumes = Volumes::new();
    let digest = volumes.prepared();
    let (_, proved) = volumes.run(&volumes.prove(&digest));
    let forge = |file: &str, change: &dyn Fn(&mut serde_json::Value)| {
        let path = volumes.path("artifacts").join(file);
        let mut value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
        change(&mut value);
        fs::write(path, value.to_string()).unwrap();
    };
    forge("proof.json", &|facts| {
        facts["sha256"] = "f".repeat(64).into();
        facts["device"] = "NVIDIA H100 80GB HBM3".into();
    });
    forge("inference.json", &|answer| answer["text"] = "The moon is made of cheese.".into());
    forge("run.json", &|run| run["integerMatchesFloat"] = "9/9".into());
    let (code, finished) = volumes.run(&volumes.finish(question(&digest), false));
    assert_eq!(code, 0, "{finished:?}");
    let (told, checked) = (proved.proof.unwrap(), finished.proof.unwrap());
    assert_eq!((&checked.sha256, checked.size_bytes), (&told.sha256, told.size_bytes));
    assert_eq!((checked.device.as_str(), checked.verified), ("", true));
    let inference = finished.inference.unwrap();
    assert_eq!(inference.text, proved.inference.unwrap().text);
    assert_eq!(inference.integer_matches_float, "", "no proof is about the float engine");

    // A statement with other words is no longer what the proof proves.
    forge("statement.json", &|claim| claim["outputTokens"][0] = 7.into());
    assert_eq!(volumes.run(&volumes.finish(question(&digest), false)).0, 21);
}

#[test]
fn a_prompt_that_is_too_long_is_the_users_fault() {
    let volumes = Volumes::new();
    let digest = volumes.prepared();
    let mut spec = volumes.prove(&digest);
    let Work::Prove(prove) = &mut spec.work else { unreachable!("it is a proof") };
    prove.question.inputs = vec![Input::Tokens(vec![5; 257])];
    let (code, result) = volumes.run(&spec);
    assert_eq!(code, 10);
    assert_eq!(result.failure.unwrap().class.name(), "User");
}

#[test]
fn sigterm_ends_a_pod_with_143_and_a_message() {
    let volumes = Volumes::new();
    let mut spec = volumes.hanging();
    let address = free_address();
    spec.progress_address = Some(address.clone());
    let mut pod = Pod(start(&spec));
    let page = progress(&address);
    assert!(!page.summary.is_empty());
    let killed = Command::new("kill").args(["-TERM", &pod.0.id().to_string()]).status().unwrap();
    assert!(killed.success());
    assert_eq!(pod.0.wait().unwrap().code(), Some(143));
    let failure = volumes.result().failure.unwrap();
    assert_eq!((failure.code, failure.reason.as_str(), failure.class.name()), (143, "Terminated", "Infra"));
}

#[test]
fn a_pod_without_progress_ends_itself_with_75() {
    let volumes = Volumes::new();
    let spec = JobSpec { no_progress_timeout_seconds: 1, ..volumes.hanging() };
    let (code, result) = volumes.run(&spec);
    assert_eq!(code, 75);
    let failure = result.failure.unwrap();
    assert_eq!((failure.step.as_str(), failure.reason.as_str()), ("validate", "Stalled"));
}

#[test]
fn a_job_of_another_version_is_refused() {
    let volumes = Volumes::new();
    let spec = JobSpec { version: JOB_VERSION + 1, ..volumes.spec(Work::Fetch) };
    let file = volumes.path("job.json");
    fs::write(&file, serde_json::to_string(&spec).unwrap()).unwrap();
    let status = run_file(&file);
    assert_eq!(status, Some(10));
}

fn run_file(file: &Path) -> Option<i32> {
    Command::new(env!("CARGO_BIN_EXE_obelysk")).arg("job").arg(file).stderr(Stdio::null()).status().unwrap().code()
}

/// A folder mounted over itself, read-only, as a pod sees its model volume. Mounting needs root.
struct ReadOnly<'a> {
    folder: &'a Path,
}

impl<'a> ReadOnly<'a> {
    fn mount(folder: &'a Path) -> Option<Self> {
        let mount = |arguments: &[&str]| {
            Command::new("mount").args(arguments).arg(folder).status().is_ok_and(|status| status.success())
        };
        if !mount(&["--bind", folder.to_str().unwrap()]) {
            eprintln!("SKIPPED: mounting needs root; what a read-only model volume does is not tested");
            return None;
        }
        let mounted = Self { folder };
        assert!(mount(&["-o", "remount,bind,ro"]), "the folder stays writable");
        Some(mounted)
    }
}

impl Drop for ReadOnly<'_> {
    fn drop(&mut self) {
        // A failed unmount must not hide why a test failed.
        let _ = Command::new("umount").arg(self.folder).status();
    }
}
