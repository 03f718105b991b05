//! Tensors of a raw file, sorted into classes of equal content.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hasher};

use super::Evidence;
use crate::element::same_bits;

/// Tensors with the same bits, and the candidates that have them too.
#[derive(Default)]
pub(super) struct Class {
    /// Rows of the table.
    pub(super) rows: Vec<usize>,
    /// Candidates, in the order in which they asked for a tensor, also when there was none left.
    pub(super) candidates: Vec<usize>,
}

/// All classes of a file.
pub(super) struct Classes<'t> {
    tensors: &'t [(u32, &'t [f32])],
    list: Vec<Class>,
    /// Class of each row.
    of_row: Vec<usize>,
    /// Classes by the hash of their content; it only says where to look, bits decide.
    by_hash: HashMap<u64, Vec<usize>>,
}

impl<'t> Classes<'t> {
    pub(super) fn new(tensors: &'t [(u32, &'t [f32])]) -> Self {
        let mut classes = Self { tensors, list: Vec::new(), of_row: Vec::new(), by_hash: HashMap::new() };
        for (row, (_, values)) in tensors.iter().enumerate() {
            let index = classes.position(values).unwrap_or_else(|| classes.add(values));
            classes.list[index].rows.push(row);
            classes.of_row.push(index);
        }
        classes
    }

    /// The class of tensors with these values.
    pub(super) fn find(&mut self, values: &[f32]) -> Option<&mut Class> {
        self.position(values).map(|index| &mut self.list[index])
    }

    /// The class of a row.
    pub(super) fn of_row(&self, row: usize) -> &Class {
        &self.list[self.of_row[row]]
    }

    /// The first class that a candidate asked for a tensor of.
    pub(super) fn of_candidate(&self, candidate: usize) -> Option<&Class> {
        self.list.iter().find(|class| class.candidates.contains(&candidate))
    }

    /// How sure a match of this row is.
    pub(super) fn evidence(&self, row: usize) -> Evidence {
        let class = self.of_row(row);
        if class.rows.len().max(class.candidates.len()) > 1 { Evidence::Order } else { Evidence::Content }
    }

    fn position(&self, values: &[f32]) -> Option<usize> {
        let same = |&&index: &&usize| same_bits(self.tensors[self.list[index].rows[0]].1, values);
        self.by_hash.get(&hash(values))?.iter().find(same).copied()
    }

    fn add(&mut self, values: &[f32]) -> usize {
        let index = self.list.len();
        self.list.push(Class::default());
        self.by_hash.entry(hash(values)).or_default().push(index);
        index
    }
}

fn hash(values: &[f32]) -> u64 {
    let mut hasher = DefaultHasher::new();
    hasher.write(bytemuck::cast_slice(values));
    hasher.finish()
}
