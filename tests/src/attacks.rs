//! Attacks, generated from a statement's own list: for every relation at least one change of the witness that breaks it. A
//! cheating prover runs honest code on the changed witness; the verifier must refuse the result.

use obelysk_statement::Statement;
use obelysk_statement::relation::{Access, Index, NamedRelation, Relation, TensorKind};
use obelysk_statement::statement::accesses;
use obelysk_witness::{Assignment, Weights, check_relation};

/// A change of the witness that breaks a relation.
#[derive(Clone, Debug)]
pub struct Attack {
    /// The relation that it breaks.
    pub relation: String,
    /// What it does.
    pub name: String,
    /// Changed entries: tensor, place, new value.
    pub changes: Vec<(String, usize, i32)>,
}

impl Attack {
    /// The witness after the change.
    #[must_use]
    pub fn apply(&self, witness: &Assignment) -> Assignment {
        let mut changed = witness.clone();
        for (tensor, place, value) in &self.changes {
            changed.get_mut(tensor).expect("attacks change tensors that exist")[*place] = *value;
        }
        changed
    }
}

/// Values that are tried in place of an entry: off by one, out of range, of the wrong sign, far away.
fn substitutes(value: i32) -> Vec<i32> {
    let mut values = vec![value + 1, value - 1, value + (1 << 16), value - (1 << 16), -value, 0, 1, 1 << 20];
    values.retain(|&candidate| candidate != value);
    values.dedup();
    values
}

/// Places of a tensor that are tried: the first, the last, and some between.
fn places(length: usize) -> Vec<usize> {
    let mut places: Vec<usize> = [0, length / 3, length / 2, 2 * length / 3, length - 1].into();
    places.dedup();
    places
}

/// Attacks on every relation.
///
/// # Errors
/// Names of relations that no change was found to break: they need attacks of their own, or say nothing.
pub fn attacks(statement: &Statement, weights: &Weights, witness: &Assignment) -> Result<Vec<Attack>, Vec<String>> {
    let mut found = Vec::new();
    let mut without = Vec::new();
    for named in &statement.relations {
        let before = found.len();
        found.extend(single_change(statement, weights, witness, named));
        found.extend(compensated_remainder(statement, weights, witness, named));
        found.extend(wrapped(statement, weights, witness, named));
        found.extend(excess_in_place_of_value(statement, weights, witness, named));
        found.extend(clamped_to_another_value(statement, weights, witness, named));
        if found.len() == before {
            without.push(named.name.clone());
        }
    }
    if without.is_empty() { Ok(found) } else { Err(without) }
}

/// One entry of one committed tensor changes: a few places first, all of a small tensor where they do not matter.
fn single_change(
    statement: &Statement,
    weights: &Weights,
    witness: &Assignment,
    named: &NamedRelation,
) -> Option<Attack> {
    let all = |length: usize| if length <= SMALL { (0..length).collect() } else { Vec::new() };
    change_at(statement, weights, witness, named, places).or_else(|| change_at(statement, weights, witness, named, all))
}

/// Longest tensor that is tried entry by entry.
const SMALL: usize = 4096;

fn change_at(
    statement: &Statement,
    weights: &Weights,
    witness: &Assignment,
    named: &NamedRelation,
    places: impl Fn(usize) -> Vec<usize>,
) -> Option<Attack> {
    for (access, _) in accesses(&named.relation) {
        let tensor = statement.tensor(access.tensor);
        if tensor.kind != TensorKind::Witness {
            continue;
        }
        let values = &witness[&tensor.name];
        for place in places(values.len()) {
            for substitute in substitutes(values[place]) {
                let attack = Attack {
                    relation: named.name.clone(),
                    name: format!("{}[{place}] = {substitute}, not {}", tensor.name, values[place]),
                    changes: vec![(tensor.name.clone(), place, substitute)],
                };
                if check_relation(statement, weights, &attack.apply(witness), named).is_err() {
                    return Some(attack);
                }
            }
        }
    }
    None
}

/// The value and the remainder of a rounding: terms `(2^s, value)` and `(1, remainder)` of a product's output.
fn rounding<'a>(statement: &'a Statement, tensor: &str) -> Option<(i64, &'a Access, &'a Access)> {
    statement.relations.iter().find_map(|named| {
        let Relation::Product { output, contractions, .. } = &named.relation else { return None };
        if contractions.is_empty() {
            return None;
        }
        let plain = |access: &Access| access.index.iter().all(|index| matches!(index, Index::Axis(_)));
        let remainder = output
            .terms
            .iter()
            .find(|(c, a)| *c == 1 && plain(a) && statement.tensor(a.tensor).name.ends_with("remainder"))?;
        let value = output.terms.iter().find(|(c, a)| *c > 1 && plain(a) && a.index == remainder.1.index)?;
        let names = [&remainder.1, &value.1].map(|access| statement.tensor(access.tensor).name.as_str());
        names.contains(&tensor).then_some((value.0, &value.1, &remainder.1))
    })
}

