//! Drawings as SVG or PNG.
//!
//! Text is measured, and in a PNG drawn, with Noto Sans, which is part of the program: no font of the system is looked at. An SVG
//! names `sans-serif` and leaves the choice to its viewer. Places are whole pixels in both.

use crate::error::{Error, Result};
use image::{ExtendedColorType, ImageEncoder, codecs::png::PngEncoder};
use plotters::coord::Shift;
use plotters::prelude::*;
use plotters::style::register_font;
use plotters::style::text_anchor::{HPos, Pos, VPos};
use std::path::Path;

/// Width of every drawing, in pixels.
pub(crate) const WIDTH: u32 = 1080;
/// Heights of lines of text, in pixels.
const TITLE_SIZE: f64 = 30.0;
const TEXT_SIZE: f64 = 22.0;
/// What stays free beside a title, in pixels: letters of an SVG's viewer may be a fifth wider.
const TITLE_MARGIN: u32 = 90;
const FAMILY: &str = "sans-serif";
/// Of text and axes.
pub(crate) const INK: RGBColor = RGBColor(0x22, 0x22, 0x22);
/// Of the lines of a grid.
pub(crate) const GRID: RGBColor = RGBColor(0xdd, 0xdd, 0xdd);
/// Width of drawn lines, in pixels.
pub(crate) const STROKE: u32 = 2;

/// Kind of file for a drawing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DrawingFile {
    /// Shapes and text.
    Svg,
    /// Pixels.
    Png,
}

impl DrawingFile {
    /// The kind that a path's extension asks for, if it is one of these.
    #[must_use]
    pub fn of(path: &Path) -> Option<Self> {
        match path.extension()?.to_str()?.to_ascii_lowercase().as_str() {
            "svg" => Some(Self::Svg),
            "png" => Some(Self::Png),
            _ => None,
        }
    }
}

/// Where a drawing is made; places are in pixels from its upper left corner.
pub type Area<B> = DrawingArea<B, Shift>;

/// Whether a drawing could be made.
pub type Painted<B> = std::result::Result<(), DrawingAreaErrorKind<<B as DrawingBackend>::ErrorType>>;

/// What can be drawn, all kinds of files alike.
pub trait Drawing {
    /// In pixels.
    fn height(&self) -> u32;

    /// Draws on white.
    ///
    /// # Errors
    /// Those of the kind of file.
    fn paint<B: DrawingBackend>(&self, area: &Area<B>) -> Painted<B>;
}

/// The content of a file; the same for equal drawings.
///
/// # Errors
/// [`Error::Drawing`].
pub fn render(drawing: &impl Drawing, file: DrawingFile) -> Result<Vec<u8>> {
    // A font that can't be read is an error as soon as text is measured.
    _ = register_font(FAMILY, FontStyle::Normal, ttf_noto_sans::REGULAR);
    match file {
        DrawingFile::Svg => svg(drawing),
        DrawingFile::Png => png(drawing),
    }
}

fn svg(drawing: &impl Drawing) -> Result<Vec<u8>> {
    let mut text = String::new();
    paint(drawing, SVGBackend::with_string(&mut text, (WIDTH, drawing.height())))?;
    Ok(text.into_bytes())
}

fn png(drawing: &impl Drawing) -> Result<Vec<u8>> {
    let (size @ (width, height), mut bytes) = ((WIDTH, drawing.height()), Vec::new());
    let mut pixels = vec![0; 3 * width as usize * height as usize];
    paint(drawing, BitMapBackend::with_buffer(&mut pixels, size))?;
    let encoded = PngEncoder::new(&mut bytes).write_image(&pixels, width, height, ExtendedColorType::Rgb8);
    encoded.map_err(|source| Error::Drawing { source: Box::new(source) })?;
    Ok(bytes)
}

fn paint<B: DrawingBackend>(drawing: &impl Drawing, backend: B) -> Result<()>
where
    B::ErrorType: 'static,
{
    let area = backend.into_drawing_area();
    let painted = area.fill(&WHITE).and_then(|()| drawing.paint(&area)).and_then(|()| area.present());
    painted.map_err(|source| Error::Drawing { source: Box::new(source) })
}

/// How text looks but for its place.
pub(crate) fn text_style() -> TextStyle<'static> {
    (FAMILY, TEXT_SIZE).into_font().color(&INK)
}

/// Writes a title with its centre at the height `middle`, smaller where it is too long for the width.
pub(crate) fn title<B: DrawingBackend>(area: &Area<B>, middle: u32, text: &str) -> Painted<B> {
    let style = |size: f64| (FAMILY, size).into_font().color(&INK).pos(Pos::new(HPos::Center, VPos::Center));
    let room = f64::from(WIDTH - 2 * TITLE_MARGIN);
    let (length, _) = area.estimate_text_size(text, &style(TITLE_SIZE))?;
    let size = TITLE_SIZE * (room / f64::from(length)).min(1.0);
    area.draw_text(text, &style(size), ((WIDTH / 2) as i32, middle as i32))
}

/// Draws an entry of a legend: a piece of a line whose left end lies at `(x, y)`, and the line's name.
pub(crate) fn legend_entry<B: DrawingBackend>(
    area: &Area<B>,
    (x, y): (u32, u32),
    colour: HSLColor,
    name: &str,
) -> Painted<B> {
    let (x, y) = (x as i32, y as i32);
    area.draw(&Rectangle::new([(x, y - 2), (x + 32, y + 2)], colour.filled()))?;
    area.draw_text(name, &text_style().pos(Pos::new(HPos::Left, VPos::Center)), (x + 42, y))
}

/// A colour of a hue in degrees, with saturation and lightness in percent.
pub(crate) const fn colour(hue: f64, saturation: f64, lightness: f64) -> HSLColor {
    HSLColor(hue / 360.0, saturation / 100.0, lightness / 100.0)
}
