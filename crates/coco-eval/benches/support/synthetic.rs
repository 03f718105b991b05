//! Synthetic sets with the proportions of COCO val2017, equal byte for byte on every machine.
//!
//! All is integer arithmetic on hashed counters: lengths in hundredths of a pixel, scores in 1e-9. Draws are
//! numbered per object and per detection over the whole set, so an image can be made alone, and detections
//! are written as they are drawn. The model:
//!
//! - five usual image sizes; ids ascend with gaps;
//! - objects per image from a table with mean 7.4, 1 % of the images empty, then adjusted to the exact total;
//! - one to six categories per image, the first category on 30 % of the objects, the others falling slowly;
//! - the `area` of an object is 40 to 95 % of its box; 1.2 % are crowds, and large;
//! - per object up to three detections of falling quality, 6 % of them in a random category, then noise up to
//!   the image's quota, a third of it near an object. Scores rise with overlap; noise scores low.

#[path = "synthetic/boxes.rs"]
mod boxes;
#[path = "synthetic/draws.rs"]
mod draws;
#[path = "synthetic/files.rs"]
mod files;

use boxes::{Extent, PixelBox};
use draws::{Draws, Knot};

pub(crate) use files::{write_detections, write_ground_truth};

/// Objects on an image.
const OBJECTS: [Knot; 10] =
    [(0, 0), (10, 1), (150, 2), (300, 3), (500, 5), (700, 8), (850, 13), (950, 20), (990, 32), (1000, 63)];

/// Square root of a box's area, hundredths of a pixel.
const SIDE: [Knot; 10] = [
    (0, 300),
    (40, 700),
    (150, 1300),
    (300, 2300),
    (420, 3900),
    (560, 6200),
    (760, 11800),
    (860, 17000),
    (950, 30000),
    (1000, 60000),
];

/// Part of its box that an object covers, thousandths.
const COVERAGE: [Knot; 4] = [(0, 400), (300, 560), (700, 720), (1000, 950)];

/// Width and height of images, pixels.
const IMAGE_SIZES: [(i64, i64); 5] = [(640, 480), (640, 427), (480, 640), (500, 375), (427, 640)];

/// From this many detections on, every image gets exactly as many; below, between half and one and a half.
const FIXED_QUOTA: usize = 300;

/// Smallest step of a score, in 1e-9: five decimals are written.
const SCORE_STEP: i64 = 10_000;

/// What to make.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Recipe {
    pub(crate) images: usize,
    pub(crate) categories: usize,
    /// Objects in all; at least one for each image that is not empty.
    pub(crate) objects: usize,
    /// Detections per image, on average.
    pub(crate) detections: usize,
    pub(crate) seed: u64,
}

struct Image {
    id: i64,
    size: Extent,
    /// Number of its first object, counted over all images.
    first_object: usize,
    objects: usize,
}

struct Object {
    category: usize,
    bbox: PixelBox,
    /// Nominal side, hundredths of a pixel.
    side: i64,
    /// Covered area, 1e-4 square pixels.
    area: i64,
    crowd: bool,
}

struct Detection {
    category: usize,
    bbox: PixelBox,
    score: i64,
}

/// Images, categories and objects, from which detections are drawn.
pub(crate) struct Synthetic {
    recipe: Recipe,
    draws: Draws,
    images: Vec<Image>,
    category_ids: Vec<usize>,
    weights: Weights,
    objects: Vec<Object>,
}

impl Synthetic {
    pub(crate) fn new(recipe: &Recipe) -> Self {
        let draws = Draws::new(recipe.seed);
        let images = images(recipe, draws);
        let weights = Weights::new(recipe.categories);
        let objects = images
            .iter()
            .enumerate()
            .flat_map(|(i, image)| (0..image.objects).map(move |k| (i, image, image.first_object + k)))
            .map(|(i, image, object)| draw_object(draws, i, image, object, &weights))
            .collect();
        let gap_every = (recipe.categories / 10).max(1);
        let category_ids = (0..recipe.categories).map(|c| c + 1 + c / gap_every).collect();
        Self { recipe: *recipe, draws, images, category_ids, weights, objects }
    }

    /// The detections of each image in turn, by falling score.
    fn detections(&self) -> impl Iterator<Item = (&Image, Vec<Detection>)> {
        let mut noise_drawn = 0;
        self.images.iter().enumerate().map(move |(i, image)| {
            let quota = self.quota(i);
            let mut found = self.aimed(image);
            let noise = quota.saturating_sub(found.len());
            found.extend((noise_drawn..noise_drawn + noise).map(|index| self.noise(image, index)));
            noise_drawn += noise;
            for detection in &mut found {
                detection.score = (detection.score / SCORE_STEP).max(1);
            }
            found.sort_by_key(|detection| -detection.score);
            found.truncate(quota);
            (image, found)
        })
    }

    fn quota(&self, image: usize) -> usize {
        let average = self.recipe.detections;
        if average >= FIXED_QUOTA {
            return average;
        }
        average / 2 + self.draws.below(120, image, average as i64 + 1) as usize
    }

    /// Detections aimed at the image's objects: the best of each, then the second, then the third.
    fn aimed(&self, image: &Image) -> Vec<Detection> {
        let objects = image.first_object..image.first_object + image.objects;
        (0..3)
            .flat_map(|rank| objects.clone().map(move |object| (rank, object)))
            .filter_map(|(rank, object)| self.aimed_at(image, object, rank))
            .collect()
    }

