//! Histograms as SVG.

use crate::plot::label;
use std::fmt::Write;

const WIDTH: f64 = 720.0;
/// Of the title.
const HEAD: f64 = 40.0;
/// Of one panel.
const PANEL: f64 = 270.0;
const LEFT: f64 = 72.0;
const RIGHT: f64 = 24.0;
const TOP: f64 = 48.0;
const BOTTOM: f64 = 50.0;
const COLOURS: [&str; 3] = ["hsl(215,75%,45%)", "hsl(15,75%,45%)", "hsl(130,60%,35%)"];
/// Of vertical lines.
const MARK: &str = "hsl(280,60%,40%)";
const STEPS: u32 = 4;

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

/// Draws panels one below the other.
#[must_use]
pub fn draw(title: &str, panels: &[Panel]) -> String {
    let height = HEAD + PANEL * panels.len() as f64;
    let mut svg = format!(
        r##"<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" viewBox="0 0 {WIDTH} {height}" font-family="sans-serif" font-size="12" fill="#222">
<rect width="100%" height="100%" fill="#fff"/>
"##
    );
    label(&mut svg, (WIDTH / 2.0, 26.0), r#"text-anchor="middle" font-size="15""#, title);
    for (number, panel) in panels.iter().enumerate() {
        Frame::new(panel, HEAD + PANEL * number as f64).draw(&mut svg);
    }
    svg.push_str("</svg>\n");
    svg
}

/// A panel and its place.
struct Frame<'p> {
    panel: &'p Panel,
    top: f64,
    /// The largest count.
    most: f64,
}

impl<'p> Frame<'p> {
    fn new(panel: &'p Panel, top: f64) -> Self {
        let counts = panel.series.iter().flat_map(|series| series.counts.iter().copied());
        Self { panel, top, most: counts.max().unwrap_or(0).max(1) as f64 }
    }

    fn x(&self, value: f64) -> f64 {
        let (low, high) = self.panel.range;
        LEFT + (value - low) / (high - low) * (WIDTH - LEFT - RIGHT)
    }

    fn y(&self, count: f64) -> f64 {
        self.top + PANEL - BOTTOM - count / self.most * (PANEL - TOP - BOTTOM)
    }

    fn draw(&self, svg: &mut String) {
        self.grid(svg);
        self.panel.series.iter().zip(COLOURS).for_each(|(series, colour)| self.steps(svg, series, colour));
        self.panel.marks.iter().enumerate().for_each(|(number, mark)| self.mark(svg, number, mark));
        let named = self.panel.series.iter().zip(COLOURS).enumerate();
        for (number, (series, colour)) in named {
            let (left, at) = (LEFT + 160.0 * number as f64, self.top + 14.0);
            _ = writeln!(svg, r#"<path d="M{left} {at:.1}h22" stroke="{colour}" stroke-width="3"/>"#);
            label(svg, (left + 28.0, at + 4.0), "", &series.label);
        }
        label(svg, (WIDTH / 2.0, self.top + PANEL - 14.0), r#"text-anchor="middle""#, &self.panel.axis);
    }

    fn grid(&self, svg: &mut String) {
        let (low, high) = self.panel.range;
        for step in 0..=STEPS {
            let share = f64::from(step) / f64::from(STEPS);
            let (value, count) = (low + share * (high - low), share * self.most);
            let (x, y) = (self.x(value), self.y(count));
            let (left, right, floor, ceiling) = (LEFT, WIDTH - RIGHT, self.y(0.0), self.y(self.most));
            _ = writeln!(
                svg,
                r##"<path d="M{left:.1} {y:.1}H{right:.1}M{x:.1} {floor:.1}V{ceiling:.1}" stroke="#ddd"/>"##
            );
            label(svg, (x, floor + 18.0), r#"text-anchor="middle""#, &short(value));
            label(svg, (left - 8.0, y + 4.0), r#"text-anchor="end""#, &format!("{count:.0}"));
        }
    }

    /// The outline of a histogram.
    fn steps(&self, svg: &mut String, series: &Series, colour: &str) {
        let (low, high) = self.panel.range;
        let width = (high - low) / series.counts.len().max(1) as f64;
        let mut path = format!("M{:.1} {:.1}", self.x(low), self.y(0.0));
        for (bin, &count) in series.counts.iter().enumerate() {
            let right = self.x(low + width * (bin + 1) as f64);
            _ = write!(path, "V{:.1}H{right:.1}", self.y(count as f64));
        }
        _ = writeln!(
            svg,
            r#"<path d="{path}V{:.1}" fill="none" stroke="{colour}" stroke-width="1.5"/>"#,
            self.y(0.0)
        );
    }

    fn mark(&self, svg: &mut String, number: usize, mark: &Mark) {
        let (x, floor, ceiling) = (self.x(mark.at), self.y(0.0), self.y(self.most));
        _ = writeln!(
            svg,
            r#"<path d="M{x:.1} {floor:.1}V{ceiling:.1}" stroke="{MARK}" stroke-dasharray="5 3"/>"#
        );
        let anchor = if x > WIDTH / 2.0 { "end" } else { "start" };
        let style = format!(r#"text-anchor="{anchor}" fill="{MARK}""#);
        label(svg, (x, ceiling - 4.0 - 12.0 * (number % 2) as f64), &style, &mark.label);
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

    #[test]
    fn drawings_escape_names() {
        let panel =
            Panel::new("<b>&", &[("a<b", &[1.0])], vec![Mark { label: "T<1".to_owned(), at: 0.5 }], 4);
        let svg = draw("x < y", &[panel.clone(), panel]);
        assert!(svg.starts_with("<svg") && svg.ends_with("</svg>\n") && !svg.contains("NaN"), "{svg}");
        assert!(svg.contains("x &lt; y") && svg.contains("&lt;b>&amp;") && !svg.contains("<b>"), "{svg}");
    }
}
