//! The kernels of `linear.cu`: products of a matrix, of weights as wide as they may be.

use obelysk_kernels::{Entries, Kernels};

use crate::random::Random;
use obelysk_fake_driver::{Hardware, Machine};

/// Rows, channels and width: less than a group takes at once, not a multiple of it, and more than a block does.
pub const SIZES: [[usize; 3]; 5] = [[1, 1, 1], [1, 5, 33], [9, 13, 64], [8, 4, 31], [19, 37, 70]];

/// Whether the device's products are those of the processor, modulo 2^32.
pub fn agrees(kernels: &Kernels, [rows, channels, width]: [usize; 3], random: &mut Random) -> bool {
    let first = 3;
    let mut numbers = |count: usize| -> Vec<i32> { (0..count).map(|_| random.word() as i32).collect() };
    let (input, wide) = (numbers(rows * width), numbers(first + channels * width));
    let narrow: Vec<i16> = wide.iter().map(|&own| own as i16).collect();
    let products = |weight: &dyn Fn(usize) -> i32| -> Vec<i32> {
        let product = |row: usize, channel: usize| {
            let terms =
                (0..width).map(|place| weight(channel * width + place).wrapping_mul(input[row * width + place]));
            terms.fold(0i32, i32::wrapping_add)
        };
        (0..rows).flat_map(|row| (0..channels).map(move |channel| (row, channel))).map(|(r, c)| product(r, c)).collect()
    };
    let device = kernels.device();
    let on_device = device.upload(&input).unwrap();
    let project = |weights: &Entries| {
        device.download(&kernels.project(weights, first, [channels, width], &on_device).unwrap()).unwrap()
    };
    project(&Entries::Narrow(device.upload(&narrow).unwrap())) == products(&|place| narrow[first + place].into())
        && project(&Entries::Wide(device.upload(&wide).unwrap())) == products(&|place| wide[first + place])
}

#[test]
fn products_are_exact_on_any_grid() {
    for multiprocessors in [1, 132] {
        let machine = Machine::new(Hardware { multiprocessors, ..Hardware::default() });
        let (kernels, mut random) = (machine.kernels(), Random::new(400 + multiprocessors as u64));
        for size in SIZES {
            assert!(agrees(&kernels, size, &mut random), "{size:?} on {multiprocessors} multiprocessors");
        }
    }
}
