//! Known answers: every kernel once on inputs that are the same everywhere, before a device is trusted with a proof. The answers were
//! computed by the kernels themselves on the processor, where tests compare them with the prover's code.

use obelysk_prover::DeviceError;
use obelysk_statement::words::{challenge, value};
use obelysk_statement::{Challenge, MODULUS, Value};

use crate::device::Buffer;
use crate::extension::{Extension, extensions};
use crate::fractions::{Fraction, Integers};
use crate::kernels::Kernels;
use crate::program::Monomial;
use crate::sum::Places;
use crate::transform::{Columns, TilePart};
use crate::view::{Entries, Part, View};

/// Binary logarithm of most inputs: more than one block takes.
const BITS: usize = 10;

/// What the kernels of a source answer, as the first eight bytes of a hash. Sums come first: others are made of them.
const KNOWN: [(&str, Answer, u64); 11] = [
    ("sum.cu", sum, 0x93c7_bbbc_478b_2aef),
    ("bind.cu", bind, 0xc975_8e0f_d10b_095e),
    ("eq.cu", eq, 0x8d0c_2153_ec75_d3dd),
    ("fractions.cu", fractions, 0xf2c2_c988_ec4c_fcbf),
    ("leaves.cu", leaves, 0xfef6_a6f2_b68f_7331),
    ("linear.cu", linear, 0x1fc7_e898_6ddc_eea6),
    ("opening.cu", opening, 0x2dcc_ae31_38cc_8a81),
    ("program.cu", program, 0x288f_9754_acab_d573),
    ("transform.cu", transform, 0x4c39_4532_71f8_8dcb),
    ("tree.cu", tree, 0x3244_9389_32e3_9bea),
    ("weighted.cu", weighted, 0xe961_be54_0ddf_051e),
];

type Answer = fn(&Kernels) -> Result<Hash, DeviceError>;

impl Kernels {
    /// Compare what every kernel answers with what is known.
    ///
    /// # Errors
    /// [`DeviceError::Lost`] with the source that answers otherwise.
    pub fn self_test(&self) -> Result<(), DeviceError> {
        for (source, answer, known) in KNOWN {
            let found = answer(self)?.finish();
            if found != known {
                return Err(self
                    .device
                    .wrong(&format!("{found:#018x} to the self-test of {source}, not {known:#018x}")));
            }
        }
        Ok(())
    }
}

/// What kernels have answered so far.
#[derive(Default)]
struct Hash(blake3::Hasher);

impl Hash {
    fn words(mut self, words: impl IntoIterator<Item = u32>) -> Self {
        for word in words {
            self.0.update(&word.to_le_bytes());
        }
        self
    }

    fn elements(self, elements: &[Challenge]) -> Self {
        self.words(obelysk_statement::words::words_of(elements))
    }

    fn finish(&self) -> u64 {
        u64::from_le_bytes(self.0.finalize().as_bytes()[..8].try_into().expect("eight bytes"))
    }
}

/// Words of the field, the largest one among them.
fn words(seed: u64, count: usize) -> impl Iterator<Item = u32> {
    let word = move |place: u64| {
        let mixed =
            (place + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15).wrapping_add(seed.wrapping_mul(0xbf58_476d_1ce4_e5b9));
        if place % 17 == 3 { MODULUS as u32 - 1 } else { ((mixed >> 29) % MODULUS as u64) as u32 }
    };
    (0..count as u64).map(word)
}

fn elements(seed: u64, count: usize) -> Vec<Challenge> {
    let words: Vec<u32> = words(seed, 4 * count).collect();
    words.chunks_exact(4).map(|own| challenge(std::array::from_fn(|place| own[place])).expect("words of it")).collect()
}

fn on_device(kernels: &Kernels, seed: u64, bits: usize) -> Result<Buffer<Extension>, DeviceError> {
    kernels.device.upload(&extensions(&elements(seed, 1 << bits)))
}

fn integers(kernels: &Kernels, seed: u64, bits: usize) -> Result<Entries, DeviceError> {
    let integers: Vec<i32> = words(seed, 1 << bits).map(|word| word as i32 - (1 << 30)).collect();
    Ok(Entries::Wide(kernels.device.upload(&integers)?))
}

