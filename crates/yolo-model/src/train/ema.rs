//! Exponential moving averages of networks.

use crate::Network;
use burn::module::Module;

/// The average of a network over training, which detects better than the network itself.
///
/// After update `n` the average is `d A + (1 - d) network` with `d = decay (1 - exp(-n / tau))`, so that the first updates count more;
/// running statistics are averaged too. YOLOv5: decay 0.9999, tau 2000.
#[derive(Debug, Clone)]
pub struct Ema {
    network: Network,
    updates: u64,
    decay: f64,
    tau: f64,
}

impl Ema {
    /// Starts with a network as it is, or goes on after a number of updates.
    #[must_use]
    pub fn new(network: &Network, updates: u64, decay: f64, tau: f64) -> Self {
        Self { network: network.valid(), updates, decay, tau }
    }

    /// Adds the network as it is now.
    pub fn update(&mut self, network: &Network) {
        self.updates += 1;
        let share = self.decay * (1.0 - (-(self.updates as f64) / self.tau).exp());
        self.network = self.network.clone().interpolate(&network.valid(), share);
    }

    /// The average.
    #[must_use]
    pub fn network(&self) -> &Network {
        &self.network
    }

    /// How many networks it has seen.
    #[must_use]
    pub fn updates(&self) -> u64 {
        self.updates
    }
}
