//! The image of operator and prover, built without Docker: the binaries, the libraries that they load, and nothing else.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use serde_json::json;
use sha2::{Digest, Sha256};

use crate::progress::{self, Progress};
use crate::{kernels, process, root};

/// An image in a file.
pub struct Image {
    /// Name with a tag that follows from the content.
    pub tag: String,
    /// Archive for `ctr images import` or `docker load`.
    pub path: PathBuf,
}

/// Programs of the image.
const PROGRAMS: [&str; 4] = ["obelysk", "obelysk-operator", "obelysk-stand-in-hub", "obelysk-verify"];
/// User and group that the image runs as; any other works too.
const USER: &str = "65532:65532";

/// Build the programs of the image; where they are.
pub fn build_programs() -> Result<PathBuf> {
    // Of the workspace as a whole, as the tests are: packages that are built apart are built with other features, each time anew.
    let mut build = Command::new(env!("CARGO"));
    build.current_dir(root()).args(["build", "--release", "--workspace"]);
    for program in PROGRAMS {
        build.args(["--bin", program]);
    }
    progress::run("building the programs of the image", &mut build)?;
    Ok(target().join("release"))
}

/// Build the programs and the image. The kernels' machine code is in them, so that pods need the node's driver alone.
pub fn build() -> Result<Image> {
    kernels::ensure()?;
    let programs = build_programs()?;
    let of_program = |program: &str| (format!("usr/local/bin/{program}"), programs.join(program));
    let mut files: Vec<(String, PathBuf)> = PROGRAMS.into_iter().map(of_program).collect();
    let _progress = Progress::new("packing the image");
    let mut libraries = BTreeMap::new();
    for (_, program) in &files {
        for library in libraries_of(program)? {
            libraries.insert(library.trim_start_matches('/').to_owned(), PathBuf::from(library));
        }
    }
    // A GPU's driver comes from the node and loads these, which our programs do not.
    let folder = libraries.values().find(|path| path.ends_with("libc.so.6")).and_then(|path| path.parent());
    let folder = folder.context("the programs load libc")?.to_owned();
    for name in ["libdl.so.2", "libpthread.so.0", "librt.so.1"] {
        let path = folder.join(name);
        if path.exists() {
            libraries.insert(path.display().to_string().trim_start_matches('/').to_owned(), path);
        }
    }
    files.extend(libraries);
    let certificates = PathBuf::from("/etc/ssl/certs/ca-certificates.crt");
    if certificates.is_file() {
        files.push(("etc/ssl/certs/ca-certificates.crt".into(), certificates));
    }
    let folder = target().join("image");
    fs::create_dir_all(&folder)?;
    let unnamed = folder.join("unnamed.tar");
    let digest = digest_of(&files)?;
    let tag = format!("obelysk.dev/obelysk:{digest}");
    pack(&unnamed, &tag, "/usr/local/bin/obelysk", &files, Some(USER))?;
    let path = folder.join(format!("obelysk-{digest}.tar"));
    fs::rename(unnamed, &path)?;
    fs::write(folder.join("tag"), &tag)?;
    Ok(Image { tag, path })
}

fn target() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from)
}

/// Twelve hex digits that change with any file.
fn digest_of(files: &[(String, PathBuf)]) -> Result<String> {
    let mut hasher = Sha256::new();
    for (name, path) in files {
        hasher.update(name);
        hasher.update(Sha256::digest(fs::read(path)?));
    }
    Ok(hex::encode(&hasher.finalize()[..6]))
}

/// Paths under which a program's libraries must lie, the loader included.
fn libraries_of(program: &Path) -> Result<Vec<String>> {
    let listing = process::output(Command::new("ldd").arg(program))?;
    anyhow::ensure!(!listing.contains("not found"), "{} lacks libraries:\n{listing}", program.display());
    Ok(listing.split_whitespace().filter(|word| word.starts_with('/')).map(str::to_owned).collect())
}

/// Write an image of some files to an archive. Everything in it has the same time, so equal files give equal bytes.
pub fn pack(
    archive: &Path,
    tag: &str,
    entrypoint: &str,
    files: &[(String, PathBuf)],
    user: Option<&str>,
) -> Result<()> {
    let mut layer = tar::Builder::new(Vec::new());
    let mut entries: BTreeMap<String, (Vec<u8>, u32)> = BTreeMap::new();
    for (name, path) in files {
        entries.insert(name.clone(), (fs::read(path).with_context(|| path.display().to_string())?, 0o755));
    }
    if user.is_some() {
        let passwd = "root:x:0:0:root:/:/sbin/nologin\nnonroot:x:65532:65532:nonroot:/tmp:/sbin/nologin\n";
        entries.insert("etc/passwd".into(), (passwd.into(), 0o644));
        entries.insert("etc/group".into(), (b"root:x:0:\nnonroot:x:65532:\n".to_vec(), 0o644));
        let mut header = header(0, 0o1777);
        header.set_entry_type(tar::EntryType::Directory);
        layer.append_data(&mut header, "tmp/", std::io::empty())?;
    }
    for (name, (content, mode)) in &entries {
        layer.append_data(&mut header(content.len(), *mode), name, content.as_slice())?;
    }
    let layer = layer.into_inner()?;
    let layer_digest = hex::encode(Sha256::digest(&layer));
    let configuration = json!({
        "architecture": "amd64",
        "os": "linux",
        "config": {
            "Entrypoint": [entrypoint],
            "User": user.unwrap_or_default(),
            "Env": ["PATH=/usr/local/bin"],
        },
        "rootfs": {"type": "layers", "diff_ids": [format!("sha256:{layer_digest}")]},
    })
    .to_string();
    let configuration_name = format!("{}.json", hex::encode(Sha256::digest(&configuration)));
    let layer_name = format!("{layer_digest}.tar");
    let manifest = json!([{"Config": configuration_name, "RepoTags": [tag], "Layers": [layer_name]}]).to_string();
    let mut image = tar::Builder::new(File::create(archive)?);
    for (name, content) in [
        (configuration_name.as_str(), configuration.as_bytes()),
        (layer_name.as_str(), layer.as_slice()),
        ("manifest.json", manifest.as_bytes()),
    ] {
        image.append_data(&mut header(content.len(), 0o644), name, content)?;
    }
    image.into_inner()?.flush()?;
    Ok(())
}

fn header(size: usize, mode: u32) -> tar::Header {
    let mut header = tar::Header::new_gnu();
    header.set_size(size as u64);
    header.set_mode(mode);
    header.set_mtime(0);
    header.set_uid(0);
    header.set_gid(0);
    header
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_files_give_equal_images_that_do_not_run_as_root() {
        let folder = tempfile::tempdir().unwrap();
        let program = folder.path().join("program");
        fs::write(&program, "binary").unwrap();
        let files = [("usr/local/bin/program".to_owned(), program)];
        let archives = ["a.tar", "b.tar"].map(|name| {
            let path = folder.path().join(name);
            pack(&path, "obelysk.dev/test:1", "/usr/local/bin/program", &files, Some(USER)).unwrap();
            fs::read(path).unwrap()
        });
        assert_eq!(archives[0], archives[1]);
        let text = String::from_utf8_lossy(&archives[0]).into_owned();
        assert!(text.contains(r#""User":"65532:65532""#));
    }

    #[test]
    fn a_programs_libraries_include_its_loader() {
        let libraries = libraries_of(&std::env::current_exe().unwrap()).unwrap();
        assert!(libraries.iter().any(|library| library.contains("ld-linux")), "{libraries:?}");
        assert!(libraries.iter().all(|library| Path::new(library).is_file()));
    }
}
