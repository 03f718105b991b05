//! Shows a network: its operators, shapes, parameters, floating-point operations, and where quantisers would go.

#![forbid(unsafe_code)]

use clap::Parser;
use examples::arguments::{ConcatArgument, parse_image_size};
use examples::error::{Error, Result, exit};
use examples::network::{definition, find_weights};
use nn_graph::{Checkpoint, Definition, Graph};
use ptq::{Placement, PlacementOptions};
use quant_core::{Executor, Format, Program};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use yolo_model::ImageSize;

/// Show the graph of a checkpoint, a yaml file, a built-in model, or a saved network.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    /// Checkpoint, or network saved by `quantize`
    #[arg(long, required_unless_present = "model")]
    weights: Option<PathBuf>,
    /// Architecture: a yaml file or a built-in name
    #[arg(long)]
    model: Option<String>,
    /// Size of the image: SIDE or HEIGHTxWIDTH
    #[arg(long, default_value = "640", value_parser = parse_image_size)]
    imgsz: ImageSize,
    /// Show the graph with BatchNorm folded
    #[arg(long)]
    fold: bool,
    /// Also show the quantiser groups and the rule of each
    #[arg(long)]
    placement: bool,
    /// Ties at concatenations, for --placement
    #[arg(long, value_enum, default_value = "tie-exclusive")]
    concat: ConcatArgument,
}

fn main() -> ExitCode {
    exit(run(&Arguments::parse()))
}

fn run(arguments: &Arguments) -> Result<()> {
    let weights = arguments.weights.as_deref().map(find_weights);
    if let Some(path) = &weights {
        let bytes = std::fs::read(path).map_err(Error::io(path))?;
        if Program::is_program(&bytes) {
            return show_program(&Program::load(path)?, arguments.imgsz);
        }
    }
    let at = |path: &Path| {
        let path = path.to_owned();
        move |source| Error::Model { path, source }
    };
    let name =
        weights.clone().unwrap_or_else(|| PathBuf::from(arguments.model.as_deref().unwrap_or_default()));
    let checkpoint =
        weights.map(|path| Checkpoint::open(&path).map_err(|e| at(&path)(e.into()))).transpose()?;
    let embedded = checkpoint.as_ref().and_then(|c| c.definition.as_ref());
    let definition = match (&arguments.model, embedded) {
        (Some(model), _) => definition(model)?,
        (None, Some(value)) => {
            let stem = name.file_stem().unwrap_or_default().to_string_lossy();
            Definition::from_value(&stem, value).map_err(at(&name))?
        }
        (None, None) => {
            return Err(Error::NoDefinition { path: name, known: nn_graph::BUILTIN_MODELS.join(", ") });
        }
    };
    let mut graph = Graph::from_definition(&definition).map_err(at(&name))?;
    let params = match &checkpoint {
        Some(checkpoint) => {
            graph.check_params(&checkpoint.params).map_err(at(&name))?;
            graph.adopt_anchors(&checkpoint.params).map_err(at(&name))?;
            checkpoint.params.clone()
        }
        None => nn_graph::formula_params(&graph),
    };
    let (folded, _) = graph.fold_batch_norm(&params).map_err(at(&name))?;
    if let Some(checkpoint) = &checkpoint {
        let types: Vec<String> =
            checkpoint.stored_types.iter().map(|(kind, n)| format!("{n} {kind}")).collect();
        println!("{}: {:?}, tensors: {}", name.display(), checkpoint.format, types.join(", "));
    }
    let shown = if arguments.fold { &folded } else { &graph };
    print!("{}", shown.dump(arguments.imgsz.height, arguments.imgsz.width).map_err(at(&name))?);
    if arguments.placement {
        let options = PlacementOptions { concat: arguments.concat.into(), ..PlacementOptions::default() };
        let placement = Placement::new(&folded, options);
        println!("\nquantisers (rule, bits, tensors that share one):");
        print!("{}", placement.report(&folded));
    }
    Ok(())
}

/// The steps of a saved program.
fn show_program(program: &Program, size: ImageSize) -> Result<()> {
    let executor = Executor::new(program, size.height, size.width)?;
    for step in program.steps() {
        let tensor = &program.tensors()[step.output];
        let [c, h, w] = executor.shapes()[step.output];
        let format = match tensor.format {
            Format::F32 => "f32".to_owned(),
            Format::I8(p) => format!("i8  scale {:.6e} zero {}", p.scale, p.zero_point),
            Format::I16(p) => format!("i16 scale {:.6e} zero {}", p.scale, p.zero_point),
        };
        println!("{:<28} {:>14}  {format}", step.name, format!("{c}x{h}x{w}"));
    }
    println!(
        "{} steps, {} bytes of constants, {} bytes of feature map buffers at {}x{}",
        program.steps().len(),
        program.constant_bytes(),
        executor.buffer_bytes(),
        size.height,
        size.width
    );
    Ok(())
}