/// The tensor that a range check looks up.
fn checked_tensor<'a>(statement: &'a Statement, named: &NamedRelation) -> Option<&'a str> {
    let Relation::Lookup(lookup) = &named.relation else { return None };
    let [(1, access)] = lookup.columns.first()?.terms.as_slice() else { return None };
    Some(statement.tensor(access.tensor).name.as_str())
}

/// The rounded value is off by one and the remainder makes up for it: the equation holds, the remainder's range does not.
fn compensated_remainder(
    statement: &Statement,
    weights: &Weights,
    witness: &Assignment,
    named: &NamedRelation,
) -> Option<Attack> {
    let tensor = checked_tensor(statement, named)?;
    let (unit, value, remainder) = rounding(statement, tensor)?;
    change_both(statement, weights, witness, named, (value, 1), (remainder, -unit), "remainder out of range")
}

/// Value and remainder change by multiples that cancel modulo the field: `2^s 2^(31-s) - 1` is the modulus.
fn wrapped(statement: &Statement, weights: &Weights, witness: &Assignment, named: &NamedRelation) -> Option<Attack> {
    let tensor = checked_tensor(statement, named)?;
    let (unit, value, remainder) = rounding(statement, tensor)?;
    let step = (1i64 << 31) / unit;
    change_both(statement, weights, witness, named, (value, step), (remainder, -1), "wrapped by the modulus")
}

/// The value moves inside of its range and an excess makes up for it: the equation and both ranges hold, but only the ends
/// of the range may have an excess.
fn excess_in_place_of_value(
    statement: &Statement,
    weights: &Weights,
    witness: &Assignment,
    named: &NamedRelation,
) -> Option<Attack> {
    let Relation::Vanishing { left, right } = &named.relation else { return None };
    let (_, excess) = left.terms.iter().find(|(unit, _)| *unit == 1)?;
    let tensor = statement.tensor(excess.tensor).name.as_str();
    let by = match tensor.rsplit_once('.')? {
        (_, "above") => -1,
        (_, "below") => 1,
        _ => return None,
    };
    let is_witness = |access: &Access| statement.tensor(access.tensor).kind == TensorKind::Witness;
    let (_, value) = right.terms.iter().find(|(unit, access)| unit.abs() == 1 && is_witness(access))?;
    let value = &statement.tensor(value.tensor).name;
    let middle = places(witness[value].len()).into_iter().find(|&place| witness[tensor][place] == 0)?;
    let attack = Attack {
        relation: named.name.clone(),
        name: format!("{value}[{middle}] by {by}, {tensor} in its place"),
        changes: vec![
            (value.clone(), middle, witness[value][middle] + by),
            (tensor.to_owned(), middle, witness[tensor][middle] + 1),
        ],
    };
    check_relation(statement, weights, &attack.apply(witness), named).is_err().then_some(attack)
}

/// What is clamped is left as it is, and becomes a neighbour of its nearest end.
fn clamped_to_another_value(
    statement: &Statement,
    weights: &Weights,
    witness: &Assignment,
    named: &NamedRelation,
) -> Option<Attack> {
    let Relation::Lookup(lookup) = &named.relation else { return None };
    let [unclamped, value] = lookup.columns.as_slice() else { return None };
    let [unclamped, value] = [unclamped, value].map(|column| &statement.tensor(column.terms[0].1.tensor).name);
    if !unclamped.ends_with(".unclamped") {
        return None;
    }
    let pairs = witness[unclamped].iter().zip(&witness[value]);
    // One that is clamped, if any is.
    let place = pairs.clone().position(|(unclamped, value)| unclamped != value).unwrap_or(0);
    let neighbour = witness[value][place] + if witness[value][place] > 0 { -1 } else { 1 };
    let attack = Attack {
        relation: named.name.clone(),
        name: format!("{value}[{place}] = {neighbour}, clamped from {}", witness[unclamped][place]),
        changes: vec![(value.clone(), place, neighbour)],
    };
    check_relation(statement, weights, &attack.apply(witness), named).is_err().then_some(attack)
}

fn change_both(
    statement: &Statement,
    weights: &Weights,
    witness: &Assignment,
    named: &NamedRelation,
    (first, by): (&Access, i64),
    (second, by_second): (&Access, i64),
    name: &str,
) -> Option<Attack> {
    let names = [first, second].map(|access| statement.tensor(access.tensor).name.clone());
    let place = places(witness[&names[0]].len()).into_iter().find(|&place| witness[&names[1]][place] > 0)?;
    let moved = |tensor: &String, by: i64| i32::try_from(i64::from(witness[tensor][place]) + by).ok();
    let attack = Attack {
        relation: named.name.clone(),
        name: format!("{name}: {}[{place}] by {by}", names[0]),
        changes: vec![
            (names[0].clone(), place, moved(&names[0], by)?),
            (names[1].clone(), place, moved(&names[1], by_second)?),
        ],
    };
    check_relation(statement, weights, &attack.apply(witness), named).is_err().then_some(attack)
}
