//! Functions of an integer with values of a byte, as tables.

/// Values of a function by its argument.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Bytes {
    /// A byte per argument, and three more, so that each can be read as 32 bits.
    values: Vec<u8>,
    stairs: Option<Stairs>,
}

/// The same function by runs of `2^shift` arguments, each with one step at most.
///
/// An activation of 16 bits has 2^16 arguments and hardly more than 2^8 steps. 64 KiB don't fit the first-level cache, 16 KiB do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Stairs {
    pub(super) shift: u32,
    /// Of every run the first value, the last one in the next 8 bits, and above them how many arguments have the first.
    pub(super) runs: Vec<u32>,
}

impl Bytes {
    pub(crate) fn new(values: impl IntoIterator<Item = u8>) -> Self {
        let mut values: Vec<u8> = values.into_iter().collect();
        let stairs = Stairs::new(&values);
        values.extend([0; 3]);
        Self { values, stairs }
    }

    /// How many arguments there are.
    pub(crate) fn len(&self) -> usize {
        self.values.len() - 3
    }

    #[inline(always)]
    pub(crate) fn get(&self, argument: usize) -> u8 {
        self.values[argument]
    }

    /// The bytes, and three more.
    #[cfg(target_arch = "x86_64")]
    pub(super) fn padded(&self) -> &[u8] {
        &self.values
    }

    /// The function by runs, where that is smaller by far.
    #[cfg(target_arch = "x86_64")]
    pub(super) fn stairs(&self) -> Option<&Stairs> {
        self.stairs.as_ref()
    }
}

impl Stairs {
    /// Arguments of a run, from 2^6 down to 2^4: four bytes for sixteen.
    const SHIFTS: [u32; 3] = [6, 5, 4];

    /// `None` for a table that is small as it is, or too steep.
    fn new(values: &[u8]) -> Option<Self> {
        let small = values.len() <= 1 << 12;
        let with = |shift: u32| {
            let runs = values.chunks(1 << shift).map(run).collect::<Option<Vec<u32>>>()?;
            Some(Self { shift, runs })
        };
        if small { None } else { Self::SHIFTS.into_iter().find_map(with) }
    }

    /// The value for an argument.
    #[cfg(test)]
    fn get(&self, argument: usize) -> u8 {
        let (run, within) = (self.runs[argument >> self.shift], argument as u32 & ((1 << self.shift) - 1));
        (if within < run >> 16 { run } else { run >> 8 }) as u8
    }
}

/// A run, unless it has more than one step.
fn run(values: &[u8]) -> Option<u32> {
    let (first, last) = (*values.first()?, *values.last()?);
    let count = values.iter().take_while(|&&value| value == first).count();
    let one_step = values[count..].iter().all(|&value| value == last);
    one_step.then_some(u32::from(first) | u32::from(last) << 8 | (count as u32) << 16)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(values: &[u8], shift: Option<u32>) {
        let table = Bytes::new(values.iter().copied());
        assert_eq!((table.len(), table.stairs.as_ref().map(|stairs| stairs.shift)), (values.len(), shift));
        for (argument, &value) in values.iter().enumerate() {
            assert_eq!(table.get(argument), value);
            assert!(table.stairs.as_ref().is_none_or(|stairs| stairs.get(argument) == value), "{argument}");
        }
    }

    #[test]
    fn stairs_are_the_table() {
        let slope = |arguments: usize| -> Vec<u8> { (0..1 << 16).map(|q| (q / arguments) as u8).collect() };
        check(&slope(256), Some(6));
        check(&slope(64), Some(6));
        check(&slope(33), Some(5));
        check(&slope(17), Some(4));
        check(&slope(13), None);
        check(&slope(64)[..4096], None);
        // A jump of any height is one step; up and down again are two.
        let mut jump = vec![7; 1 << 16];
        jump[1000..].fill(250);
        check(&jump, Some(6));
        jump[2005] = 0;
        check(&jump, None);
    }
}
