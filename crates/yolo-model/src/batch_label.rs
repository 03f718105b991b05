//! What is to be found in a batch.

/// A box that is to be found in a batch.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct BatchLabel {
    /// Which image of the batch.
    pub image: usize,
    /// Its class.
    pub class: usize,
    /// x1, y1, x2, y2 in pixels of the network's input.
    pub bbox: [f32; 4],
}
