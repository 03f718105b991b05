//! What the programs between checkpoints and raw files tell.

use super::checkpoints::{Rewritten, TensorChange};
use super::names::Names;
use super::pairs::{ChecksumState, Pair};
use super::reversal::ReversedBy;
use super::tensors::{Encoding, ScaleSource, StoredTensor};
use icraft_raw::{Evidence, Generation};
use nn_graph::Params;
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

/// What `raw2ckpt` did.
#[derive(Debug, Serialize)]
pub struct CheckpointReport {
    /// Name of the network.
    pub network: String,
    /// `legacy` or `xir`.
    pub generation: &'static str,
    /// Whether the json knows the raw file.
    pub checksum: ChecksumState,
    /// MD5 of the raw file.
    pub raw_md5: String,
    /// The tensors written, in the order of the raw file.
    pub tensors: Vec<TensorRow>,
    /// Tensors taken over from the checkpoint that gave the names.
    pub copied: Vec<String>,
}

/// One tensor.
#[derive(Debug, Serialize)]
pub struct TensorRow {
    /// Its id.
    pub id: u32,
    /// Its name.
    pub name: String,
    /// Its shape in PyTorch.
    pub shape: Vec<usize>,
    /// Type of the elements in the file.
    pub element: String,
    /// Bits of the values.
    pub bits: u32,
    /// How many scales there are.
    pub scales: usize,
    /// Where they come from.
    pub scales_from: Option<ScaleSource>,
    /// What told that its input channels were reversed in the file.
    pub reversed_by: Option<ReversedBy>,
    /// Who named it: the json, its content, or, among tensors of equal content, the order.
    pub named_by: &'static str,
}

fn generation_name(generation: Generation) -> &'static str {
    match generation {
        Generation::Legacy => "legacy",
        Generation::Xir => "xir",
    }
}

fn named_by(tensor: &StoredTensor, names: Option<&Names>) -> &'static str {
    match names.and_then(|names| names.by_id.get(&tensor.id)).map(|found| found.evidence) {
        None => "json",
        Some(Evidence::Content) => "content",
        Some(Evidence::Order) => "order",
    }
}

fn row(tensor: &StoredTensor, names: Option<&Names>) -> TensorRow {
    let (bits, scales, scales_from) = match &tensor.encoding {
        Encoding::Float => (32, 0, None),
        Encoding::Integers(integers) => (integers.bits, integers.scales.len(), Some(integers.source)),
    };
    TensorRow {
        id: tensor.id,
        name: tensor.name.clone(),
        shape: tensor.shape.clone(),
        element: tensor.element().to_string(),
        bits,
        scales,
        scales_from,
        reversed_by: tensor.reversed,
        named_by: named_by(tensor, names),
    }
}

impl CheckpointReport {
    /// The report on the tensors of a pair.
    #[must_use]
    pub fn new(pair: &Pair, tensors: &[StoredTensor], names: Option<&Names>) -> Self {
        Self {
            network: pair.network.name.clone(),
            generation: generation_name(pair.network.generation),
            checksum: pair.checksum,
            raw_md5: pair.raw.md5(),
            tensors: tensors.iter().map(|tensor| row(tensor, names)).collect(),
            copied: names.map(|names| names.others.keys().cloned().collect()).unwrap_or_default(),
        }
    }

    /// Entries for the header of the checkpoint.
    #[must_use]
    pub fn metadata(&self) -> BTreeMap<String, String> {
        let entries = [("icraft_network", &self.network), ("icraft_raw_md5", &self.raw_md5)];
        entries.map(|(key, value)| (key.to_owned(), value.clone())).into()
    }
}

impl fmt::Display for TensorRow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shape: Vec<String> = self.shape.iter().map(usize::to_string).collect();
        write!(f, "{:>6}  {:<40} {:<16} {}", self.id, self.name, shape.join("x"), self.element)?;
        if let Some(source) = self.scales_from {
            let source = if source == ScaleSource::Json { "json" } else { "csv" };
            let plural = if self.scales == 1 { "" } else { "s" };
            write!(f, " of {} bits, {} scale{plural} from the {source}", self.bits, self.scales)?;
        }
        let source = match self.reversed_by {
            None => return Ok(()),
            Some(ReversedBy::Json) => "the json",
            Some(ReversedBy::Mapping) => "the parsed file",
            Some(ReversedBy::Option) => "--bgr",
        };
        write!(f, ", input channels turned round (by {source})")
    }
}

fn checksum_text(checksum: ChecksumState) -> &'static str {
    match checksum {
        ChecksumState::Matches => "MD5 as in the json",
        ChecksumState::Differs => "MD5 NOT as in the json, which was ignored",
        ChecksumState::Absent => "the json holds no MD5",
    }
}

impl fmt::Display for CheckpointReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.tensors.iter().try_for_each(|row| writeln!(f, "{row}"))?;
        let by_order = self.tensors.iter().filter(|row| row.named_by == "order").count();
        if by_order > 0 {
            writeln!(f, "{by_order} tensors have the content of others, and are named by their order")?;
        }
        if !self.copied.is_empty() {
            writeln!(f, "taken over from --like: {}", self.copied.join(", "))?;
        }
        if self.tensors.iter().all(|row| row.reversed_by.is_none()) {
            writeln!(
                f,
                "no input channels are turned round: neither json nor parsed file nor --bgr says so"
            )?;
        }
        let count = self.tensors.len();
        write!(
            f,
            "{count} tensors of {:?} ({}); {}",
            self.network,
            self.generation,
            checksum_text(self.checksum)
        )
    }
}

/// What `ckpt2raw` did.
#[derive(Debug, Serialize)]
pub struct RawReport {
    /// Whether the given json knew the given raw file.
    pub checksum: ChecksumState,
    /// MD5 of the new raw file.
    pub raw_md5: String,
    /// Elements whose stored value is another than before.
    pub changed: usize,
    /// Integers that were clamped.
    pub clamped: usize,
    /// The same by tensor, in the order of the raw file.
    pub tensors: Vec<TensorChange>,
    /// Parameters of the checkpoint that the raw file does not have.
    pub unused: Vec<String>,
}

impl RawReport {
    /// The report on a pair that was rewritten with `params`.
    #[must_use]
    pub fn new(pair: &Pair, params: &Params, rewritten: &Rewritten) -> Self {
        let tensors = rewritten.changes.clone();
        let used: BTreeSet<&String> = tensors.iter().map(|tensor| &tensor.name).collect();
        Self {
            checksum: pair.checksum,
            raw_md5: rewritten.checksum.clone(),
            changed: tensors.iter().map(|tensor| tensor.changed).sum(),
            clamped: tensors.iter().map(|tensor| tensor.clamped).sum(),
            unused: params.keys().filter(|name| !used.contains(name)).cloned().collect(),
            tensors,
        }
    }
}

impl fmt::Display for RawReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for tensor in self.tensors.iter().filter(|tensor| tensor.changed > 0 || tensor.clamped > 0) {
            let TensorChange { name, elements, changed, clamped, .. } = tensor;
            writeln!(f, "{name}: {changed} of {elements} changed, {clamped} clamped")?;
        }
        if !self.unused.is_empty() {
            writeln!(f, "not in the raw file: {}", self.unused.join(", "))?;
        }
        let (count, changed, clamped) = (self.tensors.len(), self.changed, self.clamped);
        write!(f, "{count} tensors, {changed} elements changed, {clamped} clamped; ")?;
        write!(f, "before: {}; MD5 now {}", checksum_text(self.checksum), self.raw_md5)
    }
}
