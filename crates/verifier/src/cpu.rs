//! Binaries are built for x86-64-v3. On an older CPU they would die by an illegal instruction without a word, so each
//! asks first.

/// Exit status of a program on a CPU that is too old: the shell's number for an illegal instruction.
pub const TOO_OLD: u8 = 132;

/// Which instruction sets the CPU lacks, as a message with the remedy.
///
/// # Errors
/// The CPU is older than x86-64-v3.
#[cfg(target_arch = "x86_64")]
pub fn check() -> Result<(), String> {
    use core::arch::x86_64::{__cpuid, __cpuid_count};

    // The compiler folds `is_x86_feature_detected` to true for what it may assume, so the CPU itself is asked.
    let highest = __cpuid(0).eax;
    let basic = __cpuid(1).ecx;
    let structured = if highest >= 7 { __cpuid_count(7, 0).ebx } else { 0 };
    let extended = if __cpuid(0x8000_0000).eax >= 0x8000_0001 { __cpuid(0x8000_0001).ecx } else { 0 };
    let lacking = lacking(basic, structured, extended);
    if lacking.is_empty() {
        return Ok(());
    }
    Err(format!(
        "this program needs a CPU of level x86-64-v3 (Intel Haswell, AMD Zen or newer); this one lacks {}. Use a newer \
         machine, or build from source with RUSTFLAGS=\"-C target-cpu=x86-64\"",
        lacking.join(", ")
    ))
}

/// Other architectures are built for their own baseline.
///
/// # Errors
/// None.
#[cfg(not(target_arch = "x86_64"))]
pub fn check() -> Result<(), String> {
    Ok(())
}

/// Names of the absent features, from the CPUID registers that announce them.
#[cfg(target_arch = "x86_64")]
fn lacking(basic: u32, structured: u32, extended: u32) -> Vec<&'static str> {
    let features = [
        ("FMA", basic, 12),
        ("SSE4.2", basic, 20),
        ("MOVBE", basic, 22),
        ("POPCNT", basic, 23),
        ("OSXSAVE", basic, 27),
        ("AVX", basic, 28),
        ("F16C", basic, 29),
        ("BMI1", structured, 3),
        ("AVX2", structured, 5),
        ("BMI2", structured, 8),
        ("LZCNT", extended, 5),
    ];
    features.iter().filter(|(_, register, bit)| (register >> bit) & 1 == 0).map(|&(name, ..)| name).collect()
}

#[cfg(all(test, target_arch = "x86_64"))]
mod tests {
    use super::*;

    #[test]
    fn a_cpu_without_avx2_is_told_so() {
        assert_eq!(lacking(u32::MAX, !(1 << 5), u32::MAX), ["AVX2"]);
        assert!(lacking(u32::MAX, u32::MAX, u32::MAX).is_empty());
    }

    #[test]
    fn this_machine_can_run_what_was_built_on_it() {
        check().unwrap();
    }
}
