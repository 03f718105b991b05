//! Histograms, one below the other.

use crate::drawing::{
    Area, Drawing, GRID, INK, Painted, STROKE, WIDTH, colour, legend_entry, text_style, title,
};
use plotters::element::DashedPathElement;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

/// Height of the title, in pixels as all of these.
const HEAD: u32 = 60;
/// Height of one panel, its margins, and the places in them.
const PANEL: u32 = 405;
const LEFT: u32 = 108;
const RIGHT: u32 = 54;
const TOP: u32 = 84;
const BOTTOM: u32 = 75;
/// Between the name of the axis and what lies below.
const EDGE: u32 = 15;
const LEGEND: u32 = 21;
const LEGEND_STEP: u32 = 240;
const MARK_STEP: i32 = 22;
const COLOURS: [HSLColor; 3] =
    [colour(215.0, 75.0, 45.0), colour(15.0, 75.0, 45.0), colour(130.0, 60.0, 35.0)];
/// Of vertical lines.
const MARK: HSLColor = colour(280.0, 60.0, 40.0);
/// Parts of the horizontal axis.
const STEPS: f64 = 4.0;
/// Width of the bins below which outlines are thin.
const NARROW: u32 = 2 * STROKE;
/// The most numbers along the vertical axis.
const NUMBERS: usize = 6;

/// Panels under one title.
#[derive(Debug, Clone, PartialEq)]
pub struct Histograms {
    /// What stands above.
    pub title: String,
    /// From top to bottom.
    pub panels: Vec<Panel>,
}

/// Counts under one name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Series {
    /// What the legend calls it.
    pub label: String,
    /// Values in each bin.
    pub counts: Vec<u64>,
}

/// A vertical line.
#[derive(Debug, Clone, PartialEq)]
pub struct Mark {
    /// What stands at its upper end.
    pub label: String,
    /// Its place on the horizontal axis.
    pub at: f64,
}

/// Histograms over one axis.
#[derive(Debug, Clone, PartialEq)]
pub struct Panel {
    /// What the axis shows.
    pub axis: String,
    /// Its ends, from the lower to the upper one.
    pub range: (f64, f64),
    /// Up to three histograms of equal numbers of bins.
    pub series: Vec<Series>,
    /// Lines.
    pub marks: Vec<Mark>,
}

impl Panel {
    /// Counts lists of values in `bins` bins of one width, from the least to the greatest value or mark.
    #[must_use]
    pub fn new(axis: &str, lists: &[(&str, &[f64])], marks: Vec<Mark>, bins: usize) -> Self {
        let all = lists.iter().flat_map(|(_, values)| values.iter().copied());
        let range = range(all.chain(marks.iter().map(|mark| mark.at)));
        let series = lists.iter().map(|(label, values)| Series {
            label: (*label).to_owned(),
            counts: counts(values, range, bins),
        });
        Self { axis: axis.to_owned(), range, series: series.collect(), marks }
    }
}

/// The ends of an axis that shows all finite values, 0 among them.
fn range(values: impl Iterator<Item = f64>) -> (f64, f64) {
    let finite = values.filter(|value| value.is_finite());
    let (low, high) = finite.fold((0.0, 0.0), |(low, high): (f64, f64), v| (low.min(v), high.max(v)));
    if low == high { (-1.0, 1.0) } else { (low, high) }
}

/// How many values lie in each of `bins` parts of `range`, both ends included.
#[must_use]
pub fn counts(values: &[f64], (low, high): (f64, f64), bins: usize) -> Vec<u64> {
    let mut counts = vec![0; bins];
    for value in values {
        let place = (value - low) / (high - low);
        if (0.0..=1.0).contains(&place) {
            counts[((place * bins as f64) as usize).min(bins - 1)] += 1;
        }
    }
    counts
}

impl Drawing for Histograms {
    fn height(&self) -> u32 {
        HEAD + PANEL * self.panels.len() as u32
    }

    fn paint<B: DrawingBackend>(&self, area: &Area<B>) -> Painted<B> {
        title(area, HEAD / 2, &self.title)?;
        let areas = area.margin(HEAD, 0, 0, 0).split_evenly((self.panels.len().max(1), 1));
        self.panels.iter().zip(&areas).try_for_each(|(panel, area)| panel.paint(area))
    }
}

impl Panel {
    /// The horizontal place of a value in parts of the axis: 0 at the left end, [`STEPS`] at the right one. Places of this size keep the
    /// numbers of the axis apart even where values are tiny.
    fn place(&self, value: f64) -> f64 {
        let (low, high) = self.range;
        (value - low) / (high - low) * STEPS
    }

