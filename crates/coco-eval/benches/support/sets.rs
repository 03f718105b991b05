//! The two sets, with what they must look like and what pycocotools found on them.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use coco_eval::Summary;

use crate::Failure;
use crate::sha256;
use crate::synthetic::{Recipe, Synthetic, write_detections, write_ground_truth};

/// A set of the size of COCO val2017.
pub(crate) struct Set {
    pub(crate) name: &'static str,
    /// Detections per image, on average.
    detections: usize,
    detections_digest: &'static str,
    /// Bits of the twelve figures by pycocotools 2.0.11 with numpy 2.4.6, on files with these digests.
    figures: [u64; 12],
}

/// Detections do not take part in the ground truth, so the sets share it.
const GROUND_TRUTH_DIGEST: &str = "a446effca333e59155c09e899a8c91a111572cf544748d9cd9a51c10284da42a";

/// 503,085 and 1,500,000 detections on 5,000 images.
pub(crate) const SETS: [Set; 2] = [
    Set {
        name: "d100",
        detections: 100,
        detections_digest: "60b1f7ee4d68fe740b8360d4601de87615e9001b40eb0c11db9c7e433032b3d1",
        figures: [
            0x3fde1d916c3942c0,
            0x3fe2f625823dd686,
            0x3fe14e86bbe349cc,
            0x3fd1910251088d60,
            0x3fe28aa28aa0cc6d,
            0x3fe5ff946eb48f6c,
            0x3fccd23e39a3f1a8,
            0x3fe28d25991bc326,
            0x3fe442582bb043c8,
            0x3fdbf1dfa45eabdb,
            0x3fe77a7951c0d851,
            0x3feb3bf619cf58cf,
        ],
    },
    Set {
        name: "d300",
        detections: 300,
        detections_digest: "10f855e8acb91babc4cbdebb9594eb4b097315245f4f1e1cccaa464e4b21f192",
        figures: [
            0x3fdb32d25accb38e,
            0x3fe0dd18876c9604,
            0x3fdf48c0db1dd6b1,
            0x3fcde5609ca3ce5f,
            0x3fe0d8e1f25c20b4,
            0x3fe4a1bd896c495e,
            0x3fcb263691348604,
            0x3fe15f0f533ffb85,
            0x3fe4dfe441cd8b33,
            0x3fddfad92bf6d56c,
            0x3fe7cd3ce9d6b0d4,
            0x3feb8a438cbbc02e,
        ],
    },
];

/// Where a set lies.
pub(crate) struct SetFiles {
    pub(crate) ground_truth: PathBuf,
    pub(crate) detections: PathBuf,
}

impl Set {
    pub(crate) fn by_name(name: &str) -> Result<&'static Self, Failure> {
        let unknown = || format!("there is no set `{name}`; there are d100 and d300").into();
        SETS.iter().find(|set| set.name == name).ok_or_else(unknown)
    }

    /// Makes the files below the target directory, unless they are there already.
    pub(crate) fn prepare(&self) -> Result<SetFiles, Failure> {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("coco-eval-peers").join(self.name);
        let files = SetFiles { ground_truth: folder.join("gt.json"), detections: folder.join("dt.json") };
        if self.is_intact(&files) {
            return Ok(files);
        }
        eprintln!("writing the set {} to {}", self.name, folder.display());
        fs::create_dir_all(&folder)?;
        let set = Synthetic::new(&self.recipe());
        write(&files.ground_truth, |out| write_ground_truth(&set, out))?;
        write(&files.detections, |out| write_detections(&set, out))?;
        if !self.is_intact(&files) {
            return Err(format!("the files in {} are not those of the set", folder.display()).into());
        }
        Ok(files)
    }

    fn recipe(&self) -> Recipe {
        Recipe { images: 5000, categories: 80, objects: 36_781, detections: self.detections, seed: 20_171 }
    }

    fn is_intact(&self, files: &SetFiles) -> bool {
        let holds = |path: &Path, digest| fs::read(path).is_ok_and(|text| sha256::hex(&text) == digest);
        holds(&files.ground_truth, GROUND_TRUTH_DIGEST) && holds(&files.detections, self.detections_digest)
    }

    /// Compares the twelve figures with pycocotools' to the bit.
    pub(crate) fn check(&self, found: &[f64; 12]) -> Result<(), Failure> {
        let pairs = self.figures.iter().map(|&bits| f64::from_bits(bits)).zip(found);
        let faults: Vec<String> = Summary::NAMES
            .iter()
            .zip(pairs)
            .filter(|(_, (expected, found))| expected.to_bits() != found.to_bits())
            .map(|(name, (expected, found))| format!("{name} is {found}, pycocotools has {expected}"))
            .collect();
        if faults.is_empty() { Ok(()) } else { Err(format!("{}: {}", self.name, faults.join("; ")).into()) }
    }
}

fn write(path: &Path, content: impl FnOnce(&mut BufWriter<File>) -> io::Result<()>) -> io::Result<()> {
    let mut out = BufWriter::new(File::create(path)?);
    content(&mut out)?;
    out.flush()
}
