//! Proofs on a GPU through the pipeline: those of the processor, and what happens where a GPU gives up.

use std::path::Path;
use std::sync::Mutex;

use obelysk_fake_driver::{Hardware, Machine};
use obelysk_kernels::Cuda;
use obelysk_pipeline::artifacts::{Artifacts, PROOF};
use obelysk_pipeline::console::{Console, Level};
use obelysk_pipeline::device::{Device, DeviceName, OpenGpu};
use obelysk_pipeline::failure::{ExitCode, Failure};
use obelysk_pipeline::home::Home;
use obelysk_pipeline::pipeline::capture::{self, CapturedLog};
use obelysk_pipeline::pipeline::inference::Prompt;
use obelysk_pipeline::pipeline::inputs::{ModelSource, RunInputs};
use obelysk_pipeline::pipeline::prepare::{self, Prepared};
use obelysk_pipeline::pipeline::prove::{self, ProofFacts};
use obelysk_pipeline::pipeline::{Observer, Step, model_files};
use tempfile::TempDir;

const NAME: &str = "Obelysk fake device 0";
const LAUNCH_FAILED: i32 = 719;

/// A captured inference of a model.
struct Captured {
    folder: TempDir,
    artifacts: Artifacts,
    prepared: Prepared,
    inputs: RunInputs,
    log: CapturedLog,
}

/// Keeps what a user is told.
#[derive(Default)]
struct Notes(Mutex<Vec<String>>);

impl Observer for Notes {
    fn started(&self, _: Step) {}
    fn finished(&self, _: Step, _: f64) {}
    fn progress(&self, _: &str, _: u64, _: u64) {}
    fn note(&self, text: &str) {
        self.0.lock().unwrap().push(text.to_owned());
    }
    fn detail(&self, _: &str) {}
}

impl Captured {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let model = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures/models/qwen3");
        let model = ModelSource::Directory(model).whole();
        let console = Console::new(true, Level::Quiet);
        let files = model_files::resolve(&Home::at(folder.path()), &model, &console).unwrap();
        let prepared = prepare::load_or_prepare(&files, &console).unwrap();
        let artifacts = Artifacts::begin(&folder.path().join("out")).unwrap();
        let inputs = RunInputs { model, prompts: Vec::new(), max_new_tokens: 1, count: 1 };
        let cpu = Device::cpu("as asked");
        let log = capture::capture(&artifacts, &prepared, &inputs, &[prompt()], &cpu, &console).unwrap();
        Self { folder, artifacts, prepared, inputs, log }
    }

    /// Capture the same again on a device: the hash of the log, and what was noted.
    fn again(&self, device: &Device) -> (Result<String, Failure>, Vec<String>) {
        let notes = Notes::default();
        let log = capture::capture(&self.artifacts, &self.prepared, &self.inputs, &[prompt()], device, &notes);
        (log.map(|log| log.head), notes.0.into_inner().unwrap())
    }

    /// Prove on a device: the facts, and what was noted.
    fn prove(&self, device: &Device) -> (Result<ProofFacts, Failure>, Vec<String>) {
        let notes = Notes::default();
        let proven = prove::prove(&self.artifacts, &self.prepared, &self.log, &"0".repeat(64), device, &notes);
        (proven.map(|(facts, _)| facts), notes.0.into_inner().unwrap())
    }

    fn proof(&self) -> Vec<u8> {
        std::fs::read(self.folder.path().join("out").join(PROOF)).unwrap()
    }
}

fn prompt() -> Prompt {
    Prompt { tokens: vec![5, 6], stop_tokens: Vec::new() }
}

fn gpu(machine: &Machine, cpu_may_step_in: bool) -> Device {
    let name = DeviceName { name: NAME.into(), note: "GPU-0".into() };
    Device::gpu(OpenGpu::new(Cuda::new(machine.kernels()), name, cpu_may_step_in))
}

#[test]
fn a_gpu_proves_what_the_cpu_does_and_is_named() {
    let captured = Captured::new();
    let (on_the_cpu, _) = captured.prove(&Device::cpu("as asked"));
    let facts = on_the_cpu.unwrap();
    assert_eq!((facts.device.as_str(), facts.device_note.as_str()), ("CPU", "as asked"));
    let expected = captured.proof();
    let machine = Machine::new(Hardware { memory: 1 << 30, ..Hardware::default() });
    let (facts, notes) = captured.prove(&gpu(&machine, false));
    let facts = facts.unwrap();
    assert_eq!((facts.device.as_str(), facts.device_note.as_str()), (NAME, "GPU-0"));
    assert!(captured.proof() == expected && notes.is_empty(), "{notes:?}");
}

