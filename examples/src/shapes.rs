//! Pictures of shapes with annotations, drawn by a seeded generator: a task for small detectors.
//!
//! A picture belongs to its name alone. On a background of a gradient and thin lines lie 2 to 9 shapes of six classes, turned by any angle, from a
//! fourteenth to half of the picture's side, in colours that may be near to the background's. Later ones hide earlier ones. Specks lie over everything.

use crate::images::Picture;
use crate::stream::Stream;
use std::f64::consts::PI;
use yolo_model::ImageSize;

/// Names of the classes.
pub const CLASS_NAMES: [&str; 6] = ["disc", "ring", "square", "triangle", "cross", "striped"];

/// An object of a picture.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Object {
    /// Its class.
    pub class: usize,
    /// x1, y1, x2, y2 in pixels: the smallest box around all of it that lies in the picture, hidden parts included.
    pub bbox: [f64; 4],
    /// Pixels that can be seen.
    pub area: usize,
}

/// Of what lies in the picture, the least share that has to be seen for an object to count.
const SEEN: f64 = 0.3;
/// Pixels that an object has at least.
const LEAST: usize = 20;

/// Largest share of pixels with a speck: noise on few pixels makes small files, where noise on all would not compress.
const MOST_SPECKS: f64 = 0.15;
/// Standard deviation of a speck's colour from what it lies on.
const SPECK: f64 = 40.0;

/// A shape to be drawn.
struct Shape {
    class: usize,
    centre: [f64; 2],
    radius: f64,
    /// Cosine and sine.
    turn: [f64; 2],
    colour: [f64; 3],
}

impl Shape {
    fn random(stream: &mut Stream<'_>, side: f64) -> Self {
        // Small ones are as many as large ones.
        let radius = side * (0.036f64.ln() + stream.next() * (0.25f64 / 0.036).ln()).exp();
        let angle = stream.within(0.0, 2.0 * PI);
        Self {
            class: stream.within(0.0, CLASS_NAMES.len() as f64) as usize,
            centre: [stream.within(0.0, side), stream.within(0.0, side)],
            radius,
            turn: [angle.cos(), angle.sin()],
            colour: stream.colour(10.0),
        }
    }

    /// The brightness of the shape at a place, 1 or less on stripes; none beside it.
    fn covers(&self, x: f64, y: f64) -> Option<f64> {
        let (dx, dy) = ((x - self.centre[0]) / self.radius, (y - self.centre[1]) / self.radius);
        let [cos, sin] = self.turn;
        let (u, v) = (cos * dx + sin * dy, cos * dy - sin * dx);
        let from_centre = u.hypot(v);
        let inside = match self.class {
            0 | 5 => from_centre <= 1.0,
            1 => (0.55..=1.0).contains(&from_centre),
            2 => u.abs().max(v.abs()) <= 0.8,
            3 => v <= 0.6 && v >= 2.0 * u.abs() - 1.0,
            _ => u.abs().max(v.abs()) <= 1.0 && u.abs().min(v.abs()) <= 0.3,
        };
        let striped = self.class == 5 && ((u + 1.0) * 2.5) as i64 % 2 == 1;
        inside.then_some(if striped { 0.45 } else { 1.0 })
    }
}

/// A line across the background.
struct Scratch {
    from: [f64; 2],
    along: [f64; 2],
    colour: [f64; 3],
}

/// Draws the picture that belongs to `name`, a square of `side` pixels, and lists what can be seen on it.
#[must_use]
pub fn draw(name: &str, side: usize) -> (Picture, Vec<Object>) {
    let mut stream = Stream::new(name);
    let length = side as f64;
    let (from, to) = (stream.colour(10.0), stream.colour(10.0));
    let scratches: Vec<Scratch> = (0..stream.within(0.0, 7.0) as usize)
        .map(|_| {
            let angle = stream.within(0.0, PI);
            let from = [stream.within(0.0, length), stream.within(0.0, length)];
            Scratch { from, along: [angle.cos(), angle.sin()], colour: stream.colour(10.0) }
        })
        .collect();
    let count = stream.within(2.0, 10.0) as usize;
    let shapes: Vec<Shape> = (0..count).map(|_| Shape::random(&mut stream, length)).collect();
    let specks = stream.within(0.0, MOST_SPECKS);
    let mut tally = vec![Tally::default(); shapes.len()];
    let mut pixels = Vec::with_capacity(side * side * 3);
    for y in 0..side {
        for x in 0..side {
            let background = background((x, y), length, [from, to], &scratches);
            let colour = pixel((x, y), background, &shapes, &mut tally);
            let speck = stream.next() < specks;
            let mut shifted = |value: f64| if speck { value + SPECK * stream.normal() } else { value };
            pixels.extend(colour.map(|value| shifted(value).round().clamp(0.0, 255.0) as u8));
        }
    }
    let objects = shapes.iter().zip(&tally).filter_map(|(shape, tally)| tally.object(shape.class));
    (Picture { pixels, size: ImageSize::new(side, side) }, objects.collect())
}

