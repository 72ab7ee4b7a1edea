//! Goal D1: a download from a hub on this machine, beside what curl reaches.

use std::fs::{self, File};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use super::{fresh_folder, measure, programs, report};
use crate::{process, root};

/// Length of the large file.
const BYTES: u64 = 1 << 30;
const LISTEN: &str = "127.0.0.1:8091";

/// `obelysk model pull` and `curl` in turn, of a repository whose weights have 1 GiB. Ours also checks every byte.
pub(super) fn run(runs: usize) -> Result<()> {
    let programs = programs()?;
    let folder = fresh_folder("download")?;
    let repository = folder.join("hub/org/large");
    fs::create_dir_all(&repository)?;
    for name in ["config.json", "tokenizer.json", "tokenizer_config.json"] {
        fs::copy(root().join("tests/fixtures/models/qwen3").join(name), repository.join(name))?;
    }
    // What the bytes are matters to nobody here: they are hashed, not read.
    File::create(repository.join("model.safetensors"))?.set_len(BYTES)?;
    let hub = Hub(Command::new(programs.join("obelysk-stand-in-hub"))
        .arg(folder.join("hub"))
        .args(["--listen", LISTEN])
        .stdout(Stdio::null())
        .spawn()?);
    let endpoint = format!("http://{LISTEN}");
    let file = format!("{endpoint}/org/large/resolve/main/model.safetensors");
    wait_for(&format!("{endpoint}/api/models/org/large"))?;
    let mut ours = Vec::new();
    let mut curls = Vec::new();
    let mut ratios = Vec::new();
    let rate = |time: Duration| BYTES as f64 / time.as_secs_f64() / f64::from(1 << 20);
    for run in 0..runs {
        let start = Instant::now();
        let target = folder.join(format!("curl-{run}"));
        process::run(Command::new("curl").args(["-sSfL", "-o"]).arg(&target).arg(&file))?;
        File::open(&target)?.sync_all()?;
        let curl = rate(start.elapsed());
        fs::remove_file(target)?;
        let home = folder.join(format!("home-{run}"));
        let mut pull = Command::new(programs.join("obelysk"));
        pull.args(["model", "pull", "--hf-model", "org/large", "--endpoint", &endpoint, "--json", "--quiet", "--home"]);
        let pulled = measure(pull.arg(&home))?;
        pulled.answer()?;
        fs::remove_dir_all(home)?;
        let own = rate(pulled.time);
        curls.push(curl);
        ours.push(own);
        ratios.push(own / curl);
    }
    drop(hub);
    report("download with curl, unchecked", "MiB/s", &mut curls);
    report("download with obelysk, checked", "MiB/s", &mut ours);
    report("download, obelysk to curl", "", &mut ratios);
    Ok(())
}

struct Hub(Child);

impl Drop for Hub {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The hub hashes a repository when it is first asked for it.
fn wait_for(address: &str) -> Result<()> {
    let ask = || process::run(Command::new("curl").args(["-sf", "-o", "/dev/null", address]));
    let answered = (0..100).any(|_| {
        ask().is_ok() || {
            std::thread::sleep(Duration::from_millis(100));
            false
        }
    });
    answered.then_some(()).context("the stand-in hub does not answer")
}
