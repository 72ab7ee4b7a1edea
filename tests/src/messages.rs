//! The messages of a proof in order: an own reading of its words, which replays the transcript from a description of the protocol and
//! shares no code with prover or verifier. It checks nothing but proofs of work, by which a transcript shows that it is the right one.

use std::fmt;
use std::ops::Range;

use obelysk_statement::batch::variables;
use obelysk_statement::fiat_shamir::{FiatShamir, Label, Step};
use obelysk_statement::layout::Role;
use obelysk_statement::plan::{Committed, Plan};
use obelysk_statement::schedule::LOOKUP_GRINDING;
use obelysk_statement::tree::{DIGEST_WORDS, Digest, siblings};
use obelysk_statement::words::CHALLENGE_WORDS;
use obelysk_statement::{Challenge, Statement};

/// What the words of a message are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Digests, whose words may be any.
    Digests,
    /// Elements of the base field, one per word.
    Elements,
    /// Challenges.
    Challenges,
    /// A proof of work.
    Work,
}

/// A run of words that belong together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// What it says.
    pub name: String,
    /// Its words in the proof.
    pub words: Range<usize>,
    /// What they are.
    pub kind: Kind,
}

/// A proof that was read.
pub struct Reading {
    /// Its messages in order; no word is outside of them.
    pub messages: Vec<Message>,
    /// What the transcript hashed, in order.
    pub steps: Vec<Step>,
}

/// A proof that does not read like one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Illegible(String);

impl fmt::Display for Illegible {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

struct Walk<'a> {
    words: &'a [u32],
    transcript: FiatShamir,
    next: usize,
    messages: Vec<Message>,
}

/// The words of a proof.
#[must_use]
pub fn words(proof: &[u8]) -> Vec<u32> {
    proof.chunks_exact(4).map(|bytes| u32::from_le_bytes(bytes.try_into().expect("four bytes"))).collect()
}

/// Read a proof of a statement.
///
/// # Errors
/// Where it ends early or late, or where a proof of work is none.
///
/// # Panics
/// If the statement is too large.
pub fn read(statement: &Statement, header: &[u8], root: Digest, proof: &[u8]) -> Result<Reading, Illegible> {
    let plan = Plan::new(statement).expect("a small statement");
    let words = words(proof);
    let mut walk = Walk { words: &words, transcript: started(header, statement, root), next: 0, messages: Vec::new() };
    if plan.commitment(Role::Witness).is_some() {
        walk.said("root of the witness", Label::ROOT, Kind::Digests, 1)?;
    }
    let mut claims = plan.claims();
    if !plan.blocks.is_empty() {
        walk.work("work before the lookup argument", LOOKUP_GRINDING)?;
        let keys = [walk.transcript.challenge(), walk.transcript.challenge()];
        let point = walk.tree(plan.log_leaves())?;
        claims.lookup(&plan.blocks, keys, &point);
    }
    let points = plan.draw_points(&mut walk.transcript);
    let lambda = walk.transcript.challenge();
    claims.linear_relations(&points);
    for (place, batch) in plan.products.iter().enumerate() {
        walk.said(&format!("sum of products {place}"), Label::SUM, Kind::Challenges, 1)?;
        let name = format!("products {place}");
        let end = walk.rounds(&name, variables(statement, &batch.axes()), batch.degree())?;
        claims.products(batch, lambda, &points, &end);
    }
    for (place, batch) in plan.zerochecks.iter().enumerate() {
        let end = walk.rounds(&format!("zerocheck {place}"), variables(statement, &batch.axes), batch.degree)?;
        claims.zerocheck(batch, lambda, &points, &end);
    }
    for (place, committed) in plan.commitments.iter().enumerate() {
        let name = format!("claims of the {}", committed.role.opening_name());
        walk.said(&name, Label::CLAIMS, Kind::Challenges, claims.count(place))?;
    }
    for (place, committed) in plan.commitments.iter().enumerate() {
        walk.opening(committed, claims.count(place))?;
    }
    if walk.next != words.len() || 4 * words.len() != proof.len() {
        return Err(Illegible(format!("{} bytes are left", proof.len() - 4 * walk.next)));
    }
    let steps = walk.transcript.steps().to_vec();
    Ok(Reading { messages: walk.messages, steps })
}

/// A transcript that has absorbed what precedes a proof, and writes down its steps.
fn started(header: &[u8], statement: &Statement, root: Digest) -> FiatShamir {
    let mut transcript = FiatShamir::recording();
    let mut padded = header.to_vec();
    padded.resize(header.len().next_multiple_of(4), 0);
    let length = u32::try_from(header.len()).expect("a short header");
    transcript.absorb(Label::HEADER, &[vec![length], words(&padded)].concat());
    transcript.absorb(Label::STATEMENT, &statement.digest().0);
    transcript.absorb(Label::PUBLIC, &statement.public_inputs());
    transcript.absorb(Label::ROOT, &root.0);
    transcript
}

