//! Four pictures around a point.

use rand_chacha::rand_core::Rng;

use super::random::{below, shuffle, uniform};
use super::{Label, Labelled, Picture, Result, Samples};
use crate::image_size::CHANNELS;
use crate::resize::{Window, resize_into};
use crate::{ImageSize, LetterboxTransform};

/// Pictures of a mosaic.
const TILES: usize = 4;

/// Sample `index` and three random ones on a grey canvas of twice `size`.
///
/// Drawn, in this order: the point where they meet, whole pixels in [0.5, 1.5) of `size`, column before row; the three
/// others, with repetition; which lies in which corner.
pub(super) fn mosaic<R: Rng + ?Sized>(
    samples: &Samples,
    index: usize,
    size: ImageSize,
    random: &mut R,
) -> Result<Labelled> {
    let mut centre = |side: usize| uniform(random, 0.5 * side as f64, 1.5 * side as f64) as usize;
    let [x, y] = [centre(size.width), centre(size.height)];
    let mut indices = [index; TILES];
    indices[1..].fill_with(|| below(random, samples.len()));
    shuffle(random, &mut indices);
    let doubled = ImageSize::new(size.height.saturating_mul(2), size.width.saturating_mul(2));
    let mut canvas = Labelled { picture: Picture::grey(doubled)?, labels: Vec::new() };
    for (corner, index) in Corner::ALL.into_iter().zip(indices) {
        put(&mut canvas, samples.picture(index)?, corner, [x, y], size)?;
    }
    Ok(canvas)
}

/// Where a picture lies, seen from the point where all meet.
#[derive(Clone, Copy, Debug)]
struct Corner {
    right: bool,
    lower: bool,
}

impl Corner {
    const ALL: [Self; TILES] = [
        Self { right: false, lower: false },
        Self { right: true, lower: false },
        Self { right: false, lower: true },
        Self { right: true, lower: true },
    ];
}

/// Scales a picture to fit into `size` and puts it into a corner of `point`; what leaves the canvas is cut off.
fn put(
    canvas: &mut Labelled,
    tile: Labelled,
    corner: Corner,
    point: [usize; 2],
    size: ImageSize,
) -> Result<()> {
    let source = tile.picture.size;
    let scaled = resized(&tile.picture, LetterboxTransform::new(source, size)?.resized)?;
    let frame = canvas.picture.size;
    let across = Span::new(point[0], scaled.size.width, frame.width, corner.right);
    let down = Span::new(point[1], scaled.size.height, frame.height, corner.lower);
    copy(&scaled, &mut canvas.picture, across, down);
    let scale =
        [scaled.size.width as f64 / source.width as f64, scaled.size.height as f64 / source.height as f64];
    let place = |label: Label| label.placed(scale, [across.offset(), down.offset()]).clipped(frame);
    canvas.labels.extend(tile.labels.into_iter().filter_map(place));
    Ok(())
}

fn resized(picture: &Picture, size: ImageSize) -> Result<Picture> {
    let mut pixels = vec![0; size.value_count("mosaic tile", CHANNELS)?];
    let window = Window { pixels: &mut pixels, row_values: size.width * CHANNELS, left: 0, top: 0, size };
    resize_into(&picture.pixels, picture.size, window);
    Ok(Picture { pixels, size })
}

/// What is copied along one axis.
#[derive(Clone, Copy, Debug)]
struct Span {
    from: usize,   // first pixel of the tile
    to: usize,     // first pixel of the canvas
    length: usize, // pixels
}

impl Span {
    /// A tile of `side` pixels on the side of `point`, which lies in a canvas of `frame`.
    fn new(point: usize, side: usize, frame: usize, after: bool) -> Self {
        if after {
            Self { from: 0, to: point, length: side.min(frame - point) }
        } else {
            let length = side.min(point);
            Self { from: side - length, to: point - length, length }
        }
    }

    /// Pixels from the canvas's edge to the tile's, negative where the tile is cut.
    fn offset(&self) -> f64 {
        self.to as f64 - self.from as f64
    }
}

fn copy(tile: &Picture, canvas: &mut Picture, across: Span, down: Span) {
    let values = |start: usize| start * CHANNELS..(start + across.length) * CHANNELS;
    let sources = tile.pixels.chunks_exact(tile.size.width * CHANNELS).skip(down.from);
    let targets = canvas.pixels.chunks_exact_mut(canvas.size.width * CHANNELS).skip(down.to);
    for (target, source) in targets.zip(sources).take(down.length) {
        target[values(across.to)].copy_from_slice(&source[values(across.from)]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::testing::{painted, pixel};

    /// Tiles of one colour each, wholly covered by a box, around every kind of point.
    #[test]
    fn tiles_meet_at_the_point_and_boxes_are_their_rectangles() {
        let size = ImageSize::new(16, 20);
        let shapes =
            [ImageSize::new(32, 40), ImageSize::new(8, 5), ImageSize::new(7, 30), ImageSize::new(16, 20)];
        for point in [[10, 8], [29, 23], [20, 16], [13, 22], [29, 8]] {
            let mut canvas =
                Labelled { picture: Picture::grey(ImageSize::new(32, 40)).unwrap(), labels: Vec::new() };
            for (class, (corner, shape)) in Corner::ALL.into_iter().zip(shapes).enumerate() {
                let [height, width] = [shape.height as f32, shape.width as f32];
                let tile =
                    painted(shape, [class as u8; 3], &[Label { class, bbox: [0.0, 0.0, width, height] }]);
                put(&mut canvas, tile, corner, point, size).unwrap();
            }
            assert_eq!(canvas.labels.len(), TILES, "{point:?}");
            let area: f32 =
                canvas.labels.iter().map(|l| (l.bbox[2] - l.bbox[0]) * (l.bbox[3] - l.bbox[1])).sum();
            let filled = canvas.picture.pixels.iter().filter(|&&value| value != 114).count() / 3;
            assert_eq!(area, filled as f32, "{point:?}");
            for label in &canvas.labels {
                let [x1, y1, x2, y2] = label.bbox.map(|value| value as usize);
                for (x, y) in [(x1, y1), (x2 - 1, y1), (x1, y2 - 1), (x2 - 1, y2 - 1)] {
                    assert_eq!(pixel(&canvas.picture, x, y), [label.class as u8; 3], "{point:?} {x} {y}");
                }
                let corner = Corner::ALL[label.class];
                let meets = [if corner.right { x1 } else { x2 }, if corner.lower { y1 } else { y2 }];
                assert_eq!(meets, point, "{label:?}");
            }
        }
    }

    /// Pictures as large as the mosaic's quarter leave no grey within that distance of the point.
    #[test]
    fn full_tiles_cover_all_around_the_point() {
        let size = ImageSize::new(16, 16);
        for point in [[8, 8], [23, 23], [8, 23], [16, 12]] {
            let mut canvas =
                Labelled { picture: Picture::grey(ImageSize::new(32, 32)).unwrap(), labels: Vec::new() };
            for corner in Corner::ALL {
                put(&mut canvas, painted(ImageSize::new(9, 9), [1; 3], &[]), corner, point, size).unwrap();
            }
            for (x, y) in (0..32 * 32).map(|place| (place % 32, place / 32)) {
                let covered =
                    x + 16 >= point[0] && x < point[0] + 16 && y + 16 >= point[1] && y < point[1] + 16;
                assert_eq!(pixel(&canvas.picture, x, y) == [1; 3], covered, "{point:?} {x} {y}");
            }
        }
    }
}