    /// The detection of an object that is `rank`-th in quality, if there is one.
    fn aimed_at(&self, image: &Image, index: usize, rank: u64) -> Option<Detection> {
        let (object, draws, stream) = (&self.objects[index], self.draws, 40 + 20 * rank);
        let (chance, spread) = match object.side {
            ..2500 => (420, 200),
            2500..7500 => (720, 120),
            _ => (880, 70),
        };
        let chance_of_rank = [1000, 550, 350][rank as usize];
        if draws.below(stream, index, 1000) * 1000 >= chance * chance_of_rank {
            return None;
        }
        let amount = spread * (rank as i64 + 1) * (200 + draws.below(stream + 1, index, 1400)) / 1000;
        let bbox = object.bbox.jitter(draws, stream + 2, index, amount, image.size);
        let certainty = 500 + draws.below(stream + 12, index, 500);
        let wrong = draws.below(stream + 13, index, 1000) < 60;
        let category = if wrong { self.weights.draw(draws, stream + 14, index) } else { object.category };
        let score = quality(object.bbox.overlap(bbox), certainty, rank as i64) * 1000
            + draws.below(stream + 15, index, 1000);
        Some(Detection { category, bbox, score })
    }

    /// Number `index` of the detections that no object asked for.
    fn noise(&self, image: &Image, index: usize) -> Detection {
        let draws = self.draws;
        let object = (image.objects > 0).then(|| {
            let among = draws.below(126, index, image.objects as i64) as usize;
            &self.objects[image.first_object + among]
        });
        let near = object.filter(|_| draws.below(127, index, 3) == 0);
        let same = object.filter(|_| draws.below(140, index, 100) < 55);
        let bbox = match near {
            Some(object) => object.bbox.jitter(draws, 128, index, 900, image.size),
            None => {
                let side = draws.by_table(125, index, &SIDE);
                PixelBox::draw(draws, 121, index, side, image.size)
            }
        };
        let category = same.map_or_else(|| self.weights.draw(draws, 141, index), |object| object.category);
        let square = |part: i64| (part * part) >> 20; // of a part of 2^20
        let eighth_power = square(square(square(draws.bits(142, index) >> 12)));
        Detection { category, bbox, score: eighth_power * 500 }
    }
}

/// Score in 1e-6 of a detection that overlaps its object by `overlap` thousandths.
fn quality(overlap: i64, certainty: i64, rank: i64) -> i64 {
    let full = overlap * overlap * certainty * 990 / 1000 / 1000;
    match rank {
        0 => full,
        _ => full / rank * 300 / 1000,
    }
}

fn images(recipe: &Recipe, draws: Draws) -> Vec<Image> {
    let mut id = 139;
    let mut first_object = 0;
    let objects = objects_per_image(recipe, draws);
    let row = |(i, &objects): (usize, &usize)| {
        if recipe.images > 1 {
            id += 1 + draws.below(1, i, 231); // val2017's ids lie 116 apart on average
        }
        let (width, height) = IMAGE_SIZES[draws.below(2, i, IMAGE_SIZES.len() as i64) as usize];
        let size = Extent { width: width * 100, height: height * 100 };
        let image = Image { id, size, first_object, objects };
        first_object += objects;
        image
    };
    objects.iter().enumerate().map(row).collect()
}

/// Counts from the table, then adjusted by one in a random order of the images until the total fits. Empty
/// images stay empty, and no other becomes so.
fn objects_per_image(recipe: &Recipe, draws: Draws) -> Vec<usize> {
    let drawn = |i| match draws.below(4, i, 1000) {
        ..10 => 0,
        _ => draws.by_table(3, i, &OBJECTS) as usize,
    };
    let mut counts: Vec<usize> = (0..recipe.images).map(drawn).collect();
    let occupied = counts.iter().filter(|&&count| count > 0).count();
    let reachable = recipe.objects >= occupied && (occupied > 0 || recipe.objects == 0);
    assert!(reachable, "{} objects cannot be spread over {occupied} images", recipe.objects);
    let mut order: Vec<usize> = (0..recipe.images).collect();
    order.sort_by_key(|&i| draws.bits(5, i));
    let mut total: usize = counts.iter().sum();
    for &i in order.iter().cycle() {
        if total == recipe.objects {
            break;
        }
        if total < recipe.objects && counts[i] > 0 {
            counts[i] += 1;
            total += 1;
        } else if total > recipe.objects && counts[i] > 1 {
            counts[i] -= 1;
            total -= 1;
        }
    }
    counts
}

fn draw_object(draws: Draws, image_index: usize, image: &Image, index: usize, weights: &Weights) -> Object {
    let categories = 1 + draws.below(6, image_index, 6);
    let slot = draws.below(7, index, categories) as usize;
    let drawn_side = draws.by_table(9, index, &SIDE);
    let crowd = draws.below(10, index, 1000) < 12;
    let side = if crowd { drawn_side.max(12_000) } else { drawn_side };
    let category = weights.draw(draws, 8, image_index * 8 + slot);
    let bbox = PixelBox::draw(draws, 11, index, side, image.size);
    let area = bbox.area() * draws.by_table(15, index, &COVERAGE) / 1000;
    Object { category, bbox, side, area, crowd }
}

/// Cumulative frequencies of the categories.
struct Weights(Vec<i64>);

impl Weights {
    fn new(categories: usize) -> Self {
        let mut weights: Vec<i64> = (0..categories as i64).map(|c| 23_330 / (12 + 3 * c)).collect();
        let others: i64 = weights.iter().skip(1).sum();
        if let Some(first) = weights.first_mut() {
            *first = if others > 0 { others * 3 / 7 } else { 1 };
        }
        let mut total = 0;
        for weight in &mut weights {
            total += *weight;
            *weight = total;
        }
        Self(weights)
    }

    fn draw(&self, draws: Draws, stream: u64, index: usize) -> usize {
        let total = self.0.last().copied().unwrap_or(0);
        let drawn = draws.below(stream, index, total);
        self.0.partition_point(|&cumulative| cumulative <= drawn)
    }
}
