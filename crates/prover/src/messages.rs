//! The prover's messages, each absorbed as it is sent: the other side of the verifier's file of the same name.

use std::ops::Range;

use obelysk_statement::Challenge;
use obelysk_statement::fiat_shamir::{FiatShamir, Label};
use obelysk_statement::tree::Digest;
use obelysk_statement::words::words_of;
use rayon::prelude::*;

/// A proof so far: its words, and the transcript of them.
pub(crate) struct Messages {
    pub(crate) words: Vec<u32>,
    pub(crate) transcript: FiatShamir,
}

impl Messages {
    /// Challenges of one message.
    pub(crate) fn challenges(&mut self, label: Label, challenges: &[Challenge]) {
        self.words.extend(words_of(challenges));
        self.transcript.absorb_challenges(label, challenges);
    }

    /// The root of a tree.
    pub(crate) fn root(&mut self, root: Digest) {
        self.words.extend(root.0);
        self.transcript.absorb(Label::ROOT, &root.0);
    }

    /// A proof of work, the smallest.
    pub(crate) fn work(&mut self, bits: usize) {
        self.words.push(work(bits, &mut self.transcript));
    }

    /// The proof.
    pub(crate) fn finish(self) -> Vec<u8> {
        self.words.into_iter().flat_map(u32::to_le_bytes).collect()
    }
}

/// Find and absorb the smallest witness of a proof of work, on all threads.
pub(crate) fn work(bits: usize, transcript: &mut FiatShamir) -> u32 {
    /// Candidates that one thread tries at once.
    const TASK: u32 = 1 << 12;
    let search = |transcript: &FiatShamir, range: Range<u32>| {
        let starts: Vec<u32> = range.step_by(TASK as usize).collect();
        starts.par_iter().find_map_first(|&first| transcript.smallest_witness(bits, first..first + TASK))
    };
    transcript.grind_with(bits, search)
}
