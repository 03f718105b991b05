//! The stack machine. It executes opcodes, never Python: every step stores data and nothing else.

use std::collections::HashMap;

use super::super::error::{CheckpointError, PickleFault};
use super::opcode as op;
use super::source::Source;
use super::{Global, Id, Node, Object, Pickle};

/// Most opcodes in a pickle: a small detector has some 30 000. Each stores at most one value, so this caps
/// memory too.
const MAX_OPCODES: usize = 1 << 20;
/// Most values, and most marks, on the stack.
const MAX_STACK: usize = 1 << 17;
/// Most memo entries.
const MAX_MEMO: usize = 1 << 19;
/// Longest module or class name that STACK_GLOBAL takes, in bytes.
const MAX_GLOBAL: usize = 1 << 7;
/// The newest protocol.
const MAX_PROTOCOL: u8 = 5;

/// Reads the pickle at the start of `bytes`; what follows its STOP is ignored, as in Python.
///
/// # Errors
/// [`CheckpointError::Pickle`] with the offset of the offending opcode.
pub(in super::super) fn read(bytes: &[u8]) -> Result<Pickle, CheckpointError> {
    let mut machine = Machine::new(bytes);
    for _ in 0..MAX_OPCODES {
        let offset = machine.source.position();
        match machine.step() {
            Ok(None) => {}
            Ok(Some(root)) => return Ok(Pickle { nodes: machine.nodes, root }),
            Err(fault) => return Err(CheckpointError::Pickle { offset, fault }),
        }
    }
    let fault = PickleFault::TooManyOpcodes { limit: MAX_OPCODES };
    Err(CheckpointError::Pickle { offset: machine.source.position(), fault })
}

struct Machine<'a> {
    source: Source<'a>,
    nodes: Vec<Node>,
    stack: Vec<Id>,
    marks: Vec<usize>, // heights of the stack, ascending; nothing below the last one can be popped
    memo: HashMap<u32, Id>,
}

impl<'a> Machine<'a> {
    fn new(bytes: &'a [u8]) -> Self {
        Self {
            source: Source::new(bytes),
            nodes: Vec::new(),
            stack: Vec::new(),
            marks: Vec::new(),
            memo: HashMap::new(),
        }
    }

    /// Executes one opcode; gives the result at STOP.
    fn step(&mut self) -> Result<Option<Id>, PickleFault> {
        let opcode = self.source.byte()?;
        match opcode {
            op::STOP => return self.pop().map(Some),
            op::PROTO => self.protocol()?,
            op::FRAME => drop(self.source.u64()?), // frames only help Python's buffering
            op::MARK => self.mark()?,
            op::POP => self.discard()?,
            op::POP_MARK => drop(self.pop_to_mark()?),
            op::DUP => self.push_id(self.top()?)?,

            op::NONE => self.push(Node::None)?,
            op::NEWTRUE => self.push(Node::Bool(true))?,
            op::NEWFALSE => self.push(Node::Bool(false))?,
            op::BININT | op::BININT1 | op::BININT2 | op::LONG1 | op::LONG4 => self.integer(opcode)?,
            op::BINFLOAT => {
                let value = f64::from_be_bytes(self.source.array()?);
                self.push(Node::Float(value))?;
            }
            op::SHORT_BINUNICODE | op::BINUNICODE | op::BINUNICODE8 | op::SHORT_BINSTRING | op::BINSTRING => {
                self.text(opcode)?;
            }
            op::SHORT_BINBYTES | op::BINBYTES | op::BINBYTES8 | op::BYTEARRAY8 => self.bytes(opcode)?,

            op::EMPTY_LIST => self.push(Node::List(Vec::new()))?,
            op::LIST => self.collect(Node::List)?,
            op::EMPTY_TUPLE => self.push(Node::Tuple(Vec::new()))?,
            op::TUPLE => self.collect(Node::Tuple)?,
            op::TUPLE1 => self.tuple(1)?,
            op::TUPLE2 => self.tuple(2)?,
            op::TUPLE3 => self.tuple(3)?,
            op::EMPTY_DICT => self.push(Node::Dict(Vec::new()))?,
            op::DICT => self.dict()?,
            op::EMPTY_SET => self.push(Node::Set)?,
            op::FROZENSET => self.collect(|_| Node::Set)?,
            op::APPEND | op::APPENDS | op::ADDITEMS => self.append(opcode)?,
            op::SETITEM | op::SETITEMS => self.set_items(opcode)?,

            op::BINGET | op::LONG_BINGET => self.recall(opcode)?,
            op::BINPUT | op::LONG_BINPUT | op::MEMOIZE => self.memorise(opcode)?,

            op::GLOBAL | op::STACK_GLOBAL => self.global(opcode)?,
            op::REDUCE | op::NEWOBJ => self.object(0)?,
            op::NEWOBJ_EX => self.object(1)?,
            op::BUILD => self.build()?,
            op::BINPERSID => {
                let reference = self.pop()?;
                self.push(Node::Persistent(reference))?;
            }
            _ => return Err(PickleFault::Opcode { opcode }),
        }
        Ok(None)
    }

