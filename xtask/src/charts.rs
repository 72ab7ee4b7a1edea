//! The charts: linted, rendered and compared with golden files, and values that the schema must refuse.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};

use crate::{process, root, tools};

/// Chart, golden file, and the file of values, in the chart's folder.
const RENDERED: [(&str, &str, Option<&str>); 2] = [
    ("proving-operator", "default.yaml", None),
    ("proving-operator", "everything.yaml", Some("ci/everything-values.yaml")),
];

/// Values that mean nothing, and a word of the schema's complaint.
const REFUSED: [(&str, &str); 17] = [
    ("image.reference=obelysk", "image"),
    ("replicas=0", "replicas"),
    ("storage.artifactsSize=...", "artifactsSize"),
    ("storage.modelSize=huge", "modelSize"),
    ("storage.className=Fast SSD", "className"),
    ("jobNamespaces[0]=UPPER", "jobNamespaces"),
    ("jobNamespaces[0]=a.b", "jobNamespaces"),
    ("tolerations[0]=x", "tolerations"),
    ("tolerations[0].operator=Maybe", "tolerations"),
    ("tolerations[0].efect=NoSchedule", "efect"),
    ("log.level=loud", "level"),
    ("hub.endpoint=ftp://hub", "endpoint"),
    ("hub.tokenSecretRef.name=hub", "key"),
    ("resources.limits.memory=lots", "memory"),
    ("nodeSelector=fast", "nodeSelector"),
    ("monitoring.rules.enabled=maybe", "enabled"),
    ("monitoring.alerts.enabled=true", "alerts"),
];

/// Everything that the test stage `charts` holds.
pub fn check() -> Result<()> {
    let helm = tools::helm()?;
    for chart in ["proving-crds", "proving-operator"] {
        process::run(Command::new(&helm).arg("lint").arg("--strict").arg(chart_folder(chart)))?;
    }
    process::output(Command::new(&helm).args(["template", "obelysk"]).arg(chart_folder("proving-crds")))?;
    for (golden, rendered) in rendered()? {
        let known = fs::read_to_string(&golden).unwrap_or_default();
        if known != rendered {
            let place = known.lines().zip(rendered.lines()).take_while(|(a, b)| a == b).count() + 1;
            bail!(
                "{} differs from the chart at line {place}: run `cargo xtask bless` and read the difference",
                golden.display()
            );
        }
    }
    for (value, complaint) in REFUSED {
        let mut command = Command::new(&helm);
        command.args(["template", "obelysk"]).arg(chart_folder("proving-operator")).args(["--set", value]);
        let output = command.output().context("helm starts")?;
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        ensure!(!output.status.success(), "the schema of the values accepts {value}");
        ensure!(said.contains(complaint), "the complaint about {value} does not say `{complaint}`: {said}");
    }
    Ok(())
}

/// Write the golden files anew.
pub fn bless() -> Result<()> {
    for (golden, rendered) in rendered()? {
        if fs::read_to_string(&golden).ok().as_ref() != Some(&rendered) {
            fs::create_dir_all(golden.parent().context("golden files lie in a folder")?)?;
            fs::write(&golden, rendered)?;
            println!("wrote {}", golden.display());
        }
    }
    Ok(())
}

fn chart_folder(chart: &str) -> PathBuf {
    root().join("charts").join(chart)
}

fn rendered() -> Result<Vec<(PathBuf, String)>> {
    let helm = tools::helm()?;
    let render = |(chart, golden, values): (&str, &str, Option<&str>)| {
        let mut command = Command::new(&helm);
        command.args(["template", "obelysk", "--namespace", "obelysk-system"]).arg(chart_folder(chart));
        if let Some(values) = values {
            command.arg("--values").arg(chart_folder(chart).join(values));
        }
        Ok((root().join("tests/golden/charts").join(golden), process::output(&mut command)?))
    };
    RENDERED.into_iter().map(render).collect()
}
