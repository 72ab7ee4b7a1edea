//! What a developer does with this repository besides editing it: demo, test, mutants, fuzz, simulate, bench, GPU check, image, contracts, kernels, model, cluster, generate, tidy.

mod bench;
mod charts;
mod cluster;
mod contracts;
mod demo;
mod fuzz;
mod generate;
mod image;
mod kernels;
mod model;
mod mutants;
mod process;
mod progress;
mod provisioner;
mod python;
mod simulate;
mod test;
mod tidy;
mod tools;

use std::path::{Path, PathBuf};

use clap::{Parser, Subcommand};

/// Tasks of the Obelysk Operator's developers.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Arguments {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// From nothing to a verified proof of a ProofJob in a real Kubernetes.
    Demo(demo::Arguments),
    /// Every test, from unit to cluster, and where the time went.
    Test(test::Arguments),
    /// Break every check of the proof system in turn: a named test has to fail each time.
    Mutants(mutants::Arguments),
    /// Feed the verifier with files that nobody made.
    Fuzz(fuzz::Arguments),
    /// Run the operator against a cluster in memory, through deaths, partitions, refusals and strangers.
    Simulate(simulate::Arguments),
    /// Measure, and print one JSON line per figure.
    Bench(bench::Arguments),
    /// On a machine with a GPU: the same proofs on it and on the processor, and how long each takes.
    GpuCheck(bench::gpu::Arguments),
    /// Build the image of operator and prover, without Docker.
    Image,
    /// Compile the contract, and run its functions on vectors from Rust: what each costs.
    Contracts(contracts::Arguments),
    /// Compile the kernels with nvcc, fetched once, for every GPU that they are for: registers, and no spills.
    Kernels,
    /// Bring a real model where no hub can be reached, and print its folder.
    Model(model::Arguments),
    /// Bring a single-node Kubernetes up or down.
    Cluster(cluster::Arguments),
    /// Build what the cluster is made of, and install what is missing.
    Tools {
        /// Minor version of Kubernetes.
        #[arg(long, value_enum, default_value_t)]
        kubernetes: tools::Minor,
    },
    /// Write the generated files anew.
    Generate(generate::Arguments),
    /// Generated and golden files, as the code has them now.
    Bless,
    /// Hold the walls between crates and the rules of the tree.
    Tidy,
    /// Give volumes to claims of class `obelysk-local`; `cluster up` starts this.
    #[command(hide = true)]
    Provisioner(provisioner::Arguments),
}

fn main() -> anyhow::Result<()> {
    match Arguments::parse().task {
        Task::Demo(arguments) => demo::run(&arguments),
        Task::Test(arguments) => test::run(&arguments),
        Task::Mutants(arguments) => mutants::run(&arguments),
        Task::Fuzz(arguments) => fuzz::run(&arguments),
        Task::Simulate(arguments) => simulate::run(&arguments),
        Task::Bench(arguments) => bench::run(&arguments),
        Task::GpuCheck(arguments) => bench::gpu::run(&arguments),
        Task::Image => image::build().map(|image| println!("{} {}", image.tag, image.path.display())),
        Task::Contracts(arguments) => contracts::run(&arguments),
        Task::Kernels => kernels::run(),
        Task::Model(arguments) => model::run(&arguments),
        Task::Cluster(arguments) => cluster::run(&arguments),
        Task::Tools { kubernetes } => tools::ensure(kubernetes).map(|tools| println!("{}", tools.kubernetes.display())),
        Task::Generate(arguments) => generate::run(&arguments),
        Task::Bless => generate::bless(),
        Task::Tidy => tidy::run(),
        Task::Provisioner(arguments) => provisioner::run(&arguments),
    }
}

/// The root of the repository: where this program was built, or where it was carried to.
fn root() -> PathBuf {
    let built = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("xtask lies in the root");
    if built.exists() { built.to_owned() } else { PathBuf::from(".") }
}
