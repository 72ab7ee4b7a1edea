//! Writes the definitions of the custom resources to a folder.

fn main() -> std::io::Result<()> {
    let folder = std::env::args().nth(1).unwrap_or_else(|| "crds".into());
    for (name, yaml) in obelysk_api::crd::manifests() {
        std::fs::write(std::path::Path::new(&folder).join(name), yaml)?;
    }
    Ok(())
}
