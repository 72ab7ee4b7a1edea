//! The chart's ModelPresets are the presets of the command line.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use obelysk_model::presets::{Origin, PRESETS};

/// What the chart says of its presets.
fn template() -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../charts/proving-operator/templates/presets.yaml");
    fs::read_to_string(path).unwrap()
}

/// The fields of every `(dict "name" "..." ...)` of the template.
fn of_hub(template: &str) -> Vec<BTreeMap<&str, &str>> {
    let dicts = template.lines().filter_map(|line| line.trim().strip_prefix("(dict "));
    dicts
        .map(|dict| {
            let quoted: Vec<&str> = dict.split('"').skip(1).step_by(2).collect();
            quoted.chunks_exact(2).map(|pair| (pair[0], pair[1])).collect()
        })
        .collect()
}

#[test]
fn the_chart_has_the_presets_of_the_command_line() {
    let template = template();
    let chart: Vec<(&str, &str)> = of_hub(&template).iter().map(|preset| (preset["name"], preset["repo"])).collect();
    let hub = PRESETS.iter().filter_map(|preset| match preset.origin {
        Origin::Hub(repository) => Some((preset.name, repository)),
        Origin::Bundled => None,
    });
    assert_eq!(chart, hub.collect::<Vec<_>>());
    for preset in PRESETS.iter().filter(|preset| preset.origin == Origin::Bundled) {
        let source = format!("bundled: {{name: {}}}", preset.name);
        assert!(template.contains(&source), "the chart has no ModelPreset with `{source}`");
    }
}

#[test]
fn the_chart_has_room_for_files_and_integers_of_every_preset() {
    for (chart, preset) in of_hub(&template()).iter().zip(PRESETS.iter().filter(|p| p.origin != Origin::Bundled)) {
        let gibibytes: u64 = chart["size"].strip_suffix("Gi").expect("sizes are in Gi").parse().unwrap();
        let needed = preset.million_parameters * 1_000_000 * (2 + 2);
        assert!(gibibytes << 30 >= needed, "{}: {needed} bytes do not fit {}", preset.name, chart["size"]);
    }
}
