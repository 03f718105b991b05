//! From logits to predictions in pixels.

use crate::head::{BOX_VALUES, Logits, with_logits};
use crate::{Head, HeadLevel, Result, sigmoid};

/// One anchor on one level's grid: where its planes begin, and its geometry.
#[derive(Clone, Copy)]
pub(crate) struct AnchorPlanes {
    pub(crate) first: usize,   // index of the x plane's first value
    pub(crate) area: usize,    // values per plane
    pub(crate) columns: usize, // cells per row
    stride: f32,               // pixels per cell
    anchor: [f32; 2],          // width and height, pixels
}

impl AnchorPlanes {
    /// The planes of every anchor of level `index`.
    pub(crate) fn of_level(head: &Head, index: usize, level: &HeadLevel<'_>) -> Vec<Self> {
        let area = level.rows * level.columns;
        let plane_values = head.values_per_anchor() * area;
        let stride = head.strides[index] as f32;
        let anchors = head.anchors[index].iter().enumerate();
        let planes =
            |(a, &anchor)| Self { first: a * plane_values, area, columns: level.columns, stride, anchor };
        anchors.map(planes).collect()
    }

    /// Index of value `k` of a cell.
    #[inline]
    pub(crate) fn value(&self, k: usize, cell: usize) -> usize {
        self.first + k * self.area + cell
    }

    /// Centre and size in pixels, `[x, y, width, height]`. With `y = sigmoid(logit)`, in f32:
    /// `xy = (2y + (cell - 0.5)) * stride`, `wh = (2y)^2 * anchor`. Only the addition and the multiplications round.
    #[inline]
    pub(crate) fn box_at(&self, logits: &impl Logits, cell: usize) -> [f32; 4] {
        let twice = |k| 2.0 * sigmoid(logits.at(self.value(k, cell)));
        let centre = |k, position: usize| (twice(k) + (position as f32 - 0.5)) * self.stride;
        let side = |k, anchor: f32| square(twice(k)) * anchor;
        let [width, height] = self.anchor;
        [centre(0, cell % self.columns), centre(1, cell / self.columns), side(2, width), side(3, height)]
    }
}

#[inline]
fn square(x: f32) -> f32 {
    x * x
}

/// Decodes every prediction: N rows of `5 + classes` values `[x, y, width, height, objectness, classes...]`.
///
/// Centre and size are in pixels of the network's input, the others are sigmoids. Rows go level by level, then
/// anchor by anchor, then by grid row and column. With `y = sigmoid(logit)`: `xy = (2y - 0.5 + cell) * stride`,
/// `wh = (2y)^2 * anchor`, in f32.
///
/// # Errors
/// When the head is malformed or `levels` are not tensors of it.
pub fn decode_all(head: &Head, levels: &[HeadLevel<'_>]) -> Result<Vec<f32>> {
    head.check_levels(levels)?;
    let mut rows = Vec::with_capacity(head.prediction_count(levels) * head.values_per_anchor());
    for (index, level) in levels.iter().enumerate() {
        for planes in AnchorPlanes::of_level(head, index, level) {
            with_logits!(level.values, logits => decode_anchor(&logits, &planes, head.class_count, &mut rows));
        }
    }
    Ok(rows)
}

fn decode_anchor(logits: &impl Logits, planes: &AnchorPlanes, class_count: usize, rows: &mut Vec<f32>) {
    for cell in 0..planes.area {
        rows.extend(planes.box_at(logits, cell));
        let scores = BOX_VALUES - 1..BOX_VALUES + class_count;
        rows.extend(scores.map(|k| sigmoid(logits.at(planes.value(k, cell)))));
    }
}
