//! From ids to their positions in a list.

/// A table of positions may hold this many entries that stand for no id, per id, and [`SPARE`] more.
const ENTRIES_PER_ID: u64 = 16;
const SPARE: u64 = 1 << 16;
const NONE: u32 = u32::MAX;

/// Positions of ids in a list of unique ids.
///
/// Ids that lie close together, as in most data sets, are looked up in a table; others by bisection.
pub(crate) struct Positions {
    /// (id, position) by id.
    sorted: Vec<(i64, u32)>,
    /// Position of id `lowest + i`, or [`NONE`]; empty when ids lie too far apart.
    table: Vec<u32>,
    lowest: i64,
}

impl Positions {
    /// Removes later repeats from `ids` and indexes the rest.
    pub(crate) fn of(ids: &mut Vec<i64>) -> Self {
        let mut sorted: Vec<(i64, u32)> = ids.iter().copied().zip(0..).collect();
        sorted.sort_unstable();
        sorted.dedup_by_key(|pair| pair.0);
        sorted.sort_unstable_by_key(|pair| pair.1);
        *ids = sorted.iter().map(|pair| pair.0).collect();
        let mut sorted: Vec<(i64, u32)> = ids.iter().copied().zip(0..).collect();
        sorted.sort_unstable();
        let table = table(&sorted);
        let lowest = sorted.first().map_or(0, |pair| pair.0);
        Self { sorted, table, lowest }
    }

    pub(crate) fn find(&self, id: i64) -> Option<u32> {
        if self.table.is_empty() {
            let at = self.sorted.binary_search_by_key(&id, |pair| pair.0).ok()?;
            return Some(self.sorted[at].1);
        }
        let offset = usize::try_from(id.checked_sub(self.lowest)?).ok()?;
        self.table.get(offset).copied().filter(|&position| position != NONE)
    }
}

fn table(sorted: &[(i64, u32)]) -> Vec<u32> {
    let (Some(first), Some(last)) = (sorted.first(), sorted.last()) else { return Vec::new() };
    let span = first.0.abs_diff(last.0);
    if span > ENTRIES_PER_ID.saturating_mul(sorted.len() as u64) + SPARE {
        return Vec::new();
    }
    let mut table = vec![NONE; span as usize + 1];
    for &(id, position) in sorted {
        table[id.abs_diff(first.0) as usize] = position;
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_and_far_ids_are_found() {
        for far in [100, i64::MAX] {
            let mut ids = vec![far, 3, -7, 3, far, 0];
            let positions = Positions::of(&mut ids);
            assert_eq!(ids, [far, 3, -7, 0]);
            let found: Vec<Option<u32>> =
                [far, 3, -7, 0, 1, -8, 101, i64::MIN].map(|id| positions.find(id)).into();
            assert_eq!(found, [Some(0), Some(1), Some(2), Some(3), None, None, None, None]);
        }
        assert_eq!(Positions::of(&mut Vec::new()).find(0), None);
    }

    #[test]
    fn the_whole_range_of_ids_is_no_overflow() {
        let positions = Positions::of(&mut vec![i64::MIN, i64::MAX]);
        assert_eq!((positions.find(i64::MAX), positions.find(0)), (Some(1), None));
        let positions = Positions::of(&mut vec![i64::MAX, i64::MAX - 1]);
        assert_eq!((positions.find(i64::MAX), positions.find(i64::MIN)), (Some(0), None));
    }
}
