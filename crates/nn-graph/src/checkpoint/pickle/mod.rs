//! Pickles as inert data.
//!
//! A pickle is a program for a small stack machine (PEP 307, PEP 3154 and Python's `pickletools` describe its
//! opcodes). Python runs it by importing names and calling them; here the machine only records: a global is a
//! pair of names, and calling or instantiating one gives an [`Object`] that remembers what was called with
//! what. Meaning is given afterwards, by a closed table ([`table`]).

mod machine;
mod opcode;
mod source;
mod table;

pub(super) use machine::read;
pub(super) use table::{Known, known};

/// Longest class name that an error shows, in characters.
const SHOWN_NAME: usize = 96;

/// A value's place in its [`Pickle`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Id(u32);

/// A global: the module and the name that Python would import.
#[derive(Debug)]
pub(super) struct Global {
    pub(super) module: Box<str>,
    pub(super) name: Box<str>,
}

/// A recorded call or instance: nothing was called.
#[derive(Debug)]
pub(super) struct Object {
    pub(super) callee: Id,
    pub(super) arguments: Id,
    pub(super) state: Option<Id>,    // of BUILD
    pub(super) items: Vec<(Id, Id)>, // of SETITEM(S); what APPEND(S) adds is not kept
}

/// One value of a pickle.
#[derive(Debug)]
pub(super) enum Node {
    None,
    Bool(bool),
    Int(i64),
    WideInt, // an integer beyond 64 bits; its value is not kept
    Float(f64),
    Text(Box<str>),
    Bytes, // the content is not kept
    List(Vec<Id>),
    Tuple(Vec<Id>),
    Set, // the elements are not kept
    Dict(Vec<(Id, Id)>),
    Global(Box<Global>),
    Object(Box<Object>),
    Persistent(Id), // a reference to something outside the pickle, such as a storage
}

/// The values of a pickle, which may refer to each other in any way, cycles included.
#[derive(Debug)]
pub(super) struct Pickle {
    nodes: Vec<Node>,
    root: Id,
}

impl Pickle {
    /// The value that the pickle stands for.
    pub(super) fn root(&self) -> Id {
        self.root
    }

    /// The value at `id`.
    pub(super) fn node(&self, id: Id) -> &Node {
        // Only the machine makes ids, one for each node that it stores.
        self.nodes.get(id.0 as usize).unwrap_or(&Node::None)
    }

    pub(super) fn text(&self, id: Id) -> Option<&str> {
        match self.node(id) {
            Node::Text(text) => Some(text),
            _ => None,
        }
    }

    /// A non-negative integer.
    pub(super) fn size(&self, id: Id) -> Option<usize> {
        match self.node(id) {
            Node::Int(value) => usize::try_from(*value).ok(),
            _ => None,
        }
    }

    /// The elements of a list or tuple, also of the list types that PyTorch wraps around one.
    pub(super) fn sequence(&self, id: Id) -> Option<&[Id]> {
        let inner = match self.call(id) {
            Some((Known::Wrapper, arguments)) => *arguments.first()?,
            _ => id,
        };
        match self.node(inner) {
            Node::List(items) | Node::Tuple(items) => Some(items),
            _ => None,
        }
    }

    /// The items of a dict or `OrderedDict`, in the order they were set.
    pub(super) fn dict(&self, id: Id) -> Option<&[(Id, Id)]> {
        match self.node(id) {
            Node::Dict(items) => Some(items),
            Node::Object(object) => match self.call(id) {
                Some((Known::OrderedDict, [])) => Some(&object.items),
                _ => None,
            },
            _ => None,
        }
    }

    /// The value of a text key; the last one if it was set twice, as in Python.
    pub(super) fn lookup(&self, items: &[(Id, Id)], key: &str) -> Option<Id> {
        items.iter().rev().find(|(name, _)| self.text(*name) == Some(key)).map(|&(_, value)| value)
    }

    /// The attributes of an instance whose state is a dict.
    pub(super) fn attributes(&self, id: Id) -> Option<&[(Id, Id)]> {
        match self.node(id) {
            Node::Object(object) => self.dict(object.state?),
            _ => None,
        }
    }

    /// A recorded call of something in the closed table, and its arguments.
    pub(super) fn call(&self, id: Id) -> Option<(Known, &[Id])> {
        let Node::Object(object) = self.node(id) else { return None };
        let Node::Tuple(arguments) = self.node(object.arguments) else { return None };
        Some((self.known(object.callee)?, arguments))
    }

    /// What the closed table says about a global.
    pub(super) fn known(&self, id: Id) -> Option<Known> {
        match self.node(id) {
            Node::Global(global) => known(&global.module, &global.name),
            _ => None,
        }
    }

    /// The value's type for an error message.
    pub(super) fn describe(&self, id: Id) -> String {
        let kind = match self.node(id) {
            Node::None => "None",
            Node::Bool(_) => "a bool",
            Node::Int(_) | Node::WideInt => "an int",
            Node::Float(_) => "a float",
            Node::Text(_) => "a str",
            Node::Bytes => "bytes",
            Node::List(_) => "a list",
            Node::Tuple(_) => "a tuple",
            Node::Set => "a set",
            Node::Dict(_) => "a dict without a model or tensors",
            Node::Persistent(_) => "a bare storage",
            Node::Global(_) => return format!("the name {}", self.class_name(id)),
            Node::Object(object) => return format!("a {}", self.class_name(object.callee)),
        };
        kind.to_owned()
    }

    /// `module.name` of a global, shortened for messages.
    pub(super) fn class_name(&self, id: Id) -> String {
        match self.node(id) {
            Node::Global(global) => {
                // Shortened before it is copied: a hostile name may be long and used often.
                let parts = [&*global.module, ".", &*global.name];
                parts.iter().flat_map(|part| part.chars()).take(SHOWN_NAME).collect()
            }
            _ => "nameless object".to_owned(),
        }
    }
}
