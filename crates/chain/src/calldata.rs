//! A proof as calldata: its messages in order, each in whole felts, cut into steps that a contract checks one after the other. Words
//! of the field are eight a felt, digests one. What a contract would have to sort is sent as an order that it checks.

use obelysk_statement::Challenge;
use obelysk_statement::fiat_shamir::{FiatShamir, Label};
use obelysk_statement::tree::{DIGEST_WORDS, Digest, siblings};
use obelysk_statement::words::{CHALLENGE_WORDS, challenge};

use crate::felt::{Felt, entries, words};
use crate::plan::{CodeShape, ContractPlan, OpeningShape, Shape, Sumcheck};

/// What a contract checks in one piece.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StepKind {
    /// The root of the witness, and the lookup argument.
    Lookup,
    /// A product sumcheck.
    Product(usize),
    /// A zerocheck.
    Zerocheck(usize),
    /// All claimed values.
    Claims,
    /// Of an opening: the rows of the codeword before, and the folds of this one; the last polynomial's come last.
    Round(usize, usize),
}

/// Messages that are checked in one piece.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// Which.
    pub kind: StepKind,
    /// Its messages.
    pub felts: Vec<Felt>,
}

/// Bytes that are no proof of the plan's statement.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unpackable {
    /// Too few, or not whole words.
    #[error("the proof ends {missing} words too early")]
    Short {
        /// How many are missing.
        missing: usize,
    },
    /// Too many.
    #[error("{words} words of the proof are left over")]
    Long {
        /// How many.
        words: usize,
    },
    /// A word that is no element of the field.
    #[error("the proof holds the word {word}, which is not below the field's modulus")]
    Word {
        /// The word.
        word: u32,
    },
}

/// The steps of a proof.
///
/// # Errors
/// Why the bytes are no proof of a statement of this shape. Whether they prove it is not asked.
pub fn steps(shape: &Shape, transcript: FiatShamir, proof: &[u8]) -> Result<Vec<Step>, Unpackable> {
    let words: Vec<u32> =
        proof.chunks_exact(4).map(|bytes| u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]])).collect();
    let mut walk = Walk { words: &words, transcript, felts: Vec::new(), steps: Vec::new() };
    if shape.openings.iter().any(|opening| opening.witness) {
        walk.root()?;
    }
    if shape.log_leaves > 0 {
        walk.lookup(shape)?;
    }
    walk.end(StepKind::Lookup);
    walk.draw(shape.axis_challenges + 1);
    for (place, &sumcheck) in shape.products.iter().enumerate() {
        walk.message(Label::SUM, 1)?;
        walk.sumcheck(sumcheck)?;
        walk.end(StepKind::Product(place));
    }
    for (place, &sumcheck) in shape.zerochecks.iter().enumerate() {
        walk.sumcheck(sumcheck)?;
        walk.end(StepKind::Zerocheck(place));
    }
    for opening in &shape.openings {
        walk.message(Label::CLAIMS, opening.claims)?;
    }
    walk.end(StepKind::Claims);
    for (place, opening) in shape.openings.iter().enumerate() {
        walk.opening(place, opening)?;
    }
    if walk.words.is_empty() { Ok(walk.steps) } else { Err(Unpackable::Long { words: walk.words.len() }) }
}

/// What a call brings for each step: its messages, and before them what the contract keeps the digest of only: the equations' program,
/// the values that an opening begins with, the program that it ends with.
#[must_use]
pub fn brought(plan: &ContractPlan, steps: &[Step]) -> Vec<Vec<Felt>> {
    let claims = steps.iter().find(|step| step.kind == StepKind::Claims);
    let values_of = |opening: usize| {
        let felts = |opening: &OpeningShape| opening.claims.div_ceil(2);
        let before: usize = plan.shape.openings[..opening].iter().map(felts).sum();
        let values = &claims.expect("every proof claims values").felts[before..];
        values[..felts(&plan.shape.openings[opening])].to_vec()
    };
    let before = |step: &Step| match step.kind {
        StepKind::Claims => program(&plan.equations),
        StepKind::Round(opening, 0) => values_of(opening),
        StepKind::Round(opening, round) if round == plan.shape.openings[opening].codes.len() => {
            program(&plan.openings[opening])
        }
        _ => Vec::new(),
    };
    steps.iter().map(|step| [before(step), step.felts.clone()].concat()).collect()
}

/// A part of a plan: the numbers of its entries and felts, and these.
#[must_use]
pub fn program(part: &[u16]) -> Vec<Felt> {
    let felts: Vec<Felt> = entries(part).collect();
    [part.len(), felts.len()].map(|number| Felt::from(number as u64)).into_iter().chain(felts).collect()
}

/// A proof that is being read.
struct Walk<'a> {
    words: &'a [u32],
    transcript: FiatShamir,
    felts: Vec<Felt>,
    steps: Vec<Step>,
}

impl<'a> Walk<'a> {
    fn end(&mut self, kind: StepKind) {
        self.steps.push(Step { kind, felts: std::mem::take(&mut self.felts) });
    }

