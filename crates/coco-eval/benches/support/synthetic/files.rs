//! The two COCO files of a set, streamed.

use std::fmt;
use std::io::{self, Write};

use super::Synthetic;
use super::boxes::PixelBox;

/// Writes images, categories and annotations.
pub(crate) fn write_ground_truth(set: &Synthetic, mut out: impl Write) -> io::Result<()> {
    out.write_all(br#"{"info":{"description":"synthetic"},"images":["#)?;
    write_images(set, &mut out)?;
    out.write_all(br#"],"categories":["#)?;
    for (index, id) in set.category_ids.iter().enumerate() {
        let group = index % 12;
        let separator = comma_before(index);
        write!(out, r#"{separator}{{"id":{id},"name":"class{index:02}","supercategory":"group{group}"}}"#)?;
    }
    out.write_all(br#"],"annotations":["#)?;
    write_annotations(set, &mut out)?;
    out.write_all(b"]}")
}

fn write_images(set: &Synthetic, out: &mut impl Write) -> io::Result<()> {
    for (index, image) in set.images.iter().enumerate() {
        let (separator, id) = (comma_before(index), image.id);
        let (width, height) = (image.size.width / 100, image.size.height / 100);
        write!(
            out,
            r#"{separator}{{"id":{id},"width":{width},"height":{height},"file_name":"{id:012}.jpg"}}"#
        )?;
    }
    Ok(())
}

fn write_annotations(set: &Synthetic, out: &mut impl Write) -> io::Result<()> {
    for image in &set.images {
        for index in image.first_object..image.first_object + image.objects {
            let object = &set.objects[index];
            let separator = comma_before(index);
            let (id, image_id, category_id) = (index + 1, image.id, set.category_ids[object.category]);
            let (bbox, area, crowd) =
                (Pixels(object.bbox), Decimal::<4>(object.area), u8::from(object.crowd));
            write!(
                out,
                r#"{separator}{{"id":{id},"image_id":{image_id},"category_id":{category_id},"bbox":{bbox},"area":{area},"iscrowd":{crowd}}}"#
            )?;
        }
    }
    Ok(())
}

/// Writes the list of results.
pub(crate) fn write_detections(set: &Synthetic, mut out: impl Write) -> io::Result<()> {
    let mut written = 0;
    out.write_all(b"[")?;
    for (image, detections) in set.detections() {
        let image_id = image.id;
        for detection in detections {
            let separator = comma_before(written);
            let category_id = set.category_ids[detection.category];
            let (bbox, score) = (Pixels(detection.bbox), Decimal::<5>(detection.score));
            write!(
                out,
                r#"{separator}{{"image_id":{image_id},"category_id":{category_id},"bbox":{bbox},"score":{score}}}"#
            )?;
            written += 1;
        }
    }
    out.write_all(b"]")
}

fn comma_before(index: usize) -> &'static str {
    if index == 0 { "" } else { "," }
}

/// A box as a JSON list of pixels.
struct Pixels(PixelBox);

impl fmt::Display for Pixels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [x, y, width, height] = [self.0.x, self.0.y, self.0.width, self.0.height].map(Decimal::<2>);
        write!(f, "[{x},{y},{width},{height}]")
    }
}

/// A number in units of 10^-`DIGITS`, written in the shortest way that has a decimal.
struct Decimal<const DIGITS: usize>(i64);

impl<const DIGITS: usize> fmt::Display for Decimal<DIGITS> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let unit = 10_i64.pow(DIGITS as u32);
        let (whole, mut decimals, mut digits) = (self.0 / unit, self.0 % unit, DIGITS);
        while digits > 1 && decimals % 10 == 0 {
            decimals /= 10;
            digits -= 1;
        }
        write!(f, "{whole}.{decimals:0digits$}")
    }
}
