//! demo, test, bench, generate, bless, image, tidy.
fn main() {}
