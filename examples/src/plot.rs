//! Lines between 0 and 1.

use crate::drawing::{
    Area, Drawing, GRID, INK, Painted, STROKE, WIDTH, colour, legend_entry, text_style, title,
};
use plotters::prelude::*;

/// Height of the drawing, its margins and the places in them, in pixels.
const HEIGHT: u32 = 720;
const LEFT: u32 = 96;
const RIGHT: u32 = 198;
const TOP: u32 = 66;
const BOTTOM: u32 = 81;
/// Around the names of the axes.
const EDGE: u32 = 15;
const TITLE: u32 = 32;
const LEGEND_LEFT: u32 = WIDTH - RIGHT + 20;
const LEGEND_STEP: u32 = 27;
/// Numbers along an axis: 0.0, 0.1, ... 1.0.
const NUMBERS: usize = 11;
/// Hue of the first and the last line, in degrees.
const HUES: [f64; 2] = [215.0, 15.0];

/// A line and its name.
#[derive(Debug, Clone, PartialEq)]
pub struct Line {
    /// What the legend calls it.
    pub label: String,
    /// `(x, y)`, x from 0 to the plot's end, y in [0, 1].
    pub points: Vec<(f64, f64)>,
}

/// Lines with a vertical axis from 0 to 1, a grid and a legend.
#[derive(Debug, Clone, PartialEq)]
pub struct LinePlot {
    /// What stands above.
    pub title: String,
    /// Names of x and y.
    pub axes: [&'static str; 2],
    /// Where the horizontal axis ends, which starts with 0.
    pub end: f64,
    /// The lines.
    pub lines: Vec<Line>,
}

impl LinePlot {
    fn colour(&self, number: usize) -> HSLColor {
        let share = number as f64 / (self.lines.len().max(2) - 1) as f64;
        colour(HUES[0] + share * (HUES[1] - HUES[0]), 75.0, 45.0)
    }
}

impl Drawing for LinePlot {
    fn height(&self) -> u32 {
        HEIGHT
    }

    fn paint<B: DrawingBackend>(&self, area: &Area<B>) -> Painted<B> {
        title(area, TITLE, &self.title)?;
        let mut builder = ChartBuilder::on(area);
        builder.margin_top(TOP).margin_right(RIGHT).margin_bottom(EDGE).margin_left(EDGE);
        builder.x_label_area_size(BOTTOM - EDGE).y_label_area_size(LEFT - EDGE);
        let mut chart = builder.build_cartesian_2d(0.0..self.end, 0.0..1.0)?;
        let number = |value: &f64| format!("{value:.1}");
        let whole = |value: &f64| format!("{value:.0}");
        let along: &dyn Fn(&f64) -> String = if self.end > 1.0 { &whole } else { &number };
        let mut mesh = chart.configure_mesh();
        mesh.x_desc(self.axes[0]).y_desc(self.axes[1]).label_style(text_style());
        mesh.x_labels(NUMBERS).y_labels(NUMBERS).x_label_formatter(along).y_label_formatter(&number);
        mesh.axis_style(INK).bold_line_style(GRID).light_line_style(TRANSPARENT).draw()?;
        for (number, line) in self.lines.iter().enumerate() {
            let colour = self.colour(number);
            chart.plotting_area().draw(&PathElement::new(&line.points[..], colour.stroke_width(STROKE)))?;
            let middle = TOP + 12 + LEGEND_STEP * number as u32;
            legend_entry(area, (LEGEND_LEFT, middle), colour, &line.label)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::drawing::{DrawingFile, render};

    fn diagonal() -> LinePlot {
        let line = Line { label: "a<b".to_owned(), points: vec![(0.0, 0.0), (1.0, 1.0)] };
        let empty = Line { label: "none".to_owned(), points: Vec::new() };
        LinePlot { title: "x & y".to_owned(), axes: ["right", "<up>"], end: 1.0, lines: vec![line, empty] }
    }

    #[test]
    fn lines_go_from_corner_to_corner_and_names_are_escaped() {
        let svg = String::from_utf8(render(&diagonal(), DrawingFile::Svg).unwrap()).unwrap();
        assert!(svg.starts_with("<svg ") && svg.ends_with("</svg>\n"), "{svg}");
        let (right, floor) = (WIDTH - RIGHT - 1, HEIGHT - BOTTOM - 1);
        let parts = [
            &format!("points=\"{LEFT},{floor} {right},{TOP} \""),
            "a&lt;b",
            "x &amp; y",
            "&lt;up&gt;",
            "none",
        ];
        let absent: Vec<_> = parts.iter().filter(|part| !svg.contains(**part)).collect();
        assert!(absent.is_empty(), "{absent:?}: {svg}");
        let numbers = (0..=10)
            .filter(|tenth| svg.matches(&format!("\n{:.1}\n", f64::from(*tenth) / 10.0)).count() == 2);
        assert_eq!(numbers.count(), NUMBERS, "each number stands at both axes: {svg}");
    }

    #[test]
    fn pixels_show_the_line_and_the_text() {
        let png = render(&diagonal(), DrawingFile::Png).unwrap();
        assert_eq!(png, render(&diagonal(), DrawingFile::Png).unwrap());
        let image = image::load_from_memory(&png).unwrap().into_rgb8();
        assert_eq!(image.dimensions(), (WIDTH, HEIGHT));
        let colour: [u8; 3] = colour(HUES[0], 75.0, 45.0).to_backend_color().rgb.into();
        let middle = ((LEFT + WIDTH - RIGHT) / 2, (TOP + HEIGHT - BOTTOM) / 2);
        let near = (0..9).map(|step| image.get_pixel(middle.0 - 4 + step % 3, middle.1 - 4 + step).0);
        assert!(near.clone().any(|pixel| pixel == colour), "{:?}", near.collect::<Vec<_>>());
        let dark = |x: std::ops::Range<u32>, y: std::ops::Range<u32>| {
            x.flat_map(|x| y.clone().map(move |y| (x, y))).any(|(x, y)| image.get_pixel(x, y)[0] < 0x60)
        };
        assert!(dark(0..WIDTH, 10..TOP - 10), "no title");
        assert!(dark(LEGEND_LEFT + 40..WIDTH, TOP..TOP + 24), "no legend");
        assert!(
            dark(0..40, TOP..HEIGHT) && !dark(0..6, 0..HEIGHT),
            "no name of the vertical axis, or cut off"
        );
    }

    #[test]
    fn long_titles_shrink_to_the_width() {
        let long = LinePlot { title: "H".repeat(80), ..diagonal() };
        let png = render(&long, DrawingFile::Png).unwrap();
        let image = image::load_from_memory(&png).unwrap().into_rgb8();
        let inked = |x: &u32| (0..TOP - 15).any(|y| image.get_pixel(*x, y)[0] < 0xc0);
        let (first, last) = ((0..WIDTH).find(inked).unwrap(), (0..WIDTH).rfind(inked).unwrap());
        assert!((85..115).contains(&first) && (85..115).contains(&(WIDTH - last)), "{first} to {last}");
    }
}
