//! The hardware of a ProofJob: every field is acted upon or refused by name.

use obelysk_api::crd::proof_job::{self, Cpu, Gpu};

use super::validate::{Hardware, Unsupported, refuse};
use crate::quantity;

/// Most GPUs of a pod. The prover uses one: what raises this number also gives the prover more.
const MOST_GPUS: i32 = 1;
/// Cores of a prove pod that asks for none.
const CORES: &str = "1";

/// What a prove pod gets.
pub struct Resources {
    /// Where it proves.
    pub hardware: Hardware,
    /// Cores, as a quantity.
    pub cores: String,
    /// Memory, as a quantity; absent for what the model needs.
    pub memory: Option<String>,
}

/// Validate the hardware.
///
/// # Errors
/// The first field that this version does not act upon.
pub fn validate(hardware: &proof_job::Hardware) -> Result<Resources, Unsupported> {
    let proof_job::Hardware { cpu, gpu } = hardware;
    let Cpu { cores, memory } = cpu.clone().unwrap_or_default();
    let hardware = match gpu {
        Some(gpu) => Hardware::Gpu(self::gpu(gpu)?),
        None => Hardware::Cpu,
    };
    Ok(Resources { hardware, cores: cores.unwrap_or_else(|| CORES.into()), memory })
}

fn gpu(gpu: &Gpu) -> Result<Gpu, Unsupported> {
    // Acted upon where a place is looked for, or by the pod.
    let Gpu { classes: _, min_memory, count, gpu_only: _, sharing: _, pool_ref: _ } = gpu;
    if *count > MOST_GPUS {
        return refuse("spec.hardware.gpu.count", "use 1");
    }
    if min_memory.as_deref().is_some_and(|memory| quantity::bytes(memory).is_none()) {
        return refuse("spec.hardware.gpu.minMemory", "write an amount in Gi, such as 80Gi");
    }
    Ok(gpu.clone())
}
