//! The GPUs that proofs run on: class, memory, compute capability, processor beside them, and what drivers and clouds call them. Names are
//! compared whole: a GH200 is no H200, a GB200 no B200.

use obelysk_api::crd::proof_job::GpuClass;

use crate::quantity;

/// Oldest branch of the driver that a node's labels may tell. The kernels' code is of CUDA 12, and drivers from 525 on are said to load it; none
/// has been seen to.
pub const DRIVER_FLOOR: u64 = 580;
/// Oldest compute capability that the image has kernels for.
pub const CAPABILITY_FLOOR: (u64, u64) = (8, 0);

/// Processor beside a GPU, as `kubernetes.io/arch` names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Architecture {
    /// x86-64.
    Amd64,
    /// Grace.
    Arm64,
}

impl Architecture {
    /// Value of the label.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Amd64 => "amd64",
            Self::Arm64 => "arm64",
        }
    }
}

/// A product.
#[derive(Debug, PartialEq, Eq)]
pub struct Product {
    /// Class.
    pub class: GpuClass,
    /// Memory by which it is sold, in GB; a job that asks for as many GiB gets it.
    pub gigabytes: u64,
    /// Memory that the driver reports, in MiB.
    pub mebibytes: u64,
    /// Compute capability.
    pub capability: (u64, u64),
    /// Processor beside it.
    pub architecture: Architecture,
    /// What drivers call it (NVML, `nvidia-smi -L`).
    pub driver_names: &'static [&'static str],
    /// Values of `cloud.google.com/gke-accelerator`.
    pub gke_names: &'static [&'static str],
    /// What other providers call it, in capitals. Products may share one.
    pub short_names: &'static [&'static str],
    /// Machines of AWS, Azure and Oracle that have it, where nothing labels the GPU itself.
    pub instance_types: &'static [&'static str],
}

