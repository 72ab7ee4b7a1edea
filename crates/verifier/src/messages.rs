//! The prover's messages, each absorbed as it is read: the other side of the prover's file of the same name.

use obelysk_statement::Challenge;
use obelysk_statement::fiat_shamir::{FiatShamir, Label};
use obelysk_statement::tree::Digest;

use crate::VerifyError;
use crate::whir::Reader;

/// What is left of a proof, and the transcript of what was read.
pub(crate) struct Messages<'a> {
    pub(crate) reader: Reader<'a>,
    pub(crate) transcript: FiatShamir,
}

impl Messages<'_> {
    /// Challenges of one message.
    pub(crate) fn challenges(&mut self, label: Label, count: usize) -> Result<Vec<Challenge>, VerifyError> {
        let own = self.reader.challenges(count)?;
        self.transcript.absorb_challenges(label, &own);
        Ok(own)
    }

    /// The root of a tree.
    pub(crate) fn root(&mut self) -> Result<Digest, VerifyError> {
        let root = self.reader.digest()?;
        self.transcript.absorb(Label::ROOT, &root.0);
        Ok(root)
    }

    /// A proof of work.
    pub(crate) fn work(&mut self, bits: usize) -> Result<(), VerifyError> {
        let witness = self.reader.word()?;
        if self.transcript.check(witness, bits) { Ok(()) } else { Err(VerifyError::Work { bits }) }
    }
}