#[test]
fn a_gpu_answers_what_the_cpu_does_and_keeps_the_weights_for_the_proof() {
    let captured = Captured::new();
    let machine = Machine::new(Hardware { memory: 1 << 30, ..Hardware::default() });
    let device = gpu(&machine, false);
    let (head, notes) = captured.again(&device);
    assert!(head.unwrap() == captured.log.head && notes.is_empty(), "{notes:?}");
    let digest = &captured.prepared.digest;
    let bytes: usize = captured.prepared.model.weights.values().map(obelysk_witness::Entries::bytes).sum();
    let own = device.as_gpu().unwrap();
    assert_eq!(own.kept_bytes(digest), bytes as u64);
    captured.prove(&device).0.unwrap();
    assert_eq!(own.kept_bytes(digest), 0, "the proof has taken them");
    own.keep("another model", own.cuda.weights(&captured.prepared.model.weights).unwrap());
    assert_eq!(own.kept_bytes(digest), 0, "another model's make room");
}

#[test]
fn the_cpu_answers_aloud_for_a_gpu_that_gives_up() {
    let captured = Captured::new();
    let machine = Machine::new(Hardware { memory: 1 << 30, ..Hardware::default() });
    for cpu_may_step_in in [true, false] {
        let device = gpu(&machine, cpu_may_step_in);
        machine.lose(0, LAUNCH_FAILED);
        let (head, notes) = captured.again(&device);
        machine.lose(0, 0);
        match head {
            Ok(head) => {
                assert!(cpu_may_step_in && head == captured.log.head);
                assert!(notes.len() == 1 && notes[0].contains("the CPU answers instead"), "{notes:?}");
            }
            Err(failure) => {
                assert!(!cpu_may_step_in && failure.code == ExitCode::GpuLost, "{failure:?}");
            }
        }
    }
}

#[test]
fn the_cpu_steps_in_aloud_for_a_gpu_that_gives_up() {
    let captured = Captured::new();
    let machine = Machine::new(Hardware { memory: 1 << 30, ..Hardware::default() });
    let device = gpu(&machine, true);
    machine.lose(0, LAUNCH_FAILED);
    let (facts, notes) = captured.prove(&device);
    let facts = facts.unwrap();
    let said = facts.device_note;
    assert!(facts.device == "CPU" && said.contains(NAME) && said.contains("LAUNCH_FAILED"), "{said}");
    assert!(
        notes.len() == 1 && notes[0].contains("gave up") && notes[0].contains("the CPU proves instead"),
        "{notes:?}"
    );
}

#[test]
fn a_gpu_that_is_wrong_is_not_believed() {
    let captured = Captured::new();
    captured.prove(&Device::cpu("as asked")).0.unwrap();
    let expected = captured.proof();
    for (source, find, with, said) in [
        ("linear.cu", "other < LANES;", "other < LANES / 2;", "the model answers"),
        ("linear.cu", "int32_t(sum)", "int32_t(sum ^ 0x7fffffffu)", "outside of the model's bounds"),
        ("tree.cu", "4 * 2 * DIGEST_WORDS, true", "64, true", "it committed to other weights"),
        ("fractions.cu", "multiply(weight, square)", "square", "its proof does not verify"),
    ] {
        let machine = Machine::new(Hardware { memory: 1 << 30, ..Hardware::default() });
        machine.plant(source, find, with);
        let failure = captured.prove(&gpu(&machine, false)).0.unwrap_err();
        assert!(failure.code == ExitCode::GpuLost && failure.message.contains(said), "{failure:?}");
        let (facts, notes) = captured.prove(&gpu(&machine, true));
        assert_eq!(facts.unwrap().device, "CPU");
        assert!(captured.proof() == expected && notes[0].contains(said), "{notes:?}");
    }
}

#[test]
fn a_gpu_that_gives_up_is_a_failure_where_the_cpu_may_not_step_in() {
    let captured = Captured::new();
    for (memory, loses, code) in [(1 << 18, false, ExitCode::GpuOutOfMemory), (1 << 30, true, ExitCode::GpuLost)] {
        let machine = Machine::new(Hardware { memory, ..Hardware::default() });
        let device = gpu(&machine, false);
        if loses {
            machine.lose(0, LAUNCH_FAILED);
        }
        let failure = captured.prove(&device).0.unwrap_err();
        assert!(failure.code == code && failure.message.contains(NAME), "{failure:?}");
        assert!(!captured.artifacts.has(PROOF));
    }
}
