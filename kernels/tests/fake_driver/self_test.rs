//! The test that a device passes before it is trusted.

use obelysk_fake_driver::{Hardware, Machine};
use obelysk_prover::DeviceError;

/// A bug for every source: what it replaces, and by what.
const BUGS: [(&str, &str, &str); 11] = [
    ("bind.cu", "MODULUS - right.b", "right.b"),
    ("eq.cu", "add(table[item], table[half + item])", "table[item]"),
    ("fractions.cu", "multiply(weight, square)", "square"),
    ("leaves.cu", "own < low ? low :", ""),
    ("linear.cu", "other < LANES;", "other < LANES / 2;"),
    ("opening.cu", "multiply(high, low)", "high"),
    ("program.cu", "add(value, product)", "product"),
    ("sum.cu", "row = 1; row < count", "row = 2; row < count"),
    ("transform.cu", "subtract(value, product)", "value"),
    ("tree.cu", "4 * 2 * DIGEST_WORDS, true", "64, true"),
    ("weighted.cu", "output << summed | step", "step"),
];

#[test]
fn a_device_that_is_right_passes_on_any_grid() {
    for multiprocessors in [1, 132] {
        let machine = Machine::new(Hardware { multiprocessors, ..Hardware::default() });
        machine.kernels().self_test().unwrap();
    }
}

#[test]
fn a_bug_of_any_source_is_found() {
    for (source, find, with) in BUGS {
        let machine = Machine::new(Hardware::default());
        machine.plant(source, find, with);
        let error = machine.kernels().self_test().expect_err(source);
        let DeviceError::Lost { reason, .. } = &error else { panic!("{source}: {error}") };
        assert!(reason.contains(&format!("to the self-test of {source}")), "{source}: {error}");
    }
}
