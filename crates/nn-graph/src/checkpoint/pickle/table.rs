//! The closed table: every global that has a meaning here. Any other one stays a pair of names.

use super::super::element::ElementType;

/// What a global means to this reader.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in super::super) enum Known {
    /// A dict that keeps its order.
    OrderedDict,
    /// Something that stands for its first argument, a list or a tuple.
    Wrapper,
    /// `(storage, offset, shape, strides, ...)`.
    Tensor,
    /// `(tensor, requires_grad, ...)`.
    Parameter,
    /// A storage class.
    Storage(ElementType),
}

/// Looks a global up in the closed table.
pub(in super::super) fn known(module: &str, name: &str) -> Option<Known> {
    match (module, name) {
        ("collections", "OrderedDict") => Some(Known::OrderedDict),
        ("torch", "Size")
        | (
            "torch.jit._pickle",
            "build_intlist" | "build_doublelist" | "build_boollist" | "build_tensorlist",
        )
        | ("torch.jit._pickle", "restore_type_tag") => Some(Known::Wrapper),
        ("torch._utils", "_rebuild_tensor_v2") => Some(Known::Tensor),
        ("torch._utils", "_rebuild_parameter" | "_rebuild_parameter_with_state") => Some(Known::Parameter),
        ("torch", storage) => storage_element(storage).map(Known::Storage),
        _ => None,
    }
}

fn storage_element(class: &str) -> Option<ElementType> {
    Some(match class {
        "DoubleStorage" => ElementType::Float64,
        "FloatStorage" => ElementType::Float32,
        "HalfStorage" => ElementType::Float16,
        "BFloat16Storage" => ElementType::BFloat16,
        "LongStorage" => ElementType::Int64,
        "IntStorage" => ElementType::Int32,
        "ShortStorage" => ElementType::Int16,
        "CharStorage" => ElementType::Int8,
        "ByteStorage" => ElementType::UInt8,
        "BoolStorage" => ElementType::Bool,
        _ => return None,
    })
}