fn bind(kernels: &Kernels) -> Result<Hash, DeviceError> {
    let mut values = on_device(kernels, 1, BITS)?;
    kernels.bind(&mut values, elements(2, 1)[0].into())?;
    Ok(Hash::default().elements(&kernels.device.challenges(&values)?))
}

fn eq(kernels: &Kernels) -> Result<Hash, DeviceError> {
    let mut table = kernels.eq_table(&elements(3, BITS))?;
    let whole = kernels.device.challenges(&table)?;
    kernels.halve_table(&mut table)?;
    Ok(Hash::default().elements(&whole).elements(&kernels.device.challenges(&table)?))
}

/// Nodes of all kinds.
fn nodes(kernels: &Kernels) -> Result<Buffer<Fraction>, DeviceError> {
    let all = extensions(&elements(4, 2 << BITS));
    let nodes = all.chunks_exact(2).map(|own| Fraction { numerator: own[0], denominator: own[1] });
    kernels.device.upload(&nodes.collect::<Vec<_>>())
}

fn hash_nodes(kernels: &Kernels, hash: Hash, nodes: &Buffer<Fraction>) -> Result<Hash, DeviceError> {
    let element = |own: Extension| own.element().ok_or_else(|| kernels.device.wrong("words that are not of the field"));
    let mut all = Vec::new();
    for Fraction { numerator, denominator } in kernels.device.download(nodes)? {
        all.extend([element(numerator)?, element(denominator)?]);
    }
    Ok(hash.elements(&all))
}

fn fractions(kernels: &Kernels) -> Result<Hash, DeviceError> {
    let mut children = nodes(kernels)?;
    let parents = kernels.add_fractions(&children)?;
    let eq = kernels.eq_factors(&elements(5, BITS - 2))?;
    let sums = kernels.layer_round(&children, 1 << (BITS - 1), &eq, elements(6, 1)[0])?;
    kernels.bind_children(&mut children, 1 << (BITS - 1), elements(7, 1)[0])?;
    let hash = hash_nodes(kernels, Hash::default().elements(&sums), &parents)?;
    hash_nodes(kernels, hash, &children)
}

fn leaves(kernels: &Kernels) -> Result<Hash, DeviceError> {
    let (mut nodes, entries) = (nodes(kernels)?, integers(kernels, 8, BITS)?);
    let view = View::new(&kernels.device, &entries, 0, &[Part { bits: BITS, size: 1000, stride: 1 }])?;
    let [factor, other, denominator] = elements(9, 3)[..] else { unreachable!("three are asked for") };
    kernels.fill_leaves(
        &mut nodes,
        &(300..400),
        Fraction { numerator: other.into(), denominator: denominator.into() },
    )?;
    kernels.set_numerators(&mut nodes, &(0..1 << BITS), 5, &view)?;
    kernels.subtract_entries(&mut nodes, &(0..1 << BITS), factor, &view)?;
    let integers = Integers { from: -700, step: 2, low: -500, high: 900 };
    kernels.subtract_integers(&mut nodes, &(0..1 << BITS), other, integers)?;
    hash_nodes(kernels, Hash::default(), &nodes)
}

fn linear(kernels: &Kernels) -> Result<Hash, DeviceError> {
    let device = &kernels.device;
    let numbers: Vec<i32> = words(10, 9 * 70).map(|word| word as i32 - (1 << 30)).collect();
    let input = device.upload(&numbers)?;
    let narrow = Entries::Narrow(device.upload(&words(11, 3 + 37 * 70).map(|word| word as i16).collect::<Vec<_>>())?);
    let wide = Entries::Wide(device.upload(&words(12, 3 + 37 * 70).map(|word| word as i32).collect::<Vec<_>>())?);
    let mut hash = Hash::default();
    for weights in [narrow, wide] {
        let products = device.download(&kernels.project(&weights, 3, [37, 70], &input)?)?;
        hash = hash.words(products.into_iter().map(|product| product as u32));
    }
    Ok(hash)
}

