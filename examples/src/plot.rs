//! Lines over the unit square as SVG.

use std::fmt::Write;

/// Size of the drawing and of its margins, in pixels.
const WIDTH: f64 = 720.0;
const HEIGHT: f64 = 480.0;
const LEFT: f64 = 64.0;
const RIGHT: f64 = 132.0;
const TOP: f64 = 44.0;
const BOTTOM: f64 = 54.0;
/// Steps of the grid.
const STEPS: u32 = 10;
/// Hue of the first and the last line, in degrees.
const HUES: [f64; 2] = [215.0, 15.0];

/// A line and its name.
pub struct Line {
    /// What the legend calls it.
    pub label: String,
    /// `(x, y)`, each in [0, 1].
    pub points: Vec<(f64, f64)>,
}

/// Draws lines with axes from 0 to 1, a grid and a legend. `axes` are the names of x and y.
#[must_use]
pub fn plot(title: &str, axes: [&str; 2], lines: &[Line]) -> String {
    let mut svg = format!(
        r##"<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{HEIGHT}" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif" font-size="12" fill="#222">
<rect width="100%" height="100%" fill="#fff"/>
"##
    );
    label(&mut svg, (x(0.5), TOP - 18.0), r#"text-anchor="middle" font-size="15""#, title);
    grid(&mut svg);
    label(&mut svg, (x(0.5), HEIGHT - 14.0), r#"text-anchor="middle""#, axes[0]);
    let turned = format!(r#"text-anchor="middle" transform="rotate(-90 18 {})""#, y(0.5));
    label(&mut svg, (18.0, y(0.5)), &turned, axes[1]);
    for (number, line) in lines.iter().enumerate() {
        draw(&mut svg, number, lines.len(), line);
    }
    svg.push_str("</svg>\n");
    svg
}

/// Horizontal position of a value.
fn x(value: f64) -> f64 {
    LEFT + value * (WIDTH - LEFT - RIGHT)
}

/// Vertical position of a value.
fn y(value: f64) -> f64 {
    HEIGHT - BOTTOM - value * (HEIGHT - TOP - BOTTOM)
}

fn grid(svg: &mut String) {
    for step in 0..=STEPS {
        let value = f64::from(step) / f64::from(STEPS);
        let colour = if step == 0 { "#222" } else { "#ddd" };
        let mut rule = |from: (f64, f64), to: (f64, f64)| {
            let (x1, y1, x2, y2) = (from.0, from.1, to.0, to.1);
            _ = writeln!(svg, r#"<path d="M{x1:.1} {y1:.1}L{x2:.1} {y2:.1}" stroke="{colour}"/>"#);
        };
        rule((x(value), y(0.0)), (x(value), y(1.0)));
        rule((x(0.0), y(value)), (x(1.0), y(value)));
        let number = format!("{value:.1}");
        label(svg, (x(value), y(0.0) + 18.0), r#"text-anchor="middle""#, &number);
        label(svg, (x(0.0) - 8.0, y(value) + 4.0), r#"text-anchor="end""#, &number);
    }
}

fn draw(svg: &mut String, number: usize, count: usize, line: &Line) {
    let share = number as f64 / (count.max(2) - 1) as f64;
    let colour = format!("hsl({:.0},75%,45%)", HUES[0] + share * (HUES[1] - HUES[0]));
    let points: Vec<String> = line.points.iter().map(|&(a, b)| format!("{:.1},{:.1}", x(a), y(b))).collect();
    let points = points.join(" ");
    _ = writeln!(svg, r#"<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="1.5"/>"#);
    let (left, at) = (x(1.0) + 14.0, TOP + 8.0 + 18.0 * number as f64);
    _ = writeln!(svg, r#"<path d="M{left} {at}h22" stroke="{colour}" stroke-width="3"/>"#);
    label(svg, (left + 30.0, at + 4.0), "", &line.label);
}

/// Writes a text, escaped.
pub(crate) fn label(svg: &mut String, (x, y): (f64, f64), attributes: &str, text: &str) {
    let text = text.replace('&', "&amp;").replace('<', "&lt;");
    _ = writeln!(svg, r#"<text x="{x:.1}" y="{y:.1}" {attributes}>{text}</text>"#);
}
