use crate::network::{image, tiny};
use burn::optim::GradientsParams;
use burn::tensor::Device;
use yolo_model::{Network, Rates, initial_params, sgd};

/// `g += decay w; v = m v + g; w -= r (g + m v)`, decay for weights of convolutions alone, another rate for biases.
#[test]
fn steps_are_those_of_nesterov() {
    let (graph, head) = tiny();
    let device = Device::flex().autodiff();
    let mut network = Network::new(&graph, &initial_params(&graph, &head, 7), &device).unwrap();
    let decay = 0.1;
    let (mut optimizer, rates) = sgd(&network, decay);
    let mut velocities = std::collections::BTreeMap::<String, Vec<f64>>::new();
    for momentum in [0.5, 0.8, 0.9] {
        let now = Rates { weights: 0.01, biases: 0.05, momentum };
        *rates.lock().unwrap() = now;
        let before = network.to_params().unwrap();
        let loss = network.forward(image(&device)).unwrap().remove(0).powi_scalar(2).mean();
        let gradients = loss.backward();
        let mut by_name = Gradients { gradients: &gradients, path: Vec::new(), found: Default::default() };
        burn::module::Module::visit(&network, &mut by_name);
        let by_name = by_name.found;
        network = optimizer.step(1.0, network.clone(), GradientsParams::from_grads(gradients, &network));
        let after = network.to_params().unwrap();
        for (name, values) in &by_name {
            let (old, new) = (before.get(name).unwrap(), after.get(name).unwrap());
            let decays = if old.shape().len() == 4 { decay } else { 0.0 };
            let rate = if name.ends_with("bias") { now.biases } else { now.weights };
            let first = !velocities.contains_key(name);
            let velocity = velocities.entry(name.clone()).or_insert_with(|| vec![0.0; values.len()]);
            for (i, &gradient) in values.iter().enumerate() {
                let gradient = f64::from(gradient) + decays * f64::from(old.data()[i]);
                velocity[i] = if first { gradient } else { momentum * velocity[i] + gradient };
                let expected = f64::from(old.data()[i]) - rate * (gradient + momentum * velocity[i]);
                let found = f64::from(new.data()[i]);
                assert!(
                    (found - expected).abs() <= 1e-6 * expected.abs().max(0.1),
                    "{name}: {found} {expected}"
                );
            }
        }
        assert!(by_name.len() >= 8, "{:?}", by_name.keys());
    }
}

struct Gradients<'g> {
    gradients: &'g burn::tensor::Gradients,
    path: Vec<String>,
    found: std::collections::BTreeMap<String, Vec<f32>>,
}

impl burn::module::ModuleVisitor for Gradients<'_> {
    fn enter_module(&mut self, name: &str, _: &str) {
        self.path.push(name.to_owned());
    }

    fn exit_module(&mut self, _: &str, _: &str) {
        self.path.pop();
    }

    fn visit_float<const D: usize>(&mut self, parameter: &burn::module::Param<burn::tensor::Tensor<D>>) {
        if let Some(gradient) = parameter.val().grad(self.gradients) {
            self.found.insert(self.path.join("."), crate::read(gradient));
        }
    }
}
