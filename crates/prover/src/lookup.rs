//! The lookup argument: leaves, then a tree of fractions down to their sum (Haböck, ePrint 2022/1530; Papini and Haböck,
//! ePrint 2023/1284).

use obelysk_statement::lookup::{Block, Source};
use obelysk_statement::plan::Plan;
use obelysk_statement::reduction::constant;
use obelysk_statement::relation::{Access, Linear};
use obelysk_statement::transcript::Transcript;
use obelysk_statement::{Challenge, Relation, Value};
use p3_field::PrimeCharacteristicRing;
use p3_multi_stark::fractional_gkr::{
    Fraction, FractionGkrOutput, FractionGkrProof, LeafNumerator, prove_fractional_gkr,
};
use p3_multilinear_util::poly::{Poly, PolyMaybePacked};
use rayon::prelude::*;

use crate::Honesty;
use crate::tensors::Tensors;

mod unchecked;

/// Prove that the fractions of all leaves sum to zero.
pub(crate) fn prove(
    plan: &Plan,
    tensors: &Tensors,
    keys: [Challenge; 2],
    honesty: Honesty,
    transcript: &mut Transcript,
) -> (FractionGkrProof<Challenge>, FractionGkrOutput<Challenge>) {
    let (numerators, denominators) = leaves(plan, tensors, keys);
    match honesty {
        Honesty::Unchecked => unchecked::prove(numerators, denominators, transcript),
        Honesty::Checked => {
            let numerators = Poly::new(numerators);
            let denominators = PolyMaybePacked::Packed(Poly::new(denominators).pack::<Value, Challenge>());
            let leaves = Fraction { n: LeafNumerator::Base(&numerators), d: &denominators };
            prove_fractional_gkr::<Value, Challenge, Transcript>(leaves, transcript)
        }
    }
}

fn leaves(plan: &Plan, tensors: &Tensors, keys: [Challenge; 2]) -> (Vec<Value>, Vec<Challenge>) {
    let total = 1 << plan.log_leaves();
    let blocks: Vec<(Vec<Value>, Vec<Challenge>)> =
        plan.blocks.par_iter().map(|block| leaves_of(block, tensors, keys)).collect();
    let mut numerators = Vec::with_capacity(total);
    let mut denominators = Vec::with_capacity(total);
    for (top, bottom) in blocks {
        numerators.extend(top);
        denominators.extend(bottom);
    }
    numerators.resize(total, Value::ZERO);
    denominators.resize(total, Challenge::ONE);
    (numerators, denominators)
}

fn leaves_of(block: &Block, tensors: &Tensors, [alpha, beta]: [Challenge; 2]) -> (Vec<Value>, Vec<Challenge>) {
    let statement = tensors.statement;
    let powers = |columns: usize| -> Vec<Challenge> {
        let mut powers = vec![Challenge::ONE, beta * beta];
        powers.extend(std::iter::successors(Some(beta * beta * beta), |power| Some(*power * beta)).take(columns));
        powers
    };
    match &block.source {
        Source::Table(position) => {
            let table = &statement.tables[*position];
            let powers = powers(table.rows.width());
            let base = alpha - beta * constant(i64::try_from(*position).expect("few tables"));
            let axis = statement.tensor(table.multiplicity).axes[0];
            let counts = Access::new(table.multiplicity, &[axis]);
            let numerators = tensors.expand(&counts, &[axis]).into_iter().map(|count| -count).collect();
            let denominators = (0..1usize << block.log_size)
                .map(|row| {
                    let columns = powers.iter().take(table.rows.width()).enumerate();
                    columns
                        .fold(base, |value, (column, &power)| value - power * constant(table.rows.value(column, row)))
                })
                .collect();
            (numerators, denominators)
        }
        Source::Relation(position, parts) => {
            let named = &statement.relations[*position];
            let Relation::Lookup(lookup) = &named.relation else { unreachable!("blocks name lookups") };
            let powers = powers(lookup.columns.len());
            let base = alpha - beta * constant(i64::from(lookup.table.0));
            let size = 1usize << block.log_size;
            let add = |terms: &[(i64, Access)], constant: i64| -> Vec<Value> {
                let mut sums = vec![Value::from_i64(constant); size];
                for (coefficient, access) in terms {
                    let walk = tensors.walk(access, &named.axes, parts);
                    walk.add_to(Value::from_i64(*coefficient), parts, &mut sums);
                }
                sums
            };
            let numerators = match &lookup.mask {
                Some(mask) => add(&[(1, mask.clone())], 0),
                None => vec![Value::ONE; size],
            };
            let mut denominators = vec![base; size];
            for (Linear { terms, constant }, &power) in lookup.columns.iter().zip(&powers) {
                let column = add(terms, *constant);
                denominators.iter_mut().zip(column).for_each(|(value, entry)| *value -= power * entry);
            }
            (numerators, denominators)
        }
    }
}
