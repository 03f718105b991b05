//! The integers of a normalised network, and how its weights are rounded.

use super::saturation::{Fit, fitted};
use crate::error::{Error, Result};
use crate::images::decode;
use crate::network::Model;
use crate::weights::ReconstructionBars;
use icraft_raw::{BitWidth, Network, RawFile, Simulation, integer_payloads, integers, program, raw_bytes};
use nn_graph::{Op, Params};
use ptq::{
    Adjustable, Adjusted, Fusion, Inputs, IntegerConv, IntegerConvConfig, NormRatios, Reconstruct,
    ReconstructedLayer, WeightGrid, adjust_parameters, lower_float, parameter,
};
use quant_core::{ConvScales, MantissaScale, Program};
use std::collections::BTreeMap;
use std::path::PathBuf;
use yolo_model::ImageSize;

/// A network with normalised feature maps, and what it was made from.
pub struct Normalized<'j> {
    /// The detector.
    pub model: &'j Model,
    /// Its json of the stage normed.
    pub network: &'j Network,
    /// Its parameters of the stages optimized and normed.
    pub params: [&'j Params; 2],
    /// The ratios between them.
    pub ratios: &'j NormRatios,
    /// By convolution, the largest magnitude of every channel.
    pub largest: &'j BTreeMap<String, Vec<f32>>,
    /// Saturation points of normalised weights by name of the parameter, where they are given.
    pub saturations: BTreeMap<String, Vec<f32>>,
}

/// A normalised network whose convolutions become integers.
pub struct IntegerNetwork<'j> {
    source: Normalized<'j>,
    config: IntegerConvConfig,
    simulation: Simulation,
    /// Normalised parameters; those that have been treated are on their grid.
    params: Params,
    scales: BTreeMap<String, ConvScales>,
    /// Saturation points of weights, of every output channel, by name of the parameter.
    saturations: BTreeMap<String, Vec<f32>>,
}

/// What a network of integers is stored as.
pub struct Stored {
    /// Its json.
    pub network: Network,
    /// Its parameters, by id.
    pub payloads: Vec<(u32, Vec<u8>)>,
    /// Weights that were clipped.
    pub clipped: usize,
    /// Weights in all.
    pub weights: usize,
}

impl<'j> IntegerNetwork<'j> {
    /// Chooses the scales of all convolutions.
    ///
    /// # Errors
    /// Parameters that are missing or not finite.
    pub fn new(source: Normalized<'j>, config: IntegerConvConfig, simulation: Simulation) -> Result<Self> {
        let params = source.params[1].clone();
        let (scales, saturations) = (BTreeMap::new(), source.saturations.clone());
        let mut network = Self { source, config, simulation, params, scales, saturations };
        for conv in network.convolutions() {
            let channels = network.source.largest.get(&conv.name).map_or(&[][..], Vec::as_slice);
            let largest: Vec<f32> = channels.iter().zip(&conv.unit).map(|(max, unit)| max / unit).collect();
            let params = [network.param(&conv.name, "weight")?, network.param(&conv.name, "bias")?];
            let [weight, bias] = params;
            let of_conv = |error: ptq::Error| error.of(&conv.name);
            let weight_name = format!("{}.weight", conv.name);
            let saturation = match network.saturations.get(&weight_name) {
                Some(given) => given.clone(),
                None => IntegerConv::saturation(weight, bias.len(), &network.config).map_err(of_conv)?,
            };
            let scales = IntegerConv::saturating(&saturation, bias, &largest, &network.config);
            let scales = scales.map_err(of_conv)?;
            network.saturations.insert(weight_name, saturation);
            network.scales.insert(conv.name, scales);
        }
        Ok(network)
    }

    /// Saturation points of weights, of every output channel, by name of the parameter.
    #[must_use]
    pub fn saturations(&self) -> &BTreeMap<String, Vec<f32>> {
        &self.saturations
    }

    /// Scales of a convolution's normalised weights, by output channel.
    #[must_use]
    pub fn weight_scales(&self, convolution: &str) -> Option<Vec<f32>> {
        let scales = self.scales.get(convolution)?;
        Some(scales.weights.iter().map(|scale: &MantissaScale| scale.real() as f32).collect())
    }

