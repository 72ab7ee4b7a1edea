//! What a plan makes and deletes, by kind.

use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{PersistentVolume, PersistentVolumeClaim};
use obelysk_operator::controllers::plan::{Child, DoomedKind, Plan};

/// Looks into plans.
#[allow(dead_code, reason = "each test file has a use for some of them")]
pub trait Made {
    fn job(&self) -> Option<Job>;
    fn claim(&self) -> Option<PersistentVolumeClaim>;
    fn volume(&self) -> Option<PersistentVolume>;
    fn deleted(&self, kind: DoomedKind) -> Vec<String>;

    fn deleted_jobs(&self) -> Vec<String> {
        self.deleted(DoomedKind::Job)
    }

    fn deleted_claim(&self) -> Option<String> {
        self.deleted(DoomedKind::Claim).pop()
    }

    fn deleted_volume(&self) -> Option<String> {
        self.deleted(DoomedKind::Volume).pop()
    }
}

impl<Status> Made for Plan<Status> {
    fn job(&self) -> Option<Job> {
        let of = |child: &Child| if let Child::Job(job) = child { Some(job.as_ref().clone()) } else { None };
        self.create.iter().find_map(of)
    }

    fn claim(&self) -> Option<PersistentVolumeClaim> {
        let of = |child: &Child| if let Child::Claim(claim) = child { Some(claim.as_ref().clone()) } else { None };
        self.create.iter().find_map(of)
    }

    fn volume(&self) -> Option<PersistentVolume> {
        let of = |child: &Child| if let Child::Volume(volume) = child { Some(volume.as_ref().clone()) } else { None };
        self.create.iter().find_map(of)
    }

    fn deleted(&self, kind: DoomedKind) -> Vec<String> {
        self.delete.iter().filter(|doomed| doomed.kind == kind).map(|doomed| doomed.name.clone()).collect()
    }
}
