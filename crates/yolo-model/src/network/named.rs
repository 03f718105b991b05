//! Modules by name, as one module.

use burn::module::{Devices, Module, ModuleMapper, ModuleVisitor};
use burn::tensor::Device;
use std::collections::BTreeMap;
use std::fmt::Debug;

/// What visitors are told about the container. Not a name of Burn's own layers: its stores rename and transpose those.
const CONTAINER: &str = "Struct:Network";

/// Modules by dotted path. A visitor that joins what it enters by dots gets the path back.
#[derive(Clone, Debug)]
pub(super) struct Named<T>(BTreeMap<String, T>);

impl<T> Default for Named<T> {
    fn default() -> Self {
        Self(BTreeMap::new())
    }
}

impl<T> Named<T> {
    pub(super) fn insert(&mut self, name: String, module: T) {
        self.0.insert(name, module);
    }

    pub(super) fn get(&self, name: &str) -> Option<&T> {
        self.0.get(name)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&str, &T)> {
        self.0.iter().map(|(name, module)| (name.as_str(), module))
    }

    /// Puts what `f` makes of a module in its place.
    #[cfg(feature = "train")]
    pub(super) fn change(&mut self, name: &str, f: impl FnOnce(T) -> T) {
        if let Some((name, module)) = self.0.remove_entry(name) {
            self.0.insert(name, f(module));
        }
    }

    fn each(self, mut f: impl FnMut(&str, T) -> T) -> Self {
        let changed = self.0.into_iter().map(|(name, module)| {
            let module = f(&name, module);
            (name, module)
        });
        Self(changed.collect())
    }
}

impl<T: Module> Module for Named<T> {
    fn collect_devices(&self, devices: Devices) -> Devices {
        self.0.values().fold(devices, |devices, module| module.collect_devices(devices))
    }

    fn fork(self, device: &Device) -> Self {
        self.each(|_, module| module.fork(device))
    }

    fn to_device(self, device: &Device) -> Self {
        self.each(|_, module| module.to_device(device))
    }

    fn train(self) -> Self {
        self.each(|_, module| module.train())
    }

    fn valid(&self) -> Self {
        Self(self.0.iter().map(|(name, module)| (name.clone(), module.valid())).collect())
    }

    fn materialize(self) -> Self {
        self.each(|_, module| module.materialize())
    }

    fn visit<V: ModuleVisitor>(&self, visitor: &mut V) {
        for (name, module) in &self.0 {
            name.split('.').for_each(|part| visitor.enter_module(part, CONTAINER));
            module.visit(visitor);
            name.rsplit('.').for_each(|part| visitor.exit_module(part, CONTAINER));
        }
    }

    fn map<M: ModuleMapper>(self, mapper: &mut M) -> Self {
        self.each(|name, module| {
            name.split('.').for_each(|part| mapper.enter_module(part, CONTAINER));
            let mapped = module.map(mapper);
            name.rsplit('.').for_each(|part| mapper.exit_module(part, CONTAINER));
            mapped
        })
    }
}