fn opening(kernels: &Kernels) -> Result<Hash, DeviceError> {
    let (left, mut right) = (on_device(kernels, 13, BITS)?, on_device(kernels, 14, BITS)?);
    let sums = kernels.inner_product_round(&left, &right)?;
    let table = on_device(kernels, 15, BITS - 1)?;
    kernels.add_scaled(&mut right, 1 << (BITS - 1), elements(16, 1)[0], &table)?;
    let coordinates: Vec<Value> = words(17, 3 * BITS).map(|word| value(word).expect("a word of it")).collect();
    let rows: Vec<Vec<Value>> = coordinates.chunks_exact(BITS).map(<[Value]>::to_vec).collect();
    kernels.weigh_rows(&mut right, &rows, &elements(18, 3))?;
    Ok(Hash::default().elements(&sums).elements(&kernels.device.challenges(&right)?))
}

fn program(kernels: &Kernels) -> Result<Hash, DeviceError> {
    let [first, second, third] = elements(19, 3)[..] else { unreachable!("three are asked for") };
    let monomials = [Monomial::new(first, &[1, 2, 3])?, Monomial::new(second, &[2])?, Monomial::new(third, &[])?];
    let sums =
        kernels.monomials_round(&on_device(kernels, 20, BITS + 2)?, 4, &kernels.device.upload(&monomials)?, 4)?;
    Ok(Hash::default().elements(&sums))
}

fn sum(kernels: &Kernels) -> Result<Hash, DeviceError> {
    let rows = on_device(kernels, 21, BITS)?;
    let mut hash = Hash::default();
    for outputs in [4, 64] {
        let mut sums = kernels.device.zeros(outputs)?;
        kernels.sum_columns(&rows, outputs, Places::start_of(&mut sums))?;
        hash = hash.elements(&kernels.device.challenges(&sums)?);
    }
    Ok(hash)
}

/// Columns of words, encoded at half of their rate.
fn encoded(kernels: &Kernels) -> Result<Columns, DeviceError> {
    let (variables, width) = (BITS - 1, 20);
    let words: Vec<u32> = words(22, 32 << variables).collect();
    let words = kernels.device.upload(&words)?;
    let view = View::of_words(&kernels.device, &words, variables + 5)?;
    let mut columns = Columns::new(kernels.device.zeros(width << BITS)?, BITS);
    kernels.read_columns(&view, &TilePart { arity: variables, offset: 0 }, 3, width, &mut columns)?;
    kernels.encode(&kernels.transform(BITS, 0, 0)?, &mut columns, variables)?;
    Ok(columns)
}

fn transform(kernels: &Kernels) -> Result<Hash, DeviceError> {
    let columns = encoded(kernels)?;
    let positions = kernels.device.upload(&[0u64, 5, 511, 1023])?;
    let mut rows = kernels.device.allocate(4 * 20)?;
    kernels.pick_rows(&columns, &positions, &mut rows, 20, 0)?;
    let words = kernels.device.download(&columns.words)?;
    Ok(Hash::default().words(words).words(kernels.device.download(&rows)?))
}

fn tree(kernels: &Kernels) -> Result<Hash, DeviceError> {
    let columns = encoded(kernels)?;
    let mut leaves = kernels.leaves(BITS, 20)?;
    kernels.absorb(&mut leaves, &columns)?;
    let nodes = kernels.nodes(&kernels.tree(leaves)?, &[(0, 0), (0, 1023), (1, 100), (9, 1), (10, 0)])?;
    Ok(Hash::default().words(nodes.into_iter().flat_map(|node| node.0)))
}

fn weighted(kernels: &Kernels) -> Result<Hash, DeviceError> {
    let (entries, weights) = (integers(kernels, 23, BITS + 2)?, on_device(kernels, 24, BITS)?);
    let view =
        View::new(&kernels.device, &entries, 0, &[Part { bits: 2, size: 3, stride: 1 << BITS }, Part::whole(BITS, 1)])?;
    let mut sums = kernels.device.zeros(4)?;
    kernels.weighted_sums(&view, &weights, BITS, 4, Places::start_of(&mut sums))?;
    Ok(Hash::default().elements(&kernels.device.challenges(&sums)?))
}
