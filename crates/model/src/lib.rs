//! Checkpoints, tokenizer, float engine, quantiser and the integer engine that is the specification.
