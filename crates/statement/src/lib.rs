//! What is proven: tensors, relations, digests, layout, security profile.