/// Memory as the driver reports it (`nvidia-smi`): data sheets of NVIDIA; reports of clusters, see the label fixtures of the tests.
pub static PRODUCTS: [Product; 12] = [
    Product {
        class: GpuClass::RTX4090,
        gigabytes: 24,
        mebibytes: 24_564,
        capability: (8, 9),
        architecture: Architecture::Amd64,
        driver_names: &["NVIDIA GeForce RTX 4090", "NVIDIA GeForce RTX 4090 D", "GeForce RTX 4090"],
        gke_names: &[],
        short_names: &["RTX4090", "RTX_4090", "RTX-4090"],
        instance_types: &[],
    },
    Product {
        class: GpuClass::A100,
        gigabytes: 40,
        mebibytes: 40_960,
        capability: (8, 0),
        architecture: Architecture::Amd64,
        driver_names: &["NVIDIA A100-SXM4-40GB", "NVIDIA A100-PCIE-40GB", "A100-SXM4-40GB", "A100-PCIE-40GB"],
        gke_names: &["nvidia-tesla-a100"],
        short_names: &["A100", "A100-40GB", "A100_NVLINK", "A100_NVLINK_40GB", "A100_PCIE_40GB"],
        instance_types: &["p4d.24xlarge", "Standard_ND96asr_v4", "BM.GPU4.8"],
    },
    Product {
        class: GpuClass::A100,
        gigabytes: 80,
        mebibytes: 81_920,
        capability: (8, 0),
        architecture: Architecture::Amd64,
        driver_names: &["NVIDIA A100-SXM4-80GB", "NVIDIA A100 80GB PCIe", "A100-SXM4-80GB", "A100-SXM-80GB"],
        gke_names: &["nvidia-a100-80gb"],
        short_names: &["A100", "A100-80GB", "A100_NVLINK_80GB", "A100_PCIE_80GB"],
        instance_types: &[
            "p4de.24xlarge",
            "Standard_NC24ads_A100_v4",
            "Standard_NC48ads_A100_v4",
            "Standard_NC96ads_A100_v4",
            "Standard_ND96amsr_A100_v4",
            "BM.GPU.A100-v2.8",
        ],
    },
    Product {
        class: GpuClass::H100,
        gigabytes: 80,
        mebibytes: 81_559,
        capability: (9, 0),
        architecture: Architecture::Amd64,
        driver_names: &["NVIDIA H100 80GB HBM3", "NVIDIA H100 PCIe"],
        gke_names: &["nvidia-h100-80gb", "nvidia-h100-mega-80gb"],
        short_names: &["H100", "H100-80GB", "H100_NVLINK_80GB", "H100_PCIE", "H100_PCIE_80GB"],
        instance_types: &["p5.4xlarge", "p5.48xlarge", "Standard_ND96isr_H100_v5", "BM.GPU.H100.8"],
    },
    Product {
        class: GpuClass::H100,
        gigabytes: 94,
        mebibytes: 95_830,
        capability: (9, 0),
        architecture: Architecture::Amd64,
        driver_names: &["NVIDIA H100 NVL"],
        gke_names: &[],
        short_names: &["H100", "H100-NVL", "H100_NVL"],
        instance_types: &["Standard_NC40ads_H100_v5", "Standard_NC80adis_H100_v5", "Standard_NCC40ads_H100_v5"],
    },
    Product {
        class: GpuClass::GH200,
        gigabytes: 96,
        mebibytes: 97_871,
        capability: (9, 0),
        architecture: Architecture::Arm64,
        // Named after the memory of the processor, of which it has 480 or 120 GB.
        driver_names: &["NVIDIA GH200 480GB", "NVIDIA GH200 120GB"],
        gke_names: &[],
        short_names: &["GH200"],
        instance_types: &[],
    },
    Product {
        class: GpuClass::GH200,
        gigabytes: 144,
        mebibytes: 145_920,
        capability: (9, 0),
        architecture: Architecture::Arm64,
        driver_names: &["NVIDIA GH200 144G HBM3e"],
        gke_names: &[],
        short_names: &["GH200"],
        instance_types: &[],
    },
    Product {
        class: GpuClass::H200,
        gigabytes: 141,
        mebibytes: 143_771,
        capability: (9, 0),
        architecture: Architecture::Amd64,
        driver_names: &["NVIDIA H200", "NVIDIA H200 NVL"],
        gke_names: &["nvidia-h200-141gb"],
        short_names: &["H200", "H200-141GB", "H200_NVL"],
        instance_types: &["p5e.48xlarge", "p5en.48xlarge", "Standard_ND96isr_H200_v5", "BM.GPU.H200.8"],
    },
    Product {
        class: GpuClass::B200,
        gigabytes: 180,
        mebibytes: 183_359,
        capability: (10, 0),
        architecture: Architecture::Amd64,
        driver_names: &["NVIDIA B200"],
        gke_names: &["nvidia-b200"],
        short_names: &["B200"],
        instance_types: &["p6-b200.48xlarge", "BM.GPU.B200.8"],
    },
    Product {
        class: GpuClass::GB200,
        gigabytes: 186,
        mebibytes: 189_471,
        capability: (10, 0),
        architecture: Architecture::Arm64,
        driver_names: &["NVIDIA GB200"],
        gke_names: &["nvidia-gb200"],
        short_names: &["GB200"],
        instance_types: &["p6e-gb200.36xlarge", "Standard_ND128isr_NDR_GB200_v6", "BM.GPU.GB200.4"],
    },
    Product {
        class: GpuClass::B300,
        gigabytes: 288,
        mebibytes: 275_040,
        capability: (10, 3),
        architecture: Architecture::Amd64,
        driver_names: &["NVIDIA B300 SXM6 AC", "NVIDIA B300 SXM6 PC"],
        gke_names: &["nvidia-b300"],
        short_names: &["B300"],
        instance_types: &["p6-b300.48xlarge"],
    },
    Product {
        class: GpuClass::GB300,
        gigabytes: 288,
        mebibytes: 284_208,
        capability: (10, 3),
        architecture: Architecture::Arm64,
        driver_names: &["NVIDIA GB300"],
        gke_names: &["nvidia-gb300"],
        short_names: &["GB300"],
        instance_types: &["Standard_ND128isr_GB300_v6"],
    },
];

/// Name of a class in status and messages.
#[must_use]
pub fn name(class: GpuClass) -> &'static str {
    match class {
        GpuClass::RTX4090 => "RTX4090",
        GpuClass::A100 => "A100",
        GpuClass::H100 => "H100",
        GpuClass::GH200 => "GH200",
        GpuClass::H200 => "H200",
        GpuClass::B200 => "B200",
        GpuClass::GB200 => "GB200",
        GpuClass::B300 => "B300",
        GpuClass::GB300 => "GB300",
    }
}

/// The product that a driver names, with spaces or, as in labels, dashes.
#[must_use]
pub fn of_driver_name(name: &str) -> Option<&'static Product> {
    let plain = |name: &str| name.replace(' ', "-");
    PRODUCTS.iter().find(|product| product.driver_names.iter().any(|of| plain(of).eq_ignore_ascii_case(&plain(name))))
}

/// The class of what a driver names.
#[must_use]
pub fn class_of_driver_name(name: &str) -> Option<GpuClass> {
    of_driver_name(name).map(|product| product.class)
}