    fn paint<B: DrawingBackend>(&self, area: &Area<B>) -> Painted<B> {
        let counts = self.series.iter().flat_map(|series| series.counts.iter().copied());
        let most = counts.max().unwrap_or(0).max(1);
        let mut builder = ChartBuilder::on(area);
        builder.margin_top(TOP).margin_right(RIGHT).x_label_area_size(BOTTOM - EDGE).margin_bottom(EDGE);
        builder.y_label_area_size(LEFT);
        let mut chart = builder.build_cartesian_2d(0.0..STEPS, 0..most)?;
        let (low, high) = self.range;
        let value = |place: &f64| short(low + place / STEPS * (high - low));
        let mut mesh = chart.configure_mesh();
        mesh.x_desc(&self.axis).label_style(text_style()).x_label_formatter(&value);
        mesh.x_labels(STEPS as usize + 1).y_labels(NUMBERS);
        mesh.axis_style(INK).bold_line_style(GRID).light_line_style(TRANSPARENT).draw()?;
        for (number, (series, colour)) in self.series.iter().zip(COLOURS).enumerate() {
            let style = colour.stroke_width(series.stroke());
            chart.plotting_area().draw(&PathElement::new(series.outline(), style))?;
            legend_entry(area, (LEFT + LEGEND_STEP * number as u32, LEGEND), colour, &series.label)?;
        }
        let marks = self.marks.iter().filter(|mark| mark.at.is_finite());
        marks.enumerate().try_for_each(|(number, mark)| {
            let place = self.place(mark.at);
            let line = [(place, 0), (place, most)];
            chart.plotting_area().draw(&DashedPathElement::new(line, 8, 5, MARK.stroke_width(STROKE)))?;
            mark.name(area, chart.backend_coord(&(place, most)).0, number)
        })
    }
}

impl Series {
    /// Width of the line: `plotters` makes a polygon of a wide one for PNG, which is torn where bins are about as narrow as it.
    fn stroke(&self) -> u32 {
        if self.counts.len() as u32 * NARROW > WIDTH - LEFT - RIGHT { 1 } else { STROKE }
    }

    /// From the left end of the axis to the right one, each bin a step.
    fn outline(&self) -> Vec<(f64, u64)> {
        let width = STEPS / self.counts.len().max(1) as f64;
        let steps = self.counts.iter().enumerate();
        let steps = steps.flat_map(|(bin, &count)| [bin, bin + 1].map(|edge| (edge as f64 * width, count)));
        [(0.0, 0)].into_iter().chain(steps).chain([(STEPS, 0)]).collect()
    }
}

impl Mark {
    /// Writes the name above the line, towards the middle; names of neighbours have different heights.
    fn name<B: DrawingBackend>(&self, area: &Area<B>, x: i32, number: usize) -> Painted<B> {
        let side = if x > (WIDTH / 2) as i32 { HPos::Right } else { HPos::Left };
        let above = 5 + MARK_STEP * (number as i32 % 2);
        let style = text_style().color(&MARK).pos(Pos::new(side, VPos::Bottom));
        area.draw_text(&self.label, &style, (x, TOP as i32 - above))
    }
}

