//! Binaries are built for x86-64-v3. On an older processor they would die by an illegal instruction without a word. Whoever
//! links this crate (`use obelysk_cpu as _;`) ends with a message and exit status 132 instead.
//!
//! The check cannot be Rust of this workspace: that is compiled for x86-64-v3 itself, startup code included. It is a
//! constructor in C, compiled for the first x86-64, that runs before any code of the program.
