//! The kernel of `bind.cu`: its twin is `crates/prover/src/bind.rs`.

use obelysk_kernels::Kernels;
use obelysk_statement::words::challenge;
use obelysk_statement::{Challenge, MODULUS};

use crate::random::{Random, to_device};
use obelysk_fake_driver::{Hardware, Machine};

fn on_the_processor(values: &[Challenge], challenge: Challenge) -> Vec<Challenge> {
    let (low, high) = values.split_at(values.len() / 2);
    low.iter().zip(high).map(|(&low, &high)| low + challenge * (high - low)).collect()
}

/// What the device computes, `None` where a word is not canonical.
pub fn on_the_device(kernels: &Kernels, values: &[Challenge], challenge: Challenge) -> Vec<Option<Challenge>> {
    let mut buffer = kernels.device().upload(&to_device(values)).unwrap();
    kernels.bind(&mut buffer, challenge.into()).unwrap();
    kernels.device().download(&buffer).unwrap().into_iter().map(|element| element.element()).collect()
}

/// Whether both agree on values of every kind.
pub fn agrees(kernels: &Kernels, half: usize, random: &mut Random) -> bool {
    let (values, challenge) = (random.elements(2 * half), random.element());
    let expected: Vec<_> = on_the_processor(&values, challenge).into_iter().map(Some).collect();
    on_the_device(kernels, &values, challenge) == expected
}

#[test]
fn values_of_any_number_are_bound_on_any_grid() {
    for multiprocessors in [1, 3, 132] {
        let machine = Machine::new(Hardware { multiprocessors, ..Hardware::default() });
        let kernels = machine.kernels();
        let mut random = Random::new(100 + multiprocessors as u64);
        for half in [1, 2, 3, 31, 255, 256, 257, 1000, 4096] {
            assert!(agrees(&kernels, half, &mut random), "{half} values on {multiprocessors} multiprocessors");
        }
    }
}

#[test]
fn the_field_is_right_where_words_are_extreme() {
    let machine = Machine::new(Hardware::default());
    let kernels = machine.kernels();
    let words = [0, 1, (MODULUS - 1) as u32];
    let number = |digits: usize, place: u32| words[digits / 3usize.pow(place) % 3];
    let elements: Vec<Challenge> =
        (0..81).map(|digits| challenge(std::array::from_fn(|place| number(digits, place as u32))).unwrap()).collect();
    for &by in &elements {
        let values: Vec<Challenge> = elements.iter().chain(elements.iter().rev()).copied().collect();
        let expected: Vec<_> = on_the_processor(&values, by).into_iter().map(Some).collect();
        assert_eq!(on_the_device(&kernels, &values, by), expected, "by {by:?}");
    }
}

#[test]
fn a_polynomial_is_bound_down_to_its_value_at_a_point() {
    let machine = Machine::new(Hardware::default());
    let kernels = machine.kernels();
    let mut random = Random::new(1);
    let mut expected = random.elements(1 << 10);
    let mut values = kernels.device().upload(&to_device(&expected)).unwrap();
    while expected.len() > 1 {
        let challenge = random.element();
        expected = on_the_processor(&expected, challenge);
        kernels.bind(&mut values, challenge.into()).unwrap();
    }
    let left = kernels.device().download(&values).unwrap();
    assert_eq!(left.len(), 1);
    assert_eq!(left[0].element(), Some(expected[0]));
}