/// Four significant digits.
pub(super) fn short(value: f64) -> String {
    match value.abs() {
        0.0 => "0".to_owned(),
        size if (1e-3..1e5).contains(&size) => {
            let decimals = (3 - size.log10().floor() as i32).clamp(0, 6) as usize;
            let text = format!("{value:.decimals$}");
            if text.contains('.') {
                text.trim_end_matches('0').trim_end_matches('.').to_owned()
            } else {
                text
            }
        }
        _ => format!("{value:.3e}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::drawing::{DrawingFile, render};

    #[test]
    fn every_value_of_the_range_is_in_a_bin() {
        assert_eq!(counts(&[-1.0, -0.5, 0.0, 0.99, 1.0, 1.5, f64::NAN], (-1.0, 1.0), 4), [1, 1, 1, 2]);
        assert_eq!(counts(&[], (0.0, 1.0), 2), [0, 0]);
        let panel = Panel::new("x", &[("a", &[0.0, 0.0])], Vec::new(), 3);
        assert_eq!((panel.range, &panel.series[0].counts[..]), ((-1.0, 1.0), &[0, 2, 0][..]));
    }

    #[test]
    fn numbers_are_short() {
        let rows = [
            (0.0, "0"),
            (1.0, "1"),
            (-0.12345, "-0.1235"),
            (100000.0, "1.000e5"),
            (250.0, "250"),
            (1e-9, "1.000e-9"),
        ];
        let wrong: Vec<_> = rows.iter().filter(|(value, text)| short(*value) != *text).collect();
        assert!(wrong.is_empty(), "{wrong:?}");
    }

    fn histograms(panels: usize) -> Histograms {
        let mark = |label: &str, at| Mark { label: label.to_owned(), at };
        let marks = vec![mark("T<1", 0.5), mark("never", f64::INFINITY)];
        let panel = Panel::new("<b>&", &[("a<b", &[1.0, 0.1, 0.9])], marks, 4);
        Histograms { title: "x < y".to_owned(), panels: vec![panel; panels] }
    }

    #[test]
    fn drawings_escape_names() {
        let svg = String::from_utf8(render(&histograms(2), DrawingFile::Svg).unwrap()).unwrap();
        assert!(svg.starts_with("<svg") && svg.ends_with("</svg>\n") && !svg.contains("NaN"), "{svg}");
        assert!(svg.contains("x &lt; y") && svg.contains("&lt;b&gt;&amp;") && !svg.contains("<b>"), "{svg}");
        assert!(svg.matches("a&lt;b").count() == 2 && svg.matches("T&lt;1").count() == 2, "{svg}");
        assert!(!svg.contains("never"), "a mark that has no place is left out: {svg}");
    }

    #[test]
    fn outlines_have_the_height_of_the_counts() {
        let drawing = histograms(1);
        assert_eq!(drawing.panels[0].series[0].counts, [1, 0, 0, 2]);
        let svg = String::from_utf8(render(&drawing, DrawingFile::Svg).unwrap()).unwrap();
        let (left, right, ceiling, floor) = (LEFT, WIDTH - RIGHT - 1, HEAD + TOP, HEAD + PANEL - BOTTOM - 1);
        let half = (ceiling + floor).div_ceil(2);
        let [first, last] = [1, 3].map(|quarter| left + (right - left) * quarter / 4);
        let steps = [
            format!("points=\"{left},{floor} {left},{half} {first},{half} {first},{floor} "),
            format!(" {last},{floor} {last},{ceiling} {right},{ceiling} {right},{floor} \""),
        ];
        let absent: Vec<_> = steps.iter().filter(|part| !svg.contains(*part)).collect();
        assert!(absent.is_empty(), "{absent:?}: {svg}");
        let numbers = ["0", "0.25", "0.5", "0.75", "1", "2"];
        let absent: Vec<_> =
            numbers.iter().filter(|number| !svg.contains(&format!("\n{number}\n"))).collect();
        assert!(absent.is_empty(), "{absent:?}: {svg}");
    }

    #[test]
    fn pixels_show_panels_alike() {
        let png = render(&histograms(2), DrawingFile::Png).unwrap();
        assert_eq!(png, render(&histograms(2), DrawingFile::Png).unwrap());
        let image = image::load_from_memory(&png).unwrap().into_rgb8();
        assert_eq!(image.dimensions(), (WIDTH, HEAD + 2 * PANEL));
        let part = |top| image::imageops::crop_imm(&image, 0, top, WIDTH, PANEL).to_image();
        assert!(part(HEAD) == part(HEAD + PANEL));
        for (what, colour) in [("series", COLOURS[0]), ("mark", MARK), ("text", HSLColor(0.0, 0.0, 0.13333))]
        {
            let wanted: [u8; 3] = colour.to_backend_color().rgb.into();
            let count = part(HEAD).pixels().filter(|pixel| pixel.0 == wanted).count();
            assert!(count > 100, "{what}: {count} pixels of {wanted:?}");
        }
    }

    #[test]
    fn spikes_of_narrow_bins_are_whole() {
        for bins in [96, 229, 230, 1000, 4096] {
            let values: Vec<f64> = (0..40).map(|value| f64::from(value) / 40.0).chain([1.0]).collect();
            let panel = Panel::new("x", &[("a", &values)], Vec::new(), bins);
            let png =
                render(&Histograms { title: String::new(), panels: vec![panel] }, DrawingFile::Png).unwrap();
            let image = image::load_from_memory(&png).unwrap().into_rgb8();
            let colour: [u8; 3] = COLOURS[0].to_backend_color().rgb.into();
            let (ceiling, floor) = (HEAD + TOP + 2, HEAD + PANEL - BOTTOM - 2);
            let inked = |x: u32, y: u32| image.get_pixel(x, y).0 == colour;
            let whole = (LEFT..=WIDTH - RIGHT).filter(|x| (ceiling..floor).all(|y| inked(*x, y))).count();
            assert!(whole >= 40, "{bins} bins: {whole} columns");
        }
    }
}
