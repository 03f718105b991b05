//! Makes the tables of norm ratios and scales that training on a compiled network needs.

#![forbid(unsafe_code)]

use clap::Parser;
use examples::error::{Result, exit};
use examples::icraft::params::TableArguments;
use examples::icraft::python::python;
use examples::output::{check_outputs, print, write_output};
use std::path::PathBuf;
use std::process::ExitCode;

/// Write the tables SUM_L, SUM_R, SUM_A, SILU_I, SILU_O, RATIO and SCALE_TABLE of a quantised network.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    #[command(flatten)]
    tables: TableArguments,
    /// The tables as JSON, with ids and names
    #[arg(long, value_name = "FILE.json")]
    out: PathBuf,
    /// The tables as assignments in Python
    #[arg(long, value_name = "FILE.py")]
    python: Option<PathBuf>,
}

fn main() -> ExitCode {
    exit(run(&Arguments::parse()))
}

fn run(arguments: &Arguments) -> Result<()> {
    let mut outputs = vec![arguments.out.as_path()];
    outputs.extend(arguments.python.as_deref());
    check_outputs(&outputs, &arguments.tables.inputs())?;
    let tables = arguments.tables.tables()?;
    let mut json = serde_json::to_string_pretty(&tables)?;
    json.push('\n');
    write_output(&arguments.out, json.as_bytes())?;
    if let Some(path) = &arguments.python {
        write_output(path, python(&tables).as_bytes())?;
    }
    let (additions, silus) = (tables.additions.len(), tables.silus.len());
    let (outputs, parameters) = (tables.outputs.len(), tables.parameters.len());
    print(format_args!(
        "{additions} additions, {silus} SiLUs, {outputs} outputs, scales of {parameters} parameters"
    ))
}
