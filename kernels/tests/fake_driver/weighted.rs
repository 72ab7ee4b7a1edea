//! The kernels of `weighted.cu` and `sum.cu`, on tensors of every kind.

use obelysk_kernels::{Entries, Kernels, Part, Places, View};
use obelysk_statement::{Challenge, Value};
use p3_field::PrimeCharacteristicRing;

use crate::random::{Random, to_device};
use obelysk_fake_driver::{Hardware, Machine};

/// Binary logarithms of the outputs and of the entries that each sums: one thread for a sum, some for it, and more than a block.
pub const SIZES: [(usize, usize); 4] = [(2, 0), (3, 5), (1, 8), (1, 15)];

/// A tensor of each kind, with what it holds.
fn tensors(kernels: &Kernels, entries: usize, random: &mut Random) -> Vec<(Entries, Vec<i64>)> {
    let device = kernels.device();
    let mut number = |bits: u32| match random.word() % 4 {
        0 => -(1i64 << (bits - 1)),
        1 => (1i64 << (bits - 1)) - 1,
        _ => i64::from(random.word() as i32) >> (32 - bits),
    };
    let narrow: Vec<i64> = (0..entries).map(|_| number(16)).collect();
    let wide: Vec<i64> = (0..entries).map(|_| number(32)).collect();
    let width = 4;
    let columns: Vec<u32> = (0..entries.div_ceil(width)).map(|_| random.word() % width as u32).collect();
    let one_hot = (0..entries).map(|place| i64::from(columns[place / width] as usize == place % width)).collect();
    vec![
        (Entries::Narrow(device.upload(&narrow.iter().map(|&own| own as i16).collect::<Vec<i16>>()).unwrap()), narrow),
        (Entries::Wide(device.upload(&wide.iter().map(|&own| own as i32).collect::<Vec<i32>>()).unwrap()), wide),
        (Entries::OneHot { columns: device.upload(&columns).unwrap(), width }, one_hot),
    ]
}

/// Whether both agree on the sums of tensors whose outputs end before the power of two, and are put apart.
pub fn agrees(kernels: &Kernels, (output_bits, summed): (usize, usize), random: &mut Random) -> bool {
    let size = (1usize << output_bits) - 1;
    let parts = [Part { bits: output_bits, size, stride: 1 << summed }, Part::whole(summed, 1)];
    let weights = random.elements(1 << summed);
    let on_device = kernels.device().upload(&to_device(&weights)).unwrap();
    let start = 3;
    tensors(kernels, start + (size << summed), random).into_iter().all(|(entries, values)| {
        let sum = |output: usize| -> Challenge {
            let own = &values[start + (output << summed)..][..1 << summed];
            own.iter().zip(&weights).map(|(&own, &weight)| weight * Value::from_i64(own)).sum()
        };
        let mut expected = vec![Challenge::ONE; 3 << output_bits];
        for output in 0..1 << output_bits {
            expected[1 + 2 * output] = if output < size { sum(output) } else { Challenge::ZERO };
        }
        let mut sums = kernels.device().upload(&to_device(&vec![Challenge::ONE; 3 << output_bits])).unwrap();
        let view = View::new(kernels.device(), &entries, start, &parts).unwrap();
        let places = Places { elements: &mut sums, first: 1, stride: 2 };
        kernels.weighted_sums(&view, &on_device, summed, 1 << output_bits, places).unwrap();
        kernels.device().challenges(&sums).unwrap() == expected
    })
}

#[test]
fn tensors_of_every_kind_are_summed_on_any_grid() {
    for multiprocessors in [1, 132] {
        let machine = Machine::new(Hardware { multiprocessors, ..Hardware::default() });
        let kernels = machine.kernels();
        let mut random = Random::new(300 + multiprocessors as u64);
        for size in SIZES {
            assert!(agrees(&kernels, size, &mut random), "{size:?} on {multiprocessors} multiprocessors");
        }
    }
}
