//! Pairs of json and raw of all stages, made from the demonstration.

use crate::support::{MODEL, WEIGHTS, workspace};
use examples::network::Model;
use icraft_raw::{
    BitWidth, Checksum, Generation, Network, Profile, RawRow, Role, Stage, describe, integers, normalized,
    payload, payloads, raw_bytes, to_raw_layout, write_ftmps, write_raws,
};
use nn_graph::{Graph, Op, Params};
use ptq::{IntegerConv, IntegerConvConfig, Method, NormRatios, WeightConfig};
use quant_core::{Accelerator, Granularity, Rounding};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Side of the image that shapes are for.
const SIDE: usize = 64;

/// Payloads by id.
pub(crate) type Payloads = Vec<(u32, Vec<u8>)>;

/// The stages of one compilation, in a folder: `demo_STAGE.json`, `demo_STAGE.raw`, `raws.csv`, `ftmps.csv`.
pub(crate) struct Stages {
    pub(crate) folder: tempfile::TempDir,
    pub(crate) graph: Graph,
    pub(crate) params: Params,
    pub(crate) ratios: NormRatios,
    pub(crate) normed: Params,
    pub(crate) quantized: Network,
}

/// The demonstration without BatchNorm.
pub(crate) fn demonstration() -> Model {
    let model = workspace().join(MODEL);
    Model::load(&workspace().join(WEIGHTS), model.to_str()).unwrap()
}

impl Stages {
    pub(crate) fn new(generation: Generation, bits: u8) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let Model { graph, params, .. } = demonstration();
        let ratio = |id: nn_graph::TensorId| {
            // the untrained head has large weights
            let size = if graph.outputs().contains(&id) { 0.16 } else { 0.005 };
            Ok(size * (5 + id.index() % 3) as f32)
        };
        let ratios = NormRatios::new(&graph, ratio).unwrap();
        let normed = ptq::normalize(&graph, &params, &ratios).unwrap();
        let parsed = describe(&graph, "demo", [SIDE; 2], generation).unwrap();
        let by_name: BTreeMap<&str, &[f32]> =
            graph.tensors().map(|id| (graph.node(id).name.as_str(), ratios.channels(id))).collect();
        let network = normalized(parsed.clone(), |name| by_name.get(name).copied());
        let convs = convolutions(&graph, &normed, bits);
        let quantized = integers(network.clone(), bits, |name| convs.get(name).map(|conv| &conv.scales));
        let stored = integer_payloads(&quantized, &convs, &normed, bits);
        let made = Self { folder, graph, params, ratios, normed, quantized };
        made.write("parsed", &parsed, &payloads(&parsed, &made.params).unwrap());
        made.write("normed", &network, &payloads(&network, &made.normed).unwrap());
        made.write("quantized", &made.quantized, &stored);
        made.write_logs(&convs);
        made
    }

    /// Writes a pair, its checksum in the json.
    pub(crate) fn write(&self, stage: &str, network: &Network, stored: &Payloads) {
        let tensors: Vec<(u32, &[u8])> = stored.iter().map(|(id, bytes)| (*id, bytes.as_slice())).collect();
        let raw = raw_bytes(network.generation, &tensors).unwrap();
        let (checksum, raw_length) = (Some(Checksum::of(&raw)), Some(raw.len() as u64));
        let network = Network { checksum, raw_length, ..network.clone() };
        std::fs::write(self.file(&format!("demo_{stage}.json")), network.write(network.generation).unwrap())
            .unwrap();
        std::fs::write(self.file(&format!("demo_{stage}.raw")), raw).unwrap();
    }

    fn write_logs(&self, convs: &BTreeMap<String, IntegerConv>) {
        let raws = write_raws(&self.raw_rows(convs), &Profile::Xir.raw_columns());
        std::fs::write(self.file("raws.csv"), raws).unwrap();
        let ftmps = write_ftmps(&self.ftmp_rows(), &Profile::Xir.ftmp_columns());
        std::fs::write(self.file("ftmps.csv"), ftmps).unwrap();
    }

    fn raw_rows(&self, convs: &BTreeMap<String, IntegerConv>) -> Vec<RawRow> {
        let mut rows = Vec::new();
        for operation in &self.quantized.operations {
            let Some(conv) = convs.get(&operation.name) else { continue };
            for (param, kind) in operation.params.iter().zip(["weight", "bias"]) {
                let scales: Vec<f32> = match kind {
                    "weight" => conv.scales.weights.iter().map(|scale| scale.real() as f32).collect(),
                    _ => conv.scales.biases().map(|scale| scale.real() as f32).collect(),
                };
                let is_weight = kind == "weight";
                let measured = if is_weight { vec![1.0] } else { Vec::new() };
                let size = if is_weight { param.shape.clone() } else { Vec::new() };
                let (max, exp) = (measured.clone(), vec![0]);
                rows.push(RawRow { id: param.id, size, max, sat: measured, scale: scales, exp });
            }
        }
        rows
    }

    pub(crate) fn ftmp_rows(&self) -> Vec<icraft_raw::FtmpRow> {
        let mut rows = Vec::new();
        for map in self.quantized.operations.iter().flat_map(|operation| &operation.outputs) {
            let channels = map.shape[3];
            let norm_ratio = map.element.norm_ratio().unwrap().expand(channels).unwrap();
            let (max, sat, scale, exp) = (vec![1.0], vec![1.0], vec![1.0], vec![0]);
            rows.push(icraft_raw::FtmpRow {
                id: map.id.unwrap(),
                size: map.shape.clone(),
                max,
                sat,
                norm_ratio,
                scale,
                exp,
            });
        }
        rows
    }

    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A file of the folder as an argument.
    pub(crate) fn path(&self, name: &str) -> String {
        self.file(name).to_str().unwrap().to_owned()
    }

    pub(crate) fn bytes(&self, name: &str) -> Vec<u8> {
        std::fs::read(self.file(name)).unwrap()
    }

    /// `--json J --raw R` of a stage.
    pub(crate) fn pair(&self, stage: &str) -> Vec<String> {
        let [json, raw] = ["json", "raw"].map(|end| self.path(&format!("demo_{stage}.{end}")));
        vec!["--json".to_owned(), json, "--raw".to_owned(), raw]
    }
}

