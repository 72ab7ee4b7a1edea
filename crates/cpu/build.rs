//! Compiles the check for the features that this build's code may use.

use std::env;

fn main() {
    println!("cargo::rerun-if-changed=src/check.c");
    let of_target = |name: &str| env::var(format!("CARGO_CFG_TARGET_{name}")).unwrap_or_default();
    if of_target("ARCH") != "x86_64" {
        return;
    }
    let mut build = cc::Build::new();
    for feature in of_target("FEATURE").split(',') {
        build.define(&format!("NEEDS_{}", feature.to_uppercase().replace(['.', '-'], "_")), None);
    }
    // Whatever the environment asks of other code in C, this runs everywhere.
    build.file("src/check.c").flag("-march=x86-64").cargo_metadata(false).compile("obelysk_cpu");
    let folder = env::var("OUT_DIR").expect("cargo names a folder");
    println!("cargo::rustc-link-search=native={folder}");
    // Nothing refers to a constructor: the linker would leave it out.
    println!("cargo::rustc-link-lib=static:+whole-archive=obelysk_cpu");
}
