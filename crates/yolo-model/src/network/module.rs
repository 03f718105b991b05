//! [`Network`] as a Burn module. Written out, because a derived one would put the names of its fields before the parameters' own.

use super::Network;
use burn::module::{
    Content, Devices, Module, ModuleDisplay, ModuleDisplayDefault, ModuleMapper, ModuleVisitor,
};
use burn::tensor::Device;

impl Module for Network {
    fn collect_devices(&self, devices: Devices) -> Devices {
        self.vectors.collect_devices(self.kernels.collect_devices(devices))
    }

    fn fork(self, device: &Device) -> Self {
        Self { kernels: self.kernels.fork(device), vectors: self.vectors.fork(device), graph: self.graph }
    }

    fn to_device(self, device: &Device) -> Self {
        Self {
            kernels: self.kernels.to_device(device),
            vectors: self.vectors.to_device(device),
            graph: self.graph,
        }
    }

    fn train(self) -> Self {
        Self { kernels: self.kernels.train(), vectors: self.vectors.train(), graph: self.graph }
    }

    fn valid(&self) -> Self {
        Self { kernels: self.kernels.valid(), vectors: self.vectors.valid(), graph: self.graph.clone() }
    }

    fn materialize(self) -> Self {
        Self { kernels: self.kernels.materialize(), vectors: self.vectors.materialize(), graph: self.graph }
    }

    fn visit<V: ModuleVisitor>(&self, visitor: &mut V) {
        self.kernels.visit(visitor);
        self.vectors.visit(visitor);
    }

    fn map<M: ModuleMapper>(self, mapper: &mut M) -> Self {
        Self { kernels: self.kernels.map(mapper), vectors: self.vectors.map(mapper), graph: self.graph }
    }
}

impl ModuleDisplayDefault for Network {
    fn content(&self, content: Content) -> Option<Content> {
        content
            .set_top_level_type("Network")
            .add_debug_attribute("graph", &self.graph.name())
            .add_debug_attribute("nodes", &self.graph.nodes().len())
            .optional()
    }

    fn num_params(&self) -> usize {
        Module::num_params(self)
    }
}

impl ModuleDisplay for Network {}
