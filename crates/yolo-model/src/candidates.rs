//! Candidates of non-maximum suppression, straight from the logits.
//!
//! The simple algorithm: decode every prediction, multiply objectness by each class score, keep what exceeds the
//! confidence. Almost nothing does, so:
//!
//! 1. The objectness plane is compared as logits; only the cells above the threshold's logit get an exponential.
//!    The comparison is a little lenient and the exact one follows, so the result is the simple algorithm's to the bit.
//! 2. In such a cell the class logits are compared with the logit of `confidence / objectness`, in the same way.
//! 3. The box is decoded when the first class passes, once per cell.

use crate::decode::AnchorPlanes;
use crate::detection::check_unit;
use crate::head::{BOX_VALUES, Logits, with_logits};
use crate::sigmoid::logit_below;
use crate::{Detection, Head, HeadLevel, Result, sigmoid};

/// Every (prediction, class) pair whose score `objectness * class` exceeds `confidence`, as boxes in network pixels.
///
/// A prediction gives one candidate for each class that passes (multi-label), and none when its objectness does not
/// exceed `confidence`. Both comparisons are strict, in f32. Candidates go in the order of
/// [`decode_all`](crate::decode_all)'s rows, then by class; corners are `centre - size / 2` and `centre + size / 2`.
///
/// # Errors
/// When the head is malformed, `levels` are not tensors of it, or `confidence` is not in [0, 1].
pub fn candidates(head: &Head, levels: &[HeadLevel<'_>], confidence: f32) -> Result<Vec<Detection>> {
    head.check_levels(levels)?;
    check_unit("confidence", confidence)?;
    let mut found = Vec::new();
    for (index, level) in levels.iter().enumerate() {
        for planes in AnchorPlanes::of_level(head, index, level) {
            with_logits!(level.values, logits => {
                Search { logits: &logits, planes, class_count: head.class_count, confidence }.run(&mut found);
            });
        }
    }
    Ok(found)
}

/// The search through one anchor's planes.
struct Search<'a, L> {
    logits: &'a L,
    planes: AnchorPlanes,
    class_count: usize,
    confidence: f32,
}

impl<L: Logits> Search<'_, L> {
    fn run(&self, found: &mut Vec<Detection>) {
        let bound = logit_below(self.confidence);
        for cell in 0..self.planes.area {
            let logit = self.logits.at(self.planes.value(BOX_VALUES - 1, cell));
            if logit > bound {
                self.search_cell(cell, sigmoid(logit), found);
            }
        }
    }

    fn search_cell(&self, cell: usize, objectness: f32, found: &mut Vec<Detection>) {
        if objectness <= self.confidence {
            return;
        }
        let bound = logit_below(self.confidence / objectness);
        let mut bbox = None;
        for class in 0..self.class_count {
            let logit = self.logits.at(self.planes.value(BOX_VALUES + class, cell));
            if logit > bound {
                let score = objectness * sigmoid(logit);
                if score > self.confidence {
                    let bbox = *bbox.get_or_insert_with(|| corners(self.planes.box_at(self.logits, cell)));
                    found.push(Detection { bbox, score, class });
                }
            }
        }
    }
}

fn corners([x, y, width, height]: [f32; 4]) -> [f32; 4] {
    [x - width / 2.0, y - height / 2.0, x + width / 2.0, y + height / 2.0]
}
