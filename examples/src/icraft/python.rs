//! The tables as assignments in Python, as the training scripts import them.

use super::params::{PerChannel, Tables};
use std::fmt::Write;

/// Lists in the order of execution and a dict of scales; numbers have the fewest digits that read back to the same f32.
#[must_use]
pub fn python(tables: &Tables) -> String {
    let mut text = String::new();
    let lists = [
        ("SUM_L", &tables.sum_l),
        ("SUM_R", &tables.sum_r),
        ("SUM_A", &tables.sum_a),
        ("SILU_I", &tables.silu_i),
        ("SILU_O", &tables.silu_o),
        ("RATIO", &tables.ratio),
    ];
    for (name, values) in lists {
        _ = writeln!(text, "{name} = {}", list(values));
    }
    text.push_str("SCALE_TABLE = {\n");
    for (name, scale) in &tables.scale_table {
        let scale = match scale {
            PerChannel::Shared(scale) => number(*scale),
            PerChannel::Each(scales) => list(scales),
        };
        _ = writeln!(text, "    {}: {scale},", quoted(name));
    }
    text.push_str("}\n");
    text
}

fn list(values: &[f32]) -> String {
    let values: Vec<String> = values.iter().map(|&value| number(value)).collect();
    format!("[{}]", values.join(", "))
}

/// `{:?}` always has a point or an exponent, so Python reads a float.
fn number(value: f32) -> String {
    format!("{value:?}")
}

/// A name as a string of Python; whatever is not plain ASCII is escaped.
fn quoted(name: &str) -> String {
    let mut text = String::from("\"");
    for symbol in name.chars() {
        match symbol {
            '"' | '\\' => text.extend(['\\', symbol]),
            ' '..='~' => text.push(symbol),
            other => _ = write!(text, "\\U{:08x}", u32::from(other)),
        }
    }
    text.push('"');
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_can_not_leave_their_quotes() {
        let rows = [
            ("model.0.conv.weight", "\"model.0.conv.weight\""),
            ("a\"] = 1\n", "\"a\\\"] = 1\\U0000000a\""),
            ("\\", "\"\\\\\""),
            ("ä", "\"\\U000000e4\""),
        ];
        let wrong: Vec<_> = rows.iter().filter(|(name, expected)| quoted(name) != *expected).collect();
        assert!(wrong.is_empty(), "{wrong:?}");
        assert_eq!([1.0, 0.07155427, 1e-9].map(number), ["1.0", "0.07155427", "1e-9"]);
    }
}