    // --- the stack

    fn floor(&self) -> usize {
        self.marks.last().copied().unwrap_or(0)
    }

    fn pop(&mut self) -> Result<Id, PickleFault> {
        if self.stack.len() <= self.floor() {
            return Err(PickleFault::StackUnderflow);
        }
        self.stack.pop().ok_or(PickleFault::StackUnderflow)
    }

    fn top(&self) -> Result<Id, PickleFault> {
        let above = self.stack.get(self.floor()..).unwrap_or_default();
        above.last().copied().ok_or(PickleFault::StackUnderflow)
    }

    fn push_id(&mut self, id: Id) -> Result<(), PickleFault> {
        if self.stack.len() >= MAX_STACK {
            return Err(PickleFault::StackTooLarge { limit: MAX_STACK });
        }
        self.stack.push(id);
        Ok(())
    }

    fn push(&mut self, node: Node) -> Result<(), PickleFault> {
        let too_many = PickleFault::TooManyOpcodes { limit: MAX_OPCODES };
        let id = Id(u32::try_from(self.nodes.len()).map_err(|_| too_many)?);
        self.nodes.push(node);
        self.push_id(id)
    }

    /// The node at the top of the stack, to be filled.
    fn top_node(&mut self) -> Result<&mut Node, PickleFault> {
        let Id(index) = self.top()?;
        self.nodes.get_mut(index as usize).ok_or(PickleFault::StackUnderflow)
    }

    fn mark(&mut self) -> Result<(), PickleFault> {
        if self.marks.len() >= MAX_STACK {
            return Err(PickleFault::StackTooLarge { limit: MAX_STACK });
        }
        self.marks.push(self.stack.len());
        Ok(())
    }

    fn pop_to_mark(&mut self) -> Result<Vec<Id>, PickleFault> {
        let height = self.marks.pop().ok_or(PickleFault::NoMark)?;
        // Pops stop at the mark, so that the stack is at least this high.
        Ok(self.stack.split_off(height.min(self.stack.len())))
    }

    /// POP takes the topmost thing, be it a value or a mark.
    fn discard(&mut self) -> Result<(), PickleFault> {
        if self.marks.last() == Some(&self.stack.len()) {
            self.marks.pop();
            return Ok(());
        }
        self.pop().map(drop)
    }

    // --- atoms

    fn protocol(&mut self) -> Result<(), PickleFault> {
        let version = self.source.byte()?;
        if version > MAX_PROTOCOL { Err(PickleFault::Protocol { version }) } else { Ok(()) }
    }

    fn integer(&mut self, opcode: u8) -> Result<(), PickleFault> {
        let node = match opcode {
            op::BININT => Node::Int(i64::from(i32::from_le_bytes(self.source.array()?))),
            op::BININT1 => Node::Int(i64::from(self.source.byte()?)),
            op::BININT2 => Node::Int(i64::from(self.source.u16()?)),
            op::LONG1 => {
                let length = u64::from(self.source.byte()?);
                wide_integer(self.source.string(length)?)
            }
            _ => {
                let length = u64::from(self.source.u32()?);
                wide_integer(self.source.string(length)?)
            }
        };
        self.push(node)
    }

    fn text(&mut self, opcode: u8) -> Result<(), PickleFault> {
        let length = match opcode {
            op::SHORT_BINUNICODE | op::SHORT_BINSTRING => u64::from(self.source.byte()?),
            op::BINUNICODE | op::BINSTRING => u64::from(self.source.u32()?),
            _ => self.source.u64()?,
        };
        let text = self.source.text(length)?;
        self.push(Node::Text(text.into()))
    }

    fn bytes(&mut self, opcode: u8) -> Result<(), PickleFault> {
        let length = match opcode {
            op::SHORT_BINBYTES => u64::from(self.source.byte()?),
            op::BINBYTES => u64::from(self.source.u32()?),
            _ => self.source.u64()?,
        };
        self.source.string(length)?;
        self.push(Node::Bytes)
    }

    // --- containers

    fn collect(&mut self, container: impl FnOnce(Vec<Id>) -> Node) -> Result<(), PickleFault> {
        let items = self.pop_to_mark()?;
        self.push(container(items))
    }

    fn tuple(&mut self, length: usize) -> Result<(), PickleFault> {
        let mut items = Vec::with_capacity(length);
        for _ in 0..length {
            items.push(self.pop()?);
        }
        items.reverse();
        self.push(Node::Tuple(items))
    }