fn convolutions(graph: &Graph, params: &Params, bits: u8) -> BTreeMap<String, IntegerConv> {
    let weights = WeightConfig {
        method: Method::Max,
        granularity: Granularity::PerChannel,
        bits,
        scales: ptq::ScaleGrid::Any,
    };
    let config = IntegerConvConfig {
        bits,
        accelerator: Accelerator::of_width(bits),
        weights,
        rounding: Rounding::HalfAway,
    };
    let convs = graph.nodes().iter().filter(|node| matches!(node.op, Op::Conv(_)));
    convs
        .map(|node| {
            let [weight, bias] = ["weight", "bias"].map(|kind| &params[&format!("{}.{kind}", node.name)]);
            let largest = vec![2f32.powi(i32::from(bits) + 1); bias.data().len()];
            let conv = IntegerConv::quantize(weight.data(), bias.data(), &largest, &config).unwrap();
            (node.name.clone(), conv)
        })
        .collect()
}

/// Integers as the raw file has them, the ends of the range among them.
fn integer_payloads(
    network: &Network,
    convs: &BTreeMap<String, IntegerConv>,
    params: &Params,
    bits: u8,
) -> Payloads {
    let mut stored = Payloads::new();
    for operation in &network.operations {
        let Some(conv) = convs.get(&operation.name) else { continue };
        let lists = [conv.weight.iter().map(|&q| i64::from(q)).collect(), conv.bias.clone()];
        for ((param, mut values), role) in operation.params.iter().zip(lists).zip([Role::Weight, Role::Bias])
        {
            let half = 1i64 << (BitWidth::from_bits(bits.into()).unwrap().value_bits(role) - 1);
            (values[0], values[1], values[2]) = (-half, half - 1, 1 - half);
            let raw = to_raw_layout(&values, params[&param.name].shape()).unwrap();
            stored.push((param.id as u32, elements(&raw, bits, role)));
        }
    }
    stored
}

/// Integers as bytes, by the rule of the earlier generation.
pub(crate) fn elements(values: &[i64], bits: u8, role: Role) -> Vec<u8> {
    let width = BitWidth::from_bits(bits.into()).unwrap();
    match Stage::Quantized.element_type(width, role).bytes() {
        1 => payload(&values.iter().map(|&q| q as i8).collect::<Vec<_>>()).into_owned(),
        2 => payload(&values.iter().map(|&q| q as i16).collect::<Vec<_>>()).into_owned(),
        _ => payload(&values.iter().map(|&q| q as i32).collect::<Vec<_>>()).into_owned(),
    }
}

/// The scales that the network's json has.
pub(crate) fn listed_scales(network: &Network, name: &str) -> Vec<f32> {
    let mut params = network.operations.iter().flat_map(|operation| &operation.params);
    let param = params.find(|param| param.name == name).unwrap();
    param.element.scale().unwrap().expand(*param.shape.last().unwrap()).unwrap()
}

/// A json of the earlier generation with the keys that its compiler is known to write, and ids of feature maps.
pub(crate) fn bare(json: &Path) -> String {
    let mut value: serde_json::Value = serde_json::from_slice(&std::fs::read(json).unwrap()).unwrap();
    for operation in value["operations"].as_array_mut().unwrap() {
        operation.as_object_mut().unwrap().remove("raws");
    }
    value.to_string()
}