impl Walk<'_> {
    /// Take words without telling the transcript.
    fn take(&mut self, name: &str, kind: Kind, count: usize) -> Result<Vec<u32>, Illegible> {
        let each = match kind {
            Kind::Digests => DIGEST_WORDS,
            Kind::Challenges => CHALLENGE_WORDS,
            Kind::Elements | Kind::Work => 1,
        };
        let words = self.next..self.next + each * count;
        let own = self.words.get(words.clone()).ok_or_else(|| Illegible(format!("it ends before: {name}")))?;
        self.next = words.end;
        if !words.is_empty() {
            self.messages.push(Message { name: name.to_owned(), words, kind });
        }
        Ok(own.to_vec())
    }

    fn said(&mut self, name: &str, label: Label, kind: Kind, count: usize) -> Result<Vec<u32>, Illegible> {
        let own = self.take(name, kind, count)?;
        self.transcript.absorb(label, &own);
        Ok(own)
    }

    fn work(&mut self, name: &str, bits: usize) -> Result<(), Illegible> {
        let witness = self.take(name, Kind::Work, 1)?[0];
        if self.transcript.check(witness, bits) { Ok(()) } else { Err(Illegible(format!("no proof of work: {name}"))) }
    }

    fn tree(&mut self, variables: usize) -> Result<Vec<Challenge>, Illegible> {
        self.said("denominator of the root", Label::TREE, Kind::Challenges, 1)?;
        let mut point = Vec::new();
        for layer in 0..variables {
            let _lambda = self.transcript.challenge();
            let inner = self.rounds(&format!("layer {layer}"), layer, 2)?;
            self.said(&format!("children of layer {layer}"), Label::CHILDREN, Kind::Challenges, 4)?;
            point = [&[self.transcript.challenge()], inner.as_slice()].concat();
        }
        Ok(point)
    }

    fn rounds(&mut self, name: &str, count: usize, degree: usize) -> Result<Vec<Challenge>, Illegible> {
        let mut point = Vec::new();
        for round in 0..count {
            self.said(&format!("{name}, round {round}"), Label::FOLD, Kind::Challenges, degree)?;
            point.push(self.transcript.challenge());
        }
        Ok(point)
    }

    fn opening(&mut self, committed: &Committed, claims: usize) -> Result<(), Illegible> {
        let (name, plan) = (committed.role.opening_name(), &committed.opening);
        self.transcript.absorb(Label::OPEN, &[plan.variables() as u32, claims as u32]);
        let _alpha = self.transcript.challenge();
        for (index, code) in plan.codes.iter().enumerate() {
            if index > 0 {
                self.said(&format!("{name}, root {index}"), Label::ROOT, Kind::Digests, 1)?;
                self.rows(committed, index - 1)?;
                let _gamma = self.transcript.challenge();
            }
            self.folds(&format!("{name}, folds of code {index}"), code.fold, code.fold_grinding)?;
        }
        self.said(&format!("{name}, last polynomial"), Label::CLEAR, Kind::Challenges, 1 << plan.last_variables)?;
        self.rows(committed, plan.codes.len() - 1)?;
        self.folds(&format!("{name}, last folds"), plan.last_variables, plan.last_grinding)
    }

    fn folds(&mut self, name: &str, count: usize, grinding: usize) -> Result<(), Illegible> {
        for fold in 0..count {
            self.said(&format!("{name}, {fold}"), Label::FOLD, Kind::Challenges, 2)?;
            if grinding > 0 {
                self.work(&format!("{name}, work {fold}"), grinding)?;
            }
            let _ = self.transcript.challenge();
        }
        Ok(())
    }

    fn rows(&mut self, committed: &Committed, index: usize) -> Result<(), Illegible> {
        let (name, code) = (committed.role.opening_name(), &committed.opening.codes[index]);
        if code.query_grinding > 0 {
            self.work(&format!("{name}, work before rows of code {index}"), code.query_grinding)?;
        }
        let positions = self.transcript.positions(code.queries, code.log_rows());
        let kind = if index == 0 { Kind::Elements } else { Kind::Challenges };
        for place in 0..positions.len() {
            self.take(&format!("{name}, row {place} of code {index}"), kind, 1 << code.fold)?;
        }
        let count = siblings(&positions, code.log_rows()).len();
        self.take(&format!("{name}, siblings of code {index}"), Kind::Digests, count)?;
        Ok(())
    }
}