    fn dict(&mut self) -> Result<(), PickleFault> {
        let items = pairs(op::DICT, &self.pop_to_mark()?)?;
        self.push(Node::Dict(items))
    }

    fn append(&mut self, opcode: u8) -> Result<(), PickleFault> {
        let mut added = if opcode == op::APPEND { vec![self.pop()?] } else { self.pop_to_mark()? };
        match self.top_node()? {
            Node::List(items) if opcode != op::ADDITEMS => items.append(&mut added),
            Node::Set if opcode == op::ADDITEMS => {}
            Node::Object(_) => {}
            _ => return Err(PickleFault::Operand { opcode, expected: "a list, set or object" }),
        }
        Ok(())
    }

    fn set_items(&mut self, opcode: u8) -> Result<(), PickleFault> {
        let added = if opcode == op::SETITEM {
            let value = self.pop()?;
            vec![self.pop()?, value]
        } else {
            self.pop_to_mark()?
        };
        let mut added = pairs(opcode, &added)?;
        match self.top_node()? {
            Node::Dict(items) => items.append(&mut added),
            Node::Object(object) => object.items.append(&mut added),
            _ => return Err(PickleFault::Operand { opcode, expected: "a dict or object" }),
        }
        Ok(())
    }

    // --- the memo

    fn recall(&mut self, opcode: u8) -> Result<(), PickleFault> {
        let index = if opcode == op::BINGET { u32::from(self.source.byte()?) } else { self.source.u32()? };
        let id = self.memo.get(&index).copied().ok_or(PickleFault::MemoMissing { index })?;
        self.push_id(id)
    }

    fn memorise(&mut self, opcode: u8) -> Result<(), PickleFault> {
        let full = PickleFault::MemoTooLarge { limit: MAX_MEMO };
        let index = match opcode {
            op::BINPUT => u32::from(self.source.byte()?),
            op::LONG_BINPUT => self.source.u32()?,
            _ => u32::try_from(self.memo.len()).map_err(|_| full.clone())?,
        };
        let id = self.top()?;
        self.memo.insert(index, id);
        if self.memo.len() > MAX_MEMO { Err(full) } else { Ok(()) }
    }

    // --- what Python would import and call

    fn global(&mut self, opcode: u8) -> Result<(), PickleFault> {
        let (module, name) = if opcode == op::GLOBAL {
            (self.source.line()?.into(), self.source.line()?.into())
        } else {
            let name = self.pop_text(opcode)?;
            (self.pop_text(opcode)?, name)
        };
        self.push(Node::Global(Box::new(Global { module, name })))
    }

    fn pop_text(&mut self, opcode: u8) -> Result<Box<str>, PickleFault> {
        let Id(index) = self.pop()?;
        match self.nodes.get(index as usize) {
            // The limit keeps a program from copying one long text again and again.
            Some(Node::Text(text)) if text.len() <= MAX_GLOBAL => Ok(text.clone()),
            _ => Err(PickleFault::Operand { opcode, expected: "two short texts" }),
        }
    }

    /// Records a call; `keywords` values (NEWOBJ_EX has a dict of them) are dropped.
    fn object(&mut self, keywords: usize) -> Result<(), PickleFault> {
        for _ in 0..keywords {
            self.pop()?;
        }
        let arguments = self.pop()?;
        let callee = self.pop()?;
        let object = Object { callee, arguments, state: None, items: Vec::new() };
        self.push(Node::Object(Box::new(object)))
    }

    fn build(&mut self) -> Result<(), PickleFault> {
        let state = self.pop()?;
        match self.top_node()? {
            Node::Object(object) => object.state = Some(state),
            _ => return Err(PickleFault::Operand { opcode: op::BUILD, expected: "an object" }),
        }
        Ok(())
    }
}

/// A two's complement little-endian integer of any length.
fn wide_integer(bytes: &[u8]) -> Node {
    if bytes.len() > 8 {
        return Node::WideInt;
    }
    let negative = bytes.last().is_some_and(|&byte| byte >= 0x80);
    let mut word = [if negative { 0xff } else { 0 }; 8];
    for (place, &byte) in word.iter_mut().zip(bytes) {
        *place = byte;
    }
    Node::Int(i64::from_le_bytes(word))
}

fn pairs(opcode: u8, values: &[Id]) -> Result<Vec<(Id, Id)>, PickleFault> {
    let (pairs, rest) = values.as_chunks::<2>();
    if rest.is_empty() {
        Ok(pairs.iter().map(|&[key, value]| (key, value)).collect())
    } else {
        Err(PickleFault::Operand { opcode, expected: "an even number of values" })
    }
}
