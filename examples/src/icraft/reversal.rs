//! Convolutions whose input channels a file has in reverse, because the network takes BGR.

use super::error::IcraftError;
use super::names::Names;
use super::pairs::Pair;
use super::tensors::StoredTensor;
use crate::error::Result;
use icraft_raw::{InputChannels, Network};
use serde::Serialize;
use serde_json::Value;

/// Where the json of this project's own compiler notes the order of the image's channels, on the input.
const TRANSFORM: &str = "image_transform";
/// Channels of an image.
const COLOURS: usize = 3;

/// What told that a tensor's input channels are reversed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum ReversedBy {
    /// The order of channels that the json notes.
    Json,
    /// The parsed raw file has them so.
    Mapping,
    /// The user.
    Option,
}

/// Marks the tensors that are reversed: by what the json notes of its image, by the comparison with a checkpoint, or by `bgr`. Nothing is
/// guessed.
///
/// # Errors
/// [`IcraftError::ChannelOrder`]; [`IcraftError::NoImageConvolution`] if `bgr` does not mean exactly one tensor.
pub fn mark(pair: &Pair, names: Option<&Names>, bgr: bool, tensors: &mut [StoredTensor]) -> Result<()> {
    let by_json = reversed_in_json(pair)?;
    let readers = image_readers(&pair.network);
    let mut by_option = 0;
    for tensor in tensors.iter_mut().filter(|tensor| tensor.shape.len() > 1) {
        let reads_image = match &readers {
            Some(ids) => ids.contains(&i64::from(tensor.id)),
            None => tensor.shape.get(1) == Some(&COLOURS),
        };
        let found = names.and_then(|names| names.by_id.get(&tensor.id));
        let by_mapping = found.is_some_and(|found| found.input_channels == InputChannels::Reversed);
        by_option += usize::from(bgr && reads_image);
        tensor.reversed = match () {
            () if by_mapping => Some(ReversedBy::Mapping),
            () if by_json && reads_image => Some(ReversedBy::Json),
            () if bgr && reads_image => Some(ReversedBy::Option),
            () => None,
        };
    }
    if bgr && by_option != 1 {
        return Err(IcraftError::NoImageConvolution { count: by_option }.into());
    }
    Ok(())
}

/// Whether the json notes that the network takes its channels in reverse.
fn reversed_in_json(pair: &Pair) -> Result<bool> {
    let input = pair.network.operations.iter().find(|operation| operation.kind == "Input");
    let order = input.and_then(|input| input.attributes.get(TRANSFORM)?.get("order")?.as_array());
    let Some(order) = order else { return Ok(false) };
    let is = |expected: fn(u64, u64) -> u64| {
        let count = order.len() as u64;
        order.iter().zip(0..).all(|(found, index)| found.as_u64() == Some(expected(index, count)))
    };
    if is(|index, _| index) {
        return Ok(false);
    }
    if is(|index, count| count - 1 - index) {
        return Ok(true);
    }
    let words: Vec<String> = order.iter().take(8).map(Value::to_string).collect();
    Err(IcraftError::ChannelOrder { json: pair.json_path.clone(), order: words.join(",") }.into())
}

/// Ids of the parameters of operations that read the network's input; none where the json lists no parameters at all.
fn image_readers(network: &Network) -> Option<Vec<i64>> {
    if network.operations.iter().all(|operation| operation.params.is_empty()) {
        return None;
    }
    let inputs = network.operations.iter().filter(|operation| operation.kind == "Input");
    let images: Vec<i64> = inputs.flat_map(|operation| &operation.outputs).filter_map(|map| map.id).collect();
    let reads = |map: &icraft_raw::FeatureMap| map.id.is_some_and(|id| images.contains(&id));
    let readers = network.operations.iter().filter(|operation| operation.inputs.iter().any(reads));
    Some(readers.flat_map(|operation| &operation.params).map(|param| param.id).collect())
}
