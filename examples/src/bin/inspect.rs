//! Shows a network: its operators, shapes, parameters, floating-point operations, and where quantisers would go.

#![forbid(unsafe_code)]

use clap::Parser;
use examples::arguments::{ConcatArgument, parse_image_size};
use examples::error::{Error, Result, exit};
use examples::network::{Network, checkpoint_graph, find_weights, is_saved_program, named_graph};
use examples::output::print;
use nn_graph::{Checkpoint, Graph, ParamSpec, Params, Tensor};
use ptq::{Placement, PlacementOptions};
use quant_core::{Executor, Format, Program};
use std::path::PathBuf;
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
    /// Size of the image: SIDE or HEIGHTxWIDTH [default: the saved network's, else 640]
    #[arg(long, value_parser = parse_image_size)]
    imgsz: Option<ImageSize>,
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
    let Source { path, stored, graph, params } = match arguments.weights.as_deref().map(find_weights) {
        Some(path) if is_saved_program(&path)? => {
            let network = Network::load_program(&path)?;
            return show_program(&network.program, arguments.imgsz.unwrap_or(network.size));
        }
        Some(path) => from_checkpoint(path, arguments.model.as_deref())?,
        None => from_model(arguments.model.as_deref().unwrap_or_default())?,
    };
    let size = arguments.imgsz.unwrap_or(ImageSize::new(640, 640));
    let (folded, _) = graph.fold_batch_norm(&params).map_err(Error::model(&path))?;
    let shown = if arguments.fold { &folded } else { &graph };
    let dump = shown.dump(size.height, size.width).map_err(Error::model(&path))?;
    stored.map_or(Ok(()), print)?;
    print(dump.trim_end())?;
    if arguments.placement {
        let options = PlacementOptions { concat: arguments.concat.into(), ..PlacementOptions::default() };
        let placement = Placement::new(&folded, options);
        print("\nquantisers (rule, bits, tensors that share one):")?;
        print(placement.report(&folded).trim_end())?;
    }
    Ok(())
}

/// What is shown.
struct Source {
    path: PathBuf,
    /// How a checkpoint stores its tensors.
    stored: Option<String>,
    graph: Graph,
    params: Params,
}

fn from_checkpoint(path: PathBuf, model: Option<&str>) -> Result<Source> {
    let checkpoint = Checkpoint::open(&path).map_err(|e| Error::model(&path)(e.into()))?;
    let graph = checkpoint_graph(&path, &checkpoint, model)?;
    let types: Vec<String> = checkpoint.stored_types.iter().map(|(kind, n)| format!("{n} {kind}")).collect();
    let stored = format!("{}: {:?}, tensors: {}", path.display(), checkpoint.format, types.join(", "));
    Ok(Source { path, stored: Some(stored), graph, params: checkpoint.params })
}

fn from_model(name: &str) -> Result<Source> {
    let graph = named_graph(name)?;
    // Zeros: only shapes are shown.
    let zeros = |spec: ParamSpec| {
        let count = spec.shape.iter().product();
        Some((spec.name, Tensor::new(spec.shape, vec![0.0; count])?))
    };
    let params = graph.parameters().into_iter().filter_map(zeros).collect();
    Ok(Source { path: PathBuf::from(name), stored: None, graph, params })
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
            Format::I12(p) => format!("i12 scale {:.6e} zero {}", p.scale, p.zero_point),
            Format::I16(p) => format!("i16 scale {:.6e} zero {}", p.scale, p.zero_point),
        };
        print(format_args!("{:<28} {:>14}  {format}", step.name, format!("{c}x{h}x{w}")))?;
    }
    print(format_args!(
        "{} steps, {} bytes of constants, {} bytes of feature map buffers at {}x{}",
        program.steps().len(),
        program.constant_bytes(),
        executor.buffer_bytes(),
        size.height,
        size.width
    ))
}