    fn take(&mut self, count: usize) -> Result<&'a [u32], Unpackable> {
        let missing = count.saturating_sub(self.words.len());
        let (own, rest) = self.words.split_at_checked(count).ok_or(Unpackable::Short { missing })?;
        self.words = rest;
        Ok(own)
    }

    /// Words of the field.
    fn elements(&mut self, count: usize) -> Result<&'a [u32], Unpackable> {
        let own = self.take(count)?;
        match own.iter().find(|&&word| i64::from(word) >= obelysk_statement::MODULUS) {
            Some(&word) => Err(Unpackable::Word { word }),
            None => Ok(own),
        }
    }

    /// Challenges of one message.
    fn message(&mut self, label: Label, count: usize) -> Result<Vec<Challenge>, Unpackable> {
        let own = self.elements(CHALLENGE_WORDS * count)?;
        self.transcript.absorb(label, own);
        self.felts.extend(words(own));
        let four = own.as_chunks::<CHALLENGE_WORDS>().0.iter();
        Ok(four.filter_map(|&words| challenge(words)).collect())
    }

    /// Challenges that come between messages.
    fn draw(&mut self, count: usize) {
        drop(self.transcript.challenges(count));
    }

    fn root(&mut self) -> Result<(), Unpackable> {
        let own = self.take(DIGEST_WORDS)?;
        self.transcript.absorb(Label::ROOT, own);
        self.digests(own);
        Ok(())
    }

    fn digests(&mut self, words: &[u32]) {
        let digests = words.as_chunks::<DIGEST_WORDS>().0.iter();
        self.felts.extend(digests.map(|&digest| Felt::from(Digest(digest))));
    }

    /// What a wrong work is worth is for the contract to say.
    fn work(&mut self, bits: usize) -> Result<(), Unpackable> {
        let [witness] = self.elements(1)? else { unreachable!("one word") };
        let _ = self.transcript.check(*witness, bits);
        self.felts.push(Felt::from(u64::from(*witness)));
        Ok(())
    }

    fn lookup(&mut self, shape: &Shape) -> Result<(), Unpackable> {
        self.work(shape.lookup_grinding)?;
        self.draw(2);
        self.message(Label::TREE, 1)?;
        for layer in 0..shape.log_leaves {
            self.draw(1);
            for _ in 0..layer {
                self.message(Label::FOLD, 2)?;
                self.draw(1);
            }
            self.message(Label::CHILDREN, 4)?;
            self.draw(1);
        }
        Ok(())
    }

    fn sumcheck(&mut self, sumcheck: Sumcheck) -> Result<(), Unpackable> {
        for _ in 0..sumcheck.variables {
            self.message(Label::FOLD, sumcheck.degree)?;
            self.draw(1);
        }
        Ok(())
    }

    fn opening(&mut self, place: usize, opening: &OpeningShape) -> Result<(), Unpackable> {
        self.transcript.absorb(Label::OPEN, &[opening.variables as u32, opening.claims as u32]);
        self.draw(1);
        for (round, code) in opening.codes.iter().enumerate() {
            if let Some(before) = round.checked_sub(1) {
                self.root()?;
                self.rows(before, &opening.codes[before])?;
                self.draw(1);
            }
            self.folds(code.fold, code.fold_grinding)?;
            self.end(StepKind::Round(place, round));
        }
        self.message(Label::CLEAR, 1 << opening.last_variables)?;
        let last = opening.codes.len() - 1;
        self.rows(last, &opening.codes[last])?;
        self.folds(opening.last_variables, opening.last_grinding)?;
        self.end(StepKind::Round(place, opening.codes.len()));
        Ok(())
    }

    fn folds(&mut self, count: usize, grinding: usize) -> Result<(), Unpackable> {
        for _ in 0..count {
            self.message(Label::FOLD, 2)?;
            if grinding > 0 {
                self.work(grinding)?;
            }
            self.draw(1);
        }
        Ok(())
    }

    /// The order of the drawn positions, the rows, and their siblings.
    fn rows(&mut self, place: usize, code: &CodeShape) -> Result<(), Unpackable> {
        if code.query_grinding > 0 {
            self.work(code.query_grinding)?;
        }
        let mut positions: Vec<usize>;
        if code.queries >= 1 << code.log_rows {
            positions = (0..1 << code.log_rows).collect();
        } else {
            let drawn = self.transcript.draws(code.queries, code.log_rows);
            let mut order: Vec<u16> = (0..code.queries as u16).collect();
            order.sort_by_key(|&place| drawn[usize::from(place)]);
            positions = order.iter().map(|&place| drawn[usize::from(place)]).collect();
            positions.dedup();
            self.felts.extend(entries(&order));
        }
        let each = if place == 0 { 1 } else { CHALLENGE_WORDS };
        for _ in &positions {
            let row = self.elements(each << code.fold)?;
            self.felts.extend(words(row));
        }
        let siblings = self.take(DIGEST_WORDS * siblings(&positions, code.log_rows).len())?;
        self.digests(siblings);
        Ok(())
    }
}
