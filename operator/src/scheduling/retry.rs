//! Retry budgets: each fault class has its own, and time between attempts doubles.

use obelysk_api::crd::proof_job::Retry;
use obelysk_api::crd::proof_job_status::Retries;
use obelysk_api::exit::FaultClass;

/// Attempts that disruptions may cost a job before they count as failures.
pub const FREE_LIMIT: i32 = 50;

/// What follows a failed attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Try again after this many seconds.
    After(i64),
    /// The class's budget is used up.
    Exhausted {
        /// Retries that were allowed.
        limit: i32,
    },
}

/// Budgets and backoff of one job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Budget {
    infra: i32,
    gpu: i32,
    prover: i32,
    chain: i32,
    initial: i64,
    /// Longest wait between attempts, in seconds.
    pub most: i64,
    /// Failures alike in a row after which there is no other attempt.
    pub alike: Option<usize>,
}

impl Budget {
    /// The budgets of a specification, with the defaults of the API.
    #[must_use]
    pub fn new(retry: Option<&Retry>) -> Self {
        let limits = retry.and_then(|retry| retry.limits.clone()).unwrap_or_default();
        let backoff = retry.and_then(|retry| retry.backoff.clone()).unwrap_or_default();
        Self {
            infra: limits.infra.unwrap_or(10),
            gpu: limits.gpu.unwrap_or(3),
            prover: limits.prover.unwrap_or(1),
            chain: limits.chain.unwrap_or(5),
            initial: backoff.initial_seconds.unwrap_or(5),
            most: backoff.max_seconds.unwrap_or(600),
            alike: None,
        }
    }

    /// The same, ended by so many failures in a row that are all alike.
    #[must_use]
    pub fn ended_by_alike(self, failures: usize) -> Self {
        Self { alike: Some(failures), ..self }
    }

    /// Charge a failure, of no class where nobody is to blame, and say what follows. A disruption says nothing about the next attempt,
    /// so nothing `backs_off` after one.
    pub fn charge(&self, class: Option<FaultClass>, backs_off: bool, used: &mut Retries) -> Verdict {
        let (count, limit) = match class {
            None => (&mut used.free, FREE_LIMIT),
            Some(FaultClass::User) => return Verdict::Exhausted { limit: 0 },
            Some(FaultClass::Infra) => (&mut used.infra, self.infra),
            Some(FaultClass::Gpu) => (&mut used.gpu, self.gpu),
            Some(FaultClass::Prover) => (&mut used.prover, self.prover),
            Some(FaultClass::Chain) => (&mut used.chain, self.chain),
        };
        if *count >= limit {
            return Verdict::Exhausted { limit };
        }
        *count = count.saturating_add(1);
        let doublings = u32::try_from(*count).unwrap_or(1).saturating_sub(1).min(20);
        let wait = self.initial.saturating_mul(1 << doublings).min(self.most);
        Verdict::After(if backs_off { wait } else { 0 })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_users_mistake_is_never_tried_again() {
        let verdict = Budget::new(None).charge(Some(FaultClass::User), true, &mut Retries::default());
        assert_eq!(verdict, Verdict::Exhausted { limit: 0 });
    }

    #[test]
    fn each_class_has_a_budget_of_its_own() {
        let budget = Budget::new(None);
        let mut used = Retries::default();
        assert_eq!(budget.charge(Some(FaultClass::Prover), true, &mut used), Verdict::After(5));
        assert_eq!(budget.charge(Some(FaultClass::Prover), true, &mut used), Verdict::Exhausted { limit: 1 });
        assert_eq!(budget.charge(Some(FaultClass::Gpu), true, &mut used), Verdict::After(5));
    }

    #[test]
    fn waiting_doubles_up_to_a_limit() {
        let budget = Budget::new(None);
        let mut used = Retries::default();
        let waits: Vec<Verdict> = (0..11).map(|_| budget.charge(Some(FaultClass::Infra), true, &mut used)).collect();
        assert_eq!(&waits[..4], [5, 10, 20, 40].map(Verdict::After));
        assert_eq!(waits[9], Verdict::After(600));
        assert_eq!(waits[10], Verdict::Exhausted { limit: 10 });
    }

    #[test]
    fn disruptions_are_free_of_charge_up_to_fifty() {
        let budget = Budget::new(None);
        let mut used = Retries::default();
        assert!((0..50).all(|_| budget.charge(None, false, &mut used) == Verdict::After(0)));
        assert_eq!(budget.charge(None, false, &mut used), Verdict::Exhausted { limit: 50 });
    }
}