    /// Chooses weights and biases so that outputs of convolutions come near to those of the float network on images.
    ///
    /// # Errors
    /// An image that can't be read.
    pub fn reconstruct(
        &mut self,
        how: &Reconstruct,
        images: &[&PathBuf],
        (size, fit): (ImageSize, Fit),
    ) -> Result<Vec<ReconstructedLayer>> {
        let Model { graph, params, .. } = self.source.model;
        let float = lower_float(graph, params, Fusion::EveryTensor)?;
        let bars = ReconstructionBars::new(images.len());
        let inputs = images.iter().map(|path| {
            bars.looking.inc(1);
            fitted(&decode(path)?, size, fit)
        });
        let progress = |_: &ReconstructedLayer, total| bars.layer(total);
        let sides = [size.height, size.width];
        let (done, _) = how.adjust::<_, Error>(self, &float, sides, inputs, progress)?;
        bars.finish();
        Ok(done)
    }

    /// The network as it is stored, with the weights that have been chosen so far.
    ///
    /// # Errors
    /// Parameters that are missing or not finite.
    pub fn stored(&self) -> Result<Stored> {
        let convs = self.convs()?;
        let scales = |name: &str| convs.get(name).map(|conv| &conv.scales);
        let network = integers(self.source.network.clone(), self.config.bits, scales);
        let values = |name: &str| convs.get(name).map(|conv| (&conv.weight[..], &conv.bias[..]));
        let width = BitWidth::from_bits(self.config.bits.into()).unwrap_or(BitWidth::Sixteen);
        let payloads = integer_payloads(&network, width, values)?;
        let clipped = convs.values().map(|conv| conv.clipped).sum();
        let weights = convs.values().map(|conv| conv.weight.len()).sum();
        Ok(Stored { network, payloads, clipped, weights })
    }

    fn convs(&self) -> Result<BTreeMap<String, IntegerConv>> {
        let convs = self.scales.iter().map(|(name, scales)| {
            let [weight, bias] = [self.param(name, "weight")?, self.param(name, "bias")?];
            let conv = IntegerConv::with_scales(weight, bias, scales.clone(), &self.config);
            Ok((name.clone(), conv.map_err(|error| error.of(name))?))
        });
        convs.collect()
    }

    fn param(&self, layer: &str, kind: &str) -> Result<&[f32]> {
        Ok(parameter(&self.params, layer, kind)?)
    }
}

impl Adjustable for IntegerNetwork<'_> {
    type Error = Error;

    fn convolutions(&self) -> Vec<Adjusted> {
        let graph = &self.source.model.graph;
        let adjusted = graph.tensors().filter_map(|id| {
            let node = graph.node(id);
            let Op::Conv(conv) = node.op else { return None };
            let bias = parameter(self.source.params[0], &node.name, "bias").ok();
            Some(Adjusted {
                name: node.name.clone(),
                conv,
                bias: bias.map_or_else(|| vec![0.0; conv.out_channels], <[f32]>::to_vec),
                unit: self.source.ratios.channels(id).to_vec(),
                inputs: Inputs::Integers,
            })
        });
        adjusted.collect()
    }

    fn program(&self) -> Result<Program> {
        let Stored { network, payloads, .. } = self.stored()?;
        let payloads: Vec<(u32, &[u8])> =
            payloads.iter().map(|(id, bytes)| (*id, bytes.as_slice())).collect();
        let raw = RawFile::from_bytes(raw_bytes(network.generation, &payloads)?)?;
        Ok(program(&network, &raw, self.simulation)?)
    }

    fn grid(&self, convolution: &str) -> Result<WeightGrid> {
        let weights = self.param(convolution, "weight")?.to_vec();
        let scales = self.weight_scales(convolution).unwrap_or_default();
        let limit = (1 << (self.config.bits - 1)) - 1;
        Ok(WeightGrid { weights, scales, bounds: [-limit, limit] })
    }

    fn set(&mut self, convolution: &str, weights: &[f32], shifts: &[f64]) -> Result<()> {
        Ok(adjust_parameters(&mut self.params, convolution, weights, shifts)?)
    }
}
