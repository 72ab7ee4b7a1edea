//! The soundness error of an opening, term by term, in unique decoding.

use super::plan::OpeningPlan;
use crate::security::Phase;

/// Whole bits of the number of challenges, `(2^31 - 1)^4`.
const FIELD_BITS: f64 = 123.0;

/// One way in which a false claim can pass.
#[derive(Clone, Debug, PartialEq)]
pub struct Term {
    /// Which.
    pub name: &'static str,
    /// Error as bits: `2^-bits`, the grinding before it included.
    pub bits: f64,
    /// How often it occurs.
    pub count: usize,
}

/// All terms of an opening of `claims` claims.
#[must_use]
pub fn terms(plan: &OpeningPlan, claims: usize) -> Vec<Term> {
    let mut terms = Vec::new();
    if claims > 1 {
        // Two lists of claims of which one is false give the same sum for a root of a polynomial of this degree.
        terms.push(Term { name: "claims", bits: FIELD_BITS - ((claims - 1) as f64).log2(), count: 1 });
    }
    for (index, code) in plan.codes.iter().enumerate() {
        if let Some(before) = index.checked_sub(1).map(|before| &plan.codes[before]) {
            let grinding = before.query_grinding as f64;
            terms.push(Term { name: "queries", bits: query_bits(before) + grinding, count: 1 });
            let combined = (2 * before.queries) as f64;
            terms.push(Term { name: "combination", bits: FIELD_BITS - combined.log2() + grinding, count: 1 });
        }
        // A fold makes a word that is far from the code close with the domain's size over the field's; its sumcheck
        // round has degree two.
        let domain = (code.variables + code.log_inverse_rate) as f64;
        let grinding = code.fold_grinding as f64;
        terms.push(Term { name: "proximity", bits: FIELD_BITS - domain + grinding, count: code.fold });
        terms.push(Term { name: "sumcheck", bits: FIELD_BITS - 1.0 + grinding, count: code.fold });
    }
    if let Some(code) = plan.codes.last() {
        terms.push(Term { name: "queries", bits: query_bits(code) + code.query_grinding as f64, count: 1 });
    }
    let bits = FIELD_BITS - 1.0 + plan.last_grinding as f64;
    terms.push(Term { name: "sumcheck", bits, count: plan.last_variables });
    terms
}

/// The sum of all terms.
#[must_use]
pub fn opening_error(name: &'static str, plan: &OpeningPlan, claims: usize) -> Phase {
    let error: f64 = terms(plan, claims).iter().map(|term| term.count as f64 * (-term.bits).exp2()).sum();
    let sites = plan.codes.iter().flat_map(|code| [code.fold_grinding, code.query_grinding]);
    let grinding = sites.chain([plan.last_grinding]).max().unwrap_or(0);
    Phase { name, bits: -error.log2(), grinding }
}

/// A word at half the distance of the code from all codewords passes each query with `(1 + rate) / 2`.
fn query_bits(code: &super::plan::Code) -> f64 {
    let rate = (-(code.log_inverse_rate as f64)).exp2();
    -(code.queries as f64) * f64::midpoint(1.0, rate).log2()
}
