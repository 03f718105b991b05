//! Feature maps of a network of Icraft as its simulators dump them.

use super::pairs::{ChecksumRule, Pair};
use crate::error::{Error, Result};
use crate::network::Network;
use crate::output::{create_folder, write_atomic};
use icraft_raw::{DumpFormat, Simulation, tensor_name};
use quant_core::{Executor, Values};
use std::collections::BTreeMap;
use std::path::Path;

/// What becomes of every feature map of a network.
pub struct Dump {
    format: DumpFormat,
    /// Id, and ratio of every channel, by name.
    maps: BTreeMap<String, (i64, Vec<f32>)>,
}

impl Dump {
    /// Dumps of the network of a json file, in the form `SFB` (real numbers, f32) or `SQB` (integers as stored); and the network, with every
    /// feature map to be seen.
    ///
    /// # Errors
    /// [`Error::Argument`] for other forms, or integers of a float network; what is wrong with the files.
    pub fn new(json: &Path, form: &str) -> Result<(Self, Network)> {
        let wrong = |expected| Error::Argument { option: "--dump-ftmps", value: form.to_owned(), expected };
        let format: DumpFormat = form.parse().map_err(|_| wrong("SFB or SQB"))?;
        if format.hardware_layout || format.text {
            return Err(wrong("SFB or SQB: other layouts and text can't be written here"));
        }
        let simulation = Simulation { fused: false, ..Simulation::default() };
        let pair = Pair::of_name(json, ChecksumRule::Check)?;
        let network = Network::of_pair(&pair, simulation)?;
        let mut maps = BTreeMap::new();
        for map in pair.network.operations.iter().flat_map(|operation| &operation.outputs) {
            let channels = map.shape.last().copied().unwrap_or(0);
            let ratios = map.element.norm_ratio().and_then(|ratios| ratios.expand(channels).ok());
            let integers = map.element.scale().is_some();
            if format.quantized && !integers {
                return Err(wrong("SFB: the network is in f32"));
            }
            // Float stages run in real numbers already.
            let ratios = ratios.filter(|_| integers).unwrap_or_else(|| vec![1.0; channels]);
            maps.insert(tensor_name(map), (map.id.unwrap_or(-1), ratios));
        }
        Ok((Self { format, maps }, network))
    }

    /// Runs the network and writes `ID.ftmp` for every feature map, NHWC, little-endian.
    ///
    /// # Errors
    /// If the network can't be run, or a file can't be written.
    pub fn run(
        &self,
        network: &Network,
        executor: &mut Executor<'_>,
        input: &[f32],
        folder: &Path,
    ) -> Result<()> {
        create_folder(folder)?;
        let (mut failure, mut count) = (None, 0);
        executor.run_with(input, |tensor, values| {
            let Some((id, ratios)) = self.maps.get(&network.program.tensors()[tensor].name) else { return };
            let bytes = self.bytes(values, ratios);
            let written = write_atomic(&folder.join(self.format.file_name(*id)), &bytes);
            failure = failure.take().or(written.err());
            count += 1;
        })?;
        debug_assert_eq!(count, self.maps.len(), "every feature map is a tensor of the program");
        failure.map_or(Ok(()), Err)
    }

    fn bytes(&self, values: Values<'_>, ratios: &[f32]) -> Vec<u8> {
        let (channels, count) = (ratios.len(), values.len() / ratios.len().max(1));
        let places =
            (0..count).flat_map(|pixel| (0..channels).map(move |channel| (channel, channel * count + pixel)));
        match (values, self.format.quantized) {
            (Values::I8(v), true) => places.map(|(_, at)| v[at] as u8).collect(),
            (Values::I16(v), true) => places.flat_map(|(_, at)| v[at].to_le_bytes()).collect(),
            (Values::F32(v), _) => places.flat_map(|(c, at)| (v[at] * ratios[c]).to_le_bytes()).collect(),
            (Values::I8(v), false) => {
                places.flat_map(|(c, at)| (f32::from(v[at]) * ratios[c]).to_le_bytes()).collect()
            }
            (Values::I16(v), false) => {
                places.flat_map(|(c, at)| (f32::from(v[at]) * ratios[c]).to_le_bytes()).collect()
            }
        }
    }
}
