//! Which cells and anchors have to find which boxes.
//!
//! YOLOv5 gives a box to every anchor of similar shape, in the cell that its centre lies in and in the two neighbours that the centre is
//! nearest to (Jocher et al., YOLOv5, `utils/loss.py`).

use crate::{BatchLabel, Head, ImageSize};

/// A cell and an anchor that have to find a box.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Assignment {
    /// Which image of the batch.
    pub image: usize,
    /// Which anchor of the level.
    pub anchor: usize,
    /// The cell's row.
    pub row: usize,
    /// The cell's column.
    pub column: usize,
    /// Class of the box.
    pub class: usize,
    /// Centre x, y from the cell's corner, width, height, in cells.
    pub bbox: [f32; 4],
}

/// How far a centre may lie in the next cell: half a cell.
const REACH: f32 = 0.5;

/// The assignments at a level of the head, for network inputs of `size`. In units of cells, a box of centre `(x, y)` goes to every
/// anchor whose sides differ from its own by a factor below `most_ratio` (YOLOv5: 4), and there to
///
/// - the cell `(floor x, floor y)`,
/// - its left neighbour if `frac x < 1/2` and `x > 1`, the upper one likewise,
/// - its right neighbour if `frac (columns - x) < 1/2` and `columns - x > 1`, the lower one likewise.
///
/// The order is that of YOLOv5: by neighbour (own, left, upper, right, lower), then anchor, then label. It decides which box is the
/// target of a cell that has several: the last.
#[must_use]
pub fn assign(
    head: &Head,
    level: usize,
    labels: &[BatchLabel],
    size: ImageSize,
    most_ratio: f32,
) -> Vec<Assignment> {
    let stride = head.strides[level] as f32;
    let cells = [(size.width / head.strides[level]) as f32, (size.height / head.strides[level]) as f32];
    let boxes = in_cells(labels, stride);
    let mut found = Vec::new();
    for (neighbour, offset) in NEIGHBOURS.into_iter().enumerate() {
        for (anchor, &sides) in head.anchors[level].iter().enumerate() {
            for (label, &[x, y, width, height]) in labels.iter().zip(&boxes) {
                let fits = similar([width, height], sides.map(|side| side / stride), most_ratio);
                if !fits || !reaches(neighbour, [x, y], cells) {
                    continue;
                }
                let [column, row] = [0, 1].map(|axis| {
                    let cell = ([x, y][axis] - offset[axis] * REACH).trunc();
                    cell.clamp(0.0, cells[axis] - 1.0)
                });
                found.push(Assignment {
                    image: label.image,
                    anchor,
                    row: row as usize,
                    column: column as usize,
                    class: label.class,
                    bbox: [x - column, y - row, width, height],
                });
            }
        }
    }
    found
}

/// Which way from the centre's cell: own, left, upper, right, lower.
const NEIGHBOURS: [[f32; 2]; 5] = [[0.0, 0.0], [1.0, 0.0], [0.0, 1.0], [-1.0, 0.0], [0.0, -1.0]];

/// Centre and sides in cells.
fn in_cells(labels: &[BatchLabel], stride: f32) -> Vec<[f32; 4]> {
    let convert = |label: &BatchLabel| {
        let [x1, y1, x2, y2] = label.bbox.map(|value| value / stride);
        [(x1 + x2) / 2.0, (y1 + y2) / 2.0, x2 - x1, y2 - y1]
    };
    labels.iter().map(convert).collect()
}

fn similar(sides: [f32; 2], anchor: [f32; 2], most_ratio: f32) -> bool {
    sides.iter().zip(anchor).all(|(&side, anchor)| (side / anchor).max(anchor / side) < most_ratio)
}

fn reaches(neighbour: usize, centre: [f32; 2], cells: [f32; 2]) -> bool {
    let near = |from: f32| from % 1.0 < REACH && from > 1.0;
    match neighbour {
        0 => true,
        1 => near(centre[0]),
        2 => near(centre[1]),
        3 => near(cells[0] - centre[0]),
        _ => near(cells[1] - centre[1]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head() -> Head {
        Head { class_count: 3, anchors: vec![vec![[16.0, 16.0], [8.0, 80.0]]], strides: vec![8] }
    }

    fn places(bbox: [f32; 4]) -> Vec<(usize, usize, usize)> {
        let label = BatchLabel { image: 0, class: 1, bbox };
        let found = assign(&head(), 0, &[label], ImageSize::new(64, 80), 4.0);
        found.iter().map(|a| (a.anchor, a.row, a.column)).collect()
    }

    #[test]
    fn nearest_neighbours_get_the_box_too() {
        // Centre (3.25, 2.75) in cells: left and lower neighbours.
        assert_eq!(places([18.0, 14.0, 34.0, 30.0]), [(0, 2, 3), (0, 2, 2), (0, 3, 3)]);
        // In the middle of a cell, where `frac < 1/2` holds on no side but that of the far border.
        assert_eq!(places([20.0, 12.0, 36.0, 28.0]), [(0, 2, 3)]);
        // At the border there is no neighbour.
        assert_eq!(places([0.0, 0.0, 4.2, 4.2]), [(0, 0, 0)]);
        assert_eq!(places([75.0, 58.0, 80.0, 64.0]), [(0, 7, 9)]);
    }

    #[test]
    fn anchors_of_another_shape_get_nothing() {
        assert!(places([0.0, 20.0, 70.0, 22.0]).is_empty());
        let tall = places([30.0, 2.0, 34.0, 50.0]);
        assert!(tall.iter().all(|place| place.0 == 1) && !tall.is_empty(), "{tall:?}");
    }

    #[test]
    fn boxes_are_relative_to_their_cell() {
        let label = BatchLabel { image: 5, class: 2, bbox: [18.0, 14.0, 34.0, 30.0] };
        let found = assign(&head(), 0, &[label], ImageSize::new(64, 80), 4.0);
        assert_eq!(found[0].bbox, [0.25, 0.75, 2.0, 2.0]);
        assert_eq!(found[1].bbox, [1.25, 0.75, 2.0, 2.0]);
        assert!(found.iter().all(|a| (a.image, a.class) == (5, 2)));
    }
}