fn background(
    (x, y): (usize, usize),
    side: f64,
    [from, to]: [[f64; 3]; 2],
    scratches: &[Scratch],
) -> [f64; 3] {
    let (x, y) = (x as f64, y as f64);
    let crossed = scratches.iter().find(|line| {
        let [dx, dy] = [x - line.from[0], y - line.from[1]];
        (dx * line.along[1] - dy * line.along[0]).abs() < 0.8
    });
    let share = (x + 2.0 * y) / (3.0 * side);
    crossed.map_or_else(|| [0, 1, 2].map(|c| from[c] + share * (to[c] - from[c])), |line| line.colour)
}

/// The colour of a pixel, the mean of four places in it; counts whose pixel it is.
fn pixel((x, y): (usize, usize), background: [f64; 3], shapes: &[Shape], tally: &mut [Tally]) -> [f64; 3] {
    const PLACES: [[f64; 2]; 4] = [[0.25, 0.25], [0.75, 0.25], [0.25, 0.75], [0.75, 0.75]];
    let mut sum = [0.0; 3];
    for (place, [right, down]) in PLACES.into_iter().enumerate() {
        let mut colour = background;
        let mut top = None;
        for (index, shape) in shapes.iter().enumerate() {
            let Some(brightness) = shape.covers(x as f64 + right, y as f64 + down) else { continue };
            tally[index].cover(x, y);
            tally[index].all += usize::from(place == 0);
            colour = shape.colour.map(|value| value * brightness);
            top = Some(index);
        }
        // One place of four decides whose pixel it is.
        if let (0, Some(index)) = (place, top) {
            tally[index].seen += 1;
        }
        sum.iter_mut().zip(colour).for_each(|(sum, value)| *sum += value / PLACES.len() as f64);
    }
    sum
}

/// Where a shape is.
#[derive(Clone, Default)]
struct Tally {
    /// Ends of columns and rows, if there are any.
    ends: Option<[usize; 4]>,
    all: usize,
    seen: usize,
}

impl Tally {
    fn cover(&mut self, x: usize, y: usize) {
        let [x1, y1, x2, y2] = self.ends.unwrap_or([x, y, x, y]);
        self.ends = Some([x1.min(x), y1.min(y), x2.max(x), y2.max(y)]);
    }

    /// The object, if enough of it can be seen.
    fn object(&self, class: usize) -> Option<Object> {
        let [x1, y1, x2, y2] = self.ends?;
        let bbox = [x1, y1, x2 + 1, y2 + 1].map(|end| end as f64);
        let counts = self.seen >= LEAST && self.seen as f64 >= SEEN * self.all as f64;
        counts.then_some(Object { class, bbox, area: self.seen })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pictures_belong_to_their_names() {
        let (one, objects) = draw("a", 96);
        assert_eq!(draw("a", 96), (one.clone(), objects));
        assert_ne!(draw("b", 96).0, one);
    }

    #[test]
    fn objects_lie_in_the_picture_and_all_classes_occur() {
        let mut seen = [0; CLASS_NAMES.len()];
        for index in 0..60 {
            for Object { class, bbox: [x1, y1, x2, y2], area } in draw(&format!("test-{index}"), 128).1 {
                seen[class] += 1;
                assert!(0.0 <= x1 && x1 < x2 && x2 <= 128.0 && 0.0 <= y1 && y1 < y2 && y2 <= 128.0);
                assert!(area >= LEAST && area as f64 <= (x2 - x1) * (y2 - y1));
            }
        }
        assert!(seen.iter().all(|&count| count > 20), "{seen:?}");
    }

    #[test]
    fn boxes_are_tight() {
        let shape =
            |class| Shape { class, centre: [50.0, 40.0], radius: 20.0, turn: [1.0, 0.0], colour: [0.0; 3] };
        let extent = |class| {
            let mut tally = vec![Tally::default()];
            for y in 0..100 {
                for x in 0..100 {
                    pixel((x, y), [255.0; 3], &[shape(class)], &mut tally);
                }
            }
            tally[0].object(class).unwrap().bbox
        };
        assert_eq!(extent(0), [30.0, 20.0, 70.0, 60.0]);
        assert_eq!(extent(2), [34.0, 24.0, 66.0, 56.0]);
        assert_eq!(extent(4), [30.0, 20.0, 70.0, 60.0]);
    }

    #[test]
    fn what_is_hidden_does_not_count() {
        let shape =
            |class, radius| Shape { class, centre: [50.0, 50.0], radius, turn: [1.0, 0.0], colour: [0.0; 3] };
        let mut tally = vec![Tally::default(); 2];
        for y in 0..100 {
            for x in 0..100 {
                pixel((x, y), [255.0; 3], &[shape(2, 20.0), shape(0, 30.0)], &mut tally);
            }
        }
        assert_eq!(tally[0].object(2), None);
        assert!(tally[1].object(0).is_some());
    }
}
