//! Exit codes: each belongs to the class of faults that decides what the operator does next.

use serde::{Deserialize, Serialize};

/// Whose problem a failure is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum FaultClass {
    /// The user's input: no retry helps.
    User,
    /// The prover.
    Prover,
    /// The GPU or its node.
    Gpu,
    /// Storage, network, nodes.
    Infra,
    /// The chain.
    Chain,
}

impl FaultClass {
    /// Name in labels and messages.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::User => "User",
            Self::Prover => "Prover",
            Self::Gpu => "Gpu",
            Self::Infra => "Infra",
            Self::Chain => "Chain",
        }
    }
}

macro_rules! exit_codes {
    ($($(#[doc = $doc:literal])* $name:ident = $number:literal),* $(,)?) => {
        /// Why a command of `obelysk` fails.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
        #[repr(u8)]
        pub enum ExitCode { $($(#[doc = $doc])* $name = $number),* }

        impl ExitCode {
            /// Every code, in order.
            pub const ALL: &'static [Self] = &[$(Self::$name),*];

            /// Name as an event's or condition's reason.
            #[must_use]
            pub fn reason(self) -> &'static str {
                match self { $(Self::$name => stringify!($name)),* }
            }
        }
    };
}

exit_codes! {
    /// A bad argument or input.
    BadSpec = 10,
    /// A model that asks for a licence or a token.
    Unauthorised = 11,
    /// Model files that do not fit together.
    ModelMismatch = 12,
    /// A model or an option that this version does not support.
    Unsupported = 13,
    /// The proof could not be made.
    ProofFailed = 20,
    /// A proof or an audit does not hold.
    SelfVerification = 21,
    /// The gate refuses a submission.
    GateRefused = 22,
    /// No usable GPU.
    NoDevice = 30,
    /// The GPU's memory is too small.
    GpuOutOfMemory = 31,
    /// The GPU went away.
    GpuLost = 32,
    /// The CPU may not step in.
    FallbackRefused = 33,
    /// The driver is too old.
    DriverTooOld = 34,
    /// The disk is full.
    DiskFull = 40,
    /// A file cannot be read or written.
    Io = 41,
    /// A kept file is missing or damaged.
    Cache = 42,
    /// The network failed.
    Network = 43,
    /// The chain's node cannot be reached.
    Rpc = 50,
    /// The transaction was reverted.
    Reverted = 51,
    /// The account's nonce is taken.
    Nonce = 52,
    /// The fee is above the limit.
    FeeTooHigh = 53,
    /// The paymaster refused.
    PaymasterRefused = 54,
    /// No progress for too long: try again.
    Stalled = 75,
    /// The processor lacks instructions that the program was built for.
    CpuTooOld = 132,
}

impl ExitCode {
    /// The process's exit status.
    #[must_use]
    pub fn number(self) -> u8 {
        self as u8
    }

    /// The code of an exit status.
    #[must_use]
    pub fn of_number(number: i32) -> Option<Self> {
        Self::ALL.iter().copied().find(|code| i32::from(code.number()) == number)
    }

    /// Whose problem it is.
    #[must_use]
    pub fn class(self) -> FaultClass {
        class_of_status(i32::from(self.number()))
    }
}

/// The fault class of any exit status, those of signals included. What Kubernetes knows beyond the status (out of memory,
/// disruption) is weighed by the operator.
#[must_use]
pub fn class_of_status(status: i32) -> FaultClass {
    match status {
        10..20 | 132 => FaultClass::User,
        20..30 | 134 | 139 => FaultClass::Prover,
        30..40 => FaultClass::Gpu,
        50..60 => FaultClass::Chain,
        _ => FaultClass::Infra,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_is_found_by_its_number() {
        for &code in ExitCode::ALL {
            assert_eq!(ExitCode::of_number(i32::from(code.number())), Some(code));
        }
    }

    #[test]
    fn signals_belong_to_the_class_of_their_cause() {
        let classes = [134, 135, 137, 139, 143].map(class_of_status);
        use FaultClass::{Infra, Prover};
        assert_eq!(classes, [Prover, Infra, Infra, Prover, Infra]);
    }
}
