//! The loss by loops over cells, in f64, written from the formulas alone.

use yolo_model::{BatchLabel, Head, LossConfig};

/// A head's level: `(batch, anchors * (5 + classes), rows, columns)`.
pub(crate) struct Level<'a> {
    pub(crate) values: &'a [f32],
    pub(crate) rows: usize,
    pub(crate) columns: usize,
}

fn sigmoid(x: f64) -> f64 {
    1.0 / (1.0 + (-x).exp())
}

fn cross_entropy(x: f64, t: f64) -> f64 {
    let s = sigmoid(x);
    -(t * s.ln() + (1.0 - t) * (1.0 - s).ln())
}

/// Of boxes given by centre and sides.
pub(crate) fn ciou(a: [f64; 4], b: [f64; 4]) -> f64 {
    let low = |v: [f64; 4], k: usize| v[k] - v[2 + k] / 2.0;
    let high = |v: [f64; 4], k: usize| v[k] + v[2 + k] / 2.0;
    let inside = |k: usize| (high(a, k).min(high(b, k)) - low(a, k).max(low(b, k))).max(0.0);
    let around = |k: usize| high(a, k).max(high(b, k)) - low(a, k).min(low(b, k));
    let intersection = inside(0) * inside(1);
    let iou = intersection / (a[2] * a[3] + b[2] * b[3] - intersection);
    let distance = (a[0] - b[0]).powi(2) + (a[1] - b[1]).powi(2);
    let diagonal = around(0).powi(2) + around(1).powi(2);
    let skew = (b[2] / b[3]).atan() - (a[2] / a[3]).atan();
    let v = 4.0 / std::f64::consts::PI.powi(2) * skew * skew;
    let alpha = if v == 0.0 { 0.0 } else { v / (1.0 - iou + v) };
    iou - distance / diagonal - alpha * v
}

/// Cells that a box goes to: its own and the nearest neighbours, in the order of YOLOv5.
fn cells(x: f64, y: f64, rows: usize, columns: usize) -> Vec<(usize, usize)> {
    let (column, row) = (x.floor(), y.floor());
    let mut all = vec![(row, column)];
    let mut add = |wanted: bool, row: f64, column: f64| {
        if wanted && row >= 0.0 && column >= 0.0 && row < rows as f64 && column < columns as f64 {
            all.push((row, column));
        }
    };
    add(x - column < 0.5, row, column - 1.0);
    add(y - row < 0.5, row - 1.0, column);
    add(x - column > 0.5, row, column + 1.0);
    add(y - row > 0.5, row + 1.0, column);
    all.into_iter().map(|(row, column)| (row as usize, column as usize)).collect()
}

/// Boxes, objectness and classes, weighted, per image.
pub(crate) fn loss(
    head: &Head,
    config: &LossConfig,
    levels: &[Level<'_>],
    labels: &[BatchLabel],
    batch: usize,
) -> [f64; 3] {
    let values = 5 + head.class_count;
    let mut sums = [0.0; 3];
    for (index, level) in levels.iter().enumerate() {
        let (rows, columns, stride) = (level.rows, level.columns, head.strides[index] as f64);
        let anchors = &head.anchors[index];
        let logit = |image: usize, anchor: usize, k: usize, row: usize, column: usize| {
            let plane = (image * anchors.len() + anchor) * values + k;
            f64::from(level.values[(plane * rows + row) * columns + column])
        };
        let mut target = vec![0.0; batch * anchors.len() * rows * columns];
        let (mut boxes, mut classes, mut count) = (0.0, 0.0, 0);
        // By neighbour first: the last one decides the target.
        let mut all = Vec::new();
        for (a, anchor) in anchors.iter().enumerate() {
            for label in labels {
                let b = label.bbox.map(|v| f64::from(v) / stride);
                let sides = [b[2] - b[0], b[3] - b[1]];
                let ratio = |k: usize| {
                    let r = sides[k] / (f64::from(anchor[k]) / stride);
                    r.max(1.0 / r)
                };
                if ratio(0).max(ratio(1)) >= f64::from(config.most_ratio) {
                    continue;
                }
                let (x, y) = ((b[0] + b[2]) / 2.0, (b[1] + b[3]) / 2.0);
                for (order, (row, column)) in cells(x, y, rows, columns).into_iter().enumerate() {
                    // The own cell comes before all neighbours; no cell gets two of these from one box.
                    all.push((usize::from(order > 0), a, label, [x, y, sides[0], sides[1]], row, column));
                }
            }
        }
        all.sort_by_key(|entry| entry.0);
        for (_, a, label, [x, y, w, h], row, column) in all {
            let read = |k: usize| logit(label.image, a, k, row, column);
            let side = |k: usize| (2.0 * sigmoid(read(2 + k))).powi(2) * f64::from(anchors[a][k]) / stride;
            let found = [2.0 * sigmoid(read(0)) - 0.5, 2.0 * sigmoid(read(1)) - 0.5, side(0), side(1)];
            let overlap = ciou(found, [x - column as f64, y - row as f64, w, h]);
            boxes += 1.0 - overlap;
            for class in 0..head.class_count {
                let t = if class == label.class {
                    1.0 - config.label_smoothing / 2.0
                } else {
                    config.label_smoothing / 2.0
                };
                classes += cross_entropy(read(5 + class), t) / head.class_count as f64;
            }
            target[((label.image * anchors.len() + a) * rows + row) * columns + column] = overlap.max(0.0);
            count += 1;
        }
        if count > 0 {
            sums[0] += boxes / f64::from(count);
            sums[2] += if head.class_count > 1 { classes / f64::from(count) } else { 0.0 };
        }
        let mut objectness = 0.0;
        for image in 0..batch {
            for a in 0..anchors.len() {
                for row in 0..rows {
                    for column in 0..columns {
                        let t = target[((image * anchors.len() + a) * rows + row) * columns + column];
                        objectness += cross_entropy(logit(image, a, 4, row, column), t);
                    }
                }
            }
        }
        sums[1] += objectness / target.len() as f64 * config.balance[index];
    }
    [sums[0] * config.box_weight, sums[1] * config.objectness_weight, sums[2] * config.class_weight]
}
