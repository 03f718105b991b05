//! What `bench` prints.

use super::{LayerRow, Measured, layer_table};
use serde::Serialize;
use std::fmt::Write;
use yolo_model::ImageSize;

/// A configuration in JSON.
#[derive(Serialize)]
pub struct JsonRow<'a> {
    network: &'a str,
    precision: &'static str,
    threads: usize,
    imgsz: JsonSize,
    ms: f64,
    gmac_per_s: f64,
    peak_share: f64,
    cpu_ms: Option<f64>,
    peak_gmac_per_s: f64,
    instructions: &'static str,
    buffer_bytes: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    layers: Option<&'a [LayerRow]>,
}

/// As `--imgsz` takes it: a side, or `HxW`.
#[derive(Serialize)]
#[serde(untagged)]
enum JsonSize {
    Side(usize),
    Sides(String),
}

impl From<ImageSize> for JsonSize {
    fn from(size: ImageSize) -> Self {
        if size.height == size.width { Self::Side(size.height) } else { Self::Sides(text(size)) }
    }
}

fn text(size: ImageSize) -> String {
    format!("{}x{}", size.height, size.width)
}

/// The rows of the JSON list.
#[must_use]
pub fn json_rows<'a>(
    network: &'a str,
    instructions: &'static str,
    measured: &'a [Measured],
) -> Vec<JsonRow<'a>> {
    let row = |one: &'a Measured| JsonRow {
        network,
        precision: one.precision,
        threads: one.threads,
        imgsz: one.size.into(),
        ms: one.ms,
        gmac_per_s: one.gmac_per_s(),
        peak_share: one.peak_share(),
        cpu_ms: one.cpu_ms,
        peak_gmac_per_s: one.peak_gmac_per_s,
        instructions,
        buffer_bytes: one.buffer_bytes,
        layers: one.layers.as_deref(),
    };
    measured.iter().map(row).collect()
}

/// All configurations as a table; with several sizes a table of what each costs per million pixels; then the layers, where they were timed.
#[must_use]
pub fn table(network: &str, instructions: &str, runs: usize, measured: &[Measured]) -> String {
    let mut text = format!("{network}, {instructions}, medians of {runs} runs in turns\n");
    let _ = write!(
        text,
        "{:<9} {:>7} {:>10} {:>9} {:>9} {:>8} {:>9} {:>7} {:>9}",
        "precision", "threads", "imgsz", "ms", "CPU ms", "GMAC/s", "peak", "share", "KiB maps"
    );
    measured.iter().for_each(|one| line(&mut text, one));
    if measured.iter().any(|one| one.size != measured[0].size) {
        text += "\n\n";
        text += &sizes_table(measured);
    }
    for one in measured {
        if let Some(layers) = &one.layers {
            let Measured { precision, threads, size, .. } = one;
            let _ = write!(text, "\n\n{precision}, threads: {threads}, {}\n", self::text(*size));
            text += &layer_table(layers);
        }
    }
    text
}

fn line(table: &mut String, one: &Measured) {
    let Measured { precision, threads, size, ms, .. } = one;
    let cpu = one.cpu_ms.map_or_else(|| "-".to_owned(), |cpu| format!("{cpu:.3}"));
    let _ = write!(
        table,
        "\n{precision:<9} {threads:>7} {:>10} {ms:>9.3} {cpu:>9} {:>8.1} {:>9.1} {:>5.1} % {:>9}",
        text(*size),
        one.gmac_per_s(),
        one.peak_gmac_per_s * *threads as f64,
        one.peak_share() * 100.0,
        one.buffer_bytes.div_ceil(1024)
    );
}

/// Time by size, and time per million pixels, which stays the same where the cost is that of the pixels.
fn sizes_table(measured: &[Measured]) -> String {
    let mut text = format!(
        "{:<9} {:>7} {:>10} {:>10} {:>9} {:>13}",
        "precision", "threads", "imgsz", "megapixels", "ms", "ms/megapixel"
    );
    for one in measured {
        let Measured { precision, threads, size, ms, .. } = one;
        let megapixels = (size.height * size.width) as f64 / 1e6;
        let _ = write!(
            text,
            "\n{precision:<9} {threads:>7} {:>10} {megapixels:>10.4} {ms:>9.3} {:>13.2}",
            self::text(*size),
            one.ms_per_megapixel()
        );
    }
    text
}
