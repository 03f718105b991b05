//! Intersection over union of axis-parallel boxes.

/// Intersection over union of two boxes `[x, y, width, height]`, in f64.
///
/// ```text
/// w = min(dx + dw, gx + gw) - max(dx, gx)      h alike
/// 0                               if w <= 0 or h <= 0
/// w·h / (dw·dh + gw·gh - w·h)     otherwise
/// w·h / (dw·dh)                   if the ground truth is a crowd region
/// ```
///
/// Operations are done in this order and never contracted to fused multiply-add, because thresholds are
/// compared for equality: identical boxes at fractional positions may give a value some ulps off 1. A box
/// without area overlaps nothing, itself included (quirk `zero-area-overlaps-nothing`). Areas that overflow
/// or underflow f64 can make the result NaN, which matches nothing here (quirk `iou-not-a-number`). With a crowd
/// region the union is the detection's own area (quirk `crowd-union`).
#[must_use]
pub fn box_iou(detection: &[f64; 4], ground_truth: &[f64; 4], crowd: bool) -> f64 {
    let [dx, dy, dw, dh] = *detection;
    let [gx, gy, gw, gh] = *ground_truth;
    let width = (dx + dw).min(gx + gw) - dx.max(gx);
    if width <= 0.0 {
        return 0.0;
    }
    let height = (dy + dh).min(gy + gh) - dy.max(gy);
    if height <= 0.0 {
        return 0.0;
    }
    let intersection = width * height;
    let union = if crowd { dw * dh } else { dw * dh + gw * gh - intersection };
    intersection / union
}

/// One ground truth that a detection overlaps.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Overlap {
    /// Index into the ground truths given to [`Overlaps::fill`].
    pub ground_truth: u32,
    /// Intersection over union, at least the bound given to [`Overlaps::fill`].
    pub iou: f64,
}

/// A detection with at least one overlap.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OverlapRow {
    /// Index into the detections given to [`Overlaps::fill`].
    pub detection: u32,
    start: usize,
    end: usize,
}

impl OverlapRow {
    /// The same overlaps, for a detection of another number.
    pub(crate) fn renamed(&self, detection: u32) -> Self {
        Self { detection, ..*self }
    }
}

/// The overlaps of one image and category that are large enough to matter, by detection.
///
/// Most detections overlap no ground truth well enough for the lowest threshold; they take no room here
/// and no time in matching. Buffers are kept between calls of [`fill`](Self::fill).
#[derive(Debug, Clone, Default)]
pub struct Overlaps {
    rows: Vec<OverlapRow>,
    pairs: Vec<Overlap>,
}

impl Overlaps {
    /// Replaces the contents by the pairs with `box_iou >= at_least`, detections and ground truths in
    /// given order.
    ///
    /// `crowd[g]` tells whether ground truth `g` is a crowd region; missing flags mean that it is not.
    pub fn fill(
        &mut self,
        detections: &[[f64; 4]],
        ground_truths: &[[f64; 4]],
        crowd: &[bool],
        at_least: f64,
    ) {
        self.rows.clear();
        self.pairs.clear();
        let flag = |g: usize| crowd.get(g).is_some_and(|&flag| flag);
        for (d, detection) in (0u32..).zip(detections) {
            let truths = ground_truths.iter().enumerate().map(|(g, truth)| (*truth, flag(g)));
            self.add(d, detection, truths, at_least);
        }
    }

    /// Adds the pairs of one more detection, with `(box, crowd)` of its ground truths.
    pub(crate) fn add(
        &mut self,
        number: u32,
        detection: &[f64; 4],
        ground_truths: impl Iterator<Item = ([f64; 4], bool)>,
        at_least: f64,
    ) {
        let start = self.pairs.len();
        for (g, (ground_truth, crowd)) in (0u32..).zip(ground_truths) {
            let iou = box_iou(detection, &ground_truth, crowd);
            if iou >= at_least {
                self.pairs.push(Overlap { ground_truth: g, iou });
            }
        }
        let end = self.pairs.len();
        if end > start {
            self.rows.push(OverlapRow { detection: number, start, end });
        }
    }

    /// Puts rows in another order, drops some, or renames their detections.
    pub(crate) fn replace_rows(&mut self, rows: impl Iterator<Item = OverlapRow>) {
        self.rows.clear();
        self.rows.extend(rows);
    }

    /// Detections with an overlap, in given order.
    #[must_use]
    pub fn rows(&self) -> &[OverlapRow] {
        &self.rows
    }

    /// The overlaps of one row, ground truths in given order.
    #[must_use]
    pub fn of(&self, row: &OverlapRow) -> &[Overlap] {
        &self.pairs[row.start..row.end]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_pairs() {
        let unit = [0.0, 0.0, 10.0, 10.0];
        let rows: [(&str, [f64; 4], bool, f64); 6] = [
            ("itself", unit, false, 1.0),
            ("half", [0.0, 0.0, 10.0, 5.0], false, 0.5),
            ("touching", [10.0, 0.0, 10.0, 10.0], false, 0.0),
            ("apart", [0.0, 20.0, 10.0, 10.0], false, 0.0),
            ("inside a crowd", [0.0, 0.0, 20.0, 20.0], true, 1.0),
            ("no area", [5.0, 5.0, 0.0, 3.0], false, 0.0),
        ];
        for (name, ground_truth, crowd, expected) in rows {
            assert_eq!(box_iou(&unit, &ground_truth, crowd), expected, "{name}");
        }
        assert_eq!(box_iou(&[5.0, 5.0, 0.0, 3.0], &[5.0, 5.0, 0.0, 3.0], false), 0.0);
    }

    #[test]
    fn rows_hold_only_large_overlaps() {
        let mut overlaps = Overlaps::default();
        let boxes = [[0.0, 0.0, 10.0, 10.0], [100.0, 0.0, 10.0, 10.0], [0.0, 0.0, 10.0, 4.0]];
        overlaps.fill(&boxes, &boxes[..1], &[], 0.5);
        assert_eq!(overlaps.rows().iter().map(|row| row.detection).collect::<Vec<_>>(), [0]);
        assert_eq!(overlaps.of(&overlaps.rows()[0]), [Overlap { ground_truth: 0, iou: 1.0 }]);
    }
}
