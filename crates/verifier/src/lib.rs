//! Checks a proof folder; trusts nothing in it.
