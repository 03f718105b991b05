//! A readable text form of a graph.

use crate::{Graph, error::Error, shape::node_macs};
use std::fmt::Write;

impl Graph {
    /// A table of all nodes: index, name, operator, inputs, output shape, parameters, MFLOPs; then the totals.
    ///
    /// # Errors
    /// As [`Graph::infer_shapes`].
    pub fn dump(&self, height: usize, width: usize) -> Result<String, Error> {
        let shapes = self.infer_shapes(height, width)?;
        let counts = self.parameter_counts();
        let mut text = format!("{} at {height}x{width}\n", self.name);
        let widest = self.nodes.iter().map(|n| n.name.len()).max().unwrap_or(0);
        // Writing into a String can't fail.
        let _ = writeln!(
            text,
            "{:>4}  {:<widest$}  {:<24} {:<16} {:>14} {:>10} {:>9}",
            "#", "name", "operator", "reads", "output", "params", "MFLOPs"
        );
        for (index, (node, shape)) in self.nodes.iter().zip(&shapes).enumerate() {
            let reads = node.inputs.iter().map(|id| id.0.to_string()).collect::<Vec<_>>().join(",");
            let [c, h, w] = shape;
            let _ = writeln!(
                text,
                "{index:>4}  {:<widest$}  {:<24} {reads:<16} {:>14} {:>10} {:>9.2}",
                node.name,
                node.op.to_string(),
                format!("{c}x{h}x{w}"),
                counts[index],
                2e-6 * node_macs(node, *shape) as f64,
            );
        }
        let _ = writeln!(
            text,
            "{} nodes, {} parameters, {:.2} GFLOPs, stride {}, outputs {:?}",
            self.nodes.len(),
            self.parameter_count(),
            self.flops(height, width)? as f64 * 1e-9,
            self.stride(),
            self.outputs.iter().map(|id| self.node(*id).name.as_str()).collect::<Vec<_>>(),
        );
        Ok(text)
    }

    /// Learnable parameters of each node.
    fn parameter_counts(&self) -> Vec<usize> {
        let mut counts = vec![0; self.nodes.len()];
        let index: std::collections::BTreeMap<&str, usize> =
            self.nodes.iter().enumerate().map(|(i, n)| (n.name.as_str(), i)).collect();
        for spec in self.parameters().iter().filter(|p| p.learnable) {
            if let Some(&i) = spec.name.rsplit_once('.').and_then(|(node, _)| index.get(node)) {
                counts[i] += spec.shape.iter().product::<usize>();
            }
        }
        counts
    }
}
