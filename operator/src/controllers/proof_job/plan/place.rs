//! Where the pods of a job go.

use kube::ResourceExt;
use obelysk_api::crd::ModelCache;
use obelysk_api::crd::proof_job::Gpu;
use obelysk_api::exit::FaultClass;
use obelysk_api::job::JobKind;

use super::super::report::Standing;
use super::super::validate::{Hardware, Valid};
use super::Planner;
use crate::scheduling::place::{place, place_beside};
use crate::scheduling::placement::{NoPlace, Placement, Seeker, of_architectures};
use crate::scheduling::turns::WAITING_FOR_TURN;

impl Planner<'_> {
    /// The place of the next pod. `Err` is where the job stands until there is one.
    pub(super) fn place(&self, step: JobKind, cache: &ModelCache, valid: &Valid) -> Result<Placement, Standing> {
        let only_on = cache.status.as_ref().map(|status| status.nodes.clone()).unwrap_or_default();
        let avoid = self.to_avoid(step, valid, &only_on);
        let (architectures, nodes) = (&self.settings.image_architectures, &self.snapshot.around.nodes);
        let Hardware::Gpu(gpu) = &valid.hardware else {
            let terms = of_architectures(architectures);
            return Ok(Placement { terms, avoid, only_on, ..Placement::default() });
        };
        let namespace = self.namespace();
        let seeker =
            Seeker { namespace: &namespace, gpu, overrides: &valid.overrides, only_on: &only_on, avoid: &avoid };
        let cluster = &self.snapshot.cluster;
        if step != JobKind::Prove {
            let proved_on = self.plan.status.placement.as_ref().and_then(|placement| placement.gpu_class.as_deref());
            return Ok(place_beside(&seeker, cluster, nodes, architectures, proved_on));
        }
        let placement = place(&seeker, cluster, nodes, architectures)
            .map_err(|NoPlace { reason, message }| Standing::Waiting(reason.into(), message))?;
        self.wait_for_turn(gpu)?;
        Ok(placement)
    }

    /// In a pool that lets so many jobs prove at a time the pool's controller says whose turn it is.
    fn wait_for_turn(&self, gpu: &Gpu) -> Result<(), Standing> {
        let Ok(Some(pool)) = self.snapshot.cluster.pool_of(&self.namespace(), gpu) else { return Ok(()) };
        let Some(most) = pool.spec.max_concurrent else { return Ok(()) };
        let uid = self.proof_job.uid().unwrap_or_default();
        if pool.status.as_ref().is_some_and(|status| status.admitted.contains(&uid)) {
            return Ok(());
        }
        let line = format!("ProverPool {} lets {most} jobs prove at a time (maxConcurrent)", pool.name_any());
        Err(Standing::Waiting(WAITING_FOR_TURN.into(), line))
    }

    /// Nodes on which a GPU failed. A suspicious node is better than none.
    fn to_avoid(&self, step: JobKind, valid: &Valid, only_on: &[String]) -> Vec<String> {
        let failed_gpu = |a: &&obelysk_api::crd::proof_job_status::Attempt| {
            a.step == step && a.class.as_deref() == Some(FaultClass::Gpu.name())
        };
        let attempts = self.plan.status.attempts.iter().filter(failed_gpu).filter(|_| valid.avoid_failed_nodes);
        let avoid: Vec<String> = attempts.filter_map(|attempt| attempt.node_name.clone()).collect();
        let none_left = !only_on.is_empty() && only_on.iter().all(|node| avoid.contains(node));
        if none_left { Vec::new() } else { avoid }
    }
}
