//! Ids of feature maps as the earlier generation gives them.

/// Numbers the output of each operation in the order of execution, as the earlier generation does: the network's input is
/// 0, and every operation after it takes the next number. Operations of kind `Input` give 0, those of kind `Output` none.
///
/// `kinds` are [`Operation::kind`](crate::Operation::kind)s. A convolution and the activation after it count as two.
pub fn legacy_feature_map_ids<'k>(kinds: impl IntoIterator<Item = &'k str>) -> Vec<Option<i64>> {
    let mut last = 0;
    let number = |kind| match kind {
        "Input" => Some(0),
        "Output" => None,
        _ => {
            last += 1;
            Some(last)
        }
    };
    kinds.into_iter().map(number).collect()
}