/// Products of a class, the smallest first.
#[must_use]
pub fn of_class(class: GpuClass) -> Vec<&'static Product> {
    let mut products: Vec<&Product> = PRODUCTS.iter().filter(|product| product.class == class).collect();
    products.sort_by_key(|product| product.mebibytes);
    products
}

/// Memory of a GPU or of a part of one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Memory {
    /// As reported, in MiB; 0 where nothing tells it.
    pub mebibytes: u64,
    /// As sold, in GB; 0 where nothing tells it.
    pub gigabytes: u64,
}

impl Memory {
    /// Of a product.
    #[must_use]
    pub fn of_product(product: &Product) -> Self {
        Self { mebibytes: product.mebibytes, gigabytes: product.gigabytes }
    }

    /// Of a number of MiB alone.
    #[must_use]
    pub fn of_mebibytes(mebibytes: u64) -> Self {
        Self { mebibytes, gigabytes: 0 }
    }

    /// Of a quantity such as `80Gi`.
    #[must_use]
    pub fn of_quantity(text: &str) -> Option<Self> {
        quantity::bytes(text).map(|bytes| Self::of_mebibytes(bytes >> 20))
    }

    /// Whether a job that asks for so many bytes gets it: by the size under which it is sold, taken as GiB, or within 2 % of what the driver
    /// reports, which reserves some.
    #[must_use]
    pub fn fits(self, bytes: u64) -> bool {
        let reported = (self.mebibytes << 20).saturating_mul(102) / 100;
        bytes <= (self.gigabytes << 30).max(reported)
    }
}

/// As people say it: the size under which it is sold, else the size that is reported, in Gi.
impl std::fmt::Display for Memory {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        match self {
            Self { gigabytes: 0, mebibytes: 0 } => write!(f, "of unknown memory"),
            Self { gigabytes: 0, mebibytes } => write!(f, "{}Gi", mebibytes.saturating_add(512) >> 10),
            Self { gigabytes, .. } => write!(f, "{gigabytes}Gi"),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn names_are_compared_whole() {
        for (name, class) in [
            ("NVIDIA-GeForce-RTX-4090", Some(GpuClass::RTX4090)),
            ("NVIDIA A100-SXM4-80GB", Some(GpuClass::A100)),
            ("NVIDIA-H100-80GB-HBM3", Some(GpuClass::H100)),
            ("NVIDIA H200", Some(GpuClass::H200)),
            ("NVIDIA-GH200-480GB", Some(GpuClass::GH200)),
            ("NVIDIA-B200", Some(GpuClass::B200)),
            ("NVIDIA-GB200", Some(GpuClass::GB200)),
            ("NVIDIA-B300-SXM6-AC", Some(GpuClass::B300)),
            ("NVIDIA-GB300", Some(GpuClass::GB300)),
            ("Tesla-T4", None),
            ("NVIDIA-H800", None),
            ("NVIDIA-H20", None),
            ("NVIDIA-H100-80GB-HBM3-MIG-1g.10gb", None),
        ] {
            assert_eq!(class_of_driver_name(name), class, "{name}");
        }
    }

    #[test]
    fn a_driver_and_a_cloud_and_a_machine_name_one_product() {
        let mut seen = BTreeSet::new();
        for product in &PRODUCTS {
            for name in product.driver_names.iter().chain(product.gke_names).chain(product.instance_types) {
                assert!(seen.insert(name.to_ascii_uppercase()), "{name} is there twice");
            }
            assert!(product.short_names.iter().all(|name| *name == name.to_ascii_uppercase()), "{product:?}");
            assert!(product.capability >= CAPABILITY_FLOOR, "{product:?}");
        }
    }

    #[test]
    fn memory_is_asked_for_by_the_size_under_which_it_is_sold() {
        let of = |class| Memory::of_product(of_class(class).last().expect("each class has a product"));
        let gibibytes = |number: u64| number << 30;
        assert!(Memory::of_mebibytes(81_559).fits(gibibytes(80)));
        assert!(Memory::of_mebibytes(143_771).fits(gibibytes(141)));
        assert!(of(GpuClass::B300).fits(gibibytes(288)));
        assert!(!of(GpuClass::A100).fits(gibibytes(84)));
        assert!(!of(GpuClass::H100).fits(gibibytes(96)), "an H100 NVL has 94 GB");
        assert!(!Memory::default().fits(1));
        assert!(Memory::default().fits(0));
    }

    #[test]
    fn no_card_reports_much_less_than_it_is_sold_with() {
        for product in &PRODUCTS {
            let sold = product.gigabytes << 10;
            assert!(product.mebibytes * 100 >= sold * 93, "{product:?}");
            assert!(product.mebibytes * 100 <= sold * 103, "{product:?}");
        }
    }
}
